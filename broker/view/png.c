/* png.c - PNG files need a canvas, an encoder and letters; this has as much of them as a chart needs. */
#include "draw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../base/log.h"
#include "chart.h"

typedef struct canvas {
    uint8_t *rgb; /* [height][width][3], first row on top */
    uint32_t width, height;
} canvas;

/* ---- PNG: ISO/IEC 15948, colour type 2, no filter -------------------------------------------- */
static void put_u32(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 24), at[1] = (uint8_t)(v >> 16), at[2] = (uint8_t)(v >> 8), at[3] = (uint8_t)v;
}

static int put_piece(FILE *f, const char *type, const uint8_t *bytes, uint32_t n)
{
    uint8_t head[8], tail[4];
    put_u32(head, n);
    memcpy(head + 4, type, 4);
    uLong crc = crc32(crc32(0, head + 4, 4), bytes, n);
    put_u32(tail, (uint32_t)crc);
    return fwrite(head, 1, 8, f) == 8 && (!n || fwrite(bytes, 1, n, f) == n) && fwrite(tail, 1, 4, f) == 4
               ? 0
               : -1;
}

static int write_png(const char *path, const canvas *c, nj_error *err)
{
    size_t row = 3 * (size_t)c->width, raw_size = (row + 1) * c->height;
    uLongf packed_size = compressBound(raw_size);
    uint8_t *raw = malloc(raw_size), *packed = malloc(packed_size), head[13] = { 0 };
    FILE *f = NULL;
    int rc = -1;
    if (!raw || !packed) {
        nj_fail(err, "%s: out of memory", path);
        goto done;
    }
    for (uint32_t y = 0; y < c->height; y++) {
        raw[y * (row + 1)] = 0;
        memcpy(raw + y * (row + 1) + 1, c->rgb + y * row, row);
    }
    if (compress2(packed, &packed_size, raw, raw_size, 6) != Z_OK) {
        nj_fail(err, "%s: zlib failed", path);
        goto done;
    }
    put_u32(head, c->width);
    put_u32(head + 4, c->height);
    head[8] = 8; /* bits */
    head[9] = 2; /* RGB */
    f = fopen(path, "wb");
    if (!f || fwrite("\x89PNG\r\n\x1a\n", 1, 8, f) != 8 || put_piece(f, "IHDR", head, 13) ||
        put_piece(f, "IDAT", packed, (uint32_t)packed_size) || put_piece(f, "IEND", head, 0)) {
        nj_fail(err, "%s: %s", path, strerror(errno));
        goto done;
    }
    rc = 0;
done:
    if (f && fclose(f) && !rc) rc = nj_fail(err, "%s: %s", path, strerror(errno));
    free(raw);
    free(packed);
    return rc;
}

int nj_png_picture(const char *path, const nj_picture *p, uint32_t scale, nj_error *err)
{
    static const uint8_t hole[3] = { 40, 60, 160 };
    canvas c = { .width = p->cols * scale, .height = p->rows * scale };
    float lo, hi;
    if (!c.width || !c.height || !(c.rgb = malloc(3 * (size_t)c.width * c.height)))
        return nj_fail(err, "%s: no picture, or no memory", path);
    nj_zscale(p, &lo, &hi);
    for (uint32_t y = 0; y < c.height; y++)
        for (uint32_t x = 0; x < c.width; x++) {
            float v = p->pixel[(size_t)(p->rows - 1 - y / scale) * p->cols + x / scale];
            double t = hi > lo ? ((double)v - lo) / ((double)hi - lo) : 0;
            uint8_t grey = (uint8_t)(255 * (t > 1   ? 1
                                            : t > 0 ? t
                                                    : 0)),
                    *at = c.rgb + 3 * ((size_t)y * c.width + x);
            if (v > -1e30f && v < 1e30f)
                at[0] = at[1] = at[2] = grey;
            else
                memcpy(at, hole, 3);
        }
    int rc = write_png(path, &c, err);
    free(c.rgb);
    return rc;
}

