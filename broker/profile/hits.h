/* hits.h - exact counts per line: a second, instrumented build of the module (gcov,
 * -O0) over the same alerts. */
#ifndef NJ_PROFILE_HITS_H
#define NJ_PROFILE_HITS_H

#include "replay.h"

typedef struct nj_hits_function {
    char name[128];
    int first, last; /* lines */
    uint64_t calls;
} nj_hits_function;

typedef struct nj_hits {
    nj_hits_function *function;
    uint32_t n_functions;
    uint64_t *line; /* [n_lines], by line number; NJ_NOT_A_LINE = nothing to execute there */
    uint32_t n_lines;
    uint64_t offered, hits, flagged; /* the module's own counts in the instrumented pass */
    char object[512];                /* that was built */
} nj_hits;

#define NJ_NOT_A_LINE UINT64_MAX

/* Builds source into folder, takes the alerts through it once in a process of its own, and reads the
 * counters. Call it before this process has threads. -1 with err: no compiler, no gcov, ... */
int nj_hits_count(nj_hits *h, const char *source, const char *folder, const nj_replay_options *options,
                  const nj_alerts *alerts, nj_error *err);
/* The same over an object that was built (NJ_BUILD_HITS); `more` is done by the process behind the first pass
 * (NULL = nothing). The counters of one object add up over its processes. */
typedef struct nj_hits_more {
    int (*work)(void *opaque, nj_replay *r, nj_error *err);
    void *opaque;
} nj_hits_more;
int nj_hits_again(nj_hits *h, const char *source, const char *object, const char *folder,
                  const nj_replay_options *options, const nj_alerts *alerts, const nj_hits_more *more,
                  nj_error *err);
void nj_hits_free(nj_hits *h);

#endif
