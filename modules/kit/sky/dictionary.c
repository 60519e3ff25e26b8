/* dictionary.c - text columns of a .njx file are numbers; this finds the number of a text while the file is
 * written. */
#include "dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "njx.h"

static uint64_t hash_text(const char *text, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return h ^ h >> 31;
}

static int grow_slots(njx_dictionary *d)
{
    uint32_t n = d->n_slots ? 2 * d->n_slots : 1024;
    uint32_t *slot = calloc(n, sizeof *slot);
    if (!slot) return -1;
    for (uint32_t code = 0; code < d->n; code++) {
        uint32_t at = (uint32_t)hash_text(d->text + d->start[code],
                                          (uint32_t)(d->start[code + 1] - d->start[code] - 1)) &
                      (n - 1);
        while (slot[at]) at = (at + 1) & (n - 1);
        slot[at] = code + 1;
    }
    free(d->slot);
    d->slot = slot;
    d->n_slots = n;
    return 0;
}

uint32_t njx_encode(njx_dictionary *d, const char *text, uint32_t n)
{
    if (2 * (uint64_t)d->n >= d->n_slots && (d->n_slots >= 1u << 31 || grow_slots(d))) return NJX_NO_CODE;
    uint32_t at = (uint32_t)hash_text(text, n) & (d->n_slots - 1);
    for (; d->slot[at]; at = (at + 1) & (d->n_slots - 1)) {
        uint32_t code = d->slot[at] - 1;
        if (d->start[code + 1] - d->start[code] - 1 == n && !memcmp(d->text + d->start[code], text, n))
            return code;
    }
    if (d->n + 2 > d->cap) {
        uint32_t cap = d->cap ? 2 * d->cap : 256;
        uint64_t *start = realloc(d->start, cap * sizeof *start);
        if (!start) return NJX_NO_CODE;
        start[0] = 0;
        d->start = start;
        d->cap = cap;
    }
    if (d->cap_text - d->n_text < n + 1) {
        size_t cap = 2 * d->cap_text + n + 4096;
        char *room = realloc(d->text, cap);
        if (!room) return NJX_NO_CODE;
        d->text = room;
        d->cap_text = cap;
    }
    memcpy(d->text + d->n_text, text, n);
    d->n_text += n;
    d->text[d->n_text++] = 0;
    d->start[++d->n] = d->n_text;
    d->slot[at] = d->n;
    return d->n - 1;
}

void njx_dictionary_free(njx_dictionary *d)
{
    free(d->slot);
    free(d->start);
    free(d->text);
    *d = (njx_dictionary){ 0 };
}
