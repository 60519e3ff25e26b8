/* figure.c - fits are judged by eye: data and model in one picture that any browser shows. */
#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/template.h"
#include "chart.h"

enum { WIDTH = 720, HEIGHT = 300, LEFT = 70, RIGHT = 708, TOP = 28, BOTTOM = 256, BANDS = 6 };

typedef struct frame {
    double top, x0, x1, y0, y1; /* values at the axes' ends; y0 at the bottom */
} frame;

static double at_x(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (RIGHT - LEFT);
}
static double at_y(const frame *f, double y)
{
    return f->top + BOTTOM + (y - f->y0) / (f->y1 - f->y0) * (TOP - BOTTOM);
}

static void widen(double *low, double *high, double v)
{
    if (!isfinite(v)) return;
    *low = fmin(*low, v);
    *high = fmax(*high, v);
}

/* Lines do not widen the range by more than half of what the points need. */
static frame frame_of(const nj_figure_panel *p, double top)
{
    frame f = { top, INFINITY, -INFINITY, INFINITY, -INFINITY };
    for (uint32_t i = 0; i < p->points.n; i++) {
        const double e = p->points.err ? p->points.err[i] : 0;
        widen(&f.x0, &f.x1, p->points.x[i]);
        widen(&f.y0, &f.y1, p->points.y[i] - e);
        widen(&f.y0, &f.y1, p->points.y[i] + e);
    }
    const double room = 0.5 * (f.y1 - f.y0), least = f.y0 - room, most = f.y1 + room;
    for (uint32_t l = 0; l < p->n_lines; l++)
        for (uint32_t i = 0; i < p->line[l].n; i++) {
            widen(&f.x0, &f.x1, p->line[l].x[i]);
            const double y = p->line[l].y[i];
            widen(&f.y0, &f.y1, p->points.n && isfinite(y) ? fmin(fmax(y, least), most) : y);
        }
    if (!(f.x1 > f.x0)) f.x0 = isfinite(f.x0) ? f.x0 - 0.5 : 0, f.x1 = f.x0 + 1;
    if (!(f.y1 > f.y0)) f.y0 = isfinite(f.y0) ? f.y0 - 0.5 : 0, f.y1 = f.y0 + 1;
    const double x = 0.02 * (f.x1 - f.x0), y = 0.06 * (f.y1 - f.y0);
    f.x0 -= x, f.x1 += x, f.y0 -= y, f.y1 += y;
    if (p->down) {
        const double swap = f.y0;
        f.y0 = f.y1, f.y1 = swap;
    }
    return f;
}

static double step_of(double span)
{
    const double ten = pow(10, floor(log10(span / 4)));
    return span / 4 < 2 * ten ? ten : span / 4 < 5 * ten ? 2 * ten : 5 * ten;
}

static void ticks(nj_template_values *v, json_t *to, const frame *f)
{
    char text[32];
    json_t *x = nj_template_list(v, to, "x_ticks"), *y = nj_template_list(v, to, "y_ticks");
    const double dx = step_of(f->x1 - f->x0), low = fmin(f->y0, f->y1), high = fmax(f->y0, f->y1),
                 dy = step_of(high - low);
    for (double k = ceil(f->x0 / dx); k * dx <= f->x1; k++) {
        snprintf(text, sizeof text, "%.7g", k * dx + 0.0);
        nj_template_put(v, x, "x=%g text=%s", at_x(f, k * dx), text);
    }
    for (double k = ceil(low / dy); k * dy <= high; k++) {
        snprintf(text, sizeof text, "%.5g", k * dy + 0.0);
        nj_template_put(v, y, "y=%g text=%s", at_y(f, k * dy), text);
    }
}

static const char *colour_of(char text[24], uint8_t band)
{
    const uint8_t *c = nj_band_style_of(band)->rgb;
    snprintf(text, 24, "rgb(%d,%d,%d)", c[0], c[1], c[2]);
    return text;
}

static void lines(nj_template_values *v, json_t *to, const nj_figure_panel *p, const frame *f)
{
    json_t *list = nj_template_list(v, to, "lines");
    for (uint32_t l = 0; l < p->n_lines; l++) {
        nj_buffer path = { 0 };
        char colour[24];
        bool pen = false;
        const double low = fmin(f->y0, f->y1), high = fmax(f->y0, f->y1);
        for (uint32_t i = 0; i < p->line[l].n; i++) {
            const double y = p->line[l].y[i];
            const bool in = isfinite(y) && y >= low && y <= high;
            if (in)
                nj_buffer_printf(&path, "%c%.1f %.1f", pen ? 'L' : 'M', at_x(f, p->line[l].x[i]), at_y(f, y));
            pen = in;
        }
        v->failed |= path.failed;
        nj_template_put(v, list, "path=%s colour=%s", path.data ? path.data : "",
                        colour_of(colour, p->line[l].band));
        nj_buffer_free(&path);
    }
}

static void points(nj_template_values *v, json_t *to, const nj_figure_panel *p, const frame *f)
{
    bool seen[BANDS] = { false };
    char colour[24];
    json_t *list = nj_template_list(v, to, "points"), *legend = nj_template_list(v, to, "legend");
    for (uint32_t i = 0; i < p->points.n; i++) {
        const double x = p->points.x[i], y = p->points.y[i], e = p->points.err ? p->points.err[i] : 0;
        if (!isfinite(x) || !isfinite(y) || !isfinite(e)) continue;
        if (p->points.band[i] < BANDS) seen[p->points.band[i]] = true;
        nj_template_put(v, list, "x=%g y=%g from=%g to=%g colour=%s", at_x(f, x), at_y(f, y), at_y(f, y - e),
                        at_y(f, y + e), colour_of(colour, p->points.band[i]));
    }
    for (uint32_t l = 0; l < p->n_lines; l++)
        if (p->line[l].band < BANDS) seen[p->line[l].band] = true;
    int n = 0;
    for (uint8_t b = 0; b < BANDS; b++)
        if (seen[b])
            nj_template_put(v, legend, "x=%d y=%g colour=%s name=%s", RIGHT - 30 - 34 * n++, f->top + TOP + 8,
                            colour_of(colour, b), nj_band_style_of(b)->name);
}

int nj_figure_write(const nj_figure_panel *panel, uint32_t n, nj_buffer *out, nj_error *err)
{
    nj_template_values v = nj_template_begin();
    nj_template_put(&v, NULL, "width=%d height=%u", WIDTH, HEIGHT * n);
    json_t *list = nj_template_list(&v, NULL, "panels");
    for (uint32_t k = 0; k < n; k++) {
        const frame f = frame_of(&panel[k], HEIGHT * (double)k);
        json_t *to = nj_template_put(
            &v, list, "left=%d right=%d top=%g bottom=%g title=%s x_label=%s y_label=%s", LEFT, RIGHT,
            f.top + TOP, f.top + BOTTOM, panel[k].title, panel[k].x_label, panel[k].y_label);
        ticks(&v, to, &f);
        lines(&v, to, &panel[k], &f);
        points(&v, to, &panel[k], &f);
        json_t *marks = nj_template_list(&v, to, "marks");
        if (isfinite(panel[k].mark)) nj_template_put(&v, marks, "x=%g", at_x(&f, panel[k].mark));
    }
    const int rc = nj_template_write("figure.svg", &v, out, err);
    nj_template_end(&v);
    return rc;
}
