/* plan.c - walking a schema for every packet is slow, so it is compiled once to a flat list of read and skip
 * steps. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

enum { MAX_STEPS = 200000 };

static int compile(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step);

static nj_op *emit(nj_compiler *c, nj_code code)
{
    nj_plan *p = c->plan;
    if (nj_compiler_grow(c, &p->op, p->n_ops, &c->cap_ops, sizeof *p->op)) return NULL;
    if (nj_compiler_grow(c, &p->where, c->n_where, &c->cap_where, sizeof *p->where)) return NULL;
    const char *name = nj_arena_text(&p->arena, c->trail, strlen(c->trail));
    if (!name) return nj_fail(c->err, "out of memory"), NULL;
    p->where[c->n_where] = name;
    nj_op *op = &p->op[p->n_ops++];
    *op = (nj_op){ .code = (uint8_t)code, .tag = NJ_NO_TAG, .where = c->n_where++ };
    return op;
}

/* A skip step; joins the one before it when that is of the same sort. */
static int emit_skip(nj_compiler *c, nj_code code, uint8_t tag, uint32_t bytes)
{
    nj_plan *p = c->plan;
    nj_op *last = p->n_ops > c->straight ? &p->op[p->n_ops - 1] : NULL;
    if (last && last->code == code && last->tag == tag && last->n < UINT16_MAX) {
        if (code == NJ_OP_FIXED && last->a < 1u << 30) {
            last->a += bytes;
            return 0;
        }
        if (code != NJ_OP_FIXED && last->a == bytes) {
            last->n++;
            nj_op *op = emit(c, code); /* for its name; the step itself is dropped */
            if (!op) return -1;
            p->n_ops--;
            return 0;
        }
    }
    nj_op *op = emit(c, code);
    if (!op) return -1;
    op->tag = tag;
    op->a = bytes;
    op->n = 1;
    return 0;
}

static int skip_leaf(nj_compiler *c, const nj_node *node, uint8_t tag)
{
    bool opt = tag != NJ_NO_TAG;
    switch (node->kind) {
    case NJ_K_NULL: return 0;
    case NJ_K_BOOLEAN: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 1);
    case NJ_K_FLOAT: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 4);
    case NJ_K_DOUBLE: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 8);
    case NJ_K_FIXED:
        return node->size ? emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, node->size) : 0;
    case NJ_K_INT:
    case NJ_K_LONG:
    case NJ_K_ENUM: return emit_skip(c, opt ? NJ_OP_OPT_VARINT : NJ_OP_VARINT, tag, 0);
    default: return emit_skip(c, opt ? NJ_OP_OPT_STRING : NJ_OP_STRING, tag, 0);
    }
}

static int read_leaf(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint8_t tag)
{
    nj_plan *p = c->plan;
    const nj_node *node = &c->tree->node[at];
    nj_op *op = emit(c, NJ_OP_READ);
    if (!op) return -1;
    op->tag = tag;
    op->wire = (uint8_t)node->kind;
    op->n = (uint16_t)n;
    op->a = p->n_targets;
    op->size = node->kind == NJ_K_ENUM ? at : node->size;
    for (uint32_t i = 0; i < n; i++) {
        if (nj_compiler_grow(c, &p->target, p->n_targets, &c->cap_targets, sizeof *p->target)) return -1;
        p->target[p->n_targets++] = c->want[set[i]].target;
    }
    const nj_target *t = &p->target[op->a];
    if (n > 1 || !t->plain || t->at > UINT8_MAX) return 0;
    op->at = (uint8_t)t->at;
    if (node->kind == NJ_K_FLOAT && t->type == NJ_F32) op->code = NJ_OP_FLOAT_F32;
    if (node->kind == NJ_K_FLOAT && t->type == NJ_F64) op->code = NJ_OP_FLOAT_F64;
    if (node->kind == NJ_K_DOUBLE && t->type == NJ_F64) op->code = NJ_OP_DOUBLE_F64;
    return 0;
}

static bool is_leaf(const nj_node *node)
{
    return node->kind < NJ_K_RECORD;
}

