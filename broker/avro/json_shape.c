/* json_shape.c - JSON has no schema, and everything behind this file wants one: the keys and types of the
 * packets so far are written as an Avro schema, and the packets by it. */
#include "json_shape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

enum { BOOL = 1, INT = 2, LONG = 4, REAL = 8, TEXT = 16, BYTES = 32, RECORD = 64, ARRAY = 128 };
enum { MAX_KEYS = 20000, MAX_PATH = 400 };

/* The bits of `kinds` in the order of the union's branches, behind null. */
static const struct {
    unsigned kind;
    const char *name;
} branch[] = { { BOOL, "boolean" }, { INT, "int" },     { LONG, "long" }, { REAL, "double" },
               { TEXT, "string" },  { BYTES, "bytes" }, { RECORD, NULL }, { ARRAY, NULL } };
enum { BRANCHES = sizeof branch / sizeof *branch };

typedef struct node {
    char *key;
    unsigned kinds;
    struct node *field; /* of the record */
    uint32_t n, cap;
    struct node *item; /* of the array */
    uint64_t there;    /* records that have the key, of `records` of the parent */
    uint64_t records;  /* of this record */
    uint64_t since;    /* packets before the first one that had it */
} node;

struct nj_json_shape {
    char *topic;
    node root;
    uint32_t n_keys;
    uint64_t n_packets;
    nj_buffer schema;
    uint32_t n_names; /* of records in the schema being written */
};

nj_json_shape *nj_json_shape_new(const char *topic)
{
    nj_json_shape *s = calloc(1, sizeof *s);
    if (s && topic && !(s->topic = strdup(topic))) {
        free(s);
        return NULL;
    }
    if (s) s->root.kinds = RECORD;
    return s;
}

static void free_node(node *n)
{
    for (uint32_t i = 0; i < n->n; i++) free_node(&n->field[i]);
    if (n->item) free_node(n->item);
    free(n->field);
    free(n->item);
    free(n->key);
}

void nj_json_shape_free(nj_json_shape *s)
{
    if (!s) return;
    free_node(&s->root);
    nj_buffer_free(&s->schema);
    free(s->topic);
    free(s);
}

const char *nj_json_shape_topic(const nj_json_shape *s)
{
    return s->topic;
}

bool nj_json_shape_has(const nj_json_shape *s, const char *path)
{
    const node *n = &s->root;
    while (n && *path) {
        const size_t size = strcspn(path, ".[");
        const node *next = NULL;
        for (uint32_t i = 0; size && i < n->n && !next; i++)
            if (!strncmp(n->field[i].key, path, size) && !n->field[i].key[size]) next = &n->field[i];
        path += size;
        if (!strncmp(path, "[]", 2)) {
            next = size ? next ? next->item : NULL : n->item;
            path += 2;
        }
        path += *path == '.';
        n = next;
    }
    return n && (!n->kinds || n->kinds & ~(unsigned)(RECORD | ARRAY));
}

uint64_t nj_json_shape_packets(const nj_json_shape *s)
{
    return s->n_packets;
}

/* Keys come in the order of the packets before, so the search begins behind the last one found. */
static node *find(const node *n, const char *key, uint32_t *from)
{
    for (uint32_t k = 0; k < n->n; k++) {
        uint32_t i = (*from + k) % n->n;
        if (strcmp(n->field[i].key, key) != 0) continue;
        *from = i + 1;
        return &n->field[i];
    }
    return NULL;
}

static uint32_t in_both(const nj_json_shape *s, const json_t *packet)
{
    uint32_t both = 0, from = 0;
    const char *key;
    json_t *ignored;
    json_object_foreach((json_t *)packet, key, ignored) both += find(&s->root, key, &from) != NULL;
    return both;
}

double nj_json_shape_likes(const nj_json_shape *s, const json_t *packet)
{
    const size_t n = json_object_size(packet);
    return n ? (double)in_both(s, packet) / (double)n : 1;
}

bool nj_json_shape_is_apart(const nj_json_shape *s, const json_t *packet)
{
    const size_t n = json_object_size(packet), less = n < s->root.n ? n : s->root.n;
    return 2 * in_both(s, packet) < less;
}

/* ---- taking a packet in ---------------------------------------------------------------------- */

