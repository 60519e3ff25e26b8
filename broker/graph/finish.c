/* finish.c - the resolved graph as dispatch reads it: columns numbered, a step for each module. */
#include "resolver.h"

#include "../base/assert.h"

#include <string.h>

static uint32_t renumber(const nj_resolver *r, uint32_t c)
{
    return c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || c < NJ_OWN ? c : r->n_packet + (c - NJ_OWN);
}

static void add_prepare(const nj_graph *g, uint32_t c, uint32_t *list, uint32_t *n)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || g->col[c].derived < 0) return;
    add_prepare(g, g->derived[g->col[c].derived].base, list, n);
    add_prepare(g, g->derived[g->col[c].derived].key, list, n);
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == c) return;
    list[(*n)++] = c;
}

/* The packet columns that a column cannot be without:
 * itself, or those that the step which gives it requires. */
static void add_required(const nj_graph *g, uint32_t c, uint32_t *list, uint32_t *n)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP) return;
    if (c >= g->layout.n_packet && g->col[c].derived >= 0) {
        add_required(g, g->derived[g->col[c].derived].base, list, n);
    } else if (c >= g->layout.n_packet) {
        const nj_step *giver = &g->step[g->col[c].step]; /* stands before its users,
                                                          * so its own list is complete */
        for (uint32_t k = 0; k < giver->n_required; k++) add_required(g, giver->required[k], list, n);
    } else {
        for (uint32_t k = 0; k < *n; k++)
            if (list[k] == c) return;
        list[(*n)++] = c;
    }
}

/* The first n of a list, in the arena. */
static const uint32_t *keep_list(nj_graph *g, const uint32_t *list, uint32_t n)
{
    uint32_t *kept = nj_arena_alloc(&g->arena, n * sizeof n + 4);
    if (kept && n) memcpy(kept, list, n * sizeof n);
    return kept;
}

/* list: room for each column once. */
static int build_step(nj_resolver *r, nj_step *s, uint32_t i, uint32_t *list)
{
    nj_graph *g = r->g;
    const nj_instance *in = &g->set->item[i];
    uint32_t n = 0;
    for (uint32_t k = 0; k < in->n_needs; k++) r->col[i][k] = renumber(r, r->col[i][k]);
    *s = (nj_step){ .in = in,
                    .instance = i,
                    .col = r->col[i],
                    .first_out = g->layout.n_packet + r->first_out[i],
                    .off = r->off[i] };
    for (uint32_t k = 0; k < in->n_needs; k++) add_prepare(g, r->col[i][k], list, &n);
    s->prepare = keep_list(g, list, n);
    s->n_prepare = n;
    n = 0;
    for (uint32_t k = 0; k < in->n_needs; k++)
        if (!(in->need[k].flags & NJ_NEED_OPTIONAL)) add_required(g, r->col[i][k], list, &n);
    s->required = keep_list(g, list, n);
    s->n_required = n;
    return s->prepare && s->required ? 0 : -1;
}

int nj_resolver_finish(nj_resolver *r, const uint32_t *sequence, uint32_t n_steps)
{
    nj_graph *g = r->g;
    g->layout.n_packet = r->n_packet;
    g->layout.n = r->n_packet + r->n_own;
    g->layout.col = r->packet;
    g->n_steps = n_steps;
    g->col = nj_arena_zalloc(&g->arena, (g->layout.n + 1) * sizeof *g->col);
    g->step = nj_arena_zalloc(&g->arena, (n_steps + 1) * sizeof *g->step);
    g->step_of = nj_arena_alloc(&g->arena, (g->set->n + 1) * sizeof *g->step_of);
    uint32_t *list = nj_arena_alloc(&g->arena, (g->layout.n + 1) * sizeof *list);
    if (!g->col || !g->step || !g->step_of || !list) return nj_fail(r->err, "out of memory");
    for (uint32_t i = 0; i < g->set->n; i++) g->step_of[i] = -1;
    for (uint32_t s = 0; s < n_steps; s++) g->step_of[sequence[s]] = (int32_t)s;
    for (uint32_t c = 0; c < r->n_packet; c++)
        g->col[c] = (nj_column){
            r->packet[c].path, r->packet[c].unit, r->packet[c].type, r->packet[c].shape, 1, -1, -1, 0
        };
    for (uint32_t k = 0; k < r->n_own; k++) {
        nj_column *column = &g->col[r->n_packet + k];
        *column = r->own[k];
        if (column->step >= 0) column->step = g->step_of[column->step];
    }
    for (uint32_t k = 0; k < g->n_derived; k++) {
        g->derived[k].base = renumber(r, g->derived[k].base);
        g->derived[k].key = renumber(r, g->derived[k].key);
    }
    for (uint32_t s = 0; s < n_steps; s++)
        if (build_step(r, &g->step[s], sequence[s], list)) return nj_fail(r->err, "out of memory");
    for (uint32_t k = 0; k < g->n_wants; k++) g->want[k] = renumber(r, g->want[k]);
    for (uint32_t s = 0; s < n_steps; s++)
        for (uint32_t k = 0; k < g->step[s].in->n_needs; k++) {
            uint32_t c = g->step[s].col[k];
            while (c < g->layout.n && g->col[c].derived >= 0) c = g->derived[g->col[c].derived].base;
            NJ_ASSERT(c >= g->layout.n || g->col[c].step < (int32_t)s, "module %s runs before %s is there",
                      g->step[s].in->name, g->step[s].in->need[k].path);
        }
    return 0;
}
