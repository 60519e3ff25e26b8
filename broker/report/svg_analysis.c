/* svg_analysis.c - charts of a run along its length and of its exposures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/stats.h"
#include "html_cells.h"
#include "svg_parts.h"

static double pair(const json_t *points, size_t i, size_t k)
{
    return json_number_value(json_array_get(json_array_get(points, i), k));
}

static double clamp(double v, double lo, double hi)
{
    return fmin(fmax(v, lo), hi);
}

/* ---- drift ----------------------------------------------------------------------------------- */

enum { DRIFT_TOP = 8, DRIFT_BOTTOM = 84, DRIFT_LEFT = 17 };

typedef struct frame {
    double x0, x1, y0, y1;
} frame;

static double x_in(const frame *f, double x)
{
    return DRIFT_LEFT + (99.4 - DRIFT_LEFT) * clamp((x - f->x0) / (f->x1 - f->x0), 0, 1);
}

static double y_in(const frame *f, double y)
{
    return DRIFT_BOTTOM - (DRIFT_BOTTOM - DRIFT_TOP) * clamp((y - f->y0) / (f->y1 - f->y0), 0, 1);
}

/* The middle 96 % of the points fill the chart; the rest sit on its border. */
static int frame_of(const json_t *points, size_t n, frame *f, double *middle_x, double *middle_y)
{
    double *y = malloc(2 * n * sizeof *y), *x = y + n;
    if (!y) return -1;
    for (size_t i = 0; i < n; i++) x[i] = pair(points, i, 0), y[i] = pair(points, i, 1);
    *f = (frame){ x[0], x[n - 1], nj_quantile(y, (uint32_t)n, 0.02), nj_quantile(y, (uint32_t)n, 0.98) };
    *middle_x = nj_quantile(x, (uint32_t)n, 0.5);
    *middle_y = nj_quantile(y, (uint32_t)n, 0.5);
    free(y);
    double room = fmax(0.08 * (f->y1 - f->y0), 0.02 * fabs(*middle_y) + 1e-9);
    f->y0 = fmax(f->y0 - room, 0);
    f->y1 += room;
    if (!(f->x1 > f->x0)) f->x1 = f->x0 + 1;
    return 0;
}

void nj_svg_drift(nj_buffer *out, const json_t *drift)
{
    const json_t *points = json_object_get(drift, "points");
    size_t n = json_array_size(points);
    frame f;
    double x, y;
    char text[64], v[24];
    if (n < 2 || frame_of(points, n, &f, &x, &y)) return;
    int told = json_is_true(json_object_get(drift, "drifts"));
    double slope = nj_html_number(drift, "percent_per_1000") * y / 1e5; /* ns per batch, through the
                                                                         * medians */
    nj_svg_begin(out, 104, "cost per alert along the run");
    nj_svg_line(out, DRIFT_LEFT, DRIFT_BOTTOM, 100, DRIFT_BOTTOM, "base");
    for (size_t i = 0; i < n; i++)
        nj_buffer_printf(out, "<circle cx=\"%.2f%%\" cy=\"%.1f\" r=\"1.7\" class=\"%s\"/>",
                         x_in(&f, pair(points, i, 0)), y_in(&f, pair(points, i, 1)), told ? "told" : "dot");
    if (isfinite(slope))
        nj_svg_line(out, x_in(&f, f.x0), y_in(&f, y + slope * (f.x0 - x)), x_in(&f, f.x1),
                    y_in(&f, y + slope * (f.x1 - x)), "trend");
    nj_svg_label(out, DRIFT_LEFT - 1, DRIFT_TOP + 4, "end", "note", nj_html_duration(v, f.y1));
    nj_svg_label(out, DRIFT_LEFT - 1, DRIFT_BOTTOM, "end", "note", nj_html_duration(v, f.y0));
    snprintf(text, sizeof text, "batch %.0f", f.x0);
    nj_svg_label(out, DRIFT_LEFT, 99, "start", "note", text);
    snprintf(text, sizeof text, "%.0f", f.x1);
    nj_svg_label(out, 100, 99, "end", "note", text);
    nj_buffer_text(out, "</svg>");
}

/* ---- exposures ------------------------------------------------------------------------------- */

enum { SPANS = 6, STEP = 34, BAR = 12, MOST_WORST = 12 };

static const struct {
    const char *key, *class;
} span[SPANS] = { { "arrive", "span0" },  { "queue", "span1" },  { "decode", "span2" },
                  { "modules", "span3" }, { "filter", "span4" }, { "publish", "span5" } };

