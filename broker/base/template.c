/* template.c - HTML, CSS and SVG are read and changed more easily as files than as printf texts; this fills
 * such a file with values. */
#include "template.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed.h"
#include "format.h"

#define FOLDER "data/embed/pages/"
enum { MOST_SCOPES = 32, MOST_FILES = 8 };

/* ---- values ---------------------------------------------------------------------------------- */

nj_template_values nj_template_begin(void)
{
    json_t *root = json_object();
    return (nj_template_values){ root, !root };
}

void nj_template_end(nj_template_values *v)
{
    json_decref(v->root);
    v->root = NULL;
}

/* The bytes as they are: what is no UTF-8 is escaped when it is written. */
static json_t *text_value(const char *text)
{
    return text ? json_string_nocheck(text) : json_null();
}

static json_t *next_value(const char *type, va_list *ap)
{
    if (!strncmp(type, "lld", 3)) return json_integer(va_arg(*ap, long long));
    if (!strncmp(type, "llu", 3)) return json_integer((json_int_t)va_arg(*ap, unsigned long long));
    if (!strncmp(type, "zu", 2)) return json_integer((json_int_t)va_arg(*ap, size_t));
    if (*type == 'd') return json_integer(va_arg(*ap, int));
    if (*type == 'u') return json_integer(va_arg(*ap, unsigned));
    if (*type == 's') return text_value(va_arg(*ap, const char *));
    if (*type == 'p') return va_arg(*ap, void *);
    double number = va_arg(*ap, double);
    return isfinite(number) ? json_real(number) : json_null();
}

json_t *nj_template_put(nj_template_values *v, json_t *to, const char *names, ...)
{
    json_t *object = to ? to : v->root;
    if (json_is_array(object)) {
        object = json_object();
        if (json_array_append_new(to, object)) v->failed = true, object = NULL;
    }
    va_list ap;
    va_start(ap, names);
    for (const char *at = names; *at; at += strspn(at, " ")) {
        char key[64];
        size_t n = strcspn(at, "=");
        snprintf(key, sizeof key, "%.*s", (int)n, at);
        if (json_object_set_new_nocheck(object, key, next_value(at + n + 2, &ap))) v->failed = true;
        at += n + strcspn(at + n, " ");
    }
    va_end(ap);
    return object;
}

static json_t *put_new(nj_template_values *v, json_t *to, const char *name, json_t *value)
{
    if (!json_object_set_new_nocheck(to ? to : v->root, name, value)) return value;
    v->failed = true;
    return NULL;
}

json_t *nj_template_list(nj_template_values *v, json_t *to, const char *name)
{
    return put_new(v, to, name, json_array());
}

json_t *nj_template_object(nj_template_values *v, json_t *to, const char *name)
{
    return put_new(v, to, name, json_object());
}

void nj_template_item(nj_template_values *v, json_t *list, const char *text)
{
    if (json_array_append_new(list, text_value(text))) v->failed = true;
}

/* ---- tags ------------------------------------------------------------------------------------ */

typedef struct source {
    const char *name; /* "" = a text that is no file */
    const char *text, *end;
} source;

typedef struct tag {
    char kind;              /* '=' a value, '{' a raw one, '#' '^' '/' '>' '!' */
    const char *at, *after; /* in the source */
    char name[96];
    bool optional;
    double factor, add;
    char format[24];
} tag;

__attribute__((format(printf, 4, 5))) static int fail_at(nj_error *err, const source *s, const char *at,
                                                         const char *format, ...)
{
    char why[256];
    unsigned line = 1;
    for (const char *p = s->text; p < at; p++) line += *p == '\n';
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    return nj_fail(err, "%s%s:%u: %s", *s->name ? FOLDER : "template", s->name, line, why);
}

