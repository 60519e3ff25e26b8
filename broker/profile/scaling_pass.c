/* scaling_pass.c - a module may be fast on short histories and slow on long ones; this makes both and
 * measures. */
#include "scaling_pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../measure/stats.h"
#include "build.h"
#include "perf.h"
#include "stretch.h"

enum { BASE_ROWS = 16, MOST_ROUNDS = 101, LEAST_ROUNDS = 5, PACKETS = 64 };
static const int64_t sample_ns = 200000;         /* one sample: the clock's own cost is nothing beside it */
static const int64_t slow_ns = 500000000;        /* of one call: the next size is left out */
static const int64_t slow_count_ns = 8000000000; /* of one process that counts lines */

static const struct {
    const char *name, *unit, *how;
    uint32_t size[NJ_SCALED_SIZES]; /* ends with 0 */
} variable[NJ_SCALED] = {
    [NJ_SCALED_POINTS] = { "history points",
                           "points",
                           "the first alerts that it answers, made longer and shorter",
                           { 8, 16, 32, 64, 128, 256, 512, 1024 } },
    [NJ_SCALED_PIXELS] = { "stamp pixels",
                           "pixels",
                           "the first alerts that it answers, their stamps tiled and cut",
                           { 16, 32, 64, 128, 256 } }, /* sides */
    [NJ_SCALED_ROWS] = { "alerts per call",
                         "alerts",
                         "one alert, again and again; cost of a call",
                         { 1, 4, 16, 64, 256 } },
    [NJ_SCALED_CATALOG] = { "catalogue rows", "rows", "thinner copies of its catalogue", { 0 } },
    [NJ_SCALED_SPREAD] = { "history points, as they are",
                           "points",
                           "each alert alone, as it was sent",
                           { 0 } },
};

const char *nj_scaled_name(int v)
{
    return variable[v].name;
}
const char *nj_scaled_unit(int v)
{
    return variable[v].unit;
}
const char *nj_scaled_how(int v)
{
    return variable[v].how;
}

static double size_of(int v, uint32_t size)
{
    return v == NJ_SCALED_PIXELS ? (double)size * size : size;
}

/* Has the module something of this size? */
static const char *nothing_to_scale(const nj_replay *r, int v)
{
    const nj_batch *b = r->n_batches ? r->batch[0] : NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; b && i < b->n && i < BASE_ROWS; i++) {
        uint32_t n = v == NJ_SCALED_PIXELS ? nj_stretch_pixels(b, i) : nj_stretch_points(b, i);
        if (n > most) most = n;
    }
    if (v == NJ_SCALED_POINTS && !most) return "the module reads no history";
    if (v == NJ_SCALED_PIXELS && !most) return "the module opened no stamp";
    return NULL;
}

/* The rows to make others of: those that the module answers, or all where it answers none. */
typedef struct picks {
    uint32_t row[BASE_ROWS], n, longest; /* longest: of row[], with the longest history */
} picks;

static uint64_t answered(const nj_replay *r)
{
    return r->worker[0].own.worker->module[r->target].hits;
}

/* A new batch that has been through all modules; NULL: out of memory. */
static nj_batch *make_batch(nj_replay *r, const picks *p, int v, uint32_t size)
{
    const bool rows = v == NJ_SCALED_ROWS; /* of one alert: others would cost another amount */
    const nj_stretch s = { .rows = rows ? size : p->n,
                           .points = v == NJ_SCALED_POINTS ? size : 0,
                           .side = v == NJ_SCALED_PIXELS ? size : 0,
                           .pick = rows ? &p->row[p->longest] : p->row,
                           .n_picks = rows ? 1 : p->n };
    nj_batch *b = nj_batch_new();
    if (b && nj_stretch_batch(b, r->batch[0], &s) == 0 && nj_replay_all(r, b) == 0) return b;
    nj_batch_free(b);
    return NULL;
}

