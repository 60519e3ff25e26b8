/* tree.c - the plan compiler needs a schema with resolved names, aliases and defaults; this parses the JSON
 * into a tree. */
#include "tree.h"

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nj_kind_name[NJ_KINDS] = { "null",   "boolean", "int",    "long",  "float",
                                             "double", "bytes",   "string", "fixed", "enum",
                                             "record", "array",   "map",    "union" };

enum { MAX_TRIES = 2000 };

typedef struct parser {
    nj_tree *tree;
    nj_error *err;
    uint32_t named[NJ_SCHEMA_NAMES]; /* nodes of records, enums and fixed types, in order of definition */
    uint32_t n_named;
    uint32_t nesting;
} parser;

static uint32_t parse_type(parser *p, const json_t *json, const char *space);

static uint32_t new_node(parser *p, nj_kind kind)
{
    nj_tree *t = p->tree;
    if (t->n_nodes == NJ_SCHEMA_NODES) {
        nj_fail(p->err, "the schema has more than %d types", NJ_SCHEMA_NODES);
        return NJ_NO_NODE;
    }
    if (t->n_nodes == t->cap_nodes) {
        uint32_t cap = t->cap_nodes ? 2 * t->cap_nodes : 256;
        nj_node *node = realloc(t->node, cap * sizeof *node);
        if (!node) {
            nj_fail(p->err, "out of memory");
            return NJ_NO_NODE;
        }
        t->node = node;
        t->cap_nodes = cap;
    }
    t->node[t->n_nodes] = (nj_node){ .kind = kind };
    return t->n_nodes++;
}

/* Room for n children side by side; the index of the first. */
static uint32_t new_children(parser *p, size_t n)
{
    nj_tree *t = p->tree;
    if (n > NJ_SCHEMA_NODES || t->n_children + n > NJ_SCHEMA_NODES) {
        nj_fail(p->err, "the schema has more than %d fields, branches and symbols", NJ_SCHEMA_NODES);
        return NJ_NO_NODE;
    }
    if (t->n_children + n > t->cap_children) {
        uint32_t cap = t->cap_children ? 2 * t->cap_children : 256;
        while (cap < t->n_children + n) cap *= 2;
        nj_child *child = realloc(t->child, cap * sizeof *child);
        if (!child) {
            nj_fail(p->err, "out of memory");
            return NJ_NO_NODE;
        }
        t->child = child;
        t->cap_children = cap;
    }
    uint32_t first = t->n_children;
    t->n_children += (uint32_t)n;
    return first;
}