/* The wanted leaves that lie behind one child: *sub is NULL with *n = 0 when there are none. -1 with err. */
static int narrow(nj_compiler *c, const uint32_t *set, uint32_t n, uint32_t step, uint32_t child,
                  uint32_t **sub, uint32_t *n_out)
{
    uint32_t *out = NULL;
    *sub = NULL;
    *n_out = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nj_path *path = &c->want[set[i]].path;
        if (path->n <= step || path->step[step] != child) continue;
        if (!out && !(out = nj_arena_alloc(&c->scratch, n * sizeof *out)))
            return nj_fail(c->err, "out of memory");
        out[(*n_out)++] = set[i];
    }
    *sub = out;
    return 0;
}

static int compile_record(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    size_t trail = strlen(c->trail);
    for (uint32_t i = 0; i < node.n; i++) {
        const nj_child *field = &c->tree->child[node.first + i];
        uint32_t n_sub, *sub;
        if (narrow(c, set, n, step, i, &sub, &n_sub)) return -1;
        snprintf(c->trail + trail, sizeof c->trail - trail, "%s%s", trail ? "." : "", field->name);
        int rc = compile(c, field->node, sub, n_sub, step + 1);
        c->trail[trail] = 0;
        if (rc) return -1;
    }
    return 0;
}

static int add_jump(nj_compiler *c, uint32_t to)
{
    if (nj_compiler_grow(c, &c->plan->jump, c->n_jumps, &c->cap_jumps, sizeof *c->plan->jump)) return -1;
    c->plan->jump[c->n_jumps++] = to;
    return 0;
}

static int compile_union(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    const nj_child *branch = &c->tree->child[node.first];
    if (node.n == 2) { /* null and a leaf: one step */
        uint32_t other = c->tree->node[branch[0].node].kind == NJ_K_NULL;
        const nj_node *leaf = &c->tree->node[branch[other].node];
        if (c->tree->node[branch[!other].node].kind == NJ_K_NULL && is_leaf(leaf) &&
            leaf->kind != NJ_K_NULL && !(leaf->kind == NJ_K_FIXED && leaf->size == 0))
            return n ? read_leaf(c, branch[other].node, set, n, (uint8_t)(2 * other))
                     : skip_leaf(c, leaf, (uint8_t)(2 * other));
    }
    nj_op *op = emit(c, NJ_OP_UNION);
    if (!op) return -1;
    uint32_t self = c->plan->n_ops - 1, first = c->n_jumps;
    op->n = (uint16_t)node.n;
    op->a = first;
    for (uint32_t i = 0; i < node.n; i++)
        if (add_jump(c, 0)) return -1;
    for (uint32_t i = 0; i < node.n; i++) {
        uint32_t n_sub, *sub;
        if (narrow(c, set, n, step, i, &sub, &n_sub)) return -1;
        c->plan->jump[first + i] = c->straight = c->plan->n_ops;
        if (compile(c, branch[i].node, sub, n_sub, step + 1) || !emit(c, NJ_OP_END)) return -1;
    }
    c->plan->op[self].b = c->straight = c->plan->n_ops;
    return 0;
}

/* Groups that take elements from this array, each once, as pairs (group, part). */
static int note_groups(nj_compiler *c, uint32_t self, const uint32_t *set, uint32_t n)
{
    nj_plan *p = c->plan;
    p->op[self].a = c->n_array_groups / 2;
    p->op[self].n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nj_want_leaf *w = &c->want[set[i]];
        bool known = false;
        for (uint32_t k = 2 * p->op[self].a; k < c->n_array_groups; k += 2)
            known |= p->array_group[k] == w->group;
        if (known) continue;
        for (int k = 0; k < 2; k++) {
            if (nj_compiler_grow(c, &p->array_group, c->n_array_groups, &c->cap_array_groups,
                                 sizeof *p->array_group))
                return -1;
            p->array_group[c->n_array_groups++] = k ? w->part : w->group;
        }
        p->op[self].n++;
    }
    return 0;
}

