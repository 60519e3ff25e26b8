/* member.h - the name of a static member of a consumer group. A member that comes back under its name
 * within the session's time has its partitions at once, without a rebalance of the others. */
#ifndef NJ_KAFKA_MEMBER_H
#define NJ_KAFKA_MEMBER_H

#include "kafka.h"

/* HOST-USER-OF-SLOT: a name that this run alone has now, and that the next one of its kind has again. The
 * result keeps it until it is closed; -1: none could be had. */
int nj_kafka_own_name(const char *of, char *name, size_t size);

/* Sets group.instance.id, as [kafka] group_instance says: "auto" (the default) is
 * HOST-USER-GROUP-TOPICS-SLOT, where SLOT is the least number that no other run of this user on this host
 * has; "off" is none; anything else is the name. One that the user set by librdkafka's own name stays. After
 * nj_kafka_set_group. *lock keeps the slot until it is closed; -1 = there is nothing to keep. */
int nj_kafka_set_member(rd_kafka_conf_t *conf, nj_settings *settings, const nj_kafka_target *target,
                        int *lock, nj_error *err);

/* Now and then during the run: folders such as /tmp are swept of files that were not touched for
 * days, and without this one the next run would take the same name. */
void nj_kafka_member_alive(int lock);

#endif
