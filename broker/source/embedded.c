/* embedded.c - tests and the demo need the whole Kafka path without a cluster, so a mock broker serves
 * another source. */
#include "source.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../kafka/end.h"
#include "classes.h"
#include "kafka.h"

/* librdkafka's mock broker keeps 5 MB a partition and then drops the oldest without a word (rdkafka_mock.c,
 * no setter). So the producer runs in step with the consumer: what was sent and not yet handed over stays
 * below that, counting what the batches add around the messages. */
enum {
    PARTITION_BYTES = 4 << 20,
    MESSAGE_OVERHEAD = 256,
    FILL_STEP = 32, /* messages sent before the consumer is looked at again */
    WAIT_MS = 20,
    DEFAULT_PARTITIONS = 4, /* the mock holds up to 5 MB for each */
    LOST_MS = 30000,        /* sent, acknowledged by the mock, and not seen again for so long: broken */
    MAX_PARTITIONS = 256
};
static const char topic[] = "alerts";

typedef struct embedded_source {
    nj_source base;
    const nj_source_host *host;
    char *spec; /* of the inner source */
    nj_source *inner, *consumer;
    nj_source_host inner_host;
    nj_stream inner_stream;
    rd_kafka_t *producer; /* owns the mock cluster */
    rd_kafka_topic_t *rkt;
    int32_t n_partitions, turn;
    size_t in_flight[MAX_PARTITIONS], all_in_flight, budget;
    uint64_t n_sent, n_seen;
    int inner_ended;
    nj_next inner_end; /* END or ERROR, given when all that was sent has come */
    nj_error inner_err, fatal;
    nj_chunk *waiting; /* read from the inner source, no room for it yet */
    int64_t last_ns;
} embedded_source;

/* The inner source has no ledger of its own: its chunks are counted where they come out of the broker. */
static nj_stream *inner_stream(void *opaque, const char *name, const char *of_topic, int32_t partition)
{
    embedded_source *s = opaque;
    (void)name;
    (void)of_topic;
    s->inner_stream = (nj_stream){ .name = s->spec, .partition = partition };
    return &s->inner_stream;
}

static int inner_drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque;
    (void)stream;
    (void)timeout_ms;
    return 0;
}

static void inner_note(void *opaque, const char *text)
{
    const embedded_source *s = opaque;
    s->host->note(s->host->opaque, text);
}

static void inner_early(void *opaque, const char *text)
{
    const embedded_source *s = opaque;
    if (s->host->early) s->host->early(s->host->opaque, text);
}

static void inner_returned(void *opaque, nj_stream *stream, uint64_t n)
{
    (void)opaque;
    (void)stream;
    (void)n;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    embedded_source *s = opaque;
    if (m->err) nj_fail(&s->fatal, "embedded broker: a message was not taken: %s", rd_kafka_err2str(m->err));
}

static int start_broker(embedded_source *s, nj_error *err)
{
    static const nj_kafka_pair preset[] = {
        { "test.mock.num.brokers", "1" },   { "linger.ms", "1" }, { "enable.idempotence", "true" },
        { "message.max.bytes", "8388608" }, { "log_level", "3" }, { 0 }
    };
    char why[512];
    /* the user's settings are for real brokers: they go to the consumer and the producer of those alone */
    rd_kafka_conf_t *conf = nj_kafka_conf(NULL, preset, NULL, NULL, err);
    if (!conf) return -1;
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    s->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!s->producer) {
        rd_kafka_conf_destroy(conf);
        return nj_fail(err, "embedded broker: %s", why);
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(s->producer);
    rd_kafka_resp_err_t e =
        cluster ? rd_kafka_mock_topic_create(cluster, topic, s->n_partitions, 1) : RD_KAFKA_RESP_ERR__FAIL;
    if (!e && !(s->rkt = rd_kafka_topic_new(s->producer, topic, NULL))) e = rd_kafka_last_error();
    return e ? nj_fail(err, "embedded broker: %s", rd_kafka_err2str(e)) : 0;
}

