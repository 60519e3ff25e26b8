/* stats.c - `nightjar compare` needs a test and a verdict that one noisy measurement cannot change. */
#include "stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

enum { EXACT = 30 };
static const double P_LIMIT = 0.002, RATIO_LIMIT = 1.10, MADS = 3;

static const double NORMAL_975 = 1.959963984540054, TAIL = 0.025;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A figure that could not be made must not pass for one: a gate would let everything through. */
static void *room(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    if (!p) nj_give_up("out of memory for statistics of %zu values", n);
    return p;
}

double nj_quantile(const double *value, uint32_t n, double q)
{
    if (!n) return NAN;
    double *sorted = room(n, sizeof *sorted);
    memcpy(sorted, value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double at = q * (n - 1), x = sorted[(uint32_t)at];
    if ((uint32_t)at + 1 < n) x += (at - floor(at)) * (sorted[(uint32_t)at + 1] - x);
    free(sorted);
    return x;
}

double nj_mad(const double *value, uint32_t n)
{
    double median = nj_quantile(value, n, 0.5), *off = room(n, sizeof *off);
    if (!n) return free(off), NAN;
    for (uint32_t i = 0; i < n; i++) off[i] = fabs(value[i] - median);
    double mad = nj_quantile(off, n, 0.5);
    free(off);
    return mad;
}

/* How often each U comes up when all orders are alike: counts c[m][n][u] = c[m-1][n][u-n] + c[m][n-1][u],
 * kept as probabilities' numerators in doubles (at most C(60, 30) = 1e17:
 * relative error far below what a p of 0.002 asks for).
 * Returned: shares of u = 0 .. m n behind the work area, which the caller frees. */
static double *exact_shares(uint32_t m, uint32_t n, double **work)
{
    uint32_t top = m * n;
    double *count = room((size_t)(n + 1) * (top + 1), sizeof *count), all = 0;
    *work = count;
    for (uint32_t j = 0; j <= n; j++) count[(size_t)j * (top + 1)] = 1; /* m = 0 */
    for (uint32_t i = 1; i <= m; i++)
        for (uint32_t j = 1; j <= n; j++) { /* in place: row j still holds i - 1, row j - 1 holds i */
            double *row = count + (size_t)j * (top + 1);
            const double *before = row - (top + 1);
            for (uint32_t k = top + 1; k-- > 0;)
                row[k] = (k >= j ? row[k - j] : 0) + (k <= i * (j - 1) ? before[k] : 0);
        }
    double *last = count + (size_t)n * (top + 1);
    for (uint32_t k = 0; k <= top; k++) all += last[k];
    for (uint32_t k = 0; k <= top; k++) last[k] /= all;
    return last;
}

/* P(U <= u) when all orders are alike. */
static double exact_tail(uint32_t m, uint32_t n, double u)
{
    double *work, *share = exact_shares(m, n, &work), below = 0;
    for (uint32_t k = 0; k <= m * n && k <= u; k++) below += share[k];
    free(work);
    return below;
}

typedef struct ranked {
    double value;
    int of_a;
} ranked;

/* U of a: pairs in which a is the larger, ties counted half. ties: sum of t^3 - t. crossed: a value is on
 * both sides; ties within one side change no order of the two. */
static double u_of(const double *a, uint32_t n_a, const double *b, uint32_t n_b, double *ties, int *crossed)
{
    uint32_t n = n_a + n_b;
    ranked *all = room(n, sizeof *all);
    double rank_sum = 0;
    *ties = *crossed = 0;
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

double nj_superiority(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    double ties;
    int crossed;
    if (!n_a || !n_b) return NAN;
    return u_of(a, n_a, b, n_b, &ties, &crossed) / ((double)n_a * n_b);
}

double nj_mann_whitney(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    if (!n_a || !n_b) return 1;
    int crossed;
    double ties, u = u_of(a, n_a, b, n_b, &ties, &crossed), pairs = (double)n_a * n_b, n = (double)n_a + n_b;
    if (!crossed && n_a <= EXACT && n_b <= EXACT)
        return fmin(1, 2 * exact_tail(n_a, n_b, fmin(u, pairs - u)));
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

/* ---- the interval of the ratio --------------------------------------------------------------- */

/* The rank of the interval's ends among all pairs' ratios, counted from each end;
 * 0 = no interval of 95 % is possible. */
static double end_rank(uint32_t m, uint32_t n)
{
    double pairs = (double)m * n, rank = 0;
    if (m > EXACT || n > EXACT)
        return floor(fmax(0, pairs / 2 - NORMAL_975 * sqrt(pairs * ((double)m + n + 1) / 12)));
    double *work, *share = exact_shares(m, n, &work), below = 0;
    for (uint32_t u = 0; u <= m * n && (below += share[u]) <= TAIL; u++) rank = u + 1;
    free(work);
    return rank;
}

/* Sorted copy. A time of 0 is below the clock's step: a billionth of a ns keeps ratios finite. */
static double *sorted_times(const double *value, uint32_t n)
{
    double *copy = room(n, sizeof *copy);
    for (uint32_t i = 0; i < n; i++) copy[i] = fmax(value[i], 1e-9);
    qsort(copy, n, sizeof *copy, by_value);
    return copy;
}

/* The k-th smallest (from 1) of all b / a, both sorted and positive: the smallest ratio with k pairs at or
 * below it, found by halving the doubles in order of their bits.
 * No list of all pairs: a side may have 1e5 samples. */
static double ratio_at(double k, const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    uint64_t low = 0, high = UINT64_C(0x7ff0000000000000);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        double r, pairs = 0;
        memcpy(&r, &middle, sizeof r);
        for (uint32_t i = 0, j = 0; i < n_a; i++) {
            while (j < n_b && b[j] <= r * a[i]) j++;
            pairs += j;
        }
        if (pairs >= k)
            high = middle;
        else
            low = middle + 1;
    }
    double r;
    memcpy(&r, &low, sizeof r);
    return r;
}

static void set_interval(nj_comparison *c, const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    double rank = n_a && n_b ? end_rank(n_a, n_b) : 0;
    double *x = rank >= 1 ? sorted_times(a, n_a) : NULL, *y = x ? sorted_times(b, n_b) : NULL;
    c->low = y ? ratio_at(rank, x, n_a, y, n_b) : 0;
    c->high = y ? ratio_at((double)n_a * n_b + 1 - rank, x, n_a, y, n_b) : INFINITY;
    free(x);
    free(y);
}

/* The interval narrows with the root of the number of samples. */
static uint32_t enough_of(const nj_comparison *c, uint32_t n)
{
    enum { USUAL = 25, MOST = 100000 };
    if (!(c->low > 0) || !isfinite(c->high)) return USUAL;
    double worst = fmax(log(c->high), -log(c->low)) / log(RATIO_LIMIT), want = ceil(n * worst * worst);
    return want < MOST ? (uint32_t)want : MOST;
}

nj_comparison nj_compare(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    nj_comparison c = { .median_a = nj_quantile(a, n_a, 0.5),
                        .median_b = nj_quantile(b, n_b, 0.5),
                        .mad_a = nj_mad(a, n_a),
                        .mad_b = nj_mad(b, n_b) };
    c.ratio = c.median_b / c.median_a;
    c.p = nj_mann_whitney(a, n_a, b, n_b);
    double least = n_a && n_b && n_a <= EXACT && n_b <= EXACT ? 2 * exact_tail(n_a, n_b, 0)
                   : n_a && n_b                               ? 0
                                                              : 1;
    if (least >= P_LIMIT)
        c.verdict = NJ_TOO_FEW;
    else if (!(c.p < P_LIMIT) ||
             (!(fabs(c.median_b - c.median_a) > MADS * fmax(c.mad_a, c.mad_b)) && !apart(a, n_a, b, n_b)))
        c.verdict = NJ_SAME;
    else
        c.verdict = c.ratio > RATIO_LIMIT       ? NJ_REGRESSION
                    : c.ratio < 1 / RATIO_LIMIT ? NJ_IMPROVEMENT
                                                : NJ_SAME;
    set_interval(&c, a, n_a, b, n_b);
    c.found = c.low > 1                                           ? NJ_SLOWER
              : c.high < 1                                        ? NJ_FASTER
              : c.low >= 1 / RATIO_LIMIT && c.high <= RATIO_LIMIT ? NJ_ALIKE
                                                                  : NJ_CANNOT_TELL;
    if (c.found == NJ_CANNOT_TELL) c.enough = enough_of(&c, n_a < n_b ? n_a : n_b);
    return c;
}

/* ---- in words -------------------------------------------------------------------------------- */

const char *nj_comparison_word(const nj_comparison *c)
{
    static const char *const found[] = { "same", "slower", "faster", "undecided" };
    return c->verdict == NJ_REGRESSION    ? "REGRESSION"
           : c->verdict == NJ_IMPROVEMENT ? "improvement"
                                          : found[c->found];
}

const char *nj_comparison_words(char text[NJ_WORDS], const nj_comparison *c, const char *option)
{
    const char *gate = c->verdict == NJ_REGRESSION    ? ": REGRESSION"
                       : c->verdict == NJ_IMPROVEMENT ? ": improvement"
                       : c->verdict == NJ_TOO_FEW     ? "; too few for a gate"
                                                      : "; within what a gate allows";
    double low = 100 * (c->low - 1), high = 100 * (c->high - 1);
    int n = 0;
    if (c->found == NJ_ALIKE)
        snprintf(text, NJ_WORDS, "same (%+.1f to %+.1f %%)", low, high);
    else if (c->found == NJ_SLOWER)
        snprintf(text, NJ_WORDS, "slower by %.1f to %.1f %%%s", low, high, gate);
    else if (c->found == NJ_FASTER)
        snprintf(text, NJ_WORDS, "faster by %.1f to %.1f %%%s", -high, -low, gate);
    else {
        if (c->verdict == NJ_REGRESSION || c->verdict == NJ_IMPROVEMENT)
            n = snprintf(text, NJ_WORDS, "%s; ", gate + 2);
        if (c->low > 0 && isfinite(c->high))
            n += snprintf(text + n, NJ_WORDS - (size_t)n, "undecided (%+.1f to %+.1f %%): ", low, high);
        else
            n += snprintf(text + n, NJ_WORDS - (size_t)n, "undecided: ");
        snprintf(text + n, NJ_WORDS - (size_t)n,
                 option ? "too few rounds: %2$s %1$u" : "too few samples: %u of each side", c->enough,
                 option);
    }
    return text;
}
