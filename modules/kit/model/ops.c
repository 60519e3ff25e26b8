/* ops.c - the plain operators: straight from the ONNX definition, axes in the order of the file. The fast
 * kinds are in fast.c. */
#include "ops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* --- runs --- */

#define RUN(name)                                                                                            \
    static void name(const nj_net_plan *plan, const nj_net_step *s, nj_inputs in, nj_net_outputs out,        \
                     float *scratch)
#define UNUSED (void)plan, (void)s, (void)in, (void)scratch

RUN(run_copy)
{
    UNUSED;
    if (out[0]->data != in[0]->data) memcpy(out[0]->data, in[0]->data, in[0]->n * sizeof(float));
}

RUN(run_cast)
{
    UNUSED;
    if (plan->value[s->in[0]].is_int)
        for (size_t i = 0; i < in[0]->n; i++)
            out[0]->data[i] = (float)((const int32_t *)(const void *)in[0]->data)[i];
    else
        memcpy(out[0]->data, in[0]->data, in[0]->n * sizeof(float));
}

RUN(run_relu)
{
    UNUSED;
    for (size_t i = 0; i < in[0]->n; i++) out[0]->data[i] = in[0]->data[i] < 0 ? 0 : in[0]->data[i];
}

RUN(run_leaky)
{
    UNUSED;
    for (size_t i = 0; i < in[0]->n; i++)
        out[0]->data[i] = in[0]->data[i] < 0 ? s->alpha * in[0]->data[i] : in[0]->data[i];
}

RUN(run_sigmoid)
{
    UNUSED;
    nj_lanes_of(plan->isa)->sigmoid(in[0]->data, in[0]->n, out[0]->data);
}

RUN(run_tanh)
{
    UNUSED;
    nj_lanes_of(plan->isa)->tanh(in[0]->data, in[0]->n, out[0]->data);
}

static inline float arithmetic(char op, float a, float b)
{
    return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
}

/* Both operands by their strides (0 where an axis is broadcast), innermost axis in one loop. */
static inline void run_binary(char op, nj_inputs in, nj_net_outputs out)
{
    const nj_tensor *o = out[0];
    size_t stride[2][NJ_MODEL_RANK + 1] = { 0 };
    for (int t = 0; t < 2; t++) {
        size_t step = 1;
        for (int32_t k = (int32_t)o->rank - 1; k >= 0; k--) {
            int32_t from = k - (int32_t)(o->rank - in[t]->rank), d = from >= 0 ? in[t]->dim[from] : 1;
            stride[t][k] = d == 1 ? 0 : step;
            step *= (size_t)d;
        }
    }
    uint32_t last = o->rank ? o->rank - 1 : 0;
    size_t inner = o->rank ? (size_t)o->dim[last] : 1, sa = o->rank ? stride[0][last] : 0,
           sb = o->rank ? stride[1][last] : 0;
    int32_t index[NJ_MODEL_RANK] = { 0 };
    const float *a = in[0]->data, *b = in[1]->data;
    for (size_t i = 0; i < o->n; i += inner) {
        for (size_t k = 0; k < inner; k++) o->data[i + k] = arithmetic(op, a[k * sa], b[k * sb]);
        for (int32_t k = (int32_t)last - 1; k >= 0; k--) {
            a += stride[0][k];
            b += stride[1][k];
            if (++index[k] < o->dim[k]) break;
            a -= stride[0][k] * (size_t)o->dim[k];
            b -= stride[1][k] * (size_t)o->dim[k];
            index[k] = 0;
        }
    }
}

RUN(run_add)
{
    UNUSED;
    run_binary('+', in, out);
}
RUN(run_sub)
{
    UNUSED;
    run_binary('-', in, out);
}
RUN(run_mul)
{
    UNUSED;
    run_binary('*', in, out);
}
RUN(run_div)
{
    UNUSED;
    run_binary('/', in, out);
}

