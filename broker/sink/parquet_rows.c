/* parquet_rows.c - a row group is written when it is large, and a commit comes every second: until then its
 * rows are kept in a file of their own, which only grows, so that a run that was killed loses none of them.
 *
 * Frames: kind, bytes, content, CRC-32. What counts is what stands before the frame of a commit. */
#include "parquet_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "waits.h"

enum { META = 1, GROUPS, ROWS, COMMIT };
static const char magic[8] = "NJROWS1";

typedef struct frame {
    uint64_t kind, n;
} frame;

typedef struct groups {              /* followed by the row groups that are new */
    uint64_t n, rows, plain, packed; /* all of them, but for n */
} groups;

typedef struct committed {
    int64_t bytes, rows;
} committed;

static char *path_of(const char *path, const char *ending)
{
    size_t n = strlen(path) + strlen(ending) + 1;
    char *own = malloc(n);
    if (own) snprintf(own, n, "%s%s", path, ending);
    return own;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* A frame begins; where, for its end. */
static size_t begin_frame(nj_buffer *log, uint64_t kind)
{
    const frame head = { kind, 0 };
    size_t at = log->n;
    nj_buffer_add(log, &head, sizeof head);
    return at;
}

static void end_frame(nj_buffer *log, size_t at)
{
    if (log->failed) return;
    uint64_t n = log->n - at - sizeof(frame);
    memcpy(log->data + at + offsetof(frame, n), &n, sizeof n);
    uint32_t crc = libdeflate_crc32(0, log->data + at, log->n - at);
    nj_buffer_add(log, &crc, sizeof crc);
}

static void add_meta(nj_buffer *log, const nj_parquet_writer *w)
{
    uint64_t n_schema = w->schema.n, n_keys = w->n_keys;
    size_t at = begin_frame(log, META);
    nj_buffer_add(log, &n_schema, sizeof n_schema);
    nj_buffer_add(log, &n_keys, sizeof n_keys);
    nj_buffer_add(log, w->schema.data, w->schema.n);
    nj_buffer_add(log, w->keys.data, w->keys.n);
    end_frame(log, at);
}

/* Row groups from byte `from` of their list on. */
static void add_groups(nj_buffer *log, const nj_parquet_writer *w, uint32_t n, size_t from)
{
    const groups head = { n, w->n_rows, w->plain, w->packed };
    size_t at = begin_frame(log, GROUPS);
    nj_buffer_add(log, &head, sizeof head);
    nj_buffer_add(log, w->groups.data + from, w->groups.n - from);
    end_frame(log, at);
}

/* The open rows, but for those that were reached. */
static void add_rows(nj_buffer *log, const nj_parquet_writer *w, const struct reached *reached,
                     uint64_t n_reached)
{
    if (w->n_open == n_reached) return;
    uint64_t n = w->n_open - n_reached;
    size_t at = begin_frame(log, ROWS);
    nj_buffer_add(log, &n, sizeof n);
    for (uint32_t c = 0; c < w->n_columns; c++) {
        const nj_parquet_store *s = &w->store[c];
        const struct reached from = reached ? reached[c] : (struct reached){ 0, 0 };
        const uint64_t size[2] = { s->value.n - from.value, s->level.n - from.level };
        nj_buffer_add(log, size, sizeof size);
        if (size[0]) nj_buffer_add(log, s->value.data + from.value, size[0]);
        if (size[1]) nj_buffer_add(log, s->level.data + from.level, size[1]);
    }
    end_frame(log, at);
}

static void add_commit(nj_buffer *log, const nj_parquet_writer *w, int64_t bytes)
{
    const committed c = { bytes, (int64_t)(w->n_rows + w->n_open) };
    size_t at = begin_frame(log, COMMIT);
    nj_buffer_add(log, &c, sizeof c);
    end_frame(log, at);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_log(nj_waiting_rows *r, nj_error *err)
{
    int rc = r->log.failed ? nj_fail(err, "%s: out of memory", r->file.path)
                           : nj_outfile_write(&r->file, r->log.data, r->log.n, err);
    r->log.n = 0;
    return rc;
}

static int room(nj_waiting_rows *r, const nj_parquet_writer *w)
{
    if (!r->reached) r->reached = calloc(w->n_columns + 1, sizeof *r->reached);
    return r->reached ? 0 : -1;
}

static void reach(nj_waiting_rows *r, const nj_parquet_writer *w)
{
    for (uint32_t c = 0; c < w->n_columns; c++)
        r->reached[c] = (struct reached){ w->store[c].value.n, w->store[c].level.n };
    r->n_reached = w->n_open;
}

/* Files of several outputs are made in the middle of a run: what gets better by itself is waited for. */
static int make_file(const char *path)
{
    nj_wait wait = { 0 };
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666), error = errno;
        bool helps = error == ENOSPC || error == EDQUOT || error == EROFS || nj_folder_is_away(path);
        if (fd >= 0) return nj_wait_over(&wait, path), fd;
        if (!helps || !nj_wait_more(&wait, NJ_WAIT_FOR_ROOM, path, strerror(error))) return errno = error, -1;
    }
}

