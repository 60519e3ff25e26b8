/* stored.c - an archive of packets (-o archive:DIR) is a source, of all of them or of those that a question
 * finds by its index. */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../batch/archive.h"
#include "classes.h"

enum { RADIUS_ARCSEC = 5 };

typedef struct stored {
    nj_source base;
    const nj_shard *shard;
    sqlite3 *db;
    sqlite3_stmt *ask;
    char *path;
    int64_t n_handed;
    uint64_t n_seen;
    double ra, dec, radius; /* degrees; radius < 0: not asked for */
} stored;

/* "archive:DIR?..." or DIR to DIR/packets.sqlite, and what stands behind the '?'. */
static void parts(const char *spec, char path[4096], const char **query)
{
    const char *folder = strncmp(spec, "archive:", 8) ? spec : spec + 8, *mark = strchr(folder, '?');
    size_t n = mark ? (size_t)(mark - folder) : strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    if (n + sizeof "/" NJ_ARCHIVE_FILE > 4096) n = 0;
    snprintf(path, 4096, "%.*s/" NJ_ARCHIVE_FILE, (int)n, folder);
    *query = mark ? mark + 1 : "";
}

static int match(const char *spec)
{
    char path[4096];
    const char *query;
    struct stat st;
    if (!strncmp(spec, "archive:", 8)) return 1;
    parts(spec, path, &query);
    return !strstr(spec, "://") && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void close_stored(nj_source *source)
{
    stored *s = (stored *)source;
    sqlite3_finalize(s->ask);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

typedef struct question {
    char object[200];
    int64_t id, night;
    bool has_id, has_night, has_object;
    double ra, dec, radius;
} question;

static int whole(const char *value, int64_t *to, bool *has)
{
    char *end;
    *to = strtoll(value, &end, 10);
    *has = true;
    return *value && !*end ? 0 : -1;
}

static int real(const char *value, double *to)
{
    char *end;
    *to = strtod(value, &end);
    return *value && !*end && isfinite(*to) ? 0 : -1;
}

/* id=N&object=NAME&night=YYYYMMDD&ra=DEG&dec=DEG&radius=ARCSEC */
static int read_question(const char *spec, const char *query, question *q, nj_error *err)
{
    static const char *const known[] = { "id", "object", "night", "ra", "dec", "radius" };
    char *copy = strdup(query), *save = NULL;
    *q = (question){ .ra = NAN, .dec = NAN, .radius = NAN };
    int rc = copy ? 0 : nj_fail(err, "out of memory");
    for (char *word = copy ? strtok_r(copy, "&", &save) : NULL; word && !rc;
         word = strtok_r(NULL, "&", &save)) {
        char *value = strchr(word, '=');
        int bad = !value;
        if (value) *value++ = '\0';
        if (!value) {
            rc = nj_fail(err, "%s: '%s': expected KEY=VALUE", spec, word);
        } else if (!strcmp(word, "id")) {
            bad = whole(value, &q->id, &q->has_id);
        } else if (!strcmp(word, "night")) {
            bad = whole(value, &q->night, &q->has_night);
        } else if (!strcmp(word, "object")) {
            bad = snprintf(q->object, sizeof q->object, "%s", value) >= (int)sizeof q->object;
            q->has_object = true;
        } else if (!strcmp(word, "ra")) {
            bad = real(value, &q->ra) || q->ra < 0 || q->ra > 360;
        } else if (!strcmp(word, "dec")) {
            bad = real(value, &q->dec) || fabs(q->dec) > 90;
        } else if (!strcmp(word, "radius")) {
            bad = real(value, &q->radius) || q->radius < 0 || q->radius > 36000;
        } else {
            const char *near = nj_nearest(word, known, 6);
            rc = nj_fail(err,
                         "%s: an archive is not asked by '%s'%s%s%s; by id, object, night, ra, dec, radius",
                         spec, word, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
        }
        if (!rc && bad) rc = nj_fail(err, "%s: %s=%s: no such value", spec, word, value);
    }
    free(copy);
    if (!rc && (isnan(q->ra) != isnan(q->dec) || (isnan(q->ra) && !isnan(q->radius))))
        rc = nj_fail(err, "%s: ra, dec and radius belong together", spec);
    if (isnan(q->radius)) q->radius = RADIUS_ARCSEC;
    return rc;
}

static int failed(const stored *s, const char *doing, nj_error *err)
{
    return nj_fail(err, "%s: %s: %s", s->path, doing, s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

/* The rows of a cone are within a few zones; which of them are in it is computed. */
static int ask(stored *s, const question *q, nj_error *err)
{
    nj_buffer sql = { 0 };
    const bool cone = !isnan(q->ra);
    nj_buffer_text(&sql, "SELECT p.number, p.packet, s.json, p.ra, p.dec, p.id FROM packets p JOIN schemas s"
                         " ON s.number = p.schema WHERE 1");
    if (q->has_id) nj_buffer_text(&sql, " AND p.id = ?1");
    if (q->has_object) nj_buffer_text(&sql, " AND p.object = ?2");
    if (q->has_night) nj_buffer_text(&sql, " AND p.night = ?3");
    if (cone) nj_buffer_text(&sql, " AND p.zone BETWEEN ?4 AND ?5");
    nj_buffer_text(&sql, " ORDER BY p.number");
    int rc = sql.failed ? nj_fail(err, "out of memory") : 0;
    if (!rc && sqlite3_prepare_v2(s->db, sql.data, -1, &s->ask, NULL)) rc = failed(s, "is no archive", err);
    nj_buffer_free(&sql);
    if (rc) return rc;
    s->radius = cone ? q->radius / 3600 : -1;
    s->ra = q->ra;
    s->dec = q->dec;
    if (q->has_id) sqlite3_bind_int64(s->ask, 1, q->id);
    if (q->has_object) sqlite3_bind_text(s->ask, 2, q->object, -1, SQLITE_TRANSIENT);
    if (q->has_night) sqlite3_bind_int64(s->ask, 3, q->night);
    if (cone) {
        sqlite3_bind_int64(s->ask, 4, (sqlite3_int64)floor((q->dec - s->radius + 90) * NJ_ARCHIVE_ZONES));
        sqlite3_bind_int64(s->ask, 5, (sqlite3_int64)floor((q->dec + s->radius + 90) * NJ_ARCHIVE_ZONES));
    }
    return 0;
}

static nj_source *open_stored(const nj_source_args *args, nj_error *err)
{
    char path[4096];
    const char *query;
    question q = { 0 };
    stored *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->base.class = &nj_source_stored;
    s->shard = args->shard;
    parts(args->spec, path, &query);
    s->path = strdup(path);
    int rc = s->path ? read_question(args->spec, query, &q, err) : nj_fail(err, "out of memory");
    if (!rc && sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL))
        rc = failed(s, "cannot be read", err);
    if (!rc) sqlite3_busy_timeout(s->db, 60000); /* a run writes to it */
    if (!rc) rc = ask(s, &q, err);
    if (!rc && !(s->base.stream = args->host->stream(args->host->opaque, args->spec, NULL, -1)))
        rc = nj_fail(err, "out of memory");
    if (!rc) return &s->base;
    close_stored(&s->base);
    return NULL;
}

/* Haversines. */
static bool is_in(const stored *s, double ra, double dec)
{
    const double degree = M_PI / 180, a = sin((dec - s->dec) * degree / 2),
                 b = sin((ra - s->ra) * degree / 2);
    const double h = a * a + cos(dec * degree) * cos(s->dec * degree) * b * b;
    return 2 * asin(fmin(1, sqrt(h))) <= s->radius * degree;
}

static uint8_t *copy_of(const void *bytes, int n)
{
    uint8_t *copy = malloc((size_t)n + 1);
    if (copy && n) memcpy(copy, bytes, (size_t)n);
    return copy;
}

static nj_next next(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    stored *s = (stored *)source;
    char member[64];
    int rc;
    (void)timeout_ms;
    while ((rc = sqlite3_step(s->ask)) == SQLITE_ROW) {
        const double ra = sqlite3_column_double(s->ask, 3), dec = sqlite3_column_double(s->ask, 4);
        if (s->radius >= 0 && !is_in(s, ra, dec)) continue;
        if (!nj_shard_take(s->shard, s->base.stream, "packet", s->n_seen++)) continue;
        const void *packet = sqlite3_column_blob(s->ask, 1), *schema = sqlite3_column_text(s->ask, 2);
        const int size = sqlite3_column_bytes(s->ask, 1), n = sqlite3_column_bytes(s->ask, 2);
        nj_chunk *c = nj_chunk_new(s->base.stream, copy_of(packet, size), (size_t)size);
        snprintf(member, sizeof member, "packet %lld", (long long)sqlite3_column_int64(s->ask, 0));
        if (c) c->key = copy_of(schema, n);
        if (c) c->member = strdup(member);
        if (!c || !c->bytes || !c->key || !c->member) {
            nj_chunk_drop(c);
            nj_fail(err, "out of memory");
            return NJ_NEXT_ERROR;
        }
        c->key_size = (size_t)n;
        c->framing = NJ_FRAME_KEYED;
        c->offset = s->n_handed++;
        c->part = nj_shard_part(s->shard, s->n_seen - 1, c->offset);
        c->arrival_ns = nj_now_ns();
        *chunk = c;
        return NJ_NEXT_CHUNK;
    }
    if (rc == SQLITE_DONE) return NJ_NEXT_END;
    failed(s, "cannot be read", err);
    return NJ_NEXT_ERROR;
}

const nj_source_class nj_source_stored = {
    .name = "archive",
    .form = "DIR, archive:DIR?...",
    .doc = "an archive of packets (-o archive:DIR): all, or those that its index finds",
    .query = "id=N the alerts of this id\n"
             "object=NAME of this object\n"
             "night=YYYYMMDD of this night\n"
             "ra=DEG around this position, with dec=DEG and radius=ARCSEC (5)\n",
    .match = match,
    .open = open_stored,
    .next = next,
    .close = close_stored
};
