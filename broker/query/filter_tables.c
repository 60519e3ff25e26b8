/* filter_tables.c - the tables that a clause reads: `alert`, a row for each row of the batch, and `lc`, the
 * light curve of one of them. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../base/buffer.h"
#include "../batch/cell.h"
#include "filter_state.h"

typedef struct table {
    sqlite3_vtab base;
    nj_filter *filter;
} table;

typedef struct cursor {
    sqlite3_vtab_cursor base;
    nj_filter *filter;
    size_t at, end; /* alert: k in rows->row[]; lc: element of the series */
} cursor;

static int connect_table(sqlite3 *db, nj_filter *filter, const char *declaration, sqlite3_vtab **out)
{
    table *t = sqlite3_malloc(sizeof *t);
    if (!t) return SQLITE_NOMEM;
    *t = (table){ .filter = filter };
    *out = &t->base;
    return sqlite3_declare_vtab(db, declaration);
}

static int disconnect(sqlite3_vtab *t)
{
    sqlite3_free(t);
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
    cursor *c = sqlite3_malloc(sizeof *c);
    if (!c) return SQLITE_NOMEM;
    *c = (cursor){ .filter = ((table *)t)->filter };
    *out = &c->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c)
{
    sqlite3_free(c);
    return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *base)
{
    ((cursor *)base)->at++;
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((cursor *)base)->at >= ((cursor *)base)->end;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
    *id = (sqlite3_int64)((cursor *)base)->at;
    return SQLITE_OK;
}

static int connect_alert(sqlite3 *db, void *filter, int argc, const char *const *argv, sqlite3_vtab **out,
                         char **error)
{
    (void)argc, (void)argv, (void)error;
    static const char *const type[] = { "", "INTEGER", "REAL", "TEXT" };
    nj_filter *f = filter;
    nj_buffer text = { 0 };
    nj_buffer_text(&text, "CREATE TABLE x(\"nj_row\" INTEGER HIDDEN");
    for (size_t i = 0; i < f->clause.n_names; i++) {
        nj_buffer_text(&text, ", ");
        nj_clause_quote(&f->clause, i, &text);
        nj_buffer_printf(&text, " %s",
                         f->field[f->used[i]].mixed ? "" : type[nj_field_kind(&f->field[f->used[i]])]);
    }
    nj_buffer_text(&text, ")");
    int rc = text.failed ? SQLITE_NOMEM : connect_table(db, f, text.data, out);
    nj_buffer_free(&text);
    return rc;
}

static int plan_alert(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    info->estimatedCost = info->estimatedRows = 64;
    return SQLITE_OK;
}

static int scan_alert(sqlite3_vtab_cursor *base, int n, const char *text, int argc, sqlite3_value **argv)
{
    (void)n, (void)text, (void)argc, (void)argv;
    cursor *c = (cursor *)base;
    c->at = 0;
    c->end = c->filter->rows ? c->filter->rows->n : 0;
    return SQLITE_OK;
}

static void give_cell(sqlite3_context *out, nj_cell cell)
{
    switch (cell.kind) {
    case NJ_CELL_NULL: break; /* a result that is not set is NULL */
    case NJ_CELL_INT: sqlite3_result_int64(out, cell.i); break;
    case NJ_CELL_REAL: sqlite3_result_double(out, cell.f); break;
    /* lives as long as the batch */
    case NJ_CELL_TEXT: sqlite3_result_text(out, cell.text, -1, SQLITE_STATIC); break;
    }
}

static int alert_value(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
    const cursor *c = (const cursor *)base;
    const nj_filter *f = c->filter;
    if (column == 0) {
        sqlite3_result_int64(out, (sqlite3_int64)c->at);
    } else {
        uint32_t field = f->used[column - 1];
        give_cell(out, nj_cell_own(&f->field[field], f->rows->value[field].data, f->rows->row[c->at]));
    }
    return SQLITE_OK;
}

static int connect_lc(sqlite3 *db, void *filter, int argc, const char *const *argv, sqlite3_vtab **out,
                      char **error)
{
    (void)argc, (void)argv, (void)error;
    return connect_table(db, filter,
                         "CREATE TABLE x(jd REAL, band TEXT, mag REAL, mag_err REAL, flux REAL, kind TEXT, "
                         "template_flux REAL, "
                         "of INTEGER HIDDEN)",
                         out);
}

/* Only with its row given: lc(k). */
static int plan_lc(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != NJ_LC_COLUMNS ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedCost = info->estimatedRows = 30;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

void nj_filter_lc_range(const nj_filter *f, int64_t k, size_t *begin, size_t *end)
{
    *begin = *end = 0;
    if (!f->lc || !f->rows || k < 0 || k >= f->rows->n || !f->lc->col[NJ_LC_JD].off) return;
    const uint32_t *off = f->lc->col[NJ_LC_JD].off + f->rows->row[k];
    *begin = off[0];
    *end = off[1];
}

static int scan_lc(sqlite3_vtab_cursor *base, int n, const char *text, int argc, sqlite3_value **argv)
{
    (void)n, (void)text;
    cursor *c = (cursor *)base;
    nj_filter_lc_range(c->filter, argc ? sqlite3_value_int64(argv[0]) : -1, &c->at, &c->end);
    return SQLITE_OK;
}

nj_cell nj_filter_lc_cell(const nj_filter *f, int column, size_t element)
{
    static const char *const band[] = { "u", "g", "r", "i", "z", "y" }, *const kind[] = { "detection",
                                                                                          "limit", "forced" };
    const nj_light_curve *lc = f->lc;
    nj_cell cell =
        nj_cell_get(&(nj_field){ .type = lc->type[column], .width = 1 }, lc->col[column].data, element);
    if (cell.kind == NJ_CELL_INT && column == NJ_LC_BAND)
        cell =
            cell.i >= 0 && cell.i < 6 ? (nj_cell){ NJ_CELL_TEXT, { .text = band[cell.i] } } : (nj_cell){ 0 };
    if (cell.kind == NJ_CELL_INT && column == NJ_LC_KIND)
        cell =
            cell.i >= 0 && cell.i < 3 ? (nj_cell){ NJ_CELL_TEXT, { .text = kind[cell.i] } } : (nj_cell){ 0 };
    return cell;
}

static int lc_value(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
    const cursor *c = (const cursor *)base;
    if (column < NJ_LC_COLUMNS) give_cell(out, nj_filter_lc_cell(c->filter, column, c->at));
    return SQLITE_OK;
}

/* No xCreate: the tables exist without a statement, and no statement can create another. */
static const sqlite3_module alert_module = { .xConnect = connect_alert,
                                             .xBestIndex = plan_alert,
                                             .xDisconnect = disconnect,
                                             .xOpen = open_cursor,
                                             .xClose = close_cursor,
                                             .xFilter = scan_alert,
                                             .xNext = next,
                                             .xEof = at_end,
                                             .xColumn = alert_value,
                                             .xRowid = row_id };
static const sqlite3_module lc_module = { .xConnect = connect_lc,
                                          .xBestIndex = plan_lc,
                                          .xDisconnect = disconnect,
                                          .xOpen = open_cursor,
                                          .xClose = close_cursor,
                                          .xFilter = scan_lc,
                                          .xNext = next,
                                          .xEof = at_end,
                                          .xColumn = lc_value,
                                          .xRowid = row_id };

int nj_filter_make_tables(nj_filter *f)
{
    int rc = sqlite3_create_module(f->db, "alert", &alert_module, f);
    return rc ? rc : sqlite3_create_module(f->db, "lc", &lc_module, f);
}
