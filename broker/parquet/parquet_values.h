/* parquet_values.h - the encodings of a Parquet page, behind parquet.c. */
#ifndef NJ_PARQUET_PARQUET_VALUES_H
#define NJ_PARQUET_PARQUET_VALUES_H

#include "parquet.h"

#define NJ_PAGE_LEVELS ((uint32_t)1 << 24) /* most level entries of one page; more is refused */

typedef struct nj_page_values {
    uint8_t *value; /* [n] by nj_parquet_type; room for cap */
    uint32_t n, cap;
    uint8_t *text;  /* the unpacked page that bytes point into; owned */
    uint8_t *owned; /* bytes that had to be put together (DELTA_BYTE_ARRAY); owned */
} nj_page_values;

size_t nj_page_width(nj_parquet_type type);
/* Decodes n values of the encoding from [p, end) (readable for 8 bytes behind end when it was unpacked).
 * physical: the schema's type, 0-7. NULL, or what is wrong. */
const char *nj_page_decode(nj_page_values *v, int encoding, int physical, int fixed_size, const uint8_t *p,
                           const uint8_t *end, uint32_t n, const nj_page_values *dictionary);
/* Moves the values apart so that value i belongs to level entry i; nulls are zero bytes. */
int nj_page_spread(nj_page_values *v, size_t width, const uint8_t *def, uint8_t max_def, uint32_t n);
void nj_page_values_free(nj_page_values *v);
/* Levels 0..max in the RLE / bit-packed hybrid; -1 when damaged, short or out of range. */
int nj_rle_levels(const uint8_t *p, const uint8_t *end, int max, uint8_t *to, uint32_t n);

#endif
