/* log.c - what lasts for months is still reported: limits of messages are per minute. */
/* link: -Wl,--wrap=clock_gettime,--wrap=nanosleep */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/debug.h"
#include "broker/base/log.h"
#include "fake_clock.h"

static char said[8192];
static int to_file, before;

static void listen_to_stderr(void)
{
    char name[] = "/tmp/nightjar-log-XXXXXX";
    to_file = mkstemp(name);
    unlink(name);
    before = dup(STDERR_FILENO);
    dup2(to_file, STDERR_FILENO);
}

static const char *what_was_said(void)
{
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t n = pread(to_file, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = 0;
    close(to_file);
    return said;
}

static void a_limit_is_for_a_minute(void **state)
{
    (void)state;
    nj_log_limit limit = { 0 };
    fake_clock_start();
    listen_to_stderr();
    for (int i = 0; i < 5; i++) nj_log_limited(&limit, 2, NJ_LOG_WARN, "trouble %d", i);
    fake_clock.now_ns += INT64_C(59000000000);
    nj_log_limited(&limit, 2, NJ_LOG_WARN, "trouble 5");
    fake_clock.now_ns += INT64_C(2000000000);
    nj_log_limited(&limit, 2, NJ_LOG_WARN, "trouble 6");
    nj_log_limited(&limit, 2, NJ_LOG_WARN, "trouble 7");
    fake_clock.on = 0;
    assert_string_equal(what_was_said(),
                        "nightjar: warning: trouble 0\n"
                        "nightjar: warning: trouble 1 (more of this kind are not shown for a minute)\n"
                        "nightjar: warning: trouble 6 (4 more of this kind were not shown)\n"
                        "nightjar: warning: trouble 7 (more of this kind are not shown for a minute)\n");
}

static void lines_with_times(void **state)
{
    (void)state;
    int year, month, day, hour, minute;
    double second;
    char text[20];
    listen_to_stderr();
    nj_log_stamps(true);
    nj_log(NJ_LOG_WARN, "trouble");
    nj_log_stamps(false);
    assert_int_equal(sscanf(what_was_said(), "%d-%d-%dT%d:%d:%lfZ nightjar: warning: %19s", &year, &month,
                            &day, &hour, &minute, &second, text),
                     7);
    assert_string_equal(text, "trouble");
}

static void moments_of_json(void **state)
{
    (void)state;
    static const int64_t moment[] = { 1,          951782399,  951868800,  1709251199,
                                      1735689599, 4107542399, 4107542400, 1830297600 };
    char got[512], want[64];
    fake_clock_start();
    for (size_t i = 0; i < sizeof moment / sizeof *moment; i++) {
        const time_t t = (time_t)moment[i];
        struct tm utc;
        fake_clock.calendar_ns = moment[i] * 1000000000 + 7000000;
        got[nj_log_json(got, sizeof got, NJ_LOG_WARN, "sink", "", "x", NULL)] = '\0';
        strftime(want, sizeof want, "{\"time\": \"%Y-%m-%dT%H:%M:%S.007Z\"", gmtime_r(&t, &utc));
        got[strlen(want)] = '\0';
        assert_string_equal(got, want);
    }
    fake_clock.calendar_ns = 0;
    fake_clock.on = 0;
}

/* What follows the time and stands before the number of the process. */
static const char *json_of(const char *text, size_t size)
{
    static char line[4096];
    char *end;
    line[nj_log_json(line, size, NJ_LOG_ERROR, "sink", "", text, NULL)] = '\0';
    assert_string_equal(line + strlen(line) - 3, "}}\n");
    end = strstr(line, ", \"fields\": ");
    assert_non_null(end);
    *end = '\0';
    return strstr(line, "\"level\"");
}

static void texts_of_json(void **state)
{
    (void)state;
    assert_string_equal(json_of("a \"b\" \\ c\n\td", 4000),
                        "\"level\": \"error\", \"room\": \"sink\", \"text\": \"a \\\"b\\\" \\\\ c\\n\\td\"");
    assert_string_equal(json_of("\x1b[31m \xff \u00e9", 4000),
                        "\"level\": \"error\", \"room\": \"sink\", \"text\": \"\\u001b[31m \\\\xff \u00e9\"");
    char many[3001];
    for (int i = 0; i < 3000; i += 2) memcpy(many + i, "\u00e9", 2);
    many[3000] = '\0';
    const char *cut = json_of(many, 1000);
    assert_string_equal(cut + strlen(cut) - 3, "\u00e9\"");
}

static void limits_of_json(void **state)
{
    (void)state;
    nj_log_limit limit = { 0 };
    fake_clock_start();
    listen_to_stderr();
    nj_log_as_json(true);
    for (int i = 0; i < 3; i++) nj_log_limited(&limit, 1, NJ_LOG_WARN, "trouble");
    fake_clock.now_ns += INT64_C(61000000000);
    nj_log_limited(&limit, 2, NJ_LOG_WARN, "trouble");
    nj_log_as_json(false);
    fake_clock.on = 0;
    const char *text = what_was_said();
    assert_non_null(strstr(text, "\"not_shown_before\": 0, \"not_shown_for_a_minute\": true}}\n"));
    assert_non_null(strstr(text, "\"not_shown_before\": 2, \"not_shown_for_a_minute\": false}}\n"));
    assert_non_null(strstr(text, "\"text\": \"trouble\", \"fields\": {\"pid\": "));
    assert_non_null(strstr(text, "\"site\": \"tests/unit/log.c:"));
}

static void rooms(void **state)
{
    (void)state;
    assert_int_equal(nj_room_of("broker/sink/kafka.c:12"), NJ_ROOM_SINK);
    assert_int_equal(nj_room_of("broker/kafka/kafka.c:12"), NJ_ROOM_KAFKA);
    assert_int_equal(nj_room_of("broker/schema/registry.c:12"), NJ_ROOM_DECODE);
    assert_int_equal(nj_room_of("modules/roid.c:12"), NJ_ROOM_MODULE);
    assert_int_equal(nj_room_of("broker/cmd/run.c:12"), NJ_ROOM_OTHER);
}

static void levels_by_room(void **state)
{
    (void)state;
    nj_error err;
    assert_int_equal(nj_log_levels_take("error,sink=debug,other=note", &err), 0);
    assert_true(nj_log_wanted("broker/sink/x.c", NJ_LOG_DEBUG));
    assert_false(nj_log_wanted("broker/flow/x.c", NJ_LOG_WARN));
    assert_true(nj_log_wanted("broker/cmd/x.c", NJ_LOG_INFO));
    assert_int_equal(nj_debug_contexts, NJ_DEBUG_SINK);
    assert_int_equal(nj_log_levels_take("note", &err), 0);
    assert_int_equal(nj_debug_contexts, 0);
    assert_int_equal(nj_log_levels_take("sink=debgu", &err), -1);
    assert_non_null(strstr(err.text, "did you mean 'debug'"));
    assert_int_equal(nj_log_levels_take("kafak=debug", &err), -1);
    assert_non_null(strstr(err.text, "did you mean 'kafka'"));
    assert_int_equal(nj_log_levels_take("", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_is_for_a_minute), cmocka_unit_test(lines_with_times),
        cmocka_unit_test(moments_of_json),         cmocka_unit_test(texts_of_json),
        cmocka_unit_test(limits_of_json),          cmocka_unit_test(rooms),
        cmocka_unit_test(levels_by_room)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