/* One output channel of one row: each weight scales a shifted input line, lines are the innermost loop. */
static void conv_channel(const nj_net_step *s, const nj_tensor *x, const nj_tensor *w, const float *image,
                         const float *weight, const nj_tensor *o, float *out)
{
    int two = x->rank == 4;
    int32_t in_h = two ? x->dim[2] : 1, in_w = x->dim[x->rank - 1], out_h = two ? o->dim[2] : 1,
            out_w = o->dim[o->rank - 1];
    int32_t k_h = two ? w->dim[2] : 1, k_w = w->dim[w->rank - 1], stride_y = two ? s->stride[0] : 1,
            stride_x = s->stride[two];
    int32_t pad_y = two ? s->pad[0] : 0, pad_x = s->pad[two];
    for (int32_t c = 0; c < w->dim[1]; c++)
        for (int32_t ky = 0; ky < k_h; ky++)
            for (int32_t kx = 0; kx < k_w; kx++) {
                float v = weight[(c * k_h + ky) * k_w + kx];
                for (int32_t oy = 0; oy < out_h; oy++) {
                    int32_t y = oy * stride_y + ky - pad_y, first = 0, last = out_w;
                    if (y < 0 || y >= in_h) continue;
                    while (first < last && first * stride_x + kx - pad_x < 0) first++;
                    while (last > first && (last - 1) * stride_x + kx - pad_x >= in_w) last--;
                    const float *line =
                        image + ((size_t)c * (size_t)in_h + (size_t)y) * (size_t)in_w + kx - pad_x;
                    float *to = out + (size_t)oy * (size_t)out_w;
                    if (stride_x == 1)
                        for (int32_t i = first; i < last; i++) to[i] += v * line[i];
                    else
                        for (int32_t i = first; i < last; i++) to[i] += v * line[i * stride_x];
                }
            }
}

RUN(run_conv)
{
    UNUSED;
    const nj_tensor *x = in[0], *w = in[1], *o = out[0];
    size_t in_plane = x->n / (size_t)x->dim[0] / (size_t)x->dim[1],
           out_plane = o->n / (size_t)o->dim[0] / (size_t)o->dim[1];
    size_t per_filter = w->n / (size_t)w->dim[0];
    int32_t per_group = w->dim[0] / s->group;
    for (int32_t r = 0; r < x->dim[0]; r++)
        for (int32_t k = 0; k < w->dim[0]; k++) {
            float *to = o->data + ((size_t)r * (size_t)o->dim[1] + (size_t)k) * out_plane;
            float start = s->n_in > 2 && s->in[2] >= 0 ? in[2]->data[k] : 0;
            for (size_t i = 0; i < out_plane; i++) to[i] = start;
            const float *image =
                x->data + ((size_t)r * (size_t)x->dim[1] + (size_t)(k / per_group * w->dim[1])) * in_plane;
            conv_channel(s, x, w, image, w->data + (size_t)k * per_filter, o, to);
        }
}

RUN(run_pool)
{
    UNUSED;
    const nj_tensor *x = in[0], *o = out[0];
    float *to = o->data;
    for (size_t plane = 0; plane < (size_t)x->dim[0] * (size_t)x->dim[1]; plane++) {
        const float *image = x->data + plane * (size_t)x->dim[2] * (size_t)x->dim[3];
        for (int32_t oy = 0; oy < o->dim[2]; oy++)
            for (int32_t ox = 0; ox < o->dim[3]; ox++) {
                const float *from =
                    image + (size_t)(oy * s->stride[0]) * (size_t)x->dim[3] + ox * s->stride[1];
                float most = from[0];
                for (int32_t y = 0; y < s->kernel[0]; y++)
                    for (int32_t k = 0; k < s->kernel[1]; k++)
                        most = from[y * x->dim[3] + k] > most ? from[y * x->dim[3] + k] : most;
                *to++ = most;
            }
    }
}

RUN(run_global)
{
    UNUSED;
    size_t plane = in[0]->n / out[0]->n;
    for (size_t i = 0; i < out[0]->n; i++) {
        double sum = 0;
        for (size_t k = 0; k < plane; k++) sum += in[0]->data[i * plane + k];
        out[0]->data[i] = (float)(sum / (double)plane);
    }
}

static inline double reduced(char op, double so_far, float v)
{
    return op != 'x' ? so_far + v : v > so_far || isnan(v) ? v : so_far;
}

