/* pool.c - a model consists of many small allocations, which are freed together when it is closed. */
#include "pool.h"

#include "nightjar/module.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 16, ALIGN = 64 };

struct nj_pool_block {
    struct nj_pool_block *next;
    size_t used, cap;
    char *data;
};

/* By calloc(): what the system hands out is zero already, and pages that nobody writes are never touched. */
static struct nj_pool_block *new_block(size_t cap)
{
    struct nj_pool_block *b = calloc(1, sizeof *b + ALIGN + cap);
    if (!b) return NULL;
    b->cap = cap;
    b->data = (char *)(((uintptr_t)(b + 1) + ALIGN - 1) / ALIGN * ALIGN);
    return b;
}

void *nj_pool_alloc(nj_pool *pool, size_t n, size_t size)
{
    size_t limit = pool->limit ? pool->limit : (size_t)4 << 30;
    if (size && n > limit / size) return NULL;
    size_t bytes = (n * size + ALIGN - 1) / ALIGN * ALIGN + (n * size == 0 ? ALIGN : 0);
    if (bytes > limit - pool->used) return NULL;
    struct nj_pool_block *b = pool->head;
    if (!b || b->cap - b->used < bytes) {
        b = new_block(bytes > BLOCK ? bytes : BLOCK);
        if (!b) return NULL;
        b->next = pool->head;
        pool->head = b;
    }
    void *p = b->data + b->used;
    b->used += bytes;
    pool->used += bytes;
    return p; /* no byte of a block is handed out twice */
}

char *nj_pool_text(nj_pool *pool, const char *text, size_t n)
{
    char *copy = nj_pool_alloc(pool, n + 1, 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

void nj_pool_free(nj_pool *pool)
{
    for (struct nj_pool_block *b = pool->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *pool = (nj_pool){ 0 };
}

int nj_model_fail(nj_model_error *err, const char *format, ...)
{
    if (err) {
        va_list ap;
        err->status = NJ_ECONF;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -1;
}

int nj_model_lacks(nj_model_error *err, int status, const char *format, ...)
{
    if (err) {
        va_list ap;
        err->status = status;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -1;
}
