#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 200000, MAX_COLUMNS = 4096 };

/* A leaf of the schema that somebody wants. */
typedef struct want {
    nj_path path;
    nj_target target;
    uint16_t group, part; /* of a series in an array */
} want;

typedef struct compiler {
    const nj_plan_args *args;
    const nj_tree *tree;
    nj_plan *plan;
    nj_error *err;
    nj_arena scratch;
    want *want;
    uint32_t n_wants, cap_wants;
    uint32_t cap_ops, n_jumps, cap_jumps, n_array_groups, cap_array_groups, n_where, cap_where, cap_targets, cap_slots;
    uint32_t straight; /* first op of the current straight run: older ones must not grow */
    uint32_t *body;    /* [n_nodes] start of a recursive type's body, or 0 */
    uint8_t *open;     /* [n_nodes] being compiled */
    uint32_t *called;  /* nodes whose bodies are still to be compiled */
    uint32_t n_called, cap_called;
    uint32_t nesting; /* records, arrays and maps around the current node */
    uint32_t n_steps; /* nodes visited: a few lines of schema can expand to billions of fields */
    char trail[512];  /* path of the current node */
} compiler;

/* Makes room for one more item of an array that realloc owns. */
static int grow(compiler *c, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return 0;
    uint32_t more = *cap ? 2 * *cap : 64;
    void **p = array, *bigger = realloc(*p, more * size);
    if (!bigger) return nj_fail(c->err, "out of memory");
    *p = bigger;
    *cap = more;
    return 0;
}

/* --- what is wanted ------------------------------------------------------------------------------------------ */

int nj_plan_leaf(const nj_tree *tree, const char *path, bool words, nj_path *found)
{
    if (nj_tree_find(tree, path, found)) return -1;
    switch (tree->node[found->node].kind) {
    case NJ_K_BOOLEAN:
    case NJ_K_INT:
    case NJ_K_LONG:
    case NJ_K_FLOAT:
    case NJ_K_DOUBLE: return NJ_F64;
    case NJ_K_STRING:
    case NJ_K_ENUM: return words ? NJ_F64 : NJ_STR;
    default: return -1;
    }
}

/* Can a leaf become a column of this type? */
static int leaf_for(const nj_tree *tree, const char *path, nj_type type, const nj_change *change, nj_path *found)
{
    int kind = nj_plan_leaf(tree, path, change && (change->n_words || change->asks || change->hash), found);
    return kind < 0 || (kind == NJ_STR && type != NJ_STR) ? -1 : 0;
}

static int add_one(compiler *c, const nj_path *path, const nj_target *target, uint32_t group, uint32_t part)
{
    if (grow(c, &c->want, c->n_wants, &c->cap_wants, sizeof *c->want)) return -1;
    c->want[c->n_wants++] = (want){ *path, *target, (uint16_t)group, (uint16_t)part };
    return 0;
}

static int add_want(compiler *c, const nj_path *path, const nj_target *target, uint32_t group, uint32_t part)
{
    const nj_tree *tree = c->tree;
    uint32_t at = tree->root;
    if (add_one(c, path, target, group, part)) return -1;
    for (uint32_t i = 0; i + 1 < path->n; i++) at = tree->child[tree->node[at].first + path->step[i]].node;
    const nj_node *last = &tree->node[at];
    if (path->n == 0 || last->kind != NJ_K_UNION || target->stamp) return 0;
    for (uint32_t i = 0; i < last->n; i++) { /* a union of several numbers or texts: whichever comes */
        nj_kind kind = tree->node[tree->child[last->first + i].node].kind;
        if (i == path->step[path->n - 1] || kind == NJ_K_NULL || kind == NJ_K_BYTES || kind >= NJ_K_FIXED) continue;
        nj_path other = *path;
        other.step[path->n - 1] = (uint16_t)i;
        if (add_one(c, &other, target, group, part)) return -1;
    }
    return 0;
}

