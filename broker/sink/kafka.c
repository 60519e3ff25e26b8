/* kafka.c - rows as JSON messages, keyed by candid, through librdkafka's idempotent producer. A flush
 * returns when every message has its delivery report. A row that the topic will never take is refused, any
 * other failure for good fails the sink. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "../kafka/kafka.h"
#include "classes.h"
#include "kafka_transactions.h"
#include "kafka_value.h"
#include "kept_row.h"
#include "waits.h"

typedef struct kafka_conf {
    int64_t connect_s;
    const char *infinity, *template;
} kafka_conf;

const nj_param nj_kafka_sink_settings[] = {
    { "connect_s", NJ_I64, "10", offsetof(kafka_conf, connect_s), 1, 600, "s",
      "how long to wait for a broker at the start" },
    { "infinity", NJ_STR, "number", offsetof(kafka_conf, infinity), 0, 0, "1", NJ_JSON_INFINITY_DOC },
    { "template", NJ_STR, "", offsetof(kafka_conf, template), 0, 0, "1",
      "a JSON file (as of webhooks) that says what a message of kafka: is; empty: all columns" },
    { 0 },
};

typedef struct topic {
    char *name;
    rd_kafka_topic_t *handle;
} topic;

/* A message that was refused together with others: which of them is at fault shows
 * when each is sent alone. */
typedef struct again {
    rd_kafka_topic_t *topic;
    void *value;
    size_t n, key_size;
    char key[24];
    nj_kept_row *row;
} again;

enum {
    HELD_MOST = 64 << 20,
    AGAIN_MOST = 4096,
    STOP_WAIT_MS = 3000 /* for a delivery, once the process is to stop */
};

typedef struct kafka_sink {
    nj_sink base;
    char *target; /* "host:port/topic", for messages */
    char *only;   /* the topic of all rows; NULL = each row's own */
    kafka_conf conf;
    rd_kafka_t *producer;
    topic *topic;
    size_t n_topics;
    nj_kafka_values values;
    nj_buffer row;
    uint32_t candid;  /* its field; UINT32_MAX = none */
    nj_kept_rows way; /* rows whose messages have no delivery report yet */
    again *again;
    size_t n_again, cap_again;
    bool alone; /* there is one message on its way */
    uint64_t n_alone, n_failed;
    nj_transactions transactions;
    int waiting; /* messages, when that number last changed */
    int64_t moved_ns;
    nj_wait wait;    /* for unreachable brokers */
    int left;        /* messages, at the last look */
    int64_t left_ns; /* since when it is not less; 0 = no look yet */
    char why[512]; /* of the first message that was not delivered, or of the last trouble with the brokers */
} kafka_sink;

/* Would the same message never be taken, whenever it is sent? */
static bool is_for_ever(rd_kafka_resp_err_t error)
{
    switch (error) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return true; /* no key, and the topic is compacted */
    default: return false;
    }
}

static const char *hint(rd_kafka_resp_err_t error, bool here)
{
    if (error == RD_KAFKA_RESP_ERR_INVALID_RECORD || error == RD_KAFKA_RESP_ERR_INVALID_MSG)
        return "; a compacted topic takes no row without a candid";
    return here ? "; message.max.bytes of [kafka] is the limit here"
                : "; the topic's max.message.bytes is the limit";
}

/* It is kept, and the row with it, until it can be sent alone. -1: memory is short. */
static int keep_again(kafka_sink *s, const rd_kafka_message_t *message)
{
    if (s->n_again == s->cap_again) {
        size_t cap = 2 * s->cap_again + 64;
        again *more = realloc(s->again, cap * sizeof *more);
        if (!more) return -1;
        s->again = more;
        s->cap_again = cap;
    }
    again a = {
        .topic = message->rkt, .n = message->len, .row = message->_private, .value = malloc(message->len + 1)
    };
    if (!a.value || message->key_len > sizeof a.key) {
        free(a.value);
        return -1;
    }
    memcpy(a.value, message->payload, message->len);
    if (message->key_len) memcpy(a.key, message->key, message->key_len);
    a.key_size = message->key_len;
    s->again[s->n_again++] = a;
    return 0;
}

