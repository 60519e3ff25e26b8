/* shed.c - which modules are left out under load, and when they come back, by a clock that is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "broker/flow/overload.h"
#include "broker/graph/shed.h"

static const double cost[] = { 5, 100, 20, 0, 300 };
static const bool may[] = { true, true, true, true, false };
enum { N = 5 };

static void dearest_first_and_back_in_the_other_order(void **state)
{
    (void)state;
    nj_shed s = { .max_lag_s = 10 };
    assert_int_equal(nj_shed_more(&s, cost, may, N, 0), 1);
    assert_int_equal(nj_shed_more(&s, cost, may, N, 1), 2);
    assert_int_equal(nj_shed_more(&s, cost, may, N, 2), 0);
    /* one is not measured yet, one must stay */
    assert_int_equal(nj_shed_more(&s, cost, may, N, 3), NJ_SHED_NONE);
    assert_int_equal(nj_shed_less(&s, 4), 0);
    assert_int_equal(nj_shed_less(&s, 5), 2);
    assert_int_equal(nj_shed_more(&s, cost, may, N, 6), 2);
    assert_int_equal(nj_shed_less(&s, 7), 2);
    assert_int_equal(nj_shed_less(&s, 8), 1);
    assert_int_equal(nj_shed_less(&s, 9), NJ_SHED_NONE);
}

static void the_bound_and_half_of_it(void **state)
{
    (void)state;
    nj_shed s = { .max_lag_s = 8 };
    assert_int_equal(nj_shed_wish(&s, 5, 100), 0);
    assert_int_equal(nj_shed_wish(&s, 5.5, 100), 1); /* soon enough, so that the bound holds */
    nj_shed_more(&s, cost, may, N, 100);
    assert_int_equal(nj_shed_wish(&s, 5.5, 100.5), 0); /* it takes a second to see what that did */
    assert_int_equal(nj_shed_wish(&s, 5.5, 101), 1);
    assert_int_equal(nj_shed_wish(&s, 8.5, 100.1), 1); /* not beyond the bound */
    assert_int_equal(nj_shed_wish(&s, 5, 1000), 0);    /* between: it stays as it is */
    assert_int_equal(nj_shed_wish(&s, 3.9, 103), 0);
    assert_int_equal(nj_shed_wish(&s, 3.9, 104), -1);
    nj_shed_less(&s, 104);
    assert_int_equal(nj_shed_wish(&s, 0, 1000), 0); /* nothing is left out */
}

static void without_a_bound_nothing_goes(void **state)
{
    (void)state;
    nj_shed s = { .max_lag_s = 0 };
    assert_int_equal(nj_shed_wish(&s, 1e9, 1e9), 0);
}

static void ranges(void **state)
{
    (void)state;
    nj_shed_account *a = calloc(1, sizeof *a);
    for (int i = 5; i < 9; i++) nj_shed_note(a, "m", "s/0", i, i, 2);
    nj_shed_note(a, "m", "s/1", 3, 3, 1); /* partitions in turn */
    nj_shed_note(a, "m", "s/0", 9, 9, 0); /* filtered: it continues, none more */
    nj_shed_note(a, "m", "s/0", 10, 10, 1);
    nj_shed_note(a, "m", "s/0", 20, 20, 0); /* none: no range */
    nj_shed_note(a, "m", "s/0", 21, 21, 4);
    nj_shed_note(a, "n", "s/0", 21, 21, 4);
    assert_int_equal(a->n, 2);
    const nj_shed_module *m = &a->module[0];
    assert_int_equal(m->alerts, 14);
    assert_int_equal(m->n_ranges, 3);
    assert_int_equal(m->range[0].first, 5);
    assert_int_equal(m->range[0].last, 10);
    assert_int_equal(m->range[0].alerts, 9);
    assert_string_equal(m->range[1].stream, "s/1");
    assert_int_equal(m->range[2].first, 21);
    assert_false(m->more);
    for (int i = 0; i < 2 * NJ_SHED_RANGES; i++) nj_shed_note(a, "o", "s/0", 10 * i, 10 * i, 1);
    m = &a->module[2];
    assert_int_equal(m->alerts, 2 * NJ_SHED_RANGES);
    assert_int_equal(m->n_ranges, NJ_SHED_RANGES);
    assert_true(m->more);
    assert_int_equal(m->range[NJ_SHED_RANGES - 1].last, 10 * (2 * NJ_SHED_RANGES - 1));
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(dearest_first_and_back_in_the_other_order),
                                        cmocka_unit_test(the_bound_and_half_of_it),
                                        cmocka_unit_test(without_a_bound_nothing_goes),
                                        cmocka_unit_test(ranges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
