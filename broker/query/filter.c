/* filter.c - filters are SQL conditions; SQLite evaluates them on a virtual table that reads the batch
 * without a copy. */
#include "filter.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/buffer.h"
#include "../base/debug.h"
#include "../base/night.h"
#include "../base/settings.h"
#include "../batch/cell.h"
#include "filter_state.h"

enum {
    STEPS_PER_TICK = 1000, /* virtual machine steps between two looks at the budget */
    TICKS_PER_ROW = 1000,  /* a million steps per row: some 10 ms, four orders above a usual clause */
    MAX_TEXT = 1 << 20     /* bytes of any text that a clause can make */
};

enum { FAILED_MOST = 64 }; /* rows, and none that it could be answered for: then it is the clause */

/* ---- what a clause may do -------------------------------------------------------------------- */

static int refuse(nj_filter *f, const char *what, const char *name)
{
    f->refused = what;
    snprintf(f->refused_name, sizeof f->refused_name, "%s", name ? name : "");
    return SQLITE_DENY;
}

static int authorise(void *filter, int action, const char *a, const char *b, const char *database,
                     const char *inner)
{
    static const char *const no[] = { "load_extension",
                                      "random",
                                      "randomblob",
                                      "fts3_tokenizer",
                                      "changes",
                                      "total_changes",
                                      "last_insert_rowid",
                                      "sqlite_compileoption_get",
                                      "sqlite_compileoption_used" };
    (void)database, (void)inner;
    if (action == SQLITE_SELECT) return SQLITE_OK;
    if (action == SQLITE_READ)
        return !strcmp(a, "alert") || !strcmp(a, "lc") || !*a ? SQLITE_OK : refuse(filter, "table", a);
    if (action == SQLITE_FUNCTION) {
        for (size_t i = 0; i < sizeof no / sizeof *no; i++)
            if (!strcasecmp(b, no[i])) return refuse(filter, "function", b);
        return SQLITE_OK;
    }
    return refuse(filter, action == SQLITE_RECURSIVE ? "recursive query" : "statement", a);
}

static int out_of_budget(void *filter)
{
    return --((nj_filter *)filter)->ticks_left < 0;
}

/* ---- making one ------------------------------------------------------------------------------ */

static void set_label(char label[160], const char *name, const char *where)
{
    snprintf(label, 160, "%s '%.100s%s'", name, where, strlen(where) > 100 ? "..." : "");
}

int nj_filter_names(const char *label, const char *where, char ***names, size_t *n, nj_error *err)
{
    nj_clause c;
    nj_error why = { "" };
    char text[160];
    set_label(text, label, where);
    *names = NULL;
    *n = 0;
    int rc = nj_clause_parse(&c, where, &why);
    if (rc) {
        nj_fail(err, "%s: %s", text, why.text);
        nj_clause_free(&c);
        return rc;
    }
    const char *list[NJ_LC_COLUMNS];
    size_t n_lc = 0, bytes = 0, total;
    for (int k = 0; k < NJ_LC_COLUMNS; k++)
        if (c.lc_used & 1u << k) list[n_lc++] = nj_lc_path[k];
    total = c.n_names + n_lc;
    for (size_t i = 0; i < total; i++) bytes += strlen(i < c.n_names ? c.name[i] : list[i - c.n_names]) + 1;
    char **out = malloc((total + 1) * sizeof *out + bytes);
    if (out) {
        char *at = (char *)(out + total + 1);
        for (size_t i = 0; i < total; i++) {
            out[i] = at;
            at = stpcpy(at, i < c.n_names ? c.name[i] : list[i - c.n_names]) + 1;
        }
        out[total] = NULL;
        *names = out;
        *n = total;
    }
    nj_clause_free(&c);
    return out ? 0 : nj_fail(err, "%s: out of memory", text);
}

