/* xmatch_remote.c - how long a batch waits for a remote service: its budget, and not at all when the breaker
 * is open or the budget is 0. */
#include "tests/module/remote_kit.h"

enum { BUDGET_MS = 300, WAKE_MS = 250 }; /* WAKE_MS: what a busy machine takes to wake a thread */

static void a_batch_waits_no_longer_than_its_budget(void **state)
{
    (void)state;
    static const char *const paths[] = { "500",  "429",   "hang", "drip",    "garbage", "html",  "empty",
                                         "torn", "short", "noid", "wrongid", "huge",    "cells", "close" };
    double worst = 0;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        remote_test t;
        open_remote(&t, paths[i], "budget_ms = 300\ntimeout_ms = 200\n");
        for (int round = 0; round < 3; round++) {
            match(&t, some_ra, some_dec, 6);
            if (t.took_ms > worst) worst = t.took_ms;
        }
        int64_t start = nj_now_ns();
        close_remote(&t); /* with requests on their way */
        assert_true(nj_now_ns() - start < 1000000000);
    }
    print_message("# longest wait of a batch: %.0f ms, with a budget of %d ms\n", worst, BUDGET_MS);
    assert_true(worst < BUDGET_MS + WAKE_MS);
}

static void an_open_breaker_costs_nothing(void **state)
{
    (void)state;
    remote_test t;
    int there = port;
    if (!there) skip();
    port = 9; /* discard: closed on any machine of ours */
    open_remote(&t, "good", "budget_ms = 300\nbreaker_failures = 3\nbreaker_pause_s = 60\n");
    port = there;
    match(&t, some_ra, some_dec, 6);
    usleep(200000);
    double sum = 0;
    for (int round = 0; round < 20; round++) {
        double ra = 50 + round, dec = 1;
        match(&t, &ra, &dec, 1);
        sum += t.took_ms;
    }
    assert_true(sum < 100);
    close_remote(&t);
}

static void no_budget_means_no_waiting(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "good", "budget_ms = 0\n");
    match(&t, some_ra, some_dec, 6);
    assert_true(t.took_ms < 50);
    close_remote(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_waits_no_longer_than_its_budget),
        cmocka_unit_test(an_open_breaker_costs_nothing),
        cmocka_unit_test(no_budget_means_no_waiting),
    };
    return cmocka_run_group_tests(tests, start_stub, stop_stub);
}