static bool is_printf(const char *f)
{
    f += 1 + strspn(f + 1, "+#0- ");
    f += strspn(f, "0123456789");
    if (*f == '.') f += 1 + strspn(f + 1, "0123456789");
    return strlen(f) == 1 && strchr("efg", *f);
}

static const char *count_words(char text[24], double v)
{
    snprintf(text, 24, "%.0f", v);
    return text;
}

static const char *estimate_words(char text[24], double v)
{
    return nj_format_si(text, nj_two_digits(v));
}

static const char *sort_words(char text[24], double v)
{
    snprintf(text, 24, "%.9g", v);
    return text;
}

static const struct {
    const char *name;
    const char *(*words)(char text[24], double value);
} formats[] = { { "duration", nj_format_duration_micro },
                { "si", nj_format_si },
                { "rate", nj_format_rate },
                { "us", nj_format_us },
                { "share", nj_format_share },
                { "small", nj_format_small },
                { "estimate", estimate_words },
                { "count", count_words },
                { "sort", sort_words } };

static int format_of(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name)) return (int)i;
    return -1;
}

/* What stands between the braces: NAME[?][*NUMBER][+NUMBER] [FORMAT]. */
static int read_words(const source *s, tag *t, const char *at, size_t n, nj_error *err)
{
    char words[192], *p = words;
    if (n >= sizeof words) return fail_at(err, s, t->at, "a tag of more than 190 bytes");
    memcpy(words, at, n);
    words[n] = 0;
    p += strspn(p, " ");
    size_t length = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");
    if (!length || length >= sizeof t->name) return fail_at(err, s, t->at, "no name in {{%s}}", words);
    memcpy(t->name, p, length);
    t->name[length] = 0;
    p += length;
    if (*p == '?') t->optional = true, p++;
    if (*p == '*') t->factor = strtod(p + 1, &p);
    if (*p == '+' || *p == '-') t->add = strtod(p, &p);
    p += strspn(p, " ");
    size_t rest = strlen(p);
    while (rest && p[rest - 1] == ' ') p[--rest] = 0;
    if (rest >= sizeof t->format || (rest && (*p == '%' ? !is_printf(p) : format_of(p) < 0)))
        return fail_at(err, s, t->at, "no format %s in {{%s}}", p, words);
    memcpy(t->format, p, rest + 1);
    return 0;
}

/* The next tag from `at` on: 1, or 0 = there is none, or -1. */
static int next_tag(const source *s, const char *at, tag *t, nj_error *err)
{
    const char *open = memmem(at, (size_t)(s->end - at), "{{", 2);
    if (!open) return 0;
    *t = (tag){ .kind = '=', .at = open, .factor = NAN };
    const char *inside = open + 2;
    if (inside < s->end && strchr("{#^/>!", *inside)) t->kind = *inside++;
    const char *ends = t->kind == '{' ? "}}}" : "}}";
    const char *close = memmem(inside, (size_t)(s->end - inside), ends, strlen(ends));
    if (!close) return fail_at(err, s, open, "{{ without %s", ends);
    t->after = close + strlen(ends);
    return t->kind != '!' && read_words(s, t, inside, (size_t)(close - inside), err) ? -1 : 1;
}

/* Nothing but this tag in its line? Then the line is none: begin and end are set to its own. */
static void whole_line(const source *s, const tag *t, const char **begin, const char **end)
{
    const char *left = t->at, *right = t->after;
    *begin = left, *end = right;
    if (t->kind == '=' || t->kind == '{') return;
    while (left > s->text && (left[-1] == ' ' || left[-1] == '\t')) left--;
    while (right < s->end && (*right == ' ' || *right == '\t')) right++;
    if ((left == s->text || left[-1] == '\n') && right < s->end && *right == '\n')
        *begin = left, *end = right + 1;
}

