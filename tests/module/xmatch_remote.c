/* xmatch_remote.c - xmatch_remote against a local stand-in of the CDS service: right answers, and every way
 * to misbehave, never as "no match". How long a batch waits: tests/timing/xmatch_remote.c. */
#include "remote_kit.h"

static void answers_as_the_service_documents(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "good", "batch_rows = 3\nbudget_ms = 60000\n");
    match(&t, some_ra, some_dec, SOME);
    static const char *const label[] = { "Star", "QSO", "RR*", "Candidate_SN*", "Candidate_SN*", "Unknown",
                                         NULL,   NULL,  NULL };
    static const double sep[] = { 0, 0.0003, 0.72, 0.216, 0.18, NAN, NAN, NAN, 0 };
    for (int k = 0; k < SOME; k++) {
        if (label[k])
            assert_string_equal(t.otype[k], label[k]);
        else
            assert_null(t.otype[k]);
        assert_true(isnan(sep[k]) ? isnan(t.sep[k])
                                  : fabs(t.sep[k] - sep[k]) < 0.001); /* the service's six digits of
                                                                       * a rounded position */
        assert_int_equal(t.reason[k], k == 6 || k == 7 ? NJ_NO_INPUT : NJ_DONE);
    }
    assert_string_equal(t.state[0], "match");
    assert_string_equal(t.state[5], "none");
    assert_null(t.state[6]);
    assert_string_equal(t.state[8], "match"); /* a match whose type is empty */
    int asked = get("count/good");
    assert_true(asked >= 3); /* 7 rows, 3 at a time */
    match(&t, some_ra, some_dec, SOME);
    assert_string_equal(t.otype[2], "RR*");
    assert_int_equal(get("count/good"), asked); /* known by now */
    close_remote(&t);
}

/* Cells longer than an entry has room for are cut, whatever their number. */
static void long_cells_are_cut(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "long", "columns = a, b, c, d, e, f, g, h\nbudget_ms = 60000\n");
    match(&t, some_ra, some_dec, 1);
    assert_string_equal(t.state[0], "match");
    assert_int_equal(strlen(t.otype[0]), 150);
    assert_int_equal(strspn(t.otype[0], "a"), 150);
    assert_string_equal(t.more[0][0], "bb"); /* 160 less 150, the tabs and the NUL */
    for (int k = 1; k < 7; k++) assert_null(t.more[k][0]);
    close_remote(&t);
}

static void many_rows_in_few_requests(void **state)
{
    (void)state;
    remote_test t;
    double ra[MOST_ROWS], dec[MOST_ROWS];
    for (int k = 0; k < MOST_ROWS; k++) ra[k] = k % 4 ? k * 0.9 : 200, dec[k] = k % 4 ? -80 + 0.3 * k : -45;
    open_remote(&t, "good", "budget_ms = 60000\n");
    int before = get("count/good");
    match(&t, ra, dec, MOST_ROWS);
    for (int k = 0; k < MOST_ROWS; k++) assert_string_equal(t.otype[k], k % 4 ? "Unknown" : "RR*");
    assert_int_equal(get("count/good") - before, 1);
    close_remote(&t);
}

static void every_misbehaviour_is_unavailable(void **state)
{
    (void)state;
    /* huge: beyond MOST_ANSWER_BYTES */
    static const char *const paths[] = { "500",  "429",   "hang", "drip",    "garbage", "html",  "empty",
                                         "torn", "short", "noid", "wrongid", "huge",    "cells", "close" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        remote_test t;
        open_remote(&t, paths[i], "budget_ms = 300\ntimeout_ms = 200\n");
        for (int round = 0; round < 3; round++) {
            match(&t, some_ra, some_dec, 6);
            for (int k = 0; k < 6; k++) {
                if (strcmp(t.state[k], "unavailable") || strcmp(t.otype[k], "Fail") ||
                    t.reason[k] != NJ_UNAVAILABLE || !isnan(t.sep[k]))
                    fail_msg("%s, row %d: %s, %s", paths[i], k, t.state[k], t.otype[k]);
            }
        }
        close_remote(&t); /* with requests on their way */
    }
}

