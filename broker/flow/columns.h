/* columns.h - the columns that every row has. */
#ifndef NJ_FLOW_COLUMNS_H
#define NJ_FLOW_COLUMNS_H

#include "nightjar/module.h"

typedef struct nj_base_column {
    const char *key;
    nj_type type;
    const char *unit, *doc;
} nj_base_column;

extern const nj_base_column nj_base_columns[]; /* ends with {0} */

#endif
