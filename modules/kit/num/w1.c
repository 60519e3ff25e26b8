/* w1.c - the Wasserstein distance of two samples. */
#include "nightjar/num.h"

#include <math.h>
#include <stdlib.h>

/* Wasserstein-1 distances between small samples of equal size
 *
 * Given:     n_values 7 or 15; v [n_values][stride], one sample per column, sorted by nj_w1_sort
 * Returned:  distances times n_values (a common factor does not change a rank statistic)
 *
 * Notes
 * 1) W1 = integral over q of |F_u^-1(q) - F_v^-1(q)|;
 * the quantile functions of two samples of n values are steps on the
 *    same grid k/n, so that W1 = (1/n) sum |u_(k) - v_(k)| over the sorted values: exact. Each sample is
 *    sorted once, by a network (7 values: 16 comparators; 15 values: 58).
 * 2) nj_w1_plain is the integral of |F_u - F_v| as scipy.stats.wasserstein_distance takes it.
 *
 * Reference: Vallender 1974, Theory Probab. Appl. 18, 784, DOI 10.1137/1118101 (the identity);
 * Knuth, The Art of
 *            Computer Programming 3, 5.3.4 (networks). */

/* Comparators (a < b); the network of 15 is the one of 16 with the last value at +infinity. */
static const uint8_t network7[][2] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 0, 2 }, { 3, 5 }, { 4, 6 },
                                       { 0, 1 }, { 4, 5 }, { 2, 6 }, { 0, 4 }, { 1, 5 }, { 0, 3 },
                                       { 2, 5 }, { 1, 3 }, { 2, 4 }, { 2, 3 } };
static const uint8_t network15[][2] = {
    { 0, 1 },   { 2, 3 },   { 4, 5 },   { 6, 7 },  { 8, 9 },   { 10, 11 }, { 12, 13 }, { 0, 2 },  { 4, 6 },
    { 8, 10 },  { 12, 14 }, { 1, 3 },   { 5, 7 },  { 9, 11 },  { 0, 4 },   { 8, 12 },  { 1, 5 },  { 9, 13 },
    { 2, 6 },   { 10, 14 }, { 3, 7 },   { 0, 8 },  { 1, 9 },   { 2, 10 },  { 3, 11 },  { 4, 12 }, { 5, 13 },
    { 6, 14 },  { 5, 10 },  { 6, 9 },   { 3, 12 }, { 13, 14 }, { 7, 11 },  { 1, 2 },   { 4, 8 },  { 1, 4 },
    { 7, 13 },  { 2, 8 },   { 11, 14 }, { 5, 6 },  { 9, 10 },  { 3, 5 },   { 7, 9 },   { 2, 4 },  { 6, 8 },
    { 10, 12 }, { 11, 13 }, { 3, 6 },   { 9, 12 }, { 5, 8 },   { 7, 10 },  { 3, 4 },   { 5, 6 },  { 7, 8 },
    { 9, 10 },  { 11, 12 }, { 6, 7 },   { 8, 9 },
};

#define LANES_FILE "w1_lanes.h"
#include "each_isa.h"
static void (*const sort[NJ_ISAS])(float *, uint32_t, const uint8_t (*)[2], uint32_t) = EACH_ISA(sort);
static void (*const from7[NJ_ISAS])(const float *, uint32_t, uint32_t, float *) = EACH_ISA(from7);
static void (*const from15[NJ_ISAS])(const float *, uint32_t, uint32_t, float *) = EACH_ISA(from15);
static uint32_t (*const pairs7[NJ_ISAS])(const float *, uint32_t, uint32_t, float *) = EACH_ISA(pairs7);
static uint32_t (*const pairs15[NJ_ISAS])(const float *, uint32_t, uint32_t, float *) = EACH_ISA(pairs15);

void nj_w1_sort(nj_isa isa, uint32_t n_values, float *v, uint32_t stride)
{
    if (n_values == 7)
        sort[isa](v, stride, network7, sizeof network7 / sizeof *network7);
    else
        sort[isa](v, stride, network15, sizeof network15 / sizeof *network15);
}

void nj_w1_from(nj_isa isa, uint32_t n_values, const float *v, uint32_t stride, uint32_t which,
                float *distance)
{
    (n_values == 7 ? from7 : from15)[isa](v, stride, which, distance);
}

uint32_t nj_w1_pairs(nj_isa isa, uint32_t n_values, const float *v, uint32_t stride, uint32_t n,
                     float *distance)
{
    return (n_values == 7 ? pairs7 : pairs15)[isa](v, stride, n, distance);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double nj_w1_plain(const double *u, const double *v, uint32_t n)
{
    double all[128], distance = 0;
    for (uint32_t i = 0; i < n; i++) all[i] = u[i], all[n + i] = v[i];
    qsort(all, 2 * n, sizeof *all, by_size);
    for (uint32_t i = 0; i + 1 < 2 * n; i++) {
        uint32_t n_u = 0, n_v = 0; /* values up to all[i]: the distribution functions on [all[i],
                                    * all[i + 1]) */
        for (uint32_t k = 0; k < n; k++) n_u += u[k] <= all[i], n_v += v[k] <= all[i];
        distance += fabs((double)n_u / n - (double)n_v / n) * (all[i + 1] - all[i]);
    }
    return distance;
}
