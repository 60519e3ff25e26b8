/* fit.h - text and tables for people that fit the terminal they are printed to. Widths are in bytes: the
 * host's own words are ASCII. */
#ifndef NJ_REPORT_FIT_H
#define NJ_REPORT_FIT_H

#include <stdbool.h>
#include <stdio.h>

/* Columns of what `to` shows: COLUMNS of the environment when it is a number from 40 to 1000, else what the
 * terminal says, else 80 (a file, a pipe). */
int nj_fit_width(FILE *to);
/* One paragraph, broken at spaces; further lines are indented by two.
 * A word wider than the terminal stays whole. */
void nj_fit_text(FILE *to, int width, const char *text);
/* One line: the parts that fit, in their order; the first always, over several lines if need be.
 * The end of parts is NULL. */
void nj_fit_parts(FILE *to, int width, const char *const *part);

enum { NJ_FIT_COLUMNS = 16, NJ_FIT_CELL = 64 };

typedef struct nj_fit_column {
    const char *over, *head; /* the two lines of its head */
    int rank;                /* columns come in by rank while there is room; 0: always */
} nj_fit_column;

typedef char nj_fit_cells[NJ_FIT_COLUMNS][NJ_FIT_CELL];

/* A table in two passes over its rows: see() them all, choose(), then print.
 * The first column is the name, to the left. */
typedef struct nj_fit {
    const nj_fit_column *column;
    int n, width[NJ_FIT_COLUMNS];
    bool shown[NJ_FIT_COLUMNS];
} nj_fit;

void nj_fit_begin(nj_fit *table, const nj_fit_column *column, int n);
void nj_fit_see(nj_fit *table, nj_fit_cells cells);
void nj_fit_choose(nj_fit *table, int width);
void nj_fit_head(const nj_fit *table, FILE *to);
void nj_fit_row(const nj_fit *table, nj_fit_cells cells, FILE *to);

#endif
