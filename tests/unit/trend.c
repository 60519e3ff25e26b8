/* trend.c - trends: slope and p against printed tables and against scipy 1.10.1 (kendalltau, theilslopes;
 * the series are remade here digit by digit); what is kept of a long run; weighted medians. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "broker/measure/drift.h"

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

/* Sen 1968, section 6: the median of the 21 slopes is 4. */
static void sen(void **state)
{
    (void)state;
    const double t[] = { 1, 2, 3, 4, 10, 12, 18 }, x[] = { 9, 15, 19, 20, 45, 55, 78 };
    nj_trend r = nj_trend_of(t, x, 7);
    near(r.slope, 4, 1e-15);
    assert_true(r.low < 4 && r.high > 4);
    near(r.median, 20, 0);
    near(r.tau, 1, 1e-15);
    near(r.p, 2.0 / 5040, 1e-18); /* 1 of 7! orders on each side */
}

/* Kendall 1970, appendix table 1: one-sided probabilities of S, printed to three digits. */
static void table(void **state)
{
    (void)state;
    static const struct {
        int n, s;
        double p;
    } printed[] = { { 4, 6, 0.042 },  { 5, 8, 0.042 },   { 8, 16, 0.031 },
                    { 9, 20, 0.022 }, { 10, 21, 0.036 }, { 10, 23, 0.023 } };
    for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
        double x[10], y[10];
        int n = printed[i].n, inversions = (n * (n - 1) / 2 - printed[i].s) / 2;
        for (int k = 0; k < n; k++) x[k] = k, y[k] = k;
        for (int pass = 0, left = inversions; pass < n && left; pass++) /* bubbles: each swap is one
                                                                         * inversion */
            for (int k = 0; k + 1 < n && left; k++)
                if (y[k] < y[k + 1]) {
                    double v = y[k];
                    y[k] = y[k + 1], y[k + 1] = v;
                    left--;
                }
        nj_trend r = nj_trend_of(x, y, (uint32_t)n);
        near(r.tau, printed[i].s / (n * (n - 1) / 2.0), 1e-14);
        near(r.p / 2, printed[i].p, 0.00051);
    }
}

static uint64_t seed;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) * 0x1p-53;
}

static void against_scipy(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        double slope, quantum, tau, p, median, low, high;
    } want[] = {
        { 33, 0.02, 0, 0.34090909090909094, 0.004925304940506378, 0.01883279522376447, 0.006985635393891949,
          0.03236169459503656 },
        { 34, 0.02, 0, 0.4545454545454546, 0.00015668163297341455, 0.023189108173701838, 0.013269819882828274,
          0.03450143790540039 },
        { 60, 0.01, 0, 0.3751412429378531, 2.2860844584354458e-05, 0.011069027250049608, 0.006847372156771425,
          0.016080322051321087 },
        { 60, 0.01, 8, 0.38647191608595904, 2.803718805583545e-05, 0.010869565217391304, 0.005952380952380952,
          0.016025641025641024 },
        { 200, 0.002, 0, 0.25557788944723614, 7.676651558107722e-08, 0.002078351647386875,
          0.0013754892915741454, 0.002756583020108843 },
        { 500, -0.0005, 16, -0.18003025441822074, 4.68869192373501e-09, -0.000564334085778781,
          -0.0007552870090634441, -0.000370919881305638 },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double x[500], y[500];
        uint32_t n = want[i].n;
        seed = 7 + n;
        for (uint32_t k = 0; k < n; k++) {
            x[k] = k;
            y[k] = want[i].slope * k + uniform();
            if (want[i].quantum > 0) y[k] = floor(y[k] * want[i].quantum) / want[i].quantum;
        }
        nj_trend r = nj_trend_of(x, y, n);
        near(r.tau, want[i].tau, 1e-13);
        near(r.p, want[i].p, 1e-11 * want[i].p); /* sums of other orders */
        near(r.slope, want[i].median, 1e-15);
        near(r.low, want[i].low, 1e-15);
        near(r.high, want[i].high, 1e-15);
    }
    double x[40], y[40]; /* ties on both sides */
    seed = 3;
    for (int k = 0; k < 40; k++) x[k] = k / 2, y[k] = floor(8 * uniform()) / 8;
    nj_trend r = nj_trend_of(x, y, 40);
    near(r.tau, -0.14039156705941733, 1e-13);
    near(r.p, 0.2319379542805058, 1e-12);
    near(r.slope, -0.008333333333333333, 1e-15);
    near(r.low, -0.020833333333333332, 1e-15);
    near(r.high, 0, 0);
    /* many ties: the example of scipy's own tests (R's cor.test gives the same) */
    const double a[] = { 2.5, 2.5, 2.5, 2.5, 5, 6.5, 6.5, 10, 10, 10, 10, 10, 14, 14, 14, 16, 17 },
                 b[] = { 1, 1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2 };
    r = nj_trend_of(a, b, 17);
    near(r.tau, 0.1432670637653132, 1e-14);
    near(r.p, 0.5196394482296315, 1e-13);
}

