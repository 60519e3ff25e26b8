/* order.c - the sequence of the modules: each after those that give what it needs; a circle is named. */
#include "resolver.h"

#include <stdlib.h>

/* The instances a column depends on, as marks. */
static void mark_deps(const nj_resolver *r, uint32_t c, uint8_t *mark)
{
    if (c == NJ_NO_COLUMN || c >= NJ_FIRST_STAMP || c < NJ_OWN) return;
    const nj_column *column = &r->own[c - NJ_OWN];
    if (column->derived >= 0) {
        mark_deps(r, r->g->derived[column->derived].base, mark);
        mark_deps(r, r->g->derived[column->derived].key, mark);
    } else {
        mark[column->step] = 1;
    }
}

/* Kahn's algorithm in table order; what is left over is a cycle. */
int nj_resolver_order(nj_resolver *r, uint32_t *out, uint32_t *n_out)
{
    uint32_t n = r->g->set->n, done = 0, want = 0;
    uint8_t *dep = calloc((size_t)n * n + 1, 1), *placed = calloc(n + 1, 1);
    if (!dep || !placed) return free(dep), free(placed), nj_fail(r->err, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        if (r->queue[i] != 2) continue;
        want++;
        for (uint32_t k = 0; k < r->g->set->item[i].n_needs; k++)
            mark_deps(r, r->col[i][k], dep + (size_t)i * n);
    }
    for (int moved = 1; moved;) {
        moved = 0;
        for (uint32_t i = 0; i < n; i++) {
            int ready = r->queue[i] == 2 && !placed[i];
            for (uint32_t k = 0; k < n && ready; k++) ready = !dep[(size_t)i * n + k] || placed[k];
            if (!ready) continue;
            placed[i] = 1;
            out[done++] = i;
            moved = 1;
        }
    }
    int rc = 0;
    if (done < want) {
        nj_buffer names = { 0 };
        uint32_t i = 0;
        while (i < n && (r->queue[i] != 2 || placed[i])) i++;
        for (uint32_t hops = 0; hops <= n && i < n; hops++) { /* walk the unplaced dependencies
                                                               * until one repeats */
            nj_buffer_printf(&names, "%s -> ", r->g->set->item[i].name);
            if (placed[i] == 2) break;
            placed[i] = 2;
            uint32_t k = 0;
            while (k < n && !(dep[(size_t)i * n + k] && placed[k] != 1)) k++;
            i = k;
        }
        rc = nj_fail(r->err, "modules need each other in a circle: %.*s",
                     (int)(names.n > 4 ? names.n - 4 : 0), names.data ? names.data : "");
        nj_buffer_free(&names);
    }
    *n_out = done;
    free(dep);
    free(placed);
    return rc;
}
