/* source_kafka.c - the Kafka source against librdkafka's mock broker in this process: commits, ends,
 * rebalances; and embedded://. */
/* link: -Wl,--wrap=rd_kafka_offsets_for_times */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/kafka/kafka.h"
#include "broker/base/log.h"
#include "broker/source/kafka.h"
#include "broker/kafka/position.h"
#include "tests/unit/source_kafka_kit.h"
#include "tests/unit/folder.h"

/* Below librdkafka 2.2 a source asks for offsets by time in order to wake the fetchers, and waits 0.1 s. */
static _Atomic int n_woken, too_many;
rd_kafka_resp_err_t __real_rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                                      int timeout_ms);
rd_kafka_resp_err_t __wrap_rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                                      int timeout_ms);
rd_kafka_resp_err_t __wrap_rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                                      int timeout_ms)
{
    n_woken += timeout_ms == 100;
    const bool ends = list->cnt && list->elems[0].offset == RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t rc = __real_rd_kafka_offsets_for_times(rk, list, timeout_ms);
    for (int i = 0; ends && !rc && i < list->cnt; i++) list->elems[i].offset += too_many;
    return rc;
}

static void a_partition_that_ends_before_its_end_is_named(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    too_many = 7; /* as if these had gone between the look at the ends and the last message */
    got g = read_all(open_topic(t, &b, "group=h&until=end", 0), -1);
    too_many = 0;
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, MESSAGES);
    assert_non_null(strstr(t->early, "ended at offset"));
    assert_non_null(strstr(t->early, "[0]"));
    test_host_free(t);
    t = test_host_new();
    g = read_all(open_topic(t, &b, "group=i&until=end", 0), -1);
    assert_int_equal(g.n, MESSAGES);
    assert_string_equal(t->early, "");
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static void what_was_acknowledged_is_committed_and_the_rest_comes_again(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    got g = read_all(open_topic(t, &b, "group=g&until=end", 1), 40);
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, MESSAGES);
    for (int i = 0; i < MESSAGES; i++) assert_int_equal(g.seen[i], 1);
    assert_int_equal(t->n_streams, PARTITIONS);
    char name[128];
    snprintf(name, sizeof name, "kafka://%s/ztf_20260101_programid1[", b.address);
    assert_non_null(strstr(t->stream[0].name, name));

    g = read_all(open_topic(t, &b, "group=g&until=end", 1), -1); /* 10 a partition are left */
    assert_int_equal(g.n, 10 * PARTITIONS);
    for (int i = 0; i < MESSAGES; i++) assert_int_equal(g.seen[i], i / PARTITIONS >= 40);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static void begins_and_ends(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    got g = read_all(open_topic(t, &b, "group=a&from=45&until=end", 0), -1);
    assert_int_equal(g.n, 5 * PARTITIONS);
    /* an offset that is not there: never everything from the beginning */
    g = read_all(open_topic(t, &b, "group=a&from=50&until=end", 0), -1); /* the ends */
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, 0);
    g = read_all(open_topic(t, &b, "group=a&from=51&until=end", 0), -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    assert_int_equal(g.n, 0);
    assert_non_null(
        strstr(g.err.text, "from=offset:51 is beyond the end of every partition; the last ends at 50"));
    g = read_all(open_topic(t, &b, "group=a&from=offset:1767225600&until=end", 0), -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    g = read_all(open_topic(t, &b, "group=b&until=count:17", 0), 1000);
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, 17);
    got rest = read_all(open_topic(t, &b, "group=b&until=end", 0), 1000);
    assert_int_equal(rest.n, MESSAGES - 17);
    for (int i = 0; i < MESSAGES; i++) assert_int_equal(g.seen[i] + rest.seen[i], 1);
    /* earliest: whatever was committed */
    g = read_all(open_topic(t, &b, "group=b&from=earliest&until=idle:0.5", 0), -1);
    assert_int_equal(g.n, MESSAGES);

    nj_source *s = open_topic(t, &b, "group=c&from=latest&until=idle:0.7", 0);
    produce(&b, MESSAGES, 40);
    g = read_all(s, 1000);
    assert_int_equal(g.n, 40);
    for (int i = MESSAGES; i < MESSAGES + 40; i++) assert_int_equal(g.seen[i], 1);

    s = open_topic(t, &b, "group=d&until=end", 0);
    produce(&b, MESSAGES + 40, 40); /* behind the end as it was: left for the next time */
    g = read_all(s, 1000);
    assert_int_equal(g.n, MESSAGES + 40);
    g = read_all(open_topic(t, &b, "group=d&until=end", 0), 1000);
    assert_int_equal(g.n, 40);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* A host that empties the queue of fetched messages at once must not wait for librdkafka's next look at it,
 * a second later. */
static void a_full_queue_that_runs_low_is_filled_again_at_once(void **state)
{
    (void)state;
    enum { LARGE = 100000 };
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    nj_error err = { "" };
    char *large = calloc(1, LARGE);
    assert_non_null(large);
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(large, LARGE, "message %d", i);
        assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC("ztf_20260101_programid1"),
                                           RD_KAFKA_V_PARTITION(i % PARTITIONS),
                                           RD_KAFKA_V_VALUE(large, LARGE),
                                           RD_KAFKA_V_TIMESTAMP(1700000000000 + i),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(b.producer, 10000), 0);
    free(large);
    assert_int_equal(nj_settings_define(&t->settings, "kafka.queued.max.messages.kbytes=1024", &err),
                     0); /* ten messages: 20 times full */
    assert_int_equal(nj_settings_define(&t->settings, "kafka.max.partition.fetch.bytes=300000", &err), 0);
    got g = { .ack_below = -1 };
    nj_source *s = open_topic(t, &b, "group=e&until=end", 0);
    int before = n_woken;
    while (step(s, &g, 2000) == NJ_NEXT_CHUNK)
        if (g.n % 10 == 0) usleep(20000); /* long enough for the queue to fill */
    s->class->close(s);
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, MESSAGES);
    print_message("# %d messages, %d times woken\n", g.n, n_woken - before);
    if (rd_kafka_version() < 0x020200ff) assert_true(n_woken > before); /* later ones have a setting for it */
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* A broker whose answers take longer than the silence that is waited for: what it has still comes. */
static void a_slow_broker_is_no_silence(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    for (int k = 0; k < 4; k++)
        produce(&b, k * MESSAGES / 4, MESSAGES / 4); /* the mock gives one
                                                      * such piece an answer */
    assert_int_equal(rd_kafka_mock_broker_set_rtt(b.cluster, -1, 600), 0);
    got g = read_all(open_topic(t, &b, "group=s&from=earliest&until=idle:0.2", 0), -1);
    assert_int_equal(g.end, NJ_NEXT_END);
    assert_int_equal(g.n, MESSAGES);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* A partition gives nothing, though its broker answers: that is no end of a stream, and is reported. */
static void what_is_not_read_to_its_end_is_no_silence(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    nj_error err = { "" };
    produce(&b, 0, MESSAGES);
    assert_int_equal(nj_settings_define(&t->settings, "source.contact_s=1.5", &err), 0);
    rd_kafka_resp_err_t errors[200];
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        errors[i] = RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
    rd_kafka_mock_push_request_errors_array(b.cluster, 1, sizeof errors / sizeof *errors, errors); /* Fetch */
    got g = read_all(open_topic(t, &b, "group=s&from=earliest&until=idle:0.2", 0), -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(g.err.text, "is not read to its end"));
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static int drained;
static int count_drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque;
    (void)stream;
    assert_in_range(timeout_ms, 0, 1000);
    drained++;
    return -1;
}

/* A second member joins while the first has alerts under way. */
static void a_rebalance_gives_partitions_away_and_says_what_comes_again(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t[2] = { test_host_new(), test_host_new() };
    nj_error err;
    t[0]->host.drain = count_drain;
    assert_int_equal(nj_settings_define(&t[0]->settings, "source.drain_s=1", &err), 0);
    produce(&b, 0, MESSAGES);
    nj_source *s[2] = { open_topic(t[0], &b, "group=g&from=committed", 1), NULL };
    got g[2] = { { .ack_below = 45 }, { .ack_below = 1000 } };
    int64_t deadline = nj_now_ns() + (int64_t)PATIENCE_NS;
    while (g[0].n < MESSAGES && nj_now_ns() < deadline) step(s[0], &g[0], 100);
    assert_int_equal(g[0].n, MESSAGES);
    for (int64_t wait = nj_now_ns() + (int64_t)1500e6; nj_now_ns() < wait;)
        step(s[0], &g[0], 100); /* a commit: the mock takes none while a group forms anew */
    s[1] = open_topic(t[1], &b, "group=g&from=committed", 1);
    int idle = 0;
    while (idle < 8 && nj_now_ns() < deadline) {
        int busy = (step(s[0], &g[0], 50) == NJ_NEXT_CHUNK) + (step(s[1], &g[1], 50) == NJ_NEXT_CHUNK);
        idle = busy || g[1].n == 0 ? 0 : idle + 1;
        g[0].ack_below = 1000; /* what comes again is acknowledged by whoever gets it */
    }
    assert_int_equal(drained, PARTITIONS / 2); /* cooperative: the others are not touched */
    assert_int_equal(t[0]->returned, 5 * PARTITIONS / 2);
    assert_true(g[1].n >= 5); /* of each partition that moved; more when the mock refuses a
                               * commit while the group forms */
    for (int i = 0; i < MESSAGES; i++) {
        int seen = g[0].seen[i] + g[1].seen[i];
        if (i / PARTITIONS < 45) assert_int_equal(seen, 1);
        assert_in_range(seen, 1, 2);
    }
    for (int k = 0; k < 2; k++) {
        s[k]->class->close(s[k]);
        test_host_free(t[k]);
    }
    rd_kafka_destroy(b.producer);
}

static void an_acknowledgement_of_an_earlier_assignment_is_dropped(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    produce(&b, 0, MESSAGES);
    nj_source *s = open_topic(t, &b, "group=g&until=count:20", 0);
    got g = { .ack_below = -1 };
    while (g.n < 20 && step(s, &g, 100) != NJ_NEXT_ERROR) continue;
    for (uint32_t i = 0; i < t->n_streams; i++) s->class->ack(s, &t->stream[i], 99, 50);
    s->class->close(s);
    g = read_all(open_topic(t, &b, "group=g&until=end", 0), -1);
    assert_int_equal(g.n, MESSAGES);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static void keys_that_may_be_a_schema_are_kept_and_empty_messages_passed_over(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    nj_error err;
    static const char key[] = "{\"type\":\"record\"}";
    assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC("ztf_20260101_programid1"),
                                       RD_KAFKA_V_PARTITION(2), RD_KAFKA_V_VALUE("x", 1),
                                       RD_KAFKA_V_KEY(key, sizeof key - 1), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_producev(b.producer, RD_KAFKA_V_TOPIC("ztf_20260101_programid1"),
                                       RD_KAFKA_V_PARTITION(2), RD_KAFKA_V_VALUE(NULL, 0),
                                       RD_KAFKA_V_KEY("12345", 5), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(b.producer, 10000), 0);
    nj_source *s = open_topic(t, &b, "group=g&until=end", 0);
    nj_chunk *c[2] = { NULL };
    nj_next r;
    int n = 0;
    while (n < 2 && ((r = s->class->next(s, 200, &c[n], &err)) == NJ_NEXT_CHUNK || r == NJ_NEXT_IDLE))
        n += r == NJ_NEXT_CHUNK;
    assert_int_equal(n, 1);
    assert_int_equal(c[0]->framing, NJ_FRAME_AUTO); /* decode sees whether the payload needs it */
    assert_int_equal(c[0]->key_size, sizeof key - 1);
    assert_memory_equal(c[0]->key, key, sizeof key - 1);
    nj_chunk_drop(c[0]);
    s->class->close(s);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

static void refusals_and_silence_end_with_their_cause(void **state)
{
    (void)state;
    broker b = new_broker(PARTITIONS);
    test_host *t = test_host_new();
    nj_error err;
    rd_kafka_mock_push_request_errors(b.cluster, 11 /* JoinGroup */, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    got g = read_all(open_topic(t, &b, "group=g&until=end", 1), -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(g.err.text, "Group authorization failed"));
    assert_non_null(strstr(g.err.text, rd_kafka_version_str()));

    assert_int_equal(nj_settings_define(&t->settings, "source.contact_s=1", &err), 0);
    nj_source *s = test_open(t, "kafka://127.0.0.1:1/t?group=g&until=end", &err);
    assert_non_null(s);
    g = read_all(s, -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(g.err.text, "no broker answers"));

    /* a live stream gives up, too, unless it has only been given to another worker */
    s = test_open(t, "kafka://127.0.0.1:1/t?group=g", &err);
    assert_non_null(s);
    g = read_all(s, -1);
    assert_int_equal(g.end, NJ_NEXT_ERROR);
    t->host.goes_on = true;
    s = test_open(t, "kafka://127.0.0.1:1/t?group=g", &err);
    assert_non_null(s);
    g = (got){ .ack_below = -1 };
    for (int64_t until = nj_now_ns() + 3000000000; nj_now_ns() < until && g.end != NJ_NEXT_ERROR;)
        step(s, &g, 200);
    assert_int_equal(g.end, NJ_NEXT_IDLE);
    s->class->close(s);
    test_host_free(t);
    rd_kafka_destroy(b.producer);
}

/* Each way to write a time or an offset, and what it is. */
static void a_number_or_a_date_is_what_it_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        nj_from from;
        int64_t value;
    } good[] = {
        { "0", NJ_FROM_OFFSET, 0 },
        { "45", NJ_FROM_OFFSET, 45 },
        { "99999999", NJ_FROM_OFFSET, 99999999 }, /* no date */
        { "20261301", NJ_FROM_OFFSET, 20261301 }, /* neither: no month 13 */
        { "999999999", NJ_FROM_OFFSET, 999999999 },
        { "offset:1767225600", NJ_FROM_OFFSET, 1767225600 },
        { "offset:20260101", NJ_FROM_OFFSET, 20260101 },
        { "1767225600", NJ_FROM_TIME, 1767225600000 },
        { "1767225600.25", NJ_FROM_TIME, 1767225600250 }, /* as Python's time.time() */
        { "1767225600250", NJ_FROM_TIME, 1767225600250 },
        { "1767225600250000", NJ_FROM_TIME, 1767225600250 },
        { "1767225600250000000", NJ_FROM_TIME, 1767225600250 },
        { "2026-01-01", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01Z", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T00:00", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T00:00:00", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01 00:00:00", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T00:00:00Z", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01t00:00:00z", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01 00:00:00 UTC", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T00:00:00+00:00", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T01:00:00+01:00", NJ_FROM_TIME, 1767225600000 },
        { "2025-12-31T16:30:00-07:30", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T05:30:00+0530", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T09+09", NJ_FROM_TIME, -1 }, /* no minutes */
        { "2026-01-01T09:00+09", NJ_FROM_TIME, 1767225600000 },
        { "2026-01-01T00:00:00.500Z", NJ_FROM_TIME, 1767225600500 },
        { "2026-01-01T00:00:00,5", NJ_FROM_TIME, 1767225600500 },
        { "2026-01-01T00:00:00.123456+00:00", NJ_FROM_TIME, 1767225600123 },
        { "20260101T000000Z", NJ_FROM_TIME, 1767225600000 },
        { "20260101T0000", NJ_FROM_TIME, 1767225600000 },
        { "2024-02-29", NJ_FROM_TIME, 1709164800000 },
    };
    static const char *const bad[] = {
        "20260101",
        "19991231", /* a date or an offset */
        "4102444800",
        "100000000000",
        "202601010000",
        "20260101120000", /* neither a time of this century nor an offset of alerts */
        "99999999999999999999",
        "1.5",
        "2461041.5",
        "61041.0",
        "1767225600250.5",
        "1767225600.",
        "+45",
        " 45",
        "-5",
        "4e5",
        "0x10",
        "offset:",
        "offset:-1",
        "offset:1.5",
        "offset:2026-01-01",
        "now",
        "",
        "2026-02-30",
        "2025-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-01-00",
        "2026-1-1",
        "26-01-01",
        "01/02/2026",
        "2026/01/01",
        "2026-01-01T24:00:00",
        "2026-01-01T23:60:00",
        "2026-01-01T00:00:61",
        "2026-01-01T00:00:00+",
        "2026-01-01T00:00:00+1",
        "2026-01-01T00:00:00+01:99",
        "2026-01-01T00:00:00 CET",
        "2026-01-01T00:00:00 01:00",
        "2026-01-01T00:00:00.",
        "2026-01-01T",
        "2026-01-01+01:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "2026-01-01T00:00:00Zx",
        "2026-01",
        "2026-W01-1",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        nj_positions p;
        nj_error err = { "" };
        char text[64];
        snprintf(text, sizeof text, "from=%s", good[i].text);
        int rc = nj_positions_parse(&p, text, &err);
        if (good[i].value < 0 ? rc == 0 : rc || p.from != good[i].from || p.from_value != good[i].value)
            fail_msg("from=%s: %d, %d, %lld; %s", good[i].text, rc, (int)p.from, (long long)p.from_value,
                     err.text);
        if (!rc && good[i].from == NJ_FROM_TIME) assert_non_null(strstr(p.words, "20"));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_positions p;
        nj_error err = { "" };
        char text[64];
        snprintf(text, sizeof text, "from=%s", bad[i]);
        if (!nj_positions_parse(&p, text, &err)) fail_msg("from=%s: %lld", bad[i], (long long)p.from_value);
        assert_true(strlen(err.text) > 10);
    }
    nj_positions p;
    nj_error err;
    char date[] = "from=20260101", seconds[] = "from=1767225600";
    assert_int_equal(nj_positions_parse(&p, date, &err), -1);
    assert_non_null(strstr(err.text, "write from=2026-01-01 or from=offset:20260101"));
    assert_int_equal(nj_positions_parse(&p, seconds, &err), 0);
    assert_non_null(strstr(
        p.words,
        "is a time, seconds since 1970: 2026-01-01T00:00:00Z (an offset is written from=offset:1767225600)"));
}

static void queries_and_settings_are_checked(void **state)
{
    (void)state;
    nj_positions p;
    nj_error err;
    nj_kafka_target target;
    char good[] = "group=me&from=2026-01-31T20:00:00&until=idle:2.5";
    assert_int_equal(nj_positions_parse(&p, good, &err), 0);
    assert_string_equal(p.group, "me");
    assert_int_equal(p.from, NJ_FROM_TIME);
    assert_int_equal(p.from_value, 1769889600000);
    assert_int_equal(p.until_value, 2500);
    static const char *const bad[] = { "from=now",      "from=-5", "until=idle", "until=idle:0",
                                       "until=count:0", "gruop=x", "group=" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        strcpy(text, bad[i]);
        assert_int_equal(nj_positions_parse(&p, text, &err), -1);
    }
    char typo[] = "gruop=x";
    nj_positions_parse(&p, typo, &err);
    assert_non_null(strstr(err.text, "did you mean 'group'"));
    assert_int_equal(nj_kafka_target_parse(&target, "kafka://a:1,b:2/^x(a)?b.*?$?group=g", &err), 0);
    assert_string_equal(target.hosts, "a:1,b:2");
    assert_string_equal(target.topic, "^x(a)?b.*?$");
    assert_string_equal(target.query, "group=g");
    nj_kafka_target_free(&target);
    assert_int_equal(nj_kafka_target_parse(&target, "kafka://a:1", &err), -1);

    static const struct {
        const char *define, *says;
    } wrong[] = { { "kafka.enable.auto.commit=false", "cannot be changed" },
                  { "kafka.no.such.thing=1", "No such configuration property" },
                  { "kafka.sasl.password.file=/nonexistent", "/nonexistent cannot be read" },
                  { "source.contact_x=1", "contact_s" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_host *t = test_host_new();
        assert_int_equal(nj_settings_define(&t->settings, wrong[i].define, &err), 0);
        assert_null(test_open(t, "kafka://127.0.0.1:1/t", &err));
        if (!strstr(err.text, wrong[i].says)) print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, wrong[i].says));
        test_host_free(t);
    }
}

static void passwords_come_from_the_environment_or_a_file_and_are_not_shown(void **state)
{
    (void)state;
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char value[64], path[] = "/tmp/nightjar-secret-XXXXXX";
    size_t n = sizeof value;
    assert_int_equal(nj_settings_define(&settings, "kafka.sasl.username=u", &err), 0);
    setenv("NIGHTJAR_KAFKA_PASSWORD", "from-environment", 1);
    rd_kafka_conf_t *conf = nj_kafka_conf("h:1", NULL, NULL, &settings, &err);
    assert_int_equal(rd_kafka_conf_get(conf, "sasl.password", value, &n), RD_KAFKA_CONF_OK);
    assert_string_equal(value, "from-environment");
    rd_kafka_conf_destroy(conf);
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "from-file\n", 10), 10);
    close(fd);
    assert_int_equal(nj_settings_set(&settings, "kafka", "sasl.password.file", path, "-X"), 0);
    conf = nj_kafka_conf("h:1", NULL, NULL, &settings, &err);
    n = sizeof value;
    assert_int_equal(rd_kafka_conf_get(conf, "sasl.password", value, &n), RD_KAFKA_CONF_OK);
    assert_string_equal(value, "from-file");
    rd_kafka_conf_destroy(conf);
    unlink(path);
    unsetenv("NIGHTJAR_KAFKA_PASSWORD");
    assert_int_equal(nj_settings_set(&settings, "kafka", "ssl.key.password.typo", "s3cret", "-X"), 0);
    assert_null(nj_kafka_conf("h:1", NULL, NULL, &settings, &err));
    assert_null(strstr(err.text, "s3cret"));
    assert_non_null(strstr(err.text, "ssl.key.password.typo"));
    nj_settings_free(&settings);
}

