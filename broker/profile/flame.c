/* flame.c - call stacks are also written as a flame graph: one SVG file without scripts; this places its
 * boxes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "profile.h"

enum { WIDTH = 1200, ROW = 18, MARGIN = 4 }; /* as in flame.svg */
static const double least_width = 0.4;       /* px; narrower boxes are left out */

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

static void put_box(nj_template_values *v, json_t *boxes, const tree *t, const nj_profile *p, uint32_t at,
                    double x, uint32_t level)
{
    const node *box = &t->item[at];
    double width = (double)WIDTH * box->samples / t->item[0].samples,
           y = MARGIN + (double)(t->depth - level) * ROW;
    const char *name = at ? p->function[box->function].name : p->instance;
    if (width < least_width) return;
    uint32_t hash = 2166136261u; /* FNV-1a of the name: the same colour wherever the function stands */
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
    int room = (int)(width / 6.8);
    char text[256] = "";
    if (room >= 3) snprintf(text, sizeof text, "%.*s", room < 200 ? room : 200, name);
    nj_template_put(v, boxes, "name=%s percent=%g samples=%u x=%g y=%g width=%g hue=%u light=%u text=%s",
                    name, 100.0 * box->samples / t->item[0].samples, box->samples, x, y,
                    fmax(width - 0.5, 0.3), 10 + hash % 40, 60 + hash / 64 % 14, text);
    for (uint32_t i = box->child; i; i = t->item[i].next) {
        put_box(v, boxes, t, p, i, x, level + 1);
        x += (double)WIDTH * t->item[i].samples / t->item[0].samples;
    }
}

void nj_flame_put(nj_template_values *v, json_t *to, const nj_profile *p)
{
    tree t = { 0 };
    build(&t, p);
    nj_template_put(v, to, "height=%u", 2 * MARGIN + (t.depth + 1) * ROW);
    json_t *boxes = nj_template_list(v, to, "boxes");
    if (t.item[0].samples) put_box(v, boxes, &t, p, 0, 0, 0);
    free(t.item);
}

int nj_profile_flame(nj_profile *p, nj_buffer *out, nj_error *err)
{
    nj_template_values v = nj_template_begin();
    nj_flame_put(&v, NULL, p);
    const int rc = nj_template_write("flame.svg", &v, out, err);
    nj_template_end(&v);
    return rc;
}
