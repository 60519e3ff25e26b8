/* source_kafka_places.c - where partitions of a Kafka source begin and continue, what never comes, and what
 * others see of it meanwhile; against librdkafka's mock broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/log.h"
#include "broker/kafka/position.h"
#include "tests/unit/source_kafka_kit.h"

/* The documented live command: every start but the first continues where the group was, also when nothing
 * came before the first end. */
static void a_new_group_begins_now_and_goes_on_from_there(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    got g = read_all(open_topic(t, &b, "group=n&from=committed,latest&until=idle:0.5", 1), 1000);
    assert_int_equal(g.n, 0);
    produce(&b, MESSAGES, 40);
    g = read_all(open_topic(t, &b, "group=n&from=committed,latest&until=idle:0.5", 1), 1000);
    assert_int_equal(g.n, 40);
    g = read_all(open_topic(t, &b, "group=n&from=committed,latest&until=idle:0.5", 1), 1000);
    assert_int_equal(g.n, 0);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* Tonight's topic appeared while nobody read: in a group that has worked it is read from its beginning. */
static void a_topic_that_appeared_meanwhile_is_read_from_its_beginning(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    got g = read_all(open_topic(t, &b, "group=m&from=committed&until=end", 1), 1000);
    assert_int_equal(g.n, MESSAGES);
    assert_int_equal(rd_kafka_mock_topic_create(b.cluster, "ztf_20260102_programid1", 1, 1), 0);
    assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC("ztf_20260102_programid1"),
                                       RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE("x", 1), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(b.producer, 10000), 0);
    nj_source *s = open_topic(t, &b, "group=m&from=committed,latest&until=idle:0.5", 1);
    nj_chunk *c;
    nj_error err;
    nj_next r;
    int n = 0;
    while ((r = s->class->next(s, 200, &c, &err)) == NJ_NEXT_CHUNK || r == NJ_NEXT_IDLE)
        if (r == NJ_NEXT_CHUNK) {
            n++;
            assert_string_equal(c->stream->topic, "ztf_20260102_programid1");
            nj_chunk_drop(c);
        }
    assert_int_equal(n, 1);
    s->class->close(s);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* A run waits for tonight's topic: what is in it came later than the run, also in a new group and with
 * from=latest. */
static void a_topic_that_appears_under_the_run_is_read_from_its_beginning(void **state)
{
    (void)state;
    static const char *const query[] = { "group=w", "group=v&from=latest" };
    broker b = new_broker(PARTITIONS);
    for (int k = 0; k < 2; k++) {
        char topic[64], spec[256];
        nj_error err = { "" };
        test_host *t = test_host_new();
        snprintf(topic, sizeof topic, "later_%d", k);
        snprintf(spec, sizeof spec, "kafka://%s/^later_%d$?%s", b.address, k, query[k]);
        assert_int_equal(
            nj_settings_define(&t->settings, "kafka.topic.metadata.refresh.interval.ms=300", &err), 0);
        nj_source *s = nj_source_open(
            &(nj_source_args){ .spec = spec, .settings = &t->settings, .host = &t->host }, &err);
        assert_non_null(s);
        assert_int_equal(rd_kafka_mock_topic_create(b.cluster, topic, 1, 1), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                               RD_KAFKA_V_VALUE("x", 1), RD_KAFKA_V_END),
                             0);
        assert_int_equal(rd_kafka_flush(b.producer, 10000), 0);
        nj_chunk *c;
        int n = 0;
        for (int64_t until = nj_now_ns() + (int64_t)PATIENCE_NS; n < 3 && nj_now_ns() < until;)
            if (s->class->next(s, 200, &c, &err) == NJ_NEXT_CHUNK) n++, nj_chunk_drop(c);
        assert_int_equal(n, 3);
        s->class->close(s);
        test_host_free(t);
    }
    rd_kafka_destroy(b.producer);
}

static void without_from_a_stream_that_goes_on_begins_otherwise_than_one_with_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        nj_from from;
    } is[] = { { "group=g", NJ_FROM_COMMITTED_LATEST },
               { "group=g&until=end", NJ_FROM_COMMITTED },
               { "until=idle:3", NJ_FROM_COMMITTED },
               { "from=committed", NJ_FROM_COMMITTED },
               { "from=committed,earliest", NJ_FROM_COMMITTED },
               { "from=committed,latest&until=end", NJ_FROM_COMMITTED_LATEST },
               { "from=latest", NJ_FROM_LATEST } };
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        nj_positions p;
        nj_error err;
        char text[64];
        snprintf(text, sizeof text, "%s", is[i].query);
        assert_int_equal(nj_positions_parse(&p, text, &err), 0);
        assert_int_equal(p.from, is[i].from);
    }
    nj_positions p;
    nj_error err;
    assert_int_equal(nj_positions_parse(&p, NULL, &err), 0);
    assert_int_equal(p.from, NJ_FROM_COMMITTED_LATEST);
    char wrong[] = "from=committed,now";
    assert_int_equal(nj_positions_parse(&p, wrong, &err), -1);
}

