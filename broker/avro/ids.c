/* ids.c - a stream names its schemas by number or GUID; the registry is asked once for each, and what it
 * answered is kept. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "../base/log.h"

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

void nj_decoder_forget_id(nj_decoder *d)
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
static void report_unseen(nj_decoder *d, uint32_t id, const nj_schema *schema)
{
    nj_error err;
    size_t size;
    uint32_t newest = nj_schema_newest_builtin();
    const char *text =
        id > newest && schema->map->facts.builtin_schemas ? nj_schema_builtin(newest, &size) : NULL;
    const nj_schema *known = text ? nj_decoder_schema(d, (const uint8_t *)text, size, NULL, &err) : NULL;
    if (known) nj_schema_report_change(id, known, schema);
    nj_schema_drop(known);
}

/* Puts an id on the list, its schema or why there is none; the entry of another thread wins. Of what is new
 * in the schema of a number is reported. */
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
        if (d->n_ids >= d->conf.max_schemas) nj_decoder_forget_id(d);
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
        nj_schema_report_change(id, before, schema);
    else if (number && schema && !before)
        report_unseen(d, id, schema);
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
