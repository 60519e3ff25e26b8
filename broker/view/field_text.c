/* field_text.c - a person reads a packet as lines: name, value, unit and meaning, records indented; these
 * are made here. */
#include "field_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

void nj_text_dim(nj_buffer *out, const nj_terminal *t, const char *text)
{
    if (t->colour) nj_buffer_text(out, "\x1b[2m");
    nj_utf8_show(out, text); /* a schema's words and a file's name are others' */
    if (t->colour) nj_buffer_text(out, "\x1b[0m");
}

void nj_text_heading(nj_buffer *out, const nj_terminal *t, uint32_t depth, const char *name, const char *rest)
{
    nj_buffer_printf(out, "%*s%s%s%s", (int)(2 * depth), "", t->colour ? "\x1b[1m" : "", name,
                     t->colour ? "\x1b[0m" : "");
    if (rest && *rest) nj_buffer_text(out, "  "), nj_text_dim(out, t, rest);
    nj_buffer_text(out, "\n");
}

enum { NAME_WIDTH = 17, NAME_WIDTH_MOST = 24, VALUE_WIDTH = 21, UNIT_WIDTH = 8 };

/* Columns for the names of the fields that stand side by side in one record. */
static int name_width(const nj_packet_view *v, uint32_t from, uint32_t to)
{
    int width = NAME_WIDTH;
    for (uint32_t i = from; i < to; i = v->field[i].end) {
        int n = v->field[i].kind == NJ_FIELD_VALUE ? (int)strlen(v->field[i].name) : 0;
        if (n > width) width = n < NAME_WIDTH_MOST ? n : NAME_WIDTH_MOST;
    }
    return width;
}

static void add_line(const nj_packet_text *p, const nj_packet_field *field, int width, nj_buffer *out,
                     const nj_terminal *t)
{
    nj_buffer value = { 0 };
    bool answer = nj_packet_value(p->view, p->batch, field->column, 0, &value);
    const char *text = answer ? (value.data ? value.data : "") : "null";
    int missing = !answer || !strcmp(text, "-999") || !strcmp(text, "-99999"),
        indent = (int)(2 * field->depth);
    /* takes from the value's blanks */
    int longer = (int)strlen(field->name) > width ? (int)strlen(field->name) - width : 0;
    nj_buffer_printf(out, "%*s%-*s ", indent, "", width, field->name);
    nj_buffer_printf(out, "%s%*s%s %-*s", missing && t->colour ? "\x1b[2m" : "",
                     longer < VALUE_WIDTH ? VALUE_WIDTH - longer : 1, text,
                     missing && t->colour ? "\x1b[0m" : "", UNIT_WIDTH, field->unit);
    int room = (int)t->columns - indent - width - VALUE_WIDTH - UNIT_WIDTH - 4, n = (int)strlen(field->doc);
    if (room > 12 && n) {
        char doc[512];
        if (n <= room)
            snprintf(doc, sizeof doc, "%s", field->doc);
        else
            snprintf(doc, sizeof doc, "%.*s...", room - 3 < 500 ? room - 3 : 500, field->doc);
        nj_buffer_text(out, " ");
        nj_text_dim(out, t, doc);
    }
    while (out->n && out->data[out->n - 1] == ' ') out->data[--out->n] = 0;
    nj_buffer_text(out, "\n");
    nj_buffer_free(&value);
}

/* How many values a record has when none of them has an answer; 0 = it has something to show. */
static uint32_t nulls_of(const nj_packet_text *p, uint32_t group)
{
    const nj_packet_view *v = p->view;
    nj_buffer value = { 0 };
    uint32_t n = 0;
    for (uint32_t i = group + 1; i < v->field[group].end; i++) {
        bool shown = v->field[i].kind != NJ_FIELD_GROUP;
        if (v->field[i].kind == NJ_FIELD_VALUE)
            shown = nj_packet_value(v, p->batch, v->field[i].column, 0, &value);
        if (shown) {
            nj_buffer_free(&value);
            return 0;
        }
        n += v->field[i].kind == NJ_FIELD_VALUE;
    }
    nj_buffer_free(&value);
    return n;
}

/* What has no column, a map or a list in a list, as JSON and cut to the line. Bytes are not shown. */
static void add_other(const nj_packet_field *field, const json_t *value, int width, nj_buffer *out,
                      const nj_terminal *t)
{
    const json_t *bytes = json_is_object(value) ? json_object_get(value, "bytes") : NULL;
    char *text =
        value && !bytes ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    int indent = (int)(2 * field->depth), room = (int)t->columns - indent - width - 1;
    if (room < VALUE_WIDTH) room = VALUE_WIDTH;
    int n = text ? (int)strlen(text) : 0, shown = n > room ? room - 3 : n;
    while (shown < n && (text[shown] & 0xc0) == 0x80) shown--;
    if (text)
        nj_buffer_printf(out, "%*s%-*s %.*s%s\n", indent, "", width, field->name, shown, text,
                         shown < n ? "..." : "");
    free(text);
}

static void add_fields(const nj_packet_text *p, const json_t *at, uint32_t i, uint32_t end, nj_buffer *out,
                       const nj_terminal *t)
{
    const nj_packet_view *v = p->view;
    const int width = name_width(v, i, end);
    for (uint32_t from, to, n; i < end; i = v->field[i].end) {
        const nj_packet_field *field = &v->field[i];
        char text[64];
        switch (field->kind) {
        case NJ_FIELD_VALUE: add_line(p, field, width, out, t); break;
        case NJ_FIELD_GROUP:
            n = nulls_of(p, i);
            snprintf(text, sizeof text, "null: none of %u fields", n);
            nj_text_heading(out, t, field->depth, field->name, n > 1 ? text : field->doc);
            if (n < 2) add_fields(p, json_object_get(at, field->name), i + 1, field->end, out, t);
            break;
        case NJ_FIELD_LIST:
            nj_packet_items(v, p->batch, i, 0, &from, &to);
            snprintf(text, sizeof text, to > from ? "%u entries" : "none", to - from);
            nj_text_heading(out, t, field->depth, field->name, text);
            break;
        case NJ_FIELD_OTHER: add_other(field, json_object_get(at, field->name), width, out, t); break;
        }
    }
}

void nj_packet_lines(const nj_packet_text *p, nj_buffer *out, const nj_terminal *t)
{
    add_fields(p, p->json, 0, p->view->n_fields, out, t);
}
