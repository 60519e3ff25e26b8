/* error.h - one text per failed start-up call; the hot path uses reason codes instead. */
#ifndef NJ_BASE_ERROR_H
#define NJ_BASE_ERROR_H

#include <stdbool.h>

typedef struct nj_error {
    char text[768]; /* NUL-terminated, no newline; names the file, record, field, section or key */
    bool memory;    /* the text says "out of memory": the input is not to blame */
    bool later;     /* a helper gave no answer before the run ended: the input comes again */
    bool said;      /* it stands in the log already: who reports it at the end need not */
} nj_error;

/* Fills err (NULL is allowed) and returns -1, so that a caller can write: return nj_fail(err, "...", ...). */
__attribute__((format(printf, 2, 3))) int nj_fail(nj_error *err, const char *format, ...);

#endif
