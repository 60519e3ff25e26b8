/* new.h - a model folder for an ONNX file. */
#ifndef NJ_MODEL_NEW_H
#define NJ_MODEL_NEW_H

#include <stdbool.h>

#include "../base/error.h"
#include "nightjar/model.h"

typedef struct nj_new_model {
    const char *folder, *features, *golden; /* to be made; a list with commas; a table, or NULL */
    const char *name, *licence;             /* or NULL */
    double tolerance;
} nj_new_model;

/* Writes the folder. Without a table the golden rows are what the engine says of made ones (*own_rows): for
 * that the service opens it. -1 with err, and no folder is left. */
int nj_model_new(const nj_new_model *o, const char *path, const nj_model_service *service,
                 const nj_host *host, bool *own_rows, nj_error *err);
/* Removes the files that it wrote, and the folder. */
void nj_model_new_remove(const char *folder);

#endif
