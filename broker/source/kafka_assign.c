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
#include "../base/patience.h"
#include "../kafka/topics.h"

/* A single try may last so long: a stop must not wait for more. */
enum { TRY_MS = 2500 };

/* What is committed with the place where a new group begins: a member that starts in the same moment sees by
 * it that the group is new. */
static const char start_mark[] = "nightjar: start";

static nj_partition *partition_of(kafka_source *s, const char *topic, int32_t number)
{
    nj_partition *p = nj_partitions_find(&s->partitions, topic, number);
    if (p) return p->stream ? p : NULL;
    if (!(p = nj_partitions_add(&s->partitions, topic, number))) return NULL;
    char name[512];
    snprintf(name, sizeof name, "%s/%s[%" PRId32 "]", s->display, topic, number);
    p->stream = s->host->stream(s->host->opaque, name, topic, number);
    if (p->stream) p->stream->owner = p;
    if (p->stream && s->at_start && s->shard) {
        const rd_kafka_topic_partition_t *all = s->at_start->elems;
        while (all[p->stream->rank].partition != number || strcmp(all[p->stream->rank].topic, topic) != 0)
            p->stream->rank++;
    }
    return p->stream ? p : NULL;
}

/* --- what the brokers know --- */

typedef rd_kafka_topic_partition_list_t list_t;

/* Offsets of a time (ms since 1970, RD_KAFKA_OFFSET_END or _BEGINNING) for all partitions of the list, as a
 * new list; a negative offset = none. Not rd_kafka_query_watermark_offsets: with librdkafka 2.0.2 that
 * waits forever when the broker has just gone. */
static list_t *offsets_of(kafka_source *s, const list_t *list, int64_t time_ms, rd_kafka_resp_err_t *error)
{
    list_t *of = rd_kafka_topic_partition_list_copy(list);
    int64_t until = nj_now_ns() + NJ_KAFKA_QUERY_MS * (int64_t)1000000;
    do {
        for (int i = 0; i < of->cnt; i++) of->elems[i].offset = time_ms;
        *error = of->cnt ? rd_kafka_offsets_for_times(s->rk, of, nj_patience_ms(TRY_MS))
                         : RD_KAFKA_RESP_ERR_NO_ERROR;
    } while (*error == RD_KAFKA_RESP_ERR__TIMED_OUT && nj_now_ns() < until && !nj_stopping());
    for (int i = 0; i < of->cnt; i++)
        if (*error || of->elems[i].err) of->elems[i].offset = -1;
    return of;
}

static list_t *committed_of(kafka_source *s, const list_t *list, rd_kafka_resp_err_t *error)
{
    list_t *of = rd_kafka_topic_partition_list_copy(list);
    int64_t until = nj_now_ns() + NJ_KAFKA_QUERY_MS * (int64_t)1000000;
    do {
        *error = of->cnt ? rd_kafka_committed(s->rk, of, nj_patience_ms(TRY_MS)) : RD_KAFKA_RESP_ERR_NO_ERROR;
    } while (*error == RD_KAFKA_RESP_ERR__TIMED_OUT && nj_now_ns() < until && !nj_stopping());
    for (int i = 0; i < of->cnt; i++)
        if (*error || of->elems[i].err) of->elems[i].offset = -1;
    return of;
}

/* Has a group, of which nothing but this is known, worked before? */
static bool has_worked(const list_t *committed)
{
    for (int i = 0; i < committed->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &committed->elems[i];
        bool start = t->metadata_size == sizeof start_mark - 1 &&
                     !memcmp(t->metadata, start_mark, sizeof start_mark - 1);
        if (t->offset >= 0 && !start) return true;
    }
    return false;
}

/* from=committed,latest: only a new group begins with what comes from now on. In a group that has worked, a
 * topic without a place appeared while no member was there. */
