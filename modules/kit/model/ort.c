/* ort.c - ONNX Runtime, found at run time. No header of it is needed: its table of functions only ever grows
 * at the end, so a function keeps its place, and version 1 of the table is in every release. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

/* Places in the table of API version 1. */
enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_OPTIMIZATION = 23,
    SET_INTRA_OP = 24,
    SET_INTER_OP = 25,
    CREATE_TENSOR = 49,
    GET_TENSOR_DATA = 51,
    GET_ELEMENT_TYPE = 60,
    GET_RANK = 61,
    GET_DIMS = 62,
    GET_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_TYPE_AND_SHAPE = 99,
    RELEASE_SESSION_OPTIONS = 100
};
enum {
    LOG_ERROR = 3,
    OPTIMIZE_ALL = 99,
    ARENA = 1,
    MEMORY_DEFAULT = 0,
    ELEMENT_FLOAT = 1,
    ELEMENT_INT32 = 6
};
enum {
    BATCH = 8,
    MOST_ROWS = 4096
}; /* always as many rows: the result of a row must not
    * depend on how many there are */

typedef struct base {
    void *const *(*api)(uint32_t version);
    const char *(*version)(void);
} base;

typedef void *status; /* NULL = good */
typedef void (*release_function)(void *);

typedef struct ort {
    void *const *api;
    void *env, *options, *session, *memory;
    char version[32], engine[40];
    uint32_t batch; /* rows of every run */
} ort;

typedef struct thread {
    void **input; /* [n_inputs] room for a padded batch */
    uint32_t max_steps;
} thread;

/* The function at that place, with the type of the call. */
#define CALL(o, place, ...) ((status(*)(__VA_ARGS__))(o)->api[place])

static void release(const ort *o, int place, void *what)
{
    if (what) ((release_function)o->api[place])(what);
}

/* 0 = good; else err says what and why, and the status is gone. */
static int failed(const ort *o, status s, const char *what, nj_model_error *err)
{
    if (!s) return 0;
    nj_model_fail(err, "%s: %.300s", what, ((const char *(*)(const void *))o->api[GET_ERROR_MESSAGE])(s));
    release(o, RELEASE_STATUS, s);
    return -1;
}

/* --- the library --- */

static void *try_library(const char *path, char found[1024])
{
    void *library = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library) snprintf(found, 1024, "%s", path);
    return library;
}

/* As asked; $ORT_DYLIB_PATH; what `make onnxruntime` put beside the program or below the working directory;
 * the system's. A library that was named and does not load is an error,
 * never a reason to take another one. */
static void *open_library(const char *asked, char found[1024], nj_model_error *err)
{
    char beside[1024] = "", self[900];
    const char *named = asked && *asked ? asked : getenv("ORT_DYLIB_PATH");
    if (named && *named) {
        void *library = try_library(named, found);
        if (!library) nj_model_lacks(err, NJ_ENO_SERVICE, "cannot load %.200s: %.200s", named, dlerror());
        return library;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
        snprintf(beside, sizeof beside, "%s/.onnxruntime/libonnxruntime.so", self);
    }
    const char *path[] = { beside, "./.onnxruntime/libonnxruntime.so", "libonnxruntime.so.1",
                           "libonnxruntime.so" };
    for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
        void *library = try_library(path[i], found);
        if (library) return library;
    }
    nj_model_lacks(err, NJ_ENO_SERVICE,
                   "ONNX Runtime is not here: `make onnxruntime` installs it, or ORT_DYLIB_PATH names it");
    return NULL;
}

static int get_table(ort *o, void *library, const char *path, nj_model_error *err)
{
    const base *(*get_base)(void) = NULL;
    *(void **)&get_base = dlsym(library, "OrtGetApiBase");
    const base *b = get_base ? get_base() : NULL;
    if (!b) return nj_model_fail(err, "%.200s is no ONNX Runtime", path);
    snprintf(o->version, sizeof o->version, "%s", b->version());
    if (!strcmp(o->version, "1.26.0"))
        return nj_model_fail(
            err, "ONNX Runtime 1.26.0 computes forests wrongly (its issue 28557): install another version");
    o->api = b->api(1);
    return o->api ? 0 : nj_model_fail(err, "ONNX Runtime %s has no API version 1", o->version);
}

/* --- the session --- */

static int add_cuda(const ort *o, void *library, nj_model_error *err)
{
    status (*append)(void *, int) = NULL;
    *(void **)&append = dlsym(library, "OrtSessionOptionsAppendExecutionProvider_CUDA");
    if (!append)
        return nj_model_fail(err,
                             "device = cuda: this ONNX Runtime (%s) was built without CUDA; ORT_DYLIB_PATH "
                             "names one that has it",
                             o->version);
    return failed(o, append(o->options, 0), "device = cuda", err);
}

