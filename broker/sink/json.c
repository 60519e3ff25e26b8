/* json.c - ndjson and Kafka outputs must have the same JSON, so one function writes it. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../batch/cell.h"

static nj_log_limit said; /* an output of several files says it for each */

/* Each module has a column of reasons, and there are few: they are quoted once, not in each row. */
static void quote_reasons(nj_json_keys *keys, nj_buffer *scratch)
{
    for (int k = 0; k < NJ_REASONS; k++) {
        scratch->n = 0;
        nj_json_text(scratch, nj_reason_name[k]);
        nj_json_word *w = &keys->reason[k];
        w->n = 0; /* it is written as other texts */
        if (scratch->failed || scratch->n > sizeof w->text) continue;
        w->n = (uint8_t)scratch->n;
        memcpy(w->text, scratch->data, scratch->n);
    }
}

int nj_json_keys_new(nj_json_keys *keys, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    nj_buffer text = { 0 };
    keys->field = field;
    keys->n_fields = n_fields;
    keys->start = calloc(n_fields + 1, sizeof *keys->start);
    keys->n_infinite = calloc(n_fields + 1, sizeof *keys->n_infinite);
    if (!keys->start || !keys->n_infinite) return nj_fail(err, "out of memory");
    quote_reasons(keys, &text);
    text.n = 0;
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
    for (uint32_t f = 0; keys->n_infinite && f < keys->n_fields; f++)
        if (keys->n_infinite[f] > 1)
            nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN, "%s: %llu values of %s are infinite",
                           keys->what, (unsigned long long)keys->n_infinite[f], keys->field[f].key);
    free(keys->start);
    free(keys->n_infinite);
    *keys = (nj_json_keys){ 0 };
}

int nj_json_infinity(nj_json_keys *keys, const char *what, const char *word, nj_error *err)
{
    keys->what = what;
    keys->no_infinity = !strcmp(word, "null");
    if (keys->no_infinity || !strcmp(word, "number")) return 0;
    return nj_fail(err, "[sink.%s] infinity = %s: must be number or null", what, word);
}

/* JSON has no word for it. 1e999 is a number by its grammar, too large for a double,
 * and most readers make it infinite again. */
static __attribute__((cold, noinline)) void infinity(nj_buffer *out, nj_json_keys *keys,
                                                     const nj_field *field, double v)
{
    nj_buffer_text(out, keys && keys->no_infinity ? "null" : v > 0 ? "1e999" : "-1e999");
    if (!keys || keys->n_infinite[field - keys->field]++) return;
    if (keys->no_infinity)
        nj_log_limited(&said, NJ_SINK_LINES, NJ_LOG_WARN, "%s: a value of %s is infinite, written as null",
                       keys->what, field->key);
    else
        nj_log_limited(
            &said, NJ_SINK_LINES, NJ_LOG_WARN,
            "%s: a value of %s is infinite, written as 1e999: Python, pandas, DuckDB and JavaScript read "
            "infinity; for strict readers (pyarrow, polars) use -D sink.%s.infinity=null",
            keys->what, field->key, keys->what);
}

json_t *nj_json_read_row(char *line, size_t n)
{
    bool in_text = false;
    for (size_t i = 0; i + 5 <= n; i++) {
        if (line[i] == '\\' && in_text)
            i++;
        else if (line[i] == '"')
            in_text = !in_text;
        else if (!in_text && i + 6 <= n && !memcmp(line + i, "-1e999", 6))
            memcpy(line + i, "\"-inf\"", 6), i += 5;
        else if (!in_text && !memcmp(line + i, "1e999", 5))
            memcpy(line + i, "\"inf\"", 5), i += 4;
    }
    return json_loadb(line, n, JSON_ALLOW_NUL, NULL);
}

enum { NUMBER = 32 }; /* room for any number or "null" */

static inline char *room(nj_buffer *out, size_t n)
{
    return out->cap - out->n > n ? out->data + out->n : nj_buffer_room(out, n);
}

/* Most texts need no escape: one pass that also copies.
 * Gives up (and leaves `out` as it was) at the first byte that does. */
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

static void value(nj_buffer *out, nj_json_keys *keys, const nj_field *field, const void *data, size_t i)
{
    char *p;
    if (field->type == NJ_F64 || field->type == NJ_F32) { /* the usual case, and a float must not
                                                           * grow digits as a double */
        double v = field->type == NJ_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
        if (isfinite(v)) {
            if (!(p = room(out, NUMBER))) return;
            out->n += (size_t)(field->type == NJ_F64 ? nj_shortest_f64(p, v)
                                                     : nj_shortest_f32(p, ((const float *)data)[i]));
            return;
        }
        if (isinf(v)) {
            infinity(out, keys, field, v);
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
        if (cell.kind == NJ_CELL_REAL && isinf(cell.f)) {
            infinity(out, keys, field, cell.f);
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

void nj_json_array(nj_buffer *out, nj_json_keys *keys, const nj_field *field, const void *data, size_t from,
                   size_t to)
{
    nj_buffer_add(out, "[", 1);
    for (size_t i = from; i < to; i++) {
        if (i > from) nj_buffer_add(out, ",", 1);
        value(out, keys, field, data, i);
    }
    nj_buffer_add(out, "]", 1);
}

/* The row's reason, when it is one of those; `out` has room for it. */
static bool add_reason(nj_buffer *out, const nj_json_keys *keys, const nj_field *field, const nj_col *col,
                       uint32_t row)
{
    if (field->text != nj_reason_name || field->type != NJ_U8) return false;
    const uint8_t reason = ((const uint8_t *)col->data)[row];
    if (reason >= NJ_REASONS || !keys->reason[reason].n) return false;
    const nj_json_word *w = &keys->reason[reason];
    memcpy(out->data + out->n, w->text, sizeof w->text); /* of one size, which is faster */
    out->n += w->n;
    return true;
}

void nj_json_row(nj_buffer *out, nj_json_keys *keys, const nj_rows *rows, uint32_t row)
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
        else if (field->width != 1)
            nj_json_array(out, keys, field, col->data, from, to);
        else if (!add_reason(out, keys, field, col, row))
            value(out, keys, field, col->data, from);
    }
    nj_buffer_text(out, keys->n_fields ? "}" : "{}");
}
