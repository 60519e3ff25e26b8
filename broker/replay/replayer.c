/* replayer.c - stored alerts are sent to Kafka unchanged and at a chosen pace, for tests and for load. */
#include "replayer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "../kafka/kafka.h"

enum { CONTACT_MS = 10000, FLUSH_MS = 60000, WAIT_MS = 50, WINDOW = 4096 };
static const size_t WINDOW_BYTES = (size_t)256 << 20;
static const double DAY_S = 86400;

typedef struct timed {
    double jd;
    uint64_t turn; /* of equal times the first that came goes first */
    nj_chunk *chunk;
} timed;

struct nj_replayer {
    nj_replayer_args args;
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    nj_replayed done;
    char why[512]; /* of the first message that was not delivered */
    int broken;    /* an error was given: nothing more is sent */
    timed *held;   /* a heap, the earliest first */
    uint32_t n_held;
    size_t held_bytes;
    uint64_t n_sent, n_came;
    int64_t start_ns;
    double start_jd, last_jd;
};

int nj_pace_parse(const char *text, nj_pace *pace, double *speed, nj_error *err)
{
    char *end;
    *speed = 0;
    *pace = NJ_PACE_ASAP;
    if (!strcmp(text, "asap")) return 0;
    *pace = text[0] == 'x' ? NJ_PACE_CADENCE : NJ_PACE_RATE;
    const char *number = text + (text[0] == 'x');
    *speed = strtod(number, &end);
    if (*pace == NJ_PACE_RATE && !strcmp(end, "/s")) end += 2;
    if (end == number || *end || !(*speed > 0) || !isfinite(*speed))
        return nj_fail(
            err, "--rate %s: expected N/s (messages per second), xK (times the original cadence) or asap",
            text);
    return 0;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    nj_replayer *r = opaque;
    if (!m->err) {
        r->done.messages++;
        r->done.bytes += m->len;
        r->done.seconds = (double)(nj_now_ns() - r->start_ns) * 1e-9;
    } else if (r->done.failed++ == 0) {
        nj_kafka_cause(m->err, rd_kafka_message_errstr(m), r->why, sizeof r->why);
    }
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    (void)rk;
    nj_replayer *r = opaque;
    if (!r->why[0]) nj_kafka_cause((rd_kafka_resp_err_t)error, reason, r->why, sizeof r->why);
}

static int is_stopped(const nj_replayer *r)
{
    return r->args.stop && *r->args.stop;
}

/* A broker that answers, and a topic with leaders: one that is only now being made takes a second, which is
 * not the brokers' pace. */
static int wait_for_topic(nj_replayer *r, nj_error *err)
{
    int64_t deadline = nj_now_ns() + CONTACT_MS * (int64_t)1000000;
    for (;;) {
        const struct rd_kafka_metadata *m;
        rd_kafka_resp_err_t e = rd_kafka_metadata(r->producer, 0, r->topic, &m, CONTACT_MS);
        rd_kafka_poll(r->producer, 0); /* on_error has more details than the metadata request */
        if (e)
            return nj_fail(err, "%s: no broker answers: %s", r->args.to,
                           r->why[0] ? r->why : rd_kafka_err2str(e));
        int n = m->topic_cnt ? m->topics[0].partition_cnt : 0, ready = n > 0;
        e = m->topic_cnt ? m->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        for (int i = 0; i < n; i++) ready &= m->topics[0].partitions[i].leader >= 0;
        rd_kafka_metadata_destroy(m);
        if (ready && !e) return 0;
        if (is_stopped(r) || nj_now_ns() > deadline)
            return nj_fail(err, "%s: the topic has no leader: %s", r->args.to, rd_kafka_err2str(e));
        nanosleep(&(struct timespec){ 0, WAIT_MS * 1000000L }, NULL);
    }
}

