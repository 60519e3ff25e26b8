/* hostless_plots.c - the figures of a review page are SVG inside the HTML, so that a page is one file; this
 * computes where their lines and points stand. */
#include "hostless_plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../view/chart.h"

/* --- PNG in base64 --- */

static void big_endian(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void add_chunk(nj_buffer *png, const char *type, const uint8_t *data, uint32_t n)
{
    uint8_t word[4];
    big_endian(word, n);
    nj_buffer_add(png, word, 4);
    nj_buffer_add(png, type, 4);
    nj_buffer_add(png, data, n);
    big_endian(word, (uint32_t)crc32(crc32(0, (const uint8_t *)type, 4), data, n));
    nj_buffer_add(png, word, 4);
}

static void add_base64(nj_buffer *out, const uint8_t *byte, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)byte[i] << 16 | (i + 1 < n ? (uint32_t)byte[i + 1] << 8 : 0) |
                     (i + 2 < n ? byte[i + 2] : 0);
        char four[4] = { digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
                         i + 2 < n ? digit[v & 63] : '=' };
        nj_buffer_add(out, four, 4);
    }
}

void nj_plot_png(nj_buffer *out, const nj_picture *picture, float lo, float hi, uint8_t bits)
{
    const uint32_t rows = picture->rows, cols = picture->cols;
    const size_t width = bits == 4 ? (cols + 1) / 2 : cols, n = (size_t)rows * (width + 1);
    uLongf packed = compressBound(n);
    uint8_t *raw = malloc(n), *deflated = malloc(packed), header[13] = { 0 };
    nj_buffer png = { 0 };
    if (!raw || !deflated) {
        out->failed = 1;
        goto done;
    }
    for (uint32_t row = 0; row < rows; row++) {
        uint8_t *line = raw + (size_t)row * (width + 1);
        memset(line, 0, width + 1); /* no filter */
        for (uint32_t col = 0; col < cols; col++) {
            float v = picture->pixel[(size_t)(rows - 1 - row) * cols + col],
                  t = (v - lo) / (hi > lo ? hi - lo : 1);
            uint8_t grey = !(v > -1e30f && v < 1e30f) ? 128 : (uint8_t)(255 * fminf(fmaxf(t, 0), 1));
            if (bits == 4)
                line[1 + col / 2] |= (uint8_t)(col % 2 ? grey >> 4 : grey & 0xf0);
            else
                line[1 + col] = grey;
        }
    }
    compress2(deflated, &packed, raw, n, 9);
    big_endian(header, cols);
    big_endian(header + 4, rows);
    header[8] = bits; /* grey */
    nj_buffer_add(&png, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(&png, "IHDR", header, 13);
    add_chunk(&png, "IDAT", deflated, (uint32_t)packed);
    add_chunk(&png, "IEND", header, 0);
    nj_buffer_text(out, "data:image/png;base64,");
    add_base64(out, (const uint8_t *)png.data, png.n);
    out->failed |= png.failed;
done:
    free(raw);
    free(deflated);
    nj_buffer_free(&png);
}

/* --- stamps --- */

/* Borders between masked and other pixels, in pixel coordinates with the first row at the bottom. */
static void add_outline(nj_buffer *out, const uint8_t *mask, uint32_t rows, uint32_t cols)
{
#define MASKED(r, c) ((r) < rows && (c) < cols && mask[(size_t)(r)*cols + (c)])
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols; c++) {
            if (!MASKED(r, c)) continue;
            uint32_t top = rows - 1 - r;
            if (!MASKED(r + 1, c)) nj_buffer_printf(out, "M%u %uh1", c, top);
            if (!MASKED(r - 1, c)) nj_buffer_printf(out, "M%u %uh1", c, top + 1);
            if (!MASKED(r, c - 1)) nj_buffer_printf(out, "M%u %uv1", c, top);
            if (!MASKED(r, c + 1)) nj_buffer_printf(out, "M%u %uv1", c + 1, top);
        }
#undef MASKED
}

/* Missing pixels and those of no sensible value, a run at a time. */
static void add_holes(nj_buffer *out, const nj_picture *p)
{
    for (uint32_t r = 0; r < p->rows; r++)
        for (uint32_t c = 0, run; c < p->cols; c += run + 1) {
            for (run = 0; c + run < p->cols; run++) {
                float v = p->pixel[(size_t)r * p->cols + c + run];
                if (v > -1e30f && v < 1e30f) break;
            }
            if (run) nj_buffer_printf(out, "M%u %uh%uv1h-%uz", c, p->rows - 1 - r, run, run);
        }
}

