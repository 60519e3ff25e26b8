/* output.h - the state of the output thread, for its own files: output.c writes, commit.c acknowledges. */
#ifndef NJ_FLOW_OUTPUT_H
#define NJ_FLOW_OUTPUT_H

#include "resume.h"

/* A row that an output's target does not take. */
typedef struct refused {
    nj_chunk *chunk; /* held */
    uint32_t record;
} refused;

typedef struct out {
    run *r;
    nj_batch **stash; /* arrived before their turn */
    uint32_t n_stash, cap_stash;
    uint64_t seq; /* next to write */
    uint32_t part;
    pending *pending;                           /* written, not acknowledged */
    uint32_t n_pending, cap_pending, n_flushed; /* of the pending ones, flushed */
    int64_t flushed_ns, flush_cost_ns, committed_ns;
    bool begun;                               /* sinks have their header */
    bool later;                               /* all that follows comes again: nothing of it is written */
    int64_t cpu_mark, shared_ns, progress_ns; /* CPU time at the last sharing, and when that was */
    nj_col *value;                            /* [n_fields] of the present batch */
    uint8_t *pass;                            /* [rows] */
    parts parts;
    int64_t filter_ns, filtered_ns; /* of the present batch */
    nj_batch *batch;                /* the present one; NULL between batches */
    uint8_t *outcome;               /* [rows] of it */
    uint8_t *dead_outcome;          /* [n_dead] of it: 0, or ROW_AGAIN */
    bool again, ahead;              /* of the present batch: some is written already; in some output */
    bool fresh;                     /* outputs have begun, and no journal says so yet */
    refused *refused;               /* since the last settlement: two outputs may refuse one row */
    uint32_t n_refused, cap_refused;
} out;

enum { ROW_EMIT, ROW_FILTERED, ROW_DUPLICATE, ROW_RETURNED, ROW_REFUSED, ROW_AGAIN };

/* filter_rows.c: outcome[row] becomes ROW_FILTERED for what the clause or all topics refuse; the names of
 * topics are in rows->topics and in the column `topics`. -1: memory, or a clause that fails. */
int nj_flow_filter_rows(out *o, const survey *s, nj_batch *b, nj_rows *rows, uint8_t *outcome);

/* again.c: what comes a second time, after a restart or when a partition came back */
/* Marks the rows and letters of a batch that are written already, before anything of it is. -1: memory. */
int nj_flow_mark_again(out *o, nj_batch *b, uint8_t *outcome);
/* Records of the chunk that are another shard's, and were not counted before. */
uint32_t nj_flow_others(const out *o, const nj_batch *b, const nj_chunk *chunk);
/* The rows that this output lacks, of those that are to be emitted: at most b->n numbers. */
uint32_t nj_flow_rows_for(const out *o, const nj_batch *b, uint32_t sink, uint32_t *row);
/* A run before had written the letter. */
bool nj_flow_has_letter(const out *o, const nj_dead *dead);
/* Where the stream of a receipt stands when its rows, from this one on, are written. */
void nj_flow_advance(out *o, const nj_batch *b, const nj_receipt *receipt, uint32_t row);

/* An output cannot continue: the first reason is kept, and the run ends. */
void nj_flow_sink_fails(run *r, const nj_error *err);
/* Writes out what the sinks have, when that is due. */
void nj_flow_flush(out *o);
/* After a flush, when it is due or `last`: what is written reaches the disk, then it is acknowledged. */
void nj_flow_commit(out *o, bool last);
/* Everything that was asked for is there: nothing will follow. */
bool nj_flow_is_complete(const run *r);
/* The time until one of them is due. */
int64_t nj_flow_next_ms(const out *o);

#endif