int nj_waiting_rows_begin(nj_waiting_rows *r, const char *path, const nj_parquet_writer *w, nj_error *err)
{
    char *own = path_of(path, ".rows");
    if (!own || room(r, w)) return free(own), nj_fail(err, "%s: out of memory", path);
    r->file = (nj_outfile){ .path = own, .fd = make_file(own), .regular = true };
    if (r->file.fd < 0) return nj_fail(err, "%s: cannot be written: %s", own, strerror(errno));
    nj_buffer_add(&r->log, magic, sizeof magic);
    add_meta(&r->log, w);
    if (w->n_groups) add_groups(&r->log, w, w->n_groups, 0);
    reach(r, w);
    return 0;
}

void nj_waiting_rows_keys(nj_waiting_rows *r, const nj_parquet_writer *w)
{
    add_meta(&r->log, w);
}

void nj_waiting_rows_group(nj_waiting_rows *r, const nj_parquet_writer *w, size_t from)
{
    add_groups(&r->log, w, 1, from);
    reach(r, w);
    r->stale = true;
}

int nj_waiting_rows_flush(nj_waiting_rows *r, const nj_parquet_writer *w, nj_error *err)
{
    add_rows(&r->log, w, r->reached, r->n_reached);
    reach(r, w);
    return write_log(r, err);
}

int nj_waiting_rows_commit(nj_waiting_rows *r, const nj_parquet_writer *w, int64_t bytes, bool disk,
                           nj_error *err)
{
    add_rows(&r->log, w, r->reached, r->n_reached);
    reach(r, w);
    add_commit(&r->log, w, bytes);
    if (write_log(r, err)) return -1;
    if (!disk) return 0;
    if (fdatasync(r->file.fd) && errno != EINVAL)
        return nj_fail(err, "%s: fdatasync: %s", r->file.path, strerror(errno));
    if (!r->named) nj_sync_folder_of(r->file.path);
    r->named = true;
    return 0;
}

int nj_waiting_rows_shrink(nj_waiting_rows *r, const nj_parquet_writer *w, int64_t bytes, bool disk,
                           nj_error *err)
{
    char *fresh = path_of(r->file.path, ".new");
    if (!fresh) return nj_fail(err, "%s: out of memory", r->file.path);
    nj_outfile file = { .path = fresh, .fd = make_file(fresh), .regular = true };
    r->log.n = 0;
    nj_buffer_add(&r->log, magic, sizeof magic);
    add_meta(&r->log, w);
    if (w->n_groups) add_groups(&r->log, w, w->n_groups, 0);
    add_rows(&r->log, w, NULL, 0);
    add_commit(&r->log, w, bytes);
    int rc = file.fd < 0     ? nj_fail(err, "%s: cannot be written: %s", fresh, strerror(errno))
             : r->log.failed ? nj_fail(err, "%s: out of memory", fresh)
                             : nj_outfile_write(&file, r->log.data, r->log.n, err);
    r->log.n = 0;
    if (!rc && ((disk && fdatasync(file.fd) && errno != EINVAL) || rename(fresh, r->file.path)))
        rc = nj_fail(err, "%s: cannot be written: %s", r->file.path, strerror(errno));
    if (rc) {
        if (file.fd >= 0) close(file.fd);
        unlink(fresh);
    } else {
        if (disk) nj_sync_folder_of(r->file.path);
        close(r->file.fd);
        r->file.fd = file.fd;
        r->file.end = file.end;
        r->stale = false;
    }
    free(fresh);
    return rc;
}

/* ---- going back ------------------------------------------------------------------------------ */

typedef struct reader {
    const uint8_t *bytes;
    size_t n, at; /* at: the next frame */
    uint64_t kind;
    const uint8_t *p; /* content of the present frame */
    size_t left;
    bool bad;
} reader;

static bool next_frame(reader *r)
{
    frame head;
    uint32_t crc;
    if (r->n - r->at < sizeof head + sizeof crc) return false;
    memcpy(&head, r->bytes + r->at, sizeof head);
    if (head.n > r->n - r->at - sizeof head - sizeof crc) return false;
    memcpy(&crc, r->bytes + r->at + sizeof head + head.n, sizeof crc);
    if (libdeflate_crc32(0, r->bytes + r->at, sizeof head + head.n) != crc) return false;
    r->kind = head.kind;
    r->p = r->bytes + r->at + sizeof head;
    r->left = head.n;
    r->at += sizeof head + head.n + sizeof crc;
    return true;
}

static const void *take(reader *r, void *to, size_t n)
{
    const uint8_t *p = r->p;
    if (n > r->left) r->bad = true;
    if (r->bad) {
        if (to) memset(to, 0, n);
        return NULL;
    }
    if (to) memcpy(to, p, n);
    r->p += n;
    r->left -= n;
    return p;
}

