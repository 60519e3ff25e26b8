/* hostless_words.h - the reasons for and against a candidate, in words. */
#ifndef NJ_REVIEW_HOSTLESS_WORDS_H
#define NJ_REVIEW_HOSTLESS_WORDS_H

#include "../base/template.h"
#include "hostless_page.h"

/* The lists `for` and `against` of a page. */
void nj_hostless_reasons(nj_template_values *values, const nj_hostless_page *page);

/* Why it is hardly a transient, in a few words: "rb 0.31", "known asteroid, rb 0.20";
 * "" = nothing speaks against it at once. */
void nj_hostless_doubt(const nj_hostless_page *page, char *text, size_t size);

#endif
