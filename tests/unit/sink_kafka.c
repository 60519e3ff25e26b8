/* sink_kafka.c - the kafka sink against librdkafka's mock cluster: what arrives, in which topic, and what a
 * refusing broker does. */
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
#include "broker/base/patience.h"
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

typedef struct refusals {
    uint32_t n, record[16];
    char reason[512]; /* of the last */
} refusals;

static void note_refusal(void *opaque, const nj_dead *dead)
{
    refusals *r = opaque;
    assert_in_range(r->n, 0, 15);
    r->record[r->n++] = dead->record;
    snprintf(r->reason, sizeof r->reason, "%s", dead->reason);
    assert_string_equal(dead->module, "sink.kafka");
    assert_int_equal(dead->size, 3);
    assert_memory_equal(dead->bytes, "\1\2\3", 3);
}

static refusals *noted; /* of the next sink to open; NULL: it cannot report */

static nj_sink *open_topic(const char *topic, const char *name, const char *value)
{
    char spec[256];
    nj_settings settings = { 0 };
    nj_error err = { "" };
    snprintf(spec, sizeof spec, "kafka://%s/%s", rd_kafka_mock_cluster_bootstraps(cluster), topic);
    if (name) nj_settings_set(&settings, "kafka", name, value, "test");
    const nj_sink_args args = { .mode = NJ_SINK_CREATE,
                                .settings = &settings,
                                .refuse = noted ? note_refusal : NULL,
                                .refuse_opaque = noted };
    nj_sink *s = nj_sink_open(spec, &args, &err);
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
        json_t *row = nj_json_read_row(m[i].value, strlen(m[i].value));
        assert_non_null(row);
        assert_int_equal(json_object_size(row), FIELDS);
        json_t *id = json_object_get(row, "candid");
        assert_true(candid[r] == NJ_NO_I64 ? json_is_null(id) : json_integer_value(id) == candid[r]);
        if (isfinite(jd[r]))
            assert_true(json_number_value(json_object_get(row, "hostless.ks_template")) == jd[r]);
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
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
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
    assert_non_null(strstr(
        err.text,
        "not delivered; topic closed, candid 2481168780615015008: Broker: Topic authorization failed"));
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

/* Five rows of one chunk of five records; the last one's datum lies elsewhere. */
static nj_batch *batch_of_rows(nj_chunk **chunk)
{
    nj_batch *b = nj_batch_new();
    uint8_t *bytes = malloc(12);
    assert_non_null(b);
    assert_non_null(bytes);
    for (int i = 0; i < 12; i++) bytes[i] = (uint8_t)(i % 3 + 1);
    *chunk = nj_chunk_new(NULL, bytes, 12);
    b->row = calloc(5, sizeof *b->row);
    assert_non_null(*chunk);
    assert_non_null(b->row);
    for (uint32_t i = 0; i < 5; i++)
        b->row[i] = (nj_row){
            .chunk = *chunk, .record = i, .size = 3, .datum = i < 4 ? bytes + 3 * i : (void *)"\1\2\3"
        };
    return b;
}

/* After it nothing may hold the chunk but the test. */
static void free_rows(nj_batch *b, nj_chunk *chunk)
{
    assert_int_equal(chunk->refs, 1);
    nj_chunk_drop(chunk);
    free(b->row);
    b->row = NULL;
    nj_batch_free(b);
}

static void a_row_that_is_never_taken_is_refused_and_the_others_arrive(void **state)
{
    (void)state;
    static message m[16];
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    const char *texts[5] = { "a", "b", "c", "d", text };
    nj_col more[FIELDS];
    memcpy(more, column, sizeof more);
    more[OBJECT].data = texts;
    refusals r = { 0 };
    nj_chunk *chunk;
    nj_batch *b = batch_of_rows(&chunk);
    nj_rows rows = rows4;
    rows.value = more;
    rows.batch = b;
    rd_kafka_mock_topic_create(cluster, "never", 1, 1);
    nj_error err = { "" };
    noted = &r;
    nj_sink *s = open_topic("never", "message.max.bytes", "2000");
    noted = NULL;
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), 0);
    assert_int_equal(r.n, 1); /* now, before other sinks write it */
    assert_int_equal(r.record[0], 4);
    assert_non_null(
        strstr(r.reason, "Message size too large; message.max.bytes of [kafka] is the limit here"));
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(r.n, 1);
    free_rows(b, chunk);
    assert_int_equal(consume("never", m, 16), 3);
}

static void a_batch_that_the_broker_refuses_is_sent_row_by_row(void **state)
{
    (void)state;
    static message m[16];
    static const rd_kafka_resp_err_t kind[] = { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                                                RD_KAFKA_RESP_ERR_INVALID_RECORD,
                                                RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE };
    for (size_t k = 0; k < 3; k++) {
        char topic[32];
        refusals r = { 0 };
        nj_chunk *chunk;
        nj_batch *b = batch_of_rows(&chunk);
        nj_rows rows = rows4;
        rows.batch = b;
        snprintf(topic, sizeof topic, "batch%zu", k);
        rd_kafka_mock_topic_create(cluster, topic, 1, 1);
        nj_error err = { "" };
        noted = &r;
        nj_sink *s = open_topic(topic, "linger.ms", "5000"); /* one batch: it goes with the flush */
        noted = NULL;
        assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
        assert_int_equal(s->class->write(s, &rows, &err), 0);
        rd_kafka_mock_push_request_errors(cluster, PRODUCE, 4, kind[k], RD_KAFKA_RESP_ERR_NO_ERROR, kind[k],
                                          RD_KAFKA_RESP_ERR_NO_ERROR); /* all; then of each alone the
                                                                        * second */
        assert_int_equal(s->class->flush(s, &err), 0);
        assert_int_equal(r.n, 1);
        assert_int_equal(r.record[0], row_list[1]);
        assert_non_null(strstr(r.reason, topic));
        assert_int_equal(s->class->flush(s, &err), 0); /* and it continues */
        assert_int_equal(s->class->write(s, &rows, &err), 0);
        assert_int_equal(s->class->flush(s, &err), 0);
        assert_int_equal(s->class->close(s, &err), 0);
        assert_int_equal(r.n, 1);
        free_rows(b, chunk);
        assert_int_equal(consume(topic, m, 16), 7);
    }
}

