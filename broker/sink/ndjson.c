/* ndjson.c - one JSON object per line; and CSV, whose file is the same but for what a line is (csv.c). What
 * is written is whole lines, so a reader of a growing file sees at most one torn line. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/output.h"
#include "../base/utf8.h"
#include "classes.h"
#include "csv.h"
#include "file.h"
#include "json.h"
#include "packed.h"

enum { WRITE_AT = 1 << 20 }; /* bytes in the buffer that are written before the next flush */

typedef struct ndjson_conf {
    const char *infinity;
    int64_t gzip_level, zstd_level;
} ndjson_conf;

const nj_param nj_ndjson_settings[] = {
    { "infinity", NJ_STR, "number", offsetof(ndjson_conf, infinity), 0, 0, "1", NJ_JSON_INFINITY_DOC },
    { "gzip_level", NJ_I64, "6", offsetof(ndjson_conf, gzip_level), 1, 9, "1",
      "how hard a file that ends in .gz is packed" },
    { "zstd_level", NJ_I64, "3", offsetof(ndjson_conf, zstd_level), 1, 19, "1",
      "how hard a file that ends in .zst is packed" },
    { 0 },
};
const nj_param nj_csv_settings[] = {
    { "gzip_level", NJ_I64, "6", offsetof(ndjson_conf, gzip_level), 1, 9, "1",
      "how hard a file that ends in .gz is packed" },
    { "zstd_level", NJ_I64, "3", offsetof(ndjson_conf, zstd_level), 1, 19, "1",
      "how hard a file that ends in .zst is packed" },
    { 0 },
};

typedef struct ndjson {
    nj_sink base;
    nj_outfile file;
    nj_json_keys keys;
    nj_buffer buffer, packed; /* packed: what the packer gave, to be written */
    nj_packing kind;
    nj_packer *packer; /* NULL: rows are written as they are */
    int64_t n_rows;
    bool csv, append, known, begun, standard_output;
} ndjson;

/* The file from its first byte on, unpacked. */
typedef struct file_reader {
    const nj_outfile *file;
    off_t at;
} file_reader;

static long read_file(void *opaque, void *into, size_t room, nj_error *err)
{
    file_reader *r = opaque;
    ssize_t got = pread(r->file->fd, into, room, r->at);
    if (got < 0) return nj_fail(err, "%s: cannot be read: %s", r->file->path, strerror(errno));
    r->at += got;
    return got;
}

/* The first line of the file, up to `most` bytes of it. */
static void first_line(const nj_outfile *file, size_t most, nj_buffer *line)
{
    file_reader reader = { file, 0 };
    nj_unpacker *u = nj_unpacker_new(read_file, &reader, NULL, 0, NJ_ZSTD_WINDOW);
    nj_error ignored;
    const uint8_t *bytes;
    const char *newline = NULL;
    for (long n; u && !newline && line->n < most && (n = nj_unpacker_next(u, &bytes, &ignored)) > 0;) {
        newline = memchr(bytes, '\n', (size_t)n);
        nj_buffer_add(line, bytes, newline ? (size_t)(newline - (const char *)bytes) + 1 : (size_t)n);
    }
    nj_unpacker_free(u);
}

/* Where the last whole line ends; -1 with err. */
static off_t whole_lines(const nj_outfile *file, nj_error *err)
{
    char block[65536];
    off_t end = file->size;
    while (end > 0) {
        size_t n = end < (off_t)sizeof block ? (size_t)end : sizeof block;
        ssize_t got = pread(file->fd, block, n, end - (off_t)n);
        if (got != (ssize_t)n)
            return nj_fail(err, "%s: cannot be read: %s", file->path,
                           got < 0 ? strerror(errno) : "short read");
        const char *newline = memrchr(block, '\n', n);
        if (newline) return end - (off_t)n + (newline - block) + 1;
        end -= (off_t)n;
    }
    return 0;
}

/* Cuts what a killed run left: a last line without its newline, a frame without its end. */
static int repair_tail(ndjson *s, nj_error *err)
{
    nj_outfile *file = &s->file;
    nj_buffer line = { 0 };
    off_t end = 0;
    if (s->kind != NJ_PACKED_NOT && nj_packed_whole(file, s->kind, &end, err)) return -1;
    if (s->kind == NJ_PACKED_NOT || end) first_line(file, 1, &line);
    bool other = line.n && line.data[0] != '{' && !s->csv; /* of CSV the first line is looked at later */
    nj_buffer_free(&line);
    if (other)
        return nj_fail(err,
                       "%s: does not begin with a JSON object; --append adds to files that ndjson: wrote",
                       file->path);
    if (s->kind == NJ_PACKED_NOT && (end = s->csv ? nj_csv_whole(file, err) : whole_lines(file, err)) < 0)
        return -1;
    return end == file->size ? 0 : nj_outfile_cut(file, end, err);
}

