/* ring.h - a queue of pointers between threads, bounded in entries and in bytes. */
#ifndef NJ_BASE_RING_H
#define NJ_BASE_RING_H

#include <stddef.h>

typedef struct nj_ring nj_ring;

/* `entries` pointers and `bytes` in sum at most (one entry larger than the budget
 * passes when the ring is empty). */
nj_ring *nj_ring_new(size_t entries, size_t bytes);
/* Waits for room. 0 = done, -1 = the ring is closed. Any thread. */
int nj_ring_push(nj_ring *ring, void *item, size_t bytes);
/* Waits at most timeout_ms: 1 = there was no room in time, and the item is still the caller's. */
int nj_ring_push_within(nj_ring *ring, void *item, size_t bytes, int timeout_ms);
/* Waits up to timeout_ms (-1 = forever). NULL = nothing in time, or closed and empty (*closed says which).
 * The bytes stay charged until nj_ring_release, so that what is being worked on counts too. */
void *nj_ring_pop(nj_ring *ring, int timeout_ms, int *closed);
void nj_ring_release(nj_ring *ring, size_t bytes);
/* What is in it now, and what is charged to its budget: popped and not yet released counts. */
typedef struct nj_ring_fill {
    size_t entries, most_entries, bytes, most_bytes;
} nj_ring_fill;
nj_ring_fill nj_ring_look(nj_ring *ring);
/* No more pushes; pops drain what is left. */
void nj_ring_close(nj_ring *ring);
void nj_ring_free(nj_ring *ring);

#endif
