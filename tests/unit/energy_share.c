/* energy_share.c - whose CPU time is the run's: made-up /proc and cgroups, and what is attributed by them. */
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
#include "broker/measure/energy_look.h"
#include "broker/measure/energy_share.h"

static char root[64];

static void near(double value, double want)
{
    if (!(fabs(value - want) <= 1e-9 * fabs(want))) fail_msg("%.17g is not %.17g", value, want);
}

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        mkdir(whole, 0777);
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void process(const char *folder, int pid, const char *name, int parent, int user, int system,
                    int children)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "proc/%s/stat", folder);
    snprintf(text, sizeof text, "%d (%s) S %d 1 1 0 -1 4194304 9 9 9 9 %d %d %d 0 20 0 1 0 99\n", pid, name,
             parent, user, system, children);
    put(path, text);
}

/* Ticks of all CPUs: busy, at rest. */
static void machine(int busy, int idle)
{
    char text[128];
    snprintf(text, sizeof text, "cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n", busy, idle);
    put("proc/stat", text);
}

static void own_process(int user)
{
    process("100", 100, "nightjar", 1, user, 10, 5);
    process("self", 100, "nightjar", 1, user, 10, 5);
}

/* Process 100 is this one; 101 and 102 were started by it; 1 and 7 are others. */
static void some_processes(void)
{
    process("1", 1, "init", 0, 1000, 1000, 1000);
    process("7", 7, "other job", 1, 5000, 0, 0);
    own_process(200);
    process("101", 101, "python) S 1 (x", 100, 40, 0, 0); /* a name like that does not mislead */
    process("102", 102, "worker", 101, 30, 0, 15);
}

static void cgroup_of(const char *line)
{
    char text[256];
    snprintf(text, sizeof text, "3:cpuacct:/elsewhere\n%s\n", line);
    put("proc/self/cgroup", text);
}

static void cgroup(const char *folder, const char *procs, long usage_usec)
{
    char path[256], text[128];
    snprintf(path, sizeof path, "sys/fs/cgroup/%s/cgroup.events", folder);
    put(path, "populated 1\nfrozen 0\n");
    snprintf(path, sizeof path, "sys/fs/cgroup/%s/cgroup.procs", folder);
    put(path, procs);
    snprintf(path, sizeof path, "sys/fs/cgroup/%s/cpu.stat", folder);
    snprintf(text, sizeof text, "usage_usec %ld\nuser_usec 1\nsystem_usec 2\n", usage_usec);
    put(path, text);
}

static int make_root(void **state)
{
    (void)state;
    char path[128];
    snprintf(root, sizeof root, "/tmp/nightjar-share-XXXXXX");
    if (!mkdtemp(root)) return -1;
    snprintf(path, sizeof path, "%s/proc", root);
    if (setenv("NIGHTJAR_PROC", path, 1)) return -1;
    snprintf(path, sizeof path, "%s/sys", root);
    if (setenv("NIGHTJAR_SYSFS", path, 1)) return -1;
    put("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    some_processes();
    machine(10000, 90000);
    return 0;
}

static int drop_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    unsetenv("NIGHTJAR_PROC");
    unsetenv("NIGHTJAR_SYSFS");
    return system(command);
}

static nj_energy_share opened(const char *want)
{
    nj_energy_share s;
    nj_error err = { "" };
    if (nj_energy_share_open(&s, want, &err)) fail_msg("%s", err.text);
    return s;
}

