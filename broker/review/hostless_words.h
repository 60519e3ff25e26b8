/* hostless_words.h - the reasons for and against a candidate, in words. */
#ifndef NJ_REVIEW_HOSTLESS_WORDS_H
#define NJ_REVIEW_HOSTLESS_WORDS_H

#include "hostless_page.h"

/* HTML list items (<li>...</li>) of the reasons for, or against. */
void nj_hostless_reasons(nj_buffer *out, const nj_hostless_page *page, bool against);

/* Why it is hardly a transient, in a few words: "rb 0.31", "known asteroid, rb 0.20";
 * "" = nothing speaks against it at once. */
void nj_hostless_doubt(const nj_hostless_page *page, char *text, size_t size);

#endif
