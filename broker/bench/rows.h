/* rows.h - packets in memory to rows of fixed columns, by the broker's own reader:
 * what the subjects share that time decoding. */
#ifndef NJ_BENCH_ROWS_H
#define NJ_BENCH_ROWS_H

#include "../engine/reader.h"
#include "packets.h"
#include "../image/opener.h"

enum { NJ_BENCH_ROWS = 64 };

/* A column of a layout: a number of the alert, a number of each point of a light curve. */
#define NJ_BENCH_NUMBER(path)                                                                                \
    {                                                                                                        \
        path, NJ_F64, NJ_SCALAR, NULL, 1                                                                     \
    }
#define NJ_BENCH_NUMBERS(path)                                                                               \
    {                                                                                                        \
        path, NJ_F64, NJ_SERIES, NULL, 1                                                                     \
    }

typedef struct nj_bench_rows {
    nj_reader reader;
    nj_opener *opener;
    const nj_layout *layout;
    nj_stream stream;
    nj_framing framing;
    nj_chunk chunk[NJ_BENCH_ROWS];
    nj_batch *batch; /* what was read last; NULL = nothing */
} nj_bench_rows;

/* For packets that are framed like this (NJ_FRAME_AUTO = look). One thread's; it must not move.
 * -1: out of memory. */
int nj_bench_rows_open(nj_bench_rows *rows, nj_decoder *decoder, const nj_layout *layout, nj_framing framing);
/* Up to NJ_BENCH_ROWS packets of one record each to one batch, which stays until the next call. NULL: out of
 * memory, or a record beyond the batch. A packet that cannot be read is a dead letter of it. */
nj_batch *nj_bench_rows_read(nj_bench_rows *rows, const nj_bench_packet *packet, size_t n);
/* Opens a stamp into the batch's arena. */
static inline void nj_bench_rows_stamp(nj_bench_rows *rows, nj_stamp *stamp)
{
    nj_stamp_open(rows->opener, stamp, &rows->batch->arena, NULL);
}
void nj_bench_rows_end(nj_bench_rows *rows); /* the batch is not needed any more */
void nj_bench_rows_close(nj_bench_rows *rows);

#endif
