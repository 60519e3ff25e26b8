/* plan.c - a network is compiled to a list of steps with all shapes and memory fixed before the first
 * alert. */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "denormal.h"

/* --- building --- */

int32_t nj_plan_new_value(nj_net_plan *plan, const char *name)
{
    if (plan->n_values == plan->cap_values) {
        uint32_t cap = plan->cap_values ? 2 * plan->cap_values : 64;
        nj_net_value *v = nj_pool_alloc(plan->pool, cap, sizeof *v);
        if (!v) return NJ_PLAN_NONE;
        if (plan->n_values) memcpy(v, plan->value, plan->n_values * sizeof *v);
        plan->value = v;
        plan->cap_values = cap;
    }
    plan->value[plan->n_values] = (nj_net_value){ .name = name, .alias = NJ_PLAN_NONE };
    return (int32_t)plan->n_values++;
}

static int32_t find_value(const nj_net_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_values; i++)
        if (!strcmp(plan->value[i].name, name)) return (int32_t)i;
    return NJ_PLAN_NONE;
}

static int add_constant(nj_net_plan *plan, const nj_onnx_tensor *t, const char *name, nj_model_error *err)
{
    if (find_value(plan, name) >= 0) return nj_model_fail(err, "'%.80s' is given twice", name);
    if ((!t->f32 && !t->i64) || t->rank > NJ_MODEL_RANK)
        return nj_model_fail(err, "constant '%.80s' has a type or rank that is not supported", name);
    int32_t at = nj_plan_new_value(plan, name);
    if (at < 0) return nj_model_fail(err, "out of memory");
    nj_net_value *v = &plan->value[at];
    v->is_fixed = 1;
    v->i64 = t->i64;
    v->fixed = (nj_tensor){ .data = (float *)(uintptr_t)t->f32, .rank = t->rank, .n = t->n };
    for (uint32_t k = 0; k < t->rank; k++) v->fixed.dim[k] = (int32_t)t->dim[k];
    return 0;
}

static int add_inputs(nj_net_plan *plan, const nj_model *model, nj_model_error *err)
{
    int32_t *input = nj_pool_alloc(plan->pool, model->info.n_inputs, sizeof *input);
    if (!input) return nj_model_fail(err, "out of memory");
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        if (find_value(plan, model->info.input[i].name) >= 0)
            return nj_model_fail(err, "'%.80s' is given twice", model->info.input[i].name);
        input[i] = nj_plan_new_value(plan, model->info.input[i].name);
        if (input[i] < 0) return nj_model_fail(err, "out of memory");
        plan->value[input[i]].is_input = 1;
        plan->value[input[i]].is_int = model->info.input[i].type == NJ_I32;
    }
    plan->input = input;
    return 0;
}

static int add_step(nj_net_plan *plan, const nj_onnx_node *node, nj_model_error *err)
{
    nj_net_step *s = &plan->step[plan->n_steps];
    *s = (nj_net_step){
        .op = nj_op_find(node->op), .node = node, .n_in = node->n_inputs, .n_out = node->n_outputs
    };
    if (!s->op || node->domain[0])
        return nj_model_fail(err, "operator %.60s%s%.60s is not supported by the built-in engine",
                             node->domain, node->domain[0] ? "." : "", node->op);
    if (s->n_in > NJ_PLAN_IN || s->n_out > NJ_PLAN_OUT)
        return nj_model_fail(err, "operator %s has too many inputs or outputs", node->op);
    for (uint32_t k = 0; k < s->n_in; k++) {
        s->in[k] = node->input[k][0] ? find_value(plan, node->input[k]) : NJ_PLAN_NONE;
        if (node->input[k][0] && s->in[k] < 0)
            return nj_model_fail(err, "operator %s reads '%.80s', which nothing before it gives", node->op,
                                 node->input[k]);
    }
    for (uint32_t k = 0; k < s->n_out; k++) {
        if (node->output[k][0] && find_value(plan, node->output[k]) >= 0)
            return nj_model_fail(err, "'%.80s' is given twice", node->output[k]);
        s->out[k] = node->output[k][0] ? nj_plan_new_value(plan, node->output[k]) : NJ_PLAN_NONE;
        if (node->output[k][0] && s->out[k] < 0) return nj_model_fail(err, "out of memory");
    }
    plan->n_steps++;
    return nj_op_read(plan, s, err);
}

