/* kafka.c - a survey's live stream is a Kafka topic; this consumes it and commits only what was
 * acknowledged. */
#include "kafka.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "classes.h"
#include "../kafka/fetch.h"
#include "../kafka/partition.h"
#include "../kafka/position.h"

enum {
    QUERY_MS = 10000, /* for offsets and metadata */
    CLOSE_MS = 15000,
    CLOSE_UNUSED_MS = 1000, /* nothing was ever assigned, so there is nothing to commit */
    SLICE_MS = 100,         /* how often the ends are looked at while nothing comes */
    FINAL_ERRORS = 5        /* refusals in a row before a running stream gives up:
                             * a broker may restart with stale secrets */
};

typedef struct kafka_source {
    nj_source base;
    nj_source_conf conf;
    int64_t contact_ns;
    nj_settings *settings;
    const nj_source_host *host;
    rd_kafka_t *rk;
    nj_kafka_target target;
    nj_positions at;
    char *display;
    nj_partitions partitions;
    int assigns, n_assigned; /* ASSIGN events so far; partitions held now */
    int live, finished, whole_topic, cooperative;
    int64_t opened_ns, last_ns; /* last_ns: last message or assignment */
    int64_t left_ns;            /* when next() last returned */
    int64_t n_handed;
    uint64_t stale_acks; /* __atomic */
    nj_fetch fetch;
    nj_skipped skipped; /* null and empty payloads */
    int refusals;
    nj_error fatal; /* text[0] set: the next call of next() ends with it */
    int warned_down, warned_topic, warned_other, warned_commit;
} kafka_source;

static const nj_kafka_pair preset[] = {
    /* ack() stores, when every sink has it */
    { "enable.auto.commit", "true" },
    { "enable.auto.offset.store", "false" },
    { "auto.commit.interval.ms", "1000" },
    { "auto.offset.reset", "earliest" },
    { "enable.partition.eof", "true" },
    /* the default of 100 000 is 7 GB of alerts */
    { "allow.auto.create.topics", "false" },
    { "queued.min.messages", "1000" },
    { "queued.max.messages.kbytes", "32768" },
    { "fetch.max.bytes", "16777216" },
    { 0 }
};
static const char *const fixed[] = { "enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof",
                                     "bootstrap.servers", NULL };

static int fail_at_next(kafka_source *s, const char *what, rd_kafka_resp_err_t error, const char *reason)
{
    char cause[600];
    return nj_fail(&s->fatal, "%s: %s%s", s->display, what,
                   nj_kafka_cause(error, reason, cause, sizeof cause));
}

/* Served by the poll, so on the ingest thread. */
static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    kafka_source *s = opaque;
    char text[512];
    if (error == RD_KAFKA_RESP_ERR__FATAL) error = rd_kafka_fatal_error(rk, text, sizeof text);
    if (nj_kafka_is_final(error) && (s->n_handed == 0 || ++s->refusals >= FINAL_ERRORS))
        fail_at_next(s, "", error, reason);
    else
        nj_log_limited(&s->warned_down, 20, NJ_LOG_WARN, "%s: %s; going on", s->display, reason);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list,
                      void *opaque)
{
    (void)rk;
    (void)list;
    kafka_source *s = opaque;
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET)
        nj_log_limited(&s->warned_commit, 10, NJ_LOG_WARN,
                       "%s: offsets were not committed and will be sent again: %s", s->display,
                       rd_kafka_err2str(error));
}

static nj_partition *partition_of(kafka_source *s, const char *topic, int32_t number)
{
    nj_partition *p = nj_partitions_find(&s->partitions, topic, number);
    if (p) return p->stream ? p : NULL;
    if (!(p = nj_partitions_add(&s->partitions, topic, number))) return NULL;
    char name[512];
    snprintf(name, sizeof name, "%s/%s[%" PRId32 "]", s->display, topic, number);
    p->stream = s->host->stream(s->host->opaque, name, topic, number);
    if (p->stream) p->stream->owner = p;
    return p->stream ? p : NULL;
}

