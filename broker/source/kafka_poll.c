/* kafka_poll.c - messages become chunks, and a source that has an end must find it. */
#include "kafka_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../kafka/topics.h"

static const int64_t MINUTE_NS = INT64_C(60000000000); /* between two lines that say what is waited for */

enum {
    SLICE_MS = 100, /* how often the ends are looked at while nothing comes */
    SERVE_MS = 5,   /* and the group's events while messages come */
    FINISH_MS = 2000,
    SPOILT_TRIES = 3, /* a batch may have been damaged on its way */
    LOOK_MS = 5000,   /* without a partition: is there such a topic? */
    LOOK_QUERY_MS = 2500
};

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

/* The schema of a topic of Fink's data transfer; asked for at its first message, and again after a minute
 * when it was not there. */
static const struct transfer *transfer_of(kafka_source *s, const char *topic)
{
    struct transfer *t = NULL;
    for (uint32_t i = 0; i < s->n_transfers && !t; i++)
        if (!strcmp(s->transfer[i].topic, topic)) t = &s->transfer[i];
    if (!t) {
        struct transfer *more = realloc(s->transfer, (s->n_transfers + 1) * sizeof *more);
        char *name = strdup(topic);
        if (more) s->transfer = more;
        if (!more || !name) return free(name), NULL;
        t = &more[s->n_transfers++];
        *t = (struct transfer){ .topic = name };
    }
    if (t->schema || (t->asked_ns && nj_now_ns() - t->asked_ns < MINUTE_NS)) return t;
    t->schema = nj_kafka_schema_of(s->rk, topic, &t->size);
    t->asked_ns = nj_now_ns();
    if (t->schema)
        nj_log(NJ_LOG_INFO, "%s: the schema of %s is the key of a message in %s_schema (%zu bytes)",
               s->display, topic, topic, t->size);
    else
        nj_log(NJ_LOG_WARN, "%s: no message of %s_schema has a schema as its key", s->display, topic);
    return t;
}

/* A bare datum gets the schema of its topic as its key. -1: out of memory. */
static int add_schema(kafka_source *s, nj_partition *p, nj_chunk *c)
{
    if (!nj_kafka_is_transfer(p->topic) || c->key || (c->size >= 4 && !memcmp(c->bytes, "Obj\1", 4)))
        return 0;
    const struct transfer *t = transfer_of(s, p->topic);
    if (!t) return -1;
    if (!t->schema) return (c->fault = strdup("its topic's schema was not found in TOPIC_schema")) ? 0 : -1;
    c->key = malloc(t->size);
    if (!c->key) return -1;
    memcpy(c->key, t->schema, t->size);
    c->key_size = t->size;
    c->framing = NJ_FRAME_KEYED;
    return 0;
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
    if (add_schema(s, p, c)) {
        nj_chunk_drop(c);
        return NULL;
    }
    rd_kafka_timestamp_type_t type;
    int64_t published = rd_kafka_message_timestamp(m, &type);
    c->publish_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : published;
    c->offset = c->part = m->offset;
    c->generation = p->generation;
    c->arrival_ns = s->last_ns = nj_now_ns();
    return c;
}

/* Up to here there is nothing to wait for: the group's offset may continue, or a lag would stay forever. */
static void pass(kafka_source *s, nj_partition *p, int64_t next_offset)
{
    int64_t store = nj_partition_pass(&s->partitions, p, next_offset);
    if (store >= 0) nj_kafka_store(s, p, store);
}

/* For the report: the log has it already. */
static void tell_early(kafka_source *s, const char *text)
{
    if (s->host->early) s->host->early(s->host->opaque, text);
}

/* until=end goes up to the end that there was at the start; the partition says that it has less. */
static void ends_before(kafka_source *s, nj_partition *p, int64_t offset)
{
    char text[512];
    snprintf(text, sizeof text,
             "%s: ended at offset %" PRId64 "; when the run began, it had messages up to %" PRId64,
             p->stream->name, offset, p->end);
    nj_log(NJ_LOG_WARN, "%s", text);
    tell_early(s, text);
}

/* Offsets went back: librdkafka begins with the first message of a topic that was created again. */
static void begin_anew(kafka_source *s, nj_partition *p)
{
    nj_log(NJ_LOG_WARN, "%s: offsets begin again: the topic was created again", p->stream->name);
    char text[400];
    snprintf(text, sizeof text, "%s: the topic was created again; what the old one still had is not here",
             p->stream->name);
    tell_early(s, text);
    nj_partition_forget(&s->partitions, p);
}

