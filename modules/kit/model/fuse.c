/* fuse.c - consecutive operators are merged into one step, so that images are read and written less often. */
#include <string.h>

#include "fast.h"
#include "lstm_step.h"

/* The rewriting of one plan: old steps are read in order, new ones written;
 * a step taken into an earlier one is gone. */
typedef struct fusing {
    nj_net_plan *plan;
    const nj_model *model;
    const nj_tensor *shape; /* [n_values] for one row of one step */
    nj_net_step *old;
    uint8_t *gone; /* [n_old] */
    uint32_t n_old, n_shapes;
    int32_t *channels_first; /* [n_values] the [N, C, H, W] copy of a channels-last value, once made */
    nj_model_error *err;
} fusing;

static int is_op(const nj_net_step *s, const char *name)
{
    return !strcmp(s->op->name, name);
}

static int is_result(const fusing *f, int32_t v)
{
    for (uint32_t i = 0; i < f->model->info.n_outputs; i++)
        if (f->plan->output[i] == v) return 1;
    return 0;
}

/* The only step that reads v, when it is of this kind and v is its first input; else NULL. */
static nj_net_step *only_reader(const fusing *f, int32_t v, const char *op)
{
    if (v < 0 || f->plan->value[v].n_readers != 1 || is_result(f, v)) return NULL;
    nj_net_step *s = &f->old[f->plan->value[v].last];
    return !f->gone[f->plan->value[v].last] && is_op(s, op) && s->in[0] == v ? s : NULL;
}

static void take_in(fusing *f, const nj_net_step *s)
{
    f->gone[s - f->old] = 1;
}

static const nj_tensor *fixed(const fusing *f, const nj_net_step *s, uint32_t k)
{
    return k < s->n_in && s->in[k] >= 0 && f->plan->value[s->in[k]].is_fixed ? &f->plan->value[s->in[k]].fixed
                                                                             : NULL;
}

static nj_net_step *emit(fusing *f, const nj_net_step *like)
{
    nj_net_step *s = &f->plan->step[f->plan->n_steps++];
    *s = *like;
    return s;
}

static int memory(fusing *f)
{
    return nj_model_fail(f->err, "out of memory");
}

/* A following Relu becomes part of s. */
static void take_relu(fusing *f, nj_net_step *s)
{
    nj_net_step *relu = only_reader(f, s->out[0], "Relu");
    if (!relu) return;
    take_in(f, relu);
    s->relu = 1;
    s->out[0] = relu->out[0];
}

/* So does a following MaxPool of squares side by side, of `most` pixels a side at most. */
static void take_pool(fusing *f, nj_net_step *s, int32_t most)
{
    nj_net_step *pool = only_reader(f, s->out[0], "MaxPool");
    s->pool = 1;
    for (int32_t side = 2; pool && side <= most; side *= 2)
        if (pool->kernel[0] == side && pool->kernel[1] == side && pool->stride[0] == side &&
            pool->stride[1] == side) {
            take_in(f, pool);
            s->pool = side;
            s->out[0] = pool->out[0];
        }
}

/* --- dense layers --- */

static int fuse_matmul(fusing *f, const nj_net_step *old)
{
    const nj_tensor *w = fixed(f, old, 1);
    if (!w || w->rank != 2) return 0;
    nj_net_step *s = emit(f, old), *add = only_reader(f, s->out[0], "Add");
    const nj_tensor *bias = add ? fixed(f, add, 1) : NULL;
    uint32_t depth = (uint32_t)w->dim[0], n = (uint32_t)w->dim[1];
    if (bias && (bias->n != n || bias->rank < 1 || bias->rank > 2 || (bias->rank == 2 && bias->dim[0] != 1) ||
                 bias->dim[bias->rank - 1] != w->dim[1]))
        bias = NULL;
    s->op = &nj_op_dense;
    s->n_in = 1;
    s->kernel[0] = (int32_t)depth;
    s->hidden = (int32_t)n;
    s->block[0] = nj_product_block(n, 0);
    if (bias) {
        take_in(f, add);
        s->out[0] = add->out[0];
    }
    take_relu(f, s);
    s->packed[0] = nj_pack_product(f->plan->pool, w->data, n, depth, 1, n, s->block[0]);
    s->bias[0] = nj_pack_bias(f->plan->pool, bias ? bias->data : NULL, NULL, n, s->block[0]);
    return s->packed[0] && s->bias[0] ? 1 : memory(f);
}

