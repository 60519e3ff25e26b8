/* buffer.c - text of unknown length (JSON, HTML, rows) needs a buffer that grows and escapes what it is
 * given. */
#include "buffer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

char *nj_buffer_room(nj_buffer *b, size_t more)
{
    if (b->cap - b->n <= more) { /* one byte stays for the NUL */
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->n <= more) cap *= 2;
        char *data = realloc(b->data, cap);
        if (!data) {
            b->failed = 1;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->n;
}

void nj_buffer_add(nj_buffer *b, const void *bytes, size_t n)
{
    char *room = nj_buffer_room(b, n);
    if (!room) return;
    if (n) memcpy(room, bytes, n);
    b->n += n;
    b->data[b->n] = 0;
}

void nj_buffer_text(nj_buffer *b, const char *text)
{
    nj_buffer_add(b, text, strlen(text));
}

void nj_buffer_printf(nj_buffer *b, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n > 0 && nj_buffer_room(b, (size_t)n)) {
        vsnprintf(b->data + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void nj_buffer_free(nj_buffer *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

void nj_json_text(nj_buffer *b, const char *text)
{
    if (!text) {
        nj_buffer_add(b, "null", 4);
        return;
    }
    nj_buffer_add(b, "\"", 1);
    const unsigned char *p = (const unsigned char *)text, *start = p;
    while (*p) {
        size_t n = nj_utf8_length((const char *)p);
        if (n && *p != '"' && *p != '\\' && *p >= 0x20) {
            p += n;
            continue;
        }
        nj_buffer_add(b, start, (size_t)(p - start));
        if (!n) {
            nj_buffer_text(b, "\\"); /* the backslash of \xNN, which JSON escapes */
            p += nj_utf8_escape_one(b, (const char *)p) - 1;
        } else if (*p == '"' || *p == '\\')
            nj_buffer_printf(b, "\\%c", *p);
        else
            nj_buffer_printf(b, "\\u%04x", *p);
        start = ++p;
    }
    nj_buffer_add(b, start, (size_t)(p - start));
    nj_buffer_add(b, "\"", 1);
}

void nj_markup_text(nj_buffer *b, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; p && *p;) {
        const size_t n = nj_utf8_length((const char *)p);
        if (!n) {
            p += nj_utf8_escape_one(b, (const char *)p);
            continue;
        }
        const char *safe = *p == '&'                                               ? "&amp;"
                           : *p == '<'                                             ? "&lt;"
                           : *p == '>'                                             ? "&gt;"
                           : *p == '"'                                             ? "&quot;"
                           : *p == '\''                                            ? "&#39;"
                           : *p == 0x7f || (*p < 0x20 && *p != '\t' && *p != '\n') ? "\xef\xbf\xbd"
                                                                                   : NULL;
        if (safe)
            nj_buffer_text(b, safe);
        else
            nj_buffer_add(b, p, n);
        p += n;
    }
}

void nj_markup_json(nj_buffer *b, const char *json)
{
    for (const char *less; json && *json; json = less + 1) { /* '<' stands in strings only */
        less = strchr(json, '<');
        nj_buffer_add(b, json, less ? (size_t)(less - json) : strlen(json));
        if (!less) return;
        nj_buffer_text(b, "\\u003c");
    }
}

void nj_json_f64(nj_buffer *b, double value)
{
    char *room = nj_buffer_room(b, 32);
    if (!room) return;
    if (!isfinite(value))
        nj_buffer_add(b, "null", 4);
    else
        b->n += (size_t)nj_shortest_f64(room, value);
}

void nj_json_f32(nj_buffer *b, float value)
{
    char *room = nj_buffer_room(b, 32);
    if (!room) return;
    if (!isfinite(value))
        nj_buffer_add(b, "null", 4);
    else
        b->n += (size_t)nj_shortest_f32(room, value);
}

/* JSON has no word for infinity: 1e999 is a number too large for a double,
 * which readers make infinite again. */
void nj_json_value_f64(nj_buffer *b, double value)
{
    if (isinf(value))
        nj_buffer_text(b, value > 0 ? "1e999" : "-1e999");
    else
        nj_json_f64(b, value);
}

void nj_json_value_f32(nj_buffer *b, float value)
{
    if (isinf(value))
        nj_json_value_f64(b, (double)value);
    else
        nj_json_f32(b, value);
}

void nj_json_i64(nj_buffer *b, int64_t value)
{
    char digit[24], *p = digit + sizeof digit;
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (value < 0) *--p = '-';
    nj_buffer_add(b, p, (size_t)(digit + sizeof digit - p));
}
