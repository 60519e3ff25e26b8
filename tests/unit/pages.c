/* pages.c - every page is made of its files with all that can stand on it, and with as little as possible: a
 * name that C does not fill in is an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/report/history.h"
#include "broker/report/html.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_has_all_its_parts),
        cmocka_unit_test(more_runs_give_mean_and_spread),
        cmocka_unit_test(a_report_may_lack_nearly_all),
        cmocka_unit_test(a_history_has_charts_and_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
