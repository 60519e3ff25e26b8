/* want.c - the columns that a run needs become leaves of the schema by the survey's map, as input of the
 * plan compiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

enum { MAX_COLUMNS = 4096 };

int nj_compiler_grow(nj_compiler *c, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return 0;
    uint32_t more = *cap ? 2 * *cap : 64;
    void **p = array, *bigger = realloc(*p, more * size);
    if (!bigger) return nj_fail(c->err, "out of memory");
    *p = bigger;
    *cap = more;
    return 0;
}

/* What a value of this kind is as a column; 0: it cannot be one. */
static nj_type column_type(nj_kind kind)
{
    switch (kind) {
    case NJ_K_BOOLEAN: return NJ_U8;
    case NJ_K_INT: return NJ_I32;
    case NJ_K_LONG: return NJ_I64;
    case NJ_K_FLOAT: return NJ_F32;
    case NJ_K_DOUBLE: return NJ_F64;
    case NJ_K_STRING:
    case NJ_K_ENUM: return NJ_STR;
    default: return 0;
    }
}

/* The ways of a path that end at a value; lists or single values as the first one is.
 * -1 with err: too many. */
static int values_of(const nj_tree *tree, const char *path, nj_path list[NJ_PATH_WAYS], nj_error *err)
{
    int all = nj_tree_find_all(tree, path, list), n = 0;
    if (all < 0)
        return nj_fail(err, "%s: through unions of unions it can mean more than %d fields", path,
                       NJ_PATH_WAYS);
    for (int i = 0; i < all; i++)
        if (column_type(tree->node[list[i].node].kind) && (!n || !list[i].array == !list[0].array))
            list[n++] = list[i];
    return n;
}

/* The narrowest type that holds every value of both, digit by digit; text where no number does. */
static nj_type holds_both(nj_type a, nj_type b)
{
    if (!a || !b || a == b) return a ? a : b;
    if (a == NJ_STR || b == NJ_STR) return NJ_STR;
    bool real_a = a >= NJ_F32, real_b = b >= NJ_F32;
    if (real_a == real_b) return a > b ? a : b;
    nj_type whole = real_a ? b : a, real = real_a ? a : b;
    return whole == NJ_I64 ? NJ_STR : whole == NJ_I32 ? NJ_F64 : real;
}

int nj_plan_offer(const nj_tree *tree, const char *path, nj_offer *offer)
{
    nj_path list[NJ_PATH_WAYS];
    nj_error ignored;
    int n = values_of(tree, path, list, &ignored);
    bool number = false;
    if (n <= 0) return -1;
    *offer = (nj_offer){ .shape = list[0].array ? NJ_SERIES : NJ_SCALAR };
    for (int i = 0; i < n; i++) {
        nj_type type = column_type(tree->node[list[i].node].kind);
        offer->type = holds_both(offer->type, type);
        number |= type != NJ_STR;
    }
    offer->mixed = number && offer->type == NJ_STR;
    return 0;
}

static int add_one(nj_compiler *c, const nj_path *path, const nj_target *target, uint32_t group,
                   uint32_t part)
{
    if (nj_compiler_grow(c, &c->want, c->n_wants, &c->cap_wants, sizeof *c->want)) return -1;
    nj_want_leaf *w = &c->want[c->n_wants++];
    *w = (nj_want_leaf){ *path, *target, (uint16_t)group, (uint16_t)part };
    if (path->map) /* the path's text may be short-lived */
        w->path.key = nj_arena_text(&c->plan->arena, path->key, path->key_size);
    return path->map && !w->path.key ? nj_fail(c->err, "out of memory") : 0;
}

/* Whichever of them a packet has. */
static int add_wants(nj_compiler *c, const nj_path *list, int n, const nj_target *target, uint32_t group,
                     uint32_t part)
{
    for (int i = 0; i < n; i++)
        if (add_one(c, &list[i], target, group, part)) return -1;
    return 0;
}

static uint32_t new_slot(nj_compiler *c, nj_type type)
{
    nj_plan *p = c->plan;
    if (nj_compiler_grow(c, &p->slot_type, p->n_slots, &c->cap_slots, 1)) return NJ_NO_SLOT;
    p->slot_type[p->n_slots] = (uint8_t)type;
    return p->n_slots++;
}

static nj_target make_target(nj_type type, double scale, const nj_change *change)
{
    nj_target t = { .type = (uint8_t)type, .size = (uint8_t)nj_type_size(type), .scale = scale };
    if (change) {
        t.scale = scale * change->scale;
        t.offset = scale * change->offset;
        if (change->has_null || change->n_words || change->asks || change->hash || change->iso)
            t.change = change;
    }
    t.plain = !t.change && t.scale == 1 && t.offset == 0;
    return t;
}

static void set_absent(nj_compiler *c, uint32_t column)
{
    if (column < c->args->layout->n_packet) c->plan->absent[column / 64] |= (uint64_t)1 << column % 64;
}

static int add_constant(nj_compiler *c, uint32_t column, nj_type type, const nj_map_column *m)
{
    char *end;
    double number = strtod(m->constant, &end);
    c->plan->constant[c->plan->n_constants++] =
        (nj_constant){ column, (uint8_t)type, m->constant, *end || end == m->constant ? NJ_NO_F64 : number };
    return 0;
}

