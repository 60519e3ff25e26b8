/* parquet.c - Parquet, which people load into their tables. Its row groups are large and its footer comes
 * last, so rows wait in PATH.rows (parquet_rows.h): a commit is a frame there, and the file itself only grows
 * by whole row groups until it is finished. */
#include "../parquet/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/version.h"
#include "../batch/cell.h"
#include "classes.h"
#include "file.h"
#include "packed.h"
#include "parquet_rows.h"

typedef struct parquet_conf {
    const char *codec;
    int64_t zstd_level, gzip_level, row_group_bytes, page_bytes;
} parquet_conf;

const nj_param nj_parquet_settings[] = {
    { "codec", NJ_STR, "zstd", offsetof(parquet_conf, codec), 0, 0, "1",
      "compression of the pages: zstd, gzip, snappy or none" },
    { "zstd_level", NJ_I64, "3", offsetof(parquet_conf, zstd_level), 1, 19, "1", "how hard zstd tries" },
    { "gzip_level", NJ_I64, "6", offsetof(parquet_conf, gzip_level), 1, 12, "1", "how hard gzip tries" },
    { "row_group_bytes", NJ_I64, "128M", offsetof(parquet_conf, row_group_bytes), 4096, 1 << 30, "byte",
      "a row group is written when its values take so many bytes, not packed; each open file keeps as many "
      "in memory" },
    { "page_bytes", NJ_I64, "1M", offsetof(parquet_conf, page_bytes), 1024, 1 << 28, "byte",
      "a page has so many bytes of values, not packed" },
    { 0 },
};

enum { ROW_MOST = 1 << 29 };

typedef struct parquet_sink {
    nj_sink base;
    nj_outfile file;
    parquet_conf conf;
    nj_sink_args args;
    nj_parquet_writer w;
    nj_waiting_rows rows;
    nj_parquet_new *column;
    struct before {
        size_t value, level;
    } * before; /* [n_columns] a row that is refused is taken back */
    char created_by[64];
    bool begun, fresh, failed;
    bool whole;     /* its footer is there */
    bool committed; /* and nothing was written since */
    bool complete;
} parquet_sink;

/* ---- opening --------------------------------------------------------------------------------- */

static int codec_of(const char *name, nj_error *err)
{
    static const struct {
        const char *name;
        int codec;
    } codec[] = {
        { "zstd", NJ_PQ_ZSTD }, { "gzip", NJ_PQ_GZIP }, { "snappy", NJ_PQ_SNAPPY }, { "none", NJ_PQ_NONE }
    };
    for (size_t i = 0; i < sizeof codec / sizeof *codec; i++)
        if (!strcmp(name, codec[i].name)) return codec[i].codec;
    return nj_fail(err, "[sink.parquet] codec = %s is none of zstd, gzip, snappy, none", name);
}

int nj_parquet_packing(nj_settings *settings, int *codec, int *level, int64_t *page_bytes, nj_error *err)
{
    parquet_conf conf;
    if (nj_settings_apply(settings, "sink.parquet", nj_parquet_settings, NULL, &conf, err)) return -1;
    *codec = codec_of(conf.codec, err);
    *level = (int)(*codec == NJ_PQ_GZIP ? conf.gzip_level : conf.zstd_level);
    *page_bytes = conf.page_bytes;
    return *codec < 0 ? -1 : 0;
}

static int to_file(void *opaque, const void *bytes, size_t n, nj_error *err)
{
    return nj_outfile_write(opaque, bytes, n, err);
}

