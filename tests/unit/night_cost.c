/* night_cost.c - money: the published figures of the 2019 proof of concept from its published inputs, the
 * formulas of sizing, spot interruptions and owned machines, and what the user's prices may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/embed.h"
#include "broker/measure/night_cost.h"

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

static void read_embedded(nj_prices *p, const char *name, const char *path)
{
    nj_error err = { "" };
    memset(p, 0, sizeof *p);
    if (nj_prices_read(p, name, nj_embedded_find(name)->data, path, &err)) fail_msg("%s", err.text);
}

/* DMTN-137: half a unit of the last published digit. */
static void the_proof_of_concept(void **state)
{
    (void)state;
    nj_prices p, bills;
    read_embedded(&p, "data/embed/prices.ini", NULL);
    read_embedded(&bills, "data/embed/workflows_2019.ini", NULL);
    near(nj_bill_total(&bills.bill[0]), 159.62, 0.005);
    near(nj_bill_total(&bills.bill[1]), 94.51, 0.005);
    near(nj_bill_total(&bills.bill[2]), 96.66, 0.005);
    near(nj_bill_job_hour(bills.bill, 3), 0.035, 0.0005);    /* ~$0.035 per active CPU hour */
    near(nj_cost_storage(&p.traffic, 1500, 1), 1.2, 0.0501); /* a day of the inputs, of one set of outputs */
    near(nj_cost_storage(&p.traffic, 4100, 1), 3.1, 0.05);
    near(nj_cost_egress(&p.traffic, 4100), 370, 5);
    assert_true(p.instance[0].spot / p.instance[0].on_demand > 0.20); /* "20-25 %" */
    assert_true(p.instance[0].spot / p.instance[0].on_demand < 0.25);
    near(95 * 1000 / 112.0, 850, 5); /* 1000 visits by the cost of 112 */
    /* shares of the bills: spot 55 to 62 %, database 14 to 17 %, storage 11 to 22 % */
    for (uint32_t i = 0; i < 3; i++) {
        const nj_bill *b = &bills.bill[i];
        double total = nj_bill_total(b);
        near(b->spot / total, 0.585, 0.040);
        near(b->database / total, 0.155, 0.015);
        near(b->storage / total, 0.165, 0.060);
    }
    nj_prices_free(&p);
    nj_prices_free(&bills);
}

/* 560 alerts/s a core, 70 % busy: 0.034 on demand, 0.008 spot, 7.4 for sending a million alerts of 82 kB
 * on. */
static void a_million_alerts(void **state)
{
    (void)state;
    nj_prices p;
    read_embedded(&p, "data/embed/prices.ini", NULL);
    const nj_volume v = { .per_night = 1e6, .per_exposure = 600, .exposure_s = 40, .nights = 300 };
    double hours = nj_cost_wall_h(&v, &(nj_alert_work){ 1 / 560.0, 82e3, 0 }, 4, 1, 0.7, 0, 0);
    near(hours * p.instance[0].on_demand, 0.034, 0.0005);
    near(hours * p.instance[0].spot, 0.008, 0.0005);
    near(nj_cost_egress(&p.traffic, 1e6 * 82e3 / 1e9), 7.4, 0.05);
    near(nj_owned_core_hour(&p.owned[1], 0.7), 0.017, 0); /* NCSA */
    nj_prices_free(&p);
}

static void sized_by_the_burst(void **state)
{
    (void)state;
    const nj_volume lsst = { .per_night = 10e6, .per_exposure = 10000, .exposure_s = 39, .nights = 300 };
    const nj_alert_work slow = { 0.1, 82e3, 0 }, fast = { 1e-4, 82e3, 0 };
    /* 256.4 alerts/s x 0.1 s = 25.64 cores busy; 4 x 0.7 = 2.8 of each machine */
    assert_int_equal(nj_cost_instances(&lsst, &slow, 4, 0.7), 10);
    assert_int_equal(nj_cost_instances(&lsst, &fast, 4, 0.7), 1);
    const nj_volume even = { .per_exposure = 28, .exposure_s = 1 };
    assert_int_equal(nj_cost_instances(&even, &(nj_alert_work){ 0.1, 0, 0 }, 4, 0.7), 1); /* exactly one */
}