static int unknown_name(const nj_filter *f, size_t which, uint32_t n_fields, nj_error *err)
{
    const char *name = f->clause.name[which];
    char hint[160];
    if (nj_clause_hint(&f->clause, which, hint, sizeof hint))
        return nj_fail(err, "%s: there is no column '%s'; %s", f->label, name, hint);
    const char **key = calloc(n_fields + 1, sizeof *key);
    const char *near = NULL;
    for (uint32_t i = 0; key && i < n_fields; i++) key[i] = f->field[i].key;
    if (key) near = nj_nearest(name, key, n_fields);
    if (!strncasecmp(name, "lc.", 3) || !strcasecmp(name, "lc"))
        nj_fail(err,
                "%s: '%s' has many values per row; ask like (SELECT min(mag) FROM lc WHERE band = 'g') < 18",
                f->label, name);
    else
        nj_fail(err, "%s: there is no column '%s'%s%s%s", f->label, name, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
    free(key);
    return -1;
}

static int find_fields(nj_filter *f, uint32_t n_fields, nj_error *err)
{
    f->used = calloc(f->clause.n_names + 1, sizeof *f->used);
    if (!f->used) return nj_fail(err, "%s: out of memory", f->label);
    for (size_t i = 0; i < f->clause.n_names; i++) {
        const char *name = f->clause.name[i];
        uint32_t k = 0;
        while (k < n_fields && strcmp(f->field[k].key, name)) k++;
        if (k == n_fields) return unknown_name(f, i, n_fields, err);
        if (f->field[k].width != 1)
            return nj_fail(err, "%s: '%s' has %s values per row; a clause compares single values", f->label,
                           name, f->field[k].width ? "several" : "any number of");
        f->used[i] = k;
    }
    return 0;
}

/* Are the columns in calls of the kind that the function takes, and is there a site for nights? */
static int check_calls(const nj_filter *f, nj_error *err)
{
    for (size_t i = 0; i < f->clause.n_given; i++) {
        const nj_call_column *g = &f->clause.given[i];
        const nj_field *field = &f->field[f->used[g->name]];
        const bool text = nj_field_kind(field) == NJ_CELL_TEXT, wanted = g->of->takes[g->at] == 'b';
        if (field->mixed || text == wanted) continue;
        return nj_fail(err, "%s: %s: %s is %s", f->label, g->of->form, field->key,
                       text ? "a text and no number" : "a number and no passband");
    }
    if (f->clause.night && isnan(f->longitude))
        return nj_fail(err, "%s: night(jd) " NJ_NIGHT_NO_SITE, f->label);
    return 0;
}

static bool can_be_null(const nj_field *field)
{
    size_t n = strlen(field->key);
    if (nj_field_kind(field) != NJ_CELL_TEXT || !strcmp(field->key, "object") ||
        !strcmp(field->key, "survey"))
        return false;
    return n < 7 || strcmp(field->key + n - 7, ".reason");
}

static void collect_warnings(nj_filter *f)
{
    nj_buffer text = { 0 };
    for (size_t i = 0; i < f->clause.n_traps; i++) {
        const nj_null_trap *t = &f->clause.trap[i];
        const char *key = f->clause.name[t->name];
        if (!can_be_null(&f->field[f->used[t->name]])) continue;
        nj_buffer_printf(&text, "%s%s: %s also drops the rows where %s is null; ", text.n ? "\n" : "",
                         f->label, t->word, key);
        if (!strcmp(t->word, "!="))
            nj_buffer_printf(&text, "IS NOT keeps them");
        else
            nj_buffer_printf(&text, "(%s %s ... OR %s IS NULL) keeps them", key, t->word, key);
    }
    f->warning = text.data;
}

static int open_database(nj_filter *f, nj_error *err)
{
    if (sqlite3_open_v2(":memory:", &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL))
        return nj_fail(err, "%s: %s", f->label, f->db ? sqlite3_errmsg(f->db) : "out of memory");
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL); /* "no such column" must not become a text */
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(f->db, SQLITE_LIMIT_LENGTH, MAX_TEXT);
    sqlite3_limit(f->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256);
    sqlite3_limit(f->db, SQLITE_LIMIT_ATTACHED, 0);
    if (nj_filter_make_tables(f) || nj_filter_make_functions(f))
        return nj_fail(err, "%s: %s", f->label, sqlite3_errmsg(f->db));
    /* the tables are declared at their first use, by a CREATE TABLE that the authoriser would see */
    if (sqlite3_exec(f->db, "SELECT 1 FROM \"alert\"; SELECT 1 FROM lc(0)", NULL, NULL, NULL))
        return nj_fail(err, "%s: %s", f->label, sqlite3_errmsg(f->db));
    sqlite3_set_authorizer(f->db, authorise, f);
    sqlite3_progress_handler(f->db, STEPS_PER_TICK, out_of_budget, f);
    return 0;
}