static int pick_rows(nj_replay *r, picks *p, nj_error *err)
{
    const nj_batch *b = r->batch[0];
    uint32_t base = b->n < BASE_ROWS ? b->n : BASE_ROWS, most = 0;
    *p = (picks){ 0 };
    for (uint32_t i = 0; i < base; i++) {
        uint64_t before = answered(r);
        nj_batch *one = make_batch(r, &(picks){ .row = { i }, .n = 1 }, NJ_SCALED_ROWS, 1);
        if (!one) return nj_fail(err, "out of memory");
        nj_batch_free(one);
        if (answered(r) > before) p->row[p->n++] = i;
    }
    for (uint32_t i = 0; p->n == 0 && i < base; i++) p->row[i] = i;
    if (p->n == 0) p->n = base;
    for (uint32_t i = 0; i < p->n; i++)
        if (nj_stretch_points(b, p->row[i]) > most) most = nj_stretch_points(b, p->row[i]), p->longest = i;
    return 0;
}

/* ---- lines executed -------------------------------------------------------------------------- */

typedef struct one_size {
    int variable;
    uint32_t size;
} one_size;

static int call_once(void *opaque, nj_replay *r, nj_error *err)
{
    const one_size *o = opaque;
    const char *none = nothing_to_scale(r, o->variable);
    if (none) return nj_fail(err, "%s", none);
    picks p;
    if (pick_rows(r, &p, err)) return -1;
    return make_batch(r, &p, o->variable, o->size)
               ? 0
               : nj_fail(err, "out of memory"); /* the process ends here */
}

static double lines_of(const nj_hits *h, const nj_hits_function *f)
{
    double sum = 0;
    for (int k = f->first; k <= f->last && (uint32_t)k < h->n_lines; k++)
        if (h->line[k] != NJ_NOT_A_LINE) sum += (double)h->line[k];
    return sum;
}

typedef struct counting {
    nj_scalings *s;
    const char *source, *object, *folder;
    nj_replay_options options;
    const nj_alerts *alerts;
} counting;

/* Those of the last processes: 0, or -1 with err. */
static int count_with(const counting *c, const nj_hits_more *more, nj_hits *now, nj_error *err)
{
    *now = (nj_hits){ 0 };
    return nj_hits_again(now, c->source, c->object, c->folder, &c->options, c->alerts, more, err);
}

static int keep_functions(nj_scalings *s, const nj_hits *h)
{
    s->function = calloc(h->n_functions + 1, sizeof *s->function);
    for (uint32_t i = 0; s->function && i < h->n_functions; i++) {
        memcpy(s->function[i].name, h->function[i].name, sizeof s->function[i].name);
        s->function[i].first = h->function[i].first;
        s->n_functions++;
    }
    return s->function ? 0 : -1;
}

/* plain: what a process without more adds; before: the counters so far. */
static void take_lines(nj_scalings *s, int v, uint32_t at, const nj_hits *now, const double *plain,
                       double *before)
{
    for (uint32_t i = 0; i < s->n_functions && i < now->n_functions; i++) {
        double lines = lines_of(now, &now->function[i]);
        s->function[i].lines[v][at] = lines - before[i] - plain[i];
        before[i] = lines;
    }
}

static void count_variable(const counting *c, int v, const double *plain, double *before)
{
    nj_scalings *s = c->s;
    for (uint32_t k = 0; variable[v].size[k]; k++) {
        one_size o = { v, variable[v].size[k] };
        nj_hits now;
        nj_error err = { "" };
        int64_t begin = nj_now_ns();
        if (count_with(c, &(nj_hits_more){ call_once, &o }, &now, &err)) {
            bool none = strstr(err.text, "the module ") != NULL; /* said with the times */
            if (strstr(err.text, "it crashed")) s->of[v].crashed = variable[v].size[k];
            if (!none)
                snprintf(s->no_counts, sizeof s->no_counts, "%u %s: %.200s", variable[v].size[k],
                         v == NJ_SCALED_PIXELS ? "pixels a side" : variable[v].unit, err.text);
            return;
        }
        take_lines(s, v, k, &now, plain, before);
        s->n_counted[v] = k + 1;
        nj_hits_free(&now);
        if (nj_now_ns() - begin > slow_count_ns) return;
    }
}

static void fit_functions(nj_scalings *s)
{
    for (uint32_t i = 0; i < s->n_functions; i++)
        for (int v = 0; v <= NJ_SCALED_ROWS; v++) {
            double x[NJ_SCALED_SIZES];
            for (uint32_t k = 0; k < s->n_counted[v]; k++) x[k] = size_of(v, variable[v].size[k]);
            s->function[i].of[v] = nj_scaling_of(x, s->function[i].lines[v], s->n_counted[v]);
        }
}

