/* sqlite.c - SQLite outputs: the first shard's file is copied, emptied of its rows and of the shard's
 * columns, and filled with the rows of all: columns, units and provenance are those of a run. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sink/file.h"
#include "../sink/sqlite_sink.h"
#include "merge.h"

typedef struct in {
    sqlite3 *db;
    sqlite3_stmt *rows;
} in;

typedef struct out {
    nj_outfile file; /* the place, until the copy takes it */
    char *path;      /* of the copy, "" once it is in its place */
    sqlite3 *db;
    sqlite3_stmt *insert;
} out;

static int failed(const char *path, sqlite3 *db, nj_error *err)
{
    return nj_fail(err, "%s: %s", path, db ? sqlite3_errmsg(db) : "out of memory");
}

static void close_in(nj_merge_shard *s)
{
    in *t = s->state;
    if (!t) return;
    sqlite3_finalize(t->rows);
    sqlite3_close(t->db);
    free(t);
    s->state = NULL;
}

static int open_in(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state = calloc(1, sizeof *t);
    if (!t) return nj_fail(err, "out of memory");
    if (sqlite3_open_v2(s->path, &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_prepare_v2(t->db, "SELECT * FROM alerts ORDER BY rowid", -1, &t->rows, NULL))
        return failed(s->path, t->db, err);
    const char *first = sqlite3_column_name(t->rows, 0), *second = sqlite3_column_name(t->rows, 1);
    if (!first || strcmp(first, "shard.part") || !second || strcmp(second, "shard.record"))
        return nj_fail(err, "%s: its rows have no place in the night", s->path);
    return 0;
}

static int next(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state;
    int rc = sqlite3_step(t->rows);
    s->over = rc == SQLITE_DONE;
    if (s->over) return 0;
    if (rc != SQLITE_ROW) return failed(s->path, t->db, err);
    s->part = sqlite3_column_int64(t->rows, 0);
    s->record = sqlite3_column_int64(t->rows, 1);
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

static int prepare(const char *path, out *t, int n, nj_error *err)
{
    nj_buffer sql = { 0 };
    nj_buffer_text(&sql, "INSERT INTO alerts VALUES(");
    for (int f = 0; f < n; f++) nj_buffer_text(&sql, f ? ",?" : "?");
    nj_buffer_text(&sql, ")");
    int rc = sql.failed ? nj_fail(err, "out of memory") : 0;
    if (!rc && sqlite3_prepare_v2(t->db, sql.data, -1, &t->insert, NULL)) rc = failed(path, t->db, err);
    nj_buffer_free(&sql);
    return rc;
}

static int begin(nj_merge_out *o, nj_merge_set *set, nj_error *err)
{
    out *t = o->state = calloc(1, sizeof *t);
    const in *first = set->shard[0].state;
    if (!t) return nj_fail(err, "out of memory");
    t->file.fd = -1;
    if (asprintf(&t->path, "%s.merging", o->path) < 0) return t->path = NULL, nj_fail(err, "out of memory");
    if (nj_outfile_open(&t->file, o->path, o->mode, err)) return -1;
    unlink(t->path); /* of a merge that was killed */
    char *copy = sqlite3_mprintf("VACUUM INTO %Q", t->path);
    if (!copy || sqlite3_exec(first->db, copy, NULL, NULL, NULL)) {
        sqlite3_free(copy);
        return failed(set->shard[0].path, first->db, err);
    }
    sqlite3_free(copy);
    if (sqlite3_open_v2(t->path, &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_exec(
            t->db,
            "PRAGMA synchronous = FULL; BEGIN; DELETE FROM alerts;"
            "ALTER TABLE alerts DROP COLUMN \"shard.part\"; ALTER TABLE alerts DROP COLUMN \"shard.record\";"
            "DELETE FROM columns WHERE key IN ('shard.part', 'shard.record')",
            NULL, NULL, NULL))
        return failed(o->path, t->db, err);
    return prepare(o->path, t, sqlite3_column_count(first->rows) - 2, err);
}

static int put(nj_merge_out *o, nj_merge_shard *s, nj_error *err)
{
    out *t = o->state;
    const in *from = s->state;
    int n = sqlite3_column_count(from->rows), rc = SQLITE_OK;
    for (int f = 2; f < n && !rc; f++)
        rc = sqlite3_bind_value(t->insert, f - 1, sqlite3_column_value(from->rows, f));
    if (rc || sqlite3_step(t->insert) != SQLITE_DONE) return failed(o->path, t->db, err);
    sqlite3_reset(t->insert);
    return 0;
}

static int end(nj_merge_out *o, nj_error *err)
{
    out *t = o->state;
    if (nj_sqlite_put_journal(t->db, &o->mark)) return failed(o->path, t->db, err);
    sqlite3_finalize(t->insert);
    t->insert = NULL;
    if (sqlite3_exec(t->db, "COMMIT; VACUUM", NULL, NULL, NULL)) return failed(o->path, t->db, err);
    int rc = sqlite3_close(t->db);
    t->db = NULL;
    return rc ? nj_fail(err, "%s: cannot be closed", o->path) : 0;
}

static void drop(nj_merge_out *o, bool discard)
{
    out *t = o->state;
    if (!t) return;
    sqlite3_finalize(t->insert);
    sqlite3_close(t->db);
    if (t->path && !discard) rename(t->path, o->path);
    if (t->path && discard) unlink(t->path);
    if (t->file.path) nj_outfile_close(&t->file, discard, NULL);
    free(t->path);
    free(t);
    o->state = NULL;
}

const nj_merge_class nj_merge_sqlite = { open_in, next, close_in, begin, put, end, drop };
