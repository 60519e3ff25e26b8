/* html_analysis.c - the page's parts on drift along the run and on exposures. */
#include "html_analysis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "html_cells.h"

static void drift_cell(nj_buffer *b, const json_t *stage, const json_t *d)
{
    char text[96];
    int told = json_is_true(json_object_get(d, "drifts"));
    nj_buffer_printf(b, "<div class=cell><b>");
    nj_html_text(b, nj_html_words(stage, "name"));
    snprintf(text, sizeof text, "%+.1f %%, p %.2g", nj_html_number(d, "change_percent"),
             nj_html_number(d, "p"));
    nj_buffer_printf(b, "</b> <span class=%s>", told ? "warn" : "dim");
    nj_html_text(b, text);
    nj_buffer_text(b, "</span>");
    nj_svg_drift(b, d);
    nj_buffer_text(b, "</div>\n");
}

void nj_html_drift(nj_buffer *b, const json_t *run)
{
    size_t i, n = 0;
    json_t *m;
    json_array_foreach(json_object_get(run, "modules"), i, m) n +=
        nj_html_number(json_object_get(m, "drift"), "n") >= 3;
    if (!n) return;
    nj_html_heading(b, "Drift along the run",
                    "Cost per alert of one batch after the other (medians of neighbours in a long run), with "
                    "Theil and Sen's slope; the "
                    "change is over the whole run, p is "
                    "Kendall's, of no trend. In colour: p < 0.002 and more than 10 % over the run. Most of "
                    "them at once is the machine.");
    nj_buffer_text(b, "<div class=grid>\n");
    json_array_foreach(json_object_get(run, "modules"), i, m)
    {
        const json_t *d = json_object_get(m, "drift");
        if (nj_html_number(d, "n") >= 3) drift_cell(b, m, d);
    }
    nj_buffer_text(b, "</div>\n");
}

/* ---- exposures ------------------------------------------------------------------------------- */

static const char *const spans[] = { "arrive", "queue", "decode", "modules", "filter", "publish" };
enum { SPANS = sizeof spans / sizeof *spans };

static void key(nj_buffer *b)
{
    nj_buffer_text(b, "<p class=dim>");
    for (int k = 0; k < SPANS; k++)
        nj_buffer_printf(b, "<span class=key style=\"background:var(--span%d)\"></span>%s", k, spans[k]);
    nj_buffer_text(b, "</p>\n");
}

static void worst_table(nj_buffer *b, const json_t *worst)
{
    static const char *const head[] = { "exposure", "survey",  "alerts", "all of it", "arrive", "queue",
                                        "decode",   "modules", "filter", "publish",   NULL };
    size_t i;
    json_t *e;
    char text[32];
    nj_html_table(b, head);
    json_array_foreach(worst, i, e)
    {
        nj_buffer_text(b, "<tr>");
        snprintf(text, sizeof text, "%.14g", nj_html_number(e, "exposure"));
        nj_html_cell(b, nj_html_number(e, "exposure"), text);
        nj_html_text_cell(b, nj_html_words(e, "survey"));
        nj_html_count_cell(b, nj_html_number(e, "alerts"));
        nj_html_duration_cell(b, 1e9 * nj_html_number(e, "total_s"));
        for (int k = 0; k < SPANS; k++)
            nj_html_duration_cell(b, 1e9 * nj_html_number(json_object_get(e, "spans_s"), spans[k]));
        nj_buffer_text(b, "</tr>\n");
    }
    nj_html_end_table(b);
}

void nj_html_exposures(nj_buffer *b, const json_t *run)
{
    const json_t *x = json_object_get(run, "exposures"), *worst = json_object_get(x, "worst");
    char text[400];
    if (!x) return;
    double over = nj_html_number(x, "over");
    nj_html_heading(
        b, "Where the time of an exposure goes",
        "From its first alert's arrival to its last one's acknowledgement: the way of the alert that was "
        "last. Arrive: "
        "until it came (in a replay: was read). Queue: waiting for a compute thread, and for its turn to be "
        "written. "
        "p50 / p99 / max over the exposures; bars are medians one after the other, whiskers reach p99.");
    snprintf(text, sizeof text,
             "%.0f exposures with %.0f alerts; %.0f over %.3g s, the broker's %.0f %% of a budget of %.3g s "
             "(run.broker_share, "
             "run.exposure_budget_s).",
             nj_html_number(x, "n"), nj_html_number(x, "alerts"), over, nj_html_number(x, "broker_budget_s"),
             100 * nj_html_number(x, "broker_share"), nj_html_number(x, "budget_s"));
    nj_buffer_printf(b, "<p class=%s>", over > 0 ? "warn" : "dim");
    nj_html_text(b, text);
    nj_buffer_text(b, "</p>\n");
    nj_svg_waterfall(b, x);
    if (!json_array_size(worst)) return;
    nj_buffer_text(b, "<h3>Over the budget, the slowest first</h3>\n");
    key(b);
    nj_svg_worst(b, x);
    worst_table(b, worst);
}
