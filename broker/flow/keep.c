/* keep.c - a worker may die at any moment, so after each settlement what is done is kept in memory that
 * outlives it. */
#include "keep.h"

#include <stdlib.h>
#include <string.h>

#include "resume.h"
#include "topic_outputs.h"

_Static_assert((int)NJ_KEPT_STREAMS >= (int)MAX_STREAMS, "a stream that is not kept is read again");
enum { UNKNOWN = -1, NEW = -2 }; /* not looked up yet; of no worker before */

typedef struct kept_state {
    nj_kept_set *base;       /* as this worker found it; NULL: it is the first one */
    int32_t at[MAX_STREAMS]; /* by stream: its place in the sets, or one of those */
} kept_state;

uint64_t nj_flow_key(const char *name)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *name; name++) h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
    return h;
}

static uint64_t through(const nj_ledger *l)
{
    return l->emitted + l->filtered + l->dead + l->duplicates;
}

static size_t bytes_of(const nj_kept_set *set)
{
    return offsetof(nj_kept_set, stream) + set->n * sizeof *set->stream;
}

uint64_t nj_flow_kept_settled(const nj_kept *kept)
{
    uint64_t sum = 0;
    uint32_t turn = atomic_load(&kept->turn);
    const nj_kept_set *set = &kept->set[turn & 1];
    for (uint32_t i = 0; turn && i < set->n; i++) sum += through(&set->stream[i].ledger);
    return sum;
}

int nj_flow_keep_begin(run *r)
{
    nj_shared *shared = r->options->shared;
    if (!shared) return 0;
    kept_state *k = r->kept = malloc(sizeof *k);
    if (!k) return -1;
    memset(k->at, 0xff, sizeof k->at);
    k->base = NULL;
    uint32_t turn = atomic_load(&shared->kept.turn);
    const nj_kept_set *set = &shared->kept.set[turn & 1];
    if (!turn || !set->n) return 0;
    if (!(k->base = malloc(bytes_of(set)))) return -1;
    memcpy(k->base, set, bytes_of(set));
    return 0;
}

void nj_flow_keep_free(run *r)
{
    if (r->kept) free(r->kept->base);
    free(r->kept);
    r->kept = NULL;
}

static int32_t find(const nj_kept_set *set, const char *name)
{
    char cut[NJ_STREAM_NAME];
    snprintf(cut, sizeof cut, "%s", name);
    for (uint32_t i = 0; set && i < set->n; i++)
        if (!strcmp(set->stream[i].name, cut)) return (int32_t)i;
    return -1;
}

static const nj_kept_stream *base_of(const run *r, uint32_t id)
{
    if (!r->kept || !r->kept->base) return NULL;
    int32_t i = r->kept->at[id];
    if (i == UNKNOWN) {
        i = find(r->kept->base, r->accounts.stream[id]->progress->key);
        if (i < 0) i = NEW;
        r->kept->at[id] = i;
    }
    return i >= 0 && (uint32_t)i < r->kept->base->n ? &r->kept->base->stream[i] : NULL;
}

const nj_kept_set *nj_flow_kept_base(const run *r)
{
    return r->kept ? r->kept->base : NULL;
}

const nj_ledger *nj_flow_kept_ledger(const run *r, uint32_t id)
{
    const nj_kept_stream *s = base_of(r, id);
    return s ? &s->ledger : NULL;
}

/* The stream's place in the set; a new one is added. NULL: there is no room. */
static nj_kept_stream *place(run *r, nj_kept_set *set, uint32_t id)
{
    int32_t *at = &r->kept->at[id];
    if (*at < 0) *at = find(set, r->accounts.stream[id]->progress->key);
    if (*at >= 0) return &set->stream[*at];
    if (set->n == NJ_KEPT_STREAMS) return NULL;
    nj_kept_stream *s = &set->stream[ *at = (int32_t)set->n++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", r->accounts.stream[id]->progress->key);
    return s;
}

void nj_flow_keep(run *r, const pending *list, uint32_t n)
{
    if (!r->kept || !n) return;
    nj_kept *kept = &r->options->shared->kept;
    uint32_t turn = atomic_load(&kept->turn);
    nj_kept_set *now = &kept->set[turn & 1], *next = &kept->set[(turn + 1) & 1];
    memcpy(next, now, bytes_of(now));
    for (uint32_t i = 0; i < n; i++) {
        const pending *p = &list[i];
        nj_kept_stream *s = place(r, next, p->stream);
        uint32_t m = p->emitted + p->filtered + p->dead + p->duplicates;
        if (p->returned || p->held) break; /* it comes again, and what is behind it as well: the run ends */
        if (!s) continue;
        const position at = r->accounts.stream[p->stream]->progress->kept;
        s->offset = at.offset;
        s->record = at.record;
        s->sum = r->accounts.stream[p->stream]->progress->sum;
        s->ledger.chunks += p->last;
        s->ledger.settled += p->last;
        s->ledger.consumed += m;
        s->ledger.emitted += p->emitted;
        s->ledger.filtered += p->filtered;
        s->ledger.dead += p->dead;
        s->ledger.duplicates += p->duplicates;
        s->ledger.others += p->others;
    }
    nj_flow_topic_keep(r, r->kept->base, next);
    next->digest = (r->kept->base ? r->kept->base->digest : 0) + r->output.digest;
    atomic_store(&kept->turn, turn + 1);
}

void nj_flow_keep_seed(run *r, const char *name, int64_t offset, uint32_t record, const nj_ledger *sum)
{
    nj_kept *kept = &r->options->shared->kept;
    nj_kept_set *set = &kept->set[1];
    if (atomic_load(&kept->turn) > 1 || set->n == NJ_KEPT_STREAMS) return;
    nj_kept_stream *s = &set->stream[set->n++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->offset = offset;
    s->record = record;
    s->sum = *sum;
    set->digest = r->output.digest;
    atomic_store(&kept->turn, 1);
}

void nj_flow_keep_report(run *r, nj_report *report)
{
    nj_shared *shared = r->options->shared;
    const nj_kept_set *base = r->kept ? r->kept->base : NULL;
    if (!shared) return;
    for (uint32_t i = 0; base && i < base->n; i++) nj_ledger_add(&report->ledger, &base->stream[i].ledger);
    for (uint32_t i = 0; i < report->n_streams; i++) {
        const nj_ledger *l = nj_flow_kept_ledger(r, i);
        if (l) nj_ledger_add(&report->stream[i].ledger, l);
    }
    if (base) report->digest += base->digest;
    report->cpu_s += shared->dead_cpu_s;
    report->restarts = shared->incarnation - shared->n_recycled;
    report->recycled = shared->n_recycled;
    report->reloads = shared->n_reloads;
    const nj_guard *g = &shared->guard;
    uint32_t n = atomic_load(&g->n_modules);
    for (uint32_t i = 0; i < n; i++) {
        const nj_guard_module *m = &g->module[i];
        if (!atomic_load(&m->n_failures) && !atomic_load(&m->off_grown)) continue;
        nj_report_failed *list = realloc(report->failed, (report->n_failed + 1) * sizeof *list);
        if (!list) return;
        report->failed = list;
        nj_report_failed *to = &list[report->n_failed++];
        *to = (nj_report_failed){ .n = atomic_load(&m->n_failures),
                                  .off = atomic_load(&m->off),
                                  .grown = atomic_load(&m->off_grown) };
        snprintf(to->name, sizeof to->name, "%s", m->name);
    }
}