/* To the mark, or to the last whole line. */
static int cut_back(ndjson *s, const nj_mark *mark, nj_error *err)
{
    if (!mark || mark->kind != NJ_MARK_THERE) return repair_tail(s, err);
    s->n_rows = mark->rows;
    return nj_outfile_cut(&s->file, mark->bytes, err);
}

static nj_sink *open_lines(const nj_sink_args *args, bool csv, nj_error *err)
{
    ndjson *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "%s: out of memory", csv ? "csv" : "ndjson");
        return NULL;
    }
    ndjson_conf conf;
    if (csv ? nj_settings_apply(args->settings, "sink.csv", nj_csv_settings, NULL, &conf, err)
            : nj_settings_apply(args->settings, "sink.ndjson", nj_ndjson_settings, NULL, &conf, err) ||
                  nj_json_infinity(&s->keys, "ndjson", conf.infinity, err)) {
        free(s);
        return NULL;
    }
    s->base.class = csv ? &nj_sink_csv : &nj_sink_ndjson;
    s->csv = csv;
    s->kind = nj_packed_by_name(args->target);
    if (nj_packed_check(args->target, csv ? "csv" : "ndjson", true, NULL, err)) {
        free(s);
        return NULL;
    }
    if (s->kind != NJ_PACKED_NOT) {
        int64_t level = s->kind == NJ_PACKED_GZIP ? conf.gzip_level : conf.zstd_level;
        s->packer = nj_packer_new(s->kind, (int)level);
        if (!s->packer) {
            nj_fail(err, "%s: out of memory", args->target);
            free(s);
            return NULL;
        }
    }
    s->append = nj_outfile_mode(args) == NJ_SINK_APPEND;
    s->known = args->known && s->append;
    s->standard_output = nj_output_is_standard(args->target);
    if (s->standard_output) {
        s->file = (nj_outfile){ .path = strdup("standard output"),
                                .fd = fcntl(nj_output_fd(), F_DUPFD_CLOEXEC, 3) };
        if (s->file.fd >= 0 && s->file.path) return &s->base;
        nj_fail(err, "%s:-: standard output: %s", csv ? "csv" : "ndjson", strerror(errno));
    } else if (nj_outfile_open_for(&s->file, args, true, err) == 0 &&
               (!s->append || !s->file.size || cut_back(s, args->mark, err) == 0) &&
               nj_outfile_begin(&s->file, args, s->n_rows, err) == 0) {
        return &s->base;
    }
    nj_outfile_close(&s->file, true, NULL);
    nj_packer_free(s->packer);
    free(s);
    return NULL;
}

static nj_sink *open_ndjson(const nj_sink_args *args, nj_error *err)
{
    return open_lines(args, false, err);
}

static nj_sink *open_csv(const nj_sink_args *args, nj_error *err)
{
    return open_lines(args, true, err);
}

/* The first row of the file, for one whose meta file is gone; NULL when it cannot be had. */
static json_t *first_row(const nj_outfile *file)
{
    nj_buffer line = { 0 };
    first_line(file, SIZE_MAX, &line);
    json_t *row = line.n && !line.failed && line.data[line.n - 1] == '\n'
                      ? nj_json_read_row(line.data, line.n - 1)
                      : NULL;
    nj_buffer_free(&line);
    return row;
}

/* The file's columns, in order: what the meta file says, else the keys of the first row.
 * Array of texts, or NULL. */
static json_t *columns_there(const nj_outfile *file, const json_t *meta)
{
    const json_t *list = json_object_get(meta, "columns"), *item;
    json_t *keys = json_array(), *row;
    size_t i;
    json_array_foreach(list, i, item) json_array_append(keys, json_object_get(item, "key"));
    if (json_is_array(list) && json_array_size(keys) == json_array_size(list)) return keys;
    json_array_clear(keys);
    if (!(row = first_row(file))) {
        json_decref(keys);
        return NULL;
    }
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value) json_array_append_new(keys, json_string(key));
    json_decref(row);
    return keys;
}