/* SQLite's words; without the parenthesis that we put around the clause, which the user did not write. */
static int not_sql(nj_filter *f, nj_error *err)
{
    char why[200];
    nj_buffer sql = { 0 };
    sqlite3_stmt *ignored = NULL;
    snprintf(why, sizeof why, "%s", sqlite3_errmsg(f->db));
    nj_buffer_printf(&sql, "SELECT \"nj_row\" FROM \"alert\" WHERE %s", f->clause.sql);
    if (!sql.failed && strstr(why, "near \")\"") && sqlite3_prepare_v2(f->db, sql.data, -1, &ignored, NULL))
        snprintf(why, sizeof why, "%s", sqlite3_errmsg(f->db));
    sqlite3_finalize(ignored);
    nj_buffer_free(&sql);
    const char *lost = strncmp(why, "no such column: ", 16) ? NULL : why + 16;
    if (lost && nj_clause_lc_column(lost) >= 0)
        return nj_fail(err, "%s: the subquery selects no %s; the alert's own is alert.%s", f->label, lost,
                       lost);
    if (!strcmp(why, "incomplete input"))
        snprintf(why, sizeof why, "is not finished: something is missing at its end");
    return nj_fail(err, "%s: %s", f->label, why);
}

static int prepare(nj_filter *f, nj_error *err)
{
    nj_buffer sql = { 0 };
    const char *tail = "";
    nj_buffer_printf(&sql, "SELECT \"nj_row\" FROM \"alert\" WHERE (%s)", f->clause.sql);
    f->ticks_left = TICKS_PER_ROW;
    int rc = sql.failed
                 ? SQLITE_NOMEM
                 : sqlite3_prepare_v3(f->db, sql.data, -1, SQLITE_PREPARE_PERSISTENT, &f->statement, &tail);
    int out = 0;
    if (rc && f->refused) /* SQLite reports it in several ways */
        out = nj_fail(err, "%s: %s%s%s%s is not allowed in a clause", f->label, f->refused,
                      *f->refused_name ? " '" : "", f->refused_name, *f->refused_name ? "'" : "");
    else if (rc)
        out = not_sql(f, err);
    else if (!f->statement || *tail)
        out = nj_fail(err, "%s: is not one condition", f->label);
    nj_buffer_free(&sql);
    return out;
}

nj_filter *nj_filter_new(const char *label, const char *where, const nj_field *field, uint32_t n_fields,
                         double longitude, nj_error *err)
{
    nj_error why = { "" };
    nj_filter *f = calloc(1, sizeof *f);
    if (!f) {
        nj_fail(err, "%s: out of memory", label);
        return NULL;
    }
    f->field = field;
    f->longitude = longitude;
    set_label(f->label, label, where);
    if (nj_clause_parse(&f->clause, where, &why))
        nj_fail(err, "%s: %s", f->label, why.text);
    else if (!find_fields(f, n_fields, err) && !check_calls(f, err) && !open_database(f, err) &&
             !prepare(f, err) && !nj_filter_find_quick(f, err)) {
        collect_warnings(f);
        nj_debug(NJ_DEBUG_QUERY, "%s: %zu columns, to SQLite: %s", f->label, f->clause.n_names,
                 f->clause.sql);
        return f;
    }
    nj_filter_free(f);
    return NULL;
}

