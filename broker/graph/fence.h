/* fence.h - bytes before and behind each output column that must stay as they are: one element too far
 * shows. */
#ifndef NJ_GRAPH_FENCE_H
#define NJ_GRAPH_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../base/arena.h"

enum { NJ_FENCE_BEFORE = 64, NJ_FENCE = 16 }; /* columns begin at a cache line; 16 bytes are looked at */
#define NJ_FENCE_WORD UINT64_C(0x5ca1ab1e0ddba11d)

/* Room for bytes of a column between two fences; NULL when memory is short. */
static inline void *nj_fence_alloc(nj_arena *arena, size_t bytes)
{
    static const uint64_t fence[2] = { NJ_FENCE_WORD, NJ_FENCE_WORD };
    char *room = nj_arena_alloc(arena, NJ_FENCE_BEFORE + bytes + NJ_FENCE);
    if (!room) return NULL;
    memcpy(room + NJ_FENCE_BEFORE - NJ_FENCE, fence, NJ_FENCE);
    memcpy(room + NJ_FENCE_BEFORE + bytes, fence, NJ_FENCE);
    return room + NJ_FENCE_BEFORE;
}

/* Are both as they were? */
static inline bool nj_fence_stands(const void *column, size_t bytes)
{
    uint64_t before[2], behind[2];
    memcpy(before, (const char *)column - NJ_FENCE, NJ_FENCE);
    memcpy(behind, (const char *)column + bytes, NJ_FENCE);
    return !((before[0] ^ NJ_FENCE_WORD) | (before[1] ^ NJ_FENCE_WORD) | (behind[0] ^ NJ_FENCE_WORD) |
             (behind[1] ^ NJ_FENCE_WORD));
}

static inline void nj_fence_mend(void *column, size_t bytes)
{
    static const uint64_t fence[2] = { NJ_FENCE_WORD, NJ_FENCE_WORD };
    memcpy((char *)column - NJ_FENCE, fence, NJ_FENCE);
    memcpy((char *)column + bytes, fence, NJ_FENCE);
}

#endif
