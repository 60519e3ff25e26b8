/* topics.h - the partitions that a target's topics have now. */
#ifndef NJ_KAFKA_TOPICS_H
#define NJ_KAFKA_TOPICS_H

#include "kafka.h"

/* All partitions of the topics ("a,b" or "^regex"), by name; the caller destroys the list. NULL with err: no
 * broker answers, or there is no such topic. */
rd_kafka_topic_partition_list_t *nj_kafka_topics(rd_kafka_t *rk, const nj_kafka_target *target,
                                                 int timeout_ms, nj_error *err);

/* The same before there is a consumer, by a client of its own with these settings that is in no group. An
 * empty list: a broker answered, and there is no such topic. NULL: none answered. */
rd_kafka_topic_partition_list_t *nj_kafka_topics_now(const rd_kafka_conf_t *of, const nj_kafka_target *target,
                                                     int timeout_ms);

#endif