static int find_outputs(nj_net_plan *plan, const nj_model *model, nj_model_error *err)
{
    int32_t *output = nj_pool_alloc(plan->pool, model->info.n_outputs, sizeof *output);
    if (!output) return nj_model_fail(err, "out of memory");
    for (uint32_t i = 0; i < model->info.n_outputs; i++) {
        output[i] = find_value(plan, model->info.output[i].name);
        if (output[i] < 0 || plan->value[output[i]].is_input || plan->value[output[i]].is_fixed)
            return nj_model_fail(err, "nothing gives the output '%.80s'", model->info.output[i].name);
    }
    plan->output = output;
    return 0;
}

void nj_plan_lives(nj_net_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_values; i++)
        plan->value[i].first = plan->value[i].last = -1, plan->value[i].n_readers = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const nj_net_step *s = &plan->step[i];
        for (uint32_t k = 0; k < s->n_out; k++)
            if (s->out[k] >= 0) plan->value[s->out[k]].first = plan->value[s->out[k]].last = (int32_t)i;
        for (uint32_t k = 0; k < s->n_in; k++)
            for (int32_t v = s->in[k]; v >= 0; v = plan->value[v].alias) {
                if (v == s->in[k]) plan->value[v].n_readers++;
                plan->value[v].last = (int32_t)i;
            }
    }
}

int nj_plan_build(nj_net_plan *plan, const nj_model *model, nj_pool *pool, nj_model_error *err)
{
    const nj_onnx *onnx = &model->onnx;
    *plan = (nj_net_plan){ .pool = pool, .isa = nj_isa_best(), .chunk = 8, .chunk_short = 32 };
    if (onnx->n_nodes > 2048)
        return nj_model_fail(err, "%u operators are too many for the built-in engine", onnx->n_nodes);
    plan->step = nj_pool_alloc(pool, 2 * (size_t)onnx->n_nodes + 8, sizeof *plan->step);
    if (!plan->step) return nj_model_fail(err, "out of memory");
    for (uint32_t i = 0; i < onnx->n_initializers; i++)
        if (add_constant(plan, &onnx->initializer[i], onnx->initializer[i].name, err)) return -1;
    if (add_inputs(plan, model, err)) return -1;
    for (uint32_t i = 0; i < onnx->n_nodes; i++) {
        const nj_onnx_node *node = &onnx->node[i];
        const nj_onnx_attribute *value = nj_onnx_find(node, "value");
        if (!strcmp(node->op, "Constant") && !node->domain[0] && value && value->t && node->n_outputs == 1) {
            if (add_constant(plan, value->t, node->output[0], err)) return -1;
        } else if (add_step(plan, node, err))
            return -1;
    }
    if (find_outputs(plan, model, err)) return -1;
    nj_plan_lives(plan);
    return 0;
}

/* --- shapes and memory --- */

struct nj_plan_work {
    char *memory;
    size_t *size, *start; /* [n_values] floats reserved, and where in memory */
    float **home;         /* [n_values] where they lie; NULL for inputs and constants */
    nj_tensor *all, *one; /* [n_values] tensors of a chunk, and of one row for the image steps */
    float *scratch;
    size_t n_scratch;
    uint32_t rows, rows_short, steps; /* what there is room for: rows of steps, rows_short of fewer */
};

static int input_shape(const nj_model *model, uint32_t i, uint32_t rows, uint32_t steps, nj_tensor *t)
{
    const nj_model_port *p = &model->info.input[i];
    t->rank = p->rank;
    for (uint32_t k = 0; k < p->rank; k++)
        t->dim[k] = p->dim[k] == NJ_MODEL_ROWS    ? (int32_t)rows
                    : p->dim[k] == NJ_MODEL_STEPS ? (int32_t)steps
                                                  : p->dim[k];
    nj_tensor_count(t);
    return 0;
}

static int count_checked(nj_tensor *t)
{
    uint64_t n = 1;
    if (t->rank > NJ_MODEL_RANK) return -1;
    for (uint32_t k = 0; k < t->rank; k++) {
        if (t->dim[k] < 1) return -1;
        n *= (uint64_t)t->dim[k];
        if (n > (uint64_t)1 << 30) return -1;
    }
    t->n = n;
    return 0;
}

