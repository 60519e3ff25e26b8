/* watch.c - a module that never returns stops the whole run, so another thread watches the calls and names
 * the module. */
#include "watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "crash.h"
#include "slot.h"

enum { AGAIN = 6 }; /* a call is reported again when it has lasted so many times as long */

struct nj_watch {
    nj_watch_options o;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ended; /* lock */
    _Atomic bool no_limit;
    int64_t now_ns;
    uint64_t moved;      /* what was there at the last look */
    int64_t moved_ns;    /* when it last changed; 0 = no stop was asked for */
    nj_slot *longest;    /* of the slots in a call, at the last look */
    uint64_t moved_next; /* being summed */
};

/* "module NAME in process(): 20 rows from alert 5 of night.tar" */
static const char *where(const nj_slot *s, char *text, size_t size)
{
    const char *instance = atomic_load(&s->instance);
    const nj_stream *stream = atomic_load(&s->stream);
    uint32_t n = atomic_load(&s->n_rows);
    int used = snprintf(text, size, "module %s %s", instance ? instance : "?",
                        nj_phase_name[atomic_load(&s->phase)]);
    if (!n || used < 0 || (size_t)used >= size) return text;
    char rows[32] = "", origin[256] = "";
    if (n > 1) snprintf(rows, sizeof rows, "%" PRIu32 " rows from ", n);
    if (stream && stream->partition >= 0)
        snprintf(origin, sizeof origin, " of %s offset %" PRId64, stream->name, atomic_load(&s->offset));
    else if (stream)
        snprintf(origin, sizeof origin, " of %s", stream->name);
    snprintf(text + used, size - (size_t)used, ", %salert %" PRId64 "%s", rows, atomic_load(&s->first_id),
             origin);
    return text;
}

static void look(void *opaque, nj_slot *s)
{
    nj_watch *w = opaque;
    const char *instance = atomic_load(&s->instance);
    uint64_t calls = atomic_load(&s->calls);
    w->moved_next += calls + (instance != NULL);
    if (!instance || calls != s->watched.calls) {
        s->watched = (nj_slot_watched){ .calls = calls, .since_ns = w->now_ns, .report_s = w->o.call_s };
        return;
    }
    if (!w->longest || s->watched.since_ns < w->longest->watched.since_ns) w->longest = s;
    double lasts = (double)(w->now_ns - s->watched.since_ns) / 1e9;
    if (w->o.call_s <= 0 || lasts < s->watched.report_s) return;
    while (s->watched.report_s <= lasts) s->watched.report_s *= AGAIN;
    static nj_log_limit said;
    char text[640];
    nj_log_limited(&said, 20, w->o.level, "%s, has been in this call for %.3g s (run.call_s)",
                   where(s, text, sizeof text), lasts);
}

/* *stop is set and nothing moves: whoever waits for a file or a module would wait forever. */
static void give_up(const nj_watch *w)
{
    char text[640] = "no module: a source or an output does not answer";
    if (w->longest) where(w->longest, text, sizeof text);
    nj_log_ending();
    nj_log(NJ_LOG_ERROR, "stopped with work under way: nothing has moved for %.3g s (run.stop_s); in %s",
           w->o.stop_s, text);
    nj_exit_at_once(NJ_EXIT_INTERRUPTED); /* what was acknowledged is safe,
                                           * the rest is as after a second signal */
}

static void look_at_all(nj_watch *w)
{
    w->now_ns = nj_now_ns();
    w->moved_next = w->o.progress ? w->o.progress(w->o.opaque) : 0;
    w->longest = NULL;
    nj_slot_each(look, w);
    bool stopping = w->o.stop && atomic_load(w->o.stop) && w->o.stop_s > 0 && !atomic_load(&w->no_limit);
    if (!stopping || !w->moved_ns || w->moved_next != w->moved) w->moved_ns = stopping ? w->now_ns : 0;
    w->moved = w->moved_next;
    if (stopping && (double)(w->now_ns - w->moved_ns) / 1e9 >= w->o.stop_s) give_up(w);
}

/* A tenth of the shortest time asked for, from 10 ms to 1 s. */
static int64_t tick_ns(const nj_watch *w)
{
    double s = 10;
    if (w->o.call_s > 0 && w->o.call_s < s) s = w->o.call_s;
    if (w->o.stop && w->o.stop_s > 0 && w->o.stop_s < s) s = w->o.stop_s;
    return s < 0.1 ? 10000000 : (int64_t)(s * 1e8);
}

static void *watch(void *watch_)
{
    nj_watch *w = watch_;
    int64_t tick = tick_ns(w);
    pthread_mutex_lock(&w->lock);
    while (!w->ended) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(tick % 1000000000);
        until.tv_sec += tick / 1000000000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
        if (w->ended) break;
        pthread_mutex_unlock(&w->lock);
        look_at_all(w);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

nj_watch *nj_watch_start(const nj_watch_options *options)
{
    nj_watch *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->o = *options;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->thread, NULL, watch, w) == 0) return w;
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

void nj_watch_no_limit(nj_watch *w)
{
    if (w) atomic_store(&w->no_limit, true);
}

void nj_watch_stop(nj_watch *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
