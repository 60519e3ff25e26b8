/* drift.c - a module can become slower during a run; this keeps the cost per batch in bounded memory and
 * tests for a change. */
#include "drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double P_LIMIT = 0.002, CHANGE_PERCENT = 10;

nj_drift *nj_drift_new(uint32_t n_series)
{
    nj_drift *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    *d = (nj_drift){ .n_series = n_series,
                     .stride = 1,
                     .batch = malloc(NJ_DRIFT_ROWS * sizeof *d->batch),
                     .ns = malloc((size_t)NJ_DRIFT_ROWS * (n_series + 1) * sizeof *d->ns) };
    if (d->batch && d->ns) return d;
    nj_drift_free(d);
    return NULL;
}

void nj_drift_free(nj_drift *d)
{
    if (!d) return;
    free(d->batch);
    free(d->ns);
    free(d);
}

static void halve(nj_drift *d)
{
    uint32_t k = 0;
    d->stride *= 2;
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->batch[i] % d->stride) continue;
        d->batch[k] = d->batch[i];
        memmove(d->ns + (size_t)k * d->n_series, d->ns + (size_t)i * d->n_series,
                d->n_series * sizeof *d->ns);
        k++;
    }
    d->n = k;
}

float *nj_drift_row(nj_drift *d, uint64_t batch)
{
    if (batch % d->stride) return NULL;
    while (d->n == NJ_DRIFT_ROWS) halve(d); /* the numbers of one worker may all be even */
    if (batch % d->stride) return NULL;
    float *row = d->ns + (size_t)d->n * d->n_series;
    d->batch[d->n++] = batch;
    for (uint32_t i = 0; i < d->n_series; i++) row[i] = NAN;
    return row;
}

static int by_weighted(const void *a, const void *b)
{
    float x = ((const nj_weighted *)a)->value, y = ((const nj_weighted *)b)->value;
    return (x > y) - (x < y);
}

float nj_weighted_median(nj_weighted *item, uint32_t n)
{
    float all = 0, seen = 0;
    if (n > 1) qsort(item, n, sizeof *item, by_weighted);
    for (uint32_t i = 0; i < n; i++) all += item[i].weight;
    for (uint32_t i = 0; i < n; i++) {
        seen += item[i].weight;
        if (2 * seen > all) return item[i].value;
        if (2 * seen == all) return i + 1 < n ? 0.5f * (item[i].value + item[i + 1].value) : item[i].value;
    }
    return NAN;
}

/* --- afterwards --- */

typedef struct point {
    double batch, ns;
} point;

static int by_batch(const void *a, const void *b)
{
    double x = ((const point *)a)->batch, y = ((const point *)b)->batch;
    return (x > y) - (x < y);
}

static uint32_t collect(nj_drift *const *drift, uint32_t n_drifts, uint32_t series, uint64_t stride,
                        point *into, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < n_drifts; k++)
        for (uint32_t i = 0; i < drift[k]->n; i++) {
            float ns = drift[k]->ns[(size_t)i * drift[k]->n_series + series];
            if (drift[k]->batch[i] % stride || !isfinite(ns)) continue;
            if (n < room) into[n] = (point){ (double)drift[k]->batch[i], (double)ns };
            n++;
        }
    return n;
}

/* What the slope comes to over the run, and whether that is to be reported. */
static void judge(nj_drift_line *line)
{
    double span = line->batch[line->n - 1] - line->batch[0], middle = line->trend.median;
    line->percent_per_1000 = middle > 0 ? 100 * 1000 * line->trend.slope / middle : NAN;
    line->change_percent = middle > 0 ? 100 * line->trend.slope * span / middle : NAN;
    line->drifts = line->trend.p < P_LIMIT && fabs(line->change_percent) > CHANGE_PERCENT;
}

int nj_drift_line_of(nj_drift *const *drift, uint32_t n_drifts, uint32_t series, nj_drift_line *line)
{
    memset(line, 0, sizeof *line);
    line->percent_per_1000 = line->change_percent = NAN;
    line->trend = nj_trend_of(NULL, NULL, 0);
    uint64_t stride = 1;
    for (uint32_t k = 0; k < n_drifts; k++) stride = drift[k]->stride > stride ? drift[k]->stride : stride;
    while (collect(drift, n_drifts, series, stride, NULL, 0) > NJ_DRIFT_POINTS) stride *= 2;
    point *p = malloc(NJ_DRIFT_POINTS * sizeof *p);
    line->batch = malloc(2 * NJ_DRIFT_POINTS * sizeof *line->batch);
    if (!p || !line->batch) {
        free(p);
        nj_drift_line_free(line);
        return -1;
    }
    line->ns = line->batch + NJ_DRIFT_POINTS;
    line->n = collect(drift, n_drifts, series, stride, p, NJ_DRIFT_POINTS);
    line->stride = stride;
    qsort(p, line->n, sizeof *p, by_batch);
    for (uint32_t i = 0; i < line->n; i++) line->batch[i] = p[i].batch, line->ns[i] = p[i].ns;
    free(p);
    line->trend = nj_trend_of(line->batch, line->ns, line->n);
    if (line->n >= 3) judge(line);
    return 0;
}

void nj_drift_line_free(nj_drift_line *line)
{
    free(line->batch);
    memset(line, 0, sizeof *line);
}
