/* dictionary.h - texts of one column, each kept once and named by a number. */
#ifndef NJ_SKY_DICTIONARY_H
#define NJ_SKY_DICTIONARY_H
#include <stddef.h>
#include <stdint.h>

typedef struct njx_dictionary { /* zero-initialised */
    uint32_t *slot;             /* code + 1; 0 = free */
    uint32_t n_slots, n;
    uint64_t *start; /* [n + 1] */
    uint32_t cap;
    char *text;
    size_t n_text, cap_text;
} njx_dictionary;

/* The text's code; NJX_NO_CODE when memory is short or the codes are used up. */
uint32_t njx_encode(njx_dictionary *d, const char *text, uint32_t n);
void njx_dictionary_free(njx_dictionary *d);

#endif
