/* compare.c - comparisons: the test's p against published and computed values, the verdict on synthetic runs
 * of known truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "broker/measure/stats.h"

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

static void order_statistics(void **state)
{
    (void)state;
    const double v[] = { 9, 1, 4, 2, 100 };
    near(nj_quantile(v, 5, 0.5), 4, 0);
    near(nj_quantile(v, 4, 0.5), 3, 0); /* 1 2 4 9 */
    near(nj_quantile(v, 5, 0), 1, 0);
    near(nj_quantile(v, 5, 1), 100, 0);
    near(nj_mad(v, 5), 3, 0); /* 5 3 0 2 96 */
    assert_true(isnan(nj_quantile(v, 0, 0.5)));
}

/* Exact: 1 of C(10, 5) = 252 orders has U = 0, on each side. Critical values of the printed tables: for n =
 * 5, 8 the two-sided 5 % point is U = 6, and U = 7 is beyond it; for n = 10, 10 they are 23 and 24. */
static void exact_p(void **state)
{
    (void)state;
    const double a[] = { 1, 2, 3, 4, 5 }, b[] = { 6, 7, 8, 9, 10 };
    near(nj_mann_whitney(a, 5, b, 5), 2.0 / 252, 1e-15);
    near(nj_mann_whitney(b, 5, a, 5), 2.0 / 252, 1e-15);
    const double one[] = { 1, 3 }, two[] = { 2, 4 }; /* U = 1 of 6 orders: 0 1 2 2 3 4 */
    near(nj_mann_whitney(one, 2, two, 2), 4.0 / 6, 1e-15);
    const double flat[] = { 3, 3, 3 }, above[] = { 5, 4, 4 }; /* ties within a side:
                                                               * still 1 of C(6, 3) orders */
    near(nj_mann_whitney(flat, 3, above, 3), 2.0 / 20, 1e-15);
    /* ten against ten with U = 23 and U = 24: the first k of `low` are moved above `u` of `high` */
    for (int u = 23; u <= 24; u++) {
        double low[10], high[10];
        for (int i = 0; i < 10; i++) low[i] = i, high[i] = 100 + i;
        low[9] = 200; /* above all ten */
        low[8] = 199; /* above all ten */
        low[7] = 99.5 + (u - 20);
        double p = nj_mann_whitney(low, 10, high, 10);
        assert_true(u == 23 ? p < 0.05 : p > 0.05);
    }
}

/* Sides of 40: against the closed form of a complete separation, and two equal sides; at the border the
 * approximation and the exact distribution agree. */
static void normal_p(void **state)
{
    (void)state;
    double a[40], b[40];
    for (int i = 0; i < 40; i++) a[i] = i, b[i] = 1000 + i;
    double z = (800 - 0.5) / sqrt(1600 * 81 / 12.0);
    near(nj_mann_whitney(a, 40, b, 40), erfc(z / sqrt(2)), 1e-15);
    near(nj_mann_whitney(a, 40, a, 40), 1, 0);
    for (int i = 0; i < 40; i++) a[i] = b[i] = 7;
    near(nj_mann_whitney(a, 40, b, 40), 1, 0);
    near(nj_mann_whitney(a, 0, b, 40), 1, 0);
    double c[31], d[31];
    for (int i = 0; i < 31; i++) c[i] = i * 1.7, d[i] = i * 1.7 + 11.1;
    near(nj_mann_whitney(c, 30, d, 30), nj_mann_whitney(c, 31, d, 31), 0.01);
}

/* ---- runs of known truth --------------------------------------------------------------------- */

static uint64_t seed;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) * 0x1p-53;
}

/* A time as benchmarks give them: a floor, a spread of 2 %,
 * and one in ten disturbed upwards by up to 30 %. */
static double a_time(double floor_ns)
{
    double g = 0;
    for (int i = 0; i < 12; i++) g += uniform();
    double t = floor_ns * (1 + 0.02 * fabs(g - 6));
    return uniform() < 0.1 ? t * (1 + 0.3 * uniform()) : t;
}

static nj_comparison two_runs(double floor_a, double floor_b, uint32_t n)
{
    double a[200], b[200];
    for (uint32_t i = 0; i < n; i++) {
        a[i] = a_time(floor_a);
        b[i] = a_time(floor_b);
    }
    return nj_compare(a, n, b, n);
}

static void ten_times_the_same_raise_no_flag(void **state)
{
    (void)state;
    for (uint32_t n = 9; n <= 60; n += 17)
        for (seed = 1; seed <= 10; seed++) {
            uint64_t s = seed;
            seed *= 1000003;
            assert_int_equal(two_runs(1000, 1000, n).verdict, NJ_SAME);
            seed = s;
        }
}

/* Nine rounds of so disturbed a machine would miss one in ten; 26 miss none of these seeds. */
static void twelve_percent_is_flagged(void **state)
{
    (void)state;
    for (uint32_t n = 26; n <= 60; n += 17)
        for (uint64_t k = 1; k <= 10; k++) {
            seed = k * 7919;
            nj_comparison c = two_runs(1000, 1120, n);
            if (c.verdict != NJ_REGRESSION)
                fail_msg("n %u, seed %llu: ratio %g, p %g, MAD %g %g", n, (unsigned long long)k, c.ratio, c.p,
                         c.mad_a, c.mad_b);
            assert_true(c.p < 0.002 && c.ratio > 1.10);
            seed = k * 7919;
            assert_int_equal(two_runs(1120, 1000, n).verdict, NJ_IMPROVEMENT);
            seed = k * 7919;
            assert_int_equal(two_runs(1000, 1050, n).verdict, NJ_SAME); /* sure, but small */
        }
}

