/* dedup.c - Kafka delivers some messages twice; this remembers the last N alert ids, so that repeats can be
 * dropped. */
#include "dedup.h"

#include <stdlib.h>
#include <string.h>

/* Two generations of an open-addressing table: when the young one is full, the old one is forgotten. */
struct nj_dedup {
    size_t window, mask, n; /* n entries in the young table */
    uint64_t *young, *old;  /* 0 = empty */
};

nj_dedup *nj_dedup_new(size_t window)
{
    nj_dedup *d = calloc(1, sizeof *d);
    size_t cap = 16;
    while (cap < window * 3 / 2) cap *= 2;
    if (!d) return NULL;
    d->window = window;
    d->mask = cap - 1;
    d->young = calloc(cap, sizeof *d->young);
    d->old = calloc(cap, sizeof *d->old);
    if (d->young && d->old) return d;
    nj_dedup_free(d);
    return NULL;
}

/* The slot of the key, or the empty one where it would go. */
static uint64_t *slot(const nj_dedup *d, uint64_t *table, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & d->mask;
    while (table[i] && table[i] != key) i = (i + 1) & d->mask;
    return &table[i];
}

bool nj_dedup_seen(nj_dedup *d, int64_t id, uint64_t salt)
{
    if (id == INT64_MIN) return false;
    uint64_t key = (uint64_t)id ^ salt;
    if (key == 0) key = 1;
    uint64_t *at = slot(d, d->young, key);
    if (*at) return true;
    bool seen = *slot(d, d->old, key) != 0;
    if (d->n == d->window) {
        uint64_t *forgotten = d->old;
        d->old = d->young;
        d->young = forgotten;
        memset(d->young, 0, (d->mask + 1) * sizeof *d->young);
        d->n = 0;
        at = slot(d, d->young, key);
    }
    *at = key;
    d->n++;
    return seen;
}

void nj_dedup_free(nj_dedup *d)
{
    if (!d) return;
    free(d->young);
    free(d->old);
    free(d);
}
