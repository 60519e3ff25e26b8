/* missing_tables.c - rows of Avro and FITS outputs that lack a module: their libraries are of no use to the
 * rest of --missing. */
#include <avro.h>
#include <errno.h>
#include <fitsio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "missing.h"

/* ---- Avro -------------------------------------------------------------------------------------- */

/* The value of a union's branch; anything else is itself. */
static avro_value_t branch_of(const avro_value_t *value)
{
    avro_value_t v = *value, inner;
    while (avro_value_get_type(&v) == AVRO_UNION && avro_value_get_current_branch(&v, &inner) == 0) v = inner;
    return v;
}

/* Keys with dots are nested records: `dear.reason` is the field `reason` of `dear`. */
static bool is_shed(const avro_value_t *record)
{
    size_t n = 0;
    avro_value_get_size(record, &n);
    for (size_t i = 0; i < n; i++) {
        avro_value_t field;
        const char *name = NULL, *text = NULL;
        size_t size = 0;
        if (avro_value_get_by_index(record, i, &field, &name)) continue;
        avro_value_t v = branch_of(&field);
        avro_type_t type = avro_value_get_type(&v);
        if (type == AVRO_RECORD && is_shed(&v)) return true;
        if (type == AVRO_STRING && name && !strcmp(name, "reason") &&
            avro_value_get_string(&v, &text, &size) == 0 && text && !strcmp(text, "shed"))
            return true;
    }
    return false;
}

static int take_row(const nj_ids *to, const avro_value_t *row, uint64_t number)
{
    const char *survey = NULL;
    size_t size;
    avro_value_t field;
    int64_t id;
    if (to->shed && !is_shed(row)) return 0;
    if (avro_value_get_by_name(row, "candid", &field, NULL))
        return nj_fail(to->err, "%s %s: rows have no candid", to->option, to->path);
    avro_value_t v = branch_of(&field);
    if (avro_value_get_type(&v) != AVRO_INT64 || avro_value_get_long(&v, &id))
        return nj_fail(to->err, "%s %s: row %llu has no candid", to->option, to->path,
                       (unsigned long long)number);
    if (!avro_value_get_by_name(row, "survey", &field, NULL)) {
        v = branch_of(&field);
        if (avro_value_get_type(&v) == AVRO_STRING) avro_value_get_string(&v, &survey, &size);
    }
    return to->add(to->opaque, id, survey) ? nj_fail(to->err, "out of memory") : 0;
}

int nj_ids_avro(const nj_ids *to)
{
    const char *path = to->path;
    nj_error *err = to->err;
    avro_file_reader_t file;
    if (avro_file_reader(path, &file)) return nj_fail(err, "%s %s: %s", to->option, path, avro_strerror());
    avro_schema_t schema = avro_file_reader_get_writer_schema(file);
    avro_value_iface_t *class = schema ? avro_generic_class_from_schema(schema) : NULL;
    avro_value_t row;
    int rc = 0, read = 0;
    if (!class || !is_avro_record(schema) || avro_generic_value_new(class, &row)) {
        rc = nj_fail(err, "%s %s: no rows of an output", to->option, path);
    } else {
        for (uint64_t number = 1; rc == 0 && (read = avro_file_reader_read_value(file, &row)) == 0;
             number++) {
            rc = take_row(to, &row, number);
            avro_value_reset(&row);
        }
        if (rc == 0 && read != EOF) /* a run is under way, or was broken off */
            nj_log(NJ_LOG_WARN, "%s %s: it ends within a block, which is skipped: %s", to->option, path,
                   avro_strerror());
        avro_value_decref(&row);
    }
    if (class) avro_value_iface_decref(class);
    if (schema) avro_schema_decref(schema);
    avro_file_reader_close(file);
    return rc;
}

/* ---- FITS -------------------------------------------------------------------------------------- */

enum { ROWS = 1024, COLUMNS = 999 };

typedef struct table {
    fitsfile *file;
    int status, candid, survey, n;
    long survey_width;
    int reason[COLUMNS]; /* [n] numbers of columns */
    size_t width;        /* of the widest */
    char *text;          /* [ROWS][width + 1] */
} table;

