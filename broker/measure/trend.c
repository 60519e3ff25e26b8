/* trend.c - `nightjar report --history` shows whether a module's cost rises; this estimates the slope and
 * its p-value. */
#include "trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

enum { EXACT = 33 };
static const double NORMAL_975 = 1.959963984540054;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sums over the groups of t equal values: of t(t-1)/2, t(t-1)(t-2) and t(t-1)(2t+5). */
typedef struct ties {
    double pairs, triples, weighted;
} ties;

static ties ties_of(const double *value, double *room, uint32_t n)
{
    ties sum = { 0 };
    memcpy(room, value, n * sizeof *room);
    qsort(room, n, sizeof *room, by_value);
    for (uint32_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && room[j] == room[i];) j++;
        double t = j - i;
        sum.pairs += t * (t - 1) / 2;
        sum.triples += t * (t - 1) * (t - 2);
        sum.weighted += t * (t - 1) * (2 * t + 5);
    }
    return sum;
}

/* Two-sided p of so many discordant pairs in a random order of n:
 * inversions of n are those of n - 1 and 0 .. n - 1 more. */
static double exact_p(uint32_t n, double discordant)
{
    double share[EXACT * (EXACT - 1) / 2 + 1] = { 1 }, below = 0;
    uint32_t top = 0, all = n * (n - 1) / 2;
    for (uint32_t m = 2; m <= n; m++) {
        double before[sizeof share / sizeof *share], window = 0;
        memcpy(before, share, sizeof before);
        top += m - 1;
        for (uint32_t k = 0; k <= top; k++) {
            window += before[k];
            if (k >= m) window -= before[k - m];
            share[k] = window / m;
        }
    }
    double few = fmin(discordant, all - discordant);
    for (uint32_t k = 0; k <= few; k++) below += share[k];
    return fmin(1, 2 * below);
}

static double normal_p(uint32_t count, double s, const ties *x, const ties *y)
{
    double n = count, m = n * (n - 1);
    double variance = (m * (2 * n + 5) - x->weighted - y->weighted) / 18 + 2 * x->pairs * y->pairs / m +
                      x->triples * y->triples / (9 * m * (n - 2));
    return variance > 0 ? erfc(fabs(s) / sqrt(2 * variance)) : 1;
}

/* Interval at the ranks that Kendall's variance gives. slopes: sorted. */
static void interval(nj_trend *t, const double *slope, size_t n_slopes, const ties *x, const ties *y)
{
    double n = t->n, sigma = sqrt((n * (n - 1) * (2 * n + 5) - x->weighted - y->weighted) / 18),
           half = NORMAL_975 * sigma;
    double upper = fmin(rint(((double)n_slopes + half) / 2), (double)n_slopes - 1),
           lower = fmax(rint(((double)n_slopes - half) / 2) - 1, 0);
    t->low = slope[(size_t)lower];
    t->high = slope[(size_t)upper];
}

nj_trend nj_trend_of(const double *x, const double *y, uint32_t n)
{
    nj_trend t = {
        .n = n, .slope = NAN, .low = NAN, .high = NAN, .median = nj_quantile(y, n, 0.5), .tau = NAN, .p = 1
    };
    size_t pairs = (size_t)n * (n - (n > 0)) / 2, n_slopes = 0;
    double *slope = n >= 3 ? malloc((pairs + n) * sizeof *slope) : NULL, *room = slope ? slope + pairs : NULL;
    if (!slope) return t;
    double s = 0, discordant = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = i + 1; j < n; j++) {
            double dx = x[j] - x[i], dy = y[j] - y[i];
            if (dx == 0) continue;
            slope[n_slopes++] = dy / dx;
            int sign = (dy > 0) - (dy < 0);
            if (dx < 0) sign = -sign;
            s += sign;
            discordant += sign < 0;
        }
    ties of_x = ties_of(x, room, n), of_y = ties_of(y, room, n);
    if (n_slopes) {
        qsort(slope, n_slopes, sizeof *slope, by_value);
        t.slope = 0.5 * (slope[(n_slopes - 1) / 2] + slope[n_slopes / 2]);
        interval(&t, slope, n_slopes, &of_x, &of_y);
    }
    double different_x = (double)pairs - of_x.pairs, different_y = (double)pairs - of_y.pairs;
    if (different_x > 0 && different_y > 0) {
        t.tau = s / sqrt(different_x) / sqrt(different_y);
        t.p =
            n <= EXACT && !of_x.pairs && !of_y.pairs ? exact_p(n, discordant) : normal_p(n, s, &of_x, &of_y);
    }
    free(slope);
    return t;
}
