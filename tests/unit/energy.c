/* energy.c - energy: golden values of the formulas, counters on a false sysfs, the ladder, and what must be
 * refused. */
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
#include <unistd.h>

#include "broker/measure/energy.h"
#include "broker/measure/energy_counter.h"
#include "broker/measure/energy_look.h"

/* Values published to two or four digits: half a unit of the last one. */
static void near(double value, double want, double tolerance)
{
    if (!(fabs(value - want) <= tolerance)) fail_msg("%.17g is not %.17g within %g", value, want, tolerance);
}

/* Fink's yearly figure for one core kept busy: 100.9447 W, PUE 1.25, 8 hours a day,
 * France with data of 2022 and of 2023. */
static void carbon_of_a_year(void **state)
{
    (void)state;
    double joule = 100.9447 * 8 * 3600 * 365;
    near(nj_carbon_grams(joule, 1.25, 84.879) / 1000, 31.27, 0.005);
    near(nj_carbon_grams(joule, 1.25, 56.039) / 1000, 20.65, 0.005);
    near(nj_carbon_grams(3.6e6, 1, 472.9), 472.9, 1e-9); /* one kWh */
}

static void embodied(void **state)
{
    (void)state;
    near(nj_carbon_embodied_grams(1000, 1, 4 * 8760, 1), 28.5, 0.05); /* the example of the SCI */
    near(nj_carbon_cpu_kg(1008), 29.0, 0.05);
}

static void dimms_and_tdp(void **state)
{
    (void)state;
    near(nj_energy_dimm_watt(8), 38, 1e-9);
    near(nj_energy_dimm_watt(16), 70, 1e-9);
    near(nj_energy_dimm_watt(0), 0, 0);
    near(nj_energy_dimm_watt(2), 10, 1e-9);
    near(nj_energy_dimm_watt(20), 84, 1e-9);
    near(200 * nj_energy_tdp_curve(0), 24, 1e-9); /* EPYC 7702: idle, one of 64 cores, all */
    near(200 * nj_energy_tdp_curve(1 / 64.0), 30.25, 1e-9);
    near(200 * nj_energy_tdp_curve(1), 204, 1e-9);
    near(200 * nj_energy_tdp_curve(0.5), 150, 1e-9);
}

static void names_of_cpus(void **state)
{
    (void)state;
    char key[96];
    nj_energy_cpu_key("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", key, sizeof key);
    assert_string_equal(key, "intel xeon gold 6248");
    nj_energy_cpu_key("AMD EPYC 7702 64-Core Processor", key, sizeof key);
    assert_string_equal(key, "amd epyc 7702");
    near(nj_energy_tdp(NULL, "AMD EPYC 7702 64-Core Processor"), 200, 0);
    assert_true(isnan(nj_energy_tdp(NULL, "AMD EPYC"))); /* what a guest says: never a guess */
    char path[] = "/tmp/nightjar-tdp-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    fputs("Name,TDP\nToy CPU 1,65\nToy CPU 2,27.29.5\nToy 3 8-Core Processor,95\nToy 4,10\nToy(R) 4,12\nToy "
          "5,7\ntoy 5,7\n",
          f);
    fclose(f);
    near(nj_energy_tdp(path, "Toy(TM) CPU 1 @ 1.00GHz"), 65, 0);
    near(nj_energy_tdp(path, "Toy 3"), 95, 0);
    near(nj_energy_tdp(path, "Toy 5"), 7, 0);
    assert_true(isnan(nj_energy_tdp(path, "Toy CPU 2"))); /* a broken row */
    assert_true(isnan(nj_energy_tdp(path, "Toy 4")));     /* two entries disagree */
    unlink(path);
}

/* ---- a false sysfs --------------------------------------------------------------------------- */

