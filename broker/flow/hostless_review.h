/* hostless_review.h - every alert of a source on a page of its own: `nightjar inspect --hostless FILE -o DIR`. */
#ifndef NJ_FLOW_HOSTLESS_REVIEW_H
#define NJ_FLOW_HOSTLESS_REVIEW_H

#include "../base/error.h"
#include "../base/settings.h"

typedef struct nj_hostless_review {
    uint64_t n_alerts, n_candidates, n_verdicts, n_dead;
} nj_hostless_review;

/* Runs hostless (with 16 repeats unless [module.hostless] repeats says otherwise) and roid over the source, and writes
 * folder/CANDID.html and folder/index.html. The folder is made. -1 with err; -2 when the settings are to blame.
 * Pages written before an error stay. */
int nj_hostless_review_run(const char *spec, const char *folder, const nj_settings *user, nj_hostless_review *counts,
                           nj_error *err);

#endif