static bool is_new_group(kafka_source *s, const list_t *committed)
{
    nj_error ignored;
    rd_kafka_resp_err_t e;
    if (has_worked(committed)) return false;
    list_t *all =
        s->whole_topic ? NULL : nj_kafka_topics(s->rk, &s->target, nj_patience_ms(TRY_MS), &ignored);
    list_t *of = all ? committed_of(s, all, &e) : NULL;
    bool worked = of && has_worked(of);
    if (of) rd_kafka_topic_partition_list_destroy(of);
    if (all) rd_kafka_topic_partition_list_destroy(all);
    return !worked;
}

/* --- where to begin --- */

/* An offset behind a partition's end: librdkafka would begin with the first message. Reading begins at the
 * end; when that is so of all partitions, the number was none of theirs. */
static void check_offsets(kafka_source *s, list_t *list, const list_t *high)
{
    int beyond = 0, known = 0;
    int64_t last = -1;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *end = &high->elems[i];
        known += end->offset >= 0; /* unknown: librdkafka reports it */
        if (end->offset > last) last = end->offset;
        if (end->offset < 0 || s->at.from_value <= end->offset) continue;
        beyond++;
        list->elems[i].offset = end->offset;
        nj_log(NJ_LOG_WARN,
               "%s: %s[%" PRId32 "] ends at offset %" PRId64 ", before from=offset:%" PRId64
               "; it is read from its end",
               s->display, end->topic, end->partition, end->offset, s->at.from_value);
    }
    if (beyond && beyond == known)
        nj_fail(&s->fatal,
                "%s: from=offset:%" PRId64 " is beyond the end of every partition; the last ends at %" PRId64,
                s->display, s->at.from_value, last);
}

/* The topic came after the run: to it all of the topic comes from now on. */
static bool is_younger(const kafka_source *s, const char *topic)
{
    if (!s->at_start) return false;
    for (int i = 0; i < s->at_start->cnt; i++)
        if (!strcmp(s->at_start->elems[i].topic, topic)) return false;
    return true;
}

/* Where a partition without commits begins, as `from` says: into the list. */
static void begin_from(kafka_source *s, list_t *list, const list_t *high, const list_t *committed)
{
    nj_from from = s->at.from;
    if (from == NJ_FROM_COMMITTED_LATEST) {
        from = NJ_FROM_EARLIEST;
        if (committed && is_new_group(s, committed)) {
            from = NJ_FROM_LATEST;
            nj_log(
                NJ_LOG_INFO,
                "%s: a new group: it begins with what comes from now on (from=committed,earliest takes what "
                "is kept)",
                s->display);
        }
    }
    rd_kafka_resp_err_t e = RD_KAFKA_RESP_ERR_NO_ERROR;
    list_t *of = from == NJ_FROM_TIME ? offsets_of(s, list, s->at.from_value, &e) : NULL;
    if (e) nj_kafka_fail(s, "where to begin is not known: ", e, rd_kafka_err2str(e));
    for (int i = 0; i < list->cnt; i++) {
        bool younger = from == NJ_FROM_LATEST && is_younger(s, list->elems[i].topic);
        int64_t at = from == NJ_FROM_OFFSET   ? s->at.from_value
                     : younger                ? RD_KAFKA_OFFSET_BEGINNING
                     : from == NJ_FROM_LATEST ? high->elems[i].offset
                     : of                     ? of->elems[i].offset
                                              : RD_KAFKA_OFFSET_BEGINNING;
        if (at < 0 && of) at = high->elems[i].offset; /* nothing is that young */
        if (at < 0 && !younger && from != NJ_FROM_EARLIEST && from != NJ_FROM_COMMITTED)
            at = RD_KAFKA_OFFSET_END;
        list->elems[i].offset = at;
    }
    if (of) rd_kafka_topic_partition_list_destroy(of);
    if (from == NJ_FROM_OFFSET && list->cnt) check_offsets(s, list, high);
}

/* The place where a partition continues, against what the broker has: what was deleted before it was read is
 * missing, and a place behind the end belonged to a topic of the same name. */
