/* tree_build.c - a forest out of an ONNX tree ensemble: checked, linked, laid out by depth. */
#include "tree_lanes.h"

#include "nightjar/module.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The attributes of one tree node, as the file has them. */
typedef struct source {
    const int64_t *tree, *id, *feature, *yes, *no, *nan;
    const float *value;
    const nj_onnx_text *mode;
    size_t n;
} source;

typedef enum { LEAF, LEQ, LT, GT, GTE, MODES } node_mode;
static const char *const mode_name[MODES] = { "LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE" };

typedef struct builder {
    nj_tree_set *forest;
    nj_pool *pool, scratch; /* of the model; of what is needed while building */
    nj_model_error *err;
    source s;
    uint8_t *mode;      /* [n] a node_mode */
    uint32_t *yes, *no; /* [n] children as source indices; UINT32_MAX = leaf */
    uint8_t *has_parent;
    uint32_t *place; /* [n] source node -> index in forest->node */
    nj_tree_node *node;
    uint8_t *nan_first;
    uint32_t n_features;
} builder;

static int get_ints(builder *b, const nj_onnx_node *node, const char *name, int required, const int64_t **out)
{
    const nj_onnx_attribute *a = nj_onnx_find(node, name);
    if (a && a->n_ints == b->s.n) {
        *out = a->ints;
        return 0;
    }
    if (!required && (!a || a->n_ints == 0)) return 0;
    return nj_model_lacks(b->err, NJ_EDATA, "%s: %s has %zu entries, nodes_treeids %zu", node->op, name,
                          a ? a->n_ints : (size_t)0, b->s.n);
}

static int read_source(builder *b, const nj_onnx_node *node)
{
    const nj_onnx_attribute *a = nj_onnx_find(node, "nodes_treeids");
    b->s.n = a ? a->n_ints : 0;
    if (!b->s.n)
        return nj_model_fail(
            b->err, "%s: no nodes (double-precision *_as_tensor attributes are not supported)", node->op);
    if (b->s.n > INT32_MAX / 4) return nj_model_fail(b->err, "%s: %zu nodes are too many", node->op, b->s.n);
    b->s.tree = a->ints;
    if (get_ints(b, node, "nodes_nodeids", 1, &b->s.id) ||
        get_ints(b, node, "nodes_featureids", 1, &b->s.feature) ||
        get_ints(b, node, "nodes_truenodeids", 1, &b->s.yes) ||
        get_ints(b, node, "nodes_falsenodeids", 1, &b->s.no) ||
        get_ints(b, node, "nodes_missing_value_tracks_true", 0, &b->s.nan))
        return -1;
    const nj_onnx_attribute *mode = nj_onnx_find(node, "nodes_modes"),
                            *value = nj_onnx_find(node, "nodes_values");
    if (!mode || mode->n_strings != b->s.n)
        return nj_model_lacks(b->err, NJ_EDATA, "%s: nodes_modes does not fit nodes_treeids", node->op);
    if (!value || value->n_floats != b->s.n)
        return nj_model_lacks(b->err, NJ_EDATA, "%s: nodes_values does not fit nodes_treeids", node->op);
    b->s.mode = mode->strings;
    b->s.value = value->floats;
    return 0;
}

typedef struct key {
    int64_t tree, id;
    uint32_t at;
} key;

