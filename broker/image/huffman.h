/* huffman.h - canonical codes of deflate: from the lengths that a stream gives to tables and symbols. */
#ifndef NJ_IMAGE_HUFFMAN_H
#define NJ_IMAGE_HUFFMAN_H

#include <stdbool.h>
#include <stdint.h>

enum { NJ_HUFFMAN_BITS = 15, NJ_HUFFMAN_SYMBOLS = 286 };

typedef struct nj_huffman {
    uint32_t limit[NJ_HUFFMAN_BITS + 1]; /* [bits] the first code behind those of so many bits, as 15 bits */
    int32_t first[NJ_HUFFMAN_BITS + 1];  /* [bits] code c of so many bits is symbol[first + c] */
    uint16_t count[NJ_HUFFMAN_BITS + 1]; /* [bits] symbols that have so many */
    uint16_t symbol[NJ_HUFFMAN_SYMBOLS + 1]; /* by their codes; one more is for nj_huffman_make */
} nj_huffman;

/* The code that has symbols of these lengths; false when it is not complete. */
bool nj_huffman_make(nj_huffman *code, const uint8_t *length, uint32_t n);

/* table[1 << width] by the next bits of the stream: the length of the code, and its symbol from bit 4 on;
 * 0 = a longer one. */
void nj_huffman_table(const nj_huffman *code, uint16_t *table, int width);

/* The symbol that the next 15 bits begin with, without a table, and how many of them are its code. */
uint32_t nj_huffman_symbol(const nj_huffman *code, uint64_t next, uint32_t *bits);

/* The code behind one, both of so many bits. The stream has their first bit lowest: they count up from the
 * highest one. */
static inline uint32_t nj_huffman_next(uint32_t at, int bits)
{
    const uint32_t zeros = at ^ ((1u << bits) - 1);
    if (!zeros) return 0; /* the last one */
    const uint32_t highest = 1u << (31 - __builtin_clz(zeros));
    return (at & (highest - 1)) | highest;
}

#endif