/* Offsets of a time (ms since 1970, or -1: the end) for all partitions of the list; a negative offset = none.
 * Not rd_kafka_query_watermark_offsets: with librdkafka 2.0.2 that waits for ever when
 * the broker has just gone. */
static rd_kafka_resp_err_t offsets_of(kafka_source *s, rd_kafka_topic_partition_list_t *list, int64_t time_ms)
{
    for (int i = 0; i < list->cnt; i++) list->elems[i].offset = time_ms;
    rd_kafka_resp_err_t e =
        list->cnt ? rd_kafka_offsets_for_times(s->rk, list, QUERY_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < list->cnt; i++)
        if (e || list->elems[i].err) list->elems[i].offset = -1;
    return e;
}

/* An offset behind a partition's end: librdkafka would begin with the first message. Reading begins at the
 * end; when that is so of all partitions, the number was none of theirs. */
static void check_offsets(kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_copy(list);
    int beyond = 0;
    int64_t last = -1;
    if (offsets_of(s, ends, -1)) ends->cnt = 0; /* unknown: librdkafka reports it */
    for (int i = 0; i < ends->cnt; i++) {
        const rd_kafka_topic_partition_t *end = &ends->elems[i];
        if (end->offset > last) last = end->offset;
        if (end->offset < 0 || s->at.from_value <= end->offset) continue;
        beyond++;
        list->elems[i].offset = end->offset;
        nj_log(NJ_LOG_WARN,
               "%s: %s[%" PRId32 "] ends at offset %" PRId64 ", before from=offset:%" PRId64
               "; it is read from its end",
               s->display, end->topic, end->partition, end->offset, s->at.from_value);
    }
    if (beyond && beyond == ends->cnt)
        nj_fail(&s->fatal,
                "%s: from=offset:%" PRId64 " is beyond the end of every partition; the last ends at %" PRId64,
                s->display, s->at.from_value, last);
    rd_kafka_topic_partition_list_destroy(ends);
}

/* Where the partitions of the first assignment begin.
 * A later one goes on from what the group has committed. */
static void begin_from(kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    static const int64_t logical[] = {
        [NJ_FROM_COMMITTED] = RD_KAFKA_OFFSET_STORED, [NJ_FROM_EARLIEST] = RD_KAFKA_OFFSET_BEGINNING
    };
    if (s->at.from == NJ_FROM_LATEST || s->at.from == NJ_FROM_TIME) {
        rd_kafka_resp_err_t e = offsets_of(s, list, s->at.from == NJ_FROM_TIME ? s->at.from_value : -1);
        if (e) fail_at_next(s, "where to begin is not known: ", e, rd_kafka_err2str(e));
    }
    for (int i = 0; s->at.from == NJ_FROM_OFFSET && i < list->cnt; i++)
        list->elems[i].offset = s->at.from_value;
    if (s->at.from == NJ_FROM_OFFSET && list->cnt) check_offsets(s, list);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        nj_partition *p = partition_of(s, t->topic, t->partition);
        if (s->at.from <= NJ_FROM_EARLIEST)
            t->offset = logical[s->at.from];
        else if (s->at.from != NJ_FROM_OFFSET && t->offset < 0)
            t->offset = RD_KAFKA_OFFSET_END; /* nothing is that young */
        if (p) p->start = t->offset;
    }
}

