/* wording.c - each receiver of JSON wants its own. The template is JSON itself, and values are
 * put into its texts after it was parsed, so that no value can break the document. */
#include "wording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/embed.h"
#include "../base/settings.h"

enum { NAME_MOST = 128 };

/* One place: {NAME}, {NAME?}, {NAME:FORMAT}. */
typedef struct place {
    char name[NAME_MOST];
    bool optional;
    char format[24];
} place;

typedef struct writer {
    json_t *const *alert;
    uint32_t n;
    json_t *present; /* the alert of the present $each; NULL = outside */
    bool failed;
} writer;

/* --- places --- */

static bool is_format(const char *f)
{
    if (!strcmp(f, "text") || !strcmp(f, "mrkdwn") || !strcmp(f, "markdown")) return true;
    if (*f != '%') return false;
    f += 1 + strspn(f + 1, "+0- ");
    f += strspn(f, "0123456789");
    if (*f == '.') f += 1 + strspn(f + 1, "0123456789");
    return strlen(f) == 1 && strchr("efg", *f);
}

/* The place that begins at the brace `at`; NULL with why when it is none, else what stands behind it. */
static const char *read_place(const char *at, place *p, const char **why)
{
    size_t n = strcspn(at + 1, "}");
    const char *end = at + 1 + n;
    *why = "a { without }; {{ is a brace";
    if (*end != '}') return NULL;
    *why = "a place that is too long";
    if (n >= sizeof p->name) return NULL;
    memcpy(p->name, at + 1, n);
    p->name[n] = 0;
    p->format[0] = 0;
    char *colon = strchr(p->name, ':');
    *why = "a format that is none of %.2f (e, f, g), text, mrkdwn, markdown";
    if (colon) {
        if (strlen(colon + 1) >= sizeof p->format || !is_format(colon + 1)) return NULL;
        strcpy(p->format, colon + 1);
        *colon = 0;
    }
    n = strlen(p->name);
    p->optional = n && p->name[n - 1] == '?';
    if (p->optional) p->name[--n] = 0;
    *why = "a place without a name: {}";
    return n ? end + 1 : NULL;
}

/* Is the text one place and nothing else, whose value keeps its type? */
static bool is_one_place(const char *text, place *p)
{
    const char *why, *end = *text == '{' && text[1] != '{' ? read_place(text, p, &why) : NULL;
    return end && !*end && !p->format[0];
}

/* --- values --- */

static void add_json(nj_buffer *out, const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        nj_buffer_text(out, "{");
        json_object_foreach((json_t *)v, key, item)
        {
            if (out->data[out->n - 1] != '{') nj_buffer_text(out, ",");
            nj_json_text(out, key);
            nj_buffer_text(out, ":");
            add_json(out, item);
        }
        nj_buffer_text(out, "}");
        break;
    case JSON_ARRAY:
        nj_buffer_text(out, "[");
        json_array_foreach((json_t *)v, i, item)
        {
            if (i) nj_buffer_text(out, ",");
            add_json(out, item);
        }
        nj_buffer_text(out, "]");
        break;
    case JSON_STRING: nj_json_text(out, json_string_value(v)); break;
    case JSON_INTEGER: nj_json_i64(out, json_integer_value(v)); break;
    case JSON_REAL: nj_json_f64(out, json_real_value(v)); break;
    case JSON_TRUE: nj_buffer_text(out, "true"); break;
    case JSON_FALSE: nj_buffer_text(out, "false"); break;
    case JSON_NULL: nj_buffer_text(out, "null"); break;
    }
}

/* Text of a packet must not become a command of the receiver (<!channel>, a table's column). */
static void add_escaped(nj_buffer *out, const char *text, const char *format)
{
    for (; *text; text++) {
        if (!strcmp(format, "mrkdwn") && strchr("&<>", *text))
            nj_buffer_text(out, *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : "&gt;");
        else if (!strcmp(format, "markdown") && strchr("\\`*_[]<>|~#@", *text))
            nj_buffer_printf(out, "\\%c", *text);
        else
            nj_buffer_add(out, text, 1);
    }
}

