/* print.c - the graph for people: stages and reasons as text or as Graphviz. */
#include "../base/debug.h"
#include "graph.h"

static const char *giver(const nj_graph *g, uint32_t c)
{
    if (c >= NJ_FIRST_STAMP) return "packet";
    while (g->col[c].derived >= 0) c = g->derived[g->col[c].derived].base;
    return g->col[c].step >= 0 ? g->step[g->col[c].step].in->name : "packet";
}

void nj_graph_print(const nj_graph *g, int dot, nj_buffer *out)
{
    if (dot)
        nj_buffer_printf(out, "digraph \"%s\" {\n  rankdir=LR; node [shape=box];\n", g->layout.survey);
    else
        nj_buffer_printf(out, "survey %s: %u columns from the packet, %u modules\n", g->layout.survey,
                         g->layout.n_packet, g->n_steps);
    for (uint32_t s = 0; s < g->n_steps; s++) {
        const nj_step *step = &g->step[s];
        if (!dot)
            nj_buffer_printf(out, "%2u %-20s%s%s\n", s + 1, step->in->name, step->off ? " off: " : "",
                             step->off ? step->off : "");
        for (uint32_t k = 0; k < step->in->n_needs; k++) {
            uint32_t c = step->col[k];
            const char *path = step->in->need[k].path, *from = c == NJ_NO_COLUMN ? "(absent)" : giver(g, c);
            if (dot)
                nj_buffer_printf(out, "  \"%s\" -> \"%s\" [label=\"%s\"%s];\n", from, step->in->name, path,
                                 c == NJ_NO_COLUMN ? ",style=dotted" : "");
            else
                nj_buffer_printf(out, "      %-36s from %s%s\n", path, from,
                                 step->in->need[k].flags & NJ_NEED_OPTIONAL ? " (optional)" : "");
        }
    }
    if (dot) nj_buffer_text(out, "}\n");
}

void nj_graph_debug(const nj_graph *g)
{
    nj_debug(NJ_DEBUG_GRAPH, "survey %s: %u columns from the packet, %u derived, %u modules",
             g->layout.survey, g->layout.n_packet, g->n_derived, g->n_steps);
    for (uint32_t s = 0; s < g->n_steps; s++) {
        const nj_step *step = &g->step[s];
        nj_buffer from = { 0 };
        for (uint32_t k = 0; k < step->in->n_needs; k++)
            nj_buffer_printf(&from, "%s%s of %s", k ? ", " : "", step->in->need[k].path,
                             step->col[k] == NJ_NO_COLUMN ? "none" : giver(g, step->col[k]));
        nj_debug(NJ_DEBUG_GRAPH, "survey %s: %u. %s%s%s: %s", g->layout.survey, s + 1, step->in->name,
                 step->off ? " is off: " : "", step->off ? step->off : "",
                 from.data ? from.data : "no needs");
        nj_buffer_free(&from);
    }
}
