/* notify.h - the messages of a service to systemd. */
#ifndef NJ_FLOW_NOTIFY_H
#define NJ_FLOW_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Is there a listener: is $NOTIFY_SOCKET set? */
bool nj_notify_wanted(void);
/* Sends lines as "READY=1\nSTATUS=..." and waits at most 1 s for room. -1: no listener, or it could not
 * be sent (errno says why). */
int nj_notify(const char *text);
/* How often WATCHDOG=1 must come, in ns ($WATCHDOG_USEC); 0 = not asked for. */
int64_t nj_notify_watchdog_ns(void);

#endif
