/* health.h - is the run making progress? For /health and /ready at the metrics server, and for systemd. */
#ifndef NJ_FLOW_HEALTH_H
#define NJ_FLOW_HEALTH_H

#include "internal.h"

typedef struct nj_health nj_health;

/* Looks at the run each second, in a thread of its own, until it is stopped; notifies systemd when
 * $NOTIFY_SOCKET is set. Outputs are open by now. r must outlive it. NULL with err. */
nj_health *nj_health_start(run *r, nj_error *err);
void nj_health_stop(nj_health *health); /* NULL allowed */

typedef struct nj_health_state {
    bool alive;     /* false: a restart would help */
    bool started;   /* the servers have answered; a topic may still be missing */
    bool ready;     /* alerts that arrive now come out */
    char text[256]; /* in one line: what it does, or what it waits for */
} nj_health_state;

/* As of the last look; any thread. */
nj_health_state nj_health_now(nj_health *health);

#endif
