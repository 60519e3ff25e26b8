/* singly.c - `profile --per-alert` finds alerts with an unusual cost, so each is timed alone, several
 * times. */
#include "singly.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../measure/stats.h"
#include "stretch.h"

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 101, ROOM = 1 << 26 };
static const double Z_LIMIT = 3.5, RATIO_LIMIT = 1.5;

/* One round: wall ns in process() per batch, -1 where the module was not called. */
static int take_round(nj_replay *r, float *ns, uint8_t *answered)
{
    const nj_counter *count = &r->worker[0].own.worker->module[r->target];
    nj_replay_clock before = nj_replay_clocks(r);
    for (uint32_t i = 0; i < r->n_batches; i++) {
        uint64_t hits = count->hits;
        if (nj_replay_batch(r, i)) return -1;
        answered[i] = count->hits > hits;
        nj_replay_clock after = nj_replay_clocks(r);
        ns[i] = after.calls > before.calls ? (float)(after.wall_ns - before.wall_ns) : -1;
        before = after;
    }
    return 0;
}

/* The clock counts whole ns: values that it has put together are taken apart, evenly,
 * or they would look like modes. */
static double apart(int64_t id, uint32_t i)
{
    uint64_t x = ((uint64_t)id + i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return (double)((x ^ x >> 31) >> 11) / 9007199254740992.0 - 0.5;
}

static int medians(nj_singly *s, const nj_replay *r, const float *ns, const uint8_t *answered)
{
    double *one = malloc(s->rounds * sizeof *one);
    s->alert = calloc(r->n_batches + 1, sizeof *s->alert);
    if (!one || !s->alert) return free(one), -1;
    for (uint32_t i = 0; i < r->n_batches; i++) {
        if (!r->batch[i]->n) continue; /* a dead packet */
        if (ns[i] < 0) {
            s->n_none++;
            continue;
        }
        for (uint32_t k = 0; k < s->rounds; k++) one[k] = ns[(size_t)k * r->n_batches + i];
        int64_t id = r->batch[i]->id[0];
        s->alert[s->n++] =
            (nj_singly_alert){ .id = id,
                               .batch = i,
                               .of = { nj_stretch_points(r->batch[i], 0), nj_stretch_pixels(r->batch[i], 0),
                                       answered[i] },
                               .ns = fmax(nj_quantile(one, s->rounds, 0.5) + apart(id, i), 1) };
    }
    free(one);
    return 0;
}

/* Median and modified z-score of each mode, in log10 ns. */
static void find_outliers(nj_singly *s, const double *log_ns, double *part)
{
    double middle[NJ_MODES] = { 0 }, mad[NJ_MODES] = { 0 };
    for (uint32_t mode = 0; mode < NJ_MODES; mode++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->n; i++)
            if (nj_mode_of(&s->modes, log_ns[i]) == mode) part[n++] = log_ns[i];
        s->n_mode[mode] = n;
        middle[mode] = nj_quantile(part, n, 0.5);
        mad[mode] = nj_mad(part, n);
        s->median[mode] = n ? pow(10, middle[mode]) : 0;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t mode = nj_mode_of(&s->modes, log_ns[i]);
        nj_singly_alert *a = &s->alert[i];
        a->over_mode = a->ns / s->median[mode];
        a->outlier = a->over_mode >= RATIO_LIMIT && 0.6745 * (log_ns[i] - middle[mode]) > Z_LIMIT * mad[mode];
        s->n_outliers += a->outlier;
    }
}

/* What the alerts of the slower modes have more of, or less. */
static void find_causes(nj_singly *s, double *part)
{
    for (int c = 0; c < NJ_CAUSES; c++) {
        uint32_t n_slow = 0, n_fast = 0;
        double mean[2] = { 0 };
        for (uint32_t i = 0; i < s->n; i++) {
            const nj_singly_alert *a = &s->alert[i];
            const bool fast = nj_mode_of(&s->modes, log10(a->ns)) == 0;
            part[fast ? s->n - ++n_fast : n_slow++] = a->of[c];
            mean[fast] += a->of[c];
        }
        const double *slow = part, *fast = part + n_slow;
        s->cause[c] = (nj_singly_cause){ .superior = nj_superiority(slow, n_slow, fast, n_fast),
                                         .fast = nj_quantile(fast, n_fast, 0.5),
                                         .slow = nj_quantile(slow, n_slow, 0.5) };
        if (c == NJ_CAUSE_ANSWERED) s->cause[c].fast = mean[1] / n_fast, s->cause[c].slow = mean[0] / n_slow;
    }
}