/* The {{/name}} of a section whose body begins at `at`. */
static int end_of(const source *s, const tag *section, const char *at, tag *end, nj_error *err)
{
    int depth = 0, found;
    while ((found = next_tag(s, at, end, err)) > 0) {
        at = end->after;
        if (end->kind == '#' || end->kind == '^') depth++;
        if (end->kind != '/' || depth--) continue;
        if (!strcmp(end->name, section->name)) return 0;
        return fail_at(err, s, end->at, "{{/%s}} closes {{%c%s}}", end->name, section->kind, section->name);
    }
    return found ? -1 : fail_at(err, s, section->at, "{{%c%s}} is not closed", section->kind, section->name);
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    const source *source;
    const json_t *scope[MOST_SCOPES];
    int n_scopes, n_files;
    bool only_check;
    nj_buffer *out;
    nj_error *err;
} writer;

static int write_part(writer *w, const char *from, const char *to);

/* Text of the template, without the blanks that lines begin with. */
static void literal(const writer *w, const char *from, const char *to)
{
    while (from < to && !w->only_check) {
        if (from == w->source->text || from[-1] == '\n')
            while (from < to && (*from == ' ' || *from == '\t')) from++;
        const char *line = memchr(from, '\n', (size_t)(to - from));
        line = line ? line + 1 : to;
        nj_buffer_add(w->out, from, (size_t)(line - from));
        from = line;
    }
}

/* *value: borrowed. */
static int look_up(const writer *w, const tag *t, const json_t **value)
{
    const char *name = t->name;
    const bool dotted = strchr(name, '.') != NULL;
    char part[sizeof t->name];
    const json_t *at = NULL;
    int last = t->optional && !dotted ? w->n_scopes - 1 : 0;
    *value = w->scope[w->n_scopes - 1];
    if (!strcmp(name, ".")) return 0;
    snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "."), name);
    for (int i = w->n_scopes - 1; i >= last && !at; i--) at = json_object_get(w->scope[i], part);
    bool optional = t->optional && !dotted;
    for (name += strcspn(name, "."); at && *name == '.'; name += strcspn(name, ".")) {
        name++;
        snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "."), name);
        at = json_object_get(at, part);
        optional = t->optional;
    }
    *value = at ? at : json_null();
    if (at || optional) return 0;
    return fail_at(w->err, w->source, t->at, "no value %s (%s)", t->name, part);
}

static bool is_computed(const tag *t)
{
    return !isnan(t->factor) || t->add > 0 || t->add < 0;
}

static int write_number(const writer *w, const tag *t, const json_t *value)
{
    char text[400];
    double number = (isnan(t->factor) ? 1 : t->factor) * json_number_value(value) + t->add;
    if (json_is_null(value)) {
        if (*t->format && strcmp(t->format, "sort")) nj_buffer_text(w->out, "–");
        return 0;
    }
    if (!json_is_number(value)) return fail_at(w->err, w->source, t->at, "%s is no number", t->name);
    if (*t->format == '%') {
        snprintf(text, sizeof text, t->format, number);
        nj_markup_text(w->out, text);
    } else if (*t->format) {
        nj_markup_text(w->out, formats[format_of(t->format)].words(text, number));
    } else if (json_is_integer(value) && !is_computed(t)) {
        nj_json_i64(w->out, json_integer_value(value));
    } else {
        nj_json_f64(w->out, number);
    }
    return 0;
}

static int write_value(const writer *w, const tag *t)
{
    const json_t *value;
    if (look_up(w, t, &value)) return -1;
    if (*t->format || is_computed(t) || json_is_number(value)) return write_number(w, t, value);
    if (json_is_object(value) || json_is_array(value))
        return fail_at(w->err, w->source, t->at, "%s is no text", t->name);
    const char *text =
        json_is_boolean(value) ? (json_is_true(value) ? "true" : "false") : json_string_value(value);
    if (text && t->kind == '{')
        nj_buffer_text(w->out, text);
    else if (text)
        nj_markup_text(w->out, text);
    return 0;
}

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
           (json_is_string(v) && !json_string_length(v)) || (json_is_number(v) && json_number_value(v) == 0);
}

