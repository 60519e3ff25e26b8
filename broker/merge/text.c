/* text.c - rows of NDJSON and CSV are merged as they stand, without their place, so that the result has the
 * bytes of one run. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/unpack.h"
#include "../sink/file.h"
#include "../sink/packed.h"
#include "merge.h"

static const char json_part[] = "{\"shard.part\":", json_record[] = ",\"shard.record\":",
                  csv_names[] = "shard.part,shard.record,";

typedef struct in {
    FILE *file;
    nj_unpacker *unpacker;
    nj_buffer text;    /* what is not handed out yet begins at `at` */
    size_t at, row, n; /* the present row, behind its place, and its bytes with the line end */
    bool csv, ended;
    nj_buffer names; /* of CSV: the first line, without the shard's */
} in;

typedef struct out {
    nj_outfile file;
    nj_packer *packer;
    nj_buffer buffer;
} out;

static long fill(void *file, void *into, size_t room, nj_error *err)
{
    size_t n = fread(into, 1, room, file);
    return n || !ferror((FILE *)file) ? (long)n : nj_fail(err, "%s", strerror(errno));
}

static void close_text(nj_merge_shard *s)
{
    in *t = s->state;
    if (!t) return;
    nj_unpacker_free(t->unpacker);
    if (t->file) fclose(t->file);
    nj_buffer_free(&t->text);
    nj_buffer_free(&t->names);
    free(t);
    s->state = NULL;
}

/* Bytes of the next line with its end, from `at` on; in CSV line ends within quotes do not count. 0: more
 * must be read. */
static size_t line_of(const in *t)
{
    const char *from = t->text.data + t->at;
    size_t n = t->text.n - t->at;
    if (!t->csv) {
        const char *end = n ? memchr(from, '\n', n) : NULL;
        return end ? (size_t)(end - from) + 1 : 0;
    }
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        quoted ^= from[i] == '"';
        if (from[i] == '\n' && !quoted) return i + 1;
    }
    return 0;
}

/* 1, 0 at the end, -1. */
static int next_line(nj_merge_shard *s, size_t *n, nj_error *err)
{
    in *t = s->state;
    const uint8_t *piece;
    nj_error why = { "" };
    while (!(*n = line_of(t)) && !t->ended) {
        long got = nj_unpacker_next(t->unpacker, &piece, &why);
        if (got < 0) return nj_fail(err, "%s: %s", s->path, why.text);
        t->ended = got == 0;
        if (t->at > 1 << 20) {
            memmove(t->text.data, t->text.data + t->at, t->text.n - t->at);
            t->text.n -= t->at;
            t->at = 0;
        }
        nj_buffer_add(&t->text, piece, (size_t)got);
        if (t->text.failed) return nj_fail(err, "%s: out of memory", s->path);
    }
    if (!*n && t->text.n > t->at) return nj_fail(err, "%s: its last line has no end", s->path);
    return *n > 0;
}

static int open_text(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state = calloc(1, sizeof *t);
    size_t n;
    if (!t) return nj_fail(err, "out of memory");
    t->file = fopen(s->path, "rbe");
    if (!t->file) return nj_fail(err, "%s: cannot be read: %s", s->path, strerror(errno));
    if (!(t->unpacker = nj_unpacker_new(fill, t->file, NULL, 0, NJ_ZSTD_WINDOW)))
        return nj_fail(err, "%s: out of memory", s->path);
    nj_error ignored;
    t->csv = nj_merge_kind_of(s->path, &ignored) == NJ_MERGE_CSV;
    if (!t->csv) return 0;
    if (next_line(s, &n, err) <= 0) return nj_fail(err, "%s: has no line of names", s->path);
    nj_buffer_add(&t->names, t->text.data + sizeof csv_names - 1, n - (sizeof csv_names - 1));
    t->at += n;
    return t->names.failed ? nj_fail(err, "%s: out of memory", s->path) : 0;
}

/* A number between two texts; *at moves behind them. */
static int read_number(const char **at, const char *end, const char *before, int64_t *value)
{
    size_t n = strlen(before);
    char *behind;
    if ((size_t)(end - *at) < n || memcmp(*at, before, n) != 0) return -1;
    *value = strtoll(*at + n, &behind, 10); /* a line end stands behind */
    if (behind == *at + n) return -1;
    *at = behind;
    return 0;
}

