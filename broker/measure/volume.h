/* volume.h - how many alerts a survey sends: per exposure, night and year. For what a night costs. */
#ifndef NJ_MEASURE_VOLUME_H
#define NJ_MEASURE_VOLUME_H

#include "../base/error.h"

typedef struct nj_volume {
    char name[64];
    const char *source;       /* where the numbers are from */
    double per_exposure;      /* alerts */
    double exposure_s;        /* from one exposure to the next */
    double per_night, nights; /* alerts; nights of a year */
    double bytes;             /* of a packet */
} nj_volume;

/* "ztf", "lsst", or "ALERTS[,PER_EXPOSURE[,EXPOSURE_S[,NIGHTS[,BYTES]]]]": alerts of a night (1e6, 10M,
 * 300k), and what follows if it is not like ZTF's. -1 with err. */
int nj_volume_of(nj_volume *v, const char *text, nj_error *err);

#endif
