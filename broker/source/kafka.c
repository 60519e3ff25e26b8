/* kafka.c - a survey's live stream is a Kafka topic; this consumes it and commits only what was
 * acknowledged. */
#include "kafka_parts.h"

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "../kafka/topics.h"

enum {
    ASK_MS = 3000, /* which topics are there? */
    CLOSE_MS = 15000,
    CLOSE_UNUSED_MS = 1000, /* nothing was ever assigned, so there is nothing to commit */
    FINAL_ERRORS = 5        /* refusals in a row before a running stream gives up:
                             * a broker may restart with stale secrets */
};

static const nj_kafka_pair preset[] = {
    /* ack() stores, when every sink has it */
    { "enable.auto.commit", "true" },
    { "enable.auto.offset.store", "false" },
    /* what is on the disk and not yet heard of by the group is written again by the member that takes over
     * from a dead one. Not rd_kafka_commit() at each commit of the outputs: in a rebalance that has an old
     * generation, and librdkafka then gives up all partitions; its timer waits until the rebalance is over */
    { "auto.commit.interval.ms", "50" },
    { "auto.offset.reset", "earliest" },
    { "enable.partition.eof", "true" },
    /* members keep what they have while others come and go */
    { "partition.assignment.strategy", "cooperative-sticky" },
    /* the default of 100 000 is 7 GB of alerts */
    { "allow.auto.create.topics", "false" },
    { "queued.min.messages", "1000" },
    { "queued.max.messages.kbytes", "32768" },
    { "fetch.max.bytes", "16777216" },
    { 0 }
};
static const char *const fixed[] = { "enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof",
                                     "bootstrap.servers", NULL };

int nj_kafka_fail(kafka_source *s, const char *what, rd_kafka_resp_err_t error, const char *reason)
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
        nj_kafka_fail(s, "", error, reason);
    else
        nj_log_limited(&s->warned_down, 20, NJ_LOG_WARN, "%s: %s; continuing", s->display, reason);
}

void nj_kafka_report_missing(kafka_source *s, nj_partition *p, uint64_t n, const char *why)
{
    if (s->host->missing)
        s->host->missing(s->host->opaque, p->stream, n, why);
    else
        nj_log(NJ_LOG_WARN, "%s: %" PRIu64 " alerts are missing: %s", p->stream->name, n, why);
}

void nj_kafka_missing(kafka_source *s, nj_partition *p, uint64_t n, int64_t from, int64_t to)
{
    char why[160];
    snprintf(why, sizeof why, "the broker deleted offsets %" PRId64 " to %" PRId64 " before they were read",
             from, to - 1);
    nj_kafka_report_missing(s, p, n, why);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list,
                      void *opaque)
{
    (void)rk;
    kafka_source *s = opaque;
    for (int i = 0; list && i < list->cnt; i++)
        nj_debug(NJ_DEBUG_KAFKA, "%s[%d]: commit of offset %" PRId64 ": %s", list->elems[i].topic,
                 list->elems[i].partition, list->elems[i].offset,
                 rd_kafka_err2str(error ? error : list->elems[i].err));
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET)
        nj_log_limited(&s->warned_commit, 10, NJ_LOG_WARN,
                       "%s: offsets were not committed and will be sent again: %s", s->display,
                       rd_kafka_err2str(error));
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
    rd_kafka_conf_set_rebalance_cb(conf, nj_kafka_rebalance);
    bool joins = s->live && !s->whole_topic;
    int no_group = nj_kafka_set_group(conf, s->at.group, err);
    if (!no_group && joins) s->at_start = nj_kafka_topics_now(conf, &s->target, nj_patience_ms(ASK_MS));
    if (no_group ||
        (joins && nj_kafka_set_member(conf, s->settings, &s->target, s->host->whose, &s->member, err))) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    size_t name_size = 0;
    s->has_name =
        rd_kafka_conf_get(conf, "group.instance.id", NULL, &name_size) == RD_KAFKA_CONF_OK && name_size > 1;
    nj_fetch_prepare(&s->fetch, conf, s->settings);
    s->rk = nj_kafka_client(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!s->rk) {
        rd_kafka_conf_destroy(conf);
        return nj_fail(err, "%s: %s", s->display, why);
    }
    rd_kafka_poll_set_consumer(s->rk);
    s->messages = rd_kafka_queue_new(s->rk);
    nj_fetch_begin(&s->fetch, s->messages);
    if (!args->quiet)
        nj_log(NJ_LOG_INFO, "%s: topic %s, librdkafka %s", s->display, s->target.topic,
               rd_kafka_version_str());
    if (nj_kafka_subscribe(s, err)) return -1;
    s->watch = nj_kafka_watch_start(s->rk, &s->partitions, s->conf.lag_s);
    return 0;
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

