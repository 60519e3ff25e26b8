/* kafka_unowned.c - a group gives a static member that comes back what it had, and does not look whether
 * there is more: partitions that were added meanwhile would be nobody's. So the member looks, and joins once
 * more for them, which makes the group share out anew. */
#include <stdio.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/patience.h"
#include "../kafka/topics.h"
#include "kafka_parts.h"

enum {
    FIRST_MS = 200, /* behind an assignment */
    AGAIN_MS = 1000,
    ASK_MS = 2500,
    UNKNOWN_MOST = 5,
    JOINS_MOST = 3
};

typedef rd_kafka_topic_partition_list_t list_t;

/* --- who has what: the assignment of a member, as the protocol of consumers has it --- */

typedef struct bytes {
    const uint8_t *at, *end;
} bytes;

static bool take(bytes *b, size_t n, int64_t *value)
{
    if ((size_t)(b->end - b->at) < n) return false;
    *value = (int8_t)b->at[0];
    for (size_t i = 1; i < n; i++) *value = *value * 256 + b->at[i];
    b->at += n;
    return true;
}

/* Takes from the list what the member has: a version, then topics with their partitions. */
static bool take_owned(list_t *list, const void *assignment, int size)
{
    bytes b = { assignment, (const uint8_t *)assignment + (size > 0 ? size : 0) };
    int64_t version, topics, length, partitions, number;
    char topic[256];
    if (size <= 0) return true; /* it has nothing */
    if (!take(&b, 2, &version) || !take(&b, 4, &topics)) return false;
    for (; topics > 0; topics--) {
        if (!take(&b, 2, &length) || length < 0 || length >= (int64_t)sizeof topic || b.end - b.at < length)
            return false;
        memcpy(topic, b.at, (size_t)length);
        topic[length] = 0;
        b.at += length;
        if (!take(&b, 4, &partitions)) return false;
        for (; partitions > 0; partitions--) {
            if (!take(&b, 4, &number)) return false;
            rd_kafka_topic_partition_list_del(list, topic, (int32_t)number);
        }
    }
    return true;
}

typedef enum answer { UNKNOWN, MOVING, KNOWN } answer;

/* A group that is sharing out does so with what its members know now. */
static answer take_members(kafka_source *s, list_t *list, int *members)
{
    char group[384] = "";
    size_t n = sizeof group;
    const struct rd_kafka_group_list *found = NULL;
    if (rd_kafka_conf_get(rd_kafka_conf(s->rk), "group.id", group, &n) != RD_KAFKA_CONF_OK) return UNKNOWN;
    rd_kafka_resp_err_t e = rd_kafka_list_groups(s->rk, group, &found, nj_patience_ms(ASK_MS));
    bool one = !e && found && found->group_cnt == 1;
    answer known = !one ? UNKNOWN : strcmp(found->groups[0].state, "Stable") ? MOVING : KNOWN;
    *members = one ? found->groups[0].member_cnt : 0;
    for (int i = 0; known == KNOWN && i < *members; i++)
        if (!take_owned(list, found->groups[0].members[i].member_assignment,
                        found->groups[0].members[i].member_assignment_size))
            known = UNKNOWN;
    nj_debug(NJ_DEBUG_KAFKA, "%s: group %s: %s, %d members", s->display, group,
             one ? found->groups[0].state
             : e ? rd_kafka_err2str(e)
                 : "not found",
             *members);
    if (found) rd_kafka_group_list_destroy(found);
    return known;
}

/* Those of the list that no member has. */
static answer look(kafka_source *s, list_t **unowned, int *members)
{
    nj_error ignored;
    list_t *list = *unowned = nj_kafka_topics(s->rk, &s->target, nj_patience_ms(ASK_MS), &ignored);
    if (!list) return UNKNOWN;
    for (int i = list->cnt - 1; i >= 0; i--) {
        const nj_partition *p =
            nj_partitions_find(&s->partitions, list->elems[i].topic, list->elems[i].partition);
        if (p && p->assigned) rd_kafka_topic_partition_list_del_by_idx(list, i);
    }
    return list->cnt ? take_members(s, list, members) : KNOWN;
}

/* --- and what is done about it --- */

static void soon(kafka_source *s, int ms)
{
    s->unowned.next_ns = nj_now_ns() + ms * (int64_t)1000000;
}

void nj_kafka_unowned_soon(kafka_source *s)
{
    if (!s->has_name || s->whole_topic || s->shard) return;
    s->unowned.seen = false;
    s->unowned.unknown = 0;
    soon(s, FIRST_MS);
}

/* A static member does not leave by this, and keeps its name. */
static void join_again(kafka_source *s, const char *why)
{
    s->unowned.joins++;
    nj_log(NJ_LOG_INFO, "%s: %s; it joins its group again", s->display, why);
    rd_kafka_resp_err_t e = rd_kafka_unsubscribe(s->rk);
    if (e) nj_log(NJ_LOG_WARN, "%s: unsubscribing: %s", s->display, rd_kafka_err2str(e));
    nj_kafka_subscribe(s, &s->fatal);
}

void nj_kafka_unowned_look(kafka_source *s, int64_t now)
{
    char why[400];
    int members = 0;
    list_t *list;
    if (!s->unowned.next_ns || now < s->unowned.next_ns || nj_stopping()) return;
    s->unowned.next_ns = 0;
    answer known = look(s, &list, &members);
    bool any = known == KNOWN && list->cnt;
    if (known == KNOWN && !any) s->unowned.joins = 0;
    if (known == MOVING || (known == UNKNOWN && ++s->unowned.unknown < UNKNOWN_MOST)) {
        soon(s, AGAIN_MS);
    } else if (any && members > 1 && !s->unowned.seen) {
        /* another member may be giving them up, to one that gets them when it has written what it had */
        s->unowned.seen = true;
        soon(s, AGAIN_MS + (int)(s->conf.drain_s * 1000));
    } else if (any) {
        snprintf(why, sizeof why, "%s[%d] and %d more partitions have no member", list->elems[0].topic,
                 (int)list->elems[0].partition, list->cnt - 1);
        if (s->unowned.joins < JOINS_MOST)
            join_again(s, why);
        else
            nj_log(NJ_LOG_WARN, "%s: %s, though it joined its group again", s->display, why);
    } else if (known == UNKNOWN && !s->unowned.joins) {
        join_again(s, "whether each partition has a member is not known");
    }
    if (list) rd_kafka_topic_partition_list_destroy(list);
}
