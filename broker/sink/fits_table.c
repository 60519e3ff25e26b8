/* fits_table.c - a FITS table is defined, created and continued here, apart from the rows that go into it. */
#include "fits_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/filelock.h"
#include "../base/log.h"
#include "../batch/cell.h"

int nj_fits_failed(const fits_sink *s, const char *doing, int status, nj_error *err)
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

int nj_fits_columns(fits_sink *s, nj_error *err)
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

/* Bytes of both headers, or more. */
static off_t header_bytes(const fits_sink *s, const nj_metadata *metadata)
{
    const size_t text = 60; /* of a card, at least */
    size_t cards = 440;
    for (; metadata && metadata->key; metadata++)
        cards += 4 + (strlen(metadata->key) + (metadata->value ? strlen(metadata->value) : 0)) / text;
    for (uint32_t f = 0; f < s->n_fields; f++)
        cards += 10 + (strlen(s->field[f].key) + (s->field[f].doc ? strlen(s->field[f].doc) : 0)) / text;
    return (off_t)cards * 80 + 4 * NJ_FITS_BLOCK;
}

/* ---- a file to continue ---------------------------------------------------------------------- */

static int check_table(fits_sink *s, nj_error *err)
{
    int status = 0, n = 0;
    char name[16], value[FLEN_VALUE], format[FLEN_VALUE];
    if (fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status))
        return nj_fits_failed(s, "has no table ALERTS to continue", status, err);
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
    if (status) return nj_fits_failed(s, "cannot be read", status, err);
    if (n != (int)s->n_fields)
        return nj_fail(err, "%s: has %d columns, this run writes %u; --append needs the same columns",
                       s->path, n, s->n_fields);
    return 0;
}

/* A killed run leaves bytes behind the last row that the header counts,
 * or a header that counts rows not yet there.
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
    if (status) return nj_fits_failed(s, "cannot be read", status, err);
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
    if (fits_close_file(file, &status)) return nj_fits_failed(s, "cannot be repaired", status, err);
    if (truncate(s->path, (off_t)end))
        return nj_fail(err, "%s: the incomplete end cannot be repaired: %s", s->path, strerror(errno));
    if (fits_open_diskfile(&s->file, s->path, READWRITE, &status) ||
        fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status))
        return nj_fits_failed(s, "cannot be opened", status, err);
    if (there < rows && fits_delete_rows(s->file, there + 1, rows - there, &status))
        return nj_fits_failed(s, "torn rows", status, err);
    return 0;
}

static void note_places(fits_sink *s, int *status)
{
    LONGLONG end;
    fits_get_hduaddrll(s->file, &s->header, &s->data, &end, status);
    for (uint32_t f = 0; f < s->n_fields; f++) s->series |= s->column[f].repeat == 0;
}

int nj_fits_continue(fits_sink *s, const nj_metadata *metadata, nj_error *err)
{
    int status = 0;
    const nj_mark *mark = s->args.mark && s->args.mark->kind == NJ_MARK_THERE ? s->args.mark : NULL;
    if (mark && nj_fits_back(s, mark, err)) return -1;
    if (fits_open_diskfile(&s->file, s->path, READWRITE, &status))
        return nj_fits_failed(s, "cannot be opened", status, err);
    if (check_table(s, err) || (!mark && repair_tail(s, err))) return -1;
    fits_get_num_rowsll(s->file, &s->n_written, &status);
    note_places(s, &status);
    struct stat st;
    if (!fits_flush_file(s->file, &status) && !fstat(s->lock.fd, &st)) s->lock.end = st.st_size;
    if (nj_outfile_begin(&s->lock, &s->args, s->n_written, err)) return -1;
    if (!mark || !s->args.known) {
        if (nj_outfile_reserve(&s->lock, header_bytes(s, metadata), err)) return -1;
        write_metadata(s, metadata, &status);
    }
    fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status);
    fits_get_num_rowsll(s->file, &s->n_written, &status);
    return status ? nj_fits_failed(s, "cannot be written", status, err) : 0;
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
        rc = nj_fits_failed(s, "cannot be written", status, err);
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

int nj_fits_create(fits_sink *s, const nj_metadata *metadata, nj_error *err)
{
    int status = 0;
    if (take_place(s, err) || nj_outfile_reserve(&s->lock, header_bytes(s, metadata), err)) return -1;
    create_table(s, &status);
    write_metadata(s, metadata, &status);
    fits_movnam_hdu(s->file, BINARY_TBL, "ALERTS", 0, &status);
    fits_flush_file(s->file, &status);
    note_places(s, &status);
    return status ? nj_fits_failed(s, "cannot be written", status, err) : 0;
}
