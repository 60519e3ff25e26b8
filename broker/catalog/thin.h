/* thin.h - a catalogue with a part of the rows of another. */
#ifndef NJ_CATALOG_THIN_H
#define NJ_CATALOG_THIN_H

#include <stdint.h>

#include "../base/error.h"

/* How many rows a catalogue has; name: as modules give it (along the data path). -1 with err. */
int nj_catalog_rows(const char *name, uint64_t *n_rows, nj_error *err);
/* One row of `every`, by a hash of its number, so that no part of the sky is preferred; all columns,
 * positions as they stand, without proper motions. *n_rows: of the new one. -1 with err. */
int nj_catalog_thin(const char *name, const char *to, uint64_t every, uint64_t *n_rows, nj_error *err);

#endif
