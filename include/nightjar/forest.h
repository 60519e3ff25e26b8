/* nightjar/forest.h - a module whose answer is a forest over a few features: open the model by folder name,
 * collect rows, evaluate them together. Built on model.h; everything here is inline. */
#ifndef NIGHTJAR_FOREST_H
#define NIGHTJAR_FOREST_H
#include <string.h>

#include "nightjar/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_FOREST_ROWS = 32, NJ_FOREST_FEATURES = 64, NJ_FOREST_WIDTH = 8 };

typedef struct nj_forest { /* part of self */
    const nj_model_service *service;
    nj_model *model;
    uint32_t n_features, width;
} nj_forest;

typedef struct nj_forest_rows { /* part of the thread block */
    nj_model_thread *thread;
    uint32_t n;
    uint32_t row[NJ_FOREST_ROWS];                 /* whose features they are: the module's own meaning */
    float x[NJ_FOREST_ROWS * NJ_FOREST_FEATURES]; /* [n][n_features] */
    double out[NJ_FOREST_ROWS * NJ_FOREST_WIDTH]; /* [n][width] */
} nj_forest_rows;

/* NJ_OK, or with a line in the log what nj_model_open() says, or NJ_ECONF for a model of another shape. */
static inline int nj_forest_open(nj_forest *forest, const nj_host *host, const char *folder,
                                 uint32_t n_features, uint32_t width)
{
    memset(forest, 0, sizeof *forest);
    forest->service = (const nj_model_service *)host->service(host->opaque, NJ_MODEL_SERVICE, 1);
    forest->n_features = n_features;
    forest->width = width;
    int rc = nj_model_open(forest->service, host, folder, (const nj_model_options *)0, &forest->model);
    if (rc != NJ_OK) return rc;
    const nj_model_info *info = forest->service->info(forest->model);
    if (info->n_inputs == 1 && info->input[0].row_elements == n_features && info->width == width &&
        n_features <= NJ_FOREST_FEATURES && width <= NJ_FOREST_WIDTH)
        return NJ_OK;
    host->log(host->opaque, 0, "model %s: %u inputs of %u values and %u outputs, expected 1 of %u and %u",
              folder, info->n_inputs, info->n_inputs ? info->input[0].row_elements : 0, info->width,
              n_features, width);
    forest->service->close(forest->model);
    forest->model = (nj_model *)0;
    return NJ_ECONF;
}
/* For the module's close(), also after an open() that failed. */
static inline void nj_forest_close(nj_forest *forest)
{
    if (forest->model) forest->service->close(forest->model);
}
/* For thread_open() and thread_close(): the rows of one worker, in its thread block. NJ_OK or NJ_ENOMEM. */
static inline int nj_forest_thread_open(const nj_forest *forest, nj_forest_rows *rows)
{
    rows->n = 0;
    rows->thread = forest->service->thread_open(forest->model, NJ_FOREST_ROWS, 0);
    return rows->thread ? NJ_OK : NJ_ENOMEM;
}
static inline void nj_forest_thread_close(const nj_forest *forest, nj_forest_rows *rows)
{
    if (rows->thread) forest->service->thread_close(rows->thread);
}
/* The same for modules with several forests, each with rows of its own. A closed one may be closed again. */
static inline void nj_forests_close(nj_forest *forest, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        nj_forest_close(&forest[k]);
        forest[k].model = (nj_model *)0;
    }
}
static inline int nj_forests_thread_open(const nj_forest *forest, nj_forest_rows *rows, uint32_t n)
{
    int rc = NJ_OK;
    for (uint32_t k = 0; k < n && rc == NJ_OK; k++) rc = nj_forest_thread_open(&forest[k], &rows[k]);
    return rc;
}
static inline void nj_forests_thread_close(const nj_forest *forest, nj_forest_rows *rows, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) nj_forest_thread_close(&forest[k], &rows[k]);
}
/* Room for the features of one more row; evaluate when the block is full (rows->n == NJ_FOREST_ROWS). */
static inline float *nj_forest_add(const nj_forest *forest, nj_forest_rows *rows, uint32_t row)
{
    rows->row[rows->n] = row;
    return rows->x + (size_t)rows->n++ * forest->n_features;
}
/* Fills rows->out of all rows collected; the caller reads it and sets rows->n = 0.
 * reference: the slow plain kernels. */
static inline int nj_forest_evaluate(const nj_forest *forest, nj_forest_rows *rows, int reference)
{
    if (!rows->n) return NJ_OK;
    const void *input = rows->x;
    nj_model_call call = {
        .n_rows = rows->n, .input = &input, .out = rows->out, .reference = (uint32_t)reference
    };
    return forest->service->predict(forest->model, rows->thread, &call);
}
/* The same, into a column of doubles: the class's score and NJ_DONE for every row collected;
 * empties the block. */
static inline int nj_forest_score(const nj_forest *forest, nj_forest_rows *rows, const nj_work *w,
                                  uint32_t give, uint32_t class_, int reference)
{
    int rc = nj_forest_evaluate(forest, rows, reference);
    for (uint32_t k = 0; k < rows->n && rc == NJ_OK; k++) {
        ((double *)w->out[give])[rows->row[k]] = rows->out[(size_t)forest->width * k + class_];
        w->reason[rows->row[k]] = NJ_DONE;
    }
    rows->n = 0;
    return rc;
}

#ifdef __cplusplus
}
#endif
#endif
