/* source_kafka_kit.h - a mock broker, a source that reads it, and what came: for the tests of the Kafka
 * source. */
#ifndef NJ_TESTS_SOURCE_KAFKA_KIT_H
#define NJ_TESTS_SOURCE_KAFKA_KIT_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "broker/base/clock.h"
#include "broker/kafka/kafka.h"
#include "broker/source/kafka.h"
#include "tests/unit/source_host.h"

enum { MESSAGES = 200, PARTITIONS = 4 };
#define PATIENCE_NS 120e9 /* a test that waits so long has failed */

typedef struct broker {
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
    const char *address;
} broker;

static inline broker new_broker(int partitions)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", why, sizeof why),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", why, sizeof why), RD_KAFKA_CONF_OK);
    broker b = { rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why), NULL, NULL };
    assert_non_null(b.producer);
    b.cluster = rd_kafka_handle_mock_cluster(b.producer);
    b.address = rd_kafka_mock_cluster_bootstraps(b.cluster);
    assert_int_equal(rd_kafka_mock_topic_create(b.cluster, "ztf_20260101_programid1", partitions, 1), 0);
    return b;
}

static inline void produce(const broker *b, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        char text[64];
        int k = snprintf(text, sizeof text, "message %d", i);
        assert_int_equal(rd_kafka_producev(b->producer, RD_KAFKA_V_TOPIC("ztf_20260101_programid1"),
                                           RD_KAFKA_V_PARTITION(i % PARTITIONS),
                                           RD_KAFKA_V_VALUE(text, (size_t)k),
                                           RD_KAFKA_V_TIMESTAMP(1700000000000 + i),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(b->producer, 10000), 0);
}

/* As a member of a group (the mock takes 2 to 3 s to form one), or with all partitions at once. */
static inline nj_source *open_topic(test_host *t, const broker *b, const char *query, int in_group)
{
    char spec[256];
    nj_error err = { "" };
    nj_kafka_target target;
    /* the mock lets nobody in before the sessions of the others could have ended */
    assert_int_equal(nj_settings_define(&t->settings, "kafka.heartbeat.interval.ms=100", &err), 0);
    assert_int_equal(nj_settings_define(&t->settings, "kafka.session.timeout.ms=3100", &err), 0);
    assert_int_equal(nj_settings_define(&t->settings, "kafka.fetch.wait.max.ms=20", &err), 0);
    /* the only one there is */
    assert_int_equal(nj_settings_define(&t->settings, "kafka.allow.auto.create.topics=true", &err), 0);
    /* a group subscribes to the nightly topic as users do, by a pattern */
    snprintf(spec, sizeof spec, "kafka://%s/%s?%s", b->address,
             in_group ? "^ztf_[0-9]{8}_programid1$" : "ztf_20260101_programid1", query);
    nj_source_args args = { .spec = spec, .settings = &t->settings, .host = &t->host };
    if (!in_group) assert_int_equal(nj_kafka_target_parse(&target, spec, &err), 0);
    nj_kafka_open_args whole = {
        .source = &args, .target = &target, .display = "kafka://test", .quiet = 1, .whole_topic = 1
    };
    nj_source *s = in_group ? nj_source_open(&args, &err) : nj_kafka_open(&whole, &err);
    if (!s) print_error("%s\n", err.text);
    assert_non_null(s);
    return s;
}

typedef struct got {
    int n, ack_below; /* acknowledge offsets below this; -1 = none */
    uint8_t seen[4 * MESSAGES];
    nj_next end;
    nj_error err;
} got;

/* One call of next(); counts what comes. */
static inline nj_next step(nj_source *s, got *g, int timeout_ms)
{
    nj_chunk *c;
    nj_next r = s->class->next(s, timeout_ms, &c, &g->err);
    if (r != NJ_NEXT_CHUNK) return g->end = r;
    char text[64] = "";
    int i = -1;
    memcpy(text, c->bytes, c->size < 63 ? c->size : 63);
    assert_int_equal(sscanf(text, "message %d", &i), 1);
    assert_in_range(i, 0, 4 * MESSAGES - 1);
    assert_int_equal(c->stream->partition, i % PARTITIONS);
    assert_int_equal(c->publish_ms, 1700000000000 + i);
    assert_string_equal(c->stream->topic, "ztf_20260101_programid1");
    assert_true(c->generation >= 1);
    g->seen[i]++;
    g->n++;
    if (c->offset < g->ack_below) s->class->ack(s, c->stream, c->generation, c->offset + 1);
    nj_chunk_drop(c);
    return r;
}

static inline got read_all(nj_source *s, int ack_below)
{
    got g = { .ack_below = ack_below };
    int64_t deadline = nj_now_ns() + (int64_t)PATIENCE_NS;
    while (nj_now_ns() < deadline)
        if (step(s, &g, 200) == NJ_NEXT_END || g.end == NJ_NEXT_ERROR) break;
    s->class->close(s);
    return g;
}

#endif
