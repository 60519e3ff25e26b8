/* table.h - tables of any kind, row by row: text in many dialects, VOTable, FITS BINTABLE, Parquet. */
#ifndef NJ_CATALOG_TABLE_H
#define NJ_CATALOG_TABLE_H

#include "../base/error.h"
#include "nightjar/module.h"

typedef struct nj_table_column {
    char name[72];  /* as the file says it, without blanks around it */
    char unit[24];  /* "" when the file names none */
    nj_type type;   /* NJ_I64, NJ_F32, NJ_F64 or NJ_STR; of a text file that declares none:
                     * what its rows look like */
    int declared;   /* the file says the type; 0: it is a guess from the rows that were looked at */
    char big;       /* it may have whole numbers beyond 2^53, which no double holds;
                     * of a guess: one was seen */
    char frame[32]; /* of positions, where the file says that they are neither ICRS nor FK5 of J2000:
                     * "FK4", else "" */
} nj_table_column;

typedef enum { NJ_TABLE_NULL, NJ_TABLE_INTEGER, NJ_TABLE_REAL, NJ_TABLE_TEXT } nj_table_cell_kind;
typedef struct nj_table_cell {
    nj_table_cell_kind kind;
    double number; /* INTEGER too */
    int64_t integer;
    const char *text; /* not NUL-terminated; lives until the next row */
    uint32_t n_text;
} nj_table_cell;

typedef struct nj_table nj_table;
typedef struct nj_table_class {
    const char *name;
    int (*match)(const char *path, const unsigned char *first, size_t n); /* by its first bytes,
                                                                           * then by its name */
    /* every_row: types are guessed from all rows of a text file, not from the first ones. */
    nj_table *(*open)(const char *path, int every_row, nj_error *err);
    /* From now on, rows have these columns only, in this order. */
    int (*select)(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err);
    int (*next)(nj_table *table, nj_table_cell *cell, nj_error *err); /* 1 = a row, 0 = the end,
                                                                       * -1 = damaged; err says where */
    double (*done)(const nj_table *table);                            /* 0..1 */
    void (*close)(nj_table *table);
} nj_table_class;

struct nj_table { /* first member of each class's own struct */
    const nj_table_class *class;
    nj_table_column *column;
    uint32_t n_columns;
    uint64_t line;              /* of the present row in a text, from 1; 0: the format has no lines */
    char note[400];             /* what of the file is not read, or "" */
    char *path;                 /* for messages */
    uint32_t *select, n_select; /* the columns that rows have now */
};

extern const nj_table_class nj_table_csv, nj_table_fits, nj_table_parquet, nj_table_votable;

nj_table *nj_table_open(const char *path, int every_row, nj_error *err);
/* Number of the column: the name as it stands, else without regard to capitals;
 * -1 = none, or several of the latter. */
int nj_table_find(const nj_table *table, const char *name);
/* The name of another column that differs by capitals only; NULL = none. */
const char *nj_table_other_case(const nj_table *table, int column);
/* Adds a name to the list of what is not read, which begins with `what`:
 * "left out (several values a row): VEC, FLAGS". */
void nj_table_leave_out(nj_table *table, const char *what, const char *name);
void nj_table_close(nj_table *table); /* NULL allowed */

/* For the classes: a zeroed struct of this size, which begins with a table. NULL with err. */
void *nj_table_new(const nj_table_class *class, size_t size, const char *path, nj_error *err);
/* Keeps which columns are chosen. -1 with err. */
int nj_table_select(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err);
int nj_table_no_memory(const nj_table *table, nj_error *err);
/* Frees the struct and what a table has itself; a class frees its own members before. */
void nj_table_free(nj_table *table);

#endif
