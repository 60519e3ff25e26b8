/* rainbow_start.c - scale, bounds and starting values of the Rainbow fit: the reference's, and own ones
 * for the minima that it misses.
 *
 * Given: light curve in any unit of time and flux.
 * Returned: times and fluxes in units of their standard deviation (fluxes around the mean of their band
 *   when there are baselines), the bounds and the start that light-curve 0.10 uses; more starts, of a
 *   table by kind.
 * Notes: upper limits take part as points. A start beyond its bounds is moved inside; the reference then
 *   begins at infinity.
 * Reference: light-curve 0.10 as measured; the own starts are the ones that found the lowest objectives of
 *   594 light curves. */
#include <math.h>

#include "nightjar/lc.h"
#include "rainbow.h"

/* --- scaling --- */

static double mean_of(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

/* Population standard deviation; 1 when it is 0. */
static double std_of(const double *x, uint32_t n)
{
    const double mean = mean_of(x, n);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum > 0 ? sqrt(sum / n) : 1;
}

static double median_of(const double *x, uint32_t n, double *work)
{
    for (uint32_t i = 0; i < n; i++) work[i] = x[i];
    nj_sort_f64(work, n);
    return nj_median_sorted(work, n);
}

static void shift_bands(nj_rainbow_problem *p, const nj_rainbow_points *points)
{
    for (uint32_t b = 0; b < p->model->n_bands; b++) {
        double sum = 0;
        uint32_t n = 0;
        for (uint32_t i = 0; i < p->n; i++)
            if (p->band[i] == b) sum += points->flux[i], n++;
        p->present[b] = n;
        p->shift[b] = n && p->model->baseline ? sum / n : 0;
    }
}

/* The median of steps in time between neighbours of one band. */
static double median_step(const nj_rainbow_problem *p, double *work)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < p->model->n_bands; b++) {
        int64_t before = -1;
        for (uint32_t i = 0; i < p->n; i++) {
            if (p->band[i] != b) continue;
            if (before >= 0) work[n++] = p->t[i] - p->t[before];
            before = i;
        }
    }
    if (!n) return NAN;
    nj_sort_f64(work, n);
    return nj_median_sorted(work, n);
}

/* --- the reference's bounds and start --- */

static void set(nj_rainbow_problem *p, uint32_t k, double start, double low, double high)
{
    p->start[k] = start;
    p->low[k] = low;
    p->high[k] = high;
}

typedef struct spread {
    double span_t, span_m, width, least_t, most_t;
} spread;

static void shape(nj_rainbow_problem *p, const spread *s, double *work)
{
    const double long_time = 10 * s->span_t, w = s->width;
    double t0 = p->centre, amplitude = fmax(p->most, s->span_m), most_amplitude = 10 * s->span_m;
    switch (p->model->bolometric) {
    case NJ_SIGMOID:
        t0 = p->peak;
        amplitude = s->span_m, most_amplitude = 20 * s->span_m;
        set(p, 2, 1, w / 100, long_time);
        break;
    case NJ_BAZIN:
        amplitude *= 1.5, most_amplitude = 20 * s->span_m;
        set(p, 2, w, w / 100, long_time);
        set(p, 3, w, w / 100, long_time);
        break;
    case NJ_LINEXP: {
        double r = 100 * median_step(p, work);
        if (!(fabs(r) > 0)) r = w;
        if (fabs(p->peak - p->first) < fabs(p->peak - p->last)) r = -r;
        t0 = p->peak + r;
        amplitude = s->span_m;
        set(p, 2, r, -long_time, long_time);
        break;
    }
    default:
        set(p, 2, 2 * w, w / 10, 2 * s->span_t);
        set(p, 3, 2 * w, w / 10, 2 * s->span_t);
        set(p, 4, 1, 0.01, 100);
    }
    set(p, T0, t0, s->least_t - long_time, s->most_t + long_time);
    set(p, AMPLITUDE, amplitude, 0, most_amplitude);
}

static void bounds_and_start(nj_rainbow_problem *p, const spread *s, double *work)
{
    static const double coldest = 1e3, hottest = 2e6;
    const uint32_t first = first_temperature(p->model), base = nj_rainbow_first_baseline(p->model);
    shape(p, s, work);
    if (p->model->temperature == NJ_T_CONSTANT) {
        set(p, first, 8000, coldest, hottest);
    } else {
        set(p, first, 7000, coldest, hottest);
        set(p, first + 1, 10000, coldest, hottest);
        set(p, first + 2, 2 * s->width, s->width / 3, 10 * s->span_t);
        if (p->model->temperature == NJ_T_DELAYED_SIGMOID) set(p, first + 3, 0, -s->span_t, s->span_t);
    }
    for (uint32_t b = 0; b + base < p->n_p; b++) {
        double low = INFINITY, high = -INFINITY;
        for (uint32_t i = 0; i < p->n; i++)
            if (p->band[i] == b) low = fmin(low, p->m[i]), high = fmax(high, p->m[i]);
        if (!p->present[b]) low = high = 0;
        if (p->present[b] && !(high > low)) low -= s->span_m / 10; /* one flux: the reference has no room */
        set(p, base + b, p->median[b], low - 10 * (high - low), high);
    }
}

