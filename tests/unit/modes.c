/* modes.c - one mode or several: the dip statistic against another program, its p against a simulation,
 * known mixtures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "broker/measure/modes.h"

enum { MOST = 5000 };
static double x[MOST];

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

/* A sequence that fills 0..1 evenly, another one for each k. */
static double u(int i, int k)
{
    return fmod((i + 1) * 0.6180339887498949 * (1 + k * 0.1) + k * 0.37, 1);
}

static double normal(int i, double mean, double sd)
{
    return mean + sd * sqrt(-2 * log(fmax(u(i, 0), 1e-12))) * cos(2 * M_PI * u(i, 3));
}

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static double dip_of(uint32_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return nj_dip(x, n);
}

/* Values of Python's diptest 0.12 (which follows R's) on the same numbers;
 * equal but for the rounding of other sums. */
static void dips(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) x[i] = log(u(i, 0) / (1 - u(i, 0)));
    near(dip_of(200), 0.004778835564549713, 1e-12);
    for (int i = 0; i < 150; i++) x[i] = (i % 3 ? -2 : 2) + 0.7 * log(u(i, 0) / (1 - u(i, 0)));
    near(dip_of(150), 0.02069872181331886, 1e-12);
    for (int i = 0; i < 100; i++) x[i] = i % 2 * 10 + u(i, 1);
    near(dip_of(100), 0.22519318072939282, 1e-12);
    for (int i = 0; i < 333; i++) x[i] = -log(u(i, 0));
    near(dip_of(333), 0.003076999331767662, 1e-12);
    for (int i = 0; i < 7; i++) x[i] = 1 + i * (i + 1) / 2; /* convex: 1/(2n), the least there is */
    near(dip_of(7), 1 / 14.0, 1e-12);
    for (int i = 0; i < 1000; i++) x[i] = i % 2 + 1e-9 * i; /* two points: the most there is */
    near(dip_of(1000), 0.25, 1e-2);
    assert_true(isnan(nj_dip(x, 0)));
}

/* 20,000 uniform samples in numpy, dips by the same program: 3 sd of 999 samples. */
static void p_of_a_dip(void **state)
{
    (void)state;
    near(nj_dip_p(0.06, 50), 0.17395, 0.036);
    near(nj_dip_p(0.0702, 50), 0.0491, 0.021);
    near(nj_dip_p(0.026, 322), 0.1316, 0.033);
    near(nj_dip_p(0.018, 1000), 0.0284, 0.016);
    near(nj_dip_p(0.2, 100), 0.001, 0);
}

static void one_mode(void **state)
{
    (void)state;
    nj_modes m;
    for (int i = 0; i < 400; i++) x[i] = normal(i, 4, 0.1);
    assert_true(nj_modes_of(x, 400, &m));
    assert_int_equal(m.n, 1);
    near(m.mode[0].mean, 4, 0.02); /* 4 sd of a mean of 400 */
    near(m.mode[0].sd, 0.1, 0.014);
    assert_true(m.p > 0.2 && isnan(m.d));
    for (int i = 0; i < 400; i++)
        x[i] = -log(u(i, 0)); /* lopsided: several normal components fit it better,
                               * but it has no dip */
    assert_true(nj_modes_of(x, 400, &m));
    assert_int_equal(m.n, 1);
    for (int i = 0; i < 400; i++) x[i] = u(i, 0); /* flat: D of two halves is 3, but it has no dip */
    assert_true(nj_modes_of(x, 400, &m));
    assert_int_equal(m.n, 1);
    /* one value apart is no mode */
    for (int i = 0; i < 400; i++) x[i] = normal(i, 4, 0.1) + (i == 7 ? 3 : 0);
    assert_true(nj_modes_of(x, 400, &m));
    assert_int_equal(m.n, 1);
}

static void modes_apart(void **state)
{
    (void)state;
    nj_modes m;
    for (int i = 0; i < MOST; i++) x[i] = i % 5 ? normal(i, 4, 0.1) : normal(i, 5, 0.2);
    assert_true(nj_modes_of(x, MOST, &m));
    assert_int_equal(m.n, 2);
    near(m.mode[0].mean, 4, 0.02);
    near(m.mode[1].mean, 5, 0.04);
    near(m.mode[0].weight, 0.8, 0.02);
    near(m.d, 1 / sqrt(0.5 * (0.01 + 0.04)), 0.5);
    assert_true(m.split[0] > 4.3 && m.split[0] < 4.6);
    assert_int_equal(nj_mode_of(&m, 4.1), 0);
    assert_int_equal(nj_mode_of(&m, 4.9), 1);
    for (int i = 0; i < 300; i++) x[i] = i % 3 * 2 + 0.1 * log(u(i, 0) / (1 - u(i, 0)));
    assert_true(nj_modes_of(x, 300, &m));
    assert_int_equal(m.n, 3);
    assert_int_equal(nj_mode_of(&m, 2.2), 1);
}

static void too_little(void **state)
{
    (void)state;
    nj_modes m;
    for (int i = 0; i < 40; i++) x[i] = 7;
    assert_false(nj_modes_of(x, 40, &m)); /* all alike */
    assert_int_equal(m.n, 0);
    assert_int_equal(nj_mode_of(&m, 7), 0);
    for (int i = 0; i < 15; i++) x[i] = i % 2;
    assert_false(nj_modes_of(x, 15, &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(dips), cmocka_unit_test(p_of_a_dip),
                                        cmocka_unit_test(one_mode), cmocka_unit_test(modes_apart),
                                        cmocka_unit_test(too_little) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
