/* skymap.c - multi-order maps of probability: the credible level of each cell, and the region of a level. */
#include "rgn.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int by_begin(const void *a, const void *b)
{
    const rgn_cell *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* The likeliest first; at a tie the lower cell, so that the order is one. */
static int by_density(const void *a, const void *b)
{
    const rgn_cell *x = a, *y = b;
    return x->density > y->density ? -1 : x->density < y->density ? 1 : by_begin(a, b);
}

static double area(const rgn_cell *c)
{
    return (double)(c->end - c->begin) * (4 * M_PI / (double)(UINT64_C(12) << 2 * RGN_ORDER));
}

static int are_one(const rgn_cell *c)
{
    uint64_t size = c->end - c->begin;
    if (size == UINT64_C(1) << 2 * RGN_ORDER || c->begin % (4 * size)) return 0;
    for (int k = 1; k < 4; k++)
        if (c[k].begin != c->begin + (uint64_t)k * size || c[k].end - c[k].begin != size ||
            memcmp(&c[k].density, &c->density, sizeof *c - offsetof(rgn_cell, density)))
            return 0;
    return 1;
}

int rgn_push_cell(rgn_region *r, size_t *cap, const rgn_cell *cell)
{
    if (r->n_cells == *cap) {
        size_t more = *cap ? 2 * *cap : 4096;
        rgn_cell *c = realloc(r->cell, more * sizeof *c);
        if (!c) return -1;
        r->cell = c;
        *cap = more;
    }
    r->cell[r->n_cells++] = *cell;
    for (rgn_cell *c; r->n_cells >= 4 && are_one(c = &r->cell[r->n_cells - 4]);) {
        c->end = c[3].end;
        r->n_cells -= 3;
    }
    return 0;
}

int rgn_make_skymap(const rgn_text *t, double level, rgn_region *r)
{
    double sum = 0;
    size_t cap = 0;
    r->is_map = 1;
    qsort(r->cell, r->n_cells, sizeof *r->cell, by_density);
    for (size_t k = 0; k < r->n_cells; k++) {
        rgn_cell *c = &r->cell[k];
        sum += c->density * area(c);
        c->level = fmin(sum, 1); /* rounding may pass 1 by a few bits */
        if (c->level <= level && rgn_add_cells(r, &cap, RGN_ORDER, c->begin, c->end - 1))
            return rgn_refuse(t, "no memory");
    }
    if (!(fabs(sum - 1) <= 0.01)) return rgn_refuse(t, "its probabilities add up to %.4g, not to 1", sum);
    qsort(r->cell, r->n_cells, sizeof *r->cell, by_begin);
    for (size_t k = 1; k < r->n_cells; k++)
        if (r->cell[k].begin < r->cell[k - 1].end)
            return rgn_refuse(t, "two of its cells overlap, at cell %llu of order 29",
                              (unsigned long long)r->cell[k].begin);
    return 0;
}

const rgn_cell *rgn_skymap_at(const rgn_region *r, uint64_t cell)
{
    size_t low = 0, high = r->n_cells;
    while (low < high) { /* the first that begins behind it */
        size_t middle = low + (high - low) / 2;
        if (r->cell[middle].begin <= cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low && cell < r->cell[low - 1].end ? &r->cell[low - 1] : NULL;
}
