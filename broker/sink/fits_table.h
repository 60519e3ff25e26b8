/* fits_table.h - the table ALERTS of the fits sink: its columns, a new file, and one to be continued. */
#ifndef NJ_SINK_FITS_TABLE_H
#define NJ_SINK_FITS_TABLE_H

#include <fitsio.h>

#include "../base/buffer.h"
#include "file.h"

enum { NJ_FITS_BLOCK = 2880 };

typedef struct fits_conf {
    int64_t text_width;
} fits_conf;

typedef struct column {
    uint32_t repeat; /* values per row; 0 = a series, by descriptor */
    uint32_t width;  /* bytes per value */
    char format[24]; /* TFORM */
    char name[72];   /* TTYPE */
} column;

/* Values of a series that wait for their row. */
typedef struct series {
    uint32_t column; /* index of the field */
    uint64_t row;    /* from 1, in the buffer */
    size_t at;       /* in the sink's `values` */
    uint32_t n;
} series;

typedef struct fits_sink {
    nj_sink base;
    char *path;
    fits_conf conf;
    nj_outfile lock;   /* the file, open for its lock: cfitsio keeps its own descriptor to itself */
    nj_sink_args args; /* run, configuration and mark live as long as the sink */
    bool append, begun, series, undo; /* undo: of the present commit is on the disk */
    int64_t commit;
    LONGLONG header, data; /* where the table's header and its rows begin */
    fitsfile *file;
    const nj_field *field;
    uint32_t n_fields;
    column *column;
    size_t row_size;
    LONGLONG n_written;              /* rows in the table */
    uint64_t n_rows;                 /* rows in the buffer */
    nj_buffer rows, values, waiting; /* waiting: series[] */
    size_t unflushed;                /* bytes that cfitsio has, and the file perhaps not yet */
    uint64_t n_cut, n_odd;
} fits_sink;

/* -1 with err, which has cfitsio's words. */
int nj_fits_failed(const fits_sink *s, const char *doing, int status, nj_error *err);
int nj_fits_columns(fits_sink *s, nj_error *err);
/* Under nj_fits_lock(): the file stands at its table, n_written is right. */
int nj_fits_create(fits_sink *s, const nj_metadata *metadata, nj_error *err);
int nj_fits_continue(fits_sink *s, const nj_metadata *metadata, nj_error *err);

/* fits_back.c: the table as it was at the last commit */
/* Keeps what cfitsio overwrites when rows come before values of series: once between two commits. */
int nj_fits_keep(fits_sink *s, nj_error *err);
/* Brings the file, which is not open by cfitsio, back to the mark: it was written by a run that died. */
int nj_fits_back(fits_sink *s, const nj_mark *mark, nj_error *err);
void nj_fits_forget(const fits_sink *s); /* what was kept */

#endif
