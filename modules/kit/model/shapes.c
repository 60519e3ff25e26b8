/* shapes.c - shapes of the plain operators: straight from the ONNX definition. */
#include "ops.h"

#include <string.h>

void nj_tensor_count(nj_tensor *t)
{
    t->n = 1;
    for (uint32_t k = 0; k < t->rank; k++) t->n *= (size_t)t->dim[k];
}

int nj_shape_same(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    float *data = out[0]->data;
    *out[0] = *in[0];
    out[0]->data = data;
    return 0;
}

int nj_shape_broadcast(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    uint32_t ra = in[0]->rank, rb = in[1]->rank, r = ra > rb ? ra : rb;
    out[0]->rank = r;
    for (uint32_t k = 0; k < r; k++) {
        int32_t a = k + ra >= r ? in[0]->dim[k + ra - r] : 1, b = k + rb >= r ? in[1]->dim[k + rb - r] : 1;
        if (a != b && a != 1 && b != 1) return -1;
        out[0]->dim[k] = a == 1 ? b : a;
    }
    return 0;
}

int nj_shape_conv(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *x = in[0], *w = in[1];
    uint32_t space = x->rank - 2;
    if (x->rank < 3 || x->rank > 4 || w->rank != x->rank || s->group < 1 ||
        x->dim[1] != w->dim[1] * s->group || w->dim[0] % s->group)
        return -1;
    if (s->n_in > 2 && s->in[2] >= 0 && (in[2]->rank != 1 || in[2]->dim[0] != w->dim[0])) return -1;
    out[0]->rank = x->rank;
    out[0]->dim[0] = x->dim[0];
    out[0]->dim[1] = w->dim[0];
    for (uint32_t k = 0; k < space; k++) {
        int64_t room = (int64_t)x->dim[2 + k] + s->pad[k] + s->pad[space + k] - w->dim[2 + k];
        if (room < 0) return -1;
        out[0]->dim[2 + k] = (int32_t)(room / s->stride[k] + 1);
    }
    return 0;
}

int nj_shape_pool(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *x = in[0];
    if (x->rank != 4) return -1;
    out[0]->rank = 4;
    out[0]->dim[0] = x->dim[0];
    out[0]->dim[1] = x->dim[1];
    for (uint32_t k = 0; k < 2; k++) {
        if (x->dim[2 + k] < s->kernel[k]) return -1;
        out[0]->dim[2 + k] = (x->dim[2 + k] - s->kernel[k]) / s->stride[k] + 1;
    }
    return 0;
}

int nj_shape_global(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    if (in[0]->rank < 3) return -1;
    out[0]->rank = in[0]->rank;
    for (uint32_t k = 0; k < in[0]->rank; k++) out[0]->dim[k] = k < 2 ? in[0]->dim[k] : 1;
    return 0;
}

int nj_shape_reduce(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    uint32_t r = 0;
    for (uint32_t k = 0; k < in[0]->rank; k++) {
        if (!is_reduced(s, k, in[0]->rank))
            out[0]->dim[r++] = in[0]->dim[k];
        else if (s->keep_dims)
            out[0]->dim[r++] = 1;
    }
    out[0]->rank = r;
    return 0;
}

int nj_shape_matmul(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    const nj_tensor *a = in[0], *b = in[1];
    if (a->rank < 2 || b->rank != 2 || a->dim[a->rank - 1] != b->dim[0]) return -1;
    out[0]->rank = a->rank;
    memcpy(out[0]->dim, a->dim, sizeof a->dim);
    out[0]->dim[a->rank - 1] = b->dim[1];
    return 0;
}

int nj_shape_gemm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *a = in[0], *b = in[1];
    if (a->rank != 2 || b->rank != 2 || a->dim[1] != b->dim[s->trans_b ? 1 : 0]) return -1;
    int32_t n = b->dim[s->trans_b ? 0 : 1];
    if (s->n_in > 2 && s->in[2] >= 0 && (in[2]->n != (size_t)n || in[2]->rank > 2)) return -1;
    *out[0] = (nj_tensor){ .data = out[0]->data, .rank = 2, .dim = { a->dim[0], n } };
    return 0;
}

int nj_shape_concat(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    int32_t axis = at_axis(s->axis, in[0]->rank);
    if (axis < 0 || axis >= (int32_t)in[0]->rank) return -1;
    nj_shape_same(s, in, out);
    for (uint32_t i = 1; i < s->n_in; i++) {
        if (in[i]->rank != in[0]->rank) return -1;
        for (uint32_t k = 0; k < in[0]->rank; k++)
            if ((int32_t)k != axis && in[i]->dim[k] != in[0]->dim[k]) return -1;
        out[0]->dim[axis] += in[i]->dim[axis];
    }
    return 0;
}

