/* svg.c - charts scale with the page but their text must not, so their x coordinates are percentages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svg_parts.h"

enum { ROW = 38, BAR = 14 };

const char *nj_html_si(char text[24], double v)
{
    static const char *const suffix[] = { "", "k", "M", "G", "T" };
    int s = 0;
    if (!isfinite(v)) return strcpy(text, "–");
    while (fabs(v) >= 999.5 && s < 4) v /= 1000, s++;
    snprintf(text, 24, "%.3g%s", v, suffix[s]);
    return text;
}

const char *nj_html_duration(char text[24], double ns)
{
    static const struct {
        double upto, unit;
        const char *name;
    } step[] = { { 999.5, 1, "ns" }, { 999.5e3, 1e3, "µs" }, { 999.5e6, 1e6, "ms" }, { INFINITY, 1e9, "s" } };
    if (!isfinite(ns)) return strcpy(text, "–");
    int i = 0;
    while (!(ns < step[i].upto)) i++;
    snprintf(text, 24, "%.3g %s", ns / step[i].unit, step[i].name);
    return text;
}

void nj_svg_label(nj_buffer *out, double x, double y, const char *anchor, const char *class, const char *text)
{
    nj_buffer_printf(out, "<text x=\"%.2f%%\" y=\"%.0f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor,
                     class);
    nj_html_text(out, text);
    nj_buffer_text(out, "</text>");
}

void nj_svg_line(nj_buffer *out, double x1, double y1, double x2, double y2, const char *class)
{
    nj_buffer_printf(out, "<line x1=\"%.2f%%\" y1=\"%.1f\" x2=\"%.2f%%\" y2=\"%.1f\" class=\"%s\"/>", x1, y1,
                     x2, y2, class);
}

void nj_svg_bar(nj_buffer *out, double x, double y, double width, double height, const char *class,
                const char *tip)
{
    nj_buffer_printf(out,
                     "<rect x=\"%.2f%%\" y=\"%.1f\" width=\"%.2f%%\" height=\"%.1f\" class=\"%s\"><title>", x,
                     y, fmax(width, 0.15), height, class);
    nj_html_text(out, tip);
    nj_buffer_text(out, "</title></rect>");
}

void nj_svg_begin(nj_buffer *out, double height, const char *what)
{
    nj_buffer_printf(out, "<svg width=\"100%%\" height=\"%.0f\" role=\"img\" aria-label=\"", height);
    nj_markup_text(out, what);
    nj_buffer_text(out, "\">");
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

/* Lines at what a core must do to be through with an exposure in 1 s and in 2 s; one label row each. */
static void exposure_lines(nj_buffer *out, const axis *a, const nj_exposure *e, uint32_t n, double bottom)
{
    double y = 14;
    for (uint32_t i = 0; i < n; i++)
        for (int seconds = 1; seconds <= 2; seconds++, y += 16) {
            char text[128], speed[24];
            double need = e[i].alerts / e[i].cores / seconds, x = at(a, need);
            snprintf(text, sizeof text, "%s %d s: %s/s (%.0f alerts, %.0f cores)", e[i].name, seconds,
                     nj_html_si(speed, need), e[i].alerts, e[i].cores);
            nj_svg_line(out, x, y - 9, x, bottom, "limit");
            nj_buffer_printf(out, "<text x=\"%.2f%%\" y=\"%.0f\" dx=\"4\" class=\"note\">", x, y);
            nj_html_text(out, text);
            nj_buffer_text(out, "</text>");
        }
}

void nj_svg_throughput(nj_buffer *out, const nj_html_stage *s, uint32_t n, const nj_exposure *e,
                       uint32_t n_exposures)
{
    axis a = axis_of(s, n);
    char text[64], v[24];
    double top = 16 * 2 * n_exposures + 8, bottom = top + ROW * n;
    nj_svg_begin(out, bottom + 36, "alerts per second and core, log axis");
    for (double d = a.lo; d <= a.hi; d++) {
        double x = at(&a, pow(10, d));
        nj_svg_line(out, x, top, x, bottom, "grid");
        nj_svg_label(out, x, bottom + 16,
                     d == a.lo   ? "start"
                     : d == a.hi ? "end"
                                 : "middle",
                     "note", nj_html_si(v, pow(10, d)));
    }
    nj_svg_label(out, 50, bottom + 32, "middle", "note", "alerts per second and core");
    for (uint32_t i = 0; i < n; i++) { /* bars below the lines below the words */
        double y = top + ROW * i + 18, x = at(&a, s[i].onsky);
        nj_svg_bar(out, 0, y, x, BAR, s[i].is_module ? "module" : "stage", s[i].name);
        if (!isfinite(s[i].low) || !isfinite(s[i].high)) continue;
        double x1 = at(&a, s[i].low), x2 = at(&a, s[i].high), m = y + BAR / 2.0;
        nj_svg_line(out, x1, m, x2, m, "whisker");
        nj_svg_line(out, x1, m - 4, x1, m + 4, "whisker");
        nj_svg_line(out, x2, m - 4, x2, m + 4, "whisker");
    }
    exposure_lines(out, &a, e, n_exposures, bottom);
    for (uint32_t i = 0; i < n; i++) {
        double y = top + ROW * i + 18;
        snprintf(text, sizeof text, "%s/s", nj_html_si(v, s[i].onsky));
        nj_svg_label(out, 0, y - 4, "start", "name", s[i].name);
        nj_svg_label(out, 100, y - 4, "end", "name", text);
    }
    nj_buffer_text(out, "</svg>");
}

