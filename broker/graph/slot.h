/* slot.h - where a thread is in a module: written before each call, read by a crash report, a watchdog,
 * the profiler. */
#ifndef NJ_GRAPH_SLOT_H
#define NJ_GRAPH_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
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
    NJ_PHASE_CLOSE,
    NJ_PHASE_DECODE, /* the host's own work on a packet */
    NJ_PHASE_FILTER,
    NJ_PHASE_SINK
} nj_phase;

enum { NJ_NO_MODULE = UINT32_MAX };

extern const char *const nj_phase_name[]; /* "in process()" */

typedef struct nj_slot_watched { /* the watch's own */
    uint64_t calls;
    int64_t since_ns; /* it first saw this call */
    double report_s;  /* when it will be reported next */
} nj_slot_watched;

/* How a call ended that never came back: written by the process that dies, read by who survives it. */
typedef struct nj_death {
    _Atomic int reported; /* what follows is there */
    int signal;           /* 0: exit() or the like */
    bool sent;            /* by another process: no fault of a module, nor of an alert */
    char what[96];        /* "signal 11 (SIGSEGV, a wrong address)" */
    char stack[700];      /* "process+0x12 < ...", innermost first; filled as far as it could be read */
} nj_death;

/* In memory that a supervisor shares with its workers (guard.h), or the worker's own. */
typedef struct nj_slot {
    const char *_Atomic instance;    /* NULL = in no module; written last and read first */
    _Atomic uint8_t phase;           /* nj_phase */
    _Atomic uint32_t n_rows;         /* in process(): of the call; else 0 */
    _Atomic int64_t first_id;        /* alert of the first one */
    const nj_chunk *_Atomic chunk;   /* that it came in: for its own thread alone,
                                      * since it goes with the batch */
    const nj_stream *_Atomic stream; /* of the chunk: stays until the run ends */
    _Atomic int64_t offset;
    _Atomic uint64_t calls; /* begun so far */
    /* The same for another process, to which the pointers say nothing. */
    _Atomic uint32_t module; /* of the guard's; NJ_NO_MODULE: none */
    _Atomic uint64_t key;    /* of the stream */
    _Atomic uint32_t record; /* of the first row, in its chunk */
    _Atomic int thread;      /* the kernel's number of it */
    _Atomic int overdue;     /* set by who watches: the signal that comes is a deadline's */
    nj_death death;
    struct nj_slot *next; /* the list's */
    nj_slot_watched watched;
} nj_slot;

/* The slot of the module call that this thread is in, or NULL. */
extern _Thread_local nj_slot *nj_slot_here;
/* The kernel's number of this thread; 0 = not asked yet. */
extern _Thread_local int nj_slot_thread;
int nj_slot_ask_thread(void);

/* The thread enters a call and leaves it. */
static inline void nj_slot_enter(nj_slot *slot, const char *instance, nj_phase phase)
{
    uint64_t calls = atomic_load_explicit(&slot->calls, memory_order_relaxed); /* no other thread writes */
    atomic_store_explicit(&slot->calls, calls + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->phase, (uint8_t)phase, memory_order_relaxed);
    atomic_store_explicit(&slot->thread, nj_slot_thread ? nj_slot_thread : nj_slot_ask_thread(),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->instance, instance, memory_order_release);
    nj_slot_here = slot;
}
static inline void nj_slot_phase(nj_slot *slot, nj_phase phase)
{
    atomic_store_explicit(&slot->phase, (uint8_t)phase, memory_order_relaxed);
}
/* What a process() call is given; before nj_slot_enter(). */
static inline void nj_slot_rows(nj_slot *slot, uint32_t n, int64_t first_id, const nj_chunk *chunk,
                                uint32_t record, uint32_t module)
{
    atomic_store_explicit(&slot->module, module, memory_order_relaxed);
    atomic_store_explicit(&slot->record, record, memory_order_relaxed);
    atomic_store_explicit(&slot->key, chunk && chunk->stream ? chunk->stream->key : 0, memory_order_relaxed);
    atomic_store_explicit(&slot->first_id, first_id, memory_order_relaxed);
    atomic_store_explicit(&slot->chunk, chunk, memory_order_relaxed);
    atomic_store_explicit(&slot->stream, chunk ? chunk->stream : NULL, memory_order_relaxed);
    atomic_store_explicit(&slot->offset, chunk ? chunk->offset : 0, memory_order_relaxed);
    atomic_store_explicit(&slot->n_rows, n, memory_order_relaxed);
}
static inline void nj_slot_leave(nj_slot *slot)
{
    nj_slot_here = NULL;
    atomic_store_explicit(&slot->instance, NULL, memory_order_release);
    atomic_store_explicit(&slot->n_rows, 0, memory_order_relaxed);
}
/* Calls that are made while no worker is there yet: one thread at a time. */
extern nj_slot *nj_slot_set_up;
/* Such calls are noted there from now on; once, before any other thread. */
void nj_slot_set_up_at(nj_slot *slot);

/* The list of slots that a watch looks at; the one of the set-up is always in it. */
void nj_slot_add(nj_slot *slot);
void nj_slot_remove(nj_slot *slot); /* not there: no-op */
/* look() is called under the list's lock: a slot stays while it is looked at. */
void nj_slot_each(void (*look)(void *opaque, nj_slot *slot), void *opaque);

#endif