static void add_value(nj_buffer *out, const json_t *v, const char *format)
{
    nj_buffer plain = { 0 };
    if (!v || json_is_null(v)) {
        nj_buffer_text(out, "–");
    } else if (*format == '%' && json_is_number(v)) {
        char text[400];
        snprintf(text, sizeof text, format, json_number_value(v));
        nj_buffer_text(out, text);
    } else if (json_is_string(v)) {
        add_escaped(out, json_string_value(v), format);
    } else {
        add_json(&plain, v);
        if (plain.data) add_escaped(out, plain.data, format);
        out->failed |= plain.failed;
    }
    nj_buffer_free(&plain);
}

/* New, or NULL for null. */
static json_t *value_of(const writer *w, const place *p)
{
    json_t *alert = w->present ? w->present : w->n == 1 ? w->alert[0] : NULL;
    if (!strcmp(p->name, "#n")) return json_integer(w->n);
    if (!alert) return NULL;
    if (strcmp(p->name, "*")) return json_incref(json_object_get(alert, p->name));
    json_t *all = json_copy(alert);
    json_object_del(all, "#topics");
    return all;
}

/* --- the document --- */

static json_t *expand(writer *w, json_t *t);

static json_t *expand_text(writer *w, const char *text)
{
    nj_buffer out = { 0 };
    place p;
    const char *why;
    if (is_one_place(text, &p)) {
        json_t *v = value_of(w, &p);
        return v ? v : json_null();
    }
    for (const char *at = text; *at;) {
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            nj_buffer_add(&out, at, 1);
            at += 2;
            continue;
        }
        const char *next = *at == '{' ? read_place(at, &p, &why) : NULL;
        if (next) {
            json_t *v = value_of(w, &p);
            add_value(&out, v, p.format);
            json_decref(v);
            at = next;
        } else {
            nj_buffer_add(&out, at++, 1);
        }
    }
    json_t *made = json_string_nocheck(out.data ? out.data : "");
    w->failed |= out.failed || !made;
    nj_buffer_free(&out);
    return made;
}

static json_t *each_of(const json_t *item)
{
    return json_is_object(item) && json_object_size(item) == 1 ? json_object_get(item, "$each") : NULL;
}

static json_t *expand_list(writer *w, const json_t *list)
{
    json_t *made = json_array(), *item;
    size_t i;
    json_array_foreach((json_t *)list, i, item)
    {
        json_t *each = each_of(item);
        for (uint32_t k = 0; k < (each ? w->n : 1); k++) {
            json_t *outer = w->present;
            if (each) w->present = w->alert[k];
            if (json_array_append_new(made, expand(w, each ? each : item))) w->failed = true;
            w->present = outer;
        }
    }
    return made;
}

static json_t *expand_lines(writer *w, const json_t *list)
{
    json_t *lines = expand_list(w, list), *line;
    nj_buffer out = { 0 };
    size_t i;
    json_array_foreach(lines, i, line)
    {
        if (i) nj_buffer_text(&out, "\n");
        if (json_is_string(line))
            nj_buffer_text(&out, json_string_value(line));
        else
            add_value(&out, line, "");
    }
    json_t *made = json_string_nocheck(out.data ? out.data : "");
    w->failed |= out.failed || !made;
    json_decref(lines);
    nj_buffer_free(&out);
    return made;
}

static json_t *expand(writer *w, json_t *t)
{
    if (json_is_string(t)) return expand_text(w, json_string_value(t));
    if (json_is_array(t)) return expand_list(w, t);
    if (!json_is_object(t)) return json_incref(t);
    const json_t *lines = json_object_get(t, "$lines");
    if (lines) return expand_lines(w, lines);
    json_t *made = json_object(), *item;
    const char *key;
    json_object_foreach(t, key, item)
    {
        if (*key != '$' && json_object_set_new_nocheck(made, key, expand(w, item))) w->failed = true;
    }
    return made;
}

void nj_wording_write(const nj_wording *words, json_t *const *alert, uint32_t n, nj_buffer *out)
{
    writer w = { .alert = alert, .n = n };
    json_t *made = expand(&w, words->json);
    if (!made || w.failed)
        out->failed = 1;
    else
        add_json(out, made);
    json_decref(made);
}

/* --- reading and checking --- */

typedef struct check {
    const nj_wording *words;
    const nj_field *field; /* NULL: not known yet */
    uint32_t n_fields;
    nj_error *err;
} check;

