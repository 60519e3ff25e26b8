/* crop.c - a maximum over squares leaves out what remains at the end of a line, and so may the convolutions
 * before it: of braai's 63 x 63 pixels 60 x 60 can change its score. */
#include "plan.h"

typedef struct cropping {
    nj_net_plan *plan;
    const nj_tensor *shape; /* [n_values] as they are */
    int32_t (*need)[2];     /* [n_values] rows and columns from the first that are read */
} cropping;

static int is_window(const nj_net_step *s)
{
    return s->op == &nj_op_conv_fast || s->op == &nj_op_winograd || s->op == &nj_op_separable;
}

/* Height (k = 0) and width (k = 1) of a step's window. */
static int32_t window(const cropping *c, const nj_net_step *s, uint32_t k)
{
    return s->op == &nj_op_pool_fast ? s->kernel[k] : c->shape[s->in[1]].dim[2 + k];
}

static int32_t padding(const nj_net_step *s, uint32_t k)
{
    return s->op == &nj_op_conv_fast ? s->pad[k] + s->pad[2 + k] : 0;
}

static int32_t stride(const nj_net_step *s, uint32_t k)
{
    return s->op == &nj_op_separable ? 1 : s->stride[k];
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* What this step reads of its input, given what is read of its output. */
static void reads(const cropping *c, const nj_net_step *s)
{
    int fast = is_window(s) || s->op == &nj_op_pool_fast;
    for (uint32_t i = 0; i < s->n_in; i++) {
        if (s->in[i] < 0 || c->shape[s->in[i]].rank != 4) continue;
        for (uint32_t k = 0; k < 2; k++) {
            int32_t whole = c->shape[s->in[i]].dim[2 + k], wants = whole;
            if (fast && i == 0 && !padding(s, k)) {
                int32_t results = c->need[s->out[0]][k] * (is_window(s) ? s->pool : 1);
                wants = (results - 1) * stride(s, k) + window(c, s, k);
            }
            c->need[s->in[i]][k] = larger(c->need[s->in[i]][k], wants < whole ? wants : whole);
        }
    }
}

/* How much less than it could this step computes, its input being cropped already. */
static void crop(const cropping *c, nj_net_step *s)
{
    for (uint32_t k = 0; k < 2; k++) {
        int32_t in = c->shape[s->in[0]].dim[2 + k];
        for (uint32_t i = 0; i < c->plan->n_steps; i++)
            if (c->plan->step[i].out[0] == s->in[0] &&
                (is_window(&c->plan->step[i]) || c->plan->step[i].op == &nj_op_pool_fast))
                in = c->need[s->in[0]][k];
        int32_t could = (in + padding(s, k) - window(c, s, k)) / stride(s, k) + 1;
        s->crop[k] = could - c->need[s->out[0]][k] * s->pool;
    }
}

int nj_plan_crop(nj_net_plan *plan, const nj_model *model)
{
    cropping c = { .plan = plan, .shape = nj_plan_shapes(plan, model) };
    c.need = nj_pool_alloc(plan->pool, plan->n_values, sizeof *c.need);
    if (!c.shape || !c.need) return -1;
    for (uint32_t i = 0; i < model->info.n_inputs; i++)
        if (model->info.input[i].has_steps) return 0; /* shapes are not known before a call */
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        for (uint32_t k = 0; k < 2 && c.shape[plan->output[i]].rank == 4; k++)
            c.need[plan->output[i]][k] = c.shape[plan->output[i]].dim[2 + k];
    for (uint32_t i = plan->n_steps; i-- > 0;) reads(&c, &plan->step[i]);
    for (uint32_t i = 0; i < plan->n_steps; i++)
        if (is_window(&plan->step[i])) crop(&c, &plan->step[i]);
    return 0;
}
