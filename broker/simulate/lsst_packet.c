/* lsst_packet.c - alerts of the simulated world as LSST's packets. */
#include "lsst.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"

typedef struct field {
    char type; /* d f i l s b (boolean), as in Avro */
    uint8_t nullable;
    char name[48];
} field;

typedef struct shape {
    field field[NJ_SIM_LSST_FIELDS_MAX];
    uint32_t n;
} shape;

struct nj_sim_lsst_schema {
    char *json;
    size_t n_json;
    shape shape[NJ_SIM_LSST_RECORDS];
    uint8_t top[16]; /* index into top_names, in the order of the schema */
    uint32_t n_top;
};

static const char *const record_names[NJ_SIM_LSST_RECORDS] = { "diaSource", "diaForcedSource", "diaObject",
                                                               "ssSource", "mpc_orbits" };
typedef enum {
    TOP_ID,
    TOP_REASON,
    TOP_TARGET,
    TOP_SOURCE,
    TOP_PRV,
    TOP_FORCED,
    TOP_OBJECT,
    TOP_SS,
    TOP_ORBIT,
    TOP_STAMP
} top_part;
static const char *const top_names[] = { "diaSourceId",      "observation_reason", "target_name",
                                         "diaSource",        "prvDiaSources",      "prvDiaForcedSources",
                                         "diaObject",        "ssSource",           "mpc_orbits",
                                         "cutoutDifference", "cutoutScience",      "cutoutTemplate" };
enum { N_TOP = sizeof top_names / sizeof *top_names };

static json_t *value_branch(json_t *type, uint8_t *nullable)
{
    *nullable = json_is_array(type) != 0;
    return *nullable ? json_array_get(type, 1) : type;
}

static int plan_record(shape *s, json_t *record, nj_error *err)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(record, "fields"), i, f)
    {
        field *to = &s->field[s->n];
        json_t *type = value_branch(json_object_get(f, "type"), &to->nullable);
        const char *word = json_string_value(json_is_object(type) ? json_object_get(type, "type") : type);
        if (s->n == NJ_SIM_LSST_FIELDS_MAX || !word || !strchr("dfilsb", word[0]))
            return nj_fail(err, "the simulator cannot write all fields of schema lsst 11.0");
        to->type = word[0];
        snprintf(to->name, sizeof to->name, "%s", json_string_value(json_object_get(f, "name")));
        s->n++;
    }
    return 0;
}

/* Finds the records where they are defined, however deep. */
static int plan_all(nj_sim_lsst_schema *s, json_t *node, nj_error *err)
{
    const char *name = json_string_value(json_object_get(node, "name")), *key;
    size_t i;
    json_t *child;
    for (int k = 0; name && k < NJ_SIM_LSST_RECORDS; k++)
        if (!strcmp(name, record_names[k]) && json_object_get(node, "fields"))
            return plan_record(&s->shape[k], node, err);
    json_array_foreach(node, i, child) if (plan_all(s, child, err)) return -1;
    json_object_foreach(node, key, child) if (plan_all(s, child, err)) return -1;
    return 0;
}

static int plan_top(nj_sim_lsst_schema *s, json_t *root, nj_error *err)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(root, "fields"), i, f)
    {
        const char *name = json_string_value(json_object_get(f, "name"));
        uint8_t at = 0;
        while (name && at < N_TOP && strcmp(top_names[at], name)) at++;
        if (!name || at == N_TOP || s->n_top == sizeof s->top)
            return nj_fail(err, "the simulator has no value for field '%s'", name ? name : "?");
        s->top[s->n_top++] = at;
    }
    return 0;
}

nj_sim_lsst_schema *nj_sim_lsst_schema_new(nj_error *err)
{
    static const char path[] = "schemas/lsst/alert_11.0.avsc";
    const nj_embedded *file = nj_embedded_find(path);
    json_error_t why;
    json_t *root = NULL;
    nj_sim_lsst_schema *s = calloc(1, sizeof *s);
    int rc = -1;
    if (!s || !file || !(root = json_loadb(file->data, file->n, 0, &why))) {
        nj_fail(err, "%s: %s", path,
                !s      ? "out of memory"
                : !file ? "the binary does not carry it"
                        : why.text);
        goto done;
    }
    s->n_json = file->n;
    while (s->n_json && file->data[s->n_json - 1] == '\n') s->n_json--;
    if (!(s->json = strndup(file->data, s->n_json))) {
        nj_fail(err, "out of memory");
        goto done;
    }
    rc = plan_all(s, root, err) || plan_top(s, root, err) ? -1 : 0;
done:
    json_decref(root);
    if (rc) {
        nj_sim_lsst_schema_free(s);
        s = NULL;
    }
    return s;
}

void nj_sim_lsst_schema_free(nj_sim_lsst_schema *s)
{
    if (s) free(s->json);
    free(s);
}

int nj_sim_lsst_field(const nj_sim_lsst_schema *s, nj_sim_lsst_kind kind, const char *name)
{
    const shape *record = &s->shape[kind];
    for (uint32_t i = 0; i < record->n; i++)
        if (!strcmp(record->field[i].name, name)) return (int)i;
    return -1;
}