static void a_row_of_two_topics_is_refused_once(void **state)
{
    (void)state;
    static const char *const topics[5] = { "one,two", "", "", "", "" };
    refusals r = { 0 };
    nj_chunk *chunk;
    nj_batch *b = batch_of_rows(&chunk);
    nj_rows rows = rows4;
    rows.batch = b;
    rows.topics = topics;
    rd_kafka_mock_topic_create(cluster, "one", 1, 1);
    rd_kafka_mock_topic_create(cluster, "two", 1, 1);
    nj_error err = { "" };
    noted = &r;
    nj_sink *s = open_topic("", NULL, NULL);
    noted = NULL;
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), 0);
    rd_kafka_mock_push_request_errors(
        cluster, PRODUCE, 4, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(s->class->close(s, &err), 0);
    free_rows(b, chunk);
}

static void an_empty_row_is_refused(void **state)
{
    (void)state;
    static message m[16];
    refusals r = { 0 };
    nj_chunk *chunk;
    nj_batch *b = batch_of_rows(&chunk);
    nj_rows rows = rows4;
    rows.batch = b;
    rows.n_fields = 0;
    rd_kafka_mock_topic_create(cluster, "empty", 1, 1);
    nj_error err = { "" };
    noted = &r;
    nj_sink *s = open_topic("empty", NULL, NULL);
    noted = NULL;
    assert_int_equal(s->class->begin(s, field, 0, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), 0);
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(r.n, 4);
    assert_non_null(strstr(r.reason, "empty"));
    assert_int_equal(s->class->close(s, &err), 0);
    free_rows(b, chunk);
    assert_int_equal(consume("empty", m, 16), 0);
}

static void a_sink_that_fails_lets_go_of_the_packets(void **state)
{
    (void)state;
    refusals r = { 0 };
    nj_chunk *chunk;
    nj_batch *b = batch_of_rows(&chunk);
    nj_rows rows = rows4;
    rows.batch = b;
    rd_kafka_mock_topic_create(cluster, "fails", 1, 1);
    nj_error err = { "" };
    noted = &r;
    nj_sink *s = open_topic("fails", "linger.ms", "5000");
    noted = NULL;
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &rows, &err), 0);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 2, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(s->class->flush(s, &err), -1); /* while they are sent one by one */
    s->class->close(s, NULL);
    assert_int_equal(r.n, 0);
    free_rows(b, chunk);
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
    /* nobody listens there */
    assert_null(nj_sink_open("kafka://127.0.0.1:1/x", &(nj_sink_args){ .settings = &settings }, &err));
    assert_non_null(strstr(err.text, "no broker answers"));
    assert_non_null(strstr(err.text, "refused"));
    nj_settings_set(&settings, "kafka", "enable.idempotence", "false", "night.ini");
    assert_null(nj_sink_open("kafka://127.0.0.1:1/x", &(nj_sink_args){ .settings = &settings }, &err));
    assert_non_null(strstr(err.text, "enable.idempotence cannot be changed"));
    nj_settings_free(&settings);
}

/* message.timeout.ms is five minutes: too long for somebody who wants the run to end. */
static void a_stop_does_not_wait_for_brokers_that_are_away(void **state)
{
    (void)state;
    static const _Atomic int stop = 1;
    nj_error err = { "" };
    rd_kafka_mock_topic_create(cluster, "away", 1, 1);
    nj_sink *s = open_topic("away", NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    rd_kafka_mock_broker_set_down(cluster, 1);
    assert_int_equal(s->class->write(s, &rows4, &err), 0);
    nj_stop_watched(&stop);
    assert_int_equal(s->class->flush(s, &err), -1);
    assert_non_null(strstr(err.text, "the last 4 messages; their alerts come again"));
    s->class->close(s, &err);
    nj_stop_watched(NULL);
    rd_kafka_mock_broker_set_up(cluster, 1);
    static message m[8];
    assert_int_equal(consume("away", m, 8), 0); /* what the accounts do not have is not delivered later */
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
    printf(
        "# kafka: %.0f ns per row in this thread, %.0f with the reports (mock broker in the same process)\n",
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
        cmocka_unit_test(a_row_that_is_never_taken_is_refused_and_the_others_arrive),
        cmocka_unit_test(a_batch_that_the_broker_refuses_is_sent_row_by_row),
        cmocka_unit_test(a_row_of_two_topics_is_refused_once),
        cmocka_unit_test(an_empty_row_is_refused),
        cmocka_unit_test(a_sink_that_fails_lets_go_of_the_packets),
        cmocka_unit_test(a_full_queue_waits),
        cmocka_unit_test(targets_and_settings_are_checked),
        cmocka_unit_test(a_stop_does_not_wait_for_brokers_that_are_away),
        cmocka_unit_test(cost_of_a_row),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