static int fuse_gemm(fusing *f, const nj_net_step *old)
{
    const nj_tensor *w = fixed(f, old, 1), *bias = fixed(f, old, 2);
    int has_bias = old->n_in > 2 && old->in[2] >= 0;
    if (!w || old->alpha != 1 || (has_bias && (!bias || old->beta != 1))) return 0;
    nj_net_step *s = emit(f, old);
    uint32_t depth = (uint32_t)w->dim[s->trans_b ? 1 : 0], n = (uint32_t)w->dim[s->trans_b ? 0 : 1];
    s->op = &nj_op_dense;
    s->n_in = 1;
    s->kernel[0] = (int32_t)depth;
    s->hidden = (int32_t)n;
    s->block[0] = nj_product_block(n, 0);
    take_relu(f, s);
    s->packed[0] = nj_pack_product(f->plan->pool, w->data, n, depth, s->trans_b ? depth : 1,
                                   s->trans_b ? 1 : n, s->block[0]);
    s->bias[0] = nj_pack_bias(f->plan->pool, bias ? bias->data : NULL, NULL, n, s->block[0]);
    return s->packed[0] && s->bias[0] ? 1 : memory(f);
}

/* --- LSTM, with the Transpose and Reshape that put its directions side by side --- */

static void take_reorder(fusing *f, nj_net_step *s)
{
    static const int32_t side_by_side[4] = { 0, 2, 1, 3 };
    nj_net_step *turn = only_reader(f, s->out[0], "Transpose");
    if (!turn || turn->n_axes != 4 || memcmp(turn->perm, side_by_side, sizeof side_by_side)) return;
    nj_net_step *join = only_reader(f, turn->out[0], "Reshape");
    if (!join || join->n_axes != 3 || join->target[0] != 0 || join->target[1] != 0) return;
    if (join->target[2] != -1 && join->target[2] != (int64_t)s->n_directions * s->hidden) return;
    take_in(f, turn);
    take_in(f, join);
    s->out[0] = join->out[0];
    s->axis = 1;
}

static int fuse_lstm(fusing *f, const nj_net_step *old)
{
    const nj_tensor *w = fixed(f, old, 1), *r = fixed(f, old, 2), *b = fixed(f, old, 3);
    nj_net_step *s = emit(f, old);
    uint32_t h = (uint32_t)s->hidden, in = (uint32_t)w->dim[2];
    s->op = &nj_op_lstm_fast;
    s->axis = 0;
    s->block[0] = nj_product_block(4 * h, 0);
    /* Without lengths a model's padding runs through it (cats: 395 steps), and rounding adds up: such a model
     * keeps gates that are the same bits by every instruction set. */
    s->gates_fused = s->n_in > 4 && s->in[4] >= 0;
    static const float as_they_are[4] = { 1, 1, 1, 1 }, turned[4] = { -1, -1, -1, -2 };
    const float *factor = s->gates_fused ? turned : as_they_are;
    for (int32_t d = 0; d < s->n_directions; d++) {
        const float *one = b ? b->data + (size_t)d * 8 * h : NULL,
                    *bias = nj_pack_bias(f->plan->pool, one, one ? one + 4 * h : NULL, 4 * h, 1);
        const float *of_input = w->data + (size_t)d * 4 * h * in, *again = r->data + (size_t)d * 4 * h * h;
        s->packed[d] = nj_pack_gates(f->plan->pool, of_input, h, in, s->block[0], factor);
        s->packed[2 + d] = nj_pack_gates(f->plan->pool, again, h, h, NJ_LSTM_BLOCK, factor);
        s->bias[d] = bias ? nj_pack_gates(f->plan->pool, bias, h, 1, NJ_LSTM_BLOCK, factor) : NULL;
        if (!s->packed[d] || !s->packed[2 + d] || !s->bias[d]) return memory(f);
    }
    take_reorder(f, s);
    return 1;
}

/* --- images --- */

