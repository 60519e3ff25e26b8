/* tree.h - an Avro schema as a flat tree of nodes. Read-only once parsed. */
#ifndef NJ_AVRO_TREE_H
#define NJ_AVRO_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"
#include "../base/error.h"

typedef enum nj_kind {
    NJ_K_NULL,
    NJ_K_BOOLEAN,
    NJ_K_INT,
    NJ_K_LONG,
    NJ_K_FLOAT,
    NJ_K_DOUBLE,
    NJ_K_BYTES,
    NJ_K_STRING,
    NJ_K_FIXED,
    NJ_K_ENUM,
    NJ_K_RECORD,
    NJ_K_ARRAY,
    NJ_K_MAP,
    NJ_K_UNION,
    NJ_KINDS
} nj_kind;
extern const char *const nj_kind_name[NJ_KINDS]; /* "null", "boolean", ... */

typedef struct nj_node {
    nj_kind kind;
    uint32_t first, n; /* children: fields, branches, symbols; the one item of an array or map */
    uint32_t size;     /* bytes of a fixed */
    const char *name;  /* full name of a record, enum or fixed; else NULL */
} nj_node;

typedef struct nj_child {
    const char *name; /* of a field or symbol; NULL for branches and items */
    uint32_t node;    /* unused for symbols */
} nj_child;

enum { NJ_NO_NODE = UINT32_MAX };

typedef struct nj_tree {
    nj_arena arena; /* names */
    nj_node *node;
    nj_child *child;
    uint32_t n_nodes, cap_nodes, n_children, cap_children;
    uint32_t root;
    const char *version; /* attribute "version" or "schemavsn" of the root, as text; NULL if it has none */
} nj_tree;               /* zero-initialised = empty */

/* Limits that keep a hostile schema from costing more than its bytes are worth. */
enum { NJ_SCHEMA_BYTES = 8 << 20, NJ_SCHEMA_NESTING = 128, NJ_SCHEMA_NAMES = 4096, NJ_SCHEMA_NODES = 200000 };

/* Parses schema JSON. -1 with the reason; the tree is then empty. */
int nj_tree_parse(nj_tree *tree, const char *json, size_t size, nj_error *err);
void nj_tree_free(nj_tree *tree);

/* One step of a path: the field's or branch's number in its node; 0 for an array's item. */
enum { NJ_PATH_STEPS = 24 };
typedef struct nj_path {
    uint16_t step[NJ_PATH_STEPS];
    uint8_t n;
    uint8_t array; /* 1 + index in step[] of the array whose items the path runs through; 0 = none */
    uint8_t map;   /* the same of the map of which the path takes one value */
    uint16_t key_size;
    const char *key; /* of that map; in the path's text, not terminated */
    uint16_t tries;  /* branches of unions tried: a hostile schema must not make the search explode */
    uint32_t node;   /* where it ends: never a union, but for a union of several types none
                      * of which is a record */
} nj_path;

/* Finds "a.b", "a[].b" or "a[]" from the root; in "a.key" a may be a map (of plain values: then all that
 * follows is the key, dots too). Whether a packet has that key is not known here. Unions are entered through
 * the first branch that leads on. A field name that stands twice in a record means the last one, as readers
 * that build dictionaries see it. 0, or -1: the schema has no such field,
 * or the path runs through two arrays or two maps. */
int nj_tree_find(const nj_tree *tree, const char *path, nj_path *found);

/* Every value that a path can mean: through each branch of each union on its way, the one of nj_tree_find
 * first. Which of them a packet has is not known here. Returns their number (0: the schema has no such
 * field), -1 when they are more than the list. */
enum { NJ_PATH_WAYS = 64 };
int nj_tree_find_all(const nj_tree *tree, const char *path, nj_path list[NJ_PATH_WAYS]);

#endif
