/* graph.h - which column feeds which module, for one survey:
 * resolved when its first schema is seen, then read-only. */
#ifndef NJ_GRAPH_GRAPH_H
#define NJ_GRAPH_GRAPH_H

#include "../batch/batch.h"
#include "../base/buffer.h"
#include "instance.h"

/* A column that outputs or filters ask for. */
typedef struct nj_want {
    const char *path;
    nj_type type;     /* 0 = as the packet or the module has it */
    const char *unit; /* NULL = as it comes */
} nj_want;

enum {
    NJ_NO_COLUMN = UINT32_MAX,
    NJ_FIRST_STAMP = UINT32_MAX - 32
}; /* column numbers that are none: absent; stamps, then planes */

/* A column computed from others, at its first use in a batch. */
typedef struct nj_derived {
    enum { NJ_DERIVE_BAND, NJ_DERIVE_TIME, NJ_DERIVE_CONVERT } kind;
    uint32_t base; /* column it is made of */
    uint32_t key;  /* lc.band or lc.jd; NJ_NO_COLUMN for conversions */
    int32_t band;  /* NJ_DERIVE_BAND: 0 u .. 5 y */
    nj_type from, to;
    nj_shape shape;
    double scale;
} nj_derived;

typedef struct nj_column {
    const char *path, *unit;
    nj_type type;
    nj_shape shape;
    uint32_t width;  /* values per row of a scalar */
    int32_t derived; /* index of its nj_derived, or -1 */
    int32_t step;    /* index of the step that gives it, or -1 */
    uint32_t give;   /* and which give */
} nj_column;

typedef struct nj_step {
    const nj_instance *in;
    uint32_t instance;       /* index in the table of instances */
    const uint32_t *col;     /* [n_needs] column numbers, NJ_NO_COLUMN, NJ_FIRST_STAMP + stamp,
                              * or + NJ_STAMPS + plane */
    uint32_t first_out;      /* column number of give 0; the others follow */
    const uint32_t *prepare; /* derived columns to make ready before the call, in order */
    uint32_t n_prepare;
    const uint32_t *required; /* packet columns that it, or a module it requires, cannot do without */
    uint32_t n_required;
    const char *off; /* why it cannot run on this survey; NULL = it runs */
} nj_step;

typedef struct nj_graph {
    nj_arena arena;
    const nj_instances *set;
    nj_layout layout;
    nj_column *col; /* [layout.n] */
    nj_derived *derived;
    uint32_t n_derived;
    nj_step *step; /* in the order of dispatch */
    uint32_t n_steps;
    uint32_t *want; /* [n_wants] column numbers of what was asked for */
    uint32_t n_wants;
    int32_t *step_of; /* [set->n] step of an instance, or -1 */
} nj_graph;

/* Answers what packets of a survey offer; the decoder's nj_schema_offer behind a pointer, so that the graph
 * needs no decoder. 0 = the packet has it, 1 = it has it as texts and numbers, -1 = it lacks it; *in_map: the
 * survey's map names it although this schema lacks it. */
typedef struct nj_offers {
    const void *schema;
    const char *survey;
    int (*offer)(const void *schema, const char *path, nj_type *type, nj_shape *shape, const char **unit,
                 bool *in_map);
    const char *serves; /* the survey whose alerts these are; NULL = `survey` */
} nj_offers;

/* NULL with err: a cycle (named), or a need that nothing gives where the instance is the user's own wish. */
nj_graph *nj_graph_new(const nj_instances *set, const nj_offers *offers, const nj_want *want,
                       uint32_t n_wants, nj_error *err);
void nj_graph_free(nj_graph *graph);
/* Debug lines: the order, what each module reads, and what is off. */
void nj_graph_debug(const nj_graph *graph);
/* The stages and why, as text or as Graphviz. */
void nj_graph_print(const nj_graph *graph, int dot, nj_buffer *out);

/* factor with value_in(to) = factor * value_in(from); NAN when the units do not convert.
 * NULL or "" fits anything. */
double nj_unit_factor(const char *from, const char *to);

/* Makes one derived column of a batch ready (no-op when it is). -1: out of memory. */
int nj_derive(const nj_graph *graph, nj_batch *batch, uint32_t column);

#endif
