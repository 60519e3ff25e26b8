/* replayer.c - the replayer against librdkafka's mock broker: bytes, order, pace, and what is refused. */
/* link: -Wl,--wrap=clock_gettime,--wrap=nanosleep */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/replay/replayer.h"
#include "broker/source/kafka.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/source_host.h"

enum { MOST = 64 };

typedef struct broker {
    rd_kafka_t *owner;
    char topic[128]; /* kafka://HOST:PORT/t */
} broker;

static broker new_broker(void)
{
    char why[256];
    broker b;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", why, sizeof why),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", why, sizeof why), RD_KAFKA_CONF_OK);
    b.owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(b.owner);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(b.owner);
    assert_int_equal(rd_kafka_mock_topic_create(cluster, "t", 1, 1), 0);
    snprintf(b.topic, sizeof b.topic, "kafka://%s/t", rd_kafka_mock_cluster_bootstraps(cluster));
    return b;
}

static nj_stream stream = { .name = "night", .partition = -1 };

static nj_chunk *new_chunk(const void *bytes, size_t n)
{
    uint8_t *copy = malloc(n);
    memcpy(copy, bytes, n);
    return nj_chunk_new(&stream, copy, n);
}

/* All messages of the topic as text. */
static int read_back(const broker *b, char got[MOST][64])
{
    test_host *t = test_host_new();
    nj_error err = { "" };
    char spec[160];
    nj_kafka_target target;
    assert_int_equal(nj_settings_define(&t->settings, "kafka.allow.auto.create.topics=true", &err), 0);
    snprintf(spec, sizeof spec, "%s?group=g&until=end", b->topic);
    assert_int_equal(nj_kafka_target_parse(&target, spec, &err), 0);
    nj_source_args args = { .spec = spec, .settings = &t->settings, .host = &t->host };
    nj_source *s = nj_kafka_open(
        &(nj_kafka_open_args){
            .source = &args, .target = &target, .display = "kafka://t", .quiet = 1, .whole_topic = 1 },
        &err);
    assert_non_null(s);
    int n = 0;
    nj_chunk *c;
    for (nj_next r;
         n < MOST && ((r = s->class->next(s, 100, &c, &err)) == NJ_NEXT_CHUNK || r == NJ_NEXT_IDLE);) {
        if (r == NJ_NEXT_IDLE) continue;
        snprintf(got[n++], 64, "%.*s", (int)c->size, (const char *)c->bytes);
        nj_chunk_drop(c);
    }
    s->class->close(s);
    test_host_free(t);
    return n;
}

/* "jd 2460000.5 ..." */
static int jd_of(void *opaque, nj_chunk *c, double *jd, nj_error *err)
{
    (void)opaque;
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)c->size, (const char *)c->bytes);
    return sscanf(text, "jd %lf", jd) == 1 ? 0 : nj_fail(err, "there is no jd");
}

static void a_rate_is_kept_and_bytes_are_not_touched(void **state)
{
    (void)state;
    broker b = new_broker();
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_replayer *r = nj_replayer_open(
        &(nj_replayer_args){ .to = b.topic, .settings = &settings, .pace = NJ_PACE_RATE, .speed = 50 }, &err);
    assert_non_null(r);
    fake_clock_start();
    for (int i = 0; i < 20; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "packet %d", i);
        assert_int_equal(nj_replayer_send(r, new_chunk(text, (size_t)n), &err), 0);
    }
    nj_replayed done;
    assert_int_equal(nj_replayer_close(r, &done, &err), 0);
    assert_int_equal(done.messages, 20);
    assert_int_equal(done.failed, 0);
    fake_clock.on = 0;
    assert_int_equal(fake_clock.slept_ns, 380000000); /* 19 gaps of 20 ms */
    static char got[MOST][64];
    assert_int_equal(read_back(&b, got), 20);
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "packet %d", i);
        assert_string_equal(got[i], text);
    }
    rd_kafka_destroy(b.owner);
}

