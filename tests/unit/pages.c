/* pages.c - every page is made of its files with all that can stand on it, and with as little as possible: a
 * name that C does not fill in is an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/report/history.h"
#include "broker/profile/profile.h"
#include "broker/report/html.h"
#include "broker/review/hostless_page.h"

/* Each part that a run report can have. */
static const char full[] =
    "{\"context\": {\"version\": \"1\", \"git\": \"abc\", \"date\": \"2026-01-02T03:04:05Z\", \"cpu\": "
    "\"<cpu>\","
    " \"cores\": 2, \"threads\": 1, \"input\": \"a & b\", \"files\": [{\"name\": \"f\", \"sha256\": "
    "\"00\"}]},"
    "\"interrupted\": true, \"ledger\": {\"consumed\": 10, \"emitted\": 10, \"closed\": true},"
    "\"throughput\": {\"wall_s\": 2, \"cpu_s\": 1, \"alerts_per_s\": 5}, \"memory\": {\"rss_max_bytes\": "
    "1e7},"
    "\"modules\": [{\"name\": \"(decode)\", \"kind\": \"stage\", \"offered\": 10, \"passed\": 10, \"hits\": "
    "10,"
    "  \"flagged\": 0, \"cpu_ns\": 1e6, \"wall_ns\": 1e6, \"histogram\": []},"
    " {\"name\": \"m<1>\", \"version\": \"2\", \"kind\": \"module\", \"offered\": 10, \"passed\": 9, "
    "\"hits\": 8,"
    "  \"flagged\": 1, \"cpu_ns\": 2e6, \"wall_ns\": 3e6, \"cold_start_ns\": 5, \"p50_ns\": 1e3, \"p95_ns\": "
    "2e3,"
    "  \"p99_ns\": 3e3, \"max_ns\": 4e3, \"histogram\": [[1000, 3], [2000, 4], [3000, 3]],"
    "  \"reasons\": {\"done\": 8, \"cut\": 1}, \"energy\": {\"joule_per_alert\": {\"value\": 1e-6, \"low\": "
    "1e-7,"
    "  \"high\": 1e-5}, \"gco2e_per_million\": {\"value\": 0.1}}, \"cost_per_million\": {\"value\": 0.01},"
    "  \"drift\": {\"n\": 3, \"percent_per_1000\": 1, \"change_percent\": 20, \"p\": 1e-4, \"drifts\": true,"
    "  \"points\": [[0, 10], [1, 20], [2, 30]]}}],"
    "\"latency\": {\"p50_ms\": 1, \"p99_ms\": 2, \"max_ms\": 3, \"live\": true, \"publish\": {\"p50_ms\": 1},"
    " \"total\": {\"p50_ms\": 1}}, \"energy\": {\"tier\": \"t\", \"watt_per_busy_thread\": {\"value\": 3},"
    " \"carbon\": {\"country\": \"c\", \"gram\": {\"value\": 1, \"low\": 0, \"high\": 2}}},"
    "\"cost\": {\"currency\": \"EUR\", \"per_million\": {\"value\": 1}},"
    "\"exposures\": {\"n\": 1, \"alerts\": 10, \"over\": 1, \"broker_budget_s\": 1, \"budget_s\": 2,"
    " \"broker_share\": 0.5, \"spans\": {\"arrive\": {\"p50_s\": 1, \"p99_s\": 2, \"max_s\": 3}},"
    " \"total\": {\"p50_s\": 1, \"p99_s\": 2, \"max_s\": 3}, \"worst\": [{\"survey\": \"s\", \"exposure\": "
    "12,"
    "  \"alerts\": 10, \"total_s\": 3, \"spans_s\": {\"arrive\": 1, \"modules\": 2}}]},"
    "\"sources\": [{\"name\": \"x\", \"ledger\": {\"consumed\": 10, \"closed\": false}}]}";
static const char least[] = "{\"modules\": [], \"ledger\": {}}";

