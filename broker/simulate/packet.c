/* packet.c - simulated packets must look as the survey's own encoders write them, byte layout included. */
#include "packet.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"
#include "noise.h"

typedef enum { PLAIN, NULL_FIRST, VALUE_FIRST } union_order;

typedef struct step {
    char type; /* d f i l s, as in Avro's double, float, int, long, string */
    uint8_t order, field;
} step;

typedef struct plan {
    step step[NJ_SIM_N_CANDIDATE];
    uint32_t n;
} plan;

/* The parts of the top record, in the order of the schema. */
typedef enum {
    TOP_VERSION,
    TOP_PUBLISHER,
    TOP_OBJECT,
    TOP_CANDID,
    TOP_CANDIDATE,
    TOP_PRV,
    TOP_FORCED,
    TOP_STAMP
} top_part;
typedef struct top_step {
    top_part part;
    uint8_t order, stamp;
} top_step;

struct nj_sim_encoder {
    char *schema; /* JSON */
    size_t n_schema;
    char version[8];
    int uwgo;
    top_step top[16];
    uint32_t n_top;
    plan candidate, prv, forced;
};

#define NAME(name) #name,
static const char *const candidate_names[] = { NJ_SIM_CANDIDATE_FIELDS(NAME) };
static const char *const forced_names[] = { NJ_SIM_FORCED_FIELDS(NAME) };
#undef NAME

static const struct {
    const char *name;
    top_part part;
    uint8_t stamp;
} top_names[] = { { "schemavsn", TOP_VERSION, 0 },    { "publisher", TOP_PUBLISHER, 0 },
                  { "objectId", TOP_OBJECT, 0 },      { "candid", TOP_CANDID, 0 },
                  { "candidate", TOP_CANDIDATE, 0 },  { "prv_candidates", TOP_PRV, 0 },
                  { "fp_hists", TOP_FORCED, 0 },      { "cutoutScience", TOP_STAMP, 0 },
                  { "cutoutTemplate", TOP_STAMP, 1 }, { "cutoutDifference", TOP_STAMP, 2 } };

/* The branch of a union that is not null (or the type itself), and where null stands. */
static json_t *branch(json_t *type, uint8_t *order)
{
    *order = PLAIN;
    if (!json_is_array(type)) return type;
    const char *first = json_string_value(json_array_get(type, 0));
    *order = first && !strcmp(first, "null") ? NULL_FIRST : VALUE_FIRST;
    return json_array_get(type, *order == NULL_FIRST ? 1 : 0);
}

static int plan_record(plan *p, json_t *record, const char *const *name, size_t n_names, nj_error *err)
{
    static const char *const types[] = { "double", "float", "int", "long", "string" };
    json_t *fields = json_object_get(record, "fields"), *field;
    size_t at;
    json_array_foreach(fields, at, field)
    {
        const char *field_name = json_string_value(json_object_get(field, "name"));
        step s = { 0 };
        const char *type = json_string_value(branch(json_object_get(field, "type"), &s.order));
        for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
            if (!strcmp(type, types[i])) s.type = types[i][0];
        size_t i = 0;
        while (i < n_names && strcmp(name[i], field_name)) i++;
        if (!s.type || i == n_names || p->n == NJ_SIM_N_CANDIDATE)
            return nj_fail(err, "the simulator has no value for field '%s'", field_name);
        s.field = (uint8_t)i;
        p->step[p->n++] = s;
    }
    return p->n ? 0 : nj_fail(err, "a record without fields");
}