typedef struct taking {
    nj_json_shape *shape;
    const nj_json_limits *limits;
    char path[MAX_PATH];
    bool grew;
    nj_error *err;
} taking;

static node *add_key(taking *t, node *n, const char *key)
{
    if (t->shape->n_keys == MAX_KEYS) {
        nj_fail(t->err, "%s.%s: packets of this kind have more than %d different keys", t->path, key,
                MAX_KEYS);
        return NULL;
    }
    if (n->n == n->cap) {
        uint32_t cap = n->cap ? 2 * n->cap : 8;
        node *more = realloc(n->field, cap * sizeof *more);
        if (!more) return nj_fail(t->err, "out of memory"), NULL;
        n->field = more;
        n->cap = cap;
    }
    node *f = &n->field[n->n];
    *f = (node){ .key = strdup(key), .since = t->shape->n_packets };
    if (!f->key) return nj_fail(t->err, "out of memory"), NULL;
    n->n++;
    t->shape->n_keys++;
    t->grew = true;
    return f;
}

static void add_kind(taking *t, node *n, unsigned kind)
{
    t->grew |= !(n->kinds & kind);
    n->kinds |= kind;
}

/* Before anything is taken in: a packet beyond the limits leaves no trace. */
static int within_limits(taking *t, const json_t *value, uint32_t depth)
{
    const size_t end = strlen(t->path), items = json_array_size(value);
    const char *key;
    json_t *inner;
    if (depth > t->limits->depth)
        return nj_fail(t->err, "%s: records and arrays inside each other, more than [decode] max_depth = %u",
                       t->path, t->limits->depth);
    if (items > t->limits->items)
        return nj_fail(t->err, "%s: %zu items, more than [decode] max_items = %u", t->path, items,
                       t->limits->items);
    json_object_foreach((json_t *)value, key, inner)
    {
        snprintf(t->path + end, sizeof t->path - end, "%s%.200s", end ? "." : "", key);
        if (within_limits(t, inner, depth + 1)) return -1;
    }
    if (items) snprintf(t->path + end, sizeof t->path - end, "[]");
    for (size_t i = 0; i < items; i++)
        if (within_limits(t, json_array_get(value, i), depth + 1)) return -1;
    t->path[end] = 0;
    return 0;
}

/* The keys that only the packet being taken has; they are the last of their records. */
static void take_back(nj_json_shape *s, node *n)
{
    while (n->n && n->field[n->n - 1].since == s->n_packets) {
        node *f = &n->field[n->n - 1];
        take_back(s, f);
        free_node(f);
        n->n--;
        s->n_keys--;
    }
    for (uint32_t i = 0; i < n->n; i++) take_back(s, &n->field[i]);
    if (n->item) take_back(s, n->item);
}

static int take(taking *t, node *n, const json_t *value);

static int take_fields(taking *t, node *n, const json_t *value)
{
    const size_t end = strlen(t->path);
    uint32_t from = 0;
    const char *key;
    json_t *inner;
    n->records++;
    json_object_foreach((json_t *)value, key, inner)
    {
        snprintf(t->path + end, sizeof t->path - end, "%s%.200s", end ? "." : "", key);
        node *f = find(n, key, &from);
        if (!f && !(f = add_key(t, n, key))) return -1;
        f->there++;
        if (take(t, f, inner)) return -1;
    }
    t->path[end] = 0;
    return 0;
}

static int take_items(taking *t, node *n, const json_t *value)
{
    const size_t end = strlen(t->path), items = json_array_size(value);
    if (!n->item && !(n->item = calloc(1, sizeof *n->item))) return nj_fail(t->err, "out of memory");
    snprintf(t->path + end, sizeof t->path - end, "[]");
    for (size_t i = 0; i < items; i++)
        if (take(t, n->item, json_array_get(value, i))) return -1;
    t->path[end] = 0;
    return 0;
}

static int take(taking *t, node *n, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: add_kind(t, n, RECORD); return take_fields(t, n, value);
    case JSON_ARRAY: add_kind(t, n, ARRAY); return take_items(t, n, value);
    case JSON_STRING:
        add_kind(t, n, t->limits->is_stamp(t->limits->opaque, t->path) ? BYTES : TEXT);
        return 0;
    case JSON_INTEGER: {
        json_int_t v = json_integer_value(value);
        add_kind(t, n, v >= INT32_MIN && v <= INT32_MAX ? INT : LONG);
        return 0;
    }
    case JSON_REAL: add_kind(t, n, REAL); return 0;
    case JSON_TRUE:
    case JSON_FALSE: add_kind(t, n, BOOL); return 0;
    case JSON_NULL: return 0;
    }
    return 0;
}

