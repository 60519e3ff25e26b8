/* xmatch_remote against a local stand-in of the CDS service (cds_stub.py): right answers, and every way to misbehave,
 * within the budget and never as "no match". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/batch/batch.h"
#include "broker/graph/instance.h"

static pid_t stub;
static int stub_in = -1, port;
static char folder[] = "/tmp/nightjar-remote.XXXXXX";

static int start_stub(void **state)
{
    (void)state;
    int in[2], out[2];
    char line[32] = "";
    if (!mkdtemp(folder) || pipe(in) || pipe(out)) return -1;
    stub = fork();
    if (stub == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/module/cds_stub.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    stub_in = in[1];
    FILE *f = fdopen(out[0], "r");
    if (f && fgets(line, sizeof line, f)) port = atoi(line);
    if (f) fclose(f);
    return 0;
}

static int stop_stub(void **state)
{
    (void)state;
    char command[100];
    close(stub_in); /* it ends when nobody holds its input */
    waitpid(stub, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static size_t into_text(char *data, size_t size, size_t n, void *user)
{
    strncat(user, data, size * n < 30 ? size * n : 30);
    return size * n;
}

/* A GET to the stub; the number that it answers. */
static int get(const char *path)
{
    char url[100], text[64] = "";
    CURL *easy = curl_easy_init();
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", port, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, into_text);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, text);
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    curl_easy_cleanup(easy);
    return atoi(text);
}

/* ---- an instance ---- */

static nj_arena arena;
static void *take(const struct nj_work *w, size_t bytes)
{
    (void)w;
    return nj_arena_alloc(&arena, bytes);
}
static const char *copy(const struct nj_work *w, const char *s, size_t n)
{
    (void)w;
    return nj_arena_text(&arena, s, n);
}

enum { MOST_ROWS = 400 };
typedef struct remote_test {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    const nj_instance *in;
    double sep[MOST_ROWS];
    const char *state[MOST_ROWS], *otype[MOST_ROWS], *more[7][MOST_ROWS]; /* columns after the first */
    uint8_t reason[MOST_ROWS];
    double took_ms;
} remote_test;

static void open_remote(remote_test *t, const char *path, const char *settings)
{
    char text[1000];
    nj_error err = { "" };
    memset(t, 0, sizeof *t);
    if (!port) skip();
    snprintf(text, sizeof text,
             "[module.simbad]\nkind = xmatch_remote\nurl = http://127.0.0.1:%d/%s\nnone_text = Unknown\nfail_text = "
             "Fail\nretry_ms = 20\n%s",
             port, path, settings);
    if (nj_modules_builtin(&t->modules, &err) || nj_settings_ini(&t->settings, "test", text, &err) ||
        nj_instances_choose(&t->set, &t->modules, &t->settings, "simbad", &err) || nj_instances_open(&t->set, "simbad", &err))
        fail_msg("%s", err.text);
    t->in = nj_instances_find(&t->set, "simbad");
    assert_non_null(t->in);
    assert_int_equal(t->in->module->thread_open(t->in->self, NULL), NJ_OK);
}

static void close_remote(remote_test *t)
{
    nj_instances_close(&t->set);
    nj_settings_free(&t->settings);
    nj_modules_free(&t->modules);
    nj_arena_reset(&arena);
}

static void match(remote_test *t, const double *ra, const double *dec, uint32_t n)
{
    nj_col col[2] = { { ra, NULL }, { dec, NULL } };
    const nj_col *in[2] = { &col[0], &col[1] };
    void *out[10] = { t->sep, t->state, t->otype };
    for (int k = 0; k < 7; k++) out[3 + k] = t->more[k];
    uint32_t rows[MOST_ROWS];
    for (uint32_t k = 0; k < n; k++) rows[k] = k;
    nj_fill_null(NJ_F64, t->sep, n);
    nj_fill_null(NJ_STR, t->state, n);
    nj_fill_null(NJ_STR, t->otype, n);
    nj_work w = {
        .size = sizeof w, .n = n, .row = rows, .in = in, .out = out, .reason = t->reason, .scratch = take, .text = copy
    };
    int64_t start = nj_now_ns();
    assert_int_equal(t->in->module->process(t->in->self, NULL, &w), NJ_OK);
    t->took_ms = (double)(nj_now_ns() - start) * 1e-6;
}

/* ---- tests ---- */

static const double some_ra[] = { 10, 10.0000999, 200, 359.99999, 0.0001, 123, NAN, 10, 77 },
                    some_dec[] = { 20, 20, -45.0002, 0, 0, 45, 0, 95, 5 };
enum { SOME = sizeof some_ra / sizeof *some_ra };

static void answers_as_the_service_documents(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "good", "batch_rows = 3\n");
    match(&t, some_ra, some_dec, SOME);
    static const char *const label[] = { "Star", "QSO", "RR*", "Candidate_SN*", "Candidate_SN*", "Unknown", NULL, NULL, NULL };
    static const double sep[] = { 0, 0.0003, 0.72, 0.216, 0.18, NAN, NAN, NAN, 0 };
    for (int k = 0; k < SOME; k++) {
        if (label[k])
            assert_string_equal(t.otype[k], label[k]);
        else
            assert_null(t.otype[k]);
        assert_true(isnan(sep[k]) ? isnan(t.sep[k])
                                  : fabs(t.sep[k] - sep[k]) < 0.001); /* the service's six digits of a rounded position */
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
    open_remote(&t, "long", "columns = a, b, c, d, e, f, g, h\n");
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
    open_remote(&t, "good", "");
    int before = get("count/good");
    match(&t, ra, dec, MOST_ROWS);
    for (int k = 0; k < MOST_ROWS; k++) assert_string_equal(t.otype[k], k % 4 ? "Unknown" : "RR*");
    assert_int_equal(get("count/good") - before, 1);
    close_remote(&t);
}

static void every_misbehaviour_is_unavailable_within_the_budget(void **state)
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
            for (int k = 0; k < 6; k++) {
                if (strcmp(t.state[k], "unavailable") || strcmp(t.otype[k], "Fail") || t.reason[k] != NJ_UNAVAILABLE ||
                    !isnan(t.sep[k]))
                    fail_msg("%s, row %d: %s, %s", paths[i], k, t.state[k], t.otype[k]);
            }
            assert_true(t.took_ms < 300 + 250); /* the budget, and what a busy machine takes to wake a thread */
        }
        int64_t start = nj_now_ns();
        close_remote(&t); /* with requests on their way */
        assert_true(nj_now_ns() - start < 1000000000);
    }
    print_message("# longest wait of a batch: %.0f ms, with a budget of 300 ms\n", worst);
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
    double sum = 0;
    for (int round = 0; round < 20; round++) { /* the breaker is open: new positions do not wait at all */
        double ra = 50 + round, dec = 1;
        match(&t, &ra, &dec, 1);
        assert_string_equal(t.otype[0], "Fail");
        sum += t.took_ms;
    }
    assert_true(sum < 100);
    close_remote(&t);
}