static nj_settings empty, *used = &empty; /* freed before the next, and at the end of each test */
static char root[64];

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        mkdir(whole, 0777);
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void zone(const char *name, const char *is, const char *energy_uj, const char *range)
{
    char path[128];
    snprintf(path, sizeof path, "class/powercap/%s/name", name);
    put(path, is);
    snprintf(path, sizeof path, "class/powercap/%s/max_energy_range_uj", name);
    put(path, range);
    snprintf(path, sizeof path, "class/powercap/%s/energy_uj", name);
    if (energy_uj) put(path, energy_uj);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/nightjar-sysfs-XXXXXX");
    if (!mkdtemp(root)) return -1;
    return setenv("NIGHTJAR_SYSFS", root, 1);
}

static int drop_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    used = &empty;
    unsetenv("NIGHTJAR_SYSFS");
    return system(command);
}

static void two_sockets(const char *e0, const char *e1)
{
    zone("intel-rapl:0", "package-0\n", e0, "262143328850\n");
    zone("intel-rapl:0:0", "core\n", "7000000\n", "262143328850\n");
    zone("intel-rapl:0:1", "uncore\n", "8000000\n", "262143328850\n");
    zone("intel-rapl:1", "package-1\n", e1, "262143328850\n");
    zone("intel-rapl:2", "psys\n", "9000000\n", "262143328850\n");  /* holds both packages */
    zone("intel-rapl-mmio:0", "package-0\n", e0, "262143328850\n"); /* package-0 once more */
}

static void nested_domains_count_once(void **state)
{
    (void)state;
    nj_energy_counter c;
    two_sockets("1000000\n", "500000\n");
    assert_int_equal(nj_energy_counter_open(&c), 0);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.what, "RAPL by powercap: package-0, package-1");
    nj_energy_counter_begin(&c);
    two_sockets("4000000\n", "1500000\n");
    zone("intel-rapl:0:0", "core\n", "99000000\n", "262143328850\n");
    assert_int_equal(nj_energy_counter_poll(&c), 0);
    near(nj_energy_counter_joule(&c), 3 + 1, 1e-9); /* microjoules, exact */
    nj_energy_counter_close(&c);
}

/* Memory is a zone below its package and not in it; each is named by its package. */
static void memory_counts_beside_its_package(void **state)
{
    (void)state;
    nj_energy_counter c;
    two_sockets("1000000\n", "500000\n");
    zone("intel-rapl:0:2", "dram\n", "1000000\n", "65712999613\n");
    zone("intel-rapl:1:0", "core\n", "1000000\n", "262143328850\n");
    zone("intel-rapl:1:1", "dram\n", "65712000000\n", "65712999613\n");
    zone("intel-rapl-mmio:0:0", "dram\n", "1000000\n", "65712999613\n"); /* once more */
    assert_int_equal(nj_energy_counter_open(&c), 0);
    assert_string_equal(c.what, "RAPL by powercap: package-0, package-0 dram, package-1, package-1 dram");
    nj_energy_counter_begin(&c);
    two_sockets("4000000\n", "1500000\n");
    zone("intel-rapl:0:2", "dram\n", "3500000\n", "65712999613\n");
    zone("intel-rapl:1:1", "dram\n", "1000000\n", "65712999613\n"); /* wrapped at its own range */
    assert_int_equal(nj_energy_counter_poll(&c), 0);
    near(nj_energy_counter_joule(&c), 3 + 2.5 + 1 + 1.999613, 1e-9);
    assert_int_equal(c.n_missing, 0);
    nj_energy_counter_close(&c);
}