/* A path or an address that was made by one of the functions above; frees it. */
static void put_text(nj_template_values *v, json_t *to, const char *name, nj_buffer *text)
{
    if (text->failed || json_object_set_new(to, name, json_string(text->data ? text->data : "")))
        v->failed = true;
    nj_buffer_free(text);
}

void nj_plot_stamp(nj_template_values *v, json_t *to, const nj_picture *p, float lo, float hi,
                   const uint8_t *mask, double arcsec_per_pixel)
{
    const bool known = arcsec_per_pixel > 0; /* else the bar is ten pixels long */
    nj_buffer png = { 0 }, holes = { 0 }, outline = { 0 };
    const uint32_t side = NJ_PLOT_BOX, left = p->cols / 2 - side / 2, first = p->rows / 2 - side / 2;
    nj_plot_png(&png, p, lo, hi, 8);
    add_holes(&holes, p);
    if (mask) add_outline(&outline, mask, p->rows, p->cols);
    nj_template_put(v, to, "cols=%u rows=%u title=%s bar_x=%g bar_y=%g bar=%g unit=%s", p->cols, p->rows,
                    p->title, (double)p->cols * 0.06, (double)p->rows * 0.94,
                    known ? 10 / arcsec_per_pixel : 10, known ? "″" : " px");
    put_text(v, to, "png", &png);
    put_text(v, to, "holes", &holes);
    put_text(v, to, "outline", &outline);
    json_t *box = nj_template_list(v, to, "box");
    if (p->rows >= side && p->cols >= side)
        nj_template_put(v, box, "x=%u y=%u", left, p->rows - first - side);
}

/* --- plots with axes --- */

typedef struct frame {
    double left, right, top, bottom; /* px: the axes' place */
    double x0, x1, y0, y1;           /* values at the axes' ends */
} frame;

static double at_x(const frame *f, double x)
{
    return f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}
static double at_y(const frame *f, double y)
{
    return f->bottom + (y - f->y0) / (f->y1 - f->y0) * (f->top - f->bottom);
}

/* The axes of a picture of that size, with lists for their ticks. */
static frame open_plot(nj_template_values *v, json_t *to, double w, double h)
{
    const frame f = { 48, w - 10, 12, h - 34, 0, 1, 0, 1 };
    nj_template_put(v, to, "left=%g right=%g top=%g bottom=%g", f.left, f.right, f.top, f.bottom);
    nj_template_list(v, to, "x_ticks");
    nj_template_list(v, to, "y_ticks");
    return f;
}

static void x_tick(nj_template_values *v, json_t *to, const frame *f, double x, const char *text)
{
    nj_template_put(v, json_object_get(to, "x_ticks"), "x=%g text=%s", at_x(f, x), text);
}
static void y_tick(nj_template_values *v, json_t *to, const frame *f, double y, const char *text)
{
    nj_template_put(v, json_object_get(to, "y_ticks"), "y=%g text=%s", at_y(f, y), text);
}

static const char *colour_of(char text[24], uint8_t band)
{
    const uint8_t *c = nj_band_style_of(band)->rgb;
    snprintf(text, 24, "rgb(%d,%d,%d)", c[0], c[1], c[2]);
    return text;
}

static void put_points(nj_template_values *v, json_t *to, const frame *f, const nj_curve_point *point,
                       uint32_t n, double jd)
{
    json_t *points = nj_template_list(v, to, "points");
    for (uint32_t i = 0; i < n; i++) {
        const nj_curve_point *p = &point[i];
        char colour[24];
        json_t *item =
            nj_template_put(v, points, "x=%g colour=%s", at_x(f, p->jd - jd), colour_of(colour, p->band));
        json_t *limit = nj_template_list(v, item, "limit"), *error = nj_template_list(v, item, "error"),
               *mark = nj_template_list(v, item, "mark");
        if (isnan(p->mag)) {
            if (!isnan(p->limit_mag)) nj_template_put(v, limit, "y=%g", at_y(f, p->limit_mag));
            continue;
        }
        if (p->mag_err > 0)
            nj_template_put(v, error, "from=%g to=%g", at_y(f, p->mag - p->mag_err),
                            at_y(f, p->mag + p->mag_err));
        /* open: fainter than the template */
        nj_template_put(v, mark, "y=%g fill=%s", at_y(f, p->mag), p->positive == 0 ? "white" : colour);
    }
}