static size_t packet(uint32_t i, uint8_t *bytes)
{
    size_t n = 30000 + (i * 7919u) % 60000;
    memset(bytes, (int)(i & 255), n);
    memcpy(bytes, &i, 4);
    return n;
}

/* 40 MB through a broker that keeps 5 MB a partition:
 * nothing may be lost, whatever the number of partitions. */
static void embedded_brings_every_message_and_keeps_the_order_of_one_partition(void **state)
{
    (void)state;
    enum { N = 700 };
    static uint8_t bytes[100000];
    static const int partitions[] = { 1, 8, 64 };
    for (uint32_t i = 0; i < N; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%06u.avro", folder, i);
        FILE *f = fopen(path, "wb");
        size_t n = packet(i, bytes);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        fclose(f);
    }
    for (int k = 0; k < 3; k++) {
        test_host *t = test_host_new();
        char spec[400];
        nj_error err = { "" };
        static uint8_t seen[N];
        memset(seen, 0, sizeof seen);
        snprintf(spec, sizeof spec, "embedded://%s?partitions=%d", folder, partitions[k]);
        nj_source *s = test_open(t, spec, &err);
        assert_non_null(s);
        nj_chunk *c, *held[64] = { NULL };
        nj_next r;
        uint32_t n = 0;
        while ((r = s->class->next(s, 1000, &c, &err)) == NJ_NEXT_CHUNK || r == NJ_NEXT_IDLE) {
            uint32_t i;
            if (r == NJ_NEXT_IDLE) continue;
            memcpy(&i, c->bytes, 4);
            assert_true(i < N);
            assert_int_equal(c->size, packet(i, bytes));
            assert_memory_equal(c->bytes, bytes, c->size);
            if (partitions[k] == 1) assert_int_equal(i, n);
            seen[i]++;
            s->class->ack(s, c->stream, c->generation, c->offset + 1);
            if (held[n % 64]) nj_chunk_drop(held[n % 64]); /* a slow consumer: 64 chunks stay */
            held[n++ % 64] = c;
        }
        if (r != NJ_NEXT_END) print_error("%s\n", err.text);
        assert_int_equal(r, NJ_NEXT_END);
        assert_int_equal(n, N);
        for (uint32_t i = 0; i < N; i++) assert_int_equal(seen[i], 1);
        assert_int_equal(t->n_streams, partitions[k]);
        double done, whole;
        assert_int_equal(s->class->progress(s, &done, &whole), 0);
        assert_true(done == whole && whole == N);
        s->class->close(s);
        for (int i = 0; i < 64; i++) nj_chunk_drop(held[i]);
        test_host_free(t);
    }
}

