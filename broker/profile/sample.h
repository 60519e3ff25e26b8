/* sample.h - where a thread is at random moments: call stacks taken by a timer of that thread.
 *
 * The delays are exponential (mean 1 ms), so that the samples cannot lock to a loop; `fixed` exists to show
 * what happens otherwise. A sample is taken only while *where == name (the host's slot: the thread is in that
 * module's process()). One sampler per thread; SIGPROF is theirs from the first start on. */
#ifndef NJ_PROFILE_SAMPLE_H
#define NJ_PROFILE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"
#include "unwind.h"

typedef struct nj_sampler nj_sampler;

typedef struct nj_sampler_options {
    const char *_Atomic const *where;
    const char *name;
    uint32_t max_samples;
    int64_t mean_ns;
    const nj_unwind *unwind; /* rules to walk by; where they do not suffice libunwind walks. NULL = always */
    uint64_t seed;           /* of the delays: another one for each thread */
    bool cpu;                /* the thread's CPU clock (its resolution is the kernel's tick)
                              * in place of the monotonic one */
    bool fixed;              /* on the multiples of mean_ns */
} nj_sampler_options;

nj_sampler *nj_sampler_new(const nj_sampler_options *options, nj_error *err);
/* The calling thread is sampled from here to stop. All shared objects must be loaded. */
int nj_sampler_start(nj_sampler *s, nj_error *err);
/* By the sampled thread, or while it does nothing: no samples until resume. */
void nj_sampler_pause(nj_sampler *s);
void nj_sampler_resume(nj_sampler *s);
void nj_sampler_stop(nj_sampler *s); /* by any thread */
uint32_t nj_sampler_taken(const nj_sampler *s);
/* Moments at which a timer rang, so far, those outside of the module's process() included. */
uint64_t nj_sampler_moments(const nj_sampler *s);
/* The frames of one sample, innermost first: the interrupted address, then return addresses.
 * Returns their number. */
uint32_t nj_sampler_stack(const nj_sampler *s, uint32_t sample, const uint64_t **pc);
/* Addresses that unwind had no rule for, since the last call; their number. */
uint32_t nj_sampler_missed(nj_sampler *s, const uint64_t **pc);
/* Drops all but the first n samples. */
void nj_sampler_cut(nj_sampler *s, uint32_t n);
/* All samplers must be stopped: SIGPROF is ignored from here on. */
void nj_sampler_free(nj_sampler *s);

#endif
