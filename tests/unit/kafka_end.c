/* kafka_end.c - ending clients of Kafka: one whose destruction never returns must not keep the process. */
/* link: -Wl,--wrap=rd_kafka_destroy_flags */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/patience.h"
#include "broker/kafka/end.h"

static _Atomic int n_destroyed, hangs;
void __real_rd_kafka_destroy_flags(rd_kafka_t *rk, int flags);
void __wrap_rd_kafka_destroy_flags(rd_kafka_t *rk, int flags);
void __wrap_rd_kafka_destroy_flags(rd_kafka_t *rk, int flags)
{
    while (hangs) pause();
    __real_rd_kafka_destroy_flags(rk, flags);
    n_destroyed++;
}

static rd_kafka_t *new_client(void)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
    assert_non_null(rk);
    return rk;
}

static void a_client_that_ends_is_waited_for(void **state)
{
    (void)state;
    nj_kafka_end(new_client(), 0, "kafka://test");
    assert_int_equal(n_destroyed, 1);
}

static void never(void)
{
    _exit(9); /* a library's handler, which would find its threads still running */
}

/* In a process of its own, because it is what becomes of the process that is looked at. */
static void a_client_that_hangs_is_left_behind_and_the_exit_code_stays(void **state)
{
    (void)state;
    static const _Atomic int stop = 1;
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        atexit(never);
        nj_log_level(NJ_LOG_ERROR);
        nj_stop_watched(&stop); /* shorter waits */
        hangs = 1;
        nj_kafka_end(new_client(), 0, "kafka://test");
        nj_kafka_end(new_client(), 0, "kafka://test");
        exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void waits_become_short_once_the_process_is_to_stop(void **state)
{
    (void)state;
    static _Atomic int stop;
    nj_stop_watched(&stop);
    assert_false(nj_stopping());
    assert_int_equal(nj_patience_ms(60000), 60000);
    stop = 1;
    assert_true(nj_stopping());
    assert_in_range(nj_patience_ms(60000), 1, 5000);
    assert_int_equal(nj_patience_ms(10), 10);
    nj_stop_watched(NULL);
    assert_int_equal(nj_patience_ms(60000), 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_hangs_is_left_behind_and_the_exit_code_stays),
        cmocka_unit_test(a_client_that_ends_is_waited_for),
        cmocka_unit_test(waits_become_short_once_the_process_is_to_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
