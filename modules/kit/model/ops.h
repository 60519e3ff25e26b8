/* ops.h - what shapes.c and ops.c share. */
#ifndef NJ_MODEL_OPS_H
#define NJ_MODEL_OPS_H

#include "plan.h"

typedef const nj_tensor *const *nj_inputs;
typedef nj_tensor *const *nj_net_outputs;

/* The shape() of each plain operator: rank and dim of the outputs;
 * -1 when the inputs do not fit one another. */
int nj_shape_same(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_broadcast(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_conv(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_pool(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_global(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_reduce(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_matmul(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_gemm(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_concat(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_reshape(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_flatten(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_transpose(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_squeeze(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_unsqueeze(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_norm(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_lstm(const nj_net_step *s, nj_inputs in, nj_net_outputs out);
int nj_shape_softmax(const nj_net_step *s, nj_inputs in, nj_net_outputs out);

/* An axis counted from the end as one counted from the front. */
static inline int32_t at_axis(int32_t axis, uint32_t rank)
{
    return axis < 0 ? axis + (int32_t)rank : axis;
}

/* Is axis k reduced (squeezed, added)? No axes named: all are. */
static inline int is_reduced(const nj_net_step *s, uint32_t k, uint32_t rank)
{
    if (s->n_axes == 0) return 1;
    for (int32_t i = 0; i < s->n_axes; i++)
        if (at_axis(s->axes[i], rank) == (int32_t)k) return 1;
    return 0;
}

#endif
