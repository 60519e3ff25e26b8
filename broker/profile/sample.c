/* sample.c - sampling by perf needs privileges; this takes call stacks by a timer signal of the profiled
 * thread. */
#define UNW_LOCAL_ONLY
#include "sample.h"

#include <errno.h>
#include <libunwind.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../base/clock.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Several timers of one thread, each with the mean delay times their number: together they are the same
 * Poisson process. But one that is armed again is rarely the next to expire, and only the next one is written
 * to the clock chip, which costs 5 us and more in a guest (of 30 us that a sample costs with one timer, 21 us
 * with eight; a bare interrupt is 15 us). */
enum { SAME_MOMENT_NS = 2000, TIMERS = 8, MAX_DEPTH = 96, HANDLER_DEPTH = 8, DELAYS = 8192, MISSES = 256 };

typedef struct alarm_clock {
    nj_sampler *sampler;
    timer_t timer;
    uint32_t next_delay;
} alarm_clock;

struct nj_sampler {
    nj_sampler_options o;
    alarm_clock clock[TIMERS];
    uint32_t n_clocks, n_started;
    _Atomic int running;
    _Atomic uint64_t moments;
    int64_t last_ns; /* when the handler was last left */
    uint64_t *pc;    /* [room + MAX_DEPTH] frames of all samples, one behind the other */
    size_t used, room;
    uint64_t stack_end, missed[MISSES]; /* addresses without a rule */
    _Atomic uint32_t n_missed;
    uint32_t *first; /* [max_samples + 2] */
    _Atomic uint32_t n;
    int64_t delay[DELAYS]; /* ns; drawn beforehand: a handler should not call libm */
};

static void arm(alarm_clock *c)
{
    const nj_sampler *s = c->sampler;
    struct itimerspec when = { 0 };
    int flags = 0;
    int64_t ns = s->delay[c->next_delay++ % DELAYS];
    if (s->o.fixed) {
        ns = (nj_now_ns() / s->o.mean_ns + 1) * s->o.mean_ns;
        flags = TIMER_ABSTIME;
    }
    when.it_value = (struct timespec){ ns / 1000000000, ns % 1000000000 };
    timer_settime(c->timer, flags, &when, NULL);
}

/* The address that the signal interrupted. */
static uint64_t interrupted(const void *context)
{
    const ucontext_t *u = context;
#if defined __x86_64__
    return (uint64_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    return u->uc_mcontext.pc;
#else
    return (void)u, 0;
#endif
}

/* libunwind's short walk: it keeps, by address, where a frame's caller is found, and does not look at the
 * tables again (1.5 us for 20 frames when it has met them, else like the steps of a cursor, 7 and more). It
 * begins in this handler, whose frames are dropped. */
static int walk_fast(const void *context, uint64_t *to)
{
    void *frame[MAX_DEPTH + HANDLER_DEPTH];
    int n = unw_backtrace(frame, MAX_DEPTH + HANDLER_DEPTH), at = 0;
    const void *pc = (const void *)(uintptr_t)interrupted(context);
    while (at < n && at < HANDLER_DEPTH && frame[at] != pc) at++;
    if (!pc || at == n || at == HANDLER_DEPTH) return 0;
    for (int i = at; i < n && i - at < MAX_DEPTH; i++) to[i - at] = (uint64_t)(uintptr_t)frame[i];
    return n - at < MAX_DEPTH ? n - at : MAX_DEPTH;
}

static int walk_steps(void *context, uint64_t *to)
{
    unw_cursor_t cursor;
    unw_word_t ip;
    int n = 0;
    if (unw_init_local2(&cursor, context, UNW_INIT_SIGNAL_FRAME)) return 0;
    while (n < MAX_DEPTH && unw_get_reg(&cursor, UNW_REG_IP, &ip) == 0 && ip) {
        to[n++] = ip;
        if (unw_step(&cursor) <= 0) break;
    }
    return n;
}

/* When the memory is full the walk is made all the same: it is part of what the overhead is measured of. */
static void take(nj_sampler *s, void *context)
{
    bool full = s->n == s->o.max_samples || s->used + MAX_DEPTH > s->room;
    uint64_t *to = s->pc + (full ? s->room : s->used);
    uint64_t missed = 0;
    int depth = s->o.unwind ? nj_unwind_walk(s->o.unwind, context, s->stack_end, to, MAX_DEPTH, &missed) : 0;
    if (missed && s->n_missed < MISSES) s->missed[s->n_missed++] = missed;
    if (!depth) depth = walk_fast(context, to);
    if (!depth) depth = walk_steps(context, to);
    if (full || !depth) return;
    s->used += (size_t)depth;
    s->first[++s->n] = (uint32_t)s->used;
}

static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number;
    if (info->si_code != SI_TIMER) return;
    int saved = errno;
    alarm_clock *c = info->si_value.sival_ptr;
    nj_sampler *s = c->sampler;
    if (s->running) {
        /* Those that rang while the thread was off the CPU come one after the other:
         * they are one moment of it. */
        bool same_moment = nj_now_ns() - s->last_ns < SAME_MOMENT_NS;
        s->moments += !same_moment;
        if (!same_moment && *s->o.where == s->o.name) take(s, context);
        arm(c);
        s->last_ns = nj_now_ns();
    }
    errno = saved;
}