static int plan_top(nj_sim_encoder *e, json_t *schema, nj_error *err)
{
    json_t *fields = json_object_get(schema, "fields"), *field;
    size_t at;
    json_array_foreach(fields, at, field)
    {
        const char *name = json_string_value(json_object_get(field, "name"));
        top_step t = { 0 };
        json_t *type = branch(json_object_get(field, "type"), &t.order),
               *items = json_object_get(type, "items");
        size_t i = 0;
        while (i < sizeof top_names / sizeof *top_names && strcmp(top_names[i].name, name)) i++;
        if (i == sizeof top_names / sizeof *top_names)
            return nj_fail(err, "the simulator has no value for field '%s'", name);
        t.part = top_names[i].part;
        t.stamp = top_names[i].stamp;
        if (t.part == TOP_CANDIDATE &&
            plan_record(&e->candidate, type, candidate_names, NJ_SIM_N_CANDIDATE, err))
            return -1;
        if (t.part == TOP_PRV && plan_record(&e->prv, items, candidate_names, NJ_SIM_N_CANDIDATE, err))
            return -1;
        if (t.part == TOP_FORCED && plan_record(&e->forced, items, forced_names, NJ_SIM_N_FORCED, err))
            return -1;
        e->top[e->n_top++] = t;
    }
    return 0;
}

/* The Go encoder's form of a schema: null first in every union.
 * (Key order and spacing come with printing.) */
static void nulls_first(json_t *node)
{
    size_t at;
    const char *key;
    json_t *child;
    if (json_is_array(node)) {
        const char *last = json_string_value(json_array_get(node, 1));
        if (json_array_size(node) == 2 && last && !strcmp(last, "null")) {
            json_t *null = json_incref(json_array_get(node, 1));
            json_array_remove(node, 1);
            json_array_insert_new(node, 0, null);
        }
        json_array_foreach(node, at, child) nulls_first(child);
    } else if (json_is_object(node)) {
        json_object_foreach(node, key, child) nulls_first(child);
    }
}

nj_sim_encoder *nj_sim_encoder_new(const char *version, int uwgo, nj_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "schemas/ztf/alert_%s.avsc", version);
    const nj_embedded *file = nj_embedded_find(path);
    json_error_t why;
    json_t *schema = file ? json_loadb(file->data, file->n, 0, &why) : NULL;
    nj_sim_encoder *e = calloc(1, sizeof *e);
    int rc = -1;
    if (!e) {
        nj_fail(err, "out of memory");
        goto done;
    }
    if (!schema) {
        nj_fail(err, "no simulated schema %s: %s", version, file ? why.text : "the binary does not carry it");
        goto done;
    }
    e->uwgo = uwgo;
    snprintf(e->version, sizeof e->version, "%s", version);
    if (uwgo) {
        nulls_first(schema);
        json_object_set_new(schema, "name", json_string("ztf.alert"));
        json_object_del(schema, "namespace");
        e->schema = json_dumps(schema, JSON_COMPACT | JSON_SORT_KEYS);
    } else {
        size_t n = file->n;
        while (n && file->data[n - 1] == '\n') n--;
        e->schema = strndup(file->data, n);
    }
    if (!e->schema) {
        nj_fail(err, "out of memory");
        goto done;
    }
    e->n_schema = strlen(e->schema);
    rc = plan_top(e, schema, err);
done:
    json_decref(schema);
    if (rc) {
        nj_sim_encoder_free(e);
        e = NULL;
    }
    return e;
}

void nj_sim_encoder_free(nj_sim_encoder *e)
{
    if (e) free(e->schema);
    free(e);
}

