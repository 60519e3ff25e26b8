/* fits_table.c - FITS binary (and ASCII) tables through cfitsio, a block of rows at a time. */
#include "table.h"

#include <fitsio.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fits_column {
    int number, type; /* cfitsio's: from 1; TSTRING, TLONGLONG, TULONGLONG,
                       * TLOGICAL or TDOUBLE as they are read */
    long width;       /* characters of a text */
    bool real;        /* floats as they are stored: asked for nulls, cfitsio takes infinities for some */
    long at;          /* > 0: whole numbers in characters from this one of a row on,
                       * which cfitsio would read as doubles */
    char null[FLEN_VALUE];
} fits_column;

typedef struct fits_table {
    nj_table table;
    fitsfile *file;
    LONGLONG n_rows, row;     /* row: next to hand out, from 0 */
    fits_column *column;      /* [n_columns] */
    long block, in_block, at; /* rows of a block, in the present one, next of it */
    void **data;              /* [n_select] the present block */
    char **nulls, ***text, (*digits)[24];
} fits_table;

static int match(const char *path, const unsigned char *first, size_t n)
{
    size_t length = strlen(path);
    if (n >= 9 && !memcmp(first, "SIMPLE  =", 9)) return 1;
    return n >= 2 && first[0] == 0x1f && first[1] == 0x8b && length > 8 &&
           (!strcmp(path + length - 8, ".fits.gz") || !strcmp(path + length - 7, ".fit.gz"));
}

static int complain(const fits_table *t, int status, nj_error *err)
{
    char text[FLEN_STATUS];
    fits_get_errstatus(status, text);
    return nj_fail(err, "%s: %s", t->table.path, text);
}

static void free_block(fits_table *t)
{
    for (uint32_t i = 0; t->data && i < t->table.n_select; i++) {
        free(t->data[i]);
        free(t->nulls[i]);
        free(t->text[i]);
    }
    free(t->data);
    free(t->nulls);
    free(t->text);
    free(t->digits);
}

static void close_table(nj_table *table)
{
    fits_table *t = (fits_table *)table;
    int status = 0;
    free_block(t);
    if (t->file) fits_close_file(t->file, &status);
    free(t->column);
    nj_table_free(table);
}

/* What RADESYS, else EQUINOX, says of positions: "" for ICRS and for FK5 of 2000,
 * which is within 0.03 arcsec of it. */
static void frame_of(fits_table *t, char *frame, size_t room)
{
    char system[FLEN_VALUE] = "";
    double equinox = 0;
    int status = 0;
    fits_read_key(t->file, TSTRING, "RADESYS", system, NULL, &status);
    if (status) status = 0, fits_read_key(t->file, TSTRING, "RADECSYS", system, NULL, &status);
    status = 0;
    fits_read_key(t->file, TDOUBLE, "EQUINOX", &equinox, NULL, &status);
    if (!*system && equinox > 0) snprintf(system, sizeof system, equinox < 1984 ? "FK4" : "FK5");
    if (!strncmp(system, "FK4", 3))
        snprintf(frame, room, "%.16s", system);
    else if (!strcmp(system, "FK5") && equinox > 0 && equinox != 2000)
        snprintf(frame, room, "FK5/%g", equinox);
}

/* Is it a column of an ASCII table with more digits than a double holds? Then they are
 * taken as they stand. */
static int long_digits(fits_table *t, int number, fits_column *c)
{
    char form[FLEN_VALUE], unused[FLEN_VALUE];
    double scale, zero;
    int status = 0, kind;
    long at, width;
    if (fits_get_hdu_type(t->file, &kind, &status) || kind != ASCII_TBL) return 0;
    fits_get_acolparms(t->file, number, unused, &at, unused, form, &scale, &zero, c->null, unused, &status);
    if (status || *form != 'I' || scale != 1 || zero != 0 || (width = atol(form + 1)) < 16) return 0;
    for (size_t n = strlen(c->null); n && c->null[n - 1] == ' ';) c->null[--n] = 0;
    c->type = TSTRING;
    c->width = width;
    c->at = at;
    return 1;
}