/* until=end: the high watermarks. One that is not known is found by its end-of-partition event. */
static void find_ends(kafka_source *s, const rd_kafka_topic_partition_list_t *assigned)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(assigned);
    rd_kafka_resp_err_t e = offsets_of(s, list, -1);
    if (e)
        nj_log(NJ_LOG_WARN, "%s: the ends of the partitions are not known: %s", s->display,
               rd_kafka_err2str(e));
    for (int i = 0; i < list->cnt; i++) {
        nj_partition *p = partition_of(s, list->elems[i].topic, list->elems[i].partition);
        if (p && p->end < 0) p->end = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* A partition that comes back goes on from what the group has committed, or from what this process has
 * acknowledged when that is further: the commit may have been lost with the broker. With neither it begins
 * where `from` put it. */
static void go_on_from(kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t e = rd_kafka_committed(s->rk, list, QUERY_MS);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        nj_partition *p = nj_partitions_find(&s->partitions, t->topic, t->partition);
        int64_t committed = !e && !t->err ? t->offset : -1,
                acked = p ? nj_partition_acked(&s->partitions, p) : -1;
        if (committed < 0 && acked < 0)
            t->offset = p && p->start != RD_KAFKA_OFFSET_INVALID ? p->start : RD_KAFKA_OFFSET_STORED;
        else
            t->offset = committed > acked ? committed : acked;
    }
}

static void on_assign(kafka_source *s, rd_kafka_topic_partition_list_t *list)
{
    if (s->assigns++ == 0)
        begin_from(s, list);
    else if (list->cnt)
        go_on_from(s, list);
    if (s->at.until == NJ_UNTIL_END) find_ends(s, list);
    for (int i = 0; i < list->cnt; i++) {
        nj_partition *p = partition_of(s, list->elems[i].topic, list->elems[i].partition);
        if (!p) {
            nj_fail(&s->fatal, "%s: no room for another partition", s->display);
            continue;
        }
        nj_partition_assign(&s->partitions, p);
    }
    s->n_assigned += list->cnt;
    s->last_ns = nj_now_ns();
}

static void on_revoke(kafka_source *s, const rd_kafka_topic_partition_list_t *list, int lost)
{
    int64_t deadline = nj_now_ns() + (int64_t)(s->conf.drain_s * 1e9);
    for (int i = 0; i < list->cnt; i++) {
        nj_partition *p = nj_partitions_find(&s->partitions, list->elems[i].topic, list->elems[i].partition);
        if (!p) continue;
        int64_t left_ms = (deadline - nj_now_ns()) / 1000000;
        if (!lost && nj_partition_in_flight(&s->partitions, p))
            s->host->drain(s->host->opaque, p->stream, left_ms > 0 ? (int)left_ms : 0);
        uint64_t again = nj_partition_revoke(&s->partitions, p);
        if (again) s->host->returned(s->host->opaque, p->stream, again);
    }
    s->n_assigned -= list->cnt;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    kafka_source *s = opaque;
    const char *protocol = rd_kafka_rebalance_protocol(rk);
    s->cooperative = protocol && !strcmp(protocol, "COOPERATIVE"); /* kept: asking while the client
                                                                    * closes may never return */
    int assign = event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_error_t *failed = NULL;
    rd_kafka_resp_err_t e = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (assign)
        on_assign(s, list);
    else
        on_revoke(s, list, rd_kafka_assignment_lost(rk));
    if (s->cooperative)
        failed = assign ? rd_kafka_incremental_assign(rk, list) : rd_kafka_incremental_unassign(rk, list);
    else
        e = rd_kafka_assign(rk, assign ? list : NULL);
    if (failed || e)
        nj_log(NJ_LOG_WARN, "%s: assignment: %s", s->display,
               failed ? rd_kafka_error_string(failed) : rd_kafka_err2str(e));
    if (failed) rd_kafka_error_destroy(failed);
    nj_log(NJ_LOG_DEBUG, "%s: %d partitions %s, %d held", s->display, list->cnt,
           assign ? "assigned" : "revoked", s->n_assigned);
}

