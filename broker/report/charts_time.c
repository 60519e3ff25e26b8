/* charts_time.c - a run along its length, and where the time of its exposures went, as charts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../measure/stats.h"
#include "charts.h"
#include "json_get.h"

static double clamp(double v, double lo, double hi)
{
    return fmin(fmax(v, lo), hi);
}

/* ---- drift ----------------------------------------------------------------------------------- */

enum { DRIFT_TOP = 8, DRIFT_BOTTOM = 84, DRIFT_LEFT = 17 }; /* as in drift.svg */

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
    for (size_t i = 0; i < n; i++) x[i] = nj_get_pair(points, i, 0), y[i] = nj_get_pair(points, i, 1);
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

static void put_drift(nj_template_values *v, json_t *list, const char *name, const json_t *drift)
{
    const json_t *points = json_object_get(drift, "points");
    const size_t n = json_array_size(points);
    frame f;
    double x, y;
    if (n < 2) return;
    if (frame_of(points, n, &f, &x, &y)) {
        v->failed = true;
        return;
    }
    double slope = nj_get_number(drift, "percent_per_1000") * y / 1e5; /* ns per batch, through the medians */
    json_t *chart = nj_template_put(
        v, list, "name=%s change_percent=%g p=%g significant=%d highest=%g lowest=%g first=%g last=%g", name,
        nj_get_number(drift, "change_percent"), nj_get_number(drift, "p"),
        json_is_true(json_object_get(drift, "drifts")), f.y1, f.y0, f.x0, f.x1);
    json_t *list_of_points = nj_template_list(v, chart, "points"),
           *trend = nj_template_list(v, chart, "trend");
    for (size_t i = 0; i < n; i++)
        nj_template_put(v, list_of_points, "x=%g y=%g", x_in(&f, nj_get_pair(points, i, 0)),
                        y_in(&f, nj_get_pair(points, i, 1)));
    if (isfinite(slope))
        nj_template_put(v, trend, "x1=%g y1=%g x2=%g y2=%g", x_in(&f, f.x0), y_in(&f, y + slope * (f.x0 - x)),
                        x_in(&f, f.x1), y_in(&f, y + slope * (f.x1 - x)));
}

void nj_chart_drifts(nj_template_values *v, const json_t *run)
{
    size_t i;
    json_t *m, *list = nj_template_list(v, NULL, "drifts");
    json_array_foreach(json_object_get(run, "modules"), i, m)
    {
        const json_t *drift = json_object_get(m, "drift");
        if (nj_get_number(drift, "n") >= 3) put_drift(v, list, nj_get_text(m, "name"), drift);
    }
    nj_template_put(v, NULL, "drifting=%d", json_array_size(list) > 0);
}

/* ---- exposures ------------------------------------------------------------------------------- */

enum { SPANS = 6, STEP = 34, MOST_WORST = 12 };
static const double thinnest = 0.15;

static const struct {
    const char *key, *class;
} span[SPANS] = { { "arrive", "span0" },  { "queue", "span1" },  { "decode", "span2" },
                  { "modules", "span3" }, { "filter", "span4" }, { "publish", "span5" } };

static double ns_of(const json_t *spans, const char *key, const char *which)
{
    double s = nj_get_number(json_object_get(spans, key), which);
    return isfinite(s) ? 1e9 * s : 0;
}

static void put_budget(nj_template_values *v, json_t *chart, double x, double bottom, double ns)
{
    json_t *budget = nj_template_object(v, chart, "budget");
    nj_template_put(v, budget, "x=%g bottom=%g ns=%g anchor=%s", x, bottom, ns, x > 50 ? "end" : "start");
}

void nj_chart_waterfall(nj_template_values *v, const json_t *exposures)
{
    const json_t *spans = json_object_get(exposures, "spans"), *total = json_object_get(exposures, "total");
    double budget = 1e9 * nj_get_number(exposures, "broker_budget_s"),
           scale = 1e9 * nj_get_number(total, "p99_s"), start = 0;
    for (int k = 0; k < SPANS; k++) {
        scale = fmax(scale, start + ns_of(spans, span[k].key, "p99_s"));
        start += ns_of(spans, span[k].key, "p50_s");
    }
    const bool shown = budget > 0 && budget < 3 * scale;
    if (shown) scale = fmax(scale, 1.02 * budget);
    scale = fmax(scale, 1);
    json_t *chart = nj_template_object(v, NULL, "waterfall");
    nj_template_list(v, chart, "budget"); /* empty */
    if (shown) put_budget(v, chart, 100 * budget / scale, 18 + STEP * (SPANS + 1), budget);
    json_t *rows = nj_template_list(v, chart, "rows");
    start = 0;
    for (int k = 0; k <= SPANS; k++) {
        const json_t *of = k < SPANS ? json_object_get(spans, span[k].key) : total;
        double p50 = 1e9 * nj_get_number(of, "p50_s"), p99 = 1e9 * nj_get_number(of, "p99_s"),
               from = k < SPANS ? start : 0;
        nj_template_put(v, rows, "name=%s class=%s y=%g x=%g width=%g from=%g to=%g p50=%g p99=%g max=%g",
                        k < SPANS ? span[k].key : "all of it", k < SPANS ? span[k].class : "stage",
                        34.0 + STEP * k, 100 * from / scale, fmax(100 * p50 / scale, thinnest),
                        100 * (from + p50) / scale, 100 * clamp((from + p99) / scale, 0, 1), p50, p99,
                        1e9 * nj_get_number(of, "max_s"));
        start += k < SPANS ? p50 : 0;
    }
}

void nj_chart_slowest(nj_template_values *v, const json_t *exposures)
{
    nj_template_list(v, NULL, "slowest"); /* empty */
    const json_t *worst = json_object_get(exposures, "worst");
    const size_t n = json_array_size(worst) < MOST_WORST ? json_array_size(worst) : MOST_WORST;
    double scale = fmax(nj_get_number(json_array_get(worst, 0), "total_s"), 1e-9),
           budget = nj_get_number(exposures, "broker_budget_s"), bottom = 20 + STEP * (double)n;
    if (!n) return;
    json_t *chart = nj_template_object(v, NULL, "slowest");
    nj_template_put(v, chart, "bottom=%g", bottom);
    put_budget(v, chart, 100 * budget / scale, bottom, 1e9 * budget);
    json_t *rows = nj_template_list(v, chart, "rows");
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(worst, i), *of = json_object_get(e, "spans_s");
        json_t *row = nj_template_put(v, rows, "survey=%s exposure=%g total=%g y=%g",
                                      nj_get_text(e, "survey"), nj_get_number(e, "exposure"),
                                      1e9 * nj_get_number(e, "total_s"), 36.0 + STEP * (double)i);
        json_t *bars = nj_template_list(v, row, "bars");
        double at = 0;
        for (int k = 0; k < SPANS; k++) {
            double s = nj_get_number(of, span[k].key);
            if (!(s > 0)) continue;
            nj_template_put(v, bars, "span=%s class=%s ns=%g x=%g width=%g", span[k].key, span[k].class,
                            1e9 * s, 100 * at / scale, fmax(100 * s / scale, thinnest));
            at += s;
        }
    }
}
