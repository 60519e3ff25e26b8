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
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/filelock.h"
#include "../image/fitslock.h"
#include "../base/log.h"
#include "../batch/cell.h"
#include "classes.h"
#include "file.h"

enum { WRITE_AT = 4 << 20 }; /* bytes of rows that are written before the next flush */

typedef struct fits_conf {
    int64_t text_width;
} fits_conf;

const nj_param nj_fits_settings[] = {
    { "text_width", NJ_I64, "64", offsetof(fits_conf, text_width), 1, 4096, "byte",
      "width of text columns; longer text is cut" },
    { 0 },
};

typedef struct column {
    uint32_t repeat; /* values per row; 0 = a series, by descriptor */
    uint32_t width;  /* bytes per value */
    char format[24]; /* TFORM */
    char name[72];   /* TTYPE */
} column;

/* Values of a series that wait for their row. */
typedef struct series {
    uint32_t column; /* index of the field */
    uint64_t row;    /* from 1, in the buffer */
    size_t at;       /* in the sink's `values` */
    uint32_t n;
} series;

typedef struct fits_sink {
    nj_sink base;
    char *path;
    fits_conf conf;
    nj_outfile lock; /* the file, open for its lock: cfitsio keeps its own descriptor to itself */
    bool append, begun, sync;
    fitsfile *file;
    const nj_field *field;
    uint32_t n_fields;
    column *column;
    size_t row_size;
    LONGLONG n_written;              /* rows in the table */
    uint64_t n_rows;                 /* rows in the buffer */
    nj_buffer rows, values, waiting; /* waiting: series[] */
    uint64_t n_cut, n_odd;
} fits_sink;

static int failed(const fits_sink *s, const char *doing, int status, nj_error *err)
{
    char text[FLEN_STATUS] = "", detail[FLEN_ERRMSG] = "";
    fits_get_errstatus(status, text);
    fits_read_errmsg(detail);
    fits_clear_errmsg();
    return nj_fail(err, "%s: %s: %s%s%s", s->path, doing, text, *detail ? ": " : "", detail);
}

/* ---- columns --------------------------------------------------------------------------------- */

/* TTYPE: letters, digits and '_' only, as the standard recommends;
 * a name that is taken (case does not count) gets a number. */
static void name_column(fits_sink *s, uint32_t f)
{
    char *name = s->column[f].name;
    size_t n = 0;
    for (const char *p = s->field[f].key; *p && n < 60; p++) {
        char lower = (char)(*p | 32);
        if (p[0] == '[' && p[1] == ']')
            p++;
        else
            name[n++] = (lower >= 'a' && lower <= 'z') || (*p >= '0' && *p <= '9') ? *p : '_';
    }
    name[n] = 0;
    for (uint32_t k = 0, number = 2; k < f; k++) {
        if (strcasecmp(name, s->column[k].name)) continue;
        snprintf(name + n, sizeof s->column[f].name - n, "_%u", number++);
        k = (uint32_t)-1; /* again from the first */
    }
}

static size_t text_width(const fits_sink *s, const nj_field *field)
{
    size_t widest = 1;
    if (field->text != nj_reason_name) return (size_t)s->conf.text_width;
    for (int i = 0; i < NJ_REASONS; i++)
        if (strlen(nj_reason_name[i]) > widest) widest = strlen(nj_reason_name[i]);
    return widest;
}

