/* log.c - what goes on for months is still reported: limits of messages are per minute. */
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_limit_is_for_a_minute),
                                        cmocka_unit_test(lines_with_times) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
