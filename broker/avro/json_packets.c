/* json_packets.c - half of the brokers publish JSON; it goes the way of all packets, as datums of a schema
 * that grows with what comes. */
#include "json_packets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/json_scan.h"
#include "../base/log.h"
#include "json_shape.h"

enum { KINDS = 64, NAMES_SHOWN = 8 };

/* Packets of one topic that have their keys in common. */
typedef struct kind {
    nj_json_shape *shape;
    const nj_schema *schema; /* of the shape as it is; NULL = it grew */
    uint64_t used;
} kind;

struct nj_json_kinds {
    pthread_mutex_t lock;
    kind kind[KINDS];
    uint32_t n;
    uint64_t clock, n_envelopes, n_not_finite;
};

struct nj_json_kinds *nj_json_kinds_new(void)
{
    struct nj_json_kinds *k = calloc(1, sizeof *k);
    if (k) pthread_mutex_init(&k->lock, NULL);
    return k;
}

void nj_json_kinds_free(struct nj_json_kinds *k)
{
    if (!k) return;
    for (uint32_t i = 0; i < k->n; i++) {
        nj_json_shape_free(k->kind[i].shape);
        nj_schema_drop(k->kind[i].schema);
    }
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void nj_json_datums_free(nj_json_datums *d)
{
    free(d->item);
    nj_buffer_free(&d->out);
    *d = (nj_json_datums){ 0 };
}

/* ---- stamps ---------------------------------------------------------------------------------- */

/* Do the maps read an image from this path, in one of the forms of its survey? */
static bool is_stamp(void *decoder, const char *path)
{
    const nj_decoder *d = decoder;
    for (uint32_t m = 0; m < d->n_maps; m++)
        for (uint32_t c = 0; c < d->map[m]->n_columns; c++) {
            const nj_map_column *column = &d->map[m]->column[c];
            if (column->shape != NJ_IMAGE) continue;
            for (uint32_t a = 0; a < column->part[0].n; a++)
                if (!strcmp(column->part[0].alternative[a].path, path)) return true;
        }
    return false;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Python writes NaN and Infinity, which are no JSON: null, in a copy. NULL: there is none, or no memory. */
static char *without_nan(const char *text, size_t size, size_t *n)
{
    static const char *const word[] = { "NaN", "-Infinity", "Infinity" };
    nj_buffer out = { 0 };
    bool quoted = false, found = false;
    for (size_t i = 0; i < size; i++) {
        size_t k = 0, length = 0;
        if (quoted && text[i] == '\\' && i + 1 < size) {
            nj_buffer_add(&out, text + i++, 2);
            continue;
        }
        if (text[i] == '"') quoted = !quoted;
        for (; !quoted && k < 3; k++)
            if ((length = strlen(word[k])) <= size - i && !memcmp(text + i, word[k], length)) break;
        if (quoted || k == 3) {
            nj_buffer_add(&out, text + i, 1);
            continue;
        }
        nj_buffer_text(&out, "null");
        i += length - 1;
        found = true;
    }
    *n = out.n;
    if (found && !out.failed) return out.data;
    nj_buffer_free(&out);
    return NULL;
}

static json_t *load(struct nj_json_kinds *k, const nj_json_packet *p, char why[200])
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_error_t error;
    json_t *value = json_loadb((const char *)p->text, p->text_size, flags, &error);
    if (!value) {
        size_t n;
        char *copy = without_nan((const char *)p->text, p->text_size, &n);
        json_error_t again;
        if (copy && (value = json_loadb(copy, n, flags, &again))) k->n_not_finite++;
        free(copy);
    }
    if (!value) {
        snprintf(why, 200, "no JSON: %.150s (byte %d)", error.text, error.position);
    } else if (!json_is_object(value)) {
        snprintf(why, 200, "no JSON object");
        json_decref(value);
        value = NULL;
    }
    return value;
}

/* Hopskotch: {"format": ..., "content": PACKET}. */
static json_t *unwrap(struct nj_json_kinds *k, json_t *value)
{
    json_t *content = json_object_get(value, "content");
    if (json_object_size(value) != 2 || !json_is_object(content) || !json_object_get(value, "format"))
        return value;
    k->n_envelopes++;
    json_incref(content);
    json_decref(value);
    return content;
}

static nj_json_packet *add(nj_json_datums *d, const uint8_t *text, size_t size)
{
    if (d->n == d->cap) {
        uint32_t cap = d->cap ? 2 * d->cap : 16;
        nj_json_packet *more = realloc(d->item, cap * sizeof *more);
        if (!more) return NULL;
        d->item = more;
        d->cap = cap;
    }
    nj_json_packet *p = &d->item[d->n++];
    *p = (nj_json_packet){ .text = text, .text_size = size };
    return p;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static bool same_topic(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* Room for one more; the one that was not seen for longest goes. */
static kind *new_kind(struct nj_json_kinds *k, const char *topic)
{
    kind *to = &k->kind[0];
    nj_json_shape *shape = nj_json_shape_new(topic);
    if (!shape) return NULL;
    if (k->n < KINDS) {
        to = &k->kind[k->n++];
    } else {
        for (uint32_t i = 1; i < KINDS; i++)
            if (k->kind[i].used < to->used) to = &k->kind[i];
        nj_json_shape_free(to->shape);
        nj_schema_drop(to->schema);
    }
    *to = (kind){ .shape = shape };
    return to;
}

/* The kind with most of the packet's keys, at least half of them. */
static kind *kind_of(struct nj_json_kinds *k, const json_t *packet, const char *topic)
{
    kind *best = NULL;
    double most = 0.5;
    for (uint32_t i = 0; i < k->n; i++) {
        if (!same_topic(nj_json_shape_topic(k->kind[i].shape), topic)) continue;
        double likes = nj_json_shape_likes(k->kind[i].shape, packet);
        if (likes < most || (best && likes == most)) continue;
        best = &k->kind[i];
        most = likes;
    }
    if (!best) best = new_kind(k, topic);
    if (best) best->used = ++k->clock;
    return best;
}

/* Under the lock, so that the schema is the one that the datums are written by. */
static int convert(nj_decoder *d, json_t *const *value, nj_json_datums *datums, const char *topic,
                   const nj_schema **schema, nj_error *err)
{
    const nj_json_limits limits = { (uint32_t)d->conf.max_depth, (uint32_t)d->conf.max_items, is_stamp, d };
    const uint32_t n = datums->n;
    uint32_t good = 0;
    nj_error why = { "" };
    kind *of = NULL;
    for (uint32_t i = 0; i < n; i++) {
        bool grew = false;
        if (!value[i]) continue;
        if (!of && !(of = kind_of(d->json, value[i], topic))) return nj_fail(err, "out of memory");
        int rc = nj_json_shape_take(of->shape, value[i], &limits, &grew, &why);
        if (rc && why.memory) return *err = why, -1;
        if (rc) snprintf(datums->item[i].why, sizeof datums->item[i].why, "%.190s", why.text);
        if (!grew || !of->schema) continue;
        nj_schema_drop(of->schema);
        of->schema = NULL;
    }
    if (of && !of->schema) {
        size_t size;
        const char *text = nj_json_shape_schema(of->shape, &size);
        if (!text) return nj_fail(err, "out of memory");
        of->schema = nj_decoder_schema(d, (const uint8_t *)text, size, topic, err);
        if (!of->schema) return -1;
    }
    for (uint32_t i = 0; i < n; i++) {
        nj_json_packet *p = &datums->item[i];
        if (!value[i] || *p->why) continue;
        p->from = datums->out.n;
        if (nj_json_shape_write(of->shape, value[i], &datums->out, &why)) {
            if (why.memory) return *err = why, -1;
            snprintf(p->why, sizeof p->why, "%.190s", why.text);
            datums->out.n = p->from;
            continue;
        }
        p->size = datums->out.n - p->from;
        good++;
    }
    *schema = of ? nj_schema_hold(of->schema) : NULL;
    return good ? 0 : nj_fail(err, "%s", n ? datums->item[0].why : "JSON without a packet");
}

int nj_json_datums_read(nj_decoder *d, const nj_chunk *chunk, nj_json_datums *datums,
                        const nj_schema **schema, nj_error *err)
{
    const char *topic = chunk->stream ? chunk->stream->topic : NULL;
    const uint8_t *at = chunk->bytes, *end = chunk->bytes + chunk->size, *text;
    size_t size;
    *schema = NULL;
    datums->n = 0;
    datums->out.n = 0;
    datums->out.failed = 0;
    while ((text = nj_json_piece(&at, end, &size)))
        if (!add(datums, text, size)) return nj_fail(err, "out of memory");
    json_t **value = calloc(datums->n + 1u, sizeof *value);
    if (!value) return nj_fail(err, "out of memory");
    pthread_mutex_lock(&d->json->lock);
    for (uint32_t i = 0; i < datums->n; i++) {
        value[i] = load(d->json, &datums->item[i], datums->item[i].why);
        if (value[i]) value[i] = unwrap(d->json, value[i]);
    }
    int rc = convert(d, value, datums, topic, schema, err);
    pthread_mutex_unlock(&d->json->lock);
    for (uint32_t i = 0; i < datums->n; i++) json_decref(value[i]);
    free(value);
    if (rc && *schema) nj_schema_drop(*schema), *schema = NULL;
    return rc;
}

/* ---- the end of a run ------------------------------------------------------------------------ */

typedef struct names {
    nj_buffer lacking, new;
    uint32_t n_lacking, n_new;
} names;

static void count(void *names_, const char *path, uint64_t there, uint64_t lacking, bool new)
{
    names *s = names_;
    if (lacking) {
        if (++s->n_lacking <= NAMES_SHOWN)
            nj_buffer_printf(&s->lacking, "%s%s (%llu of %llu)", s->lacking.n ? ", " : "", path,
                             (unsigned long long)lacking, (unsigned long long)(lacking + there));
        else
            nj_debug(NJ_DEBUG_DECODE, "JSON: %s lacks in %llu of %llu", path, (unsigned long long)lacking,
                     (unsigned long long)(lacking + there));
    }
    if (!new) return;
    if (++s->n_new <= NAMES_SHOWN)
        nj_buffer_printf(&s->new, "%s%s (%llu)", s->new.n ? ", " : "", path, (unsigned long long)there);
    else
        nj_debug(NJ_DEBUG_DECODE, "JSON: %s came later, in %llu", path, (unsigned long long)there);
}

static void report_kind(const kind *k)
{
    names s = { 0 };
    const char *topic = nj_json_shape_topic(k->shape);
    nj_json_shape_counts(k->shape, count, &s);
    nj_log(NJ_LOG_INFO, "%llu JSON packets%s%s%s%s", (unsigned long long)nj_json_shape_packets(k->shape),
           topic ? " of topic " : "", topic ? topic : "", k->schema ? ", survey " : "",
           k->schema ? nj_schema_survey(k->schema) : "");
    if (s.n_lacking)
        nj_log(NJ_LOG_INFO, "JSON: keys that some packets lack: %s%s", s.lacking.data ? s.lacking.data : "",
               s.n_lacking > NAMES_SHOWN ? ", ... (-v lists all)" : "");
    if (s.n_new)
        nj_log(NJ_LOG_INFO, "JSON: keys that the first packet did not have: %s%s",
               s.new.data ? s.new.data : "", s.n_new > NAMES_SHOWN ? ", ... (-v lists all)" : "");
    nj_buffer_free(&s.lacking);
    nj_buffer_free(&s.new);
}

/* Keys that the survey's map knows and no packet has, and keys that no column of it reads. */
void nj_decoder_end(const nj_decoder *d)
{
    struct nj_json_kinds *k = d->json;
    pthread_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->n; i++) report_kind(&k->kind[i]);
    if (k->n_envelopes)
        nj_log(NJ_LOG_INFO, "JSON: %llu packets were the content of an envelope (Hopskotch)",
               (unsigned long long)k->n_envelopes);
    if (k->n_not_finite)
        nj_log(NJ_LOG_WARN, "JSON: %llu packets have NaN or Infinity, which are no JSON: read as null",
               (unsigned long long)k->n_not_finite);
    pthread_mutex_unlock(&k->lock);
}
