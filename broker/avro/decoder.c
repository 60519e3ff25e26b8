/* decoder.c - all threads of a run share schemas, maps and compiled plans; this keeps them and makes each
 * one once. */
#include "decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"
#include "json_packets.h"

const nj_param nj_decode_settings[] = {
    { "maps", NJ_STR, "", offsetof(nj_decode_conf, maps), 0, 0, "1", "folder of more survey maps (*.map)" },
    { "survey", NJ_STR, "", offsetof(nj_decode_conf, survey), 0, 0, "1",
      "survey of packets that no map recognises" },
    { "schema", NJ_STR, "", offsetof(nj_decode_conf, schema), 0, 0, "1",
      "file with the schema of bare datums" },
    { "max_depth", NJ_I64, "16", offsetof(nj_decode_conf, max_depth), 1, 64, "1",
      "records and arrays inside each other" },
    { "max_items", NJ_I64, "10000", offsetof(nj_decode_conf, max_items), 1, 1e8, "1", "items of an array" },
    { "max_block", NJ_I64, "64M", offsetof(nj_decode_conf, max_block), 1024, 2e9, "byte",
      "a compressed block, unpacked" },
    { "max_stamp", NJ_I64, "16M", offsetof(nj_decode_conf, max_stamp), 1024, 2e9, "byte",
      "a stamp, unpacked" },
    { "max_pixels", NJ_I64, "4M", offsetof(nj_decode_conf, max_pixels), 1, 1e9, "1", "pixels of a stamp" },
    { "max_schemas", NJ_I64, "500", offsetof(nj_decode_conf, max_schemas), 1, 1e5, "1",
      "different schemas that are kept at a time; of more the oldest is forgotten" },
    { 0 }
};

/* ---- schemas --------------------------------------------------------------------------------- */

static uint32_t bucket_of(const uint8_t *bytes, size_t size)
{
    uint64_t head = 0, middle = 0, tail = 0;
    if (size >= 8) {
        memcpy(&head, bytes, 8);
        memcpy(&middle, bytes + size / 2 - 4, 8);
        memcpy(&tail, bytes + size - 8, 8);
    }
    return (uint32_t)((((size ^ head) * 3 ^ middle) * 5 ^ tail) * UINT64_C(0x9e3779b97f4a7c15) >> 32) %
           NJ_BUCKETS;
}

/* Under the lock. */
static nj_schema *look_up(nj_decoder *d, uint32_t bucket, const uint8_t *bytes, size_t size)
{
    nj_schema *s = d->bucket[bucket];
    while (s && (s->size != size || memcmp(s->bytes, bytes, size))) s = s->next;
    if (s) s->used = ++d->clock;
    return s;
}

static const char *root_name(const nj_tree *tree)
{
    const nj_node *root = &tree->node[tree->root];
    for (uint32_t i = root->n; root->kind == NJ_K_UNION && i-- > 0;) { /* parts come first, the packet last */
        const nj_node *branch = &tree->node[tree->child[root->first + i].node];
        if (branch->kind == NJ_K_RECORD) return branch->name;
    }
    return root->name ? root->name : nj_kind_name[root->kind];
}

/* Everything that can be wrong with a schema is found here, once, and not in the middle of its data. */
static int study(nj_decoder *d, nj_schema *s, const char *topic, nj_error *err)
{
    static const nj_layout nothing = { .survey = "" };
    if (nj_tree_parse(&s->tree, (const char *)s->bytes, s->size, err)) return -1;
    const char *name = root_name(&s->tree);
    snprintf(s->name, sizeof s->name, "%.90s%s%.30s", name, *s->tree.version ? " " : "", s->tree.version);
    s->map = nj_decoder_choose_map(d, &s->tree, name, topic);
    if (!s->map)
        return nj_fail(
            err, "no survey map matches the schema '%s'; name the survey by [decode] survey or add a map",
            s->name);
    nj_debug(NJ_DEBUG_DECODE, "schema %s: %zu bytes, %u nodes, read by the map of survey %s", s->name,
             s->size, s->tree.n_nodes, s->map->survey);
    return nj_decoder_plan(s, &nothing, err) ? 0 : -1;
}

static void free_schema(nj_schema *s)
{
    for (nj_plan_link *link = s->plan, *next; link; link = next) {
        next = link->next;
        nj_plan_free(link->plan);
        free(link);
    }
    nj_tree_free(&s->tree);
    free(s->bytes);
    free(s);
}