int nj_json_shape_take(nj_json_shape *s, const json_t *packet, const nj_json_limits *limits, bool *grew,
                       nj_error *err)
{
    taking t = { .shape = s, .limits = limits, .err = err };
    *grew = false;
    if (within_limits(&t, packet, 0)) return -1;
    int rc = take_fields(&t, &s->root, packet);
    if (rc) take_back(s, &s->root);
    s->n_packets += rc == 0;
    *grew = t.grew || !s->schema.n;
    if (t.grew) s->schema.n = 0;
    return rc;
}

/* ---- the schema ------------------------------------------------------------------------------ */

static void write_type(nj_json_shape *s, const node *n);

static void write_record(nj_json_shape *s, const node *n, const char *name)
{
    nj_buffer *out = &s->schema;
    nj_buffer_printf(out, "{\"type\":\"record\",\"name\":\"%s\",", name);
    if (n == &s->root && s->topic) {
        nj_buffer_text(out, "\"topic\":");
        nj_json_text(out, s->topic);
        nj_buffer_text(out, ",");
    }
    nj_buffer_text(out, "\"fields\":[");
    for (uint32_t i = 0; i < n->n; i++) {
        nj_buffer_text(out, i ? ",{\"name\":" : "{\"name\":");
        nj_json_text(out, n->field[i].key);
        nj_buffer_text(out, ",\"type\":");
        write_type(s, &n->field[i]);
        nj_buffer_text(out, "}");
    }
    nj_buffer_text(out, "]}");
}

/* ["null", ...]: whatever is null in one packet. */
static void write_type(nj_json_shape *s, const node *n)
{
    static const node empty;
    nj_buffer *out = &s->schema;
    nj_buffer_text(out, "[\"null\"");
    for (int k = 0; k < BRANCHES; k++) {
        char name[32];
        if (!(n->kinds & branch[k].kind)) continue;
        nj_buffer_text(out, ",");
        if (branch[k].name) {
            nj_buffer_printf(out, "\"%s\"", branch[k].name);
        } else if (branch[k].kind == RECORD) {
            snprintf(name, sizeof name, "json.record%u", ++s->n_names);
            write_record(s, n, name);
        } else {
            nj_buffer_text(out, "{\"type\":\"array\",\"items\":");
            write_type(s, n->item ? n->item : &empty);
            nj_buffer_text(out, "}");
        }
    }
    nj_buffer_text(out, "]");
}

const char *nj_json_shape_schema(nj_json_shape *s, size_t *size)
{
    if (!s->schema.n) {
        s->n_names = 0;
        write_record(s, &s->root, "json.packet");
    }
    *size = s->schema.n;
    if (!s->schema.failed) return s->schema.data;
    nj_buffer_free(&s->schema);
    return NULL;
}

/* ---- a packet by it -------------------------------------------------------------------------- */

static void put_long(nj_buffer *out, int64_t value)
{
    uint64_t v = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 127; v >>= 7) bytes[n++] = (uint8_t)(v | 128);
    bytes[n++] = (uint8_t)v;
    nj_buffer_add(out, bytes, n);
}

typedef struct writing {
    nj_buffer *out;
    nj_error *err;
    const char *field; /* of the value being written */
} writing;

static void put_branch(writing *w, const node *n, unsigned kind)
{
    int64_t index = 1;
    for (int k = 0; branch[k].kind != kind; k++) index += (n->kinds & branch[k].kind) != 0;
    put_long(w->out, index);
}

static int put(writing *w, const node *n, const json_t *value);

static int put_fields(writing *w, const node *n, const json_t *value)
{
    for (uint32_t i = 0; i < n->n; i++) {
        const json_t *inner = json_object_get(value, n->field[i].key);
        w->field = n->field[i].key;
        if (!inner || json_is_null(inner))
            put_long(w->out, 0);
        else if (put(w, &n->field[i], inner))
            return -1;
    }
    return 0;
}

