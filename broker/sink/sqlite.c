/* sqlite.c - one table `alerts`, a row per alert, its columns named exactly as the contract's keys;
 * `columns` has their units, `metadata` the provenance of each run. One transaction from commit to commit
 * with a rollback journal, so that one file is the whole truth after a commit and a killed run leaves its
 * last transaction undone. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../batch/cell.h"
#include "classes.h"
#include "file.h"
#include "json.h"
#include "packed.h"
#include "sqlite_sink.h"
#include "sqlite_waits.h"
#include "waits.h"

static nj_log_limit said; /* an output of several files says it for each */

int nj_sqlite_failed(const sqlite_sink *s, const char *doing, nj_error *err)
{
    return nj_fail(err, "%s: %s: %s", s->path, doing, s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

int nj_sqlite_run(sqlite_sink *s, const char *sql, const char *doing, nj_error *err)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? nj_sqlite_failed(s, doing, err) : 0;
    if (!rc) nj_wait_over(&s->wait, s->path);
    return rc;
}

int nj_sqlite_close(nj_sink *sink, nj_error *err)
{
    sqlite_sink *s = (sqlite_sink *)sink;
    int rc = 0;
    if (s->form->free) s->form->free(s);
    sqlite3_finalize(s->insert);
    s->insert = NULL;
    /* rows without their positions would come twice after --resume; after some errors SQLite has undone them
     * */
    if (s->open_transaction && !sqlite3_get_autocommit(s->db))
        rc = nj_sqlite_run(s, s->args.run ? "ROLLBACK" : "COMMIT", "commit", err);
    if (sqlite3_close(s->db) && !rc) rc = nj_sqlite_failed(s, "closing", err);
    nj_outfile_close(&s->file, !s->begun, NULL);
    nj_buffer_free(&s->text);
    for (uint32_t f = 0; s->name && f < s->n_fields; f++) free(s->name[f]);
    free(s->name);
    free(s->path);
    free(s);
    return rc;
}

/* Another process reads the file, or writes to it: it ends sometime. */
static int wait_for_reader(void *sink, int n)
{
    sqlite_sink *s = sink;
    if (n == 0) s->wait = (nj_wait){ 0 };
    return nj_wait_more(&s->wait, NJ_WAIT_FOR_LOCK, s->path,
                        "another process has it open, and keeps it locked");
}

nj_sink *nj_sqlite_open(const nj_sink_args *args, const nj_sink_class *class, const nj_sqlite_form *form,
                        nj_error *err)
{
    sqlite_sink *s = calloc(1, sizeof *s);
    char journal[4096];
    if (!s) {
        nj_fail(err, "%s: out of memory", class->scheme);
        return NULL;
    }
    s->base.class = class;
    s->form = form;
    snprintf(s->module, sizeof s->module, "sink.%s", class->scheme);
    s->path = strdup(args->target);
    s->file.fd = -1;
    if (nj_packed_check(args->target, class->scheme, false, "a database is changed in place", err)) goto bad;
    if (!s->path) {
        nj_fail(err, "%s: out of memory", class->scheme);
        goto bad;
    }
    s->args = *args;
    nj_sink_args plain = *args; /* its journal is a table */
    plain.run = NULL;
    if (nj_outfile_open_for(&s->file, &plain, false, err) || nj_outfile_must_be_plain(&s->file, err))
        goto bad;
    s->args.known &= nj_outfile_mode(args) == NJ_SINK_APPEND;
    if (args->mark && args->mark->kind == NJ_MARK_THERE) s->n_rows = args->mark->rows;
    s->file.end = 0; /* SQLite cuts it as it likes */
    /* a journal that a killed run left beside a file that is now empty would be played
     * back into the new one */
    if (nj_outfile_mode(args) != NJ_SINK_APPEND &&
        snprintf(journal, sizeof journal, "%s-journal", s->path) < (int)sizeof journal)
        unlink(journal);
    nj_sqlite_waits();
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)) {
        nj_sqlite_failed(s, "cannot be opened", err);
        goto bad;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, wait_for_reader, s);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    /* a process that dies loses nothing with synchronous = OFF, a machine that dies may lose the file */
    if (nj_sqlite_run(s,
                      args->disk ? "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL"
                                 : "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF",
                      "cannot be written", err))
        goto bad;
    return &s->base;
