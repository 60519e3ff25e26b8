/* health.c - a run that hangs must not look like one that waits for alerts: this thread distinguishes them,
 * for probes and for systemd.  What it reads are counters, each with one writer. A run hangs when, for [run]
 * stall_s, - one call of a module has not returned, or - alerts are under way, none of them is done, and no
 * module is called, or - nothing is under way, and no live source was polled. In the second case the output
 * thread may be within a sink, which waits for a disk or a broker, or alerts wait for a schema registry: then
 * a restart would not help, and the run is alive, but not ready. */
#include "health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../graph/slot.h"
#include "board.h"
#include "notify.h"
#include "trim.h"

enum { TICK_MS = 1000, STATUS_TICKS = 5 };

struct nj_health {
    run *r;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ended;            /* lock */
    nj_health_state state; /* lock */
    int64_t tick_ns;
    /* of the thread alone */
    uint64_t moved, polls;    /* at the last look */
    int64_t now_ns, moved_ns; /* when something last moved */
    uint64_t calls;           /* being summed over the slots */
    int64_t longest_ns;       /* of the calls in progress */
    char in[96];              /* the module of that call */
    bool notified_ready, notified_stopping;
    uint64_t done_before; /* at the last status */
    int64_t status_ns;
    nj_log_limit silent; /* messages about systemd that does not listen */
};

typedef struct sums {
    uint64_t settled, done, dead, under_way;
} sums;

/* Fields of a ledger have one writer each, and are read as they are. */
__attribute__((noinline, no_sanitize("thread"))) static sums sum(const run *r)
{
    sums s = { 0 };
    uint32_t n = __atomic_load_n(&r->accounts.n_streams, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n; i++) {
        const volatile nj_ledger *l = &r->accounts.ledger[i];
        s.settled += l->settled;
        s.dead += l->dead;
        s.done += l->emitted + l->filtered + l->dead + l->duplicates;
    }
    uint64_t handed = __atomic_load_n(&r->ingest.handed, __ATOMIC_RELAXED);
    s.under_way = handed > s.settled ? handed - s.settled : 0;
    return s;
}

/* Called under the lock of the list, which the watch takes, too: `watched` is whole. */
static void look_at_slot(void *opaque, nj_slot *s)
{
    nj_health *h = opaque;
    uint64_t calls = atomic_load(&s->calls);
    const char *instance = atomic_load(&s->instance);
    h->calls += calls + (instance != NULL);
    int64_t lasts = calls == s->watched.calls ? h->now_ns - s->watched.since_ns : 0;
    if (!instance || lasts <= h->longest_ns) return;
    h->longest_ns = lasts;
    snprintf(h->in, sizeof h->in, "%s", instance);
}

/* A file may take its time: an empty pipe is no hang. */
static bool is_file(const run *r)
{
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]->stream) return true;
    return false;
}

/* The least of all sources. */
static nj_source_state state_of_sources(const run *r)
{
    nj_source_state least = NJ_SOURCE_READY;
    for (uint32_t i = 0; i < r->n_sources; i++) {
        nj_source_state s =
            r->source[i]->class->ready ? r->source[i]->class->ready(r->source[i]) : NJ_SOURCE_READY;
        if (s < least) least = s;
    }
    return least;
}

static nj_health_state look(nj_health *h, sums *s)
{
    const run *r = h->r;
    h->now_ns = nj_now_ns();
    h->calls = 0;
    h->longest_ns = -1;
    h->in[0] = '\0';
    nj_slot_each(look_at_slot, h);
    *s = sum(r);
    uint64_t polls = __atomic_load_n(&r->ingest.polls, __ATOMIC_RELAXED);
    uint64_t moved = s->settled + h->calls;
    if (moved != h->moved || (!s->under_way && polls != h->polls)) h->moved_ns = h->now_ns;
    h->moved = moved;
    h->polls = polls;
    double stood = (double)(h->now_ns - h->moved_ns) / 1e9, call = (double)h->longest_ns / 1e9,
           most = r->conf.stall_s;
    bool within_sink = __atomic_load_n(&r->output.busy, __ATOMIC_RELAXED);
    nj_source_state sources = state_of_sources(r);
    nj_health_state now = { .alive = true };
    if (nj_decoder_waiting(r->engine.decoder)) {
        snprintf(now.text, sizeof now.text, "the schema registry does not answer; alerts wait");
    } else if (most > 0 && call >= most) {
        now.alive = false;
        snprintf(now.text, sizeof now.text, "module %s has been in one call for %.0f s", h->in, call);
    } else if (most > 0 && stood >= most && s->under_way) {
        now.alive = within_sink;
        snprintf(now.text, sizeof now.text,
                 "%s: nothing has moved for %.0f s with %" PRIu64 " packets under way%s%s",
                 within_sink ? "an output does not answer" : "hangs", stood, s->under_way,
                 h->in[0] ? "; in module " : "", h->in);
    } else if (most > 0 && stood >= most && !is_file(r)) {
        now.alive = false;
        snprintf(now.text, sizeof now.text, "hangs: no source has been polled for %.0f s", stood);
    } else if (r->end.fatal || r->output.failed || r->ingest.failed) {
        snprintf(now.text, sizeof now.text, "ends after an error");
    } else if (r->end.stop || (r->options->stop && *r->options->stop)) {
        snprintf(now.text, sizeof now.text, "stops: %" PRIu64 " packets under way", s->under_way);
    } else if (sources != NJ_SOURCE_READY) {
        now.started = sources != NJ_SOURCE_ASKS;
        snprintf(now.text, sizeof now.text, "no partition is assigned%s",
                 sources == NJ_SOURCE_ASKS ? " yet"
                                           : ": the topic is not there, or the group has more members");
    } else {
        now.started = now.ready = true;
        snprintf(now.text, sizeof now.text, "%" PRIu64 " alerts are through", s->done);
    }
    return now;
}