/* A folder in its place refuses even root. */
static void close_zone(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/class/powercap/%s/energy_uj", root, name);
    unlink(path);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void a_zone_that_cannot_be_read_is_missing_by_name(void **state)
{
    (void)state;
    nj_energy_counter c;
    two_sockets("1000000\n", "500000\n"); /* a package, from the start */
    close_zone("intel-rapl:1");
    assert_int_equal(nj_energy_counter_open(&c), 0);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.n_missing, 1);
    assert_string_equal(c.missing, "package-1 (Is a directory)");
    assert_non_null(strstr(c.hint, "intel-rapl:1/energy_uj"));
    nj_energy_counter_close(&c);

    zone("intel-rapl:0:2", "dram\n", NULL, "65712999613\n"); /* memory, from the start */
    assert_int_equal(nj_energy_counter_open(&c), 0);
    assert_string_equal(c.missing, "package-0 dram (No such file or directory), package-1 (Is a directory)");
    nj_energy_counter_close(&c);

    zone("intel-rapl:0:2", "dram\n", "1000000\n", "65712999613\n"); /* memory, in the middle of a run:
                                                                     * its half is no sum */
    assert_int_equal(nj_energy_counter_open(&c), 0);
    nj_energy_counter_begin(&c);
    zone("intel-rapl:0", "package-0\n", "3000000\n", "262143328850\n");
    zone("intel-rapl:0:2", "dram\n", "2000000\n", "65712999613\n");
    assert_int_equal(nj_energy_counter_poll(&c), 0);
    close_zone("intel-rapl:0:2");
    assert_int_equal(nj_energy_counter_poll(&c), -1);
    near(nj_energy_counter_joule(&c), 2, 1e-9);
    assert_non_null(strstr(c.missing, "package-0 dram (Is a directory)"));
    assert_int_equal(nj_energy_counter_poll(&c), -1); /* reported once */
    assert_int_equal(c.n_missing, 2);
    nj_energy_counter_close(&c);
}

static void a_wrap_at_an_unknown_range_is_no_energy(void **state)
{
    (void)state;
    nj_energy_counter c;
    zone("intel-rapl:0", "package-0\n", "5000000\n", "no number\n");
    assert_int_equal(nj_energy_counter_open(&c), 0);
    nj_energy_counter_begin(&c);
    zone("intel-rapl:0", "package-0\n", "1000000\n", "no number\n");
    assert_int_equal(nj_energy_counter_poll(&c), -1);
    assert_true(isnan(nj_energy_counter_joule(&c)));
    assert_non_null(strstr(c.missing, "package-0 (went back to 0"));
    nj_energy_counter_close(&c);
}

static void counters_wrap(void **state)
{
    (void)state;
    assert_int_equal(nj_energy_wrapped(10, 30, 100), 20);
    assert_int_equal(nj_energy_wrapped(90, 5, 100), 15);
    assert_int_equal(nj_energy_wrapped(UINT64_MAX - 1, 3, UINT64_MAX), 4);
    nj_energy_counter c;
    two_sockets("262143000000\n", "0\n");
    assert_int_equal(nj_energy_counter_open(&c), 0);
    nj_energy_counter_begin(&c);
    two_sockets("1000000\n", "0\n");
    nj_energy_counter_poll(&c);
    near(nj_energy_counter_joule(&c), 1.32885, 1e-9);
    nj_energy_counter_close(&c);
}

static void a_closed_counter_has_a_hint(void **state)
{
    (void)state;
    nj_energy_counter c;
    zone("intel-rapl:0", "package-0\n", NULL, "262143328850\n");
    char path[160];
    snprintf(path, sizeof path, "%s/class/powercap/intel-rapl:0/energy_uj", root);
    mkdir(path, 0777); /* root reads any file; a folder refuses even root */
    assert_int_equal(nj_energy_counter_open(&c), -1);
    assert_int_equal(c.n, 0);
    assert_non_null(strstr(c.hint, "energy_uj"));
    assert_non_null(strstr(c.hint, "chmod a+r"));
}

static void perf_that_is_refused(void **state)
{
    (void)state;
    put("bus/event_source/devices/power/type", "4242\n"); /* no such PMU: the kernel refuses */
    put("bus/event_source/devices/power/cpumask", "0\n");
    put("bus/event_source/devices/power/events/energy-pkg", "event=0x02\n");
    put("bus/event_source/devices/power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n");
    nj_energy_counter c;
    assert_int_equal(nj_energy_counter_open(&c), -1);
    assert_non_null(strstr(c.hint, "perf_event_paranoid"));
    two_sockets("1\n", "1\n"); /* powercap is the next thing tried */
    assert_int_equal(nj_energy_counter_open(&c), 0);
    assert_string_equal(c.hint, "");
    nj_energy_counter_close(&c);
}

/* ---- the ladder ------------------------------------------------------------------------------ */

