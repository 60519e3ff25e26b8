/* duplicates.h - alerts that come twice: within the window of [run] dedup, in two files of this run, or in
 * this run and in an output of an earlier one (--seen). */
#ifndef NJ_FLOW_DUPLICATES_H
#define NJ_FLOW_DUPLICATES_H

#include <stdbool.h>
#include <stdint.h>

#include "../batch/batch.h"
#include "../report/report.h"

struct run;
struct out;

/* Reads the outputs of --seen. Once the sources are open. */
int nj_flow_duplicates_begin(struct run *r, nj_error *err);
void nj_flow_duplicates_free(struct run *r);
/* Is this row of the batch to be left out? Rows in their order; notes where its id came from. */
bool nj_flow_is_duplicate(struct out *o, const nj_batch *batch, uint32_t row, uint64_t salt);
/* Says which files have alerts of others, and puts it into the report. -1: out of memory. */
int nj_flow_duplicates_report(const struct run *r, nj_report *report);

#endif