static int next_text(nj_merge_shard *s, nj_error *err)
{
    in *t = s->state;
    size_t n;
    int rc = next_line(s, &n, err);
    s->over = rc == 0;
    if (rc <= 0) return rc;
    const char *at = t->text.data + t->at, *end = at + n;
    if (read_number(&at, end, t->csv ? "" : json_part, &s->part) ||
        read_number(&at, end, t->csv ? "," : json_record, &s->record) || at == end || *at++ != ',')
        return nj_fail(err, "%s: row %llu does not begin with its place in the night", s->path,
                       (unsigned long long)s->n_rows + 1);
    t->row = (size_t)(at - t->text.data);
    t->n = (size_t)(end - at);
    t->at += n;
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* PATH.meta.json of the first one, without the shard's columns. */
static int write_meta(const nj_merge_out *o, const char *first, nj_error *err)
{
    char path[4200];
    size_t i = 0;
    snprintf(path, sizeof path, "%s.meta.json", first);
    json_t *meta = json_load_file(path, 0, NULL), *columns = json_object_get(meta, "columns");
    if (!meta) return 0; /* it was taken away, or there was no row: the rows say what they are */
    while (i < json_array_size(columns)) {
        const char *key = json_string_value(json_object_get(json_array_get(columns, i), "key"));
        if (key && !strncmp(key, "shard.", 6))
            json_array_remove(columns, i);
        else
            i++;
    }
    snprintf(path, sizeof path, "%s.meta.json", o->path);
    char *text = json_dumps(meta, JSON_INDENT(1));
    int rc =
        text ? nj_outfile_beside(path, text, strlen(text), err) : nj_fail(err, "%s: out of memory", path);
    free(text);
    json_decref(meta);
    return rc;
}

static int flush(out *t, bool end, nj_error *err)
{
    nj_buffer *b = &t->buffer, packed = { 0 };
    int rc = 0;
    if (t->packer) {
        rc = nj_packer_add(t->packer, &packed, b->data, b->n);
        if (!rc && end) rc = nj_packer_end(t->packer, &packed);
    }
    if (rc || b->failed || packed.failed)
        rc = nj_fail(err, "%s: out of memory", t->file.path);
    else
        rc = nj_outfile_write(&t->file, t->packer ? packed.data : b->data, t->packer ? packed.n : b->n, err);
    b->n = 0;
    nj_buffer_free(&packed);
    return rc;
}

static int begin(nj_merge_out *o, nj_merge_set *set, nj_error *err)
{
    out *t = o->state = calloc(1, sizeof *t);
    const in *first = set->shard[0].state;
    if (!t) return nj_fail(err, "out of memory");
    t->file.fd = -1;
    nj_packing kind = nj_packed_by_name(o->path);
    if (kind && !(t->packer = nj_packer_new(kind, kind == NJ_PACKED_GZIP ? 6 : 3)))
        return nj_fail(err, "out of memory");
    if (nj_outfile_open(&t->file, o->path, o->mode, err) || write_meta(o, set->shard[0].path, err)) return -1;
    if (first->names.n) nj_buffer_add(&t->buffer, first->names.data, first->names.n);
    return 0;
}

static int put(nj_merge_out *o, nj_merge_shard *s, nj_error *err)
{
    out *t = o->state;
    const in *from = s->state;
    if (!from->csv) nj_buffer_add(&t->buffer, "{", 1);
    nj_buffer_add(&t->buffer, from->text.data + from->row, from->n);
    return t->buffer.n > 1 << 20 ? flush(t, false, err) : 0;
}

static int end(nj_merge_out *o, nj_error *err)
{
    out *t = o->state;
    if (flush(t, true, err)) return -1;
    struct stat st;
    if (fstat(t->file.fd, &st)) return nj_fail(err, "%s: %s", o->path, strerror(errno));
    o->bytes = st.st_size;
    return 0;
}

static void drop(nj_merge_out *o, bool failed)
{
    out *t = o->state;
    if (!t) return;
    if (t->file.path) nj_outfile_close(&t->file, failed, NULL);
    nj_packer_free(t->packer);
    nj_buffer_free(&t->buffer);
    free(t);
    o->state = NULL;
}

const nj_merge_class nj_merge_text = { open_text, next_text, close_text, begin, put, end, drop };
