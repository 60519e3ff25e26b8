/* keep.h - what a worker leaves to the one after it: how far each stream is through, and the sums so far. */
#ifndef NJ_FLOW_KEEP_H
#define NJ_FLOW_KEEP_H

#include <stdbool.h>

#include "../batch/batch.h"
#include "../report/report.h"
#include "shared.h"

struct run;
struct pending;

/* A name, the same number in every process. */
uint64_t nj_flow_key(const char *name);
/* Alerts that are through, of all streams and workers. */
uint64_t nj_flow_kept_settled(const nj_kept *kept);

/* What was kept when this worker began. 0, or -1: out of memory. */
int nj_flow_keep_begin(struct run *r);
void nj_flow_keep_free(struct run *r);
/* The pending ones are through: noted, once per settlement. */
void nj_flow_keep(struct run *r, const struct pending *list, uint32_t n);
/* The first worker continues an earlier run: where that had come with a stream, for the workers after it. */
void nj_flow_keep_seed(struct run *r, const char *name, int64_t offset, uint32_t record,
                       const nj_ledger *sum);
/* Adds what earlier workers did to the report, and what the guard counted. */
void nj_flow_keep_report(struct run *r, nj_report *report);
/* The sums that this worker began with; NULL = none. */
const nj_kept_set *nj_flow_kept_base(const struct run *r);
/* The ledger of a stream from earlier workers; NULL = none. */
const nj_ledger *nj_flow_kept_ledger(const struct run *r, uint32_t stream);

#endif
