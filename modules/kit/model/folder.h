/* folder.h - model.onnx + manifest.json + golden rows, as the host's data path gives them. */
#ifndef NJ_MODEL_FOLDER_H
#define NJ_MODEL_FOLDER_H

#include "engine.h"

/* Reads the manifest and model.onnx, checks the hash and that both agree on inputs and outputs; fills
 * model->info (but for engine, device and golden_*), manifest, onnx. The text in err starts with the file. */
int nj_folder_read(nj_model *model, const nj_host *host, const char *folder, nj_model_error *err);

/* Golden rows: inputs in info's order and the expected outputs. */
typedef struct nj_golden {
    nj_pool pool; /* the caller frees it */
    char path[1024];
    const void *bytes; /* the file's; the host's */
    size_t n_bytes;
    uint32_t n_rows, n_steps;
    void **input;   /* [n_inputs] whole tensors, 64-byte aligned */
    double *output; /* [n_rows][width] */
    double tolerance;
} nj_golden;
/* Finds the file and what the manifest says of it. */
int nj_folder_golden_find(nj_model *model, const nj_host *host, nj_golden *golden, nj_model_error *err);
/* Reads the rows into golden->pool. */
int nj_folder_golden_read(nj_model *model, nj_golden *golden, nj_model_error *err);

#endif
