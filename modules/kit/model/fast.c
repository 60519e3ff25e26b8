/* fast.c - the fast kinds of steps: images as [row][column][channel], all sums by the one product of tile.h.
 * Shapes stay those of the file ([N, C, H, W]); only the memory is ordered differently. */
#include <string.h>

#include "fast.h"

#define RUN(name)                                                                                            \
    static void name(const nj_net_plan *plan, const nj_net_step *s, nj_inputs in, nj_net_outputs out,        \
                     float *scratch)
#define UNUSED (void)plan, (void)s, (void)in, (void)scratch

/* --- dense: in[0] [..., K], packed[0] the matrix, bias[0] --- */

static int shape_dense(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *a = in[0];
    if (a->rank < 2 || a->dim[a->rank - 1] != s->kernel[0]) return -1;
    float *data = out[0]->data;
    *out[0] = *a;
    out[0]->data = data;
    out[0]->dim[a->rank - 1] = s->hidden;
    return 0;
}

RUN(run_dense)
{
    UNUSED;
    uint32_t depth = (uint32_t)s->kernel[0], n = (uint32_t)s->hidden;
    nj_product_run(plan->isa, &(nj_product){ .in = in[0]->data,
                                             .weight = s->packed[0],
                                             .bias = s->bias[0],
                                             .out = out[0]->data,
                                             .in_step = depth,
                                             .out_step = n,
                                             .n = (uint32_t)(in[0]->n / depth),
                                             .n_out = n,
                                             .n_segments = 1,
                                             .segment = depth,
                                             .block = s->block[0],
                                             .relu = (uint32_t)s->relu });
}

const nj_net_op nj_op_dense = { "Dense", shape_dense, run_dense, NULL };

/* --- convolution: in[1] its weights (for the shape), packed[0], bias[0] --- */

static int has_padding(const nj_net_step *s)
{
    return s->pad[0] || s->pad[1] || s->pad[2] || s->pad[3];
}

static size_t scratch_conv(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)out;
    const nj_tensor *x = in[0];
    if (!has_padding(s)) return 0;
    return (size_t)(x->dim[2] + s->pad[0] + s->pad[2]) * (size_t)(x->dim[3] + s->pad[1] + s->pad[3]) *
           (size_t)x->dim[1];
}

/* The image with its border of zeros. */
static const float *padded(const nj_net_step *s, const float *image, size_t rows, size_t columns,
                           size_t channels, float *to)
{
    size_t left = (size_t)s->pad[1] * channels, line = columns * channels,
           row = line + left + (size_t)s->pad[3] * channels;
    memset(to, 0, (rows + (size_t)s->pad[0] + (size_t)s->pad[2]) * row * sizeof(float));
    for (size_t y = 0; y < rows; y++)
        memcpy(to + (y + (size_t)s->pad[0]) * row + left, image + y * line, line * sizeof(float));
    return to;
}

int nj_shape_conv_pool(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    if (nj_shape_conv(s, in, out)) return -1;
    for (uint32_t k = 0; k < 2; k++) out[0]->dim[2 + k] = (out[0]->dim[2 + k] - s->crop[k]) / s->pool;
    return 0;
}

size_t nj_pooled_lines(const nj_net_step *s, const nj_tensor *o)
{
    return s->pool > 1 ? (size_t)(s->pool * s->pool) * (size_t)o->dim[3] * (size_t)o->dim[1] : 0;
}

/* The largest of pool x pool pixels of lines that lie one behind the other. */
static void pool_lines(const nj_net_plan *plan, const nj_net_step *s, const nj_tensor *o, const float *lines,
                       float *to)
{
    const uint32_t pool = (uint32_t)s->pool, channels = (uint32_t)o->dim[1], columns = (uint32_t)o->dim[3];
    nj_lanes_of(plan->isa)->pool(lines, (size_t)columns * pool * channels, channels, pool, pool, pool,
                                 columns, to);
}

