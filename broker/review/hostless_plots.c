/* hostless_plots.c - the figures of a review page are SVG inside the HTML, so that a page is one file. */
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
    nj_buffer_text(out, "<path class=mask d=\"");
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols; c++) {
            if (!MASKED(r, c)) continue;
            uint32_t top = rows - 1 - r;
            if (!MASKED(r + 1, c)) nj_buffer_printf(out, "M%u %uh1", c, top);
            if (!MASKED(r - 1, c)) nj_buffer_printf(out, "M%u %uh1", c, top + 1);
            if (!MASKED(r, c - 1)) nj_buffer_printf(out, "M%u %uv1", c, top);
            if (!MASKED(r, c + 1)) nj_buffer_printf(out, "M%u %uv1", c + 1, top);
        }
    nj_buffer_text(out, "\"/>\n");
#undef MASKED
}

/* Missing pixels and those of no sensible value, hatched, a run at a time. */
static void add_holes(nj_buffer *out, const nj_picture *p)
{
    nj_buffer_text(out, "<path fill=\"url(#hatch)\" d=\"");
    for (uint32_t r = 0; r < p->rows; r++)
        for (uint32_t c = 0, run; c < p->cols; c += run + 1) {
            for (run = 0; c + run < p->cols; run++) {
                float v = p->pixel[(size_t)r * p->cols + c + run];
                if (v > -1e30f && v < 1e30f) break;
            }
            if (run) nj_buffer_printf(out, "M%u %uh%uv1h-%uz", c, p->rows - 1 - r, run, run);
        }
    nj_buffer_text(out, "\"/>\n");
}

void nj_plot_stamp(nj_buffer *out, const nj_picture *p, float lo, float hi, const uint8_t *mask, uint32_t box,
                   double arcsec_per_pixel)
{
    const bool known = arcsec_per_pixel > 0; /* else the bar is ten pixels long */
    const double bar = known ? 10 / arcsec_per_pixel : 10, x = (double)p->cols * 0.06,
                 y = (double)p->rows * 0.94;
    nj_buffer_printf(out,
                     "<svg class=stamp viewBox=\"0 0 %u %u\" role=img aria-label=\"%s stamp\">\n<image "
                     "width=%u height=%u href=\"",
                     p->cols, p->rows, p->title, p->cols, p->rows);
    nj_plot_png(out, p, lo, hi, 8);
    nj_buffer_text(out, "\"/>\n");
    add_holes(out, p);
    if (mask) add_outline(out, mask, p->rows, p->cols);
    if (box) {
        uint32_t left = p->cols / 2 - box / 2, first = p->rows / 2 - box / 2;
        nj_buffer_printf(out, "<rect class=box x=%u y=%u width=%u height=%u />\n", left,
                         p->rows - first - box, box, box);
    }
    nj_buffer_printf(
        out, "<path class=bar d=\"M%.2f %.2fh%.2f\"/><text class=bar x=%.2f y=%.2f>10%s</text>\n</svg>\n", x,
        y, bar, x, y - 1.2, known ? "&Prime;" : " px");
}

/* --- plots with axes --- */

typedef struct frame {
    double w, h, left, right, top, bottom; /* px: size, and the axes' place */
    double x0, x1, y0, y1;                 /* values at the axes' ends */
} frame;

static double at_x(const frame *f, double x)
{
    return f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}
static double at_y(const frame *f, double y)
{
    return f->bottom + (y - f->y0) / (f->y1 - f->y0) * (f->top - f->bottom);
}

static frame open_plot(nj_buffer *out, double w, double h, const char *label)
{
    frame f = { w, h, 48, w - 10, 12, h - 34, 0, 1, 0, 1 };
    nj_buffer_printf(out,
                     "<svg class=plot viewBox=\"0 0 %g %g\" role=img aria-label=\"%s\">\n<path class=axis "
                     "d=\"M%g %gV%gH%g\"/>\n",
                     w, h, label, f.left, f.top, f.bottom, f.right);
    return f;
}

