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

/* Offsets from..to-1 that gave no message. Why shows when the broker says where the partition begins. */
typedef struct nj_hole {
    int64_t from, to;
} nj_hole;

typedef struct nj_partition {
    char *topic;
    int32_t number;
    nj_stream *stream;
    int64_t start;     /* where the last assignment began: an offset,
                          * or one of librdkafka's logical ones */
    int64_t next;      /* the offset that is expected; -1 = not known */
    int64_t spoilt_at; /* where a batch could not be unpacked, and how often in a row */
    int spoilt;
    bool known;          /* it was assigned before */
    bool begun;          /* the present assignment began where `from` says */
    bool anew;           /* the topic was deleted: what outputs on disk know of it is no more */
    int64_t end;         /* until=end: the high watermark at the start; -1 = not asked for */
    bool reached;        /* the end was seen */
    bool at_end;         /* and nothing has come since */
    bool assigned;       /* lock */
    uint32_t generation; /* lock: counts assignments, from 1 */
    int64_t acked;       /* lock: everything below is done; -1 = nothing yet */
    int64_t passed;      /* lock: so far nothing but what is no alert: null payloads, ends of transactions;
                          * 0 = not known */
    int64_t low, high;   /* lock: first offset and end, as the broker said last; -1 = it did not */
    nj_hole *hole;       /* lock: those not yet explained */
    size_t n_holes, cap_holes;
    uint64_t deleted; /* lock: offsets that the broker deleted unread, not yet reported */
    int64_t deleted_from, deleted_to;
    int64_t *flight; /* lock: ring of offsets handed over and not acknowledged, ascending */
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

/* A new generation, which begins at `start`; nothing is in flight. */
void nj_partition_assign(nj_partitions *all, nj_partition *p, int64_t start);
/* The topic was created again: nothing that was known of its offsets holds. */
void nj_partition_forget(nj_partitions *all, nj_partition *p);
/* A message or an end at this offset, when the one expected was another: between them nothing came. */
void nj_partition_came(nj_partitions *all, nj_partition *p, int64_t offset);
/* What the broker says now; -1 = nothing new. With a beginning, the holes are explained: offsets below it
 * were deleted, others were ends of transactions, or compacted. Any thread. */
void nj_partition_bounds(nj_partitions *all, nj_partition *p, int64_t low, int64_t high);
bool nj_partition_has_holes(nj_partitions *all, nj_partition *p);
/* All that the broker said it has came, or it has nothing. */
bool nj_partition_is_read(nj_partitions *all, const nj_partition *p);
/* How many offsets were deleted unread since the last call, and between which; 0 = none. */
uint64_t nj_partition_deleted(nj_partitions *all, nj_partition *p, int64_t *from, int64_t *to);
/* For those who watch: what is done, and the end; -1 = not known. false: it is not assigned. Any thread. */
bool nj_partition_look(nj_partitions *all, size_t i, const nj_stream **stream, int64_t *done, int64_t *end);
/* Ends the generation; returns how many were in flight. */
uint64_t nj_partition_revoke(nj_partitions *all, nj_partition *p);
/* An offset goes to the host; -1 when memory is short. */
int nj_partition_deliver(nj_partitions *all, nj_partition *p, int64_t offset);
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