nj_sampler *nj_sampler_new(const nj_sampler_options *o, nj_error *err)
{
    nj_sampler *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->o = *o;
    s->n_clocks = o->cpu || o->fixed ? 1 : TIMERS; /* a CPU clock is looked at when the kernel ticks:
                                                    * no chip, and clumps */
    for (uint32_t i = 0; i < TIMERS; i++)
        s->clock[i] = (alarm_clock){ .sampler = s, .next_delay = i * (DELAYS / TIMERS) };
    s->room = (size_t)o->max_samples * 32 + MAX_DEPTH; /* touched as it fills */
    s->pc = malloc((s->room + MAX_DEPTH) * sizeof *s->pc);
    s->first = calloc((size_t)o->max_samples + 2, sizeof *s->first);
    if (!s->pc || !s->first) {
        nj_sampler_free(s);
        return nj_fail(err, "out of memory"), NULL;
    }
    /* xorshift64, Marsaglia 2003; any stream will do that is not periodic in the loop */
    uint64_t x = UINT64_C(88172645463325252) ^ o->seed * UINT64_C(0x9E3779B97F4A7C15);
    for (int i = 0; i < DELAYS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double u = ((double)(x >> 11) + 0.5) / 9007199254740992.0;
        s->delay[i] = (int64_t)(-log(u) * (double)o->mean_ns * s->n_clocks) + 1;
    }
    return s;
}

static uint64_t end_of_stack(void)
{
    pthread_attr_t a;
    void *begin = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &a)) return 0; /* no rule holds */
    pthread_attr_getstack(&a, &begin, &size);
    pthread_attr_destroy(&a);
    return (uint64_t)(uintptr_t)begin + size;
}

int nj_sampler_start(nj_sampler *s, nj_error *err)
{
    void *frame[MAX_DEPTH];
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
    s->stack_end = end_of_stack();
    unw_backtrace(frame, MAX_DEPTH); /* makes this thread's cache outside of the handler */
    struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, NULL)) return nj_fail(err, "SIGPROF: %s", strerror(errno));
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    for (; s->n_started < s->n_clocks; s->n_started++) {
        event.sigev_value.sival_ptr = &s->clock[s->n_started];
        if (timer_create(s->o.cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &event,
                         &s->clock[s->n_started].timer))
            return nj_fail(err, "a timer of this thread: %s", strerror(errno));
    }
    nj_sampler_resume(s);
    return 0;
}

void nj_sampler_pause(nj_sampler *s)
{
    const struct itimerspec never = { 0 };
    s->running = 0;
    for (uint32_t i = 0; i < s->n_started; i++) timer_settime(s->clock[i].timer, 0, &never, NULL);
}

void nj_sampler_resume(nj_sampler *s)
{
    s->running = 1;
    for (uint32_t i = 0; i < s->n_started; i++) arm(&s->clock[i]);
}

void nj_sampler_stop(nj_sampler *s)
{
    s->running = 0;
    while (s->n_started) timer_delete(s->clock[--s->n_started].timer);
}

uint32_t nj_sampler_missed(nj_sampler *s, const uint64_t **pc)
{
    uint32_t n = s->n_missed;
    *pc = s->missed;
    s->n_missed = 0;
    return n;
}

uint32_t nj_sampler_taken(const nj_sampler *s)
{
    return s->n;
}

uint64_t nj_sampler_moments(const nj_sampler *s)
{
    return s->moments;
}

uint32_t nj_sampler_stack(const nj_sampler *s, uint32_t sample, const uint64_t **pc)
{
    *pc = s->pc + s->first[sample];
    return s->first[sample + 1] - s->first[sample];
}

void nj_sampler_cut(nj_sampler *s, uint32_t n)
{
    if (n >= s->n) return;
    s->n = n;
    s->used = s->first[n];
}

void nj_sampler_free(nj_sampler *s)
{
    if (!s) return;
    nj_sampler_stop(s);
    signal(SIGPROF, SIG_IGN); /* a signal that is still on its way would find no sampler */
    free(s->pc);
    free(s->first);
    free(s);
}
