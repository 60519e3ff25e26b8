/* resolver.h - the state while one survey's columns and modules are resolved; gone when the graph stands. */
#ifndef NJ_GRAPH_RESOLVER_H
#define NJ_GRAPH_RESOLVER_H

#include "graph.h"

/* While resolving, own columns (gives, derived) are numbered from NJ_OWN on; packet columns from 0.
 * Renumbered at the end. */
enum { NJ_OWN = 1u << 20 };

typedef struct nj_resolver {
    nj_graph *g;
    const nj_offers *offers;
    nj_column_def *packet;
    uint32_t n_packet, cap_packet, n_own, cap_own, cap_derived;
    nj_column *own;
    bool failed;         /* err says why: memory, or a limit */
    uint32_t *first_out; /* [instance] own number of its first give, or NJ_NO_COLUMN: not taken in yet */
    uint32_t **col;      /* [instance][need] */
    const char **off;    /* [instance] why it cannot run */
    nj_plane_def *plane; /* [NJ_PLANES] those of the layout */
    uint8_t *queue;      /* [instance] 1 = to be resolved, 2 = done */
    nj_error *err;
} nj_resolver;

/* lookup.c: the number of the column that a path names, converted to the type and unit asked for; or
 * NJ_NO_COLUMN with *why, or with r->failed. */
uint32_t nj_resolver_lookup(nj_resolver *r, const char *path, nj_type type, const char *unit, nj_shape shape,
                            const char **why);
/* Takes an instance in: its gives get columns, its needs are resolved later. Own number of its first give. */
uint32_t nj_resolver_take_in(nj_resolver *r, uint32_t i);
/* Is the survey, or the one that it serves, one of the instance's ("ztf, babamul")? */
int nj_resolver_serves(const nj_instance *in, const nj_offers *offers);
/* Out of memory, unless err says another reason already. NJ_NO_COLUMN */
uint32_t nj_resolver_fails(nj_resolver *r);

/* order.c: the instances that were resolved, each after those that it needs. */
int nj_resolver_order(nj_resolver *r, uint32_t *out, uint32_t *n_out);

/* finish.c: numbers the columns for good and builds the steps. */
int nj_resolver_finish(nj_resolver *r, const uint32_t *sequence, uint32_t n_steps);

#endif