static nj_energy *open_with(nj_settings *s, const char *const *define, nj_error *err)
{
    nj_settings_free(used);
    memset(s, 0, sizeof *s);
    used = s;
    for (; *define; define++) assert_int_equal(nj_settings_define(s, *define, err), 0);
    return nj_energy_open(s, err);
}

static nj_energy_source source_of(nj_energy *e, nj_energy_split *split, useconds_t busy_us,
                                  void (*between)(void))
{
    nj_energy_source s;
    nj_energy_begin(e);
    usleep(busy_us);
    if (between) between();
    nj_energy_end(e, &s, split);
    return s;
}

static void three_joules(void)
{
    two_sockets("4000000\n", "500000\n");
}

static void first_three_joules(void)
{
    zone("intel-rapl:0", "package-0\n", "4000000\n", "262143328850\n");
}

static void best_rung(void **state)
{
    (void)state;
    nj_settings s;
    nj_error err;
    nj_energy_split split;
    nj_energy *e = open_with(&s, (const char *const[]){ "energy.cpu_model=AMD EPYC", NULL }, &err);
    nj_energy_source got = source_of(e, &split, 1000, NULL);
    assert_string_equal(got.tier, "unknown");
    assert_string_equal(got.kind, "assumed");
    near(got.watt, 4, 0);
    nj_energy_free(e);
    e = open_with(&s, (const char *const[]){ "energy.cpu_model=AMD EPYC 7702 64-Core Processor", NULL },
                  &err);
    got = source_of(e, &split, 1000, NULL);
    assert_string_equal(got.tier, "spec");
    near(got.watt, 1.693 - 0.474, 1e-12);
    nj_energy_free(e);
    e = open_with(&s, (const char *const[]){ "energy.cpu_model=AMD EPYC 7702", "energy.source=tdp", NULL },
                  &err);
    got = source_of(e, &split, 1000, NULL);
    assert_string_equal(got.tier, "tdp");
    assert_true(got.watt > 0 && got.idle_watt > 24 && got.high == 2 * got.watt);
    nj_energy_free(e);
    two_sockets("1000000\n", "500000\n");
    e = open_with(&s, (const char *const[]){ NULL }, &err);
    got = source_of(e, &split, 1000, three_joules);
    assert_string_equal(got.tier, "rapl");
    assert_string_equal(got.kind, "measured");
    near(split.total_j, 3, 1e-9);
    near(split.active_j + split.idle_j, 3, 1e-9);
    near(got.watt * split.seconds * (double)sysconf(_SC_NPROCESSORS_ONLN), 3, 1e-9);
    assert_true(nj_energy_is_read(&got));
    got = source_of(e, &split, 0, NULL); /* no step of the counter: modelled, not zero */
    assert_string_equal(got.kind, e ? nj_energy_best().kind : "");
    nj_energy_free(e);
    two_sockets("1000000\n", "500000\n");
    close_zone("intel-rapl:1");
    e = open_with(&s, (const char *const[]){ NULL }, &err);
    got = source_of(e, &split, 1000, first_three_joules);
    assert_string_equal(got.kind, "partial");
    assert_string_equal(got.source, "RAPL by powercap: package-0; not read: package-1 (Is a directory)");
    assert_true(nj_energy_is_read(&got));
    near(split.total_j, 3, 1e-9);
    near(got.high, 2.1 * got.watt, 1e-9); /* the other one may use as much */
    assert_non_null(strstr(nj_energy_hint(e), "chmod a+r"));
    nj_energy_free(e);
    nj_settings_free(&s);
    used = &empty;
}

