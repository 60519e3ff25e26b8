/* batch.c - modules work on columns; a batch allocates the columns of some alerts and reuses the memory for
 * the next ones. */
#include "batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nj_stamp_name[NJ_STAMPS] = { "stamp.science", "stamp.template", "stamp.difference" };

_Static_assert((int)NJ_REASONS == (int)NJ_REASON_NAMES, "each reason has its name in base/reason.c");

size_t nj_type_size(nj_type type)
{
    static const size_t size[] = { 0, 1, 4, 8, 4, 8, sizeof(char *) };
    return size[type];
}

const char *nj_type_name(nj_type type)
{
    static const char *const name[] = { "?", "u8", "i32", "i64", "f32", "f64", "str" };
    return name[type];
}

void nj_fill_null(nj_type type, void *data, size_t n)
{
    switch (type) {
    case NJ_U8: memset(data, 255, n); break;
    case NJ_I32:
        for (size_t i = 0; i < n; i++) ((int32_t *)data)[i] = NJ_NO_I32;
        break;
    case NJ_I64:
        for (size_t i = 0; i < n; i++) ((int64_t *)data)[i] = NJ_NO_I64;
        break;
    case NJ_F32:
        for (size_t i = 0; i < n; i++) ((float *)data)[i] = NJ_NO_F32;
        break;
    case NJ_F64:
        for (size_t i = 0; i < n; i++) ((double *)data)[i] = NJ_NO_F64;
        break;
    case NJ_STR: memset(data, 0, n * sizeof(char *)); break;
    }
}

nj_batch *nj_batch_new(void)
{
    return calloc(1, sizeof(nj_batch));
}

static int begin_columns(nj_batch *b, const nj_layout *layout, uint32_t cap)
{
    nj_arena *a = &b->arena;
    b->row = nj_arena_alloc(a, cap * sizeof *b->row);
    b->id = nj_arena_alloc(a, cap * sizeof *b->id);
    b->col = nj_arena_zalloc(a, (layout->n + 1) * sizeof *b->col);
    b->series_cap = nj_arena_zalloc(a, (layout->n_packet + 1) * sizeof *b->series_cap);
    if (!b->row || !b->id || !b->col || !b->series_cap) return -1;
    for (uint32_t c = 0; c < layout->n_packet; c++) {
        const nj_column_def *def = &layout->col[c];
        if (def->shape == NJ_SERIES) {
            uint32_t *off = nj_arena_alloc(a, (cap + 1) * sizeof *off);
            if (!off) return -1;
            off[0] = 0;
            b->col[c].off = off;
        } else {
            void *data = nj_arena_alloc(a, cap * nj_type_size(def->type));
            if (!data) return -1;
            nj_fill_null(def->type, data, cap);
            b->col[c].data = data;
        }
    }
    for (int s = 0; s < NJ_STAMPS; s++) {
        if (!(layout->stamps & 1u << s)) continue;
        b->stamp[s] = nj_arena_zalloc(a, cap * sizeof *b->stamp[s]);
        if (!b->stamp[s]) return -1;
    }
    for (uint32_t k = 0; k < layout->n_planes; k++)
        if (!(b->plane[k] = nj_arena_zalloc(a, cap * sizeof *b->plane[k]))) return -1;
    return 0;
}

nj_stamp *nj_batch_plane(nj_batch *b, uint32_t k, uint32_t row)
{
    const nj_plane_def *def = &b->layout->plane[k];
    nj_stamp *plane = &b->plane[k][row];
    const nj_stamp *stamp = &b->stamp[def->stamp][row];
    if (plane->state == NJ_STAMP_NONE && stamp->state != NJ_STAMP_NONE)
        *plane = (nj_stamp){
            .bytes = stamp->bytes, .size = stamp->size, .state = NJ_STAMP_PACKED, .hdu = def->hdu
        };
    return plane;
}