/* The caller frees it. */
static char *report_page(const char *first, const char *second)
{
    nj_page p = { .json = first, .exposure = { { "ZTF", 600, 8 } }, .n_exposures = 1 };
    nj_buffer out = { 0 };
    nj_error err = { "" };
    p.run[p.n_runs++] = json_loads(first, 0, NULL);
    if (second) p.run[p.n_runs++] = json_loads(second, 0, NULL);
    assert_non_null(p.run[0]);
    nj_report_html(&p, &out, &err);
    for (uint32_t i = 0; i < p.n_runs; i++) json_decref((json_t *)p.run[i]);
    assert_string_equal(err.text, "");
    return out.data;
}

static void assert_has(const char *page, const char *text)
{
    if (!strstr(page, text)) fail_msg("the page has not: %s", text);
}

static void a_report_has_all_its_parts(void **state)
{
    (void)state;
    char *page = report_page(full, NULL);
    assert_has(page, "<title>nightjar: a &amp; b</title>");
    assert_has(page, "<b>Interrupted.</b>");
    assert_has(page, "<td>m&lt;1&gt; <span class=dim>2</span></td>");
    assert_has(page, "<td class=words>&lt;cpu&gt;</td>");
    assert_has(page, "Whiskers: the middle half");
    assert_has(page, "class=warn>+20.0 %, p 0.0001");
    assert_has(page, "Over the budget, the slowest first");
    assert_has(page, "<td>end of exposure to publication</td>");
    assert_has(page, "<td>money</td>");
    assert_has(page, "</svg>");
    free(page);
}

static void more_runs_give_mean_and_spread(void **state)
{
    (void)state;
    char *page = report_page(full, full);
    assert_has(page, "Mean over the runs");
    free(page);
}

static void a_report_may_lack_nearly_all(void **state)
{
    (void)state;
    char *page = report_page(least, NULL);
    assert_has(page, "NOT CLOSED");
    assert_null(strstr(page, "Drift along the run"));
    assert_null(strstr(page, "nan"));
    free(page);
}