/* The exact name of a column is in TKEYn. */
static void find_columns(table *t)
{
    int n = 0;
    fits_movnam_hdu(t->file, BINARY_TBL, (char *)"ALERTS", 0, &t->status);
    fits_get_num_cols(t->file, &n, &t->status);
    for (int c = 1; c <= n && c <= COLUMNS && !t->status; c++) {
        char name[16], *key = NULL;
        int type, none = 0;
        long repeat, bytes;
        snprintf(name, sizeof name, "TKEY%d", c);
        if (fits_read_key_longstr(t->file, name, &key, NULL, &none)) continue;
        size_t size = strlen(key);
        if (!strcmp(key, "candid")) t->candid = c;
        if (!strcmp(key, "survey") && fits_get_coltype(t->file, c, &type, &repeat, &bytes, &t->status) == 0 &&
            type == TSTRING) {
            t->survey = c;
            t->survey_width = repeat;
        }
        if (size > 7 && !strcmp(key + size - 7, ".reason") &&
            fits_get_coltype(t->file, c, &type, &repeat, &bytes, &t->status) == 0 && type == TSTRING) {
            t->reason[t->n++] = c;
            if ((size_t)repeat > t->width) t->width = (size_t)repeat;
        }
        fits_free_memory(key, &none);
    }
    if (t->survey && (size_t)t->survey_width > t->width) t->width = (size_t)t->survey_width;
    fits_clear_errmsg();
}

static int take_rows(const nj_ids *to, table *t, LONGLONG from, LONGLONG n)
{
    char *text[ROWS];
    LONGLONG id[ROWS];
    bool shed[ROWS] = { false }, any = false;
    for (LONGLONG k = 0; k < n; k++) text[k] = t->text + (size_t)k * (t->width + 1);
    for (LONGLONG k = 0; k < n && !to->shed; k++) any = shed[k] = true;
    for (int i = 0; to->shed && i < t->n && !t->status; i++) {
        fits_read_col_str(t->file, t->reason[i], from, 1, n, (char *)"", text, NULL, &t->status);
        for (LONGLONG k = 0; k < n && !t->status; k++) any |= shed[k] |= !strcmp(text[k], "shed");
    }
    if (!any || t->status) return 0;
    if (!t->candid) return nj_fail(to->err, "%s %s: rows have no candid", to->option, to->path);
    fits_read_col(t->file, TLONGLONG, t->candid, from, 1, n, NULL, id, NULL, &t->status);
    if (t->survey && !t->status) /* the reasons that were in these texts are read */
        fits_read_col_str(t->file, t->survey, from, 1, n, (char *)"", text, NULL, &t->status);
    for (LONGLONG k = 0; k < n && !t->status; k++)
        if (shed[k] && to->add(to->opaque, id[k], t->survey && *text[k] ? text[k] : NULL))
            return nj_fail(to->err, "out of memory");
    return 0;
}

int nj_ids_fits(const nj_ids *to)
{
    const char *path = to->path;
    nj_error *err = to->err;
    table *t = calloc(1, sizeof *t);
    LONGLONG n = 0;
    char why[FLEN_STATUS];
    int rc = 0, ignored = 0;
    if (!t) return nj_fail(err, "out of memory");
    if (fits_open_diskfile(&t->file, path, READONLY, &t->status) == 0) find_columns(t);
    fits_get_num_rowsll(t->file, &n, &t->status);
    if (!t->status && (t->n || !to->shed) && !(t->text = malloc(ROWS * (t->width + 1))))
        rc = nj_fail(err, "out of memory");
    for (LONGLONG at = 1; at <= n && (t->n || !to->shed) && !rc && !t->status; at += ROWS)
        rc = take_rows(to, t, at, n - at + 1 < ROWS ? n - at + 1 : ROWS);
    if (!rc && t->status) {
        fits_get_errstatus(t->status, why);
        rc = nj_fail(err, "%s %s: %s", to->option, path, why);
    }
    fits_clear_errmsg();
    if (t->file) fits_close_file(t->file, &ignored);
    free(t->text);
    free(t);
    return rc;
}
