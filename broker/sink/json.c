#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"

int nj_json_keys_new(nj_json_keys *keys, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    nj_buffer text = { 0 };
    *keys = (nj_json_keys){ .n_fields = n_fields, .start = calloc(n_fields + 1, sizeof *keys->start) };
    if (!keys->start) return nj_fail(err, "out of memory");
    for (uint32_t f = 0; f < n_fields; f++) {
        keys->start[f] = (uint32_t)text.n;
        nj_buffer_text(&text, f ? "," : "{");
        nj_json_text(&text, field[f].key);
        nj_buffer_text(&text, ":");
    }
    keys->start[n_fields] = (uint32_t)text.n;
    keys->text = text.data;
    if (!text.failed) return 0;
    nj_json_keys_free(keys);
    return nj_fail(err, "out of memory");
}

void nj_json_keys_free(nj_json_keys *keys)
{
    free(keys->text);
    free(keys->start);
    *keys = (nj_json_keys){ 0 };
}

enum { NUMBER = 32 }; /* room for any number or "null" */

static inline char *room(nj_buffer *out, size_t n)
{
    return out->cap - out->n > n ? out->data + out->n : nj_buffer_room(out, n);
}

/* Most texts need no escape: one pass that also copies. Gives up (and leaves `out` as it was) at the first byte that does. */
static bool plain_text(nj_buffer *out, const char *text)
{
    size_t n = strlen(text);
    char *p = room(out, n + 2);
    if (!p) return true;
    *p++ = '"';
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') return false;
        p[i] = (char)c;
    }
    p[n] = '"';
    out->n += n + 2;
    return true;
}

static void value(nj_buffer *out, const nj_field *field, const void *data, size_t i)
{
    char *p;
    if (field->type == NJ_F64 || field->type == NJ_F32) { /* the usual case, and a float must not grow digits as a double */
        double v = field->type == NJ_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
        if (isfinite(v)) {
            if (!(p = room(out, NUMBER))) return;
            out->n += (size_t)(field->type == NJ_F64 ? nj_shortest_f64(p, v) : nj_shortest_f32(p, ((const float *)data)[i]));
            return;
        }
    } else {
        nj_cell cell = nj_cell_own(field, data, i);
        if (cell.kind == NJ_CELL_TEXT) {
            if (!plain_text(out, cell.text)) nj_json_text(out, cell.text);
            return;
        }
        if (cell.kind == NJ_CELL_REAL && isfinite(cell.f)) { /* of a mixed column */
            nj_json_f64(out, cell.f);
            return;
        }
        if (cell.kind == NJ_CELL_INT) {
            if (cell.i >= 0 && cell.i <= 9) {
                if (!(p = room(out, NUMBER))) return;
                *p = (char)('0' + cell.i);
                out->n++;
            } else {
                nj_json_i64(out, cell.i);
            }
            return;
        }
    }
    if (!(p = room(out, NUMBER))) return;
    memcpy(p, "null", 4);
    out->n += 4;
}

void nj_json_array(nj_buffer *out, const nj_field *field, const void *data, size_t from, size_t to)
{
    nj_buffer_add(out, "[", 1);
    for (size_t i = from; i < to; i++) {
        if (i > from) nj_buffer_add(out, ",", 1);
        value(out, field, data, i);
    }
    nj_buffer_add(out, "]", 1);
}

void nj_json_row(nj_buffer *out, const nj_json_keys *keys, const nj_rows *rows, uint32_t row)
{
    for (uint32_t f = 0; f < keys->n_fields; f++) {
        const nj_field *field = &rows->field[f];
        const nj_col *col = &rows->value[f];
        size_t n = keys->start[f + 1] - keys->start[f], from, to;
        char *p = room(out, n + NUMBER);
        if (!p) return;
        memcpy(p, keys->text + keys->start[f], n);
        out->n += n;
        if (!nj_cell_range(field, col, row, &from, &to))
            nj_buffer_add(out, "null", 4);
        else if (field->width == 1)
            value(out, field, col->data, from);
        else
            nj_json_array(out, field, col->data, from, to);
    }
    nj_buffer_text(out, keys->n_fields ? "}" : "{}");
}
