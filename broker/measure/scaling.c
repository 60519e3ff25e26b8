/* scaling.c - a module that is fast on today's histories may be slow on those of year ten; this finds the
 * exponent. */
#include "scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "stats.h"

enum { CLASSES = 24, LEAST_SIZES = 4, SAMPLES = 400, STEPS = 120 };
static const double LEAST_RANGE = 4, WIDEST = 2, FLAT_CHANGE = 1.1, FLAT_POWER = 0.07, MOST_POWER = 6,
                    LOG_GAIN = 0.25, TAIL = 0.025;

typedef struct pair {
    double x, y;
} pair;

/* The pairs, by size; class k has pair[from[k] .. from[k + 1]). */
typedef struct classes {
    pair *pair;
    uint32_t n, from[CLASSES + 1];
    double x[CLASSES]; /* median */
    double *room;      /* [n] */
} classes;

typedef struct fit {
    double p, fixed, factor, residual; /* sum of squared relative residuals */
    bool logarithm;
} fit;

static int by_size(const void *a, const void *b)
{
    const pair *p = a, *q = b;
    return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y > q->y) - (p->y < q->y);
}

static double shape(double x, double p, bool logarithm)
{
    return pow(x, p) * (logarithm ? log2(x) : 1);
}

/* The best fixed and factor for this exponent: with weights 1 / y^2 they are linear, and neither is
 * negative. */
static fit fit_at(const double *x, const double *y, uint32_t n, double p, bool logarithm)
{
    double aa = 0, ab = 0, bb = 0, a1 = 0, b1 = 0;
    for (uint32_t i = 0; i < n; i++) {
        double a = 1 / y[i], b = shape(x[i], p, logarithm) / y[i];
        aa += a * a, ab += a * b, bb += b * b, a1 += a, b1 += b;
    }
    double det = aa * bb - ab * ab;
    fit f = { .p = p, .logarithm = logarithm };
    if (det > 1e-12 * aa * bb) {
        f.fixed = (a1 * bb - b1 * ab) / det;
        f.factor = (b1 * aa - a1 * ab) / det;
    }
    if (!(det > 1e-12 * aa * bb) || f.fixed < 0) f.fixed = 0, f.factor = b1 / bb;
    if (f.factor < 0) f.fixed = a1 / aa, f.factor = 0;
    for (uint32_t i = 0; i < n; i++) {
        double r = (f.fixed + f.factor * shape(x[i], p, logarithm)) / y[i] - 1;
        f.residual += r * r;
    }
    return f;
}

/* On a grid, then by thirds between the best one's neighbours. */
static fit fit_form(const double *x, const double *y, uint32_t n, bool logarithm)
{
    double step = MOST_POWER / STEPS;
    fit best = fit_at(x, y, n, step, logarithm);
    for (int k = 2; k <= STEPS; k++) {
        fit f = fit_at(x, y, n, k * step, logarithm);
        if (f.residual < best.residual) best = f;
    }
    double low = fmax(best.p - step, 0.001), high = best.p + step;
    for (int k = 0; k < 40; k++) {
        double third = (high - low) / 3;
        fit l = fit_at(x, y, n, low + third, logarithm), h = fit_at(x, y, n, high - third, logarithm);
        if (l.residual < h.residual)
            high = h.p;
        else
            low = l.p;
    }
    return fit_at(x, y, n, 0.5 * (low + high), logarithm);
}

static fit fit_best(const double *x, const double *y, uint32_t n)
{
    fit power = fit_form(x, y, n, false);
    if (x[0] < 1) return power;
    fit other = fit_form(x, y, n, true);
    return other.residual < LOG_GAIN * power.residual && power.residual > 1e-9 * n ? other : power;
}

/* ---- classes of size ------------------------------------------------------------------------- */

static uint32_t different(const pair *p, uint32_t n)
{
    uint32_t sizes = n > 0;
    for (uint32_t i = 1; i < n; i++) sizes += p[i].x != p[i - 1].x;
    return sizes;
}

/* One class for each size, or equal steps of log x. */
static void divide(classes *c, const pair *p, uint32_t n, uint32_t sizes)
{
    double least = log(p[0].x), step = (log(p[n - 1].x) - least) / CLASSES * (1 + 1e-9), last = -1;
    c->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        double class = sizes <= CLASSES ? p[i].x : floor((log(p[i].x) - least) / step);
        if (i == 0 || class != last) c->from[c->n++] = i;
        last = class;
    }
    c->from[c->n] = n;
    for (uint32_t k = 0; k < c->n; k++) {
        uint32_t from = c->from[k], m = c->from[k + 1] - from;
        c->x[k] = m % 2 ? p[from + m / 2].x : 0.5 * (p[from + m / 2 - 1].x + p[from + m / 2].x);
    }
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((next(state) >> 32) * n >> 32);
}