void nj_conv_image(const nj_net_plan *plan, const nj_net_step *s, const nj_tensor *x, const nj_tensor *w,
                   const float *image, const nj_tensor *o, float *to, float *scratch)
{
    const size_t channels = (size_t)x->dim[1], n_out = (size_t)o->dim[1],
                 row = (size_t)(x->dim[3] + s->pad[1] + s->pad[3]) * channels,
                 line = (size_t)(o->dim[3] * s->pool) * n_out;
    nj_product p = { .weight = s->packed[0],
                     .bias = s->bias[0],
                     .in_step = (ptrdiff_t)channels * s->stride[1],
                     .out_step = (ptrdiff_t)n_out,
                     .segment_step = (ptrdiff_t)row,
                     .n = (uint32_t)(o->dim[3] * s->pool),
                     .n_out = (uint32_t)n_out,
                     .n_segments = (uint32_t)w->dim[2],
                     .segment = (uint32_t)(w->dim[3] * x->dim[1]),
                     .block = s->block[0],
                     .relu = (uint32_t)s->relu };
    for (int32_t y = 0; y < o->dim[2]; y++, to += (size_t)o->dim[3] * n_out) {
        for (int32_t k = 0; k < s->pool; k++) {
            p.in = image + (size_t)(y * s->pool + k) * (size_t)s->stride[0] * row;
            p.out = s->pool > 1 ? scratch + (size_t)k * line : to;
            nj_product_run(plan->isa, &p);
        }
        if (s->pool > 1) pool_lines(plan, s, o, scratch, to);
    }
}

RUN(run_conv)
{
    UNUSED;
    const nj_tensor *x = in[0], *o = out[0];
    size_t channels = (size_t)x->dim[1], rows = (size_t)x->dim[2], columns = (size_t)x->dim[3];
    for (int32_t r = 0; r < x->dim[0]; r++) {
        const float *image = x->data + (size_t)r * rows * columns * channels;
        if (has_padding(s)) image = padded(s, image, rows, columns, channels, scratch);
        nj_conv_image(plan, s, x, in[1], image, o, o->data + (size_t)r * (o->n / (size_t)x->dim[0]), NULL);
    }
}

const nj_net_op nj_op_conv_fast = { "Conv (fast)", nj_shape_conv_pool, run_conv, scratch_conv };

/* --- convolution of lines [N, C, L]: in[1] its weights, bias[0]; memory as in the file. The filters are the
 * pixels of the product, and the line, each tap shifted, is its matrix --- */

enum { LINE_BLOCK = 32 };

static size_t scratch_lines(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    const nj_tensor *w = in[1];
    return nj_product_packed((uint32_t)out[0]->dim[2], (uint32_t)(w->dim[1] * w->dim[2]), LINE_BLOCK);
}

/* Blocks of LINE_BLOCK outputs: [block][channel][tap][output]; zero outside of the line. */
static void pack_lines(const nj_net_step *s, const nj_tensor *x, const nj_tensor *w, const float *line,
                       int32_t n_out, float *to)
{
    for (int32_t first = 0; first < n_out; first += LINE_BLOCK)
        for (int32_t c = 0; c < w->dim[1]; c++)
            for (int32_t tap = 0; tap < w->dim[2]; tap++, to += LINE_BLOCK) {
                const float *from = line + (size_t)c * (size_t)x->dim[2];
                int32_t at = first * s->stride[0] + tap - s->pad[0];
                for (int32_t i = 0; i < LINE_BLOCK; i++, at += s->stride[0])
                    to[i] = at >= 0 && at < x->dim[2] ? from[at] : 0;
            }
}