/* A scalar from the alternatives that this schema has. */
static int want_scalar(nj_compiler *c, uint32_t column, nj_type type, double scale, const nj_choice *choice,
                       const nj_change *change)
{
    nj_path list[NJ_PATH_WAYS];
    uint32_t there[NJ_MAP_ALTERNATIVES], n = 0;
    for (uint32_t i = 0; i < choice->n; i++) {
        int ways = values_of(c->tree, choice->alternative[i].path, list, c->err);
        if (ways < 0) return -1;
        if (ways && !list[0].array) there[n++] = i;
    }
    if (n == 0) {
        set_absent(c, column);
        return 0;
    }
    nj_target t = make_target(type, scale, change);
    const uint8_t plain = t.plain;
    t.at = n == 1 ? NJ_AT_ROW : NJ_AT_SLOT;
    t.column = column;
    if (n > 1) c->plan->pick[c->plan->n_picks++] = (nj_pick){ column, c->plan->n_slots, n, (uint8_t)type };
    for (uint32_t i = 0; i < n; i++) {
        const char *path = choice->alternative[there[i]].path;
        t.prefix = choice->alternative[there[i]].prefix;
        t.plain = plain && !t.prefix;
        if (n > 1 && (t.slot = new_slot(c, type)) == NJ_NO_SLOT) return -1;
        if (add_wants(c, list, values_of(c->tree, path, list, c->err), &t, 0, 0)) return -1;
    }
    return 0;
}

static nj_plan_group *group_of(nj_compiler *c, const char *name, size_t n)
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
static int want_part(nj_compiler *c, const nj_plan_group *g, uint32_t part, nj_target t, const char *prefix,
                     const char *path, uint32_t *slot)
{
    nj_path list[NJ_PATH_WAYS];
    int n = values_of(c->tree, path, list, c->err);
    *slot = NJ_NO_SLOT;
    if (n < 0) return -1;
    if (n == 0 || !list[0].array != !g->array[part]) return 0;
    t.prefix = prefix;
    if (prefix) t.plain = 0;
    t.at = NJ_AT_SLOT;
    if (g->array[part])
        t.at = (uint16_t)(NJ_AT_GROUP + (g - c->plan->group));
    else if ((t.slot = new_slot(c, t.type)) == NJ_NO_SLOT)
        return -1;
    *slot = g->array[part] ? NJ_IN_ARRAY : t.slot;
    return add_wants(c, list, n, &t, (uint32_t)(g - c->plan->group), part);
}

static int want_series(nj_compiler *c, uint32_t column, const nj_column_def *def, const nj_map_column *m)
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
            if (want_part(c, g, part, t, NULL, def->path + strlen("packet."), slot)) return -1;
        } else if (mg && !m->constant) {
            const nj_choice *choice = &m->part[part];
            for (uint32_t i = 0; i < choice->n && *slot == NJ_NO_SLOT; i++) {
                char path[512];
                snprintf(path, sizeof path, "%s%s%s", mg->part[part], *mg->part[part] ? "." : "",
                         choice->alternative[i].path);
                if (want_part(c, g, part, t, choice->alternative[i].prefix, path, slot)) return -1;
            }
        }
        if (*slot != NJ_NO_SLOT) any = true;
    }
    if (m && m->constant) return add_constant(c, column, def->type, m);
    if (!any) set_absent(c, column);
    return 0;
}

/* A series that this survey cannot give: no elements in any row. */
static int want_nothing(nj_compiler *c, uint32_t column, const nj_column_def *def)
{
    nj_plan_group *g = group_of(c, def->path, strlen(def->path));
    if (!g) return nj_fail(c->err, "out of memory");
    g->missing[g->n_columns] = NJ_NO_F64;
    g->column[g->n_columns++] = column;
    return 0;
}

static int want_column(nj_compiler *c, uint32_t column, const nj_column_def *def)
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

static int want_stamps(nj_compiler *c)
{
    for (uint32_t s = 0; s < NJ_STAMPS; s++) {
        const nj_map_column *m = nj_map_find(c->args->map, nj_stamp_name[s]);
        if (!m || !(c->args->layout->stamps & 1u << s)) continue;
        for (uint32_t i = 0; i < m->part[0].n; i++) {
            nj_path path;
            if (nj_tree_find(c->tree, m->part[0].alternative[i].path, &path) || path.array) continue;
            nj_kind kind = c->tree->node[path.node].kind;
            if (kind != NJ_K_BYTES && kind != NJ_K_STRING && kind != NJ_K_FIXED) continue;
            nj_target t = {
                .type = NJ_U8, .size = sizeof(nj_stamp), .stamp = (uint8_t)(1 + s), .at = NJ_AT_ROW
            };
            if (add_one(c, &path, &t, 0, 0)) return -1;
            break;
        }
    }
    return 0;
}

int nj_compiler_collect(nj_compiler *c)
{
    const nj_layout *layout = c->args->layout;
    nj_plan *p = c->plan;
    if (layout->n_packet > MAX_COLUMNS)
        return nj_fail(c->err, "more than %d packet columns are asked for", MAX_COLUMNS);
    size_t n = layout->n_packet + 1;
    p->absent = nj_arena_zalloc(&p->arena, (n + 63) / 64 * 8);
    p->pick = nj_arena_alloc(&p->arena, n * sizeof *p->pick);
    p->constant = nj_arena_alloc(&p->arena, n * sizeof *p->constant);
    p->group = nj_arena_alloc(&p->arena, n * sizeof *p->group);
    if (!p->absent || !p->pick || !p->constant || !p->group) return nj_fail(c->err, "out of memory");
    for (uint32_t k = 0; k < layout->n_packet; k++)
        if (want_column(c, k, &layout->col[k])) return -1;
    const nj_map_column *id = nj_map_find(c->args->map, "candid");
    if (id && !id->constant &&
        want_scalar(c, nj_plan_id_column(layout), NJ_I64, 1, &id->part[0], &id->change))
        return -1;
    for (uint32_t g = 0; g < p->n_groups; g++)
        for (uint32_t part = 0; part < p->group[g].n_parts; part++)
            p->group[g].n_single += !p->group[g].array[part];
    return want_stamps(c);
}
