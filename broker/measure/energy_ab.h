/* energy_ab.h - what a module draws above the machine at rest: runs with it and without it in pairs, the
 * order within each drawn at random; the difference with its interval, in words. */
#ifndef NJ_MEASURE_ENERGY_AB_H
#define NJ_MEASURE_ENERGY_AB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_ab_reading { /* of one run */
    double joule, seconds;     /* joule NAN: the source gave nothing */
    double alerts, cpu_s;      /* done; CPU time of the module's threads */
    double foreign;            /* share of all CPUs that other processes were busy on; NAN = not known */
} nj_ab_reading;

typedef struct nj_ab_pair {
    nj_ab_reading on, off;
    bool on_first;
    const char *rejected; /* why it does not count; NULL: it does */
} nj_ab_pair;

typedef enum {
    NJ_AB_REFUSED, /* the source cannot see load: a difference would be 0 by construction */
    NJ_AB_TOO_FEW, /* fewer than nine pairs count */
    NJ_AB_ABOVE,   /* the whole interval is above 0 */
    NJ_AB_BELOW,   /* the whole interval is below 0: something else changed */
    NJ_AB_NOT_SEEN /* it holds 0 */
} nj_ab_verdict;

typedef struct nj_ab {
    nj_ab_pair *pair; /* [n] in the order of measuring, those that do not count among them */
    uint32_t n, counted;
    nj_ab_verdict verdict;
    double watt, low, high;    /* on less off: median of the pairs, 95 % */
    double rest_watt, on_watt; /* medians */
    double alerts_per_s, core_s_per_alert;
} nj_ab; /* zero-initialised */

/* One run of about so many seconds. -1 with err. */
typedef int (*nj_ab_run)(void *opaque, bool on, double seconds, nj_ab_reading *reading, nj_error *err);

typedef struct nj_ab_options {
    uint32_t pairs; /* that count; up to three times as many are measured */
    double seconds; /* of one run */
    double most_foreign;
    uint64_t seed;
    nj_ab_run run;
    void *opaque;
} nj_ab_options;

/* What: one warm-up run with the module, then the pairs. Of each two pairs one begins with the module,
 * which one is drawn. A pair is rejected when others were busy on more than most_foreign of all CPUs, or a
 * reading is missing. Reference (pairs, interleaved): Georges, Buytaert & Eeckhout 2007, OOPSLA,
 * doi:10.1145/1297027.1297033. */
int nj_ab_measure(nj_ab *ab, const nj_ab_options *options, nj_error *err);
/* From the pairs that are there: median of the differences of watts; interval by 4000 bootstrap samples of
 * the pairs, from a fixed seed. */
void nj_ab_judge(nj_ab *ab);
/* "1.9 W [1.5, 2.3] above the machine at rest"; "below 0.6 W: not distinguishable from the machine at rest
 * after 40 pairs; 160 would resolve 0.3 W". source: what read or modelled the energy. */
const char *nj_ab_words(char text[256], const nj_ab *ab, const char *source);
void nj_ab_free(nj_ab *ab);

#endif
