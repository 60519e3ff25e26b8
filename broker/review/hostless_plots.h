/* hostless_plots.h - the pictures of a review page: values for their SVG files. */
#ifndef NJ_REVIEW_HOSTLESS_PLOTS_H
#define NJ_REVIEW_HOSTLESS_PLOTS_H

#include "../base/template.h"
#include "hostless_page.h"
#include "nightjar/num.h"

/* A grey PNG as a data: address; pixels outside lo .. hi are cut, holes are mid-grey. rows flipped: first row
 * at the bottom. bits: 8, or 4 for a small one in half the bytes.
 * Nothing when memory is short (out->failed is set). */
void nj_plot_png(nj_buffer *out, const nj_picture *picture, float lo, float hi, uint8_t bits);

enum { NJ_PLOT_BOX = 14 }; /* side of the central box that a stamp shows */

/* What stamp.svg, curve.svg, ... of data/embed/pages show, put into `to`. */
/* A stamp with its overlays; mask [rows * cols], NULL = none drawn. */
void nj_plot_stamp(nj_template_values *values, json_t *to, const nj_picture *picture, float lo, float hi,
                   const uint8_t *mask, double arcsec_per_pixel);
/* `curve` of the page: an object, or an empty list when no point can be drawn. */
void nj_plot_curve(nj_template_values *values, const nj_curve_point *point, uint32_t n);
/* Power of the stamp over the median of its shuffles against scale, with the band of 5 to 95 % of the
 * shuffles; area [n_bins][NJ_ELEPHANT_STRIDE] as nj_elephant_ks keeps it. */
void nj_plot_power(nj_template_values *values, json_t *to, const float *area, uint32_t n_bins,
                   uint32_t side_px, double arcsec_per_pixel);
/* The two cumulative distributions of distances, with D where they are farthest apart. */
void nj_plot_distances(nj_template_values *values, json_t *to, const nj_elephant_work *work);
/* D, its spread and its limit on a bar from 0 to 1, for both stamps. */
void nj_plot_verdict(nj_template_values *values, json_t *to, const nj_hostless_page *page);

#endif