/* NULL: skipped (null or empty: a tombstone; behind the end, or of a partition that has just gone), or
 * out of memory (fatal is set). */
static nj_chunk *take(kafka_source *s, const rd_kafka_message_t *m)
{
    nj_partition *p = nj_partitions_find(&s->partitions, rd_kafka_topic_name(m->rkt), m->partition);
    if (!p || !p->assigned) return NULL;
    p->at_end = 0;
    if (p->next >= 0 && m->offset < p->next) begin_anew(s, p);
    nj_partition_came(&s->partitions, p, m->offset);
    p->next = m->offset + 1;
    if (s->at.until == NJ_UNTIL_END && p->end >= 0 && m->offset >= p->end) {
        p->reached = 1;
        return NULL;
    }
    if (!m->payload || !m->len || nj_kafka_is_schema_topic(p->topic)) {
        char where[512];
        snprintf(where, sizeof where, "%s offset %" PRId64, p->stream->name, m->offset);
        nj_skipped_add(&s->skipped, where, 1);
        pass(s, p, m->offset + 1);
        if (p->end >= 0 && m->offset + 1 >= p->end) p->reached = 1;
        s->last_ns = nj_now_ns();
        return NULL;
    }
    nj_chunk *c = new_chunk(s, p, m);
    if (!c || nj_partition_deliver(&s->partitions, p, m->offset)) {
        nj_chunk_drop(c);
        nj_fail(&s->fatal, "%s: out of memory", s->display);
        return NULL;
    }
    if (p->end >= 0 && m->offset + 1 >= p->end) p->reached = 1;
    s->refusals = 0;
    if (++s->n_handed == s->at.until_value && s->at.until == NJ_UNTIL_COUNT) s->finished = 1;
    return c;
}

