/* index.c - one index over all regions: a position costs one search, however many regions there are. */
#include "rgn.h"

#include <chealpix.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_ORDER = 5, SHAPE_CELLS = 12 << 2 * SHAPE_ORDER };
static const double deg = M_PI / 180;

typedef struct rgn_place { /* a shape near a cell */
    const rgn_shape *shape;
    uint32_t region;
} place;

typedef struct edge { /* where a region begins or ends */
    uint64_t at;
    uint32_t region;
} edge;

uint64_t rgn_cell_of(double ra, double dec)
{
    int64_t cell;
    ang2pix_nest64((int64_t)1 << RGN_ORDER, (90 - dec) * deg, fmod(ra, 360) * deg, &cell);
    return (uint64_t)cell;
}

/* ---- coverage maps ---- */

static int by_place(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at ? 1 : 0;
}

typedef struct builder {
    rgn_index *x;
    uint64_t *now; /* [words] the regions at this place */
    uint32_t *slot, mask, cap;
} builder;

static uint64_t hash_of(const uint64_t *bits, uint32_t words)
{
    uint64_t h = 0;
    for (uint32_t w = 0; w < words; w++) {
        h = (h ^ bits[w]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static int grow(builder *b)
{
    rgn_index *x = b->x;
    uint32_t cap = b->cap ? 2 * b->cap : 64, mask = 2 * cap - 1;
    uint64_t *sets = realloc(x->sets, (size_t)cap * x->words * sizeof *sets);
    if (sets) x->sets = sets;
    uint32_t *slot = calloc((size_t)mask + 1, sizeof *slot);
    if (!sets || !slot) {
        free(slot);
        return -1;
    }
    for (uint32_t k = 0; k < x->n_sets; k++) {
        uint32_t s = (uint32_t)hash_of(x->sets + (size_t)k * x->words, x->words) & mask;
        while (slot[s]) s = (s + 1) & mask;
        slot[s] = k + 1;
    }
    free(b->slot);
    b->slot = slot;
    b->mask = mask;
    b->cap = cap;
    return 0;
}

/* The number of the set that holds now; sets are kept once each. -1 = no memory. */
static int64_t set_of(builder *b)
{
    rgn_index *x = b->x;
    size_t bytes = x->words * sizeof *x->sets;
    if (x->n_sets == b->cap && grow(b)) return -1;
    uint32_t s = (uint32_t)hash_of(b->now, x->words) & b->mask;
    for (; b->slot[s]; s = (s + 1) & b->mask)
        if (!memcmp(x->sets + (size_t)(b->slot[s] - 1) * x->words, b->now, bytes)) return b->slot[s] - 1;
    memcpy(x->sets + (size_t)x->n_sets * x->words, b->now, bytes);
    b->slot[s] = ++x->n_sets;
    return x->n_sets - 1;
}

static int sweep(builder *b, const edge *e, size_t n)
{
    rgn_index *x = b->x;
    x->start[0] = 0;
    x->set[0] = (uint32_t)set_of(b); /* the empty one, for the table has room */
    x->n_starts = 1;
    for (size_t k = 0; k < n;) {
        uint64_t at = e[k].at;
        for (; k < n && e[k].at == at; k++) b->now[e[k].region / 64] ^= UINT64_C(1) << e[k].region % 64;
        int64_t set = set_of(b);
        if (set < 0) return -1;
        if (x->start[x->n_starts - 1] == at) x->n_starts--; /* the first cell of all */
        if (x->n_starts && x->set[x->n_starts - 1] == (uint32_t)set) continue;
        x->start[x->n_starts] = at;
        x->set[x->n_starts++] = (uint32_t)set;
    }
    return 0;
}

/* A table from the beginning of a cell to the starts: the search then goes over a few of them. */
static int make_table(rgn_index *x)
{
    while (x->first_order < 10 && ((size_t)12 << 2 * x->first_order) < x->n_starts) x->first_order++;
    size_t cells = (size_t)12 << 2 * x->first_order, k = 0;
    unsigned shift = 2 * (RGN_ORDER - x->first_order);
    x->first = malloc((cells + 1) * sizeof *x->first);
    if (!x->first) return -1;
    for (size_t c = 0; c <= cells; c++) {
        while (k + 1 < x->n_starts && x->start[k + 1] <= (uint64_t)c << shift) k++;
        x->first[c] = (uint32_t)k;
    }
    return 0;
}

static int index_maps(rgn_index *x)
{
    size_t n = 0, m = 0;
    for (uint32_t k = 0; k < x->n; k++) n += 2 * x->region[k]->n_ranges;
    if (n >= UINT32_MAX) return -1;
    edge *e = malloc((n + 1) * sizeof *e);
    builder b = { .x = x, .now = calloc(x->words, sizeof *b.now) };
    x->start = malloc((n + 1) * sizeof *x->start);
    x->set = malloc((n + 1) * sizeof *x->set);
    int rc = -1;
    if (e && b.now && x->start && x->set && !grow(&b)) {
        for (uint32_t k = 0; k < x->n; k++) {
            for (size_t i = 0; i < x->region[k]->n_ranges; i++) {
                e[m++] = (edge){ x->region[k]->range[i].begin, k };
                e[m++] = (edge){ x->region[k]->range[i].end, k };
            }
        }
        qsort(e, m, sizeof *e, by_place);
        rc = sweep(&b, e, m);
    }
    free(e);
    free(b.now);
    free(b.slot);
    return rc ? rc : make_table(x);
}

static const uint64_t *set_at(const rgn_index *x, uint64_t cell)
{
    uint64_t c = cell >> 2 * (RGN_ORDER - x->first_order);
    uint32_t low = x->first[c], high = x->first[c + 1]; /* the start that counts is in [low, high] */
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        if (x->start[middle] <= cell)
            low = middle;
        else
            high = middle - 1;
    }
    return x->sets + (size_t)x->set[low] * x->words;
}

/* ---- shapes ---- */

/* Calls for each shape and each cell whose cone it touches; counts, and fills when the index has room. */
static void place_shapes(rgn_index *x, uint32_t *count, const double (*centre)[3], double cell_radius)
{
    for (uint32_t k = 0; k < x->n; k++) {
        const rgn_region *r = x->region[k];
        for (size_t i = 0; i < r->n_shapes; i++) {
            const rgn_shape *s = &r->shape[i];
            double radius = 2 * asin(fmin(1, sqrt(s->chord2) / 2)) + cell_radius;
            double least = radius >= M_PI ? -2 : cos(radius);
            for (uint32_t c = 0; c < SHAPE_CELLS; c++) {
                const double *v = centre[c];
                if (v[0] * s->centre[0] + v[1] * s->centre[1] + v[2] * s->centre[2] < least) continue;
                if (x->place) x->place[x->place_first[c] + count[c]] = (place){ s, k };
                count[c]++;
            }
        }
    }
}

static int index_shapes(rgn_index *x)
{
    for (uint32_t k = 0; k < x->n; k++) x->n_shapes += (uint32_t)x->region[k]->n_shapes;
    if (!x->n_shapes) return 0;
    double(*centre)[3] = malloc(SHAPE_CELLS * sizeof *centre);
    uint32_t *count = calloc(SHAPE_CELLS, sizeof *count);
    x->place_first = calloc(SHAPE_CELLS + 1, sizeof *x->place_first);
    int rc = -1;
    if (centre && count && x->place_first) {
        for (int64_t c = 0; c < SHAPE_CELLS; c++) pix2vec_nest64(1 << SHAPE_ORDER, c, centre[c]);
        /* no corner of a cell is farther from its centre: 2 sides, and half of it for the poles' cells */
        double cell_radius = 1.5 * sqrt(4 * M_PI / SHAPE_CELLS);
        place_shapes(x, count, (const double(*)[3])centre, cell_radius);
        for (uint32_t c = 0; c < SHAPE_CELLS; c++) x->place_first[c + 1] = x->place_first[c] + count[c];
        x->place = malloc((x->place_first[SHAPE_CELLS] + 1) * sizeof *x->place);
        memset(count, 0, SHAPE_CELLS * sizeof *count);
        if (x->place) place_shapes(x, count, (const double(*)[3])centre, cell_radius);
        rc = x->place ? 0 : -1;
    }
    free(centre);
    free(count);
    return rc;
}

int rgn_index_make(rgn_index *x, const rgn_region *const *region, uint32_t n)
{
    *x = (rgn_index){ .n = n, .words = (n + 63) / 64, .region = region };
    if (!n) x->words = 1;
    x->band = malloc((n + 1) * sizeof *x->band);
    if (!x->band) return -1;
    for (uint32_t k = 0; k < n; k++)
        if (region[k]->is_band) x->band[x->n_bands++] = k;
    return index_maps(x) || index_shapes(x) ? -1 : 0;
}

void rgn_index_free(rgn_index *x)
{
    free(x->start);
    free(x->set);
    free(x->sets);
    free(x->first);
    free(x->place);
    free(x->place_first);
    free(x->band);
    *x = (rgn_index){ 0 };
}

static int is_position(double ra, double dec)
{
    return isfinite(ra) && dec >= -90 && dec <= 90;
}

static void set_bit(uint64_t *bits, uint32_t k)
{
    bits[k / 64] |= UINT64_C(1) << k % 64;
}

int32_t rgn_index_find(const rgn_index *x, double ra, double dec, uint64_t *bits)
{
    if (!is_position(ra, dec)) return -1;
    uint64_t cell = rgn_cell_of(ra, dec);
    memcpy(bits, set_at(x, cell), x->words * sizeof *bits);
    if (x->n_shapes || x->n_bands) {
        double v[3];
        rgn_vector(ra, dec, v);
        uint64_t c = cell >> 2 * (RGN_ORDER - SHAPE_ORDER);
        for (uint32_t i = x->n_shapes ? x->place_first[c] : 0; x->n_shapes && i < x->place_first[c + 1]; i++)
            if (rgn_in_shape(x->place[i].shape, v)) set_bit(bits, x->place[i].region);
        for (uint32_t i = 0; i < x->n_bands; i++)
            if (rgn_in_band(&x->region[x->band[i]]->band, v)) set_bit(bits, x->band[i]);
    }
    int32_t n = 0;
    for (uint32_t w = 0; w < x->words; w++) n += __builtin_popcountll(bits[w]);
    return n;
}

static int holds(const rgn_region *r, uint64_t cell, const double v[3])
{
    for (size_t i = 0; i < r->n_ranges; i++)
        if (cell >= r->range[i].begin && cell < r->range[i].end) return 1;
    for (size_t i = 0; i < r->n_shapes; i++)
        if (rgn_in_shape(&r->shape[i], v)) return 1;
    return r->is_band && rgn_in_band(&r->band, v);
}

int32_t rgn_find_plain(const rgn_index *x, double ra, double dec, uint64_t *bits)
{
    if (!is_position(ra, dec)) return -1;
    int32_t n = 0;
    double v[3];
    rgn_vector(ra, dec, v);
    memset(bits, 0, x->words * sizeof *bits);
    for (uint32_t k = 0; k < x->n; k++) {
        if (!holds(x->region[k], rgn_cell_of(ra, dec), v)) continue;
        set_bit(bits, k);
        n++;
    }
    return n;
}