/* Rows of one file have one set of columns, as in all other sinks. */
static int check_columns(const ndjson *s, const json_t *meta, const nj_field *field, uint32_t n_fields,
                         nj_error *err)
{
    json_t *there = s->append && s->file.size > 0 ? columns_there(&s->file, meta) : NULL;
    int rc = 0;
    for (uint32_t f = 0; there && !rc; f++) {
        const char *old = json_string_value(json_array_get(there, f));
        if (!old && f >= n_fields) break;
        if (f >= n_fields)
            rc = nj_fail(
                err, "%s: has the column %s, which this run does not write; --append needs the same columns",
                s->file.path, old);
        else if (!old)
            rc = nj_fail(err, "%s: lacks the column %s; --append needs the same columns", s->file.path,
                         field[f].key);
        else if (strcmp(old, field[f].key))
            rc = nj_fail(err,
                         "%s: has the column %s where this run writes %s; --append needs the same columns",
                         s->file.path, old, field[f].key);
    }
    json_decref(there);
    return rc;
}

/* jansson has no text for what is no UTF-8: without this the key would be missing, or its column. */
static json_t *readable(const char *text)
{
    nj_buffer out = { 0 };
    nj_utf8_escape(&out, text);
    json_t *json = out.failed ? NULL : json_string(out.data ? out.data : "");
    nj_buffer_free(&out);
    return json;
}

/* -1: memory is short. text NULL: no such key. */
static int set_text(json_t *object, const char *key, const char *text)
{
    return text ? json_object_set_new(object, key, readable(text)) : 0;
}

/* NULL: memory is short. */
static json_t *column_list(const nj_field *field, uint32_t n_fields)
{
    json_t *list = json_array();
    int bad = 0;
    for (uint32_t f = 0; f < n_fields && !bad; f++) {
        json_t *item = json_object();
        bad = set_text(item, "key", field[f].key);
        bad |= set_text(item, "type", field[f].text ? "str" : nj_type_name(field[f].type));
        bad |= set_text(item, "unit", field[f].unit);
        bad |= set_text(item, "doc", field[f].doc);
        if (field[f].width != 1) bad |= json_object_set_new(item, "width", json_integer(field[f].width));
        bad |= json_array_append_new(list, item);
    }
    if (bad) json_decref(list);
    return bad ? NULL : list;
}

/* PATH.meta.json: {"columns": [...], "runs": [{key:
 * value, ...}, ...]}, one entry in runs per run that wrote to the file. */
static int write_metadata(const ndjson *s, const nj_field *field, uint32_t n_fields,
                          const nj_metadata *metadata, nj_error *err)
{
    int rc = 0;
    char path[4096];
    if (snprintf(path, sizeof path, "%s.meta.json", s->file.path) >= (int)sizeof path)
        return nj_fail(err, "%s: the name is too long", s->file.path);
    json_t *old = s->append ? json_load_file(path, 0, NULL) : NULL;
    if (check_columns(s, old, field, n_fields, err)) {
        json_decref(old);
        return -1;
    }
    json_t *runs = json_incref(json_object_get(old, "runs"));
    if (!json_is_array(runs)) {
        json_decref(runs);
        runs = json_array();
    }
    json_t *run = json_object();
    int short_of = 0;
    for (; metadata && metadata->key; metadata++) short_of |= set_text(run, metadata->key, metadata->value);
    short_of |= json_array_append_new(runs, run);
    json_t *all = json_object();
    short_of |= json_object_set_new(all, "columns", column_list(field, n_fields));
    short_of |= json_object_set_new(all, "runs", runs);
    char *text = short_of ? NULL : json_dumps(all, JSON_INDENT(1));
    rc = text ? nj_outfile_beside(path, text, strlen(text), err) : nj_fail(err, "%s: out of memory", path);
    free(text);
    json_decref(all);
    json_decref(old);
    return rc;
}

