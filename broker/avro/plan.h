/* plan.h - a writer schema and a layout, compiled to a flat list of read and skip steps.
 * Read-only once compiled. */
#ifndef NJ_AVRO_PLAN_H
#define NJ_AVRO_PLAN_H

#include "../batch/batch.h"
#include "decode.h"
#include "map.h"
#include "tree.h"

typedef enum nj_code {
    NJ_OP_END,        /* of a body: return to whoever called it */
    NJ_OP_FIXED,      /* skip a bytes */
    NJ_OP_VARINT,     /* skip n numbers (int, long, enum) */
    NJ_OP_STRING,     /* skip n strings or byte strings */
    NJ_OP_OPT_FIXED,  /* skip n unions of null and a bytes; tag = index byte of the branch that is not null */
    NJ_OP_OPT_VARINT, /* the same for numbers */
    NJ_OP_OPT_STRING,
    NJ_OP_READ,      /* one value (wire) into targets a .. a + n;
                      * tag = as above, NJ_NO_TAG = no union around it */
    NJ_OP_FLOAT_F32, /* READ for one plain target: wire and column, the union included;
                      * by far the most frequent */
    NJ_OP_FLOAT_F64,
    NJ_OP_DOUBLE_F64,
    NJ_OP_UNION, /* n branches; bodies start at jump[a ...]; continues at b */
    NJ_OP_ARRAY, /* body follows, continues at b; n groups in array_group[a ...];
                  * tag 1: elements may stay unread */
    NJ_OP_MAP,   /* the body for skipped values follows, the plan continues at b; n keys in map_key[a ...] */
    NJ_OP_CALL,  /* body at a (a recursive type) */
    NJ_OP_TOO_DEEP
} nj_code;
enum { NJ_NO_TAG = 255 };

typedef struct nj_op {
    uint8_t code, tag, wire; /* wire: nj_kind */
    uint8_t at;              /* FLOAT_F32 ...: nj_target.at */
    uint16_t n;
    uint32_t a, b;
    uint32_t size; /* READ of a fixed: bytes; of an enum: its node; ARRAY: 1 + its last target, a0 in size0 */
    uint32_t size0;
    uint32_t where; /* where[where + i] names the i-th field of the step */
} nj_op;

/* Index of an element: the row, 0 for a slot, or the tail of group g. */
enum { NJ_AT_ROW, NJ_AT_SLOT, NJ_AT_GROUP };

typedef struct nj_target {
    uint8_t type;          /* nj_type */
    uint8_t size;          /* bytes of an element */
    uint8_t stamp;         /* 1 + NJ_SCIENCE ...; 0 = a value */
    uint8_t plain;         /* no change, no scale: the value as it stands */
    uint16_t at;           /* NJ_AT_... + group */
    uint32_t column, slot; /* one of the two counts, by `at` */
    double scale, offset;
    const nj_change *change; /* NULL = none */
    const char *prefix;
} nj_target;

/* A scalar column that several fields may give: the first slot with an answer. */
typedef struct nj_pick {
    uint32_t column, slot, n;
    uint8_t type;
} nj_pick;

typedef struct nj_constant {
    uint32_t column;
    uint8_t type;
    const char *text;
    double number;
} nj_constant;

enum { NJ_NO_SLOT = UINT32_MAX, NJ_IN_ARRAY = UINT32_MAX - 1 };

/* Columns that share their offsets. */
typedef struct nj_plan_group {
    const char *name; /* "lc", "packet.prv_candidates[]" */
    uint32_t *column; /* [n_columns]; column[0] leads */
    uint32_t n_columns;
    uint32_t n_parts, n_single;
    bool array[NJ_MAP_PARTS]; /* part p is an array of the packet; else one element from slots */
    uint32_t *slot;           /* [part * layout->n_packet + k]: where a part of column k comes from;
                               * NJ_NO_SLOT = no answer */
    double *missing;          /* [k] value of a part without the field ("? A : B" gives B); NaN = no answer */
    bool in_order;            /* arrays stand in the packet as in the map, single elements after them */
} nj_plan_group;

/* A value of a map that is to be read. */
typedef struct nj_map_key {
    const char *key;
    uint32_t size;
    uint32_t body; /* its steps */
} nj_map_key;

typedef struct nj_plan {
    nj_arena arena;
    const nj_tree *tree;
    const nj_layout *layout;
    nj_op *op;
    uint32_t n_ops;
    uint32_t *jump;
    uint16_t *array_group; /* pairs: group, part */
    nj_map_key *map_key;
    nj_target *target;
    uint32_t n_targets;
    uint32_t *preset; /* targets to set to "no answer" before each record */
    uint32_t n_preset;
    nj_pick *pick;
    uint32_t n_picks;
    nj_constant *constant;
    uint32_t n_constants;
    nj_plan_group *group;
    uint32_t n_groups, n_slots;
    uint8_t *slot_type; /* [n_slots] */
    uint64_t *absent;   /* bit per layout column */
    const char **where;
} nj_plan;

/* The column number that stands for nj_batch.id. */
static inline uint32_t nj_plan_id_column(const nj_layout *layout)
{
    return layout->n_packet;
}

typedef struct nj_plan_args {
    const nj_tree *tree;
    const nj_map *map;
    const nj_layout *layout;
    uint32_t max_depth;
} nj_plan_args;

/* NULL with the reason: the schema expands to more steps than are allowed, or memory is short. */
nj_plan *nj_plan_new(const nj_plan_args *args, nj_error *err);
void nj_plan_free(nj_plan *plan);

/* What a column of this path holds under this schema: every value that any branch of a union has there.
 * -1: none. */
int nj_plan_offer(const nj_tree *tree, const char *path, nj_offer *offer);

#endif
