/* watch.h - a thread that looks at the others: reports a call that does not return,
 * and ends a stop that does not end. */
#ifndef NJ_GRAPH_WATCH_H
#define NJ_GRAPH_WATCH_H

#include <stdint.h>

typedef struct nj_watch nj_watch;

typedef struct nj_watch_options {
    double call_s;           /* a module's call that lasts longer is reported, and again at 6, 36 ...
                              * times as long; 0 = never */
    int level;               /* of the log at which it is reported */
    double stop_s;           /* after *stop: the process ends when nothing has moved for so long;
                              * 0 = it waits */
    const _Atomic int *stop; /* NULL = no stop is asked for */
    uint64_t (*progress)(void *opaque); /* grows while something moves outside of modules;
                                         * NULL = nothing does */
    void *opaque;
} nj_watch_options;

/* Watches the slots of all workers and of the set-up. NULL when there is no thread or memory for it. */
nj_watch *nj_watch_start(const nj_watch_options *options);
/* From here on a stop may take as long as it takes: files are being closed. */
void nj_watch_no_limit(nj_watch *watch);
void nj_watch_stop(nj_watch *watch); /* NULL allowed */

#endif