static int define_columns(fits_sink *s, nj_error *err)
{
    static const char code[] = {
        [NJ_U8] = 'B', [NJ_I32] = 'J', [NJ_I64] = 'K', [NJ_F32] = 'E', [NJ_F64] = 'D'
    };
    s->column = calloc(s->n_fields + 1, sizeof *s->column);
    if (!s->column) return nj_fail(err, "%s: out of memory", s->path);
    if (s->n_fields == 0 || s->n_fields > 999)
        return nj_fail(err, "%s: %u columns; a FITS table has 1 to 999", s->path, s->n_fields);
    for (uint32_t f = 0; f < s->n_fields; f++) {
        const nj_field *field = &s->field[f];
        column *c = &s->column[f];
        bool text = nj_field_kind(field) == NJ_CELL_TEXT;
        name_column(s, f);
        c->repeat = field->width;
        c->width = (uint32_t)(text ? text_width(s, field) : nj_type_size(field->type));
        if (text && !field->width)
            return nj_fail(err, "%s: %s is a series of texts, which the fits sink cannot write", s->path,
                           field->key);
        if (text && field->width > 1)
            snprintf(c->format, sizeof c->format, "%uA%u", c->width * c->repeat, c->width);
        else if (text)
            snprintf(c->format, sizeof c->format, "%uA", c->width);
        else if (field->width)
            snprintf(c->format, sizeof c->format, "%u%c", c->repeat, code[field->type]);
        else
            snprintf(c->format, sizeof c->format, "1P%c", code[field->type]);
        s->row_size += field->width ? (size_t)c->repeat * c->width : 8;
    }
    return 0;
}

/* ---- a new file ------------------------------------------------------------------------------ */

static void describe_columns(fits_sink *s, int *status)
{
    char key[16];
    for (uint32_t f = 0; f < s->n_fields; f++) {
        const nj_field *field = &s->field[f];
        unsigned n = f + 1;
        snprintf(key, sizeof key, "TKEY%u", n);
        fits_write_key_longstr(s->file, key, field->key, "name in all other outputs", status);
        if (field->doc && *field->doc) {
            snprintf(key, sizeof key, "TCOMM%u", n);
            fits_write_key_longstr(s->file, key, field->doc, NULL, status);
        }
        if (nj_field_kind(field) != NJ_CELL_INT) continue;
        LONGLONG null = field->type == NJ_U8 ? NJ_NO_U8 : field->type == NJ_I32 ? NJ_NO_I32 : NJ_NO_I64;
        /* astropy (8.0) cannot read a table that has TNULL for a column of variable length */
        snprintf(key, sizeof key, s->column[f].repeat ? "TNULL%u" : "NJNUL%u", n);
        fits_write_key(s->file, TLONGLONG, key, &null, "no answer", status);
    }
}

/* The standard's name of a unit; ours where it has the same. */
static const char *fits_unit(const char *unit)
{
    static const char *const other[][2] = {
        { "1", "" }, { "day", "d" }, { "mag/day", "mag/d" }, { "DN", "adu" }
    };
    for (size_t i = 0; unit && i < sizeof other / sizeof *other; i++)
        if (!strcmp(unit, other[i][0])) return other[i][1];
    return unit ? unit : "";
}

static void create_table(fits_sink *s, int *status)
{
    char **name = calloc(3 * (size_t)s->n_fields, sizeof *name);
    if (!name) {
        *status = MEMORY_ALLOCATION;
        return;
    }
    char **format = name + s->n_fields, **unit = format + s->n_fields;
    for (uint32_t f = 0; f < s->n_fields; f++) {
        name[f] = s->column[f].name;
        format[f] = s->column[f].format;
        unit[f] = (char *)fits_unit(s->field[f].unit);
    }
    fits_create_img(s->file, BYTE_IMG, 0, NULL, status); /* the primary HDU holds the provenance */
    fits_set_hdrsize(s->file, 400, status);              /* room for that of later runs */
    fits_create_tbl(s->file, BINARY_TBL, 0, (int)s->n_fields, name, format, unit, "ALERTS", status);
    describe_columns(s, status);
    fits_set_hdustruc(s->file, status);
    free(name);
}

/* NJKEY1 = 'run', NJVAL1 = '1', NJKEY2 = 'nightjar.version', NJVAL2 = ... in the primary header. */
static void write_pair(fits_sink *s, unsigned *n, const char *key, const char *value, int *status)
{
    char card[16];
    ++*n;
    snprintf(card, sizeof card, "NJKEY%u", *n);
    fits_write_key_longstr(s->file, card, key, NULL, status);
    snprintf(card, sizeof card, "NJVAL%u", *n);
    fits_write_key_longstr(s->file, card, value ? value : "", NULL, status);
}

