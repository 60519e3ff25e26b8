/* python.h - what a module in Python costs, to the line: its workers are processes that trace themselves. */
#ifndef NJ_PROFILE_PYTHON_H
#define NJ_PROFILE_PYTHON_H

#include <stdio.h>

#include "replay.h"

/* Two replays of the alerts, without and with the interpreter's tracing; prints what a call and an alert
 * cost, what the tracing costs, and with `lines` the table of lines. repeat 0: about two seconds each.
 * -1 with err. */
int nj_python_profile(const nj_replay_options *options, const nj_alerts *alerts, int64_t repeat, bool lines,
                      FILE *out, nj_error *err);

#endif
