/* text.h - inside catalog: a text table being read, and what its first lines say of it. */
#ifndef NJ_CATALOG_TEXT_H
#define NJ_CATALOG_TEXT_H

#include <zlib.h>

#include "table.h"

enum { NJ_TEXT_COLUMNS = 4096 };

typedef struct nj_span {
    char *text;
    uint32_t n;
} nj_span;

typedef struct nj_text_table {
    nj_table table;
    gzFile file;
    int64_t size; /* of the file on disk */
    char *buffer;
    size_t at, n, cap;
    int end; /* nothing more to read */
    char separator;
    uint64_t line; /* of the row last cut, from 1 */
    nj_span *cell; /* [NJ_TEXT_COLUMNS] of the present row */
    uint32_t n_cells;
    uint32_t *bar; /* an IPAC table: where its columns end, [n_bars]; the first one begins at bar[0] */
    uint32_t n_bars;
    char (*null)[24]; /* [n_columns] what the header declares to be no value, ""; NULL: nothing declared */
    char *comment;    /* lines of the header that began with #, without it; NULL: none */
    int keep_comments;
    int second_table;   /* a comment behind the rows described further columns */
    int in_rows;        /* of an IPAC table: the header is over */
    uint64_t data_line; /* rows up to this line are the header's */
} nj_text_table;

/* More bytes behind the present ones; 0 at the end, -1 on damage. Moves what begins at `row` to the front. */
int nj_text_more(nj_text_table *t, size_t row, nj_error *err);
/* Cuts the next row that is neither blank nor a comment: 1, 0 at the end, -1 with err. */
int nj_text_row(nj_text_table *t, nj_error *err);
/* Reads names, units and declared types in whichever dialect the file has; data_line is set. -1 with err,
 * which names the dialect and the cure where it is not read. */
int nj_text_header(nj_text_table *t, nj_error *err);
/* What writers put where there is no value. */
int nj_text_is_null(const nj_span *cell);
/* No value of a column of numbers; of other columns it is a text. */
int nj_text_is_nan(const nj_span *cell);
/* The type of a column that held values of type so_far (0: none yet) and now this cell; big: a whole number
 * beyond 2^53 has been seen. Whole numbers that no 64 bits hold, that have leading zeros, or that would lose
 * digits beside fractions are text. */
nj_type nj_text_type(const nj_span *cell, nj_type so_far, char *big);

#endif
