/* scaling.c - the exponent of a cost: known forms are recovered, a fixed part does not hide it, and what
 * cannot be told is not told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "broker/measure/scaling.h"

enum { SIZES = 8, ROUNDS = 9 };

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

/* Costs at 8, 16 ... 1024: exact, or with a scatter that a fixed generator draws. */
static nj_scaling scaling(double (*cost)(double n), double scatter)
{
    double x[SIZES * ROUNDS], y[SIZES * ROUNDS];
    uint64_t state = 7;
    for (int i = 0; i < SIZES * ROUNDS; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        x[i] = 8 << i % SIZES;
        y[i] = cost(x[i]) * (1 + scatter * ((double)(state >> 11) * 0x1p-53 - 0.5));
    }
    return nj_scaling_of(x, y, SIZES * ROUNDS);
}

static double constant(double n)
{
    return n > 0 ? 120 : 0;
}
static double nearly_constant(double n)
{
    return 1e5 + n;
}
static double linear(double n)
{
    return 400 + 3 * n;
}
static double with_logarithm(double n)
{
    return 50 + 2 * n * log2(n);
}
static double square(double n)
{
    return 900 + 0.5 * n * n;
}
static double root(double n)
{
    return 10 * sqrt(n);
}
static double mixed(double n)
{
    return 20 * n + n * n;
}

static void known_forms_are_recovered(void **state)
{
    (void)state;
    nj_scaling s = scaling(linear, 0);
    near(s.exponent, 1, 0.01);
    assert_false(s.logarithm);
    near(s.fixed, 400, 1);
    near(s.factor, 3, 0.01);
    s = scaling(with_logarithm, 0);
    near(s.exponent, 1, 0.01);
    assert_true(s.logarithm);
    s = scaling(square, 0);
    near(s.exponent, 2, 0.01);
    assert_false(s.logarithm);
    s = scaling(root, 0);
    near(s.exponent, 0.5, 0.01);
    s = scaling(constant, 0);
    assert_int_equal(s.kind, NJ_SCALING_FLAT);
    near(s.exponent, 0, 0);
    near(s.change, 1, 1e-6);
}

/* A tenth of scatter: within 0.05, and the truth is in the interval. */
static void scatter_widens_the_interval(void **state)
{
    (void)state;
    double (*const form[])(double) = { linear, with_logarithm, square };
    static const double truth[] = { 1, 1, 2 };
    for (int i = 0; i < 3; i++) {
        nj_scaling exact = scaling(form[i], 0), s = scaling(form[i], 0.1);
        near(s.exponent, truth[i], 0.05);
        assert_true(s.low <= truth[i]);
        assert_true(s.high >= truth[i]);
        assert_true(s.high - s.low > exact.high - exact.low);
    }
}

static void a_small_part_is_no_growth(void **state)
{
    (void)state;
    nj_scaling s = scaling(nearly_constant, 0.02);
    assert_int_equal(s.kind, NJ_SCALING_FLAT);
    assert_true(s.low <= 0);
    assert_true(s.high < 0.05);
}

/* What caches do to a search: a third more over a range of 128. */
static double cached(double n)
{
    return n < 12 ? 200 : 265;
}

static void a_step_of_the_caches_is_no_growth(void **state)
{
    (void)state;
    nj_scaling s = scaling(cached, 0.02);
    assert_int_equal(s.kind, NJ_SCALING_FLAT);
}

static void two_powers_lie_between_them(void **state)
{
    (void)state;
    nj_scaling s = scaling(mixed, 0);
    assert_true(s.exponent > 1.5);
    assert_true(s.exponent < 2);
    assert_true(nj_scaling_warns(&s));
}

static void warned_from_one_and_a_half(void **state)
{
    (void)state;
    nj_scaling s = { .kind = NJ_SCALING_POWER, .exponent = 1.5 };
    assert_true(nj_scaling_warns(&s));
    s.exponent = 1.49;
    assert_false(nj_scaling_warns(&s));
    s = (nj_scaling){ .kind = NJ_SCALING_UNKNOWN, .exponent = NAN };
    assert_false(nj_scaling_warns(&s));
}

static void too_little_is_not_told(void **state)
{
    (void)state;
    static const double x[] = { 10, 20, 40, 10, 20, 40 }, same[] = { 63, 63, 63, 63, 63, 63 },
                        narrow[] = { 10, 11, 12, 13, 14, 15 }, y[] = { 1, 2, 4, 1, 2, 4 },
                        bad[] = { NAN, 0, -1, INFINITY, 1, 2 };
    assert_int_equal(nj_scaling_of(x, y, 6).kind, NJ_SCALING_UNKNOWN);
    assert_int_equal(nj_scaling_of(same, y, 6).kind, NJ_SCALING_UNKNOWN);
    assert_int_equal(nj_scaling_of(narrow, y, 6).kind, NJ_SCALING_UNKNOWN);
    assert_int_equal(nj_scaling_of(x, bad, 6).n, 2);
    assert_int_equal(nj_scaling_of(x, y, 0).kind, NJ_SCALING_UNKNOWN);
}

/* Costs that have nothing to do with the size. */
static void a_wide_interval_says_nothing(void **state)
{
    (void)state;
    static const double x[] = { 8, 16, 32, 64, 8, 16, 32, 64 }, y[] = { 100, 3, 900, 40, 2, 500, 7, 800 };
    assert_int_equal(nj_scaling_of(x, y, 8).kind, NJ_SCALING_UNKNOWN);
}

/* Thousands of sizes, as alerts have them: classes. */
static void many_sizes(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static double x[MANY], y[MANY];
    for (int i = 0; i < MANY; i++) {
        x[i] = 5 + i % 977;
        y[i] = 100 + x[i] * x[i];
    }
    nj_scaling s = nj_scaling_of(x, y, MANY);
    assert_int_equal(s.n, MANY);
    near(s.exponent, 2, 0.05);
    assert_true(s.low <= s.exponent);
    assert_true(s.high >= s.exponent);
}

static void words(void **state)
{
    (void)state;
    char text[96];
    nj_scaling s = { .kind = NJ_SCALING_POWER, .exponent = 1.04, .low = 0.99, .high = 1.1 };
    assert_string_equal(nj_scaling_words(text, &s, "points"), "n^1.04 [0.99, 1.10] in points");
    s.logarithm = true;
    assert_string_equal(nj_scaling_words(text, &s, "points"), "n^1.04 log n [0.99, 1.10] in points");
    s = (nj_scaling){ .kind = NJ_SCALING_FLAT };
    assert_string_equal(nj_scaling_words(text, &s, "pixels"), "n^0 in pixels");
    s.kind = NJ_SCALING_UNKNOWN;
    assert_string_equal(nj_scaling_words(text, &s, "rows"), "cannot tell in rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms_are_recovered),
        cmocka_unit_test(scatter_widens_the_interval),
        cmocka_unit_test(a_small_part_is_no_growth),
        cmocka_unit_test(a_step_of_the_caches_is_no_growth),
        cmocka_unit_test(two_powers_lie_between_them),
        cmocka_unit_test(warned_from_one_and_a_half),
        cmocka_unit_test(too_little_is_not_told),
        cmocka_unit_test(many_sizes),
        cmocka_unit_test(words),
        cmocka_unit_test(a_wide_interval_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
