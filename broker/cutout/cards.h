/* cards.h - cards of FITS headers, 80 characters each, and the blocks that end headers and data. */
#ifndef NJ_CUTOUT_CARDS_H
#define NJ_CUTOUT_CARDS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/buffer.h"

enum { NJ_CARD = 80, NJ_CARDS_BLOCK = 2880 };

/* Cut to 80 characters, padded with blanks. */
__attribute__((format(printf, 2, 3))) void nj_card(nj_buffer *b, const char *format, ...);
/* Quotes are doubled; what does not fit is cut off, the comment first. */
void nj_card_text(nj_buffer *b, const char *key, const char *text, const char *comment);
void nj_card_whole(nj_buffer *b, const char *key, long long value, const char *comment);
/* NaN and infinities have no form in FITS: a card without a value. */
void nj_card_real(nj_buffer *b, const char *key, double value, const char *comment);
/* END, and blanks up to the end of the block; `from` is where the header began. */
void nj_cards_end(nj_buffer *b, size_t from);

/* The ones' complement sum of 32-bit words, as FITS has it: n is a multiple of four. Sums are added by
 * nj_words_plus(). */
uint32_t nj_words_sum(const void *bytes, size_t n);
uint32_t nj_words_plus(uint32_t a, uint32_t b);
/* Cards for the checksums of an HDU, and what they say once its header (from `from` to `data`) is complete
 * and the sum of its data is known. */
void nj_cards_sums(nj_buffer *b);
void nj_cards_sum_up(nj_buffer *b, size_t from, size_t data, uint32_t sum_of_data);

#endif
