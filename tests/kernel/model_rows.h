/* model_rows.h - models by name on the built-in engine, and predictions of random rows:
 * for the tests of networks. */
#ifndef TESTS_KERNEL_MODEL_ROWS_H
#define TESTS_KERNEL_MODEL_ROWS_H

#include "model_host.h"

enum { ROWS = 13, STEPS = 11 };
static uint64_t seed = 20261121;

static inline nj_model *open_named(model_host *h, const char *name)
{
    model_host_open(h, strncmp(name, "toy_", 4) ? real_models() : "data/models");
    nj_model *m = model_service()->open(&h->host, name, &(nj_model_options){ .engine = "builtin" });
    if (!m) fail_msg("%s", h->log);
    return m;
}

static inline int predict(nj_model *m, nj_model_thread *t, void **in, uint32_t rows, double *out)
{
    const nj_model_info *info = model_service()->info(m);
    uint32_t steps = 0;
    for (uint32_t i = 0; i < info->n_inputs; i++)
        if (info->input[i].has_steps) steps = STEPS;
    return model_service()->predict(
        m, t,
        &(nj_model_call){ .n_rows = rows, .n_steps = steps, .input = (const void *const *)in, .out = out });
}

#endif
