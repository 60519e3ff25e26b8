/* overload.h - [guard] max_lag_s: while alerts wait longer than that, optional modules are left out; which
 * alerts went without which module is counted, and `run --missing` fills them in later. */
#ifndef NJ_FLOW_OVERLOAD_H
#define NJ_FLOW_OVERLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"
#include "../report/shed.h"

/* Notes alerts at these offsets of a stream. */
void nj_shed_note(nj_shed_account *account, const char *module, const char *stream, int64_t first,
                  int64_t last, uint64_t alerts);

struct run;
struct nj_batch;
struct unit;
struct nj_worker;
struct nj_buffer;
struct nj_report;

/* Which modules are optional. Once filters and workers are there. */
int nj_flow_overload_begin(struct run *r, nj_error *err);
/* A compute thread begins with a unit: the modules that it leaves out are in worker->left_out. */
void nj_flow_overload_unit(struct run *r, int thread, const struct unit *u);
/* A batch is written: rows of these outcomes. Output thread. */
void nj_flow_overload_note(struct run *r, const struct nj_batch *b, const uint8_t *outcome);
/* For the journals: a member of their state, or nothing. */
void nj_flow_overload_state(const struct run *r, struct nj_buffer *to);
int nj_flow_overload_report(const struct run *r, struct nj_report *report);
void nj_flow_overload_free(struct run *r);

/* The modules that are left out now, for metrics: is this instance one? */
bool nj_flow_is_left_out(const struct run *r, uint32_t instance);

#endif
