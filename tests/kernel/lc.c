/* lc.c - light-curve kernels against their definitions, against MINPACK, and against values worked out
 * apart. */
/* link: -Wl,--no-as-needed,-lcminpack,--as-needed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cminpack-1/cminpack.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nightjar/lc.h"

static uint64_t state_of_random = 20261121; /* fixed seed */

static double uniform(void)
{
    uint64_t x = state_of_random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

/* --- sorting --- */

enum { MOST = 2000 };

static void sorted_and_complete(void **state)
{
    (void)state;
    static double v[MOST], key[MOST];
    static uint32_t order[MOST];
    for (uint32_t n = 0; n < MOST; n = n < 40 ? n + 1 : n * 3 / 2) {
        for (int kind = 0; kind < 4; kind++) { /* random, many ties, falling, nearly sorted */
            double sum = 0, sum_sorted = 0;
            for (uint32_t i = 0; i < n; i++) {
                key[i] = kind == 0   ? uniform()
                         : kind == 1 ? floor(5 * uniform())
                         : kind == 2 ? -(double)i
                                     : i + 2 * uniform();
                v[i] = key[i];
                sum += v[i];
            }
            nj_sort_f64(v, n);
            for (uint32_t i = 0; i < n; i++) sum_sorted += v[i];
            for (uint32_t i = 1; i < n; i++) assert_true(v[i - 1] <= v[i]);
            assert_true(fabs(sum - sum_sorted) < 1e-9 * (1 + fabs(sum)));
            nj_order_f64(key, n, order);
            for (uint32_t i = 1; i < n; i++)
                assert_true(key[order[i - 1]] < key[order[i]] ||
                            (key[order[i - 1]] == key[order[i]] && order[i - 1] < order[i]));
            nj_order_numpy(key, n, order);
            for (uint32_t i = 0; i < n; i++) assert_true(key[order[i]] == v[i]);
            static uint8_t seen[MOST];
            memset(seen, 0, sizeof seen);
            for (uint32_t i = 0; i < n; i++) assert_int_equal(seen[order[i]]++, 0);
        }
    }
}

static void nan_keys_go_last(void **state)
{
    (void)state;
    double key[40];
    uint32_t order[40];
    for (int i = 0; i < 40; i++) key[i] = i % 7 == 3 ? NAN : uniform();
    nj_order_f64(key, 40, order);
    for (int i = 0; i < 40; i++) assert_int_equal(isnan(key[order[i]]) != 0, i >= 34);
    nj_order_numpy(key, 40, order);
    for (int i = 0; i < 40; i++) assert_int_equal(isnan(key[order[i]]) != 0, i >= 34);
}

/* --- component fit --- */

static double pcs[NJ_COMPONENTS * NJ_COMPONENT_BINS];

static void make_components(void)
{
    for (int i = 0; i < NJ_COMPONENT_BINS; i++) {
        double t = (i - 200) * NJ_COMPONENT_STEP_D;
        pcs[i] = exp(-t * t / 200);
        pcs[NJ_COMPONENT_BINS + i] = 0.3 * t / 10 * exp(-t * t / 150);
        pcs[2 * NJ_COMPONENT_BINS + i] = 0.2 * cos(t / 5) * exp(-t * t / 300);
    }
}

static void component_fit_is_the_minimum(void **state)
{
    (void)state;
    make_components();
    int fitted = 0, at_bound = 0, negative = 0;
    for (int trial = 0; trial < 3000; trial++) {
        uint32_t n = 2 + (uint32_t)(12 * uniform());
        double t[16], flux[16], err[16];
        for (uint32_t i = 0; i < n; i++) {
            t[i] = 80 * uniform();
            flux[i] = 100 + 1000 * uniform() * (trial % 3 ? exp(-fabs(t[i] - 30) / 20) : 1);
            err[i] = 5 + 100 * uniform();
        }
        nj_component_fit f, plain;
        nj_component_fit_flux(n, t, flux, err, pcs, &f);
        nj_component_fit_plain(n, t, flux, err, pcs, &plain);
        assert_int_equal(f.fitted, plain.fitted);
        fitted += f.fitted;
        for (int k = 0; k < 3; k++) {
            assert_true(fabs(f.c[k] - plain.c[k]) < 1e-6); /* the descent stops at steps of 1e-14
                                                            * in narrow valleys */
            at_bound += fabs(f.c[k]) == 2;
        }
        negative += f.c[0] < 0;
        assert_true(fabs(f.residual - plain.residual) < 1e-6 * (1 + plain.residual));
    }
    assert_true(fitted > 2000 && at_bound > 10 && negative + at_bound > 10);
}

static void components_come_back(void **state)
{
    (void)state;
    make_components();
    double t[30], flux[30], err[30];
    for (int i = 0; i < 30; i++) { /* bins are met exactly; the first component alone carries no penalty */
        t[i] = 1000 + i;
        flux[i] = 5000 * pcs[200 + 4 * (i - 12)];
        err[i] = 1;
    }
    nj_component_fit f;
    nj_component_fit_flux(30, t, flux, err, pcs, &f);
    assert_true(f.fitted && fabs(f.c[0] - 1) < 1e-12 && fabs(f.c[1]) < 1e-12 && fabs(f.c[2]) < 1e-12);
    assert_true(f.residual < 1e-9 && f.max_flux == 5000);
    for (int i = 0; i < 30; i++) flux[i] *= 0.04; /* the maximum is exactly 200: not above */
    nj_component_fit_flux(30, t, flux, err, pcs, &f);
    assert_true(!f.fitted && f.c[0] == 0 && f.max_flux == 0);
    nj_component_fit_flux(0, t, flux, err, pcs, &f);
    assert_false(f.fitted);
}

/* --- rise fit --- */

typedef struct data {
    const double *day, *flux;
} data;

static int logistic(void *p, int m, int n, const double *x, double *f, double *jacobian, int ld, int flag)
{
    const data *d = p;
    (void)n;
    for (int i = 0; i < m; i++) {
        double u = d->day[i] - d->day[0] - x[1], e = exp(-x[0] * u), s = 1 / (1 + e);
        if (flag == 1) {
            f[i] = x[2] * s - d->flux[i];
            continue;
        }
        jacobian[i] = x[2] * e * s * s * u;
        jacobian[i + ld] = -x[2] * e * s * s * x[0];
        jacobian[i + 2 * ld] = s;
    }
    return 0;
}

static double cost(const double *day, const double *flux, uint32_t n, const double x[3])
{
    double f[64], sum = 0;
    data d = { day, flux };
    logistic(&d, (int)n, 3, x, f, NULL, 0, 1);
    for (uint32_t i = 0; i < n; i++) sum += f[i] * f[i];
    return sum;
}

static void rise_fit_is_as_good_as_minpack(void **state)
{
    (void)state;
    int better = 0, fitted = 0;
    for (int trial = 0; trial < 400; trial++) {
        uint32_t n = 5 + (uint32_t)(8 * uniform());
        double day[16], flux[16], err[16], work[8 * 16], a = 0.2 + 0.6 * uniform(), b = 4 + 6 * uniform(),
                                                         c = 1000 + 9000 * uniform();
        for (uint32_t i = 0; i < n; i++) {
            day[i] = 2459000 + 2.0 * i;
            flux[i] = c / (1 + exp(-a * (2.0 * i - b))) + 5 * uniform();
            err[i] = 10;
        }
        nj_rise r;
        nj_rise_fit(n, day, flux, err, work, &r);
        if (!r.fitted) continue;
        fitted++;
        double x[3] = { a, b, c }, fvec[16], fjac[48], diag[3], qtf[3], wa[3][3], wa4[16];
        int pivot[3], n_f, n_j;
        data d = { day, flux };
        lmder(logistic, &d, (int)n, 3, x, fvec, fjac, (int)n, 1e-12, 1e-12, 0, 1000, diag, 1, 100, 0, &n_f,
              &n_j, pivot, qtf, wa[0], wa[1], wa[2], wa4);
        double mine[3] = { r.a, r.b, r.c }, ratio = cost(day, flux, n, mine) / cost(day, flux, n, x);
        better += ratio < 1 + 1e-4; /* stopping rules of 1e-8 in the cost's own units */
    }
    assert_true(fitted > 300);
    if (better < fitted * 95 / 100) fail_msg("%d of %d fits reach MINPACK's minimum", better, fitted);
}

static void what_does_not_rise_is_not_fitted(void **state)
{
    (void)state;
    const double day[] = { 0, 1, 2, 3, 4 }, up[] = { 1, 2, 4, 7, 9 }, falls[] = { 1, 2, 4, 2, 1 },
                 err[] = { 1, 1, 1, 1, 1 };
    double work[40];
    nj_rise r;
    nj_rise_fit(5, day, up, err, work, &r);
    assert_true(r.fitted && r.n_nights == 5 && fabs(r.snratio - 23.0 / 5) < 1e-12);
    nj_rise_fit(5, day, falls, err, work, &r);
    assert_true(!r.fitted && r.a == 0 && r.b == 0 && r.c == 0 && r.snratio == 0.1 && r.mse == 1e8 &&
                r.n_nights == 0);
    nj_rise_fit(3, day, up, err, work, &r);
    assert_false(r.fitted);
}

static void nights_are_days_of_jd(void **state)
{
    (void)state;
    /* half a day belongs to the even number: 2.5 -> 2, 3.5 -> 4 */
    const double jd[] = { 3.4, 2.5, 3.5, 2.6, 4.4 }, flux[] = { 10, 20, 30, 40, 50 },
                 err[] = { 1, 2, 3, 4, 5 };
    const uint32_t order[] = { 1, 3, 0, 2, 4 };
    double day[5], mean[5], mean_err[5];
    assert_int_equal(nj_night_means(5, jd, flux, err, order, day, mean, mean_err), 3);
    assert_true(day[0] == 2 && day[1] == 3 && day[2] == 4 && mean[0] == 20 && mean[1] == 25 &&
                mean[2] == 40 && mean_err[2] == 4);
}

/* --- flux statistics --- */

static void statistics_equal_their_definitions(void **state)
{
    (void)state;
    /* worked out apart, in another language, from the definitions; the number of peaks (33) by eye */
    static const double mag[] = { 18.5, 18.4, 18.6, 18.45, 18.55, 18.5, 18.2, 17.6,  16.9,
                                  17.3, 17.9, 18.3, 18.45, 18.55, 18.5, 18.6, 18.52, 18.48 };
    static const double err[] = { .05, .06, .07, .05, .06, .05, .04, .03, .02,
                                  .03, .04, .05, .05, .06, .05, .07, .05, .05 };
    static const double expected[NJ_FLUX_FEATURES] = {
        3.0,
        1.0,
        0.0,
        2.703288999728566,
        1.7337533396892584,
        474.79869512160326,
        0.6749009566259904,
        0.0,
        0.0,
        0.0,
        0.06605444913355399,
        1.0,
        0.0,
        1.0,
        0.5,
        0.8888888888888888,
        3.397929913769732,
        0.0,
        0.0,
        4.0,
        14.0,
        0.4444444444444444,
        0.1111111111111111,
        5.692825698901362,
        15.04483657143771,
        4.0,
        7.0,
        0.10198549056995637,
        0.0002505318206660416,
        -0.0004269228821768426,
        0.01783838667006954,
        0.7777777777777778,
        0.0,
        1,
        0.3076923076923077,
        0.23661454906502427,
        0.48835276791393206,
        1.1172253078456174,
        3.681163431730635,
        0.20461442631016616,
        0.8647584314603405,
        95.44804302652233,
        0.5170834570978802,
        61.84787476363581,
        5.924041984653801,
        -0.0014472582394780553,
        0.679172217581834,
    };
    double work[5 * 18], out[NJ_FLUX_FEATURES];
    nj_flux_features(18, mag, err, work, out);
    for (int k = 0; k < NJ_FLUX_FEATURES; k++)
        if (!(fabs(out[k] - expected[k]) <= 1e-11 * fmax(1, fabs(expected[k]))))
            fail_msg("%s: %.17g, expected %.17g", nj_flux_feature_name[k], out[k], expected[k]);
    double with_nan[18];
    memcpy(with_nan, mag, sizeof mag);
    with_nan[4] = NAN;
    nj_flux_features(18, with_nan, err, work, out);
    for (int k = 0; k < NJ_FLUX_FEATURES; k++)
        assert_true(out[k] == (k == 11 || k == 14 || k == 15 || k == 34));
}

static void labels(void **state)
{
    (void)state;
    assert_true(nj_may_be_extragalactic(NULL) && nj_may_be_extragalactic("Unknown") &&
                nj_may_be_extragalactic("Fail 504"));
    assert_true(nj_may_be_extragalactic("Seyfert_1") && nj_may_be_extragalactic("Candidate_SN*"));
    assert_false(nj_may_be_extragalactic("Star") || nj_may_be_extragalactic("") ||
                 nj_may_be_extragalactic("Fail 500"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_and_complete),
        cmocka_unit_test(nan_keys_go_last),
        cmocka_unit_test(component_fit_is_the_minimum),
        cmocka_unit_test(components_come_back),
        cmocka_unit_test(rise_fit_is_as_good_as_minpack),
        cmocka_unit_test(what_does_not_rise_is_not_fitted),
        cmocka_unit_test(nights_are_days_of_jd),
        cmocka_unit_test(statistics_equal_their_definitions),
        cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
