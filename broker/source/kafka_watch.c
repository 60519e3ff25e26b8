/* kafka_watch.c - how far behind a stream is must be known also while it stands still, so a thread asks the
 * brokers where partitions begin and end. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/patience.h"
#include "kafka_parts.h"

enum {
    QUERY_MS = 2000,
    HURRY_MS = 1000,  /* to the next question when offsets without messages wait for their reason */
    FIRST_EVERY = 16, /* the beginnings move seldom */
    WAKE_MS = 200     /* a stop is seen so soon */
};

struct nj_kafka_watch {
    rd_kafka_t *rk;
    nj_partitions *partitions;
    int64_t every_ns;
    pthread_t thread;
    _Atomic bool stop;
};

/* Those that are assigned; *holes: one of them has some. */
static rd_kafka_topic_partition_list_t *assigned(nj_partitions *all, bool *holes)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    *holes = false;
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->n; i++) {
        const nj_partition *p = all->item[i];
        if (!p->assigned) continue;
        rd_kafka_topic_partition_list_add(list, p->topic, p->number);
        *holes |= p->n_holes > 0;
    }
    pthread_mutex_unlock(&all->lock);
    return list;
}

static nj_partition *find(nj_partitions *all, const rd_kafka_topic_partition_t *t)
{
    nj_partition *found = NULL;
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->n && !found; i++)
        if (all->item[i]->number == t->partition && !strcmp(all->item[i]->topic, t->topic))
            found = all->item[i];
    pthread_mutex_unlock(&all->lock);
    return found;
}

/* One question to all leaders: where do partitions begin, or end? */
static void ask(rd_kafka_t *rk, nj_partitions *all, const rd_kafka_topic_partition_list_t *list,
                int64_t which, int timeout_ms)
{
    rd_kafka_topic_partition_list_t *of = rd_kafka_topic_partition_list_copy(list);
    for (int i = 0; i < of->cnt; i++) of->elems[i].offset = which;
    rd_kafka_resp_err_t e = of->cnt ? rd_kafka_offsets_for_times(rk, of, timeout_ms) : 0;
    for (int i = 0; i < of->cnt && !e; i++) {
        const rd_kafka_topic_partition_t *t = &of->elems[i];
        nj_partition *p = t->err || t->offset < 0 ? NULL : find(all, t);
        if (p && which == RD_KAFKA_OFFSET_BEGINNING)
            nj_partition_bounds(all, p, t->offset, -1);
        else if (p)
            nj_partition_bounds(all, p, -1, t->offset);
    }
    rd_kafka_topic_partition_list_destroy(of);
}

void nj_kafka_explain(rd_kafka_t *rk, nj_partitions *partitions, int timeout_ms)
{
    bool holes;
    rd_kafka_topic_partition_list_t *list = assigned(partitions, &holes);
    if (holes) ask(rk, partitions, list, RD_KAFKA_OFFSET_BEGINNING, timeout_ms);
    rd_kafka_topic_partition_list_destroy(list);
}

static void *watch(void *watch_)
{
    nj_kafka_watch *w = watch_;
    int64_t asked_ns = nj_now_ns() - w->every_ns;
    for (unsigned turn = 0; !w->stop && !nj_stopping();) {
        bool holes;
        rd_kafka_topic_partition_list_t *list = assigned(w->partitions, &holes);
        int64_t now = nj_now_ns(), every = w->every_ns;
        if (holes && every > HURRY_MS * (int64_t)1000000) every = HURRY_MS * (int64_t)1000000;
        if (list->cnt && now - asked_ns >= every) {
            asked_ns = now;
            if (holes || turn % FIRST_EVERY == 0)
                ask(w->rk, w->partitions, list, RD_KAFKA_OFFSET_BEGINNING, QUERY_MS);
            if (!w->stop) ask(w->rk, w->partitions, list, RD_KAFKA_OFFSET_END, QUERY_MS);
            turn++;
        }
        rd_kafka_topic_partition_list_destroy(list);
        if (!w->stop) nanosleep(&(struct timespec){ 0, WAKE_MS * 1000000L }, NULL);
    }
    return NULL;
}

nj_kafka_watch *nj_kafka_watch_start(rd_kafka_t *rk, nj_partitions *partitions, double every_s)
{
    nj_kafka_watch *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->rk = rk;
    w->partitions = partitions;
    w->every_ns = (int64_t)(every_s * 1e9);
    if (pthread_create(&w->thread, NULL, watch, w)) {
        free(w);
        return NULL;
    }
    return w;
}

void nj_kafka_watch_stop(nj_kafka_watch *w)
{
    if (!w) return;
    w->stop = true;
    pthread_join(w->thread, NULL);
    free(w);
}
