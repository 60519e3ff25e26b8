/* kept_row.h - the rows that are on their way to another machine (Kafka, a webhook): it may refuse one long
 * after its batch is gone, and what it came from must then become a dead letter. */
#ifndef NJ_SINK_KEPT_ROW_H
#define NJ_SINK_KEPT_ROW_H

#include "sink.h"

typedef struct nj_kept_row {
    struct nj_kept_row *before, *behind;
    nj_chunk *chunk; /* held */
    uint32_t record, size;
    const uint8_t *datum; /* in the chunk, or `own` */
    uint8_t *own;
    uint32_t n_messages; /* without a delivery report; the sink's write() counts as one */
    bool refused;
} nj_kept_row;

/* All of a sink. */
typedef struct nj_kept_rows {
    nj_sink_refuse *refuse; /* NULL: no row is kept */
    const char *module;     /* "sink.kafka" */
    void *opaque;
    nj_kept_row *first;
    size_t held; /* bytes of packets, about */
} nj_kept_rows;

/* The row, with n_messages = 1. NULL: rows of this sink are not kept, or memory is short. */
nj_kept_row *nj_kept_row_new(nj_kept_rows *all, const nj_rows *rows, uint32_t row);
/* One message less; the last one drops it. */
void nj_kept_row_done(nj_kept_rows *all, nj_kept_row *row);
/* Reports it to the host, once for a row. */
__attribute__((format(printf, 3, 4))) void nj_kept_row_refuse(nj_kept_rows *all, nj_kept_row *row,
                                                              const char *reason, ...);
void nj_kept_rows_drop(nj_kept_rows *all);

#endif
