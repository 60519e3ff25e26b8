/* arena.c - a batch makes thousands of small allocations; an arena frees them all with one call. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test that lets each allocation fail makes every piece a block of its own. */
#ifndef NJ_ARENA_FIRST
#define NJ_ARENA_FIRST (64 * 1024)
#define NJ_ARENA_LAST (8 << 20)
#endif

enum { ALIGN = 64, FIRST_BLOCK = NJ_ARENA_FIRST, LAST_BLOCK = NJ_ARENA_LAST };

struct nj_arena_block {
    nj_arena_block *next;
    size_t size, used; /* of data */
    _Alignas(ALIGN) char data[];
};

static nj_arena_block *new_block(nj_arena_block *next, size_t size)
{
    nj_arena_block *block = NULL;
    if (posix_memalign((void **)&block, ALIGN, sizeof *block + size)) return NULL;
    block->next = next;
    block->size = size;
    block->used = 0;
    return block;
}

void *nj_arena_alloc(nj_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) {
        arena->failed = true;
        return NULL;
    }
    size_t need = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (need == 0) need = ALIGN;
    nj_arena_block *block = arena->head;
    if (!block || block->size - block->used < need) {
        size_t size = block ? block->size * 2 : FIRST_BLOCK;
        if (size > LAST_BLOCK) size = LAST_BLOCK;
        if (size < need) size = need;
        block = new_block(arena->head, size);
        if (!block) {
            arena->failed = true;
            return NULL;
        }
        arena->head = block;
    }
    void *p = block->data + block->used;
    block->used += need;
    arena->used += need;
    return p;
}

void *nj_arena_zalloc(nj_arena *arena, size_t bytes)
{
    void *p = nj_arena_alloc(arena, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

char *nj_arena_text(nj_arena *arena, const char *text, size_t n)
{
    char *p = nj_arena_alloc(arena, n + 1);
    if (!p) return NULL;
    memcpy(p, text, n);
    p[n] = 0;
    return p;
}

char *nj_arena_printf(nj_arena *arena, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : nj_arena_alloc(arena, (size_t)n + 1);
    if (p) vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

void nj_arena_reset(nj_arena *arena)
{
    nj_arena_block *keep = arena->head;
    for (nj_arena_block *b = arena->head; b; b = b->next)
        if (b->size > keep->size) keep = b;
    for (nj_arena_block *b = arena->head, *next; b; b = next) {
        next = b->next;
        if (b != keep) free(b);
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->head = keep;
    arena->used = 0;
    arena->failed = false;
}

void nj_arena_free(nj_arena *arena)
{
    for (nj_arena_block *b = arena->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    arena->head = NULL;
    arena->used = 0;
    arena->failed = false;
}
