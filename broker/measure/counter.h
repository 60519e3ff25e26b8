/* counter.h - what is counted and clocked for one module instance or stage. One writer each (a worker, or the
 * output thread); merged when the writers have stopped. Words: data/embed/terms.txt. */
#ifndef NJ_MEASURE_COUNTER_H
#define NJ_MEASURE_COUNTER_H

#include <stdint.h>

#include "../base/histogram.h"
#include "per_alert.h"

enum { NJ_COUNTER_REASONS = 16 };

typedef struct nj_counter {
    uint64_t calls;                      /* process() calls */
    uint64_t offered;                    /* rows given */
    uint64_t passed;                     /* rows that the module's own cheap cut let through */
    uint64_t hits;                       /* rows with reason done */
    uint64_t flagged;                    /* rows where a give's flag predicate is true */
    uint64_t reason[NJ_COUNTER_REASONS]; /* rows per nj_reason */
    int64_t wall_ns;                     /* clocked per call */
    int64_t shared_ns;                   /* part of wall_ns that has had its share of CPU time */
    int64_t cpu_ns;                      /* the batch's CPU time, shared out by wall time; and elsewhere_ns */
    int64_t elsewhere_ns;                /* CPU time of other processes that worked for it */
    int64_t waited_ns;                   /* part of wall_ns in which the thread slept for them */
    int64_t shared_waited_ns;            /* part of that which shared_ns has in it */
    nj_histogram one;                    /* wall ns of calls that did a single row */
} nj_counter;                            /* zero-initialised */

/* Shares a batch's CPU time out over the counters, in proportion to the wall time each
 * gained since the last time. */
void nj_counter_share_cpu(nj_counter *const *counter, uint32_t n, int64_t cpu_ns);
void nj_counter_merge(nj_counter *into, const nj_counter *from);
/* What an alert that was offered cost. */
nj_per_alert nj_counter_cost(const nj_counter *counter);

#endif
