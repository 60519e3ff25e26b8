/* The kafka sink against librdkafka's mock cluster: what arrives, in which topic, and what a refusing broker does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "sink_rows.h"

static rd_kafka_t *owner;
static rd_kafka_mock_cluster_t *cluster;
enum { PRODUCE = 0 }; /* number of the request in Kafka's protocol */

static int start_cluster(void **state)
{
    (void)state;
    char why[256];
    nj_log_level(NJ_LOG_ERROR); /* the failures below are meant */
    owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
    cluster = owner ? rd_kafka_mock_cluster_new(owner, 1) : NULL;
    return cluster ? 0 : -1;
}

static int stop_cluster(void **state)
{
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
    return remove_folder(state);
}

static nj_sink *open_topic(const char *topic, const char *name, const char *value)
{
    char spec[256];
    nj_settings settings = { 0 };
    nj_error err = { "" };
    snprintf(spec, sizeof spec, "kafka://%s/%s", rd_kafka_mock_cluster_bootstraps(cluster), topic);
    if (name) nj_settings_set(&settings, "kafka", name, value, "test");
    nj_sink *s = nj_sink_open(spec, &(nj_sink_args){ .mode = NJ_SINK_CREATE, .settings = &settings }, &err);
    if (!s) fail_msg("%s", err.text);
    nj_settings_free(&settings);
    return s;
}

typedef struct message {
    char key[32], value[1024];
} message;

/* All messages of a topic with one partition, in order; their number. */
static int consume(const char *topic, message *out, int cap)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", "test", why, sizeof why);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof why);
    rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof why);
    rd_kafka_t *c = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(c, list);
    rd_kafka_topic_partition_list_destroy(list);
    int n = 0;
    for (int quiet = 0; quiet < 50;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(c, 200);
        if (m && !m->err && n < cap) {
            snprintf(out[n].key, sizeof out[n].key, "%.*s", (int)m->key_len, m->key ? (char *)m->key : "");
            snprintf(out[n++].value, sizeof out[0].value, "%.*s", (int)m->len, (char *)m->payload);
        }
        quiet = m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ? 50 : quiet + !m;
        if (m) rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(c);
    rd_kafka_destroy(c);
    return n;
}

static void rows_arrive_in_order_with_their_candid(void **state)
{
    (void)state;
    static message m[64];
    rd_kafka_mock_topic_create(cluster, "rows", 1, 1);
    must_write(open_topic("rows", NULL, NULL), 3);
    assert_int_equal(consume("rows", m, 64), 12);
    for (int i = 0; i < 12; i++) {
        uint32_t r = row_list[i % 4];
        char key[32] = "";
        if (candid[r] != NJ_NO_I64) snprintf(key, sizeof key, "%lld", (long long)candid[r]);
        assert_string_equal(m[i].key, key);
        json_t *row = json_loads(m[i].value, 0, NULL);
        assert_non_null(row);
        assert_int_equal(json_object_size(row), FIELDS);
        json_t *id = json_object_get(row, "candid");
        assert_true(candid[r] == NJ_NO_I64 ? json_is_null(id) : json_integer_value(id) == candid[r]);
        if (isfinite(jd[r])) assert_true(json_number_value(json_object_get(row, "hostless.ks_template")) == jd[r]);
        json_decref(row);
    }
}

static void a_row_goes_to_each_topic_that_it_matches(void **state)
{
    (void)state;
    static const char *const topics[5] = { "bright,new", "", "new", "new", "bright" };
    static message m[16];
    nj_rows rows = rows4;
    rows.topics = topics;
    rd_kafka_mock_topic_create(cluster, "bright", 1, 1);
    rd_kafka_mock_topic_create(cluster, "new", 1, 1);
    nj_error err = { "" };
    nj_sink *s = open_topic("", NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), 0);
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(s->class->write(s, &rows4, &err), -1); /* no topic here, and none there */
    assert_non_null(strstr(err.text, "names no topic"));
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(consume("bright", m, 16), 2); /* rows 0 and 4; 2 is not in the list of rows */
    assert_string_equal(m[0].key, "2481168780615015008");
    assert_string_equal(m[1].key, "9223372036854775807");
    assert_int_equal(consume("new", m, 16), 2); /* rows 0 and 3 */
    assert_string_equal(m[1].key, "");
}