/* Commits what was stored, but does not wait forever for brokers that are gone. */
static void close_consumer(kafka_source *s)
{
    int wait_ms = nj_patience_ms(s->assigns ? CLOSE_MS : CLOSE_UNUSED_MS);
    int64_t deadline = nj_now_ns() + wait_ms * (int64_t)1000000;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
    rd_kafka_error_t *e = rd_kafka_consumer_close_queue(s->rk, queue);
    while (!e && !rd_kafka_consumer_closed(s->rk) && nj_now_ns() < deadline) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 50);
        if (event) serve_close(s, event);
    }
    int closed = !e && rd_kafka_consumer_closed(s->rk);
    if (e) rd_kafka_error_destroy(e);
    rd_kafka_queue_destroy(queue);
    rd_kafka_queue_destroy(s->messages);
    if (!closed && s->n_handed)
        nj_log(NJ_LOG_WARN, "%s: no broker took the last offsets; some alerts will come again", s->display);
    nj_kafka_end(s->rk, closed ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, s->display);
}

static void close_kafka(nj_source *source)
{
    kafka_source *s = (kafka_source *)source;
    nj_kafka_watch_stop(s->watch);
    if (s->kept) rd_kafka_message_destroy(s->kept);
    nj_skipped_report(&s->skipped, s->host, s->display, "message");
    if (s->rk) close_consumer(s);
    nj_kafka_own_leave(&s->member);
    if (s->stale_acks)
        nj_log(NJ_LOG_INFO, "%s: %" PRIu64 " acknowledgements came after their partition had moved",
               s->display, s->stale_acks);
    nj_partitions_free(&s->partitions);
    if (s->at_start) rd_kafka_topic_partition_list_destroy(s->at_start);
    if (s->others_end) rd_kafka_topic_partition_list_destroy(s->others_end);
    nj_kafka_target_free(&s->target);
    for (uint32_t i = 0; i < s->n_transfers; i++) {
        free(s->transfer[i].topic);
        free(s->transfer[i].schema);
    }
    free(s->transfer);
    free(s->display);
    free(s->cluster);
    free(s);
}

/* What N readers that know nothing of each other can share. */
static int check_shard(const kafka_source *s, const char *spec, nj_error *err)
{
    if (s->shard->by != NJ_SHARD_PART)
        return nj_fail(err,
                       "%s: --shard-by %s: each shard would read all partitions, and their group has one "
                       "place in each; a topic is shared by partition",
                       spec, nj_shard_by_name[s->shard->by]);
    if (s->at.until == NJ_UNTIL_STOPPED)
        return nj_fail(err,
                       "%s: --shard: a stream without an end is shared by its consumer group; runs without "
                       "--shard in one group do that; for a night add until=end",
                       spec);
    if (s->at.until == NJ_UNTIL_COUNT)
        return nj_fail(err, "%s: --shard: until=count:N would be N messages of each shard; use until=end",
                       spec);
    if (s->at.from == NJ_FROM_LATEST || s->at.from == NJ_FROM_COMMITTED_LATEST)
        return nj_fail(err,
                       "%s: --shard: from=latest is another place for each shard, as they start; name a time "
                       "or an offset",
                       spec);
    return 0;
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
    s->member.lock = -1;
    s->settings = args->source->settings;
    s->host = args->source->host;
    s->target = *args->target;
    s->display = display;
    s->whole_topic = args->whole_topic;
    s->shard = args->source->shard;
    s->opened_ns = s->last_ns = s->left_ns = nj_now_ns();
    nj_partitions_init(&s->partitions);
    nj_error why;
    int bad = nj_positions_parse(&s->at, s->target.query, &why);
    if (bad)
        nj_fail(err, "%s: %s", args->source->spec, why.text);
    else
        bad = nj_source_configure(s->settings, &s->conf, err);
    if (!bad && s->shard) bad = check_shard(s, args->source->spec, err);
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

void nj_kafka_store(kafka_source *s, const nj_partition *p, int64_t offset)
{
    if (s->handed_over) return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, p->topic, p->number)->offset = offset;
    rd_kafka_resp_err_t e = rd_kafka_offsets_store(s->rk, list);
    if (e) __atomic_fetch_add(&s->stale_acks, 1, __ATOMIC_RELAXED); /* _STATE: it moved in this very moment */
    rd_kafka_topic_partition_list_destroy(list);
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
    nj_kafka_store(s, p, nj_partition_done(&s->partitions, p, next_offset));
}

