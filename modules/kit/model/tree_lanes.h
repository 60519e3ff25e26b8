/* tree_lanes.h - one tree over many rows (AVX-512):
 * its upper five levels from registers, the rest with gathers. */
#ifndef NJ_MODEL_TREE_LANES_H
#define NJ_MODEL_TREE_LANES_H

#include "tree.h"

enum {
    NJ_TREE_LANES = 16,
    NJ_TREE_TOP = 32,
    NJ_TREE_LEAST = 8
}; /* rows side by side;
    * nodes in registers; rows that pay */

/* 1 = this processor can. */
int nj_tree_lanes_usable(void);
/* Adds the leaves of tree t to the sums of n rows (a multiple of NJ_TREE_LANES); for forests without
 * nan_first. x [n][stride], padded; sums [n][n_sums] float or double. Equal bits to the walk with scalars. */
void nj_tree_lanes_add(const nj_tree_set *forest, nj_tree_sum sum, uint32_t t, const float *x,
                       uint32_t stride, uint32_t n, void *sums);

#endif
