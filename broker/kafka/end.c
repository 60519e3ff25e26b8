/* end.c - a client of Kafka that cannot be destroyed must not keep a run from ending. */
#include "end.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/patience.h"

enum { DESTROY_MS = 5000 }; /* usually some milliseconds */

/* Two threads have it, and the last one frees it. */
typedef struct ending {
    rd_kafka_t *client;
    int flags;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    bool done, left;
} ending;

static void free_ending(ending *e)
{
    pthread_cond_destroy(&e->turn);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void *destroy(void *ending_)
{
    ending *e = ending_;
    rd_kafka_destroy_flags(e->client, e->flags);
    pthread_mutex_lock(&e->lock);
    bool mine = e->left;
    e->done = true;
    pthread_cond_signal(&e->turn);
    pthread_mutex_unlock(&e->lock);
    if (mine) free_ending(e);
    return NULL;
}

/* The first of all handlers, because it was the last to be set: those of libraries would take away what the
 * threads that were left behind still use. */
static void end_at_once(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

static void leave_behind(const char *name)
{
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    nj_log(NJ_LOG_WARN, "%s: its client did not end in time; the run does not wait for it", name);
    if (!atomic_flag_test_and_set(&registered)) on_exit(end_at_once, NULL);
}

void nj_kafka_end(rd_kafka_t *client, int flags, const char *name)
{
    ending *e = calloc(1, sizeof *e);
    pthread_t thread;
    if (!e) {
        leave_behind(name);
        return;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->turn, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&e->lock, NULL);
    e->client = client;
    e->flags = flags;
    int64_t until = nj_now_ns() + nj_patience_ms(DESTROY_MS) * (int64_t)1000000;
    struct timespec deadline = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
    if (pthread_create(&thread, NULL, destroy, e)) {
        free_ending(e);
        leave_behind(name);
        return;
    }
    pthread_detach(thread);
    pthread_mutex_lock(&e->lock);
    for (int late = 0; !e->done && !late;) late = pthread_cond_timedwait(&e->turn, &e->lock, &deadline) != 0;
    bool done = e->done;
    e->left = !done;
    pthread_mutex_unlock(&e->lock);
    if (done)
        free_ending(e);
    else
        leave_behind(name);
}