static int compare_keys(const void *pa, const void *pb)
{
    const key *a = pa, *b = pb;
    if (a->tree != b->tree) return a->tree < b->tree ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* k: the nodes in order; NULL where the file has them in order. likely: the index of the node in the file if
 * the tree's nodes are numbered without gaps. */
static uint32_t find_node(const builder *b, const key *k, int64_t tree, int64_t id, size_t likely)
{
    if (likely < b->s.n && b->s.tree[likely] == tree && b->s.id[likely] == id) return (uint32_t)likely;
    const key want = { tree, id, 0 };
    size_t low = 0, high = b->s.n;
    while (low < high) {
        size_t i = low + (high - low) / 2;
        const key at = k ? k[i] : (key){ b->s.tree[i], b->s.id[i], (uint32_t)i };
        int c = compare_keys(&at, &want);
        if (!c) return at.at;
        if (c < 0)
            low = i + 1;
        else
            high = i;
    }
    return UINT32_MAX;
}

/* *k: NULL where the file has its nodes in order, as nearly all files do. */
static int sorted_keys(builder *b, key **k)
{
    *k = NULL;
    size_t i = 1;
    while (i < b->s.n &&
           (b->s.tree[i - 1] == b->s.tree[i] ? b->s.id[i - 1] < b->s.id[i] : b->s.tree[i - 1] < b->s.tree[i]))
        i++;
    if (i >= b->s.n) return 0;
    key *sorted = nj_pool_alloc(&b->scratch, b->s.n, sizeof *sorted);
    if (!sorted) return nj_model_fail(b->err, "out of memory");
    for (i = 0; i < b->s.n; i++) sorted[i] = (key){ b->s.tree[i], b->s.id[i], (uint32_t)i };
    qsort(sorted, b->s.n, sizeof *sorted, compare_keys);
    for (i = 1; i < b->s.n; i++)
        if (!compare_keys(&sorted[i - 1], &sorted[i]))
            return nj_model_lacks(b->err, NJ_EDATA, "tree %lld has node %lld twice",
                                  (long long)sorted[i].tree, (long long)sorted[i].id);
    *k = sorted;
    return 0;
}

/* x > t is not x <= t, x >= t is not x < t: the children change places. */
static int is_turned(uint8_t m)
{
    return m == GT || m == GTE;
}

/* The texts of equal kinds are mostly one text (onnx.c): only another address is compared. */
static int read_modes(builder *b)
{
    const char *last = NULL;
    node_mode m = LEAF;
    for (size_t i = 0; i < b->s.n; i++) {
        const char *name = b->s.mode[i].s;
        if (name != last) {
            for (m = LEAF; m < MODES && strcmp(name, mode_name[m]) != 0;) m++;
            if (m == MODES)
                return nj_model_fail(
                    b->err,
                    "tree %lld: node mode %.32s is not supported (BRANCH_LEQ, LT, GT, GTE and LEAF are)",
                    (long long)b->s.tree[i], name);
            last = name;
        }
        b->mode[i] = (uint8_t)m;
    }
    return 0;
}

/* Resolves children and refuses a node with two parents:
 * with one root per tree and every node reached, no cycle is left. */
static int link_children(builder *b, const key *k)
{
    for (size_t i = 0; i < b->s.n; i++) {
        b->yes[i] = b->no[i] = UINT32_MAX;
        if (b->mode[i] == LEAF) continue;
        int64_t feature = b->s.feature[i];
        if (feature < 0 || feature >= (b->n_features ? (int64_t)b->n_features : NJ_TREE_MAX_FEATURES))
            return nj_model_lacks(b->err, NJ_EDATA, "tree %lld tests feature %lld; the input has %u",
                                  (long long)b->s.tree[i], (long long)feature, b->n_features);
        size_t base = i - (size_t)b->s.id[i];
        uint32_t child[2] = { find_node(b, k, b->s.tree[i], b->s.yes[i], base + (size_t)b->s.yes[i]),
                              find_node(b, k, b->s.tree[i], b->s.no[i], base + (size_t)b->s.no[i]) };
        for (int c = 0; c < 2; c++) {
            if (child[c] == UINT32_MAX)
                return nj_model_lacks(b->err, NJ_EDATA, "tree %lld: node %lld has a child that is not there",
                                      (long long)b->s.tree[i], (long long)b->s.id[i]);
            if (b->has_parent[child[c]]++)
                return nj_model_lacks(b->err, NJ_EDATA, "tree %lld: node %lld has two parents (no tree)",
                                      (long long)b->s.tree[i], (long long)b->s.id[child[c]]);
        }
        b->yes[i] = child[is_turned(b->mode[i])];
        b->no[i] = child[!is_turned(b->mode[i])];
    }
    return 0;
}

/* x < t is x <= the float below t. No x is below -infinity: NaN as limit is never reached. */
static float limit_of(const builder *b, uint32_t i)
{
    const uint8_t m = b->mode[i];
    float t = b->s.value[i];
    if (isnan(t) && is_turned(m))
        return INFINITY; /* nothing is above NaN: always the other child,
                          * which is the first one */
    if ((m != LT && m != GTE) || isnan(t)) return t;
    return t == -INFINITY ? NAN : nextafterf(t, -INFINITY);
}

static void put_node(builder *b, uint32_t at, uint32_t i, uint32_t child)
{
    uint32_t feature = b->yes[i] == UINT32_MAX ? b->n_features : (uint32_t)b->s.feature[i];
    b->node[at] =
        (nj_tree_node){ b->yes[i] == UINT32_MAX ? 0 : limit_of(b, i), feature << NJ_TREE_CHILD_BITS | child };
    b->place[i] = at;
    if (!b->nan_first) return;
    int to_true = b->s.nan && b->s.nan[i] != 0;
    b->nan_first[at] = b->yes[i] != UINT32_MAX && to_true != is_turned(b->mode[i]);
}

/* Breadth first, so that children are neighbours and the upper levels share cache lines.
 * queue: room for all nodes. */
static int lay_tree(builder *b, uint32_t root, uint32_t base, uint32_t *queue, uint32_t *n_out,
                    uint32_t *depth)
{
    uint32_t n = 1, level_end = 1;
    *depth = 0;
    queue[0] = root;
    for (uint32_t q = 0; q < n; q++) {
        if (q == level_end) {
            level_end = n;
            ++*depth;
        }
        uint32_t i = queue[q], child = q;
        if (b->yes[i] != UINT32_MAX) {
            child = n;
            queue[n++] = b->yes[i];
            queue[n++] = b->no[i];
        }
        if (n > 1u << NJ_TREE_CHILD_BITS)
            return nj_model_fail(b->err, "tree %lld has more than %u nodes", (long long)b->s.tree[i],
                                 1u << NJ_TREE_CHILD_BITS);
        put_node(b, base + q, i, child);
    }
    *n_out = n;
    return 0;
}

static int lay_trees(builder *b)
{
    nj_tree_set *f = b->forest;
    uint32_t n_trees = 0, at = 0;
    for (size_t i = 0; i < b->s.n; i++) n_trees += !b->has_parent[i];
    uint32_t *root = nj_pool_alloc(b->pool, n_trees, sizeof *root),
             *depth = nj_pool_alloc(b->pool, n_trees, sizeof *depth);
    uint32_t *queue = nj_pool_alloc(&b->scratch, b->s.n + 2, sizeof *queue);
    if (!root || !depth || !queue) return nj_model_fail(b->err, "out of memory");
    int64_t last = 0;
    for (size_t i = 0; i < b->s.n; i++) { /* the order of the trees in the file is the order of summation */
        if (b->has_parent[i]) continue;
        if (f->n_trees && b->s.tree[i] == last)
            return nj_model_lacks(b->err, NJ_EDATA, "tree %lld has two roots", (long long)last);
        last = b->s.tree[i];
        uint32_t n = 0;
        if (lay_tree(b, (uint32_t)i, at, queue, &n, &depth[f->n_trees])) return -1;
        root[f->n_trees++] = at;
        at += n;
    }
    if (at != b->s.n)
        return nj_model_lacks(b->err, NJ_EDATA, "%zu tree nodes cannot be reached from a root (a cycle)",
                              b->s.n - at);
    f->node = b->node;
    f->nan_first = b->nan_first;
    f->root = root;
    f->depth = depth;
    f->n_nodes = at;
    return 0;
}

/* Trees in order of depth (a counting sort: equal depths keep the order of the file). */
static int order_by_depth(builder *b)
{
    nj_tree_set *f = b->forest;
    uint32_t deepest = 0, at = 0;
    for (uint32_t i = 0; i < f->n_trees; i++) deepest = f->depth[i] > deepest ? f->depth[i] : deepest;
    uint32_t *order = nj_pool_alloc(b->pool, f->n_trees, sizeof *order),
             *start = nj_pool_alloc(&b->scratch, deepest + 2, sizeof *start);
    if (!order || !start) return nj_model_fail(b->err, "out of memory");
    for (uint32_t i = 0; i < f->n_trees; i++) start[f->depth[i] + 1]++;
    for (uint32_t d = 0; d <= deepest; d++) start[d] = (at += d ? start[d] : 0);
    for (uint32_t i = 0; i < f->n_trees; i++) order[start[f->depth[i]]++] = i;
    f->by_depth = order;
    return 0;
}

/* --- what the leaves say --- */

typedef struct weights {
    const int64_t *tree, *id, *target;
    const float *value;
    size_t n;
} weights;

static int read_weights(builder *b, const nj_onnx_node *node, weights *w)
{
    const char *prefix = strcmp(node->op, "TreeEnsembleClassifier") ? "target" : "class";
    char name[4][32];
    static const char *const tail[4] = { "treeids", "nodeids", "ids", "weights" };
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s_%s", prefix, tail[i]);
    const nj_onnx_attribute *tree = nj_onnx_find(node, name[0]), *id = nj_onnx_find(node, name[1]),
                            *target = nj_onnx_find(node, name[2]), *value = nj_onnx_find(node, name[3]);
    if (!tree || !id || !target || !value || id->n_ints != tree->n_ints || target->n_ints != tree->n_ints ||
        value->n_floats != tree->n_ints || !tree->n_ints)
        return nj_model_lacks(b->err, NJ_EDATA,
                              "%s: %s_treeids, _nodeids, _ids and _weights do not fit one another", node->op,
                              prefix);
    *w = (weights){ tree->ints, id->ints, target->ints, value->floats, tree->n_ints };
    return 0;
}

/* Two labels and only one of them ever weighted: one sum stands for both (what
 * skl2onnx and onnxmltools write). */
static int count_outputs(builder *b, const nj_onnx_node *node, const weights *w)
{
    nj_tree_set *f = b->forest;
    int64_t n;
    if (!strcmp(node->op, "TreeEnsembleClassifier")) {
        const nj_onnx_attribute *number = nj_onnx_find(node, "classlabels_int64s"),
                                *text = nj_onnx_find(node, "classlabels_strings");
        n = number && number->n_ints ? (int64_t)number->n_ints : text ? (int64_t)text->n_strings : 0;
        if (n < 2) return nj_model_fail(b->err, "%s: fewer than two class labels", node->op);
    } else
        n = nj_onnx_int(node, "n_targets", 1);
    if (n < 1 || n > 4096) return nj_model_fail(b->err, "%s: %lld outputs", node->op, (long long)n);
    f->n_outputs = f->n_sums = (uint32_t)n;
    f->all_positive = 1;
    int one_target = 1;
    for (size_t i = 0; i < w->n; i++) {
        if (w->target[i] < 0 || w->target[i] >= n)
            return nj_model_lacks(b->err, NJ_EDATA, "%s: a leaf names output %lld of %lld", node->op,
                                  (long long)w->target[i], (long long)n);
        if (!isfinite(w->value[i]))
            return nj_model_lacks(b->err, NJ_EDATA, "%s: a leaf's value is not finite", node->op);
        one_target &= w->target[i] == w->target[0];
        f->all_positive &= w->value[i] >= 0;
    }
    if (n == 2 && one_target && !strcmp(node->op, "TreeEnsembleClassifier")) {
        f->binary = 1;
        f->n_sums = 1;
    }
    return 0;
}

/* Where a weight goes: the node's limit (one sum) or a row of leaf[] (more). */
static float *weight_slot(builder *b, float *leaf, uint32_t *n_leaves, uint32_t at, int64_t target)
{
    if (b->forest->n_sums == 1) return &b->node[at].limit;
    uint32_t row;
    memcpy(&row, &b->node[at].limit, 4); /* 0 = none yet: rows count from 1 */
    if (!row) {
        row = ++*n_leaves;
        memcpy(&b->node[at].limit, &row, 4);
    }
    return &leaf[(size_t)row * b->forest->n_sums + (size_t)target];
}

static int put_weights(builder *b, const nj_onnx_node *node, const key *k)
{
    weights w = { 0 };
    if (read_weights(b, node, &w) || count_outputs(b, node, &w)) return -1;
    nj_tree_set *f = b->forest;
    uint32_t n_leaves = 0;
    for (size_t i = 0; i < b->s.n; i++) n_leaves += b->yes[i] == UINT32_MAX;
    if (n_leaves >= 1u << 23) return nj_model_fail(b->err, "%s: %u leaves are too many", node->op, n_leaves);
    float *leaf =
        f->n_sums > 1 ? nj_pool_alloc(b->pool, (size_t)n_leaves + 1, sizeof *leaf * f->n_sums) : NULL;
    uint8_t *seen = nj_pool_alloc(&b->scratch, (size_t)b->s.n, f->n_sums);
    if ((f->n_sums > 1 && !leaf) || !seen) return nj_model_fail(b->err, "out of memory");
    n_leaves = 0;
    size_t last = 0; /* weights come in the order of the nodes, mostly */
    for (size_t i = 0; i < w.n; i++) {
        uint32_t s = find_node(b, k, w.tree[i], w.id[i], last + (size_t)w.id[i] - (size_t)b->s.id[last]);
        if (s == UINT32_MAX || b->yes[s] != UINT32_MAX)
            return nj_model_lacks(b->err, NJ_EDATA,
                                  "%s: a weight for node %lld of tree %lld, which is no leaf", node->op,
                                  (long long)w.id[i], (long long)w.tree[i]);
        last = s;
        int64_t target = f->n_sums == 1 ? 0 : w.target[i];
        if (seen[(size_t)s * f->n_sums + (size_t)target]++)
            return nj_model_lacks(b->err, NJ_EDATA, "%s: two weights for one leaf and output (tree %lld)",
                                  node->op, (long long)w.tree[i]);
        *weight_slot(b, leaf, &n_leaves, b->place[s], target) = w.value[i];
    }
    f->leaf = leaf;
    return 0;
}

static int read_options(builder *b, const nj_onnx_node *node)
{
    nj_tree_set *f = b->forest;
    if (nj_onnx_is(node, "post_transform", "LOGISTIC", "NONE"))
        f->post = NJ_TREE_LOGISTIC;
    else if (nj_onnx_is(node, "post_transform", "SOFTMAX", "NONE"))
        f->post = NJ_TREE_SOFTMAX;
    else if (!nj_onnx_is(node, "post_transform", "NONE", "NONE"))
        return nj_model_fail(b->err, "%s: this post_transform is not supported", node->op);
    if (!nj_onnx_is(node, "aggregate_function", "SUM", "SUM"))
        return nj_model_fail(b->err, "%s: only aggregate_function SUM is supported", node->op);
    const nj_onnx_attribute *base = nj_onnx_find(node, "base_values");
    if (!base || !base->n_floats) return 0;
    if (base->n_floats != f->n_sums)
        return nj_model_lacks(b->err, NJ_EDATA, "%s: %zu base_values for %u sums", node->op, base->n_floats,
                              f->n_sums);
    float *copy = nj_pool_alloc(b->pool, f->n_sums, sizeof *copy);
    if (!copy) return nj_model_fail(b->err, "out of memory");
    f->base = memcpy(copy, base->floats, f->n_sums * sizeof *copy);
    return 0;
}

static int count_features(builder *b)
{
    int64_t most = 0;
    for (size_t i = 0; i < b->s.n; i++)
        if (b->yes[i] != UINT32_MAX && b->s.feature[i] > most) most = b->s.feature[i];
    if (!b->n_features) b->n_features = (uint32_t)most + 1;
    b->forest->n_features = b->n_features;
    return 0;
}

static int build(builder *b, const nj_onnx_node *node)
{
    const size_t n = b->s.n;
    b->yes = nj_pool_alloc(&b->scratch, n, sizeof *b->yes);
    b->no = nj_pool_alloc(&b->scratch, n, sizeof *b->no);
    b->place = nj_pool_alloc(&b->scratch, n, sizeof *b->place);
    b->has_parent = nj_pool_alloc(&b->scratch, n, 1);
    b->mode = nj_pool_alloc(&b->scratch, n, 1);
    b->node = nj_pool_alloc(b->pool, n + NJ_TREE_TOP, sizeof *b->node); /* the lanes read the first
                                                                         * NJ_TREE_TOP of any tree */
    if (!b->yes || !b->no || !b->place || !b->has_parent || !b->mode || !b->node)
        return nj_model_fail(b->err, "out of memory");
    key *k;
    if (sorted_keys(b, &k) || read_modes(b)) return -1;
    for (size_t i = 0; i < n && !b->nan_first; i++)
        if (((b->s.nan && b->s.nan[i]) || is_turned(b->mode[i])) &&
            !(b->nan_first = nj_pool_alloc(b->pool, n, 1)))
            return nj_model_fail(b->err, "out of memory");
    if (link_children(b, k) || count_features(b) || lay_trees(b) || order_by_depth(b)) return -1;
    return put_weights(b, node, k) || read_options(b, node) ? -1 : 0;
}

int nj_forest_build(nj_tree_set *forest, const nj_onnx_node *node, uint32_t n_features, nj_pool *pool,
                    nj_model_error *err)
{
    builder b = { .forest = forest,
                  .pool = pool,
                  .scratch = { .limit = pool->limit },
                  .err = err,
                  .n_features = n_features };
    *forest = (nj_tree_set){ 0 };
    if (n_features > NJ_TREE_MAX_FEATURES)
        return nj_model_fail(err, "%s: %u features; %d are possible", node->op, n_features,
                             NJ_TREE_MAX_FEATURES);
    int rc = read_source(&b, node) || build(&b, node) ? -1 : 0;
    nj_pool_free(&b.scratch);
    return rc;
}
