/* energy_share.h - a meter reads the whole machine, also what others do on it: how much of the machine's CPU
 * time was the run's, by its own cgroup or by its processes. $NIGHTJAR_PROC and $NIGHTJAR_SYSFS stand for
 * /proc and /sys, so that a test can bring its own trees. */
#ifndef NJ_MEASURE_ENERGY_SHARE_H
#define NJ_MEASURE_ENERGY_SHARE_H

#include <stdbool.h>

#include "../base/error.h"

typedef struct nj_machine_ticks { /* of all CPUs since the machine started, 1 / sysconf(_SC_CLK_TCK) s each */
    double busy, all;             /* 0, 0: /proc/stat says nothing */
} nj_machine_ticks;
nj_machine_ticks nj_machine_ticks_now(void);

typedef struct nj_energy_share {
    bool by_cgroup;
    char cgroup[256]; /* its path below the mount point */
    char stat[640];   /* its cpu.stat */
    char why[256];    /* why it is not by cgroup; "" */
} nj_energy_share;    /* zero-initialised */

/* want: "auto" takes the cgroup (version 2) when no process but this one and those that it started is in it,
 * "cgroup" takes it also with others in it, "process" takes this process and those that it started.
 * -1 with err: another word, or "cgroup" and there is none. */
int nj_energy_share_open(nj_energy_share *share, const char *want, nj_error *err);
/* CPU seconds so far. Of a cgroup those of all that was ever in it; of processes those that run, and those
 * that ended and were waited for. NAN: it cannot be read. */
double nj_energy_share_cpu_s(const nj_energy_share *share);

#endif
