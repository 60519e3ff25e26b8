/* draw.h - pictures for people: stamps and light curves, in a terminal or as PNG files. Pure functions of
 * their arguments; any thread. */
#ifndef NJ_VIEW_DRAW_H
#define NJ_VIEW_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/error.h"

/* What the terminal can do. */
typedef struct nj_terminal {
    uint32_t columns;
    bool colour; /* 256 colours by ANSI codes; else characters alone */
    bool utf8;   /* half blocks and round points; else ASCII */
} nj_terminal;
/* Looks at the stream, the locale, COLUMNS, TERM and NO_COLOR. Calls setlocale(LC_CTYPE). */
nj_terminal nj_terminal_of(int fd);

/* One image, first row at the bottom, as FITS has it. NaN and values beyond 1e30 are holes. */
typedef struct nj_picture {
    const float *pixel; /* [rows * cols] */
    uint32_t rows, cols;
    const char *title;
} nj_picture;

/* The range of values that shows the sky and what little stands out of it: IRAF's zscale with contrast 1/4 on
 * up to 4,096 pixels. *lo = *hi = 0 when no pixel is finite. */
void nj_zscale(const nj_picture *picture, float *lo, float *hi);

/* Side by side, as many rows as fit, each with its own zscale;
 * pixels are averaged when the terminal is too narrow. */
void nj_draw_pictures(nj_buffer *out, const nj_picture *picture, uint32_t n, const nj_terminal *terminal);

typedef struct nj_curve_point {
    double jd;
    double mag, mag_err; /* NaN = no detection (error: not known) */
    double limit_mag;    /* NaN = not known; drawn when mag is NaN */
    uint8_t band;        /* 0..5 = u g r i z y; 255 = unknown */
    uint8_t positive;    /* 0 = fainter than the template, 255 = unknown */
} nj_curve_point;

/* A chart of magnitude against days before the last point, with its axes and a legend.
 * Nothing for no points. */
void nj_draw_curve(nj_buffer *out, const nj_curve_point *point, uint32_t n, const nj_terminal *terminal);

/* One PNG file, each pixel enlarged scale times, grey by zscale, holes blue. -1 with err. */
int nj_png_picture(const char *path, const nj_picture *picture, uint32_t scale, nj_error *err);
/* The same chart as a PNG of width x height pixels. -1 with err. */
int nj_png_curve(const char *path, const nj_curve_point *point, uint32_t n, uint32_t width, uint32_t height,
                 nj_error *err);

/* PREFIX_TITLE.png for each picture, and PREFIX_lightcurve.png unless point is NULL; each is logged.
 * -1: it was logged which one could not be written. */
int nj_png_files(const char *prefix, const nj_picture *picture, uint32_t n_pictures,
                 const nj_curve_point *point, uint32_t n);

#endif
