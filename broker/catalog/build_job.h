/* build_job.h - the state of one `nj_catalog_make`, shared by the files that do it. */
#ifndef NJ_CATALOG_BUILD_JOB_H
#define NJ_CATALOG_BUILD_JOB_H

#include "build.h"
#include "cells.h"
#include "table.h"

typedef struct nj_build_column {
    char source[72], name[48], unit[24];
    nj_type type; /* 0 = as the first input says */
    int asked;    /* the type was */
    int guessed;  /* the type is what rows of a text file looked like, or of numbers that may not fit */
    int big;      /* it has, or may have, whole numbers that no double holds */
} nj_build_column;

typedef struct nj_build_job {
    const nj_catalog_build *b;
    nj_catalog_built *built;
    nj_error *err;
    char **file;
    uint32_t n_files;
    nj_build_column column[NJX_COLUMNS];
    uint32_t n_columns; /* without the row number */
    char ra[72], dec[72];
    nj_angle_form angle[2]; /* of ra, of dec */
    nj_spread spread;       /* of positions whose unit nothing says */
    double pm_scale;        /* of the present file */
    njx_writer *writer;
    uint64_t row;                 /* of the source, over all files */
    uint64_t file_row;            /* that the present file began with */
    int every_row;                /* second try: types of text files are those of all rows */
    nj_type instead[NJX_COLUMNS]; /* further tries: types that hold what the first file's do not; 0 = none */
} nj_build_job;

/* build_inputs.c: fills j->file; the hash of one file's bytes, of several the hash of their hashes in
 * order. */
int nj_build_list(nj_build_job *j);
int nj_build_hash(const nj_build_job *j, uint8_t digest[32]);

/* build_columns.c */
extern const char *const nj_usual_ra[], *const nj_usual_dec[]; /* end with NULL */
/* Reports that a table lacks a column, with what it has. -1 */
int nj_build_missing(const nj_build_job *j, const nj_table *t, const char *file, const char *what,
                     const char *name);
/* Settles what the first input decides: positions, all columns when none were chosen, types, units. */
int nj_build_settle(nj_build_job *j, const nj_table *t);
/* Opens the writer. */
int nj_build_create(nj_build_job *j);

#endif
