/* supervise.h - `nightjar run` is two processes: one that works and may die of a module, and one that looks
 * after it. */
#ifndef NJ_FLOW_SUPERVISE_H
#define NJ_FLOW_SUPERVISE_H

#include "reload.h"
#include "run.h"
#include "shared.h"

extern const nj_param nj_guard_settings[]; /* what [guard] may say; ends with {0} */

/* Why this run cannot have a supervisor: what a dead worker had read is gone; NULL = it can. */
const char *nj_supervise_cannot(const nj_run_options *options);

/* Forks a process that calls work(opaque, shared), and another one each time that it dies, until one ends by
 * itself. Before any thread is there. Returns the exit code of the run; -1 with err: there is no memory. work
 * sets shared->ended once its exit code counts. reload: what SIGHUP does; NULL = it goes to the worker
 * alone. */
int nj_supervise(const nj_guard_conf *conf, int (*work)(void *opaque, nj_shared *shared), void *opaque,
                 nj_reload *reload, nj_error *err);

/* --- whether there is another worker: no process, no clock --- */

typedef struct nj_deaths { /* zero-initialised */
    uint32_t early;        /* in a row, before their first batch */
    uint32_t stuck;        /* in a row, without an alert more in the outputs */
    uint32_t killed;       /* in a row, from outside and before their first batch */
    uint64_t batches, settled;
} nj_deaths;

enum { NJ_EARLY_DEATHS = 3, NJ_STUCK_DEATHS = 5, NJ_KILLED_DEATHS = 100 };

/* Notes a death: is there another worker? *pause_ms: before it is made. batches, settled: of all workers so
 * far. killed: by a SIGKILL from outside. */
bool nj_deaths_again(nj_deaths *deaths, nj_blame verdict, bool killed, uint64_t batches, uint64_t settled,
                     int *pause_ms);

#endif