static void a_broker_that_stumbles_loses_and_doubles_nothing(void **state)
{
    (void)state;
    static message m[64];
    rd_kafka_mock_topic_create(cluster, "stumble", 1, 1);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
    must_write(open_topic("stumble", "retry.backoff.ms", "20"), 5);
    assert_int_equal(consume("stumble", m, 64), 20);
}

static void a_message_that_is_refused_fails_the_sink(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(cluster, "closed", 1, 1);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    nj_error err = { "" };
    nj_sink *s = open_topic("closed", NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows4, &err), 0);
    assert_int_equal(s->class->flush(s, &err), -1);
    assert_non_null(
        strstr(err.text, "not delivered; topic closed, candid 2481168780615015008: Broker: Topic authorization failed"));
    assert_int_equal(s->class->flush(s, &err), -1); /* it stays failed */
    s->class->close(s, NULL);
}

static void a_row_that_is_too_large_is_named(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(cluster, "large", 1, 1);
    nj_error err = { "" };
    nj_sink *s = open_topic("large", "message.max.bytes", "1000");
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    const char *const texts[5] = { text, text, text, text, text };
    nj_col more[FIELDS];
    memcpy(more, column, sizeof more);
    more[OBJECT].data = texts;
    nj_rows rows = rows4;
    rows.value = more;
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), -1);
    assert_non_null(strstr(err.text, "candid 2481168780615015008"));
    assert_non_null(strstr(err.text, "Message size too large"));
    s->class->close(s, NULL);
}

static void a_full_queue_waits(void **state)
{
    (void)state;
    static message m[600];
    rd_kafka_mock_topic_create(cluster, "queue", 1, 1);
    nj_error err = { "" };
    nj_sink *s = open_topic("queue", "queue.buffering.max.messages", "10");
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    for (int i = 0; i < 100; i++)
        if (s->class->write(s, &rows4, &err)) fail_msg("%s", err.text);
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(consume("queue", m, 600), 400);
}

static void targets_and_settings_are_checked(void **state)
{
    (void)state;
    must_refuse("kafka:hosts", NJ_SINK_CREATE, "expected kafka://HOST:PORT", NULL);
    must_refuse("kafka:///topic", NJ_SINK_CREATE, "expected kafka://HOST:PORT", NULL);
    must_refuse("kafka://h:1/a,b", NJ_SINK_CREATE, "expected kafka://HOST:PORT", NULL);
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_settings_set(&settings, "sink.kafka", "connect_s", "1", "test");
    int64_t start = nj_now_ns();
    assert_null(nj_sink_open("kafka://127.0.0.1:1/x", &(nj_sink_args){ .settings = &settings }, &err)); /* nobody listens there */
    assert_non_null(strstr(err.text, "no broker answers"));
    assert_non_null(strstr(err.text, "refused"));
    assert_true(nj_now_ns() - start < INT64_C(8000000000));
    nj_settings_set(&settings, "kafka", "enable.idempotence", "false", "night.ini");
    assert_null(nj_sink_open("kafka://127.0.0.1:1/x", &(nj_sink_args){ .settings = &settings }, &err));
    assert_non_null(strstr(err.text, "enable.idempotence is fixed"));
    nj_settings_free(&settings);
}

static void cost_of_a_row(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(cluster, "speed", 1, 1);
    nj_error err;
    nj_sink *s = open_topic("speed", NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    int64_t start = nj_now_ns(), cpu = nj_thread_cpu_ns();
    for (int i = 0; i < 2000; i++) assert_int_equal(s->class->write(s, &rows4, &err), 0);
    int64_t wrote = nj_thread_cpu_ns();
    assert_int_equal(s->class->flush(s, &err), 0);
    printf("# kafka: %.0f ns per row in this thread, %.0f with the reports (mock broker in the same process)\n",
           (double)(wrote - cpu) / 8000, (double)(nj_now_ns() - start) / 8000);
    assert_int_equal(s->class->close(s, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_arrive_in_order_with_their_candid),
        cmocka_unit_test(a_row_goes_to_each_topic_that_it_matches),
        cmocka_unit_test(a_broker_that_stumbles_loses_and_doubles_nothing),
        cmocka_unit_test(a_message_that_is_refused_fails_the_sink),
        cmocka_unit_test(a_row_that_is_too_large_is_named),
        cmocka_unit_test(a_full_queue_waits),
        cmocka_unit_test(targets_and_settings_are_checked),
        cmocka_unit_test(cost_of_a_row),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