static int is_nhwc(const fusing *f, int32_t v)
{
    return v >= 0 && f->plan->value[v].nhwc;
}

static int all_readers_are(const fusing *f, int32_t v, const char *op)
{
    for (uint32_t i = 0; i < f->n_old; i++)
        for (uint32_t k = 0; k < f->old[i].n_in; k++)
            if (f->old[i].in[k] == v && !is_op(&f->old[i], op)) return 0;
    return !is_result(f, v);
}

static int fuse_transpose(fusing *f, const nj_net_step *old)
{
    static const int32_t to_first[4] = { 0, 3, 1, 2 }, to_last[4] = { 0, 2, 3, 1 };
    int last = is_nhwc(f, old->in[0]);
    if (old->n_axes != 4 || memcmp(old->perm, last ? to_last : to_first, sizeof to_first)) return 0;
    if (!last && !all_readers_are(f, old->out[0], "Conv")) return 0;
    nj_net_step *s = emit(f, old);
    s->op = &nj_op_view;
    f->plan->value[s->out[0]].alias = s->in[0];
    f->plan->value[s->out[0]].nhwc = (uint8_t)!last;
    return 1;
}

/* in[0] with the channels last: as it is, or by a copy. */
static int channels_last(fusing *f, nj_net_step *s)
{
    if (is_nhwc(f, s->in[0])) return 0;
    int32_t v = nj_plan_new_value(f->plan, "(channels last)");
    if (v < 0) return memory(f);
    nj_net_step *turn = emit(f, s);
    *turn = (nj_net_step){ .op = &nj_op_to_nhwc, .n_in = 1, .n_out = 1, .in = { s->in[0] }, .out = { v } };
    f->plan->value[v].nhwc = 1;
    s->in[0] = v;
    return 0;
}

static int is_plain_window(const nj_net_step *s)
{
    return s->stride[0] == 1 && s->stride[1] == 1 && !s->pad[0] && !s->pad[1] && !s->pad[2] && !s->pad[3];
}

/* A depthwise convolution without bias, whose result only a 1x1 convolution reads. */
static nj_net_step *pointwise_after(const fusing *f, const nj_net_step *s, const nj_tensor *w)
{
    nj_net_step *next = only_reader(f, s->out[0], "Conv");
    const nj_tensor *p = next ? fixed(f, next, 1) : NULL;
    if (!p || p->rank != 4 || w->dim[1] != 1 || s->group != w->dim[0] || !is_plain_window(s) ||
        (s->n_in > 2 && s->in[2] >= 0))
        return NULL;
    return next->group == 1 && p->dim[2] == 1 && p->dim[3] == 1 && is_plain_window(next) ? next : NULL;
}

static int fuse_separable(fusing *f, nj_net_step *s, nj_net_step *next)
{
    const nj_tensor *d = fixed(f, s, 1), *p = fixed(f, next, 1), *bias = fixed(f, next, 2),
                    *x = &f->shape[s->in[0]];
    uint32_t channels = (uint32_t)d->dim[0], columns = (uint32_t)(x->dim[3] - d->dim[3] + 1);
    if (channels_last(f, s)) return -1;
    s = emit(f, s);
    take_in(f, next);
    s->op = &nj_op_separable;
    s->n_in = 3;
    s->in[2] = next->in[1];
    s->out[0] = next->out[0];
    s->block[0] = nj_product_block((uint32_t)p->dim[0], 0);
    take_relu(f, s);
    take_pool(f, s, 2);
    s->packed[0] = nj_pack_conv(f->plan->pool, p, s->block[0]);
    int in_groups = nj_depthwise_groups(channels, (uint32_t)d->dim[2], (uint32_t)d->dim[3]);
    s->block[1] = in_groups ? channels : columns * channels;
    s->packed[1] = nj_pack_depthwise(f->plan->pool, d, s->block[1]);
    s->bias[0] =
        nj_pack_bias(f->plan->pool, bias ? bias->data : NULL, NULL, (uint32_t)p->dim[0], s->block[0]);
    f->plan->value[s->out[0]].nhwc = 1;
    return s->packed[0] && s->packed[1] && s->bias[0] ? 1 : memory(f);
}