static void x_tick(nj_buffer *out, const frame *f, double x, const char *text)
{
    nj_buffer_printf(
        out, "<path class=axis d=\"M%.1f %.1fv4\"/><text x=%.1f y=%.1f text-anchor=middle>%s</text>\n",
        at_x(f, x), f->bottom, at_x(f, x), f->bottom + 15, text);
}
static void y_tick(nj_buffer *out, const frame *f, double y, const char *text)
{
    nj_buffer_printf(
        out, "<path class=grid d=\"M%.1f %.1fH%.1f\"/><text x=%.1f y=%.1f text-anchor=end>%s</text>\n",
        f->left, at_y(f, y), f->right, f->left - 5, at_y(f, y) + 4, text);
}
static void titles(nj_buffer *out, const frame *f, const char *x, const char *y)
{
    nj_buffer_printf(out,
                     "<text x=%.1f y=%.1f text-anchor=middle>%s</text><text class=y transform=\"translate(11 "
                     "%.1f) rotate(-90)\" "
                     "text-anchor=middle>%s</text>\n",
                     (f->left + f->right) / 2, f->h - 3, x, (f->top + f->bottom) / 2, y);
}

static void add_points(nj_buffer *out, const frame *f, const nj_curve_point *point, uint32_t n, double jd)
{
    for (uint32_t i = 0; i < n; i++) {
        const nj_curve_point *p = &point[i];
        const uint8_t *c = nj_band_style_of(p->band)->rgb;
        double x = at_x(f, p->jd - jd);
        if (isnan(p->mag)) {
            if (!isnan(p->limit_mag)) /* a limit: an arrow down */
                nj_buffer_printf(
                    out, "<path d=\"M%.1f %.1fl-3 -5h6z\" fill=none stroke=\"rgb(%d,%d,%d)\" opacity=.7 />\n",
                    x, at_y(f, p->limit_mag), c[0], c[1], c[2]);
            continue;
        }
        if (p->mag_err > 0)
            nj_buffer_printf(out, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"rgb(%d,%d,%d)\"/>\n", x,
                             at_y(f, p->mag - p->mag_err), at_y(f, p->mag + p->mag_err), c[0], c[1], c[2]);
        nj_buffer_printf(out, "<circle cx=%.1f cy=%.1f r=3.2 stroke=\"rgb(%d,%d,%d)\" fill=\"", x,
                         at_y(f, p->mag), c[0], c[1], c[2]);
        if (p->positive == 0)
            nj_buffer_text(out, "white\"/>\n"); /* open: fainter than the template */
        else
            nj_buffer_printf(out, "rgb(%d,%d,%d)\"/>\n", c[0], c[1], c[2]);
    }
}

void nj_plot_curve(nj_buffer *out, const nj_curve_point *point, uint32_t n)
{
    nj_chart chart;
    char text[64];
    if (nj_chart_fit(&chart, point, n)) {
        nj_buffer_text(out, "<p class=none>no light curve</p>\n");
        return;
    }
    frame f = open_plot(out, 620, 250, "light curve");
    f.x0 = chart.first_day, f.x1 = chart.last_day, f.y0 = chart.faint, f.y1 = chart.bright;
    for (double m = ceil(chart.bright / chart.mag_step) * chart.mag_step; m <= chart.faint + 1e-9;
         m += chart.mag_step) {
        snprintf(text, sizeof text, "%g", round(m * 100) / 100);
        y_tick(out, &f, m, text);
    }
    double span = f.x1 - f.x0, step = pow(10, floor(log10(span / 3)));
    while (span / step > 7) step *= step * 2 > span / 3 ? 2 : 2.5;
    for (double d = ceil(f.x0 / step) * step; d <= f.x1 + 1e-9; d += step) {
        snprintf(text, sizeof text, "%g", fabs(d) < step / 2 ? 0 : round(d / step) * step);
        x_tick(out, &f, d, text);
    }
    add_points(out, &f, point, n, chart.jd);
    for (uint32_t b = 0; b < chart.n_bands; b++) {
        const nj_band_style *style = nj_band_style_of(chart.band[b]);
        nj_buffer_printf(
            out, "<circle cx=%.1f cy=%.1f r=4 fill=\"rgb(%d,%d,%d)\"/><text x=%.1f y=%.1f>%s</text>\n",
            f.left + 14 + 34 * b, f.top + 6.0, style->rgb[0], style->rgb[1], style->rgb[2],
            f.left + 22 + 34 * b, f.top + 10.0, style->name);
    }
    snprintf(text, sizeof text, "days before JD %.3f", chart.jd);
    titles(out, &f, text, "magnitude");
    nj_buffer_text(out, "</svg>\n");
}

