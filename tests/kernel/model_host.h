/* model_host.h - a host for tests of models: files below a folder or made in memory, its log kept. */
#ifndef TESTS_KERNEL_MODEL_HOST_H
#define TESTS_KERNEL_MODEL_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/file.h"
#include "broker/graph/services.h"
#include "nightjar/model.h"

typedef struct model_host {
    nj_host host;
    const char *folder; /* names are below it */
    struct {
        const char *name;
        const void *bytes;
        size_t n;
    } put[8]; /* files that stand for those of the folder */
    int n_put;
    void *owned[256];
    int n_owned;
    char log[1024]; /* the last line */
} model_host;

__attribute__((format(printf, 3, 4))) static inline void model_host_log(void *opaque, int level,
                                                                        const char *format, ...)
{
    model_host *h = opaque;
    va_list ap;
    (void)level;
    va_start(ap, format);
    vsnprintf(h->log, sizeof h->log, format, ap);
    va_end(ap);
}

static inline int model_host_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    model_host *h = opaque;
    const char *leaf = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    for (int i = 0; i < h->n_put; i++)
        if (!strcmp(h->put[i].name, leaf)) {
            *bytes = h->put[i].bytes;
            *n = h->put[i].n;
            return NJ_OK;
        }
    char path[2048];
    snprintf(path, sizeof path, "%s/%s", h->folder ? h->folder : ".", name);
    if (h->n_owned == 256 || !(h->owned[h->n_owned] = nj_file_read(path, SIZE_MAX, n))) return NJ_ENO_CATALOG;
    *bytes = h->owned[h->n_owned++];
    return NJ_OK;
}

static inline const void *model_host_service(void *opaque, const char *name, uint32_t version)
{
    (void)opaque;
    return nj_service(name, version);
}

static inline void model_host_open(model_host *h, const char *folder)
{
    *h = (model_host){ .folder = folder };
    h->host = (nj_host){ .abi = NJ_ABI,
                         .size = sizeof(nj_host),
                         .opaque = h,
                         .log = model_host_log,
                         .data = model_host_data,
                         .service = model_host_service };
}

static inline void model_host_close(model_host *h)
{
    for (int i = 0; i < h->n_owned; i++) free(h->owned[i]);
}

static inline const nj_model_service *model_service(void)
{
    return nj_service("model", 1);
}

static inline double model_uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-53;
}

/* One block of memory per input: images of small numbers, other floats of [-0.8, 1.2] * scale,
 * lengths of 1 to `steps`. */
static inline void **model_random_inputs(const nj_model_info *info, uint32_t rows, uint32_t steps,
                                         double scale, uint64_t *seed)
{
    void **in = calloc(info->n_inputs, sizeof *in);
    for (uint32_t i = 0; i < info->n_inputs; i++) {
        const nj_model_port *p = &info->input[i];
        size_t n = (size_t)rows * p->row_elements * (p->has_steps ? steps : 1);
        in[i] = calloc(n, 4);
        for (size_t k = 0; k < n; k++)
            if (p->type == NJ_I32)
                ((int32_t *)in[i])[k] = 1 + (int32_t)(model_uniform(seed) * steps);
            else
                ((float *)in[i])[k] =
                    (float)((p->rank == 4 ? 0.03 : 2 * scale) * (model_uniform(seed) - 0.4));
    }
    return in;
}

static inline void model_free_inputs(const nj_model_info *info, void **in)
{
    for (uint32_t k = 0; k < info->n_inputs; k++) free(in[k]);
    free(in);
}

/* The folder of real models; NULL when it is not here. */
static inline const char *real_models(void)
{
    static char path[1024];
    const char *shared = getenv("NIGHTJAR_SHARED");
    snprintf(path, sizeof path, "%s/real/models/onnx", shared ? shared : "");
    DIR *d = shared && *shared ? opendir(path) : NULL;
    if (d) closedir(d);
    return d ? path : NULL;
}

#endif
