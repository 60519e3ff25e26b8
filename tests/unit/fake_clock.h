/* fake_clock.h - a clock that moves only when somebody sleeps: waits are counted to the nanosecond and take
 * no time. A test that includes it begins with: link: -Wl,--wrap=clock_gettime,--wrap=nanosleep (Makefile).
 * Shared libraries keep the real clock. One thread may sleep. */
#ifndef TESTS_UNIT_FAKE_CLOCK_H
#define TESTS_UNIT_FAKE_CLOCK_H

#include <stdint.h>
#include <time.h>

static struct {
    int on;              /* 0: the real clock */
    int64_t now_ns;      /* what CLOCK_MONOTONIC says */
    int64_t calendar_ns; /* what CLOCK_REALTIME says; 0 = the real one */
    int n_slept;         /* calls of nanosleep() */
    int64_t slept_ns;
    void (*between)(void); /* called in each sleep; NULL = nothing */
} fake_clock;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (fake_clock.on && clock == CLOCK_REALTIME && fake_clock.calendar_ns) {
        *t = (struct timespec){ fake_clock.calendar_ns / 1000000000, fake_clock.calendar_ns % 1000000000 };
        return 0;
    }
    if (!fake_clock.on || clock != CLOCK_MONOTONIC) return __real_clock_gettime(clock, t);
    *t = (struct timespec){ fake_clock.now_ns / 1000000000, fake_clock.now_ns % 1000000000 };
    return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
    if (!fake_clock.on) return __real_nanosleep(t, left);
    int64_t ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
    fake_clock.n_slept++;
    fake_clock.slept_ns += ns;
    fake_clock.now_ns += ns;
    if (fake_clock.between) fake_clock.between();
    return 0;
}

/* From now on; the clock starts at one second. */
static inline void fake_clock_start(void)
{
    fake_clock.on = 1;
    fake_clock.now_ns = 1000000000;
    fake_clock.n_slept = 0;
    fake_clock.slept_ns = 0;
}

#endif
