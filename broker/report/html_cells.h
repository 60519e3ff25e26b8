/* html_cells.h - what the pages of reports are put together from:
 * numbers out of JSON, headings, tables that can be sorted. */
#ifndef NJ_REPORT_HTML_CELLS_H
#define NJ_REPORT_HTML_CELLS_H

#include <jansson.h>

#include "../base/buffer.h"

double nj_html_number(const json_t *object, const char *key);     /* NAN when it is none */
const char *nj_html_words(const json_t *object, const char *key); /* "" when it is none */

/* A page: its head, style and title; at the end the script that sorts. */
void nj_html_begin(nj_buffer *out, const char *title);
void nj_html_end(nj_buffer *out);
void nj_html_heading(nj_buffer *out, const char *title, const char *note); /* note NULL = none */
/* Columns of a table, NULL at the end; rows follow, then nj_html_end_table. */
void nj_html_table(nj_buffer *out, const char *const *head);
void nj_html_end_table(nj_buffer *out);
/* A cell with what it is sorted by. */
void nj_html_cell(nj_buffer *out, double value, const char *text);
void nj_html_text_cell(nj_buffer *out, const char *text);
void nj_html_count_cell(nj_buffer *out, double value);
void nj_html_si_cell(nj_buffer *out, double value);
void nj_html_duration_cell(nj_buffer *out, double ns);

#endif
