/* engine_probe.c - shared objects that crash when they are loaded, opened or called are found by a child that
 * dies in their place. The modules are compiled here. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/engine/engine.h"
#include "broker/graph/crash.h"
#include "broker/graph/trial.h"
#include "tests/unit/folder.h"

static const char source[] =
    "#include <stdlib.h>\n"
    "#include \"nightjar/module.h\"\n"
    "static const nj_need needs[] = { { \"mag\", NJ_F64, NJ_SCALAR, \"mag\", 0 },\n"
    "                                 { \"lc.mag\", NJ_F64, NJ_SERIES, \"mag\", 0 },\n"
    "                                 { \"stamp.science\", NJ_F32, NJ_IMAGE, \"\", 0 }, { 0 } };\n"
    "static const nj_give gives[] = { { \"x\", NJ_F64, 1, 0, \"1\", 0, 99, NAN, 0, \"A number.\" },\n"
    "                                 { 0 } };\n"
    "#ifdef LOADED\n"
    "__attribute__((constructor)) static void first(void) { abort(); }\n"
    "#endif\n"
    "static int open_(const nj_host *host, const void *conf, void **self)\n"
    "{\n"
    "    (void)host, (void)conf, (void)self;\n"
    "#ifdef OPENED\n"
    "    *(volatile int *)8 = 1;\n"
    "#endif\n"
    "    return NJ_OK;\n"
    "}\n"
    "static int process(const void *self, void *thread, const nj_work *w)\n"
    "{\n"
    "    (void)self, (void)thread;\n"
    "    const double *mag = w->in[0]->data, *points = w->in[1]->data;\n"
    "    if (w->n != 1 || w->in[1]->off[1] != 3 || w->image(w, 2, 0) || points[2] <= mag[0]) abort();\n"
    "#ifdef CALLED\n"
    "    *(volatile int *)8 = 1;\n"
    "#endif\n"
    "#ifdef HANGS\n"
    "    for (volatile int i = 1; i;) continue;\n"
    "#endif\n"
    "    ((double *)w->out[0])[w->row[0]] = 5, w->reason[w->row[0]] = NJ_DONE;\n"
    "    return NJ_OK;\n"
    "}\n"
    "NJ_MODULE(probed) = { NJ_HEADER, .name = \"probed\", .version = \"1\", .summary = \"a test\",\n"
    "    .paper = \"none: test\", .needs = needs, .gives = gives, .process = process, .open = open_ };\n";

static int compiled;

/* cmocka has handlers of its own around each test; the child shall have those of a run. */
static const int crashes[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };
static struct sigaction of_a_run[sizeof crashes / sizeof *crashes];

static void watch(void)
{
    nj_crash_watch();
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) sigaction(crashes[i], NULL, &of_a_run[i]);
}

static int begin(void **state)
{
    static const char *const kinds[] = { "SOUND", "LOADED", "OPENED", "CALLED", "HANGS" };
    if (make_folder(state)) return -1;
    FILE *f = fopen(in_folder("probed.c"), "w");
    if (!f || fputs(source, f) < 0 || fclose(f)) return -1;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char command[3 * sizeof folder + 300];
        snprintf(
            command, sizeof command,
            "cc -std=c11 -D_GNU_SOURCE -fPIC -shared -DNJ_SHARED -Iinclude -D%s -o '%s/%s.so' '%s/probed.c'",
            kinds[k], folder, kinds[k], folder);
        compiled += system(command) == 0;
    }
    return 0;
}

/* What the probe says of it; "" when it is sound. */
static const char *probe(const char *name, double deadline_s)
{
    static nj_error err;
    nj_settings settings = { 0 };
    const char *path[] = { in_folder(name) };
    nj_guard *g = mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(g != MAP_FAILED);
    g->conf.deadline_s = deadline_s;
    nj_guard_here = g;
    err = (nj_error){ "" };
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) sigaction(crashes[i], &of_a_run[i], NULL);
    int rc = nj_engine_probe(&settings, path, 1, "probed", &err);
    assert_int_equal(rc, err.text[0] ? -1 : 0);
    nj_guard_here = NULL;
    munmap(g, sizeof *g);
    nj_settings_free(&settings);
    return err.text;
}

static void refused(const char *name, double deadline_s, const char *when, const char *how)
{
    const char *sanitized = getenv("NIGHTJAR_SANITIZED"); /* its own handlers report a crash */
    if (compiled < 5 || (sanitized && strcmp(sanitized, "coverage") != 0)) skip();
    const char *text = probe(name, deadline_s);
    if (!strstr(text, name) || !strstr(text, when) || !strstr(text, how)) print_error("%s\n", text);
    assert_non_null(strstr(text, name));
    assert_non_null(strstr(text, when));
    assert_non_null(strstr(text, how));
    assert_non_null(strstr(text, "it is refused"));
}

static void a_sound_one_is_taken(void **state)
{
    (void)state;
    if (compiled < 5) skip();
    assert_string_equal(probe("SOUND.so", 0), "");
}

static void one_that_is_not_there_is_the_runs_affair(void **state)
{
    (void)state;
    assert_string_equal(probe("absent.so", 0), "");
}

static void python_is_not_loaded(void **state)
{
    (void)state;
    assert_string_equal(probe("absent.py", 0), "");
}

static void crashes_when_it_is_loaded(void **state)
{
    (void)state;
    refused("LOADED.so", 0, "crashed", "signal 6");
}

static void crashes_when_it_is_opened(void **state)
{
    (void)state;
    refused("OPENED.so", 0, "open", "signal 11");
}

static void crashes_when_it_is_called(void **state)
{
    (void)state;
    refused("CALLED.so", 0, "process", "signal 11");
}

static void does_not_return(void **state)
{
    (void)state;
    refused("HANGS.so", 0.2, "process", "did not return in time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_one_is_taken),
        cmocka_unit_test(one_that_is_not_there_is_the_runs_affair),
        cmocka_unit_test(python_is_not_loaded),
        cmocka_unit_test(crashes_when_it_is_loaded),
        cmocka_unit_test(crashes_when_it_is_opened),
        cmocka_unit_test(crashes_when_it_is_called),
        cmocka_unit_test(does_not_return),
    };
    watch();
    return cmocka_run_group_tests(tests, begin, remove_folder);
}