void nj_plot_curve(nj_template_values *v, const nj_curve_point *point, uint32_t n)
{
    nj_chart chart;
    char text[64];
    if (nj_chart_fit(&chart, point, n)) {
        nj_template_list(v, NULL, "curve"); /* none */
        return;
    }
    json_t *to = nj_template_object(v, NULL, "curve");
    frame f = open_plot(v, to, 620, 250);
    f.x0 = chart.first_day, f.x1 = chart.last_day, f.y0 = chart.faint, f.y1 = chart.bright;
    for (double m = ceil(chart.bright / chart.mag_step) * chart.mag_step; m <= chart.faint + 1e-9;
         m += chart.mag_step) {
        snprintf(text, sizeof text, "%g", round(m * 100) / 100);
        y_tick(v, to, &f, m, text);
    }
    double span = f.x1 - f.x0, step = pow(10, floor(log10(span / 3)));
    while (span / step > 7) step *= step * 2 > span / 3 ? 2 : 2.5;
    for (double d = ceil(f.x0 / step) * step; d <= f.x1 + 1e-9; d += step) {
        snprintf(text, sizeof text, "%g", fabs(d) < step / 2 ? 0 : round(d / step) * step);
        x_tick(v, to, &f, d, text);
    }
    put_points(v, to, &f, point, n, chart.jd);
    json_t *bands = nj_template_list(v, to, "bands");
    for (uint32_t b = 0; b < chart.n_bands; b++)
        nj_template_put(v, bands, "x=%g colour=%s name=%s", f.left + 14 + 34 * b,
                        colour_of(text, chart.band[b]), nj_band_style_of(chart.band[b])->name);
    nj_template_put(v, to, "jd=%g", chart.jd);
}

/* --- spectra and distances --- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void add_step(nj_buffer *path, bool first, double x, double y)
{
    nj_buffer_printf(path, "%c%.1f %.1f", first ? 'M' : 'L', x, y);
}

void nj_plot_power(nj_template_values *v, json_t *to, const float *area, uint32_t n_bins, uint32_t side_px,
                   double arcsec_per_pixel)
{
    enum { SHUFFLES = NJ_ELEPHANT_SHUFFLES };
    double low[NJ_SPECTRUM_BINS], high[NJ_SPECTRUM_BINS], own[NJ_SPECTRUM_BINS], lo = 0.4, hi = 2.5;
    char text[64];
    for (uint32_t b = 0; b < n_bins; b++) {
        float sorted[SHUFFLES];
        memcpy(sorted, area + b * NJ_ELEPHANT_STRIDE, sizeof sorted);
        qsort(sorted, SHUFFLES, sizeof *sorted, by_size);
        double median = (sorted[SHUFFLES / 2 - 1] + (double)sorted[SHUFFLES / 2]) / 2;
        low[b] = sorted[SHUFFLES / 20] / median;
        high[b] = sorted[SHUFFLES - SHUFFLES / 20 - 1] / median;
        own[b] = fmax(area[b * NJ_ELEPHANT_STRIDE + SHUFFLES] / median, 1e-6);
        lo = fmin(lo, fmin(own[b], low[b]) / 1.2), hi = fmax(hi, fmax(own[b], high[b]) * 1.2);
    }
    const bool known = arcsec_per_pixel > 0;
    const double side = side_px * (known ? arcsec_per_pixel : 1);
    frame f = open_plot(v, to, 420, 220);
    f.x0 = -log10(side * 1.15), f.x1 = -log10(side / n_bins / 1.1), f.y0 = log10(lo), f.y1 = log10(hi);
    for (int decade = -4; decade <= 6; decade++)
        for (int m = 1; m < 10; m += m == 1 ? 1 : 3) { /* 1 2 5 */
            double value = m * pow(10, decade);
            if (value < lo || value > hi || (hi / lo > 100 && m > 1)) continue;
            snprintf(text, sizeof text, "%g", value);
            y_tick(v, to, &f, log10(value), text);
        }
    for (uint32_t b = 0; b < n_bins; b += b < 3 ? 1 : n_bins > 7 ? 3 : 2) {
        snprintf(text, sizeof text, "%.1f", side / (b + 1));
        x_tick(v, to, &f, -log10(side / (b + 1)), text);
    }
    nj_buffer band = { 0 }, line = { 0 };
    for (uint32_t b = 0; b < n_bins; b++) {
        const double x = at_x(&f, -log10(side / (b + 1)));
        add_step(&band, b == 0, x, at_y(&f, log10(high[b])));
        add_step(&line, b == 0, x, at_y(&f, log10(own[b])));
    }
    for (uint32_t b = n_bins; b-- > 0;)
        add_step(&band, false, at_x(&f, -log10(side / (b + 1))), at_y(&f, log10(low[b])));
    put_text(v, to, "band", &band);
    put_text(v, to, "own", &line);
    nj_template_put(v, to, "from=%g to=%g median=%g unit=%s", at_x(&f, -log10(side)),
                    at_x(&f, -log10(side / n_bins)), at_y(&f, 0), known ? "arcsec" : "pixel");
}

