/* folder.h - model.onnx + manifest.json + golden rows, as the host's data path gives them. */
#ifndef NJ_MODEL_FOLDER_H
#define NJ_MODEL_FOLDER_H

#include "engine.h"

/* Reads the manifest and model.onnx, checks the hash and that both agree on inputs and outputs; fills
 * model->info (but for engine, device and golden_*), manifest, onnx. The text in err starts with the file. */
int nj_folder_read(nj_model *model, const nj_host *host, const char *folder, nj_model_error *err);

/* Golden rows: inputs in info's order and the expected outputs. */
typedef struct nj_golden {
    uint32_t n_rows, n_steps;
    void **input;   /* [n_inputs] whole tensors, 64-byte aligned */
    double *output; /* [n_rows][width] */
    double tolerance;
} nj_golden;
/* Reads them into model->pool. */
int nj_folder_golden(nj_model *model, const nj_host *host, nj_golden *golden, nj_model_error *err);

#endif