static uint32_t new_slot(compiler *c, nj_type type)
{
    nj_plan *p = c->plan;
    if (grow(c, &p->slot_type, p->n_slots, &c->cap_slots, 1)) return NJ_NO_SLOT;
    p->slot_type[p->n_slots] = (uint8_t)type;
    return p->n_slots++;
}

static nj_target make_target(nj_type type, double scale, const nj_change *change)
{
    nj_target t = { .type = (uint8_t)type, .size = (uint8_t)nj_type_size(type), .scale = scale };
    if (change) {
        t.scale = scale * change->scale;
        t.offset = scale * change->offset;
        if (change->has_null || change->n_words || change->asks || change->hash) t.change = change;
    }
    t.plain = !t.change && t.scale == 1 && t.offset == 0;
    return t;
}

static void set_absent(compiler *c, uint32_t column)
{
    if (column < c->args->layout->n_packet) c->plan->absent[column / 64] |= (uint64_t)1 << column % 64;
}

static int add_constant(compiler *c, uint32_t column, nj_type type, const nj_map_column *m)
{
    char *end;
    double number = strtod(m->constant, &end);
    c->plan->constant[c->plan->n_constants++] =
        (nj_constant){ column, (uint8_t)type, m->constant, *end || end == m->constant ? NJ_NO_F64 : number };
    return 0;
}

/* A scalar from the alternatives that this schema has. */
static int want_scalar(compiler *c, uint32_t column, nj_type type, double scale, const nj_choice *choice, const nj_change *change)
{
    nj_path path[NJ_MAP_ALTERNATIVES];
    const char *prefix[NJ_MAP_ALTERNATIVES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < choice->n; i++) {
        if (leaf_for(c->tree, choice->alternative[i].path, type, change, &path[n]) || path[n].array) continue;
        prefix[n++] = choice->alternative[i].prefix;
    }
    if (n == 0) {
        set_absent(c, column);
        return 0;
    }
    nj_target t = make_target(type, scale, change);
    t.at = n == 1 ? NJ_AT_ROW : NJ_AT_SLOT;
    t.column = column;
    if (n > 1) c->plan->pick[c->plan->n_picks++] = (nj_pick){ column, c->plan->n_slots, n, (uint8_t)type };
    for (uint32_t i = 0; i < n; i++) {
        t.prefix = prefix[i];
        if (prefix[i]) t.plain = 0;
        if (n > 1 && (t.slot = new_slot(c, type)) == NJ_NO_SLOT) return -1;
        if (add_want(c, &path[i], &t, 0, 0)) return -1;
    }
    return 0;
}

static nj_plan_group *group_of(compiler *c, const char *name, size_t n)
{
    nj_plan *p = c->plan;
    for (uint32_t g = 0; g < p->n_groups; g++)
        if (!strncmp(p->group[g].name, name, n) && !p->group[g].name[n]) return &p->group[g];
    char *copy = nj_arena_text(&p->arena, name, n);
    uint32_t *column = nj_arena_alloc(&p->arena, c->args->layout->n_packet * sizeof *column);
    uint32_t *slot = nj_arena_alloc(&p->arena, c->args->layout->n_packet * NJ_MAP_PARTS * sizeof *slot);
    double *missing = nj_arena_alloc(&p->arena, c->args->layout->n_packet * sizeof *missing);
    if (!copy || !column || !slot || !missing) return NULL;
    nj_plan_group *g = &p->group[p->n_groups++];
    *g = (nj_plan_group){ .name = copy, .column = column, .slot = slot, .missing = missing };
    return g;
}