/* One run of neighbouring axes [outer][n][inner] to [outer][inner]. */
static inline void reduce_run(char op, const float *x, size_t outer, size_t n, size_t inner, double *acc)
{
    for (size_t o = 0; o < outer; o++, acc += inner)
        for (size_t k = 0; k < n; k++, x += inner)
            for (size_t i = 0; i < inner; i++) acc[i] = reduced(op, acc[i], x[i]);
}

/* Any axes; step: what the place in acc changes by with each. */
static inline void reduce_any(char op, const nj_tensor *x, const size_t *step, double *acc)
{
    int32_t index[NJ_MODEL_RANK] = { 0 };
    size_t at = 0;
    for (size_t i = 0; i < x->n; i++) {
        acc[at] = reduced(op, acc[at], x->data[i]);
        for (int32_t k = (int32_t)x->rank - 1; k >= 0; k--) {
            at += step[k];
            if (++index[k] < x->dim[k]) break;
            at -= step[k] * (size_t)x->dim[k];
            index[k] = 0;
        }
    }
}

/* Sums in double: the order of the axes cannot matter then. scratch: [out n] doubles. */
static inline void run_reduce(char op, const nj_net_step *s, nj_inputs in, nj_net_outputs out, float *scratch)
{
    const nj_tensor *x = in[0];
    double *acc = (double *)(void *)scratch;
    size_t step[NJ_MODEL_RANK] = { 0 }, n = 1, inner = 1, middle = 1;
    int32_t part = 0; /* from the last axis on: 0 kept, 1 reduced, 2 kept; more = not one run */
    for (int32_t k = (int32_t)x->rank - 1; k >= 0; k--) {
        int gone = is_reduced(s, (uint32_t)k, x->rank);
        size_t d = (size_t)x->dim[k];
        part += gone != (part & 1);
        if (gone)
            middle *= d;
        else {
            step[k] = n;
            n *= d;
            if (part == 0) inner *= d;
        }
    }
    assert(n && inner); /* the plan refuses empty axes, and more than 2^30 elements */
    for (size_t i = 0; i < n; i++) acc[i] = op == 'x' ? -INFINITY : 0;
    if (part <= 2)
        reduce_run(op, x->data, n / inner, middle, inner, acc);
    else
        reduce_any(op, x, step, acc);
    double share = op == 'm' ? (double)(x->n / n) : 1;
    for (size_t i = 0; i < n; i++) out[0]->data[i] = (float)(acc[i] / share);
}

static size_t scratch_reduce(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)s;
    (void)in;
    return 2 * out[0]->n + 2;
}

RUN(run_mean)
{
    UNUSED;
    run_reduce('m', s, in, out, scratch);
}
RUN(run_sum)
{
    UNUSED;
    run_reduce('s', s, in, out, scratch);
}
RUN(run_max)
{
    UNUSED;
    run_reduce('x', s, in, out, scratch);
}

static void product(const float *a, const float *b, size_t rows, size_t depth, size_t columns, int trans_b,
                    float *out)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            float sum = 0;
            for (size_t k = 0; k < depth; k++)
                sum += a[r * depth + k] * (trans_b ? b[c * depth + k] : b[k * columns + c]);
            out[r * columns + c] = sum;
        }
}

RUN(run_matmul)
{
    UNUSED;
    size_t depth = (size_t)in[1]->dim[0];
    product(in[0]->data, in[1]->data, in[0]->n / depth, depth, (size_t)in[1]->dim[1], 0, out[0]->data);
}

RUN(run_gemm)
{
    UNUSED;
    size_t rows = (size_t)out[0]->dim[0], columns = (size_t)out[0]->dim[1];
    product(in[0]->data, in[1]->data, rows, (size_t)in[0]->dim[1], columns, s->trans_b, out[0]->data);
    for (size_t i = 0; i < rows * columns; i++)
        out[0]->data[i] = s->alpha * out[0]->data[i] +
                          (s->n_in > 2 && s->in[2] >= 0 ? s->beta * in[2]->data[i % columns] : 0);
}

