/* decoder.c - all threads of a run share schemas, maps and compiled plans; this keeps them and makes each
 * one once. */
#include "decoder.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/file.h"
#include "../base/log.h"

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
 * stream is made of, and the one that was asked for longest ago. One that somebody reads by stays. */
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

/* ---- ids of a registry ----------------------------------------------------------------------- */

/* A number stands in the first four bytes of what is otherwise a GUID; no GUID has zeros alone behind them.
 * */
static void key_of_id(uint32_t id, uint8_t key[16])
{
    memset(key, 0, 16);
    memcpy(key, &id, sizeof id);
}

static uint32_t bucket_of_id(const uint8_t key[16])
{
    uint32_t sum = 0;
    for (int i = 0; i < 16; i++) sum = sum * 31 + key[i];
    return sum % NJ_IDS;
}

/* Under the lock. */
static nj_id *known_id(nj_decoder *d, const uint8_t key[16])
{
    nj_id *known = d->id[bucket_of_id(key)];
    while (known && memcmp(known->guid, key, 16)) known = known->next;
    if (known) known->used = ++d->clock;
    return known;
}

/* What is known of an id: *schema, the caller's to drop, or NULL with why it was refused. */
static bool recall_id(nj_decoder *d, const uint8_t key[16], const nj_schema **schema, char *why, size_t room)
{
    pthread_mutex_lock(&d->lock);
    const nj_id *known = known_id(d, key);
    if (known) {
        *schema = nj_schema_hold(known->schema);
        snprintf(why, room, "%s", known->why);
    }
    pthread_mutex_unlock(&d->lock);
    return known != NULL;
}

/* Under the lock: an id that was forgotten is fetched again when it comes again. */
static void forget_oldest_id(nj_decoder *d)
{
    nj_id **oldest = NULL;
    for (uint32_t b = 0; b < NJ_IDS; b++)
        for (nj_id **at = &d->id[b]; *at; at = &(*at)->next)
            if (!oldest || (*at)->used < (*oldest)->used) oldest = at;
    if (!oldest) return;
    nj_id *known = *oldest;
    *oldest = known->next;
    d->n_ids--;
    nj_schema_drop(known->schema);
    free(known);
}

/* Reports what is new in a release of LSST that is later than all built-in ones,
 * when no id came before it. */
static void tell_unseen(nj_decoder *d, uint32_t id, const nj_schema *schema)
{
    nj_error err;
    size_t size;
    uint32_t newest = nj_schema_newest_builtin();
    const char *text =
        id > newest && schema->map->facts.builtin_schemas ? nj_schema_builtin(newest, &size) : NULL;
    const nj_schema *known = text ? nj_decoder_schema(d, (const uint8_t *)text, size, NULL, &err) : NULL;
    if (known) nj_schema_tell_change(id, known, schema);
    nj_schema_drop(known);
}

/* Puts an id on the list, its schema or why there is none; the entry of another thread wins. Of what is new
 * in the schema of a number is told. */
