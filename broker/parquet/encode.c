/* encode.c - the values of a column become small here: dictionaries, and numbers of few bits. */
#include "encode.h"

#include <stdlib.h>
#include <string.h>

enum { DICTIONARY_BYTES = 1 << 20, LOOK_AT = 4096, GROUPS_MOST = 1 << 20 };

/* ---- the RLE / bit-packed hybrid ------------------------------------------------------------- */

uint32_t nj_rle_bits(uint32_t largest)
{
    return largest ? 32 - (uint32_t)__builtin_clz(largest) : 1;
}

static void head(nj_buffer *to, uint64_t v)
{
    uint8_t byte[10];
    size_t n = 0;
    for (; v > 127; v >>= 7) byte[n++] = (uint8_t)(v | 128);
    byte[n++] = (uint8_t)v;
    nj_buffer_add(to, byte, n);
}

/* How many from here on are the same; 8 is enough to know when a run pays. */
static size_t run_of(const uint32_t *value, size_t n, size_t most)
{
    size_t k = 1;
    while (k < n && k < most && value[k] == value[0]) k++;
    return k;
}

static void pack(nj_buffer *to, const uint32_t *value, size_t n, uint32_t bits)
{
    size_t groups = (n + 7) / 8;
    head(to, groups << 1 | 1);
    uint8_t *at = (uint8_t *)nj_buffer_room(to, groups * bits);
    if (!at) return;
    uint64_t word = 0;
    uint32_t fill = 0;
    for (size_t i = 0; i < groups * 8; i++) {
        word |= (uint64_t)(i < n ? value[i] : 0) << fill;
        for (fill += bits; fill >= 8; fill -= 8, word >>= 8) *at++ = (uint8_t)word;
    }
    to->n += groups * bits;
}

void nj_rle_write(nj_buffer *to, const uint32_t *value, size_t n, uint32_t bits)
{
    for (size_t i = 0; i < n;) {
        size_t run = run_of(value + i, n - i, 8);
        if (run == 8) {
            run = run_of(value + i, n - i, n - i);
            head(to, (uint64_t)run << 1);
            nj_buffer_add(to, &value[i], (bits + 7) / 8); /* little-endian */
            i += run;
            continue;
        }
        size_t end = i;
        do end += 8;
        while (end < n && end - i < (size_t)8 * GROUPS_MOST && run_of(value + end, n - end, 8) < 8);
        if (end > n) end = n;
        pack(to, value + i, end - i, bits);
        i = end;
    }
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_of(const uint8_t *p, size_t n)
{
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mixed(h ^ word);
    }
    word = 0;
    memcpy(&word, p, n);
    return mixed(mixed(h ^ word));
}

static const uint8_t *entry(const nj_dictionary *d, uint32_t k)
{
    return (const uint8_t *)d->value.data + ((const size_t *)d->start.data)[k];
}

static int grow(nj_dictionary *d, size_t width)
{
    uint32_t n_slots = d->n_slots ? 4 * d->n_slots : 1024, *slot = calloc(n_slots, sizeof *slot);
    if (!slot) return -1;
    for (uint32_t k = 0; k < d->n; k++) {
        const uint8_t *p = entry(d, k);
        uint32_t at = (uint32_t)hash_of(p, nj_plain_size(p, width)) & (n_slots - 1);
        while (slot[at]) at = (at + 1) & (n_slots - 1);
        slot[at] = k + 1;
    }
    free(d->slot);
    d->slot = slot;
    d->n_slots = n_slots;
    return 0;
}

/* The number of a value, a new one for a new value; UINT32_MAX: out of memory. */
static uint32_t find(nj_dictionary *d, const uint8_t *p, size_t n, size_t width)
{
    if (2 * d->n >= d->n_slots && grow(d, width)) return UINT32_MAX;
    uint32_t at = (uint32_t)hash_of(p, n) & (d->n_slots - 1);
    for (; d->slot[at]; at = (at + 1) & (d->n_slots - 1)) {
        const uint8_t *q = entry(d, d->slot[at] - 1);
        if (nj_plain_size(q, width) == n && !memcmp(p, q, n)) return d->slot[at] - 1;
    }
    size_t start = d->value.n;
    nj_buffer_add(&d->start, &start, sizeof start);
    nj_buffer_add(&d->value, p, n);
    if (d->start.failed || d->value.failed) return UINT32_MAX;
    d->slot[at] = ++d->n;
    return d->n - 1;
}

/* After so many of the values, which take so many bytes as they are. */
static int pays(const nj_dictionary *d, size_t n_values, size_t bytes)
{
    return d->value.n <= DICTIONARY_BYTES &&
           d->value.n + n_values * nj_rle_bits(d->n ? d->n - 1 : 0) / 8 < bytes - bytes / 8;
}

int nj_dictionary_make(nj_dictionary *d, const nj_buffer *values, size_t n_values, size_t width)
{
    const uint8_t *from = (const uint8_t *)values->data, *p = from;
    size_t look = LOOK_AT;
    *d = (nj_dictionary){ .code = n_values < UINT32_MAX ? malloc((n_values + 1) * sizeof *d->code) : NULL };
    if (!d->code) return -1;
    for (size_t i = 0; i < n_values; i++) {
        size_t n = nj_plain_size(p, width);
        d->code[i] = find(d, p, n, width);
        if (d->code[i] == UINT32_MAX) return -1;
        p += n;
        if (i + 1 < look) continue; /* most columns without a dictionary are given up early */
        if (!pays(d, i + 1, (size_t)(p - from))) return 0;
        look *= 2;
    }
    return n_values && pays(d, n_values, values->n);
}

void nj_dictionary_free(nj_dictionary *d)
{
    nj_buffer_free(&d->value);
    nj_buffer_free(&d->start);
    free(d->code);
    free(d->slot);
    *d = (nj_dictionary){ 0 };
}

/* ---- statistics ------------------------------------------------------------------------------ */

static int compare(const uint8_t *a, const uint8_t *b)
{
    size_t n = nj_plain_size(a, 0) - 4, m = nj_plain_size(b, 0) - 4;
    int c = memcmp(a + 4, b + 4, n < m ? n : m);
    return c ? c : (n > m) - (n < m);
}

static void text_extremes(const uint8_t *p, size_t n, const uint8_t **min, const uint8_t **max)
{
    for (size_t i = 0; i < n; i++, p += nj_plain_size(p, 0)) {
        if (compare(p, *min) < 0) *min = p;
        if (compare(p, *max) > 0) *max = p;
    }
}

#define EXTREMES(type)                                                                                       \
    do {                                                                                                     \
        const type *v = (const type *)(const void *)p, *a = v, *b = v;                                       \
        for (size_t i = 1; i < n; i++) {                                                                     \
            if (v[i] < *a) a = v + i;                                                                        \
            if (v[i] > *b) b = v + i;                                                                        \
        }                                                                                                    \
        *min = (const uint8_t *)a;                                                                           \
        *max = (const uint8_t *)b;                                                                           \
    } while (0)

void nj_plain_extremes(const nj_buffer *values, size_t n, nj_parquet_type type, const uint8_t **min,
                       const uint8_t **max)
{
    const uint8_t *p = (const uint8_t *)values->data; /* aligned as malloc does */
    *min = *max = p;
    switch (type) {
    case NJ_PARQUET_I32: EXTREMES(int32_t); break;
    case NJ_PARQUET_I64: EXTREMES(int64_t); break;
    case NJ_PARQUET_F32: EXTREMES(float); break;
    case NJ_PARQUET_F64: EXTREMES(double); break;
    default: text_extremes(p, n, min, max);
    }
}