static void write_metadata(fits_sink *s, const nj_metadata *metadata, int *status)
{
    char card[16], *value, number[16];
    unsigned n = 0, runs = 1;
    fits_movabs_hdu(s->file, 1, NULL, status);
    for (int missing = 0;; n++) {
        snprintf(card, sizeof card, "NJKEY%u", n + 1);
        if (*status || fits_read_key_longstr(s->file, card, &value, NULL, &missing)) break;
        runs += !strcmp(value, "run");
        fits_free_memory(value, &missing);
    }
    fits_clear_errmsg(); /* that there is no further one */
    if (n == 0) fits_write_key_longwarn(s->file, status);
    snprintf(number, sizeof number, "%u", runs);
    write_pair(s, &n, "run", number, status);
    for (; metadata && metadata->key; metadata++) write_pair(s, &n, metadata->key, metadata->value, status);
}

/* ---- a file to continue ---------------------------------------------------------------------- */

static int check_table(fits_sink *s, nj_error *err)
{
    int status = 0, n = 0;
    char name[16], value[FLEN_VALUE], format[FLEN_VALUE];
    if (fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status))
        return failed(s, "has no table ALERTS to continue", status, err);
    fits_get_num_cols(s->file, &n, &status);
    for (uint32_t f = 0; f < s->n_fields && (int)f < n && !status; f++) {
        snprintf(name, sizeof name, "TTYPE%u", f + 1);
        fits_read_key(s->file, TSTRING, name, value, NULL, &status);
        snprintf(name, sizeof name, "TFORM%u", f + 1);
        fits_read_key(s->file, TSTRING, name, format, NULL, &status);
        /* cfitsio adds the longest length to the format of a series: 1PE(88) */
        if (!status && (strcmp(value, s->column[f].name) ||
                        strncmp(format, s->column[f].format, strlen(s->column[f].format))))
            return nj_fail(
                err,
                "%s: has the column %s (%s) where this run writes %s (%s); --append needs the same columns",
                s->path, value, format, s->column[f].name, s->column[f].format);
    }
    if (status) return failed(s, "cannot be read", status, err);
    if (n != (int)s->n_fields)
        return nj_fail(err, "%s: has %d columns, this run writes %u; --append needs the same columns",
                       s->path, n, s->n_fields);
    return 0;
}

/* A killed run leaves bytes behind the last row that the header knows of,
 * or a header that knows of rows not yet there.
 * The table is the last HDU: the file is brought to the length that its header says,
 * and rows that had not been there go. */
static int repair_tail(fits_sink *s, nj_error *err)
{
    int status = 0, n_hdus = 0, here = 0;
    LONGLONG start = 0, end = 0, rows = 0, row_size = 0, heap = 0;
    struct stat st;
    fits_get_num_hdus(s->file, &n_hdus, &status);
    fits_get_hdu_num(s->file, &here);
    fits_get_hduaddrll(s->file, NULL, &start, &end, &status);
    fits_get_num_rowsll(s->file, &rows, &status);
    fits_read_key(s->file, TLONGLONG, "NAXIS1", &row_size, NULL, &status);
    fits_read_key(s->file, TLONGLONG, "PCOUNT", &heap, NULL, &status);
    if (status) return failed(s, "cannot be read", status, err);
    if (here != n_hdus)
        return nj_fail(err, "%s: something follows the table ALERTS; nightjar continues only its own files",
                       s->path);
    if (stat(s->path, &st)) return nj_fail(err, "%s: %s", s->path, strerror(errno));
    if (st.st_size == end) return 0;
    LONGLONG there = st.st_size < start ? 0 : (st.st_size - start) / (row_size ? row_size : 1);
    if (there < rows && heap)
        return nj_fail(err, "%s: its end is missing, and with it values of series; it cannot be continued",
                       s->path);
    fitsfile *file = s->file;
    s->file = NULL; /* cfitsio frees it even when closing fails, on a full disk for one */
    if (fits_close_file(file, &status)) return failed(s, "cannot be mended", status, err);
    if (truncate(s->path, (off_t)end))
        return nj_fail(err, "%s: the torn end cannot be mended: %s", s->path, strerror(errno));
    if (fits_open_diskfile(&s->file, s->path, READWRITE, &status) ||
        fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status))
        return failed(s, "cannot be opened", status, err);
    if (there < rows && fits_delete_rows(s->file, there + 1, rows - there, &status))
        return failed(s, "torn rows", status, err);
    return 0;
}

