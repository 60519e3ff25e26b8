/* table.h - FITS and Parquet outputs: rows are read as columns, a few hundred at a time, and written by the
 * sink of their kind. */
#ifndef NJ_MERGE_TABLE_H
#define NJ_MERGE_TABLE_H

#include "../base/arena.h"
#include "merge.h"

enum { NJ_MERGE_ROWS = 512, NJ_MERGE_PAIRS = 512 };

typedef struct nj_merge_table {
    nj_arena arena, rows; /* as long as the table; of the rows in hand */
    nj_field *field;      /* [n_fields] */
    uint32_t n_fields;
    nj_col *value;  /* [n_fields] of the rows in hand */
    bool **absent;  /* [n_fields][rows in hand] the whole list is null; NULL = of none */
    nj_metadata *m; /* the provenance; ends with an empty one */
    uint32_t in_hand, at;
    void *of; /* the file, as its kind has it */
} nj_merge_table;

/* Opens the file of a kind: fields and provenance are there. -1 with err; it is closed in either case. */
int nj_merge_fits_open(nj_merge_table *t, const char *path, nj_error *err);
int nj_merge_parquet_open(nj_merge_table *t, const char *path, nj_error *err);
/* The next rows: in_hand, 0 at the end. */
int nj_merge_fits_fill(nj_merge_table *t, const char *path, nj_error *err);
int nj_merge_parquet_fill(nj_merge_table *t, const char *path, nj_error *err);
void nj_merge_fits_close(nj_merge_table *t);
void nj_merge_parquet_close(nj_merge_table *t);

#endif