static void gather(const nj_net_step *s, nj_tensor *t, const nj_tensor **in, nj_tensor **out)
{
    for (uint32_t k = 0; k < s->n_in; k++) in[k] = s->in[k] >= 0 ? &t[s->in[k]] : NULL;
    for (uint32_t k = 0; k < s->n_out; k++) out[k] = s->out[k] >= 0 ? &t[s->out[k]] : NULL;
}

/* Shapes of steps [0, n) for these inputs; data pointers are left alone. */
static int infer(const nj_net_plan *plan, const nj_model *model, uint32_t n_steps, uint32_t rows,
                 uint32_t steps, nj_tensor *t, size_t *n_scratch)
{
    const nj_tensor *in[NJ_PLAN_IN];
    nj_tensor *out[NJ_PLAN_OUT];
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        input_shape(model, i, rows, steps, &t[plan->input[i]]);
        if (count_checked(&t[plan->input[i]])) return -1;
    }
    for (uint32_t i = 0; i < n_steps; i++) {
        const nj_net_step *s = &plan->step[i];
        gather(s, t, in, out);
        if (s->op->shape(s, in, out)) return -1;
        for (uint32_t k = 0; k < s->n_out; k++)
            if (out[k] && count_checked(out[k])) return -1;
        size_t scratch = n_scratch && s->op->scratch ? s->op->scratch(s, in, out) : 0;
        if (scratch > (size_t)1 << 30) return -1;
        if (n_scratch && scratch > *n_scratch) *n_scratch = scratch;
    }
    return 0;
}

static void fixed_tensors(const nj_net_plan *plan, nj_tensor *t)
{
    for (uint32_t i = 0; i < plan->n_values; i++)
        if (plan->value[i].is_fixed) t[i] = plan->value[i].fixed;
}

nj_tensor *nj_plan_shapes(const nj_net_plan *plan, const nj_model *model)
{
    nj_tensor *t = nj_pool_alloc(plan->pool, plan->n_values, sizeof *t);
    if (!t) return NULL;
    fixed_tensors(plan, t);
    return infer(plan, model, plan->n_steps, 1, 1, t, NULL) ? NULL : t;
}

static int crosses(const nj_net_plan *plan, const nj_net_value *v)
{
    return v->first >= 0 && v->first < (int32_t)plan->image_steps && v->last >= (int32_t)plan->image_steps;
}

static int is_output(const nj_net_plan *plan, const nj_model *model, int32_t v)
{
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        for (int32_t o = plan->output[i]; o >= 0; o = plan->value[o].alias)
            if (o == v) return 1;
    return 0;
}

typedef struct slot {
    size_t start, n;
    int32_t first, last;
} slot;

/* First fit: the lowest place where no value that lives at the same time lies. */
static size_t place(const slot *s, uint32_t n_slots, const slot *want, size_t *top)
{
    size_t at = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (uint32_t i = 0; i < n_slots; i++) {
            int together = s[i].first <= want->last && want->first <= s[i].last;
            if (together && at < s[i].start + s[i].n && s[i].start < at + want->n) {
                at = s[i].start + s[i].n;
                moved = 1;
            }
        }
    }
    if (at + want->n > *top) *top = at + want->n;
    return at;
}

static int lay_out(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w, slot *slots, size_t *top)
{
    uint32_t n = 0;
    *top = 0;
    for (uint32_t i = 0; i < plan->n_values; i++) {
        const nj_net_value *v = &plan->value[i];
        if (v->is_input || v->is_fixed || v->first < 0 || v->alias >= 0) continue;
        int whole = v->first >= (int32_t)plan->image_steps || crosses(plan, v);
        slot want = { .n = ((whole ? w->all[i].n : w->one[i].n) + 15) / 16 * 16,
                      .first = crosses(plan, v) ? 0 : v->first,
                      .last = is_output(plan, model, (int32_t)i) ? INT32_MAX : v->last };
        want.start = place(slots, n, &want, top);
        if (*top > (size_t)1 << 30) return -1;
        w->size[i] = want.n;
        w->start[i] = want.start;
        slots[n++] = want;
    }
    return 0;
}

void nj_plan_work_free(nj_plan_work *w)
{
    if (!w) return;
    free(w->memory);
    free(w->size);
    free(w->start);
    free(w->home);
    free(w->all);
    free(w->one);
    free(w);
}