const char *nj_filter_warning(const nj_filter *filter)
{
    return filter->warning;
}

/* SQLite's answers for these rows; row k of them is pass[to[k]], or pass[k] with to = NULL. */
static int ask_sqlite(nj_filter *f, const nj_rows *rows, const uint32_t *to, const nj_light_curve *lc,
                      uint8_t *pass, nj_error *err)
{
    int rc;
    f->rows = rows;
    f->lc = lc;
    f->ticks_left = (int64_t)TICKS_PER_ROW * (rows->n + 1);
    while ((rc = sqlite3_step(f->statement)) == SQLITE_ROW) {
        sqlite3_int64 k = sqlite3_column_int64(f->statement, 0);
        pass[to ? to[k] : k] = 1;
    }
    int out = 0;
    if (rc == SQLITE_INTERRUPT)
        out = nj_fail(err, "%s: takes more than a million steps per row", f->label);
    else if (rc == SQLITE_NOMEM)
        out = nj_fail(err, "%s: out of memory", f->label);
    else if (rc != SQLITE_DONE)
        out = nj_fail(err, "%s: %s", f->label, sqlite3_errmsg(f->db));
    sqlite3_reset(f->statement);
    f->rows = NULL;
    f->lc = NULL;
    return out;
}

int nj_filter_run(nj_filter *f, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass, nj_error *err)
{
    uint32_t left = rows->n;
    if (f->n_quick) left = nj_filter_quick_run(f, rows, pass);
    if (f->all_quick || !left) return 0;
    if (left == rows->n) {
        memset(pass, 0, rows->n);
        return ask_sqlite(f, rows, NULL, lc, pass, err);
    }
    if (rows->n > f->cap) { /* twice: which row of the batch, and which of the rows given */
        uint32_t *more = realloc(f->left, 2 * (size_t)rows->n * sizeof *more);
        if (!more) return nj_fail(err, "%s: out of memory", f->label);
        f->left = more;
        f->cap = rows->n;
    }
    uint32_t *row = f->left, *to = f->left + f->cap, n = 0;
    for (uint32_t k = 0; k < rows->n; k++)
        if (pass[k]) row[n] = rows->row[k], to[n++] = k;
    nj_rows some = *rows;
    some.row = row;
    some.n = n;
    memset(pass, 0, rows->n);
    return ask_sqlite(f, &some, to, lc, pass, err);
}

int nj_filter_run_each(nj_filter *f, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass,
                       nj_filter_failed *on_failed, void *opaque, nj_error *err)
{
    if (!nj_filter_run(f, rows, lc, pass, err)) {
        f->answered |= rows->n > 0;
        return 0;
    }
    for (uint32_t k = 0; k < rows->n && !err->memory; k++) {
        nj_rows one = *rows;
        one.row = &rows->row[k];
        one.n = 1;
        if (!nj_filter_run(f, &one, lc, &pass[k], err)) {
            f->answered = true;
            continue;
        }
        pass[k] = 0;
        if (err->memory) break;
        if (!f->answered && !f->endless && ++f->n_failed >= FAILED_MOST) return -1;
        on_failed(opaque, rows->row[k], err->text);
    }
    return err->memory ? -1 : 0;
}

void nj_filter_never_ends(nj_filter *f)
{
    f->endless = true;
}

void nj_filter_free(nj_filter *f)
{
    if (!f) return;
    sqlite3_finalize(f->statement);
    sqlite3_close(f->db);
    nj_clause_free(&f->clause);
    free(f->warning);
    free(f->used);
    free(f->quick);
    free(f->left);
    free(f);
}