static int begin_append(fits_sink *s, const nj_metadata *metadata, nj_error *err)
{
    int status = 0;
    if (fits_open_diskfile(&s->file, s->path, READWRITE, &status))
        return failed(s, "cannot be opened", status, err);
    if (check_table(s, err) || repair_tail(s, err)) return -1;
    write_metadata(s, metadata, &status);
    fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status);
    fits_get_num_rowsll(s->file, &s->n_written, &status);
    return status ? failed(s, "cannot be written", status, err) : 0;
}

/* cfitsio wants to make its own file. It is made beside the empty one by which open() took the name, locked,
 * and put in its place by a rename: at no moment is the name free for another run. */
static int take_place(fits_sink *s, nj_error *err)
{
    char *real = realpath(s->path, NULL), fresh[4096]; /* a link stays a link */
    int status = 0, fd = -1, rc = 0;
    if (!real || snprintf(fresh, sizeof fresh, "%s.new", real) >= (int)sizeof fresh) {
        rc = nj_fail(err, "%s: %s", s->path, real ? "the name is too long" : strerror(errno));
        free(real);
        return rc;
    }
    unlink(fresh); /* of a run that was killed just here */
    if (fits_create_diskfile(&s->file, fresh, &status)) {
        rc = failed(s, "cannot be written", status, err);
    } else if ((fd = open(fresh, O_RDWR | O_CLOEXEC)) < 0) {
        rc = nj_fail(err, "%s: cannot be written: %s", s->path, strerror(errno));
    } else {
        rc = nj_file_lock(fd, s->path, err);
        if (!rc && rename(fresh, real))
            rc = nj_fail(err, "%s: cannot be written: %s", s->path, strerror(errno));
    }
    if (rc) unlink(fresh);
    free(real);
    if (fd >= 0) {
        close(s->lock.fd);
        s->lock.fd = fd;
    }
    return rc;
}

static int begin_new(fits_sink *s, const nj_metadata *metadata, nj_error *err)
{
    int status = 0;
    if (take_place(s, err)) return -1;
    create_table(s, &status);
    write_metadata(s, metadata, &status);
    fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status);
    fits_flush_file(s->file, &status);
    return status ? failed(s, "cannot be written", status, err) : 0;
}

/* ---- the sink -------------------------------------------------------------------------------- */

static int close_fits(nj_sink *sink, nj_error *err);

static nj_sink *open_fits(const nj_sink_args *args, nj_error *err)
{
    fits_sink *s = calloc(1, sizeof *s);
    const char *dot = strrchr(args->target, '.');
    if (!s) {
        nj_fail(err, "fits: out of memory");
        return NULL;
    }
    s->base.class = &nj_sink_fits;
    s->sync = args->sync;
    s->lock.fd = -1;
    s->path = strdup(args->target);
    if (!s->path) nj_fail(err, "fits: out of memory");
    if (!s->path || nj_settings_apply(args->settings, "sink.fits", nj_fits_settings, NULL, &s->conf, err))
        goto bad;
    if (dot && (!strcasecmp(dot, ".gz") || !strcasecmp(dot, ".z") || !strcasecmp(dot, ".bz2"))) {
        nj_fail(err, "%s: the fits sink writes no compressed files", s->path);
        goto bad;
    }
    if (nj_outfile_open(&s->lock, args->target, args->mode, err) || nj_outfile_must_be_plain(&s->lock, err))
        goto bad;
    s->append = s->lock.size > 0; /* only --append leaves something there */
    return &s->base;
bad:
    close_fits(&s->base, NULL);
    return NULL;
}