/* Many short rows may run at once where nothing is an image. */
static int has_steps(const nj_net_plan *plan, const nj_model *model)
{
    for (uint32_t i = 0; i < model->info.n_inputs; i++)
        if (model->info.input[i].has_steps) return plan->image_steps == 0;
    return 0;
}

/* Room for w->rows of w->steps, and w->rows_short of so many steps that both have about as many in all. What
 * lies between needs no more: sizes are sums of rows, steps, and their products. */
static int infer_sizes(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w)
{
    const uint32_t few = (uint32_t)((uint64_t)w->rows * w->steps / w->rows_short);
    if (infer(plan, model, plan->n_steps, w->rows, w->steps, w->all, &w->n_scratch) ||
        infer(plan, model, plan->image_steps, 1, w->steps, w->one, &w->n_scratch))
        return -1;
    for (uint32_t i = 0; i < plan->n_values; i++) w->size[i] = w->all[i].n;
    if (w->rows_short > w->rows &&
        infer(plan, model, plan->n_steps, w->rows_short, few ? few : 1, w->all, &w->n_scratch))
        return -1;
    for (uint32_t i = 0; i < plan->n_values; i++)
        if (w->size[i] > w->all[i].n) w->all[i].n = w->size[i];
    memset(w->size, 0, plan->n_values * sizeof *w->size);
    return 0;
}

static int reserve(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w, slot *slots)
{
    size_t top;
    fixed_tensors(plan, w->all);
    fixed_tensors(plan, w->one);
    if (infer_sizes(plan, model, w) || lay_out(plan, model, w, slots, &top)) return -1;
    w->memory = aligned_alloc(64, (top + w->n_scratch + 64) / 16 * 64);
    if (!w->memory) return -1;
    memset(w->memory, 0, (top + w->n_scratch + 64) / 16 * 64);
    for (uint32_t i = 0; i < plan->n_values; i++)
        if (w->size[i]) w->home[i] = (float *)(void *)w->memory + w->start[i];
    w->scratch = (float *)(void *)w->memory + top;
    return 0;
}

nj_plan_work *nj_plan_work_new(const nj_net_plan *plan, const nj_model *model, uint32_t rows, uint32_t steps)
{
    nj_plan_work *w = calloc(1, sizeof *w);
    slot *slots = calloc(plan->n_values, sizeof *slots);
    int rc = -1;
    if (!w || !slots) goto done;
    w->size = calloc(plan->n_values, sizeof *w->size);
    w->start = calloc(plan->n_values, sizeof *w->start);
    w->home = calloc(plan->n_values, sizeof *w->home);
    w->all = calloc(plan->n_values, sizeof *w->all);
    w->one = calloc(plan->n_values, sizeof *w->one);
    if (!w->size || !w->start || !w->home || !w->all || !w->one) goto done;
    w->rows = rows < plan->chunk ? rows : plan->chunk;
    w->rows_short = !has_steps(plan, model) ? w->rows : rows < plan->chunk_short ? rows : plan->chunk_short;
    w->steps = steps;
    rc = reserve(plan, model, w, slots);
done:
    free(slots);
    if (rc == 0) return w;
    nj_plan_work_free(w);
    return NULL;
}

/* --- running --- */

static int run_steps(const nj_net_plan *plan, nj_plan_work *w, uint32_t first, uint32_t last, nj_tensor *t)
{
    const nj_tensor *in[NJ_PLAN_IN];
    nj_tensor *out[NJ_PLAN_OUT];
    for (uint32_t i = first; i < last; i++) {
        const nj_net_step *s = &plan->step[i];
        gather(s, t, in, out);
        s->op->run(plan, s, in, out, w->scratch);
    }
    return 0;
}

