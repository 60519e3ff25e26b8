/* waterfall.h - where the time of each exposure went,
 * from its first alert's arrival to its last one's acknowledgement.
 *
 * An exposure is done when its last alert is; its waterfall is the way of that alert, and sums to its time:
 * `arrive` (until that alert came, after the exposure's first), `queue` (waiting for a compute thread and for
 * its turn to be written), `decode`, `modules`, `filter`, `publish` (written, and acknowledged by every
 * sink). Owner: the output thread. Memory is bounded: at most NJ_WATERFALL_OPEN exposures are under way;
 * beyond, the one that was longest untouched is closed. */
#ifndef NJ_MEASURE_WATERFALL_H
#define NJ_MEASURE_WATERFALL_H

#include <stdint.h>

#include "../base/histogram.h"

enum {
    NJ_SPAN_ARRIVE,
    NJ_SPAN_QUEUE,
    NJ_SPAN_DECODE,
    NJ_SPAN_MODULES,
    NJ_SPAN_FILTER,
    NJ_SPAN_PUBLISH,
    NJ_SPANS
};
extern const char *const nj_span_name[NJ_SPANS];

enum { NJ_WATERFALL_OPEN = 131072, NJ_WATERFALL_WORST = 100 };

/* Some consecutive alerts of one exposure that went the way together. Times: nj_now_ns(). */
typedef struct nj_waterfall_part {
    const char *survey;
    double exposure; /* the column `exposure`: ZTF jd, LSST visit */
    uint32_t n;
    int64_t first_arrival_ns, last_arrival_ns;
    int64_t begin_ns, decoded_ns, computed_ns; /* a compute thread had them from begin;
                                                * modules from decoded to computed */
    int64_t filter_ns, filtered_ns;            /* the output thread took them up; what follows is publish */
} nj_waterfall_part;

typedef struct nj_waterfall_exposure {
    char survey[16];
    double exposure;
    uint64_t alerts;
    int64_t first_arrival_ns, acknowledged_ns;
    int64_t span_ns[NJ_SPANS]; /* of the alert that was acknowledged last */
} nj_waterfall_exposure;

/* What is left when all exposures are closed. */
typedef struct nj_waterfall_sum {
    double budget_s, broker_share;                   /* as set: an exposure is over when it took more
                                                      * than budget_s x broker_share */
    uint64_t n, over, alerts, closed_early;          /* exposures; beyond the share; alerts in them;
                                                      * closed because there was no room */
    nj_histogram span[NJ_SPANS], total;              /* ns, one entry per exposure */
    nj_waterfall_exposure worst[NJ_WATERFALL_WORST]; /* of those over: the longest, longest first */
    uint32_t n_worst;
} nj_waterfall_sum;

typedef struct nj_waterfall nj_waterfall;
nj_waterfall *nj_waterfall_new(double budget_s, double broker_share); /* NULL when memory is short */
void nj_waterfall_free(nj_waterfall *w);
/* These alerts were acknowledged. 0, or -1 when memory is short. */
int nj_waterfall_add(nj_waterfall *w, const nj_waterfall_part *part, int64_t acknowledged_ns);
/* Closes all exposures. The sum lives as long as w. */
const nj_waterfall_sum *nj_waterfall_end(nj_waterfall *w);
/* First arrival to last acknowledgement. */
int64_t nj_waterfall_total(const nj_waterfall_exposure *exposure);

#endif