static void failures_are_tried_again(void **state)
{
    (void)state;
    remote_test t;
    open_remote(&t, "flaky", "budget_ms = 5000\nretries = 3\n");
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
        assert_true(rounds < 40);
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
    snprintf(settings, sizeof settings, "cache = %s/simbad.tsv\nbudget_ms = 2000\nretries = 0\n", folder);
    if (!port) skip();
    get("set/good");
    open_remote(&t, "switch", settings);
    match(&t, some_ra, some_dec, 6);
    assert_string_equal(t.otype[0], "Star");
    close_remote(&t);
    char path[200];
    snprintf(path, sizeof path, "%s/simbad.tsv", folder);
    FILE *f = fopen(path, "a"); /* damage, a day long gone, a torn last line */
    fprintf(f, "rubbish\n12\t00000000000000aa\tm\t0.1\told\n99999\tzz\tm\t0\tx\n%d\t0000000000000001\tm\t0.1", 20000);
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
    snprintf(settings, sizeof settings, "cache = %s/simbad.tsv\nradius_arcsec = 2\nbudget_ms = 100\nretries = 0\n", folder);
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
    assert_true(t.took_ms < 50);
    assert_string_equal(t.state[0], "unavailable");
    for (int k = 0; k < 200 && strcmp(t.state[0], "match"); k++) { /* it comes in the background */
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
        cmocka_unit_test(every_misbehaviour_is_unavailable_within_the_budget),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(failures_are_tried_again),
        cmocka_unit_test(the_breaker_closes_again),
        cmocka_unit_test(answers_stay_on_disk),
        cmocka_unit_test(no_budget_means_no_waiting),
    };
    return cmocka_run_group_tests(tests, start_stub, stop_stub);
}
