/* compiler.h - a plan in the making: what want.c collects and plan.c turns into steps. */
#ifndef NJ_AVRO_COMPILER_H
#define NJ_AVRO_COMPILER_H

#include "plan.h"

/* A leaf of the schema that is to be read. */
typedef struct nj_want_leaf {
    nj_path path;
    nj_target target;
    uint16_t group, part; /* of a series in an array */
} nj_want_leaf;

typedef struct nj_compiler {
    const nj_plan_args *args;
    const nj_tree *tree;
    nj_plan *plan;
    nj_error *err;
    nj_arena scratch;
    nj_want_leaf *want;
    uint32_t n_wants, cap_wants;
    uint32_t cap_ops, n_jumps, cap_jumps, n_array_groups, cap_array_groups, n_map_keys, cap_map_keys, n_where,
        cap_where, cap_targets, cap_slots;
    uint32_t straight; /* first op of the current straight run: older ones must not grow */
    uint32_t *body;    /* [n_nodes] start of a recursive type's body, or 0 */
    uint8_t *open;     /* [n_nodes] being compiled */
    uint32_t *called;  /* nodes whose bodies are still to be compiled */
    uint32_t n_called, cap_called;
    uint32_t nesting; /* records, arrays and maps around the current node */
    uint32_t n_steps; /* nodes visited: a few lines of schema can expand to billions of fields */
    char trail[512];  /* path of the current node */
} nj_compiler;

/* Makes room for one more item of an array that realloc owns. -1 = out of memory. */
int nj_compiler_grow(nj_compiler *compiler, void *array, uint32_t n, uint32_t *cap, size_t size);
/* Lists the leaves that the layout asks for, with their targets, slots, groups, picks and constants.
 * -1 with err. */
int nj_compiler_collect(nj_compiler *compiler);

#endif