void nj_scaling_count(nj_scalings *s, const char *source, const char *object, const char *folder,
                      const nj_replay_options *options, const nj_alerts *alerts)
{
    counting c = { s, source, object, folder, *options, alerts };
    nj_hits first, second;
    nj_error err = { "" };
    c.options.limit = options->limit && options->limit < BASE_ROWS ? options->limit : BASE_ROWS;
    c.options.threads = 1;
    double *before = NULL, *plain = NULL;
    if (count_with(&c, NULL, &first, &err)) {
        snprintf(s->no_counts, sizeof s->no_counts, "%.200s", err.text);
        return;
    }
    if (keep_functions(s, &first) == 0 && (before = calloc(2 * (size_t)s->n_functions + 1, sizeof *before)) &&
        count_with(&c, NULL, &second, &err) == 0) {
        plain = before + s->n_functions;
        for (uint32_t i = 0; i < s->n_functions; i++) {
            before[i] = lines_of(&second, &second.function[i]);
            plain[i] = before[i] - lines_of(&first, &first.function[i]);
        }
        nj_hits_free(&second);
        for (int v = 0; v <= NJ_SCALED_ROWS; v++) count_variable(&c, v, plain, before);
        fit_functions(s);
    } else {
        snprintf(s->no_counts, sizeof s->no_counts, "%.200s", err.text[0] ? err.text : "out of memory");
    }
    nj_hits_free(&first);
    free(before);
}

/* ---- time ------------------------------------------------------------------------------------ */

typedef struct timing {
    nj_scaled *to;
    nj_replay *r;
    nj_perf perf;
    picks picks;
    nj_batch *batch[NJ_SCALED_SIZES];
    uint32_t repeat[NJ_SCALED_SIZES];
    double *ns, *instructions; /* [rounds][n_sizes], of a call of process() */
} timing;

static int64_t in_module(const nj_replay *r)
{
    return r->worker[0].own.worker->module[r->target].wall_ns;
}

/* The batch of one size, warm; how many calls make a sample. 1: it is left out. */
static int ready(timing *t, int v, uint32_t size, nj_error *err)
{
    nj_scaled *to = t->to;
    uint64_t before = answered(t->r);
    nj_batch *b = make_batch(t->r, &t->picks, v, size);
    if (!b) return nj_fail(err, "out of memory");
    if (answered(t->r) == before && t->r->first.hits) {
        to->unanswered[to->refused++] = size;
        nj_batch_free(b);
        return 1;
    }
    int64_t begin = in_module(t->r);
    if (nj_replay_alone(t->r, b)) return nj_batch_free(b), nj_fail(err, "out of memory");
    int64_t ns = in_module(t->r) - begin;
    if (ns > slow_ns) {
        to->slow = size;
        nj_batch_free(b);
        return 1;
    }
    t->batch[to->n_sizes] = b;
    t->repeat[to->n_sizes] = (uint32_t)(sample_ns / (ns + 1)) + 1;
    to->size[to->n_sizes++] = size_of(v, size);
    return 0;
}

/* The least of three: what the machine did meanwhile only adds. */
static int sample(timing *t, uint32_t k, double *ns, double *instructions)
{
    *ns = *instructions = INFINITY;
    for (int again = 0; again < 3; again++) {
        nj_perf_count count[NJ_PERF_EVENTS];
        int64_t begin = in_module(t->r), cpu = nj_thread_cpu_ns();
        nj_perf_start(&t->perf);
        for (uint32_t i = 0; i < t->repeat[k]; i++)
            if (nj_replay_alone(t->r, t->batch[k])) return -1;
        nj_perf_stop(&t->perf);
        nj_perf_read(&t->perf, count);
        double busy = (double)(nj_thread_cpu_ns() - cpu), wall = (double)(in_module(t->r) - begin);
        *ns = fmin(*ns, fmin(busy, wall) / t->repeat[k]); /* of the loop, of process(): both are too much */
        *instructions = fmin(*instructions, count[NJ_PERF_INSTRUCTIONS].value / t->repeat[k]);
    }
    if (!isfinite(*instructions)) *instructions = NAN;
    return 0;
}