/* One part of a series column; *slot says where its values come from. */
static int want_part(compiler *c, const nj_plan_group *g, uint32_t part, nj_target t, const char *prefix, const char *path,
                     const nj_change *change, uint32_t *slot)
{
    nj_path found;
    *slot = NJ_NO_SLOT;
    if (leaf_for(c->tree, path, t.type, change, &found) || !found.array != !g->array[part]) return 0;
    t.prefix = prefix;
    if (prefix) t.plain = 0;
    t.at = NJ_AT_SLOT;
    if (g->array[part])
        t.at = (uint16_t)(NJ_AT_GROUP + (g - c->plan->group));
    else if ((t.slot = new_slot(c, t.type)) == NJ_NO_SLOT)
        return -1;
    *slot = g->array[part] ? NJ_IN_ARRAY : t.slot;
    return add_want(c, &found, &t, (uint32_t)(g - c->plan->group), part);
}

static int want_series(compiler *c, uint32_t column, const nj_column_def *def, const nj_map_column *m)
{
    const char *end = m ? strchr(def->path, '.') : strchr(def->path, ']') + 1;
    nj_plan_group *g = group_of(c, def->path, (size_t)(end - def->path));
    if (!g) return nj_fail(c->err, "out of memory");
    const nj_map_group *mg = m ? &c->args->map->group[m->group] : NULL;
    g->n_parts = mg ? mg->n_parts : 1;
    uint32_t k = g->n_columns++;
    g->column[k] = column;
    g->missing[k] = m && m->change.asks && !m->change.asks_sign ? m->change.if_absent : NJ_NO_F64;
    nj_target t = make_target(def->type, def->scale, m ? &m->change : NULL);
    t.column = column;
    bool any = false;
    for (uint32_t part = 0; part < g->n_parts; part++) {
        uint32_t *slot = &g->slot[part * c->args->layout->n_packet + k];
        g->array[part] = !mg || strchr(mg->part[part], '[');
        *slot = NJ_NO_SLOT;
        if (!m) {
            if (want_part(c, g, part, t, NULL, def->path + strlen("packet."), NULL, slot)) return -1;
        } else if (mg && !m->constant) {
            const nj_choice *choice = &m->part[part];
            for (uint32_t i = 0; i < choice->n && *slot == NJ_NO_SLOT; i++) {
                char path[512];
                snprintf(path, sizeof path, "%s.%s", mg->part[part], choice->alternative[i].path);
                if (want_part(c, g, part, t, choice->alternative[i].prefix, path, &m->change, slot)) return -1;
            }
        }
        if (*slot != NJ_NO_SLOT) any = true;
    }
    if (m && m->constant) return add_constant(c, column, def->type, m);
    if (!any) set_absent(c, column);
    return 0;
}

/* A series that this survey cannot give: no elements in any row. */
static int want_nothing(compiler *c, uint32_t column, const nj_column_def *def)
{
    nj_plan_group *g = group_of(c, def->path, strlen(def->path));
    if (!g) return nj_fail(c->err, "out of memory");
    g->missing[g->n_columns] = NJ_NO_F64;
    g->column[g->n_columns++] = column;
    return 0;
}

static int want_column(compiler *c, uint32_t column, const nj_column_def *def)
{
    const nj_map_column *m = nj_map_find(c->args->map, def->path);
    bool raw = !m && !strncmp(def->path, "packet.", 7);
    bool series = m ? m->shape == NJ_SERIES : strchr(def->path, ']') != NULL;
    if ((!m && !raw) || series != (def->shape == NJ_SERIES) || (m && m->shape == NJ_IMAGE)) {
        set_absent(c, column);
        return def->shape == NJ_SERIES ? want_nothing(c, column, def) : 0;
    }
    if (series) return want_series(c, column, def, m);
    if (m && m->constant) return add_constant(c, column, def->type, m);
    nj_choice own = { .alternative = { { NULL, def->path + 7 } }, .n = 1 };
    return want_scalar(c, column, def->type, def->scale, m ? &m->part[0] : &own, m ? &m->change : NULL);
}

