/* partition.h - what a Kafka source remembers of each partition: its stream, its assignment, what is in
 * flight. The table and the fields without a note belong to the ingest thread; those under the lock are
 * shared with the output thread, which acknowledges. */
#ifndef NJ_KAFKA_PARTITION_H
#define NJ_KAFKA_PARTITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../batch/chunk.h"

typedef struct nj_partition {
    char *topic;
    int32_t number;
    nj_stream *stream;
    int64_t start;       /* where the first assignment began: an offset,
                          * or one of librdkafka's logical ones */
    int64_t end;         /* until=end: the high watermark at the start; -1 = not asked for */
    bool reached;        /* the end was seen */
    bool at_end;         /* and nothing has come since */
    bool assigned;       /* lock */
    uint32_t generation; /* lock: counts assignments, from 1 */
    int64_t acked;       /* lock: everything below is done; -1 = nothing yet */
    int64_t passed;      /* lock: so far nothing but what is no alert: null payloads, ends of transactions;
                          * 0 = not known */
    int64_t *flight;     /* lock: ring of offsets handed over and not acknowledged, ascending */
    size_t first, n, cap;
} nj_partition;

typedef struct nj_partitions {
    pthread_mutex_t lock;
    nj_partition **item;
    size_t n, cap;
    nj_partition *last; /* the one found last: messages come in runs */
} nj_partitions;

void nj_partitions_init(nj_partitions *all);
void nj_partitions_free(nj_partitions *all);
nj_partition *nj_partitions_find(nj_partitions *all, const char *topic, int32_t number);
/* NULL when memory is short */
nj_partition *nj_partitions_add(nj_partitions *all, const char *topic, int32_t number);

/* A new generation; nothing is in flight. */
void nj_partition_assign(nj_partitions *all, nj_partition *p);
/* Ends the generation; returns how many were in flight. */
uint64_t nj_partition_revoke(nj_partitions *all, nj_partition *p);
/* An offset goes to the host; -1 when memory is short. */
int nj_partition_hand(nj_partitions *all, nj_partition *p, int64_t offset);
size_t nj_partition_in_flight(nj_partitions *all, nj_partition *p);
int64_t nj_partition_acked(nj_partitions *all, nj_partition *p);
/* Nothing between what was handed over last and next_offset is an alert. Returns an offset to store now, -1:
 * not while alerts are in flight. */
int64_t nj_partition_pass(nj_partitions *all, nj_partition *p, int64_t next_offset);
/* What to store for an acknowledgement of everything below next_offset: that, or further, when nothing else
 * is in flight. Any thread. */
int64_t nj_partition_done(nj_partitions *all, nj_partition *p, int64_t next_offset);
/* Everything below next_offset is done. -1: that generation is over. Any thread. */
int nj_partition_ack(nj_partitions *all, nj_partition *p, uint32_t generation, int64_t next_offset);

#endif
