/* alerts.h - the rules that need real alerts: valid answers, whatever alerts stand beside in the batch. */
#ifndef NJ_CHECK_ALERTS_H
#define NJ_CHECK_ALERTS_H

#include "../profile/replay.h"
#include "check.h"

/* Takes the alerts through the module in batches of two sizes; fills verdict, what and cure. c->in may be
 * NULL. */
void nj_check_alerts(nj_check *c, const nj_replay_options *options, const nj_alerts *alerts);

#endif
