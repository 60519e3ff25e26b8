/* fast.h - what the fast kinds of convolutions share. */
#ifndef NJ_MODEL_FAST_H
#define NJ_MODEL_FAST_H

#include "ops.h"

/* The shape of a convolution without s->crop rows and columns at its end, then of s->pool. */
int nj_shape_conv_pool(const nj_net_step *s, nj_inputs in, nj_net_outputs out);

/* One image with its padding, convolved directly into `to`, and the largest of pool x pool results.
 * scratch: nj_pooled_lines() floats. */
void nj_conv_image(const nj_net_plan *plan, const nj_net_step *s, const nj_tensor *x, const nj_tensor *w,
                   const float *image, const nj_tensor *o, float *to, float *scratch);
size_t nj_pooled_lines(const nj_net_step *s, const nj_tensor *o);

/* Does winograd.c have this convolution of rows x columns results? Its filters: [36][in][out] in blocks. */
int nj_winograd_fits(const nj_net_step *s, const nj_tensor *w, int32_t rows, int32_t columns);
const float *nj_winograd_pack(nj_pool *pool, const nj_tensor *w, uint32_t block);

#endif
