/* change.c - change points of a series: steps are found where they are, noise and single outliers are none.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "broker/measure/change.h"

enum { N = 60 };
static double value[N];

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", got, want, tolerance);
}

/* 100 with 5 % of scatter, times what level() says. */
static void fill(double (*level)(uint32_t i))
{
    uint64_t state = 11;
    for (uint32_t i = 0; i < N; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        value[i] = 100 * level(i) * (1 + 0.05 * ((double)(state >> 11) * 0x1p-53 - 0.5));
    }
}

static double flat(uint32_t i)
{
    return i < N ? 1 : 0;
}
static double step(uint32_t i)
{
    return i < 40 ? 1 : 1.1;
}
static double there_and_back(uint32_t i)
{
    return i >= 20 && i < 40 ? 1.3 : 1;
}
static double two_steps(uint32_t i)
{
    return i < 15 ? 1 : i < 40 ? 0.8 : 0.9;
}
static double outlier(uint32_t i)
{
    return i == 30 ? 5 : 1;
}
static double tiny(uint32_t i)
{
    return i < 30 ? 1 : 1.01;
}

static void a_step_is_found_where_it_is(void **state)
{
    (void)state;
    nj_level_change c[NJ_CHANGES];
    fill(step);
    assert_int_equal(nj_change_points(value, N, c), 1);
    assert_int_equal(c[0].at, 40);
    near(c[0].after / c[0].before, 1.1, 0.02);
    near(c[0].p, 0.001, 1e-9);
    assert_int_equal(c[0].from, 0);
    assert_int_equal(c[0].to, N);
}

static void several_in_their_order(void **state)
{
    (void)state;
    nj_level_change c[NJ_CHANGES];
    fill(there_and_back);
    assert_int_equal(nj_change_points(value, N, c), 2);
    assert_int_equal(c[0].at, 20);
    assert_int_equal(c[1].at, 40);
    near(c[0].after / c[0].before, 1.3, 0.03);
    near(c[1].after / c[1].before, 1 / 1.3, 0.03);
    fill(two_steps);
    assert_int_equal(nj_change_points(value, N, c), 2);
    assert_int_equal(c[0].at, 15);
    assert_int_equal(c[1].at, 40);
}

static void noise_and_outliers_are_none(void **state)
{
    (void)state;
    nj_level_change c[NJ_CHANGES];
    fill(flat);
    assert_int_equal(nj_change_points(value, N, c), 0);
    fill(outlier);
    assert_int_equal(nj_change_points(value, N, c), 0);
    fill(tiny);
    assert_int_equal(nj_change_points(value, N, c), 0); /* sure, but not worth a word */
    for (uint32_t i = 0; i < N; i++) value[i] = 7;
    assert_int_equal(nj_change_points(value, N, c), 0);
}

static void short_series_say_nothing(void **state)
{
    (void)state;
    nj_level_change c[NJ_CHANGES];
    const double few[] = { 1, 1.01, 1.02, 9, 9.01, 9.02, 9.03 };
    assert_int_equal(nj_change_points(few, 7, c), 0);
    assert_int_equal(nj_change_points(few, 0, c), 0);
    const double enough[] = { 1, 1.01, 1.02, 1.03, 1.04, 1.05, 9, 9.01, 9.02, 9.03, 9.04, 9.05 };
    assert_int_equal(nj_change_points(enough, 12, c), 1);
    assert_int_equal(c[0].at, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_found_where_it_is),
        cmocka_unit_test(several_in_their_order),
        cmocka_unit_test(noise_and_outliers_are_none),
        cmocka_unit_test(short_series_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