static void a_history_has_charts_and_tables(void **state)
{
    (void)state;
    char path[] = "/tmp/nightjar-pages-XXXXXX";
    nj_history *h = nj_history_new();
    nj_error err = { "" };
    nj_buffer out = { 0 };
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(nj_file_write(path, full, strlen(full)), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(nj_history_read(h, path, &err), 0);
    nj_history_html(h, NULL, &out, &err);
    assert_string_equal(err.text, "");
    assert_has(out.data, "history of 2 reports");
    assert_has(out.data, "<b>m&lt;1&gt;</b> <span class=dim>x1.00 of the first</span>");
    assert_has(out.data, "class=\"path\"");
    unlink(path);
    nj_buffer_free(&out);
    nj_history_free(h);
}

/* ---- hostless candidates --------------------------------------------------------------------- */

static char folder[64];

/* The caller frees it. */
static char *page_of(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *text = nj_file_read(path, 1 << 20, NULL);
    assert_non_null(text);
    unlink(path);
    return text;
}

static void a_candidate_has_pictures_and_one_of_which_nothing_is_known_none(void **state)
{
    (void)state;
    static float pixel[3][63 * 63];
    uint32_t random = 1;
    nj_hostless_page candidate = { .candid = 7,
                                   .object = "<o>",
                                   .survey = "ztf",
                                   .band = "g",
                                   .jd = 2460000.5,
                                   .ra = 10,
                                   .dec = -5,
                                   .gal_b = 30,
                                   .mag = 19,
                                   .mag_err = 0.1,
                                   .rb = 0.4,
                                   .drb = 0.9,
                                   .positive = 0,
                                   .ndethist = 3,
                                   .nbad = 1,
                                   .roid = 2,
                                   .ref_dist = 1,
                                   .ref_mag = 18,
                                   .ps1_dist = 1,
                                   .ps1_star = 0.2,
                                   .sso_dist = 3,
                                   .sso_mag = 20,
                                   .pixel_arcsec = 1.01,
                                   .reason = "done",
                                   .topics = "a,b",
                                   .candidate = 1,
                                   .stage = 1,
                                   .verdict = 1,
                                   .lone = "science",
                                   .clipped = { 4, 0 },
                                   .ks = { 0.3, 0.2 },
                                   .sd = { 0.05, 0.04 },
                                   .limit = { 0.5, 0.85 },
                                   .repeats = 16,
                                   .seed = 1 };
    const nj_curve_point point[] = { { 2459999.5, 19, 0.1, NAN, 1, 1 },
                                     { 2460000.5, 18.5, 0.1, NAN, 2, 0 },
                                     { 2459998.5, NAN, NAN, 20, 1, 255 } };
    nj_hostless_page unknown = { .candid = 8,
                                 .jd = NAN,
                                 .ra = NAN,
                                 .dec = NAN,
                                 .gal_b = NAN,
                                 .mag = NAN,
                                 .mag_err = NAN,
                                 .rb = NAN,
                                 .drb = NAN,
                                 .positive = -1,
                                 .ndethist = -1,
                                 .nbad = -1,
                                 .roid = -1,
                                 .ref_dist = NAN,
                                 .ref_mag = NAN,
                                 .ps1_dist = NAN,
                                 .ps1_star = NAN,
                                 .sso_dist = NAN,
                                 .sso_mag = NAN,
                                 .reason = "no_input",
                                 .candidate = -1,
                                 .verdict = -1,
                                 .ks = { NAN, NAN },
                                 .sd = { NAN, NAN },
                                 .limit = { 0.5, 0.85 },
                                 .repeats = 16 };
    const nj_hostless_index about = { .title = "<night>",
                                      .clauses = "-w 'a < b'",
                                      .n_read = 12345,
                                      .n_filtered = 1,
                                      .n_dead = 2,
                                      .n_others = 3 };
    nj_error err = { "" };
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 63 * 63; i++)
            pixel[k][i] = (float)((random = random * 1664525 + 1013904223) >> 16);
        candidate.stamp[k] = (nj_picture){ pixel[k], 63, 63, "science" };
    }
    pixel[0][5] = NAN;
    candidate.point = point;
    candidate.n_points = sizeof point / sizeof *point;
    snprintf(folder, sizeof folder, "/tmp/nightjar-pages-%d", (int)getpid());
    nj_hostless_writer *w = nj_hostless_writer_new(folder, &err);
    assert_non_null(w);
    nj_hostless_write(w, &candidate, &err);
    assert_string_equal(err.text, "");
    nj_hostless_write(w, &unknown, &err);
    assert_string_equal(err.text, "");
    nj_hostless_write_index(w, &about, &err);
    assert_string_equal(err.text, "");
    char *page = page_of("7.html"), *bare = page_of("8.html"), *index = page_of("index.html");
    assert_has(page, "<title>&lt;o&gt; 7</title>");
    assert_has(page, "<path class=ks");
    assert_has(page, "<path class=band");
    assert_has(page, "aria-label=\"light curve\"");
    assert_has(page, "fill=\"white\"");
    assert_has(page, "M5 62h1v1h-1z"); /* the missing pixel */
    assert_has(page, "<li>A negative subtraction: fainter than the template</li>");
    assert_has(bare, "<p class=none>absent or unreadable</p>");
    assert_has(bare, "<p class=none>no light curve</p>");
    assert_has(bare, "<p class=none>No test.</p>");
    assert_has(bare, "<li class=none>none</li>");
    assert_null(strstr(bare, "nan"));
    assert_has(index, "&lt;night&gt;: 12,345 alerts and 2 that could not be read, of which 1 do not pass");
    assert_has(index, "<td class=\"wide long\">a,b</td>");
    free(page);
    free(bare);
    free(index);
    nj_hostless_writer_free(w);
    rmdir(folder);
}

/* ---- profiles -------------------------------------------------------------------------------- */

static char *profile_page(nj_profile *p, int (*make)(nj_profile *, nj_buffer *, nj_error *))
{
    nj_buffer out = { 0 };
    nj_error err = { "" };
    make(p, &out, &err);
    assert_string_equal(err.text, "");
    return out.data;
}