static int start_consumer(embedded_source *s, const nj_source_args *args, nj_error *err)
{
    /* the mock answers a fetch that finds nothing after the whole wait,
     * even when something comes in the meantime */
    static const nj_kafka_pair preset[] = { { "fetch.wait.max.ms", "5" },
                                            { "fetch.error.backoff.ms", "5" },
                                            /* the mock is too old to refuse it */
                                            { "allow.auto.create.topics", "true" },
                                            { "log_level", "3" },
                                            { 0 } };
    char spec[512], display[512];
    nj_settings none = { 0 };
    nj_source_args inner = { .spec = args->spec, .settings = &none, .host = args->host };
    nj_kafka_target target;
    snprintf(spec, sizeof spec, "%s/%s?group=embedded&from=earliest",
             rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(s->producer)), topic);
    snprintf(display, sizeof display, "embedded://%s", s->spec);
    if (nj_kafka_target_parse(&target, spec, err)) return -1;
    nj_kafka_open_args how = { .source = &inner,
                               .target = &target,
                               .preset = preset,
                               .display = display,
                               .quiet = 1,
                               .whole_topic = 1 };
    s->consumer = nj_kafka_open(&how, err);
    return s->consumer ? 0 : -1;
}

static void close_embedded(nj_source *source)
{
    embedded_source *s = (embedded_source *)source;
    if (s->consumer) s->consumer->class->close(s->consumer);
    if (s->inner) s->inner->class->close(s->inner);
    if (s->waiting) nj_chunk_drop(s->waiting);
    if (s->rkt) rd_kafka_topic_destroy(s->rkt);
    if (s->producer) {
        rd_kafka_purge(s->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        nj_kafka_end(s->producer, 0, "embedded broker");
    }
    free(s->spec);
    free(s);
}

/* "embedded://SOURCE[?partitions=N]" */
static int parse(embedded_source *s, const char *spec, nj_error *err)
{
    char *query = strstr(spec, "?partitions="), *value, *end;
    s->n_partitions = DEFAULT_PARTITIONS;
    s->spec = strdup(spec + strlen("embedded://"));
    if (!s->spec) return nj_fail(err, "%s: out of memory", spec);
    char *other = query ? NULL : strrchr(s->spec, '?'), key[32];
    if (other) {
        static const char *const known[] = { "partitions" };
        snprintf(key, sizeof key, "%.*s", (int)strcspn(other + 1, "="), other + 1);
        if (!strcmp(key, known[0])) return nj_fail(err, "%s: partitions= has no value", spec);
        if (nj_nearest(key, known, 1))
            return nj_fail(err, "%s: the query has no key '%s'; did you mean 'partitions'?", spec, key);
    }
    if (query) {
        char *rest = strstr(s->spec, "?partitions=");
        *rest++ = '\0';
        nj_kafka_query(&rest, &value);
        s->n_partitions = (int32_t)strtol(value, &end, 10);
        if (*end || rest || s->n_partitions < 1 || s->n_partitions > MAX_PARTITIONS)
            return nj_fail(err, "%s: expected ?partitions=1 to %d and nothing behind it", spec,
                           MAX_PARTITIONS);
    }
    if (!s->spec[0])
        return nj_fail(err, "%s: expected embedded://SOURCE, the source that feeds the broker", spec);
    return 0;
}

static nj_source *open_embedded(const nj_source_args *args, nj_error *err)
{
    embedded_source *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "%s: out of memory", args->spec);
        return NULL;
    }
    s->base.class = &nj_source_embedded;
    s->host = args->host;
    s->inner_host = (nj_source_host){ s, inner_stream, inner_drain, inner_note, inner_returned };
    s->inner_host.early = inner_early;
    s->budget = 16 << 20;
    s->last_ns = nj_now_ns();
    int failed = parse(s, args->spec, err);
    if (!failed) {
        nj_source_args inner = {
            .spec = s->spec, .settings = args->settings, .host = &s->inner_host, .limit = args->limit
        };
        failed =
            !(s->inner = nj_source_open(&inner, err)) || start_broker(s, err) || start_consumer(s, args, err);
    }
    if (!failed) return &s->base;
    close_embedded(&s->base);
    return NULL;
}

