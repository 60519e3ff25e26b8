/* trial.h - the rows of a module that crashed once are tried in a child first: the child dies instead. */
#ifndef NJ_GRAPH_TRIAL_H
#define NJ_GRAPH_TRIAL_H

#include <sys/types.h>

#include "dispatch.h"

/* Is the module one whose calls have one row each, because it crashed? */
static inline bool nj_trial_wanted(const nj_worker *w, const nj_step *s)
{
    uint32_t i = w->guarded ? w->guarded[s->instance] : NJ_NO_MODULE;
    return i < NJ_GUARD_MODULES &&
           atomic_load_explicit(&nj_guard_here->module[i].tried, memory_order_relaxed);
}
/* A row took so long: what is overdue is measured by that. */
static inline void nj_trial_note(const nj_worker *w, const nj_step *s, int64_t ns)
{
    uint32_t i = w->guarded[s->instance];
    if (i < NJ_GUARD_MODULES &&
        ns > atomic_load_explicit(&nj_guard_here->module[i].longest_ns, memory_order_relaxed))
        atomic_store_explicit(&nj_guard_here->module[i].longest_ns, ns, memory_order_relaxed);
}
/* Takes those rows out of rows[*n] that the module is not to see: all of them when it is quarantined, the
 * failed ones otherwise. They have their reason and null outputs, and a record among the batch's dead
 * letters. -1 = out of memory. */
int nj_trial_rows(nj_worker *worker, const nj_step *step, nj_batch *batch, nj_work *work, uint32_t *rows,
                  uint32_t *n);

/* Waits for a child that works in `trial`. True: it died, and trial->death says how. A call of process() that
 * lasts longer than limit_s is ended; a child that lasts longer than most_s is, too, and counts as alive. 0:
 * no limit. */
bool nj_trial_died(pid_t child, nj_slot *trial, double limit_s, double most_s);

#endif
