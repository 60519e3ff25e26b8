/* missing.h - `run --missing OUT`: the alerts of an earlier run that went without a module are done again. */
#ifndef NJ_FLOW_MISSING_H
#define NJ_FLOW_MISSING_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/error.h"

struct run;

/* Reads the ids from the earlier run's output. Once workers are there; without --missing it does nothing. */
int nj_flow_missing_begin(struct run *r, nj_error *err);
bool nj_flow_is_wanted(const struct run *r, int64_t id);
void nj_flow_missing_free(struct run *r);

/* missing_tables.c: each id of a row that lacks a module. -1 with err. */
typedef int nj_missing_add(void *opaque, int64_t id); /* -1: memory is short */
int nj_missing_avro(const char *path, nj_missing_add *add, void *opaque, nj_error *err);
int nj_missing_fits(const char *path, nj_missing_add *add, void *opaque, nj_error *err);

#endif
