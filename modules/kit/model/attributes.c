/* attributes.c - what the attributes of each operator say, checked; anything that the kinds of ops.c do not
 * compute is refused here. */
#include <string.h>

#include "plan.h"

typedef struct reading {
    nj_net_plan *plan;
    nj_net_step *step;
    const nj_onnx_node *node;
    nj_model_error *err;
} reading;

static int refuse(reading *r, const char *what)
{
    return nj_model_fail(r->err, "operator %s: %s is not supported", r->node->op, what);
}

/* Integers given as an attribute or, in later versions of ONNX, as the constant input number `input`. */
static int read_list(reading *r, const char *name, uint32_t input, int32_t *list, int32_t *n, int32_t most)
{
    const nj_onnx_attribute *a = nj_onnx_find(r->node, name);
    const int64_t *v = a ? a->ints : NULL;
    size_t count = a ? a->n_ints : 0;
    if (!v && input < r->step->n_in && r->step->in[input] >= 0) {
        const nj_net_value *value = &r->plan->value[r->step->in[input]];
        if (!value->i64) return refuse(r, "a list of axes or sizes that is no constant");
        v = value->i64;
        count = value->fixed.n;
    }
    if (count > (size_t)most) return refuse(r, "a list this long");
    for (size_t i = 0; v && i < count; i++) {
        if (v[i] < -32768 || v[i] > 1 << 20) return refuse(r, name);
        list[i] = (int32_t)v[i];
    }
    *n = (int32_t)count;
    return 0;
}

static int read_window(reading *r, int32_t space)
{
    nj_net_step *s = r->step;
    int32_t n, dilation[2] = { 1, 1 }, kernel[2] = { 0, 0 };
    s->stride[0] = s->stride[1] = 1;
    if (!nj_onnx_is(r->node, "auto_pad", "NOTSET", "NOTSET") &&
        !nj_onnx_is(r->node, "auto_pad", "VALID", "NOTSET"))
        return refuse(r, "auto_pad");
    if (read_list(r, "strides", 99, s->stride, &n, 2) || (n && n != space) ||
        read_list(r, "pads", 99, s->pad, &n, 4) || (n && n != 2 * space) ||
        read_list(r, "dilations", 99, dilation, &n, 2) || read_list(r, "kernel_shape", 99, kernel, &n, 2))
        return refuse(r, "this window");
    for (int k = 0; k < 2; k++)
        if (dilation[k] != 1 || s->stride[k] < 1 || s->stride[k] > 4096 || kernel[k] < 0)
            return refuse(r, "dilation, or this stride");
    for (int k = 0; k < 4; k++)
        if (s->pad[k] < 0 || s->pad[k] > 4096) return refuse(r, "this padding");
    s->kernel[0] = kernel[0];
    s->kernel[1] = kernel[1];
    return 0;
}

static int read_conv(reading *r)
{
    int32_t w = r->step->n_in > 1 ? r->step->in[1] : -1;
    if (w < 0 || !r->plan->value[w].is_fixed ||
        (r->step->n_in > 2 && r->step->in[2] >= 0 && !r->plan->value[r->step->in[2]].is_fixed))
        return refuse(r, "a weight that is no constant");
    const nj_tensor *t = &r->plan->value[w].fixed;
    if (t->rank < 3 || t->rank > 4) return refuse(r, "a kernel of this rank");
    int64_t group = nj_onnx_int(r->node, "group", 1);
    if (group < 1 || group > 1 << 20) return refuse(r, "this number of groups");
    r->step->group = (int32_t)group;
    if (read_window(r, (int32_t)t->rank - 2)) return -1;
    r->step->kernel[0] = t->rank == 4 ? t->dim[2] : 1;
    r->step->kernel[1] = t->dim[t->rank - 1];
    return 0;
}

static int read_pool(reading *r)
{
    if (read_window(r, 2)) return -1;
    for (int k = 0; k < 4; k++)
        if (r->step->pad[k]) return refuse(r, "padding");
    if (r->step->kernel[0] < 1 || r->step->kernel[1] < 1 || nj_onnx_int(r->node, "ceil_mode", 0) ||
        r->node->n_outputs > 1)
        return refuse(r, "this window");
    return 0;
}

static int read_reduce(reading *r)
{
    r->step->keep_dims = nj_onnx_int(r->node, "keepdims", 1) != 0;
    if (nj_onnx_int(r->node, "noop_with_empty_axes", 0)) return refuse(r, "noop_with_empty_axes");
    return read_list(r, "axes", 1, r->step->axes, &r->step->n_axes, NJ_MODEL_RANK);
}

static int read_axes(reading *r)
{
    return read_list(r, "axes", 1, r->step->axes, &r->step->n_axes, NJ_MODEL_RANK);
}

static int read_reshape(reading *r)
{
    int32_t v = r->step->n_in > 1 ? r->step->in[1] : -1;
    const nj_net_value *value = v >= 0 ? &r->plan->value[v] : NULL;
    if (!value || !value->i64 || value->fixed.n > NJ_MODEL_RANK || nj_onnx_int(r->node, "allowzero", 0))
        return refuse(r, "a shape that is no constant");
    r->step->target = value->i64;
    r->step->n_axes = (int32_t)value->fixed.n;
    return 0;
}

static int read_transpose(reading *r)
{
    if (!nj_onnx_find(r->node, "perm")) return refuse(r, "no perm");
    return read_list(r, "perm", 99, r->step->perm, &r->step->n_axes, NJ_MODEL_RANK);
}

static int read_axis(reading *r)
{
    int64_t otherwise = !strcmp(r->node->op, "Softmax") ? -1 : 1,
            axis = nj_onnx_int(r->node, "axis", otherwise);
    if (axis < -NJ_MODEL_RANK || axis > NJ_MODEL_RANK) return refuse(r, "this axis");
    r->step->axis = (int32_t)axis;
    return 0;
}

