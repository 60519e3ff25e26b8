/* tree_lanes.c - with AVX-512 one tree is evaluated for many rows at once; this is that kernel. */
#include "tree_lanes.h"

#include <string.h>

#include "nightjar/num.h"

#if defined __x86_64__
#include <immintrin.h>

int nj_tree_lanes_usable(void)
{
    return nj_isa_best() == NJ_ISA_AVX512;
}

#define ISA_TARGET 16
#include "../num/isa_target.h"

enum { GROUP = NJ_TREE_LANES, MAX_GROUPS = 4, TOP_LEVELS = 5 };

/* The first 32 nodes of a tree in registers: its upper five levels, as children follow breadth first. */
typedef struct top {
    __m512 limit[2];
    __m512i next[2];
} top;

static inline __m512i evens(void)
{
    return _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

/* 16 nodes apart: their limits and their second words. */
static inline void part_nodes(__m512i low, __m512i high, __m512 *limit, __m512i *next)
{
    *limit = _mm512_castsi512_ps(_mm512_permutex2var_epi32(low, evens(), high));
    *next = _mm512_permutex2var_epi32(low, _mm512_add_epi32(evens(), _mm512_set1_epi32(1)), high);
}

static inline top load_top(const nj_tree_node *tree) /* reads behind a small tree: node[] has room */
{
    top t;
    for (int k = 0; k < 2; k++)
        part_nodes(_mm512_loadu_si512(tree + k * GROUP), _mm512_loadu_si512(tree + k * GROUP + GROUP / 2),
                   &t.limit[k], &t.next[k]);
    return t;
}

static inline void top_nodes(const top *t, __m512i at, __m512 *limit, __m512i *next)
{
    *limit = _mm512_permutex2var_ps(t->limit[0], at, t->limit[1]);
    *next = _mm512_permutex2var_epi32(t->next[0], at, t->next[1]);
}

static inline void gather_nodes(const nj_tree_node *tree, __m512i at, __m512 *limit, __m512i *next)
{
    part_nodes(_mm512_i32gather_epi64(_mm512_castsi512_si256(at), tree, 8),
               _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), tree, 8), limit, next);
}

/* One step of 16 rows from their nodes; row: their offsets into x. */
static inline __m512i step(__m512 limit, __m512i next, const float *x, __m512i row)
{
    __m512 v = _mm512_i32gather_ps(_mm512_add_epi32(row, _mm512_srli_epi32(next, NJ_TREE_CHILD_BITS)), x, 4);
    __m512i child = _mm512_and_si512(next, _mm512_set1_epi32((1 << NJ_TREE_CHILD_BITS) - 1));
    __mmask16 second = _mm512_cmp_ps_mask(v, limit, _CMP_NLE_UQ); /* NaN: the second child */
    return _mm512_mask_add_epi32(child, second, child, _mm512_set1_epi32(1));
}

/* limit: of the 16 leaves. */
static inline void add_leaves(const nj_tree_set *f, nj_tree_sum sum, __m512 limit, void *sums)
{
    if (f->n_sums == 1 && sum == NJ_TREE_FLOAT) {
        _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), limit));
        return;
    }
    if (f->n_sums == 1) {
        double *d = sums;
        _mm512_storeu_pd(d,
                         _mm512_add_pd(_mm512_loadu_pd(d), _mm512_cvtps_pd(_mm512_castps512_ps256(limit))));
        _mm512_storeu_pd(
            d + 8, _mm512_add_pd(_mm512_loadu_pd(d + 8), _mm512_cvtps_pd(_mm512_extractf32x8_ps(limit, 1))));
        return;
    }
    uint32_t leaf[GROUP];
    _mm512_storeu_ps(leaf, limit);
    if (f->n_sums == 4 && sum == NJ_TREE_DOUBLE) {
        for (uint32_t r = 0; r < GROUP; r++) {
            double *d = (double *)sums + r * 4;
            _mm256_storeu_pd(d, _mm256_add_pd(_mm256_loadu_pd(d),
                                              _mm256_cvtps_pd(_mm_loadu_ps(f->leaf + (size_t)leaf[r] * 4))));
        }
        return;
    }
    for (uint32_t r = 0; r < GROUP; r++) {
        const float *v = f->leaf + (size_t)leaf[r] * f->n_sums;
        for (uint32_t k = 0; k < f->n_sums; k++) {
            if (sum == NJ_TREE_FLOAT)
                ((float *)sums)[r * f->n_sums + k] += v[k];
            else
                ((double *)sums)[r * f->n_sums + k] += v[k];
        }
    }
}

/* n_groups (a constant, so that all loops unroll) times 16 rows from r on. */
static inline __attribute__((always_inline)) void walk(const nj_tree_set *f, nj_tree_sum sum, uint32_t t,
                                                       const top *first, const float *x, uint32_t stride,
                                                       uint32_t r, const int n_groups, void *sums)
{
    const nj_tree_node *tree = f->node + f->root[t];
    const uint32_t depth = f->depth[t], n_top = depth < TOP_LEVELS ? depth : TOP_LEVELS;
    const size_t group_bytes = GROUP * f->n_sums * (sum == NJ_TREE_FLOAT ? sizeof(float) : sizeof(double));
    const __m512i lane =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)stride));
    __m512i at[MAX_GROUPS], row[MAX_GROUPS], next;
    __m512 limit;
    for (int g = 0; g < n_groups; g++) {
        at[g] = _mm512_setzero_si512();
        row[g] = _mm512_add_epi32(lane, _mm512_set1_epi32((int)((r + (uint32_t)g * GROUP) * stride)));
    }
    for (uint32_t s = 0; s < n_top; s++)
        for (int g = 0; g < n_groups; g++) {
            top_nodes(first, at[g], &limit, &next);
            at[g] = step(limit, next, x, row[g]);
        }
    for (uint32_t s = n_top; s < depth; s++) {
        __mmask16 moved = 0;
        for (int g = 0; g < n_groups; g++) {
            gather_nodes(tree, at[g], &limit, &next);
            __m512i to = step(limit, next, x, row[g]);
            moved |= _mm512_cmpneq_epi32_mask(to, at[g]);
            at[g] = to;
        }
        if (!moved) break;
    }
    for (int g = 0; g < n_groups; g++) {
        if (depth < TOP_LEVELS)
            top_nodes(first, at[g], &limit, &next);
        else
            gather_nodes(tree, at[g], &limit, &next);
        add_leaves(f, sum, limit, (char *)sums + (r / GROUP + (uint32_t)g) * group_bytes);
    }
}

void nj_tree_lanes_add(const nj_tree_set *f, nj_tree_sum sum, uint32_t t, const float *x, uint32_t stride,
                       uint32_t n, void *sums)
{
    const top first = load_top(f->node + f->root[t]);
    uint32_t r = 0;
    for (; r + MAX_GROUPS * GROUP <= n; r += MAX_GROUPS * GROUP)
        walk(f, sum, t, &first, x, stride, r, MAX_GROUPS, sums);
    for (; r + 2 * GROUP <= n; r += 2 * GROUP) walk(f, sum, t, &first, x, stride, r, 2, sums);
    if (r < n) walk(f, sum, t, &first, x, stride, r, 1, sums);
}
#define ISA_TARGET 0
#include "../num/isa_target.h"

#else
int nj_tree_lanes_usable(void)
{
    return 0;
}

void nj_tree_lanes_add(const nj_tree_set *f, nj_tree_sum sum, uint32_t t, const float *x, uint32_t stride,
                       uint32_t n, void *sums)
{
    (void)f, (void)sum, (void)t, (void)x, (void)stride, (void)n, (void)sums;
}
#endif