/* Where the wanted commit's frame ends, and the last frame of row groups before it begins; 0: there is
 * none. */
static size_t find_commit(reader *r, int64_t *bytes, int64_t n_rows, int64_t size, size_t *from)
{
    size_t found = 0, groups_at = sizeof magic;
    const int64_t want = *bytes;
    for (size_t at = r->at = sizeof magic; next_frame(r); at = r->at) {
        committed c;
        if (r->kind == GROUPS) groups_at = at;
        if (r->kind != COMMIT || !take(r, &c, sizeof c)) continue;
        if (want < 0 ? c.bytes > size : c.bytes != want || c.rows != n_rows) continue;
        found = r->at;
        *from = groups_at;
        *bytes = c.bytes;
    }
    return found;
}

static void take_meta(reader *r, nj_parquet_writer *w, bool *other)
{
    uint64_t n_schema, n_keys;
    take(r, &n_schema, sizeof n_schema);
    take(r, &n_keys, sizeof n_keys);
    const uint8_t *schema = take(r, NULL, n_schema);
    if (r->bad) return;
    *other = n_schema != w->schema.n || memcmp(schema, w->schema.data, n_schema) != 0;
    w->keys.n = 0;
    nj_buffer_add(&w->keys, r->p, r->left);
    w->n_keys = (uint32_t)n_keys;
}

static void take_groups(reader *r, nj_parquet_writer *w)
{
    groups head;
    if (!take(r, &head, sizeof head)) return;
    nj_buffer_add(&w->groups, r->p, r->left);
    w->n_groups += (uint32_t)head.n;
    w->n_rows = head.rows;
    w->plain = head.plain;
    w->packed = head.packed;
}

static void take_rows(reader *r, nj_parquet_writer *w)
{
    uint64_t n, size[2];
    take(r, &n, sizeof n);
    for (uint32_t c = 0; c < w->n_columns && !r->bad; c++) {
        take(r, size, sizeof size);
        const void *value = take(r, NULL, size[0]), *level = take(r, NULL, size[1]);
        if (r->bad) return;
        nj_buffer_add(&w->store[c].value, value, size[0]);
        nj_buffer_add(&w->store[c].level, level, size[1]);
        w->n_bytes += size[0] + size[1];
    }
    w->n_open += n;
}

static int take_all(reader *r, nj_parquet_writer *w, size_t from, size_t end)
{
    bool other = false;
    w->n_keys = w->n_groups = 0;
    w->keys.n = w->groups.n = 0;
    w->n_rows = 0;
    nj_parquet_drop_rows(w);
    for (size_t at = r->at = sizeof magic; at < end && next_frame(r) && !other; at = r->at) {
        if (r->kind == META) take_meta(r, w, &other);
        if (r->kind == GROUPS) take_groups(r, w);
        if (r->kind == ROWS && at >= from) take_rows(r, w);
    }
    return other ? 2 : r->bad ? 1 : 0;
}

int nj_waiting_rows_back(nj_waiting_rows *r, const char *path, nj_parquet_writer *w, int64_t *bytes,
                         int64_t n_rows, int64_t size, nj_error *err)
{
    struct stat st;
    void *there = MAP_FAILED;
    size_t end = 0, from = 0;
    int rc = 1;
    char *own = path_of(path, ".rows");
    if (!own || room(r, w)) return free(own), nj_fail(err, "%s: out of memory", path);
    r->file = (nj_outfile){ .path = own, .fd = open(own, O_RDWR | O_APPEND | O_CLOEXEC), .regular = true };
    if (r->file.fd >= 0 && !fstat(r->file.fd, &st) && (size_t)st.st_size > sizeof magic)
        there = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, r->file.fd, 0);
    if (there != MAP_FAILED) {
        reader in = { .bytes = there, .n = (size_t)st.st_size };
        if (!memcmp(there, magic, sizeof magic)) end = find_commit(&in, bytes, n_rows, size, &from);
        if (end) rc = take_all(&in, w, from, end);
        munmap(there, (size_t)st.st_size);
    }
    if (!rc && nj_parquet_failed(w)) rc = nj_fail(err, "%s: out of memory", path);
    if (!rc) rc = nj_outfile_cut(&r->file, (off_t)end, err);
    if (rc) return nj_waiting_rows_close(r, false), rc;
    r->stale = from > sizeof magic;
    reach(r, w);
    return 0;
}

void nj_waiting_rows_close(nj_waiting_rows *r, bool remove)
{
    if (remove && r->file.path) unlink(r->file.path);
    if (r->file.fd >= 0) close(r->file.fd);
    nj_buffer_free(&r->log);
    free(r->file.path);
    free(r->reached);
    *r = (nj_waiting_rows){ .file = { .fd = -1 } };
}

void nj_waiting_rows_remove(const char *path)
{
    char *own = path_of(path, ".rows");
    if (own) unlink(own);
    free(own);
}
