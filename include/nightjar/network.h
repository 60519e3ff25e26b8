/* nightjar/network.h - a module whose answer is a network over stamps (and a few numbers): collect rows that
 * have all, evaluate eight at a time. Built on model.h and stamp.h; everything here is inline. */
#ifndef NIGHTJAR_NETWORK_H
#define NIGHTJAR_NETWORK_H
#include <string.h>

#include "nightjar/model.h"
#include "nightjar/stamp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_NETWORK_ROWS = 8, NJ_NETWORK_FEATURES = 64, NJ_NETWORK_WIDTH = 8 };

typedef struct nj_network { /* part of self */
    const nj_model_service *service;
    nj_model *model;
    uint32_t n_features, width; /* 0 features: stamps alone */
    nj_small_stamp small;
} nj_network;

typedef struct nj_network_rows { /* part of the thread block */
    nj_model_thread *thread;
    uint32_t n;
    uint32_t row[NJ_NETWORK_ROWS];
    float features[NJ_NETWORK_ROWS * NJ_NETWORK_FEATURES]; /* [n][n_features] */
    double out[NJ_NETWORK_ROWS * NJ_NETWORK_WIDTH];        /* [n][width] */
    float triplet[NJ_NETWORK_ROWS * NJ_TRIPLET];           /* [n][63][63][3] */
} nj_network_rows;

/* NJ_OK, or with a line in the log what nj_model_open() says, or NJ_ECONF. Wants inputs triplets [N, 63, 63,
 * 3] and, with features, [N, n_features]. */
static inline int nj_network_open(nj_network *net, const nj_host *host, const char *folder,
                                  const char *engine, const char *small, uint32_t n_features)
{
    nj_model_options options;
    memset(net, 0, sizeof *net);
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.engine = engine;
    net->service = (const nj_model_service *)host->service(host->opaque, NJ_MODEL_SERVICE, 1);
    net->n_features = n_features;
    if (nj_stamp_small(small) < 0) {
        host->log(host->opaque, 0, "small_stamps = %s: must be boom or kowalski", small);
        return NJ_ECONF;
    }
    net->small = (nj_small_stamp)nj_stamp_small(small);
    int rc = nj_model_open(net->service, host, folder, &options, &net->model);
    if (rc != NJ_OK) return rc;
    const nj_model_info *info = net->service->info(net->model);
    net->width = info->width;
    if (info->n_inputs == (n_features ? 2 : 1) && info->input[0].row_elements == NJ_TRIPLET &&
        info->input[0].rank == 4 && info->width <= NJ_NETWORK_WIDTH && n_features <= NJ_NETWORK_FEATURES &&
        (!n_features || info->input[1].row_elements == n_features))
        return NJ_OK;
    host->log(host->opaque, 0, "model %s: its inputs are not the triplet of stamps%s", info->folder,
              n_features ? " and the features of this module" : "");
    net->service->close(net->model);
    net->model = (nj_model *)0;
    return NJ_ECONF;
}
/* For the module's close(), also after an open() that failed. */
static inline void nj_network_close(nj_network *net)
{
    if (net->model) net->service->close(net->model);
}
/* For thread_open() and thread_close(): the rows of one worker, in its thread block. NJ_OK or NJ_ENOMEM. */
static inline int nj_network_thread_open(const nj_network *net, nj_network_rows *rows)
{
    rows->n = 0;
    rows->thread = net->service->thread_open(net->model, NJ_NETWORK_ROWS, 0);
    return rows->thread ? NJ_OK : NJ_ENOMEM;
}
static inline void nj_network_thread_close(const nj_network *net, nj_network_rows *rows)
{
    if (rows->thread) net->service->thread_close(rows->thread);
}
/* Opens the row's three stamps (needs first_image, + 1, + 2:
 * science, template, difference) into the next place.
 * NJ_DONE: the row counts; else why it does not. */
