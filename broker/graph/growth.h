/* growth.h - which module makes a worker too large: measured call by call once one had to be replaced. */
#ifndef NJ_GRAPH_GROWTH_H
#define NJ_GRAPH_GROWTH_H

#include "dispatch.h"

/* Are the calls of modules to be measured? One at a time is in a module then. */
static inline bool nj_growth_wanted(void)
{
    return nj_guard_here && atomic_load_explicit(&nj_guard_here->measure, memory_order_relaxed);
}
/* Around a call, before its slot is entered and behind. */
void nj_growth_begin(void);
void nj_growth_end(nj_worker *worker, const nj_step *step);
/* A child that tries rows has the lock as it was when it was forked: it measures nothing. */
void nj_growth_child(void);

/* Bytes in memory that are no file's: models and catalogues that are read for the first time are no growth.
 * 0 where the system does not say. Any thread, of the process that asked first. */
int64_t nj_own_bytes(void);

/* --- by rules, without a process --- */

/* The module's memory changed by so many bytes in one call. largest: of this worker so far; a module may
 * take memory once, for a table. */
void nj_growth_note(nj_guard_module *module, int64_t *largest, int64_t bytes);
/* A worker was replaced because of its memory. The first time measuring begins. Later the module that grew is
 * turned off, and its number returned; else NJ_NO_MODULE. After some times without one it is given up.
 * text: a sentence for people, "" = nothing new. */
uint32_t nj_growth_replaced(nj_guard *guard, char *text, size_t size);

#endif