static void nobody_listens(void **state)
{
    (void)state;
    remote_test t;
    int there = port;
    if (!there) skip();
    port = 9; /* discard: closed on any machine of ours */
    open_remote(&t, "good", "budget_ms = 300\nbreaker_failures = 3\nbreaker_pause_s = 60\n");
    port = there;
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.state[0], "unavailable");
    usleep(200000);
    for (int round = 0; round < 20; round++) { /* the breaker is open: new positions are not asked for */
        double ra = 50 + round, dec = 1;
        match(&t, &ra, &dec, 1);
        assert_string_equal(t.otype[0], "Fail");
    }
    close_remote(&t);
}

static void failures_are_tried_again(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "flaky", "budget_ms = 60000\nretries = 3\n");
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.otype[0], "Star");
    assert_string_equal(t.state[5], "none");
    assert_int_equal(get("count/flaky"), 3);
    close_remote(&t);
}

static void the_breaker_closes_again(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "switch", "budget_ms = 1000\nretries = 0\nbreaker_failures = 2\nbreaker_pause_s = 0.3\n");
    get("set/500");
    for (int k = 0; k < 3; k++) {
        double ra = 300 + k, dec = 0;
        match(&t, &ra, &dec, 1);
        assert_string_equal(t.state[0], "unavailable");
        usleep(60000);
    }
    get("set/good");
    int rounds = 0;
    for (;; rounds++) {
        match(&t, some_ra, some_dec, 6);
        if (!strcmp(t.state[0], "match")) break;
        usleep(50000);
        assert_true(rounds < 1000);
    }
    assert_string_equal(t.otype[0], "Star");
    assert_string_equal(t.otype[5], "Unknown");
    close_remote(&t);
}

static void answers_stay_on_disk(void **state)
{
    (void)state;
    remote_test t;
    char settings[300];
    snprintf(settings, sizeof settings, "cache = %s/simbad.tsv\nbudget_ms = 60000\nretries = 0\n", folder);
    if (!port) skip();
    get("set/good");
    open_remote(&t, "switch", settings);
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.otype[0], "Star");
    close_remote(&t);
    char path[200];
    snprintf(path, sizeof path, "%s/simbad.tsv", folder);
    FILE *f = fopen(path, "a"); /* damage, a day long gone, a torn last line */
    fprintf(f, "rubbish\n12\t00000000000000aa\tm\t0.1\told\n99999\tzz\tm\t0\tx\n%d\t0000000000000001\tm\t0.1",
            20000);
    fclose(f);
    get("set/500");
    open_remote(&t, "switch", settings);
    int before = get("count/switch");
    match(&t, some_ra, some_dec, 6);
    assert_int_equal(get("count/switch"), before);
    assert_string_equal(t.otype[0], "Star");
    assert_string_equal(t.otype[2], "RR*");
    assert_true(fabs(t.sep[2] - 0.72) < 1e-3);
    assert_string_equal(t.state[5], "none");
    close_remote(&t);
    char line[300];
    int lines = 0;
    f = fopen(path, "r");
    while (fgets(line, sizeof line, f)) lines++;
    fclose(f);
    assert_int_equal(lines, 6); /* the damage is gone */
    snprintf(settings, sizeof settings,
             "cache = %s/simbad.tsv\nradius_arcsec = 2\nbudget_ms = 100\nretries = 0\n", folder);
    open_remote(&t, "switch", settings); /* another question: another answer */
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.state[0], "unavailable");
    close_remote(&t);
}

static void no_budget_means_no_waiting(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "good", "budget_ms = 0\n");
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.state[0], "unavailable");
    for (int k = 0; k < 3000 && strcmp(t.state[0], "match"); k++) { /* it comes in the background */
        usleep(20000);
        match(&t, some_ra, some_dec, 6);
    }
    assert_string_equal(t.otype[0], "Star");
    close_remote(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_the_service_documents),
        cmocka_unit_test(long_cells_are_cut),
        cmocka_unit_test(many_rows_in_few_requests),
        cmocka_unit_test(every_misbehaviour_is_unavailable),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(failures_are_tried_again),
        cmocka_unit_test(the_breaker_closes_again),
        cmocka_unit_test(answers_stay_on_disk),
        cmocka_unit_test(no_budget_means_no_waiting),
    };
    return cmocka_run_group_tests(tests, start_stub, stop_stub);
}