RUN(run_concat)
{
    UNUSED;
    int32_t axis = at_axis(s->axis, in[0]->rank);
    size_t outer = 1, inner = 1, at = 0;
    for (int32_t k = 0; k < axis; k++) outer *= (size_t)in[0]->dim[k];
    for (uint32_t k = (uint32_t)axis + 1; k < in[0]->rank; k++) inner *= (size_t)in[0]->dim[k];
    size_t row = (size_t)out[0]->dim[axis] * inner;
    for (uint32_t i = 0; i < s->n_in; i++) {
        size_t part = (size_t)in[i]->dim[axis] * inner;
        for (size_t o = 0; o < outer; o++)
            memcpy(out[0]->data + o * row + at, in[i]->data + o * part, part * sizeof(float));
        at += part;
    }
}

RUN(run_transpose)
{
    UNUSED;
    const nj_tensor *x = in[0], *o = out[0];
    size_t stride[NJ_MODEL_RANK] = { 0 }, step[NJ_MODEL_RANK] = { 0 }, n = 1;
    for (int32_t k = (int32_t)x->rank - 1; k >= 0; n *= (size_t)x->dim[k--]) stride[k] = n;
    for (uint32_t k = 0; k < o->rank; k++) step[k] = stride[s->perm[k]];
    int32_t index[NJ_MODEL_RANK] = { 0 };
    size_t at = 0, inner = (size_t)o->dim[o->rank - 1], inner_step = step[o->rank - 1];
    for (size_t i = 0; i < o->n; i += inner) {
        for (size_t k = 0; k < inner; k++) o->data[i + k] = x->data[at + k * inner_step];
        for (int32_t k = (int32_t)o->rank - 2; k >= 0; k--) {
            at += step[k];
            if (++index[k] < o->dim[k]) break;
            at -= step[k] * (size_t)o->dim[k];
            index[k] = 0;
        }
    }
}

RUN(run_softmax)
{
    UNUSED;
    size_t n = (size_t)in[0]->dim[in[0]->rank - 1];
    for (size_t r = 0; r < in[0]->n; r += n) {
        const float *x = in[0]->data + r;
        float most = x[0], total = 0;
        for (size_t k = 1; k < n; k++) most = x[k] > most ? x[k] : most;
        for (size_t k = 0; k < n; k++) total += out[0]->data[r + k] = expf(x[k] - most);
        for (size_t k = 0; k < n; k++) out[0]->data[r + k] /= total;
    }
}