static int64_t go_on_at(kafka_source *s, nj_partition *p, int64_t at, int64_t low, int64_t high)
{
    if (high >= 0 && at > high) {
        nj_log(NJ_LOG_WARN,
               "%s ends at offset %" PRId64 ", before its place %" PRId64
               ": the topic was created again, or cut; it is read from its first message",
               p->stream->name, high, at);
        nj_partition_forget(&s->partitions, p);
        return low >= 0 ? low : RD_KAFKA_OFFSET_BEGINNING;
    }
    if (low <= at) return at;
    nj_kafka_missing(s, p, (uint64_t)(low - at), at, low);
    return low;
}

/* The outputs have a place, and the group has forgotten its own: a topic that is deleted takes what groups
 * have committed with it. If a message before the place was published after all that is written, the topic is
 * another one of that name. */
static bool is_another(kafka_source *s, const nj_partition *p, int64_t place, int64_t published)
{
    rd_kafka_resp_err_t e;
    if (published <= 0 || place <= 0) return false;
    list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, p->topic, p->number);
    list_t *later = offsets_of(s, one, published + 1, &e);
    bool another = !e && later->elems[0].offset >= 0 && later->elems[0].offset < place;
    rd_kafka_topic_partition_list_destroy(later);
    rd_kafka_topic_partition_list_destroy(one);
    if (another)
        nj_log(NJ_LOG_WARN,
               "%s: the group has no place in it any more, and before offset %" PRId64
               ", where the outputs stand, there are messages that came later: the topic was created again; "
               "it is read from its first message",
               p->stream->name, place);
    return another;
}

/* What is known of a partition's place: by the outputs on disk, by what this process has acknowledged, and by
 * the group (a commit may have been lost with a broker). -1: nothing. */
static int64_t place_of(kafka_source *s, nj_partition *p, int64_t committed, bool by_group)
{
    int64_t at = nj_partition_acked(&s->partitions, p), resume, published;
    if (!p->anew && s->host->resume &&
        s->host->resume(s->host->opaque, p->stream, &resume, &published) == 0 && resume > at) {
        if (by_group && committed < 0 && at < 0 && is_another(s, p, resume, published)) {
            nj_partition_forget(&s->partitions, p);
            return 0;
        }
        at = resume;
    }
    /* a sink commits places with its rows: what it has not committed it does not have, whatever others have
     * */
    if (s->handed_over && committed >= 0 && (by_group || at >= 0)) return committed;
    return by_group && committed > at ? committed : at;
}

/* A member that comes to a group which has read these partitions, and does not continue where it is, writes
 * what others have written: for a stream that is reported. */
static void report_again(kafka_source *s, const list_t *list)
{
    rd_kafka_resp_err_t e;
    list_t *committed = committed_of(s, list, &e);
    if (!e && has_worked(committed))
        nj_log(NJ_LOG_WARN,
               "%s: the group has read some of it already, and with this from= its alerts come again; "
               "from=committed continues where the group is, and several runs of a group need that",
               s->display);
    rd_kafka_topic_partition_list_destroy(committed);
}

/* The list's offsets: where each partition begins. A first assignment begins as `from` says; a later one
 * continues from what is known, and a topic that appears during the run is read from its beginning. */