/* Called from poll and flush, in the thread of the sink. */
static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    kafka_sink *s = opaque;
    nj_kept_row *row = message->_private;
    char text[384];
    (void)producer;
    if (row && is_for_ever(message->err)) {
        if (!s->alone && !keep_again(s, message)) return;
        if (s->alone)
            nj_kept_row_refuse(&s->way, row, "the Kafka topic %s does not take its row of %zu bytes: %s%s",
                               rd_kafka_topic_name(message->rkt), message->len,
                               rd_kafka_err2str(message->err), hint(message->err, false));
        nj_kept_row_done(&s->way, row);
        if (s->alone) return;
    } else if (row) {
        nj_kept_row_done(&s->way, row);
    }
    if (!message->err || s->n_failed++) return;
    /* not rd_kafka_message_errstr: in 2.0.2 that is the message itself, which has no NUL */
    snprintf(s->why, sizeof s->why, "topic %s, candid %.*s: %s", rd_kafka_topic_name(message->rkt),
             (int)message->key_len, (const char *)message->key,
             nj_kafka_cause(message->err, rd_kafka_err2str(message->err), text, sizeof text));
}

static void on_error(rd_kafka_t *producer, int error, const char *reason, void *opaque)
{
    kafka_sink *s = opaque;
    (void)producer;
    if (!s->n_failed) nj_kafka_cause((rd_kafka_resp_err_t)error, reason, s->why, sizeof s->why);
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    kafka_sink *s = (kafka_sink *)sink;
    int rc = nj_transactions_commit(&s->transactions, keep, err);
    if (rc) s->n_failed++;
    return rc;
}

