/* kafka_transactions.c - a transaction that brokers do not take is aborted, and can be begun anew; one whose
 * producer was fenced off is not. librdkafka's mock cluster is the broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/sink/kafka_transactions.h"

#include <librdkafka/rdkafka_mock.h>

enum { ADD_OFFSETS = 25, END_TRANSACTION = 26, COMMIT_OFFSETS = 28 }; /* requests of Kafka's protocol */

static char hosts[256];
static rd_kafka_t *holder;
static rd_kafka_mock_cluster_t *cluster;

static int begin_cluster(void **state)
{
    char why[256];
    (void)state;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    holder = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    cluster = rd_kafka_mock_cluster_new(holder, 1);
    snprintf(hosts, sizeof hosts, "%s/rows", rd_kafka_mock_cluster_bootstraps(cluster));
    return rd_kafka_mock_topic_create(cluster, "rows", 1, 1) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int end_cluster(void **state)
{
    (void)state;
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(holder);
    return 0;
}

static void start(nj_transactions *t)
{
    char why[256];
    nj_error err = { "" };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    *t = (nj_transactions){ .on = true, .target = hosts, .whose = "this test" };
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), why, sizeof why);
    assert_int_equal(nj_transactions_name(t, conf, "rows", &err), 0);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(producer);
    if (nj_transactions_start(t, producer, 20000, &err)) fail_msg("%s", err.text);
}

static void end(nj_transactions *t)
{
    rd_kafka_t *producer = t->producer;
    nj_transactions_abort(t);
    nj_transactions_free(t);
    rd_kafka_destroy(producer);
}

static int commit(nj_transactions *t, bool *undone, nj_error *err)
{
    nj_place place = { "rows", 0, 7 };
    nj_keep keep = { .place = &place,
                     .n_places = 1,
                     .group = rd_kafka_consumer_group_metadata_new("group"),
                     .undone = undone };
    *undone = false;
    if (nj_transactions_begin(t, err)) return -1;
    int rc =
        rd_kafka_producev(t->producer, RD_KAFKA_V_TOPIC("rows"), RD_KAFKA_V_VALUE("x", 1), RD_KAFKA_V_END);
    assert_int_equal(rc, 0);
    return nj_transactions_commit(t, &keep, err);
}

static void one_that_is_refused_is_aborted(void **state)
{
    static const int16_t request[] = { ADD_OFFSETS, COMMIT_OFFSETS };
    (void)state;
    for (size_t i = 0; i < sizeof request / sizeof *request; i++) {
        nj_transactions t;
        nj_error err = { "" };
        bool undone;
        start(&t);
        assert_int_equal(commit(&t, &undone, &err), 0);
        assert_false(undone);
        rd_kafka_mock_push_request_errors(cluster, request[i], 1,
                                          RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
        assert_int_equal(commit(&t, &undone, &err), -1);
        assert_non_null(strstr(err.text, "offsets of the source are not taken"));
        assert_true(undone);
        assert_false(t.open);
        assert_int_equal(commit(&t, &undone, &err), 0); /* the producer can go on */
        end(&t);
    }
}

static void one_that_was_fenced_off_is_not_begun_anew(void **state)
{
    nj_transactions t;
    nj_error err = { "" };
    bool undone;
    (void)state;
    start(&t);
    rd_kafka_mock_push_request_errors(cluster, END_TRANSACTION, 1, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    assert_int_equal(commit(&t, &undone, &err), -1);
    assert_false(undone);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_that_is_refused_is_aborted),
                                        cmocka_unit_test(one_that_was_fenced_off_is_not_begun_anew) };
    return cmocka_run_group_tests(tests, begin_cluster, end_cluster);
}
