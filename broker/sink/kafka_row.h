/* kafka_row.h - the rows whose messages are on their way to Kafka: a broker may refuse one long after its
 * batch is gone, and what it came from must then become a dead letter. */
#ifndef NJ_SINK_KAFKA_ROW_H
#define NJ_SINK_KAFKA_ROW_H

#include "sink.h"

typedef struct nj_kafka_row {
    struct nj_kafka_row *before, *behind;
    nj_chunk *chunk; /* held */
    uint32_t record, size;
    const uint8_t *datum; /* in the chunk, or `own` */
    uint8_t *own;
    uint32_t n_messages; /* without a delivery report; the sink's write() counts as one */
    bool refused;
} nj_kafka_row;

/* All of a sink. */
typedef struct nj_kafka_rows {
    nj_sink_refuse *refuse; /* NULL: no row is kept */
    void *opaque;
    nj_kafka_row *first;
    size_t held; /* bytes of packets, about */
} nj_kafka_rows;

/* The row, with n_messages = 1. NULL: rows of this sink are not kept, or memory is short. */
nj_kafka_row *nj_kafka_row_new(nj_kafka_rows *all, const nj_rows *rows, uint32_t row);
/* One message less; the last one drops it. */
void nj_kafka_row_done(nj_kafka_rows *all, nj_kafka_row *row);
/* Reports it to the host, once for a row. */
__attribute__((format(printf, 3, 4))) void nj_kafka_row_refuse(nj_kafka_rows *all, nj_kafka_row *row,
                                                               const char *reason, ...);
void nj_kafka_rows_drop(nj_kafka_rows *all);

#endif