/* All partitions of the topic, without a group's negotiations. */
static int assign_whole_topic(kafka_source *s, nj_error *err)
{
    const struct rd_kafka_metadata *m = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(s->rk, s->target.topic, NULL);
    rd_kafka_resp_err_t e = topic ? rd_kafka_metadata(s->rk, 0, topic, &m, QUERY_MS) : rd_kafka_last_error();
    if (topic) rd_kafka_topic_destroy(topic);
    if (e || !m) return nj_fail(err, "%s: %s", s->display, rd_kafka_err2str(e));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    for (int i = 0; m->topic_cnt && i < m->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(list, s->target.topic, m->topics[0].partitions[i].id);
    rd_kafka_metadata_destroy(m);
    on_assign(s, list);
    e = rd_kafka_assign(s->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return e ? nj_fail(err, "%s: %s", s->display, rd_kafka_err2str(e)) : 0;
}

static int subscribe(kafka_source *s, nj_error *err)
{
    if (s->whole_topic) return assign_whole_topic(s, err);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    char *topics = strdup(s->target.topic), *rest = topics;
    if (topics && topics[0] == '^')
        rd_kafka_topic_partition_list_add(list, topics, RD_KAFKA_PARTITION_UA); /* may hold commas */
    else
        for (char *t; topics && (t = strsep(&rest, ","));)
            if (*t) rd_kafka_topic_partition_list_add(list, t, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t e = rd_kafka_subscribe(s->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    free(topics);
    return e ? nj_fail(err, "%s: topic %s: %s", s->display, s->target.topic, rd_kafka_err2str(e)) : 0;
}

static int connect_to(kafka_source *s, const nj_kafka_open_args *args, nj_error *err)
{
    char why[512];
    rd_kafka_conf_t *conf = nj_kafka_conf(s->target.hosts, preset, fixed, s->settings, err);
    if (!conf) return -1;
    for (const nj_kafka_pair *p = args->preset; p && p->name; p++)
        if (rd_kafka_conf_set(conf, p->name, p->value, why, sizeof why) != RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            return nj_fail(err, "%s: %s", s->display, why);
        }
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (nj_kafka_set_group(conf, s->at.group, err)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    nj_fetch_prepare(&s->fetch, conf, s->settings);
    s->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!s->rk) {
        rd_kafka_conf_destroy(conf);
        return nj_fail(err, "%s: %s", s->display, why);
    }
    rd_kafka_poll_set_consumer(s->rk);
    nj_fetch_begin(&s->fetch, s->rk);
    if (!args->quiet)
        nj_log(NJ_LOG_INFO, "%s: topic %s, librdkafka %s", s->display, s->target.topic,
               rd_kafka_version_str());
    return subscribe(s, err);
}

/* The last events: giving the partitions back, and messages of partitions that were revoked. */
static void serve_close(kafka_source *s, rd_kafka_event_t *event)
{
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) {
        if (!s->cooperative || rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
            rd_kafka_assign(s->rk, NULL);
        } else {
            rd_kafka_error_t *e =
                rd_kafka_incremental_unassign(s->rk, rd_kafka_event_topic_partition_list(event));
            if (e) rd_kafka_error_destroy(e);
        }
    } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
        on_commit(s->rk, rd_kafka_event_error(event), NULL, s);
    }
    rd_kafka_event_destroy(event);
}

/* Commits what was stored, but does not wait for ever for brokers that are gone. */
static void close_consumer(kafka_source *s)
{
    int64_t deadline = nj_now_ns() + (s->assigns ? CLOSE_MS : CLOSE_UNUSED_MS) * (int64_t)1000000;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
    rd_kafka_error_t *e = rd_kafka_consumer_close_queue(s->rk, queue);
    while (!e && !rd_kafka_consumer_closed(s->rk) && nj_now_ns() < deadline) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 50);
        if (event) serve_close(s, event);
    }
    int closed = !e && rd_kafka_consumer_closed(s->rk);
    if (e) rd_kafka_error_destroy(e);
    rd_kafka_queue_destroy(queue);
    if (!closed && s->n_handed)
        nj_log(NJ_LOG_WARN, "%s: no broker took the last offsets; some alerts will come again", s->display);
    rd_kafka_destroy_flags(s->rk, closed ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void close_kafka(nj_source *source)
{
    kafka_source *s = (kafka_source *)source;
    nj_fetch_end(&s->fetch);
    nj_skipped_tell(&s->skipped, s->host, s->display, "message");
    if (s->rk) close_consumer(s);
    if (s->stale_acks)
        nj_log(NJ_LOG_INFO, "%s: %" PRIu64 " acknowledgements came after their partition had moved",
               s->display, s->stale_acks);
    nj_partitions_free(&s->partitions);
    nj_kafka_target_free(&s->target);
    free(s->display);
    free(s);
}

nj_source *nj_kafka_open(const nj_kafka_open_args *args, nj_error *err)
{
    kafka_source *s = calloc(1, sizeof *s);
    char *display = strdup(args->display);
    if (!s || !display) {
        free(s);
        free(display);
        nj_kafka_target_free(args->target);
        nj_fail(err, "%s: out of memory", args->source->spec);
        return NULL;
    }
    s->base.class = &nj_source_kafka;
    s->settings = args->source->settings;
    s->host = args->source->host;
    s->target = *args->target;
    s->display = display;
    s->whole_topic = args->whole_topic;
    s->opened_ns = s->last_ns = s->left_ns = nj_now_ns();
    nj_partitions_init(&s->partitions);
    nj_error why;
    int bad = nj_positions_parse(&s->at, s->target.query, &why);
    if (bad)
        nj_fail(err, "%s: %s", args->source->spec, why.text);
    else
        bad = nj_source_configure(s->settings, &s->conf, err);
    s->contact_ns = (int64_t)(s->conf.contact_s * 1e9);
    if (!bad && s->at.words[0])
        nj_log(s->at.guessed ? NJ_LOG_WARN : NJ_LOG_INFO, "%s: %s", display, s->at.words);
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    if (!bad && s->at.from == NJ_FROM_TIME && s->at.from_value > now_ms)
        nj_log(NJ_LOG_WARN, "%s: that is in the future; what comes from now on is read", display);
    s->live = s->at.until == NJ_UNTIL_STOPPED;
    if (!bad && connect_to(s, args, err) == 0) return &s->base;
    close_kafka(&s->base);
    return NULL;
}

static nj_source *open_kafka(const nj_source_args *args, nj_error *err)
{
    nj_kafka_target target;
    char display[300];
    if (nj_kafka_target_parse(&target, args->spec, err)) return NULL;
    snprintf(display, sizeof display, "kafka://%.*s", (int)strcspn(target.hosts, ","), target.hosts);
    return nj_kafka_open(&(nj_kafka_open_args){ .source = args, .target = &target, .display = display }, err);
}

/* Confluent's newer wire format has what was in front of the payload in a header: 0 and 4 bytes of id, or 1
 * and a GUID of 16 bytes. */
static const void *schema_header(const rd_kafka_message_t *m, size_t *size)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    *size = 0;
    if (rd_kafka_message_headers(m, &headers) ||
        rd_kafka_header_get_last(headers, "__value_schema_id", &value, size))
        return NULL;
    return value;
}

/* The payload with the header's id in front of it, as it would have come in the older format. */
static nj_chunk *copy_message(nj_partition *p, const rd_kafka_message_t *m)
{
    size_t front;
    const void *header = schema_header(m, &front);
    bool known = header && ((front == 5 && *(const uint8_t *)header == 0) ||
                            (front == 17 && *(const uint8_t *)header == 1));
    bool whole = m->len >= 4 && !memcmp(m->payload, "Obj\1", 4);
    if (!known || whole) front = 0;
    uint8_t *bytes = malloc(front + m->len + 1);
    nj_chunk *c = bytes ? nj_chunk_new(p->stream, bytes, front + m->len) : NULL;
    if (!c) {
        free(bytes);
        return NULL;
    }
    if (front) memcpy(bytes, header, front);
    memcpy(bytes + front, m->payload, m->len); /* a held message would pin the whole fetch it came in */
    if (front) c->framing = NJ_FRAME_CONFLUENT;
    if (header && !known && !whole)
        c->fault = strdup(
            "its header __value_schema_id is neither 0 and an id of 4 bytes nor 1 and a GUID of 16 bytes");
    return c;
}

static nj_chunk *new_chunk(kafka_source *s, nj_partition *p, const rd_kafka_message_t *m)
{
    nj_chunk *c = copy_message(p, m);
    if (!c) return NULL;
    if (m->key_len && ((const char *)m->key)[0] == '{') { /* decode sees whether it is a schema,
                                                           * and whether one is needed */
        c->key = malloc(m->key_len);
        if (!c->key) {
            nj_chunk_drop(c);
            return NULL;
        }
        memcpy(c->key, m->key, m->key_len);
        c->key_size = m->key_len;
    }
    rd_kafka_timestamp_type_t type;
    int64_t published = rd_kafka_message_timestamp(m, &type);
    c->publish_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : published;
    c->offset = m->offset;
    c->generation = p->generation;
    c->arrival_ns = s->last_ns = nj_now_ns();
    return c;
}

static void store_offset(kafka_source *s, const nj_partition *p, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, p->topic, p->number)->offset = offset;
    rd_kafka_resp_err_t e = rd_kafka_offsets_store(s->rk, list);
    if (e) __atomic_fetch_add(&s->stale_acks, 1, __ATOMIC_RELAXED); /* _STATE: it moved in this very moment */
    rd_kafka_topic_partition_list_destroy(list);
}