static int want_stamps(compiler *c)
{
    for (uint32_t s = 0; s < NJ_STAMPS; s++) {
        const nj_map_column *m = nj_map_find(c->args->map, nj_stamp_name[s]);
        if (!m || !(c->args->layout->stamps & 1u << s)) continue;
        for (uint32_t i = 0; i < m->part[0].n; i++) {
            nj_path path;
            if (nj_tree_find(c->tree, m->part[0].alternative[i].path, &path) || path.array) continue;
            nj_kind kind = c->tree->node[path.node].kind;
            if (kind != NJ_K_BYTES && kind != NJ_K_STRING && kind != NJ_K_FIXED) continue;
            nj_target t = { .type = NJ_U8, .size = sizeof(nj_stamp), .stamp = (uint8_t)(1 + s), .at = NJ_AT_ROW };
            if (add_want(c, &path, &t, 0, 0)) return -1;
            break;
        }
    }
    return 0;
}

static int collect(compiler *c)
{
    const nj_layout *layout = c->args->layout;
    nj_plan *p = c->plan;
    if (layout->n_packet > MAX_COLUMNS) return nj_fail(c->err, "more than %d packet columns are asked for", MAX_COLUMNS);
    size_t n = layout->n_packet + 1;
    p->absent = nj_arena_zalloc(&p->arena, (n + 63) / 64 * 8);
    p->pick = nj_arena_alloc(&p->arena, n * sizeof *p->pick);
    p->constant = nj_arena_alloc(&p->arena, n * sizeof *p->constant);
    p->group = nj_arena_alloc(&p->arena, n * sizeof *p->group);
    if (!p->absent || !p->pick || !p->constant || !p->group) return nj_fail(c->err, "out of memory");
    for (uint32_t k = 0; k < layout->n_packet; k++)
        if (want_column(c, k, &layout->col[k])) return -1;
    const nj_map_column *id = nj_map_find(c->args->map, "candid");
    if (id && !id->constant && want_scalar(c, nj_plan_id_column(layout), NJ_I64, 1, &id->part[0], &id->change)) return -1;
    for (uint32_t g = 0; g < p->n_groups; g++)
        for (uint32_t part = 0; part < p->group[g].n_parts; part++) p->group[g].n_single += !p->group[g].array[part];
    return want_stamps(c);
}

/* --- steps ---------------------------------------------------------------------------------------------------- */

static int compile(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step);

static nj_op *emit(compiler *c, nj_code code)
{
    nj_plan *p = c->plan;
    if (grow(c, &p->op, p->n_ops, &c->cap_ops, sizeof *p->op)) return NULL;
    if (grow(c, &p->where, c->n_where, &c->cap_where, sizeof *p->where)) return NULL;
    const char *name = nj_arena_text(&p->arena, c->trail, strlen(c->trail));
    if (!name) return NULL;
    p->where[c->n_where] = name;
    nj_op *op = &p->op[p->n_ops++];
    *op = (nj_op){ .code = (uint8_t)code, .tag = NJ_NO_TAG, .where = c->n_where++ };
    return op;
}

/* A skip step; joins the one before it when that is of the same sort. */
static int emit_skip(compiler *c, nj_code code, uint8_t tag, uint32_t bytes)
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

static int skip_leaf(compiler *c, const nj_node *node, uint8_t tag)
{
    bool opt = tag != NJ_NO_TAG;
    switch (node->kind) {
    case NJ_K_NULL: return 0;
    case NJ_K_BOOLEAN: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 1);
    case NJ_K_FLOAT: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 4);
    case NJ_K_DOUBLE: return emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, 8);
    case NJ_K_FIXED: return node->size ? emit_skip(c, opt ? NJ_OP_OPT_FIXED : NJ_OP_FIXED, tag, node->size) : 0;
    case NJ_K_INT:
    case NJ_K_LONG:
    case NJ_K_ENUM: return emit_skip(c, opt ? NJ_OP_OPT_VARINT : NJ_OP_VARINT, tag, 0);
    default: return emit_skip(c, opt ? NJ_OP_OPT_STRING : NJ_OP_STRING, tag, 0);
    }
}

