/* patience.h - how long a wait for another process (a broker, a server) may last, now that the process may
 * have been asked to stop. */
#ifndef NJ_BASE_PATIENCE_H
#define NJ_BASE_PATIENCE_H

#include <stdatomic.h>
#include <stdbool.h>

/* The flag that a signal sets when the process is to stop; NULL = there is none (any more). */
void nj_stop_watched(const _Atomic int *stop);
/* The rest: any thread. */
bool nj_stopping(void);
bool nj_patience_over(void); /* and the time for waits has passed */
/* For a wait of at most most_ms: that, or less once the process is to stop. All waits after a stop get some
 * 5 s together. */
int nj_patience_ms(int most_ms);

#endif
