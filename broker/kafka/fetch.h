/* fetch.h - keeps librdkafka fetching. Below 2.2 it stops when its queue of fetched messages is full, and
 * looks at it again only once a second or when something wakes the broker's thread: a host that computes
 * faster than a queue per second would starve most of that second. From 2.2 on fetch.queue.backoff.ms does
 * it. Owner: the ingest thread. */
#ifndef NJ_KAFKA_FETCH_H
#define NJ_KAFKA_FETCH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "../base/settings.h"

typedef struct nj_fetch {
    rd_kafka_queue_t *queue; /* of fetched messages, not its own; NULL = librdkafka looks after it itself */
    double messages, bytes;  /* at which librdkafka stops to fetch */
    double mean_bytes;       /* of the messages so far, the last ones count most */
    bool was_full;
} nj_fetch; /* zero-initialised = nothing to do */

/* Before rd_kafka_new: sets what this librdkafka supports, or remembers the limits of its queue.
 * settings may be NULL. */
void nj_fetch_prepare(nj_fetch *fetch, rd_kafka_conf_t *conf, nj_settings *settings);
/* The queue that messages are taken from. */
void nj_fetch_begin(nj_fetch *fetch, rd_kafka_queue_t *messages);
/* After each message: once a full queue has run low,
 * a question to the leaders wakes their threads (at most 0.1 s). */
void nj_fetch_message(nj_fetch *fetch, rd_kafka_t *consumer, size_t message_bytes);

#endif