/* The line of names is written, or is what the file begins with. */
static int begin_csv(ndjson *s, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    nj_buffer line = { 0 };
    int rc = 0;
    nj_csv_names(&s->buffer, field, n_fields);
    nj_buffer_add(&s->buffer, "\n", 1);
    if (s->append && s->file.end > 0) {
        first_line(&s->file, s->buffer.n + 1, &line);
        if (line.n != s->buffer.n || !line.data || memcmp(line.data, s->buffer.data, line.n) != 0)
            rc = nj_fail(err,
                         "%s: does not begin with the names of this run's columns; --append needs the same",
                         s->file.path);
        s->buffer.n = 0;
    }
    nj_buffer_free(&line);
    return rc;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    ndjson *s = (ndjson *)sink;
    if (s->csv && begin_csv(s, field, n_fields, err)) return -1;
    s->begun = true;
    if (!s->csv && nj_json_keys_new(&s->keys, field, n_fields, err)) return -1;
    /* only a real file has a place beside it */
    if (s->standard_output || !strncmp(s->file.path, "/dev/", 5)) return 0;
    return s->known ? 0 : write_metadata(s, field, n_fields, metadata, err);
}

static int write_packed(ndjson *s, int failed, nj_error *err)
{
    if (failed || s->packed.failed) return nj_fail(err, "%s: out of memory for packing", s->file.path);
    size_t n = s->packed.n;
    s->packed.n = 0;
    return n ? nj_outfile_write(&s->file, s->packed.data, n, err) : 0;
}

static int write_out(ndjson *s, nj_error *err)
{
    if (s->buffer.failed) return nj_fail(err, "%s: out of memory", s->file.path);
    size_t n = s->buffer.n;
    s->buffer.n = 0;
    if (!n) return 0;
    if (!s->packer) return nj_outfile_write(&s->file, s->buffer.data, n, err);
    return write_packed(s, nj_packer_add(s->packer, &s->packed, s->buffer.data, n), err);
}

/* A commit is where a frame ends: the file can be cut back to it. */
static int end_frame(ndjson *s, nj_error *err)
{
    return s->packer ? write_packed(s, nj_packer_end(s->packer, &s->packed), err) : 0;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    ndjson *s = (ndjson *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        if (s->csv)
            nj_csv_line(&s->buffer, rows, rows->row[k]);
        else
            nj_json_row(&s->buffer, &s->keys, rows, rows->row[k]);
        nj_buffer_add(&s->buffer, "\n", 1);
        s->n_rows++;
        if (s->buffer.n >= WRITE_AT && write_out(s, err)) return -1;
    }
    return s->buffer.failed ? nj_fail(err, "%s: out of memory", s->file.path) : 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    ndjson *s = (ndjson *)sink;
    if (write_out(s, err)) return -1;
    if (s->packer && write_packed(s, nj_packer_flush(s->packer, &s->packed), err)) return -1;
    return nj_outfile_look(&s->file, err);
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    ndjson *s = (ndjson *)sink;
    if (end_frame(s, err)) return -1;
    return nj_outfile_commit(&s->file, s->n_rows, keep, err);
}

static int close_ndjson(nj_sink *sink, nj_error *err)
{
    ndjson *s = (ndjson *)sink;
    int rc = s->buffer.n ? write_out(s, err) : 0;
    if (!rc) rc = end_frame(s, err);
    if (nj_outfile_close(&s->file, !s->begun, rc ? NULL : err)) rc = -1;
    nj_json_keys_free(&s->keys);
    nj_buffer_free(&s->buffer);
    nj_buffer_free(&s->packed);
    nj_packer_free(s->packer);
    free(s);
    return rc;
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const ndjson *s = (const ndjson *)sink;
    *bytes = s->file.end + (s->packer ? 0 : (int64_t)s->buffer.n); /* none is left after a commit */
    *rows = s->n_rows;
}

static int64_t will_be(const nj_sink *sink)
{
    const ndjson *s = (const ndjson *)sink;
    return s->file.end + (int64_t)(s->packer ? nj_packer_holds(s->packer) + s->buffer.n / 4 : s->buffer.n);
}

const nj_sink_class nj_sink_ndjson = {
    .scheme = "ndjson",
    .is_file = true,
    .ending = ".ndjson",
    .form = "ndjson:PATH, ndjson:-",
    .doc = "one JSON object per line, packed when PATH ends in .gz or .zst; provenance in PATH.meta.json",
    .open = open_ndjson,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = nj_journal_look,
    .close = close_ndjson,
    .extent = extent,
    .will_be = will_be,
};

const nj_sink_class nj_sink_csv = {
    .scheme = "csv",
    .is_file = true,
    .ending = ".csv",
    .form = "csv:PATH, csv:-",
    .doc = "CSV with a line of names; series as JSON arrays; packed and described as NDJSON is",
    .open = open_csv,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = nj_journal_look,
    .close = close_ndjson,
    .extent = extent,
    .will_be = will_be,
};