static void nothing_to_say(void **state)
{
    (void)state;
    const double x[] = { 1, 2, 3, 4 }, flat[] = { 5, 5, 5, 5 };
    nj_trend r = nj_trend_of(x, flat, 4);
    assert_true(r.p == 1 && isnan(r.tau) && r.slope == 0);
    r = nj_trend_of(flat, x, 4);
    assert_true(r.p == 1 && isnan(r.tau) && isnan(r.slope));
    r = nj_trend_of(x, x, 2);
    assert_true(r.p == 1 && isnan(r.slope) && r.n == 2);
}

static void weighted(void **state)
{
    (void)state;
    nj_weighted one[] = { { 900, 1 }, { 10, 63 } }; /* a call of one row, and one of 63 */
    near(nj_weighted_median(one, 2), 10, 0);
    nj_weighted even[] = { { 4, 1 }, { 2, 1 }, { 8, 2 }, { 3, 2 } }; /* 2 3 3 | 4 8 8 */
    near(nj_weighted_median(even, 4), 3.5, 0);
    assert_true(isnan(nj_weighted_median(even, 0)));
}

/* Four writers of a long run share the batches; one series grows by 30 % over it, one is noise,
 * one had nothing to do. */
static void long_run(void **state)
{
    (void)state;
    enum { WRITERS = 4, BATCHES = 100000 };
    nj_drift *d[WRITERS];
    for (int k = 0; k < WRITERS; k++) assert_non_null(d[k] = nj_drift_new(3));
    seed = 1;
    for (uint64_t i = 0; i < BATCHES; i++) {
        double noise = uniform(), other = uniform();
        float *row = nj_drift_row(d[(i / 3) % WRITERS], i);
        if (!row) continue;
        row[0] = (float)(1000 * (1 + 0.3 * (double)i / BATCHES + 0.2 * (noise - 0.5)));
        row[1] = (float)(1000 * (1 + 0.2 * (other - 0.5)));
    }
    nj_drift_line line;
    for (int k = 0; k < WRITERS; k++) assert_true(d[k]->n <= NJ_DRIFT_ROWS);
    assert_int_equal(nj_drift_line_of(d, WRITERS, 0, &line), 0);
    assert_true(line.drifts && line.n > 128 && line.n <= NJ_DRIFT_POINTS && line.trend.p < 1e-10);
    near(line.change_percent, 30.0 / 1.15, 2); /* of the median, which is that of the middle */
    near(line.percent_per_1000, 0.3 / 1.15, 0.02);
    /* even, whole */
    for (uint32_t i = 1; i < line.n; i++)
        assert_true(line.batch[i] - line.batch[i - 1] == (double)line.stride);
    assert_true(line.batch[0] == 0 && line.batch[line.n - 1] >= BATCHES - (double)line.stride);
    nj_drift_line_free(&line);
    assert_int_equal(nj_drift_line_of(d, WRITERS, 1, &line), 0);
    assert_false(line.drifts);
    nj_drift_line_free(&line);
    assert_int_equal(nj_drift_line_of(d, WRITERS, 2, &line), 0);
    assert_true(line.n == 0 && !line.drifts && line.trend.p == 1);
    nj_drift_line_free(&line);
    for (int k = 0; k < WRITERS; k++) nj_drift_free(d[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sen),           cmocka_unit_test(table),
        cmocka_unit_test(against_scipy), cmocka_unit_test(nothing_to_say),
        cmocka_unit_test(weighted),      cmocka_unit_test(long_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