static void add_id(nj_decoder *d, const uint8_t key[16], bool number, const nj_schema *schema,
                   const char *why)
{
    uint32_t id;
    nj_id *entry = calloc(1, sizeof *entry);
    const nj_schema *before = NULL;
    if (!entry) return; /* it is asked for again: slow, and never wrong */
    memcpy(&id, key, sizeof id);
    pthread_mutex_lock(&d->lock);
    bool is_new = !known_id(d, key);
    if (is_new) {
        if (d->n_ids >= d->conf.max_schemas) forget_oldest_id(d);
        nj_id **list = &d->id[bucket_of_id(key)];
        *entry = (nj_id){ .next = *list, .schema = nj_schema_hold(schema), .used = ++d->clock };
        memcpy(entry->guid, key, 16);
        snprintf(entry->why, sizeof entry->why, "%.490s", why);
        *list = entry;
        d->n_ids++;
        if (number && schema) {
            before = d->newest;
            d->newest = nj_schema_hold(schema);
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (!is_new)
        free(entry);
    else if (number && schema && before && before != schema)
        nj_schema_tell_change(id, before, schema);
    else if (number && schema && !before)
        tell_unseen(d, id, schema);
    nj_schema_drop(before);
}

/* The survey whose ids the built-in layouts have, when something apart from the id says that these packets
 * are its; else NULL. Ids of other streams mean something else. */
static const nj_map *map_of_builtin(const nj_decoder *d, const char *topic)
{
    for (uint32_t m = 0; m < d->n_maps; m++) {
        const nj_map *map = d->map[m];
        if (!map->facts.builtin_schemas) continue;
        if (!strcmp(d->conf.survey, map->survey)) return map;
        for (uint32_t k = 0; topic && k < map->n_rules; k++)
            for (uint32_t i = 0; map->rule[k].kind == NJ_RULE_TOPIC && i < map->rule[k].n; i++)
                if (!fnmatch(map->rule[k].word[i], topic, 0)) return map;
    }
    return NULL;
}

/* The schema text of an id, to be freed; *keep: worth the cache on disk. NULL with err. */
static char *text_of_id(const nj_decoder *d, uint32_t id, const char *topic, size_t *size, bool *keep,
                        nj_error *err)
{
    size_t n = 0;
    const char *builtin = nj_registry_allows_builtin(d->registry) ? nj_schema_builtin(id, &n) : NULL;
    bool lsst = builtin && map_of_builtin(d, topic);
    char name[16];
    snprintf(name, sizeof name, "%u", id);
    char *text = nj_registry_get(d->registry, name, !lsst, size, err);
    *keep = text != NULL;
    if (text || !builtin || err->later) return text;
    if (lsst && (text = strdup(builtin))) {
        *size = n;
        nj_log(NJ_LOG_WARN, "%s; read by the built-in layout of LSST's release %u.%u", err->text, id / 100,
               id % 100);
    } else if (!lsst) {
        nj_error first = *err;
        nj_fail(err, "%.600s; with --survey lsst it would be LSST's release %u.%u, which is built in",
                first.text, id / 100, id % 100);
    }
    return text;
}

const nj_schema *nj_decoder_by_id(nj_decoder *d, uint32_t id, const char *topic, nj_error *err)
{
    uint8_t key[16];
    char name[16], refused[500];
    const nj_schema *schema = NULL;
    key_of_id(id, key);
    if (!recall_id(d, key, &schema, refused, sizeof refused)) {
        size_t size;
        bool keep;
        nj_error why = { "" };
        char *text = text_of_id(d, id, topic, &size, &keep, err);
        if (!text) return NULL;
        schema = nj_decoder_schema(d, (const uint8_t *)text, size, topic, &why);
        if (!schema && why.memory) {
            free(text);
            *err = why;
            return NULL;
        }
        snprintf(name, sizeof name, "%u", id);
        if (schema && keep) nj_registry_keep(d->registry, name, text, size);
        free(text);
        add_id(d, key, true, schema, why.text);
        snprintf(refused, sizeof refused, "%.490s", why.text);
    }
    if (!schema) nj_fail(err, "schema id %u: %s", id, refused);
    return schema;
}

const nj_schema *nj_decoder_by_guid(nj_decoder *d, const uint8_t guid[16], const char *topic, nj_error *err)
{
    char name[40], refused[500];
    const nj_schema *schema = NULL;
    if (recall_id(d, guid, &schema, refused, sizeof refused)) return schema;
    size_t size, at = 0;
    for (int i = 0; i < 16; i++)
        at += (size_t)snprintf(name + at, sizeof name - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", guid[i]);
    char *text = nj_registry_get(d->registry, name, true, &size, err);
    if (!text) return NULL;
    schema = nj_decoder_schema(d, (const uint8_t *)text, size, topic, err);
    if (schema) nj_registry_keep(d->registry, name, text, size);
    free(text);
    if (schema)
        add_id(d, guid, false, schema, ""); /* a refused one is asked for again: rare, and never wrong */
    return schema;
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
    nj_schema_drop(d->newest);
    nj_schema_drop(d->bare);
    while (d->n_ids) forget_oldest_id(d);
    for (uint32_t i = 0; i < d->n_maps; i++) nj_map_free(d->map[i]);
    free(d->map);
    nj_registry_free(d->registry);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* ---- what a schema offers -------------------------------------------------------------------- */

const nj_survey_facts *nj_decoder_facts(const nj_decoder *d, uint32_t k, const char **survey)
{
    if (k >= d->n_maps) return NULL;
    *survey = d->map[k]->survey;
    return &d->map[k]->facts;
}

const nj_survey_facts *nj_schema_facts(const nj_schema *schema)
{
    return &schema->map->facts;
}

const char *nj_schema_survey(const nj_schema *schema)
{
    return schema->map->survey;
}
uint64_t nj_schema_serial(const nj_schema *schema)
{
    return schema->serial;
}
const char *nj_schema_name(const nj_schema *schema)
{
    return schema->name;
}

static int offer_raw(const nj_schema *schema, const char *path, nj_offer *offer)
{
    return strncmp(path, "packet.", 7) ? -1 : nj_plan_offer(&schema->tree, path + 7, offer);
}

int nj_schema_offer(const nj_schema *schema, const char *path, nj_offer *offer, bool *in_map)
{
    const nj_map_column *m = nj_map_find(schema->map, path);
    if (in_map) *in_map = m != NULL;
    if (!m) return offer_raw(schema, path, offer);
    *offer = (nj_offer){ m->type, m->shape, m->unit, false };
    if (m->constant) return 0;
    uint32_t n_parts = m->shape == NJ_SERIES ? schema->map->group[m->group].n_parts : 1;
    for (uint32_t part = 0; part < n_parts; part++)
        for (uint32_t i = 0; i < m->part[part].n; i++) {
            char full[512];
            nj_path found;
            const char *front = m->shape == NJ_SERIES ? schema->map->group[m->group].part[part] : "";
            snprintf(full, sizeof full, "%s%s%s", front, *front ? "." : "",
                     m->part[part].alternative[i].path);
            if (!nj_tree_find(&schema->tree, full, &found)) return 0;
        }
    return -1;
}

int nj_offer_for_graph(const void *schema, const char *path, nj_type *type, nj_shape *shape,
                       const char **unit, bool *in_map)
{
    nj_offer o = { 0 };
    int rc = nj_schema_offer(schema, path, &o, in_map);
    *type = o.type;
    *shape = o.shape;
    *unit = o.unit;
    return rc == 0 && o.mixed ? 1 : rc;
}
