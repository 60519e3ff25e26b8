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
    uint32_t good = 0, taken = 0;
    nj_error why = { "" };
    kind *of = NULL;
    for (uint32_t i = 0; i < n; i++) {
        bool grew = false;
        if (!value[i]) continue;
        if (!of && !(of = kind_of(d->json, value[i], topic))) return nj_fail(err, "out of memory");
        if (nj_json_shape_is_apart(of->shape, value[i])) {
            /* one schema, so one survey: its row would be another survey's, without an id */
            snprintf(
                datums->item[i].why, sizeof datums->item[i].why,
                "its keys are not those of the packets before it here; a run of the dead letters reads it");
            continue;
        }
        int rc = nj_json_shape_take(of->shape, value[i], &limits, &grew, &why);
        if (rc && why.memory) return *err = why, -1;
        if (rc) snprintf(datums->item[i].why, sizeof datums->item[i].why, "%.190s", why.text);
        taken += rc == 0;
        if (!grew || !of->schema) continue;
        nj_schema_drop(of->schema);
        of->schema = NULL;
    }
    if (!taken) return nj_fail(err, "%s", n ? datums->item[0].why : "JSON without a packet");
    if (!of->schema) {
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
    *schema = nj_schema_hold(of->schema);
    return good ? 0 : nj_fail(err, "%s", datums->item[0].why);
}

static void count_brackets(const uint8_t *p, const uint8_t *end, int *open, int *deepest)
{
    for (; p < end && *open >= 0; p++) {
        *open += (*p == '[') - (*p == ']');
        if (*open > *deepest) *deepest = *open;
    }
}

/* A list that is cut off between two packets must not look like a whole one. */
static int add_wrong_list(nj_json_datums *datums, int open, int deepest, const uint8_t *from,
                          const uint8_t *end, nj_error *err)
{
    const char *wrong = open > 0   ? "a list of packets has no ']': what is behind its last packet is missing"
                        : open < 0 ? "a ']' behind the packets, and no '[' in front of them"
                        : deepest > 1 ? "lists of packets within a list"
                                      : NULL;
    if (!wrong) return 0;
    nj_json_packet *last = add(datums, from, (size_t)(end - from));
    if (!last) return nj_fail(err, "out of memory");
    snprintf(last->why, sizeof last->why, "%s", wrong);
    return 0;
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
    int open = 0, deepest = 0;
    const uint8_t *between = at;
    while ((text = nj_json_piece(&at, end, &size))) {
        count_brackets(between, text, &open, &deepest);
        between = at;
        if (!add(datums, text, size)) return nj_fail(err, "out of memory");
    }
    count_brackets(between, end, &open, &deepest);
    json_t **value = calloc(datums->n + 2u, sizeof *value);
    if (!value) return nj_fail(err, "out of memory");
    pthread_mutex_lock(&d->json->lock);
    bool all = datums->n > 0; /* what is no JSON may have taken a bracket along */
    for (uint32_t i = 0; i < datums->n; i++) {
        value[i] = load(d->json, &datums->item[i], datums->item[i].why);
        if (value[i]) value[i] = unwrap(d->json, value[i]);
        all &= value[i] != NULL;
    }
    int rc = all ? add_wrong_list(datums, open, deepest, between, end, err) : 0;
    if (rc == 0) rc = convert(d, value, datums, topic, schema, err);
    pthread_mutex_unlock(&d->json->lock);
    for (uint32_t i = 0; i < datums->n; i++) json_decref(value[i]);
    free(value);
    if (rc && *schema) nj_schema_drop(*schema), *schema = NULL;
    return rc;
}

/* ---- the end of a run ------------------------------------------------------------------------ */

typedef struct names {
    const char *what;
    nj_buffer text;
    uint32_t n;
} names;

static void add_name(names *s, const char *name, const char *more)
{
    if (++s->n <= NAMES_SHOWN)
        nj_buffer_printf(&s->text, "%s%.80s%s", s->text.n ? ", " : "", name, more);
    else
        nj_debug(NJ_DEBUG_DECODE, "JSON: %s: %s%s", s->what, name, more);
}