static int read_leaf(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint8_t tag)
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
        if (grow(c, &p->target, p->n_targets, &c->cap_targets, sizeof *p->target)) return -1;
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

/* The wanted leaves that lie behind one child. NULL with *n = 0 when there are none. */
static uint32_t *narrow(compiler *c, const uint32_t *set, uint32_t n, uint32_t step, uint32_t child, uint32_t *n_out)
{
    uint32_t *out = NULL;
    *n_out = 0;
    for (uint32_t i = 0; i < n; i++) {
        const nj_path *path = &c->want[set[i]].path;
        if (path->n <= step || path->step[step] != child) continue;
        if (!out && !(out = nj_arena_alloc(&c->scratch, n * sizeof *out))) return NULL;
        out[(*n_out)++] = set[i];
    }
    return out;
}

static int compile_record(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    size_t trail = strlen(c->trail);
    for (uint32_t i = 0; i < node.n; i++) {
        const nj_child *field = &c->tree->child[node.first + i];
        uint32_t n_sub;
        uint32_t *sub = narrow(c, set, n, step, i, &n_sub);
        snprintf(c->trail + trail, sizeof c->trail - trail, "%s%s", trail ? "." : "", field->name);
        int rc = compile(c, field->node, sub, n_sub, step + 1);
        c->trail[trail] = 0;
        if (rc) return -1;
    }
    return 0;
}

static int add_jump(compiler *c, uint32_t to)
{
    if (grow(c, &c->plan->jump, c->n_jumps, &c->cap_jumps, sizeof *c->plan->jump)) return -1;
    c->plan->jump[c->n_jumps++] = to;
    return 0;
}

static int compile_union(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    const nj_child *branch = &c->tree->child[node.first];
    if (node.n == 2) { /* null and a leaf: one step */
        uint32_t other = c->tree->node[branch[0].node].kind == NJ_K_NULL;
        const nj_node *leaf = &c->tree->node[branch[other].node];
        if (c->tree->node[branch[!other].node].kind == NJ_K_NULL && is_leaf(leaf) && leaf->kind != NJ_K_NULL &&
            !(leaf->kind == NJ_K_FIXED && leaf->size == 0))
            return n ? read_leaf(c, branch[other].node, set, n, (uint8_t)(2 * other)) : skip_leaf(c, leaf, (uint8_t)(2 * other));
    }
    nj_op *op = emit(c, NJ_OP_UNION);
    if (!op) return -1;
    uint32_t self = c->plan->n_ops - 1, first = c->n_jumps;
    op->n = (uint16_t)node.n;
    op->a = first;
    for (uint32_t i = 0; i < node.n; i++)
        if (add_jump(c, 0)) return -1;
    for (uint32_t i = 0; i < node.n; i++) {
        uint32_t n_sub;
        uint32_t *sub = narrow(c, set, n, step, i, &n_sub);
        c->plan->jump[first + i] = c->straight = c->plan->n_ops;
        if (compile(c, branch[i].node, sub, n_sub, step + 1) || !emit(c, NJ_OP_END)) return -1;
    }
    c->plan->op[self].b = c->straight = c->plan->n_ops;
    return 0;
}

/* Groups that take elements from this array, each once, as pairs (group, part). */
static int note_groups(compiler *c, uint32_t self, const uint32_t *set, uint32_t n)
{
    nj_plan *p = c->plan;
    p->op[self].a = c->n_array_groups / 2;
    p->op[self].n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const want *w = &c->want[set[i]];
        bool known = false;
        for (uint32_t k = 2 * p->op[self].a; k < c->n_array_groups; k += 2) known |= p->array_group[k] == w->group;
        if (known) continue;
        for (int k = 0; k < 2; k++) {
            if (grow(c, &p->array_group, c->n_array_groups, &c->cap_array_groups, sizeof *p->array_group)) return -1;
            p->array_group[c->n_array_groups++] = k ? w->part : w->group;
        }
        p->op[self].n++;
    }
    return 0;
}