static void a_profile_has_all_its_parts(void **state)
{
    (void)state;
    nj_profile_line line[] = { { 10, 8 }, { 5, 0 }, { NJ_NOT_A_LINE, 0 } };
    nj_profile_function function[] = { { "process<1>", __FILE__, 1, 3, true, 4, 10, line, 1e6 },
                                       { "memcpy", "", 0, -1, false, 0, 5, NULL, 5e5 } };
    uint32_t path[] = { 0, 1 };
    nj_profile_stack stack[] = { { path, 2, 5 }, { path, 1, 5 } };
    nj_singly_alert alert[] = { { .id = 77, .ns = 5e4, .over_mode = 10, .outlier = true } };
    nj_profile p = { .show.unit_s = 1e-6,
                     .instance = "m",
                     .version = "1",
                     .clock = "wall",
                     .samples = 10,
                     .function = function,
                     .n_functions = 2,
                     .stack = stack,
                     .n_stacks = 2,
                     .overhead = { 0.01, 0, 0.02, 1000, 5 },
                     .energy = { .tier = "t", .kind = "k", .source = "s" },
                     .carbon = { .country = "c", .kind = "k", .source = "s" },
                     .energy_hint = "hint",
                     .has_counters = true,
                     .has_singly = true };
    p.counter[0].why = "refused";
    p.singly.n = p.singly.n_outliers = 1;
    p.singly.alert = alert;
    p.singly.p50 = 5e3;
    char *page = profile_page(&p, nj_profile_html), *svg = profile_page(&p, nj_profile_flame);
    assert_has(page, "process&lt;1&gt;");
    assert_has(page, "<a href=\"#f0\">process&lt;1&gt;</a>");
    assert_has(page, "(no lines)");
    assert_has(page, "none: refused");
    assert_has(page, "<td class=\"name\">77</td><td>50 µs</td><td>10.00</td>");
    assert_has(page, "Lines with hits and no time");
    assert_has(page, "% of its time is on no line here");
    assert_has(page, "/* pages.c - every page");
    assert_has(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    free(page);
    free(svg);
    nj_arena_free(&p.arena);
}

static void a_profile_may_lack_nearly_all(void **state)
{
    (void)state;
    nj_profile p = {
        .instance = "m", .version = "1", .clock = "wall", .no_hits = "no gcov", .no_lines = "no -g"
    };
    char *page = profile_page(&p, nj_profile_html);
    assert_has(page, "none: no gcov");
    assert_has(page, "none: no -g");
    assert_has(page, "not measured");
    assert_null(strstr(page, "Alert by alert"));
    free(page);
    nj_arena_free(&p.arena);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static long left; /* allocations of the tree of values that succeed */

static void *scarce(size_t n)
{
    return left-- > 0 ? malloc(n) : NULL;
}

/* Each allocation of the values fails in turn: that is the error, not a name that is missing. */
static void values_without_memory_are_an_error(void **state)
{
    (void)state;
    nj_page p = { .json = full,
                  .n_runs = 1,
                  .run[0] = json_loads(full, 0, NULL),
                  .exposure = { { "ZTF", 600, 8 } },
                  .n_exposures = 1 };
    int failures = 0;
    for (long k = 0;; k += 1 + k / 40) {
        nj_buffer out = { 0 };
        nj_error err = { "" };
        left = k;
        json_set_alloc_funcs(scarce, free);
        const int rc = nj_report_html(&p, &out, &err);
        const bool enough = left >= 0;
        json_set_alloc_funcs(malloc, free);
        nj_buffer_free(&out);
        if (!rc && enough) break;
        if (rc) assert_string_equal(err.text, "out of memory");
        failures += rc != 0;
    }
    assert_true(failures > 20);
    json_decref((json_t *)p.run[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_has_all_its_parts),
        cmocka_unit_test(more_runs_give_mean_and_spread),
        cmocka_unit_test(a_report_may_lack_nearly_all),
        cmocka_unit_test(a_history_has_charts_and_tables),
        cmocka_unit_test(a_candidate_has_pictures_and_one_of_which_nothing_is_known_none),
        cmocka_unit_test(a_profile_has_all_its_parts),
        cmocka_unit_test(a_profile_may_lack_nearly_all),
        cmocka_unit_test(values_without_memory_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