/* Centre and width of what lies above the median, weighted by flux over error. */
static double width_above(nj_rainbow_problem *p, const double *m, double least, double span_t, double *work)
{
    const double median = median_of(m, p->n, work);
    double sum = 0, by_t = 0, squares = 0, weights = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (!(m[i] > median)) continue;
        sum += m[i] * p->weight[i];
        by_t += p->t[i] * m[i] * p->weight[i];
    }
    p->centre = by_t / sum;
    for (uint32_t i = 0; i < p->n; i++) {
        if (!(m[i] > median)) continue;
        const double w = (m[i] - least) * p->weight[i], d = p->t[i] - p->centre;
        squares += d * d * w;
        weights += w;
    }
    if (!isfinite(p->centre)) p->centre = p->peak;
    const double width = sqrt(squares / weights);
    return width > 1e-6 * span_t && isfinite(width) ? width : span_t / 10; /* one point above: none */
}

bool nj_rainbow_scale(const nj_rainbow *model, const nj_rainbow_points *points, double *work,
                      nj_rainbow_problem *p)
{
    const uint32_t n = points->n;
    const uint32_t n8 = padded(n);
    double *t = work, *m = t + n8, *weight = m + n8, *kelvin = weight + n8, *factor = kelvin + n8,
           *row = factor + n8, *column = row + n8, *above = column, *more = column + n8;
    spread s = { .least_t = INFINITY, .most_t = -INFINITY };
    double least = INFINITY;
    *p = (nj_rainbow_problem){ .model = model,
                               .n = n,
                               .n_p = nj_rainbow_parameters(model),
                               .t = t,
                               .m = m,
                               .weight = weight,
                               .kelvin = kelvin,
                               .factor = factor,
                               .row = row,
                               .column = column,
                               .isa = nj_isa_best(),
                               .band = points->band,
                               .upper = points->upper,
                               .most = -INFINITY };
    nj_rainbow_set_bands(model, &p->bands);
    if (!n) return false;
    shift_bands(p, points);
    p->mean_t = mean_of(points->t, n);
    p->std_t = std_of(points->t, n);
    p->std_m = std_of(points->flux, n);
    for (uint32_t i = 0; i < n; i++) {
        t[i] = (points->t[i] - p->mean_t) / p->std_t;
        m[i] = (points->flux[i] - p->shift[points->band[i]]) / p->std_m;
        weight[i] = p->std_m / points->err[i];
        kelvin[i] = p->bands.kelvin[points->band[i]];
        factor[i] = p->bands.factor[points->band[i]];
        if (!isfinite(t[i]) || !isfinite(m[i]) || !(weight[i] > 0) || !isfinite(weight[i])) return false;
    }
    for (uint32_t i = n; i < n8; i++) {
        t[i] = t[n - 1], m[i] = m[n - 1], weight[i] = 0;
        kelvin[i] = kelvin[n - 1], factor[i] = factor[n - 1];
    }
    for (uint32_t b = 0; b < model->n_bands; b++) {
        uint32_t n_band = 0;
        for (uint32_t i = 0; i < n; i++)
            if (points->band[i] == b) above[n_band++] = m[i];
        p->median[b] = n_band && model->baseline ? median_of(above, n_band, more) : 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        above[i] = m[i] - p->median[points->band[i]];
        s.least_t = fmin(s.least_t, t[i]), s.most_t = fmax(s.most_t, t[i]);
        least = fmin(least, above[i]);
        if (above[i] > p->most) p->most = above[i], p->peak = t[i];
    }
    p->first = s.least_t, p->last = s.most_t;
    s.span_t = s.most_t - s.least_t;
    s.span_m = p->most - least;
    if (!(s.span_t > 0) || !(s.span_m > 0)) return false;
    s.width = width_above(p, above, least, s.span_t, more);
    bounds_and_start(p, &s, more);
    return true;
}

/* --- own starts --- */

typedef enum place { AT_FIRST, AT_MIDDLE, AT_PEAK, AT_LAST, AT_CENTRE } place;
typedef struct own_start {
    place at;
    double shape[3];
    bool hot; /* from 12,000 to 20,000 K; else from 9,000 to 6,000 K */
} own_start;

enum { OWN = NJ_RAINBOW_STARTS - 1 };
static const own_start sigmoid_constant[OWN] = { { AT_FIRST, { 0.4 }, false }, { AT_LAST, { 0.4 }, false },
                                                 { AT_FIRST, { 0.1 }, true },  { AT_MIDDLE, { 1.5 }, false },
                                                 { AT_PEAK, { 0.1 }, true },   { AT_LAST, { 1.5 }, true } };
static const own_start sigmoid_sigmoid[OWN] = { { AT_MIDDLE, { 1.5 }, false }, { AT_FIRST, { 1.5 }, true },
                                                { AT_PEAK, { 0.1 }, true },    { AT_FIRST, { 0.4 }, false },
                                                { AT_LAST, { 0.4 }, false },   { AT_MIDDLE, { 0.1 }, true } };
