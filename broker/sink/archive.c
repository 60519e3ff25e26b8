/* archive.c - an alert is looked at again weeks later: the packets themselves, with their stamps, in a
 * database that finds one by id, object, position or night in milliseconds. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/night.h"
#include "../batch/archive.h"
#include "../batch/cell.h"
#include "sqlite_sink.h"

enum { ID, OBJECT, SURVEY, JD, RA, DEC, COLUMNS };
static const char *const key[COLUMNS] = { "candid", "object", "survey", "jd", "ra", "dec" };

typedef struct archive {
    uint32_t field[COLUMNS];  /* UINT32_MAX: this run has no such column */
    double longitude;         /* of the nights */
    sqlite3_stmt *find, *add; /* schemas */
    char *schema;             /* of the last packet, and its number */
    size_t schema_size;
    sqlite3_int64 number;
} archive;

static void free_own(sqlite_sink *s)
{
    archive *a = s->own;
    if (!a) return;
    sqlite3_finalize(a->find);
    sqlite3_finalize(a->add);
    free(a->schema);
    free(a);
    s->own = NULL;
}

static int make(sqlite_sink *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    archive *a = s->own;
    for (int c = 0; c < COLUMNS; c++) {
        a->field[c] = UINT32_MAX;
        for (uint32_t f = 0; f < n_fields; f++)
            if (!strcmp(field[f].key, key[c])) a->field[c] = f;
    }
    return nj_sqlite_run(
        s,
        "CREATE TABLE IF NOT EXISTS schemas(number INTEGER PRIMARY KEY, name TEXT, json TEXT UNIQUE);"
        "CREATE TABLE IF NOT EXISTS packets(number INTEGER PRIMARY KEY, id INTEGER, object TEXT, survey TEXT,"
        " jd REAL, night INTEGER, ra REAL, dec REAL, zone INTEGER, schema INTEGER, packet BLOB);"
        "CREATE INDEX IF NOT EXISTS by_id ON packets(id);"
        "CREATE INDEX IF NOT EXISTS by_object ON packets(object);"
        "CREATE INDEX IF NOT EXISTS by_night ON packets(night);"
        "CREATE INDEX IF NOT EXISTS by_position ON packets(zone, ra);"
        "CREATE TABLE IF NOT EXISTS metadata(run INTEGER, key TEXT, value TEXT)",
        "the tables cannot be made", err);
}

static int prepare(sqlite_sink *s, nj_error *err)
{
    static const char insert[] = "INSERT INTO packets VALUES(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      find[] = "SELECT number FROM schemas WHERE json = ?",
                      add[] = "INSERT INTO schemas VALUES(NULL, ?, ?)";
    archive *a = s->own;
    if (sqlite3_prepare_v3(s->db, insert, -1, SQLITE_PREPARE_PERSISTENT, &s->insert, NULL) ||
        sqlite3_prepare_v3(s->db, find, -1, SQLITE_PREPARE_PERSISTENT, &a->find, NULL) ||
        sqlite3_prepare_v3(s->db, add, -1, SQLITE_PREPARE_PERSISTENT, &a->add, NULL))
        return nj_sqlite_failed(s, "packets", err);
    return 0;
}

/* The number of the packet's schema, which is added when it is new. A code of SQLite. */
static int schema_of(sqlite_sink *s, const nj_row *row)
{
    archive *a = s->own;
    if (a->schema && a->schema_size == row->json_size && !memcmp(a->schema, row->json, row->json_size))
        return SQLITE_OK;
    char *copy = malloc(row->json_size + 1);
    if (!copy) return SQLITE_NOMEM;
    memcpy(copy, row->json, row->json_size);
    free(a->schema);
    a->schema = copy;
    a->schema_size = row->json_size;
    sqlite3_bind_text64(a->find, 1, copy, a->schema_size, SQLITE_STATIC, SQLITE_UTF8);
    int code = sqlite3_step(a->find);
    if (code == SQLITE_ROW) a->number = sqlite3_column_int64(a->find, 0);
    sqlite3_reset(a->find);
    if (code != SQLITE_DONE) return code == SQLITE_ROW ? SQLITE_OK : code;
    sqlite3_bind_text(a->add, 1, row->schema, -1, SQLITE_STATIC);
    sqlite3_bind_text64(a->add, 2, copy, a->schema_size, SQLITE_STATIC, SQLITE_UTF8);
    code = sqlite3_step(a->add);
    a->number = sqlite3_last_insert_rowid(s->db);
    sqlite3_reset(a->add);
    if (code == SQLITE_DONE) return SQLITE_OK;
    free(a->schema); /* it is asked for again */
    a->schema = NULL;
    return code;
}

