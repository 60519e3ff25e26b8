/* kafka.h - what all Kafka clients of the broker (source, sink, replayer) share: targets, settings,
 * passwords, log lines and the known causes of failure. */
#ifndef NJ_KAFKA_KAFKA_H
#define NJ_KAFKA_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "../base/error.h"
#include "../base/settings.h"
#include "oauth.h"

/* "kafka://HOST:PORT[,HOST:PORT]/TOPIC[?QUERY]", with or without the scheme, in parts. Freed by
 * nj_kafka_target_free. */
typedef struct nj_kafka_target {
    char *hosts, *topic, *query; /* query: behind the last '?' that a key and '=' follow, or NULL */
} nj_kafka_target;
int nj_kafka_target_parse(nj_kafka_target *target, const char *spec, nj_error *err);
void nj_kafka_target_free(nj_kafka_target *target);

/* One key=value of a query: *rest moves on; NULL at the end. The text is cut up in place. */
char *nj_kafka_query(char **rest, char **value);

typedef struct nj_kafka_pair {
    const char *name, *value;
} nj_kafka_pair;

/* A producer that loses nothing and sends nothing twice. One request at a time: with more, librdkafka 2.0.2
 * lost first messages to a topic that was only then made, and reported them as delivered (perf/LOG.md). The
 * likely cause: the first batch is refused, the second one taken, and the broker, which knows no sequence of
 * this producer yet, calls the repeated first one a duplicate. */
#define NJ_KAFKA_IN_ORDER                                                                                    \
    { "enable.idempotence", "true" },                                                                        \
    {                                                                                                        \
        "max.in.flight", "1"                                                                                 \
    }

/* A configuration: bootstrap servers, then `preset` (ends with {0}; NULL allowed), then what the user said
 * under [kafka] with librdkafka's names (of equal names the last one counts). Names in `fixed`
 * (NULL-terminated; NULL allowed) are not the user's to set. Hosts with user:password@ are refused. The
 * password comes from sasl.password, the file sasl.password.file, or $NIGHTJAR_KAFKA_PASSWORD; it is never
 * logged and stands in no error text. Log lines of librdkafka go to nj_log. settings may be NULL. The owner
 * is the caller until rd_kafka_new. NULL with err. */
rd_kafka_conf_t *nj_kafka_conf(const char *hosts, const nj_kafka_pair *preset, const char *const *fixed,
                               nj_settings *settings, nj_error *err);

/* The consumer group: `said` (NULL = not given), or group.id of the settings, or "nightjar", with the user's
 * name in front when there is one (LSST takes no other). */
int nj_kafka_set_group(rd_kafka_conf_t *conf, const char *said, nj_error *err);

/* Will this error not go away by itself: credentials, certificates, permissions, librdkafka's own "fatal"? */
int nj_kafka_is_final(rd_kafka_resp_err_t error);
/* The error's text, with what is known about its cause ("librdkafka 2.0.2 cannot do
 * SCRAM with Kafka 4"). Returns text. */
const char *nj_kafka_cause(rd_kafka_resp_err_t error, const char *reason, char *text, size_t size);

#endif
