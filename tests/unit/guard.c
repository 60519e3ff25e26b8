/* guard.c - which alert and module failed, which module is off, and whether there is another worker:
 * by a scripted guard, without a process, a signal or a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/flow/supervise.h"
#include "broker/graph/growth.h"

static nj_guard *guard;

static int begin(void **state)
{
    (void)state;
    guard = calloc(1, sizeof *guard);
    if (!guard) return -1;
    guard->conf = (nj_guard_conf){ .deadline_s = 30, .quarantine = 5, .quarantine_alerts = 10000 };
    return 0;
}
static int end(void **state)
{
    (void)state;
    free(guard);
    return 0;
}

/* A thread is in a call of the module, over n rows from this alert on. */
static nj_slot *in_call(uint32_t k, const char *module, nj_phase phase, uint32_t n, int64_t offset,
                        uint32_t record)
{
    static nj_stream stream = { .name = "night.tar", .partition = -1, .key = 7 };
    const nj_chunk chunk = { .stream = &stream, .offset = offset };
    nj_slot *s = &guard->slot[k];
    nj_slot_rows(s, n, 100 + offset, &chunk, record, nj_guard_module_of(guard, module));
    nj_slot_enter(s, module, phase);
    return s;
}

static void dies(nj_slot *s, const char *what)
{
    snprintf(s->death.what, sizeof s->death.what, "%s", what);
    atomic_store(&s->death.reported, 1);
}

static char text[512];

static void modules_have_one_number_each(void **state)
{
    (void)state;
    assert_int_equal(nj_guard_module_of(guard, "a"), 0);
    assert_int_equal(nj_guard_module_of(guard, "b"), 1);
    assert_int_equal(nj_guard_module_of(guard, "a"), 0);
    assert_int_equal(nj_guard_module_of(NULL, "a"), NJ_NO_MODULE);
}

static void many_rows_make_a_suspect(void **state)
{
    (void)state;
    in_call(2, "innocent", NJ_PHASE_PROCESS, 64, 10, 0);
    dies(in_call(3, "bad", NJ_PHASE_PROCESS, 20, 40, 0), "signal 11");
    nj_slot *s = nj_guard_dead_slot(guard);
    assert_ptr_equal(s, &guard->slot[3]);
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_TRIED);
    assert_true(guard->module[nj_guard_module_of(guard, "bad")].tried);
    assert_false(guard->module[nj_guard_module_of(guard, "innocent")].tried);
    assert_int_equal(guard->n_pairs, 0);
    assert_non_null(strstr(text, "bad: signal 11, in a call of 20 rows"));
    /* once more, though its calls have one row: nothing is learnt */
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_NONE);
}

static void one_row_makes_a_pair(void **state)
{
    (void)state;
    dies(in_call(5, "bad", NJ_PHASE_PROCESS, 1, 40, 3), "signal 8");
    uint32_t bad = nj_guard_module_of(guard, "bad"), other = nj_guard_module_of(guard, "other");
    assert_int_equal(nj_guard_judge(guard, nj_guard_dead_slot(guard), text, sizeof text), NJ_BLAME_PAIR);
    const nj_failed_pair *p = nj_guard_pair(guard, bad, 7, 40, 3);
    assert_non_null(p);
    assert_string_equal(p->what, "signal 8");
    assert_null(nj_guard_pair(guard, bad, 7, 40, 2));
    assert_null(nj_guard_pair(guard, bad, 7, 41, 3));
    assert_null(nj_guard_pair(guard, bad, 8, 40, 3));
    assert_null(nj_guard_pair(guard, other, 7, 40, 3));
    assert_int_equal(guard->module[bad].n_failures, 1);
    /* the same pair again did not help */
    assert_int_equal(nj_guard_judge(guard, nj_guard_dead_slot(guard), text, sizeof text), NJ_BLAME_NONE);
    assert_int_equal(guard->module[bad].n_failures, 1);
}

static void a_packet_fails_as_a_whole(void **state)
{
    (void)state;
    dies(in_call(2, NJ_GUARD_DECODE, NJ_PHASE_DECODE, 1, 12, 0), "signal 11");
    assert_int_equal(nj_guard_judge(guard, nj_guard_dead_slot(guard), text, sizeof text), NJ_BLAME_PAIR);
    assert_non_null(nj_guard_pair(guard, nj_guard_module_of(guard, NJ_GUARD_DECODE), 7, 12, 77));
}

