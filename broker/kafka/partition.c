/* partition.c - an offset may be stored only when all messages before it are done; this keeps that state per
 * partition. */
#include "partition.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

void nj_partitions_init(nj_partitions *all)
{
    *all = (nj_partitions){ 0 };
    pthread_mutex_init(&all->lock, NULL);
}

void nj_partitions_free(nj_partitions *all)
{
    for (size_t i = 0; i < all->n; i++) {
        free(all->item[i]->topic);
        free(all->item[i]->flight);
        free(all->item[i]->hole);
        free(all->item[i]);
    }
    free(all->item);
    pthread_mutex_destroy(&all->lock);
}

static int is(const nj_partition *p, const char *topic, int32_t number)
{
    return p->number == number && !strcmp(p->topic, topic);
}

nj_partition *nj_partitions_find(nj_partitions *all, const char *topic, int32_t number)
{
    if (all->last && is(all->last, topic, number)) return all->last;
    for (size_t i = 0; i < all->n; i++)
        if (is(all->item[i], topic, number)) return all->last = all->item[i];
    return NULL;
}

/* Others look at the list meanwhile: it changes under the lock. */
static int append(nj_partitions *all, nj_partition *p)
{
    int failed = 0;
    pthread_mutex_lock(&all->lock);
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 64;
        nj_partition **item = realloc(all->item, cap * sizeof(nj_partition *));
        failed = !item;
        if (item) {
            all->item = item;
            all->cap = cap;
        }
    }
    if (!failed) all->item[all->n++] = p;
    pthread_mutex_unlock(&all->lock);
    return failed;
}

nj_partition *nj_partitions_add(nj_partitions *all, const char *topic, int32_t number)
{
    nj_partition *p = calloc(1, sizeof *p);
    if (p) p->topic = strdup(topic);
    if (p && p->topic) {
        p->number = number;
        p->start = RD_KAFKA_OFFSET_INVALID;
        p->end = p->acked = p->next = p->low = p->high = -1;
    }
    if (!p || !p->topic || append(all, p)) {
        if (p) free(p->topic);
        free(p);
        return NULL;
    }
    return p;
}

void nj_partition_assign(nj_partitions *all, nj_partition *p, int64_t start)
{
    pthread_mutex_lock(&all->lock);
    p->generation++;
    p->assigned = true;
    p->passed = 0;
    p->n = 0;
    p->n_holes = 0;
    p->start = start;
    p->known = true;
    p->next = start >= 0 ? start : -1;
    pthread_mutex_unlock(&all->lock);
}

void nj_partition_forget(nj_partitions *all, nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    p->generation++; /* what is under way is written; its acknowledgements are not of the new topic */
    p->n = 0;
    p->n_holes = 0;
    p->passed = 0;
    p->acked = p->next = p->low = p->high = -1;
    p->start = RD_KAFKA_OFFSET_INVALID;
    p->anew = true;
    pthread_mutex_unlock(&all->lock);
}

void nj_partition_came(nj_partitions *all, nj_partition *p, int64_t offset)
{
    if (p->next < 0 || offset <= p->next) return;
    pthread_mutex_lock(&all->lock);
    if (p->n_holes == p->cap_holes) {
        size_t cap = 2 * p->cap_holes + 16;
        nj_hole *more = realloc(p->hole, cap * sizeof *more);
        if (more) {
            p->hole = more;
            p->cap_holes = cap;
        }
    }
    if (p->n_holes < p->cap_holes) p->hole[p->n_holes++] = (nj_hole){ p->next, offset };
    pthread_mutex_unlock(&all->lock);
}

void nj_partition_bounds(nj_partitions *all, nj_partition *p, int64_t low, int64_t high)
{
    pthread_mutex_lock(&all->lock);
    if (high >= 0) p->high = high;
    if (low >= 0) p->low = low;
    for (size_t i = 0; i < p->n_holes && low >= 0; i++) {
        int64_t from = p->hole[i].from, to = p->hole[i].to < low ? p->hole[i].to : low;
        if (to <= from) continue;
        if (!p->deleted) p->deleted_from = from;
        p->deleted += (uint64_t)(to - from);
        p->deleted_to = to;
    }
    if (low >= 0) p->n_holes = 0;
    pthread_mutex_unlock(&all->lock);
}

