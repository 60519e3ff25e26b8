/* graph.c - modules name the columns they need and give; this resolves the names for one survey and orders
 * the modules. */
#include "resolver.h"

#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"

static int resolve_instance(nj_resolver *r, uint32_t i)
{
    const nj_instance *in = &r->g->set->item[i];
    r->col[i] = nj_arena_alloc(&r->g->arena, (in->n_needs + 1) * sizeof *r->col[i]);
    if (!r->col[i]) return nj_fail(r->err, "out of memory");
    r->queue[i] = 2;
    if (!nj_resolver_serves(in, r->offers)) {
        for (uint32_t k = 0; k < in->n_needs; k++) r->col[i][k] = NJ_NO_COLUMN;
        r->off[i] = nj_arena_printf(&r->g->arena, "it is for %s alerts only (surveys)", in->surveys);
        return r->off[i] ? 0 : nj_fail(r->err, "out of memory");
    }
    for (uint32_t k = 0; k < in->n_needs; k++) {
        const nj_need *need = &in->need[k];
        const char *why = NULL;
        uint32_t c = nj_resolver_lookup(r, need->path, need->shape == NJ_IMAGE ? 0 : need->type, need->unit,
                                        need->shape, &why);
        r->col[i][k] = c;
        if (c == NJ_NO_COLUMN && !(need->flags & NJ_NEED_OPTIONAL) && !r->off[i]) {
            r->off[i] =
                nj_arena_printf(&r->g->arena, "it needs %s: %s", need->path, why ? why : "nothing gives it");
            if (!r->off[i]) nj_resolver_fails(r);
        }
        if (r->failed) return -1;
    }
    return 0;
}

static int resolve(nj_resolver *r, const nj_want *want)
{
    nj_graph *g = r->g;
    uint32_t n = g->set->n, n_steps = 0;
    for (uint32_t i = 0; i < n; i++) {
        r->first_out[i] = NJ_NO_COLUMN;
        if (g->set->item[i].wanted) nj_resolver_take_in(r, i);
        if (r->failed) return -1;
    }
    for (uint32_t k = 0; k < g->n_wants; k++) {
        const char *why = NULL;
        g->want[k] = nj_resolver_lookup(r, want[k].path, want[k].type, want[k].unit, 0, &why);
        if (r->failed) return -1;
    }
    for (int more = 1; more;) { /* resolving an instance can take in an adapter */
        more = 0;
        for (uint32_t i = 0; i < n; i++)
            if (r->queue[i] == 1) {
                if (resolve_instance(r, i)) return -1;
                more = 1;
            }
    }
    /* an instance whose required need comes from one that is off, is off too */
    for (int again = 1; again;) {
        again = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (r->queue[i] != 2 || r->off[i]) continue;
            const nj_instance *in = &g->set->item[i];
            for (uint32_t k = 0; k < in->n_needs && !r->off[i]; k++) {
                uint32_t c = r->col[i][k];
                while (c != NJ_NO_COLUMN && c < NJ_FIRST_STAMP && c >= NJ_OWN &&
                       r->own[c - NJ_OWN].derived >= 0)
                    c = g->derived[r->own[c - NJ_OWN].derived].base;
                if (in->need[k].flags & NJ_NEED_OPTIONAL || c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP ||
                    c < NJ_OWN)
                    continue;
                if (!r->off[r->own[c - NJ_OWN].step]) continue;
                r->off[i] = nj_arena_printf(&g->arena, "it needs %s, which is off", in->need[k].path);
                if (!r->off[i]) return nj_fail(r->err, "out of memory");
                again = 1;
            }
        }
    }
    uint32_t *sequence = nj_arena_alloc(&g->arena, (n + 1) * sizeof *sequence);
    if (!sequence) return nj_fail(r->err, "out of memory");
    if (nj_resolver_order(r, sequence, &n_steps)) return -1;
    return nj_resolver_finish(r, sequence, n_steps);
}

nj_graph *nj_graph_new(const nj_instances *set, const nj_offers *offers, const nj_want *want,
                       uint32_t n_wants, nj_error *err)
{
    nj_graph *g = calloc(1, sizeof *g);
    if (!g) return nj_fail(err, "out of memory"), NULL;
    nj_arena *a = &g->arena;
    g->set = set;
    g->layout.survey = nj_arena_text(a, offers->survey, strlen(offers->survey));
    g->n_wants = n_wants;
    g->want = nj_arena_alloc(a, (n_wants + 1) * sizeof *g->want);
    nj_resolver r = { .g = g,
                      .offers = offers,
                      .err = err,
                      .first_out = nj_arena_alloc(a, (set->n + 1) * sizeof *r.first_out),
                      .col = nj_arena_zalloc(a, (set->n + 1) * sizeof *r.col),
                      .off = nj_arena_zalloc(a, (set->n + 1) * sizeof *r.off),
                      .plane = nj_arena_zalloc(a, NJ_PLANES * sizeof *r.plane),
                      .queue = nj_arena_zalloc(a, set->n + 1) };
    int ok = g->layout.survey && g->want && r.first_out && r.col && r.off && r.plane && r.queue;
    if (!ok) nj_fail(err, "out of memory");
    if (!ok || resolve(&r, want)) {
        nj_graph_free(g);
        return NULL;
    }
    if (nj_debug_contexts & NJ_DEBUG_GRAPH) nj_graph_debug(g);
    return g;
}

void nj_graph_free(nj_graph *g)
{
    if (!g) return;
    nj_arena_free(&g->arena);
    free(g);
}
