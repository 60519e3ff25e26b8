/* bench_bars.c - bars of the benchmark: a figure that is not there misses its bar, and a subject that does
 * nothing does not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "broker/bench/harness.h"

static double value, least, most;

static int one_bar(nj_bench_run *run)
{
    nj_bench_bar(run, "made up", value, "x", least, most);
    return 0;
}

static int idle(nj_bench_run *run)
{
    nj_bench_note(run, "the files are not here");
    return 0;
}

static int one_check(nj_bench_run *run)
{
    nj_bench_verify(run, true, "a check without a figure");
    return 0;
}

/* How many bars are missed. */
static int missed(double figure, double at_least, double at_most)
{
    nj_bench_run *run = nj_bench_run_new(&(nj_bench_options){ .seconds = 0.01 });
    const nj_bench bench = { "bars", "a bar", one_bar };
    value = figure;
    least = at_least;
    most = at_most;
    assert_int_equal(nj_bench_subject(run, &bench), 0);
    int n = nj_bench_missed(run);
    nj_bench_run_free(run);
    return n;
}

static void a_bar_wants_a_figure(void **state)
{
    (void)state;
    assert_int_equal(missed(5, 4, NAN), 0);
    assert_int_equal(missed(3, 4, NAN), 1);
    assert_int_equal(missed(5, NAN, 4), 1);
    assert_int_equal(missed(NAN, 4, NAN), 1);
    assert_int_equal(missed(NAN, NAN, 4), 1);
    assert_int_equal(missed(NAN, NAN, NAN), 0); /* a figure without a bar */
}

static int subject(int (*work)(nj_bench_run *))
{
    nj_bench_run *run = nj_bench_run_new(&(nj_bench_options){ .seconds = 0.01 });
    const nj_bench bench = { "subject", "made up", work };
    int rc = nj_bench_subject(run, &bench);
    nj_bench_run_free(run);
    return rc;
}

static void a_subject_does_something(void **state)
{
    (void)state;
    assert_int_equal(subject(one_check), 0);
    assert_int_equal(subject(idle), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_bar_wants_a_figure),
                                        cmocka_unit_test(a_subject_does_something) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