static int start(kafka_sink *s, const char *hosts, nj_settings *settings, nj_error *err)
{
    /* lingering 20 ms fills batches of some ten messages at ZTF's rate; a flush does not wait for it */
    static const nj_kafka_pair preset[] = { NJ_KAFKA_IN_ORDER,
                                            { "linger.ms", "20" },
                                            { "compression.codec", "lz4" },
                                            { "queue.buffering.max.kbytes", "65536" },
                                            { 0 } };
    static const char *const fixed[] = { "enable.idempotence", NULL };
    char text[384];
    rd_kafka_conf_t *conf = nj_kafka_conf(hosts, preset, fixed, settings, err);
    if (!conf) return -1;
    if (nj_transactions_name(&s->transactions, conf, strchr(s->target, '/') + 1, err)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    s->producer = nj_kafka_client(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!s->producer) {
        rd_kafka_conf_destroy(conf);
        return nj_fail(err, "kafka://%s: %s", s->target, text);
    }
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rc =
        rd_kafka_metadata(s->producer, 0, NULL, &metadata, (int)s->conf.connect_s * 1000);
    if (metadata) rd_kafka_metadata_destroy(metadata);
    rd_kafka_poll(s->producer, 0); /* what the brokers said meanwhile */
    if (rc)
        return nj_fail(err, "kafka://%s: no broker answers: %s", s->target,
                       *s->why ? s->why : rd_kafka_err2str(rc));
    if (nj_transactions_start(&s->transactions, s->producer, (int)s->conf.connect_s * 1000, err)) return -1;
    s->base.cluster = s->transactions.cluster;
    return 0;
}

static int close_kafka(nj_sink *sink, nj_error *err);

static nj_sink *open_kafka(const nj_sink_args *args, nj_error *err)
{
    kafka_sink *s = calloc(1, sizeof *s);
    const char *slash = strchr(args->target, '/');
    char *hosts = NULL;
    if (!s) {
        nj_fail(err, "kafka: out of memory");
        return NULL;
    }
    const char *form = args->scheme ? strchr(args->scheme, '+') : NULL;
    s->values.form = !form ? NJ_KAFKA_ROW : !strcmp(form, "+packets") ? NJ_KAFKA_PACKET : NJ_KAFKA_SKYPORTAL;
    s->base.class = s->values.form == NJ_KAFKA_ROW      ? &nj_sink_kafka
                    : s->values.form == NJ_KAFKA_PACKET ? &nj_sink_kafka_packets
                                                        : &nj_sink_kafka_skyportal;
    s->base.transactional = args->eos;
    s->transactions = (nj_transactions){ .on = args->eos, .whose = args->whose, .own.lock = -1 };
    s->way.refuse = args->refuse;
    s->way.module = "sink.kafka";
    s->way.opaque = args->refuse_opaque;
    if (!slash || slash == args->target || strpbrk(slash, "?,^")) {
        nj_fail(err,
                "kafka://%s: expected kafka://HOST:PORT[,HOST:PORT]/TOPIC, or HOST:PORT/ and a topic per -t",
                args->target);
        goto bad;
    }
    s->target = strdup(args->target);
    s->transactions.target = s->target;
    hosts = strndup(args->target, (size_t)(slash - args->target));
    if (slash[1]) s->only = strdup(slash + 1);
    if (!s->target || !hosts || (slash[1] && !s->only)) {
        nj_fail(err, "kafka: out of memory");
        goto bad;
    }
    if (nj_settings_apply(args->settings, "sink.kafka", nj_kafka_sink_settings, NULL, &s->conf, err))
        goto bad;
    if (*s->conf.template && nj_wording_read(&s->values.wording, s->conf.template, err)) goto bad;
    if (nj_json_infinity(&s->values.keys, "kafka", s->conf.infinity, err)) goto bad;
    if (start(s, hosts, args->settings, err)) goto bad;
    free(hosts);
    return &s->base;
bad:
    free(hosts);
    close_kafka(&s->base, NULL);
    return NULL;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    kafka_sink *s = (kafka_sink *)sink;
    (void)metadata; /* a stream has no header; the run report has it */
    s->candid = UINT32_MAX;
    for (uint32_t f = 0; f < n_fields; f++)
        if (!strcmp(field[f].key, "candid") && field[f].type == NJ_I64) s->candid = f;
    if (s->values.wording.json && nj_wording_check(&s->values.wording, field, n_fields, err)) return -1;
    return nj_json_keys_new(&s->values.keys, field, n_fields, err);
}

static topic *find_topic(kafka_sink *s, const char *name, size_t n, nj_error *err)
{
    for (size_t i = 0; i < s->n_topics; i++)
        if (strlen(s->topic[i].name) == n && !memcmp(s->topic[i].name, name, n)) return &s->topic[i];
    topic *more = realloc(s->topic, (s->n_topics + 1) * sizeof *more);
    topic t = { 0 };
    if (more) {
        s->topic = more;
        t.name = strndup(name, n);
    }
    if (t.name) t.handle = rd_kafka_topic_new(s->producer, t.name, NULL);
    if (!t.handle) {
        nj_fail(err, "kafka://%s: topic %.*s: %s", s->target, (int)n, name,
                t.name ? rd_kafka_err2str(rd_kafka_last_error()) : "out of memory");
        free(t.name);
        return NULL;
    }
    s->topic[s->n_topics] = t;
    return &s->topic[s->n_topics++];
}

static int check(const kafka_sink *s, nj_error *err)
{
    char text[384];
    if (s->n_failed)
        return nj_fail(err, "kafka://%s: %" PRIu64 " messages were not delivered; %s", s->target, s->n_failed,
                       s->why);
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(s->producer, text, sizeof text);
    return fatal ? nj_fail(err, "kafka://%s: %s", s->target, text) : 0;
}

/* Nothing is delivered for a second and more: librdkafka tries again and again, for message.timeout.ms. */
static void tell_wait(kafka_sink *s, int n, int64_t now)
{
    char name[600];
    snprintf(name, sizeof name, "kafka://%s", s->target);
    if (!s->left_ns || n < s->left) {
        nj_wait_over(&s->wait, name);
        s->left_ns = now;
    } else if (now - s->left_ns > (int64_t)1000000000) {
        nj_wait_notes(&s->wait, name, *s->why ? s->why : "no broker takes messages");
    }
    s->left = n;
}

/* All is delivered, or it is given up. */
static int waited(kafka_sink *s, int rc)
{
    char name[600];
    snprintf(name, sizeof name, "kafka://%s", s->target);
    if (rc)
        nj_wait_given_up(&s->wait);
    else
        nj_wait_over(&s->wait, name);
    s->left_ns = 0;
    return rc;
}

/* -1: the process is to stop, and nothing has been delivered for so long that nothing will be. What waits is
 * thrown away, so that no message arrives that the accounts do not have. */
static int be_patient(kafka_sink *s, nj_error *err)
{
    int n = rd_kafka_outq_len(s->producer);
    int64_t now = nj_now_ns();
    tell_wait(s, n, now);
    if (!nj_stopping() || n != s->waiting) {
        s->waiting = n;
        s->moved_ns = now;
        return 0;
    }
    if (now - s->moved_ns < STOP_WAIT_MS * (int64_t)1000000) return 0;
    s->alone = true; /* a purged message is not kept */
    rd_kafka_purge(s->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(s->producer, 100);
    s->n_failed++;
    return nj_fail(err,
                   "kafka://%s: stopped while no broker took the last %d messages; their alerts come again",
                   s->target, n);
}

static int produce(kafka_sink *s, rd_kafka_topic_t *to, const void *value, size_t n, const char *key,
                   size_t key_size, nj_kept_row *row, nj_error *err)
{
    while (rd_kafka_produce(to, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value, n,
                            key_size ? key : NULL, key_size, row)) {
        rd_kafka_resp_err_t rc = rd_kafka_last_error();
        if (row && is_for_ever(rc)) {
            nj_kept_row_refuse(&s->way, row, "its row of %zu bytes is not sent to the Kafka topic %s: %s%s",
                               n, rd_kafka_topic_name(to), rd_kafka_err2str(rc), hint(rc, true));
            return 0;
        }
        if (rc != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            if (rc == RD_KAFKA_RESP_ERR__FATAL && check(s, err)) return -1;
            return nj_fail(err, "kafka://%s: topic %s, candid %.*s: %s", s->target, rd_kafka_topic_name(to),
                           (int)key_size, key, rd_kafka_err2str(rc));
        }
        rd_kafka_poll(s->producer, 100); /* ends when messages are delivered,
                                          * or given up after message.timeout.ms */
        if (check(s, err) || be_patient(s, err)) return waited(s, -1);
    }
    if (row) row->n_messages++;
    return 0;
}

static int drain(kafka_sink *s, nj_error *err)
{
    while (rd_kafka_flush(s->producer, nj_stopping() ? 100 : 500) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        if (check(s, err) || be_patient(s, err)) return waited(s, -1);
    return waited(s, check(s, err));
}

/* Brokers refuse whole batches of messages: each of them again, and nothing else on its way. */
static int send_alone(kafka_sink *s, nj_error *err)
{
    if (!s->n_again) return 0;
    int rc = drain(s, err);
    s->alone = true;
    if (!s->n_alone)
        nj_log(NJ_LOG_WARN,
               "kafka://%s: a topic refuses batches of messages, which are sent one by one; [kafka] "
               "batch.size below the topic's max.message.bytes avoids that",
               s->target);
    for (size_t i = 0; i < s->n_again; i++) {
        again *a = &s->again[i];
        if (!rc) rc = produce(s, a->topic, a->value, a->n, a->key, a->key_size, a->row, err);
        nj_kept_row_done(&s->way, a->row); /* of the message that was refused */
        if (!rc) rc = drain(s, err);
        free(a->value);
    }
    s->n_alone += s->n_again;
    s->n_again = 0;
    s->alone = false;
    return rc;
}

static int write_row(kafka_sink *s, const nj_rows *rows, uint32_t row, nj_error *err)
{
    char key[24] = "";
    size_t key_size = 0;
    const char *names = s->only ? s->only : rows->topics ? rows->topics[row] : NULL;
    if (!s->only && !rows->topics)
        return nj_fail(err, "kafka://%s: names no topic, and there is no -t that would", s->target);
    if (!names || !*names) return 0;
    int64_t id = NJ_NO_I64;
    if (rows->batch && rows->batch->id)
        id = rows->batch->id[row];
    else if (s->candid != UINT32_MAX && rows->value[s->candid].data)
        id = ((const int64_t *)rows->value[s->candid].data)[row];
    if (id != NJ_NO_I64) key_size = (size_t)snprintf(key, sizeof key, "%" PRId64, id);
    s->row.n = 0;
    const char *why = nj_kafka_value(&s->values, rows, row, &s->row);
    nj_kept_row *from = s->row.failed ? NULL : nj_kept_row_new(&s->way, rows, row);
    if (s->row.failed || (s->way.refuse && rows->batch && !from))
        return nj_fail(err, "kafka://%s: out of memory", s->target);
    int rc = 0;
    if (why && from) {
        nj_kept_row_refuse(&s->way, from, "%s", why);
        names = "";
    } else if (why && s->values.form != NJ_KAFKA_ROW) {
        return nj_fail(err, "kafka://%s: %s", s->target, why);
    }
    for (const char *end; *names && !rc; names = *end ? end + 1 : end) {
        end = names + strcspn(names, ",");
        topic *t = end > names ? find_topic(s, names, (size_t)(end - names), err) : NULL;
        if (end > names) rc = t ? produce(s, t->handle, s->row.data, s->row.n, key, key_size, from, err) : -1;
    }
    if (from) nj_kept_row_done(&s->way, from);
    return rc;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    kafka_sink *s = (kafka_sink *)sink;
    if (rows->n && nj_transactions_begin(&s->transactions, err)) return -1;
    for (uint32_t k = 0; k < rows->n; k++)
        if (write_row(s, rows, rows->row[k], err)) return -1;
    rd_kafka_poll(s->producer, 0);
    if (s->n_again >= AGAIN_MOST || s->way.held >= HELD_MOST) return drain(s, err) ? -1 : send_alone(s, err);
    return check(s, err);
}

static int flush(nj_sink *sink, nj_error *err)
{
    kafka_sink *s = (kafka_sink *)sink;
    return drain(s, err) ? -1 : send_alone(s, err);
}

static int close_kafka(nj_sink *sink, nj_error *err)
{
    kafka_sink *s = (kafka_sink *)sink;
    int rc = 0;
    if (s->producer) {
        if (rd_kafka_outq_len(s->producer) > 0 && !s->n_failed) rc = flush(sink, err);
        nj_transactions_abort(&s->transactions);
        for (size_t i = 0; i < s->n_topics; i++) rd_kafka_topic_destroy(s->topic[i].handle);
        nj_kafka_end(s->producer, 0, s->target);
    }
    for (size_t i = 0; i < s->n_topics; i++) free(s->topic[i].name);
    free(s->topic);
    for (size_t i = 0; i < s->n_again; i++) free(s->again[i].value);
    free(s->again);
    nj_kept_rows_drop(&s->way);
    nj_kafka_values_free(&s->values);
    nj_buffer_free(&s->row);
    nj_transactions_free(&s->transactions);
    free(s->only);
    free(s->target);
    free(s);
    return rc;
}

#define KAFKA_CLASS                                                                                          \
    .refuses = true, .open = open_kafka, .begin = begin, .write = write_rows, .flush = flush,                \
    .commit = commit, .close = close_kafka

const nj_sink_class nj_sink_kafka = {
    KAFKA_CLASS,
    .scheme = "kafka",
    .form = "kafka://HOST:PORT/TOPIC, kafka://HOST:PORT/",
    .doc = "a JSON message per row, keyed by candid; HOST:PORT/ sends each row to the topics (-t) it matches",
};

const nj_sink_class nj_sink_kafka_packets = {
    KAFKA_CLASS,
    .scheme = "kafka+packets",
    .form = "kafka+packets://HOST:PORT/TOPIC, kafka+packets://HOST:PORT/",
    .doc = "the alerts themselves, as they came, with stamps: each message an Avro file with its schema",
};

const nj_sink_class nj_sink_kafka_skyportal = {
    KAFKA_CLASS,
    .scheme = "kafka+skyportal",
    .form = "kafka+skyportal://HOST:PORT/TOPIC, kafka+skyportal://HOST:PORT/",
    .doc =
        "the Avro record that SkyPortal's Kafka plug-in for BOOM reads, with light curve, stamps and answers",
    .wants = nj_skyportal_wants,
    .stamps = 1 << NJ_SCIENCE | 1 << NJ_TEMPLATE | 1 << NJ_DIFFERENCE,
};
