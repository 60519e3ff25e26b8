/* trees.c - the field's forests, one row at a time and 256, against ONNX Runtime with one thread at the same
 * batch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/services.h"
#include "harness.h"
#include "model_files.h"

enum { ROWS = 1024 };

typedef struct one {
    const nj_model_service *service;
    nj_model *model;
    nj_model_thread *thread;
    const float *x;
    double *out;
    uint32_t batch, n_features, width;
} one;

static void work(void *state)
{
    one *o = state;
    for (uint32_t at = 0; at < ROWS; at += o->batch) {
        const void *in = o->x + (size_t)at * o->n_features;
        o->service->predict(
            o->model, o->thread,
            &(nj_model_call){ .n_rows = o->batch, .input = &in, .out = o->out + (size_t)at * o->width });
    }
    nj_bench_use(o->out);
}

static int open_one(one *o, nj_model_files *files, const char *folder, const char *engine, const char *sum,
                    uint32_t batch)
{
    *o = (one){ .service = nj_service(NJ_MODEL_SERVICE, 1), .batch = batch };
    o->model = o->service->open(
        &files->host, folder,
        &(nj_model_options){
            .size = sizeof(nj_model_options), .engine = engine, .sum = sum, .ort_batch = batch });
    if (!o->model) return -1;
    const nj_model_info *info = o->service->info(o->model);
    o->n_features = info->input[0].row_elements;
    o->width = info->width;
    o->thread = o->service->thread_open(o->model, batch, 0);
    o->out = calloc((size_t)ROWS * info->width, sizeof *o->out);
    return o->thread && o->out ? 0 : -1;
}

static void close_one(one *o)
{
    if (o->thread) o->service->thread_close(o->thread);
    if (o->service) o->service->close(o->model);
    free(o->out);
}

static int same_bits(nj_bench_run *run, const char *folder, nj_model_files *files, const float *x, one *ort)
{
    one own;
    int rc = open_one(&own, files, folder, "builtin", "float", 256);
    if (!rc) {
        own.x = x;
        work(&own);
        work(ort);
        rc = nj_bench_verify(run, !memcmp(own.out, ort->out, sizeof *own.out * ROWS * own.width),
                             "%s: sum = float is bit-equal to ONNX Runtime on %d rows", folder, ROWS)
                 ? 0
                 : -1;
    }
    close_one(&own);
    return rc;
}

static int bench_forest(nj_bench_run *run, nj_model_files *files, const char *folder)
{
    one o[4] = { 0 };
    float *x = NULL;
    char name[4][64];
    static const char *const what[] = { "batch 1", "batch 256", "ONNX Runtime, batch 1",
                                        "ONNX Runtime, batch 256" };
    nj_bench_case cases[4];
    int rc = open_one(&o[0], files, folder, "builtin", NULL, 1) ||
                     open_one(&o[1], files, folder, "builtin", NULL, 256)
                 ? -1
                 : 0;
    int ort = !rc && !open_one(&o[2], files, folder, "ort", NULL, 1) &&
              !open_one(&o[3], files, folder, "ort", NULL, 256);
    if (!rc) x = nj_model_files_rows(files, folder, o[0].n_features, ROWS);
    if (rc || !x)
        nj_bench_note(run, "%s: %s", folder, files->log);
    else {
        for (int k = 0; k < (ort ? 4 : 2); k++) {
            o[k].x = x;
            snprintf(name[k], sizeof name[k], "%s, %s", folder, what[k]);
            cases[k] = (nj_bench_case){ .name = name[k], .work = work, .state = &o[k], .items = ROWS };
        }
        if (ort)
            rc = same_bits(run, folder, files, x, &o[3]);
        else
            nj_bench_note(run, "%s", files->log);
        nj_bench_time(run, cases, ort ? 4 : 2);
        if (ort) {
            nj_bench_ratio(run, "faster than ONNX Runtime at batch 1", 2, 0, 4, NAN);
            nj_bench_ratio(run, "faster than ONNX Runtime at batch 256", 3, 1, 4, NAN);
        }
    }
    for (int k = 0; k < 4; k++) close_one(&o[k]);
    free(x);
    return rc;
}

static int run_trees(nj_bench_run *run)
{
    static const char *const forests[] = { "anomaly_g", "anomaly_r", "kilonova", "early_snia",
                                           "microlensing" };
    nj_model_files files;
    int rc = 0;
    const char *folder = nj_model_files_real();
    nj_model_files_open(&files, folder ? folder : "data/models");
    if (!folder) nj_bench_note(run, "the real models are not here: the toy forest instead");
    for (size_t i = 0; i < (folder ? sizeof forests / sizeof *forests : 1); i++)
        rc |= bench_forest(run, &files, folder ? forests[i] : "toy_forest");
    nj_model_files_close(&files);
    return rc;
}

const nj_bench nj_bench_trees = { "trees", "forests, one row and 256 at a time, against ONNX Runtime",
                                  run_trees };