static int put_items(writing *w, const node *n, const json_t *value)
{
    const size_t items = json_array_size(value);
    if (items) put_long(w->out, (int64_t)items);
    for (size_t i = 0; i < items; i++)
        if (put(w, n->item, json_array_get(value, i))) return -1;
    put_long(w->out, 0);
    return 0;
}

static int put_text(writing *w, const node *n, const json_t *value)
{
    const char *text = json_string_value(value);
    const size_t size = json_string_length(value);
    if (n->kinds & BYTES) { /* a path is a stamp in all packets, or in none */
        put_branch(w, n, BYTES);
        size_t bytes = nj_base64_size(text, size);
        put_long(w->out, (int64_t)bytes);
        uint8_t *to = (uint8_t *)nj_buffer_room(w->out, bytes + 1);
        if (!to) return nj_fail(w->err, "out of memory");
        if (!nj_base64_read(text, size, to))
            return nj_fail(w->err, "%s: a stamp is no base64 (RFC 4648)", w->field);
        w->out->n += bytes;
        w->out->data[w->out->n] = 0;
        return 0;
    }
    put_branch(w, n, TEXT);
    put_long(w->out, (int64_t)size);
    nj_buffer_add(w->out, text, size);
    return 0;
}

static int put(writing *w, const node *n, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: put_branch(w, n, RECORD); return put_fields(w, n, value);
    case JSON_ARRAY: put_branch(w, n, ARRAY); return put_items(w, n, value);
    case JSON_STRING: return put_text(w, n, value);
    case JSON_INTEGER: {
        json_int_t v = json_integer_value(value);
        put_branch(w, n, v >= INT32_MIN && v <= INT32_MAX ? INT : LONG);
        put_long(w->out, v);
        return 0;
    }
    case JSON_REAL: {
        double v = json_real_value(value);
        put_branch(w, n, REAL);
        nj_buffer_add(w->out, &v, sizeof v); /* little-endian, as everywhere here */
        return 0;
    }
    case JSON_TRUE:
    case JSON_FALSE: {
        uint8_t v = json_is_true(value);
        put_branch(w, n, BOOL);
        nj_buffer_add(w->out, &v, 1);
        return 0;
    }
    case JSON_NULL: put_long(w->out, 0); return 0;
    }
    return 0;
}

int nj_json_shape_write(const nj_json_shape *s, const json_t *packet, nj_buffer *out, nj_error *err)
{
    writing w = { .out = out, .err = err, .field = "" };
    if (put_fields(&w, &s->root, packet)) return -1;
    return out->failed ? nj_fail(err, "out of memory") : 0;
}

/* ---- the counts ------------------------------------------------------------------------------ */

/* Numbers are of one type, whatever they need. */
static void name_types(unsigned kinds, char names[NJ_JSON_TYPES])
{
    static const struct {
        unsigned kinds;
        const char *name;
    } type[] = { { BOOL, "boolean" },
                 { INT | LONG | REAL, "number" },
                 { TEXT | BYTES, "text" },
                 { RECORD, "record" },
                 { ARRAY, "list" } };
    size_t n = 0;
    *names = 0;
    for (size_t i = 0; i < sizeof type / sizeof *type; i++)
        if (kinds & type[i].kinds)
            n += (size_t)snprintf(names + n, NJ_JSON_TYPES - n, "%s%s", n ? ", " : "", type[i].name);
}

static void count_node(const node *n, nj_buffer *path, nj_json_count *count, void *opaque)
{
    const size_t end = path->n;
    for (uint32_t i = 0; i < n->n; i++) {
        const node *f = &n->field[i];
        nj_buffer_printf(path, "%s%s", end ? "." : "", f->key);
        if (path->failed) return;
        nj_json_key key = {
            path->data, f->there, n->records - f->there, f->since > 0, f->n || (f->item && f->item->n), ""
        };
        name_types(f->kinds, key.types);
        count(opaque, &key);
        count_node(f, path, count, opaque);
        path->n = end;
    }
    if (n->item) {
        nj_buffer_text(path, "[]");
        if (!path->failed) count_node(n->item, path, count, opaque);
        path->n = end;
    }
}

void nj_json_shape_counts(const nj_json_shape *s, nj_json_count *count, void *opaque)
{
    nj_buffer path = { 0 };
    nj_buffer_text(&path, "");
    count_node(&s->root, &path, count, opaque);
    nj_buffer_free(&path);
}