int nj_shape_reshape(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    size_t known = 1;
    int32_t open = -1;
    out[0]->rank = (uint32_t)s->n_axes;
    for (int32_t k = 0; k < s->n_axes; k++) {
        int64_t d = s->target[k];
        if (d == 0) {
            if (k >= (int32_t)in[0]->rank) return -1;
            d = in[0]->dim[k];
        }
        if (d == -1 && open >= 0) return -1;
        if (d == -1)
            open = k;
        else if (d < 1 || d > INT32_MAX)
            return -1;
        else
            known *= (size_t)d;
        out[0]->dim[k] = (int32_t)d;
        if (known > in[0]->n) return -1;
    }
    if (open >= 0) out[0]->dim[open] = (int32_t)(in[0]->n / known);
    return (open >= 0 ? in[0]->n % known : in[0]->n != known) ? -1 : 0;
}

int nj_shape_flatten(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    int32_t axis = at_axis(s->axis, in[0]->rank), rows = 1;
    if (axis < 0 || axis > (int32_t)in[0]->rank) return -1;
    for (int32_t k = 0; k < axis; k++) rows *= in[0]->dim[k];
    out[0]->rank = 2;
    out[0]->dim[0] = rows;
    out[0]->dim[1] = (int32_t)(in[0]->n / (size_t)rows);
    return 0;
}

int nj_shape_transpose(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    uint32_t seen = 0;
    if (in[0]->rank < 1 || s->n_axes != (int32_t)in[0]->rank) return -1;
    out[0]->rank = in[0]->rank;
    for (uint32_t k = 0; k < in[0]->rank; k++) {
        if (s->perm[k] < 0 || s->perm[k] >= (int32_t)in[0]->rank || seen & 1u << s->perm[k]) return -1;
        seen |= 1u << s->perm[k];
        out[0]->dim[k] = in[0]->dim[s->perm[k]];
    }
    return 0;
}

int nj_shape_squeeze(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    uint32_t r = 0;
    for (uint32_t k = 0; k < in[0]->rank; k++) {
        int gone = s->n_axes ? is_reduced(s, k, in[0]->rank) : in[0]->dim[k] == 1;
        if (gone && in[0]->dim[k] != 1) return -1;
        if (!gone) out[0]->dim[r++] = in[0]->dim[k];
    }
    out[0]->rank = r;
    return 0;
}

int nj_shape_unsqueeze(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    uint32_t rank = in[0]->rank + (uint32_t)s->n_axes, from = 0;
    if (rank > NJ_MODEL_RANK || s->n_axes == 0) return -1;
    for (uint32_t k = 0; k < rank; k++) {
        int added = is_reduced(s, k, rank);
        if (!added && from >= in[0]->rank) return -1;
        out[0]->dim[k] = added ? 1 : in[0]->dim[from++];
    }
    out[0]->rank = rank;
    return from == in[0]->rank ? 0 : -1;
}

int nj_shape_norm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    if (in[0]->rank < 2) return -1;
    for (int k = 1; k < 5; k++)
        if (in[k]->n != (size_t)in[0]->dim[1]) return -1;
    return nj_shape_same(s, in, out);
}

int nj_shape_lstm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *x = in[0], *w = in[1], *r = in[2];
    int32_t d = s->n_directions, h = s->hidden;
    if (x->rank != 3 || w->rank != 3 || r->rank != 3 || h < 1 || h > 1 << 16) return -1;
    if (w->dim[0] != d || w->dim[1] != 4 * h || w->dim[2] != x->dim[2] || r->dim[0] != d ||
        r->dim[1] != 4 * h || r->dim[2] != h)
        return -1;
    if (s->n_in > 3 && s->in[3] >= 0 && in[3]->n != (size_t)(8 * d * h)) return -1;
    if (s->n_in > 4 && s->in[4] >= 0 && (in[4]->rank != 1 || in[4]->dim[0] != x->dim[1])) return -1;
    if (s->out[0] >= 0)
        *out[0] = (nj_tensor){ .data = out[0]->data, .rank = 4, .dim = { x->dim[0], d, x->dim[1], h } };
    if (s->n_out > 1 && s->out[1] >= 0)
        *out[1] = (nj_tensor){ .data = out[1]->data, .rank = 3, .dim = { d, x->dim[1], h } };
    return 0;
}

int nj_shape_softmax(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    return in[0]->rank > 0 && at_axis(s->axis, in[0]->rank) == (int32_t)in[0]->rank - 1
               ? nj_shape_same(s, in, out)
               : -1;
}