static nj_sink *open_parquet(const nj_sink_args *args, nj_error *err)
{
    parquet_sink *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "parquet: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_parquet;
    s->file.fd = s->rows.file.fd = -1;
    if (nj_packed_check(args->target, "parquet", false, "[sink.parquet] codec = zstd packs its pages", err) ||
        nj_settings_apply(args->settings, "sink.parquet", nj_parquet_settings, NULL, &s->conf, err) ||
        (s->w.codec = codec_of(s->conf.codec, err)) < 0)
        goto bad;
    s->conf.codec = NULL; /* the settings may not live as long */
    if (nj_outfile_open_for(&s->file, args, true, err)) goto bad;
    s->args = *args; /* run, configuration and mark live as long as the sink */
    snprintf(s->created_by, sizeof s->created_by, "nightjar version %s", nj_version);
    s->w.level = (int)(s->w.codec == NJ_PQ_GZIP ? s->conf.gzip_level : s->conf.zstd_level);
    s->w.page_bytes = (uint32_t)s->conf.page_bytes;
    s->w.created_by = s->created_by;
    s->w.write = to_file;
    s->w.opaque = &s->file;
    if (nj_outfile_must_be_plain(&s->file, err) == 0) return &s->base;
bad:
    nj_outfile_close(&s->file, true, NULL);
    free(s);
    return NULL;
}

static int begin_columns(parquet_sink *s, const nj_field *field, uint32_t n, nj_error *err)
{
    static const nj_parquet_type type[] = {
        [NJ_U8] = NJ_PARQUET_I32,  [NJ_I32] = NJ_PARQUET_I32, [NJ_I64] = NJ_PARQUET_I64,
        [NJ_F32] = NJ_PARQUET_F32, [NJ_F64] = NJ_PARQUET_F64, [NJ_STR] = NJ_PARQUET_BYTES
    };
    s->column = calloc(n + 1, sizeof *s->column);
    s->before = calloc(n + 1, sizeof *s->before);
    if (!s->column || !s->before) return nj_fail(err, "%s: out of memory", s->file.path);
    for (uint32_t f = 0; f < n; f++) {
        bool text = nj_field_kind(&field[f]) == NJ_CELL_TEXT;
        s->column[f] = (nj_parquet_new){ .name = field[f].key,
                                         .type = text ? NJ_PARQUET_BYTES : type[field[f].type],
                                         .kind = text                     ? NJ_PARQUET_TEXT
                                                 : field[f].type == NJ_U8 ? NJ_PARQUET_UNSIGNED
                                                                          : NJ_PARQUET_PLAIN,
                                         .list = field[f].width != 1 };
    }
    return nj_parquet_writer_begin(&s->w, s->column, n, err);
}

/* What a column is, as PATH.meta.json of NDJSON has it. */
static void add_columns(parquet_sink *s, const nj_field *field, uint32_t n)
{
    nj_buffer out = { 0 };
    for (uint32_t f = 0; f < n; f++) {
        nj_buffer_text(&out, f ? ",\n{\"key\":" : "[{\"key\":");
        nj_json_text(&out, field[f].key);
        nj_buffer_text(&out, ",\"type\":");
        nj_json_text(&out, field[f].text ? "str" : nj_type_name(field[f].type));
        if (field[f].unit) nj_buffer_text(&out, ",\"unit\":"), nj_json_text(&out, field[f].unit);
        if (field[f].doc) nj_buffer_text(&out, ",\"doc\":"), nj_json_text(&out, field[f].doc);
        if (field[f].width != 1) nj_buffer_printf(&out, ",\"width\":%u", field[f].width);
        nj_buffer_text(&out, "}");
    }
    nj_buffer_text(&out, n ? "]" : "[]");
    if (!out.failed) nj_parquet_add_key(&s->w, "nightjar.columns", out.data);
    s->w.keys.failed |= out.failed;
    nj_buffer_free(&out);
}

/* A key of the n-th run: those of the first one are `nightjar.KEY`, of the second one `nightjar.run2.KEY`. */
static const char *key_of(char key[320], unsigned run, const nj_metadata *m)
{
    char number[24] = "";
    if (run > 1) snprintf(number, sizeof number, "run%u.", run);
    snprintf(key, 320, "nightjar.%s%s", number, strncmp(m->key, "nightjar.", 9) ? m->key : m->key + 9);
    return key;
}