static void a_meter_of_the_user(void **state)
{
    (void)state;
    nj_settings s;
    nj_error err;
    nj_energy_split split;
    put("watt", "100\n");
    char file[128];
    snprintf(file, sizeof file, "energy.meter_file=%s/watt", root);
    nj_energy *e = open_with(&s, (const char *const[]){ file, "energy.meter_s=0.1", NULL }, &err);
    assert_non_null(e);
    nj_energy_source got = source_of(e, &split, 350000, NULL);
    assert_string_equal(got.tier, "meter");
    /* 100 W from the first reading to the last: the first is taken a moment after the clock,
     * the last before */
    assert_true(split.total_j > 0);
    assert_true(split.total_j <= 100 * split.seconds * (1 + 1e-9));
    nj_energy_free(e);
    e = open_with(&s, (const char *const[]){ "energy.meter_command=exit 1", "energy.source=meter", NULL },
                  &err);
    assert_null(e);
    assert_non_null(strstr(err.text, "gives no number"));
    e = open_with(
        &s, (const char *const[]){ "energy.meter_command=echo 12.5 W", "energy.source=meter", NULL }, &err);
    assert_non_null(e);
    nj_energy_free(e);
    nj_settings_free(&s);
    used = &empty;
}

static void refused_settings(void **state)
{
    (void)state;
    nj_settings s;
    nj_error err;
    assert_null(open_with(&s, (const char *const[]){ "energy.source=rapl", NULL }, &err));
    assert_non_null(strstr(err.text, "not on this machine"));
    assert_null(open_with(&s, (const char *const[]){ "energy.source=guess", NULL }, &err));
    assert_null(open_with(&s, (const char *const[]){ "energy.pue=0.5", NULL }, &err));
    assert_null(open_with(&s, (const char *const[]){ "energy.country=XYZ", NULL }, &err));
    assert_non_null(strstr(err.text, "intensity"));
    nj_energy *e = open_with(&s, (const char *const[]){ "energy.country=fr", "energy.pue=1.1", NULL }, &err);
    near(nj_energy_carbon(e)->g_per_kwh, 44.2, 0);
    near(nj_energy_carbon(e)->pue, 1.1, 0);
    assert_int_equal(nj_energy_carbon(e)->year, 2024);
    nj_energy_free(e);
    nj_settings_free(&s);
    used = &empty;
}

/* A model that is the same for any load must not claim that two runs differ by 0.00 W. */
static void a_constant_model_refuses_a_difference(void **state)
{
    (void)state;
    char text[64];
    nj_energy_source constant = { .tier = "unknown", .sees_load = false },
                     meter = { .tier = "meter", .sees_load = true };
    assert_false(nj_energy_difference(&constant, 100.9447, 100.9447, text, sizeof text));
    assert_string_equal(text, "A-B: not observable with this source");
    assert_true(nj_energy_difference(&meter, 103.5, 100, text, sizeof text));
    assert_string_equal(text, "3.5 W");
    nj_settings s;
    nj_error err;
    nj_energy_split split;
    nj_energy *e = open_with(&s, (const char *const[]){ "energy.source=unknown", NULL }, &err);
    assert_false(source_of(e, &split, 1000, NULL).sees_load);
    nj_energy_free(e);
    nj_settings_free(&s);
    used = &empty;
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, drop_root)

/* A command that does not end is killed with all that it started; the run goes on without it. */
static void a_meter_that_hangs(void **state)
{
    (void)state;
    assert_true(isnan(nj_energy_meter_read("echo 220; sleep 1000", NULL)));
    near(nj_energy_meter_read("echo 220", NULL), 220, 0);
    assert_true(isnan(nj_energy_meter_read("kill -9 $$", NULL)));
    near(nj_energy_meter_read("echo 7; head -c 100000 /dev/zero", NULL), 7, 0);
    char path[128];
    snprintf(path, sizeof path, "%s/fifo", root);
    assert_int_equal(mkfifo(path, 0600), 0); /* without a writer */
    assert_true(isnan(nj_energy_meter_read(NULL, path)));
}

