/* huffman.c - the codes of a deflate block are few bytes of lengths, from which everything else follows. */
#include "huffman.h"

#include <string.h>

bool nj_huffman_make(nj_huffman *c, const uint8_t *length, uint32_t n)
{
    uint32_t next = 0, index = 0, at[NJ_HUFFMAN_BITS + 1];
    memset(c->count, 0, sizeof c->count);
    for (uint32_t i = 0; i < n; i++) c->count[length[i]]++;
    c->count[0] = 0;
    for (int bits = 1; bits <= NJ_HUFFMAN_BITS; bits++) {
        at[bits] = index;
        c->first[bits] = (int32_t)index - (int32_t)next;
        next += c->count[bits];
        index += c->count[bits];
        c->limit[bits] = next << (NJ_HUFFMAN_BITS - bits);
        next <<= 1;
    }
    if (c->limit[NJ_HUFFMAN_BITS] != 1u << NJ_HUFFMAN_BITS) return false;
    at[0] = NJ_HUFFMAN_SYMBOLS; /* where those without a code go: a branch would often be guessed wrong */
    for (uint32_t i = 0; i < n; i++) {
        c->symbol[at[length[i]]] = (uint16_t)i;
        at[length[i]] += length[i] != 0;
    }
    return true;
}

void nj_huffman_table(const nj_huffman *c, uint16_t *table, int width)
{
    const uint16_t *symbol = c->symbol;
    uint32_t at = 0;
    table[0] = 0;
    for (int bits = 1; bits <= width; bits++) {
        memcpy(table + (1u << (bits - 1)), table, (sizeof *table) << (bits - 1));
        for (uint32_t k = c->count[bits]; k; k--, at = nj_huffman_next(at, bits))
            table[at] = (uint16_t)(bits | *symbol++ << 4);
    }
    for (int bits = width + 1; bits <= NJ_HUFFMAN_BITS; bits++)
        for (uint32_t k = c->count[bits]; k; k--, at = nj_huffman_next(at, bits))
            table[at & ((1u << width) - 1)] = 0;
}

uint32_t nj_huffman_symbol(const nj_huffman *c, uint64_t next, uint32_t *used)
{
    uint32_t v = (uint32_t)next & 0xffff, bits = 1;
    v = (v & 0x5555) << 1 | (v >> 1 & 0x5555);
    v = (v & 0x3333) << 2 | (v >> 2 & 0x3333);
    v = (v & 0x0f0f) << 4 | (v >> 4 & 0x0f0f);
    v = ((v & 0xff) << 8 | v >> 8) >> 1; /* 15 bits, the first one highest */
    while (v >= c->limit[bits]) bits++;
    *used = bits;
    return c->symbol[c->first[bits] + (int32_t)(v >> (NJ_HUFFMAN_BITS - bits))];
}