const nj_schema *nj_schema_hold(const nj_schema *schema)
{
    if (schema) __atomic_add_fetch(&((nj_schema *)schema)->refs, 1, __ATOMIC_RELAXED);
    return schema;
}

void nj_schema_drop(const nj_schema *schema)
{
    nj_schema *s = (nj_schema *)schema;
    if (s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) free_schema(s);
}

/* Makes room, under the lock: a refused schema before a good one, so that junk does not push out what the
 * stream is made of, and the one that was asked for longest ago. One that is in use stays. */
static void forget_oldest(nj_decoder *d)
{
    static nj_log_limit said;
    nj_schema **oldest = NULL;
    for (uint32_t b = 0; b < NJ_BUCKETS; b++)
        for (nj_schema **at = &d->bucket[b]; *at; at = &(*at)->next) {
            const nj_schema *s = *at;
            if (__atomic_load_n(&s->refs, __ATOMIC_ACQUIRE) > 1) continue;
            bool junk = *s->why, than = oldest && *(*oldest)->why;
            if (!oldest || (junk != than ? junk : s->used < (*oldest)->used)) oldest = at;
        }
    if (!oldest) return; /* all are in use: one more than asked for */
    nj_schema *s = *oldest;
    *oldest = s->next;
    d->n_schemas--;
    nj_log_limited(&said, 1, NJ_LOG_WARN,
                   "more than %lld different schemas ([decode] max_schemas): the oldest is forgotten, %s",
                   (long long)d->conf.max_schemas, *s->why ? "a refused one" : s->name);
    nj_schema_drop(s);
}

/* Refused ones are kept too: the same bad schema comes with every packet of its stream. */
static const nj_schema *add_schema(nj_decoder *d, uint32_t bucket, const uint8_t *bytes, size_t size,
                                   const char *topic, nj_error *err)
{
    nj_schema *s = calloc(1, sizeof *s);
    if (!s || !(s->bytes = malloc(size + 1))) {
        free(s);
        nj_fail(err, "out of memory");
        return NULL;
    }
    memcpy(s->bytes, bytes, size);
    s->size = size;
    s->decoder = d;
    s->refs = 2; /* the table's and the caller's */
    nj_error why = { "" };
    if (study(d, s, topic, &why)) {
        if (why.memory) { /* says nothing about the schema: it is studied again when it comes again */
            free_schema(s);
            *err = why;
            return NULL;
        }
        snprintf(s->why, sizeof s->why, "%.500s", why.text);
        nj_debug(NJ_DEBUG_DECODE, "a schema of %zu bytes is refused: %s", size, s->why);
    }
    pthread_mutex_lock(&d->lock);
    const nj_schema *first = nj_schema_hold(look_up(d, bucket, bytes, size));
    if (!first) {
        if (d->n_schemas >= d->conf.max_schemas) forget_oldest(d);
        s->serial = ++d->serial;
        s->used = ++d->clock;
        s->next = d->bucket[bucket];
        d->bucket[bucket] = s;
        d->n_schemas++;
    }
    pthread_mutex_unlock(&d->lock);
    if (!first) return s;
    free_schema(s); /* another thread was faster */
    return first;
}

const nj_schema *nj_decoder_schema(nj_decoder *d, const uint8_t *bytes, size_t size, const char *topic,
                                   nj_error *err)
{
    if (size > NJ_SCHEMA_BYTES) {
        nj_fail(err, "the schema has %zu bytes, more than %d", size, NJ_SCHEMA_BYTES);
        return NULL;
    }
    uint32_t bucket = bucket_of(bytes, size);
    pthread_mutex_lock(&d->lock);
    const nj_schema *s = nj_schema_hold(look_up(d, bucket, bytes, size));
    pthread_mutex_unlock(&d->lock);
    if (!s && !(s = add_schema(d, bucket, bytes, size, topic, err))) return NULL;
    if (!*s->why) return s;
    nj_fail(err, "%s", s->why);
    nj_schema_drop(s);
    return NULL;
}

static const nj_plan *plan_of(const nj_schema *s, const nj_layout *layout)
{
    const nj_plan_link *link = __atomic_load_n(&s->plan, __ATOMIC_ACQUIRE);
    while (link && link->plan->layout != layout) link = link->next;
    return link ? link->plan : NULL;
}

