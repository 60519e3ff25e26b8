/* history_page.c - the history as a page: a chart and a row for each name, and the reports it was made of. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "history_data.h"
#include "html_cells.h"
#include "svg_parts.h"

enum { TOP = 10, BOTTOM = 92, LEFT = 17 };

static double x_of(const nj_history *h, uint32_t file)
{
    return h->n_files > 1 ? LEFT + 2 + (98.5 - LEFT - 2) * file / (h->n_files - 1) : 0.5 * (LEFT + 100);
}

static double y_of(double v, double lo, double hi)
{
    return BOTTOM - (BOTTOM - TOP) * fmin(fmax((v - lo) / (hi - lo), 0), 1);
}

/* Medians with their MAD, from 0: a change looks as large as it is. */
static void chart(nj_buffer *b, const nj_history *h, uint32_t name)
{
    double hi = 0, last_x = NAN, last_y = NAN;
    char text[192], v[24], m[24];
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (e) hi = fmax(hi, 1.08 * (e->median + e->mad));
    }
    hi = fmax(hi, 1e-9);
    nj_svg_begin(b, 112, "median per report");
    nj_svg_line(b, LEFT, BOTTOM, 100, BOTTOM, "base");
    nj_svg_label(b, LEFT - 1, TOP + 6, "end", "note", nj_html_duration(v, hi));
    nj_svg_label(b, LEFT - 1, BOTTOM, "end", "note", "0");
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (!e) continue;
        double x = x_of(h, i), y = y_of(e->median, 0, hi);
        if (isfinite(last_x)) nj_svg_line(b, last_x, last_y, x, y, "path");
        nj_svg_line(b, x, y_of(e->median - e->mad, 0, hi), x, y_of(e->median + e->mad, 0, hi), "whisker");
        nj_buffer_printf(b, "<circle cx=\"%.2f%%\" cy=\"%.1f\" r=\"3\" class=\"dot\"><title>", x, y);
        snprintf(text, sizeof text, "%s, %s: %s, MAD %s", h->file[i].date, h->file[i].git,
                 nj_html_duration(v, e->median), nj_html_duration(m, e->mad));
        nj_html_text(b, text);
        nj_buffer_text(b, "</title></circle>");
        last_x = x;
        last_y = y;
    }
    snprintf(text, sizeof text, "%.10s", h->file[0].date);
    nj_svg_label(b, LEFT, 107, "start", "note", text);
    snprintf(text, sizeof text, "%.10s", h->file[h->n_files - 1].date);
    if (h->n_files > 1) nj_svg_label(b, 100, 107, "end", "note", text);
    nj_buffer_text(b, "</svg>");
}

static void charts(nj_buffer *b, const nj_history *h, const char *only)
{
    nj_buffer_text(b, "<div class=grid>\n");
    for (uint32_t k = 0; k < h->n_names; k++) {
        nj_history_line line;
        char text[96];
        if (only && !strstr(h->name[k], only)) continue;
        nj_history_look(h, k, &line);
        if (!line.first) continue;
        int told = line.compared.verdict == NJ_REGRESSION;
        nj_buffer_text(b, "<div class=cell><b>");
        nj_html_text(b, h->name[k]);
        snprintf(text, sizeof text, "x%.2f of the first", line.last->median / line.first->median);
        nj_buffer_printf(b, "</b> <span class=%s>%s%s</span>", told ? "warn" : "dim", text,
                         told ? ", REGRESSION" : "");
        chart(b, h, k);
        nj_buffer_text(b, "</div>\n");
    }
    nj_buffer_text(b, "</div>\n");
}

static void names_table(nj_buffer *b, const nj_history *h, const char *only)
{
    static const char *const head[] = { "name",    "reports",           "first", "last",    "MAD", "lowest",
                                        "highest", "last / one before", "p",     "verdict", NULL };
    nj_html_heading(b, "The last report against the one before it",
                    "From the batches (rounds) of both. Slower, faster: the 95 % interval of the ratio "
                    "leaves out 1. Regression: "
                    "p < 0.002, more than 10 % and more than 3 MAD. The machine may have "
                    "changed in between: nightjar compare --rerun takes both in turn.");
    nj_html_table(b, head);
    for (uint32_t k = 0; k < h->n_names; k++) {
        nj_history_line line;
        char text[32];
        if (only && !strstr(h->name[k], only)) continue;
        nj_history_look(h, k, &line);
        if (!line.first) continue;
        double ratio = line.before ? line.compared.ratio : NAN, p = line.before ? line.compared.p : NAN;
        nj_buffer_text(b, "<tr>");
        nj_html_text_cell(b, h->name[k]);
        nj_html_count_cell(b, line.n);
        nj_html_duration_cell(b, line.first->median);
        nj_html_duration_cell(b, line.last->median);
        nj_html_duration_cell(b, line.last->mad);
        nj_html_duration_cell(b, line.low);
        nj_html_duration_cell(b, line.high);
        snprintf(text, sizeof text, "%.3f", ratio);
        nj_html_cell(b, ratio, isfinite(ratio) ? text : "–");
        snprintf(text, sizeof text, "%.2g", p);
        nj_html_cell(b, p, isfinite(p) ? text : "–");
        nj_html_text_cell(b, line.before ? nj_comparison_word(&line.compared) : "one report");
        nj_buffer_text(b, "</tr>\n");
    }
    nj_html_end_table(b);
}

static void files_table(nj_buffer *b, const nj_history *h)
{
    static const char *const head[] = { "report", "date", "commit", "processor", "input", NULL };
    nj_html_heading(b, "Reports", nj_history_differ(h));
    nj_html_table(b, head);
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_file *f = &h->file[i];
        nj_buffer_text(b, "<tr>");
        nj_html_text_cell(b, f->name);
        nj_html_text_cell(b, f->date);
        nj_html_text_cell(b, f->git);
        nj_html_text_cell(b, f->cpu);
        nj_html_text_cell(b, f->input);
        nj_buffer_text(b, "</tr>\n");
    }
    nj_html_end_table(b);
}

void nj_history_html(nj_history *h, const char *only, nj_buffer *b)
{
    char text[96];
    nj_history_sort(h);
    snprintf(text, sizeof text, "nightjar: history of %u reports", h->n_files);
    nj_html_begin(b, text);
    nj_html_heading(b, "Medians",
                    "Modules and stages: wall time per alert, of batches. (whole run): CPU time per alert. "
                    "Bench files: CPU time of a round. "
                    "Whiskers: median absolute deviation. In order of date.");
    if (h->n_files) charts(b, h, only);
    names_table(b, h, only);
    files_table(b, h);
    nj_html_end(b);
}