/* ---- Avro binary ----------------------------------------------------------------------------- */
static uint8_t *put_long(uint8_t *p, int64_t value)
{
    uint64_t u = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (; u >= 0x80; u >>= 7) *p++ = (uint8_t)(u | 0x80);
    *p++ = (uint8_t)u;
    return p;
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n)
{
    p = put_long(p, (int64_t)n);
    memcpy(p, bytes, n);
    return p + n;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
    return put_bytes(p, text, strlen(text));
}

enum { BRANCH_NULL = 0, BRANCH_VALUE = 2 }; /* zigzag of 0 and 1: null stands first in every union */

static uint8_t *put_optional_text(uint8_t *p, const char *text)
{
    *p++ = text ? BRANCH_VALUE : BRANCH_NULL;
    return text ? put_text(p, text) : p;
}

static uint8_t *put_record(uint8_t *p, const shape *s, const nj_sim_lsst_record *r)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const field *f = &s->field[i];
        nj_sim_value v = r->v[i];
        int given = r->set[i] || f->type == 'b';
        if (!r->set[i]) v.i = 0;
        if (f->nullable) *p++ = given ? BRANCH_VALUE : BRANCH_NULL;
        if (f->nullable && !given) continue;
        float small = r->set[i] ? (float)v.f : 0;
        switch (f->type) {
        case 'd': memcpy(p, &v.f, 8), p += 8; break;
        case 'f': memcpy(p, &small, 4), p += 4; break;
        case 'b': *p++ = v.i != 0; break;
        case 's': p = put_text(p, r->set[i] ? v.s : ""); break;
        default: p = put_long(p, v.i); break;
        }
    }
    return p;
}

static uint8_t *put_optional(uint8_t *p, const shape *s, const nj_sim_lsst_record *r)
{
    *p++ = r ? BRANCH_VALUE : BRANCH_NULL;
    return r ? put_record(p, s, r) : p;
}

static uint8_t *put_array(uint8_t *p, const shape *s, const nj_sim_lsst_record *r, uint32_t n)
{
    *p++ = n ? BRANCH_VALUE : BRANCH_NULL;
    if (!n) return p;
    p = put_long(p, n);
    for (uint32_t i = 0; i < n; i++) p = put_record(p, s, &r[i]);
    return put_long(p, 0);
}

static uint8_t *put_datum(uint8_t *p, const nj_sim_lsst_schema *s, const nj_sim_lsst_packet *a)
{
    for (uint32_t i = 0; i < s->n_top; i++) switch (s->top[i]) {
        case TOP_ID: p = put_long(p, a->id); break;
        case TOP_REASON: p = put_optional_text(p, a->reason); break;
        case TOP_TARGET: p = put_optional_text(p, a->target); break;
        case TOP_SOURCE: p = put_record(p, &s->shape[NJ_SIM_DIA_SOURCE], a->source); break;
        case TOP_PRV: p = put_array(p, &s->shape[NJ_SIM_DIA_SOURCE], a->prv, a->n_prv); break;
        case TOP_FORCED: p = put_array(p, &s->shape[NJ_SIM_DIA_FORCED], a->forced, a->n_forced); break;
        case TOP_OBJECT: p = put_optional(p, &s->shape[NJ_SIM_DIA_OBJECT], a->object); break;
        case TOP_SS: p = put_optional(p, &s->shape[NJ_SIM_SS_SOURCE], a->ss_source); break;
        case TOP_ORBIT: p = put_optional(p, &s->shape[NJ_SIM_MPC_ORBIT], a->orbit); break;
        default:
            *p++ = BRANCH_VALUE;
            p = put_bytes(p, a->fits[s->top[i] - TOP_STAMP], a->n_fits[s->top[i] - TOP_STAMP]);
            break;
        }
    return p;
}

enum { RECORD_MOST = 1600 }; /* 98 values of at most 11 bytes, or 53 with a few short texts */

void nj_sim_lsst_encode(const nj_sim_lsst_schema *s, const nj_sim_lsst_packet *a, nj_buffer *out)
{
    size_t most = s->n_json + 1024 + (size_t)RECORD_MOST * (4 + a->n_prv + a->n_forced);
    for (int i = 0; i < 3; i++) most += a->n_fits[i] + 16;
    uint8_t *start = (uint8_t *)nj_buffer_room(out, 2 * most), *p = start;
    if (!start) return;
    if (a->confluent) {
        const uint8_t head[5] = { 0, 0, 0, NJ_SIM_LSST_SCHEMA_ID >> 8, NJ_SIM_LSST_SCHEMA_ID & 255 };
        memcpy(p, head, 5);
        p = put_datum(p + 5, s, a);
    } else {
        uint64_t sync[2] = { nj_sim_key(a->key, 1), nj_sim_key(a->key, 2) };
        memcpy(p, "Obj\1", 4);
        p = put_long(p + 4, 2);
        p = put_text(put_text(p, "avro.codec"), "null");
        p = put_bytes(put_text(p, "avro.schema"), s->json, s->n_json);
        p = put_long(p, 0);
        memcpy(p, sync, 16);
        uint8_t *aside = start + most, *end = put_datum(aside, s, a);
        p = put_long(put_long(p + 16, 1), end - aside);
        memmove(p, aside, (size_t)(end - aside));
        p += end - aside;
        memcpy(p, sync, 16);
        p += 16;
    }
    out->n += (size_t)(p - start);
}