static void embedded_passes_on_the_errors_of_its_source(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    nj_error err;
    char spec[400], path[300];
    nj_chunk *c;
    nj_next r;
    assert_null(test_open(t, "embedded:///nonexistent/x.tar", &err));
    assert_non_null(strstr(err.text, "/nonexistent/x.tar: cannot be read"));
    assert_null(test_open(t, "embedded://", &err));
    assert_null(test_open(t, "embedded:///x?partitions=0", &err));

    snprintf(path, sizeof path, "%s-large.avro", folder);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fseek(f, 5 << 20, SEEK_SET), 0);
    fputc(1, f);
    fclose(f);
    snprintf(spec, sizeof spec, "embedded://%s", path);
    nj_source *s = test_open(t, spec, &err);
    assert_non_null(s);
    while ((r = s->class->next(s, 100, &c, &err)) == NJ_NEXT_IDLE) continue;
    assert_int_equal(r, NJ_NEXT_ERROR);
    assert_non_null(strstr(err.text, "large.avro"));
    s->class->close(s);
    unlink(path);
    test_host_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_or_a_date_is_what_it_says),
        cmocka_unit_test(a_partition_that_ends_before_its_end_is_named),
        cmocka_unit_test(queries_and_settings_are_checked),
        cmocka_unit_test(passwords_come_from_the_environment_or_a_file_and_are_not_shown),
        cmocka_unit_test(what_was_acknowledged_is_committed_and_the_rest_comes_again),
        cmocka_unit_test(begins_and_ends),
        cmocka_unit_test(a_full_queue_that_runs_low_is_filled_again_at_once),
        cmocka_unit_test(a_slow_broker_is_no_silence),
        cmocka_unit_test(what_is_not_read_to_its_end_is_no_silence),
        cmocka_unit_test(a_rebalance_gives_partitions_away_and_says_what_comes_again),
        cmocka_unit_test(an_acknowledgement_of_an_earlier_assignment_is_dropped),
        cmocka_unit_test(keys_that_may_be_a_schema_are_kept_and_empty_messages_passed_over),
        cmocka_unit_test(refusals_and_silence_end_with_their_cause),
        cmocka_unit_test(embedded_brings_every_message_and_keeps_the_order_of_one_partition),
        cmocka_unit_test(embedded_passes_on_the_errors_of_its_source),
    };
    nj_log_level(getenv("NJ_TEST_LOG") ? NJ_LOG_DEBUG : NJ_LOG_ERROR);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
