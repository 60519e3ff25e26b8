/* relay.h - a worker's messages to systemd go through its supervisor: systemd accepts them from that
 * process. */
#ifndef NJ_FLOW_RELAY_H
#define NJ_FLOW_RELAY_H

#include <stdbool.h>

/* Before the first worker: NOTIFY_SOCKET of the environment is a socket of our own from here on. Without
 * systemd it does nothing. */
void nj_relay_begin(void);
/* Passes on what has come; does not wait. last: there will be no other worker. A worker that is replaced
 * stops, and the service does not: systemd would end it after TimeoutStopSec. So STOPPING=1 is held back
 * until then, at the latest until nj_relay_end(). */
void nj_relay_pass(bool last);
void nj_relay_end(void);

#endif
