/* trim.c - a run that was behind has held up to its budget of packets and Kafka's queue. glibc keeps what was
 * freed when something at the end of an arena is still in use (134 of 143 MB: perf/LOG.md). */
#include "trim.h"

#include <malloc.h>

#include "../base/log.h"
#include "../graph/growth.h"

enum { MUCH = 32 << 20 };

/* Bytes in memory that neither the program nor anything else of the process uses; what has not been touched
 * yet counts against it. */
static int64_t free_bytes(int64_t *own)
{
    const struct mallinfo2 m = mallinfo2();
    *own = nj_own_bytes();
    return *own - (int64_t)(m.uordblks + m.hblkhd);
}

int64_t nj_trim_look(nj_trim *t)
{
    int64_t before, after;
    const int64_t now = free_bytes(&before);
    if (t->looks == 0 || now < t->least) t->least = now;
    if (++t->looks < NJ_TRIM_LOOKS) return 0;
    t->looks = 0;
    if (t->least < t->floor + MUCH) return 0;
    malloc_trim(0);
    t->floor = free_bytes(&after); /* of threads, of libraries with memory of their own */
    nj_log(NJ_LOG_DEBUG, "%lld MB of memory went back to the system", (long long)(before - after) >> 20);
    return before > after ? before - after : 0;
}
