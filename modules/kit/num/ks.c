/* ks.c - the two-sample Kolmogorov-Smirnov test. */
#include "nightjar/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two-sample Kolmogorov-Smirnov statistic, two-sided, a few hundred values against many
 *
 * Given:     x [n_x], y: n_y values, all >= 0 and finite, any order;
 * y may hold +inf in between, which does not count
 * Returned:  D = sup |F_x - F_y|; -1 when x or y has fewer than 3 distinct values
 *
 * Notes
 * 1) F_x is a step function and F_y rises: the supremum of F_x - F_y is reached at a value of x,
 * that of F_y - F_x just
 *    left of one. So only #(y <= x_i) and #(y < x_i) count, and y is never sorted.
 * 2) A histogram of y over cells of the floats' bit patterns (which rise with the
 * value) bounds both counts for each
 *    x_i; they are counted exactly only where the bound could beat the best so far.
 * 3) The quotients are taken as scipy.stats.ks_2samp takes them (two divisions, then the difference):
 * the same double,
 *    ties included. x and y are floats here.
 *
 * Reference: Hodges 1958, Ark. Mat. 3, 469, DOI 10.1007/BF02589501. */

#define LANES_FILE "ks_lanes.h"
#include "each_isa.h"
static void (*const rank[NJ_ISAS])(const float *, uint32_t, float *) = EACH_ISA(rank);
static void (*const classify[NJ_ISAS])(const float *, uint32_t, int32_t, int32_t,
                                       uint16_t *) = EACH_ISA(classify);
static void (*const count_at[NJ_ISAS])(const float *, uint32_t, float, uint32_t *,
                                       uint32_t *) = EACH_ISA(count_at);

static int32_t bits(float f)
{
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i;
}

/* Have the values (without infinities) at least three distinct ones? */
static bool three_distinct(const float *v, uint32_t n)
{
    float had[2];
    int m = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!(v[i] < INFINITY) || (m > 0 && v[i] == had[0]) || (m > 1 && v[i] == had[1])) continue;
        if (m == 2) return true;
        had[m++] = v[i];
    }
    return false;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Cells of equal width in bit patterns from the smallest x on: 0 is below all x, the last above. */
static void histogram(nj_ks_work *work, nj_isa isa, const float *y, uint32_t n_stored, int32_t base,
                      int32_t shift)
{
    enum {
        CHUNK = sizeof work->index / sizeof *work->index,
        TABLES = sizeof work->cell / sizeof *work->cell
    };
    memset(work->cell, 0, sizeof work->cell);
    for (uint32_t from = 0; from < n_stored; from += CHUNK) {
        uint32_t n = n_stored - from < CHUNK ? n_stored - from : CHUNK;
        classify[isa](y + from, n, base, shift, work->index);
        for (uint32_t i = 0; i < n; i += TABLES) { /* neighbours of one cell do not wait for each other */
            work->cell[0][work->index[i]]++;
            work->cell[1][work->index[i + 1]]++;
            work->cell[2][work->index[i + 2]]++;
            work->cell[3][work->index[i + 3]]++;
        }
    }
    work->below[0] = 0;
    for (uint32_t c = 0; c < NJ_KS_CELLS; c++)
        work->below[c + 1] = work->below[c] + (uint32_t)work->cell[0][c] + work->cell[1][c] +
                             work->cell[2][c] + work->cell[3][c];
}

double nj_ks(nj_ks_work *work, nj_isa isa, const float *x, uint32_t n_x, const float *y, uint32_t n_stored,
             uint32_t n_y)
{
    enum { PAD = 32 };
    float upper[NJ_KS_MAX_X + PAD] = { 0 }; /* no difference at x_i is above this */
    double best = 0;                        /* nor is the largest below this */
    if (!three_distinct(x, n_x) || !three_distinct(y, n_stored)) return -1;
    memcpy(upper, x, n_x * sizeof *x);
    rank[isa](upper, n_x, work->x);
    const float *sorted = work->x;
    int32_t base = bits(sorted[0]), shift = 0;
    while ((bits(sorted[n_x - 1]) - base) >> shift > NJ_KS_CELLS - 3) shift++;
    histogram(work, isa, y, n_stored, base, shift);

    const double step_x = 1.0 / n_x, step_y = 1.0 / n_y, slack = 1e-9; /* bounds need no division */
    for (uint32_t i = 0; i < n_x; i++) {
        uint32_t c = (uint32_t)((bits(sorted[i]) - base) >> shift) + 1, first = i, last = i;
        while (first && sorted[first - 1] == sorted[i]) first--;
        while (last + 1 < n_x && sorted[last + 1] == sorted[i]) last++;
        const double below = work->below[c] * step_y, up_to = work->below[c + 1] * step_y;
        const double here = (last + 1) * step_x, before = first * step_x;
        upper[i] = (float)(larger(here - below, up_to - before) + 1e-6); /* F_x - F_y, F_y - F_x at most */
        best = larger(best, larger(here - up_to, below - before) - slack);
    }
    double d = 0; /* exact values only: best is a bound */
    for (;;) {
        uint32_t i = 0, n_le, n_lt, first, last;
        for (uint32_t k = 1; k < n_x; k++)
            if (upper[k] > upper[i]) i = k;
        if (upper[i] < best || upper[i] <= d) break;
        count_at[isa](y, n_stored, sorted[i], &n_le, &n_lt);
        for (first = i; first && sorted[first - 1] == sorted[i]; first--) continue;
        for (last = i; last + 1 < n_x && sorted[last + 1] == sorted[i]; last++) continue;
        d = fmax(d, fmax((last + 1.0) / n_x - (double)n_le / n_y, (double)n_lt / n_y - (double)first / n_x));
        for (uint32_t k = first; k <= last; k++) upper[k] = -1;
    }
    return fmin(d, 1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool three_in_order(const double *v, uint32_t n)
{
    uint32_t distinct = 1;
    for (uint32_t i = 1; i < n; i++) distinct += v[i] != v[i - 1];
    return n && distinct >= 3;
}

double nj_ks_plain(double *x, uint32_t n_x, double *y, uint32_t n_y)
{
    double plus = 0, minus = 0;
    qsort(x, n_x, sizeof *x, by_size);
    qsort(y, n_y, sizeof *y, by_size);
    if (!three_in_order(x, n_x) || !three_in_order(y, n_y)) return -1;
    for (uint32_t i = 0, j = 0; i < n_x || j < n_y;) {
        double z = j == n_y || (i < n_x && x[i] <= y[j]) ? x[i] : y[j];
        while (i < n_x && x[i] <= z) i++;
        while (j < n_y && y[j] <= z) j++;
        double d = (double)i / n_x - (double)j / n_y;
        plus = fmax(plus, d), minus = fmax(minus, -d);
    }
    return fmax(plus, fmin(minus, 1));
}