static inline nj_reason nj_network_add(const nj_network *net, nj_network_rows *rows, const nj_work *w,
                                       uint32_t row, uint32_t first_image)
{
    const nj_image *image[3];
    for (uint32_t k = 0; k < 3; k++)
        if (!(image[k] = w->image(w, first_image + k, row))) return NJ_NO_INPUT;
    nj_reason reason = nj_stamp_triplet(nj_isa_best(), image, net->small, NJ_STAMP_SIDE,
                                        rows->triplet + (size_t)rows->n * NJ_TRIPLET);
    if (reason != NJ_DONE) return reason;
    rows->row[rows->n++] = row;
    return NJ_DONE;
}
/* Scores of the rows collected into column `give` (float32: the first output) and their reasons;
 * empties the block. */
static inline int nj_network_score(const nj_network *net, nj_network_rows *rows, const nj_work *w,
                                   uint32_t give, int reference)
{
    const void *const input[] = { rows->triplet, rows->features };
    nj_model_call call = {
        .n_rows = rows->n, .input = input, .out = rows->out, .reference = (uint32_t)reference
    };
    int rc = rows->n ? net->service->predict(net->model, rows->thread, &call) : NJ_OK;
    for (uint32_t i = 0; rc == NJ_OK && i < rows->n; i++) {
        double score = rows->out[(size_t)i * net->width];
        w->reason[rows->row[i]] = isnan(score) ? NJ_RANGE : NJ_DONE;
        ((float *)w->out[give])[rows->row[i]] = (float)score;
    }
    rows->n = 0;
    return rc;
}
/* All rows of a call: needs first_image and the two behind it are the stamps; numbers (NULL = the network has
 * none) puts a row's n_features into the place given, 0 = one is missing. */
static inline int nj_network_rows_of(const nj_network *net, nj_network_rows *rows, const nj_work *w,
                                     uint32_t first_image, uint32_t give,
                                     int (*numbers)(const nj_work *w, uint32_t row, float *x), int reference)
{
    int rc = NJ_OK;
    rows->n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) {
        uint32_t row = w->row[k];
        int all = !numbers || numbers(w, row, rows->features + (size_t)rows->n * net->n_features);
        w->reason[row] = all ? (uint8_t)nj_network_add(net, rows, w, row, first_image) : NJ_NO_INPUT;
        if (rows->n == NJ_NETWORK_ROWS) rc = nj_network_score(net, rows, w, give, reference);
    }
    return rc == NJ_OK ? nj_network_score(net, rows, w, give, reference) : rc;
}

/* Entries of the table of a module whose self is an nj_network and whose thread block an nj_network_rows. */
static inline void nj_network_self_close(void *self)
{
    if (self) nj_network_close((nj_network *)self);
}
static inline int nj_network_self_thread_open(const void *self, void *block)
{
    return nj_network_thread_open((const nj_network *)self, (nj_network_rows *)block);
}
static inline void nj_network_self_thread_close(const void *self, void *block)
{
    nj_network_thread_close((const nj_network *)self, (nj_network_rows *)block);
}

/* The settings of such a module, and their rows in its table. */
typedef struct nj_network_conf {
    const char *model, *engine, *small_stamps;
} nj_network_conf;
#define NJ_NETWORK_PARAMS(folder)                                                                            \
    { "model", NJ_STR, folder, offsetof(nj_network_conf, model),                                             \
      0,       0,      "1",    "the model's folder, along the data path" },                                  \
        { "engine", NJ_STR, "auto", offsetof(nj_network_conf, engine),                                       \
          0,        0,      "1",    "auto, builtin or ort (ONNX Runtime)" },                                 \
    {                                                                                                        \
        "small_stamps", NJ_STR, "boom", offsetof(nj_network_conf, small_stamps), 0, 0, "1",                  \
            "stamps below 63 x 63: boom (centred in zeros) or kowalski (1e-9 behind)"                        \
    }

#ifdef __cplusplus
}
#endif
#endif