static void say_names(names *s, const char *survey)
{
    if (s->n)
        nj_log(NJ_LOG_INFO, "JSON: %s%s: %s%s", s->what, survey, s->text.data ? s->text.data : "",
               s->n > NAMES_SHOWN ? ", ... (-v lists all)" : "");
    nj_buffer_free(&s->text);
}

typedef struct ending {
    names lacking, new, several, unread, unfilled;
    const nj_map *map;
} ending;

/* The path of an alternative within a packet. */
static const char *path_of(const nj_map *map, const nj_map_column *c, uint32_t part, uint32_t k,
                           char path[400])
{
    const char *of = c->shape == NJ_SERIES ? map->group[c->group].part[part] : "";
    snprintf(path, 400, "%s%s%s", of, *of ? "." : "", c->part[part].alternative[k].path);
    return path;
}

static uint32_t n_parts(const nj_map *map, const nj_map_column *c)
{
    return c->constant ? 0 : c->shape == NJ_SERIES ? map->group[c->group].n_parts : 1;
}

static bool is_read(const nj_map *map, const char *key)
{
    char path[400];
    for (uint32_t i = 0; i < map->n_columns; i++)
        for (uint32_t p = 0; p < n_parts(map, &map->column[i]); p++)
            for (uint32_t k = 0; k < map->column[i].part[p].n; k++)
                if (!strcmp(path_of(map, &map->column[i], p, k, path), key)) return true;
    return false;
}

static void count(void *ending_, const nj_json_key *key)
{
    ending *s = ending_;
    char more[120];
    snprintf(more, sizeof more, " (%llu of %llu)", (unsigned long long)key->lacking,
             (unsigned long long)(key->lacking + key->there));
    if (key->lacking) add_name(&s->lacking, key->path, more);
    snprintf(more, sizeof more, " (%llu)", (unsigned long long)key->there);
    if (key->new) add_name(&s->new, key->path, more);
    if (s->map && !key->holds && !is_read(s->map, key->path)) add_name(&s->unread, key->path, more);
    snprintf(more, sizeof more, " (%s)", key->types);
    if (strchr(key->types, ',')) add_name(&s->several, key->path, more);
}

/* Columns of the map of which no packet had a key. */
static void count_unfilled(ending *s, const nj_json_shape *shape)
{
    char path[400], keys[400];
    for (uint32_t i = 0; i < s->map->n_columns; i++) {
        const nj_map_column *c = &s->map->column[i];
        uint32_t n = 0;
        bool there = false;
        for (uint32_t p = 0; p < n_parts(s->map, c); p++)
            for (uint32_t k = 0; k < c->part[p].n; k++, n++) {
                there |= nj_json_shape_has(shape, path_of(s->map, c, p, k, path));
                snprintf(keys, sizeof keys, " (%.300s%s)", path, n ? ", ..." : "");
            }
        if (n && !there) add_name(&s->unfilled, c->name, keys);
    }
}

static void report_kind(const kind *k)
{
    ending s = { .lacking.what = "keys that some packets lack",
                 .new.what = "keys that the first packet did not have",
                 .several.what = "keys with values of several types",
                 .unread.what = "keys that no column reads (packet.KEY does), survey ",
                 .unfilled.what = "columns whose keys no packet has, survey " };
    const char *topic = nj_json_shape_topic(k->shape);
    const char *survey = k->schema ? nj_schema_survey(k->schema) : "";
    const uint64_t n = nj_json_shape_packets(k->shape);
    if (!n) return;
    s.map = k->schema ? k->schema->map : NULL;
    nj_json_shape_counts(k->shape, count, &s);
    if (s.map) count_unfilled(&s, k->shape);
    nj_log(NJ_LOG_INFO, "%llu JSON packet%s%s%s%s%s", (unsigned long long)n, n > 1 ? "s" : "",
           topic ? " of topic " : "", topic ? topic : "", *survey ? ", survey " : "", survey);
    say_names(&s.lacking, "");
    say_names(&s.new, "");
    say_names(&s.several, "");
    say_names(&s.unread, survey);
    say_names(&s.unfilled, survey);
}

/* Keys that come and go, that no column of the survey's map reads, and that it wants and no packet has. */
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
