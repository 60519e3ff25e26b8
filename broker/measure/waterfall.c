/* waterfall.c - users want to know why an exposure was late; this records the time that its last alert spent
 * in each stage. */
#include "waterfall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nj_span_name[NJ_SPANS] = { "arrive", "queue", "decode", "modules", "filter", "publish" };

enum { NONE = -1, FIRST_ROOM = 1024 };

/* An exposure under way: in the chain of its hash, and in the list by last touch. */
typedef struct entry {
    nj_waterfall_exposure e;
    int32_t chain, newer, older;
} entry;

struct nj_waterfall {
    entry *entry;
    int32_t *head; /* [room] chains by hash; room is a power of two */
    uint32_t n, room;
    int32_t newest, oldest;
    nj_waterfall_sum sum;
};

static uint32_t slot_of(const nj_waterfall *w, double exposure)
{
    uint64_t x;
    memcpy(&x, &exposure, sizeof x);
    x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32) & (w->room - 1);
}

static void link_entry(nj_waterfall *w, int32_t i)
{
    int32_t *head = &w->head[slot_of(w, w->entry[i].e.exposure)];
    w->entry[i].chain = *head;
    *head = i;
}

static int grow(nj_waterfall *w)
{
    uint32_t room = w->room ? 2 * w->room : FIRST_ROOM;
    entry *list = realloc(w->entry, room * sizeof *list);
    if (list) w->entry = list;
    int32_t *head = list ? malloc(room * sizeof *head) : NULL;
    if (!head) return -1;
    free(w->head);
    w->head = head;
    w->room = room;
    for (uint32_t i = 0; i < room; i++) head[i] = NONE;
    for (uint32_t i = 0; i < w->n; i++) link_entry(w, (int32_t)i);
    return 0;
}

nj_waterfall *nj_waterfall_new(double budget_s, double broker_share)
{
    nj_waterfall *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->newest = w->oldest = NONE;
    w->sum.budget_s = budget_s;
    w->sum.broker_share = broker_share;
    return w;
}

void nj_waterfall_free(nj_waterfall *w)
{
    if (!w) return;
    free(w->entry);
    free(w->head);
    free(w);
}

int64_t nj_waterfall_total(const nj_waterfall_exposure *e)
{
    return e->acknowledged_ns - e->first_arrival_ns;
}

/* --- closing --- */

static void keep_worst(nj_waterfall_sum *sum, const nj_waterfall_exposure *e)
{
    uint32_t at = sum->n_worst;
    while (at && nj_waterfall_total(&sum->worst[at - 1]) < nj_waterfall_total(e)) at--;
    if (at == NJ_WATERFALL_WORST) return;
    uint32_t last = sum->n_worst < NJ_WATERFALL_WORST ? sum->n_worst++ : NJ_WATERFALL_WORST - 1;
    memmove(&sum->worst[at + 1], &sum->worst[at], (last - at) * sizeof *sum->worst);
    sum->worst[at] = *e;
}

static uint64_t positive(int64_t ns)
{
    return ns > 0 ? (uint64_t)ns : 0;
}

static void close_exposure(nj_waterfall *w, const nj_waterfall_exposure *e)
{
    nj_waterfall_sum *sum = &w->sum;
    sum->n++;
    sum->alerts += e->alerts;
    for (int k = 0; k < NJ_SPANS; k++) nj_histogram_add(&sum->span[k], positive(e->span_ns[k]));
    nj_histogram_add(&sum->total, positive(nj_waterfall_total(e)));
    if (!((double)nj_waterfall_total(e) > 1e9 * sum->budget_s * sum->broker_share)) return;
    sum->over++;
    keep_worst(sum, e);
}

/* --- the list by last touch --- */

static void take_out(nj_waterfall *w, int32_t i)
{
    entry *e = &w->entry[i];
    *(e->newer == NONE ? &w->newest : &w->entry[e->newer].older) = e->older;
    *(e->older == NONE ? &w->oldest : &w->entry[e->older].newer) = e->newer;
}

static void put_first(nj_waterfall *w, int32_t i)
{
    w->entry[i].newer = NONE;
    w->entry[i].older = w->newest;
    *(w->newest == NONE ? &w->oldest : &w->entry[w->newest].newer) = i;
    w->newest = i;
}

/* Room for one more: a new entry, or the oldest one after it is closed. */
static int32_t fresh(nj_waterfall *w)
{
    if (w->n < NJ_WATERFALL_OPEN) {
        if (w->n == w->room && grow(w)) return NONE;
        return (int32_t)w->n++;
    }
    int32_t i = w->oldest, *link = &w->head[slot_of(w, w->entry[i].e.exposure)];
    while (*link != i) link = &w->entry[*link].chain;
    *link = w->entry[i].chain;
    take_out(w, i);
    close_exposure(w, &w->entry[i].e);
    w->sum.closed_early++;
    return i;
}

static int32_t find(const nj_waterfall *w, const nj_waterfall_part *p)
{
    int32_t i = w->room ? w->head[slot_of(w, p->exposure)] : NONE;
    while (i != NONE && (w->entry[i].e.exposure != p->exposure ||
                         strncmp(w->entry[i].e.survey, p->survey, sizeof w->entry[i].e.survey - 1) != 0))
        i = w->entry[i].chain;
    return i;
}

int nj_waterfall_add(nj_waterfall *w, const nj_waterfall_part *p, int64_t acknowledged_ns)
{
    int32_t i = find(w, p);
    if (i != NONE) {
        take_out(w, i);
    } else {
        if ((i = fresh(w)) == NONE) return -1;
        nj_waterfall_exposure *e = &w->entry[i].e;
        *e = (nj_waterfall_exposure){ .exposure = p->exposure,
                                      .first_arrival_ns = p->first_arrival_ns,
                                      .acknowledged_ns = INT64_MIN };
        snprintf(e->survey, sizeof e->survey, "%s", p->survey);
        link_entry(w, i);
    }
    put_first(w, i);
    nj_waterfall_exposure *e = &w->entry[i].e;
    e->alerts += p->n;
    if (p->first_arrival_ns < e->first_arrival_ns) e->first_arrival_ns = p->first_arrival_ns;
    if (acknowledged_ns >= e->acknowledged_ns) {
        const int64_t step[NJ_SPANS] = { [NJ_SPAN_QUEUE] =
                                             p->begin_ns - p->last_arrival_ns + p->filter_ns - p->computed_ns,
                                         [NJ_SPAN_DECODE] = p->decoded_ns - p->begin_ns,
                                         [NJ_SPAN_MODULES] = p->computed_ns - p->decoded_ns,
                                         [NJ_SPAN_FILTER] = p->filtered_ns - p->filter_ns,
                                         [NJ_SPAN_PUBLISH] = acknowledged_ns - p->filtered_ns };
        memcpy(e->span_ns, step, sizeof step);
        e->acknowledged_ns = acknowledged_ns;
    }
    int64_t rest = nj_waterfall_total(e);
    for (int k = NJ_SPAN_QUEUE; k < NJ_SPANS; k++) rest -= e->span_ns[k];
    e->span_ns[NJ_SPAN_ARRIVE] = rest;
    return 0;
}

const nj_waterfall_sum *nj_waterfall_end(nj_waterfall *w)
{
    for (int32_t i = w->oldest; i != NONE; i = w->entry[i].newer) close_exposure(w, &w->entry[i].e);
    w->n = 0;
    w->newest = w->oldest = NONE;
    for (uint32_t i = 0; i < w->room; i++) w->head[i] = NONE;
    return &w->sum;
}
