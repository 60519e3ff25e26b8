/* fits.c - a FITS binary table ALERTS. Rows are put together here, big-endian, and given to cfitsio as
 * bytes, in one piece per flush. "No answer" is NaN, the column's TNULL (INT_MIN, 255) or an empty
 * text, which is what the values are in memory already. cfitsio is used under the one lock that decode
 * uses, too. */
#include <errno.h>
#include <fcntl.h>
#include <fitsio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/filelock.h"
#include "../image/fitslock.h"
#include "../base/log.h"
#include "../batch/cell.h"
#include "classes.h"
#include "fits_table.h"
#include "packed.h"

static nj_log_limit said; /* an output of several files says it for each */

enum {
    WRITE_AT = 4 << 20,           /* bytes of rows that are written before the next flush */
    BUFFERED = 41 * NJ_FITS_BLOCK /* that cfitsio keeps at most */
};

const nj_param nj_fits_settings[] = {
    { "text_width", NJ_I64, "64", offsetof(fits_conf, text_width), 1, 4096, "byte",
      "width of text columns; longer text is cut" },
    { 0 },
};

/* ---- the sink -------------------------------------------------------------------------------- */

static int close_fits(nj_sink *sink, nj_error *err);

static nj_sink *open_fits(const nj_sink_args *args, nj_error *err)
{
    fits_sink *s = calloc(1, sizeof *s);
    if (!s) {
        nj_fail(err, "fits: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_fits;
    s->lock.fd = -1;
    s->path = strdup(args->target);
    if (!s->path) nj_fail(err, "fits: out of memory");
    if (!s->path || nj_settings_apply(args->settings, "sink.fits", nj_fits_settings, NULL, &s->conf, err))
        goto bad;
    if (nj_packed_check(s->path, "fits", false, NULL, err)) goto bad;
    if (nj_outfile_open_for(&s->lock, args, false, err) || nj_outfile_must_be_plain(&s->lock, err)) goto bad;
    s->append = s->lock.size > 0; /* only --append and --resume leave something there */
    s->args = *args;
    s->args.known &= s->append;
    if (args->mark) s->commit = (int64_t)args->mark->commit;
    return &s->base;
bad:
    close_fits(&s->base, NULL);
    return NULL;
}

/* The file has at least so many bytes from here on. */
static void note_end(fits_sink *s)
{
    struct stat st;
    if (!fstat(s->lock.fd, &st)) s->lock.end = st.st_size;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    s->field = field;
    s->n_fields = n_fields;
    if (nj_fits_columns(s, err)) return -1;
    nj_fits_lock();
    fits_clear_errmsg();
    int rc = s->append ? nj_fits_continue(s, metadata, err) : nj_fits_create(s, metadata, err);
    nj_fits_unlock();
    note_end(s);
    s->begun = !rc;
    return rc;
}

/* n values as FITS has them: big-endian. */
static void put_numbers(char *to, nj_type type, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u4;
        uint64_t u8;
        switch (type) {
        case NJ_U8: to[i] = ((const char *)from)[i]; break;
        case NJ_I32:
        case NJ_F32:
            memcpy(&u4, (const char *)from + 4 * i, 4);
            u4 = __builtin_bswap32(u4);
            memcpy(to + 4 * i, &u4, 4);
            break;
        default:
            memcpy(&u8, (const char *)from + 8 * i, 8);
            u8 = __builtin_bswap64(u8);
            memcpy(to + 8 * i, &u8, 8);
        }
    }
}

static void put_nulls(char *to, nj_type type, size_t n)
{
    union {
        uint8_t b;
        int32_t j;
        int64_t k;
        float e;
        double d;
    } null;
    nj_fill_null(type, &null, 1);
    for (size_t i = 0; i < n; i++) put_numbers(to + i * nj_type_size(type), type, &null, 1);
}

static void put_text(fits_sink *s, char *to, size_t width, const nj_field *field, const void *data, size_t i)
{
    nj_cell cell = nj_cell_get(field, data, i);
    size_t n = cell.kind == NJ_CELL_TEXT ? strlen(cell.text) : 0;
    if (n > width) {
        if (s->n_cut++ == 0)
            nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                           "%s: texts of column %s are cut to %zu bytes ([sink.fits] text_width)", s->path,
                           field->key, width);
        n = width;
    }
    bool odd = false;
    for (size_t k = 0; k < n; k++) { /* FITS texts are ASCII */
        bool plain = cell.text[k] >= 0x20 && cell.text[k] < 0x7f;
        to[k] = plain ? cell.text[k] : '?';
        odd |= !plain;
    }
    if (odd && s->n_odd++ == 0)
        nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                       "%s: FITS has only ASCII: other characters of column %s are written as '?'", s->path,
                       field->key);
    memset(to + n, 0, width - n);
}

static void put_series(fits_sink *s, uint32_t f, const nj_col *col, uint32_t row)
{
    const nj_field *field = &s->field[f];
    size_t from, to, size = nj_type_size(field->type);
    if (!nj_cell_range(field, col, row, &from, &to) || from == to) return;
    series item = { f, s->n_rows + 1, s->values.n, (uint32_t)(to - from) };
    nj_buffer_add(&s->values, (const char *)col->data + from * size, (to - from) * size);
    nj_buffer_add(&s->waiting, &item, sizeof item);
}

