/* tile.h - the one inner loop of all networks: a matrix product of a few pixels (or
 * rows) with packed weights. */
#ifndef NJ_MODEL_TILE_H
#define NJ_MODEL_TILE_H

#include <stddef.h>
#include <stdint.h>

#include "nightjar/num.h"

/* out[p][k] = start[k] + sum over s, j of in[p * in_step + s * segment_step + j] * weight[s * segment + j][k]
 * Given:    p in [0, n), k in [0, n_out), s in [0, n_segments), j in [0, segment); steps in floats
 *           weight in blocks of NB outputs: [block][n_segments * segment][NB], 64-byte aligned, zero beyond
 *           n_out bias [n_out rounded up to NB] = start; NULL = the present contents of out are the start
 * Returned: out[p * out_step + k]
 * Notes:    the sum runs over s, then j, one fused multiply-add each (AVX-512 and AVX2: equal bits;
 * portable: a product
 *           and a sum, so within rounding). A pixel's result does not depend on n. out must not overlap in.
 * A convolution on [row][column][channel] images has one segment per kernel row, as kernel columns and
 * channels lie side by side; a dense layer has one segment. */
typedef struct nj_product {
    const float *in, *weight, *bias;
    float *out;
    ptrdiff_t in_step, out_step, segment_step;
    uint32_t n, n_out, n_segments, segment;
    uint32_t block; /* NB: 16, 32 or 64 */
    uint32_t relu;  /* not 0: negative results become 0 */
    /* n_repeats products whose places lie so many floats apart; 0 = one. Only with a bias, which is the same
     * for all. */
    uint32_t n_repeats;
    ptrdiff_t in_repeat, weight_repeat, out_repeat;
} nj_product;

void nj_product_run(nj_isa isa, const nj_product *product);

/* Outputs per block that suit n_out outputs. */
uint32_t nj_product_block(uint32_t n_out, uint32_t recurrent);
/* Floats of the packed weights. */
size_t nj_product_packed(uint32_t n_out, uint32_t n_in, uint32_t block);

/* The other loops. All on whole arrays; elementwise results are the same on every instruction set. */
typedef struct nj_lanes {
    /* out[i] = sum over ky, kx of in[ky * in_row + i + kx * channels] * weight[ky * kernel_x + kx][i], i in
     * [0, n): one row of a depthwise convolution with stride 1; n = output columns * channels. The weights of
     * a tap are repeated along the row, [repeats >= n] each; but for 3 x 3 and channels in sixteens
     * (nj_depthwise_groups) they are [channels] each, and out is [channels / 16][columns][16]. */
    void (*depthwise)(const float *in, size_t in_row, uint32_t channels, uint32_t kernel_y, uint32_t kernel_x,
                      const float *weight, uint32_t repeats, uint32_t n, float *out);
    /* Largest of kernel_y x kernel_x pixels for each of n_x output columns. NaN is not kept. */
    void (*pool)(const float *in, size_t in_row, uint32_t channels, uint32_t kernel_y, uint32_t kernel_x,
                 uint32_t stride_x, uint32_t n_x, float *out);
    void (*sigmoid)(const float *in, size_t n, float *out);
    void (*tanh)(const float *in, size_t n, float *out);
    /* The gates of one step of an LSTM: gate [4 * hidden] in ONNX order i, o, f, c;
     * cell [hidden] is updated. */
    void (*lstm)(const float *gate, uint32_t hidden, float *cell, float *out);
} nj_lanes;
const nj_lanes *nj_lanes_of(nj_isa isa);
int nj_depthwise_groups(uint32_t channels, uint32_t kernel_y, uint32_t kernel_x);

#endif
