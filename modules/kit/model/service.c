/* service.c - modules open models by name; this chooses the engine, checks the golden rows and runs
 * predictions. */
#include "service.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "engine.h"
#include "folder.h"

struct nj_model_thread {
    const nj_model *model;
    uint32_t max_rows, max_steps;
    void *engine; /* the engine's */
};

static void close_model(nj_model *model)
{
    if (!model) return;
    if (model->engine && model->engine->close) model->engine->close(model);
    json_decref(model->manifest);
    nj_pool_free(&model->file);
    nj_pool_free(&model->pool);
    free(model);
}

static nj_model_thread *thread_open(const nj_model *model, uint32_t max_rows, uint32_t max_steps)
{
    if (max_rows < 1 || max_rows > 1u << 20 || max_steps > 1u << 20) return NULL;
    nj_model_thread *t = malloc(sizeof *t);
    if (!t) return NULL;
    *t = (nj_model_thread){ .model = model, .max_rows = max_rows, .max_steps = max_steps };
    t->engine = model->engine->thread_open(model, max_rows, max_steps);
    if (t->engine) return t;
    free(t);
    return NULL;
}

static void thread_close(nj_model_thread *thread)
{
    if (!thread) return;
    thread->model->engine->thread_close(thread->engine);
    free(thread);
}

/* Lengths beyond the steps would read outside the input. */
static int lengths_fit(const nj_model *model, const nj_model_call *call)
{
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        const nj_model_port *port = &model->info.input[i];
        if (port->has_steps && call->n_steps < 1) return 0;
        if (port->type != NJ_I32 || port->rank != 1) continue;
        const int32_t *length = call->input[i];
        for (uint32_t r = 0; r < call->n_rows; r++)
            if (length[r] < 1 || (uint32_t)length[r] > call->n_steps) return 0;
    }
    return 1;
}

static int predict(const nj_model *model, nj_model_thread *thread, const nj_model_call *call)
{
    if (call->n_rows == 0) return NJ_OK;
    if (thread->model != model || call->n_rows > thread->max_rows || call->n_steps > thread->max_steps ||
        !lengths_fit(model, call))
        return NJ_EDATA;
    return model->engine->predict(model, thread->engine, call);
}

/* --- opening --- */

static int golden_makes_sense(const nj_model *model, const nj_golden *g, nj_model_error *err)
{
    double largest = 0;
    size_t finite = 0;
    for (size_t i = 0; i < (size_t)g->n_rows * model->info.width; i++)
        if (isfinite(g->output[i])) finite++, largest = fmax(largest, fabs(g->output[i]));
    if (!finite)
        return nj_model_fail(err, "%s: none of its golden outputs is a number: they check nothing",
                             model->info.folder);
    if (g->tolerance >= (largest > 0 ? largest : 1))
        return nj_model_fail(err,
                             "%s: golden.tolerance_abs = %g is no less than the largest golden output, %g: a "
                             "model that answers 0 would pass",
                             model->info.folder, g->tolerance, largest);
    return 0;
}

static int compute_golden(nj_model *model, nj_golden *g, nj_model_error *err)
{
    if (nj_folder_golden_read(model, g, err)) return -1;
    double *out = nj_pool_alloc(&g->pool, (size_t)g->n_rows * model->info.width, sizeof *out);
    nj_model_thread *thread = out ? thread_open(model, g->n_rows, g->n_steps) : NULL;
    if (!thread) return nj_model_fail(err, "%s: out of memory for its golden rows", model->info.folder);
    nj_model_call call = {
        .n_rows = g->n_rows, .n_steps = g->n_steps, .input = (const void *const *)g->input, .out = out
    };
    int rc = predict(model, thread, &call);
    thread_close(thread);
    if (rc != NJ_OK)
        return nj_model_fail(err, "%s: its golden rows cannot be computed (engine %s)", model->info.folder,
                             model->info.engine);
    if (golden_makes_sense(model, g, err)) return -1;
    double most = 0;
    for (size_t i = 0; i < (size_t)g->n_rows * model->info.width; i++) {
        double d = isnan(out[i]) && isnan(g->output[i]) ? 0 : fabs(out[i] - g->output[i]);
        if (!(d <= g->tolerance))
            return nj_model_fail(err,
                                 "%s: golden row %zu gives %.9g, expected %.9g (tolerance %g, engine %s)",
                                 model->info.folder, i / model->info.width, out[i], g->output[i],
                                 g->tolerance, model->info.engine);
        most = d > most ? d : most;
    }
    model->info.golden_difference = most;
    return 0;
}

__attribute__((format(printf, 2, 3))) static void say(const nj_host *host, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (host->log) host->log(host->opaque, 3, "%s", text);
}

/* Rows that were right once are not computed again while nothing has changed that they depend on. */
static int check_golden(nj_model *model, const nj_host *host, const nj_model_options *o, nj_model_error *err)
{
    nj_golden g;
    nj_checked known;
    if (nj_folder_golden_find(model, host, &g, err)) return -1;
    model->info.golden_rows = g.n_rows;
    model->info.golden_tolerance = g.tolerance;
    nj_checked_key(&known, &model->info, o, model->manifest_bytes, model->n_manifest, g.bytes, g.n_bytes);
    if (nj_checked_find(&known, &model->info.golden_difference)) {
        say(host, "model %s: its %u golden rows were computed before, within %.3g", model->info.folder,
            g.n_rows, model->info.golden_difference);
        return 0;
    }
    int rc = compute_golden(model, &g, err);
    nj_pool_free(&g.pool);
    const char *why = rc ? NULL : nj_checked_keep(&known, model->info.golden_difference);
    if (why)
        say(host, "model %s: that its golden rows are right cannot be kept: %s", model->info.folder, why);
    return rc;
}

