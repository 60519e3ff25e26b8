/* pass.h - the passes whose time is measured: samples of the production build,
 * and what the sampling itself costs. */
#ifndef NJ_PROFILE_PASS_H
#define NJ_PROFILE_PASS_H

#include "profile.h"
#include "replay.h"

typedef struct nj_pass_options {
    int64_t min_samples; /* replay until there are so many ... */
    double seconds;      /* ... or at most so long */
    int64_t repeat;      /* > 0: so many replays, whatever the samples */
    double interval_us;  /* mean, between samples */
    bool cpu, fixed;     /* clock and period of the samples */
    bool overhead;       /* measure the overhead better than the pass does by itself */
} nj_pass_options;

/* Samples all workers of the replay. Into p: replays, wall_ns, cpu_ns, span_ns, overhead. sampler[n_workers]
 * receives the samples and is freed by the caller, also after an error (-1 with err). */
int nj_pass_time(nj_profile *p, nj_replay *r, const nj_pass_options *o, nj_symbols *symbols,
                 nj_sampler **sampler, nj_error *err);

#endif
