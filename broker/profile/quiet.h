/* quiet.h - what a measurement of watts depends on besides the program: where its threads run, and the
 * state of the processor. */
#ifndef NJ_PROFILE_QUIET_H
#define NJ_PROFILE_QUIET_H

#include "replay.h"

typedef struct nj_cpu_state { /* "" and NAN = the machine does not say it */
    char governor[32], smt[8], turbo[8];
    double celsius;
} nj_cpu_state;

/* Of /sys, or $NIGHTJAR_SYSFS. */
nj_cpu_state nj_cpu_state_now(void);

/* Each worker of the replay to a CPU of its own, among those that this process may use; false: there are
 * fewer CPUs than workers, or it is refused, and nothing is pinned. Undone by nj_unpin(). */
bool nj_pin(nj_replay *r);
void nj_unpin(nj_replay *r);

#endif
