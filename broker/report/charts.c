/* charts.c - charts scale with the page but their text must not, so their x coordinates are percentages;
 * these are computed here. */
#include "charts.h"

#include <math.h>
#include <stdio.h>

#include "json_get.h"

enum { ROW = 38, BAR = 14 };
static const double thinnest = 0.15; /* of a bar that is there at all */

static const char *colour(const nj_html_stage *s)
{
    return s->is_module ? "module" : "stage";
}

/* ---- throughput on a log axis ---------------------------------------------------------------- */

typedef struct axis {
    double lo, hi; /* decades */
} axis;

static double at(const axis *a, double v)
{
    double x = v > 0 ? (log10(v) - a->lo) / (a->hi - a->lo) : 0;
    return 100 * fmin(fmax(x, 0), 1);
}

/* From 10, as the field's own plot begins, or below the slowest. */
static axis axis_of(const nj_html_stage *s, uint32_t n)
{
    axis a = { 1, 3 };
    for (uint32_t i = 0; i < n; i++) {
        if (!(s[i].onsky > 0)) continue;
        a.lo = fmin(a.lo, floor(log10(s[i].onsky)));
        a.hi = fmax(a.hi, ceil(log10(s[i].onsky)));
    }
    return a;
}

/* What a core must do to be through with an exposure in 1 s and in 2 s; one label row each. */
static void put_limits(nj_template_values *v, json_t *chart, const axis *a, const nj_page *p)
{
    json_t *limits = nj_template_list(v, chart, "limits");
    double y = 14;
    for (uint32_t i = 0; i < p->n_exposures; i++)
        for (int seconds = 1; seconds <= 2; seconds++, y += 16) {
            const nj_exposure *e = &p->exposure[i];
            double need = e->alerts / e->cores / seconds;
            nj_template_put(v, limits, "x=%g y=%g name=%s seconds=%d need=%g alerts=%g cores=%g", at(a, need),
                            y, e->name, seconds, need, e->alerts, e->cores);
        }
}

void nj_chart_throughput(nj_template_values *v, const nj_html_stage *s, uint32_t n, const nj_page *p)
{
    axis a = axis_of(s, n);
    double top = 16 * 2 * p->n_exposures + 8;
    json_t *chart = nj_template_object(v, NULL, "throughput");
    nj_template_put(v, chart, "top=%g bottom=%g", top, top + ROW * n);
    json_t *ticks = nj_template_list(v, chart, "ticks"), *rows = nj_template_list(v, chart, "rows");
    for (double d = a.lo; d <= a.hi; d++)
        nj_template_put(v, ticks, "x=%g anchor=%s value=%g", at(&a, pow(10, d)),
                        d == a.lo   ? "start"
                        : d == a.hi ? "end"
                                    : "middle",
                        pow(10, d));
    for (uint32_t i = 0; i < n; i++) {
        json_t *row =
            nj_template_put(v, rows, "name=%s class=%s y=%g width=%g speed=%g", s[i].name, colour(&s[i]),
                            top + ROW * i + 18, fmax(at(&a, s[i].onsky), thinnest), s[i].onsky);
        json_t *whisker = nj_template_list(v, row, "whisker");
        if (isfinite(s[i].low) && isfinite(s[i].high))
            nj_template_put(v, whisker, "from=%g to=%g", at(&a, s[i].low), at(&a, s[i].high));
    }
    put_limits(v, chart, &a, p);
}

/* ---- shares and funnels ---------------------------------------------------------------------- */

void nj_chart_shares(nj_template_values *v, const nj_html_stage *s, uint32_t n)
{
    double most = 1e-9;
    for (uint32_t i = 0; i < n; i++) most = fmax(most, s[i].share);
    json_t *chart = nj_template_object(v, NULL, "shares");
    nj_template_put(v, chart, "height=%g", ROW * n + 4.0);
    json_t *rows = nj_template_list(v, chart, "rows");
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.*f %%", s[i].share < 0.001 ? 3 : 1, 100 * s[i].share);
        nj_template_put(v, rows, "name=%s class=%s text=%s y=%g width=%g", s[i].name, colour(&s[i]), text,
                        ROW * i + 18.0, fmax(100 * s[i].share / most, thinnest));
    }
}

void nj_chart_funnel(nj_template_values *v, const nj_html_stage *s, uint32_t n)
{
    static const char *const class[] = { "offered", "passed", "hits", "flagged" };
    static const double height[] = { BAR, BAR - 4, BAR - 8, BAR - 10 };
    json_t *chart = nj_template_object(v, NULL, "funnel");
    nj_template_put(v, chart, "height=%g", ROW * n + 4.0);
    json_t *rows = nj_template_list(v, chart, "rows");
    for (uint32_t i = 0; i < n; i++) {
        const double value[] = { s[i].offered, s[i].passed, s[i].hits, s[i].flagged }, y = ROW * i + 18;
        json_t *row = nj_template_put(v, rows, "name=%s y=%g offered=%g passed=%g hits=%g flagged=%g",
                                      s[i].name, y, value[0], value[1], value[2], value[3]);
        json_t *bars = nj_template_list(v, row, "bars");
        for (int k = 0; k < 4; k++)
            if (value[k] > 0)
                nj_template_put(v, bars, "class=%s top=%g width=%g height=%g", class[k], y + 2 * k,
                                fmax(100 * value[k] / fmax(s[i].offered, 1), thinnest), height[k]);
    }
}

/* ---- distribution of run times --------------------------------------------------------------- */

static void put_mark(nj_template_values *v, json_t *marks, const axis *a, const char *name, double ns,
                     double y)
{
    double x = at(a, ns);
    nj_template_put(v, marks, "name=%s ns=%g x=%g y=%g anchor=%s", name, ns, x, y, x > 50 ? "end" : "start");
}

static void put_distribution(nj_template_values *v, json_t *list, const nj_html_stage *s)
{
    const json_t *cells = json_object_get(s->json, "histogram");
    const size_t n = json_array_size(cells);
    double most = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        all += nj_get_pair(cells, i, 1);
        most = fmax(most, nj_get_pair(cells, i, 1));
    }
    if (all < 2) return;
    axis a = { log10(fmax(nj_get_pair(cells, 0, 0), 1)),
               log10(fmax(nj_get_pair(cells, n - 1, 0), 2) * 1.125) };
    if (a.hi - a.lo < 0.3) a.hi = a.lo + 0.3;
    json_t *chart =
        nj_template_put(v, list, "name=%s calls=%g p95=%g", s->name, all, nj_get_number(s->json, "p95_ns"));
    json_t *bars = nj_template_list(v, chart, "bars"), *marks = nj_template_list(v, chart, "marks");
    for (size_t i = 0; i < n; i++) {
        double ns = nj_get_pair(cells, i, 0), k = nj_get_pair(cells, i, 1), x = at(&a, ns),
               height = fmax(70 * k / most, 1);
        nj_template_put(v, bars, "ns=%g n=%g x=%g y=%g width=%g height=%g", ns, k, x, 74 - height,
                        fmax(at(&a, fmax(ns, 1) * 1.1) - x, 0.6), height);
    }
    put_mark(v, marks, &a, "p50", nj_get_number(s->json, "p50_ns"), 90);
    put_mark(v, marks, &a, "p99", nj_get_number(s->json, "p99_ns"), 106);
}

void nj_chart_distributions(nj_template_values *v, const nj_html_stage *s, uint32_t n)
{
    json_t *list = nj_template_list(v, NULL, "distributions");
    for (uint32_t i = 0; i < n; i++) put_distribution(v, list, &s[i]);
}
