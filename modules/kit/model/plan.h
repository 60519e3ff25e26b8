/* plan.h - a network as a list of steps over tensors of one work area.
 * Built at open(), read-only afterwards. */
#ifndef NJ_MODEL_PLAN_H
#define NJ_MODEL_PLAN_H

#include "engine.h"
#include "nightjar/num.h"
#include "tile.h"

enum { NJ_PLAN_IN = 8, NJ_PLAN_OUT = 3, NJ_PLAN_NONE = -1 };

typedef struct nj_tensor {
    float *data; /* of an int32 input: int32_t (see is_int) */
    uint32_t rank;
    int32_t dim[NJ_MODEL_RANK];
    size_t n; /* elements */
} nj_tensor;

typedef struct nj_net_step nj_net_step;
typedef struct nj_net_plan nj_net_plan;

/* One kind of step. shape() sets rank and dim of the outputs from those of the inputs;
 * -1 when they do not fit. */
typedef struct nj_net_op {
    const char *name;
    int (*shape)(const nj_net_step *step, const nj_tensor *const *in, nj_tensor *const *out);
    void (*run)(const nj_net_plan *plan, const nj_net_step *step, const nj_tensor *const *in,
                nj_tensor *const *out, float *scratch);
    /* floats; NULL = none */
    size_t (*scratch)(const nj_net_step *step, const nj_tensor *const *in, nj_tensor *const *out);
} nj_net_op;

struct nj_net_step {
    const nj_net_op *op;
    const nj_onnx_node *node;
    int32_t in[NJ_PLAN_IN], out[NJ_PLAN_OUT]; /* values; NJ_PLAN_NONE = left out */
    uint32_t n_in, n_out;
    /* what the attributes say; a kind uses what it needs */
    int32_t kernel[2], stride[2], pad[4], group, axis, keep_dims, hidden, n_directions, reverse, trans_b,
        trans_a, relu, alias, gates_fused;
    int32_t perm[NJ_MODEL_RANK], axes[NJ_MODEL_RANK], n_axes;
    const int64_t *target; /* Reshape */
    float alpha, beta, epsilon;
    /* the fast kinds on images: rows and columns at the end that nobody reads; then the largest of
     * pool x pool (1, 2, 4) results */
    int32_t crop[2], pool;
    /* packed weights of the fast kinds */
    const float *packed[4], *bias[4];
    uint32_t block[4];
};

typedef struct nj_net_value {
    const char *name;
    nj_tensor fixed;    /* initializers: data and dims */
    const int64_t *i64; /* integer initializers */
    int32_t alias;      /* shares the memory of that value; NJ_PLAN_NONE */
    uint8_t is_int, is_input, is_fixed, nhwc;
    int32_t first, last; /* steps that write and that last read it */
    uint32_t n_readers;
} nj_net_value;

struct nj_net_plan {
    nj_pool *pool;
    nj_isa isa;
    nj_net_value *value;
    nj_net_step *step;
    uint32_t n_values, n_steps, cap_values;
    uint32_t chunk;                /* rows at a time */
    uint32_t chunk_short;          /* of few steps: as many rows as have the steps of `chunk` long ones */
    uint32_t image_steps;          /* the first steps work on images and run row by row */
    const int32_t *input, *output; /* values of the model's inputs and outputs, in info's order */
};

/* Builds the plain plan of the model's graph. -1 with err: an operator or attribute is not supported. */
int nj_plan_build(nj_net_plan *plan, const nj_model *model, nj_pool *pool, nj_model_error *err);
/* Shapes of all values for one row of one step: [n_values], pool memory; NULL when they do not fit. */
nj_tensor *nj_plan_shapes(const nj_net_plan *plan, const nj_model *model);
/* Replaces steps by the fast kinds: images as [row][column][channel], fused layers, packed weights. */
int nj_plan_fuse(nj_net_plan *plan, const nj_model *model, nj_model_error *err);
/* Leaves out rows and columns of images that no later step reads. -1: no memory. (crop.c) */
int nj_plan_crop(nj_net_plan *plan, const nj_model *model);
/* After any change of steps: who reads what, and when. */
void nj_plan_lives(nj_net_plan *plan);
/* A new value; NJ_PLAN_NONE when memory is short. */
int32_t nj_plan_new_value(nj_net_plan *plan, const char *name);

/* Work area for up to `rows` rows (at most chunk at a time) of `steps` steps.
 * NULL: no memory, or shapes that do not fit. */
typedef struct nj_plan_work nj_plan_work;
nj_plan_work *nj_plan_work_new(const nj_net_plan *plan, const nj_model *model, uint32_t rows, uint32_t steps);
void nj_plan_work_free(nj_plan_work *work);
int nj_plan_run(const nj_net_plan *plan, nj_plan_work *work, const nj_model *model,
                const nj_model_call *call);

/* Weights in the order that the fast kinds read. NULL when memory is short. (pack.c) */
const float *nj_pack_product(nj_pool *pool, const float *weight, uint32_t n_out, uint32_t n_in,
                             size_t step_out, size_t step_in, uint32_t block);
const float *nj_pack_conv(nj_pool *pool, const nj_tensor *weight, uint32_t block);
const float *nj_pack_bias(nj_pool *pool, const float *a, const float *b, uint32_t n, uint32_t block);
const float *nj_pack_gates(nj_pool *pool, const float *weight, uint32_t n_units, uint32_t n_in,
                           uint32_t block, const float factor[4]);
const float *nj_pack_depthwise(nj_pool *pool, const nj_tensor *weight, uint32_t repeats);

/* The op of that ONNX name, or NULL; and reading its attributes. (ops.c) */
const nj_net_op *nj_op_find(const char *name);
int nj_op_read(nj_net_plan *plan, nj_net_step *step, nj_model_error *err);
void nj_tensor_count(nj_tensor *t);
extern const nj_net_op nj_op_lstm_fast, nj_op_dense, nj_op_conv_fast, nj_op_separable, nj_op_pool_fast,
    nj_op_mean_fast, nj_op_winograd, nj_op_conv_lines, nj_op_to_nchw, nj_op_to_nhwc, nj_op_view;

#endif