const nj_plan *nj_decoder_plan(const nj_schema *schema, const nj_layout *layout, nj_error *err)
{
    const nj_plan *known = plan_of(schema, layout);
    if (known) return known;
    nj_schema *s = (nj_schema *)schema; /* its list of plans alone grows, under the lock */
    nj_plan_args args = { &s->tree, s->map, layout, (uint32_t)s->decoder->conf.max_depth };
    nj_plan_link *link = calloc(1, sizeof *link);
    if (!link || !(link->plan = nj_plan_new(&args, err))) {
        if (!link) nj_fail(err, "out of memory");
        free(link);
        return NULL;
    }
    pthread_mutex_lock(&s->decoder->lock);
    known = plan_of(s, layout);
    if (!known) {
        link->next = s->plan;
        __atomic_store_n(&s->plan, link, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&s->decoder->lock);
    if (!known) {
        nj_debug(NJ_DEBUG_DECODE, "schema %s: a plan of %u steps for %u columns, %u values are read", s->name,
                 link->plan->n_ops, layout->n_packet, link->plan->n_targets);
        return link->plan;
    }
    nj_plan_free(link->plan);
    free(link);
    return known;
}

/* ---- the decoder ----------------------------------------------------------------------------- */

static int read_bare_schema(nj_decoder *d, nj_error *err)
{
    if (!*d->conf.schema) return 0;
    size_t size;
    nj_error why;
    char *text = nj_file_read(d->conf.schema, NJ_SCHEMA_BYTES, &size);
    if (!text) return nj_fail(err, "%s: cannot be read (%m)", d->conf.schema);
    d->bare = nj_decoder_schema(d, (const uint8_t *)text, size, NULL, &why);
    free(text);
    return d->bare ? 0 : nj_fail(err, "[decode] schema: %s: %.600s", d->conf.schema, why.text);
}

static int no_survey(const nj_decoder *d, nj_error *err)
{
    const char *name[64], *near = nj_nearest(d->conf.survey, name, nj_decoder_surveys(d, name, 64));
    if (!near) return nj_fail(err, "[decode] survey: no map of a survey '%s'", d->conf.survey);
    return nj_fail(err, "[decode] survey: no map of a survey '%s'; did you mean '%s'?", d->conf.survey, near);
}

nj_decoder *nj_decoder_new(nj_settings *settings, nj_error *err)
{
    nj_decoder *d = calloc(1, sizeof *d);
    if (!d) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&d->lock, NULL);
    d->json = nj_json_kinds_new();
    if (!d->json) {
        free(d);
        nj_fail(err, "out of memory");
        return NULL;
    }
    int rc = nj_settings_apply(settings, "decode", nj_decode_settings, NULL, &d->conf, err);
    if (rc == 0) rc = nj_decoder_read_maps(d, err);
    if (rc == 0 && *d->conf.survey && !nj_decoder_map_named(d, d->conf.survey)) rc = no_survey(d, err);
    if (rc == 0) rc = (d->registry = nj_registry_new(settings, err)) ? 0 : -1;
    if (rc == 0) rc = read_bare_schema(d, err);
    if (rc == 0) return d;
    nj_decoder_free(d);
    return NULL;
}

void nj_decoder_waits(nj_decoder *d, bool (*stopped)(void *opaque), void *opaque)
{
    nj_registry_waits(d->registry, stopped, opaque);
}

void nj_decoder_keeps_nothing(nj_decoder *d)
{
    nj_registry_keeps_nothing(d->registry);
}

bool nj_decoder_waiting(const nj_decoder *d)
{
    return nj_registry_waiting(d->registry);
}

void nj_decoder_free(nj_decoder *d)
{
    if (!d) return;
    for (uint32_t b = 0; b < NJ_BUCKETS; b++)
        for (nj_schema *s = d->bucket[b], *next; s; s = next) {
            next = s->next;
            nj_schema_drop(s);
        }
    nj_json_kinds_free(d->json);
    for (uint32_t m = 0; d->highest && m < d->n_maps; m++) nj_schema_drop(d->highest[m]);
    free(d->highest);
    nj_schema_drop(d->newest);
    nj_schema_drop(d->bare);
    while (d->n_ids) nj_decoder_forget_id(d);
    nj_decoder_free_merged(d);
    for (uint32_t i = 0; i < d->n_maps; i++) nj_map_free(d->map[i]);
    free(d->map);
    nj_registry_free(d->registry);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