static void an_output_goes_on_in_single_rows(void **state)
{
    (void)state;
    nj_slot *s = in_call(NJ_SLOT_OUTPUT, NJ_GUARD_SINK, NJ_PHASE_SINK, 9, 12, 0);
    dies(s, "signal 11");
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_TRIED);
    s = in_call(NJ_SLOT_OUTPUT, NJ_GUARD_SINK, NJ_PHASE_SINK, 1, 14, 0);
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_PAIR);
    assert_non_null(nj_guard_pair(guard, nj_guard_module_of(guard, NJ_GUARD_SINK), 7, 14, 0));
}

static void what_another_process_sent_blames_nobody(void **state)
{
    (void)state;
    dies(in_call(2, NJ_GUARD_DECODE, NJ_PHASE_DECODE, 1, 12, 0), "signal 11 (sent by another process)");
    nj_slot *s = nj_guard_dead_slot(guard);
    s->death.sent = true;
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_NONE);
    assert_string_equal(text, "signal 11 (sent by another process)");
    assert_null(nj_guard_pair(guard, nj_guard_module_of(guard, NJ_GUARD_DECODE), 7, 12, 77));
}

static void what_comes_once_blames_nobody(void **state)
{
    (void)state;
    static const nj_phase phase[] = { NJ_PHASE_LOAD, NJ_PHASE_OPEN, NJ_PHASE_THREAD_OPEN, NJ_PHASE_CLOSE };
    for (size_t i = 0; i < sizeof phase / sizeof *phase; i++) {
        nj_slot *s = in_call(NJ_SLOT_SET_UP, "bad", phase[i], 0, 0, 0);
        dies(s, "signal 11");
        assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_NONE);
    }
    assert_int_equal(nj_guard_judge(guard, NULL, text, sizeof text), NJ_BLAME_NONE);
    assert_string_equal(text, "it was killed");
}

/* kill -9, or the kernel when memory is short: nobody reports such a death. */
static void the_same_silent_death_again_is_the_modules(void **state)
{
    (void)state;
    for (int i = 1; i < 5; i++) {
        in_call(NJ_SLOT_FIRST_WORKER, "bad", NJ_PHASE_PROCESS, 20, 7, 0);
        assert_null(nj_guard_silent(guard, 100, 5));
        nj_guard_fresh(guard);
    }
    nj_slot *s = in_call(NJ_SLOT_FIRST_WORKER, "bad", NJ_PHASE_PROCESS, 20, 7, 0);
    assert_ptr_equal(nj_guard_silent(guard, 100, 5), s);
    assert_int_equal(nj_guard_judge(guard, s, text, sizeof text), NJ_BLAME_TRIED);
    assert_non_null(strstr(text, "again and again"));
}

static void silent_deaths_of_different_kinds_are_nobodys(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        nj_phase phase;
        uint64_t settled;
    } death[] = {
        { "bad", NJ_PHASE_PROCESS, 100 },   { "bad", NJ_PHASE_PROCESS, 100 },
        { "other", NJ_PHASE_PROCESS, 100 }, /* it was another module's turn */
        { "bad", NJ_PHASE_PROCESS, 100 },   { "bad", NJ_PHASE_PROCESS, 100 },
        { "bad", NJ_PHASE_PROCESS, 101 },                                  /* alerts went through meanwhile */
        { "bad", NJ_PHASE_PROCESS, 101 },   { "bad", NJ_PHASE_SINK, 101 }, /* an output may wait for long */
        { "bad", NJ_PHASE_PROCESS, 101 },   { "bad", NJ_PHASE_PROCESS, 101 }
    };
    for (size_t i = 0; i < sizeof death / sizeof *death; i++) {
        in_call(NJ_SLOT_FIRST_WORKER, death[i].name, death[i].phase, 20, 7, 0);
        assert_null(nj_guard_silent(guard, death[i].settled, 3));
        nj_guard_fresh(guard);
    }
}

static void dies_in_its_thread(const char *name)
{
    nj_guard_fresh(guard);
    nj_guard_module_of(guard, "bad");
    strcpy(guard->elsewhere.what, "signal 11");
    strcpy(guard->elsewhere_of, name);
    atomic_store(&guard->elsewhere.reported, 1);
}

