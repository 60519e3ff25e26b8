/* shed.h - which modules are left out while a run cannot keep up: costliest first, and back in the other
 * order. No clock and no thread: times and costs are given. */
#ifndef NJ_GRAPH_SHED_H
#define NJ_GRAPH_SHED_H

#include <stdbool.h>
#include <stdint.h>

enum { NJ_SHED_MODULES = 1024, NJ_SHED_NONE = UINT32_MAX };

typedef struct nj_shed {
    double max_lag_s;
    uint32_t n; /* left out now */
    uint32_t order[NJ_SHED_MODULES];
    double changed_s; /* when the last one went or came */
    bool changed;
} nj_shed; /* zero-initialised, then max_lag_s */

/* What the lag asks for at this time: 1 = leave out one more, -1 = take the last one back, 0 = nothing. Above
 * two thirds of max_lag_s one module goes each max_lag_s / 8, above max_lag_s at once; below half of it, for
 * half of it since the last change, one comes back. */
int nj_shed_wish(const nj_shed *shed, double lag_s, double now_s);
/* Leaves out the costliest one that may go. cost[i]: measured, per alert; may[i]: it is optional.
 * NJ_SHED_NONE: there is none left that was measured. */
uint32_t nj_shed_more(nj_shed *shed, const double *cost, const bool *may, uint32_t n, double now_s);
/* Takes the last one back: which. */
uint32_t nj_shed_less(nj_shed *shed, double now_s);

#endif