static void a_cadence_is_kept_and_a_window_mends_the_order(void **state)
{
    (void)state;
    static const double second = 1 / 86400.0;
    static const double at[] = { 0, 2, 1, 1, 5, 4, 3, 10 }; /* s; two of one exposure */
    static const int order[] = { 0, 2, 3, 1, 6, 5, 4, 7 };
    broker b = new_broker();
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_replayer_args args = {
        .to = b.topic, .settings = &settings, .pace = NJ_PACE_CADENCE, .speed = 20, .window = 3, .jd = jd_of
    };
    nj_replayer *r = nj_replayer_open(&args, &err);
    assert_non_null(r);
    fake_clock_start();
    for (int i = 0; i < 8; i++) {
        char text[48];
        int n = snprintf(text, sizeof text, "jd %.9f number %d", 2460000.5 + at[i] * second, i);
        assert_int_equal(nj_replayer_send(r, new_chunk(text, (size_t)n), &err), 0);
    }
    nj_replayed done;
    assert_int_equal(nj_replayer_close(r, &done, &err), 0);
    fake_clock.on = 0;
    assert_in_range(fake_clock.slept_ns, 499900000, 500100000); /* 10 s at 20 times the speed; jd has 40 us */
    static char got[MOST][64];
    assert_int_equal(read_back(&b, got), 8);
    for (int i = 0; i < 8; i++) {
        int number = -1;
        assert_int_equal(sscanf(got[i], "jd %*f number %d", &number), 1);
        assert_int_equal(number, order[i]);
    }
    rd_kafka_destroy(b.owner);
}

static void what_cannot_be_replayed_is_refused(void **state)
{
    (void)state;
    broker b = new_broker();
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_replayed done;
    nj_replayer_args args = {
        .to = b.topic, .settings = &settings, .pace = NJ_PACE_CADENCE, .speed = 1e6, .window = 2, .jd = jd_of
    };
    nj_replayer *r = nj_replayer_open(&args, &err);
    static const char *const text[] = { "jd 2460000.5", "jd 2460000.6", "jd 2460000.7", "jd 2460000.8",
                                        "jd 2460000.4" };
    int sent = 0;
    while (sent < 5 && nj_replayer_send(r, new_chunk(text[sent], strlen(text[sent])), &err) == 0) sent++;
    assert_int_equal(sent, 4);                            /* .5 and .6 are out when .4 comes */
    assert_non_null(strstr(err.text, "17280.0 s older")); /* 0.2 d */
    assert_non_null(strstr(err.text, "window holds 2 alerts"));
    nj_error ignored;
    nj_replayer_close(r, &done, &ignored);
    assert_int_equal(done.messages, 2); /* what was held is not sent after an error */

    r = nj_replayer_open(&args, &err);
    assert_int_equal(nj_replayer_send(r, new_chunk("no time", 7), &err), -1);
    assert_non_null(strstr(err.text, "night has no time, which x1e+06 needs: there is no jd"));
    nj_replayer_close(r, &done, &ignored);

    args.pace = NJ_PACE_ASAP;
    size_t n = 9 << 20;
    char *large = calloc(n, 1);
    r = nj_replayer_open(&args, &err);
    assert_int_equal(nj_replayer_send(r, new_chunk(large, n), &err), -1);
    assert_non_null(strstr(err.text, "Message size too large"));
    nj_replayer_close(r, &done, &ignored);
    free(large);
    rd_kafka_destroy(b.owner);
}

static void paces_are_parsed(void **state)
{
    (void)state;
    nj_pace pace;
    double speed;
    nj_error err;
    assert_int_equal(nj_pace_parse("120/s", &pace, &speed, &err), 0);
    assert_true(pace == NJ_PACE_RATE && speed == 120);
    assert_int_equal(nj_pace_parse("x2.5", &pace, &speed, &err), 0);
    assert_true(pace == NJ_PACE_CADENCE && speed == 2.5);
    assert_int_equal(nj_pace_parse("asap", &pace, &speed, &err), 0);
    assert_int_equal(pace, NJ_PACE_ASAP);
    static const char *const bad[] = { "", "0", "-1", "x", "x0", "10/m", "nan", "x5/s" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nj_pace_parse(bad[i], &pace, &speed, &err), -1);
}

static int quiet(void **state)
{
    (void)state;
    nj_log_level(NJ_LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paces_are_parsed),
        cmocka_unit_test(a_rate_is_kept_and_bytes_are_not_touched),
        cmocka_unit_test(a_cadence_is_kept_and_a_window_mends_the_order),
        cmocka_unit_test(what_cannot_be_replayed_is_refused),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
