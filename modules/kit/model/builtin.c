/* builtin.c - networks run without ONNX Runtime by this engine, which has a plain plan and a fused, fast
 * one. */
#include <stdlib.h>

#include "engine.h"
#include "plan.h"

typedef struct builtin {
    nj_net_plan plain, fast;
} builtin;

typedef struct thread {
    nj_plan_work *plain, *fast;
} thread;

static void thread_close(void *memory)
{
    thread *t = memory;
    nj_plan_work_free(t->plain);
    nj_plan_work_free(t->fast);
    free(t);
}

static void *thread_open(const nj_model *model, uint32_t max_rows, uint32_t max_steps)
{
    const builtin *b = model->self;
    thread *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->fast = nj_plan_work_new(&b->fast, model, max_rows, max_steps);
    t->plain = nj_plan_work_new(&b->plain, model, 1, max_steps);
    if (t->fast && t->plain) return t;
    thread_close(t);
    return NULL;
}

static int predict(const nj_model *model, void *memory, const nj_model_call *call)
{
    const builtin *b = model->self;
    thread *t = memory;
    return call->reference ? nj_plan_run(&b->plain, t->plain, model, call)
                           : nj_plan_run(&b->fast, t->fast, model, call);
}

static const nj_model_engine engine = {
    .name = "builtin", .thread_open = thread_open, .thread_close = thread_close, .predict = predict
};

int nj_engine_builtin(nj_model *model, const nj_model_options *options, nj_model_error *err)
{
    (void)options;
    nj_model_error why;
    builtin *b = nj_pool_alloc(&model->pool, 1, sizeof *b);
    if (!b) return nj_model_fail(err, "out of memory");
    if (nj_plan_build(&b->plain, model, &model->pool, &why) ||
        nj_plan_build(&b->fast, model, &model->pool, &why) || nj_plan_fuse(&b->fast, model, &why))
        return nj_model_fail(err, "%s: %.400s", model->info.folder, why.text);
    b->plain.chunk = 1;
    model->self = b;
    model->engine = &engine;
    model->info.engine = engine.name;
    model->info.device = "cpu";
    model->info.rows_best = b->fast.chunk;
    thread *t = thread_open(model, 1, 1); /* shape errors are reported at load time, not during a run */
    if (!t)
        return nj_model_fail(err, "%s: its shapes do not fit one another, or are too large",
                             model->info.folder);
    thread_close(t);
    return 0;
}
