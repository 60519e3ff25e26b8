/* nightjar/scored.h - a module whose answer is a trained model's, over a vector of numbers per alert (or over
 * a few of them): its opening, the broker's cuts, and collecting the alerts for one call of the model
 * (libnightjar-kit.a, modules/kit/model/scored.c). The module says what the numbers and the answers are. */
#ifndef NIGHTJAR_SCORED_H
#define NIGHTJAR_SCORED_H
#include "nightjar/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Cuts on the light curve. Numbers of needs; NJ_SCORED_NONE: no cut by it. */
#define NJ_SCORED_NONE UINT32_MAX
typedef struct nj_scored_cuts {
    uint32_t mag;          /* series, null where nothing was detected */
    uint32_t ndethist;     /* int32: detections in the survey's history */
    uint32_t otype;        /* text: SIMBAD's label, which must be one that can be extragalactic */
    uint32_t jd, first_jd; /* series and scalar: the age of the last point */
    int32_t max_ndethist;
    uint32_t min_points; /* fewest detections in the packet */
    double max_age_day;  /* younger than this */
} nj_scored_cuts;

/* One per module, constant. */
typedef struct nj_scored_kind {
    const char *module;         /* its name, for messages */
    uint32_t n_features, width; /* numbers of a vector, of the model's answer to one */
    uint32_t vectors, alerts;   /* vectors per alert, alerts per call of the model */
    nj_scored_cuts cuts;
    /* The vectors of an alert into x; NJ_DONE, or why it has none; NJ_ENOMEM. */
    int (*features)(const void *self, const nj_work *w, uint32_t row, float *x);
    /* out [vectors][width]: writes the outputs of the row. */
    nj_reason (*answer)(const nj_work *w, uint32_t row, const double *out);
} nj_scored_kind;

typedef struct nj_scored { /* the first member of self */
    const nj_scored_kind *kind;
    const nj_model_service *service;
    nj_model *model;
    uint32_t cuts; /* made or not */
} nj_scored;

/* Bytes of the thread block. */
#define NJ_SCORED_BLOCK(alerts, vectors, n_features, width)                                                  \
    (16 + (size_t)(alerts) *                                                                                 \
              ((vectors) * ((width) * sizeof(double) + (n_features) * sizeof(float)) + sizeof(uint32_t)))

/* The settings of such a module, and their rows in its table. */
typedef struct nj_scored_conf {
    const char *model, *cuts;
} nj_scored_conf;
#define NJ_SCORED_PARAMS(folder)                                                                             \
    { "model", NJ_STR, folder, offsetof(nj_scored_conf, model),                                              \
      0,       0,      "1",    "folder of the model, along the data path" },                                 \
    {                                                                                                        \
        "cuts", NJ_STR, "fink", offsetof(nj_scored_conf, cuts), 0, 0, "1",                                   \
            "fink: the broker's cuts before the numbers are calculated; off: none"                           \
    }

/* For open(): self has `size` bytes and begins with an nj_scored. engine NULL: the model's own; cuts "fink"
 * or "off", NULL = off. NJ_OK, or what nj_model_open() says, or NJ_ECONF with a line in the log. */
int nj_scored_open(const nj_host *host, const nj_scored_kind *kind, const char *folder, const char *engine,
                   const char *cuts, size_t size, void **self);
/* Entries of the module's table. */
void nj_scored_close(void *self);
int nj_scored_thread_open(const void *self, void *block);
void nj_scored_thread_close(const void *self, void *block);
int nj_scored_process(const void *self, void *block, const nj_work *w);
int nj_scored_process_ref(const void *self, void *block, const nj_work *w); /* the model's plain kernels */

/* All of them at once: rows of the table, for a module with these settings or with its own. */
#define NJ_SCORED_CALLS(alerts_, vectors_, n_features_, width_)                                              \
    .thread_size = NJ_SCORED_BLOCK(alerts_, vectors_, n_features_, width_),                                  \
    .thread_open = nj_scored_thread_open, .process = nj_scored_process,                                      \
    .process_ref = nj_scored_process_ref, .thread_close = nj_scored_thread_close, .close = nj_scored_close

#ifdef __cplusplus
}
#endif
#endif