/* ---- lettering: 3 x 5 pixels, one octal digit per row, left pixel 4 -------------------------- */
static const struct {
    char letter;
    const char *rows;
} font[] = { { '0', "75557" }, { '1', "26227" }, { '2', "71747" }, { '3', "71717" }, { '4', "55711" },
             { '5', "74717" }, { '6', "74757" }, { '7', "71111" }, { '8', "75757" }, { '9', "75717" },
             { '.', "00002" }, { '-', "00700" }, { '=', "07070" }, { '?', "71202" }, { 'a', "25755" },
             { 'b', "65656" }, { 'c', "34443" }, { 'd', "65556" }, { 'e', "74647" }, { 'f', "74644" },
             { 'g', "34553" }, { 'h', "55755" }, { 'i', "72227" }, { 'j', "11152" }, { 'k', "55655" },
             { 'l', "44447" }, { 'm', "57755" }, { 'n', "65555" }, { 'o', "25552" }, { 'p', "65644" },
             { 'q', "25563" }, { 'r', "65655" }, { 's', "34216" }, { 't', "72222" }, { 'u', "55557" },
             { 'v', "55552" }, { 'w', "55775" }, { 'x', "55255" }, { 'y', "55222" }, { 'z', "71247" } };

static void block(canvas *c, int x, int y, int w, int h, const uint8_t rgb[3])
{
    for (int v = y < 0 ? 0 : y; v < y + h && v < (int)c->height; v++)
        for (int u = x < 0 ? 0 : x; u < x + w && u < (int)c->width; u++)
            memcpy(c->rgb + 3 * ((size_t)v * c->width + (size_t)u), rgb, 3);
}

enum { LETTER = 2, ADVANCE = 4 * LETTER, LINE = 5 * LETTER };

static void write_text(canvas *c, int x, int y, const char *text, const uint8_t rgb[3])
{
    for (; *text; text++, x += ADVANCE) {
        char letter = *text >= 'A' && *text <= 'Z' ? (char)(*text + 32) : *text;
        for (size_t k = 0; k < sizeof font / sizeof *font; k++)
            for (int row = 0; font[k].letter == letter && row < 5; row++)
                for (int col = 0; col < 3; col++)
                    if ((font[k].rows[row] - '0') >> (2 - col) & 1)
                        block(c, x + col * LETTER, y + row * LETTER, LETTER, LETTER, rgb);
    }
}

/* ---- the chart ------------------------------------------------------------------------------- */
static void disc(canvas *c, int x, int y, int radius, int filled, const uint8_t rgb[3])
{
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++) {
            int q = dx * dx + dy * dy, r = radius * radius;
            if (q <= r && (filled || q > (radius - 2) * (radius - 2))) block(c, x + dx, y + dy, 1, 1, rgb);
        }
}

static void arrow(canvas *c, int x, int y, const uint8_t rgb[3])
{
    block(c, x - 4, y, 9, 1, rgb);
    block(c, x, y, 1, 6, rgb);
    for (int k = 0; k < 4; k++) block(c, x - 3 + k, y + 6 + k, 7 - 2 * k, 1, rgb);
}

static const uint8_t ink[3] = { 60, 60, 60 }, faint_ink[3] = { 225, 225, 225 }, white[3] = { 255, 255, 255 };

