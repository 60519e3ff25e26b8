/* missing.c - what was left out under load is made up for from the output itself: its rows say which module
 * they went without. */
#include "missing.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/unpack.h"
#include "internal.h"

typedef struct missing {
    int64_t *id; /* [n] sorted */
    size_t n, cap;
} missing;

static int add(void *missing_, int64_t id, const char *of)
{
    (void)of;
    missing *m = missing_;
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 1024;
        int64_t *more = realloc(m->id, cap * sizeof *more);
        if (!more) return -1;
        m->id = more;
        m->cap = cap;
    }
    m->id[m->n++] = id;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool ends_in_reason(const char *key)
{
    size_t n = strlen(key);
    return n > 7 && !strcmp(key + n - 7, ".reason");
}

/* ---- ndjson ------------------------------------------------------------------------------------ */

static int take_line(const nj_ids *to, uint64_t number, const char *text, size_t n)
{
    json_error_t why;
    json_t *row = json_loadb(text, n, 0, &why);
    const char *key;
    const json_t *value, *id = json_object_get(row, "candid");
    bool shed = !to->shed;
    json_object_foreach(row, key, value) shed |=
        ends_in_reason(key) && json_is_string(value) && !strcmp(json_string_value(value), "shed");
    int rc = 0;
    if (!row)
        rc = nj_fail(to->err, "%s %s: line %llu is no JSON: %s", to->option, to->path,
                     (unsigned long long)number, why.text);
    else if (shed && !json_is_integer(id) && !json_object_get(row, "nightjar"))
        rc = nj_fail(to->err, "%s %s: line %llu has no candid", to->option, to->path,
                     (unsigned long long)number);
    else if (shed && json_is_integer(id) &&
             to->add(to->opaque, json_integer_value(id), json_string_value(json_object_get(row, "survey"))))
        rc = nj_fail(to->err, "out of memory");
    json_decref(row);
    return rc;
}

static long fill(void *file, void *into, size_t room, nj_error *err)
{
    size_t n = fread(into, 1, room, file);
    return n || !ferror((FILE *)file) ? (long)n : nj_fail(err, "%s", strerror(errno));
}

/* Also packed, as the sink of that name packs it. */
static int read_ndjson(const nj_ids *to)
{
    const char *path = to->path;
    nj_error *err = to->err;
    FILE *f = fopen(path, "rbe");
    if (!f) return nj_fail(err, "%s %s: %s", to->option, path, strerror(errno));
    nj_unpacker *u = nj_unpacker_new(fill, f, NULL, 0, NJ_ZSTD_WINDOW);
    nj_buffer line = { 0 };
    nj_error why = { "" };
    uint64_t number = 0;
    int rc = u ? 0 : nj_fail(err, "out of memory");
    const uint8_t *bytes;
    for (long n; rc == 0 && (n = nj_unpacker_next(u, &bytes, &why)) != 0;) {
        if (n < 0) rc = nj_fail(err, "%s %s: %s", to->option, path, why.text);
        for (long at = 0; at < n && rc == 0;) {
            const uint8_t *end = memchr(bytes + at, '\n', (size_t)(n - at));
            size_t piece = end ? (size_t)(end - bytes) - (size_t)at : (size_t)(n - at);
            nj_buffer_add(&line, (const char *)bytes + at, piece);
            at += (long)piece + 1;
            if (line.failed) rc = nj_fail(err, "out of memory");
            if (!end || rc) break;
            number++;
            if (line.n) rc = take_line(to, number, line.data, line.n);
            line.n = 0;
        }
    }
    if (rc == 0 && line.n) /* a run is under way, or was broken off */
        nj_log(NJ_LOG_WARN, "%s %s: its last line has no end, and is skipped", to->option, path);
    nj_buffer_free(&line);
    nj_unpacker_free(u);
    fclose(f);
    return rc;
}

