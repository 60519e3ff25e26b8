/* derive.c - views of a light curve (one band, sorted by time) and conversions between number types. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

static void put(nj_type type, void *data, size_t i, double v)
{
    switch (type) {
    case NJ_U8: ((uint8_t *)data)[i] = v >= 0 && v < 255 ? (uint8_t)v : NJ_NO_U8; break;
    case NJ_I32:
        ((int32_t *)data)[i] = v > -2147483648.0 && v <= 2147483647.0 ? (int32_t)v : NJ_NO_I32;
        break;
    case NJ_I64: ((int64_t *)data)[i] = v > -9.2e18 && v < 9.2e18 ? (int64_t)v : NJ_NO_I64; break;
    case NJ_F32: ((float *)data)[i] = (float)v; break;
    case NJ_F64: ((double *)data)[i] = v; break;
    default: break;
    }
}

static int convert(const nj_derived *d, nj_batch *b, nj_col *out)
{
    const nj_col *base = &b->col[d->base];
    size_t n = d->shape == NJ_SERIES ? base->off[b->n] : b->n;
    void *data = nj_arena_alloc(&b->arena, n * nj_type_size(d->to) + 1);
    if (!data) return -1;
    for (size_t i = 0; i < n; i++) put(d->to, data, i, nj_number(d->from, base->data, i) * d->scale);
    *out = (nj_col){ data, base->off };
    return 0;
}

/* One band: the points with that band code, in packet order. */
static int select_band(const nj_derived *d, nj_batch *b, nj_col *out)
{
    const nj_col *base = &b->col[d->base];
    const int32_t *band = b->col[d->key].data;
    size_t size = nj_type_size(d->from), k = 0;
    uint32_t *off = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *off);
    char *data = nj_arena_alloc(&b->arena, base->off[b->n] * size + 1);
    if (!off || !data) return -1;
    for (uint32_t r = 0; r < b->n; r++) {
        off[r] = (uint32_t)k;
        for (uint32_t i = base->off[r]; i < base->off[r + 1]; i++)
            if (band[i] == d->band) memcpy(data + size * k++, (const char *)base->data + size * i, size);
    }
    off[b->n] = (uint32_t)k;
    *out = (nj_col){ data, off };
    return 0;
}

/* Sorted stably by time; histories are nearly sorted, so insertion is linear in practice.
 * Null times go last. */
static int sort_time(const nj_derived *d, nj_batch *b, nj_col *out)
{
    const nj_col *base = &b->col[d->base];
    const double *jd = b->col[d->key].data;
    size_t size = nj_type_size(d->from), n = base->off[b->n];
    char *data = nj_arena_alloc(&b->arena, n * size + 1);
    uint32_t *order = nj_arena_alloc(&b->arena, n * sizeof *order + 4);
    if (!data || !order) return -1;
    for (uint32_t r = 0; r < b->n; r++)
        for (uint32_t i = base->off[r]; i < base->off[r + 1]; i++) {
            uint32_t k = i;
            for (;
                 k > base->off[r] && (jd[order[k - 1]] > jd[i] || (isnan(jd[order[k - 1]]) && !isnan(jd[i])));
                 k--)
                order[k] = order[k - 1];
            order[k] = i;
        }
    for (size_t i = 0; i < n; i++) memcpy(data + size * i, (const char *)base->data + size * order[i], size);
    *out = (nj_col){ data, base->off };
    return 0;
}

int nj_derive(const nj_graph *graph, nj_batch *batch, uint32_t column)
{
    nj_col *out = &batch->col[column];
    const nj_derived *d = &graph->derived[graph->col[column].derived];
    if (out->data || !batch->col[d->base].data) return 0; /* done, or its base is absent */
    if (d->kind != NJ_DERIVE_CONVERT && !batch->col[d->key].data) return 0;
    switch (d->kind) {
    case NJ_DERIVE_BAND: return select_band(d, batch, out);
    case NJ_DERIVE_TIME: return sort_time(d, batch, out);
    default: return convert(d, batch, out);
    }
}
