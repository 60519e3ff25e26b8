/* pool.h - memory of one model: many small blocks, given back at once. One owner; not thread-safe. */
#ifndef NJ_MODEL_POOL_H
#define NJ_MODEL_POOL_H

#include <stddef.h>

typedef struct nj_pool {
    struct nj_pool_block *head;
    size_t used, limit; /* bytes handed out; more than `limit` is refused (0 = 4 GiB),
                         * so that a hostile file cannot ask for it */
} nj_pool;              /* zero-initialised = empty */

/* n elements of `size` bytes, zeroed, 64-byte aligned; NULL when memory is short or the product overflows. */
void *nj_pool_alloc(nj_pool *pool, size_t n, size_t size);
/* A NUL-terminated copy of text[0..n). */
char *nj_pool_text(nj_pool *pool, const char *text, size_t n);
void nj_pool_free(nj_pool *pool);

/* Why a model was refused: one line. */
typedef struct nj_model_error {
    int status; /* NJ_ECONF, or what is not here */
    char text[512];
} nj_model_error;
/* Fills err and returns -1. */
__attribute__((format(printf, 2, 3))) int nj_model_fail(nj_model_error *err, const char *format, ...);
/* The same with a status of its own: NJ_ENO_MODEL, NJ_ENO_SERVICE. */
__attribute__((format(printf, 3, 4))) int nj_model_lacks(nj_model_error *err, int status, const char *format,
                                                         ...);

#endif
