/* tree_walk.c - walking the trees of a forest: many rows and trees at a time, and the plain way. */
#include "tree.h"

#include <math.h>
#include <string.h>

#include "tree_lanes.h"

enum { LANES = 8, CHILD = (1u << NJ_TREE_CHILD_BITS) - 1 };

typedef struct work {
    float *x;        /* [NJ_TREE_BLOCK][n_features + 1]: rows with the padded feature behind them */
    double *sum;     /* [NJ_TREE_BLOCK][n_sums]; floats when sum = float */
    uint32_t *found; /* [n_trees + LANES] leaf of each tree, one row at a time */
} work;

static size_t up64(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t nj_forest_work_bytes(const nj_tree_set *f)
{
    return up64(sizeof(float) * NJ_TREE_BLOCK * (f->n_features + 1)) +
           up64(sizeof(double) * NJ_TREE_BLOCK * f->n_sums) + up64(sizeof(uint32_t) * (f->n_trees + LANES));
}

static work open_work(const nj_tree_set *f, void *memory)
{
    char *p = memory;
    work w = { .x = memory };
    p += up64(sizeof(float) * NJ_TREE_BLOCK * (f->n_features + 1));
    w.sum = (double *)p;
    p += up64(sizeof(double) * NJ_TREE_BLOCK * f->n_sums);
    w.found = (uint32_t *)p;
    return w;
}

/* The child to go to. Comparisons with NaN are false:
 * the second child, unless the node sends NaN to the first. */
static inline uint32_t step(const nj_tree_node *tree, const uint8_t *nan_first, uint32_t at, const float *x)
{
    nj_tree_node node = tree[at];
    float v = x[node.next >> NJ_TREE_CHILD_BITS];
    uint32_t second = !(v <= node.limit);
    if (nan_first) second &= !(isnan(v) && nan_first[at]);
    return (node.next & CHILD) + second;
}

/* --- what a leaf adds, and what becomes of the sums --- */

static inline void add_leaf(const nj_tree_set *f, nj_tree_sum sum, float limit, void *sums)
{
    if (f->n_sums == 1) {
        if (sum == NJ_TREE_FLOAT)
            *(float *)sums += limit;
        else
            *(double *)sums += limit;
        return;
    }
    uint32_t row;
    memcpy(&row, &limit, 4);
    const float *leaf = f->leaf + (size_t)row * f->n_sums;
    for (uint32_t k = 0; k < f->n_sums; k++) {
        if (sum == NJ_TREE_FLOAT)
            ((float *)sums)[k] += leaf[k];
        else
            ((double *)sums)[k] += leaf[k];
    }
}

static float logistic_f(float v)
{
    float p = 1.0f / (1.0f + expf(-fabsf(v)));
    return v < 0 ? 1.0f - p : p;
}

static double logistic(double v)
{
    double p = 1 / (1 + exp(-fabs(v)));
    return v < 0 ? 1 - p : p;
}

static void softmax(uint32_t n, nj_tree_sum sum, double *v)
{
    double most = v[0], total = 0;
    for (uint32_t k = 1; k < n; k++) most = v[k] > most ? v[k] : most;
    if (sum == NJ_TREE_FLOAT) {
        float total_f = 0;
        for (uint32_t k = 0; k < n; k++) total_f += (float)(v[k] = expf((float)v[k] - (float)most));
        for (uint32_t k = 0; k < n; k++) v[k] = (float)v[k] / total_f;
        return;
    }
    for (uint32_t k = 0; k < n; k++) total += v[k] = exp(v[k] - most);
    for (uint32_t k = 0; k < n; k++) v[k] /= total;
}

/* One sum for two classes: [1 - s, s] when every leaf is >= 0 (probabilities), else [-s, s] or its logistic:
 * what ONNX Runtime does with what the converters write. */
static void finish_binary(const nj_tree_set *f, nj_tree_sum sum, double s, double *out)
{
    float s_f = (float)s;
    if (f->all_positive) {
        out[1] = s;
        out[0] = sum == NJ_TREE_FLOAT ? 1.0f - s_f : 1 - s;
    } else if (f->post == NJ_TREE_LOGISTIC) {
        out[1] = sum == NJ_TREE_FLOAT ? logistic_f(s_f) : logistic(s);
        out[0] = sum == NJ_TREE_FLOAT ? logistic_f(-s_f) : logistic(-s);
    } else {
        out[1] = s;
        out[0] = -s;
    }
}

static void finish(const nj_tree_set *f, nj_tree_sum sum, const void *sums, double *out)
{
    for (uint32_t k = 0; k < f->n_sums; k++) {
        if (sum == NJ_TREE_FLOAT) {
            float v = ((const float *)sums)[k];
            out[k] = f->base ? v + f->base[k] : v;
        } else
            out[k] = ((const double *)sums)[k] + (f->base ? f->base[k] : 0);
    }
    if (f->binary)
        finish_binary(f, sum, out[0], out);
    else if (f->post == NJ_TREE_LOGISTIC)
        for (uint32_t k = 0; k < f->n_sums; k++)
            out[k] = sum == NJ_TREE_FLOAT ? logistic_f((float)out[k]) : logistic(out[k]);
    else if (f->post == NJ_TREE_SOFTMAX)
        softmax(f->n_sums, sum, out);
}

static void pad_rows(const nj_tree_set *f, const float *x, uint32_t n, float *padded)
{
    size_t stride = f->n_features + 1;
    for (uint32_t r = 0; r < n; r++) {
        memcpy(padded + r * stride, x + (size_t)r * f->n_features, sizeof(float) * f->n_features);
        padded[r * stride + f->n_features] = -INFINITY;
    }
}

/* ---- one row: LANES trees side by side, deepest neighbours together;
 * leaves are added in the order of the trees --- */

static inline void walk_trees(const nj_tree_set *f, const uint8_t *nan_first, const uint32_t *tree,
                              const float *x, uint32_t *found)
{
    const nj_tree_node *t[LANES];
    const uint8_t *nan[LANES];
    uint32_t at[LANES] = { 0 };
    for (int k = 0; k < LANES; k++) {
        t[k] = f->node + f->root[tree[k]];
        nan[k] = nan_first ? nan_first + f->root[tree[k]] : NULL;
    }
    for (uint32_t steps = f->depth[tree[LANES - 1]], moved = 1; steps > 0 && moved; steps--) {
        moved = 0;
#pragma GCC unroll 8
        for (int k = 0; k < LANES; k++) {
            uint32_t next = step(t[k], nan_first ? nan[k] : NULL, at[k], x);
            moved |= next ^ at[k];
            at[k] = next;
        }
    }
    for (int k = 0; k < LANES; k++) found[tree[k]] = at[k];
}

static inline void one_row(const nj_tree_set *f, const uint8_t *nan_first, nj_tree_sum sum, const float *x,
                           uint32_t *found, void *sums)
{
    for (uint32_t g = 0; g < f->n_trees; g += LANES) {
        uint32_t tree[LANES], left = f->n_trees - g;
        for (uint32_t k = 0; k < LANES; k++) tree[k] = f->by_depth[g + (k < left ? k : left - 1)];
        walk_trees(f, nan_first, tree, x, found);
    }
    if (f->n_sums == 1) { /* the common case: no call, no branch */
        float s = 0;
        double d = 0;
        for (uint32_t t = 0; t < f->n_trees; t++) {
            float v = f->node[f->root[t] + found[t]].limit;
            if (sum == NJ_TREE_FLOAT)
                s += v;
            else
                d += v;
        }
        if (sum == NJ_TREE_FLOAT)
            *(float *)sums = s;
        else
            *(double *)sums = d;
        return;
    }
    for (uint32_t t = 0; t < f->n_trees; t++) add_leaf(f, sum, f->node[f->root[t] + found[t]].limit, sums);
}

/* --- a block of rows: tree by tree, LANES rows side by side --- */

static inline void one_tree(const nj_tree_set *f, const uint8_t *nan_first, nj_tree_sum sum, uint32_t t,
                            const float *x, uint32_t n, double *sums)
{
    const nj_tree_node *tree = f->node + f->root[t];
    const uint8_t *nan = nan_first ? nan_first + f->root[t] : NULL;
    size_t stride = f->n_features + 1,
           sum_bytes = f->n_sums * (sum == NJ_TREE_FLOAT ? sizeof(float) : sizeof(double));
    for (uint32_t r = 0; r < n; r += LANES) {
        uint32_t at[LANES] = { 0 };
        const float *row = x + r * stride;
        for (uint32_t steps = f->depth[t], moved = 1; steps > 0 && moved; steps--) {
            moved = 0;
#pragma GCC unroll 8
            for (int k = 0; k < LANES; k++) {
                uint32_t next = step(tree, nan, at[k], row + (size_t)k * stride);
                moved |= next ^ at[k];
                at[k] = next;
            }
        }
        for (uint32_t k = 0; k < LANES; k++)
            add_leaf(f, sum, tree[at[k]].limit, (char *)sums + (r + k) * sum_bytes);
    }
}

static inline void walk_block(const nj_tree_set *f, const uint8_t *nan_first, nj_tree_sum sum, uint32_t n,
                              const work *w)
{
    if (n >= NJ_TREE_LEAST && !nan_first && f->lanes) {
        uint32_t whole = (n + NJ_TREE_LANES - 1) / NJ_TREE_LANES * NJ_TREE_LANES;
        for (uint32_t t = 0; t < f->n_trees; t++)
            nj_tree_lanes_add(f, sum, t, w->x, f->n_features + 1, whole, w->sum);
        return;
    }
    if (n >= LANES) {
        uint32_t whole = (n + LANES - 1) / LANES * LANES; /* NJ_TREE_BLOCK is a multiple; rows n..
                                                           * hold what was there: harmless */
        for (uint32_t t = 0; t < f->n_trees; t++) one_tree(f, nan_first, sum, t, w->x, whole, w->sum);
        return;
    }
    size_t sum_bytes = f->n_sums * (sum == NJ_TREE_FLOAT ? sizeof(float) : sizeof(double));
    for (uint32_t r = 0; r < n; r++)
        one_row(f, nan_first, sum, w->x + (size_t)r * (f->n_features + 1), w->found,
                (char *)w->sum + r * sum_bytes);
}

void nj_forest_predict(const nj_tree_set *f, nj_tree_sum sum, const float *x, uint32_t n, double *out,
                       void *memory)
{
    work w = open_work(f, memory);
    size_t sum_bytes = f->n_sums * (sum == NJ_TREE_FLOAT ? sizeof(float) : sizeof(double));
    for (uint32_t first = 0; first < n; first += NJ_TREE_BLOCK) {
        uint32_t m = n - first < NJ_TREE_BLOCK ? n - first : NJ_TREE_BLOCK,
                 whole = (m + NJ_TREE_LANES - 1) / NJ_TREE_LANES * NJ_TREE_LANES;
        pad_rows(f, x + (size_t)first * f->n_features, m, w.x);
        for (uint32_t r = m; r < whole && m >= NJ_TREE_LEAST; r++) /* rows that only fill the lanes */
            memcpy(w.x + (size_t)r * (f->n_features + 1), w.x, sizeof(float) * (f->n_features + 1));
        memset(w.sum, 0, sum_bytes * whole);
        if (sum == NJ_TREE_FLOAT)
            f->nan_first ? walk_block(f, f->nan_first, NJ_TREE_FLOAT, m, &w)
                         : walk_block(f, NULL, NJ_TREE_FLOAT, m, &w);
        else
            f->nan_first ? walk_block(f, f->nan_first, NJ_TREE_DOUBLE, m, &w)
                         : walk_block(f, NULL, NJ_TREE_DOUBLE, m, &w);
        for (uint32_t r = 0; r < m; r++)
            finish(f, sum, (char *)w.sum + r * sum_bytes, out + (size_t)(first + r) * f->n_outputs);
    }
}

void nj_forest_predict_plain(const nj_tree_set *f, nj_tree_sum sum, const float *x, uint32_t n, double *out,
                             void *memory)
{
    work w = open_work(f, memory);
    for (uint32_t r = 0; r < n; r++) {
        pad_rows(f, x + (size_t)r * f->n_features, 1, w.x);
        memset(w.sum, 0, sizeof(double) * f->n_sums);
        for (uint32_t t = 0; t < f->n_trees; t++) {
            const nj_tree_node *tree = f->node + f->root[t];
            const uint8_t *nan = f->nan_first ? f->nan_first + f->root[t] : NULL;
            uint32_t at = 0;
            for (uint32_t d = 0; d < f->depth[t]; d++) at = step(tree, nan, at, w.x);
            add_leaf(f, sum, tree[at].limit, w.sum);
        }
        finish(f, sum, w.sum, out + (size_t)r * f->n_outputs);
    }
}