/* ---- shares and funnels ---------------------------------------------------------------------- */

void nj_svg_share(nj_buffer *out, const nj_html_stage *s, uint32_t n)
{
    double most = 1e-9;
    for (uint32_t i = 0; i < n; i++) most = fmax(most, s[i].share);
    nj_svg_begin(out, ROW * n + 4.0, "share of the CPU time");
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        double y = ROW * i + 18;
        snprintf(text, sizeof text, "%.*f %%", s[i].share < 0.001 ? 3 : 1, 100 * s[i].share);
        nj_svg_label(out, 0, y - 4, "start", "name", s[i].name);
        nj_svg_label(out, 100, y - 4, "end", "name", text);
        nj_svg_bar(out, 0, y, 100 * s[i].share / most, BAR, s[i].is_module ? "module" : "stage", text);
    }
    nj_buffer_text(out, "</svg>");
}

/* offered, passed, hits, flagged: each within the one before, so drawn over it. */
void nj_svg_funnel(nj_buffer *out, const nj_html_stage *s, uint32_t n)
{
    nj_svg_begin(out, ROW * n + 4.0, "offered, passed, hits and flagged alerts of each module");
    for (uint32_t i = 0; i < n; i++) {
        static const char *const class[] = { "offered", "passed", "hits", "flagged" };
        const double value[] = { s[i].offered, s[i].passed, s[i].hits, s[i].flagged };
        char text[128];
        double y = ROW * i + 18;
        nj_svg_label(out, 0, y - 4, "start", "name", s[i].name);
        snprintf(text, sizeof text, "%.0f → %.0f → %.0f → %.0f", value[0], value[1], value[2], value[3]);
        nj_svg_label(out, 100, y - 4, "end", "name", text);
        for (int k = 0; k < 4; k++)
            if (value[k] > 0)
                nj_svg_bar(out, 0, y + 2 * k, 100 * value[k] / fmax(s[i].offered, 1),
                           BAR - 4 * k + (k == 3 ? 2 : 0), class[k], text);
    }
    nj_buffer_text(out, "</svg>");
}

/* ---- distribution of run times --------------------------------------------------------------- */

static void mark(nj_buffer *out, const axis *a, double ns, double y, const char *name)
{
    char text[48], v[24];
    double x = at(a, ns);
    nj_svg_line(out, x, 4, x, 74, "mark");
    snprintf(text, sizeof text, "%s %s", name, nj_html_duration(v, ns));
    nj_svg_label(out, x, y, x > 50 ? "end" : "start", "note", text);
}

void nj_svg_histogram(nj_buffer *out, const json_t *cells, double p50_ns, double p99_ns)
{
    size_t n = json_array_size(cells);
    double most = 0, first = json_number_value(json_array_get(json_array_get(cells, 0), 0));
    double last = json_number_value(json_array_get(json_array_get(cells, n - 1), 0));
    axis a = { log10(fmax(first, 1)), log10(fmax(last, 2) * 1.125) };
    if (a.hi - a.lo < 0.3) a.hi = a.lo + 0.3;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, json_number_value(json_array_get(json_array_get(cells, i), 1)));
    nj_svg_begin(out, 114, "distribution of run times");
    for (size_t i = 0; i < n; i++) {
        double ns = json_number_value(json_array_get(json_array_get(cells, i), 0)),
               k = json_number_value(json_array_get(json_array_get(cells, i), 1));
        double x = at(&a, ns), width = at(&a, fmax(ns, 1) * 1.1) - x, height = fmax(70 * k / most, 1);
        char text[64], v[24];
        snprintf(text, sizeof text, "%s: %.0f", nj_html_duration(v, ns), k);
        nj_svg_bar(out, x, 74 - height, fmax(width, 0.6), height, "module", text);
    }
    nj_svg_line(out, 0, 74, 100, 74, "base");
    mark(out, &a, p50_ns, 90, "p50");
    mark(out, &a, p99_ns, 106, "p99");
    nj_buffer_text(out, "</svg>");
}