bad:
    nj_sqlite_close(&s->base, NULL);
    return NULL;
}

static void add_name(nj_buffer *sql, const char *key)
{
    nj_buffer_text(sql, "\"");
    for (; *key; key++) nj_buffer_add(sql, *key == '"' ? "\"\"" : key, *key == '"' ? 2 : 1);
    nj_buffer_text(sql, "\"");
}

/* Case does not count in the names of SQLite's columns:
 * of two keys that differ by nothing else the later one gets a number. */
static int name_columns(sqlite_sink *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    s->name = calloc((size_t)n_fields + 1, sizeof *s->name);
    if (!s->name) return nj_fail(err, "%s: out of memory", s->path);
    s->n_fields = n_fields;
    for (uint32_t f = 0; f < n_fields; f++) {
        const size_t room = strlen(field[f].key) + 12;
        char *name = s->name[f] = malloc(room);
        if (!name) return nj_fail(err, "%s: out of memory", s->path);
        snprintf(name, room, "%s", field[f].key);
        for (uint32_t k = 0, number = 2; k < n_fields; k++) {
            /* neither the name of one before, nor the key of one behind, which shall keep it */
            bool taken = k < f ? !strcasecmp(name, s->name[k])
                               : k > f && strcmp(name, field[f].key) && !strcasecmp(name, field[k].key);
            if (!taken) continue;
            snprintf(name, room, "%s_%u", field[f].key, number++);
            k = UINT32_MAX; /* again from the first */
        }
        if (strcmp(name, field[f].key))
            nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                           "%s: SQLite takes %s for the name of another column; here it is called %s",
                           s->path, field[f].key, name);
    }
    return 0;
}

static const char *column_type(const nj_field *field)
{
    static const char *const type[] = { "", "INTEGER", "REAL", "TEXT" };
    return field->width == 1 ? type[nj_field_kind(field)] : "TEXT";
}

/* The table there must have these columns, in this order. Returns 1 when there is no table yet. */
static int check_columns(sqlite_sink *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    sqlite3_stmt *q = NULL;
    uint32_t n = 0;
    int rc = 0, step;
    if (sqlite3_prepare_v2(s->db, "SELECT name FROM pragma_table_info('alerts')", -1, &q, NULL))
        return nj_sqlite_failed(s, "is not a database that --append could continue", err);
    while ((step = sqlite3_step(q)) == SQLITE_ROW && !rc) {
        const char *name = (const char *)sqlite3_column_text(q, 0);
        const char *ours = n < n_fields ? s->name[n] : NULL;
        if (!name || !ours || strcmp(name, ours) != 0)
            rc = nj_fail(err,
                         "%s: has the column %s where this run writes %s; --append needs the same columns",
                         s->path, name ? name : "", ours ? ours : "none");
        n++;
    }
    if (!rc && step != SQLITE_DONE) rc = nj_sqlite_failed(s, "cannot be read", err);
    if (!rc && n && n != n_fields)
        rc = nj_fail(err, "%s: lacks the column %s; --append needs the same columns", s->path, field[n].key);
    sqlite3_finalize(q);
    return rc ? rc : n == 0;
}