/* A text of the schema, kept with the tree. */
static const char *keep(parser *p, const char *text, size_t n)
{
    const char *copy = nj_arena_text(&p->tree->arena, text, n);
    if (!copy) nj_fail(p->err, "out of memory");
    return copy;
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* The namespace part of a full name ("a.b" of "a.b.c"), or "" */
static const char *space_of(parser *p, const char *full)
{
    const char *dot = strrchr(full, '.');
    return dot ? keep(p, full, (size_t)(dot - full)) : "";
}

static uint32_t find_named(const parser *p, const char *name)
{
    for (uint32_t i = p->n_named; i-- > 0;) /* of two definitions the later one:
                                             * some packets define the same cutout twice */
        if (!strcmp(p->tree->node[p->named[i]].name, name)) return p->named[i];
    return NJ_NO_NODE;
}

static uint32_t parse_name(parser *p, const char *name, const char *space)
{
    for (nj_kind k = NJ_K_NULL; k <= NJ_K_STRING; k++)
        if (!strcmp(name, nj_kind_name[k])) return new_node(p, k);
    uint32_t node = NJ_NO_NODE;
    if (!strchr(name, '.') && *space) {
        char full[1024];
        if (snprintf(full, sizeof full, "%s.%s", space, name) < (int)sizeof full) node = find_named(p, full);
    }
    if (node == NJ_NO_NODE) node = find_named(p, name);
    if (node == NJ_NO_NODE) nj_fail(p->err, "the schema uses the type '%.100s' before it is defined", name);
    return node;
}

/* Gives a record, enum or fixed its full name; -1 when it has none, or there are too many. */
static int define(parser *p, uint32_t node, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    const char *name = text_of(json, "name"), *own = text_of(json, "namespace");
    if (!name || !*name || strlen(name) > 500)
        return nj_fail(p->err, "the schema has a %s without a name", nj_kind_name[t->node[node].kind]);
    if (own && strlen(own) < 500) space = own;
    char *full = strchr(name, '.') || !*space ? nj_arena_text(&t->arena, name, strlen(name))
                                              : nj_arena_printf(&t->arena, "%s.%s", space, name);
    if (!full) return nj_fail(p->err, "out of memory");
    if (p->n_named == NJ_SCHEMA_NAMES)
        return nj_fail(p->err, "the schema defines more than %d names", NJ_SCHEMA_NAMES);
    t->node[node].name = full;
    p->named[p->n_named++] = node;
    return 0;
}

static uint32_t parse_record(parser *p, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    uint32_t node = new_node(p, NJ_K_RECORD);
    if (node == NJ_NO_NODE || define(p, node, json, space)) return NJ_NO_NODE;
    const json_t *fields = json_object_get(json, "fields");
    if (!json_is_array(fields)) {
        nj_fail(p->err, "record '%.100s' of the schema has no list of fields", t->node[node].name);
        return NJ_NO_NODE;
    }
    assert(t->node[node].name); /* define() gave it */
    const char *inner = space_of(p, t->node[node].name);
    size_t n = json_array_size(fields);
    uint32_t first = new_children(p, n);
    if (first == NJ_NO_NODE || !inner) return NJ_NO_NODE;
    t->node[node].first = first;
    t->node[node].n = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *field = json_array_get(fields, i), *type = json_object_get(field, "type");
        const char *name = text_of(field, "name");
        if (!name || !type) {
            nj_fail(p->err, "record '%.100s' of the schema: field %zu lacks a name or a type",
                    t->node[node].name, i);
            return NJ_NO_NODE;
        }
        const char *copy = keep(p, name, strlen(name));
        uint32_t child = copy ? parse_type(p, type, inner) : NJ_NO_NODE;
        if (child == NJ_NO_NODE) return NJ_NO_NODE;
        t->child[first + i] = (nj_child){ copy, child };
    }
    return node;
}

static uint32_t parse_enum(parser *p, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    uint32_t node = new_node(p, NJ_K_ENUM);
    if (node == NJ_NO_NODE || define(p, node, json, space)) return NJ_NO_NODE;
    const json_t *symbols = json_object_get(json, "symbols");
    size_t n = json_array_size(symbols);
    uint32_t first = new_children(p, n);
    if (first == NJ_NO_NODE) return NJ_NO_NODE;
    for (size_t i = 0; i < n; i++) {
        const char *symbol = json_string_value(json_array_get(symbols, i));
        if (!symbol)
            nj_fail(p->err, "enum '%.100s' of the schema: symbol %zu is no text", t->node[node].name, i);
        const char *copy = symbol ? keep(p, symbol, strlen(symbol)) : NULL;
        if (!copy) return NJ_NO_NODE;
        t->child[first + i] = (nj_child){ copy, NJ_NO_NODE };
    }
    t->node[node].first = first;
    t->node[node].n = (uint32_t)n;
    return node;
}

static uint32_t parse_fixed(parser *p, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    uint32_t node = new_node(p, NJ_K_FIXED);
    if (node == NJ_NO_NODE || define(p, node, json, space)) return NJ_NO_NODE;
    const json_t *size = json_object_get(json, "size");
    json_int_t bytes = json_integer_value(size);
    if (!json_is_integer(size) || bytes < 0 || bytes > 1 << 30) {
        nj_fail(p->err, "fixed '%.100s' of the schema has the size %lld", t->node[node].name,
                (long long)bytes);
        return NJ_NO_NODE;
    }
    t->node[node].size = (uint32_t)bytes;
    return node;
}

/* An array's items or a map's values. */
static uint32_t parse_items(parser *p, nj_kind kind, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    const char *key = kind == NJ_K_ARRAY ? "items" : "values";
    const json_t *type = json_object_get(json, key);
    if (!type) {
        nj_fail(p->err, "a%s of the schema has no \"%s\"", kind == NJ_K_ARRAY ? "n array" : " map", key);
        return NJ_NO_NODE;
    }
    uint32_t node = new_node(p, kind);
    uint32_t first = node == NJ_NO_NODE ? NJ_NO_NODE : new_children(p, 1);
    uint32_t item = first == NJ_NO_NODE ? NJ_NO_NODE : parse_type(p, type, space);
    if (item == NJ_NO_NODE) return NJ_NO_NODE;
    t->child[first] = (nj_child){ NULL, item };
    t->node[node].first = first;
    t->node[node].n = 1;
    return node;
}