static void fill_bars(nj_singly *s, const double *ns)
{
    double lo = nj_quantile(ns, s->n, 0), hi = s->max;
    for (s->bars_per_octave = 16; s->bars_per_octave > 0.25; s->bars_per_octave /= 2) {
        double first = floor(log2(lo) * s->bars_per_octave), last = floor(log2(hi) * s->bars_per_octave);
        s->first_edge = exp2(first / s->bars_per_octave);
        s->n_bars = (uint32_t)(last - first) + 1;
        if (s->n_bars <= NJ_SINGLY_BARS) break;
    }
    if (s->n_bars > NJ_SINGLY_BARS) s->n_bars = NJ_SINGLY_BARS;
    for (uint32_t i = 0; i < s->n; i++) {
        double at = log2(ns[i] / s->first_edge) * s->bars_per_octave;
        s->bar[at < 0 ? 0 : at >= s->n_bars ? s->n_bars - 1 : (uint32_t)at]++;
    }
}

static int slowest_first(const void *a, const void *b)
{
    double x = ((const nj_singly_alert *)a)->over_mode, y = ((const nj_singly_alert *)b)->over_mode;
    return (x < y) - (x > y);
}

static int summarise(nj_singly *s)
{
    double *ns = malloc(3 * (size_t)s->n * sizeof *ns), *log_ns = ns + s->n;
    if (!ns) return -1;
    for (uint32_t i = 0; i < s->n; i++) {
        ns[i] = s->alert[i].ns;
        log_ns[i] = log10(ns[i]);
        s->mean += ns[i] / s->n;
    }
    s->p50 = nj_quantile(ns, s->n, 0.5);
    s->p90 = nj_quantile(ns, s->n, 0.9);
    s->p95 = nj_quantile(ns, s->n, 0.95);
    s->p99 = nj_quantile(ns, s->n, 0.99);
    s->max = nj_quantile(ns, s->n, 1);
    nj_modes_of(log_ns, s->n, &s->modes);
    find_outliers(s, log_ns, log_ns + s->n);
    if (s->modes.n > 1) find_causes(s, log_ns + s->n);
    fill_bars(s, ns);
    qsort(s->alert, s->n, sizeof *s->alert, slowest_first);
    free(ns);
    return 0;
}

int nj_singly_time(nj_singly *s, nj_replay *r, double seconds, nj_error *err)
{
    uint32_t most = ROOM / (r->n_batches + 1);
    if (most > MOST_ROUNDS) most = MOST_ROUNDS;
    if (most < LEAST_ROUNDS)
        return nj_fail(err, "--per-alert: more than %d alerts; --limit takes the first N",
                       ROOM / LEAST_ROUNDS);
    float *ns = calloc((size_t)most * r->n_batches, sizeof *ns);
    uint8_t *answered = calloc(r->n_batches + 1, 1);
    int64_t begin = nj_now_ns();
    if (!ns || !answered) return free(ns), free(answered), nj_fail(err, "out of memory");
    int rc = take_round(r, ns, answered) ? nj_fail(err, "out of memory") : 0; /* warm */
    while (rc == 0 && s->rounds < most &&
           (s->rounds < LEAST_ROUNDS || (double)(nj_now_ns() - begin) / 1e9 < seconds))
        rc = take_round(r, ns + (size_t)s->rounds++ * r->n_batches, answered) ? nj_fail(err, "out of memory")
                                                                              : 0;
    if (rc == 0 && medians(s, r, ns, answered)) rc = nj_fail(err, "out of memory");
    free(ns);
    free(answered);
    if (rc == 0 && s->n && summarise(s)) rc = nj_fail(err, "out of memory");
    return rc;
}

double nj_singly_edge(const nj_singly *s, uint32_t bar)
{
    return s->first_edge * exp2(bar / s->bars_per_octave);
}

void nj_singly_free(nj_singly *s)
{
    free(s->alert);
    *s = (nj_singly){ 0 };
}