static const own_start bazin_two[OWN] = { { AT_CENTRE, { 0.1, 1 }, true },  { AT_PEAK, { 1, 0.3 }, false },
                                          { AT_PEAK, { 0.2, 0.2 }, false }, { AT_FIRST, { 0.5, 2 }, true },
                                          { AT_CENTRE, { 2, 2 }, false },   { AT_FIRST, { 0.1, 1 }, false } };
static const own_start bazin_base[OWN] = { { AT_PEAK, { 0.2, 0.2 }, false }, { AT_PEAK, { 0.5, 2 }, false },
                                           { AT_CENTRE, { 0.5, 2 }, true },  { AT_FIRST, { 0.1, 1 }, true },
                                           { AT_CENTRE, { 1, 0.3 }, false }, { AT_PEAK, { 2, 2 }, true } };
static const own_start bazin_six[OWN] = { { AT_CENTRE, { 0.5, 2 }, true },   { AT_CENTRE, { 1, 0.3 }, false },
                                          { AT_FIRST, { 0.2, 0.2 }, false }, { AT_PEAK, { 0.1, 1 }, true },
                                          { AT_FIRST, { 0.5, 2 }, false },   { AT_PEAK, { 2, 2 }, true } };
static const own_start bazin_delayed[OWN] = {
    { AT_CENTRE, { 0.2, 0.2 }, false }, { AT_CENTRE, { 0.2, 0.2 }, true }, { AT_PEAK, { 0.5, 2 }, false },
    { AT_FIRST, { 0.1, 1 }, true },     { AT_CENTRE, { 1, 0.3 }, false },  { AT_PEAK, { 2, 2 }, true }
};
static const own_start doublexp_any[OWN] = {
    { AT_PEAK, { 1, 0.3, 0.3 }, false }, { AT_CENTRE, { 2, 0.5, 2 }, true },
    { AT_FIRST, { 1, 1, 1 }, false },    { AT_PEAK, { 0.3, 0.3, 1 }, true },
    { AT_CENTRE, { 1, 2, 0.3 }, false }, { AT_FIRST, { 2, 0.3, 2 }, true }
};
/* From the peak, or beyond an end. */
static const struct {
    place at;
    double offset, rise;
    bool warm; /* 7,000 and 10,000 K, amplitude 1 times the largest flux */
} linexp_any[OWN] = { { AT_PEAK, -3, -3, false }, { AT_LAST, 0.2, 1, true },     { AT_FIRST, -0.2, -1, true },
                      { AT_PEAK, 1, 1, false },   { AT_PEAK, -0.5, -0.5, true }, { AT_LAST, 2, 3, false } };

static const own_start *table_of(const nj_rainbow *m)
{
    switch (m->bolometric) {
    case NJ_SIGMOID: return m->temperature == NJ_T_CONSTANT ? sigmoid_constant : sigmoid_sigmoid;
    case NJ_BAZIN:
        return m->temperature == NJ_T_DELAYED_SIGMOID ? bazin_delayed
               : m->baseline                          ? bazin_base
               : m->n_bands > 3                       ? bazin_six
                                                      : bazin_two;
    default: return doublexp_any;
    }
}

static double time_of(const nj_rainbow_problem *p, place at)
{
    switch (at) {
    case AT_FIRST: return p->first;
    case AT_MIDDLE: return 0.5 * (p->first + p->peak);
    case AT_PEAK: return p->peak;
    case AT_LAST: return p->last;
    default: return p->centre;
    }
}

static void own(const nj_rainbow_problem *p, uint32_t k, double *parameter)
{
    const uint32_t first = first_temperature(p->model);
    double cold = 6000, warm = 9000;
    parameter[AMPLITUDE] = 1.1 * p->most;
    if (p->model->bolometric == NJ_LINEXP) {
        parameter[T0] = time_of(p, linexp_any[k].at) + linexp_any[k].offset;
        parameter[FIRST_SHAPE] = linexp_any[k].rise;
        if (linexp_any[k].warm) parameter[AMPLITUDE] = p->most, cold = 7000, warm = 10000;
    } else {
        const own_start *s = &table_of(p->model)[k];
        parameter[T0] = time_of(p, s->at);
        for (uint32_t i = FIRST_SHAPE; i < first; i++) parameter[i] = s->shape[i - FIRST_SHAPE];
        if (s->hot) cold = 20000, warm = 12000;
    }
    parameter[first] = cold;
    if (p->model->temperature == NJ_T_CONSTANT) return;
    parameter[first + 1] = warm;
    parameter[first + 2] = 1;
}

void nj_rainbow_start(const nj_rainbow_problem *p, uint32_t k, double *parameter)
{
    for (uint32_t i = 0; i < p->n_p; i++) parameter[i] = p->start[i];
    if (k) own(p, k - 1, parameter);
    for (uint32_t i = 0; i < p->n_p; i++) {
        const double margin = 1e-3 * (p->high[i] - p->low[i]);
        if (!(parameter[i] > p->low[i])) parameter[i] = p->low[i] + margin;
        if (!(parameter[i] < p->high[i])) parameter[i] = p->high[i] - margin;
    }
}
