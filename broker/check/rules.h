/* rules.h - what the files of rules share. */
#ifndef NJ_CHECK_RULES_H
#define NJ_CHECK_RULES_H

#include "check.h"

extern const char nj_own_row_only[]; /* a cure */

bool nj_check_no_memory(nj_check *c); /* false */
/* The row that is looked at. */
void nj_check_at(nj_check *c, const nj_made_batch *b, uint32_t row);
/* Are row r of a and row s of b the same, bit for bit but for the sign of a NaN? False: said. */
bool nj_check_same_row(nj_check *c, const nj_made_batch *a, uint32_t r, const nj_made_batch *b, uint32_t s,
                       const char *how, const char *cure);
/* An element for a message; whole numbers with all their digits. Returns text. */
const char *nj_check_words(nj_type type, const void *data, size_t i, char text[40]);

void nj_check_tables(nj_check *c);
void nj_check_failed_open(nj_check *c);

#endif
