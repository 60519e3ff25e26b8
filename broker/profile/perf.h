/* perf.h - the machine's own counters (perf_event_open) around a piece of work of one thread: what there is
 * of them, and why there is no more. */
#ifndef NJ_PROFILE_PERF_H
#define NJ_PROFILE_PERF_H

#include <stddef.h>
#include <stdint.h>

typedef enum nj_perf_event {
    NJ_PERF_CYCLES,
    NJ_PERF_INSTRUCTIONS,
    NJ_PERF_CACHE_MISSES,
    NJ_PERF_BRANCH_MISSES,
    NJ_PERF_TASK_CLOCK, /* ns */
    NJ_PERF_PAGE_FAULTS,
    NJ_PERF_EVENTS
} nj_perf_event;
extern const char *const nj_perf_name[NJ_PERF_EVENTS]; /* as perf(1) calls them */

typedef struct nj_perf {
    int fd[NJ_PERF_EVENTS];    /* -1: not open */
    int error[NJ_PERF_EVENTS]; /* errno of that */
} nj_perf;

typedef struct nj_perf_count {
    double value; /* NAN: not counted; scaled up when the kernel took turns between more
                   * counters than the CPU has */
    double share; /* of the time that it was really counting, 0 .. 1 */
    int error;    /* errno why it could not be opened; 0 with value NAN:
                   * it was given no time on the CPU's counters */
} nj_perf_count;

/* Opens what can be opened for the calling thread: user space only, those of the CPU as one group, so that
 * their ratios are of the same time. Not started. */
void nj_perf_open(nj_perf *perf);
void nj_perf_start(const nj_perf *perf); /* from zero */
void nj_perf_stop(const nj_perf *perf);
void nj_perf_read(const nj_perf *perf, nj_perf_count count[NJ_PERF_EVENTS]);
void nj_perf_close(nj_perf *perf);
/* Why an event is not counted, in words, with the setting that decides about it. */
void nj_perf_why(nj_perf_event event, int error, char *text, size_t size);

#endif
