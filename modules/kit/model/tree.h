/* tree.h - forests: TreeEnsembleRegressor and TreeEnsembleClassifier of ai.onnx.ml versions 1 to 3. */
#ifndef NJ_MODEL_TREE_H
#define NJ_MODEL_TREE_H

#include "onnx.h"

/* One node, 8 bytes. `next` = feature << 20 | first child (of this tree; the second child follows it). A leaf
 * tests the padded feature n_features, which is always -infinity, and is its own child:
 * walking on stays there, NaN or not. */
typedef struct nj_tree_node {
    float limit; /* go to the first child when x <= limit; of a leaf:
                  * its value, or the bits of its index into leaf[] */
    uint32_t next;
} nj_tree_node;

enum { NJ_TREE_CHILD_BITS = 20, NJ_TREE_MAX_FEATURES = 4094, NJ_TREE_BLOCK = 256 };

typedef enum { NJ_TREE_NONE, NJ_TREE_LOGISTIC, NJ_TREE_SOFTMAX } nj_tree_post;
typedef enum { NJ_TREE_FLOAT, NJ_TREE_DOUBLE } nj_tree_sum;

typedef struct nj_tree_set {
    const nj_tree_node *node;
    const uint32_t *root;     /* [n_trees] index of each tree's first node in node[] */
    const uint32_t *depth;    /* [n_trees] steps of its longest path */
    const uint32_t *by_depth; /* [n_trees] trees in order of depth, for walking several side by side */
    const uint8_t *nan_first; /* [n_nodes] NaN goes to the first child; NULL = nowhere */
    const float *leaf;        /* [1 + n_leaves][n_sums], row 0 all zero;
                               * NULL when n_sums is 1 (the value is in the node) */
    const float *base;        /* [n_sums] or NULL */
    uint32_t n_trees, n_nodes, n_features, n_sums;
    uint32_t n_outputs;    /* values per row */
    uint32_t binary;       /* one sum, two outputs (see nj_forest_post) */
    uint32_t all_positive; /* no leaf is negative */
    uint32_t lanes;        /* blocks of rows go through tree_lanes.c */
    nj_tree_post post;
} nj_tree_set;

/* Builds from the node; features must be given by the graph input's second axis (0 = unknown: the largest
 * index + 1). Checks that every tree is one (one root, each node reached once, children there): a walk always
 * ends. A file that is wrong in itself gives the status NJ_EDATA,
 * one that uses what is not built here NJ_ECONF. Nothing of the node is needed afterwards. */
int nj_forest_build(nj_tree_set *forest, const nj_onnx_node *node, uint32_t n_features, nj_pool *pool,
                    nj_model_error *err);

/* Bytes of the work area of nj_forest_predict. */
size_t nj_forest_work_bytes(const nj_tree_set *forest);
/* Scores of n rows.
 * Given:    x [n][n_features], any float; work: nj_forest_work_bytes(), 64-byte aligned
 * Returned: out [n][n_outputs]
 * Notes:    sum = float adds the leaves in float32 in the order of the trees:
 * bit-equal to ONNX Runtime with one thread.
 *           sum = double adds them in float64: within 1e-7 of scikit-learn (leaves are float32). Blocks of
 *           256 rows go tree by tree; few rows go row by row, 8 trees side by side. Both give equal bits. */
void nj_forest_predict(const nj_tree_set *forest, nj_tree_sum sum, const float *x, uint32_t n, double *out,
                       void *work);
/* The same, one row and one tree at a time: the plain version. */
void nj_forest_predict_plain(const nj_tree_set *forest, nj_tree_sum sum, const float *x, uint32_t n,
                             double *out, void *work);

#endif