static uint32_t parse_union(parser *p, const json_t *json, const char *space)
{
    nj_tree *t = p->tree;
    size_t n = json_array_size(json);
    if (n == 0 || n > 1000) {
        nj_fail(p->err, "a union of the schema has %zu branches", n);
        return NJ_NO_NODE;
    }
    uint32_t node = new_node(p, NJ_K_UNION);
    uint32_t first = node == NJ_NO_NODE ? NJ_NO_NODE : new_children(p, n);
    if (first == NJ_NO_NODE) return NJ_NO_NODE;
    for (size_t i = 0; i < n; i++) {
        uint32_t branch = parse_type(p, json_array_get(json, i), space);
        if (branch == NJ_NO_NODE) return NJ_NO_NODE;
        if (t->node[branch].kind == NJ_K_UNION) {
            nj_fail(p->err, "a union of the schema stands directly inside a union");
            return NJ_NO_NODE;
        }
        t->child[first + i] = (nj_child){ NULL, branch };
    }
    t->node[node].first = first;
    t->node[node].n = (uint32_t)n;
    return node;
}

static uint32_t parse_object(parser *p, const json_t *json, const char *space)
{
    const json_t *type = json_object_get(json, "type");
    const char *name = json_string_value(type);
    if (!type) {
        nj_fail(p->err, "the schema has an object without a \"type\"");
        return NJ_NO_NODE;
    }
    if (!name) return parse_type(p, type, space); /* {"type": {"type": ...}} and {"type": [...]} */
    if (!strcmp(name, "record") || !strcmp(name, "error")) return parse_record(p, json, space);
    if (!strcmp(name, "enum")) return parse_enum(p, json, space);
    if (!strcmp(name, "fixed")) return parse_fixed(p, json, space);
    if (!strcmp(name, "array")) return parse_items(p, NJ_K_ARRAY, json, space);
    if (!strcmp(name, "map")) return parse_items(p, NJ_K_MAP, json, space);
    return parse_name(p, name, space);
}

static uint32_t parse_type(parser *p, const json_t *json, const char *space)
{
    if (++p->nesting > NJ_SCHEMA_NESTING) {
        nj_fail(p->err, "the schema nests deeper than %d", NJ_SCHEMA_NESTING);
        return NJ_NO_NODE;
    }
    uint32_t node = NJ_NO_NODE;
    if (json_is_string(json))
        node = parse_name(p, json_string_value(json), space);
    else if (json_is_array(json))
        node = parse_union(p, json, space);
    else if (json_is_object(json))
        node = parse_object(p, json, space);
    else
        nj_fail(p->err, "the schema has a type that is neither a name, a list nor an object");
    p->nesting--;
    return node;
}

/* "" when the schema says none, NULL when memory is short. */
static const char *version_of(nj_tree *tree, const json_t *json)
{
    if (json_is_array(json)) json = json_array_get(json, 0);
    const json_t *version = json_object_get(json, "version");
    if (!version) version = json_object_get(json, "schemavsn");
    if (json_is_string(version)) return nj_arena_printf(&tree->arena, "%.40s", json_string_value(version));
    if (json_is_number(version)) return nj_arena_printf(&tree->arena, "%g", json_number_value(version));
    return "";
}

int nj_tree_parse(nj_tree *tree, const char *json, size_t size, nj_error *err)
{
    *tree = (nj_tree){ .root = NJ_NO_NODE };
    if (size > NJ_SCHEMA_BYTES)
        return nj_fail(err, "the schema has %zu bytes, more than %d", size, NJ_SCHEMA_BYTES);
    json_error_t why;
    json_t *root = json_loadb(json, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!root) return nj_fail(err, "the schema is not JSON: %.200s (line %d)", why.text, why.line);
    parser *p = calloc(1, sizeof *p);
    if (p) {
        p->tree = tree;
        p->err = err;
        tree->root = parse_type(p, root, "");
        if (tree->root != NJ_NO_NODE && !(tree->version = version_of(tree, root))) {
            nj_fail(err, "out of memory");
            tree->root = NJ_NO_NODE;
        }
    } else {
        nj_fail(err, "out of memory");
    }
    free(p);
    json_decref(root);
    if (tree->root != NJ_NO_NODE) return 0;
    nj_tree_free(tree);
    return -1;
}

