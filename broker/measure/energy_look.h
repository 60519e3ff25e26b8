/* energy_look.h - which sources of energy work on this machine, and how to open the others: for `nightjar
 * doctor`. */
#ifndef NJ_MEASURE_ENERGY_LOOK_H
#define NJ_MEASURE_ENERGY_LOOK_H

#include <stdbool.h>

#include "../base/settings.h"

typedef struct nj_energy_look {
    const char
        *source; /* "meter" "RAPL by perf" "RAPL by powercap" "GPU by NVML" "BMC by IPMI" "SPECpower" "TDP"
                * "share of the machine" */
    bool works;
    char what[400], cure[400]; /* cure "": nothing to do */
} nj_energy_look;

enum { NJ_ENERGY_LOOKS = 8 };
/* [energy] of the settings. */
void nj_energy_look_at(nj_energy_look look[NJ_ENERGY_LOOKS], nj_settings *settings);

#endif
