/* energy_ab.c - the difference of runs with and without a module: a load-following RAPL tree with its own
 * clock, noise and drift; what a source that sees no load says; where an alert's energy goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/measure/energy_ab.h"
#include "broker/measure/energy_counter.h"
#include "broker/measure/energy_parts.h"
#include "broker/measure/volume.h"

static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

/* ---- a machine with a counter ---------------------------------------------------------------- */

static char root[64];

typedef struct machine {
    double rest_watt, module_watt, noise_watt, drift_watt_per_s; /* what it draws */
    double second, joule;                                        /* its clock, its counter */
    double foreign;                                              /* of every third pair */
    uint32_t runs, on;
    uint64_t state;
    nj_energy_counter counter;
    char order[200];
} machine;

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/class/powercap/intel-rapl:0/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_counter(const machine *m)
{
    char text[32];
    snprintf(text, sizeof text, "%.0f\n", fmod(m->joule * 1e6, 262143328850.0));
    write_file("energy_uj", text);
}

static int make_root(void **state)
{
    (void)state;
    char path[160];
    snprintf(root, sizeof root, "/tmp/nightjar-ab-XXXXXX");
    if (!mkdtemp(root)) return -1;
    static const char *const folder[] = { "class", "class/powercap", "class/powercap/intel-rapl:0" };
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folder[i]);
        mkdir(path, 0777);
    }
    write_file("name", "package-0\n");
    write_file("max_energy_range_uj", "262143328850\n");
    return setenv("NIGHTJAR_SYSFS", root, 1);
}

static int drop_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    unsetenv("NIGHTJAR_SYSFS");
    return system(command);
}

static double uniform(machine *m)
{
    m->state = m->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(m->state >> 11) * 0x1p-53 - 0.5;
}

/* So many seconds of its own clock pass. */
static int run(void *opaque, bool on, double seconds, nj_ab_reading *r, nj_error *err)
{
    (void)err;
    machine *m = opaque;
    nj_energy_counter_begin(&m->counter);
    double watt = m->rest_watt + (on ? m->module_watt : 0) + m->noise_watt * uniform(m) +
                  m->drift_watt_per_s * m->second;
    m->second += seconds;
    m->joule += watt * seconds;
    write_counter(m);
    nj_energy_counter_poll(&m->counter);
    if (m->runs < sizeof m->order - 1) m->order[m->runs] = on ? 'A' : 'B';
    m->runs++;
    m->on += on;
    *r = (nj_ab_reading){ .joule = nj_energy_counter_joule(&m->counter),
                          .seconds = seconds,
                          .alerts = on ? 1000 * seconds : 0,
                          .cpu_s = on ? seconds : 0,
                          .foreign = m->runs % 6 == 0 ? m->foreign : 0 };
    return 0;
}

static nj_ab measure(machine *m, uint32_t pairs)
{
    nj_ab ab;
    nj_error err;
    m->joule = 262143; /* its counter wraps during the first runs */
    write_counter(m);
    assert_int_equal(nj_energy_counter_open(&m->counter), 0);
    const nj_ab_options o = { pairs, 10, 0.02, 1, run, m };
    assert_int_equal(nj_ab_measure(&ab, &o, &err), 0);
    nj_energy_counter_close(&m->counter);
    return ab;
}

/* 1.9 W of 90, in noise of 0.6 W and a drift of 2 W over the measurement. */
static void a_spinning_module_is_recovered(void **state)
{
    (void)state;
    char text[256];
    machine m = { .rest_watt = 90, .module_watt = 1.9, .noise_watt = 0.6, .drift_watt_per_s = 0.002 };
    nj_ab ab = measure(&m, 40);
    assert_int_equal(ab.verdict, NJ_AB_ABOVE);
    assert_true(ab.low <= 1.9);
    assert_true(ab.high >= 1.9);
    near(ab.watt, 1.9, 0.1);
    near(ab.alerts_per_s, 1000, 1e-9);
    near(ab.core_s_per_alert, 1e-3, 1e-12);
    assert_non_null(strstr(nj_ab_words(text, &ab, "RAPL"), " W ["));
    assert_non_null(strstr(text, "] above the machine at rest"));
    nj_ab_free(&ab);
}

static void an_idle_module_is_not_seen(void **state)
{
    (void)state;
    char text[256];
    machine m = { .rest_watt = 90, .module_watt = 0, .noise_watt = 3 };
    nj_ab ab = measure(&m, 40);
    assert_int_equal(ab.verdict, NJ_AB_NOT_SEEN);
    nj_ab_words(text, &ab, "RAPL");
    assert_non_null(
        strstr(text, "not distinguishable from the machine at rest after 40 pairs; 160 would resolve"));
    nj_ab_free(&ab);
}