void nj_tree_free(nj_tree *tree)
{
    nj_arena_free(&tree->arena);
    free(tree->node);
    free(tree->child);
    *tree = (nj_tree){ .root = NJ_NO_NODE };
}

/* What a search looks for: the first way that leads on, or every way. */
typedef struct ways {
    nj_path *list;
    int n, most;
    bool overflow;
} ways;

static bool find_from(const nj_tree *tree, uint32_t at, const char *path, nj_path *here, ways *w);

/* True: the search is over. */
static bool find_in_union(const nj_tree *tree, const nj_node *node, const char *path, nj_path *here, ways *w)
{
    const nj_path before = *here;
    for (uint32_t k = 0; k < node->n; k++) {
        /* a union at the top lists the parts before the packet that is made of them */
        uint32_t i = before.n ? k : node->n - 1 - k, branch = tree->child[node->first + i].node;
        uint16_t tries = here->tries;
        if (tree->node[branch].kind == NJ_K_NULL) continue;
        if (tries >= MAX_TRIES) return w->overflow = true;
        *here = before;
        here->tries = (uint16_t)(tries + 1);
        here->step[here->n++] = (uint16_t)i;
        if (find_from(tree, branch, path, here, w)) return true;
    }
    return false;
}

static bool find_in_record(const nj_tree *tree, const nj_node *node, const char *path, nj_path *here, ways *w)
{
    size_t n = strcspn(path, ".[");
    for (uint32_t i = node->n; i-- > 0;) {
        const nj_child *field = &tree->child[node->first + i];
        if (strncmp(field->name, path, n) || field->name[n]) continue;
        here->step[here->n++] = (uint16_t)i;
        return find_from(tree, field->node, path + n + (path[n] == '.'), here, w);
    }
    return false;
}

static bool find_in_map(const nj_tree *tree, const nj_node *node, const char *path, nj_path *here, ways *w)
{
    uint32_t at = tree->child[node->first].node;
    const nj_node *value = &tree->node[at];
    bool plain = value->kind < NJ_K_RECORD;
    for (uint32_t i = 0; value->kind == NJ_K_UNION && i < value->n; i++) /* null is none */
        plain |= tree->node[tree->child[value->first + i].node].kind - 1u < NJ_K_RECORD - 1u;
    size_t n = plain ? strlen(path) : strcspn(path, ".[");
    if (n > UINT16_MAX) return false;
    here->map = (uint8_t)(here->n + 1);
    here->key = path;
    here->key_size = (uint16_t)n;
    here->step[here->n++] = 0;
    return find_from(tree, at, path + n + (path[n] == '.'), here, w);
}

static bool find_from(const nj_tree *tree, uint32_t at, const char *path, nj_path *here, ways *w)
{
    const nj_node *node = &tree->node[at];
    if (here->n == NJ_PATH_STEPS) return false;
    if (node->kind == NJ_K_UNION) return find_in_union(tree, node, path, here, w);
    if (!*path) {
        if (w->n == w->most) return w->overflow = true;
        w->list[w->n] = *here;
        w->list[w->n++].node = at;
        return w->most == 1;
    }
    if (node->kind == NJ_K_RECORD && *path != '[') return find_in_record(tree, node, path, here, w);
    if (node->kind == NJ_K_MAP && *path != '[' && !here->map) return find_in_map(tree, node, path, here, w);
    if (node->kind == NJ_K_ARRAY && path[0] == '[' && path[1] == ']' && !here->array) {
        here->array = (uint8_t)(here->n + 1);
        here->step[here->n++] = 0;
        path += 2;
        return find_from(tree, tree->child[node->first].node, path + (*path == '.'), here, w);
    }
    return false;
}

int nj_tree_find(const nj_tree *tree, const char *path, nj_path *found)
{
    nj_path here = { 0 };
    ways w = { .list = found, .most = 1 };
    *found = (nj_path){ 0 };
    if (*path) find_from(tree, tree->root, path, &here, &w);
    return w.n ? 0 : -1;
}

int nj_tree_find_all(const nj_tree *tree, const char *path, nj_path list[NJ_PATH_WAYS])
{
    nj_path here = { 0 };
    ways w = { .list = list, .most = NJ_PATH_WAYS };
    if (*path) find_from(tree, tree->root, path, &here, &w);
    return w.overflow ? -1 : w.n;
}
