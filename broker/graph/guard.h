/* guard.h - what is known of modules that crash or hang, in memory that outlives the process that dies of
 * them: where its threads were, which alerts no module is to see again, which modules are off. Plain data:
 * no pointers that another process would follow. */
#ifndef NJ_GRAPH_GUARD_H
#define NJ_GRAPH_GUARD_H

#include <stdbool.h>

#include "slot.h"

enum {
    NJ_GUARD_SLOTS = 1032, /* the set-up's, the output's, one per compute thread */
    NJ_GUARD_MODULES = 1024,
    NJ_GUARD_PAIRS = 4096,
    NJ_GUARD_RECENT = 1000 /* failed alerts of a module that are remembered for its quarantine */
};
enum { NJ_SLOT_SET_UP, NJ_SLOT_OUTPUT, NJ_SLOT_FIRST_WORKER };
#define NJ_ANY_RECORD UINT32_MAX /* of a pair: all of the chunk */
/* Names among those of the modules, which no instance can have. */
#define NJ_GUARD_DECODE "(decode)"
#define NJ_GUARD_FILTER "(filters)"
#define NJ_GUARD_SINK "(output)"

typedef struct nj_guard_module {
    char name[64];
    _Atomic int tried;     /* it crashed: its calls have one row each, and are tried in a child first */
    _Atomic int off;       /* quarantined */
    _Atomic uint64_t rows; /* that it was offered */
    _Atomic uint64_t n_failures;
    _Atomic int64_t longest_ns;       /* that a row took which came back */
    _Atomic int64_t grown;            /* bytes, in calls that were measured (growth.h) */
    _Atomic uint32_t n_grown;         /* calls in which it grew */
    _Atomic int64_t off_grown;        /* it is off because it grew by so much; 0 = not for that */
    _Atomic int hung;                 /* a call of it did not come back in time */
    uint32_t n_silent;                /* deaths in a row that nobody reported, in a call of it */
    uint64_t recent[NJ_GUARD_RECENT]; /* `rows` at the last failures, in turn */
} nj_guard_module;

/* An alert that this module, or part of the host, must not see again. */
typedef struct nj_failed_pair {
    uint64_t key; /* of the stream */
    int64_t offset;
    uint32_t record, module;
    char what[96], stack[700];
} nj_failed_pair;

typedef struct nj_guard_conf { /* [guard] */
    double deadline_s, max_lag_s;
    int64_t quarantine, quarantine_alerts, max_rss, sandbox;
} nj_guard_conf;

typedef struct nj_guard {
    nj_guard_conf conf;
    _Atomic int lock; /* of the modules' `recent` and of the pairs: held for some instructions */
    _Atomic uint32_t n_modules, n_pairs;
    nj_guard_module module[NJ_GUARD_MODULES];
    nj_failed_pair pair[NJ_GUARD_PAIRS]; /* in turn: n_pairs counts all of them */
    nj_slot slot[NJ_GUARD_SLOTS];
    nj_slot trial[NJ_GUARD_SLOTS]; /* of the child in which the thread of that slot tries rows */
    _Atomic uint32_t n_slots;      /* of this worker's */
    nj_death elsewhere;            /* a death in no slot */
    char elsewhere_of[64];         /* of a thread that this module made; "" = not known */
    uint64_t elsewhere_settled; /* alerts that were done at the last of such deaths, and 1 more; 0 = none */
    _Atomic int forks_said;     /* that a module forks is reported */
    _Atomic int measure;        /* modules are called one at a time, and their memory is measured */
    uint32_t n_measured;        /* workers that were replaced meanwhile */
    bool given_up;              /* no module was found */
    uint64_t silent_settled;    /* alerts that were done at the last of such deaths */
    char probed[600];           /* which shared object a child tries */
} nj_guard;

/* Of this process; NULL: nothing is guarded. Set once, in the worker, before any other thread. */
extern nj_guard *nj_guard_here;
void nj_guard_use(nj_guard *guard);

/* The module's number, made at its first sight; NJ_NO_MODULE when there are too many, or no guard. */
uint32_t nj_guard_module_of(nj_guard *guard, const char *name);
/* A slot for a thread that calls modules; NULL: there is none left. */
nj_slot *nj_guard_slot(nj_guard *guard);

/* Is the alert one that this module must not see? NULL = no. */
const nj_failed_pair *nj_guard_pair(const nj_guard *guard, uint32_t module, uint64_t key, int64_t offset,
                                    uint32_t record);
/* Notes that a module failed on an alert, and turns the module off when there are more of them than [guard]
 * quarantine in quarantine_alerts. True: it is off now, by this one. */
bool nj_guard_count(nj_guard *guard, uint32_t module);
/* The pair is in the table from now on. False: it was there already, and did not help. */
bool nj_guard_add(nj_guard *guard, const nj_failed_pair *pair);

/* What follows from the death of a worker. */
typedef enum {
    NJ_BLAME_NONE,  /* the cause is not known: nothing will be different */
    NJ_BLAME_TRIED, /* a module, or part of the host, continues in single rows */
    NJ_BLAME_PAIR   /* one alert is known */
} nj_blame;
/* slot: in which it died, or NULL. text: a sentence for people. */
nj_blame nj_guard_judge(nj_guard *guard, nj_slot *slot, char *text, size_t size);
/* The slot in which the worker died, as it reported; NULL = it reported none. */
nj_slot *nj_guard_dead_slot(nj_guard *guard);
/* The worker died without a word: of SIGKILL, which the kernel sends when memory is short, or of another
 * signal that it does not catch. The call that it died in, when it was one of the same module (or part of the
 * host) `most` times in a row without an alert more in the outputs (settled: how many there are); else
 * NULL. */
nj_slot *nj_guard_silent(nj_guard *guard, uint64_t settled, uint32_t most);
/* It died in a thread that a module made, in no call: no alert can be kept from the module. When this comes
 * too often, or twice without an alert more in the outputs, the module is off: NJ_BLAME_PAIR. */
nj_blame nj_guard_judge_thread(nj_guard *guard, uint64_t settled, char *text, size_t size);
/* For a new worker: no thread is anywhere. */
void nj_guard_fresh(nj_guard *guard);

/* What the watcher remembers of a slot. */
typedef struct nj_overdue {
    uint64_t calls;
    int64_t since_ns;
} nj_overdue;
/* The slot whose call in process(), or in a clause, lasts longer than the deadline at this time; NULL = none.
 * seen: [NJ_GUARD_SLOTS], zeroed for a new worker. */
nj_slot *nj_guard_overdue(nj_guard *guard, nj_overdue *seen, int64_t now_ns);
/* Calls that this worker's threads have begun so far; *inside: is one of them under way? */
uint64_t nj_guard_calls(const nj_guard *guard, bool *inside);

#endif