/* ---- SQLite ------------------------------------------------------------------------------------ */

static int read_sqlite(const nj_ids *to)
{
    const char *path = to->path;
    nj_error *err = to->err;
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    nj_buffer sql = { 0 };
    bool any = false;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    nj_buffer_text(&sql, to->shed ? "SELECT candid, survey FROM alerts WHERE "
                                  : "SELECT candid, survey FROM alerts");
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "SELECT name FROM pragma_table_info('alerts')", -1, &q, NULL);
    while (rc == SQLITE_OK && to->shed && sqlite3_step(q) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(q, 0);
        size_t n = name ? strlen(name) : 0;
        if (n < 7 || (strcmp(name + n - 7, ".reason") != 0 && strcmp(name + n - 7, "_reason") != 0)) continue;
        nj_buffer_printf(&sql, "%s\"%s\" = 'shed'", any ? " OR " : "", name);
        any = true;
    }
    sqlite3_finalize(q);
    q = NULL;
    any |= !to->shed;
    if (rc == SQLITE_OK && any && !sql.failed) rc = sqlite3_prepare_v2(db, sql.data, -1, &q, NULL);
    int failed = 0;
    while (rc == SQLITE_OK && q && !failed && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        failed = to->add(to->opaque, sqlite3_column_int64(q, 0), (const char *)sqlite3_column_text(q, 1));
        rc = SQLITE_OK;
    }
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
    if (sql.failed || failed)
        failed = nj_fail(err, "out of memory");
    else if (rc != SQLITE_OK)
        failed = nj_fail(err, "%s %s: %s", to->option, path, db ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_finalize(q);
    sqlite3_close(db);
    nj_buffer_free(&sql);
    return failed;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static bool wanted(const void *missing_, int64_t id)
{
    const missing *m = missing_;
    return m->n && bsearch(&id, m->id, m->n, sizeof id, compare);
}

int nj_output_ids(const char *option, const char *spec, bool shed, nj_missing_add *add_id, void *opaque,
                  nj_error *err)
{
    char head[16] = "";
    const char *path = nj_sink_path(spec);
    if (!path) path = spec;
    FILE *f = fopen(path, "rbe");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (!f) return nj_fail(err, "%s %s: %s", option, path, strerror(errno));
    fclose(f);
    const nj_ids to = { option, path, shed, add_id, opaque, err };
    if (n >= 4 && !memcmp(head, "Obj\1", 4)) return nj_ids_avro(&to);
    if (n >= 6 && !memcmp(head, "SIMPLE", 6)) return nj_ids_fits(&to);
    if (n >= 4 && !memcmp(head, "PAR1", 4)) return nj_ids_parquet(&to);
    if (n >= 15 && !memcmp(head, "SQLite format 3", 15)) return read_sqlite(&to);
    return read_ndjson(&to);
}

int nj_flow_missing_begin(run *r, nj_error *err)
{
    const char *spec = r->options->missing;
    if (!spec) return 0;
    const char *path = nj_sink_path(spec);
    if (!path) path = spec;
    missing *m = r->missing = calloc(1, sizeof *m);
    if (!m) return nj_fail(err, "out of memory");
    const int rc = nj_output_ids("--missing", spec, true, add, m, err);
    if (rc) return -1;
    if (m->n) qsort(m->id, m->n, sizeof *m->id, compare);
    nj_log(NJ_LOG_INFO, "--missing %s: %zu alerts went without a module", path, m->n);
    for (int t = 0; t < r->n_threads; t++) {
        r->thread[t].worker->wanted = wanted;
        r->thread[t].worker->wanted_opaque = m;
    }
    return 0;
}

bool nj_flow_is_wanted(const run *r, int64_t id)
{
    return !r->missing || wanted(r->missing, id);
}

void nj_flow_missing_free(run *r)
{
    if (r->missing) free(r->missing->id);
    free(r->missing);
    r->missing = NULL;
}
