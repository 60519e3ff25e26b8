/* table.h - a module's tables, read without trust: they may lack their closing { 0 }. */
#ifndef NJ_GRAPH_TABLE_H
#define NJ_GRAPH_TABLE_H

#include "../base/error.h"
#include "nightjar/module.h"

typedef enum { NJ_TABLE_NEEDS, NJ_TABLE_GIVES, NJ_TABLE_PARAMS } nj_table;

/* What module says: its tables may be another one's rows, so a table is read for it alone. */
typedef struct nj_table_of {
    const nj_module *module; /* at the host's size */
    const nj_module *at;     /* as it lies in its file; NULL = unknown */
    const char *who;         /* "NAME" or "PATH: module NAME" for messages */
} nj_table_of;

/* Walks a table of this kind; no row is read that is not there. -1 with err: it does not end, or a row is
 * none. NULL is no table, and right. After it nj_table_rows() may copy the table. */
int nj_table_check(const nj_table_of *of, nj_table kind, const void *rows, nj_error *err);
/* A column's number of values that follows a series:
 * of such a series? needs and gives are at the host's size. */
int nj_table_likes(const nj_table_of *of, const nj_need *need, int n_needs, const nj_give *give, int n_gives,
                   nj_error *err);

/* Is there text of at most so many bytes? NULL and any other address are allowed. */
bool nj_is_text(const char *text, size_t most);
/* May these bytes be read? */
bool nj_is_there(const void *at, size_t n);

#endif