/* Cumulative fraction of sorted values at quantiles, as a path. */
static void put_cumulative(nj_template_values *v, json_t *to, const char *name, const frame *f,
                           const float *sorted, uint32_t n)
{
    nj_buffer path = { 0 };
    for (uint32_t q = 0; q <= 200; q++) {
        uint32_t i = (uint32_t)((uint64_t)q * (n - 1) / 200);
        add_step(&path, q == 0, fmin(fmax(at_x(f, log10(fmax(sorted[i], 1e-30f))), f->left), f->right),
                 at_y(f, (i + 1.0) / n));
    }
    put_text(v, to, name, &path);
}

void nj_plot_distances(nj_template_values *v, json_t *to, const nj_elephant_work *work)
{
    enum { NX = NJ_ELEPHANT_SHUFFLES };
    float x[NX], *y = malloc(work->n_y * sizeof *y + 1);
    uint32_t n_y = 0;
    if (!y) {
        v->failed = true;
        return;
    }
    memcpy(x, work->x, sizeof x);
    for (uint32_t i = 0; i < work->n_y; i++)
        if (work->y[i] < INFINITY) y[n_y++] = work->y[i];
    qsort(x, NX, sizeof *x, by_size);
    qsort(y, n_y, sizeof *y, by_size);
    double best = 0, where = x[0], from = 0, upto = 0;
    for (uint32_t i = 0, j = 0; i < NX; i++) { /* where the two are farthest apart */
        while (j < n_y && y[j] < x[i]) j++;
        double below = (double)j / n_y - (double)i / NX, above = (i + 1.0) / NX - (double)j / n_y;
        if (fmax(below, above) <= best) continue;
        best = fmax(below, above), where = x[i], from = (double)j / n_y,
        upto = below > above ? (double)i / NX : (i + 1.0) / NX;
    }
    frame f = open_plot(v, to, 420, 220);
    f.x0 = log10(fmax(fmin(x[0], y[n_y / 1000]), 1e-30)),
    f.x1 = log10(fmax(x[NX - 1], y[n_y - 1 - n_y / 1000]));
    if (!(f.x1 > f.x0)) f.x1 = f.x0 + 1;
    y_tick(v, to, &f, 0, "0"), y_tick(v, to, &f, 0.5, "0.5"), y_tick(v, to, &f, 1, "1");
    put_cumulative(v, to, "other", &f, y, n_y);
    put_cumulative(v, to, "own", &f, x, NX);
    nj_template_put(v, to, "x=%g from=%g to=%g d=%g", at_x(&f, log10(where)), at_y(&f, from), at_y(&f, upto),
                    best);
    free(y);
}

void nj_plot_verdict(nj_template_values *v, json_t *to, const nj_hostless_page *page)
{
    static const char *const name[2] = { "science", "template" };
    const frame f = { 70, 610, 0, 70, 0, 1, 0, 1 }; /* as in verdict.svg */
    json_t *rows = nj_template_list(v, to, "rows");
    nj_template_list(v, to, "x_ticks");
    nj_template_put(v, to, "bottom=%g", f.bottom);
    for (int k = 0; k < 2; k++) {
        const double d = page->ks[k], sd = page->sd[k], error = sd / sqrt(page->repeats);
        json_t *row = nj_template_put(v, rows, "name=%s y=%g limit=%g edge=%g", name[k], 18.0 + 30 * k,
                                      page->limit[k], at_x(&f, page->limit[k]));
        json_t *spread = nj_template_list(v, row, "spread"), *mark = nj_template_list(v, row, "mark");
        if (!isnan(d)) nj_template_put(v, mark, "x=%g", at_x(&f, d));
        if (!isnan(d) && !isnan(sd))
            nj_template_put(v, spread, "from=%g to=%g error_from=%g error_to=%g", at_x(&f, fmax(d - sd, 0)),
                            at_x(&f, fmin(d + sd, 1)), at_x(&f, fmax(d - error, 0)),
                            at_x(&f, fmin(d + error, 1)));
    }
    for (int t = 0; t <= 10; t += 2) {
        char text[16];
        snprintf(text, sizeof text, "%.1f", t / 10.0);
        x_tick(v, to, &f, t / 10.0, text);
    }
}
