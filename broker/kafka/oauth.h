/* oauth.h - brokers that let clients in by OpenID Connect (GCN), also with a librdkafka that lacks it. */
#ifndef NJ_KAFKA_OAUTH_H
#define NJ_KAFKA_OAUTH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* A setting of librdkafka's that only a build with libcurl has: sasl.oauthbearer.method, .client.id,
 * .client.secret, .scope, .token.endpoint.url. True: it is kept in the configuration, and the token is
 * fetched here. False: it is none of these. Only for settings that librdkafka refused. */
bool nj_oauth_take(rd_kafka_conf_t *conf, const char *name, const char *value);
/* rd_kafka_new(), after which tokens are fetched in a thread of librdkafka's. */
rd_kafka_t *nj_kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t size);

#endif