static int create_tables(sqlite_sink *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    nj_buffer sql = { 0 };
    sqlite3_stmt *q = NULL;
    int rc = 0;
    nj_buffer_text(&sql, "CREATE TABLE alerts(");
    for (uint32_t f = 0; f < n_fields; f++) {
        if (f) nj_buffer_text(&sql, ", ");
        add_name(&sql, s->name[f]);
        nj_buffer_printf(&sql, " %s", column_type(&field[f]));
    }
    nj_buffer_text(&sql,
                   "); CREATE TABLE columns(key TEXT PRIMARY KEY, type TEXT, unit TEXT, doc TEXT, name TEXT);"
                   "CREATE TABLE metadata(run INTEGER, key TEXT, value TEXT)");
    rc = sql.failed ? nj_fail(err, "%s: out of memory", s->path)
                    : nj_sqlite_run(s, sql.data, "the tables cannot be made", err);
    nj_buffer_free(&sql);
    if (!rc && sqlite3_prepare_v2(s->db, "INSERT INTO columns VALUES(?, ?, ?, ?, ?)", -1, &q, NULL))
        rc = nj_sqlite_failed(s, "columns", err);
    for (uint32_t f = 0; f < n_fields && !rc; f++) {
        sqlite3_bind_text(q, 1, field[f].key, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 2, field[f].text ? "str" : nj_type_name(field[f].type), -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, field[f].unit, -1, SQLITE_STATIC); /* NULL pointers bind NULL */
        sqlite3_bind_text(q, 4, field[f].doc, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 5, s->name[f], -1, SQLITE_STATIC);
        if (sqlite3_step(q) != SQLITE_DONE) rc = nj_sqlite_failed(s, "columns", err);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    return rc;
}

static int write_metadata(sqlite_sink *s, const nj_metadata *metadata, nj_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = 0;
    sqlite3_int64 run_number = 1;
    if (sqlite3_prepare_v2(s->db, "SELECT 1 + coalesce(max(run), 0) FROM metadata", -1, &q, NULL))
        return nj_sqlite_failed(s, "metadata", err);
    if (sqlite3_step(q) == SQLITE_ROW) run_number = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    if (sqlite3_prepare_v2(s->db, "INSERT INTO metadata VALUES(?, ?, ?)", -1, &q, NULL))
        return nj_sqlite_failed(s, "metadata", err);
    for (; metadata && metadata->key && !rc; metadata++) {
        sqlite3_bind_int64(q, 1, run_number);
        sqlite3_bind_text(q, 2, metadata->key, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, metadata->value, -1, SQLITE_STATIC);
        if (sqlite3_step(q) != SQLITE_DONE) rc = nj_sqlite_failed(s, "metadata", err);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    return rc;
}

static int make(sqlite_sink *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    if (n_fields == 0) return nj_fail(err, "%s: there are no columns to write", s->path);
    if (name_columns(s, field, n_fields, err)) return -1;
    int rc = check_columns(s, field, n_fields, err);
    return rc == 1 ? create_tables(s, field, n_fields, err) : rc;
}

static int prepare_insert(sqlite_sink *s, nj_error *err)
{
    const uint32_t n_fields = s->n_fields;
    nj_buffer sql = { 0 };
    nj_buffer_text(&sql, "INSERT INTO alerts VALUES(");
    for (uint32_t f = 0; f < n_fields; f++) nj_buffer_text(&sql, f ? ",?" : "?");
    nj_buffer_text(&sql, ")");
    int rc = sql.failed ? nj_fail(err, "%s: out of memory", s->path) : 0;
    if (!rc && sqlite3_prepare_v3(s->db, sql.data, -1, SQLITE_PREPARE_PERSISTENT, &s->insert, NULL))
        rc = nj_sqlite_failed(s, "alerts", err);
    nj_buffer_free(&sql);
    return rc;
}

/* In the transaction of the rows that it speaks of. */
static int put_journal(sqlite_sink *s, const nj_keep *keep, nj_error *err)
{
    const nj_mark mark = { .run = (char *)s->args.run,
                           .configuration = (char *)s->args.configuration,
                           .state = (char *)(keep->state ? keep->state : ""),
                           .commit = keep->commit,
                           .rows = s->n_rows,
                           .complete = keep->complete };
    if (nj_sqlite_run(s, "CREATE TABLE IF NOT EXISTS nightjar_journal(key TEXT PRIMARY KEY, value)",
                      "journal", err))
        return -1;
    return nj_sqlite_put_journal(s->db, &mark) ? nj_sqlite_failed(s, "journal", err) : 0;
}

/* A run killed while it made its tables leaves a header and nothing else: nothing that could be lost. */
static bool has_tables(sqlite3 *db)
{
    sqlite3_stmt *ask = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT 1 FROM sqlite_master", -1, &ask, NULL);
    bool none = !rc && sqlite3_step(ask) == SQLITE_DONE;
    return sqlite3_finalize(ask), !none;
}

int nj_sqlite_look(const char *target, nj_mark *mark, nj_error *err)
{
    struct stat st;
    sqlite3 *db = NULL;
    *mark = (nj_mark){ .kind = NJ_MARK_NEW };
    if (stat(target, &st) || (S_ISREG(st.st_mode) && !st.st_size)) return 0;
    mark->kind = S_ISREG(st.st_mode) ? NJ_MARK_UNKNOWN : NJ_MARK_NONE;
    if (mark->kind == NJ_MARK_NONE) return 0;
    /* to be written as well: what a killed run left half done is undone when it is opened */
    int rc = sqlite3_open_v2(target, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc)
        nj_fail(err, "%s: cannot be opened: %s", target, db ? sqlite3_errmsg(db) : "out of memory");
    else
        sqlite3_busy_timeout(db, 10000), nj_sqlite_read_journal(db, mark);
    if (!rc && mark->kind == NJ_MARK_UNKNOWN && !has_tables(db)) mark->kind = NJ_MARK_NEW;
    return sqlite3_close(db), rc ? -1 : 0;
}

/* A file of a rotated output has no journal in it: rows are numbered in their order. */
static int cut_back(sqlite_sink *s, const nj_mark *mark, nj_error *err)
{
    char sql[80];
    snprintf(sql, sizeof sql, "DELETE FROM alerts WHERE rowid > %lld", (long long)mark->rows);
    return nj_sqlite_run(s, sql, "cannot be cut back", err);
}

int nj_sqlite_begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                    nj_error *err)
{
    sqlite_sink *s = (sqlite_sink *)sink;
    if (nj_sqlite_run(s, "BEGIN IMMEDIATE", "cannot be written", err)) return -1;
    int rc = s->form->make(s, field, n_fields, err);
    if (!rc && !s->args.known) rc = write_metadata(s, metadata, err);
    const nj_mark *mark = s->args.mark && s->args.mark->kind == NJ_MARK_THERE ? s->args.mark : NULL;
    if (!rc && mark && s->args.part) rc = cut_back(s, mark, err);
    if (!rc && s->args.run && !s->args.part) {
        rc = put_journal(
            s, &(nj_keep){ .commit = mark ? mark->commit : 0, .state = mark ? mark->state : NULL }, err);
    }
    if (!rc) rc = nj_sqlite_run(s, "COMMIT", "commit", err);
    if (!rc) rc = s->form->prepare(s, err);
    if (rc)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    else
        s->begun = true;
    return rc;
}

static int bind_value(sqlite_sink *s, int at, const nj_field *field, const nj_col *col, uint32_t row)
{
    size_t from, to;
    if (!nj_cell_range(field, col, row, &from, &to)) return sqlite3_bind_null(s->insert, at);
    if (field->width != 1) {
        s->text.n = 0;
        nj_json_array(&s->text, NULL, field, col->data, from, to);
        return s->text.failed ? SQLITE_NOMEM
                              : sqlite3_bind_text64(s->insert, at, s->text.data, s->text.n, SQLITE_TRANSIENT,
                                                    SQLITE_UTF8);
    }
    nj_cell cell = nj_cell_get(field, col->data, from);
    switch (cell.kind) {
    case NJ_CELL_INT: return sqlite3_bind_int64(s->insert, at, cell.i);
    case NJ_CELL_REAL: return sqlite3_bind_double(s->insert, at, cell.f);
    case NJ_CELL_TEXT: return sqlite3_bind_text(s->insert, at, cell.text, -1, SQLITE_STATIC);
    default: return sqlite3_bind_null(s->insert, at);
    }
}

static int put(sqlite_sink *s, const nj_rows *rows, uint32_t k)
{
    int code = SQLITE_OK;
    for (uint32_t f = 0; f < rows->n_fields && code == SQLITE_OK; f++)
        code = bind_value(s, (int)f + 1, &rows->field[f], &rows->value[f], rows->row[k]);
    return code == SQLITE_OK ? sqlite3_step(s->insert) : code;
}

/* Is it the row's own fault, so that the next one is taken? */
static bool is_the_rows(int code)
{
    return code == SQLITE_TOOBIG || code == SQLITE_MISMATCH || code == SQLITE_CONSTRAINT;
}

static int write_row(sqlite_sink *s, const nj_rows *rows, uint32_t k, nj_error *err)
{
    int code = s->form->put(s, rows, k);
    if (code == SQLITE_DONE) code = SQLITE_OK;
    if (code != SQLITE_OK) nj_sqlite_failed(s, "a row cannot be written", err);
    sqlite3_reset(s->insert);
    s->n_rows += code == SQLITE_OK;
    if (code == SQLITE_OK) return 0;
    return is_the_rows(code & 0xff) && nj_sink_refuse_row(&s->args, rows, k, s->module, err->text) ? 0 : -1;
}

int nj_sqlite_write(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    sqlite_sink *s = (sqlite_sink *)sink;
    if (!s->open_transaction && rows->n) {
        if (nj_outfile_look(&s->file, err)) return -1; /* a missing folder is waited for here alone */
        if (nj_sqlite_run(s, "BEGIN IMMEDIATE", "cannot be written", err)) return -1;
        s->open_transaction = true;
    }
    for (uint32_t k = 0; k < rows->n; k++)
        if (write_row(s, rows, k, err)) return -1;
    sqlite3_clear_bindings(s->insert); /* they point into the batch */
    return 0;
}

/* Rows stay in their transaction: one that ends waits for the disk, several times, and half a second's rows
 * are no better than none. */
int nj_sqlite_flush(nj_sink *sink, nj_error *err)
{
    return nj_outfile_look(&((sqlite_sink *)sink)->file, err);
}

int nj_sqlite_commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    sqlite_sink *s = (sqlite_sink *)sink;
    /* keep->disk: open() has it, for the pragma does not change within a transaction */
    bool journal = s->args.run && !s->args.part;
    if (journal && !s->open_transaction && nj_sqlite_run(s, "BEGIN IMMEDIATE", "cannot be written", err))
        return -1;
    if (!s->open_transaction && !journal) return 0;
    s->open_transaction = true;
    if (journal && put_journal(s, keep, err)) return -1;
    if (nj_sqlite_run(s, "COMMIT", "commit", err)) return -1;
    s->open_transaction = false;
    return 0;
}

