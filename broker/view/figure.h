/* figure.h - panels of points, lines and bars with axes, as one SVG file. */
#ifndef NJ_VIEW_FIGURE_H
#define NJ_VIEW_FIGURE_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/error.h"

enum { NJ_FIGURE_GREY = 255, NJ_FIGURE_LINES = 8 };

typedef struct nj_figure_points {
    uint32_t n;
    const double *x, *y, *err; /* err NULL: no bars */
    const uint8_t *band;       /* number of lc.band */
} nj_figure_points;

typedef struct nj_figure_line {
    uint32_t n;
    const double *x, *y;
    uint8_t band; /* NJ_FIGURE_GREY: of none */
} nj_figure_line;

typedef struct nj_figure_panel {
    const char *title, *x_label, *y_label;
    bool down; /* magnitudes: small ones above */
    nj_figure_points points;
    nj_figure_line line[NJ_FIGURE_LINES];
    uint32_t n_lines;
    double mark; /* a vertical line there; NaN: none */
} nj_figure_panel;

/* Panels one above the other. What is not finite is not drawn. */
int nj_figure_write(const nj_figure_panel *panel, uint32_t n, nj_buffer *out, nj_error *err);

#endif