static int begin(nj_sink *sink, const nj_field *field, uint32_t n_fields, const nj_metadata *metadata,
                 nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    s->field = field;
    s->n_fields = n_fields;
    if (define_columns(s, err)) return -1;
    nj_fits_lock();
    fits_clear_errmsg();
    int rc = s->append ? begin_append(s, metadata, err) : begin_new(s, metadata, err);
    nj_fits_unlock();
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
            nj_log(NJ_LOG_WARN, "%s: texts of column %s are cut to %zu bytes ([sink.fits] text_width)",
                   s->path, field->key, width);
        n = width;
    }
    bool odd = false;
    for (size_t k = 0; k < n; k++) { /* FITS texts are ASCII */
        bool plain = cell.text[k] >= 0x20 && cell.text[k] < 0x7f;
        to[k] = plain ? cell.text[k] : '?';
        odd |= !plain;
    }
    if (odd && s->n_odd++ == 0)
        nj_log(NJ_LOG_WARN, "%s: FITS has only ASCII: other characters of column %s are written as '?'",
               s->path, field->key);
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

static int write_out(fits_sink *s, nj_error *err)
{
    int status = 0;
    if (s->rows.failed || s->values.failed || s->waiting.failed)
        return nj_fail(err, "%s: out of memory", s->path);
    if (!s->n_rows) return 0;
    nj_fits_lock();
    fits_write_tblbytes(s->file, s->n_written + 1, 1, (LONGLONG)s->rows.n, (unsigned char *)s->rows.data,
                        &status);
    write_series(s, &status);
    int rc = status ? failed(s, "cannot be written", status, err) : 0;
    nj_fits_unlock();
    s->n_written += (LONGLONG)s->n_rows;
    s->n_rows = 0;
    s->rows.n = s->values.n = s->waiting.n = 0;
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

static int sync_file(const fits_sink *s, nj_error *err)
{
    FILE *f = fopen(s->path, "r"); /* cfitsio keeps its own descriptor to itself;
                                    * the file is what is synced */
    int rc = !f || fdatasync(fileno(f)) ? nj_fail(err, "%s: fdatasync: %s", s->path, strerror(errno)) : 0;
    if (f) fclose(f);
    return rc;
}

static int flush(nj_sink *sink, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    int status = 0, rc = 0;
    if (!s->file) return 0;
    if (write_out(s, err)) return -1;
    nj_fits_lock();
    if (fits_flush_file(s->file, &status)) rc = failed(s, "cannot be written", status, err);
    nj_fits_unlock();
    return !rc && s->sync ? sync_file(s, err) : rc;
}

static int close_fits(nj_sink *sink, nj_error *err)
{
    fits_sink *s = (fits_sink *)sink;
    int status = 0, rc = s->file && s->begun ? write_out(s, err) : 0;
    nj_fits_lock();
    if (s->file && fits_close_file(s->file, &status) && !rc) rc = failed(s, "closing", status, err);
    nj_fits_unlock();
    if (s->n_cut) nj_log(NJ_LOG_WARN, "%s: %llu texts were cut", s->path, (unsigned long long)s->n_cut);
    if (s->n_odd > 1)
        nj_log(NJ_LOG_WARN, "%s: %llu texts have '?' for characters that FITS lacks", s->path,
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

const nj_sink_class nj_sink_fits = {
    .scheme = "fits",
    .is_file = true,
    .form = "fits:PATH",
    .doc = "a binary table ALERTS with units; dots in names become '_', the exact names are in TKEYn",
    .open = open_fits,
    .begin = begin,
    .write = write_rows,
    .flush = flush,
    .close = close_fits,
};