static int connect_to(nj_replayer *r, nj_error *err)
{
    /* lz4: the schema in each packet compresses; gzip would cost the reader ten times as much */
    static const nj_kafka_pair preset[] = { NJ_KAFKA_IN_ORDER,
                                            { "message.max.bytes", "8388608" },
                                            { "compression.type", "lz4" },
                                            { "linger.ms", "5" },
                                            { "queue.buffering.max.kbytes", "65536" },
                                            /* else a fast replay fills one partition */
                                            { "sticky.partitioning.linger.ms", "0" },
                                            { 0 } };
    nj_kafka_target target;
    char text[512];
    if (nj_kafka_target_parse(&target, r->args.to, err)) return -1;
    rd_kafka_conf_t *conf = nj_kafka_conf(target.hosts, preset, NULL, r->args.settings, err);
    if (conf) {
        rd_kafka_conf_set_opaque(conf, r);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_error_cb(conf, on_error);
        r->producer = nj_kafka_client(RD_KAFKA_PRODUCER, conf, text, sizeof text);
        if (r->producer)
            r->topic = rd_kafka_topic_new(r->producer, target.topic, NULL);
        else
            rd_kafka_conf_destroy(conf);
        if (!r->producer)
            nj_fail(err, "%s: %s", r->args.to, text);
        else if (!r->topic)
            nj_fail(err, "%s: %s", r->args.to, rd_kafka_err2str(rd_kafka_last_error()));
    }
    nj_kafka_target_free(&target);
    return r->topic ? wait_for_topic(r, err) : -1;
}

static void free_replayer(nj_replayer *r)
{
    for (uint32_t i = 0; i < r->n_held; i++) nj_chunk_drop(r->held[i].chunk);
    free(r->held);
    if (r->topic) rd_kafka_topic_destroy(r->topic);
    if (r->producer) nj_kafka_end(r->producer, 0, r->args.to);
    free(r);
}

nj_replayer *nj_replayer_open(const nj_replayer_args *args, nj_error *err)
{
    nj_replayer *r = calloc(1, sizeof *r);
    if (!r) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    r->args = *args;
    if (!r->args.window) r->args.window = WINDOW;
    if (!r->args.window_bytes) r->args.window_bytes = WINDOW_BYTES;
    if (args->pace == NJ_PACE_CADENCE && !(r->held = malloc((r->args.window + 1) * sizeof *r->held))) {
        free(r);
        nj_fail(err, "out of memory");
        return NULL;
    }
    if (connect_to(r, err) == 0) return r;
    free_replayer(r);
    return NULL;
}

/* Serves delivery reports until the moment has come. */
static void wait_until(nj_replayer *r, int64_t due_ns)
{
    for (int64_t now; (now = nj_now_ns()) < due_ns && !is_stopped(r);) {
        int64_t left = due_ns - now;
        if (rd_kafka_poll(r->producer, 0) > 0) continue;
        if (left > WAIT_MS * (int64_t)1000000) left = WAIT_MS * (int64_t)1000000;
        nanosleep(&(struct timespec){ 0, (long)left }, NULL);
    }
}

static int produce(nj_replayer *r, const nj_chunk *c, nj_error *err)
{
    char where[512];
    while (rd_kafka_produce(r->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, c->bytes, c->size, c->key,
                            c->key_size, NULL)) {
        rd_kafka_resp_err_t e = rd_kafka_last_error();
        if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return nj_fail(err, "%s: %s", nj_chunk_where(c, where, sizeof where), rd_kafka_err2str(e));
        if (is_stopped(r)) return 0;
        rd_kafka_poll(r->producer, WAIT_MS);
    }
    r->n_sent++;
    rd_kafka_poll(r->producer, 0);
    return r->done.failed ? nj_fail(err, "%s: %s", r->args.to, r->why) : 0;
}

/* Sends at offset_s after the first message. */
static int send_at(nj_replayer *r, const nj_chunk *c, double offset_s, nj_error *err)
{
    if (r->n_sent == 0) r->start_ns = nj_now_ns();
    int64_t due = r->start_ns + (int64_t)(offset_s * 1e9);
    double late = (double)(nj_now_ns() - due) * 1e-9;
    if (r->args.pace != NJ_PACE_ASAP && late > r->done.late_s) r->done.late_s = late;
    if (r->args.pace != NJ_PACE_ASAP) wait_until(r, due);
    return is_stopped(r) ? 0 : produce(r, c, err);
}