/* --- spectra and distances --- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void nj_plot_power(nj_buffer *out, const float *area, uint32_t n_bins, uint32_t side_px,
                   double arcsec_per_pixel, const char *name)
{
    enum { SHUFFLES = NJ_ELEPHANT_SHUFFLES };
    double band[3][NJ_SPECTRUM_BINS], own[NJ_SPECTRUM_BINS], lo = 0.4, hi = 2.5;
    char text[64];
    for (uint32_t b = 0; b < n_bins; b++) {
        float sorted[SHUFFLES];
        memcpy(sorted, area + b * NJ_ELEPHANT_STRIDE, sizeof sorted);
        qsort(sorted, SHUFFLES, sizeof *sorted, by_size);
        double median = (sorted[SHUFFLES / 2 - 1] + (double)sorted[SHUFFLES / 2]) / 2;
        band[0][b] = sorted[SHUFFLES / 20] / median, band[1][b] = 1,
        band[2][b] = sorted[SHUFFLES - SHUFFLES / 20 - 1] / median;
        own[b] = fmax(area[b * NJ_ELEPHANT_STRIDE + SHUFFLES] / median, 1e-6);
        lo = fmin(lo, fmin(own[b], band[0][b]) / 1.2), hi = fmax(hi, fmax(own[b], band[2][b]) * 1.2);
    }
    const bool known = arcsec_per_pixel > 0;
    const double side = side_px * (known ? arcsec_per_pixel : 1);
    frame f = open_plot(out, 420, 220, name);
    f.x0 = -log10(side * 1.15), f.x1 = -log10(side / n_bins / 1.1), f.y0 = log10(lo), f.y1 = log10(hi);
    for (int decade = -4; decade <= 6; decade++)
        for (int m = 1; m < 10; m += m == 1 ? 1 : 3) { /* 1 2 5 */
            double v = m * pow(10, decade);
            if (v < lo || v > hi || (hi / lo > 100 && m > 1)) continue;
            snprintf(text, sizeof text, "%g", v);
            y_tick(out, &f, log10(v), text);
        }
    for (uint32_t b = 0; b<n_bins; b += n_bins> 7 ? (b < 3 ? 1 : 3) : b < 3 ? 1 : 2) {
        snprintf(text, sizeof text, "%.1f", side / (b + 1));
        x_tick(out, &f, -log10(side / (b + 1)), text);
    }
    nj_buffer_text(out, "<path class=band d=\"");
    for (uint32_t b = 0; b < n_bins; b++)
        nj_buffer_printf(out, "%c%.1f %.1f", b ? 'L' : 'M', at_x(&f, -log10(side / (b + 1))),
                         at_y(&f, log10(band[2][b])));
    for (uint32_t b = n_bins; b-- > 0;)
        nj_buffer_printf(out, "L%.1f %.1f", at_x(&f, -log10(side / (b + 1))), at_y(&f, log10(band[0][b])));
    nj_buffer_printf(out, "z\"/>\n<path class=median d=\"M%.1f %.1fH%.1f\"/>\n<path class=own d=\"",
                     at_x(&f, -log10(side)), at_y(&f, 0), at_x(&f, -log10(side / n_bins)));
    for (uint32_t b = 0; b < n_bins; b++)
        nj_buffer_printf(out, "%c%.1f %.1f", b ? 'L' : 'M', at_x(&f, -log10(side / (b + 1))),
                         at_y(&f, log10(own[b])));
    nj_buffer_text(out, "\"/>\n");
    titles(out, &f, known ? "scale, arcsec" : "scale, pixel", "power / median of shuffles");
    nj_buffer_text(out, "</svg>\n");
}

/* Cumulative fraction of sorted values at quantiles, as a path. */
static void add_cumulative(nj_buffer *out, const frame *f, const float *sorted, uint32_t n, const char *class)
{
    nj_buffer_printf(out, "<path class=%s d=\"", class);
    for (uint32_t q = 0; q <= 200; q++) {
        uint32_t i = (uint32_t)((uint64_t)q * (n - 1) / 200);
        nj_buffer_printf(out, "%c%.1f %.1f", q ? 'L' : 'M',
                         fmin(fmax(at_x(f, log10(fmax(sorted[i], 1e-30f))), f->left), f->right),
                         at_y(f, (i + 1.0) / n));
    }
    nj_buffer_text(out, "\"/>\n");
}

