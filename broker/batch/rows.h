/* rows.h - what a sink or a filter sees of a batch: output fields and the rows that passed. */
#ifndef NJ_BATCH_ROWS_H
#define NJ_BATCH_ROWS_H

#include "batch.h"

/* What the packet had where a column has a text: the byte behind the text's end,
 * in columns that are mixed. */
typedef enum { NJ_TEXT_WAS_TEXT, NJ_TEXT_WAS_NUMBER } nj_text_was;

/* One output column; the list is fixed for a run before the first write. */
typedef struct nj_field {
    const char *key;      /* "candid", "roid.roid", "packet.candidate.sgscore1":
                           * exactly the contract's name */
    const char *instance; /* "roid"; NULL for the columns that every row has */
    nj_type type;
    uint32_t width; /* values per row; 0 = a series (see nj_col.off) */
    const char *unit, *doc;
    const char *const *text; /* type NJ_U8 whose values are indices into this table (a reason):
                              * write the text; else NULL */
    bool mixed;              /* type NJ_STR whose texts may stand for numbers of the packet (nj_text_was) */
} nj_field;

typedef struct nj_rows {
    const nj_field *field;
    uint32_t n_fields;
    const nj_col *value; /* [n_fields]; element [row * width + k], or [off[row] .. off[row + 1]) for width 0;
                          * data NULL = null in every row of this batch */
    const uint32_t *row; /* [n] the rows to write, as indices into value */
    uint32_t n;
    const char *const *topics; /* [row] comma-separated names of the topics that the row matches;
                                * NULL without topics */
    const nj_batch *batch;     /* origins, light curve, stamps: for sinks that want more than the fields */
} nj_rows;

#endif
