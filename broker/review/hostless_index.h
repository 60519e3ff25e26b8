/* hostless_index.h - the list of candidates that leads to their pages. */
#ifndef NJ_REVIEW_HOSTLESS_INDEX_H
#define NJ_REVIEW_HOSTLESS_INDEX_H

#include "hostless_page.h"

typedef struct nj_hostless_line {
    int64_t candid;
    char page[64], band[8], lone[16], doubt[64]; /* page: the name of its file;
                                                  * doubt: why it is last, "" = it is not */
    char *object, *topics, *thumb[3];            /* malloc'ed; NULL = none */
    int candidate, verdict, positive;
    double ks[2], sd[2], excess, mag, rb;
    uint32_t repeats;
} nj_hostless_line;

/* Takes over the thumbs (data: addresses, malloc'ed, NULL = none).
 * -1, and takes over nothing: memory is short. */
int nj_hostless_line_make(nj_hostless_line *line, const nj_hostless_page *page, const char *name,
                          char *const thumb[3]);
void nj_hostless_line_free(nj_hostless_line *line);

/* The words of a verdict, and the class of their colour. */
const char *nj_hostless_badge(int candidate, int verdict, const char **class);

/* Sorts the lines and writes the page. -1 with err: memory is short. */
int nj_hostless_index_html(nj_buffer *out, nj_hostless_line *line, uint32_t n, const nj_hostless_index *about,
                           nj_error *err);

#endif
