/* pass.c - sampling slows the code that it measures; passes with and without it alternate, to measure that
 * overhead. */
#include "pass.h"

#include <math.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../measure/stats.h"

/* The samples' own cost is measured within the pass: now and then a block of replays goes without them, and
 * its CPU time is held against that of the blocks before and after. Machines change speed by the minute,
 * neighbours in time less. */
enum { GROUP = 6, MAX_PAIRS = 512, LEAST_PAIRS = 9, PRECISE_PAIRS = 201 };
static const int64_t block_ns = 20000000;

typedef struct pass {
    nj_profile *p;
    nj_replay *r;
    const nj_pass_options *o;
    nj_symbols *symbols;
    nj_unwind *unwind;
    nj_sampler **sampler;
    nj_error *err;
    int64_t per_block;       /* replays */
    double ratio[MAX_PAIRS]; /* CPU time with samples over CPU time without, of the same work */
    uint32_t n_pairs;
    double with_ns, with_moments; /* CPU time of the blocks with samples,
                                   * and how often a timer rang in them */
} pass;

static int start_one(void *opaque, uint32_t k)
{
    const pass *s = opaque;
    nj_error why;
    if (nj_sampler_start(s->sampler[k], &why) == 0) return 0;
    return k == 0 ? nj_fail(s->err, "%s", why.text) : -1;
}

static int pause_one(void *opaque, uint32_t k)
{
    const pass *s = opaque;
    nj_sampler_pause(s->sampler[k]);
    return 0;
}

static int resume_one(void *opaque, uint32_t k)
{
    const pass *s = opaque;
    nj_sampler_resume(s->sampler[k]);
    return 0;
}

static uint64_t moments(const pass *s)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < s->r->n_workers; k++) n += nj_sampler_moments(s->sampler[k]);
    return n;
}

static int64_t taken(const pass *s)
{
    int64_t n = 0;
    for (uint32_t k = 0; k < s->r->n_workers; k++) n += nj_sampler_taken(s->sampler[k]);
    return n;
}

/* CPU time of so many replays; -1: out of memory. */
static int64_t cpu_of(pass *s, int64_t times)
{
    nj_replay_clock before = nj_replay_clocks(s->r);
    if (nj_replay_times(s->r, times)) return nj_fail(s->err, "out of memory");
    return nj_replay_clocks(s->r).cpu_ns - before.cpu_ns;
}

static int64_t cpu_with(pass *s, int64_t times)
{
    uint64_t before = moments(s);
    int64_t cpu = cpu_of(s, times);
    s->with_moments += (double)(moments(s) - before);
    s->with_ns += (double)cpu;
    for (uint32_t k = 0; k < s->r->n_workers; k++) { /* no worker is in the module now,
                                                      * and so no handler walks */
        const uint64_t *missed;
        uint32_t n = nj_sampler_missed(s->sampler[k], &missed);
        nj_unwind_learn(s->unwind, s->symbols, missed, n);
    }
    return cpu;
}

static int64_t cpu_without(pass *s)
{
    nj_replay_each(s->r, pause_one, s);
    int64_t cpu = cpu_of(s, s->per_block);
    nj_replay_each(s->r, resume_one, s);
    return cpu;
}

static bool enough(const pass *s, int64_t begin)
{
    if (s->o->repeat) return s->p->replays >= (uint64_t)s->o->repeat;
    return taken(s) >= s->o->min_samples || (double)(nj_now_ns() - begin) / 1e9 > s->o->seconds;
}

/* A block with samples: what the profile is made of. Returns its CPU time, or -1. */
static int64_t sampled_block(pass *s, double *busy_ns)
{
    int64_t times = s->per_block;
    if (s->o->repeat && s->p->replays + (uint64_t)times > (uint64_t)s->o->repeat)
        times = s->o->repeat - (int64_t)s->p->replays;
    nj_replay_clock before = nj_replay_clocks(s->r);
    int64_t cpu = cpu_with(s, times);
    if (cpu < 0) return -1;
    nj_replay_clock after = nj_replay_clocks(s->r);
    s->p->replays += (uint64_t)times;
    s->p->wall_ns += after.wall_ns - before.wall_ns;
    s->p->cpu_ns += cpu;
    *busy_ns += (double)(after.busy_ns - before.busy_ns);
    return times == s->per_block ? cpu : 0;
}