bool nj_plane_path(const char *path, uint8_t *stamp, const char **hdu)
{
    for (uint8_t s = 0; s < NJ_STAMPS; s++) {
        size_t n = strlen(nj_stamp_name[s]), all = strlen(path);
        if (strncmp(path, nj_stamp_name[s], n) || path[n] != '[' || all < n + 3 || path[all - 1] != ']')
            continue;
        *stamp = s;
        *hdu = path + n + 1;
        return strcspn(*hdu, "[]") == all - n - 2;
    }
    return false;
}

int nj_batch_begin(nj_batch *b, const nj_layout *layout, uint32_t cap)
{
    nj_batch_end(b);
    b->layout = layout;
    b->cap = cap;
    return layout ? begin_columns(b, layout, cap) : 0;
}

void nj_batch_end(nj_batch *b)
{
    for (uint32_t i = 0; i < b->n_receipts; i++) nj_chunk_drop(b->receipt[i].chunk);
    nj_receipt *receipt = b->receipt;
    uint32_t cap_receipts = b->cap_receipts;
    nj_arena arena = b->arena;
    nj_arena_reset(&arena);
    *b = (nj_batch){ .receipt = receipt, .cap_receipts = cap_receipts, .arena = arena };
}

void nj_batch_free(nj_batch *b)
{
    if (!b) return;
    nj_batch_end(b);
    nj_arena_free(&b->arena);
    free(b->receipt);
    free(b);
}

int nj_batch_dead(nj_batch *b, nj_chunk *chunk, uint32_t record, const uint8_t *bytes, size_t size,
                  const char *module, const char *field, const char *reason, ...)
{
    if (b->n_dead == b->cap_dead) {
        uint32_t cap = b->cap_dead ? 2 * b->cap_dead : 8;
        nj_dead *dead = nj_arena_alloc(&b->arena, cap * sizeof *dead);
        if (!dead) return -1;
        if (b->n_dead) memcpy(dead, b->dead, b->n_dead * sizeof *dead);
        b->dead = dead;
        b->cap_dead = cap;
    }
    char text[1280];
    va_list ap;
    va_start(ap, reason);
    vsnprintf(text, sizeof text, reason, ap);
    va_end(ap);
    char *copy = nj_arena_text(&b->arena, text, strlen(text));
    char *name = field ? nj_arena_text(&b->arena, field, strlen(field)) : NULL;
    if (!copy || (field && !name)) return -1;
    b->dead[b->n_dead++] = (nj_dead){ chunk, record, bytes, size, copy, module, name, false };
    return 0;
}

int nj_batch_others(nj_batch *b, nj_chunk *chunk, uint32_t record, uint32_t n)
{
    nj_others *last = b->n_others ? &b->others[b->n_others - 1] : NULL;
    if (last && last->chunk == chunk && last->record + last->n == record) return last->n += n, 0;
    if (b->n_others == b->cap_others) {
        uint32_t cap = b->cap_others ? 2 * b->cap_others : 8;
        nj_others *others = nj_arena_alloc(&b->arena, cap * sizeof *others);
        if (!others) return -1;
        if (b->n_others) memcpy(others, b->others, b->n_others * sizeof *others);
        b->others = others;
        b->cap_others = cap;
    }
    b->others[b->n_others++] = (nj_others){ chunk, record, n };
    return 0;
}

nj_receipt *nj_batch_receipt(nj_batch *b, nj_chunk *chunk)
{
    /* a chunk's rows are consecutive: only the last receipt can be its own */
    if (b->n_receipts && b->receipt[b->n_receipts - 1].chunk == chunk) return &b->receipt[b->n_receipts - 1];
    if (b->n_receipts == b->cap_receipts) {
        uint32_t cap = b->cap_receipts ? 2 * b->cap_receipts : 64;
        nj_receipt *receipt = realloc(b->receipt, cap * sizeof *receipt);
        if (!receipt) return NULL;
        b->receipt = receipt;
        b->cap_receipts = cap;
    }
    nj_chunk_hold(chunk);
    nj_receipt *r = &b->receipt[b->n_receipts++];
    *r = (nj_receipt){ .chunk = chunk };
    if (!b->oldest_ns || chunk->arrival_ns < b->oldest_ns) b->oldest_ns = chunk->arrival_ns;
    return r;
}