static int check_name(const check *c, const place *p)
{
    if (!strcmp(p->name, "#n") || !strcmp(p->name, "#topics") || !strcmp(p->name, "*") || p->optional ||
        !c->field)
        return 0;
    for (uint32_t f = 0; f < c->n_fields; f++)
        if (!strcmp(c->field[f].key, p->name)) return 0;
    const char **key = calloc(c->n_fields + 1, sizeof *key);
    if (!key) return nj_fail(c->err, "out of memory");
    for (uint32_t f = 0; f < c->n_fields; f++) key[f] = c->field[f].key;
    const char *near = nj_nearest(p->name, key, c->n_fields);
    nj_fail(c->err, "%s: the run has no column {%s}%s%s%s; {%s?} may be missing", c->words->name, p->name,
            near ? "; did you mean {" : "", near ? near : "", near ? "}?" : "", p->name);
    free(key);
    return -1;
}

static int check_text(const check *c, const char *text)
{
    place p;
    const char *why;
    for (const char *at = text; *at;) {
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            at += 2;
        } else if (*at == '{') {
            const char *next = read_place(at, &p, &why);
            if (!next) return nj_fail(c->err, "%s: '%.80s' has %s", c->words->name, text, why);
            if (check_name(c, &p)) return -1;
            at = next;
        } else {
            at++;
        }
    }
    return 0;
}

static int check_any(const check *c, nj_wording *found, json_t *t, bool in_list)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(t)) return check_text(c, json_string_value(t));
    json_array_foreach(t, i, item) if (check_any(c, found, item, true)) return -1;
    if (!json_is_object(t)) return 0;
    json_object_foreach(t, key, item)
    {
        if (!strcmp(key, "$comment") || !strcmp(key, "$there")) continue;
        if (!strcmp(key, "$each") && in_list && json_object_size(t) == 1) {
            if (found) found->each = true;
        } else if (!strcmp(key, "$lines") && json_is_array(item) && json_object_size(t) == 1) {
        } else if (*key == '$') {
            return nj_fail(c->err,
                           "%s: \"%.40s\" stands where it has no meaning: {\"$each\": ...} is an item of a "
                           "list, {\"$lines\": [...]} a text, $comment and $there are the document's own",
                           c->words->name, key);
        }
        if (check_any(c, found, item, false)) return -1;
    }
    return 0;
}

int nj_wording_check(const nj_wording *words, const nj_field *field, uint32_t n_fields, nj_error *err)
{
    const check c = { words, field, n_fields, err };
    return check_any(&c, NULL, words->json, false);
}

int nj_wording_read(nj_wording *words, const char *name, nj_error *err)
{
    char path[160];
    json_error_t why;
    snprintf(path, sizeof path, "data/webhooks/%.100s.json", name);
    const nj_embedded *own = strchr(name, '/') || strchr(name, '.') ? NULL : nj_embedded_find(path);
    *words =
        (nj_wording){ .json = own ? json_loadb(own->data, own->n, 0, &why) : json_load_file(name, 0, &why) };
    if (!words->json)
        return nj_fail(err, "template = %s: %s (line %d); there are slack, mattermost, tom, rows", name,
                       why.text, why.line);
    words->name = strdup(name);
    const json_t *there = json_object_get(words->json, "$there");
    const check c = { words, NULL, 0, err };
    if (!words->name)
        nj_fail(err, "out of memory");
    else if (!json_is_object(words->json))
        nj_fail(err, "%s: is no JSON object", name);
    else if (there && !json_is_string(there))
        nj_fail(err, "%s: $there is no text", name);
    else if (!check_any(&c, words, words->json, false))
        return words->there = json_string_value(there), 0;
    nj_wording_free(words);
    return -1;
}

json_t *nj_wording_alert(nj_json_keys *keys, const nj_rows *rows, uint32_t row, nj_buffer *text)
{
    const char *topics = rows->topics && rows->topics[row] ? rows->topics[row] : "";
    text->n = 0;
    nj_json_row(text, keys, rows, row);
    json_t *alert = text->failed ? NULL : nj_json_read_row(text->data, text->n);
    if (alert && !json_object_set_new(alert, "#topics", json_string(topics))) return alert;
    json_decref(alert);
    return NULL;
}

void nj_wording_free(nj_wording *words)
{
    json_decref(words->json);
    free(words->name);
    *words = (nj_wording){ 0 };
}
