/* parquet_table.c - Parquet through parquet/parquet.h; columns inside lists are left out, members of structs
 * are "struct.member". */
#include "table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../parquet/parquet.h"

enum { BLOCK = 8192 };

typedef struct parquet_table {
    nj_table table;
    nj_parquet *file;
    uint32_t *leaf;             /* [n_columns] */
    nj_parquet_column **column; /* [n_select] */
    const nj_parquet_leaf **what;
    nj_parquet_values *values;
    char (*digits)[24]; /* [n_select] of a number that is handed out as text */
    uint64_t row, at;
} parquet_table;

static int match(const char *path, const unsigned char *first, size_t n)
{
    (void)path;
    return n >= 4 && !memcmp(first, "PAR", 3) && (first[3] == '1' || first[3] == 'E');
}

static void close_table(nj_table *table)
{
    parquet_table *t = (parquet_table *)table;
    for (uint32_t i = 0; t->column && i < t->table.n_select; i++) nj_parquet_column_close(t->column[i]);
    nj_parquet_close(t->file);
    free(t->column);
    free(t->what);
    free(t->values);
    free(t->digits);
    free(t->leaf);
    nj_table_free(table);
}

static nj_table *open_table(const char *path, int every_row, nj_error *err)
{
    static const nj_type type[] = {
        [NJ_PARQUET_BOOL] = NJ_I64, [NJ_PARQUET_I32] = NJ_I64, [NJ_PARQUET_I64] = NJ_I64,
        [NJ_PARQUET_F32] = NJ_F32,  [NJ_PARQUET_F64] = NJ_F64, [NJ_PARQUET_BYTES] = NJ_STR
    };
    (void)every_row;
    parquet_table *t = nj_table_new(&nj_table_parquet, sizeof *t, path, err);
    if (!t) return NULL;
    t->file = nj_parquet_open(path, err);
    if (!t->file) goto fail;
    uint32_t n = nj_parquet_leaves(t->file);
    t->table.column = calloc(n + 1, sizeof *t->table.column);
    t->leaf = calloc(n + 1, sizeof *t->leaf);
    if (!t->table.column || !t->leaf) {
        nj_table_no_memory(&t->table, err);
        goto fail;
    }
    for (uint32_t i = 0; i < n; i++) {
        const nj_parquet_leaf *leaf = nj_parquet_leaf_at(t->file, i);
        if (leaf->max_rep) {
            nj_table_leave_out(&t->table, "left out, for they are lists", leaf->name);
            continue;
        }
        nj_table_column *c = &t->table.column[t->table.n_columns];
        snprintf(c->name, sizeof c->name, "%s", leaf->name);
        int fraction = leaf->kind == NJ_PARQUET_DECIMAL && leaf->scale && leaf->type != NJ_PARQUET_BYTES;
        c->type = fraction ? NJ_F64 : type[leaf->type];
        /* one beyond int64 makes a text of it */
        c->declared = leaf->type != NJ_PARQUET_I64 || leaf->kind != NJ_PARQUET_UNSIGNED;
        c->big = leaf->type == NJ_PARQUET_I64 && !fraction;
        t->leaf[t->table.n_columns++] = i;
    }
    return &t->table;
fail:
    close_table(&t->table);
    return NULL;
}

static int select_columns(nj_table *table, const uint32_t *column, uint32_t n, nj_error *err)
{
    parquet_table *t = (parquet_table *)table;
    t->column = calloc(n + 1, sizeof *t->column);
    t->what = calloc(n + 1, sizeof *t->what);
    t->values = calloc(n + 1, sizeof *t->values);
    t->digits = calloc(n + 1, sizeof *t->digits);
    if (!t->column || !t->what || !t->values || !t->digits) return nj_table_no_memory(table, err);
    if (nj_table_select(table, column, n, err)) return -1;
    for (uint32_t i = 0; i < n; i++) {
        t->what[i] = nj_parquet_leaf_at(t->file, t->leaf[column[i]]);
        t->column[i] = nj_parquet_column_open(t->file, t->leaf[column[i]], err);
        if (!t->column[i]) return -1;
    }
    return 0;
}