static int earlier(const timed *a, const timed *b)
{
    return a->jd < b->jd || (a->jd == b->jd && a->turn < b->turn);
}

static void push(nj_replayer *r, timed t)
{
    uint32_t i = r->n_held++;
    for (; i && earlier(&t, &r->held[(i - 1) / 2]); i = (i - 1) / 2) r->held[i] = r->held[(i - 1) / 2];
    r->held[i] = t;
    r->held_bytes += t.chunk->size;
}

static timed pop(nj_replayer *r)
{
    timed first = r->held[0], last = r->held[--r->n_held];
    uint32_t i = 0;
    for (uint32_t k; (k = 2 * i + 1) < r->n_held; i = k) {
        if (k + 1 < r->n_held && earlier(&r->held[k + 1], &r->held[k])) k++;
        if (!earlier(&r->held[k], &last)) break;
        r->held[i] = r->held[k];
    }
    r->held[i] = last;
    r->held_bytes -= first.chunk->size;
    return first;
}

static int send_earliest(nj_replayer *r, nj_error *err)
{
    timed t = pop(r);
    char where[512];
    int failed = 0;
    if (r->n_sent == 0) r->start_jd = r->last_jd = t.jd;
    if (t.jd < r->last_jd)
        failed = nj_fail(err,
                         "%s is %.1f s older than an alert already sent, and the window holds %u alerts or "
                         "%zu MiB: sort the night by time, or use --rate N/s",
                         nj_chunk_where(t.chunk, where, sizeof where), (r->last_jd - t.jd) * DAY_S,
                         r->args.window, r->args.window_bytes >> 20);
    else
        failed = send_at(r, t.chunk, (t.jd - r->start_jd) * DAY_S / r->args.speed, err);
    if (!failed) r->last_jd = t.jd;
    nj_chunk_drop(t.chunk);
    return failed;
}

static int hold(nj_replayer *r, nj_chunk *c, nj_error *err)
{
    timed t = { .turn = r->n_came++, .chunk = c };
    char where[512];
    nj_error why = { "" };
    if (r->args.jd(r->args.opaque, c, &t.jd, &why) || !isfinite(t.jd)) {
        nj_fail(err, "%s has no time, which x%g needs%s%s", nj_chunk_where(c, where, sizeof where),
                r->args.speed, why.text[0] ? ": " : "", why.text);
        nj_chunk_drop(c);
        return -1;
    }
    push(r, t);
    while (r->n_held && (r->n_held > r->args.window || r->held_bytes > r->args.window_bytes) &&
           !is_stopped(r))
        if (send_earliest(r, err)) return -1;
    return 0;
}

int nj_replayer_send(nj_replayer *r, nj_chunk *c, nj_error *err)
{
    int failed;
    if (r->args.pace == NJ_PACE_CADENCE) {
        failed = hold(r, c, err);
    } else {
        failed = send_at(r, c, r->args.pace == NJ_PACE_RATE ? (double)r->n_sent / r->args.speed : 0, err);
        nj_chunk_drop(c);
    }
    r->broken |= failed;
    return failed;
}

int nj_replayer_close(nj_replayer *r, nj_replayed *done, nj_error *err)
{
    int failed = 0;
    while (r->n_held && !r->broken && !is_stopped(r) && !failed) failed = send_earliest(r, err);
    rd_kafka_flush(r->producer, nj_patience_ms(FLUSH_MS));
    int left = rd_kafka_outq_len(r->producer);
    *done = r->done;
    if (!failed && r->done.failed)
        failed = nj_fail(err, "%s: %llu messages were not delivered: %s", r->args.to,
                         (unsigned long long)r->done.failed, r->why);
    else if (!failed && left)
        failed = nj_fail(err, "%s: %d messages without a delivery report%s%s", r->args.to, left,
                         r->why[0] ? ": " : "", r->why);
    if (left) rd_kafka_purge(r->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    free_replayer(r);
    return failed;
}
