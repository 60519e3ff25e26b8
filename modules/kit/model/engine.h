/* engine.h - what a model is made of inside, and the table that every engine fills. */
#ifndef NJ_MODEL_ENGINE_H
#define NJ_MODEL_ENGINE_H

#include <jansson.h>

#include "nightjar/model.h"
#include "onnx.h"
#include "pool.h"

typedef struct nj_model_engine {
    const char *name;
    void *(*thread_open)(const nj_model *model, uint32_t max_rows, uint32_t max_steps); /* NULL = no memory */
    void (*thread_close)(void *thread);
    /* the call's counts are checked */
    int (*predict)(const nj_model *model, void *thread, const nj_model_call *call);
    void (*close)(nj_model *model);
} nj_model_engine;

struct nj_model {
    nj_pool pool; /* everything that has no other owner */
    nj_model_info info;
    const nj_model_engine *engine;
    void *self;   /* the engine's */
    nj_pool file; /* the tables of model.onnx; a forest gives them back once it is built */
    nj_onnx onnx;
    json_t *manifest;
    const void *manifest_bytes; /* manifest.json; the host's */
    size_t n_manifest;
    const void *bytes; /* model.onnx; the host's */
    size_t n_bytes;
};

/* Each builds model->self and sets model->engine; -1 with err when the model is not for this engine. */
int nj_engine_trees(nj_model *model, const nj_model_options *options, nj_model_error *err);
int nj_engine_builtin(nj_model *model, const nj_model_options *options, nj_model_error *err);
int nj_engine_ort(nj_model *model, const nj_model_options *options, nj_model_error *err);

#endif