/* Up to here there is nothing to wait for: the group's offset may go on, or a lag would stay for ever. */
static void pass(kafka_source *s, nj_partition *p, int64_t next_offset)
{
    int64_t store = nj_partition_pass(&s->partitions, p, next_offset);
    if (store >= 0) store_offset(s, p, store);
}

/* NULL: passed over (null or empty: a tombstone; behind the end, or of a partition that has just gone), or
 * out of memory (fatal is set). */
static nj_chunk *take(kafka_source *s, const rd_kafka_message_t *m)
{
    nj_partition *p = nj_partitions_find(&s->partitions, rd_kafka_topic_name(m->rkt), m->partition);
    if (!p || !p->assigned) return NULL;
    p->at_end = 0;
    if (s->at.until == NJ_UNTIL_END && p->end >= 0 && m->offset >= p->end) {
        p->reached = 1;
        return NULL;
    }
    if (!m->payload || !m->len) {
        char where[512];
        snprintf(where, sizeof where, "%s offset %" PRId64, p->stream->name, m->offset);
        nj_skipped_add(&s->skipped, where, 1);
        pass(s, p, m->offset + 1);
        if (p->end >= 0 && m->offset + 1 >= p->end) p->reached = 1;
        s->last_ns = nj_now_ns();
        return NULL;
    }
    nj_chunk *c = new_chunk(s, p, m);
    if (!c || nj_partition_hand(&s->partitions, p, m->offset)) {
        nj_chunk_drop(c);
        nj_fail(&s->fatal, "%s: out of memory", s->display);
        return NULL;
    }
    if (p->end >= 0 && m->offset + 1 >= p->end) p->reached = 1;
    s->refusals = 0;
    if (++s->n_handed == s->at.until_value && s->at.until == NJ_UNTIL_COUNT) s->finished = 1;
    return c;
}