/* The mock keeps 5 MB a partition and drops the oldest: retention, while nobody reads. */
static void what_was_deleted_unread_is_missing(void **state)
{
    (void)state;
    enum { LARGE = 500000, N = 16 };
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, 40);
    got g = read_all(open_topic(t, &b, "group=d&until=end", 0), 1000);
    assert_int_equal(g.n, 40);
    assert_int_equal(t->missing, 0);
    char *large = calloc(1, LARGE);
    assert_non_null(large);
    for (int i = 0; i < N; i++) {
        snprintf(large, LARGE, "message %d", 40 + PARTITIONS * i);
        assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC("ztf_20260101_programid1"),
                                           RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(large, LARGE),
                                           RD_KAFKA_V_TIMESTAMP(1700000000000 + 40 + PARTITIONS * i),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                         0);
        assert_int_equal(rd_kafka_flush(b.producer, 10000), 0);
    }
    free(large);
    g = read_all(open_topic(t, &b, "group=d&until=end", 0), 1000);
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_true(g.n < N);
    assert_int_equal(g.n + (int)t->missing, N);
    assert_non_null(strstr(t->why, "the broker deleted offsets 10 to "));
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static int from_outputs(void *opaque, const nj_stream *stream, int64_t *next_offset, int64_t *published)
{
    (void)opaque;
    *published = 0;
    *next_offset = 30;
    return stream->partition == 1 ? 0 : 1;
}

/* Outputs on disk may know more than the group: a commit was lost with its broker. */
static void the_outputs_on_disk_know_where_to_go_on(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    t->host.resume = from_outputs;
    got g = read_all(open_topic(t, &b, "group=o&from=earliest&until=end", 0), 1000);
    assert_int_equal(g.n, MESSAGES - 30);
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(g.seen[i], i % PARTITIONS != 1 || i / PARTITIONS >= 30);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static void sum_lag(void *opaque, const nj_stream *stream, int64_t done, int64_t end)
{
    (void)stream;
    if (end >= 0 && done >= 0) *(int64_t *)opaque += end - done;
}

/* A host without room: nothing is taken, and both the lag and the group's events continue. */
static void while_nothing_is_taken_the_lag_moves_and_the_group_is_served(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t[2] = { test_host_new(), test_host_new() };
    nj_error err;
    for (int k = 0; k < 2; k++)
        assert_int_equal(nj_settings_define(&t[k]->settings, "source.lag_s=0.2", &err), 0);
    produce(&b, 0, 40);
    nj_source *s[2] = { open_topic(t[0], &b, "group=t&from=committed", 1), NULL };
    got g[2] = { { .ack_below = -1 }, { .ack_below = -1 } };
    int64_t deadline = nj_now_ns() + (int64_t)PATIENCE_NS, lag = 0;
    while (!g[0].n && nj_now_ns() < deadline) step(s[0], &g[0], 100);
    produce(&b, 40, 60);
    while (lag < 100 && nj_now_ns() < deadline) {
        lag = 0;
        s[0]->class->tend(s[0]);
        s[0]->class->lag(s[0], sum_lag, &lag);
    }
    assert_int_equal(lag, 100); /* nothing is acknowledged */
    s[1] = open_topic(t[1], &b, "group=t&from=committed", 1);
    while (!g[1].n && nj_now_ns() < deadline) {
        s[0]->class->tend(s[0]);
        step(s[1], &g[1], 20);
    }
    assert_true(g[1].n > 0); /* the first gave partitions away without a call of next() */
    assert_int_equal(g[0].n, 1);
    for (int k = 0; k < 2; k++) {
        s[k]->class->close(s[k]);
        test_host_free(t[k]);
    }
    rd_kafka_destroy(b.producer);
}

static int quiet(void **state)
{
    (void)state;
    nj_log_level(getenv("NJ_TEST_LOG") ? NJ_LOG_DEBUG : NJ_LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_from_a_stream_that_goes_on_begins_otherwise_than_one_with_an_end),
        cmocka_unit_test(a_new_group_begins_now_and_goes_on_from_there),
        cmocka_unit_test(a_topic_that_appeared_meanwhile_is_read_from_its_beginning),
        cmocka_unit_test(a_topic_that_appears_under_the_run_is_read_from_its_beginning),
        cmocka_unit_test(what_was_deleted_unread_is_missing),
        cmocka_unit_test(the_outputs_on_disk_know_where_to_go_on),
        cmocka_unit_test(while_nothing_is_taken_the_lag_moves_and_the_group_is_served),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
