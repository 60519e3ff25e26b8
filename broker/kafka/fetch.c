/* fetch.c - before version 2.2 librdkafka pauses when its queue is full; this keeps it fetching. */
#include "fetch.h"

#include <stdlib.h>

enum { WAKE_MS = 100 }; /* longest wait for an answer whose only purpose is to wake the fetchers */

void nj_fetch_prepare(nj_fetch *fetch, rd_kafka_conf_t *conf, nj_settings *settings)
{
    char messages[32], kbytes[32], ignored[8];
    size_t n = sizeof messages, m = sizeof kbytes;
    if (rd_kafka_version() >= 0x020200ff) {
        if (!settings || !nj_settings_get(settings, "kafka", "fetch.queue.backoff.ms"))
            rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "5", ignored, sizeof ignored);
        return;
    }
    if (rd_kafka_conf_get(conf, "queued.min.messages", messages, &n) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_get(conf, "queued.max.messages.kbytes", kbytes, &m) != RD_KAFKA_CONF_OK)
        return;
    fetch->messages = strtod(messages, NULL);
    fetch->bytes = 1024 * strtod(kbytes, NULL);
}

void nj_fetch_begin(nj_fetch *fetch, rd_kafka_queue_t *messages)
{
    if (fetch->bytes > 0) fetch->queue = messages;
}

void nj_fetch_message(nj_fetch *fetch, rd_kafka_t *consumer, size_t message_bytes)
{
    static const double FULL = 0.75, LOW = 0.4;
    if (!fetch->queue) return;
    fetch->mean_bytes += 0.05 * ((double)message_bytes - fetch->mean_bytes);
    double n = (double)rd_kafka_queue_length(fetch->queue), filled = n / fetch->messages,
           by_bytes = n * fetch->mean_bytes / fetch->bytes;
    if (by_bytes > filled) filled = by_bytes;
    if (filled > FULL) fetch->was_full = true;
    if (filled > LOW || !fetch->was_full) return;
    fetch->was_full = false;
    rd_kafka_topic_partition_list_t *list = NULL;
    if (rd_kafka_assignment(consumer, &list)) return;
    for (int i = 0; i < list->cnt; i++) list->elems[i].offset = RD_KAFKA_OFFSET_END;
    rd_kafka_offsets_for_times(consumer, list, WAKE_MS); /* the answer does not matter */
    rd_kafka_topic_partition_list_destroy(list);
}