static void a_module_that_dies_in_its_threads_is_off(void **state)
{
    (void)state;
    dies_in_its_thread("bad");
    assert_int_equal(nj_guard_judge_thread(guard, 0, text, sizeof text), NJ_BLAME_NONE);
    dies_in_its_thread("bad");
    assert_int_equal(nj_guard_judge_thread(guard, 50, text, sizeof text), NJ_BLAME_NONE); /* it went on */
    assert_false(guard->module[nj_guard_module_of(guard, "bad")].off);
    dies_in_its_thread("bad");
    assert_int_equal(nj_guard_judge_thread(guard, 50, text, sizeof text), NJ_BLAME_PAIR);
    assert_true(guard->module[nj_guard_module_of(guard, "bad")].off);
    dies_in_its_thread("bad"); /* it did not help */
    assert_int_equal(nj_guard_judge_thread(guard, 50, text, sizeof text), NJ_BLAME_NONE);
    dies_in_its_thread("nobody's");
    assert_int_equal(nj_guard_judge_thread(guard, 50, text, sizeof text), NJ_BLAME_NONE);
}

static void too_many_put_a_module_off(void **state)
{
    (void)state;
    uint32_t m = nj_guard_module_of(guard, "bad");
    for (int i = 0; i < 5; i++) {
        guard->module[m].rows += 100;
        assert_false(nj_guard_count(guard, m));
    }
    guard->module[m].rows += 100;
    assert_true(nj_guard_count(guard, m)); /* the sixth */
    assert_true(guard->module[m].off);
    assert_false(nj_guard_count(guard, m)); /* reported once */
}

static void seldom_ones_do_not(void **state)
{
    (void)state;
    uint32_t m = nj_guard_module_of(guard, "bad");
    for (int i = 0; i < 3000; i++) {
        guard->module[m].rows += 2001; /* five in 10,005 */
        assert_false(nj_guard_count(guard, m));
    }
    guard->conf.quarantine = 0;
    for (int i = 0; i < 3000; i++) assert_false(nj_guard_count(guard, m));
}

static void a_full_table_forgets_the_oldest(void **state)
{
    (void)state;
    for (int64_t i = 0; i < NJ_GUARD_PAIRS + 2; i++)
        assert_true(nj_guard_add(guard, &(nj_failed_pair){ .key = 7, .offset = i, .module = 1 }));
    assert_null(nj_guard_pair(guard, 1, 7, 0, 0));
    assert_null(nj_guard_pair(guard, 1, 7, 1, 0));
    assert_non_null(nj_guard_pair(guard, 1, 7, 2, 0));
    assert_non_null(nj_guard_pair(guard, 1, 7, NJ_GUARD_PAIRS + 1, 0));
}

static void a_call_is_overdue_by_the_clock_that_is_given(void **state)
{
    (void)state;
    static nj_overdue seen[NJ_GUARD_SLOTS];
    const int64_t s = 1000000000;
    for (int k = 0; k < 4; k++) nj_guard_slot(guard);
    nj_slot *slow = in_call(3, "slow", NJ_PHASE_PROCESS, 4, 1, 0),
            *open = in_call(4, "x", NJ_PHASE_OPEN, 0, 0, 0);
    assert_null(nj_guard_overdue(guard, seen, 100 * s));
    nj_slot *later = in_call(2, "later", NJ_PHASE_PROCESS, 4, 2, 0);
    assert_null(nj_guard_overdue(guard, seen, 129 * s));
    assert_ptr_equal(nj_guard_overdue(guard, seen, 130 * s), slow);
    nj_slot_leave(slow);
    nj_slot_enter(slow, "slow", NJ_PHASE_PROCESS); /* another call */
    assert_null(nj_guard_overdue(guard, seen, 131 * s));
    assert_ptr_equal(nj_guard_overdue(guard, seen, 160 * s), later);
    guard->conf.deadline_s = 0;
    assert_null(nj_guard_overdue(guard, seen, 1000 * s));
    (void)open;
}

static void three_early_deaths_end_it(void **state)
{
    (void)state;
    nj_deaths d = { 0 };
    int ms;
    assert_true(nj_deaths_again(&d, NJ_BLAME_NONE, false, 0, 0, &ms));
    assert_true(nj_deaths_again(&d, NJ_BLAME_NONE, false, 0, 0, &ms));
    assert_false(nj_deaths_again(&d, NJ_BLAME_NONE, false, 0, 0, &ms));
}

static void who_learns_or_works_goes_on(void **state)
{
    (void)state;
    nj_deaths d = { 0 };
    int ms;
    for (int i = 0; i < 50; i++) assert_true(nj_deaths_again(&d, NJ_BLAME_PAIR, false, 0, 0, &ms));
    for (uint64_t i = 1; i < 50; i++) assert_true(nj_deaths_again(&d, NJ_BLAME_NONE, false, i, i, &ms));
    /* batches, but not an alert more */
    uint64_t batches = 50;
    int n = 1;
    while (nj_deaths_again(&d, NJ_BLAME_NONE, false, batches++, 49, &ms)) n++;
    assert_int_equal(n, NJ_STUCK_DEATHS);
}