static int fuse_lines(fusing *f, const nj_net_step *old)
{
    const nj_tensor *w = fixed(f, old, 1), *bias = fixed(f, old, 2);
    if (w->rank != 3 || old->group != 1 || is_nhwc(f, old->in[0])) return 0;
    nj_net_step *s = emit(f, old);
    s->op = &nj_op_conv_lines;
    s->n_in = 2;
    take_relu(f, s);
    s->bias[0] = nj_pack_bias(f->plan->pool, bias ? bias->data : NULL, NULL, (uint32_t)w->dim[0], 1);
    return s->bias[0] ? 1 : memory(f);
}

static int fuse_conv(fusing *f, const nj_net_step *old)
{
    nj_net_step copy = *old, *s = &copy;
    const nj_tensor *w = fixed(f, s, 1), *bias = fixed(f, s, 2);
    if (w->rank != 4) return fuse_lines(f, old);
    nj_net_step *next = pointwise_after(f, s, w);
    if (next) {
        copy.op = old->op;
        return fuse_separable(f, s, next);
    }
    if (s->group != 1) return 0;
    if (channels_last(f, s)) return -1;
    s = emit(f, s);
    s->op = &nj_op_conv_fast;
    s->n_in = 2;
    s->pool = 1;
    s->block[0] = nj_product_block((uint32_t)w->dim[0], 0);
    take_relu(f, s);
    const nj_tensor *x = &f->shape[old->in[0]];
    if (nj_winograd_fits(s, w, x->dim[2] - 2, x->dim[3] - 2)) {
        s->op = &nj_op_winograd;
        take_pool(f, s, 4);
        s->packed[1] = nj_winograd_pack(f->plan->pool, w, s->block[0]);
        s->bias[1] = nj_pack_bias(f->plan->pool, NULL, NULL, (uint32_t)w->dim[0], s->block[0]);
        if (!s->packed[1] || !s->bias[1]) return memory(f);
    }
    s->packed[0] = nj_pack_conv(f->plan->pool, w, s->block[0]);
    s->bias[0] =
        nj_pack_bias(f->plan->pool, bias ? bias->data : NULL, NULL, (uint32_t)w->dim[0], s->block[0]);
    f->plan->value[s->out[0]].nhwc = 1;
    return s->packed[0] && s->bias[0] ? 1 : memory(f);
}

static int fuse_same(fusing *f, const nj_net_step *old)
{
    if (!is_nhwc(f, old->in[0])) return 0;
    emit(f, old);
    f->plan->value[old->out[0]].nhwc = 1;
    return 1;
}

static int fuse_pool(fusing *f, const nj_net_step *old)
{
    if (!is_nhwc(f, old->in[0])) return 0;
    emit(f, old)->op = &nj_op_pool_fast;
    f->plan->value[old->out[0]].nhwc = 1;
    return 1;
}

static int fuse_mean(fusing *f, const nj_net_step *old)
{
    if (!is_nhwc(f, old->in[0])) return 0;
    emit(f, old)->op = &nj_op_mean_fast;
    return 1;
}

/* --- all --- */

static const struct {
    const char *op;
    int (*fuse)(fusing *f, const nj_net_step *old); /* 1 = written, 0 = not for me, -1 = err */
} rules[] = {
    { "MatMul", fuse_matmul },
    { "Gemm", fuse_gemm },
    { "LSTM", fuse_lstm },
    { "Transpose", fuse_transpose },
    { "Conv", fuse_conv },
    { "Relu", fuse_same },
    { "LeakyRelu", fuse_same },
    { "Sigmoid", fuse_same },
    { "Tanh", fuse_same },
    { "MaxPool", fuse_pool },
    { "GlobalAveragePool", fuse_mean },
};

/* A step without a form for channels last gets copies in the file's order. */
static int keep(fusing *f, const nj_net_step *old)
{
    nj_net_step copy = *old;
    for (uint32_t k = 0; k < copy.n_in; k++) {
        if (!is_nhwc(f, copy.in[k])) continue;
        int32_t v = f->channels_first[copy.in[k]];
        if (v < 0) {
            v = nj_plan_new_value(f->plan, "(channels first)");
            if (v < 0) return memory(f);
            f->channels_first[copy.in[k]] = v;
            *emit(f, old) = (nj_net_step){
                .op = &nj_op_to_nchw, .n_in = 1, .n_out = 1, .in = { copy.in[k] }, .out = { v }
            };
        }
        copy.in[k] = v;
    }
    emit(f, &copy);
    return 0;
}

