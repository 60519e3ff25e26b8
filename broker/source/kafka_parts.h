/* kafka_parts.h - the Kafka source's state, shared by kafka.c (open, close, acknowledge), kafka_assign.c
 * (partitions come and go), kafka_poll.c (messages, and where they end) and kafka_watch.c (what the brokers
 * have). */
#ifndef NJ_SOURCE_KAFKA_PARTS_H
#define NJ_SOURCE_KAFKA_PARTS_H

#include "../base/log.h"
#include "../kafka/fetch.h"
#include "../kafka/member.h"
#include "../kafka/partition.h"
#include "../kafka/position.h"
#include "classes.h"
#include "kafka.h"

enum { NJ_KAFKA_QUERY_MS = 10000 }; /* for offsets and metadata */

typedef struct kafka_source {
    nj_source base;
    nj_source_conf conf;
    int64_t contact_ns;
    nj_settings *settings;
    const nj_source_host *host;
    rd_kafka_t *rk;
    rd_kafka_queue_t *messages; /* of all partitions; the group's events and errors have the consumer's own */
    rd_kafka_message_t *kept;   /* came with those while nothing could be taken */
    int64_t served_ns;          /* when those were last looked at */
    struct nj_kafka_watch *watch;
    nj_kafka_target target;
    char *cluster;            /* its id; NULL = not asked yet */
    _Atomic bool handed_over; /* a sink commits the offsets */
    const nj_shard *shard;
    rd_kafka_topic_partition_list_t *at_start; /* what there was then; NULL = not known */
    nj_kafka_own member;                       /* keeps the name of a static member */
    bool has_name;                             /* it is one */
    nj_positions at;
    char *display;
    nj_partitions partitions;
    int answered; /* atomic: partitions were assigned, or the server has none yet */
    int assigns,
        n_assigned; /* ASSIGN events with partitions so far; partitions held now, atomic for ready() */
    int n_begun;    /* of the last one: those that `from` placed */
    int live, finished, whole_topic, cooperative;
    int64_t opened_ns, last_ns; /* last_ns: last message or assignment */
    int64_t left_ns;            /* when next() last returned */
    int64_t n_handed;
    uint64_t stale_acks; /* __atomic */
    nj_fetch fetch;
    struct transfer {
        char *topic, *schema; /* schema NULL: none was found */
        size_t size;
        int64_t asked_ns;
    } * transfer; /* [n_transfers] topics of Fink's data transfer */
    uint32_t n_transfers;
    rd_kafka_topic_partition_list_t *others_end; /* where partitions of other members end; NULL = not asked */
    int64_t others_next_ns, others_since_ns;     /* next look at them; since when nothing of them was read */
    int64_t others_at;                           /* offsets that the group had then, in all */
    bool others_said;
    struct {
        int64_t next_ns;    /* when it is looked at; 0 = not at all */
        int unknown, joins; /* looks without an answer, and times that it joined for their sake */
        bool seen;          /* by the look before */
    } unowned;              /* partitions without a member */
    nj_skipped skipped;     /* null and empty payloads */
    int refusals;
    nj_error fatal;      /* text[0] set: the next call of next() ends with it */
    bool looked;         /* whether there is such a topic */
    int64_t reported_ns; /* when it was last reported that there is nothing to read */
    nj_log_limit warned_down, warned_topic, warned_other, warned_commit;
} kafka_source;

/* kafka.c */
/* The next call of next() ends with it. */
int nj_kafka_fail(kafka_source *s, const char *what, rd_kafka_resp_err_t error, const char *reason);
/* Up to here all is done; any thread. */
void nj_kafka_store(kafka_source *s, const nj_partition *p, int64_t offset);

/* Offsets from..to-1 never came: n alerts, at most. */
void nj_kafka_missing(kafka_source *s, nj_partition *p, uint64_t n, int64_t from, int64_t to);
void nj_kafka_report_missing(kafka_source *s, nj_partition *p, uint64_t n, const char *why);

/* kafka_assign.c */
void nj_kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t *list,
                        void *opaque);
int nj_kafka_subscribe(kafka_source *s, nj_error *err);

/* kafka_poll.c */
nj_next nj_kafka_next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err);
void nj_kafka_tend(nj_source *source);
void nj_kafka_finish(nj_source *source);

/* kafka_others.c */
/* Of a run that is to end: are the partitions that other members have read to their ends, too? False: not
 * yet, or not known. For 120 s without progress it waits, then it reports them and is true. */
bool nj_kafka_others_done(kafka_source *s, int64_t now);

/* kafka_unowned.c */
/* Partitions came or went, or it has just joined: are there some that no member has? */
void nj_kafka_unowned_soon(kafka_source *s);
/* Looks, when it is time, and joins the group again for them. */
void nj_kafka_unowned_look(kafka_source *s, int64_t now);

/* kafka_reader.c */
/* A consumer beside `of` for assigned partitions; reset: "earliest" or "latest". NULL: it was not made. */
rd_kafka_t *nj_kafka_reader_like(rd_kafka_t *of, const char *reset);

/* kafka_behind.c */
/* Is it an error of what a broker keeps, which the next fetch meets again? */
bool nj_kafka_is_spoilt(rd_kafka_resp_err_t error);
/* The first offset behind a batch that cannot be unpacked, which holds `offset`; -1: it was not found. */
int64_t nj_kafka_behind(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t offset);

/* kafka_schema.c: Fink's data transfer, ftransfer_... and ftransfer_..._schema */
bool nj_kafka_is_transfer(const char *topic);
bool nj_kafka_is_schema_topic(const char *topic);
/* The key of the first message of TOPIC_schema that may be a schema; the caller frees it. NULL: none came. */
char *nj_kafka_schema_of(rd_kafka_t *of, const char *topic, size_t *size);

/* kafka_watch.c: a thread that asks the brokers where partitions begin and end */
typedef struct nj_kafka_watch nj_kafka_watch;
/* NULL: there is no thread, and nothing is known */
nj_kafka_watch *nj_kafka_watch_start(rd_kafka_t *rk, nj_partitions *partitions, double every_s);
void nj_kafka_watch_stop(nj_kafka_watch *watch);
/* Asks now, in this thread, when there are offsets without messages and without an explanation. */
void nj_kafka_explain(rd_kafka_t *rk, nj_partitions *partitions, int timeout_ms);

#endif
