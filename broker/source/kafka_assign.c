/* kafka_assign.c - partitions come and go: a new one begins where the settings say, one that comes back where
 * the group was, and one that leaves waits for its alerts. */
#include "kafka_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/log.h"

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
        list->cnt ? rd_kafka_offsets_for_times(s->rk, list, NJ_KAFKA_QUERY_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
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
        if (e) nj_kafka_fail(s, "where to begin is not known: ", e, rd_kafka_err2str(e));
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
    rd_kafka_resp_err_t e = rd_kafka_committed(s->rk, list, NJ_KAFKA_QUERY_MS);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        nj_partition *p = nj_partitions_find(&s->partitions, t->topic, t->partition);
        int64_t committed = !e && !t->err ? t->offset : -1,
                acked = p ? nj_partition_acked(&s->partitions, p) : -1;
        if (committed < 0 && acked < 0)
            t->offset = p && p->start != RD_KAFKA_OFFSET_INVALID ? p->start : RD_KAFKA_OFFSET_STORED;
        else
            t->offset = committed > acked ? committed : acked;
        nj_debug(NJ_DEBUG_KAFKA,
                 "%s[%d] goes on from offset %" PRId64 " (committed %" PRId64 ", acknowledged %" PRId64 ")",
                 t->topic, t->partition, t->offset, committed, acked);
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
    __atomic_store_n(&s->answered, 1, __ATOMIC_RELAXED);
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

void nj_kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t *list,
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
    nj_debug(NJ_DEBUG_KAFKA, "%s: %d partitions %s, %d held", s->display, list->cnt,
             assign ? "assigned" : "revoked", s->n_assigned);
}

/* All partitions of the topic, without a group's negotiations. */
static int assign_whole_topic(kafka_source *s, nj_error *err)
{
    const struct rd_kafka_metadata *m = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(s->rk, s->target.topic, NULL);
    rd_kafka_resp_err_t e =
        topic ? rd_kafka_metadata(s->rk, 0, topic, &m, NJ_KAFKA_QUERY_MS) : rd_kafka_last_error();
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

int nj_kafka_subscribe(kafka_source *s, nj_error *err)
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