static int rewrite(fusing *f)
{
    for (uint32_t i = 0; i < f->n_old; i++) {
        if (f->gone[i]) continue;
        int rc = 0;
        for (size_t r = 0; r < sizeof rules / sizeof *rules && !rc; r++)
            if (is_op(&f->old[i], rules[r].op)) rc = rules[r].fuse(f, &f->old[i]);
        if (rc < 0 || (rc == 0 && keep(f, &f->old[i]))) return -1;
    }
    return 0;
}

/* --- the steps on images first, so that they can run row by row and stay in cache --- */

static int is_image_step(const nj_net_step *s, const nj_tensor *shape, const uint8_t *image,
                         const nj_net_plan *plan)
{
    static const nj_net_op *const kinds[] = { &nj_op_conv_fast, &nj_op_separable, &nj_op_pool_fast,
                                              &nj_op_mean_fast, &nj_op_to_nchw,   &nj_op_to_nhwc,
                                              &nj_op_winograd,  &nj_op_view };
    int known = s->n_out == 1 &&
                (is_op(s, "Relu") || is_op(s, "LeakyRelu") || is_op(s, "Sigmoid") || is_op(s, "Tanh"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) known |= s->op == kinds[i];
    if (!known || shape[s->in[0]].rank != 4 || shape[s->in[0]].dim[0] != 1) return 0;
    return image[s->in[0]] || plan->value[s->in[0]].is_input;
}

static int images_first(fusing *f)
{
    nj_net_plan *plan = f->plan;
    uint8_t *image = nj_pool_alloc(plan->pool, plan->n_values, 1);
    nj_net_step *sorted = nj_pool_alloc(plan->pool, plan->n_steps + 1, sizeof *sorted);
    const nj_tensor *shape = nj_plan_shapes(plan, f->model);
    if (!image || !sorted || !shape) return nj_model_fail(f->err, "its shapes do not fit one another");
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++)
        if (is_image_step(&plan->step[i], shape, image, plan)) {
            image[plan->step[i].out[0]] = 1;
            sorted[n++] = plan->step[i];
        }
    plan->image_steps = n;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const nj_net_step *s = &plan->step[i];
        if (!(s->n_out == 1 && s->out[0] >= 0 && image[s->out[0]])) sorted[n++] = *s;
    }
    memcpy(plan->step, sorted, n * sizeof *sorted);
    return 0;
}

int nj_plan_fuse(nj_net_plan *plan, const nj_model *model, nj_model_error *err)
{
    fusing f = {
        .plan = plan, .model = model, .err = err, .n_old = plan->n_steps, .n_shapes = plan->n_values
    };
    f.shape = nj_plan_shapes(plan, model);
    if (!f.shape) return nj_model_fail(err, "its shapes do not fit one another");
    size_t most_values = plan->n_values + 4 * (size_t)plan->n_steps + 8; /* a copy per input at the most */
    f.old = nj_pool_alloc(plan->pool, f.n_old + 1, sizeof *f.old);
    f.gone = nj_pool_alloc(plan->pool, f.n_old + 1, 1);
    f.channels_first = nj_pool_alloc(plan->pool, most_values, sizeof *f.channels_first);
    nj_net_step *room = nj_pool_alloc(plan->pool, (NJ_PLAN_IN + 1) * (size_t)f.n_old + 8, sizeof *room);
    if (!f.old || !f.gone || !f.channels_first || !room) return memory(&f);
    for (size_t i = 0; i < most_values; i++) f.channels_first[i] = NJ_PLAN_NONE;
    memcpy(f.old, plan->step, f.n_old * sizeof *f.old);
    plan->step = room;
    plan->n_steps = 0;
    if (rewrite(&f)) return -1;
    nj_plan_lives(plan);
    if (nj_plan_crop(plan, model)) return nj_model_fail(err, "its shapes do not fit one another");
    if (images_first(&f)) return -1;
    nj_plan_lives(plan);
    return 0;
}