/* --- systemd --- */

static void notify(nj_health *h, const char *text)
{
    if (nj_notify(text))
        nj_log_limited(&h->silent, 1, NJ_LOG_WARN, "$NOTIFY_SOCKET %s: %s", getenv("NOTIFY_SOCKET"),
                       strerror(errno));
}

static void notify_status(nj_health *h, const nj_health_state *now, const sums *s)
{
    char text[640];
    double seconds = (double)(h->now_ns - h->status_ns) / 1e9;
    int n = snprintf(text, sizeof text, "STATUS=%s", now->text);
    if (now->ready)
        snprintf(text + n, sizeof text - (size_t)n, ", %.0f/s, %" PRIu64 " dead",
                 seconds > 0 ? (double)(s->done - h->done_before) / seconds : 0, s->dead);
    h->status_ns = h->now_ns;
    h->done_before = s->done;
    notify(h, text);
}

static void notify_stopping(nj_health *h)
{
    if (!h->notified_stopping) notify(h, "STOPPING=1\nSTATUS=writes what is under way");
    h->notified_stopping = true;
}

static void notify_systemd(nj_health *h, const nj_health_state *now, const sums *s, unsigned tick)
{
    if (!nj_notify_wanted()) return;
    /* systemd would end a service that waits for its topic with a failed start */
    if (now->started && !h->notified_ready) {
        notify(h, "READY=1");
        h->notified_ready = true;
        tick = 0;
    }
    if (now->alive) notify(h, "WATCHDOG=1");
    if (tick % STATUS_TICKS == 0) notify_status(h, now, s);
    if (h->r->end.stop || (h->r->options->stop && *h->r->options->stop)) notify_stopping(h);
}

/* --- the thread --- */

static void *watch(void *health)
{
    nj_health *h = health;
    nj_trim trim = { 0 };
    pthread_mutex_lock(&h->lock);
    for (unsigned tick = 0; !h->ended; tick++) {
        pthread_mutex_unlock(&h->lock);
        sums s;
        nj_health_state now = look(h, &s);
        nj_trim_look(&trim);
        notify_systemd(h, &now, &s, tick);
        nj_board_write(h->r, &now);
        pthread_mutex_lock(&h->lock);
        h->state = now;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(h->tick_ns % 1000000000);
        until.tv_sec += h->tick_ns / 1000000000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!h->ended) pthread_cond_timedwait(&h->wake, &h->lock, &until);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

nj_health *nj_health_start(run *r, nj_error *err)
{
    nj_health *h = calloc(1, sizeof *h);
    if (!h) return nj_fail(err, "out of memory"), NULL;
    int64_t quarter = nj_notify_watchdog_ns() / 4;
    h->r = r;
    h->moved_ns = h->status_ns = nj_now_ns();
    h->tick_ns = TICK_MS * (int64_t)1000000;
    if (quarter && quarter < h->tick_ns) h->tick_ns = quarter;
    h->state = (nj_health_state){ .alive = true, .text = "starts" };
    nj_board_begin(r);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&h->thread, NULL, watch, h) == 0) return h;
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return nj_fail(err, "no thread to look at the run's health"), NULL;
}

void nj_health_stop(nj_health *h)
{
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->ended = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    if (nj_notify_wanted()) notify_stopping(h);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

nj_health_state nj_health_now(nj_health *h)
{
    pthread_mutex_lock(&h->lock);
    nj_health_state now = h->state;
    pthread_mutex_unlock(&h->lock);
    return now;
}
