/* parquet_rows.h - PATH.rows, beside a Parquet file that is being written: the rows that are in no row group
 * yet, and what the footer will need. */
#ifndef NJ_SINK_PARQUET_ROWS_H
#define NJ_SINK_PARQUET_ROWS_H

#include "../parquet/writer.h"
#include "file.h"

typedef struct nj_waiting_rows {
    nj_outfile file;
    nj_buffer log; /* frames that wait */
    struct reached {
        size_t value, level;
    } * reached;        /* [n_columns] up to where the file has the open row group */
    uint64_t n_reached; /* rows of it */
    bool stale;         /* it has rows that are in a row group by now */
    bool named;         /* its name is on the disk */
} nj_waiting_rows;

/* An empty one, in the place of whatever is there. `path` is the output's. */
int nj_waiting_rows_begin(nj_waiting_rows *r, const char *path, const nj_parquet_writer *w, nj_error *err);
/* The keys have changed. */
void nj_waiting_rows_keys(nj_waiting_rows *r, const nj_parquet_writer *w);
/* The open rows became a row group, which begins at byte `from` of w->groups. */
void nj_waiting_rows_group(nj_waiting_rows *r, const nj_parquet_writer *w, size_t from);
/* Everything that was put so far is written. */
int nj_waiting_rows_flush(nj_waiting_rows *r, const nj_parquet_writer *w, nj_error *err);
/* A state to go back to: with so many bytes of the output. */
int nj_waiting_rows_commit(nj_waiting_rows *r, const nj_parquet_writer *w, int64_t bytes, bool disk,
                           nj_error *err);
/* Without what is in row groups by now: only when nothing was put since a commit that counts. */
int nj_waiting_rows_shrink(nj_waiting_rows *r, const nj_parquet_writer *w, int64_t bytes, bool disk,
                           nj_error *err);
/* Goes back to the state of so many bytes and rows, or with *bytes < 0 to the last one that `size` bytes of
 * the output allow; sets *bytes. 1: there is no such state. 2: of other columns. */
int nj_waiting_rows_back(nj_waiting_rows *r, const char *path, nj_parquet_writer *w, int64_t *bytes,
                         int64_t n_rows, int64_t size, nj_error *err);
void nj_waiting_rows_close(nj_waiting_rows *r, bool remove);
void nj_waiting_rows_remove(const char *path); /* that of an output */

#endif