static void find_places(kafka_source *s, list_t *list, bool first)
{
    bool plain = s->at.from == NJ_FROM_COMMITTED || s->at.from == NJ_FROM_COMMITTED_LATEST;
    rd_kafka_resp_err_t no_place = 0, no_low = 0, no_high = 0;
    list_t *committed = plain || !first || s->handed_over ? committed_of(s, list, &no_place) : NULL;
    /* earliest: what is there is read, and nothing can be missing */
    bool bare = first && s->at.from == NJ_FROM_EARLIEST && s->at.until != NJ_UNTIL_END && !s->host->resume;
    list_t *low = bare ? NULL : offsets_of(s, list, RD_KAFKA_OFFSET_BEGINNING, &no_low);
    list_t *high = bare ? NULL : offsets_of(s, list, RD_KAFKA_OFFSET_END, &no_high);
    if (no_high && first && (s->at.from == NJ_FROM_LATEST || s->at.from == NJ_FROM_TIME))
        nj_kafka_fail(s, "where to begin is not known: ", no_high, rd_kafka_err2str(no_high));
    if (no_high && s->at.until == NJ_UNTIL_END)
        nj_log(NJ_LOG_WARN, "%s: the ends of the partitions are not known: %s", s->display,
               rd_kafka_err2str(no_high));
    if (first) begin_from(s, list, high, no_place ? NULL : committed);
    if (first && !plain && list->cnt && s->live && !s->whole_topic) report_again(s, list);
    s->n_begun = 0;
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        nj_partition *p = partition_of(s, t->topic, t->partition);
        int64_t first_one = low ? low->elems[i].offset : -1, end = high ? high->elems[i].offset : -1;
        if (!p) {
            nj_fail(&s->fatal, "%s: no room for another partition", s->display);
            continue;
        }
        int64_t place = place_of(s, p, committed ? committed->elems[i].offset : -1, plain || !first);
        if (place >= 0)
            t->offset = go_on_at(s, p, place, first_one, end);
        else if (no_place)
            t->offset = RD_KAFKA_OFFSET_STORED;
        else if (!first)
            t->offset =
                p->known && p->start != RD_KAFKA_OFFSET_INVALID ? p->start : RD_KAFKA_OFFSET_BEGINNING;
        if (s->at.from == NJ_FROM_COMMITTED_LATEST && t->offset == RD_KAFKA_OFFSET_BEGINNING &&
            first_one >= 0)
            t->offset = first_one; /* a number can be committed: the next start must not take it for old */
        nj_debug(NJ_DEBUG_KAFKA,
                 "%s begins at offset %" PRId64 " (place %" PRId64 ", of %" PRId64 " to %" PRId64 ")",
                 p->stream->name, t->offset, place, first_one, end);
        nj_partition_bounds(&s->partitions, p, first_one, end);
        if (s->at.until == NJ_UNTIL_END && p->end < 0) p->end = end;
        p->begun = t->offset >= 0 && place < 0;
        s->n_begun += p->begun;
    }
    if (committed) rd_kafka_topic_partition_list_destroy(committed);
    if (low) rd_kafka_topic_partition_list_destroy(low);
    if (high) rd_kafka_topic_partition_list_destroy(high);
}

/* A place that was found by `from` is committed before there is anything to acknowledge: a run that ends, or
 * is killed, before the first alert continues from there. */
static void commit_places(kafka_source *s, const list_t *list)
{
    list_t *begun = rd_kafka_topic_partition_list_new(s->n_begun);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &list->elems[i];
        const nj_partition *p = nj_partitions_find(&s->partitions, t->topic, t->partition);
        if (!p || !p->begun) continue;
        rd_kafka_topic_partition_t *b = rd_kafka_topic_partition_list_add(begun, t->topic, t->partition);
        b->offset = t->offset;
        b->metadata = strdup(start_mark);
        b->metadata_size = b->metadata ? sizeof start_mark - 1 : 0;
    }
    rd_kafka_resp_err_t e = begun->cnt ? rd_kafka_commit(s->rk, begun, 1) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (e) nj_log(NJ_LOG_WARN, "%s: the beginning is not committed: %s", s->display, rd_kafka_err2str(e));
    rd_kafka_topic_partition_list_destroy(begun);
}

/* --- assignments --- */

/* Messages of a partition go to a queue of their own, so that the group can be served while there is no
 * room for messages. */
static void separate(kafka_source *s, const list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_queue_t *of =
            rd_kafka_queue_get_partition(s->rk, list->elems[i].topic, list->elems[i].partition);
        if (!of) continue; /* they come with the group's events, then */
        rd_kafka_queue_forward(of, s->messages);
        rd_kafka_queue_destroy(of);
    }
}

