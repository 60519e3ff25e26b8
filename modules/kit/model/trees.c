/* The engine for forests behind the model service. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "tree_lanes.h"

typedef struct trees {
    nj_forest forest;
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
    (call->reference ? nj_forest_predict_plain : nj_forest_predict)(&t->forest, t->sum, call->input[0], call->n_rows, call->out,
                                                                    thread);
    return NJ_OK;
}

static const nj_engine engine = { .name = "trees", .thread_open = thread_open, .thread_close = free, .predict = predict };

/* Which output of the node is the scores? The classifier's first output is a label, of no use here. */
static int check_outputs(const nj_model *model, const nj_onnx_node *node, const nj_forest *f, nj_model_error *err)
{
    uint32_t scores = !strcmp(node->op, "TreeEnsembleClassifier");
    const nj_model_info *info = &model->info;
    if (node->n_outputs <= scores || info->n_outputs != 1 || strcmp(node->output[scores], info->output[0].name))
        return nj_model_fail(err, "%s: the manifest's only output must be the scores of %s", info->folder, node->op);
    if (f->n_outputs != info->width)
        return nj_model_fail(err, "%s: the forest has %u outputs, the manifest %u", info->folder, f->n_outputs, info->width);
    return 0;
}

int nj_engine_trees(nj_model *model, const nj_model_options *options, nj_model_error *err)
{
    const nj_onnx_node *node = model->onnx.node;
    const nj_model_info *info = &model->info;
    if (model->onnx.n_nodes != 1 || strcmp(node->domain, "ai.onnx.ml") ||
        (strcmp(node->op, "TreeEnsembleRegressor") && strcmp(node->op, "TreeEnsembleClassifier")))
        return nj_model_fail(err, "%s: no forest", info->folder);
    if (info->n_inputs != 1 || info->input[0].rank != 2 || info->input[0].has_steps || info->input[0].type != NJ_F32 ||
        node->n_inputs != 1 || strcmp(node->input[0], info->input[0].name))
        return nj_model_fail(err, "%s: a forest needs one float32 input [N, features]", info->folder);
    trees *t = nj_pool_alloc(&model->pool, 1, sizeof *t);
    nj_model_error why;
    if (!t) return nj_model_fail(err, "out of memory");
    t->sum = options && options->sum && !strcmp(options->sum, "float") ? NJ_TREE_FLOAT : NJ_TREE_DOUBLE;
    if (nj_forest_build(&t->forest, node, info->input[0].row_elements, &model->pool, &why))
        return nj_model_fail(err, "%s: %.400s", info->folder, why.text);
    t->forest.lanes = (uint32_t)nj_tree_lanes_usable();
    if (check_outputs(model, node, &t->forest, err)) return -1;
    model->self = t;
    model->engine = &engine;
    model->info.engine = engine.name;
    model->info.device = "cpu";
    model->info.rows_best = NJ_TREE_BLOCK;
    return 0;
}
