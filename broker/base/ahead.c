/* ahead.c - one core inflates a packed night at a rate that another can decode: as one thread the two would
 * take turns. */
#include "ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Pieces of an unpacker have 256 KiB. */
enum { SLOTS = 8 };

typedef struct slot {
    uint8_t *bytes;
    size_t cap;
    long n; /* 0: the end, -1: err */
} slot;

struct nj_ahead {
    nj_unpacker *u;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t room, work;
    slot slot[SLOTS];
    uint32_t head, filled; /* slots with something in them, of which the first may be in the reader's hands */
    bool in_hand, stop;
    nj_error err;
};

/* Into a slot that only this thread sees. Is there more to come? */
static bool unpack_one(nj_ahead *a, slot *s)
{
    const uint8_t *bytes;
    s->n = nj_unpacker_next(a->u, &bytes, &a->err);
    if (s->n <= 0) return false;
    if ((size_t)s->n > s->cap) {
        free(s->bytes);
        s->cap = (size_t)s->n;
        s->bytes = malloc(s->cap);
    }
    if (!s->bytes) {
        s->cap = 0;
        s->n = nj_fail(&a->err, "out of memory");
        return false;
    }
    memcpy(s->bytes, bytes, (size_t)s->n);
    return true;
}

static void *unpack_all(void *opaque)
{
    nj_ahead *a = opaque;
    bool more = true;
    while (more) {
        pthread_mutex_lock(&a->lock);
        while (a->filled == SLOTS && !a->stop) pthread_cond_wait(&a->room, &a->lock);
        const bool stop = a->stop;
        slot *s = &a->slot[(a->head + a->filled) % SLOTS];
        pthread_mutex_unlock(&a->lock);
        if (stop) break;
        more = unpack_one(a, s);
        pthread_mutex_lock(&a->lock);
        a->filled++;
        pthread_cond_signal(&a->work);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

nj_ahead *nj_ahead_new(nj_unpacker *u)
{
    nj_ahead *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->u = u;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->room, NULL);
    pthread_cond_init(&a->work, NULL);
    if (pthread_create(&a->thread, NULL, unpack_all, a) == 0) return a;
    free(a);
    return NULL;
}

void nj_ahead_free(nj_ahead *a)
{
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->room);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    for (int i = 0; i < SLOTS; i++) free(a->slot[i].bytes);
    pthread_cond_destroy(&a->room);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

long nj_ahead_next(nj_ahead *a, const uint8_t **bytes, nj_error *err)
{
    pthread_mutex_lock(&a->lock);
    if (a->in_hand) { /* the piece before this one is given back */
        a->head = (a->head + 1) % SLOTS;
        a->filled--;
        a->in_hand = false;
        pthread_cond_signal(&a->room);
    }
    while (!a->filled) pthread_cond_wait(&a->work, &a->lock);
    const slot *s = &a->slot[a->head];
    a->in_hand = s->n > 0; /* an end stays where it is: asked again, it is the same */
    pthread_mutex_unlock(&a->lock);
    *bytes = s->bytes;
    if (s->n < 0 && err) *err = a->err;
    return s->n;
}
