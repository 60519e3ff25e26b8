/* drift.h - what a batch cost, along the run: one figure per batch and series (module or stage),
 * in bounded memory.
 *
 * Owner: one writer (a worker, or the output thread); read when the writers have stopped. Of a long run every
 * second, fourth, eighth ... batch is kept, evenly over all of it. */
#ifndef NJ_MEASURE_DRIFT_H
#define NJ_MEASURE_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

#include "trend.h"

enum { NJ_DRIFT_ROWS = 512, NJ_DRIFT_POINTS = 256 };

typedef struct nj_drift {
    uint32_t n_series, n;
    uint64_t stride; /* power of two: batches whose number it divides are kept */
    uint64_t *batch; /* [NJ_DRIFT_ROWS], ascending */
    float *ns;       /* [NJ_DRIFT_ROWS][n_series] ns per alert; NAN = the series had nothing to do */
} nj_drift;

nj_drift *nj_drift_new(uint32_t n_series); /* NULL when memory is short */
void nj_drift_free(nj_drift *drift);

/* The row to fill (all NAN) for a batch, or NULL when this batch is not one to keep. Numbers ascend. */
float *nj_drift_row(nj_drift *drift, uint64_t batch);

/* Median of value[n], each counted weight[n] times; sorts both. NAN when n = 0. */
typedef struct nj_weighted {
    float value, weight;
} nj_weighted;
float nj_weighted_median(nj_weighted *item, uint32_t n);

/* One series over the run. */
typedef struct nj_drift_line {
    uint32_t n;
    double *batch, *ns;      /* [n], by batch; owned */
    uint64_t stride;         /* the points are this many batches apart */
    nj_trend trend;          /* slope in ns per batch */
    double percent_per_1000; /* slope / median: % per 1000 batches; NAN when there is no trend to speak of */
    double change_percent;   /* over all of the run's batches */
    bool drifts;             /* p < 0.002 and the change is beyond 10 % */
} nj_drift_line;

/* Takes one series out of the writers' rows: at most NJ_DRIFT_POINTS, evenly spaced.
 * 0, or -1 when memory is short. */
int nj_drift_line_of(nj_drift *const *drift, uint32_t n_drifts, uint32_t series, nj_drift_line *line);
void nj_drift_line_free(nj_drift_line *line);

#endif
