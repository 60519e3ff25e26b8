#define UNW_LOCAL_ONLY
#include "sample.h"

#include <errno.h>
#include <libunwind.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { MAX_DEPTH = 96, DELAYS = 8192 };

struct nj_sampler {
    nj_sampler_options o;
    timer_t timer;
    struct sigaction before;
    volatile int running;
    uint64_t top; /* frames at or above this stack address are the profiler's own */
    uint64_t *pc; /* [room] frames of all samples, one behind the other */
    size_t used, room;
    uint32_t *first; /* [max_samples + 1] */
    volatile uint32_t n;
    uint32_t next_delay;
    int64_t delay[DELAYS]; /* ns; drawn beforehand: a handler should not call libm */
};

static void arm(nj_sampler *s)
{
    struct itimerspec when = { 0 };
    int flags = 0;
    int64_t ns = s->delay[s->next_delay++ % DELAYS];
    if (s->o.fixed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ns = (((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / s->o.mean_ns + 1) * s->o.mean_ns;
        flags = TIMER_ABSTIME;
    }
    when.it_value = (struct timespec){ ns / 1000000000, ns % 1000000000 };
    timer_settime(s->timer, flags, &when, NULL);
}

static void walk(nj_sampler *s, void *context)
{
    unw_cursor_t cursor;
    unw_word_t ip, sp;
    size_t begin = s->used;
    if (unw_init_local2(&cursor, context, UNW_INIT_SIGNAL_FRAME)) return;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        if (unw_get_reg(&cursor, UNW_REG_IP, &ip) || unw_get_reg(&cursor, UNW_REG_SP, &sp) || !ip || sp >= s->top) break;
        s->pc[s->used++] = ip;
        if (unw_step(&cursor) <= 0) break;
    }
    if (s->used == begin) return;
    s->first[s->n + 1] = (uint32_t)s->used;
    s->n++;
}

static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number;
    if (info->si_code != SI_TIMER) return;
    int saved = errno;
    nj_sampler *s = info->si_value.sival_ptr;
    if (s->running) {
        if (*s->o.where == s->o.name && s->n < s->o.max_samples && s->used + MAX_DEPTH <= s->room) walk(s, context);
        if (s->n < s->o.max_samples && s->used + MAX_DEPTH <= s->room) arm(s);
    }
    errno = saved;
}

nj_sampler *nj_sampler_new(const nj_sampler_options *o, nj_error *err)
{
    nj_sampler *s = calloc(1, sizeof *s);
    if (!s) return nj_fail(err, "out of memory"), NULL;
    s->o = *o;
    s->room = (size_t)o->max_samples * 32 + MAX_DEPTH; /* touched as it fills */
    s->pc = malloc(s->room * sizeof *s->pc);
    s->first = calloc((size_t)o->max_samples + 2, sizeof *s->first);
    if (!s->pc || !s->first) {
        nj_sampler_free(s);
        return nj_fail(err, "out of memory"), NULL;
    }
    uint64_t x =
        UINT64_C(88172645463325252); /* xorshift64, Marsaglia 2003; any stream will do that is not periodic in the loop */
    for (int i = 0; i < DELAYS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double u = ((double)(x >> 11) + 0.5) / 9007199254740992.0;
        s->delay[i] = (int64_t)(-log(u) * (double)o->mean_ns) + 1;
    }
    return s;
}

int nj_sampler_start(nj_sampler *s, nj_error *err)
{
    unw_context_t here;
    unw_cursor_t cursor;
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
    if (unw_getcontext(&here) == 0 && unw_init_local(&cursor, &here) == 0) /* fills libunwind's caches outside of the handler */
        while (unw_step(&cursor) > 0) continue;
    s->top = (uint64_t)(uintptr_t)__builtin_frame_address(0);
    struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, &s->before)) return nj_fail(err, "SIGPROF: %s", strerror(errno));
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF, .sigev_value.sival_ptr = s };
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(s->o.cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &event, &s->timer)) {
        sigaction(SIGPROF, &s->before, NULL);
        return nj_fail(err, "a timer of this thread: %s", strerror(errno));
    }
    s->running = 1;
    arm(s);
    return 0;
}

void nj_sampler_stop(nj_sampler *s)
{
    if (!s->running) return;
    s->running = 0;
    timer_delete(s->timer);
    sigset_t pending;
    if (sigpending(&pending) == 0 && !sigismember(&pending, SIGPROF))
        sigaction(SIGPROF, &s->before, NULL);
    else
        signal(SIGPROF, SIG_IGN);
}

uint32_t nj_sampler_taken(const nj_sampler *s)
{
    return s->n;
}

uint32_t nj_sampler_stack(const nj_sampler *s, uint32_t sample, const uint64_t **pc)
{
    *pc = s->pc + s->first[sample];
    return s->first[sample + 1] - s->first[sample];
}

void nj_sampler_forget(nj_sampler *s)
{
    s->n = 0;
    s->used = 0;
}

void nj_sampler_free(nj_sampler *s)
{
    if (!s) return;
    free(s->pc);
    free(s->first);
    free(s);
}