static nj_table_cell cell_of(const nj_parquet_leaf *leaf, const nj_parquet_values *v, uint64_t at,
                             char digits[24])
{
    nj_table_cell c = { .kind = NJ_TABLE_NULL };
    if (v->def && v->def[at] < leaf->max_def) return c;
    switch (leaf->type) {
    case NJ_PARQUET_BOOL: c.integer = ((const uint8_t *)v->value)[at]; break;
    case NJ_PARQUET_I32:
        c.integer = ((const int32_t *)v->value)[at];
        if (leaf->kind == NJ_PARQUET_UNSIGNED) c.integer &= UINT32_MAX;
        break;
    case NJ_PARQUET_I64:
        c.integer = ((const int64_t *)v->value)[at];
        if (leaf->kind == NJ_PARQUET_UNSIGNED && c.integer < 0) { /* as text: neither int64 nor a
                                                                   * double holds it */
            int n = snprintf(digits, 24, "%" PRIu64, (uint64_t)c.integer);
            return (nj_table_cell){ .kind = NJ_TABLE_TEXT, .text = digits, .n_text = (uint32_t)n };
        }
        break;
    case NJ_PARQUET_F32: c.number = ((const float *)v->value)[at]; break;
    case NJ_PARQUET_F64: c.number = ((const double *)v->value)[at]; break;
    case NJ_PARQUET_BYTES: {
        nj_parquet_bytes b = ((const nj_parquet_bytes *)v->value)[at];
        while (b.n && b.data[b.n - 1] == ' ') b.n--;
        while (b.n && *b.data == ' ') b.data++, b.n--;
        return (nj_table_cell){ .kind = b.n ? NJ_TABLE_TEXT : NJ_TABLE_NULL,
                                .text = (const char *)b.data,
                                .n_text = b.n };
    }
    }
    if (leaf->type == NJ_PARQUET_F32 || leaf->type == NJ_PARQUET_F64) {
        c.kind = isnan(c.number) ? NJ_TABLE_NULL : NJ_TABLE_REAL;
    } else {
        int fraction = leaf->kind == NJ_PARQUET_DECIMAL && leaf->scale;
        c.kind = fraction ? NJ_TABLE_REAL : NJ_TABLE_INTEGER;
        c.number = (double)c.integer;
        if (fraction) c.number /= pow(10, leaf->scale);
    }
    return c;
}

static int next(nj_table *table, nj_table_cell *cell, nj_error *err)
{
    parquet_table *t = (parquet_table *)table;
    if (t->row == nj_parquet_rows(t->file)) return 0;
    if (!t->table.n_select || t->at == t->values[0].n_rows) {
        for (uint32_t i = 0; i < t->table.n_select; i++) {
            if (nj_parquet_read(t->column[i], BLOCK, &t->values[i], err)) return -1;
            if (t->values[i].n_rows != t->values[0].n_rows || !t->values[i].n_rows)
                return nj_fail(err, "column '%s' ends early", t->what[i]->name);
        }
        t->at = 0;
    }
    for (uint32_t i = 0; i < t->table.n_select; i++)
        cell[i] = cell_of(t->what[i], &t->values[i], t->at, t->digits[i]);
    t->at++;
    t->row++;
    return 1;
}

static double done(const nj_table *table)
{
    const parquet_table *t = (const parquet_table *)table;
    uint64_t n = nj_parquet_rows(t->file);
    return n ? (double)t->row / (double)n : 1;
}

const nj_table_class nj_table_parquet = { .name = "Parquet",
                                          .match = match,
                                          .open = open_table,
                                          .select = select_columns,
                                          .next = next,
                                          .done = done,
                                          .close = close_table };
