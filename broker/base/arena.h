/* arena.h - memory that is given back all at once: a batch, a call's scratch, a configuration.
 * Not thread-safe: one owner at a time. */
#ifndef NJ_BASE_ARENA_H
#define NJ_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct nj_arena_block nj_arena_block;

typedef struct nj_arena {
    nj_arena_block *head; /* block in use; older blocks behind it */
    size_t used;          /* bytes handed out since the last reset */
    bool failed;          /* memory was short at least once since then */
} nj_arena;               /* zero-initialised = empty */

/* 64-byte aligned, not zeroed; NULL when memory is short. The pointer lives until reset or free. */
void *nj_arena_alloc(nj_arena *arena, size_t bytes);
void *nj_arena_zalloc(nj_arena *arena, size_t bytes);
/* A NUL-terminated copy of text[0..n). */
char *nj_arena_text(nj_arena *arena, const char *text, size_t n);
__attribute__((format(printf, 2, 3))) char *nj_arena_printf(nj_arena *arena, const char *format, ...);
/* Forgets everything; keeps one block (the largest seen) for the next round. */
void nj_arena_reset(nj_arena *arena);
void nj_arena_free(nj_arena *arena);

#endif