static void draw_axes(canvas *c, const nj_chart *chart, int left, int top, int w, int h)
{
    char text[48];
    for (double mag = ceil(chart->bright / chart->mag_step) * chart->mag_step; mag < chart->faint;
         mag += chart->mag_step) {
        int y = top + (int)((mag - chart->bright) / (chart->faint - chart->bright) * h);
        block(c, left, y, w, 1, faint_ink);
        snprintf(text, sizeof text, "%.*f", chart->mag_step < 1 ? 1 : 0, mag);
        write_text(c, left - ADVANCE * (int)strlen(text) - 4, y - LINE / 2, text, ink);
    }
    block(c, left, top, 1, h, ink);
    block(c, left, top + h, w, 1, ink);
    write_text(c, 4, top, "mag", ink);
    snprintf(text, sizeof text, "%.2f d", chart->first_day);
    write_text(c, left, top + h + 8, text, ink);
    snprintf(text, sizeof text, "0 = JD %.5f", chart->jd);
    write_text(c, left + w - ADVANCE * (int)strlen(text), top + h + 8, text, ink);
    for (uint32_t b = 0; b < chart->n_bands; b++) {
        const nj_band_style *s = nj_band_style_of(chart->band[b]);
        int x = left + 180 + 40 * (int)b;
        disc(c, x, top + h + 13, 4, 1, s->rgb);
        write_text(c, x + 10, top + h + 8, s->name, ink);
    }
}

int nj_png_curve(const char *path, const nj_curve_point *point, uint32_t n, uint32_t width, uint32_t height,
                 nj_error *err)
{
    canvas c = { .width = width, .height = height };
    nj_chart chart;
    int left = 56, top = 10, w = (int)width - left - 12, h = (int)height - top - 34;
    if (w < 100 || h < 60) return nj_fail(err, "%s: a light curve needs 170 x 110 pixels", path);
    if (nj_chart_fit(&chart, point, n)) return nj_fail(err, "%s: no point to draw", path);
    if (!(c.rgb = malloc(3 * (size_t)width * height))) return nj_fail(err, "%s: out of memory", path);
    block(&c, 0, 0, (int)width, (int)height, white);
    draw_axes(&c, &chart, left, top, w, h);
    for (int limits = 1; limits >= 0; limits--) /* detections on top */
        for (uint32_t i = 0; i < n; i++) {
            const nj_curve_point *p = &point[i];
            int limit = isnan(p->mag);
            double mag = limit ? p->limit_mag : p->mag, scale = h / (chart.faint - chart.bright);
            if (limit != limits || !isfinite(mag) || !isfinite(p->jd)) continue;
            int x =
                left + (int)((p->jd - chart.jd - chart.first_day) / (chart.last_day - chart.first_day) * w);
            int y = top + (int)((mag - chart.bright) * scale);
            const uint8_t *rgb = nj_band_style_of(p->band)->rgb;
            if (limit)
                arrow(&c, x, y, rgb);
            else
                disc(&c, x, y, 4, p->positive != 0, rgb);
            if (!limit && p->mag_err > 0)
                block(&c, x, y - (int)(p->mag_err * scale), 1, 2 * (int)(p->mag_err * scale) + 1, rgb);
        }
    int rc = write_png(path, &c, err);
    free(c.rgb);
    return rc;
}

int nj_png_files(const char *prefix, const nj_picture *picture, uint32_t n_pictures,
                 const nj_curve_point *point, uint32_t n)
{
    enum { SCALE = 8, CURVE_WIDTH = 900, CURVE_HEIGHT = 420 };
    char path[4096];
    nj_error err;
    int rc = 0;
    for (uint32_t i = 0; i < n_pictures && !rc; i++) {
        snprintf(path, sizeof path, "%s_%s.png", prefix, picture[i].title);
        rc = nj_png_picture(path, &picture[i], SCALE, &err);
        if (!rc) nj_log(NJ_LOG_INFO, "%s written", path);
    }
    snprintf(path, sizeof path, "%s_lightcurve.png", prefix);
    if (!rc && point) {
        rc = nj_png_curve(path, point, n, CURVE_WIDTH, CURVE_HEIGHT, &err);
        if (!rc) nj_log(NJ_LOG_INFO, "%s written", path);
    }
    if (rc) nj_log(NJ_LOG_ERROR, "%s", err.text);
    return rc;
}