static void take_error(kafka_source *s, const rd_kafka_message_t *m)
{
    const char *reason = rd_kafka_message_errstr(m);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        nj_partition *p = nj_partitions_find(&s->partitions, rd_kafka_topic_name(m->rkt), m->partition);
        if (p) p->reached = p->at_end = 1;
        /* the ends of transactions have offsets, too; behind until=end there may be
         * alerts that were not taken */
        int64_t here = p && p->end >= 0 && m->offset > p->end ? p->end : m->offset;
        if (p && p->assigned && here >= 0) pass(s, p, here);
    } else if (m->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
               m->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        if (s->live)
            nj_log_limited(&s->warned_topic, 3, NJ_LOG_WARN, "%s: %s; waiting for it", s->display, reason);
        else
            fail_at_next(s, "", m->err, reason);
    } else if (nj_kafka_is_final(m->err)) {
        fail_at_next(s, "", m->err, reason);
    } else {
        nj_log_limited(&s->warned_other, 20, NJ_LOG_WARN, "%s: %s; going on", s->display, reason);
    }
}

static int all_reached(const kafka_source *s)
{
    for (size_t i = 0; i < s->partitions.n; i++)
        if (s->partitions.item[i]->assigned && !s->partitions.item[i]->reached) return 0;
    return s->n_assigned > 0;
}

