#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT = 30 };
static const double P_LIMIT = 0.002, RATIO_LIMIT = 1.10, MADS = 3;

const char *const nj_verdict_name[] = { "same", "REGRESSION", "improvement", "too few" };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double nj_quantile(const double *value, uint32_t n, double q)
{
    double *sorted = n ? malloc(n * sizeof *sorted) : NULL;
    if (!sorted) return NAN;
    memcpy(sorted, value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double at = q * (n - 1), x = sorted[(uint32_t)at];
    if ((uint32_t)at + 1 < n) x += (at - floor(at)) * (sorted[(uint32_t)at + 1] - x);
    free(sorted);
    return x;
}

double nj_mad(const double *value, uint32_t n)
{
    double median = nj_quantile(value, n, 0.5), *off = n ? malloc(n * sizeof *off) : NULL;
    if (!off) return NAN;
    for (uint32_t i = 0; i < n; i++) off[i] = fabs(value[i] - median);
    double mad = nj_quantile(off, n, 0.5);
    free(off);
    return mad;
}

/* P(U <= u) when all orders are alike: counts c[m][n][u] = c[m-1][n][u-n] + c[m][n-1][u], kept as probabilities'
 * numerators in doubles (at most C(60, 30) = 1e17: relative error far below what a p of 0.002 asks for). */
static double exact_tail(uint32_t m, uint32_t n, double u)
{
    uint32_t top = m * n;
    double *count = calloc((size_t)(n + 1) * (top + 1), sizeof *count), below = 0, all = 0;
    if (!count) return NAN;
    for (uint32_t j = 0; j <= n; j++) count[(size_t)j * (top + 1)] = 1; /* m = 0 */
    for (uint32_t i = 1; i <= m; i++)
        for (uint32_t j = 1; j <= n; j++) { /* in place: row j still holds i - 1, row j - 1 holds i */
            double *row = count + (size_t)j * (top + 1);
            const double *before = row - (top + 1);
            for (uint32_t k = top + 1; k-- > 0;) row[k] = (k >= j ? row[k - j] : 0) + (k <= i * (j - 1) ? before[k] : 0);
        }
    const double *last = count + (size_t)n * (top + 1);
    for (uint32_t k = 0; k <= top; k++) {
        all += last[k];
        if (k <= u) below += last[k];
    }
    free(count);
    return below / all;
}

typedef struct ranked {
    double value;
    int of_a;
} ranked;

/* U of a: pairs in which a is the larger, ties counted half. ties: sum of t^3 - t. crossed: a value is on both sides;
 * ties within one side change no order of the two. */
static double u_of(const double *a, uint32_t n_a, const double *b, uint32_t n_b, double *ties, int *crossed)
{
    uint32_t n = n_a + n_b;
    ranked *all = malloc(n * sizeof *all);
    double rank_sum = 0;
    *ties = *crossed = 0;
    if (!all) return NAN;
    for (uint32_t i = 0; i < n; i++) all[i] = i < n_a ? (ranked){ a[i], 1 } : (ranked){ b[i - n_a], 0 };
    qsort(all, n, sizeof *all, by_value); /* value is the first member */
    for (uint32_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && all[j].value == all[i].value;) j++;
        double t = j - i;
        *ties += t * t * t - t;
        uint32_t of_a = 0;
        for (uint32_t k = i; k < j; k++) of_a += (uint32_t)all[k].of_a;
        rank_sum += of_a * 0.5 * (i + 1 + j);
        *crossed |= of_a && of_a < j - i;
    }
    free(all);
    return rank_sum - 0.5 * n_a * (n_a + 1.0);
}

double nj_mann_whitney(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    if (!n_a || !n_b) return 1;
    int crossed;
    double ties, u = u_of(a, n_a, b, n_b, &ties, &crossed), pairs = (double)n_a * n_b, n = (double)n_a + n_b;
    if (!crossed && n_a <= EXACT && n_b <= EXACT) return fmin(1, 2 * exact_tail(n_a, n_b, fmin(u, pairs - u)));
    double variance = pairs / 12 * (n + 1 - ties / (n * (n - 1)));
    if (!(variance > 0)) return 1; /* all equal */
    double z = fmax(fabs(u - pairs / 2) - 0.5, 0) / sqrt(variance);
    return erfc(z / sqrt(2));
}

/* All of one side below all of the other: its own scatter is then no reason to doubt. */
static int apart(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    return nj_quantile(a, n_a, 1) < nj_quantile(b, n_b, 0) || nj_quantile(b, n_b, 1) < nj_quantile(a, n_a, 0);
}

nj_comparison nj_compare(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    nj_comparison c = { .median_a = nj_quantile(a, n_a, 0.5),
                        .median_b = nj_quantile(b, n_b, 0.5),
                        .mad_a = nj_mad(a, n_a),
                        .mad_b = nj_mad(b, n_b) };
    c.ratio = c.median_b / c.median_a;
    c.p = nj_mann_whitney(a, n_a, b, n_b);
    double least = n_a && n_b && n_a <= EXACT && n_b <= EXACT ? 2 * exact_tail(n_a, n_b, 0) : n_a && n_b ? 0 : 1;
    if (least >= P_LIMIT)
        c.verdict = NJ_TOO_FEW;
    else if (!(c.p < P_LIMIT) || (!(fabs(c.median_b - c.median_a) > MADS * fmax(c.mad_a, c.mad_b)) && !apart(a, n_a, b, n_b)))
        c.verdict = NJ_SAME;
    else
        c.verdict = c.ratio > RATIO_LIMIT ? NJ_REGRESSION : c.ratio < 1 / RATIO_LIMIT ? NJ_IMPROVEMENT : NJ_SAME;
    return c;
}