static double seconds_of(double ticks)
{
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

static void a_cgroup_of_its_own(void **state)
{
    (void)state;
    cgroup_of("0::/system.slice/nightjar.service");
    cgroup("system.slice/nightjar.service", "100\n101\n102\n", 12500000);
    nj_energy_share s = opened("auto");
    assert_true(s.by_cgroup);
    assert_string_equal(s.cgroup, "/system.slice/nightjar.service");
    near(nj_energy_share_cpu_s(&s), 12.5); /* also of those that ended and are no more to be seen */
    assert_false(opened("process").by_cgroup);
}

static void of_processes_those_that_it_started(void **state)
{
    (void)state;
    nj_energy_share s = opened("process");
    near(nj_energy_share_cpu_s(&s), seconds_of(200 + 10 + 5 + 40 + 30 + 15));
    process("103", 103, "later", 102, 100, 0, 0);
    process("8", 8, "no child", 7, 900, 900, 900);
    near(nj_energy_share_cpu_s(&s), seconds_of(300 + 100));
}

static void others_in_the_cgroup(void **state)
{
    (void)state;
    cgroup_of("0::/user.slice/login");
    cgroup("user.slice/login", "7\n100\n101\n102\n", 99000000);
    nj_energy_share s = opened("auto");
    assert_false(s.by_cgroup);
    assert_string_equal(s.why, "cgroup /user.slice/login has another process, 7 (other job)");
    near(nj_energy_share_cpu_s(&s), seconds_of(300));
    s = opened("cgroup"); /* when they belong to the run */
    assert_true(s.by_cgroup);
    near(nj_energy_share_cpu_s(&s), 99);
    cgroup("user.slice/login", "100\n0\n", 99000000);
    s = opened("auto");
    assert_string_equal(s.why, "cgroup /user.slice/login has another process, 0 (of another namespace)");
    cgroup("user.slice/login", "100\n", 99000000);
    assert_true(opened("auto").by_cgroup);
    put("sys/fs/cgroup/user.slice/login/cgroup.stat", "nr_descendants 2\nnr_dying_descendants 0\n");
    s = opened("auto");
    assert_string_equal(s.why, "cgroup /user.slice/login has others below it");
}

static void no_cgroup_of_use(void **state)
{
    (void)state;
    nj_error err;
    nj_energy_share s = opened("auto");
    assert_string_equal(s.why, "the cgroup of this process is not in sight");
    cgroup_of("0::/../outside");
    assert_string_equal(opened("auto").why, "the cgroup of this process is not in sight");
    cgroup_of("0::/");
    put("sys/fs/cgroup/cpu.stat", "usage_usec 777000000\n");
    s = opened("auto");
    assert_false(s.by_cgroup); /* the time of the whole machine */
    assert_string_equal(s.why, "this process is in the root, the cgroup of the whole machine");
    assert_int_equal(nj_energy_share_open(&s, "cgroup", &err), -1);
    assert_non_null(strstr(err.text, "[energy] share = cgroup: this process is in the root"));
    assert_int_equal(nj_energy_share_open(&s, "mine", &err), -1);
    assert_non_null(strstr(err.text, "expected auto, cgroup or process"));
    put("sys/fs/cgroup/cgroup.events", "populated 1\n"); /* a container sees its own as the root */
    put("sys/fs/cgroup/cgroup.procs", "100\n101\n102\n");
    s = opened("auto");
    assert_true(s.by_cgroup);
    near(nj_energy_share_cpu_s(&s), 777);
    put("sys/fs/cgroup/cpu.stat", "nr_periods 0\n");
    assert_string_equal(opened("auto").why, "cpu.stat of cgroup / has no usage_usec");
    assert_true(isnan(nj_energy_share_cpu_s(&s))); /* what was there is gone: not 0 */
}

static void beside_version_1(void **state)
{
    (void)state;
    char path[128];
    cgroup_of("0::/job");
    cgroup("unified/job", "100\n", 3000000);
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cgroup.controllers", root);
    unlink(path);
    assert_string_equal(opened("auto").why, "no cgroups of version 2 on this machine");
    put("sys/fs/cgroup/unified/cgroup.controllers", "");
    nj_energy_share s = opened("auto");
    assert_true(s.by_cgroup);
    near(nj_energy_share_cpu_s(&s), 3);
}

/* --- what is attributed --- */

static void package(const char *microjoule)
{
    put("sys/class/powercap/intel-rapl:0/name", "package-0\n");
    put("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n");
    put("sys/class/powercap/intel-rapl:0/energy_uj", microjoule);
}

static nj_energy_split split_of(const char *share, void (*between)(void))
{
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_energy_source source;
    nj_energy_split split;
    package("1000000\n");
    machine(10000, 90000);
    assert_int_equal(nj_settings_define(&settings, share, &err), 0);
    nj_energy *e = nj_energy_open(&settings, &err);
    if (!e) fail_msg("%s", err.text);
    nj_energy_begin(e);
    between();
    nj_energy_end(e, &source, &split);
    assert_string_equal(source.tier, "rapl");
    nj_energy_free(e);
    nj_settings_free(&settings);
    return split;
}

/* 80 J; CPUs busy half of the time, for 400 ticks; 1 s of CPU time in the cgroup, 20 ticks by the process. */
static void work(void)
{
    package("81000000\n");
    machine(10400, 90400);
    cgroup("run", "100\n101\n102\n", 6000000);
    own_process(220);
}

static void the_run_has_its_share_of_a_metered_total(void **state)
{
    (void)state;
    const double tick = seconds_of(1);
    cgroup_of("0::/run");
    cgroup("run", "100\n101\n102\n", 5000000);
    nj_energy_split s = split_of("energy.share=auto", work);
    near(s.total_j, 80);
    near(s.active_j, 40);
    near(s.own_cpu_s, 1);
    near(s.busy_cpu_s, 400 * tick);
    near(s.own_share, 1 / (400 * tick));
    near(s.own_j, 40 / (400 * tick));
    assert_string_equal(s.own_by, "cgroup /run");
    own_process(200);
    s = split_of("energy.share=process", work);
    near(s.own_share, 20. / 400);
    near(s.own_j, 2);
    assert_string_equal(s.own_by, "process");
}

static void more_than_all(void)
{
    package("81000000\n");
    machine(10002, 90002);
    cgroup("run", "100\n", 9000000);
}

static void nothing_to_read(void)
{
    package("81000000\n");
    machine(10400, 90400);
    put("sys/fs/cgroup/run/cpu.stat", "");
}

static void shares_that_cannot_be(void **state)
{
    (void)state;
    cgroup_of("0::/run");
    cgroup("run", "100\n", 5000000);
    near(split_of("energy.share=auto", more_than_all).own_share,
         1); /* ticks are coarser than the cgroup's us */
    nj_energy_split s = split_of("energy.share=auto", nothing_to_read);
    assert_true(isnan(s.own_share));
    assert_true(isnan(s.own_j));
    near(s.total_j, 80);
}

static void doctor_shows_it(void **state)
{
    (void)state;
    nj_energy_look look[NJ_ENERGY_LOOKS];
    nj_settings s = { 0 };
    nj_error err;
    cgroup_of("0::/run");
    cgroup("run", "100\n", 5000000);
    nj_energy_look_at(look, &s);
    assert_string_equal(look[7].source, "share of the machine");
    assert_true(look[7].works);
    assert_string_equal(look[7].what, "by the CPU time of cgroup /run");
    assert_string_equal(look[7].cure, "");
    cgroup("run", "100\n7\n", 5000000);
    nj_energy_look_at(look, &s);
    assert_true(look[7].works);
    assert_non_null(
        strstr(look[7].what, "of this process and those that it starts; cgroup /run has another"));
    assert_non_null(strstr(look[7].cure, "systemd-run"));
    assert_int_equal(nj_settings_define(&s, "energy.share=mine", &err), 0);
    nj_energy_look_at(look, &s);
    assert_false(look[7].works);
    assert_non_null(strstr(look[7].what, "share = mine"));
    nj_settings_free(&s);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, drop_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ROOT(a_cgroup_of_its_own),   ON_ROOT(of_processes_those_that_it_started),
        ON_ROOT(others_in_the_cgroup),  ON_ROOT(no_cgroup_of_use),
        ON_ROOT(beside_version_1),      ON_ROOT(the_run_has_its_share_of_a_metered_total),
        ON_ROOT(shares_that_cannot_be), ON_ROOT(doctor_shows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