static int blocks(pass *s)
{
    double busy_ns = 0;
    int64_t begin = nj_now_ns(), before = 0, without = 0;
    for (int64_t i = 0; i == 0 || !enough(s, begin); i++) {
        int64_t cpu = sampled_block(s, &busy_ns);
        if (cpu < 0) return -1;
        if (without > 0 && cpu > 0 && s->n_pairs < MAX_PAIRS)
            s->ratio[s->n_pairs++] = 0.5 * (double)(before + cpu) / (double)without;
        without = 0;
        if (i % GROUP == GROUP - 1 && cpu > 0 && !s->o->repeat && !s->o->overhead) without = cpu_without(s);
        if (without < 0) return -1;
        before = cpu;
    }
    double share = s->o->cpu && busy_ns > 0 ? (double)s->p->cpu_ns / busy_ns : 1;
    s->p->span_ns = (double)s->p->wall_ns * share / (double)s->p->replays;
    double alerts = (double)s->p->replays * (double)s->p->count.offered;
    if (busy_ns > 0 && alerts > 0)
        s->p->cpu_ns_per_alert = (double)s->p->wall_ns * (double)s->p->cpu_ns / busy_ns / alerts;
    return 0;
}

/* --overhead: pairs with and without in turn, after the pass, whose samples are kept. */
static int more_pairs(pass *s)
{
    int64_t begin = nj_now_ns();
    s->with_ns = s->with_moments = 0;
    for (s->n_pairs = 0; s->n_pairs < PRECISE_PAIRS; s->n_pairs++) {
        if (s->n_pairs >= LEAST_PAIRS && (double)(nj_now_ns() - begin) / 1e9 > s->o->seconds) break;
        int64_t cpu[2] = { 0, 0 };
        for (uint32_t k = 0; k < 2; k++) {
            uint32_t with = (s->n_pairs + k) % 2;
            cpu[with] = with ? cpu_with(s, s->per_block) : cpu_without(s);
            if (cpu[with] < 0) return -1;
        }
        s->ratio[s->n_pairs] = (double)cpu[1] / (double)cpu[0];
    }
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median with its 95 % interval, from the order statistics (binomial, normal approximation). */
static void report_overhead(pass *s)
{
    nj_profile *p = s->p;
    uint32_t n = s->n_pairs;
    if (n < LEAST_PAIRS) {
        p->no_overhead = s->o->repeat ? "not measured with --repeat; --overhead does"
                                      : "the pass was too short to measure it";
        return;
    }
    qsort(s->ratio, n, sizeof *s->ratio, by_value);
    double half = 0.98 * sqrt(n);
    uint32_t low = (uint32_t)fmax(floor(0.5 * (n - 1) - half), 0), high = n - 1 - low;
    p->overhead = (nj_profile_overhead){ nj_quantile(s->ratio, n, 0.5) - 1, s->ratio[low] - 1,
                                         s->ratio[high] - 1, 1e9 * s->with_moments / s->with_ns, n };
}

static int make_samplers(pass *s)
{
    const nj_replay *r = s->r;
    int64_t most = s->o->repeat ? 2000000 : s->o->min_samples + s->o->min_samples / 2 + 1000;
    for (uint32_t k = 0; k < r->n_workers; k++) {
        nj_sampler_options o = { .where = &r->worker[k].own.worker->slot->instance,
                                 .name = nj_replay_target(r)->name,
                                 .mean_ns = (int64_t)fmax(s->o->interval_us * 1000, 1000),
                                 .unwind = s->unwind,
                                 .seed = k,
                                 .cpu = s->o->cpu,
                                 .fixed = s->o->fixed,
                                 .max_samples = (uint32_t)most };
        if (!(s->sampler[k] = nj_sampler_new(&o, s->err))) return -1;
    }
    return 0;
}

/* Warms up, and finds how many replays make a block. */
static int size_block(pass *s)
{
    for (s->per_block = 1;; s->per_block *= 2) {
        int64_t begin = nj_now_ns();
        if (nj_replay_times(s->r, s->per_block)) return nj_fail(s->err, "out of memory");
        int64_t ns = nj_now_ns() - begin;
        if (ns >= block_ns / 2) return 0;
    }
}

int nj_pass_time(nj_profile *p, nj_replay *r, const nj_pass_options *o, nj_symbols *symbols,
                 nj_sampler **sampler, nj_error *err)
{
    pass *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory");
    *s = (pass){
        .p = p, .r = r, .o = o, .symbols = symbols, .unwind = nj_unwind_new(), .sampler = sampler, .err = err
    };
    int rc = s->unwind ? make_samplers(s) : nj_fail(err, "out of memory");
    if (rc == 0) rc = size_block(s);
    if (rc == 0) rc = nj_replay_each(r, start_one, s);
    if (rc == 0) rc = blocks(s);
    if (rc == 0 && o->overhead) {
        uint32_t kept[NJ_REPLAY_THREADS];
        for (uint32_t k = 0; k < r->n_workers; k++) kept[k] = nj_sampler_taken(sampler[k]);
        rc = more_pairs(s);
        /* those are of the pass */
        for (uint32_t k = 0; k < r->n_workers; k++) nj_sampler_cut(sampler[k], kept[k]);
    }
    for (uint32_t k = 0; k < r->n_workers && sampler[k]; k++) nj_sampler_stop(sampler[k]);
    if (rc == 0) report_overhead(s);
    nj_unwind_free(s->unwind);
    free(s);
    return rc;
}
