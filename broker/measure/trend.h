/* trend.h - does a series rise or fall? Theil and Sen's slope, Kendall's test. */
#ifndef NJ_MEASURE_TREND_H
#define NJ_MEASURE_TREND_H

#include <stdint.h>

typedef struct nj_trend {
    uint32_t n;
    double slope;     /* median of the slopes of all pairs with different x; NAN when there is none */
    double low, high; /* its 95 % interval (Sen 1968, eq. 2.6), taken at the nearest ranks */
    double median;    /* of y */
    double tau;       /* tau-b; NAN when x or y is constant */
    double p;         /* two-sided, of no monotonic relation; 1 when x or y is constant */
} nj_trend;

/* What: the trend of y[n] over x[n], in any order, all finite;
 * n^2 / 2 pairs are looked at: for n up to some thousands.
 * Notes: p is exact for n <= 33 without ties (distribution of inversions), else the normal approximation with
 * Kendall's variance for ties, without a continuity correction: what scipy.stats.kendalltau(variant b) does.
 * Neighbours that depend on one another make p too small. n < 3 or memory short: slope NAN, p 1.
 * Reference: Theil 1950, Proc. Kon. Ned. Akad. v. Wetensch. A 53, 386; Sen 1968, JASA 63, 1379,
 * doi:10.1080/01621459.1968.10480934; Kendall 1970, Rank Correlation Methods, 4th ed., ch. 4. */
nj_trend nj_trend_of(const double *x, const double *y, uint32_t n);

#endif
