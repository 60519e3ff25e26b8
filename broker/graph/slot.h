/* slot.h - where a thread is in a module: written before each call, read by a crash report, a watchdog, the profiler. */
#ifndef NJ_GRAPH_SLOT_H
#define NJ_GRAPH_SLOT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "../batch/chunk.h"

typedef enum {
    NJ_PHASE_LOAD,
    NJ_PHASE_DECLARE,
    NJ_PHASE_OPEN,
    NJ_PHASE_THREAD_OPEN,
    NJ_PHASE_PROCESS,
    NJ_PHASE_STAMP, /* the host opens a stamp that process() asked for */
    NJ_PHASE_THREAD_CLOSE,
    NJ_PHASE_CLOSE
} nj_phase;

typedef struct nj_slot {
    const char *_Atomic instance;  /* NULL = in no module; written last and read first */
    _Atomic uint8_t phase;         /* nj_phase */
    _Atomic uint32_t n_rows;       /* in process(): of the call; else 0 */
    _Atomic int64_t first_id;      /* alert of the first one */
    const nj_chunk *_Atomic chunk; /* that it came in */
} nj_slot;

/* The slot of the module call that this thread is in, or NULL. */
extern _Thread_local nj_slot *nj_slot_here;

/* The thread enters a call and leaves it. */
static inline void nj_slot_enter(nj_slot *slot, const char *instance, nj_phase phase)
{
    atomic_store_explicit(&slot->phase, (uint8_t)phase, memory_order_relaxed);
    atomic_store_explicit(&slot->instance, instance, memory_order_release);
    nj_slot_here = slot;
}
static inline void nj_slot_phase(nj_slot *slot, nj_phase phase)
{
    atomic_store_explicit(&slot->phase, (uint8_t)phase, memory_order_relaxed);
}
/* What a process() call is given; before nj_slot_enter(). */
static inline void nj_slot_rows(nj_slot *slot, uint32_t n, int64_t first_id, const nj_chunk *chunk)
{
    atomic_store_explicit(&slot->first_id, first_id, memory_order_relaxed);
    atomic_store_explicit(&slot->chunk, chunk, memory_order_relaxed);
    atomic_store_explicit(&slot->n_rows, n, memory_order_relaxed);
}
static inline void nj_slot_leave(nj_slot *slot)
{
    nj_slot_here = NULL;
    atomic_store_explicit(&slot->instance, NULL, memory_order_release);
    atomic_store_explicit(&slot->n_rows, 0, memory_order_relaxed);
}
/* Calls that are made while no worker is there yet: one thread at a time. */
extern nj_slot nj_slot_set_up;

#endif