static double ns_of(const json_t *spans, const char *key, const char *which)
{
    double s = nj_html_number(json_object_get(spans, key), which);
    return isfinite(s) ? 1e9 * s : 0;
}

static void budget_line(nj_buffer *out, double x, double bottom, double ns)
{
    char text[64], v[24];
    snprintf(text, sizeof text, "budget %s", nj_html_duration(v, ns));
    nj_svg_line(out, x, 4, x, bottom, "budget");
    nj_svg_label(out, x, 12, x > 50 ? "end" : "start", "note", text);
}

/* Median after median, as the stages follow one another; whiskers to p99. */
void nj_svg_waterfall(nj_buffer *out, const json_t *exposures)
{
    const json_t *spans = json_object_get(exposures, "spans"), *total = json_object_get(exposures, "total");
    double budget = 1e9 * nj_html_number(exposures, "broker_budget_s"),
           scale = 1e9 * nj_html_number(total, "p99_s"), start = 0;
    for (int k = 0; k < SPANS; k++) {
        scale = fmax(scale, start + ns_of(spans, span[k].key, "p99_s"));
        start += ns_of(spans, span[k].key, "p50_s");
    }
    int shown = budget > 0 && budget < 3 * scale;
    if (shown) scale = fmax(scale, 1.02 * budget);
    scale = fmax(scale, 1);
    double bottom = 18 + STEP * (SPANS + 1);
    nj_svg_begin(out, bottom + 4,
                 "waterfall of an exposure: arrive, queue, decode, modules, filter, publish");
    start = 0;
    for (int k = 0; k <= SPANS; k++) {
        const json_t *of = k < SPANS ? json_object_get(spans, span[k].key) : total;
        char text[96], p50[24], p99[24], max[24];
        double y = 34 + STEP * k, median = 1e9 * nj_html_number(of, "p50_s"),
               high = 1e9 * nj_html_number(of, "p99_s");
        double from = k < SPANS ? start : 0;
        snprintf(text, sizeof text, "%s / %s / %s", nj_html_duration(p50, median),
                 nj_html_duration(p99, high), nj_html_duration(max, 1e9 * nj_html_number(of, "max_s")));
        nj_svg_bar(out, 100 * from / scale, y, 100 * median / scale, BAR, k < SPANS ? span[k].class : "stage",
                   text);
        nj_svg_line(out, 100 * (from + median) / scale, y + BAR / 2.0,
                    100 * clamp((from + high) / scale, 0, 1), y + BAR / 2.0, "whisker");
        nj_svg_label(out, 0, y - 4, "start", "name", k < SPANS ? span[k].key : "all of it");
        nj_svg_label(out, 100, y - 4, "end", "name", text);
        start += k < SPANS ? median : 0;
    }
    if (shown) budget_line(out, 100 * budget / scale, bottom, budget);
    nj_buffer_text(out, "</svg>");
}

/* The exposures that took longest, each as the way of its last alert. */
void nj_svg_worst(nj_buffer *out, const json_t *exposures)
{
    const json_t *worst = json_object_get(exposures, "worst");
    size_t n = json_array_size(worst) < MOST_WORST ? json_array_size(worst) : MOST_WORST;
    double scale = fmax(nj_html_number(json_array_get(worst, 0), "total_s"), 1e-9),
           budget = nj_html_number(exposures, "broker_budget_s"), bottom = 20 + STEP * (double)n;
    nj_svg_begin(out, bottom + 4, "the slowest exposures, by span");
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(worst, i), *of = json_object_get(e, "spans_s");
        double y = 36 + STEP * (double)i, at = 0;
        char text[96], v[24];
        for (int k = 0; k < SPANS; k++) {
            double s = nj_html_number(of, span[k].key);
            if (!(s > 0)) continue;
            snprintf(text, sizeof text, "%s %s", span[k].key, nj_html_duration(v, 1e9 * s));
            nj_svg_bar(out, 100 * at / scale, y, 100 * s / scale, BAR, span[k].class, text);
            at += s;
        }
        snprintf(text, sizeof text, "%s %.14g", nj_html_words(e, "survey"), nj_html_number(e, "exposure"));
        nj_svg_label(out, 0, y - 4, "start", "name", text);
        nj_svg_label(out, 100, y - 4, "end", "name", nj_html_duration(v, 1e9 * nj_html_number(e, "total_s")));
    }
    budget_line(out, 100 * budget / scale, bottom, 1e9 * budget);
    nj_buffer_text(out, "</svg>");
}