/* One bootstrap sample: medians of the classes drawn, of the costs drawn in each. NULL state: the data. */
static uint32_t draw(const classes *c, uint64_t *state, double *x, double *y)
{
    bool taken[CLASSES] = { false };
    uint32_t n = 0, distinct = 0, again = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t k = state ? below(state, c->n) : i, from = c->from[k], m = c->from[k + 1] - from;
        distinct += !taken[k];
        taken[k] = true;
        for (uint32_t j = 0; j < m; j++) c->room[j] = c->pair[from + (state ? below(state, m) : j)].y;
        x[n] = c->x[k];
        y[n++] = nj_quantile(c->room, m, 0.5);
        if (i + 1 == c->n && distinct < 3 && again++ < 100) { /* no curve through two sizes */
            memset(taken, 0, sizeof taken);
            n = distinct = 0;
            i = UINT32_MAX;
        }
    }
    return n;
}

/* Slope of log cost over log size, for a cost that does not change. */
static double slope(const double *x, const double *y, uint32_t n)
{
    double mx = 0, my = 0, xx = 0, xy = 0;
    for (uint32_t i = 0; i < n; i++) mx += log(x[i]) / n, my += log(y[i]) / n;
    for (uint32_t i = 0; i < n; i++) {
        xx += (log(x[i]) - mx) * (log(x[i]) - mx);
        xy += (log(x[i]) - mx) * (log(y[i]) - my);
    }
    return xx > 0 ? xy / xx : 0;
}

static void set_interval(nj_scaling *s, const classes *c)
{
    double p[SAMPLES], x[CLASSES], y[CLASSES];
    uint64_t state = 1;
    for (int k = 0; k < SAMPLES; k++) {
        uint32_t n = draw(c, &state, x, y);
        p[k] = s->kind == NJ_SCALING_FLAT ? slope(x, y, n) : fit_form(x, y, n, s->logarithm).p;
    }
    s->low = fmin(nj_quantile(p, SAMPLES, TAIL), s->exponent);
    s->high = fmax(nj_quantile(p, SAMPLES, 1 - TAIL), s->exponent);
}

nj_scaling nj_scaling_of(const double *x, const double *y, uint32_t n)
{
    nj_scaling s = { .exponent = NAN, .low = NAN, .high = NAN, .change = NAN };
    classes c = { .pair = calloc(n + 1, sizeof *c.pair), .room = calloc(n + 1, sizeof *c.room) };
    if (!c.pair || !c.room) nj_give_up("out of memory for the scaling of %u costs", n);
    for (uint32_t i = 0; i < n; i++)
        if (x[i] > 0 && y[i] > 0 && isfinite(x[i]) && isfinite(y[i])) c.pair[s.n++] = (pair){ x[i], y[i] };
    qsort(c.pair, s.n, sizeof *c.pair, by_size);
    s.n_sizes = different(c.pair, s.n);
    s.least = s.n ? c.pair[0].x : NAN;
    s.most = s.n ? c.pair[s.n - 1].x : NAN;
    if (s.n) divide(&c, c.pair, s.n, s.n_sizes);
    if (c.n >= LEAST_SIZES && s.most >= LEAST_RANGE * s.least) {
        double at[CLASSES], cost[CLASSES];
        fit f = fit_best(at, cost, draw(&c, NULL, at, cost));
        s.kind = NJ_SCALING_POWER;
        s.exponent = f.p;
        s.logarithm = f.logarithm;
        s.fixed = f.fixed;
        s.factor = f.factor;
        s.change = nj_scaling_at(&s, s.most) / nj_scaling_at(&s, s.least);
        double mean = log(s.change) / log(s.most / s.least); /* exponent, from end to end */
        if (s.change < FLAT_CHANGE || mean < FLAT_POWER)
            s.kind = NJ_SCALING_FLAT, s.exponent = 0, s.logarithm = false;
        set_interval(&s, &c);
        if (s.high - s.low > WIDEST || s.exponent > MOST_POWER - 0.5) s.kind = NJ_SCALING_UNKNOWN;
        if (s.kind == NJ_SCALING_FLAT) s.fixed = nj_quantile(cost, c.n, 0.5), s.factor = 0;
    }
    free(c.pair);
    free(c.room);
    return s;
}

double nj_scaling_at(const nj_scaling *s, double x)
{
    return s->fixed + s->factor * shape(x, s->exponent, s->logarithm);
}

bool nj_scaling_warns(const nj_scaling *s)
{
    return s->kind == NJ_SCALING_POWER && s->exponent >= NJ_SCALING_WARN;
}

const char *nj_scaling_words(char text[96], const nj_scaling *s, const char *unit)
{
    if (s->kind == NJ_SCALING_UNKNOWN)
        snprintf(text, 96, "cannot tell in %s", unit);
    else if (s->kind == NJ_SCALING_FLAT)
        snprintf(text, 96, "n^0 in %s", unit);
    else
        snprintf(text, 96, "n^%.2f%s [%.2f, %.2f] in %s", s->exponent, s->logarithm ? " log n" : "", s->low,
                 s->high, unit);
    return text;
}
