/* scaling_pass.h - how a module's cost grows with the length of the history, the pixels of a stamp, the
 * rows of a call: measured over sizes that are made (stretch.h), and over the alerts as they are. */
#ifndef NJ_PROFILE_SCALING_PASS_H
#define NJ_PROFILE_SCALING_PASS_H

#include "../measure/scaling.h"
#include "hits.h"
#include "replay.h"
#include "singly.h"

enum {
    NJ_SCALED_POINTS,
    NJ_SCALED_PIXELS,
    NJ_SCALED_ROWS, /* those up to here are made of the alerts, and their lines are counted */
    NJ_SCALED_CATALOG,
    NJ_SCALED_SPREAD,
    NJ_SCALED,
    NJ_SCALED_SIZES = 9
};

typedef struct nj_scaled {
    const char *none;                                    /* why there is no exponent; NULL: there is one */
    double size[NJ_SCALED_SIZES], cost[NJ_SCALED_SIZES]; /* median ns: of an alert, of a call for ROWS */
    double instructions[NJ_SCALED_SIZES];                /* NAN: the machine counts none */
    uint32_t n_sizes, rounds;
    uint32_t
        refused; /* sizes that the module answered no alert of, though it answers the alerts as they are */
    uint32_t unanswered[NJ_SCALED_SIZES]; /* those sizes */
    uint32_t slow;    /* the first size that was left out because it would take too long; 0 */
    uint32_t crashed; /* the first size at which the instrumented module crashed, which ends the series; 0 */
    nj_scaling time, by_instructions;
} nj_scaled;

typedef struct nj_scaled_function { /* of the module's source, by lines executed: exact */
    char name[128];
    int first;
    double lines[NJ_SCALED_ROWS + 1][NJ_SCALED_SIZES]; /* of all alerts at that size */
    nj_scaling of[NJ_SCALED_ROWS + 1];
} nj_scaled_function;

typedef struct nj_scalings {
    nj_scaled of[NJ_SCALED];
    nj_scaled_function *function;
    uint32_t n_functions;
    uint32_t n_counted[NJ_SCALED_ROWS + 1]; /* sizes whose lines were counted */
    char no_counts[256];                    /* why lines were not counted, or not at all sizes */
} nj_scalings;                              /* zero-initialised */

/* "history points", "points", "the first alerts, made longer and shorter" */
const char *nj_scaled_name(int variable);
const char *nj_scaled_unit(int variable);
const char *nj_scaled_how(int variable);

/* Lines executed at each size, by the object that hits.h built: a process for each. Call it before this
 * process has threads. What fails is said in no_counts. */
void nj_scaling_count(nj_scalings *s, const char *source, const char *object, const char *folder,
                      const nj_replay_options *options, const nj_alerts *alerts);
/* Time, and instructions where the machine counts them: the sizes in turn, so that a slow second meets all,
 * for so many seconds each variable. The replay has one worker. -1 with err. */
int nj_scaling_time(nj_scalings *s, nj_replay *r, double seconds, nj_error *err);
/* The rows of the instance's catalogue ([module.NAME] catalog): thinner copies of it in `folder`, each in a
 * replay of its own. Settings are changed meanwhile and set back. name: of the instance. -1 with err. */
int nj_scaling_catalog(nj_scalings *s, const char *name, const nj_replay_options *options,
                       const nj_alerts *alerts, const char *folder, nj_error *err);
/* The alerts as they are: cost of each (singly.h) over the points of its longest series. */
int nj_scaling_spread(nj_scalings *s, const nj_replay *r, const nj_singly *singly, nj_error *err);
void nj_scalings_free(nj_scalings *s);

#endif
