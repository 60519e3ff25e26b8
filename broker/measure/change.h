/* change.h - where does a series of costs change its level? Change points, each with its confidence. */
#ifndef NJ_MEASURE_CHANGE_H
#define NJ_MEASURE_CHANGE_H

#include <stdint.h>

typedef struct nj_level_change {
    uint32_t at;          /* the first value of the new level */
    uint32_t from, to;    /* the values that were compared: [from, at) and [at, to) */
    double before, after; /* their medians */
    double p;             /* of a change that large in a series without one */
} nj_level_change;

enum { NJ_CHANGES = 16 };

/* What: splits the series where the rank sums of both sides differ most (Pettitt's K), and each part again,
 * as long as p <= 0.01 and the medians differ by more than 2 %. p: of 999 permutations of the part, from a
 * fixed seed, the share with a K as large (the series itself counted, so at least 0.001).
 * Notes: no assumption about the distribution; values of neighbours that depend on one another make p too
 * small. A part of fewer than eight values has no change that can be told. Returns how many, in their
 * order.
 * Reference: Pettitt 1979, Appl. Statist. 28, 126, doi:10.2307/2346729. */
uint32_t nj_change_points(const double *value, uint32_t n, nj_level_change change[NJ_CHANGES]);

#endif
