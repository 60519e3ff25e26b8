/* kafka.h - the Kafka consumer, for kafka.c and for the embedded broker, which reads from itself. */
#ifndef NJ_SOURCE_KAFKA_H
#define NJ_SOURCE_KAFKA_H

#include "../kafka/kafka.h"
#include "source.h"

typedef struct nj_kafka_open_args {
    const nj_source_args *source; /* spec is not looked at */
    nj_kafka_target *target;      /* taken over */
    const nj_kafka_pair *preset;  /* more settings, before the user's; NULL allowed */
    const char *display;          /* what streams are called: "kafka://host:9092" */
    int quiet;                    /* no line about the library and the group */
    int whole_topic;              /* all partitions by assign(), without a group's negotiations:
                                   * the topic is ours alone */
} nj_kafka_open_args;
nj_source *nj_kafka_open(const nj_kafka_open_args *args, nj_error *err);

extern const nj_source_class nj_source_kafka;

#endif
