/* answers.h - what modules wrote, looked at before it leaves:
 * rows without a valid reason, values out of their range. */
#ifndef NJ_GRAPH_ANSWERS_H
#define NJ_GRAPH_ANSWERS_H

#include "graph.h"

typedef struct nj_beyond { /* values of a give outside its [lo, hi] */
    uint64_t n;
    int64_t id; /* alert of the first one */
    double value;
    int64_t whole; /* the same of an integer column, with all its digits */
} nj_beyond;

/* Of one instance, in one worker. */
typedef struct nj_answers {
    uint64_t silent, invalid; /* rows without a reason; rows with one that is none,
                               * or that only the host may set */
    uint64_t failed;          /* rows of calls that failed */
    uint64_t n_state;         /* calls that left the process otherwise than they found it */
    uint64_t n_beyond;        /* calls that wrote before or behind an output */
    int64_t silent_id, invalid_id, failed_id, state_id, beyond_id;
    uint8_t invalid_reason; /* the first one */
    nj_beyond *beyond;      /* [n_gives] */
} nj_answers;

/* One per instance, zeroed; NULL when memory is short. */
nj_answers *nj_answers_new(const nj_instances *set);
void nj_answers_free(nj_answers *answers);
void nj_answers_merge(nj_answers *into, const nj_answers *from, uint32_t n_gives);

/* A row of the call whose reason is no module's to give: becomes failed, its outputs null. */
void nj_answers_reject(nj_answers *answers, const nj_step *step, const nj_batch *batch, const nj_work *work,
                       uint32_t row);
/* A call that returned this status: its rows become failed, their outputs null;
 * said at once for the first few. */
void nj_answers_failed(nj_answers *answers, const nj_step *step, const nj_batch *batch, const nj_work *work,
                       int status);
/* The row's outputs are null, and it has no reason. */
void nj_answers_clear(const nj_step *step, const nj_batch *batch, const nj_work *work, uint32_t row);
/* A call, of which `id` is the first alert, left these otherwise than it found them; wrote beyond an output:
 * said at once for the first few. */
void nj_answers_state(nj_answers *answers, const char *instance, int64_t id, const char *what);
void nj_answers_beyond(nj_answers *answers, const char *instance, const char *output, int64_t id);
/* Counts the values of the step's outputs that are out of range. */
void nj_answers_range(nj_answers *answers, const nj_step *step, const nj_batch *batch, void *const *out);
/* Warnings: one for each kind of fault, module and column, with how often and the first alert.
 * answers: [set->n] */
void nj_answers_report(const nj_instances *set, const nj_answers *answers);

#endif