static void words_of_the_unseen(void **state)
{
    (void)state;
    char text[256];
    nj_ab ab = { .verdict = NJ_AB_NOT_SEEN, .low = -0.2, .high = 0.6, .counted = 40 };
    assert_string_equal(
        nj_ab_words(text, &ab, "RAPL"),
        "below 0.6 W: not distinguishable from the machine at rest after 40 pairs; 160 would resolve 0.3 W");
    ab = (nj_ab){ .verdict = NJ_AB_ABOVE, .watt = 1.9, .low = 1.5, .high = 2.3 };
    assert_string_equal(nj_ab_words(text, &ab, "RAPL"), "1.9 W [1.5, 2.3] above the machine at rest");
}

static void less_than_at_rest_is_something_else(void **state)
{
    (void)state;
    machine m = { .rest_watt = 90, .module_watt = -5, .noise_watt = 0.5 };
    nj_ab ab = measure(&m, 9);
    assert_int_equal(ab.verdict, NJ_AB_BELOW);
    nj_ab_free(&ab);
}

/* A drift that is as large as the module would pass for it if all of A came before all of B. */
static void the_order_is_drawn_and_balanced(void **state)
{
    (void)state;
    machine m = { .rest_watt = 90, .module_watt = 0.5, .drift_watt_per_s = 0.05 };
    nj_ab ab = measure(&m, 20);
    uint32_t first = 0;
    for (uint32_t i = 0; i < ab.n; i++) first += ab.pair[i].on_first;
    assert_int_equal(first, 10);
    assert_int_equal(m.on, 21); /* and the warm-up */
    assert_string_not_equal(m.order, "AABABABABABABABABABABABABABABABABABABABAB");
    near(ab.watt, 0.5, 0.51); /* one run's drift, at most */
    nj_ab_free(&ab);
}

static void pairs_with_others_at_work_do_not_count(void **state)
{
    (void)state;
    machine m = { .rest_watt = 90, .module_watt = 2, .foreign = 0.5 };
    nj_ab ab = measure(&m, 12);
    assert_int_equal(ab.counted, 12);
    assert_int_equal(ab.n, 17); /* every third is repeated */
    nj_ab_free(&ab);
    m = (machine){ .rest_watt = 90, .module_watt = 2 };
    ab = measure(&m, 8);
    assert_int_equal(ab.verdict, NJ_AB_TOO_FEW);
    nj_ab_free(&ab);
}

/* ---- the worked example: 31.27 - 31.27 = -0.00 ----------------------------------------------- */

static double kg_per_year(double watt)
{
    return nj_carbon_grams(watt * NJ_SATURATED_YEAR_S, 1.25, 84.879) / 1000;
}

static void a_constant_source_says_nothing(void **state)
{
    (void)state;
    char text[256];
    nj_settings s = { 0 };
    nj_error err;
    assert_int_equal(nj_settings_define(&s, "energy.source=constant", &err), 0);
    assert_int_equal(nj_settings_define(&s, "energy.cpu_model=AMD EPYC 7702", &err), 0);
    nj_energy *e = nj_energy_open(&s, &err);
    assert_non_null(e);
    assert_false(nj_energy_chosen(e)->sees_load);
    nj_ab ab = { .verdict = NJ_AB_REFUSED };
    nj_ab_words(text, &ab, nj_energy_chosen(e)->source);
    assert_non_null(strstr(text, "A-B: not observable with this source (constant "));
    assert_non_null(strstr(text, "gives an idle and a busy machine the same watts"));
    nj_energy_free(e);
    nj_settings_free(&s);
    /* what Fink's runs were: the module on, and off */
    char on[16], off[16];
    snprintf(on, sizeof on, "%.2f", kg_per_year(100.9447));
    snprintf(off, sizeof off, "%.2f", kg_per_year(100.9447));
    assert_string_equal(on, "31.27");
    assert_string_equal(off, "31.27");
}

/* The same server by a source that follows load: one core of 64 takes 6.25 W of CPU, 8.3 W with its share
 * of the board: 2.6 kg a year, which a constant could not show. */
static void a_load_following_source_says_what_it_takes(void **state)
{
    (void)state;
    double core = 200 * (nj_energy_tdp_curve(1 / 64.0) - nj_energy_tdp_curve(0));
    machine m = { .rest_watt = 129, .module_watt = 1.33 * core, .noise_watt = 1 };
    nj_ab ab = measure(&m, 40);
    assert_int_equal(ab.verdict, NJ_AB_ABOVE);
    near(ab.watt, 8.3125, 0.2);
    near(kg_per_year(ab.watt), 2.58, 0.07);
    nj_ab_free(&ab);
}

/* ---- where it goes --------------------------------------------------------------------------- */

