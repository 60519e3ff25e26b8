/* energy.h - watts of a busy thread, with a band and the name of where the figure comes from.
 * The ladder of meters (external meter, RAPL, SPECpower, TDP) fills the same struct; `unknown` is its last rung. */
#ifndef NJ_MEASURE_ENERGY_H
#define NJ_MEASURE_ENERGY_H

typedef struct nj_energy_source {
    const char *tier;   /* "meter" "rapl" "spec" "tdp" "unknown" */
    const char *kind;   /* "measured" "modelled" "assumed" */
    const char *source; /* where the figure comes from, in words */
    int year;           /* of the source */
    double watt, low, high; /* of one busy thread */
} nj_energy_source;

/* The best source of this machine. */
nj_energy_source nj_energy_best(void);

#endif
