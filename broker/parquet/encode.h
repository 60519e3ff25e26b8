/* encode.h - what stands in a Parquet page, behind writer.c. */
#ifndef NJ_PARQUET_ENCODE_H
#define NJ_PARQUET_ENCODE_H

#include "../base/buffer.h"
#include "parquet.h"

/* n numbers of `bits` bits in the RLE / bit-packed hybrid. */
void nj_rle_write(nj_buffer *to, const uint32_t *value, size_t n, uint32_t bits);
/* Bits of the largest number; 1 at least. */
uint32_t nj_rle_bits(uint32_t largest);

/* Bytes of the value at p, as PLAIN has it; width 0: a text with its length before it. */
static inline size_t nj_plain_size(const uint8_t *p, size_t width)
{
    uint32_t n = 0;
    if (width) return width;
    __builtin_memcpy(&n, p, sizeof n);
    return n + sizeof n;
}

/* The different values of a column, in the order in which they come first. */
typedef struct nj_dictionary {
    nj_buffer value; /* as PLAIN has them */
    nj_buffer start; /* size_t[n]: where each begins */
    uint32_t n;
    uint32_t *code; /* [n_values] */
    uint32_t *slot, n_slots;
} nj_dictionary;

/* 1: it pays; 0: it does not; -1: out of memory. */
int nj_dictionary_make(nj_dictionary *d, const nj_buffer *values, size_t n_values, size_t width);
void nj_dictionary_free(nj_dictionary *d);

/* The smallest and largest of n values (n > 0) of a type; of texts by their bytes. Pointers to them, of a
 * text to its length. */
void nj_plain_extremes(const nj_buffer *values, size_t n, nj_parquet_type type, const uint8_t **min,
                       const uint8_t **max);

#endif
