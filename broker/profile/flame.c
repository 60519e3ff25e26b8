/* flame.c - call stacks are also written as a flame graph: one SVG file without scripts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "profile.h"

enum { WIDTH = 1200, ROW = 18, MARGIN = 4 };
static const double least_width = 0.4; /* px; narrower boxes are left out */

typedef struct node {
    uint32_t function, samples;
    uint32_t child, next; /* index of the first child, of the next sibling; 0 = none (0 is the root) */
} node;

typedef struct tree {
    node *item;
    uint32_t n, cap, depth;
} tree;

static uint32_t add_node(tree *t, uint32_t function)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 256;
        t->item = realloc(t->item, t->cap * sizeof *t->item);
        if (!t->item) nj_give_up("profile: out of memory");
    }
    t->item[t->n] = (node){ .function = function };
    return t->n++;
}

static uint32_t child_of(tree *t, uint32_t parent, uint32_t function)
{
    uint32_t i = t->item[parent].child;
    while (i && t->item[i].function != function) i = t->item[i].next;
    if (i) return i;
    i = add_node(t, function); /* may move the nodes */
    t->item[i].next = t->item[parent].child;
    t->item[parent].child = i;
    return i;
}

static void build(tree *t, const nj_profile *p)
{
    add_node(t, UINT32_MAX);
    for (uint32_t s = 0; s < p->n_stacks; s++) {
        const nj_profile_stack *stack = &p->stack[s];
        uint32_t at = 0;
        t->item[0].samples += stack->samples;
        for (uint32_t k = 0; k < stack->depth; k++) {
            at = child_of(t, at, stack->function[k]);
            t->item[at].samples += stack->samples;
        }
        if (stack->depth > t->depth) t->depth = stack->depth;
    }
}

void nj_profile_escape(nj_buffer *o, const char *text)
{
    nj_markup_text(o, text);
}

static void draw(const tree *t, const nj_profile *p, uint32_t at, double x, uint32_t level, nj_buffer *o)
{
    const node *box = &t->item[at];
    double width = (double)WIDTH * box->samples / t->item[0].samples,
           y = MARGIN + (double)(t->depth - level) * ROW;
    const char *name = at ? p->function[box->function].name : p->instance;
    if (width < least_width) return;
    uint32_t hash = 2166136261u; /* FNV-1a of the name: the same colour wherever the function stands */
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
    nj_buffer_printf(o, "<g><title>");
    nj_profile_escape(o, name);
    nj_buffer_printf(o,
                     ": %.1f %% (%u samples)</title><rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" "
                     "fill=\"hsl(%u,75%%,%u%%)\"/>",
                     100.0 * box->samples / t->item[0].samples, box->samples, x, y, fmax(width - 0.5, 0.3),
                     ROW - 1, 10 + hash % 40, 60 + hash / 64 % 14);
    int room = (int)(width / 6.8);
    if (room >= 3) {
        char text[256];
        snprintf(text, sizeof text, "%.*s", room < 200 ? room : 200, name);
        nj_buffer_printf(o, "<text x=\"%.1f\" y=\"%.0f\">", x + 3, y + 13);
        nj_profile_escape(o, text);
        nj_buffer_text(o, "</text>");
    }
    nj_buffer_text(o, "</g>\n");
    for (uint32_t i = box->child; i; i = t->item[i].next) {
        draw(t, p, i, x, level + 1, o);
        x += (double)WIDTH * t->item[i].samples / t->item[0].samples;
    }
}

void nj_profile_flame(nj_profile *p, nj_buffer *o)
{
    tree t = { 0 };
    build(&t, p);
    nj_buffer_printf(o,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" "
                     "font-family=\"monospace\" font-size=\"11\" "
                     "fill=\"#111\" role=\"img\" aria-label=\"flame graph\">\n",
                     WIDTH, 2 * MARGIN + (t.depth + 1) * ROW);
    if (t.item[0].samples) draw(&t, p, 0, 0, 0, o);
    nj_buffer_text(o, "</svg>\n");
    free(t.item);
}