static void fit_times(timing *t, int v)
{
    nj_scaled *to = t->to;
    uint32_t n = to->n_sizes, all = n * to->rounds;
    double *x = calloc(all + to->rounds + 1, sizeof *x), *one = x + all;
    if (!x) return;
    for (uint32_t i = 0; i < all; i++) {
        x[i] = to->size[i % n];
        double rows = v == NJ_SCALED_ROWS ? 1 : t->picks.n;
        t->ns[i] /= rows;
        t->instructions[i] /= rows;
    }
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = 0; i < to->rounds; i++) one[i] = t->ns[i * n + k];
        to->cost[k] = nj_quantile(one, to->rounds, 0.5);
        for (uint32_t i = 0; i < to->rounds; i++) one[i] = t->instructions[i * n + k];
        to->instructions[k] = nj_quantile(one, to->rounds, 0.5);
    }
    to->time = nj_scaling_of(x, t->ns, all);
    to->by_instructions = nj_scaling_of(x, t->instructions, all);
    free(x);
}

static int time_variable(timing *t, int v, double seconds, nj_error *err)
{
    nj_scaled *to = t->to;
    int rc = 0;
    if ((to->none = nothing_to_scale(t->r, v))) return 0;
    if (pick_rows(t->r, &t->picks, err)) return -1;
    for (uint32_t k = 0; variable[v].size[k] && !to->slow && rc >= 0; k++) {
        if (to->crashed && variable[v].size[k] >= to->crashed) break; /* it would take this process along */
        rc = ready(t, v, variable[v].size[k], err);
    }
    t->ns = calloc(2 * (size_t)MOST_ROUNDS * NJ_SCALED_SIZES, sizeof *t->ns);
    if (rc < 0 || !t->ns) return rc < 0 ? -1 : nj_fail(err, "out of memory");
    t->instructions = t->ns + (size_t)MOST_ROUNDS * NJ_SCALED_SIZES;
    int64_t begin = nj_now_ns();
    while (to->n_sizes && to->rounds < MOST_ROUNDS &&
           (to->rounds < LEAST_ROUNDS || (double)(nj_now_ns() - begin) / 1e9 < seconds)) {
        size_t at = (size_t)to->rounds++ * to->n_sizes;
        for (uint32_t k = 0; k < to->n_sizes; k++)
            if (sample(t, k, &t->ns[at + k], &t->instructions[at + k])) return nj_fail(err, "out of memory");
    }
    fit_times(t, v);
    if (to->time.kind == NJ_SCALING_UNKNOWN)
        to->none = to->n_sizes >= 4 ? "the times scatter too much"
                   : to->crashed    ? "the module crashes too early"
                   : to->refused    ? "the module answers too few of the sizes"
                                    : "too few sizes";
    return 0;
}

int nj_scaling_time(nj_scalings *s, nj_replay *r, double seconds, nj_error *err)
{
    int rc = 0;
    for (int v = 0; v <= NJ_SCALED_ROWS && rc == 0; v++) {
        timing t = { .to = &s->of[v], .r = r };
        nj_perf_open(&t.perf);
        rc = time_variable(&t, v, seconds, err);
        nj_perf_close(&t.perf);
        for (uint32_t k = 0; k < s->of[v].n_sizes; k++) nj_batch_free(t.batch[k]);
        free(t.ns);
    }
    return rc;
}

/* ---- the alerts as they are ------------------------------------------------------------------ */

int nj_scaling_spread(nj_scalings *s, const nj_replay *r, const nj_singly *singly, nj_error *err)
{
    nj_scaled *to = &s->of[NJ_SCALED_SPREAD];
    double *x = calloc(2 * (size_t)singly->n + 1, sizeof *x), *y = x + singly->n;
    if (!x) return nj_fail(err, "out of memory");
    for (uint32_t i = 0; i < singly->n; i++) {
        x[i] = nj_stretch_points(r->batch[singly->alert[i].batch], 0);
        y[i] = singly->alert[i].ns;
    }
    to->rounds = singly->rounds;
    to->time = nj_scaling_of(x, y, singly->n);
    if (to->time.kind == NJ_SCALING_UNKNOWN)
        to->none = singly->n && nj_quantile(x, singly->n, 1) > 0 ? "the alerts are too few or too much alike"
                                                                 : "the module reads no history";
    free(x);
    return 0;
}

void nj_scalings_free(nj_scalings *s)
{
    free(s->function);
    *s = (nj_scalings){ 0 };
}