/* ---- Avro binary ----------------------------------------------------------------------------- */
static uint8_t *put_long(uint8_t *p, int64_t value)
{
    uint64_t u = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (u >= 0x80) {
        *p++ = (uint8_t)(u | 0x80);
        u >>= 7;
    }
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

static uint8_t *put_branch(uint8_t *p, uint8_t order, int null)
{
    if (order != PLAIN) *p++ = null == (order == NULL_FIRST) ? 0 : 2; /* zigzag of branch 0 or 1 */
    return p;
}

static uint8_t *put_record(uint8_t *p, const plan *fields, const nj_sim_record *record)
{
    for (const step *s = fields->step; s < fields->step + fields->n; s++) {
        const nj_sim_value v = record->v[s->field];
        int null = record->null[s->field] && s->order != PLAIN;
        p = put_branch(p, s->order, null);
        if (null) continue;
        float f = (float)v.f;
        switch (s->type) {
        case 'd': memcpy(p, &v.f, 8), p += 8; break;
        case 'f': memcpy(p, &f, 4), p += 4; break;
        case 's': p = put_text(p, v.s); break;
        default: p = put_long(p, v.i); break;
        }
    }
    return p;
}

static uint8_t *put_array(uint8_t *p, uint8_t order, const plan *fields, const nj_sim_record *record,
                          uint32_t n)
{
    p = put_branch(p, order, n == 0);
    if (!n) return p;
    p = put_long(p, n);
    for (uint32_t i = 0; i < n; i++) p = put_record(p, fields, &record[i]);
    return put_long(p, 0);
}

static uint8_t *put_datum(uint8_t *p, const nj_sim_encoder *e, const nj_sim_packet *packet)
{
    for (const top_step *t = e->top; t < e->top + e->n_top; t++) switch (t->part) {
        case TOP_VERSION: p = put_text(p, e->version); break;
        case TOP_PUBLISHER: p = put_text(p, "nightjar simulator"); break;
        case TOP_OBJECT: p = put_text(p, packet->object); break;
        case TOP_CANDID: p = put_long(p, packet->candid); break;
        case TOP_CANDIDATE: p = put_record(p, &e->candidate, packet->candidate); break;
        case TOP_PRV: p = put_array(p, t->order, &e->prv, packet->prv, packet->n_prv); break;
        case TOP_FORCED: p = put_array(p, t->order, &e->forced, packet->forced, packet->n_forced); break;
        case TOP_STAMP:
            p = put_branch(p, t->order, 0);
            p = put_text(p, packet->stamp[t->stamp].name);
            p = put_bytes(p, packet->stamp[t->stamp].data, packet->stamp[t->stamp].n);
            break;
        }
    return p;
}

static uint8_t *put_header(uint8_t *p, const nj_sim_encoder *e, uint64_t key, const uint8_t sync[16])
{
    int codec_last = e->uwgo && (key & 1);
    memcpy(p, "Obj\1", 4);
    p = put_long(p + 4, 2);
    for (int i = 0; i < 2; i++)
        if (i == codec_last)
            p = put_text(put_text(p, "avro.codec"), "null");
        else
            p = put_bytes(put_text(p, "avro.schema"), e->schema, e->n_schema);
    p = put_long(p, 0);
    memcpy(p, sync, 16);
    return p + 16;
}

enum { RECORD_MOST = 2048 }; /* 103 values of at most 11 bytes and a few short texts */

void nj_sim_encode(const nj_sim_encoder *e, const nj_sim_packet *packet, nj_buffer *out)
{
    size_t most = e->n_schema + 512 + (size_t)RECORD_MOST * (1 + packet->n_prv + packet->n_forced);
    for (int i = 0; i < 3; i++) most += packet->stamp[i].n + 128;
    uint8_t sync[17] = "gogenavromagic10";
    if (!e->uwgo) {
        uint64_t random[2] = { nj_sim_key(packet->key, 1), nj_sim_key(packet->key, 2) };
        memcpy(sync, random, 16);
    }
    uint8_t *start = (uint8_t *)nj_buffer_room(out, 2 * most);
    if (!start) return;
    uint8_t *p = put_header(start, e, packet->key, sync);
    /* The block's byte count stands before the datum: write the datum aside first, then move it down. */
    uint8_t *aside = start + most, *end = put_datum(aside, e, packet);
    p = put_long(put_long(p, 1), end - aside);
    memmove(p, aside, (size_t)(end - aside));
    p += end - aside;
    memcpy(p, sync, 16);
    out->n += (size_t)(p + 16 - start);
}
