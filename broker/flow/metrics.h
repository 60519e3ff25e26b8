/* metrics.h - the counters of a run in progress, served over HTTP for Prometheus. */
#ifndef NJ_FLOW_METRICS_H
#define NJ_FLOW_METRICS_H

#include "internal.h"

typedef struct nj_metrics nj_metrics;

/* Joules of the modules up to the page before; used by the thread that makes pages. NULL = memory was
 * short. */
typedef struct nj_metrics_spent nj_metrics_spent;
nj_metrics_spent *nj_metrics_spent_new(void);
void nj_metrics_spent_free(nj_metrics_spent *spent);

/* What a page of metrics is about. */
typedef struct nj_metrics_of {
    run *r;
    double started;          /* s since 1970 */
    nj_metrics_spent *spent; /* NULL: energy is not served */
} nj_metrics_of;

/* Appends the page; b->failed: no memory. Any thread, while the run and its workers are there. */
void nj_metrics_text(const nj_metrics_of *m, nj_buffer *b);

/* Listens at HOST:PORT (port 0: any; the log says which) and answers GET /metrics in a thread of its own
 * until it is stopped. r and the workers must outlive it. NULL with err. */
nj_metrics *nj_metrics_start(const char *where, run *r, nj_error *err);
void nj_metrics_stop(nj_metrics *metrics); /* NULL allowed */

#endif
