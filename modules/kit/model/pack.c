/* pack.c - the fast kernels read weights in an order of their own; this reorders them once at load. */
#include <string.h>

#include "lstm_step.h"
#include "plan.h"

const float *nj_pack_product(nj_pool *pool, const float *weight, uint32_t n_out, uint32_t n_in,
                             size_t step_out, size_t step_in, uint32_t block)
{
    float *to = nj_pool_alloc(pool, nj_product_packed(n_out, n_in, block), sizeof *to);
    if (!to) return NULL;
    for (uint32_t k = 0; k < n_out; k++)
        for (uint32_t j = 0; j < n_in; j++)
            to[((size_t)(k / block) * n_in + j) * block + k % block] = weight[k * step_out + j * step_in];
    return to;
}

/* [out][in][ky][kx] to blocks of [ky][kx][in]. */
const float *nj_pack_conv(nj_pool *pool, const nj_tensor *w, uint32_t block)
{
    uint32_t n_out = (uint32_t)w->dim[0], channels = (uint32_t)w->dim[1],
             taps = (uint32_t)(w->n / n_out / channels), depth = taps * channels;
    float *to = nj_pool_alloc(pool, nj_product_packed(n_out, depth, block), sizeof *to);
    if (!to) return NULL;
    for (uint32_t k = 0; k < n_out; k++)
        for (uint32_t c = 0; c < channels; c++)
            for (uint32_t t = 0; t < taps; t++)
                to[((size_t)(k / block) * depth + t * channels + c) * block + k % block] =
                    w->data[((size_t)k * channels + c) * taps + t];
    return to;
}

const float *nj_pack_bias(nj_pool *pool, const float *a, const float *b, uint32_t n, uint32_t block)
{
    float *to = nj_pool_alloc(pool, (size_t)(n + block - 1) / block * block, sizeof *to);
    for (uint32_t k = 0; to && k < n; k++) to[k] = (a ? a[k] : 0) + (b ? b[k] : 0);
    return to;
}

/* [gate][unit][n_in] to blocks of [block of units][gate][unit of the block]; zero beyond the last unit. Each
 * gate times its factor. */
const float *nj_pack_gates(nj_pool *pool, const float *weight, uint32_t n_units, uint32_t n_in,
                           uint32_t block, const float factor[4])
{
    const uint32_t n_out = (n_units + NJ_LSTM_UNITS - 1) / NJ_LSTM_UNITS * NJ_LSTM_BLOCK;
    float *to = nj_pool_alloc(pool, nj_product_packed(n_out, n_in, block), sizeof *to);
    for (uint32_t k = 0; to && k < n_out; k++) {
        const uint32_t gate = k % NJ_LSTM_BLOCK / NJ_LSTM_UNITS,
                       unit = k / NJ_LSTM_BLOCK * NJ_LSTM_UNITS + k % NJ_LSTM_UNITS;
        for (uint32_t j = 0; unit < n_units && j < n_in; j++)
            to[((size_t)(k / block) * n_in + j) * block + k % block] =
                factor[gate] * weight[((size_t)gate * n_units + unit) * n_in + j];
    }
    return to;
}

/* [channel][1][ky][kx] to [ky * kx][repeats]. */
const float *nj_pack_depthwise(nj_pool *pool, const nj_tensor *w, uint32_t repeats)
{
    uint32_t channels = (uint32_t)w->dim[0], taps = (uint32_t)(w->dim[2] * w->dim[3]);
    float *to = nj_pool_alloc(pool, (size_t)taps * repeats, sizeof *to);
    for (uint32_t t = 0; to && t < taps; t++)
        for (uint32_t i = 0; i < repeats; i++)
            to[(size_t)t * repeats + i] = w->data[(size_t)(i % channels) * taps + t];
    return to;
}
