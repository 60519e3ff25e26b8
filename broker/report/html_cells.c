#include "html_cells.h"

#include <math.h>
#include <stdio.h>

#include "html.h"

void nj_html_text(nj_buffer *out, const char *text)
{
    for (; text && *text; text++) switch (*text) {
        case '&': nj_buffer_text(out, "&amp;"); break;
        case '<': nj_buffer_text(out, "&lt;"); break;
        case '>': nj_buffer_text(out, "&gt;"); break;
        case '"': nj_buffer_text(out, "&quot;"); break;
        default: nj_buffer_add(out, text, 1);
        }
}

double nj_html_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *nj_html_words(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void nj_html_heading(nj_buffer *b, const char *title, const char *note)
{
    nj_buffer_text(b, "\n<h2>");
    nj_html_text(b, title);
    nj_buffer_text(b, "</h2>\n");
    if (!note) return;
    nj_buffer_text(b, "<p class=dim>");
    nj_html_text(b, note);
    nj_buffer_text(b, "</p>\n");
}

/* A cell with what it is sorted by. */
void nj_html_cell(nj_buffer *b, double value, const char *text)
{
    nj_buffer_text(b, "<td data-v=\"");
    if (isfinite(value)) nj_buffer_printf(b, "%.9g", value);
    nj_buffer_text(b, "\">");
    nj_html_text(b, text);
    nj_buffer_text(b, "</td>");
}

void nj_html_text_cell(nj_buffer *b, const char *text)
{
    nj_buffer_text(b, "<td>");
    nj_html_text(b, text);
    nj_buffer_text(b, "</td>");
}

void nj_html_count_cell(nj_buffer *b, double value)
{
    char text[32] = "–";
    if (isfinite(value)) snprintf(text, sizeof text, "%.0f", value);
    nj_html_cell(b, value, text);
}

void nj_html_si_cell(nj_buffer *b, double value)
{
    char text[24];
    nj_html_cell(b, value, nj_html_si(text, value));
}

void nj_html_duration_cell(nj_buffer *b, double ns)
{
    char text[24];
    nj_html_cell(b, ns, nj_html_duration(text, ns));
}

void nj_html_table(nj_buffer *b, const char *const *head)
{
    nj_buffer_text(b, "<div class=scroll><table><thead><tr>");
    for (; *head; head++) {
        nj_buffer_text(b, "<th scope=col>");
        nj_html_text(b, *head);
        nj_buffer_text(b, "</th>");
    }
    nj_buffer_text(b, "</tr></thead><tbody>\n");
}

void nj_html_end_table(nj_buffer *b)
{
    nj_buffer_text(b, "</tbody></table></div>\n");
}
