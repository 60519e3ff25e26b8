/* trees.c - the engine for forests behind the model service. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "tree_lanes.h"

typedef struct trees {
    nj_tree_set forest;
    nj_tree_sum sum;
} trees;

static void *thread_open(const nj_model *model, uint32_t max_rows, uint32_t max_steps)
{
    (void)max_rows;
    (void)max_steps;
    const trees *t = model->self;
    return aligned_alloc(64, nj_forest_work_bytes(&t->forest));
}

static int predict(const nj_model *model, void *thread, const nj_model_call *call)
{
    const trees *t = model->self;
    (call->reference ? nj_forest_predict_plain : nj_forest_predict)(&t->forest, t->sum, call->input[0],
                                                                    call->n_rows, call->out, thread);
    return NJ_OK;
}

static const nj_model_engine engine = {
    .name = "trees", .thread_open = thread_open, .thread_close = free, .predict = predict
};

/* --- where in the graph the forest is --- */

static const nj_onnx_node *maker_of(const nj_onnx *onnx, const char *value)
{
    for (uint32_t i = 0; i < onnx->n_nodes; i++)
        for (uint32_t k = 0; k < onnx->node[i].n_outputs; k++)
            if (*value && !strcmp(onnx->node[i].output[k], value)) return &onnx->node[i];
    return NULL;
}

/* Does the node hand scores on as they are? ZipMap names them by class in the order of the classes; a cast to
 * a float does not change a float. */
static int hands_on(const nj_onnx_node *node)
{
    int64_t to = nj_onnx_int(node, "to", 0);
    return node->n_inputs == 1 &&
           (!strcmp(node->op, "Identity") || !strcmp(node->op, "ZipMap") ||
            (!strcmp(node->op, "Cast") && (to == NJ_ONNX_FLOAT || to == NJ_ONNX_DOUBLE)));
}

/* Back from a value to what it is a copy of. Bounded: a graph that runs in a circle ends, too. */
static const char *origin(const nj_onnx *onnx, const char *value)
{
    for (uint32_t i = 0; i < onnx->n_nodes; i++) {
        const nj_onnx_node *node = maker_of(onnx, value);
        if (!node || !hands_on(node)) break;
        value = node->input[0];
    }
    return value;
}

static int is_forest(const nj_onnx_node *node)
{
    return node && !strcmp(node->domain, "ai.onnx.ml") &&
           (!strcmp(node->op, "TreeEnsembleRegressor") || !strcmp(node->op, "TreeEnsembleClassifier"));
}

/* "Scaler, TreeEnsembleClassifier, Mul": each operator once. */
static const char *operators(const nj_onnx *onnx, char text[240])
{
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < onnx->n_nodes && n < 200; i++) {
        uint32_t before = 0;
        while (before < i && strcmp(onnx->node[before].op, onnx->node[i].op)) before++;
        if (before == i) n += (size_t)snprintf(text + n, 240 - n, "%s%.60s", n ? ", " : "", onnx->node[i].op);
    }
    return text;
}

/* The forest whose scores, as they are, are the model's output, and whose input, as it is, is the model's.
 * Nodes for other outputs (a classifier's label) do not matter. NULL with err. */
static const nj_onnx_node *find_forest(const nj_model *model, nj_model_error *err)
{
    const nj_onnx *onnx = &model->onnx;
    const nj_model_info *info = &model->info;
    const char *scores = origin(onnx, info->output[0].name);
    const nj_onnx_node *node = maker_of(onnx, scores);
    char list[240];
    if (!is_forest(node)) {
        nj_model_fail(err,
                      "%s: output '%.60s' comes from %.40s, not from a forest alone; its operators are %s "
                      "(around a forest ZipMap, Identity and Cast to a float are skipped)",
                      info->folder, info->output[0].name, node ? node->op : "no node", operators(onnx, list));
        return NULL;
    }
    uint32_t which = !strcmp(node->op, "TreeEnsembleClassifier"); /* a classifier's first output is
                                                                   * the label */
    if (info->n_outputs != 1 || node->n_outputs <= which || strcmp(node->output[which], scores)) {
        nj_model_fail(err, "%s: the manifest's only output must be the scores of %s", info->folder, node->op);
        return NULL;
    }
    if (info->n_inputs != 1 || info->input[0].rank != 2 || info->input[0].has_steps ||
        info->input[0].type != NJ_F32) {
        nj_model_fail(err, "%s: a forest needs one float32 input [N, features]", info->folder);
        return NULL;
    }
    if (node->n_inputs != 1 || strcmp(origin(onnx, node->input[0]), info->input[0].name)) {
        nj_model_fail(err, "%s: the forest's input is not the model's as it is; its operators are %s",
                      info->folder, operators(onnx, list));
        return NULL;
    }
    return node;
}

int nj_engine_trees(nj_model *model, const nj_model_options *options, nj_model_error *err)
{
    const nj_model_info *info = &model->info;
    const nj_onnx_node *node = find_forest(model, err);
    if (!node) return -1;
    trees *t = nj_pool_alloc(&model->pool, 1, sizeof *t);
    nj_model_error why;
    if (!t) return nj_model_fail(err, "out of memory");
    t->sum = options && options->sum && !strcmp(options->sum, "float") ? NJ_TREE_FLOAT : NJ_TREE_DOUBLE;
    if (nj_forest_build(&t->forest, node, info->input[0].row_elements, &model->pool, &why))
        return nj_model_lacks(err, why.status, "%s: %.400s", info->folder, why.text);
    t->forest.lanes = (uint32_t)nj_tree_lanes_usable();
    if (t->forest.n_outputs != info->width)
        return nj_model_fail(err, "%s: the forest has %u outputs, the manifest %u", info->folder,
                             t->forest.n_outputs, info->width);
    nj_pool_free(&model->file); /* the forest has all of it that counts, in a tenth of the room */
    model->onnx = (nj_onnx){ 0 };
    model->self = t;
    model->engine = &engine;
    model->info.engine = engine.name;
    model->info.device = "cpu";
    model->info.rows_best = NJ_TREE_BLOCK;
    return 0;
}
