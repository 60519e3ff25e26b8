/* topic_outputs.h - what a topic has of its own in a run: outputs with its rows and columns alone, a cap, and
 * its counts over all workers. */
#ifndef NJ_FLOW_TOPIC_OUTPUTS_H
#define NJ_FLOW_TOPIC_OUTPUTS_H

#include "internal.h"
#include "shared.h"

struct out;

/* Fields of the columns of topics' outputs, behind those of all outputs. -1 with err. */
int nj_flow_topic_fields(run *r, nj_error *err);
/* Once the outputs are open: which of them are of one topic. -1 with err. */
int nj_flow_topic_outputs(run *r, nj_error *err);
void nj_flow_topic_free(run *r);

/* The columns that this output gets, when its topic says so: false = as the others. */
bool nj_flow_topic_columns(const run *r, uint32_t sink, nj_rows *rows);
/* Leaves an output of one topic its rows and columns; others stay. Row numbers go into the batch's arena.
 * -1: out of memory. */
int nj_flow_rows_of(const run *r, uint32_t sink, nj_batch *b, nj_rows *rows);

/* A batch was asked of a topic: counts it, and warns once a night when the topic is above its cap. */
void nj_flow_topic_count(struct out *o, uint32_t topic, const nj_rows *rows, uint64_t matches, int64_t ns);
/* Of all workers so far. */
void nj_flow_topic_sums(const run *r, uint32_t topic, uint64_t *offered, uint64_t *matches, int64_t *ns);
/* For the worker after this one. */
void nj_flow_topic_keep(const run *r, const nj_kept_set *base, nj_kept_set *next);

#endif
