/* energy_counter.h - joules read from the machine: RAPL by perf events or powercap, or the user's meter.
 * $NIGHTJAR_SYSFS stands for /sys, so that a test can bring its own tree. */
#ifndef NJ_MEASURE_ENERGY_COUNTER_H
#define NJ_MEASURE_ENERGY_COUNTER_H

#include "energy.h"

enum { NJ_ENERGY_DOMAINS = 64 };

typedef struct nj_energy_domain {
    char name[32];  /* "package-0", "energy-pkg" */
    char path[512]; /* energy_uj; "" = a perf event */
    int fd;         /* of the perf event; -1 */
    double joule_per_count;
    uint64_t range, last;
    double joule; /* since begin; NAN = it could not be read to the end */
} nj_energy_domain;

typedef struct nj_energy_counter {
    nj_energy_domain domain[NJ_ENERGY_DOMAINS]; /* only such that no one contains another */
    uint32_t n;
    uint32_t n_missing; /* that are there and cannot be read: their energy is in no sum */
    char what[256];     /* "RAPL by powercap: package-0, package-0 dram, package-1" */
    char missing[256];  /* their names and why, "package-1 (Permission denied)" */
    char hint[384];     /* what would open one that cannot be read; "" = nothing to say */
} nj_energy_counter;

/* Finds the counters that can be read. 0, or -1 with n = 0 and perhaps a hint;
 * n_missing > 0: the sum is a part. */
int nj_energy_counter_open(nj_energy_counter *counter);
/* The two ways, one by one. */
int nj_energy_counter_open_perf(nj_energy_counter *counter);
int nj_energy_counter_open_powercap(nj_energy_counter *counter);
void nj_energy_counter_close(nj_energy_counter *counter);
void nj_energy_counter_begin(nj_energy_counter *counter);
/* Adds what was used since the last call; at least once a minute, or a 32-bit counter wraps unseen. -1: one
 * was unreadable; it is missing from then on. */
int nj_energy_counter_poll(nj_energy_counter *counter);
/* Of those that were read from begin to end; NAN: none was. */
double nj_energy_counter_joule(const nj_energy_counter *counter);

/* The number that a command prints or a file holds first; or, wherever it stands, the watts of IPMI's DCMI
 * ("Instantaneous power reading: 220 Watts") and of Redfish ("PowerConsumedWatts": 344, or "PowerWatts":
 * {"Reading": 374}). NAN when it does not, when the command fails, or is killed because it does not end. */
enum { NJ_METER_MOST_S = 10 };
double nj_energy_meter_read(const char *command, const char *file);

#endif