RUN(run_lines)
{
    UNUSED;
    const nj_tensor *x = in[0], *w = in[1], *o = out[0];
    uint32_t filters = (uint32_t)w->dim[0], depth = (uint32_t)(w->dim[1] * w->dim[2]),
             n = (uint32_t)o->dim[2];
    nj_product p = { .in = w->data,
                     .weight = scratch,
                     .in_step = depth,
                     .out_step = n,
                     .n = filters,
                     .n_out = n,
                     .n_segments = 1,
                     .segment = depth,
                     .block = LINE_BLOCK,
                     .relu = (uint32_t)s->relu };
    for (int32_t r = 0; r < x->dim[0]; r++) {
        p.out = o->data + (size_t)r * filters * n;
        for (uint32_t k = 0; k < filters; k++)
            for (uint32_t i = 0; i < n; i++) p.out[k * (size_t)n + i] = s->bias[0][k];
        pack_lines(s, x, w, x->data + (size_t)r * (size_t)x->dim[1] * (size_t)x->dim[2], o->dim[2], scratch);
        nj_product_run(plan->isa, &p);
    }
}

const nj_net_op nj_op_conv_lines = { "Conv (lines)", nj_shape_conv, run_lines, scratch_lines };

/* ---- separable: a depthwise convolution (in[1], packed[1]) and a 1x1 one (in[2], packed[0], bias[0]),
 * row by row --- */

static int shape_separable(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *x = in[0], *d = in[1], *p = in[2];
    if (x->rank != 4 || d->rank != 4 || p->rank != 4 || x->dim[1] != d->dim[0] || p->dim[1] != d->dim[0] ||
        x->dim[2] < d->dim[2] || x->dim[3] < d->dim[3])
        return -1;
    *out[0] = (nj_tensor){ .data = out[0]->data,
                           .rank = 4,
                           .dim = { x->dim[0], p->dim[0], (x->dim[2] - d->dim[2] + 1 - s->crop[0]) / s->pool,
                                    (x->dim[3] - d->dim[3] + 1 - s->crop[1]) / s->pool } };
    return 0;
}

static size_t line_separable(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    return ((size_t)(out[0]->dim[3] * s->pool) * (size_t)in[0]->dim[1] + 15) / 16 * 16;
}

static size_t scratch_separable(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    return line_separable(s, in, out) + nj_pooled_lines(s, out[0]) + 64;
}

RUN(run_separable)
{
    UNUSED;
    const nj_tensor *x = in[0], *d = in[1], *o = out[0];
    const uint32_t channels = (uint32_t)x->dim[1], n_out = (uint32_t)o->dim[1],
                   columns = (uint32_t)(o->dim[3] * s->pool), kernel_y = (uint32_t)d->dim[2],
                   kernel_x = (uint32_t)d->dim[3];
    const int in_groups = nj_depthwise_groups(channels, kernel_y, kernel_x);
    const size_t row = (size_t)x->dim[3] * channels;
    float *lines = scratch + line_separable(s, in, out), *to = o->data;
    nj_product p = { .in = scratch,
                     .weight = s->packed[0],
                     .bias = s->bias[0],
                     .in_step = in_groups ? 16 : channels,
                     .out_step = n_out,
                     .segment_step = in_groups ? (ptrdiff_t)columns * 16 : 0,
                     .n = columns,
                     .n_out = n_out,
                     .n_segments = in_groups ? channels / 16 : 1,
                     .segment = in_groups ? 16 : channels,
                     .block = s->block[0],
                     .relu = (uint32_t)s->relu };
    for (int32_t r = 0; r < x->dim[0]; r++)
        for (int32_t y = 0; y < o->dim[2]; y++, to += (size_t)o->dim[3] * n_out) {
            for (int32_t k = 0; k < s->pool; k++) {
                const float *from =
                    x->data + ((size_t)r * (size_t)x->dim[2] + (size_t)(y * s->pool + k)) * row;
                nj_lanes_of(plan->isa)->depthwise(from, row, channels, kernel_y, kernel_x, s->packed[1],
                                                  s->block[1], columns * channels, scratch);
                p.out = s->pool > 1 ? lines + (size_t)k * columns * n_out : to;
                nj_product_run(plan->isa, &p);
            }
            if (s->pool > 1) pool_lines(plan, s, o, lines, to);
        }
}

