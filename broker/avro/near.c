/* near.c - for a misspelt path, this finds the nearest path of the schema, so that the message can suggest
 * it. */
#include <stdio.h>
#include <string.h>

#include "decoder.h"

enum { MOST_PATHS = 4096, DEEPEST = 8 };

typedef struct walk {
    const nj_tree *tree;
    nj_arena *arena;
    const char **path;
    size_t n;
} walk;

static void add(walk *w, uint32_t node, const char *path, int depth)
{
    const nj_node *at = &w->tree->node[node];
    if (depth > DEEPEST || w->n == MOST_PATHS || !path) return;
    switch (at->kind) {
    case NJ_K_RECORD:
        for (uint32_t k = 0; k < at->n; k++) {
            const nj_child *field = &w->tree->child[at->first + k];
            add(w, field->node, nj_arena_printf(w->arena, "%s.%s", path, field->name), depth + 1);
        }
        break;
    case NJ_K_UNION:
        for (uint32_t k = 0; k < at->n; k++)
            if (w->tree->node[w->tree->child[at->first + k].node].kind != NJ_K_NULL)
                add(w, w->tree->child[at->first + k].node, path, depth + 1);
        break;
    case NJ_K_ARRAY:
        add(w, w->tree->child[at->first].node, nj_arena_printf(w->arena, "%s[]", path), depth + 1);
        break;
    case NJ_K_MAP: break; /* its keys are not in the schema */
    default: w->path[w->n++] = path;
    }
}

bool nj_schema_nearest(const nj_schema *schema, const char *path, char *near, size_t size)
{
    nj_arena arena = { 0 };
    walk w = { .tree = &schema->tree,
               .arena = &arena,
               .path = nj_arena_alloc(&arena, MOST_PATHS * sizeof *w.path) };
    if (w.path) add(&w, schema->tree.root, "packet", 0);
    const char *found = nj_nearest(path, w.path, w.n);
    if (found) snprintf(near, size, "%s", found);
    nj_arena_free(&arena);
    return found != NULL;
}
