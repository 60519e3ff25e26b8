/* terms.h - the words of the reports, each with its one meaning:
 * data/embed/terms.txt, which travels inside the binary. */
#ifndef NJ_REPORT_TERMS_H
#define NJ_REPORT_TERMS_H

#include <stdbool.h>

typedef struct nj_term {
    char name[64];
    char meaning[2048]; /* one line */
} nj_term;

/* All of it as it is printed, at most 80 columns. */
const char *nj_terms_text(void);
/* One after the other: *at is NULL before the first. false: there are no more. */
bool nj_terms_next(const char **at, nj_term *term);

#endif
