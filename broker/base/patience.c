/* patience.c - a process that is asked to stop has seconds: service managers kill what takes longer.
 * So waits for others become short once the process is to stop. */
#include "patience.h"

#include <stddef.h>

#include "clock.h"

enum {
    STOP_MS = 5000, /* all such waits together: Kubernetes gives 30 s, systemd 90 s, people less */
    LEAST_MS = 400  /* whatever has passed since the stop */
};

static const _Atomic int *_Atomic flag;
static _Atomic int64_t stop_ns; /* when it was first seen set; 0 = it was not */

void nj_stop_watched(const _Atomic int *stop)
{
    flag = stop;
    stop_ns = 0;
}

bool nj_stopping(void)
{
    const _Atomic int *stop = flag;
    if (!stop || !*stop) return false;
    int64_t none = 0;
    atomic_compare_exchange_strong(&stop_ns, &none, nj_now_ns());
    return true;
}

bool nj_patience_over(void)
{
    return nj_stopping() && nj_now_ns() - stop_ns > STOP_MS * (int64_t)1000000;
}

int nj_patience_ms(int most_ms)
{
    if (!nj_stopping()) return most_ms;
    int64_t left = STOP_MS - (nj_now_ns() - stop_ns) / 1000000;
    if (left < LEAST_MS) left = LEAST_MS;
    return left < most_ms ? (int)left : most_ms;
}
