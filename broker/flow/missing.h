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

/* Each id of the rows of an output: with `shed` of those alone that lack a module. survey: NULL where that is
 * not read. option: "--missing", for messages. spec: a path, with or without its scheme. */
typedef int nj_missing_add(void *opaque, int64_t id, const char *survey); /* -1: memory is short */
int nj_output_ids(const char *option, const char *spec, bool shed, nj_missing_add *add, void *opaque,
                  nj_error *err);

/* What the readers of one kind of file are given. */
typedef struct nj_ids {
    const char *option, *path;
    bool shed;
    nj_missing_add *add;
    void *opaque;
    nj_error *err;
} nj_ids;
/* missing_tables.c. -1 with err. */
int nj_ids_avro(const nj_ids *to);
int nj_ids_fits(const nj_ids *to);
int nj_ids_parquet(const nj_ids *to); /* missing_parquet.c */

#endif