static void add_provenance(parquet_sink *s, const nj_metadata *metadata)
{
    char key[320];
    unsigned run = 1;
    if (!metadata || !metadata->key) return;
    while (nj_parquet_has_key(&s->w, key_of(key, run, metadata))) run++;
    for (const nj_metadata *m = metadata; m->key; m++)
        nj_parquet_add_key(&s->w, key_of(key, run, m), m->value ? m->value : "");
}

/* ---- a file that is there -------------------------------------------------------------------- */

static int other_columns(const parquet_sink *s, nj_error *err)
{
    return nj_fail(
        err,
        "%s: holds other columns than this run writes (its Parquet schema differs); --append needs the same",
        s->file.path);
}

/* By the footer at byte `end`. 1: there is none. */
static int by_footer(parquet_sink *s, int64_t end, int64_t n_rows, size_t *footer, nj_error *err)
{
    if (end < 12 || end > s->file.size) return 1;
    void *bytes = mmap(NULL, (size_t)end, PROT_READ, MAP_SHARED, s->file.fd, 0);
    if (bytes == MAP_FAILED) return nj_fail(err, "%s: cannot be read: %s", s->file.path, strerror(errno));
    int rc = nj_parquet_take_up(&s->w, bytes, (size_t)end, footer);
    munmap(bytes, (size_t)end);
    if (rc > 0) return other_columns(s, err);
    return rc < 0 || (n_rows >= 0 && s->w.n_rows != (uint64_t)n_rows);
}

/* First what the footer has goes beside it, then the journal says so, then it is cut off: a run that dies in
 * between finds one or the other. */
static int without_footer(parquet_sink *s, size_t footer, nj_error *err)
{
    s->file.end = (off_t)footer;
    return nj_waiting_rows_begin(&s->rows, s->file.path, &s->w, err) ||
                   nj_waiting_rows_commit(&s->rows, &s->w, s->file.end, s->args.disk, err) ||
                   nj_outfile_begin(&s->file, &s->args, (int64_t)s->w.n_rows, err) ||
                   nj_outfile_cut(&s->file, (off_t)footer, err)
               ? -1
               : 0;
}

