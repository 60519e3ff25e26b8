/* filter_state.h - one compiled filter, shared by the files that make and run it. */
#ifndef NJ_QUERY_FILTER_STATE_H
#define NJ_QUERY_FILTER_STATE_H

#include <sqlite3.h>

#include "filter.h"

struct nj_filter {
    sqlite3 *db;
    sqlite3_stmt *statement;
    nj_clause clause;
    char label[160]; /* "-w 'rb > 0.5'": the beginning of all messages */
    char *warning;
    const char *refused; /* what the authoriser last said no to */
    char refused_name[64];
    const nj_field *field;
    uint32_t *used; /* [clause.n_names] field of each column of the virtual table */
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

#endif