/* What a BMC prints has the watts in the middle. */
static void meters_of_a_bmc(void **state)
{
    (void)state;
    static const char
        ipmi[] = "\n    Instantaneous power reading:                   220 Watts\n"
                 "    Minimum during sampling period:                 4 Watts\n",
        power[] = "{\"PowerControl\": [{\"PowerCapacityWatts\": 800, \"PowerConsumedWatts\": 344.5}]}",
        metrics[] = "{\"PowerWatts\": {\"DataSourceUri\": \"/x\", \"Reading\": 374}}";
    char path[128], command[200];
    snprintf(path, sizeof path, "%s/bmc", root);
    put("bmc", ipmi);
    near(nj_energy_meter_read(NULL, path), 220, 0);
    snprintf(command, sizeof command, "cat %s", path);
    near(nj_energy_meter_read(command, NULL), 220, 0);
    put("bmc", power);
    near(nj_energy_meter_read(NULL, path), 344.5, 0);
    put("bmc", metrics);
    near(nj_energy_meter_read(NULL, path), 374, 0);
    put("bmc", "{\"PowerWatts\": null}");
    assert_true(isnan(nj_energy_meter_read(NULL, path)));
    put("bmc", " 91.5 W\n");
    near(nj_energy_meter_read(NULL, path), 91.5, 0);
    snprintf(command, sizeof command, "cat %s; exit 3", path); /* it says that it failed */
    assert_true(isnan(nj_energy_meter_read(command, NULL)));
}

static void a_table_of_ones_own(void **state)
{
    (void)state;
    double idle = 0, full = 0;
    char path[128];
    assert_string_equal(nj_energy_spec(NULL, "AMD EPYC 7702 64-Core Processor", &idle, &full), "EPYC gen 2");
    near(full - idle, 1.693 - 0.474, 1e-12);
    assert_null(nj_energy_spec(NULL, "AMD EPYC", &idle, &full));
    snprintf(path, sizeof path, "%s/spec.csv", root);
    put("spec.csv", "CPU,idle,full\nToy 1*,x,3\nToy 2,4,3\nToy*,0.5,2.5\n");
    assert_string_equal(nj_energy_spec(path, "Toy 1 CPU", &idle, &full),
                        "toy*"); /* broken and reversed rows */
    near(idle, 0.5, 0);
    near(full, 2.5, 0);
    assert_null(nj_energy_spec(path, "AMD EPYC 7702", &idle, &full));
}

static void each_source_is_looked_at(void **state)
{
    (void)state;
    nj_energy_look look[NJ_ENERGY_LOOKS];
    nj_settings s = { 0 };
    nj_error err;
    two_sockets("1000000\n", "500000\n");
    setenv("NIGHTJAR_NVML", "/nowhere/libnvidia-ml.so", 1);
    assert_int_equal(nj_settings_define(&s, "energy.cpu_model=AMD EPYC 7702", &err), 0);
    nj_energy_look_at(look, &s);
    assert_string_equal(look[0].source, "meter");
    assert_false(look[0].works);
    assert_non_null(strstr(look[0].cure, "meter_command"));
    assert_string_equal(look[2].source, "RAPL by powercap");
    assert_true(look[2].works);
    assert_non_null(strstr(look[3].what, "/nowhere/libnvidia-ml.so"));
    assert_true(look[5].works);
    assert_true(look[6].works);
    close_zone("intel-rapl:0");
    close_zone("intel-rapl:1");
    nj_energy_look_at(look, &s);
    assert_false(look[2].works);
    assert_non_null(strstr(look[2].cure, "chmod a+r"));
    nj_settings_free(&s);
    unsetenv("NIGHTJAR_NVML");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carbon_of_a_year),
        cmocka_unit_test(embodied),
        cmocka_unit_test(dimms_and_tdp),
        cmocka_unit_test(names_of_cpus),
        ON_ROOT(nested_domains_count_once),
        ON_ROOT(memory_counts_beside_its_package),
        ON_ROOT(a_zone_that_cannot_be_read_is_missing_by_name),
        ON_ROOT(a_wrap_at_an_unknown_range_is_no_energy),
        ON_ROOT(counters_wrap),
        ON_ROOT(a_closed_counter_has_a_hint),
        ON_ROOT(perf_that_is_refused),
        ON_ROOT(best_rung),
        ON_ROOT(a_meter_of_the_user),
        ON_ROOT(refused_settings),
        ON_ROOT(a_constant_model_refuses_a_difference),
        cmocka_unit_test_setup_teardown(meters_of_a_bmc, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_meter_that_hangs, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_table_of_ones_own, make_root, drop_root),
        cmocka_unit_test_setup_teardown(each_source_is_looked_at, make_root, drop_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