/* 1: there is nothing yet. */
static int go_on(parquet_sink *s, nj_error *err)
{
    const nj_mark *mark = s->args.mark && s->args.mark->kind == NJ_MARK_THERE ? s->args.mark : NULL;
    int64_t bytes = mark ? mark->bytes : -1, n_rows = mark ? mark->rows : -1;
    size_t footer = 0;
    if (mark && !n_rows) return 1; /* perhaps its columns were not all known yet */
    int rc = mark ? 1 : by_footer(s, s->file.size, -1, &footer, err);
    if (rc == 0) return without_footer(s, footer, err);
    if (rc > 0) rc = nj_waiting_rows_back(&s->rows, s->file.path, &s->w, &bytes, n_rows, s->file.size, err);
    if (rc == 2) return other_columns(s, err);
    if (rc == 0) {
        s->file.end = bytes;
        return nj_outfile_begin(&s->file, &s->args, (int64_t)(s->w.n_rows + s->w.n_open), err) ||
                       nj_outfile_cut(&s->file, bytes, err)
                   ? -1
                   : 0;
    }
    if (rc > 0 && mark) rc = by_footer(s, bytes, n_rows, &footer, err);
    if (rc == 0) return without_footer(s, footer, err);
    if (rc < 0) return -1;
    if (!mark && s->file.size <= 4) return 1;
    if (mark)
        return nj_fail(err, "%s: cannot be set back: what is kept in %s.rows is not of the last commit",
                       s->file.path, s->file.path);
    return nj_fail(err,
                   "%s: is not a Parquet file that --append could continue (no footer at its end, and no "
                   "%s.rows)",
                   s->file.path, s->file.path);
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    if (begin_columns(s, field, n_fields, err)) return -1;
    int rc = s->file.size ? go_on(s, err) : 1; /* only --append and --resume leave something there */
    if (rc < 0) return -1;
    s->fresh = rc;
    if (s->fresh) {
        /* what the journal counts stays: a file that is shorter, for a moment, could not be resumed */
        const nj_mark *mark = s->args.mark;
        const bool has_magic = mark && mark->kind == NJ_MARK_THERE && mark->bytes >= 4;
        if ((s->file.size && nj_outfile_cut(&s->file, has_magic ? 4 : 0, err)) ||
            nj_outfile_begin(&s->file, &s->args, 0, err) ||
            (!has_magic && nj_outfile_write(&s->file, "PAR1", 4, err)))
            return -1;
        add_columns(s, field, n_fields);
    }
    if (s->fresh || !s->args.known) add_provenance(s, metadata);
    if (s->fresh && nj_waiting_rows_begin(&s->rows, s->file.path, &s->w, err)) return -1;
    if (!s->fresh && !s->args.known) nj_waiting_rows_keys(&s->rows, &s->w);
    if (nj_parquet_failed(&s->w)) return nj_fail(err, "%s: out of memory", s->file.path);
    s->begun = true;
    return nj_waiting_rows_flush(&s->rows, &s->w, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* One value; `there` and `null` are its levels. */
static void put(nj_parquet_writer *w, uint32_t c, const nj_field *field, const void *data, size_t i,
                uint8_t there, uint8_t null)
{
    if (nj_field_kind(field) == NJ_CELL_TEXT) {
        nj_cell cell = nj_cell_get(field, data, i);
        if (cell.kind == NJ_CELL_NULL)
            nj_parquet_put(w, c, null, NULL, 0);
        else
            nj_parquet_put_text(w, c, there, cell.text);
        return;
    }
    const char *at = (const char *)data + i * nj_type_size(field->type);
    int32_t byte;
    bool is_null;
    size_t n = field->type == NJ_U8 ? 4 : nj_type_size(field->type);
    switch (field->type) {
    case NJ_U8:
        byte = *(const uint8_t *)at;
        is_null = byte == NJ_NO_U8;
        at = (const char *)&byte;
        break;
    case NJ_I32: is_null = *(const int32_t *)(const void *)at == NJ_NO_I32; break;
    case NJ_I64: is_null = *(const int64_t *)(const void *)at == NJ_NO_I64; break;
    case NJ_F32: is_null = isnan(*(const float *)(const void *)at); break;
    default: is_null = isnan(*(const double *)(const void *)at);
    }
    nj_parquet_put(w, c, is_null ? null : there, at, is_null ? 0 : n);
}

static void put_column(nj_parquet_writer *w, uint32_t c, const nj_field *field, const nj_col *col,
                       uint32_t row)
{
    size_t from, to;
    if (!nj_cell_range(field, col, row, &from, &to))
        nj_parquet_put(w, c, 0, NULL, 0);
    else if (field->width == 1)
        put(w, c, field, col->data, from, 1, 0);
    else if (from == to)
        nj_parquet_put(w, c, 1, NULL, 0);
    else
        for (size_t i = from; i < to; i++) {
            uint8_t more = i > from ? NJ_PARQUET_MORE : 0;
            put(w, c, field, col->data, i, (uint8_t)(3 + more), (uint8_t)(2 + more));
        }
}

static int failed(parquet_sink *s)
{
    s->failed = true;
    return -1;
}

static int end_group(parquet_sink *s, nj_error *err)
{
    size_t from = s->w.groups.n;
    if (!s->w.n_open) return 0;
    if (nj_parquet_failed(&s->w)) return nj_fail(err, "%s: out of memory", s->file.path);
    if (nj_parquet_write_group(&s->w, (uint64_t)s->file.end, err)) return -1;
    nj_waiting_rows_group(&s->rows, &s->w, from);
    return 0;
}

static void put_row(parquet_sink *s, const nj_rows *rows, uint32_t row)
{
    for (uint32_t f = 0; f < rows->n_fields; f++) {
        const nj_parquet_store *store = &s->w.store[f];
        s->before[f] = (struct before){ store->value.n, store->level.n };
        put_column(&s->w, f, &rows->field[f], &rows->value[f], row);
    }
    s->w.n_open++;
}

static void take_back(parquet_sink *s, uint64_t n_bytes)
{
    for (uint32_t f = 0; f < s->w.n_columns; f++) {
        s->w.store[f].value.n = s->before[f].value;
        s->w.store[f].level.n = s->before[f].level;
    }
    s->w.n_open--;
    s->w.n_bytes = n_bytes;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    if (s->committed && s->rows.stale &&
        nj_waiting_rows_shrink(&s->rows, &s->w, s->file.end, s->args.disk, err))
        return failed(s);
    s->committed = false;
    for (uint32_t k = 0; k < rows->n; k++) {
        const uint64_t n_bytes = s->w.n_bytes;
        put_row(s, rows, rows->row[k]);
        if (s->w.n_bytes - n_bytes > ROW_MOST) {
            take_back(s, n_bytes);
            nj_fail(err, "%s: a row of more than %d bytes", s->file.path, ROW_MOST);
            if (!nj_sink_refuse_row(&s->args, rows, k, "sink.parquet", err->text)) return failed(s);
        }
        if (s->w.n_bytes >= (uint64_t)s->conf.row_group_bytes && end_group(s, err)) return failed(s);
    }
    if (nj_parquet_failed(&s->w)) return nj_fail(err, "%s: out of memory", s->file.path), failed(s);
    return 0;
}

static int flush(nj_sink *sink, nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    if (!s->whole && nj_waiting_rows_flush(&s->rows, &s->w, err)) return failed(s);
    return nj_outfile_look(&s->rows.file, err) || nj_outfile_look(&s->file, err) ? failed(s) : 0;
}

static int finish(nj_sink *sink, nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    if (s->whole) return 0;
    if (end_group(s, err) || nj_parquet_write_footer(&s->w, err)) return failed(s);
    s->whole = true;
    return 0;
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    if (keep->complete && finish(sink, err)) return -1;
    if (!s->whole && nj_waiting_rows_commit(&s->rows, &s->w, s->file.end, keep->disk, err)) return failed(s);
    if (nj_outfile_commit(&s->file, (int64_t)(s->w.n_rows + s->w.n_open), keep, err)) return failed(s);
    s->committed = true;
    s->complete = keep->complete;
    if (s->complete) nj_waiting_rows_close(&s->rows, true);
    return 0;
}

/* A run that is broken off leaves a file that can be read; --resume takes the footer off again. */
static int close_parquet(nj_sink *sink, nj_error *err)
{
    parquet_sink *s = (parquet_sink *)sink;
    int rc = s->begun && !s->failed && !s->base.comes_again ? finish(sink, err) : 0;
    /* a file that no journal speaks of continues from its footer */
    bool done = s->begun ? s->whole && !s->failed && (s->complete || !s->args.run) : s->fresh;
    nj_waiting_rows_close(&s->rows, done);
    if (nj_outfile_close(&s->file, !s->begun, rc ? NULL : err)) rc = -1;
    if (s->column) nj_parquet_writer_free(&s->w);
    free(s->column);
    free(s->before);
    free(s);
    return rc;
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const parquet_sink *s = (const parquet_sink *)sink;
    *bytes = s->file.end;
    *rows = (int64_t)(s->w.n_rows + s->w.n_open);
}

/* Open rows become as small as those before them; the first ones perhaps a third. */
static int64_t will_be(const nj_sink *sink)
{
    const parquet_sink *s = (const parquet_sink *)sink;
    double ratio = s->w.plain ? (double)s->w.packed / (double)s->w.plain : 1.0 / 3;
    return s->file.end + (int64_t)(ratio * (double)s->w.n_bytes);
}

const nj_sink_class nj_sink_parquet = {
    .scheme = "parquet",
    .is_file = true,
    .ending = ".parquet",
    .refuses = true,
    .at_commit = true,
    .form = "parquet:PATH, parquet:DIR/",
    .doc =
        "a Parquet file: series are lists; units and provenance in its metadata; readable when the run ends",
    .open = open_parquet,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .finish = finish,
    .look = nj_journal_look,
    .close = close_parquet,
    .extent = extent,
    .will_be = will_be,
};