RUN(run_norm)
{
    UNUSED;
    size_t channels = (size_t)in[0]->dim[1], plane = in[0]->n / (size_t)in[0]->dim[0] / channels;
    for (size_t i = 0; i < in[0]->n / plane; i++) {
        size_t c = i % channels;
        float scale = in[1]->data[c] / sqrtf(in[4]->data[c] + s->epsilon),
              shift = in[2]->data[c] - in[3]->data[c] * scale;
        for (size_t k = 0; k < plane; k++)
            out[0]->data[i * plane + k] = in[0]->data[i * plane + k] * scale + shift;
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One direction of one row; sums in double. state: [6 * hidden] doubles. */
static void lstm_row(const nj_net_step *s, nj_inputs in, nj_net_outputs out, int32_t dir, int32_t row,
                     double *state)
{
    int32_t steps = in[0]->dim[0], rows = in[0]->dim[1], f = in[0]->dim[2], h = s->hidden;
    int32_t length = s->n_in > 4 && s->in[4] >= 0 ? ((const int32_t *)(const void *)in[4]->data)[row] : steps;
    const float *w = in[1]->data + (size_t)dir * 4 * (size_t)h * (size_t)f,
                *r = in[2]->data + (size_t)dir * 4 * (size_t)h * (size_t)h;
    const float *b = s->n_in > 3 && s->in[3] >= 0 ? in[3]->data + (size_t)dir * 8 * (size_t)h : NULL;
    double *cell = state + 4 * h, *last = state + 5 * h;
    for (int32_t k = 0; k < 2 * h; k++) cell[k] = 0;
    for (int32_t i = 0; i < length; i++) {
        int32_t t = dir == 1 || s->reverse ? length - 1 - i : i;
        const float *x = in[0]->data + ((size_t)t * (size_t)rows + (size_t)row) * (size_t)f;
        for (int32_t g = 0; g < 4 * h; g++) {
            double sum = b ? (double)b[g] + b[4 * h + g] : 0;
            for (int32_t k = 0; k < f; k++) sum += (double)w[g * f + k] * x[k];
            for (int32_t k = 0; k < h; k++) sum += (double)r[g * h + k] * last[k];
            state[g] = sum;
        }
        for (int32_t k = 0; k < h; k++) {
            cell[k] = sigmoid(state[2 * h + k]) * cell[k] + sigmoid(state[k]) * tanh(state[3 * h + k]);
            last[k] = sigmoid(state[h + k]) * tanh(cell[k]);
            if (s->out[0] >= 0)
                out[0]->data[(((size_t)t * (size_t)s->n_directions + (size_t)dir) * (size_t)rows +
                              (size_t)row) *
                                 (size_t)h +
                             (size_t)k] = (float)last[k];
        }
    }
    for (int32_t k = 0; k < h && s->n_out > 1 && s->out[1] >= 0; k++)
        out[1]->data[((size_t)dir * (size_t)rows + (size_t)row) * (size_t)h + (size_t)k] = (float)last[k];
}

RUN(run_lstm)
{
    UNUSED;
    if (s->out[0] >= 0) memset(out[0]->data, 0, out[0]->n * sizeof(float));
    for (int32_t dir = 0; dir < s->n_directions; dir++)
        for (int32_t row = 0; row < in[0]->dim[1]; row++)
            lstm_row(s, in, out, dir, row, (double *)(void *)scratch);
}

static size_t scratch_lstm(const nj_net_step *s, nj_inputs in, nj_net_outputs out)
{
    (void)in;
    (void)out;
    return 12 * (size_t)s->hidden + 2;
}

/* --- the table --- */

static const nj_net_op ops[] = {
    { "Add", nj_shape_broadcast, run_add, NULL },
    { "Sub", nj_shape_broadcast, run_sub, NULL },
    { "Mul", nj_shape_broadcast, run_mul, NULL },
    { "Div", nj_shape_broadcast, run_div, NULL },
    { "BatchNormalization", nj_shape_norm, run_norm, NULL },
    { "Cast", nj_shape_same, run_cast, NULL },
    { "Concat", nj_shape_concat, run_concat, NULL },
    { "Conv", nj_shape_conv, run_conv, NULL },
    { "Dropout", nj_shape_same, run_copy, NULL },
    { "Flatten", nj_shape_flatten, run_copy, NULL },
    { "Gemm", nj_shape_gemm, run_gemm, NULL },
    { "GlobalAveragePool", nj_shape_global, run_global, NULL },
    { "Identity", nj_shape_same, run_copy, NULL },
    { "LSTM", nj_shape_lstm, run_lstm, scratch_lstm },
    { "LeakyRelu", nj_shape_same, run_leaky, NULL },
    { "MatMul", nj_shape_matmul, run_matmul, NULL },
    { "MaxPool", nj_shape_pool, run_pool, NULL },
    { "ReduceMax", nj_shape_reduce, run_max, scratch_reduce },
    { "ReduceMean", nj_shape_reduce, run_mean, scratch_reduce },
    { "ReduceSum", nj_shape_reduce, run_sum, scratch_reduce },
    { "Relu", nj_shape_same, run_relu, NULL },
    { "Reshape", nj_shape_reshape, run_copy, NULL },
    { "Sigmoid", nj_shape_same, run_sigmoid, NULL },
    { "Softmax", nj_shape_softmax, run_softmax, NULL },
    { "Squeeze", nj_shape_squeeze, run_copy, NULL },
    { "Tanh", nj_shape_same, run_tanh, NULL },
    { "Transpose", nj_shape_transpose, run_transpose, NULL },
    { "Unsqueeze", nj_shape_unsqueeze, run_copy, NULL },
};

const nj_net_op *nj_op_find(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(ops[i].name, name)) return &ops[i];
    return NULL;
}
