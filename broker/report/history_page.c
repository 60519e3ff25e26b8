/* history_page.c - the history as a page: a chart and a row for each name, and the reports it was made of. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/template.h"
#include "history_data.h"

enum { TOP = 10, BOTTOM = 92, LEFT = 17 }; /* as in history.svg */

static double x_of(const nj_history *h, uint32_t file)
{
    return h->n_files > 1 ? LEFT + 2 + (98.5 - LEFT - 2) * file / (h->n_files - 1) : 0.5 * (LEFT + 100);
}

static double y_of(double v, double hi)
{
    return BOTTOM - (BOTTOM - TOP) * fmin(fmax(v / hi, 0), 1);
}

static void put_points(nj_template_values *v, json_t *chart, const nj_history *h, uint32_t name)
{
    json_t *points = nj_template_list(v, chart, "points");
    double hi = 0, last_x = NAN, last_y = NAN;
    char first_day[11], last_day[11];
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (e) hi = fmax(hi, 1.08 * (e->median + e->mad));
    }
    hi = fmax(hi, 1e-9);
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_entry *e = nj_history_entry_of(h, i, name);
        if (!e) continue;
        double x = x_of(h, i), y = y_of(e->median, hi);
        json_t *point = nj_template_put(v, points, "x=%g y=%g low=%g high=%g date=%s git=%s median=%g mad=%g",
                                        x, y, y_of(e->median - e->mad, hi), y_of(e->median + e->mad, hi),
                                        h->file[i].date, h->file[i].git, e->median, e->mad);
        json_t *path = nj_template_list(v, point, "path");
        if (isfinite(last_x)) nj_template_put(v, path, "x1=%g y1=%g", last_x, last_y);
        last_x = x;
        last_y = y;
    }
    nj_history_change found[NJ_CHANGES];
    json_t *changes = nj_template_list(v, chart, "changes");
    const uint32_t n = nj_history_changes(h, name, found);
    for (uint32_t i = 0; i < n; i++) {
        char words[400];
        nj_template_put(v, changes, "x=%g words=%s", 0.5 * (x_of(h, found[i].last) + x_of(h, found[i].file)),
                        nj_history_change_words(words, h, &found[i]));
    }
    snprintf(first_day, sizeof first_day, "%.10s", h->file[0].date);
    snprintf(last_day, sizeof last_day, "%.10s", h->n_files > 1 ? h->file[h->n_files - 1].date : "");
    nj_template_put(v, chart, "top=%g first_day=%s last_day=%s", hi, first_day, last_day);
}

static void put_names(nj_template_values *v, const nj_history *h, const char *only)
{
    json_t *names = nj_template_list(v, NULL, "names");
    for (uint32_t k = 0; k < h->n_names; k++) {
        nj_history_line line;
        if (only && !strstr(h->name[k], only)) continue;
        nj_history_look(h, k, &line);
        if (!line.first) continue;
        json_t *row = nj_template_put(
            v, names,
            "name=%s reports=%u first=%g last=%g mad=%g lowest=%g highest=%g ratio=%g p=%g verdict=%s "
            "of_first=%g regression=%d",
            h->name[k], line.n, line.first->median, line.last->median, line.last->mad, line.low, line.high,
            line.before ? line.compared.ratio : NAN, line.before ? line.compared.p : NAN,
            line.before ? nj_comparison_word(&line.compared) : "one report",
            line.last->median / line.first->median, line.compared.verdict == NJ_REGRESSION);
        put_points(v, row, h, k);
    }
}

int nj_history_html(nj_history *h, const char *only, nj_buffer *out, nj_error *err)
{
    char title[96];
    nj_template_values v = nj_template_begin();
    nj_history_sort(h);
    snprintf(title, sizeof title, "nightjar: history of %u reports", h->n_files);
    nj_template_put(&v, NULL, "title=%s differ=%s", title, nj_history_differ(h));
    put_names(&v, h, only);
    json_t *reports = nj_template_list(&v, NULL, "reports");
    for (uint32_t i = 0; i < h->n_files; i++) {
        const nj_history_file *f = &h->file[i];
        nj_template_put(&v, reports, "name=%s date=%s git=%s cpu=%s input=%s", f->name, f->date, f->git,
                        f->cpu, f->input);
    }
    const int rc = nj_template_write("history.html", &v, out, err);
    nj_template_end(&v);
    return rc;
}
