/* csv.c - spreadsheets and small scripts take CSV; its rows are made here, the file is that of ndjson.c. */
#include "csv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../batch/cell.h"
#include "json.h"

static void text(nj_buffer *out, const char *value)
{
    size_t n = strlen(value);
    if (n && !strpbrk(value, ",\"\r\n") && value[0] != ' ' && value[n - 1] != ' ') {
        nj_buffer_add(out, value, n);
        return;
    }
    nj_buffer_add(out, "\"", 1);
    for (const char *quote; (quote = strchr(value, '"')); value = quote + 1) {
        nj_buffer_add(out, value, (size_t)(quote - value));
        nj_buffer_add(out, "\"\"", 2);
    }
    nj_buffer_text(out, value);
    nj_buffer_add(out, "\"", 1);
}

static void real(nj_buffer *out, const nj_field *field, nj_cell cell)
{
    char number[32];
    if (isinf(cell.f))
        nj_buffer_text(out, cell.f > 0 ? "inf" : "-inf");
    else
        nj_buffer_add(out, number,
                      (size_t)(field->type == NJ_F32 ? nj_shortest_f32(number, (float)cell.f)
                                                     : nj_shortest_f64(number, cell.f)));
}

static void series(nj_buffer *out, const nj_field *field, const void *data, size_t from, size_t to)
{
    nj_buffer list = { 0 };
    nj_json_array(&list, NULL, field, data, from, to);
    out->failed |= list.failed;
    if (!list.failed) text(out, list.data);
    nj_buffer_free(&list);
}

void nj_csv_names(nj_buffer *out, const nj_field *field, uint32_t n_fields)
{
    for (uint32_t f = 0; f < n_fields; f++) {
        if (f) nj_buffer_add(out, ",", 1);
        text(out, field[f].key);
    }
}

void nj_csv_line(nj_buffer *out, const nj_rows *rows, uint32_t row)
{
    for (uint32_t f = 0; f < rows->n_fields; f++) {
        const nj_field *field = &rows->field[f];
        size_t from, to;
        if (f) nj_buffer_add(out, ",", 1);
        if (!nj_cell_range(field, &rows->value[f], row, &from, &to)) continue;
        if (field->width != 1) {
            series(out, field, rows->value[f].data, from, to);
            continue;
        }
        nj_cell cell = nj_cell_get(field, rows->value[f].data, from);
        if (cell.kind == NJ_CELL_INT) nj_json_i64(out, cell.i);
        if (cell.kind == NJ_CELL_REAL) real(out, field, cell);
        if (cell.kind == NJ_CELL_TEXT) text(out, cell.text);
    }
}

off_t nj_csv_whole(const nj_outfile *file, nj_error *err)
{
    char block[65536];
    off_t end = 0, at = 0;
    bool quoted = false;
    for (ssize_t got; at < file->size; at += got) {
        got = pread(file->fd, block, sizeof block, at);
        if (got <= 0)
            return nj_fail(err, "%s: cannot be read: %s", file->path,
                           got < 0 ? strerror(errno) : "short read");
        for (ssize_t i = 0; i < got; i++) {
            if (block[i] == '"') quoted = !quoted;
            if (block[i] == '\n' && !quoted) end = at + i + 1;
        }
    }
    return end;
}