static void put_row(fits_sink *s, char *to, const nj_rows *rows, uint32_t row)
{
    for (uint32_t f = 0; f < s->n_fields; f++) {
        const nj_field *field = &s->field[f];
        const column *c = &s->column[f];
        const char *data = rows->value[f].data;
        size_t first = (size_t)row * c->repeat;
        if (!c->repeat) {
            put_series(s, f, &rows->value[f], row);
            memset(to, 0, 8); /* its descriptor, which cfitsio fills in */
            to += 8;
            continue;
        }
        if (nj_field_kind(field) == NJ_CELL_TEXT)
            for (uint32_t i = 0; i < c->repeat; i++)
                put_text(s, to + (size_t)i * c->width, c->width, field, data, first + i);
        else if (data)
            put_numbers(to, field->type, data + first * c->width, c->repeat);
        else
            put_nulls(to, field->type, c->repeat);
        to += (size_t)c->repeat * c->width;
    }
}

static int write_series(fits_sink *s, int *status)
{
    static const int code[] = {
        [NJ_U8] = TBYTE, [NJ_I32] = TINT, [NJ_I64] = TLONGLONG, [NJ_F32] = TFLOAT, [NJ_F64] = TDOUBLE
    };
    const series *item = (const series *)s->waiting.data;
    for (size_t i = 0; i < s->waiting.n / sizeof *item && !*status; i++)
        fits_write_col(s->file, code[s->field[item[i].column].type], (int)item[i].column + 1,
                       s->n_written + (LONGLONG)item[i].row, 1, item[i].n, s->values.data + item[i].at,
                       status);
    return *status;
}

/* A write that fails leaves cfitsio's table half-written, so the room for it is made sure of first, and for
 * what cfitsio's buffers still have of the one before. */
static int write_out(fits_sink *s, nj_error *err)
{
    int status = 0;
    if (s->rows.failed || s->values.failed || s->waiting.failed)
        return nj_fail(err, "%s: out of memory", s->path);
    if (!s->n_rows) return 0;
    if (s->series && s->args.run && nj_fits_keep(s, err)) return -1;
    const size_t more = s->rows.n + s->values.n + 2 * NJ_FITS_BLOCK,
                 before = s->unflushed < BUFFERED ? s->unflushed : BUFFERED;
    if (nj_outfile_reserve(&s->lock, (off_t)(more + before), err)) return -1;
    s->unflushed += more;
    nj_fits_lock();
    fits_write_tblbytes(s->file, s->n_written + 1, 1, (LONGLONG)s->rows.n, (unsigned char *)s->rows.data,
                        &status);
    write_series(s, &status);
    int rc = status ? nj_fits_failed(s, "cannot be written", status, err) : 0;
    nj_fits_unlock();
    s->n_written += (LONGLONG)s->n_rows;
    s->n_rows = 0;
    s->rows.n = s->values.n = s->waiting.n = 0;
    return rc;
}

static int flush(nj_sink *sink, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    int status = 0, rc = 0;
    if (!s->file) return 0;
    /* looked at first: what is written behind the end of a file that was cut makes it long again */
    if (nj_outfile_look(&s->lock, err) || write_out(s, err)) return -1;
    nj_fits_lock();
    if (fits_flush_file(s->file, &status)) rc = nj_fits_failed(s, "cannot be written", status, err);
    nj_fits_unlock();
    note_end(s);
    s->unflushed = 0;
    return rc;
}

static int write_rows(nj_sink *sink, const nj_rows *rows, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    for (uint32_t k = 0; k < rows->n; k++) {
        char *at = nj_buffer_room(&s->rows, s->row_size);
        if (!at) return nj_fail(err, "%s: out of memory", s->path);
        put_row(s, at, rows, rows->row[k]);
        s->rows.n += s->row_size;
        s->n_rows++;
        if (s->rows.n + s->values.n >= WRITE_AT && write_out(s, err)) return -1;
    }
    return 0;
}

static int commit(nj_sink *sink, const nj_keep *keep, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    /* whichever descriptor: the same file */
    if (nj_outfile_commit(&s->lock, s->n_written, keep, err)) return -1;
    s->commit = (int64_t)keep->commit;
    s->undo = false;
    if (keep->complete) nj_fits_forget(s);
    return 0;
}

static int close_fits(nj_sink *sink, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    int status = 0, rc = s->file && s->begun ? write_out(s, err) : 0;
    nj_fits_lock();
    if (s->file && fits_close_file(s->file, &status) && !rc) rc = nj_fits_failed(s, "closing", status, err);
    nj_fits_unlock();
    if (s->n_cut)
        nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN, "%s: %llu texts were cut", s->path,
                       (unsigned long long)s->n_cut);
    if (s->n_odd > 1)
        nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN,
                       "%s: %llu texts have '?' for characters that FITS lacks", s->path,
                       (unsigned long long)s->n_odd);
    nj_outfile_close(&s->lock, !s->begun, NULL);
    nj_buffer_free(&s->rows);
    nj_buffer_free(&s->values);
    nj_buffer_free(&s->waiting);
    free(s->column);
    free(s->path);
    free(s);
    return rc;
}

static void extent(const nj_sink *sink, int64_t *bytes, int64_t *rows)
{
    const fits_sink *s = (const fits_sink *)sink;
    *bytes = s->lock.end;
    *rows = s->n_written;
}

/* CFITSIO's own buffers, too, are in the file only at a flush. */
static int64_t will_be(const nj_sink *sink)
{
    const fits_sink *s = (const fits_sink *)sink;
    return s->lock.end + (int64_t)(s->rows.n + s->values.n + s->unflushed);
}

const nj_sink_class nj_sink_fits = {
    .scheme = "fits",
    .is_file = true,
    .form = "fits:PATH",
    .doc = "a binary table ALERTS with units; dots in names become '_', the exact names are in TKEYn",
    .open = open_fits,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .commit = commit,
    .look = nj_journal_look,
    .close = close_fits,
    .extent = extent,
    .will_be = will_be,
};
