/* reader.h - chunks to batches of rows, on one thread: the one place that opens packets and cuts batches. */
#ifndef NJ_ENGINE_READER_H
#define NJ_ENGINE_READER_H

#include "../avro/decode.h"
#include "../measure/counter.h"

enum {
    NJ_BATCH_ROWS = 64,
    NJ_BATCH_BYTES = 8 << 20
}; /* the defaults of [run],
    * for callers without settings */
enum { NJ_READ_ON = 0, NJ_READ_STOPPED = 1, NJ_READ_FAILED = -1, NJ_READ_NO_LAYOUT = -2, NJ_READ_LATER = -3 };

typedef struct nj_reader_options {
    nj_decoder *decoder;
    uint32_t batch_rows;   /* rows of a batch at most, from 1 */
    size_t batch_bytes;    /* packet bytes of a batch at most */
    uint64_t limit;        /* rows in all; 0 = no limit */
    nj_counter *count;     /* calls, rows, dead letters, wall time; NULL: not counted */
    const nj_shard *shard; /* NULL: all alerts are this run's; and `mine`, as nj_cursor has them */
    bool (*mine)(void *opaque, const nj_batch *batch, uint32_t row);
    bool clocked; /* the clock is read: for count and for a batch's begin_ns */
    /* The columns of the schema's rows. The layout lives as long as the reader. NULL with err: the chunk
     * becomes a dead letter, and nj_reader_take() returns NJ_READ_NO_LAYOUT. */
    const nj_layout *(*layout)(void *opaque, const nj_schema *schema, nj_error *err);
    /* A batch is complete: rows of one layout, dead letters, receipts (with layout NULL: dead letters only).
     * Setting *batch to NULL keeps it; it is then the callee's to free. 0 = continue, NJ_READ_STOPPED =
     * enough, NJ_READ_FAILED = out of memory. */
    int (*full)(void *opaque, nj_batch **batch);
    void *opaque;
} nj_reader_options;

typedef struct nj_reader {
    nj_reader_options o;
    nj_cursor cursor;
    nj_batch *batch; /* being filled, or NULL */
    nj_batch *spare; /* handed back by full(), to be used again */
    uint64_t n_rows;
} nj_reader; /* zero-initialised + options = ready */

/* Reads all rows of a chunk, which stays the caller's (batches hold it as long as they need it). Batches go
 * to full() when the next row would be one too many, or is of another layout; the last one stays open. A
 * chunk that cannot be opened is a dead letter of the open batch. NJ_READ_ON, NJ_READ_STOPPED (full() said
 * so, or the limit is reached), NJ_READ_FAILED or NJ_READ_NO_LAYOUT with err. NJ_READ_LATER: the run ends
 * while its schema is waited for, and nothing of the chunk was read. */
int nj_reader_take(nj_reader *reader, nj_chunk *chunk, nj_error *err);
/* Passes the open batch on. `always`: also when there is none (then one without rows). Returns as full(). */
int nj_reader_flush(nj_reader *reader, bool always);
/* The schema of a chunk, without reading a row: lives as long as the decoder. NULL with err.
 * Ends the present chunk. */
const nj_schema *nj_reader_schema(nj_reader *reader, nj_chunk *chunk, nj_error *err);
/* Drops what was read and not handed on: the next chunk begins a new batch. */
void nj_reader_forget(nj_reader *reader);
/* A batch that full() kept comes back, to be used again. NULL: no-op. */
void nj_reader_reuse(nj_reader *reader, nj_batch *batch);
void nj_reader_free(nj_reader *reader);

#endif
