/* cost.c - money: golden values from Rubin's DMTN-137, bands, settings. */
#include "../../broker/measure/cost.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static nj_cost read_with(const char *const *define, size_t n)
{
    static nj_settings s; /* the texts live as long as the settings */
    nj_error err = { "" };
    nj_cost cost;
    nj_settings_free(&s);
    for (size_t i = 0; i < n; i++) assert_int_equal(nj_settings_define(&s, define[i], &err), 0);
    assert_int_equal(nj_cost_read(&s, &cost, &err), 0);
    return cost;
}

/* 560 alerts/s/core at a use of 0.7: 0.034 USD per million on demand, 0.008 as spot;
 * 1e6 packets of 82 kB out: 7.4 USD. */
static void golden(void **state)
{
    (void)state;
    double busy_s = 1e6 / 560;
    nj_cost demand = read_with((const char *const[]){ "cost.core_hour=0.048", "cost.use=0.7" }, 2);
    assert_true(fabs(nj_cost_busy(&demand, busy_s) - 0.034) < 0.0005); /* two digits are published */
    assert_string_equal(demand.kind, "modelled");
    /* 0.045 / 4 vCPU */
    nj_cost spot = read_with((const char *const[]){ "cost.core_hour=0.01125", "cost.use=0.7" }, 2);
    assert_true(fabs(nj_cost_busy(&spot, busy_s) - 0.008) < 0.0005);
    assert_true(fabs(82 * spot.egress_gb - 7.4) < 0.05);
}

static void example(void **state)
{
    (void)state;
    nj_cost c = read_with(NULL, 0);
    assert_string_equal(c.kind, "assumed");
    assert_string_equal(c.currency, "USD");
    assert_int_equal(c.year, 2019);
    assert_true(nj_cost_busy_low(&c, 1) < nj_cost_busy(&c, 1) &&
                nj_cost_busy(&c, 1) < nj_cost_busy_high(&c, 1));
    nj_cost use = read_with((const char *const[]){ "cost.use=1" }, 1); /* own machine, all of it busy;
                                                                        * price still the example */
    assert_string_equal(use.kind, "assumed");
    assert_true(fabs(nj_cost_busy(&use, 3600) - 0.048) < 1e-12);
}

static void wrong(void **state)
{
    (void)state;
    static const char *const bad[] = { "cost.use=1.5", "cost.core_hour=-1", "cost.currency=EUR",
                                       "cost.core_our=1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_settings s = { 0 };
        nj_error err = { "" };
        nj_cost cost;
        assert_int_equal(nj_settings_define(&s, bad[i], &err), 0);
        assert_int_equal(nj_cost_read(&s, &cost, &err), -1);
        assert_non_null(strstr(err.text, "cost"));
        nj_settings_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden), cmocka_unit_test(example),
                                        cmocka_unit_test(wrong) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