static int is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(word, *list)) return 1;
    return 0;
}

static int check_options(const nj_model_options *o, nj_model_error *err)
{
    if (o->engine && o->engine[0] &&
        !is_one_of(o->engine, (const char *const[]){ "auto", "builtin", "ort", NULL }))
        return nj_model_fail(err, "engine = %.40s: must be auto, builtin or ort", o->engine);
    if (o->sum && o->sum[0] && !is_one_of(o->sum, (const char *const[]){ "float", "double", NULL }))
        return nj_model_fail(err, "sum = %.40s: must be double or float", o->sum);
    if (o->device && o->device[0] && !is_one_of(o->device, (const char *const[]){ "cpu", "cuda", NULL }))
        return nj_model_fail(err, "device = %.40s: must be cpu or cuda", o->device);
    return 0;
}

static int has_forest(const nj_onnx *onnx)
{
    for (uint32_t i = 0; i < onnx->n_nodes; i++)
        if (!strncmp(onnx->node[i].op, "TreeEnsemble", 12)) return 1;
    return 0;
}

/* auto: what the own engines do not know runs in ONNX Runtime. A forest whose tables are wrong in themselves
 * (a circle, a child that is not there) runs nowhere. */
static int choose_engine(nj_model *model, const nj_model_options *o, nj_model_error *err)
{
    const char *engine = o->engine && o->engine[0] ? o->engine : "auto";
    int cuda = o->device && !strcmp(o->device, "cuda");
    if (cuda && !strcmp(engine, "builtin"))
        return nj_model_fail(err, "%s: the built-in engine has no device = cuda", model->info.folder);
    if (!strcmp(engine, "ort") || cuda) return nj_engine_ort(model, o, err);
    nj_model_error first, second;
    if (!(has_forest(&model->onnx) ? nj_engine_trees : nj_engine_builtin)(model, o, &first)) return 0;
    if (strcmp(engine, "auto") || first.status == NJ_EDATA) {
        *err = first;
        err->status = NJ_ECONF;
        return -1;
    }
    if (!nj_engine_ort(model, o, &second)) return 0;
    return nj_model_lacks(err, second.status, "%.280s; and with ONNX Runtime: %.200s", first.text,
                          second.text);
}

static int try_open(const nj_host *host, const char *folder, const nj_model_options *options,
                    nj_model **opened)
{
    nj_model_error err = { NJ_ENOMEM, "out of memory" };
    nj_model_options o = { 0 };
    if (options) memcpy(&o, options, options->size && options->size < sizeof o ? options->size : sizeof o);
    nj_model *model = calloc(1, sizeof *model);
    if (model && !check_options(&o, &err) && !nj_folder_read(model, host, folder, &err) &&
        !choose_engine(model, &o, &err) && (o.unchecked || !check_golden(model, host, &o, &err))) {
        if (host->log && !strncmp(model->info.engine, "ort", 3))
            host->log(host->opaque, 2, "model %s: ONNX Runtime %s on %s", folder, model->info.engine + 4,
                      model->info.device);
        *opened = model;
        return NJ_OK;
    }
    if (host->log)
        host->log(host->opaque, 1, "model %s %s: %s", folder,
                  err.status == NJ_ENO_MODEL ? "is not here" : "refused", err.text);
    close_model(model);
    *opened = NULL;
    return err.status;
}

static nj_model *open_model(const nj_host *host, const char *folder, const nj_model_options *options)
{
    nj_model *model;
    return try_open(host, folder, options, &model) == NJ_OK ? model : NULL;
}

/* --- questions --- */

static const nj_model_info *info(const nj_model *model)
{
    return &model->info;
}

static const json_t *find_path(const nj_model *model, const char *path)
{
    const json_t *at = model->manifest;
    while (at && *path) {
        const char *dot = strchrnul(path, '.');
        char key[128];
        if ((size_t)(dot - path) >= sizeof key) return NULL;
        memcpy(key, path, (size_t)(dot - path));
        key[dot - path] = 0;
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10)) : json_object_get(at, key);
        path = *dot ? dot + 1 : dot;
    }
    return at;
}

static int number(const nj_model *model, const char *path, double *value)
{
    const json_t *v = find_path(model, path);
    if (!json_is_number(v)) return -1;
    *value = json_number_value(v);
    return 0;
}

static const char *text(const nj_model *model, const char *path)
{
    return json_string_value(find_path(model, path));
}

static const nj_model_service table = { .version = 1,
                                        .size = sizeof table,
                                        .open = open_model,
                                        .close = close_model,
                                        .info = info,
                                        .number = number,
                                        .text = text,
                                        .thread_open = thread_open,
                                        .thread_close = thread_close,
                                        .predict = predict,
                                        .try_open = try_open };

const void *nj_model_service_find(uint32_t version)
{
    return version == 1 ? &table : NULL;
}