/* Sends one chunk to the partition whose turn it is. 1 = sent, 0 = no room now, -1 = never (fatal is set). */
static int send_chunk(embedded_source *s, nj_chunk *c)
{
    size_t size = c->size + c->key_size + MESSAGE_OVERHEAD;
    char where[512];
    if (size > PARTITION_BYTES)
        return nj_fail(&s->fatal,
                       "embedded broker: %s has %zu bytes and at most %d fit; read it without embedded://",
                       nj_chunk_where(c, where, sizeof where), c->size, PARTITION_BYTES);
    if (s->in_flight[s->turn] + size > PARTITION_BYTES ||
        (s->all_in_flight && s->all_in_flight + size > s->budget))
        return 0;
    if (rd_kafka_produce(s->rkt, s->turn, RD_KAFKA_MSG_F_COPY, c->bytes, c->size, c->key, c->key_size,
                         NULL)) {
        if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL) return 0;
        return nj_fail(&s->fatal, "embedded broker: %s: %s", nj_chunk_where(c, where, sizeof where),
                       rd_kafka_err2str(rd_kafka_last_error()));
    }
    s->in_flight[s->turn] += size;
    s->all_in_flight += size;
    s->turn = (s->turn + 1) % s->n_partitions;
    s->n_sent++;
    return 1;
}

static void fill(embedded_source *s)
{
    for (int i = 0; i < FILL_STEP && !s->inner_ended; i++) {
        if (!s->waiting) {
            nj_next r = s->inner->class->next(s->inner, 0, &s->waiting, &s->inner_err);
            if (r == NJ_NEXT_END || r == NJ_NEXT_ERROR) {
                s->inner_ended = 1;
                s->inner_end = r;
            }
            if (r != NJ_NEXT_CHUNK) break;
        }
        if (send_chunk(s, s->waiting) <= 0) break;
        nj_chunk_drop(s->waiting);
        s->waiting = NULL;
    }
    rd_kafka_poll(s->producer, 0);
}

static void seen(embedded_source *s, const nj_chunk *c)
{
    size_t size = c->size + c->key_size + MESSAGE_OVERHEAD;
    s->in_flight[c->stream->partition] -= size;
    s->all_in_flight -= size;
    s->n_seen++;
    s->last_ns = nj_now_ns();
}

static nj_next next_embedded(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    embedded_source *s = (embedded_source *)source;
    int64_t deadline = nj_now_ns() + timeout_ms * (int64_t)1000000;
    for (;;) {
        fill(s);
        if (s->fatal.text[0]) break;
        if (s->inner_ended && s->n_seen == s->n_sent) {
            if (s->inner_end == NJ_NEXT_ERROR && err) *err = s->inner_err;
            return s->inner_end;
        }
        nj_next r = s->consumer->class->next(s->consumer, WAIT_MS, chunk, err);
        if (r == NJ_NEXT_CHUNK) seen(s, *chunk);
        if (r != NJ_NEXT_IDLE) return r;
        int64_t now = nj_now_ns();
        if (s->n_seen < s->n_sent && now - s->last_ns > LOST_MS * (int64_t)1000000) {
            nj_fail(&s->fatal, "embedded broker: %" PRIu64 " of %" PRIu64 " messages did not come back",
                    s->n_sent - s->n_seen, s->n_sent);
            break;
        }
        if (now >= deadline) return NJ_NEXT_IDLE;
    }
    if (err) *err = s->fatal;
    return NJ_NEXT_ERROR;
}

static void ack(nj_source *source, nj_stream *stream, uint32_t generation, int64_t next_offset)
{
    embedded_source *s = (embedded_source *)source;
    s->consumer->class->ack(s->consumer, stream, generation, next_offset);
}

static int progress(const nj_source *source, double *done, double *whole)
{
    const embedded_source *s = (const embedded_source *)source;
    *done = *whole = 0;
    return s->inner->class->progress ? s->inner->class->progress(s->inner, done, whole) : 0;
}

static void lag(const nj_source *source, nj_source_lag *each, void *opaque)
{
    const embedded_source *s = (const embedded_source *)source;
    s->consumer->class->lag(s->consumer, each, opaque);
}

static nj_source_state ready(const nj_source *source)
{
    const embedded_source *s = (const embedded_source *)source;
    return s->consumer->class->ready(s->consumer);
}

static int match_embedded(const char *spec)
{
    return !strncmp(spec, "embedded://", 11);
}

const nj_source_class nj_source_embedded = { .name = "embedded",
                                             .form = "embedded://SOURCE[?partitions=N]",
                                             .query =
                                                 "partitions=N of the topic in the embedded broker (4)\n",
                                             .doc =
                                                 "another source through a Kafka broker inside this process "
                                                 "(librdkafka's mock), fed in step with the consumer",
                                             .match = match_embedded,
                                             .open = open_embedded,
                                             .next = next_embedded,
                                             .ack = ack,
                                             .close = close_embedded,
                                             .progress = progress,
                                             .lag = lag,
                                             .ready = ready };