static int match_kafka(const char *spec)
{
    return !strncmp(spec, "kafka://", 8);
}

/* What the watching thread has heard from the brokers: true also while nothing is taken. */
static void lag(const nj_source *source, nj_source_lag *each, void *opaque)
{
    kafka_source *s = (kafka_source *)(uintptr_t)source;
    const nj_stream *stream = NULL;
    int64_t done, end;
    pthread_mutex_lock(&s->partitions.lock);
    size_t n = s->partitions.n;
    pthread_mutex_unlock(&s->partitions.lock);
    for (size_t i = 0; i < n; i++)
        if (nj_partition_look(&s->partitions, i, &stream, &done, &end)) each(opaque, stream, done, end);
}

static const char *cluster(nj_source *source)
{
    kafka_source *s = (kafka_source *)source;
    if (!s->cluster) {
        char *id = rd_kafka_clusterid(s->rk, nj_patience_ms(NJ_KAFKA_QUERY_MS));
        if (id) s->cluster = strdup(id);
        if (id) rd_kafka_mem_free(s->rk, id);
    }
    return s->cluster;
}

static void hand_over(nj_source *source)
{
    ((kafka_source *)source)->handed_over = true;
}

static void *group_now(nj_source *source)
{
    return rd_kafka_consumer_group_metadata(((kafka_source *)source)->rk);
}

static nj_source_state ready(const nj_source *source)
{
    const kafka_source *s = (const kafka_source *)source;
    if (__atomic_load_n(&s->n_assigned, __ATOMIC_RELAXED) > 0) return NJ_SOURCE_READY;
    return __atomic_load_n(&s->answered, __ATOMIC_RELAXED) ? NJ_SOURCE_WAITS : NJ_SOURCE_ASKS;
}

const nj_source_class nj_source_kafka = {
    .name = "kafka",
    .form = "kafka://HOST:PORT[,HOST:PORT]/TOPIC[,TOPIC] or /^REGEX [?group=G&from=...&until=...]",
    .query =
        "group=NAME the consumer group (nightjar; USER-nightjar when there is a sasl.username)\n"
        "from=committed,latest what the group has committed; a new group begins with what comes from now on "
        "(the default without until=)\n"
        "from=committed what the group has committed, else the earliest message (the default with until=)\n"
        "from=earliest, latest, OFFSET, TIME the first assignment of this process begins there; a number "
        "from 10^11 on is ms since 1970, 2026-01-31T20:00:00 is UTC\n"
        "until=idle:SECONDS ends when nothing came for so long and every partition was read to its end\n"
        "until=end ends at the high watermarks as they were at the start\n"
        "until=count:N ends after N messages\n",
    .doc = "a consumer group's share of the topics; offsets are committed when every sink has the rows",
    .match = match_kafka,
    .open = open_kafka,
    .next = nj_kafka_next,
    .ack = ack,
    .close = close_kafka,
    .lag = lag,
    .ready = ready,
    .tend = nj_kafka_tend,
    .finish = nj_kafka_finish,
    .cluster = cluster,
    .hand_over = hand_over,
    .group = group_now
};
