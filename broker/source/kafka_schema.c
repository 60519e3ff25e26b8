/* kafka_schema.c - Fink's data transfer sends bare datums: the schema of a topic is the key of a message in
 * another one, TOPIC_schema. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "kafka_parts.h"

enum { LOOK_MS = 20000, PARTITIONS = 64 };

static const char START[] = "ftransfer_", END[] = "_schema";

bool nj_kafka_is_transfer(const char *topic)
{
    return !strncmp(topic, START, sizeof START - 1);
}

bool nj_kafka_is_schema_topic(const char *topic)
{
    const size_t n = strlen(topic), k = sizeof END - 1;
    return nj_kafka_is_transfer(topic) && n > k && !strcmp(topic + n - k, END);
}

/* A text of JSON that speaks of a record; decode sees whether it is a schema. */
static bool may_be_schema(const rd_kafka_message_t *m)
{
    return !m->err && m->key_len > 20 && ((const char *)m->key)[0] == '{' &&
           memmem(m->key, m->key_len, "\"record\"", 8);
}

char *nj_kafka_schema_of(rd_kafka_t *of, const char *topic, size_t *size)
{
    char name[300], *found = NULL;
    rd_kafka_t *rk = nj_kafka_reader_like(of, "earliest");
    if (!rk) return NULL;
    snprintf(name, sizeof name, "%.250s%s", topic, END);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *at = rd_kafka_topic_partition_list_new(1);
    const struct rd_kafka_metadata *meta = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, name, NULL);
    int n = 1;
    if (handle && !rd_kafka_metadata(rk, 0, handle, &meta, nj_patience_ms(NJ_KAFKA_QUERY_MS))) {
        if (meta->topic_cnt && meta->topics[0].partition_cnt) n = meta->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(meta);
    }
    if (handle) rd_kafka_topic_destroy(handle);
    for (int i = 0; i < n && i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(at, name, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    const int64_t until = nj_now_ns() + nj_patience_ms(LOOK_MS) * (int64_t)1000000;
    if (!rd_kafka_assign(rk, at))
        while (!found && nj_now_ns() < until && !nj_stopping()) {
            rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
            if (!m) continue;
            if (may_be_schema(m) && (found = malloc(m->key_len + 1))) {
                memcpy(found, m->key, m->key_len);
                *size = m->key_len;
            }
            rd_kafka_message_destroy(m);
        }
    rd_kafka_topic_partition_list_destroy(at);
    nj_kafka_end(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, name);
    return found;
}