/* Columns of one value per row; vectors and variable-length arrays are left out. */
static int list_columns(fits_table *t, nj_error *err)
{
    int status = 0, n = 0;
    char frame[32] = "";
    frame_of(t, frame, sizeof frame);
    fits_get_num_cols(t->file, &n, &status);
    t->table.column = calloc((size_t)n + 1, sizeof *t->table.column);
    t->column = calloc((size_t)n + 1, sizeof *t->column);
    if (!t->table.column || !t->column) return nj_table_no_memory(&t->table, err);
    for (int k = 1; k <= n && !status; k++) {
        char key[FLEN_KEYWORD], name[FLEN_VALUE] = "", unit[FLEN_VALUE] = "";
        int type;
        long repeat, width;
        fits_get_eqcoltype(t->file, k, &type, &repeat, &width, &status);
        snprintf(key, sizeof key, "TTYPE%d", k);
        fits_read_key(t->file, TSTRING, key, name, NULL, &status);
        if (status == KEY_NO_EXIST) status = 0;
        snprintf(key, sizeof key, "TUNIT%d", k);
        fits_read_key(t->file, TSTRING, key, unit, NULL, &status);
        if (status == KEY_NO_EXIST) status = 0;
        if (type < 0 || (type != TSTRING && repeat != 1) || type == TCOMPLEX || type == TDBLCOMPLEX ||
            type == TBIT) {
            nj_table_leave_out(&t->table, "left out, for they are no single values", name);
            continue;
        }
        nj_table_column *c = &t->table.column[t->table.n_columns];
        size_t blanks = strlen(name);
        while (blanks && name[blanks - 1] == ' ') name[--blanks] = 0;
        snprintf(c->name, sizeof c->name, "%s", name);
        snprintf(c->unit, sizeof c->unit, "%.*s", (int)sizeof c->unit - 1, unit);
        c->type = type == TSTRING ? NJ_STR : type == TFLOAT ? NJ_F32 : type == TDOUBLE ? NJ_F64 : NJ_I64;
        c->declared = type != TULONGLONG; /* one beyond int64 makes a text of it */
        c->big = type == TLONGLONG || type == TULONGLONG;
        snprintf(c->frame, sizeof c->frame, "%s", frame);
        t->column[t->table.n_columns++] = (fits_column){ k,
                                                         type == TSTRING     ? TSTRING
                                                         : c->type == NJ_I64 ? TLONGLONG
                                                                             : TDOUBLE,
                                                         type == TSTRING ? repeat : 0 };
        int stored, kind;
        if (!fits_get_hdu_type(t->file, &kind, &status) &&
            !fits_get_coltype(t->file, k, &stored, NULL, NULL, &status))
            t->column[t->table.n_columns - 1].real =
                kind == BINARY_TBL && (stored == TFLOAT || stored == TDOUBLE);
        if (type == TULONGLONG) t->column[t->table.n_columns - 1].type = TULONGLONG;
        if (long_digits(t, k, &t->column[t->table.n_columns - 1]))
            c->declared = 0, c->big = 1, c->type = NJ_I64;
        if (type == TLOGICAL) t->column[t->table.n_columns - 1].type = TLOGICAL;
    }
    return status ? complain(t, status, err) : 0;
}

static void further_tables(fits_table *t)
{
    int status = 0, here, n = 0, kind;
    fits_get_hdu_num(t->file, &here);
    fits_get_num_hdus(t->file, &n, &status);
    for (int k = here + 1; k <= n && !status; k++) {
        char name[FLEN_VALUE] = "";
        int no_name = 0;
        if (fits_movabs_hdu(t->file, k, &kind, &status) || kind == IMAGE_HDU) continue;
        fits_read_key(t->file, TSTRING, "EXTNAME", name, NULL, &no_name);
        nj_table_leave_out(&t->table, "further tables are not read", *name ? name : "(no EXTNAME)");
    }
    status = 0;
    fits_movabs_hdu(t->file, here, &kind, &status);
}

static nj_table *open_table(const char *path, int every_row, nj_error *err)
{
    (void)every_row;
    fits_table *t = nj_table_new(&nj_table_fits, sizeof *t, path, err);
    int status = 0;
    if (!t) return NULL;
    if (fits_open_table(&t->file, path, READONLY, &status) ||
        fits_get_num_rowsll(t->file, &t->n_rows, &status)) {
        complain(t, status, err);
        goto fail;
    }
    if (list_columns(t, err)) goto fail;
    further_tables(t);
    return &t->table;
fail:
    close_table(&t->table);
    return NULL;
}