static int read_gemm(reading *r)
{
    r->step->alpha = nj_onnx_float(r->node, "alpha", 1);
    r->step->beta = nj_onnx_float(r->node, "beta", 1);
    r->step->trans_b = nj_onnx_int(r->node, "transB", 0) != 0;
    return nj_onnx_int(r->node, "transA", 0) ? refuse(r, "transA") : 0;
}

static int read_norm(reading *r)
{
    r->step->epsilon = nj_onnx_float(r->node, "epsilon", 1e-5f);
    if (nj_onnx_int(r->node, "training_mode", 0) || r->step->n_in != 5) return refuse(r, "training");
    for (int k = 1; k < 5; k++)
        if (r->step->in[k] < 0 || !r->plan->value[r->step->in[k]].is_fixed)
            return refuse(r, "a statistic that is no constant");
    return 0;
}

static int read_lstm(reading *r)
{
    nj_net_step *s = r->step;
    int64_t hidden = nj_onnx_int(r->node, "hidden_size", 0);
    s->n_directions = nj_onnx_is(r->node, "direction", "bidirectional", "forward") ? 2 : 1;
    s->reverse = nj_onnx_is(r->node, "direction", "reverse", "forward");
    if (hidden < 1 || hidden > 1 << 14) return refuse(r, "this hidden_size");
    s->hidden = (int32_t)hidden;
    if (nj_onnx_find(r->node, "activations") || nj_onnx_find(r->node, "clip") ||
        nj_onnx_int(r->node, "layout", 0) || nj_onnx_int(r->node, "input_forget", 0))
        return refuse(r, "activations, clip, layout or input_forget");
    for (uint32_t k = 5; k < s->n_in; k++)
        if (s->in[k] >= 0) return refuse(r, "an initial state or peephole");
    if (s->n_out > 2 && s->out[2] >= 0) return refuse(r, "the output Y_c");
    for (uint32_t k = 1; k < 4 && k < s->n_in; k++)
        if (s->in[k] >= 0 && !r->plan->value[s->in[k]].is_fixed)
            return refuse(r, "a weight that is no constant");
    if (s->n_in > 4 && s->in[4] >= 0 && !r->plan->value[s->in[4]].is_int)
        return refuse(r, "sequence_lens that are no int32 input");
    return 0;
}

static int read_leaky(reading *r)
{
    r->step->alpha = nj_onnx_float(r->node, "alpha", 0.01f);
    return 0;
}

static int read_cast(reading *r)
{
    return nj_onnx_int(r->node, "to", 0) == NJ_ONNX_FLOAT ? 0 : refuse(r, "a type other than float32");
}

typedef struct entry {
    const char *op;
    uint32_t least, most; /* inputs */
    int (*read)(reading *r);
} entry;

static const entry entries[] = {
    { "Add", 2, 2, NULL },
    { "Sub", 2, 2, NULL },
    { "Mul", 2, 2, NULL },
    { "Div", 2, 2, NULL },
    { "BatchNormalization", 5, 5, read_norm },
    { "Cast", 1, 1, read_cast },
    { "Concat", 1, NJ_PLAN_IN, read_axis },
    { "Conv", 2, 3, read_conv },
    { "Dropout", 1, 3, NULL },
    { "Flatten", 1, 1, read_axis },
    { "Gemm", 2, 3, read_gemm },
    { "GlobalAveragePool", 1, 1, NULL },
    { "Identity", 1, 1, NULL },
    { "LSTM", 3, 8, read_lstm },
    { "LeakyRelu", 1, 1, read_leaky },
    { "MatMul", 2, 2, NULL },
    { "MaxPool", 1, 1, read_pool },
    { "ReduceMax", 1, 2, read_reduce },
    { "ReduceMean", 1, 2, read_reduce },
    { "ReduceSum", 1, 2, read_reduce },
    { "Relu", 1, 1, NULL },
    { "Reshape", 2, 2, read_reshape },
    { "Sigmoid", 1, 1, NULL },
    { "Softmax", 1, 1, read_axis },
    { "Squeeze", 1, 2, read_axes },
    { "Tanh", 1, 1, NULL },
    { "Transpose", 1, 1, read_transpose },
    { "Unsqueeze", 1, 2, read_axes },
};

int nj_op_read(nj_net_plan *plan, nj_net_step *step, nj_model_error *err)
{
    reading r = { plan, step, step->node, err };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        const entry *e = &entries[i];
        if (strcmp(e->op, step->op->name)) continue;
        if (step->n_in < e->least || step->n_in > e->most || step->n_out < 1 ||
            (step->out[0] < 0 && strcmp(e->op, "LSTM")))
            return refuse(&r, "this number of inputs or outputs");
        for (uint32_t k = 0; k < e->least; k++)
            if (step->in[k] < 0) return refuse(&r, "an input left out");
        for (uint32_t k = 0; k < step->n_in; k++) { /* integers go where integers are read,
                                                     * and nowhere else */
            const nj_net_value *v = step->in[k] >= 0 ? &plan->value[step->in[k]] : NULL;
            int integer_here =
                (!strcmp(e->op, "Cast") && k == 0) || (!strcmp(e->op, "LSTM") && k == 4) ||
                (k == 1 && (e->read == read_reduce || e->read == read_axes || e->read == read_reshape));
            if (v && (v->is_int || v->i64) && !integer_here) return refuse(&r, "an integer tensor here");
            if (v && v->i64 && !strcmp(e->op, "Cast")) return refuse(&r, "an integer constant");
        }
        return e->read ? e->read(&r) : 0;
    }
    return refuse(&r, "this operator");
}