/* One EPYC 7702 with 256 GB: 129 W at rest (CPU 24, RAM 73, board 32), 368 W when all 64 cores work. */
static void parts_of_a_server(void **state)
{
    (void)state;
    nj_energy_part part[NJ_PARTS];
    double ram = 0.284 * 256, idle = 200 * nj_energy_tdp_curve(0), full = 200 * nj_energy_tdp_curve(1);
    near(ram, 73, 0.5);
    near((idle + ram) * 1.33, 129, 0.5);
    near((full + ram) * 1.33, 368, 1);
    const nj_energy_machine m = { .rest = { idle, idle, idle, "modelled", "TDP", 2021 },
                                  .ram = { ram, 38, 96, "modelled", "DIMMs", 2024 },
                                  .other = { 0.33 * (idle + ram), 0, 100, "modelled", "x 0.33", 2021 },
                                  .cpus = 64,
                                  .kg = 1000,
                                  .kg_low = 750,
                                  .kg_high = 1400,
                                  .life_hours = 35040 };
    const nj_energy_of_alert a = { 1.0 / 64, 1e-3, { 6.25, 6, 8, "measured", "RAPL", 0 } };
    const nj_carbon c = { "FRA", "Ember", "modelled", 2024, 56, 1.25 };
    nj_energy_parts_of(part, &m, &a, &c);
    near(part[NJ_PART_REST].joule.value, 24 / 64.0 * 1e-3, 1e-12);
    near(part[NJ_PART_CPU].joule.value, 6.25e-3, 1e-12);
    near(part[NJ_PART_RAM].joule.high, 96 / 64.0 * 1e-3, 1e-12);
    assert_string_equal(part[NJ_PART_DISK].in, "not metered");
    nj_valued all = nj_energy_parts_joule(part);
    near(all.value, 1.25 * (6.25 + 1.33 * (24 + 72.704) / 64) * 1e-3, 1e-9);
    assert_string_equal(all.kind, "modelled");
    near(part[NJ_PART_EMBODIED].grams.value, 28.54 / 64 / 3600 * 1e-3, 1e-9); /* 0.45 g a core-hour */
    /* both conventions: a core kept busy 8 h a day; 300,000 alerts a night, 300 nights */
    near(nj_energy_saturated_kg(1e-6, 1e-3, 1), 1e-9 * 10512000 / 1e-3, 1e-9);
    near(nj_energy_survey_kg(1e-6, 300e3, 300), 0.09, 1e-12);
}

static void a_whole_meter_counts_nothing_twice(void **state)
{
    (void)state;
    nj_energy_part part[NJ_PARTS];
    const nj_energy_machine m = { .rest = { 129, 120, 140, "measured", "meter", 0 },
                                  .ram = { 73, 38, 96, "modelled", "DIMMs", 2024 },
                                  .other = { 32, 20, 60, "modelled", "x 0.33", 2021 },
                                  .rest_has_ram = true,
                                  .rest_has_other = true,
                                  .cpus = 64,
                                  .kg = 1000,
                                  .life_hours = 35040 };
    const nj_energy_of_alert a = { 1.0 / 64, 1e-3, { 8, 7, 9, "measured", "meter", 0 } };
    const nj_carbon c = { "FRA", "Ember", "modelled", 2024, 56, 1 };
    nj_energy_parts_of(part, &m, &a, &c);
    assert_string_equal(part[NJ_PART_RAM].in, "in the machine at rest");
    assert_string_equal(part[NJ_PART_DISK].in, "in the machine at rest");
    near(nj_energy_parts_joule(part).value, (129 / 64.0 + 8) * 1e-3, 1e-12);
}

static void volumes(void **state)
{
    (void)state;
    nj_volume v;
    nj_error err;
    assert_int_equal(nj_volume_of(&v, "lsst", &err), 0);
    near(v.per_night, 10e6, 0);
    assert_int_equal(nj_volume_of(&v, "2M,5000,30", &err), 0);
    near(v.per_night, 2e6, 0);
    near(v.per_exposure, 5000, 0);
    near(v.exposure_s, 30, 0);
    assert_int_equal(nj_volume_of(&v, "rubin", &err), -1);
    assert_non_null(strstr(err.text, "expected ztf, lsst or"));
    assert_int_equal(nj_volume_of(&v, "1,2,3,4,5,6", &err), -1);
    assert_int_equal(nj_volume_of(&v, "-5", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_spinning_module_is_recovered, make_root, drop_root),
        cmocka_unit_test_setup_teardown(an_idle_module_is_not_seen, make_root, drop_root),
        cmocka_unit_test(words_of_the_unseen),
        cmocka_unit_test_setup_teardown(less_than_at_rest_is_something_else, make_root, drop_root),
        cmocka_unit_test_setup_teardown(the_order_is_drawn_and_balanced, make_root, drop_root),
        cmocka_unit_test_setup_teardown(pairs_with_others_at_work_do_not_count, make_root, drop_root),
        cmocka_unit_test(a_constant_source_says_nothing),
        cmocka_unit_test_setup_teardown(a_load_following_source_says_what_it_takes, make_root, drop_root),
        cmocka_unit_test(parts_of_a_server),
        cmocka_unit_test(a_whole_meter_counts_nothing_twice),
        cmocka_unit_test(volumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
