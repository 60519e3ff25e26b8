/* nightjar/model.h - trained models behind one table of functions:
 * host->service(host->opaque, NJ_MODEL_SERVICE, 1).
 *
 * A model is a folder: model.onnx, manifest.json (inputs, features and their order, outputs, sha256, golden
 * rows) and the golden rows themselves. open() checks the hash and computes every golden row;
 * a mismatch refuses the model.
 *
 *     const nj_model_service *service = host->service(host->opaque, NJ_MODEL_SERVICE, 1);   in open()
 *     nj_model *model = service ? service->open(host, "kilonova", NULL) : NULL;
 *     if (!model) return NJ_ECONF;                                                    the reason has been
 *     logged nj_model_thread *thread = service->thread_open(model, 16, 0);                   in thread_open()
 *     float x[16][10]; double p[16][2];
 *     service->predict(model, thread, &(nj_model_call){ .n_rows = n, .input = (const void *[]){ x },
 *     .out = p[0] });
 *
 * ABI: append only, like module.h. */
#ifndef NIGHTJAR_MODEL_H
#define NIGHTJAR_MODEL_H
#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NJ_MODEL_SERVICE "model"
enum {
    NJ_MODEL_RANK = 6,  /* axes of a tensor at most */
    NJ_MODEL_ROWS = -1, /* dim: one per row of the call (always axis 0) */
    NJ_MODEL_STEPS = -2
}; /* dim: n_steps of the call (a sequence) */

typedef struct nj_model nj_model;               /* read-only after open(): shared by all threads */
typedef struct nj_model_thread nj_model_thread; /* work area of one thread */

typedef struct nj_model_port { /* an input or output */
    const char *name;
    nj_type type; /* NJ_F32, or NJ_I32 for lengths */
    uint32_t rank;
    int32_t dim[NJ_MODEL_RANK];
    uint32_t row_elements; /* elements of one row, or of one step of one row when has_steps */
    uint32_t has_steps;
} nj_model_port;

typedef struct nj_model_info {
    uint32_t size;
    const char *folder, *name, *version, *licence; /* of the manifest; "" when it does not say */
    const char *sha256;                            /* of model.onnx, 64 hex digits:
                                                    * goes into reports and file metadata */
    const char *engine;                            /* "trees", "builtin" or "ort " and the
                                                    * library's version */
    const char *device;                            /* really used: "cpu" or "cuda" */
    uint32_t n_inputs, n_outputs;
    const nj_model_port *input, *output; /* inputs in the manifest's order */
    uint32_t n_features;
    const char *const *feature;                 /* ordered names of the manifest's `features`;
                                                 * NULL when it has none */
    uint32_t width;                             /* values per row that predict() writes:
                                                 * all outputs one behind the other */
    uint32_t rows_best;                         /* rows per call that repay the fixed cost:
                                                 * 256 for trees, 8 for networks */
    uint32_t golden_rows;                       /* checked at open() */
    double golden_difference, golden_tolerance; /* largest |difference| found; the largest accepted */
} nj_model_info;

typedef struct nj_model_options { /* NULL or zeroed = the defaults */
    uint32_t size;
    const char *engine;  /* "auto" (default: builtin where it can, else ort), "builtin", "ort" */
    const char *sum;     /* trees: "double" (default; within 1e-7 of scikit-learn) or
                          * "float" (bit-equal to ONNX Runtime) */
    const char *device;  /* "cpu" (default) or "cuda": refused when the library cannot,
                          * never a silent fall-back */
    const char *library; /* path of libonnxruntime; NULL: $ORT_DYLIB_PATH, .onnxruntime/, then the system's */
    uint32_t ort_batch;  /* rows of every run of ONNX Runtime, filled up if need be;
                          * 0 = 8 (for measuring it) */
    uint32_t unchecked;  /* not 0: the golden rows are not looked at; only for who is about to make them */
} nj_model_options;

typedef struct nj_model_call {
    uint32_t n_rows;          /* 1 .. the max_rows of thread_open() */
    uint32_t n_steps;         /* 1 .. max_steps for models with sequences, else 0 */
    const void *const *input; /* [n_inputs], order of info->input: [n_rows][...] contiguous,
                               * float or int32_t */
    double *out;              /* [n_rows][width]; trees with sum = float and networks:
                               * exactly the float32 value */
    uint32_t reference;       /* not 0: the slow plain kernels (process_ref) */
} nj_model_call;

typedef struct nj_model_service {
    uint32_t version, size;
    /* `folder`: "kilonova" (looked for along the data path) or a path.
     * NULL: refused, and one line in the log says why. */
    nj_model *(*open)(const nj_host *host, const char *folder, const nj_model_options *options);
    void (*close)(nj_model *model); /* NULL is allowed */
    const nj_model_info *(*info)(const nj_model *model);
    /* Entries of manifest.json by path ("preprocessing.constants.FLUXCAL_g.mean").
     * 0 = found; text: NULL = not there. */
    int (*number)(const nj_model *model, const char *path, double *value);
    const char *(*text)(const nj_model *model, const char *path);
    /* All memory that predict() will need. max_steps 0 for models without sequences.
     * NULL: out of memory or too large. */
    nj_model_thread *(*thread_open)(const nj_model *model, uint32_t max_rows, uint32_t max_steps);
    void (*thread_close)(nj_model_thread *thread); /* NULL is allowed */
    /* NJ_OK; NJ_EDATA when the call does not fit (too many rows or steps, a length out of range);
     * NJ_EINTERNAL: the engine failed. A row's result does not depend on the other rows, nor on their number;
     * no malloc (but inside ort). */
    int (*predict)(const nj_model *model, nj_model_thread *thread, const nj_model_call *call);
    /* open() that says why not: NJ_ENO_MODEL (no such folder), NJ_ENO_SERVICE (the engine asked for is not
     * here), or NJ_ECONF for a wrong option and for a model that is there and refused.
     * *model is NULL then. */
    int (*try_open)(const nj_host *host, const char *folder, const nj_model_options *options,
                    nj_model **model);
} nj_model_service;

/* For open() of a module: the service's answer, or NJ_ENO_SERVICE with a line in the
 * log where there is no service. */
static inline int nj_model_open(const nj_model_service *service, const nj_host *host, const char *folder,
                                const nj_model_options *options, nj_model **model)
{
    *model = (nj_model *)0;
    if (!service) {
        host->log(host->opaque, 0, "%s: this build has no model service", folder);
        return NJ_ENO_SERVICE;
    }
    if (service->size >= offsetof(nj_model_service, try_open) + sizeof service->try_open)
        return service->try_open(host, folder, options, model);
    *model = service->open(host, folder, options);
    return *model ? NJ_OK : NJ_ECONF;
}

#ifdef __cplusplus
}
#endif
#endif
