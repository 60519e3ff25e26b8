/* call.h - what the host keeps about one call of process(), for what the module asks for during it. */
#ifndef NJ_GRAPH_CALL_H
#define NJ_GRAPH_CALL_H

#include "dispatch.h"

/* What nj_work.opaque points to during a call. */
typedef struct nj_call {
    nj_worker *worker;
    nj_batch *batch;
    const nj_step *step;
} nj_call;

/* nj_work's image(). */
const nj_image *nj_call_image(const nj_work *w, uint32_t need, uint32_t row);

#endif
