/* svg_parts.h - what charts are put together from: x and widths in per cent of the place, y and heights in
 * pixels. Classes have their colours, light and dark, in the page's style (html.c). */
#ifndef NJ_REPORT_SVG_PARTS_H
#define NJ_REPORT_SVG_PARTS_H

#include "html.h"

void nj_svg_begin(nj_buffer *out, double height, const char *what); /* what: for readers who do not see it;
                                                                     * no markup */
void nj_svg_label(nj_buffer *out, double x, double y, const char *anchor, const char *class,
                  const char *text);
void nj_svg_line(nj_buffer *out, double x1, double y1, double x2, double y2, const char *class);
void nj_svg_bar(nj_buffer *out, double x, double y, double width, double height, const char *class,
                const char *tip);

#endif
