/* alerts.h - the packets of the sources, read once and kept in memory,
 * so that every pass sees the same ones. */
#ifndef NJ_PROFILE_ALERTS_H
#define NJ_PROFILE_ALERTS_H

#include <stdbool.h>

#include "../engine/feed.h"

typedef struct nj_alerts {
    nj_chunk **chunk; /* [n], held */
    uint32_t n, cap;
    size_t bytes;
    bool cut;        /* there was more than max_bytes */
    char digest[65]; /* sha256 over the sha256 of each chunk, in order */
    nj_feed *feed;   /* has the streams of the chunks */
} nj_alerts;         /* zero-initialised, from calloc */

/* Reads all sources to their ends, or until max_bytes of packets are there. -1 with err. */
int nj_alerts_read(nj_alerts *alerts, nj_settings *settings, const char *const *source, uint32_t n_sources,
                   size_t max_bytes, nj_error *err);
void nj_alerts_free(nj_alerts *alerts);

#endif
