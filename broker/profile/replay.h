/* replay.h - one module over alerts in memory, again and again, through the host's own dispatch. It is driven
 * by one thread; with several workers each has a thread of its own, that waits while no work is given out. */
#ifndef NJ_PROFILE_REPLAY_H
#define NJ_PROFILE_REPLAY_H

#include <pthread.h>

#include "../engine/engine.h"
#include "../graph/watch.h"
#include "alerts.h"

enum { NJ_REPLAY_SURVEYS = 16, NJ_REPLAY_THREADS = 256 };

typedef struct nj_replay_survey {
    const nj_graph *graph; /* whose layout.owner it is */
    nj_graph alone;        /* the same columns, the step of the module alone */
} nj_replay_survey;

typedef struct nj_replay_worker { /* a thread that the module runs in */
    struct nj_replay *replay;
    uint32_t number;
    pthread_t thread; /* with several; one worker runs in the calling thread */
    bool joinable;
    uint64_t done; /* orders carried out */
    nj_compute_thread own;
    nj_arena loop;
    int64_t cpu_ns, busy_ns; /* CPU and wall time of its shares of the replays */
} nj_replay_worker;

typedef struct nj_replay {
    nj_arena arena;
    nj_engine engine;
    nj_replay_worker *worker; /* [n_workers] */
    uint32_t n_workers;
    nj_batch **batch;
    uint32_t n_batches, batch_rows;
    nj_graphs graphs;
    nj_replay_survey survey[NJ_REPLAY_SURVEYS];
    uint32_t n_surveys;
    const char *instance;
    uint32_t target; /* index of the instance */
    uint64_t n_alerts, n_dead;
    nj_counter first; /* of the module, over the first pass: one replay of the alerts */
    /* work given out to the threads */
    pthread_mutex_t lock;
    pthread_cond_t given, finished;
    bool locks, stop;
    uint64_t order;   /* number of the present one */
    uint32_t waiting; /* workers that have not done it */
    int (*work)(void *opaque, uint32_t worker);
    void *opaque;
    int failed;
} nj_replay; /* zero-initialised */

typedef struct nj_replay_options {
    nj_settings *settings;
    const char *instance;    /* NULL: the module of module_file */
    const char *module_file; /* shared object that replaces or adds the module; NULL = none */
    const char *const *module_path;
    uint32_t n_module_paths;
    int64_t limit;    /* alerts; 0 = all */
    uint32_t threads; /* 0 = one */
} nj_replay_options;

/* Reports calls that do not return, as a run does (run.call_s). To be started after the last fork(). */
nj_watch *nj_replay_watch(const nj_replay_options *options, int level);
/* Loads the modules and chooses the instances, without opening any: enough for nj_replay_target.
 * -1 with err. */
int nj_replay_choose(nj_replay *r, const nj_replay_options *options, nj_error *err);
/* Does that, opens the instances, decodes the alerts, and takes them once through all modules that the target
 * needs (the warm-up; images are open from then on). alerts must outlive the replay. -1 with err. */
int nj_replay_open(nj_replay *r, const nj_replay_options *options, const nj_alerts *alerts, nj_error *err);
/* Decodes the alerts again into batches of so many rows, and takes them once through all modules.
 * -1 with err. */
int nj_replay_cut(nj_replay *r, const nj_replay_options *options, const nj_alerts *alerts, uint32_t rows,
                  nj_error *err);
const nj_instance *nj_replay_target(const nj_replay *r);
/* Calls work(opaque, k) in the thread of each worker k, and returns when all are back:
 * 0, or what one of them returned. */
int nj_replay_each(nj_replay *r, int (*work)(void *opaque, uint32_t worker), void *opaque);
/* Takes all alerts through the module so many times more; its inputs are those of the first pass.
 * -1: out of memory. */
int nj_replay_times(nj_replay *r, int64_t times);
/* All threads take their alerts through the module again and again until nj_now_ns() is until_ns; *alerts:
 * how many. -1: out of memory. */
int nj_replay_until(nj_replay *r, int64_t until_ns, uint64_t *alerts);
/* One batch through the module, by the first worker, which must be the only one. */
int nj_replay_batch(nj_replay *r, uint32_t batch);
/* A batch of the caller's, of the replay's columns: once through all modules that the target needs, then as
 * often as wanted through the target alone. By the first worker, which must be the only one. */
int nj_replay_all(nj_replay *r, nj_batch *batch);
int nj_replay_alone(nj_replay *r, nj_batch *batch);
/* So far, of all workers: wall time in process(), CPU and wall time of the loops around it. */
typedef struct nj_replay_clock {
    int64_t wall_ns, cpu_ns, busy_ns;
    uint64_t calls;
} nj_replay_clock;
nj_replay_clock nj_replay_clocks(const nj_replay *r);
void nj_replay_close(nj_replay *r);

#endif