static void spot_pays_for_its_restarts(void **state)
{
    (void)state;
    const nj_volume v = { .per_night = 10e6, .per_exposure = 10000, .exposure_s = 39, .nights = 300 };
    const nj_alert_work w = { 0.1, 82e3, 0 };
    double steady = nj_cost_wall_h(&v, &w, 4, 10, 0.7, 0, 0);
    near(steady, 10e6 * 0.1 / 28 / 3600, 1e-9);
    near(nj_cost_wall_h(&v, &w, 4, 10, 0.7, 360, 0), steady + 0.1, 1e-9);        /* the start */
    near(nj_cost_wall_h(&v, &w, 4, 10, 0.7, 360, 2), 1.05 * steady + 0.1, 1e-9); /* and 6 minutes every 2 h */
}

static void owned_machines(void **state)
{
    (void)state;
    const nj_owned_price o = { .vcpu = 100,
                               .price = 40000,
                               .years = 4,
                               .idle_watt = 100,
                               .full_watt = 300,
                               .kwh = 0.2,
                               .pue = 1.5,
                               .admin = 7520 };
    /* (10000 + 7520) / 8760 = 2 an hour; 200 W x 1.5 = 0.3 kW x 0.2 = 0.06 */
    near(nj_owned_core_hour(&o, 0.5), 2.06 / 100, 1e-12);
}

/* What is cheaper and faster is not on the line of those that nothing beats. */
static void the_pareto_line(void **state)
{
    (void)state;
    static nj_night_cost row[NJ_COST_ROWS];
    nj_prices p;
    nj_volume v;
    nj_error err;
    read_embedded(&p, "data/embed/prices.ini", NULL);
    assert_int_equal(nj_volume_of(&v, "lsst", &err), 0);
    const nj_alert_work w = { 0.01, 82e3, 1 };
    uint32_t n = nj_cost_rows(row, &p, &v, &w), on_line = 0, beaten = 0;
    assert_int_equal(n, (2 * 3 + 2) * 6);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++)
            if (row[k].live == row[i].live && row[k].total < row[i].total && row[k].wall_h < row[i].wall_h)
                beaten += row[i].pareto;
    for (uint32_t i = 0; i < n; i++) on_line += row[i].pareto;
    assert_int_equal(beaten, 0);
    assert_true(on_line >= 2);
    /* on demand, by the second: the same work costs the same on 1 and on 16, but for their starts */
    const nj_night_cost *one = &row[1], *many = &row[5];
    assert_int_equal(one->n, 1);
    assert_int_equal(many->n, 16);
    double stays = p.traffic.control_hour;
    near(one->compute - stays * one->wall_h, p.instance[0].on_demand * one->wall_h, 1e-9);
    near((many->compute - stays * many->wall_h) / (one->compute - stays * one->wall_h), 1, 0.06);
    nj_prices_free(&p);
}

static void prices_of_the_user_count_first(void **state)
{
    (void)state;
    nj_prices p;
    nj_error err = { "" };
    char path[] = "/tmp/nightjar-prices-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    fputs("[instance.m5.xlarge]\nspot = 0.06\n[instance.mine]\nvcpu = 16\non_demand = 1\n", f);
    fputs("[traffic]\negress_gb = 0\n", f);
    fclose(f);
    read_embedded(&p, "data/embed/prices.ini", path);
    near(p.instance[0].spot, 0.06, 0);
    near(p.instance[0].on_demand, 0.192, 0); /* stays */
    assert_int_equal(p.n_instances, 3);
    assert_string_equal(p.instance[2].kind, "as given");
    near(p.traffic.egress_gb, 0, 0);
    nj_prices_free(&p);
    static const char *const wrong[][2] = { { "[instance.x]\nvcpus = 4\n", "vcpu" },
                                            { "[instance.x]\non_demand = 4\n", "vcpu is missing" },
                                            { "[instances]\na = 4\n", "no section of prices" },
                                            { "[instance.x]\nvcpu = 4\nspot = -1\n", "spot" } };
    for (int i = 0; i < 4; i++) {
        memset(&p, 0, sizeof p);
        assert_int_equal(nj_prices_read(&p, "mine", wrong[i][0], NULL, &err), -1);
        assert_non_null(strstr(err.text, wrong[i][1]));
        nj_prices_free(&p);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_proof_of_concept),
        cmocka_unit_test(a_million_alerts),
        cmocka_unit_test(sized_by_the_burst),
        cmocka_unit_test(spot_pays_for_its_restarts),
        cmocka_unit_test(owned_machines),
        cmocka_unit_test(the_pareto_line),
        cmocka_unit_test(prices_of_the_user_count_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
