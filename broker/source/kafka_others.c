/* kafka_others.c - until=end and until=idle of a member of a group: partitions that it does not have are
 * another member's, which may be dead until its session ends. The run is over when those are read, too; if
 * the group takes them from the dead one, they come here. */
#include <inttypes.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/patience.h"
#include "../kafka/topics.h"
#include "kafka_parts.h"

enum { LOOK_MS = 500, ASK_MS = 3000, WAIT_MS = 120000 };

typedef rd_kafka_topic_partition_list_t list_t;

static bool is_ours(kafka_source *s, const rd_kafka_topic_partition_t *t)
{
    const nj_partition *p = nj_partitions_find(&s->partitions, t->topic, t->partition);
    return p && p->assigned;
}

/* All partitions of the topics but ours. NULL: no broker answered. */
static list_t *others_now(kafka_source *s)
{
    nj_error ignored;
    list_t *all = nj_kafka_topics(s->rk, &s->target, nj_patience_ms(ASK_MS), &ignored), *others;
    if (!all) return NULL;
    others = rd_kafka_topic_partition_list_new(all->cnt);
    for (int i = 0; i < all->cnt; i++)
        if (!is_ours(s, &all->elems[i]) && !nj_kafka_is_schema_topic(all->elems[i].topic))
            rd_kafka_topic_partition_list_add(others, all->elems[i].topic, all->elems[i].partition);
    rd_kafka_topic_partition_list_destroy(all);
    return others;
}

static list_t *ask(kafka_source *s, const list_t *list, int64_t what)
{
    list_t *of = rd_kafka_topic_partition_list_copy(list);
    for (int i = 0; i < of->cnt; i++) of->elems[i].offset = what;
    rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(s->rk, of, nj_patience_ms(ASK_MS));
    if (!e) return of;
    rd_kafka_topic_partition_list_destroy(of);
    return NULL;
}

/* Where they end is asked once: a topic that grows has no other end. Those that were not known then have none
 * that counts. */
static int64_t end_of(kafka_source *s, const rd_kafka_topic_partition_t *t)
{
    const rd_kafka_topic_partition_t *end =
        rd_kafka_topic_partition_list_find(s->others_end, t->topic, t->partition);
    return end && !end->err ? end->offset : 0;
}

/* How many of them the group has not read to their ends; *at is what it has read, in all. */
static int unread_of(kafka_source *s, const list_t *committed, const list_t *first, int64_t *at, int *which)
{
    int n = 0;
    for (int i = 0; i < committed->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &committed->elems[i];
        int64_t end = end_of(s, t);
        bool empty = end <= 0 || (first->elems[i].offset >= 0 && first->elems[i].offset >= end);
        if (t->offset > 0) *at += t->offset;
        if (empty || t->offset >= end) continue;
        if (n++ == 0) *which = i;
    }
    return n;
}

static void report(kafka_source *s, const rd_kafka_topic_partition_t *t, int n, bool given_up)
{
    char text[512], read[40] = "nothing";
    if (t->offset >= 0) snprintf(read, sizeof read, "offset %" PRId64, t->offset);
    snprintf(
        text, sizeof text,
        "%s: %d of the partitions have another member of the group, which has not read them to their end "
        "(%s[%d]: %s of %" PRId64 ")",
        s->display, n, t->topic, (int)t->partition, read, end_of(s, t));
    nj_log(given_up ? NJ_LOG_WARN : NJ_LOG_INFO, "%s; %s", text,
           given_up ? "it makes no progress: the run ends without them" : "waiting for it");
    if (given_up && s->host->early) s->host->early(s->host->opaque, text);
}

bool nj_kafka_others_done(kafka_source *s, int64_t now)
{
    if (s->whole_topic || s->shard) return true;
    if (now < s->others_next_ns) return false;
    if (!s->others_next_ns) s->others_since_ns = now;
    s->others_next_ns = now + LOOK_MS * (int64_t)1000000;
    list_t *others = others_now(s), *first = NULL, *committed = NULL;
    int n = others ? others->cnt : -1, which = 0;
    int64_t at = 0;
    if (n > 0) {
        if (!s->others_end) s->others_end = ask(s, others, RD_KAFKA_OFFSET_END);
        first = s->others_end ? ask(s, others, RD_KAFKA_OFFSET_BEGINNING) : NULL;
        committed = first ? rd_kafka_topic_partition_list_copy(others) : NULL;
        if (!committed || rd_kafka_committed(s->rk, committed, nj_patience_ms(ASK_MS)))
            n = -1;
        else
            n = unread_of(s, committed, first, &at, &which);
    }
    if (at != s->others_at) s->others_since_ns = now;
    s->others_at = at;
    bool given_up = n && nj_now_ns() - s->others_since_ns > WAIT_MS * (int64_t)1000000;
    if (n > 0 && (given_up || !s->others_said)) report(s, &committed->elems[which], n, given_up);
    if (n < 0 && given_up)
        nj_log(NJ_LOG_WARN, "%s: whether other members have partitions that are not read is not known",
               s->display);
    s->others_said |= n > 0;
    if (others) rd_kafka_topic_partition_list_destroy(others);
    if (first) rd_kafka_topic_partition_list_destroy(first);
    if (committed) rd_kafka_topic_partition_list_destroy(committed);
    return !n || given_up;
}