/* Where each tensor lies for this chunk. Aliases follow the value that they share. */
static int set_data(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w,
                    const nj_model_call *call, uint32_t row, nj_tensor *t)
{
    for (uint32_t i = 0; i < plan->n_values; i++) {
        if (plan->value[i].is_fixed || plan->value[i].is_input || plan->value[i].first < 0) continue;
        int32_t owner = (int32_t)i;
        while (plan->value[owner].alias >= 0) owner = plan->value[owner].alias;
        if (!plan->value[owner].is_input) t[i].data = w->home[owner];
    }
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        const nj_model_port *p = &model->info.input[i];
        size_t row_n = (size_t)p->row_elements * (p->has_steps ? call->n_steps : 1);
        t[plan->input[i]].data = (float *)(uintptr_t)call->input[i] + row * row_n;
    }
    for (uint32_t i = 0; i < plan->n_values; i++) { /* views of an input */
        int32_t owner = (int32_t)i;
        while (plan->value[owner].alias >= 0) owner = plan->value[owner].alias;
        if (plan->value[owner].is_input) t[i].data = t[owner].data;
    }
    return 0;
}

static int fits(const nj_net_plan *plan, const nj_plan_work *w)
{
    for (uint32_t i = 0; i < plan->n_values; i++) {
        const nj_net_value *v = &plan->value[i];
        if (!w->size[i]) continue;
        int whole = v->first >= (int32_t)plan->image_steps || crosses(plan, v);
        if ((whole ? w->all[i].n : w->one[i].n) > w->size[i]) return 0;
    }
    return 1;
}

static void run_images(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w,
                       const nj_model_call *call, uint32_t row, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) {
        set_data(plan, model, w, call, row + r, w->one);
        for (uint32_t i = 0; i < plan->n_values; i++) {
            int32_t owner = (int32_t)i;
            while (plan->value[owner].alias >= 0) owner = plan->value[owner].alias;
            if (crosses(plan, &plan->value[owner])) w->one[i].data = w->home[owner] + r * w->one[owner].n;
        }
        run_steps(plan, w, 0, plan->image_steps, w->one);
    }
}

static void take_outputs(const nj_net_plan *plan, const nj_model *model, nj_plan_work *w, uint32_t rows,
                         double *out)
{
    for (uint32_t i = 0, column = 0; i < model->info.n_outputs;
         column += model->info.output[i++].row_elements) {
        const nj_tensor *t = &w->all[plan->output[i]];
        uint32_t n = model->info.output[i].row_elements;
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t k = 0; k < n; k++)
                out[(size_t)r * model->info.width + column + k] = t->data[(size_t)r * n + k];
    }
}

static int outputs_fit(const nj_net_plan *plan, const nj_model *model, const nj_plan_work *w, uint32_t rows)
{
    for (uint32_t i = 0; i < model->info.n_outputs; i++) {
        const nj_tensor *t = &w->all[plan->output[i]];
        if (t->n != (size_t)rows * model->info.output[i].row_elements || t->rank < 1 ||
            t->dim[0] != (int32_t)rows)
            return 0;
    }
    return 1;
}

/* Rows that run at once. */
static uint32_t chunk_of(const nj_plan_work *w, uint32_t steps)
{
    const uint64_t most = steps ? (uint64_t)w->rows * w->steps / steps : w->rows;
    return most < w->rows ? w->rows : most < w->rows_short ? (uint32_t)most : w->rows_short;
}

static int run_chunks(const nj_net_plan *plan, nj_plan_work *w, const nj_model *model,
                      const nj_model_call *call)
{
    const uint32_t chunk = chunk_of(w, call->n_steps);
    for (uint32_t row = 0; row < call->n_rows; row += chunk) {
        uint32_t rows = call->n_rows - row < chunk ? call->n_rows - row : chunk;
        size_t scratch = 0;
        if (infer(plan, model, plan->n_steps, rows, call->n_steps, w->all, &scratch)) return NJ_EDATA;
        if (plan->image_steps && infer(plan, model, plan->image_steps, 1, call->n_steps, w->one, NULL))
            return NJ_EDATA;
        if (scratch > w->n_scratch || !fits(plan, w) || !outputs_fit(plan, model, w, rows)) return NJ_EDATA;
        run_images(plan, model, w, call, row, rows);
        set_data(plan, model, w, call, row, w->all);
        run_steps(plan, w, plan->image_steps, plan->n_steps, w->all);
        take_outputs(plan, model, w, rows, call->out + (size_t)row * model->info.width);
    }
    return NJ_OK;
}

int nj_plan_run(const nj_net_plan *plan, nj_plan_work *w, const nj_model *model, const nj_model_call *call)
{
    uint32_t mode = nj_denormals_are_zero();
    int rc = run_chunks(plan, w, model, call);
    nj_denormals_back(mode);
    return rc;
}
