/* stats.h - is B slower than A? Order statistics and the Mann-Whitney test, and the verdict of `nightjar compare`. */
#ifndef NJ_MEASURE_STATS_H
#define NJ_MEASURE_STATS_H

#include <stdint.h>

/* Quantile q (0..1) of n values in any order, linear between neighbours; NAN when n = 0 or memory is short. */
double nj_quantile(const double *value, uint32_t n, double q);
/* Median absolute deviation from the median. */
double nj_mad(const double *value, uint32_t n);

/* Two-sided p of the Mann-Whitney U test. Exact for up to 30 values on each side without a value on both, else the normal
 * approximation with corrections for ties and continuity. 1 when a side is empty.
 * Reference: Mann & Whitney 1947, Ann. Math. Stat. 18, 50, doi:10.1214/aoms/1177730491. */
double nj_mann_whitney(const double *a, uint32_t n_a, const double *b, uint32_t n_b);

typedef enum { NJ_SAME, NJ_REGRESSION, NJ_IMPROVEMENT, NJ_TOO_FEW } nj_verdict;
extern const char *const nj_verdict_name[]; /* "same", "REGRESSION", "improvement", "too few" */

typedef struct nj_comparison {
    double median_a, median_b, mad_a, mad_b; /* of times: more is slower */
    double ratio, p;                         /* ratio = median_b / median_a */
    nj_verdict verdict;
} nj_comparison;

/* Regression: p < 0.002 and ratio > 1.10 and the medians further apart than 3 MAD (the larger of the two), or no value of one
 * side within the range of the other.
 * TOO_FEW: with so few samples p cannot get below 0.002, whatever they are. */
nj_comparison nj_compare(const double *a, uint32_t n_a, const double *b, uint32_t n_b);

#endif