static bool is_gone(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

/* The topic was deleted: what it held and did not give is missing, and a topic that gets its name begins
 * anew. */
static void take_away(kafka_source *s, const rd_kafka_message_t *m)
{
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
    for (size_t i = 0; i < s->partitions.n; i++) {
        nj_partition *p = s->partitions.item[i];
        if (!p->assigned || strcmp(p->topic, topic) || (m->partition >= 0 && m->partition != p->number))
            continue;
        if (p->next >= 0 && p->high > p->next)
            nj_kafka_missing(s, p, (uint64_t)(p->high - p->next), p->next, p->high);
        if (p->next >= 0) nj_partition_forget(&s->partitions, p);
    }
}

/* A batch that cannot be unpacked: it is skipped when it has failed a few times, and its offsets are
 * missing. Without an end that can be found the stream would stand, so the source ends. */
static void pass_batch(kafka_source *s, const rd_kafka_message_t *m)
{
    nj_partition *p =
        m->rkt ? nj_partitions_find(&s->partitions, rd_kafka_topic_name(m->rkt), m->partition) : NULL;
    if (!p || !p->assigned) return;
    int64_t at = p->next >= 0 ? p->next : m->offset;
    p->spoilt = p->spoilt_at == at ? p->spoilt + 1 : 1;
    p->spoilt_at = at;
    if (p->spoilt < SPOILT_TRIES || at < 0) return;
    int64_t behind = nj_kafka_behind(s->rk, p->topic, p->number, at);
    rd_kafka_topic_partition_list_t *to = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(to, p->topic, p->number)->offset = behind;
    rd_kafka_error_t *e = behind < 0 ? NULL : rd_kafka_seek_partitions(s->rk, to, NJ_KAFKA_QUERY_MS);
    rd_kafka_resp_err_t failed = behind < 0 ? m->err : e ? rd_kafka_error_code(e) : to->elems[0].err;
    if (e) rd_kafka_error_destroy(e);
    rd_kafka_topic_partition_list_destroy(to);
    if (failed && nj_stopping()) return;
    if (failed) {
        nj_fail(&s->fatal, "%s: the messages from offset %" PRId64 " on cannot be unpacked: %s",
                p->stream->name, at, rd_kafka_message_errstr(m));
        return;
    }
    char why[200];
    snprintf(why, sizeof why,
             "a batch of messages at offsets %" PRId64 " to %" PRId64 " cannot be unpacked: %s", at,
             behind - 1, rd_kafka_err2str(m->err));
    nj_kafka_report_missing(s, p, (uint64_t)(behind - at), why);
    p->spoilt = 0;
    p->next = behind;
    pass(s, p, behind);
    if (p->end >= 0 && behind >= p->end) p->reached = 1;
}

static void take_error(kafka_source *s, const rd_kafka_message_t *m)
{
    const char *reason = rd_kafka_message_errstr(m);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        nj_partition *p = nj_partitions_find(&s->partitions, rd_kafka_topic_name(m->rkt), m->partition);
        if (p && p->assigned && !p->reached && p->end >= 0 && m->offset >= 0 && m->offset < p->end)
            ends_before(s, p, m->offset);
        if (p) p->reached = p->at_end = 1;
        if (p && p->assigned && m->offset > p->next) {
            nj_partition_came(&s->partitions, p, m->offset);
            p->next = m->offset;
        }
        /* the ends of transactions have offsets, too; behind until=end there may be
         * alerts that were not taken */
        int64_t here = p && p->end >= 0 && m->offset > p->end ? p->end : m->offset;
        if (p && p->assigned && here >= 0) pass(s, p, here);
    } else if (is_gone(m->err)) {
        take_away(s, m);
        if (s->live) {
            nj_log_limited(&s->warned_topic, 3, NJ_LOG_WARN, "%s: %s; waiting for it", s->display, reason);
            __atomic_store_n(&s->answered, 1, __ATOMIC_RELAXED);
        } else
            nj_kafka_fail(s, "", m->err, reason);
    } else if (nj_kafka_is_spoilt(m->err)) {
        nj_log_limited(&s->warned_other, 20, NJ_LOG_WARN, "%s: %s", s->display, reason);
        pass_batch(s, m);
    } else if (nj_kafka_is_final(m->err)) {
        nj_kafka_fail(s, "", m->err, reason);
    } else {
        nj_log_limited(&s->warned_other, 20, NJ_LOG_WARN, "%s: %s; continuing", s->display, reason);
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
    int wait_ms = s->contact_ns < NJ_KAFKA_QUERY_MS * (int64_t)1000000 ? (int)(s->contact_ns / 1000000)
                                                                       : NJ_KAFKA_QUERY_MS;
    rd_kafka_resp_err_t e = rd_kafka_metadata(s->rk, 0, NULL, &m, wait_ms);
    if (!e) rd_kafka_metadata_destroy(m);
    return e;
}

/* A partition that has more than came, or of which that is not known. */
static const nj_partition *unread(kafka_source *s)
{
    for (size_t i = 0; i < s->partitions.n; i++) {
        nj_partition *p = s->partitions.item[i];
        if (p->assigned && !p->at_end && !nj_partition_is_read(&s->partitions, p)) return p;
    }
    return NULL;
}

/* Nothing came for so long: is the topic empty, or is no broker there? A slow broker that has not reported
 * the ends yet does not count. */
static int is_idle(kafka_source *s, int64_t now)
{
    if (now - s->last_ns < s->at.until_value * 1000000) return 0;
    if (!all_at_end(s) && now - s->last_ns < s->contact_ns) return 0;
    rd_kafka_resp_err_t e = ask_brokers(s);
    if (e && nj_now_ns() - s->last_ns > s->contact_ns)
        nj_kafka_fail(s, "no broker answers any more: ", e, rd_kafka_err2str(e));
    const nj_partition *p = e ? NULL : unread(s);
    if (p)
        nj_fail(&s->fatal,
                "%s is not read to its end: nothing came from it within %g s, though a broker answers",
                p->stream->name, (double)s->contact_ns / 1e9);
    return !e && !p;
}

/* Nothing is assigned to a live stream: it waits, and says what for. */
static void report_waiting(kafka_source *s)
{
    nj_error why;
    bool pattern = s->target.topic[0] == '^';
    rd_kafka_topic_partition_list_t *list =
        nj_kafka_topics(s->rk, &s->target, nj_patience_ms(LOOK_QUERY_MS), &why);
    if (!list)
        nj_log(NJ_LOG_WARN, "%s%s; waiting", why.text,
               pattern ? " yet (it is a pattern; new topics are looked for)" : "");
    else if (s->looked)
        nj_log(NJ_LOG_WARN,
               "%s: no partition of %s is free: the group has more members than the %d partitions; waiting "
               "for one",
               s->display, s->target.topic, list->cnt);
    if (list || strstr(why.text, "has no topic")) __atomic_store_n(&s->answered, 1, __ATOMIC_RELAXED);
    if (list) rd_kafka_topic_partition_list_destroy(list);
    s->looked = true;
}

/* So long without an assignment: a wrong address, a topic that is not there,
 * or more members than partitions. */
static void check_contact(kafka_source *s, int64_t now)
{
    int64_t since = now - (s->assigns ? s->last_ns : s->opened_ns), patience = s->contact_ns;
    if (s->n_assigned) return;
    if (s->live && !s->looked && since > LOOK_MS * (int64_t)1000000) report_waiting(s);
    if (s->live && s->reported_ns && patience > MINUTE_NS) patience = MINUTE_NS;
    if (since < patience || now - s->reported_ns < patience) return;
    s->reported_ns = now;
    rd_kafka_resp_err_t e = ask_brokers(s);
    bool had_contact = s->assigns || s->host->goes_on;
    if (e && (!had_contact || !s->live))
        nj_kafka_fail(s, s->assigns ? "no broker answers any more: " : "no broker answers: ", e,
                      rd_kafka_err2str(e));
    else if (!s->live)
        nj_fail(&s->fatal,
                "%s: no partition of %s within %g s: is the topic there, has the group more members than "
                "partitions?",
                s->display, s->target.topic, s->conf.contact_s);
    else {
        s->looked = true;
        if (!e) __atomic_store_n(&s->answered, 1, __ATOMIC_RELAXED);
        report_waiting(s);
    }
}

static int is_finished(kafka_source *s)
{
    int64_t now = nj_now_ns();
    check_contact(s, now);
    nj_kafka_unowned_look(s, now);
    if (now < s->others_next_ns) return s->finished; /* it waits for others */
    bool over = s->at.until == NJ_UNTIL_END    ? all_reached(s)
                : s->at.until == NJ_UNTIL_IDLE ? s->n_assigned && is_idle(s, now)
                                               : false;
    if (over && nj_kafka_others_done(s, now)) s->finished = 1;
    return s->finished;
}

/* What the watching thread found is reported by this one. */
static void report_deleted(kafka_source *s)
{
    int64_t from, to;
    for (size_t i = 0; i < s->partitions.n; i++) {
        nj_partition *p = s->partitions.item[i];
        uint64_t n = nj_partition_deleted(&s->partitions, p, &from, &to);
        if (n) nj_kafka_missing(s, p, n, from, to);
    }
}

/* The group's events, and errors. Messages come here only from a partition whose own queue could not be
 * had. */
static rd_kafka_message_t *serve(kafka_source *s, int64_t now)
{
    rd_kafka_message_t *m = s->kept;
    s->kept = NULL;
    if (m) return m;
    if (now - s->served_ns < SERVE_MS * (int64_t)1000000) return NULL;
    while ((m = rd_kafka_consumer_poll(s->rk, 0)) && m->err) {
        take_error(s, m);
        rd_kafka_message_destroy(m);
    }
    s->served_ns = m ? 0 : now;
    if (!m) report_deleted(s);
    nj_kafka_own_alive(&s->member, now);
    return m;
}

/* The host has no room: the member stays in its group, and no message is taken. */
void nj_kafka_tend(nj_source *source)
{
    kafka_source *s = (kafka_source *)source;
    if (!s->kept) s->kept = serve(s, nj_now_ns());
}

/* The next message, or none within the time; *chunk is set for NJ_NEXT_CHUNK. */
static nj_next poll_until(kafka_source *s, int64_t deadline, nj_chunk **chunk)
{
    for (int wait = 0; !s->finished && !s->fatal.text[0];) {
        rd_kafka_message_t *m = serve(s, nj_now_ns());
        if (!m && !s->fatal.text[0]) m = rd_kafka_consume_queue(s->messages, wait);
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

nj_next nj_kafka_next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    kafka_source *s = (kafka_source *)source;
    int64_t now = nj_now_ns();
    s->last_ns += now - s->left_ns; /* a host that was busy elsewhere is no idle stream */
    nj_next next = poll_until(s, now + timeout_ms * (int64_t)1000000, chunk);
    if (next == NJ_NEXT_ERROR && err) *err = s->fatal;
    if (next == NJ_NEXT_ERROR || next == NJ_NEXT_END) nj_kafka_finish(source);
    s->left_ns = nj_now_ns();
    return next;
}

/* Before the accounts are closed: offsets without messages that the watching thread has not explained yet. */
void nj_kafka_finish(nj_source *source)
{
    kafka_source *s = (kafka_source *)source;
    nj_kafka_explain(s->rk, &s->partitions, nj_patience_ms(FINISH_MS));
    report_deleted(s);
}