static void twenty_kills_are_no_reason(void **state)
{
    (void)state;
    nj_deaths d = { 0 };
    int ms;
    for (int i = 0; i < 20; i++) {
        assert_true(nj_deaths_again(&d, NJ_BLAME_NONE, true, 0, 0, &ms));
        if (i < 3) assert_int_equal(ms, 0);
    }
    assert_true(ms > 0);
    assert_true(nj_deaths_again(&d, NJ_BLAME_NONE, true, 1, 0, &ms)); /* it had begun */
    assert_int_equal(ms, 0);
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, begin, end)
/* The module's calls of one worker. */
static void grows(const char *module, uint32_t calls, int64_t bytes)
{
    int64_t largest = 0;
    for (uint32_t k = 0; k < calls; k++)
        nj_growth_note(&guard->module[nj_guard_module_of(guard, module)], &largest, bytes);
}

static void a_module_that_grows_is_off(void **state)
{
    (void)state;
    guard->conf.max_rss = 1000;
    assert_int_equal(nj_growth_replaced(guard, text, sizeof text), NJ_NO_MODULE); /* who it is, shows later */
    assert_true(guard->measure);
    grows("leaks", 9, 500);
    grows("innocent", 40, 5);
    grows("breathes", 40, 90);
    grows("breathes", 40, -90);
    uint32_t off = nj_growth_replaced(guard, text, sizeof text);
    assert_int_equal(off, nj_guard_module_of(guard, "leaks"));
    assert_true(guard->module[off].off);
    assert_true(guard->module[off].off_grown > 0);
    assert_non_null(strstr(text, "module leaks grew by"));
    assert_false(guard->measure);
    assert_false(guard->module[nj_guard_module_of(guard, "breathes")].off);
    /* another one is found in the same way */
    assert_int_equal(nj_growth_replaced(guard, text, sizeof text), NJ_NO_MODULE);
    grows("second", 9, 100);
    assert_int_equal(nj_growth_replaced(guard, text, sizeof text), nj_guard_module_of(guard, "second"));
}

static void what_is_taken_once_is_no_growth(void **state)
{
    (void)state;
    guard->conf.max_rss = 1000;
    nj_growth_replaced(guard, text, sizeof text);
    for (int worker = 0; worker < 3; worker++) {
        assert_true(guard->measure);
        grows("table", 1, 800);
        assert_int_equal(nj_growth_replaced(guard, text, sizeof text), NJ_NO_MODULE);
    }
    nj_growth_replaced(guard, text, sizeof text);
    assert_non_null(strstr(text, "no module grows"));
    assert_false(guard->measure);
    nj_growth_replaced(guard, text, sizeof text); /* given up: nothing is slowed, and nothing told again */
    assert_string_equal(text, "");
    assert_false(guard->measure);
}

static void growth_that_all_share_is_nobodys(void **state)
{
    (void)state;
    guard->conf.max_rss = 1000;
    nj_growth_replaced(guard, text, sizeof text);
    grows("a", 9, 100);
    grows("b", 9, 100);
    grows("c", 9, 100);
    assert_int_equal(nj_growth_replaced(guard, text, sizeof text), NJ_NO_MODULE);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(modules_have_one_number_each),
        TEST(many_rows_make_a_suspect),
        TEST(one_row_makes_a_pair),
        TEST(a_packet_fails_as_a_whole),
        TEST(an_output_goes_on_in_single_rows),
        TEST(what_another_process_sent_blames_nobody),
        TEST(what_comes_once_blames_nobody),
        TEST(the_same_silent_death_again_is_the_modules),
        TEST(silent_deaths_of_different_kinds_are_nobodys),
        TEST(a_module_that_dies_in_its_threads_is_off),
        TEST(too_many_put_a_module_off),
        TEST(seldom_ones_do_not),
        TEST(a_full_table_forgets_the_oldest),
        TEST(a_call_is_overdue_by_the_clock_that_is_given),
        TEST(three_early_deaths_end_it),
        TEST(who_learns_or_works_goes_on),
        TEST(twenty_kills_are_no_reason),
        TEST(a_module_that_grows_is_off),
        TEST(what_is_taken_once_is_no_growth),
        TEST(growth_that_all_share_is_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
