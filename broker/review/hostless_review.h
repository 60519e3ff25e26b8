/* hostless_review.h - the hostless candidates of a source, each on a page of its own: `nightjar inspect
 * --hostless FILE -o DIR`. */
#ifndef NJ_REVIEW_HOSTLESS_REVIEW_H
#define NJ_REVIEW_HOSTLESS_REVIEW_H

#include "../flow/run.h"

typedef struct nj_hostless_asked {
    const char *source, *folder;
    const char *select; /* -m: modules besides hostless and roid; NULL = none */
    const char *where;  /* -w; NULL = all */
    const nj_topic_option *topic;
    uint32_t n_topics;
    int64_t limit; /* alerts that are read; 0 = all */
    int threads;   /* 0 = all cores */
    bool all;      /* pages also for what is no candidate */
} nj_hostless_asked;

typedef struct nj_hostless_review {
    uint64_t n_alerts, n_filtered, n_dead; /* alerts that passed -w and -t, that did not,
                                            * that could not be read */
    uint64_t n_candidates, n_verdicts, n_pages;
} nj_hostless_review;

/* A run whose only output are pages: hostless (with 16 repeats unless [module.hostless] repeats says
 * otherwise) and roid over the source, folder/CANDID.html and folder/index.html. The folder is made; dead
 * letters go there too. Returns an exit code, err is set unless it is NJ_EXIT_OK or NJ_EXIT_INTERRUPTED.
 * Pages written before an error stay. */
int nj_hostless_review_run(const nj_hostless_asked *asked, const nj_settings *user,
                           nj_hostless_review *counts, nj_error *err);

#endif
