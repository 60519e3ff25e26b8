/* checked.h - golden rows that this program has computed on this processor from the same bytes. */
#ifndef NJ_MODEL_CHECKED_H
#define NJ_MODEL_CHECKED_H

#include <stddef.h>

#include "nightjar/model.h"

enum { NJ_MODEL_CHECK_DAYS = 7 }; /* older answers do not count */

/* From now on open() remembers in this folder what it has computed, and looks there; NULL or "": never, as at
 * the beginning. Before threads start. */
__attribute__((visibility("default"))) void nj_model_checks_in(const char *folder);

typedef struct nj_checked {
    char key[65]; /* "" = nothing is remembered of this one */
} nj_checked;

/* The key of a model's check: all that the golden rows' answers can depend on. options: may be NULL. */
void nj_checked_key(nj_checked *c, const nj_model_info *info, const nj_model_options *options,
                    const void *manifest, size_t n_manifest, const void *golden, size_t n_golden);
/* 1 = all golden rows were computed and right; *difference: the largest one. */
int nj_checked_find(const nj_checked *c, double *difference);
/* NULL, or why it could not be written. */
const char *nj_checked_keep(const nj_checked *c, double difference);

#endif