static int all_at_end(const kafka_source *s)
{
    for (size_t i = 0; i < s->partitions.n; i++)
        if (s->partitions.item[i]->assigned && !s->partitions.item[i]->at_end) return 0;
    return 1;
}

/* Does any broker answer? 0 = yes. */
static rd_kafka_resp_err_t ask_brokers(kafka_source *s)
{
    const struct rd_kafka_metadata *m;
    int wait_ms = s->contact_ns < QUERY_MS * (int64_t)1000000 ? (int)(s->contact_ns / 1000000) : QUERY_MS;
    rd_kafka_resp_err_t e = rd_kafka_metadata(s->rk, 0, NULL, &m, wait_ms);
    if (!e) rd_kafka_metadata_destroy(m);
    return e;
}

/* Nothing came for so long: is the topic empty, or is no broker there? A slow broker that has not reported
 * the ends yet does not count. */
static int is_idle(kafka_source *s, int64_t now)
{
    if (now - s->last_ns < s->at.until_value * 1000000) return 0;
    if (!all_at_end(s) && now - s->last_ns < s->contact_ns) return 0;
    rd_kafka_resp_err_t e = ask_brokers(s);
    if (e && nj_now_ns() - s->last_ns > s->contact_ns)
        fail_at_next(s, "no broker answers any more: ", e, rd_kafka_err2str(e));
    return !e;
}

/* So long without an assignment: a wrong address, a topic that is not there,
 * or more members than partitions. */
static void check_contact(kafka_source *s, int64_t now)
{
    if (s->n_assigned || now - (s->assigns ? s->last_ns : s->opened_ns) < s->contact_ns) return;
    rd_kafka_resp_err_t e = ask_brokers(s);
    if (e && (!s->assigns || !s->live))
        fail_at_next(s, s->assigns ? "no broker answers any more: " : "no broker answers: ", e,
                     rd_kafka_err2str(e));
    else if (!s->live)
        nj_fail(&s->fatal,
                "%s: no partition of %s within %g s: is the topic there, has the group more members than "
                "partitions?",
                s->display, s->target.topic, s->conf.contact_s);
    else {
        nj_log_limited(&s->warned_topic, 3, NJ_LOG_WARN, "%s: no partition of %s yet", s->display,
                       s->target.topic);
        s->opened_ns = s->last_ns = now;
    }
}

static int is_finished(kafka_source *s)
{
    int64_t now = nj_now_ns();
    check_contact(s, now);
    if (s->at.until == NJ_UNTIL_END && all_reached(s)) s->finished = 1;
    if (s->at.until == NJ_UNTIL_IDLE && s->n_assigned && is_idle(s, now)) s->finished = 1;
    return s->finished;
}