static void few_and_scattered(void **state)
{
    (void)state;
    const double a[] = { 1, 2, 3 }, b[] = { 10, 20, 30 };
    assert_int_equal(nj_compare(a, 3, b, 3).verdict, NJ_TOO_FEW); /* p cannot be below 0.1 */
    double c[30], d[30];
    for (int i = 0; i < 30; i++)
        c[i] = 100 + i * 10, d[i] = 300 + i * 10; /* 3 MAD are 225,
                                                   * more than the shift */
    nj_comparison k = nj_compare(c, 30, d, 30);
    assert_true(k.p < 0.002 && k.ratio > 1.1);
    assert_int_equal(k.verdict, NJ_SAME);
    /* none within the other's range */
    for (int i = 0; i < 30; i++) c[i] = 1 + 0.01 * i, d[i] = 10 + 80 * i / 29.0;
    k = nj_compare(c, 30, d, 30);
    assert_true(fabs(k.median_b - k.median_a) < 3 * k.mad_b);
    assert_int_equal(k.verdict, NJ_REGRESSION);
}

/* ---- the interval ---------------------------------------------------------------------------- */

/* Against the list of all ratios: 5 and 5 give rank 3 (P(U <= 2) = 4/252 <= 0.025 < 7/252 = P(U <= 3)). */
static void interval_is_of_all_pairs(void **state)
{
    (void)state;
    const double a[] = { 10, 14, 11, 13, 12 }, b[] = { 15, 21, 17, 16, 19 };
    double ratio[25], least = INFINITY;
    for (int i = 0; i < 25; i++) ratio[i] = b[i % 5] / a[i / 5];
    nj_comparison c = nj_compare(a, 5, b, 5);
    near(c.low, nj_quantile(ratio, 25, 2 / 24.0), 1e-12);
    near(c.high, nj_quantile(ratio, 25, 22 / 24.0), 1e-12);
    for (int i = 0; i < 25; i++) least = fmin(least, ratio[i]);
    assert_true(c.low > least);
}

/* Of 2,000 pairs of runs of the same binary, 95 % of the intervals hold 1;
 * fixed seeds, so always the same count. */
static void interval_holds_the_truth(void **state)
{
    (void)state;
    int out = 0;
    for (uint64_t k = 1; k <= 2000; k++) {
        seed = k * 104729;
        nj_comparison c = two_runs(1000, 1000, k % 2 ? 9 : 40);
        out += c.found == NJ_SLOWER || c.found == NJ_FASTER;
        assert_true((c.found == NJ_ALIKE || c.found == NJ_CANNOT_TELL) == (c.low <= 1 && c.high >= 1));
    }
    assert_in_range(out, 40, 140);
}

/* A difference that a gate lets pass is none the less said. */
static void a_small_gain_is_no_sameness(void **state)
{
    (void)state;
    char text[NJ_WORDS];
    double a[25], b[25];
    for (int i = 0; i < 25; i++) a[i] = 100 + 0.1 * (i * 7 % 25), b[i] = 0.95 * a[i];
    nj_comparison c = nj_compare(a, 25, b, 25);
    assert_int_equal(c.verdict, NJ_SAME);
    assert_int_equal(c.found, NJ_FASTER);
    assert_string_equal(nj_comparison_word(&c), "faster");
    assert_non_null(strstr(nj_comparison_words(text, &c, NULL), "within what a gate allows"));
    c = nj_compare(a, 25, a, 25);
    assert_int_equal(c.found, NJ_ALIKE);
    assert_non_null(strstr(nj_comparison_words(text, &c, NULL), "same ("));
}

static void too_few_says_how_many(void **state)
{
    (void)state;
    char text[NJ_WORDS];
    const double a[] = { 1, 2, 3 }, b[] = { 4, 5, 6 };
    nj_comparison c = nj_compare(a, 3, b, 3); /* 2 of C(6, 3) = 20 orders are as far apart: 10 % */
    assert_int_equal(c.found, NJ_CANNOT_TELL);
    assert_string_equal(nj_comparison_words(text, &c, "--rounds"), "undecided: too few rounds: --rounds 25");
    double wide[12];
    for (int i = 0; i < 12; i++) wide[i] = 1 + 0.1 * (i * 7 % 12);
    c = nj_compare(wide, 12, wide, 12);
    assert_int_equal(c.found, NJ_CANNOT_TELL);
    assert_true(c.enough > 12);
    const double none[] = { 0, 0, 0, 0, 0 };
    c = nj_compare(none, 5, none, 5); /* below the clock's step on both sides */
    assert_int_equal(c.found, NJ_ALIKE);
}

static void shares_of_pairs(void **state)
{
    (void)state;
    const double low[] = { 1, 2, 3 }, high[] = { 4, 5 }, mixed[] = { 2, 2, 9, 0 };
    near(nj_superiority(high, 2, low, 3), 1, 0);
    near(nj_superiority(low, 3, high, 2), 0, 0);
    near(nj_superiority(low, 3, low, 3), 0.5, 0);
    near(nj_superiority(mixed, 4, low, 3), (1.5 + 1.5 + 3 + 0) / 12, 1e-12);
    assert_true(isnan(nj_superiority(low, 0, high, 2)));
    assert_true(isnan(nj_superiority(low, 3, high, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_statistics),
        cmocka_unit_test(shares_of_pairs),
        cmocka_unit_test(exact_p),
        cmocka_unit_test(normal_p),
        cmocka_unit_test(ten_times_the_same_raise_no_flag),
        cmocka_unit_test(twelve_percent_is_flagged),
        cmocka_unit_test(few_and_scattered),
        cmocka_unit_test(interval_is_of_all_pairs),
        cmocka_unit_test(interval_holds_the_truth),
        cmocka_unit_test(a_small_gain_is_no_sameness),
        cmocka_unit_test(too_few_says_how_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
