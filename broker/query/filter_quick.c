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
static bool read_number(sqlite3 *db, const char *text, nj_filter_number *to)
{
    sqlite3_stmt *ask = NULL;
    char *sql = sqlite3_mprintf("SELECT %s", text);
    bool good = sql && !sqlite3_prepare_v2(db, sql, -1, &ask, NULL) && ask && sqlite3_step(ask) == SQLITE_ROW;
    int kind = good ? sqlite3_column_type(ask, 0) : SQLITE_NULL;
    if (kind == SQLITE_INTEGER) {
        to->whole = true;
        to->i = sqlite3_column_int64(ask, 0);
        to->f = (double)to->i;
    } else if (kind == SQLITE_FLOAT) {
        to->f = sqlite3_column_double(ask, 0);
    }
    sqlite3_finalize(ask);
    sqlite3_free(sql);
    return kind == SQLITE_INTEGER || kind == SQLITE_FLOAT;
}

/* False: this one is SQLite's. */
static bool understand(nj_filter *f, const nj_quick *said, nj_filter_quick *q, uint32_t *field)
{
    nj_filter_number instead = { 0 };
    const bool asks_null = said->op == NJ_QUICK_NULL || said->op == NJ_QUICK_GIVEN;
    *q = (nj_filter_quick){ .field = field, .n = (uint32_t)said->n, .op = said->op };
    for (size_t k = 0; k < said->n; k++) {
        field[k] = f->used[said->name[k]];
        if (f->field[field[k]].mixed || nj_field_kind(&f->field[field[k]]) == NJ_CELL_TEXT) return false;
    }
    if (!asks_null && !read_number(f->db, said->number, &q->with)) return false;
    if (!said->instead) return true;
    if (!read_number(f->db, said->instead, &instead)) return false;
    q->instead = instead.whole ? (nj_cell){ NJ_CELL_INT, { .i = instead.i } }
                               : (nj_cell){ NJ_CELL_REAL, { .f = instead.f } };
    return true;
}

int nj_filter_find_quick(nj_filter *f, nj_error *err)
{
    nj_clause *c = &f->clause;
    bool all = c->all_quick, exact = LDBL_MANT_DIG >= 64; /* holds any int64 and any double */
    f->quick = calloc(c->n_quick + 1, sizeof *f->quick);
    if (!f->quick) return nj_fail(err, "%s: out of memory", f->label);
    for (size_t i = 0; i < c->n_quick; i++) {
        uint32_t *field = nj_arena_alloc(&c->arena, c->quick[i].n * sizeof *field);
        if (!field) return nj_fail(err, "%s: out of memory", f->label);
        if (exact && understand(f, &c->quick[i], &f->quick[f->n_quick], field))
            f->n_quick++;
        else
            all = false;
    }
    f->all_quick = all && f->n_quick;
    return 0;
}

static inline int order(nj_cell cell, const nj_filter_number *with)
{
    if (cell.kind == NJ_CELL_INT && with->whole) return (cell.i > with->i) - (cell.i < with->i);
    if (cell.kind == NJ_CELL_REAL && !with->whole) return (cell.f > with->f) - (cell.f < with->f);
    long double a = cell.kind == NJ_CELL_INT ? (long double)cell.i : (long double)cell.f,
                b = with->whole ? (long double)with->i : (long double)with->f;
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
    return given && holds[q->op][order(cell, &q->with) + 1];
}

static inline nj_cell value_of(const nj_filter *f, const nj_filter_quick *q, const nj_rows *rows,
                               uint32_t row)
{
    for (uint32_t i = 0; i < q->n; i++) {
        nj_cell given = nj_cell_get(&f->field[q->field[i]], rows->value[q->field[i]].data, row);
        if (given.kind != NJ_CELL_NULL) return given;
    }
    return q->instead;
}

uint32_t nj_filter_quick_run(const nj_filter *f, const nj_rows *rows, uint8_t *pass)
{
    uint32_t left = 0;
    memset(pass, 1, rows->n);
    for (uint32_t i = 0; i < f->n_quick; i++) {
        const nj_filter_quick *q = &f->quick[i];
        const nj_field *field = &f->field[q->field[0]];
        const void *data = rows->value[q->field[0]].data;
        const bool one = q->n == 1 && q->instead.kind == NJ_CELL_NULL;
        for (uint32_t k = 0; k < rows->n; k++)
            if (pass[k])
                pass[k] = satisfies(
                    one ? nj_cell_get(field, data, rows->row[k]) : value_of(f, q, rows, rows->row[k]), q);
    }
    for (uint32_t k = 0; k < rows->n; k++) left += pass[k];
    return left;
}