static int write_within(writer *w, const json_t *scope, const char *from, const char *to)
{
    if (w->n_scopes == MOST_SCOPES)
        return fail_at(w->err, w->source, from, "sections within one another: %d are the most", MOST_SCOPES);
    w->scope[w->n_scopes++] = scope;
    int rc = write_part(w, from, to);
    w->n_scopes--;
    return rc;
}

static int write_section(writer *w, const tag *t, const char *from, const char *to)
{
    const json_t *value;
    size_t i;
    json_t *item;
    if (w->only_check) return write_part(w, from, to);
    if (look_up(w, t, &value)) return -1;
    if (t->kind == '^' || !(json_is_array(value) || json_is_object(value)))
        return is_empty(value) == (t->kind == '^') ? write_part(w, from, to) : 0;
    if (json_is_object(value)) return write_within(w, value, from, to);
    json_array_foreach((json_t *)value, i, item)
    {
        if (write_within(w, item, from, to)) return -1;
    }
    return 0;
}

static int write_file(writer *w, const char *name, const char *at)
{
    char path[160];
    snprintf(path, sizeof path, FOLDER "%s", name);
    const nj_embedded *file = nj_embedded_find(path);
    if (!file)
        return at ? fail_at(w->err, w->source, at, "no file %s", path) : nj_fail(w->err, "no file %s", path);
    if (w->n_files == MOST_FILES)
        return fail_at(w->err, w->source, at, "files within one another: %d are the most", MOST_FILES);
    const source *outer = w->source, inner = { name, file->data, file->data + file->n };
    w->source = &inner;
    w->n_files++;
    int rc = write_part(w, inner.text, inner.end);
    w->n_files--;
    w->source = outer;
    return rc;
}

static int write_part(writer *w, const char *from, const char *to)
{
    const source *s = w->source;
    tag t, end;
    int found;
    while ((found = next_tag(s, from, &t, w->err)) > 0 && t.at < to) {
        const char *begin, *after, *last;
        whole_line(s, &t, &begin, &after);
        if (begin < from) begin = from;
        literal(w, from, begin);
        from = after;
        if (t.kind == '/') return fail_at(w->err, s, t.at, "{{/%s}} closes nothing", t.name);
        if (t.kind == '#' || t.kind == '^') {
            if (end_of(s, &t, from, &end, w->err)) return -1;
            whole_line(s, &end, &last, &after);
            if (last < from) last = from;
            if (write_section(w, &t, from, last)) return -1;
            from = after;
        } else if (t.kind == '>') {
            if (write_file(w, t.name, t.at)) return -1;
        } else if (t.kind != '!' && !w->only_check && write_value(w, &t)) {
            return -1;
        }
    }
    if (found < 0) return -1;
    literal(w, from, to);
    return 0;
}

static int finish(const nj_template_values *v, const nj_buffer *out, int rc, nj_error *err)
{
    return v->failed || out->failed ? nj_fail(err, "out of memory") : rc;
}

int nj_template_write(const char *file, const nj_template_values *v, nj_buffer *out, nj_error *err)
{
    writer w = { .scope = { v->root }, .n_scopes = 1, .out = out, .err = err };
    return finish(v, out, write_file(&w, file, NULL), err);
}

int nj_template_text(const char *text, const nj_template_values *v, nj_buffer *out, nj_error *err)
{
    const source s = { "", text, text + strlen(text) };
    writer w = { .source = &s, .scope = { v->root }, .n_scopes = 1, .out = out, .err = err };
    return finish(v, out, write_part(&w, s.text, s.end), err);
}

int nj_template_check(const char *file, nj_error *err)
{
    nj_buffer none = { 0 };
    writer w = { .n_scopes = 1, .only_check = true, .out = &none, .err = err };
    return write_file(&w, file, NULL);
}
