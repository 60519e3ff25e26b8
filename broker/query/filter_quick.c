/* filter_quick.c - the comparisons of a clause with numbers, on whole columns: SQLite takes half a
 * microsecond for a row, and a hundred topics ask of every alert. The answers are SQLite's: whole and
 * floating numbers are compared by their exact values, and null satisfies nothing but IS NULL. */
#include <float.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../batch/cell.h"
#include "filter_state.h"

/* The number as SQLite reads it. */
static bool read_number(sqlite3 *db, const char *text, nj_filter_quick *q)
{
    sqlite3_stmt *ask = NULL;
    char *sql = sqlite3_mprintf("SELECT %s", text);
    bool good = sql && !sqlite3_prepare_v2(db, sql, -1, &ask, NULL) && ask && sqlite3_step(ask) == SQLITE_ROW;
    int kind = good ? sqlite3_column_type(ask, 0) : SQLITE_NULL;
    if (kind == SQLITE_INTEGER) {
        q->whole = true;
        q->i = sqlite3_column_int64(ask, 0);
        q->f = (double)q->i;
    } else if (kind == SQLITE_FLOAT) {
        q->f = sqlite3_column_double(ask, 0);
    }
    sqlite3_finalize(ask);
    sqlite3_free(sql);
    return kind == SQLITE_INTEGER || kind == SQLITE_FLOAT;
}

int nj_filter_find_quick(nj_filter *f, nj_error *err)
{
    const nj_clause *c = &f->clause;
    bool all = c->all_quick;
    f->quick = calloc(c->n_quick + 1, sizeof *f->quick);
    if (!f->quick) return nj_fail(err, "%s: out of memory", f->label);
    for (size_t i = 0; i < c->n_quick; i++) {
        nj_filter_quick q = { .field = f->used[c->quick[i].name], .op = c->quick[i].op };
        const nj_field *field = &f->field[q.field];
        bool asks_null = q.op == NJ_QUICK_NULL || q.op == NJ_QUICK_GIVEN;
        bool exact = LDBL_MANT_DIG >= 64; /* holds any int64 and any double */
        if (exact && !field->mixed && nj_field_kind(field) != NJ_CELL_TEXT &&
            (asks_null || read_number(f->db, c->quick[i].number, &q)))
            f->quick[f->n_quick++] = q;
        else
            all = false;
    }
    f->all_quick = all && f->n_quick;
    return 0;
}

static inline int order(nj_cell cell, const nj_filter_quick *q)
{
    if (cell.kind == NJ_CELL_INT && q->whole) return (cell.i > q->i) - (cell.i < q->i);
    if (cell.kind == NJ_CELL_REAL && !q->whole) return (cell.f > q->f) - (cell.f < q->f);
    long double a = cell.kind == NJ_CELL_INT ? (long double)cell.i : (long double)cell.f,
                b = q->whole ? (long double)q->i : (long double)q->f;
    return (a > b) - (a < b);
}

static bool satisfies(nj_cell cell, const nj_filter_quick *q)
{
    /* by the sign of the order: -1, 0, 1 */
    static const uint8_t holds[][3] = {
        [NJ_QUICK_LT] = { 1, 0, 0 }, [NJ_QUICK_LE] = { 1, 1, 0 }, [NJ_QUICK_GT] = { 0, 0, 1 },
        [NJ_QUICK_GE] = { 0, 1, 1 }, [NJ_QUICK_EQ] = { 0, 1, 0 }, [NJ_QUICK_NE] = { 1, 0, 1 }
    };
    bool given = cell.kind != NJ_CELL_NULL;
    if (q->op == NJ_QUICK_NULL || q->op == NJ_QUICK_GIVEN) return given == (q->op == NJ_QUICK_GIVEN);
    return given && holds[q->op][order(cell, q) + 1];
}

uint32_t nj_filter_quick_run(const nj_filter *f, const nj_rows *rows, uint8_t *pass)
{
    uint32_t left = 0;
    memset(pass, 1, rows->n);
    for (uint32_t i = 0; i < f->n_quick; i++) {
        const nj_filter_quick *q = &f->quick[i];
        const nj_field *field = &f->field[q->field];
        const void *data = rows->value[q->field].data;
        for (uint32_t k = 0; k < rows->n; k++)
            if (pass[k]) pass[k] = satisfies(nj_cell_get(field, data, rows->row[k]), q);
    }
    for (uint32_t k = 0; k < rows->n; k++) left += pass[k];
    return left;
}
