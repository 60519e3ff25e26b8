#include "tree_lanes.h"

#include <string.h>

#include "nightjar/num.h"

#if defined __x86_64__
#include <immintrin.h>

int nj_tree_lanes_usable(void)
{
    return nj_isa_best() == NJ_ISA_AVX512;
}

#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#endif

enum { HALF = 16 };

/* The 16 nodes: their limits and their second words. */
static inline void gather_nodes(const nj_tree_node *tree, __m512i at, __m512 *limit, __m512i *next)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                  odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    __m512i low = _mm512_i32gather_epi64(_mm512_castsi512_si256(at), tree, 8),
            high = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), tree, 8);
    *limit = _mm512_castsi512_ps(_mm512_permutex2var_epi32(low, even, high));
    *next = _mm512_permutex2var_epi32(low, odd, high);
}

/* One step of 16 rows; row: their offsets into x. */
static inline __m512i step(const nj_tree_node *tree, __m512i at, const float *x, __m512i row)
{
    __m512 limit;
    __m512i next;
    gather_nodes(tree, at, &limit, &next);
    __m512 v = _mm512_i32gather_ps(_mm512_add_epi32(row, _mm512_srli_epi32(next, NJ_TREE_CHILD_BITS)), x, 4);
    __m512i child = _mm512_and_si512(next, _mm512_set1_epi32((1 << NJ_TREE_CHILD_BITS) - 1));
    __mmask16 second = _mm512_cmp_ps_mask(v, limit, _CMP_NLE_UQ); /* NaN: the second child */
    return _mm512_mask_add_epi32(child, second, child, _mm512_set1_epi32(1));
}

static inline void add_leaves(const nj_forest *f, nj_tree_sum sum, const nj_tree_node *tree, __m512i at, void *sums)
{
    __m512 limit;
    __m512i next;
    gather_nodes(tree, at, &limit, &next);
    if (f->n_sums == 1 && sum == NJ_TREE_FLOAT) {
        _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), limit));
        return;
    }
    if (f->n_sums == 1) {
        double *d = sums;
        _mm512_storeu_pd(d, _mm512_add_pd(_mm512_loadu_pd(d), _mm512_cvtps_pd(_mm512_castps512_ps256(limit))));
        _mm512_storeu_pd(d + 8, _mm512_add_pd(_mm512_loadu_pd(d + 8), _mm512_cvtps_pd(_mm512_extractf32x8_ps(limit, 1))));
        return;
    }
    uint32_t leaf[HALF];
    _mm512_storeu_ps(leaf, limit);
    for (uint32_t r = 0; r < HALF; r++) {
        const float *v = f->leaf + (size_t)leaf[r] * f->n_sums;
        for (uint32_t k = 0; k < f->n_sums; k++) {
            if (sum == NJ_TREE_FLOAT)
                ((float *)sums)[r * f->n_sums + k] += v[k];
            else
                ((double *)sums)[r * f->n_sums + k] += v[k];
        }
    }
}

void nj_tree_lanes_add(const nj_forest *f, nj_tree_sum sum, uint32_t t, const float *x, uint32_t stride, uint32_t n, void *sums)
{
    const nj_tree_node *tree = f->node + f->root[t];
    size_t sum_bytes = f->n_sums * (sum == NJ_TREE_FLOAT ? sizeof(float) : sizeof(double));
    const __m512i lane = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                            _mm512_set1_epi32((int)stride));
    for (uint32_t r = 0; r < n; r += NJ_TREE_LANES) {
        __m512i a = _mm512_setzero_si512(), b = a;
        __m512i row_a = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(r * stride))),
                row_b = _mm512_add_epi32(lane, _mm512_set1_epi32((int)((r + HALF) * stride)));
        for (uint32_t steps = f->depth[t]; steps > 0; steps--) {
            __m512i next_a = step(tree, a, x, row_a), next_b = step(tree, b, x, row_b);
            __mmask16 moved = _mm512_cmpneq_epi32_mask(next_a, a) | _mm512_cmpneq_epi32_mask(next_b, b);
            a = next_a;
            b = next_b;
            if (!moved) break;
        }
        add_leaves(f, sum, tree, a, (char *)sums + r * sum_bytes);
        add_leaves(f, sum, tree, b, (char *)sums + (r + HALF) * sum_bytes);
    }
}
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
int nj_tree_lanes_usable(void)
{
    return 0;
}

void nj_tree_lanes_add(const nj_forest *f, nj_tree_sum sum, uint32_t t, const float *x, uint32_t stride, uint32_t n, void *sums)
{
    (void)f, (void)sum, (void)t, (void)x, (void)stride, (void)n, (void)sums;
}
#endif
