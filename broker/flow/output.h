/* output.h - the state of the output thread, for its own files: output.c writes, commit.c acknowledges. */
#ifndef NJ_FLOW_OUTPUT_H
#define NJ_FLOW_OUTPUT_H

#include "internal.h"

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
    refused *refused;               /* since the last settlement: two outputs may refuse one row */
    uint32_t n_refused, cap_refused;
} out;

/* An output cannot go on: the first reason is kept, and the run ends. */
void nj_flow_sink_fails(run *r, const nj_error *err);
/* Writes out what the sinks have, when that is due. */
void nj_flow_flush(out *o);
/* After a flush, when it is due or `last`: what is written reaches the disk, then it is acknowledged. */
void nj_flow_commit(out *o, bool last);
/* The time until one of them is due. */
int64_t nj_flow_next_ms(const out *o);

#endif
