/* clock.h - wall and CPU time in nanoseconds. */
#ifndef NJ_BASE_CLOCK_H
#define NJ_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t nj_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
/* Monotonic wall clock; about 20 ns a reading. */
static inline int64_t nj_now_ns(void)
{
    return nj_clock_ns(CLOCK_MONOTONIC);
}
/* CPU time of the calling thread; some 600 ns a reading in a guest: once per batch, never per alert. */
static inline int64_t nj_thread_cpu_ns(void)
{
    return nj_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}
/* CPU time of the whole process. */
static inline int64_t nj_process_cpu_ns(void)
{
    return nj_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
/* Calendar time. */
static inline int64_t nj_calendar_ns(void)
{
    return nj_clock_ns(CLOCK_REALTIME);
}

#endif