static nj_cell cell_of(const archive *a, const nj_rows *rows, int c, uint32_t row)
{
    const uint32_t f = a->field[c];
    if (f == UINT32_MAX || f >= rows->n_fields) return (nj_cell){ NJ_CELL_NULL, { 0 } };
    return nj_cell_get(&rows->field[f], rows->value[f].data, row);
}

static int bind(sqlite3_stmt *q, int at, nj_cell cell)
{
    switch (cell.kind) {
    case NJ_CELL_INT: return sqlite3_bind_int64(q, at, cell.i);
    case NJ_CELL_REAL: return sqlite3_bind_double(q, at, cell.f);
    case NJ_CELL_TEXT: return sqlite3_bind_text(q, at, cell.text, -1, SQLITE_STATIC);
    default: return sqlite3_bind_null(q, at);
    }
}

static int put(sqlite_sink *s, const nj_rows *rows, uint32_t k)
{
    const archive *a = s->own;
    const uint32_t row = rows->row[k];
    const nj_row *packet = &rows->batch->row[row];
    if (!packet->json) return SQLITE_MISMATCH;
    int code = schema_of(s, packet);
    if (code != SQLITE_OK) return code;
    const nj_cell jd = cell_of(a, rows, JD, row), ra = cell_of(a, rows, RA, row),
                  dec = cell_of(a, rows, DEC, row);
    bind(s->insert, 1, cell_of(a, rows, ID, row));
    bind(s->insert, 2, cell_of(a, rows, OBJECT, row));
    bind(s->insert, 3, cell_of(a, rows, SURVEY, row));
    bind(s->insert, 4, jd);
    const int32_t night = jd.kind == NJ_CELL_REAL ? nj_night_of(jd.f, a->longitude) : NJ_NIGHT_UNKNOWN;
    if (night != NJ_NIGHT_UNKNOWN)
        sqlite3_bind_int64(s->insert, 5, nj_date_of(night));
    else
        sqlite3_bind_null(s->insert, 5);
    bind(s->insert, 6, ra);
    bind(s->insert, 7, dec);
    if (dec.kind == NJ_CELL_REAL && fabs(dec.f) <= 90)
        sqlite3_bind_int64(s->insert, 8, (sqlite3_int64)floor((dec.f + 90) * NJ_ARCHIVE_ZONES));
    else
        sqlite3_bind_null(s->insert, 8);
    sqlite3_bind_int64(s->insert, 9, a->number);
    code = sqlite3_bind_blob64(s->insert, 10, packet->datum, packet->size, SQLITE_STATIC);
    return code == SQLITE_OK ? sqlite3_step(s->insert) : code;
}

static const nj_sqlite_form form = { make, prepare, put, free_own };

static bool path_of(const char *folder, char path[4096])
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    return snprintf(path, 4096, "%.*s/" NJ_ARCHIVE_FILE, (int)n, folder) < 4096;
}

static nj_sink *open_archive(const nj_sink_args *args, nj_error *err)
{
    char path[4096];
    nj_sink_args own = *args;
    archive *a = calloc(1, sizeof *a);
    if (!a || !path_of(args->target, path)) {
        free(a);
        nj_fail(err, "archive: the path is too long, or memory is short");
        return NULL;
    }
    if (args->part) {
        free(a);
        nj_fail(err, "archive:%s: is one folder; its index has nights and surveys", args->target);
        return NULL;
    }
    if (mkdir(args->target, 0777) && errno != EEXIST) {
        free(a);
        nj_fail(err, "archive:%s: cannot be made: %s", args->target, strerror(errno));
        return NULL;
    }
    own.target = path;
    a->longitude = args->site ? args->longitude : -93;
    nj_sink *sink = nj_sqlite_open(&own, &nj_sink_archive, &form, err);
    if (sink)
        ((sqlite_sink *)sink)->own = a;
    else
        free(a);
    return sink;
}

static int look(const char *target, nj_mark *mark, nj_error *err)
{
    char path[4096];
    if (!path_of(target, path)) return nj_fail(err, "archive: the path is too long");
    return nj_sqlite_look(path, mark, err);
}

const nj_sink_class nj_sink_archive = {
    .scheme = "archive",
    .is_file = true,
    .at_commit = true,
    .refuses = true,
    .form = "archive:DIR",
    .doc =
        "the alerts themselves, with stamps, in a database that finds one by id, object, position and night; "
        "`nightjar inspect --id N DIR`",
    .open = open_archive,
    .begin = nj_sqlite_begin,
    .write = nj_sqlite_write,
    .flush = nj_sqlite_flush,
    .commit = nj_sqlite_commit,
    .look = look,
    .close = nj_sqlite_close,
    .extent = nj_sqlite_extent,
    .will_be = nj_sqlite_will_be,
};
