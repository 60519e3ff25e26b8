/* singly.h - what each alert costs: every one is taken alone, several times,
 * and stands for itself by its median. */
#ifndef NJ_PROFILE_SINGLY_H
#define NJ_PROFILE_SINGLY_H

#include "../measure/modes.h"
#include "replay.h"

enum { NJ_SINGLY_BARS = 24 };
/* Of an alert: points of its longest history, pixels of its largest stamp, 1 when the module answered it. */
enum { NJ_CAUSE_POINTS, NJ_CAUSE_PIXELS, NJ_CAUSE_ANSWERED, NJ_CAUSES };

typedef struct nj_singly_cause { /* of the slower modes against the fastest one */
    double superior;   /* share of the pairs of a slower and a fast alert in which the slower has more */
    double fast, slow; /* medians; ANSWERED: means */
} nj_singly_cause;

typedef struct nj_singly_alert {
    int64_t id;     /* candid or diaSourceId; NJ_NO_I64 */
    uint32_t batch; /* of the replay */
    double ns;
    double over_mode;     /* ns over the median of its mode */
    double of[NJ_CAUSES]; /* what might explain its cost */
    bool outlier;         /* ns is 1.5 times the median of its mode and more,
                       * and 3.5 robust standard deviations of log ns away */
} nj_singly_alert;

typedef struct nj_singly {
    nj_singly_alert *alert; /* [n], the largest over_mode first */
    uint32_t n, rounds, n_outliers;
    uint32_t n_none;                      /* alerts that the module was not called for:
                                           * they lack a required input */
    double mean, p50, p90, p95, p99, max; /* ns */
    nj_modes modes;                       /* of log10 ns */
    uint32_t n_mode[NJ_MODES];            /* alerts in each mode; [0] has all when there is one mode */
    double median[NJ_MODES];              /* ns, of each mode */
    nj_singly_cause cause[NJ_CAUSES];     /* only when there are several modes */
    uint32_t n_bars, bar[NJ_SINGLY_BARS]; /* histogram, log-linear */
    double first_edge, bars_per_octave;   /* bar k: from first_edge * 2^(k / bars_per_octave) ns */
} nj_singly;                              /* zero-initialised */

/* Takes the batches of the replay, which must hold one row each and have one worker, in rounds (one alert
 * after the other, so that a slow minute meets all of them) for so many seconds: 5 rounds at least, 101 at
 * most. -1 with err. Reference (outliers): Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers,
 * the modified z-score. */
int nj_singly_time(nj_singly *s, nj_replay *r, double seconds, nj_error *err);
double nj_singly_edge(const nj_singly *s, uint32_t bar);
void nj_singly_free(nj_singly *s);

#endif