void nj_plot_distances(nj_buffer *out, const nj_elephant_work *work, const char *name)
{
    enum { NX = NJ_ELEPHANT_SHUFFLES };
    float x[NX], *y = malloc(work->n_y * sizeof *y + 1);
    uint32_t n_y = 0;
    if (!y) {
        out->failed = 1;
        return;
    }
    memcpy(x, work->x, sizeof x);
    for (uint32_t i = 0; i < work->n_y; i++)
        if (work->y[i] < INFINITY) y[n_y++] = work->y[i];
    qsort(x, NX, sizeof *x, by_size);
    qsort(y, n_y, sizeof *y, by_size);
    double best = 0, where = x[0], from = 0, to = 0;
    for (uint32_t i = 0, j = 0; i < NX; i++) { /* where the two are farthest apart */
        while (j < n_y && y[j] < x[i]) j++;
        double below = (double)j / n_y - (double)i / NX, above = (i + 1.0) / NX - (double)j / n_y;
        if (fmax(below, above) <= best) continue;
        best = fmax(below, above), where = x[i], from = (double)j / n_y,
        to = below > above ? (double)i / NX : (i + 1.0) / NX;
    }
    frame f = open_plot(out, 420, 220, name);
    f.x0 = log10(fmax(fmin(x[0], y[n_y / 1000]), 1e-30)),
    f.x1 = log10(fmax(x[NX - 1], y[n_y - 1 - n_y / 1000]));
    f.y0 = 0, f.y1 = 1;
    if (!(f.x1 > f.x0)) f.x1 = f.x0 + 1;
    y_tick(out, &f, 0, "0"), y_tick(out, &f, 0.5, "0.5"), y_tick(out, &f, 1, "1");
    add_cumulative(out, &f, y, n_y, "other");
    add_cumulative(out, &f, x, NX, "own");
    nj_buffer_printf(
        out,
        "<path class=ks d=\"M%.1f %.1fV%.1f\"/><text class=ks x=%.1f y=%.1f>D = %.3f in this draw</text>\n",
        at_x(&f, log10(where)), at_y(&f, from), at_y(&f, to), f.left + 8, f.top + 10, best);
    titles(out, &f, "Wasserstein distance (log)", "cumulative fraction");
    nj_buffer_text(out, "</svg>\n");
    free(y);
}

void nj_plot_verdict(nj_buffer *out, const nj_hostless_page *page)
{
    static const char *const name[2] = { "science", "template" };
    frame f = { 620, 96, 70, 610, 0, 70, 0, 1, 0, 1 };
    char text[16];
    nj_buffer_printf(out, "<svg class=plot viewBox=\"0 0 %g %g\" role=img aria-label=\"D and its limits\">\n",
                     f.w, f.h);
    for (int k = 0; k < 2; k++) {
        const double y = 18 + 30 * k, d = page->ks[k], limit = page->limit[k];
        nj_buffer_printf(out,
                         "<text x=%.1f y=%.1f text-anchor=end>%s</text><rect class=inside x=%.1f y=%.1f "
                         "width=%.1f height=14 />"
                         "<rect class=outside x=%.1f y=%.1f width=%.1f height=14 /><text x=%.1f y=%.1f "
                         "text-anchor=middle>%.2f</text>\n",
                         f.left - 6, y + 4, name[k], f.left, y - 7, at_x(&f, limit) - f.left, at_x(&f, limit),
                         y - 7, f.right - at_x(&f, limit), at_x(&f, limit), y - 9, limit);
        if (isnan(d)) continue;
        if (!isnan(page->sd[k])) {
            double sd = page->sd[k], error = sd / sqrt(page->repeats);
            nj_buffer_printf(
                out, "<path class=spread d=\"M%.1f %.1fH%.1f\"/><path class=error d=\"M%.1f %.1fH%.1f\"/>\n",
                at_x(&f, fmax(d - sd, 0)), y, at_x(&f, fmin(d + sd, 1)), at_x(&f, fmax(d - error, 0)), y,
                at_x(&f, fmin(d + error, 1)));
        }
        nj_buffer_printf(out, "<circle cx=%.1f cy=%.1f r=4.5 />\n", at_x(&f, d), y);
    }
    for (int t = 0; t <= 10; t += 2) {
        snprintf(text, sizeof text, "%.1f", t / 10.0);
        x_tick(out, &f, t / 10.0, text);
    }
    nj_buffer_text(out, "</svg>\n");
}