const nj_net_op nj_op_separable = { "Separable", shape_separable, run_separable, scratch_separable };

/* --- pooling --- */

RUN(run_pool)
{
    UNUSED;
    const nj_tensor *x = in[0], *o = out[0];
    uint32_t channels = (uint32_t)x->dim[1];
    size_t row = (size_t)x->dim[3] * channels, out_row = (size_t)o->dim[3] * channels;
    for (int32_t r = 0; r < x->dim[0]; r++)
        for (int32_t y = 0; y < o->dim[2]; y++)
            nj_lanes_of(plan->isa)->pool(
                x->data + ((size_t)r * (size_t)x->dim[2] + (size_t)(y * s->stride[0])) * row, row, channels,
                (uint32_t)s->kernel[0], (uint32_t)s->kernel[1], (uint32_t)s->stride[1], (uint32_t)o->dim[3],
                o->data + ((size_t)r * (size_t)o->dim[2] + (size_t)y) * out_row);
}

const nj_net_op nj_op_pool_fast = { "MaxPool (fast)", nj_shape_pool, run_pool, NULL };

enum { MEANS = 16 }; /* channels at a time */

RUN(run_mean)
{
    UNUSED;
    const nj_tensor *x = in[0];
    size_t channels = (size_t)x->dim[1], pixels = x->n / (size_t)x->dim[0] / channels;
    for (int32_t r = 0; r < x->dim[0]; r++) {
        float *to = out[0]->data + (size_t)r * channels;
        const float *from = x->data + (size_t)r * pixels * channels;
        for (size_t c = 0; c < channels; c += MEANS) {
            float sum[MEANS] = { 0 };
            const size_t n = channels - c < MEANS ? channels - c : MEANS;
            for (size_t i = 0; n == MEANS && i < pixels; i++)
                for (size_t k = 0; k < MEANS; k++) sum[k] += from[i * channels + c + k];
            for (size_t i = 0; n < MEANS && i < pixels; i++)
                for (size_t k = 0; k < n; k++) sum[k] += from[i * channels + c + k];
            memcpy(to + c, sum, n * sizeof *to);
        }
        for (size_t c = 0; c < channels; c++) to[c] /= (float)pixels;
    }
}

const nj_net_op nj_op_mean_fast = { "GlobalAveragePool (fast)", nj_shape_global, run_mean, NULL };

/* --- order of memory --- */

static int shape_keep(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    float *data = out[0]->data;
    *out[0] = *in[0];
    out[0]->data = data;
    return in[0]->rank == 4 ? 0 : -1;
}

static inline void reorder(const nj_tensor *x, float *to, int to_channels_last)
{
    size_t channels = (size_t)x->dim[1], pixels = x->n / (size_t)x->dim[0] / channels;
    for (size_t r = 0; r < (size_t)x->dim[0]; r++, to += pixels * channels)
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < channels; c++) {
                const float *from = x->data + r * pixels * channels;
                if (to_channels_last)
                    to[i * channels + c] = from[c * pixels + i];
                else
                    to[c * pixels + i] = from[i * channels + c];
            }
}

RUN(run_to_nchw)
{
    UNUSED;
    reorder(in[0], out[0]->data, 0);
}
RUN(run_to_nhwc)
{
    UNUSED;
    reorder(in[0], out[0]->data, 1);
}
const nj_net_op nj_op_to_nchw = { "To NCHW", shape_keep, run_to_nchw, NULL };
const nj_net_op nj_op_to_nhwc = { "To NHWC", shape_keep, run_to_nhwc, NULL };

/* A Transpose that the order of memory makes free: the output is a view of the input. */
RUN(run_view)
{
    UNUSED;
    (void)out;
}
const nj_net_op nj_op_view = { "View", nj_shape_transpose, run_view, NULL };
