/* energy_pass.h - `profile --energy`: the module on and off in pairs of runs, and where an alert's energy
 * goes. */
#ifndef NJ_PROFILE_ENERGY_PASS_H
#define NJ_PROFILE_ENERGY_PASS_H

#include "../base/buffer.h"
#include "../base/json.h"
#include "../base/template.h"
#include "../measure/energy_ab.h"
#include "../measure/energy_parts.h"
#include "../measure/volume.h"
#include "quiet.h"
#include "replay.h"

typedef struct nj_energy_pass_options {
    int64_t pairs;
    double seconds; /* of a run */
    double foreign; /* percent of all CPUs that others may be busy on */
    const char *survey;
} nj_energy_pass_options;

typedef struct nj_energy_pass {
    nj_ab ab;
    char tier[16], source[256], kind[16];
    char hint[400];
    uint32_t threads;
    double cpus, run_s;
    bool pinned;
    nj_cpu_state before, after;
    nj_carbon carbon; /* texts in the arena of the profile, or static */
    nj_volume volume;
    nj_energy_part part[NJ_PARTS];
} nj_energy_pass; /* zero-initialised */

/* settings: [energy]. The replay's threads are the load; each should have a core of its own. -1 with err. */
int nj_energy_pass_run(nj_energy_pass *e, nj_replay *r, nj_settings *settings, nj_arena *arena,
                       const nj_energy_pass_options *options, nj_error *err);
void nj_energy_pass_free(nj_energy_pass *e);

/* energy_show.c */
void nj_energy_pass_table(const nj_energy_pass *e, FILE *to);
void nj_energy_pass_json(const nj_energy_pass *e, nj_json *j);
void nj_energy_pass_put(nj_template_values *v, json_t *list, const nj_energy_pass *e);

#endif