bool nj_partition_is_read(nj_partitions *all, const nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    bool empty = p->high >= 0 && p->high == p->low;
    bool read = empty || (p->high >= 0 && p->next >= p->high);
    pthread_mutex_unlock(&all->lock);
    return read;
}

bool nj_partition_has_holes(nj_partitions *all, nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    bool any = p->n_holes > 0;
    pthread_mutex_unlock(&all->lock);
    return any;
}

uint64_t nj_partition_deleted(nj_partitions *all, nj_partition *p, int64_t *from, int64_t *to)
{
    pthread_mutex_lock(&all->lock);
    uint64_t n = p->deleted;
    *from = p->deleted_from;
    *to = p->deleted_to;
    p->deleted = 0;
    pthread_mutex_unlock(&all->lock);
    return n;
}

bool nj_partition_look(nj_partitions *all, size_t i, const nj_stream **stream, int64_t *done, int64_t *end)
{
    pthread_mutex_lock(&all->lock);
    const nj_partition *p = i < all->n ? all->item[i] : NULL;
    bool held = p && p->assigned && p->stream;
    if (held) {
        *stream = p->stream;
        *done = p->acked >= 0 ? p->acked : p->start >= 0 ? p->start : p->low;
        *end = p->high;
    }
    pthread_mutex_unlock(&all->lock);
    return held;
}

uint64_t nj_partition_revoke(nj_partitions *all, nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    uint64_t n = p->n;
    if (n && p->stream) __atomic_store_n(&p->stream->revoked, p->generation, __ATOMIC_RELAXED);
    p->assigned = false;
    p->n = 0;
    pthread_mutex_unlock(&all->lock);
    return n;
}

static int grow(nj_partition *p)
{
    size_t cap = p->cap ? 2 * p->cap : 256;
    int64_t *flight = malloc(cap * sizeof *flight);
    if (!flight) return -1;
    for (size_t i = 0; i < p->n; i++) flight[i] = p->flight[(p->first + i) % p->cap];
    free(p->flight);
    p->flight = flight;
    p->first = 0;
    p->cap = cap;
    return 0;
}

int nj_partition_deliver(nj_partitions *all, nj_partition *p, int64_t offset)
{
    pthread_mutex_lock(&all->lock);
    int failed = p->n == p->cap && grow(p);
    if (!failed) p->flight[(p->first + p->n++) % p->cap] = offset;
    pthread_mutex_unlock(&all->lock);
    return failed ? -1 : 0;
}

int64_t nj_partition_pass(nj_partitions *all, nj_partition *p, int64_t next_offset)
{
    pthread_mutex_lock(&all->lock);
    if (next_offset > p->passed) p->passed = next_offset;
    int64_t store = p->n ? -1 : p->passed;
    if (store > p->acked) p->acked = store;
    pthread_mutex_unlock(&all->lock);
    return store;
}

int64_t nj_partition_done(nj_partitions *all, nj_partition *p, int64_t next_offset)
{
    pthread_mutex_lock(&all->lock);
    int64_t store = !p->n && p->passed > next_offset ? p->passed : next_offset;
    if (store > p->acked) p->acked = store;
    pthread_mutex_unlock(&all->lock);
    return store;
}

size_t nj_partition_in_flight(nj_partitions *all, nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    size_t n = p->n;
    pthread_mutex_unlock(&all->lock);
    return n;
}

int nj_partition_ack(nj_partitions *all, nj_partition *p, uint32_t generation, int64_t next_offset)
{
    pthread_mutex_lock(&all->lock);
    int stale = !p->assigned || p->generation != generation;
    while (!stale && p->n && p->flight[p->first] < next_offset) {
        p->first = (p->first + 1) % p->cap;
        p->n--;
    }
    if (!stale && next_offset > p->acked) p->acked = next_offset;
    pthread_mutex_unlock(&all->lock);
    return stale ? -1 : 0;
}

int64_t nj_partition_acked(nj_partitions *all, nj_partition *p)
{
    pthread_mutex_lock(&all->lock);
    int64_t acked = p->acked;
    pthread_mutex_unlock(&all->lock);
    return acked;
}
