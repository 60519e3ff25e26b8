/* member.h - the name of a static member of a consumer group. A member that comes back under its name
 * within the session's time has its partitions at once, without a rebalance of the others. */
#ifndef NJ_KAFKA_MEMBER_H
#define NJ_KAFKA_MEMBER_H

#include "kafka.h"

/* What keeps a name. */
typedef struct nj_kafka_own {
    int lock;         /* -1 = nothing */
    int64_t alive_ns; /* when it was last shown */
} nj_kafka_own;

typedef struct nj_kafka_kind {
    const char *of, *topics, *hosts; /* names of one kind have these alike; topics: NULL = none */
    const char *whose; /* what tells the run from others of this user on this host; NULL = nothing */
    int keep_ms;       /* so long the name of a run that was killed is left to it */
} nj_kafka_kind;

/* HOST-USER-OF-NUMBER-SLOT: a name that this run alone has now. NUMBER is of topics and hosts; SLOT is that
 * which the run `whose` had last, or the least free one. 0; -1: none could be had. */
int nj_kafka_own_name(nj_kafka_own *own, const nj_kafka_kind *kind, char *name, size_t size);

/* Now and then during the run. Slots of runs that were killed are known by it, and folders such as /tmp are
 * swept of files that were not touched for days: without this one the next run would take the same name. */
void nj_kafka_own_alive(nj_kafka_own *own, int64_t now_ns);

/* The run ends by itself: its slot is free for any other one. */
void nj_kafka_own_leave(nj_kafka_own *own);

/* Sets group.instance.id, as [kafka] group_instance says: "auto" (the default) is a name as above, of group,
 * topics and brokers; "off" is none; anything else is the name. One that the user set by librdkafka's own
 * name stays. After nj_kafka_set_group. */
int nj_kafka_set_member(rd_kafka_conf_t *conf, nj_settings *settings, const nj_kafka_target *target,
                        const char *whose, nj_kafka_own *own, nj_error *err);

#endif
