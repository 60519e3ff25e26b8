/* model_files.h - a host for models opened outside of a run: files below a folder. */
#ifndef NJ_BENCH_MODEL_FILES_H
#define NJ_BENCH_MODEL_FILES_H

#include "nightjar/model.h"

typedef struct nj_model_files {
    nj_host host;
    const char *folder;
    char *bytes[256];
    int n;
    char log[512]; /* the last line said */
} nj_model_files;

void nj_model_files_open(nj_model_files *files, const char *folder);
void nj_model_files_close(nj_model_files *files);
/* $NIGHTJAR_SHARED/real/models/onnx, or ../shared/...; NULL = the real models are not here. */
const char *nj_model_files_real(void);
/* Rows around a model's golden inputs, half of them golden values and so often exactly
 * on a threshold. [n][features] */
float *nj_model_files_rows(nj_model_files *files, const char *model, uint32_t n_features, uint32_t n);

#endif