/* The values of a map: one body for keys that are skipped, one for each key that is read. */
static int compile_values(nj_compiler *c, uint32_t self, uint32_t value, const uint32_t *set, uint32_t n,
                          uint32_t step)
{
    nj_plan *p = c->plan;
    uint32_t first = c->n_map_keys;
    if (compile(c, value, NULL, 0, step + 1) || !emit(c, NJ_OP_END)) return -1;
    for (uint32_t i = 0; i < n; i++) {
        const nj_path *path = &c->want[set[i]].path;
        uint32_t k = first;
        while (k < c->n_map_keys &&
               (p->map_key[k].size != path->key_size || memcmp(p->map_key[k].key, path->key, path->key_size)))
            k++;
        if (k < c->n_map_keys) continue; /* with an earlier one */
        uint32_t *same = nj_arena_alloc(&c->scratch, n * sizeof *same), n_same = 0;
        if (!same) return nj_fail(c->err, "out of memory");
        if (nj_compiler_grow(c, &p->map_key, c->n_map_keys, &c->cap_map_keys, sizeof *p->map_key)) return -1;
        for (uint32_t m = i; m < n; m++) {
            const nj_path *other = &c->want[set[m]].path;
            if (other->key_size == path->key_size && !memcmp(other->key, path->key, path->key_size))
                same[n_same++] = set[m];
        }
        c->straight = p->n_ops;
        p->map_key[c->n_map_keys++] = (nj_map_key){ path->key, path->key_size, p->n_ops };
        if (compile(c, value, same, n_same, step + 1) || !emit(c, NJ_OP_END)) return -1;
    }
    p->op[self].a = first;
    p->op[self].n = (uint16_t)(c->n_map_keys - first);
    return 0;
}

static int compile_items(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    size_t trail = strlen(c->trail);
    nj_op *op = emit(c, node.kind == NJ_K_ARRAY ? NJ_OP_ARRAY : NJ_OP_MAP);
    if (!op) return -1;
    uint32_t self = c->plan->n_ops - 1, n_sub, *sub, first_target = c->plan->n_targets;
    if (narrow(c, set, n, step, 0, &sub, &n_sub)) return -1;
    op->n = 0;
    if (node.kind == NJ_K_ARRAY && note_groups(c, self, sub, n_sub)) return -1;
    snprintf(c->trail + trail, sizeof c->trail - trail, "[]");
    c->straight = c->plan->n_ops;
    uint32_t item = c->tree->child[node.first].node;
    if (node.kind == NJ_K_MAP ? compile_values(c, self, item, sub, n_sub, step)
                              : compile(c, item, sub, n_sub, step + 1) || !emit(c, NJ_OP_END))
        return -1;
    c->trail[trail] = 0;
    op = &c->plan->op[self];
    op->b = c->straight = c->plan->n_ops;
    op->size0 = first_target;
    op->size = c->plan->n_targets;
    op->tag = 0;
    for (uint32_t k = self + 1; k < op->b && n_sub; k++) {
        const nj_op *inner = &c->plan->op[k];
        op->tag |= inner->code == NJ_OP_UNION || (inner->code == NJ_OP_MAP && inner->n);
    }
    return 0;
}

static int call_body(nj_compiler *c, uint32_t at)
{
    nj_op *op = emit(c, NJ_OP_CALL);
    if (!op) return -1;
    op->a = at; /* the node for now; the body's start when all is compiled */
    c->straight = c->plan->n_ops;
    for (uint32_t i = 0; i < c->n_called; i++)
        if (c->called[i] == at) return 0;
    if (nj_compiler_grow(c, &c->called, c->n_called, &c->cap_called, sizeof *c->called)) return -1;
    c->called[c->n_called++] = at;
    return 0;
}

static int compile(nj_compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node *node = &c->tree->node[at];
    if (++c->n_steps > MAX_STEPS)
        return nj_fail(c->err, "the schema expands to more than %d fields", MAX_STEPS);
    if (is_leaf(node))
        return n && node->kind != NJ_K_NULL ? read_leaf(c, at, set, n, NJ_NO_TAG)
                                            : skip_leaf(c, node, NJ_NO_TAG);
    if (node->kind == NJ_K_UNION) return compile_union(c, at, set, n, step);
    if (c->open[at] && n == 0) return call_body(c, at);
    if (c->nesting == c->args->max_depth) return emit(c, NJ_OP_TOO_DEEP) ? 0 : -1;
    uint8_t was_open = c->open[at];
    c->open[at] = 1;
    c->nesting++;
    int rc =
        node->kind == NJ_K_RECORD ? compile_record(c, at, set, n, step) : compile_items(c, at, set, n, step);
    c->nesting--;
    c->open[at] = was_open;
    return rc;
}

