/* filter_state.h - one compiled filter, shared by the files that make and run it. */
#ifndef NJ_QUERY_FILTER_STATE_H
#define NJ_QUERY_FILTER_STATE_H

#include <sqlite3.h>

#include "../batch/cell.h"
#include "filter.h"

typedef struct nj_filter_number {
    bool whole; /* i is the number, and not f */
    int64_t i;
    double f;
} nj_filter_number;
typedef struct nj_filter_quick {
    const uint32_t *field; /* [n] the first that is not null is compared, else `instead` */
    uint32_t n;
    nj_quick_op op;
    nj_filter_number with;
    nj_cell instead;
} nj_filter_quick;

struct nj_filter {
    sqlite3 *db;
    sqlite3_stmt *statement;
    nj_clause clause;
    char label[160]; /* "-w 'rb > 0.5'": the beginning of all messages */
    char *warning;
    const char *refused; /* what the authoriser last said no to */
    char refused_name[64];
    const nj_field *field;
    uint32_t *used;         /* [clause.n_names] field of each column of the virtual table */
    nj_filter_quick *quick; /* [n_quick] a row must satisfy all of them */
    uint32_t n_quick;
    bool all_quick;      /* and nothing else */
    uint32_t *left, cap; /* [cap] rows that they leave */
    double longitude;    /* of the nights */
    int64_t ticks_left;
    uint32_t n_failed; /* rows asked alone that failed, while there was no answer yet */
    bool answered;     /* for some row */
    bool endless;      /* of a stream: see nj_filter_never_ends() */
    /* of the running call */
    const nj_rows *rows;
    const nj_light_curve *lc;
};

/* filter_tables.c: registers the two tables. SQLite's code */
int nj_filter_make_tables(nj_filter *f);
/* The elements of the light curve of the running call's row k, and one value of them. */
void nj_filter_lc_range(const nj_filter *f, int64_t k, size_t *begin, size_t *end);
nj_cell nj_filter_lc_cell(const nj_filter *f, int column, size_t element);

/* filter_functions.c: registers nj_query_functions. SQLite's code */
int nj_filter_make_functions(nj_filter *f);

/* filter_quick.c: finds what of the clause needs no SQLite; -1 with err. */
int nj_filter_find_quick(nj_filter *f, nj_error *err);
/* pass[k] = 1 for the rows that satisfy it; how many these are. */
uint32_t nj_filter_quick_run(const nj_filter *f, const nj_rows *rows, uint8_t *pass);

#endif