/* The next message, or none within the time; *chunk is set for NJ_NEXT_CHUNK. */
static nj_next poll_until(kafka_source *s, int64_t deadline, nj_chunk **chunk)
{
    for (int wait = 0; !s->finished && !s->fatal.text[0];) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, wait);
        *chunk = NULL;
        if (m && m->err)
            take_error(s, m);
        else if (m) {
            *chunk = take(s, m);
            nj_fetch_message(&s->fetch, s->rk, m->len);
        }
        if (m) rd_kafka_message_destroy(m);
        if (*chunk) return NJ_NEXT_CHUNK;
        if (is_finished(s)) break;
        int64_t left_ms = (deadline - nj_now_ns() + 999999) / 1000000;
        if (left_ms <= 0 && !s->fatal.text[0]) return NJ_NEXT_IDLE;
        wait = left_ms > SLICE_MS ? SLICE_MS : (int)left_ms;
    }
    return s->fatal.text[0] ? NJ_NEXT_ERROR : NJ_NEXT_END;
}

static nj_next next_message(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    kafka_source *s = (kafka_source *)source;
    int64_t now = nj_now_ns();
    s->last_ns += now - s->left_ns; /* a host that was busy elsewhere is no idle stream */
    nj_next next = poll_until(s, now + timeout_ms * (int64_t)1000000, chunk);
    if (next == NJ_NEXT_ERROR && err) *err = s->fatal;
    s->left_ns = nj_now_ns();
    return next;
}

/* Output thread. An offset of a partition that has moved on is dropped:
 * whoever has it now will see the alert again. */
static void ack(nj_source *source, nj_stream *stream, uint32_t generation, int64_t next_offset)
{
    kafka_source *s = (kafka_source *)source;
    nj_partition *p = stream->owner;
    if (nj_partition_ack(&s->partitions, p, generation, next_offset)) {
        __atomic_fetch_add(&s->stale_acks, 1, __ATOMIC_RELAXED);
        return;
    }
    store_offset(s, p, nj_partition_done(&s->partitions, p, next_offset));
}

static int match_kafka(const char *spec)
{
    return !strncmp(spec, "kafka://", 8);
}

/* From what librdkafka has at hand: no request goes out.
 * A partition whose end is not known yet counts nothing. */
static int lag(const nj_source *source, double *messages)
{
    const kafka_source *s = (const kafka_source *)source;
    rd_kafka_topic_partition_list_t *list = NULL;
    *messages = 0;
    if (!s->rk || rd_kafka_assignment(s->rk, &list)) return -1;
    rd_kafka_resp_err_t e = rd_kafka_position(s->rk, list);
    for (int i = 0; !e && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        int64_t low, high;
        if (rd_kafka_get_watermark_offsets(s->rk, p->topic, p->partition, &low, &high) || high < 0) continue;
        int64_t at = p->offset >= 0 ? p->offset : low;
        if (high > at) *messages += (double)(high - at);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return e ? -1 : 0;
}

const nj_source_class nj_source_kafka = {
    .name = "kafka",
    .form = "kafka://HOST:PORT[,HOST:PORT]/TOPIC[,TOPIC] or /^REGEX [?group=G&from=...&until=...]",
    .query = "group=NAME the consumer group (nightjar; USER-nightjar when there is a sasl.username)\n"
             "from=committed what the group has committed, else the earliest message (the default)\n"
             "from=earliest, latest, OFFSET, TIME the first assignment of this process begins there; a "
             "number from 10^11 on is ms "
             "since 1970, 2026-01-31T20:00:00 is UTC\n"
             "until=idle:SECONDS ends when nothing came for so long and every partition was read to its end\n"
             "until=end ends at the high watermarks as they were at the start\n"
             "until=count:N ends after N messages\n",
    .doc = "a consumer group's share of the topics; offsets are committed when every sink has the rows",
    .match = match_kafka,
    .open = open_kafka,
    .next = next_message,
    .ack = ack,
    .close = close_kafka,
    .lag = lag
};