static int compile_all(nj_compiler *c)
{
    nj_plan *p = c->plan;
    uint32_t *set = nj_arena_alloc(&c->scratch, (c->n_wants + 1) * sizeof *set);
    c->body = calloc(c->tree->n_nodes, sizeof *c->body);
    c->open = calloc(c->tree->n_nodes, 1);
    if (!set || !c->body || !c->open) return nj_fail(c->err, "out of memory");
    for (uint32_t i = 0; i < c->n_wants; i++) set[i] = i;
    if (compile(c, c->tree->root, set, c->n_wants, 0) || !emit(c, NJ_OP_END)) return -1;
    for (uint32_t i = 0; i < c->n_called; i++) { /* grows while bodies call further ones */
        uint32_t at = c->called[i];
        c->body[at] = c->straight = p->n_ops;
        snprintf(c->trail, sizeof c->trail, "(%.200s)",
                 c->tree->node[at].name ? c->tree->node[at].name : "recursive type");
        if (compile(c, at, NULL, 0, 0) || !emit(c, NJ_OP_END)) return -1;
        c->trail[0] = 0;
    }
    for (uint32_t i = 0; i < p->n_ops; i++)
        if (p->op[i].code == NJ_OP_CALL) p->op[i].a = c->body[p->op[i].a];
    return 0;
}

/* Targets that a record may leave untouched although the batch did not preset them. */
static int list_presets(nj_compiler *c)
{
    nj_plan *p = c->plan;
    p->preset = nj_arena_alloc(&p->arena, (p->n_targets + 1) * sizeof *p->preset);
    if (!p->preset) return nj_fail(c->err, "out of memory");
    for (uint32_t i = 0; i < p->n_targets; i++) {
        const nj_target *t = &p->target[i];
        bool asks = t->change && t->change->asks;
        if (!t->stamp && (t->at == NJ_AT_SLOT || (t->at == NJ_AT_ROW && asks))) p->preset[p->n_preset++] = i;
    }
    return 0;
}

/* Do the arrays of a group stand in the packet in the map's order,
 * with the single elements last in the map? */
static void check_order(nj_plan *p)
{
    for (uint32_t g = 0; g < p->n_groups; g++) {
        nj_plan_group *group = &p->group[g];
        uint32_t last_part = 0, single = 0;
        group->in_order = true;
        for (uint32_t part = 0; part < group->n_parts; part++) {
            if (group->array[part] && single) group->in_order = false;
            single += !group->array[part];
        }
        for (uint32_t i = 0; i < p->n_ops; i++) {
            const nj_op *op = &p->op[i];
            if (op->code != NJ_OP_ARRAY) continue;
            for (uint32_t k = 0; k < op->n; k++) {
                if (p->array_group[2 * (op->a + k)] != g) continue;
                uint32_t part = p->array_group[2 * (op->a + k) + 1];
                if (part < last_part) group->in_order = false;
                last_part = part;
            }
        }
    }
}

nj_plan *nj_plan_new(const nj_plan_args *args, nj_error *err)
{
    nj_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        nj_fail(err, "out of memory");
        return NULL;
    }
    plan->tree = args->tree;
    plan->layout = args->layout;
    nj_compiler c = { .args = args, .tree = args->tree, .plan = plan, .err = err };
    int rc = nj_compiler_collect(&c);
    if (rc == 0) rc = compile_all(&c);
    if (rc == 0) rc = list_presets(&c);
    if (rc == 0) check_order(plan);
    free(c.want);
    free(c.body);
    free(c.open);
    free(c.called);
    nj_arena_free(&c.scratch);
    if (rc == 0) return plan;
    nj_plan_free(plan);
    return NULL;
}

void nj_plan_free(nj_plan *plan)
{
    if (!plan) return;
    nj_arena_free(&plan->arena);
    free(plan->op);
    free(plan->jump);
    free(plan->array_group);
    free(plan->map_key);
    free(plan->target);
    free(plan->slot_type);
    free(plan->where);
    free(plan);
}
