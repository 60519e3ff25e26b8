/* shed.c - a run that falls behind loses time on all alerts, or the costliest answers on some: those can be
 * made up for later. */
#include "shed.h"

int nj_shed_wish(const nj_shed *s, double lag_s, double now_s)
{
    double since = s->changed ? now_s - s->changed_s : 1e300;
    if (!(s->max_lag_s > 0)) return 0;
    if (lag_s > s->max_lag_s) return 1;
    if (lag_s > s->max_lag_s * 2 / 3) return since >= s->max_lag_s / 8; /* else the bound would not hold */
    return s->n && lag_s < s->max_lag_s / 2 && since >= s->max_lag_s / 2 ? -1 : 0;
}

static bool is_out(const nj_shed *s, uint32_t i)
{
    for (uint32_t k = 0; k < s->n; k++)
        if (s->order[k] == i) return true;
    return false;
}

uint32_t nj_shed_more(nj_shed *s, const double *cost, const bool *may, uint32_t n, double now_s)
{
    uint32_t best = NJ_SHED_NONE;
    for (uint32_t i = 0; i < n && i < NJ_SHED_MODULES; i++) {
        if (!may[i] || !(cost[i] > 0) || is_out(s, i)) continue;
        if (best == NJ_SHED_NONE || cost[i] > cost[best]) best = i;
    }
    if (best == NJ_SHED_NONE) return best;
    s->order[s->n++] = best;
    s->changed_s = now_s;
    s->changed = true;
    return best;
}

uint32_t nj_shed_less(nj_shed *s, double now_s)
{
    if (!s->n) return NJ_SHED_NONE;
    s->changed_s = now_s;
    s->changed = true;
    return s->order[--s->n];
}
