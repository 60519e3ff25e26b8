/* ring.c - the threads of a run pass work through queues that are bounded in bytes, so that a slow sink
 * slows the source. */
#include "ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct nj_ring {
    pthread_mutex_t lock;
    pthread_cond_t room, work;
    size_t cap, head, n, bytes, max_bytes;
    int closed;
    void *item[];
};

nj_ring *nj_ring_new(size_t entries, size_t bytes)
{
    nj_ring *ring = calloc(1, sizeof *ring + entries * sizeof *ring->item);
    if (!ring) return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->room, &monotonic);
    pthread_cond_init(&ring->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    ring->cap = entries;
    ring->max_bytes = bytes;
    return ring;
}

static struct timespec in_ms(int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

int nj_ring_push_within(nj_ring *ring, void *item, size_t bytes, int timeout_ms)
{
    struct timespec until = in_ms(timeout_ms < 0 ? 0 : timeout_ms);
    int late = 0;
    pthread_mutex_lock(&ring->lock);
    while (!ring->closed && !late &&
           (ring->n == ring->cap || (ring->bytes > 0 && ring->bytes + bytes > ring->max_bytes))) {
        if (timeout_ms < 0)
            pthread_cond_wait(&ring->room, &ring->lock);
        else
            late = pthread_cond_timedwait(&ring->room, &ring->lock, &until) != 0;
    }
    int closed = ring->closed;
    if (!closed && !late) {
        ring->item[(ring->head + ring->n++) % ring->cap] = item;
        ring->bytes += bytes;
        pthread_cond_signal(&ring->work);
    }
    pthread_mutex_unlock(&ring->lock);
    return closed ? -1 : late;
}

int nj_ring_push(nj_ring *ring, void *item, size_t bytes)
{
    return nj_ring_push_within(ring, item, bytes, -1);
}

void *nj_ring_pop(nj_ring *ring, int timeout_ms, int *closed)
{
    struct timespec until = in_ms(timeout_ms < 0 ? 0 : timeout_ms);
    void *item = NULL;
    pthread_mutex_lock(&ring->lock);
    while (ring->n == 0 && !ring->closed) {
        if (timeout_ms < 0)
            pthread_cond_wait(&ring->work, &ring->lock);
        else if (pthread_cond_timedwait(&ring->work, &ring->lock, &until))
            break;
    }
    if (ring->n) {
        item = ring->item[ring->head];
        ring->head = (ring->head + 1) % ring->cap;
        ring->n--;
        pthread_cond_signal(&ring->room);
    }
    if (closed) *closed = ring->closed && !item;
    pthread_mutex_unlock(&ring->lock);
    return item;
}

void nj_ring_release(nj_ring *ring, size_t bytes)
{
    pthread_mutex_lock(&ring->lock);
    ring->bytes -= bytes < ring->bytes ? bytes : ring->bytes;
    pthread_cond_broadcast(&ring->room);
    pthread_mutex_unlock(&ring->lock);
}

nj_ring_fill nj_ring_look(nj_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    nj_ring_fill fill = { ring->n, ring->cap, ring->bytes, ring->max_bytes };
    pthread_mutex_unlock(&ring->lock);
    return fill;
}

void nj_ring_close(nj_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->closed = 1;
    pthread_cond_broadcast(&ring->room);
    pthread_cond_broadcast(&ring->work);
    pthread_mutex_unlock(&ring->lock);
}

void nj_ring_free(nj_ring *ring)
{
    if (!ring) return;
    pthread_mutex_destroy(&ring->lock);
    pthread_cond_destroy(&ring->room);
    pthread_cond_destroy(&ring->work);
    free(ring);
}