static int create_session(ort *o, const nj_model *model, void *library, int cuda, nj_model_error *err)
{
    if (failed(o, CALL(o, CREATE_ENV, int, const char *, void **)(LOG_ERROR, "nightjar", &o->env),
               "ONNX Runtime", err) ||
        failed(o, CALL(o, CREATE_SESSION_OPTIONS, void **)(&o->options), "ONNX Runtime", err) ||
        failed(o, CALL(o, SET_INTRA_OP, void *, int)(o->options, 1), "ONNX Runtime", err) ||
        failed(o, CALL(o, SET_INTER_OP, void *, int)(o->options, 1), "ONNX Runtime", err) ||
        failed(o, CALL(o, SET_OPTIMIZATION, void *, int)(o->options, OPTIMIZE_ALL), "ONNX Runtime", err))
        return -1;
    if (cuda && add_cuda(o, library, err)) return -1;
    if (failed(o, CALL(o, CREATE_CPU_MEMORY_INFO, int, int, void **)(ARENA, MEMORY_DEFAULT, &o->memory),
               "ONNX Runtime", err))
        return -1;
    return failed(o,
                  CALL(o, CREATE_SESSION_FROM_ARRAY, void *, const void *, size_t, void *,
                       void **)(o->env, model->bytes, model->n_bytes, o->options, &o->session),
                  "ONNX Runtime", err);
}

static void close_ort(nj_model *model)
{
    ort *o = model->self;
    if (!o || !o->api) return;
    release(o, RELEASE_SESSION, o->session);
    release(o, RELEASE_MEMORY_INFO, o->memory);
    release(o, RELEASE_SESSION_OPTIONS, o->options);
    release(o, RELEASE_ENV, o->env); /* the library stays: its threads may still be ending */
}

/* --- threads --- */

static void thread_close(void *memory)
{
    thread *t = memory;
    for (uint32_t i = 0; t->input[i]; i++) free(t->input[i]);
    free(t->input);
    free(t);
}

static void *thread_open(const nj_model *model, uint32_t max_rows, uint32_t max_steps)
{
    (void)max_rows;
    thread *t = calloc(1, sizeof *t);
    if (t) t->input = calloc(model->info.n_inputs + 1, sizeof *t->input);
    if (!t || !t->input) {
        free(t);
        return NULL;
    }
    t->max_steps = max_steps;
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        const nj_model_port *p = &model->info.input[i];
        t->input[i] = calloc((size_t)((const ort *)model->self)->batch * p->row_elements *
                                 (p->has_steps ? max_steps + 1 : 1),
                             4);
        if (!t->input[i]) {
            thread_close(t);
            return NULL;
        }
    }
    return t;
}

/* --- predict --- */

typedef struct batch {
    void *input[16], *output[16]; /* OrtValue; at most 16 ports (folder.c) */
    const char *input_name[16], *output_name[16];
} batch;

/* The rows of the call into the thread's room, the last one repeated. */
static void *padded(const nj_model *model, const thread *t, const nj_model_call *call, uint32_t i,
                    uint32_t row, uint32_t rows, size_t *bytes)
{
    const nj_model_port *p = &model->info.input[i];
    size_t one = 4 * (size_t)p->row_elements * (p->has_steps ? call->n_steps : 1);
    const char *from = (const char *)call->input[i] + row * one;
    char *to = t->input[i];
    uint32_t batch_rows = ((const ort *)model->self)->batch;
    memcpy(to, from, rows * one);
    for (uint32_t r = rows; r < batch_rows; r++) memcpy(to + r * one, from + (rows - 1) * one, one);
    *bytes = batch_rows * one;
    return to;
}

static int make_inputs(const nj_model *model, const thread *t, const nj_model_call *call, uint32_t row,
                       uint32_t rows, batch *b)
{
    const ort *o = model->self;
    for (uint32_t i = 0; i < model->info.n_inputs; i++) {
        const nj_model_port *p = &model->info.input[i];
        int64_t dim[NJ_MODEL_RANK];
        size_t bytes;
        void *data = padded(model, t, call, i, row, rows, &bytes);
        for (uint32_t k = 0; k < p->rank; k++)
            dim[k] = p->dim[k] == NJ_MODEL_ROWS    ? (int64_t)o->batch
                     : p->dim[k] == NJ_MODEL_STEPS ? (int64_t)call->n_steps
                                                   : p->dim[k];
        b->input_name[i] = p->name;
        if (failed(o,
                   CALL(o, CREATE_TENSOR, const void *, void *, size_t, const int64_t *, size_t, int,
                        void **)(o->memory, data, bytes, dim, p->rank,
                                 p->type == NJ_I32 ? ELEMENT_INT32 : ELEMENT_FLOAT, &b->input[i]),
                   "tensor", NULL))
            return -1;
    }
    return 0;
}

