/* onnx.h - an .onnx file as tables: nodes, attributes, initializers, inputs, outputs. Reads the protobuf wire
 * format itself; bounded: no loop is longer and no block larger than the file allows,
 * whatever its bytes say. */
#ifndef NJ_MODEL_ONNX_H
#define NJ_MODEL_ONNX_H

#include <stdint.h>

#include "pool.h"

enum { NJ_ONNX_RANK = 8 };
enum { NJ_ONNX_FLOAT = 1, NJ_ONNX_INT32 = 6, NJ_ONNX_INT64 = 7, NJ_ONNX_DOUBLE = 11 };

typedef struct nj_onnx_text {
    const char *s; /* NUL-terminated copy */
    uint32_t n;
} nj_onnx_text;

typedef struct nj_onnx_tensor {
    const char *name;
    int32_t type; /* NJ_ONNX_FLOAT and INT64 have data; others NULL */
    uint32_t rank;
    int64_t dim[NJ_ONNX_RANK];
    size_t n;           /* elements */
    const float *f32;   /* FLOAT */
    const int64_t *i64; /* INT64 and INT32 */
} nj_onnx_tensor;

typedef struct nj_onnx_attribute {
    const char *name;
    float f;
    int64_t i;
    nj_onnx_text s;
    const nj_onnx_tensor *t;
    const float *floats;
    const int64_t *ints;
    const nj_onnx_text *strings;
    size_t n_floats, n_ints, n_strings;
} nj_onnx_attribute;

typedef struct nj_onnx_node {
    const char *op, *domain, *name;
    const char **input, **output; /* "" = left out */
    uint32_t n_inputs, n_outputs, n_attributes;
    const nj_onnx_attribute *attribute;
} nj_onnx_node;

typedef struct nj_onnx_value { /* an input or output of the graph */
    const char *name;
    int32_t type;
    int32_t rank;              /* -1 = the file does not say */
    int64_t dim[NJ_ONNX_RANK]; /* -1 = free */
} nj_onnx_value;

typedef struct nj_onnx {
    const nj_onnx_node *node;
    const nj_onnx_tensor *initializer;
    const nj_onnx_value *input, *output; /* inputs without those that are initializers */
    uint32_t n_nodes, n_initializers, n_inputs, n_outputs;
    int64_t opset; /* of ai.onnx; 0 = none given */
} nj_onnx;

/* Everything is copied into the pool. -1 with err when the bytes are no ONNX model or
 * use what this reader lacks. */
int nj_onnx_read(nj_onnx *onnx, nj_pool *pool, const void *bytes, size_t n, nj_model_error *err);
/* "float32", "int64", ...; "a list of maps" where the file has no tensor. */
const char *nj_onnx_type_name(int32_t type);
/* The attribute, or NULL. */
const nj_onnx_attribute *nj_onnx_find(const nj_onnx_node *node, const char *name);
int64_t nj_onnx_int(const nj_onnx_node *node, const char *name, int64_t otherwise);
float nj_onnx_float(const nj_onnx_node *node, const char *name, float otherwise);
/* Is the attribute's text equal to `text`? An absent attribute equals `otherwise`. */
int nj_onnx_is(const nj_onnx_node *node, const char *name, const char *text, const char *otherwise);

#endif