static int compile_items(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node node = c->tree->node[at];
    size_t trail = strlen(c->trail);
    nj_op *op = emit(c, node.kind == NJ_K_ARRAY ? NJ_OP_ARRAY : NJ_OP_MAP);
    if (!op) return -1;
    uint32_t self = c->plan->n_ops - 1, n_sub, first_target = c->plan->n_targets;
    uint32_t *sub = narrow(c, set, n, step, 0, &n_sub);
    op->n = 0;
    if (node.kind == NJ_K_ARRAY && note_groups(c, self, sub, n_sub)) return -1;
    snprintf(c->trail + trail, sizeof c->trail - trail, "[]");
    c->straight = c->plan->n_ops;
    if (compile(c, c->tree->child[node.first].node, sub, n_sub, step + 1) || !emit(c, NJ_OP_END)) return -1;
    c->trail[trail] = 0;
    op = &c->plan->op[self];
    op->b = c->straight = c->plan->n_ops;
    op->size0 = first_target;
    op->size = c->plan->n_targets;
    op->tag = 0;
    for (uint32_t k = self + 1; k < op->b && n_sub; k++) op->tag |= c->plan->op[k].code == NJ_OP_UNION;
    return 0;
}

static int call_body(compiler *c, uint32_t at)
{
    nj_op *op = emit(c, NJ_OP_CALL);
    if (!op) return -1;
    op->a = at; /* the node for now; the body's start when all is compiled */
    c->straight = c->plan->n_ops;
    for (uint32_t i = 0; i < c->n_called; i++)
        if (c->called[i] == at) return 0;
    if (grow(c, &c->called, c->n_called, &c->cap_called, sizeof *c->called)) return -1;
    c->called[c->n_called++] = at;
    return 0;
}

static int compile(compiler *c, uint32_t at, const uint32_t *set, uint32_t n, uint32_t step)
{
    const nj_node *node = &c->tree->node[at];
    if (++c->n_steps > MAX_STEPS) return nj_fail(c->err, "the schema expands to more than %d fields", MAX_STEPS);
    if (is_leaf(node)) return n && node->kind != NJ_K_NULL ? read_leaf(c, at, set, n, NJ_NO_TAG) : skip_leaf(c, node, NJ_NO_TAG);
    if (node->kind == NJ_K_UNION) return compile_union(c, at, set, n, step);
    if (c->open[at] && n == 0) return call_body(c, at);
    if (c->nesting == c->args->max_depth) return emit(c, NJ_OP_TOO_DEEP) ? 0 : -1;
    uint8_t was_open = c->open[at];
    c->open[at] = 1;
    c->nesting++;
    int rc = node->kind == NJ_K_RECORD ? compile_record(c, at, set, n, step) : compile_items(c, at, set, n, step);
    c->nesting--;
    c->open[at] = was_open;
    return rc;
}

static int compile_all(compiler *c)
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
        snprintf(c->trail, sizeof c->trail, "(%.200s)", c->tree->node[at].name ? c->tree->node[at].name : "recursive type");
        if (compile(c, at, NULL, 0, 0) || !emit(c, NJ_OP_END)) return -1;
        c->trail[0] = 0;
    }
    for (uint32_t i = 0; i < p->n_ops; i++)
        if (p->op[i].code == NJ_OP_CALL) p->op[i].a = c->body[p->op[i].a];
    return 0;
}

/* Targets that a record may leave untouched although the batch did not preset them. */
static int list_presets(compiler *c)
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

/* Do the arrays of a group stand in the packet in the map's order, with the single elements last in the map? */
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
    compiler c = { .args = args, .tree = args->tree, .plan = plan, .err = err };
    int rc = collect(&c);
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
    free(plan->target);
    free(plan->slot_type);
    free(plan->where);
    free(plan);
}