/* A float32 tensor of [batch][elements]? ({N} or {N, 1}: files differ from what they declare.) */
static const float *output_data(const ort *o, void *value, uint32_t elements)
{
    void *info = NULL, *data = NULL;
    int type = 0;
    size_t rank = 0, n = 1;
    int64_t dim[8];
    if (failed(o, CALL(o, GET_TYPE_AND_SHAPE, void *, void **)(value, &info), "output", NULL)) return NULL;
    int bad = failed(o, CALL(o, GET_ELEMENT_TYPE, void *, int *)(info, &type), "output", NULL) ||
              type != ELEMENT_FLOAT ||
              failed(o, CALL(o, GET_RANK, void *, size_t *)(info, &rank), "output", NULL) || rank < 1 ||
              rank > 8 ||
              failed(o, CALL(o, GET_DIMS, void *, int64_t *, size_t)(info, dim, rank), "output", NULL);
    release(o, RELEASE_TYPE_AND_SHAPE, info);
    for (size_t k = 0; !bad && k < rank; k++) n *= (size_t)dim[k];
    if (bad || dim[0] != o->batch || n != (size_t)o->batch * elements) return NULL;
    return failed(o, CALL(o, GET_TENSOR_DATA, void *, void **)(value, &data), "output", NULL) ? NULL : data;
}

static int take_outputs(const nj_model *model, const batch *b, uint32_t rows, double *out)
{
    for (uint32_t i = 0, column = 0; i < model->info.n_outputs;
         column += model->info.output[i++].row_elements) {
        uint32_t n = model->info.output[i].row_elements;
        const float *data = output_data(model->self, b->output[i], n);
        if (!data) return -1;
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t k = 0; k < n; k++)
                out[(size_t)r * model->info.width + column + k] = data[(size_t)r * n + k];
    }
    return 0;
}

static int run_batch(const nj_model *model, const thread *t, const nj_model_call *call, uint32_t row,
                     uint32_t rows)
{
    const ort *o = model->self;
    batch b = { 0 };
    for (uint32_t i = 0; i < model->info.n_outputs; i++) b.output_name[i] = model->info.output[i].name;
    int bad = make_inputs(model, t, call, row, rows, &b) ||
              failed(o,
                     CALL(o, RUN, void *, const void *, const char *const *, void *const *, size_t,
                          const char *const *, size_t, void **)(o->session, NULL, b.input_name, b.input,
                                                                model->info.n_inputs, b.output_name,
                                                                model->info.n_outputs, b.output),
                     "run", NULL) ||
              take_outputs(model, &b, rows, call->out + (size_t)row * model->info.width);
    for (int i = 0; i < 16; i++) {
        release(o, RELEASE_VALUE, b.input[i]);
        release(o, RELEASE_VALUE, b.output[i]);
    }
    return bad ? NJ_EINTERNAL : NJ_OK;
}

static int predict(const nj_model *model, void *memory, const nj_model_call *call)
{
    uint32_t batch_rows = ((const ort *)model->self)->batch;
    int rc = NJ_OK;
    for (uint32_t row = 0; row < call->n_rows && rc == NJ_OK; row += batch_rows)
        rc = run_batch(model, memory, call, row,
                       call->n_rows - row < batch_rows ? call->n_rows - row : batch_rows);
    return rc;
}

static const nj_model_engine engine = { .name = "ort",
                                        .thread_open = thread_open,
                                        .thread_close = thread_close,
                                        .predict = predict,
                                        .close = close_ort };

/* What take_outputs() cannot read is reported before a row is computed. */
static int check_outputs(const nj_model *model, nj_model_error *err)
{
    for (uint32_t i = 0; i < model->info.n_outputs; i++)
        for (uint32_t k = 0; k < model->onnx.n_outputs; k++) {
            const nj_onnx_value *v = &model->onnx.output[k];
            if (strcmp(v->name, model->info.output[i].name) || v->type == NJ_ONNX_FLOAT) continue;
            return nj_model_fail(
                err, "output '%.60s' is %s, not float32%s", v->name, nj_onnx_type_name(v->type),
                v->type ? "" : ": convert the model without ZipMap (skl2onnx: options={'zipmap': False})");
        }
    return 0;
}

int nj_engine_ort(nj_model *model, const nj_model_options *options, nj_model_error *err)
{
    nj_model_error why;
    char path[1024] = "";
    int cuda = options->device && !strcmp(options->device, "cuda");
    ort *o = nj_pool_alloc(&model->pool, 1, sizeof *o);
    if (!o) return nj_model_fail(err, "out of memory");
    o->batch = !options->ort_batch ? BATCH : options->ort_batch < MOST_ROWS ? options->ort_batch : MOST_ROWS;
    void *library = open_library(options->library, path, &why);
    int bad = !library || get_table(o, library, path, &why);
    model->self = o;
    model->engine = &engine; /* from here on closing the model closes the session */
    if (bad || check_outputs(model, &why) || create_session(o, model, library, cuda, &why))
        return nj_model_lacks(err, why.status, "%s: %.400s", model->info.folder, why.text);
    snprintf(o->engine, sizeof o->engine, "ort %s", o->version);
    model->info.engine = o->engine;
    model->info.device = cuda ? "cuda" : "cpu";
    model->info.rows_best = o->batch;
    return 0;
}
