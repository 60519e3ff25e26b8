/* period_sums.h - what the ways to calculate a periodogram share. */
#ifndef NJ_NUM_PERIOD_SUMS_H
#define NJ_NUM_PERIOD_SUMS_H
#include <stdint.h>

/* Weights of sum 1, times about their middle, values about their weighted mean; [n] each. */
typedef struct nj_period_curve {
    double *t, *y, *w, yy, chi2;
} nj_period_curve;

/* Weighted variances of cos and sin below this are rounding: the wave cannot be told from a constant. */
#define NJ_PERIOD_LEAST 1e-9

/* 0: too few points, all at one time, or values that do not vary. */
int nj_period_weigh(uint32_t n, const double *t, const double *y, const double *err, nj_period_curve *c);
/* The power at one frequency, by its definition. */
double nj_period_power_at(uint32_t n, const nj_period_curve *c, double f);

#endif
