/* trace.h - `--trace ID`: what happens to the alerts that a user names, from source to acknowledgement. */
#ifndef NJ_FLOW_TRACE_H
#define NJ_FLOW_TRACE_H

#include "internal.h"

/* What the options ask for: r->trace stays NULL when that is nothing. -1 with err: the file cannot be
 * made. */
int nj_flow_trace_begin(run *r, nj_error *err);
/* Says which of the alerts never came. */
void nj_flow_trace_end(run *r);
void nj_flow_trace_free(run *r);

/* Compute threads. Is one of the alerts in the batch? Then its calls are to be clocked: room for what they
 * cost, and what they did cost. */
float *nj_flow_trace_clock(const run *r, nj_batch *b);

/* The output thread, only with a trace. */
/* Where the batch's alerts came from, their columns, and what each module answered. */
void nj_flow_trace_rows(struct out *o, const survey *s, const nj_batch *b);
/* What one clause says. shown NULL: it was not suppressed. */
void nj_flow_trace_filter(struct out *o, const char *kind, const char *name, const nj_rows *rows,
                          const bool *shown);
/* What became of them. */
void nj_flow_trace_outcome(struct out *o, const nj_batch *b);
void nj_flow_trace_dead(run *r, const nj_dead *dead);
void nj_flow_trace_settled(run *r, bool acknowledged);

#endif
