/* kafka_behind.c - a batch of messages that cannot be unpacked must not hold its partition forever, and
 * its length stands inside it. So a consumer of its own looks for the first offset that can be read. */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/patience.h"
#include "../kafka/end.h"
#include "kafka_parts.h"

enum { LOOK_MS = 20000, TURNS = 64 };

/* Reads at an offset: 1 = there is a message, or the end; 0 = the batch, still; -1 = not known. */
static int readable(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *at, int64_t offset)
{
    int64_t until = nj_now_ns() + nj_patience_ms(LOOK_MS) * (int64_t)1000000;
    at->elems[0].offset = offset;
    if (rd_kafka_assign(rk, at)) return -1;
    int found = -1;
    while (found < 0 && nj_now_ns() < until && !nj_stopping()) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
        if (!m) continue;
        if (!m->err || m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            found = 1;
        else if (nj_kafka_is_spoilt(m->err))
            found = 0;
        rd_kafka_message_destroy(m);
    }
    return found;
}

/* Two offsets between which the batch ends: doubling steps, then halves. */
static int64_t search(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *at, int64_t offset)
{
    int64_t bad = offset, good = -1;
    for (int turn = 0; turn < TURNS && (good < 0 || good - bad > 1); turn++) {
        int64_t next = good < 0 ? offset + (INT64_C(1) << (turn < 40 ? turn : 40)) : bad + (good - bad) / 2;
        int can = readable(rk, at, next);
        if (can < 0) return -1;
        if (can)
            good = next;
        else
            bad = next;
    }
    return good >= 0 && good - bad == 1 ? good : -1;
}

bool nj_kafka_is_spoilt(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR__BAD_COMPRESSION || error == RD_KAFKA_RESP_ERR__BAD_MSG;
}

int64_t nj_kafka_behind(rd_kafka_t *of, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_t *rk = nj_kafka_reader_like(of, "latest");
    if (!rk) return -1;
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *at = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(at, topic, partition);
    int64_t behind = search(rk, at, offset);
    rd_kafka_topic_partition_list_destroy(at);
    nj_kafka_end(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, topic);
    return behind;
}
