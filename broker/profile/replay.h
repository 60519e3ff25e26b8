/* replay.h - one module over alerts in memory, again and again, through the host's own dispatch. One thread. */
#ifndef NJ_PROFILE_REPLAY_H
#define NJ_PROFILE_REPLAY_H

#include "../decode/decode.h"
#include "../graph/dispatch.h"
#include "alerts.h"

enum { NJ_REPLAY_SURVEYS = 16 };

typedef struct nj_replay_survey {
    char name[64];
    nj_graph *graph;
    nj_graph alone; /* the same columns, the step of the module alone */
} nj_replay_survey;

typedef struct nj_replay {
    nj_arena arena, loop;
    nj_modules modules;
    nj_instances instances;
    nj_decoder *decoder;
    nj_opener *opener;
    nj_worker *worker;
    nj_batch **batch;
    nj_replay_survey **of; /* [n_batches] survey of a batch */
    uint32_t n_batches;
    nj_replay_survey survey[NJ_REPLAY_SURVEYS];
    uint32_t n_surveys;
    const char *instance;
    uint32_t target; /* index of the instance */
    uint64_t n_alerts, n_dead;
    nj_counter first; /* of the module, over the first pass: one replay of the alerts */
} nj_replay;          /* zero-initialised */

typedef struct nj_replay_options {
    nj_settings *settings;
    const char *instance;    /* NULL: the module of module_file */
    const char *module_file; /* shared object that replaces or adds the module; NULL = none */
    const char *const *module_path;
    uint32_t n_module_paths;
    int64_t limit; /* alerts; 0 = all */
} nj_replay_options;

/* Loads the modules and chooses the instances, without opening any: enough for nj_replay_target. -1 with err. */
int nj_replay_choose(nj_replay *r, const nj_replay_options *options, nj_error *err);
/* Does that, opens the instances, decodes the alerts, and takes them once through all modules that the target needs (the warm-up;
 * images are open from then on). alerts must outlive the replay. -1 with err. */
int nj_replay_open(nj_replay *r, const nj_replay_options *options, const nj_alerts *alerts, nj_error *err);
const nj_instance *nj_replay_target(const nj_replay *r);
/* Takes all alerts through the module once more; its inputs are those of the first pass. -1: out of memory. */
int nj_replay_once(nj_replay *r);
nj_counter *nj_replay_counter(nj_replay *r);
void nj_replay_close(nj_replay *r);

#endif