static int select_columns(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err)
{
    fits_table *t = (fits_table *)table;
    int status = 0;
    fits_get_rowsize(t->file, &t->block, &status);
    if (status || t->block < 1) t->block = 1000;
    size_t rows = (size_t)t->block;
    if (nj_table_select(table, column, n, err)) return -1;
    t->data = calloc(n + 1, sizeof *t->data);
    t->nulls = calloc(n + 1, sizeof *t->nulls);
    t->text = calloc(n + 1, sizeof *t->text);
    t->digits = calloc(n + 1, sizeof *t->digits);
    if (!t->data || !t->nulls || !t->text || !t->digits) return nj_table_no_memory(&t->table, err);
    for (uint32_t i = 0; i < n; i++) {
        const fits_column *c = &t->column[column[i]];
        size_t width = c->type == TSTRING ? (size_t)c->width + 1 : 8;
        t->data[i] = calloc(rows, width);
        t->nulls[i] = calloc(rows, 1);
        if (c->type == TSTRING) t->text[i] = calloc(rows, sizeof **t->text);
        if (!t->data[i] || !t->nulls[i] || (c->type == TSTRING && !t->text[i]))
            return nj_table_no_memory(&t->table, err);
        for (size_t k = 0; t->text[i] && k < rows; k++) t->text[i][k] = (char *)t->data[i] + k * width;
    }
    return 0;
}

static int next_block(fits_table *t, nj_error *err)
{
    int status = 0, any;
    t->at = 0;
    t->in_block = t->n_rows - t->row < t->block ? (long)(t->n_rows - t->row) : t->block;
    for (uint32_t i = 0; i < t->table.n_select && !status; i++) {
        const fits_column *c = &t->column[t->table.select[i]];
        for (long row = 0; c->at && row < t->in_block && !status; row++)
            fits_read_tblbytes(t->file, t->row + row + 1, c->at, c->width, (unsigned char *)t->text[i][row],
                               &status);
        if (c->at) continue;
        if (c->real) {
            fits_read_col(t->file, TDOUBLE, c->number, t->row + 1, 1, t->in_block, NULL, t->data[i], &any,
                          &status);
            continue;
        }
        fits_read_colnull(t->file, c->type, c->number, t->row + 1, 1, t->in_block,
                          c->type == TSTRING ? (void *)t->text[i] : t->data[i], t->nulls[i], &any, &status);
    }
    t->row += t->in_block;
    return status ? complain(t, status, err) : 0;
}

static int next(nj_table *table, nj_table_cell *cell, nj_error *err)
{
    fits_table *t = (fits_table *)table;
    if (t->at == t->in_block) {
        if (t->row == t->n_rows) return 0;
        if (next_block(t, err)) return -1;
    }
    for (uint32_t i = 0; i < t->table.n_select; i++) {
        const fits_column *c = &t->column[t->table.select[i]];
        if (t->nulls[i][t->at]) {
            cell[i] = (nj_table_cell){ .kind = NJ_TABLE_NULL };
        } else if (c->type == TSTRING) {
            const char *text = t->text[i][t->at];
            size_t n = strlen(text);
            while (n && text[n - 1] == ' ') n--;
            while (n && *text == ' ') text++, n--;
            if (c->at && n && n == strlen(c->null) && !memcmp(text, c->null, n)) n = 0;
            cell[i] = (nj_table_cell){ .kind = n ? NJ_TABLE_TEXT : NJ_TABLE_NULL,
                                       .text = text,
                                       .n_text = (uint32_t)n };
        } else if (c->type == TDOUBLE) {
            double v = ((double *)t->data[i])[t->at];
            cell[i] = (nj_table_cell){ .kind = isnan(v) ? NJ_TABLE_NULL : NJ_TABLE_REAL, .number = v };
            /* as text: no double holds it */
        } else if (c->type == TULONGLONG && ((uint64_t *)t->data[i])[t->at] > INT64_MAX) {
            int n =
                snprintf(t->digits[i], sizeof *t->digits, "%llu", ((unsigned long long *)t->data[i])[t->at]);
            cell[i] = (nj_table_cell){ .kind = NJ_TABLE_TEXT, .text = t->digits[i], .n_text = (uint32_t)n };
        } else {
            int64_t v = c->type == TLOGICAL ? ((char *)t->data[i])[t->at] : ((LONGLONG *)t->data[i])[t->at];
            cell[i] = (nj_table_cell){ .kind = NJ_TABLE_INTEGER, .integer = v, .number = (double)v };
        }
    }
    t->at++;
    return 1;
}

static double done(const nj_table *table)
{
    const fits_table *t = (const fits_table *)table;
    return t->n_rows ? (double)(t->row - t->in_block + t->at) / (double)t->n_rows : 1;
}

const nj_table_class nj_table_fits = { .name = "FITS",
                                       .match = match,
                                       .open = open_table,
                                       .select = select_columns,
                                       .next = next,
                                       .done = done,
                                       .close = close_table };