static void on_assign(kafka_source *s, list_t *list)
{
    find_places(s, list, !s->assigns);
    s->assigns += list->cnt > 0; /* with cooperative members the first one may be empty */
    for (int i = 0; i < list->cnt; i++) {
        nj_partition *p = partition_of(s, list->elems[i].topic, list->elems[i].partition);
        if (p) nj_partition_assign(&s->partitions, p, list->elems[i].offset);
    }
    separate(s, list);
    __atomic_fetch_add(&s->n_assigned, list->cnt, __ATOMIC_RELAXED);
    __atomic_store_n(&s->answered, 1, __ATOMIC_RELAXED);
    s->last_ns = nj_now_ns();
}

/* A message that waits for room and is of a partition that went: who has the partition now reads it. */
static void drop_kept(kafka_source *s, const rd_kafka_topic_partition_t *gone)
{
    if (!s->kept || s->kept->partition != gone->partition) return;
    if (strcmp(rd_kafka_topic_name(s->kept->rkt), gone->topic)) return;
    rd_kafka_message_destroy(s->kept);
    s->kept = NULL;
}

static void on_revoke(kafka_source *s, const list_t *list, int lost)
{
    int64_t deadline = nj_now_ns() + (int64_t)(s->conf.drain_s * 1e9);
    for (int i = 0; i < list->cnt; i++) {
        nj_partition *p = nj_partitions_find(&s->partitions, list->elems[i].topic, list->elems[i].partition);
        drop_kept(s, list->elems + i);
        if (!p) continue;
        int64_t left_ms = (deadline - nj_now_ns()) / 1000000;
        if (!lost && nj_partition_in_flight(&s->partitions, p))
            s->host->drain(s->host->opaque, p->stream, left_ms > 0 ? (int)left_ms : 0);
        uint64_t again = nj_partition_revoke(&s->partitions, p);
        if (again) s->host->returned(s->host->opaque, p->stream, again);
    }
    __atomic_fetch_sub(&s->n_assigned, list->cnt, __ATOMIC_RELAXED);
}

void nj_kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event, list_t *list, void *opaque)
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
    if (assign && s->n_begun) commit_places(s, list);
    if (assign) nj_kafka_unowned_soon(s);
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
    list_t *list = rd_kafka_topic_partition_list_new(64);
    for (int i = 0; m->topic_cnt && i < m->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(list, s->target.topic, m->topics[0].partitions[i].id);
    rd_kafka_metadata_destroy(m);
    on_assign(s, list);
    e = rd_kafka_assign(s->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return e ? nj_fail(err, "%s: %s", s->display, rd_kafka_err2str(e)) : 0;
}

/* Every N-th partition of all the topics, by their names; none: there is nothing to wait for. */
static int assign_shard(kafka_source *s, nj_error *err)
{
    char name[512];
    if (!(s->at_start = nj_kafka_topics(s->rk, &s->target, NJ_KAFKA_QUERY_MS, err))) return -1;
    snprintf(name, sizeof name, "%s/%s", s->display, s->target.topic);
    nj_stream *all = s->host->stream(s->host->opaque, name, s->target.topic, -1);
    if (!all) return nj_fail(err, "%s: no room for another source", s->display);
    list_t *list = rd_kafka_topic_partition_list_new(64);
    for (int i = 0; i < s->at_start->cnt; i++)
        if (nj_shard_take(s->shard, all, "partition", (uint64_t)i))
            rd_kafka_topic_partition_list_add(list, s->at_start->elems[i].topic,
                                              s->at_start->elems[i].partition);
    rd_kafka_resp_err_t e = RD_KAFKA_RESP_ERR_NO_ERROR;
    s->finished = list->cnt == 0;
    if (list->cnt) {
        on_assign(s, list);
        e = rd_kafka_assign(s->rk, list);
    }
    if (!e && s->n_begun) commit_places(s, list);
    rd_kafka_topic_partition_list_destroy(list);
    return e ? nj_fail(err, "%s: %s", s->display, rd_kafka_err2str(e)) : 0;
}

int nj_kafka_subscribe(kafka_source *s, nj_error *err)
{
    if (s->shard) return assign_shard(s, err);
    if (s->whole_topic) return assign_whole_topic(s, err);
    list_t *list = rd_kafka_topic_partition_list_new(4);
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
