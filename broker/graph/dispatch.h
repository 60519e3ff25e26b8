/* dispatch.h - takes a batch through the modules of its graph, and clocks them.
 * One worker per compute thread. */
#ifndef NJ_GRAPH_DISPATCH_H
#define NJ_GRAPH_DISPATCH_H

#include "../measure/counter.h"
#include "../measure/drift.h"
#include "graph.h"
#include "guard.h"
#include "state.h"

/* What the thread is to be like behind each call. */
typedef struct nj_surroundings {
    nj_state_quick quick;
    char locale[512];
    nj_state_batch batch;
    nj_state whole; /* of the present call, when it is one of those */
} nj_surroundings;

/* Opens the first of n packed stamps, and of those behind it whichever are cheaper opened with it (image's
 * nj_stamp_for_graph behind a pointer). */
typedef void (*nj_open_stamp)(void *opener, nj_stamp *const *stamp, uint32_t n, nj_arena *arena,
                              const char **why);

typedef struct nj_worker {
    const nj_instances *set;
    void **thread;               /* [set->n] thread blocks of the modules */
    nj_counter *module;          /* [set->n] */
    nj_counter *stamps, *decode; /* stages */
    nj_counter **share;          /* [2 + set->n] all of them, for the sharing out of CPU time */
    nj_open_stamp open_stamp;
    void *opener;
    nj_arena scratch;           /* of one process() call */
    nj_slot *slot, own_slot;    /* where others see what the thread does; own: without a guard */
    uint32_t *guarded;          /* [set->n] the guard's numbers of the modules; NULL: no guard */
    uint64_t single;            /* 1 row in `single` is called alone and clocked for percentiles */
    uint64_t *countdown;        /* [set->n] rows to the next such row */
    struct nj_answers *answers; /* [set->n] what is wrong with the outputs (answers.h) */
    const uint8_t
        *left_out; /* [set->n] 1: not called for the present unit, the reason is shed; NULL = none */
    /* Is a row of this id wanted? The others go without all modules; NULL = all are. */
    bool (*wanted)(const void *opaque, int64_t id);
    const void *wanted_opaque;
    bool reference;    /* process_ref() where a module has one */
    bool uncounted;    /* no clocks, no counts: only for measuring what those cost */
    float *drift;      /* [2 + set->n] of the present batch:
                                 * decode, stamps, modules, ns per row; NULL = not wanted */
    nj_weighted *cost; /* its calls of the present module, and how many */
    uint32_t n_costs, cap_costs;
    nj_surroundings *surroundings; /* from the first batch on */
    uint32_t *n_calls;             /* [set->n] those with a look at everything */
    uint32_t suspicious;           /* so many calls are looked at as well */
    int64_t image_ns;              /* spent opening stamps during the present call */
    int64_t *row_stamp_ns;         /* [row] of the present batch */
    bool no_memory;                /* a module asked for some in vain: the batch is not to be written */
} nj_worker;

/* Thread blocks are opened here, in the thread that will use them. NULL with err. */
nj_worker *nj_worker_new(const nj_instances *set, nj_open_stamp open_stamp, void *opener, uint64_t single,
                         bool reference, nj_error *err);
void nj_worker_free(nj_worker *worker);

/* What a batch carries from here to the output: reasons, by step. */
typedef struct nj_outputs {
    uint8_t **reason;  /* [n_steps][row]; NJ_NO_REASON never leaves */
    const float *cost; /* [2 + set->n] ns per row: decode, stamps, modules; NULL = not kept */
} nj_outputs;

/* Runs all modules of the graph over the batch, and readies the derived columns that `wanted` names (columns
 * that outputs and filters read). -1 = out of memory. cpu_ns of all stages is shared out by the caller
 * through nj_worker_share_cpu. */
int nj_dispatch(const nj_graph *graph, nj_worker *worker, nj_batch *batch);
/* Adds the batch's CPU time to the counters in proportion to the wall time each one
 * gained since the last call. */
void nj_worker_share_cpu(nj_worker *worker, int64_t cpu_ns);

/* What process() was given goes through this, whoever calls: clocked, with its slot, and what it changed set
 * back. Returns what process() did. For trial.c. */
int nj_dispatch_call(nj_worker *worker, const nj_step *step, nj_work *work);

#endif