void nj_sqlite_extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const sqlite_sink *s = (const sqlite_sink *)sink;
    struct stat st;
    *bytes = stat(s->path, &st) ? 0 : st.st_size;
    *rows = s->n_rows;
}

/* Rows of an open transaction are not in the file: only SQLite knows their pages. */
int64_t nj_sqlite_will_be(const nj_sink *sink)
{
    const sqlite_sink *s = (const sqlite_sink *)sink;
    int64_t bytes, ignored;
    sqlite3_stmt *ask = NULL;
    nj_sqlite_extent(sink, &bytes, &ignored);
    if (!sqlite3_prepare_v2(s->db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                            -1, &ask, NULL) &&
        sqlite3_step(ask) == SQLITE_ROW)
        bytes = sqlite3_column_int64(ask, 0);
    sqlite3_finalize(ask);
    return bytes;
}

static const nj_sqlite_form form = { make, prepare_insert, put, NULL };

static nj_sink *open_sqlite(const nj_sink_args *args, nj_error *err)
{
    return nj_sqlite_open(args, &nj_sink_sqlite, &form, err);
}

const nj_sink_class nj_sink_sqlite = {
    .scheme = "sqlite",
    .is_file = true,
    .at_commit = true,
    .refuses = true,
    .form = "sqlite:PATH",
    .doc = "one table `alerts` in an SQLite database; `columns` and `metadata` beside it",
    .open = open_sqlite,
    .begin = nj_sqlite_begin,
    .write = nj_sqlite_write,
    .flush = nj_sqlite_flush,
    .commit = nj_sqlite_commit,
    .look = nj_sqlite_look,
    .close = nj_sqlite_close,
    .extent = nj_sqlite_extent,
    .will_be = nj_sqlite_will_be,
};
