/* json.c - reports, profiles and lists are also written for programs; this writes their JSON, so that no
 * text of commas and quotes is among the values. */
#include "json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

static void new_line(nj_json *j)
{
    nj_buffer_printf(j->out, "\n%*s", 2 * j->depth, "");
}

/* What stands before a member or an item: a comma, a line break, the name. */
static void before(nj_json *j, const char *name, size_t n)
{
    if (j->depth) {
        const bool filled = j->open[j->depth - 1].filled;
        if (filled) nj_buffer_text(j->out, ",");
        if (j->open[j->depth - 1].lines)
            new_line(j);
        else if (filled)
            nj_buffer_text(j->out, " ");
        j->open[j->depth - 1].filled = true;
    }
    if (n) nj_buffer_printf(j->out, "\"%.*s\": ", (int)n, name);
}

/* The same with a name that may hold anything. */
static void before_name(nj_json *j, const char *name)
{
    before(j, NULL, 0);
    if (!name) return;
    nj_json_text(j->out, name);
    nj_buffer_text(j->out, ": ");
}

static void open_with(nj_json *j, char bracket)
{
    nj_buffer_add(j->out, &bracket, 1);
    if (j->depth == NJ_JSON_DEEPEST) {
        j->out->failed = 1; /* none of ours is so deep */
        return;
    }
    j->open[j->depth].close = bracket == '{' ? '}' : ']';
    j->open[j->depth].filled = false;
    j->open[j->depth].lines = !j->depth;
    j->depth++;
}

nj_json nj_json_begin(nj_buffer *out, char bracket)
{
    nj_json j = { .out = out };
    open_with(&j, bracket);
    return j;
}

nj_json nj_json_begin_line(nj_buffer *out)
{
    nj_json j = nj_json_begin(out, '{');
    j.open[0].lines = false;
    return j;
}

void nj_json_open(nj_json *j, const char *name, char bracket)
{
    if (bracket == '{' && !name && j->depth) j->open[j->depth - 1].lines = true;
    before_name(j, name);
    open_with(j, bracket);
}

void nj_json_close(nj_json *j)
{
    if (!j->depth) return;
    j->depth--;
    if (j->open[j->depth].filled && j->open[j->depth].lines) new_line(j);
    nj_buffer_add(j->out, &j->open[j->depth].close, 1);
}

void nj_json_end(nj_json *j)
{
    while (j->depth) nj_json_close(j);
    nj_buffer_text(j->out, "\n");
}

static void put_double(nj_buffer *out, double value)
{
    const size_t start = out->n;
    nj_json_f64(out, value);
    if (!out->failed && isfinite(value) && !strpbrk(out->data + start, ".e")) nj_buffer_text(out, ".0");
}

/* A value by what stands behind the %. */
static void put_value(nj_json *j, const char *type, va_list *ap)
{
    nj_buffer *out = j->out;
    if (!strncmp(type, "hhd", 3))
        nj_buffer_text(out, va_arg(*ap, int) ? "true" : "false");
    else if (!strncmp(type, "lld", 3))
        nj_json_i64(out, va_arg(*ap, long long));
    else if (!strncmp(type, "llu", 3))
        nj_buffer_printf(out, "%llu", va_arg(*ap, unsigned long long));
    else if (!strncmp(type, "ld", 2))
        nj_json_i64(out, va_arg(*ap, long));
    else if (!strncmp(type, "zu", 2))
        nj_buffer_printf(out, "%zu", va_arg(*ap, size_t));
    else if (*type == 'd')
        nj_json_i64(out, va_arg(*ap, int));
    else if (*type == 'u')
        nj_json_i64(out, va_arg(*ap, unsigned));
    else if (*type == 's')
        nj_json_text(out, va_arg(*ap, const char *));
    else
        put_double(out, va_arg(*ap, double));
}

void nj_json_put(nj_json *j, const char *names, ...)
{
    va_list ap;
    va_start(ap, names);
    for (const char *at = names; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, "=");
        before(j, at, n);
        put_value(j, at + n + 2, &ap);
        at += n + strcspn(at + n, " ");
    }
    va_end(ap);
}

void nj_json_count(nj_json *j, const char *name, uint64_t value)
{
    before_name(j, name);
    nj_buffer_printf(j->out, "%llu", (unsigned long long)value);
}

void nj_json_number(nj_json *j, const char *name, double value)
{
    before_name(j, name);
    put_double(j->out, value);
}

void nj_json_string(nj_json *j, const char *name, const char *value)
{
    before_name(j, name);
    nj_json_text(j->out, value);
}

void nj_json_item(nj_json *j, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    before(j, NULL, 0);
    put_value(j, format + 1, &ap);
    va_end(ap);
}

void nj_json_raw(nj_json *j, const char *name, const char *json, size_t n)
{
    before_name(j, name);
    nj_buffer_add(j->out, json, n);
}

void nj_json_short(nj_json *j, double value, int digits)
{
    before(j, NULL, 0);
    if (isfinite(value))
        nj_buffer_printf(j->out, "%.*g", digits, value);
    else
        nj_buffer_text(j->out, "null");
}
