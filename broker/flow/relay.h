/* relay.h - a worker's messages to systemd go through its supervisor: systemd accepts them from that
 * process. */
#ifndef NJ_FLOW_RELAY_H
#define NJ_FLOW_RELAY_H

/* Before the first worker: NOTIFY_SOCKET of the environment is a socket of our own from here on. Without
 * systemd it does nothing. */
void nj_relay_begin(void);
/* Passes on what has come; does not wait. */
void nj_relay_pass(void);
void nj_relay_end(void);

#endif
