/* alerts.c - a module over real alerts: its answers are valid, and those of an alert do not depend on the
 * batch that it is in. */
#include "alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/answers.h"
#include "rules.h"

/* One alert's answer as a hash: its reason, and the bits of all gives but the sign of a NaN. */
typedef struct answer {
    int64_t id;
    uint64_t hash;
} answer;

typedef struct answers {
    answer *item;
    size_t n, cap;
} answers;

static uint64_t add(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return h;
}

static uint64_t hash_of(const nj_batch *b, const nj_step *step, const uint8_t *reason, uint32_t row)
{
    uint64_t h = add(1469598103934665603u, &reason[row], 1);
    for (uint32_t k = 0; k < step->in->n_gives; k++) {
        const nj_give *g = &step->in->give[k];
        const nj_col *col = &b->col[step->first_out + k];
        size_t first = col->off ? col->off[row] : (size_t)row * (g->width ? g->width : 1),
               n = col->off ? col->off[row + 1] - col->off[row] : g->width, size = nj_type_size(g->type);
        for (size_t e = first; e < first + n && col->data; e++) {
            const char *text = g->type == NJ_STR ? ((const char *const *)col->data)[e] : NULL;
            bool nan = (g->type == NJ_F64 || g->type == NJ_F32) && isnan(nj_number(g->type, col->data, e));
            if (g->type == NJ_STR || nan)
                h = add(h, text ? text : "no answer", text ? strlen(text) + 1 : 10);
            else
                h = add(h, (const char *)col->data + e * size, size);
        }
    }
    return h;
}

/* The answers of all alerts, in their order. -1 = out of memory. */
static int collect(answers *a, const nj_replay *r)
{
    for (uint32_t i = 0; i < r->n_batches; i++) {
        const nj_batch *b = r->batch[i];
        const nj_graph *graph = ((const nj_replay_survey *)b->layout->owner)->graph;
        const nj_outputs *out = b->state;
        int32_t at = graph->step_of[r->target];
        for (uint32_t row = 0; row < b->n; row++) {
            if (a->n == a->cap) {
                size_t cap = a->cap ? 2 * a->cap : 1024;
                answer *more = realloc(a->item, cap * sizeof *more);
                if (!more) return -1;
                a->item = more;
                a->cap = cap;
            }
            a->item[a->n++] = (answer){ b->id[row], hash_of(b, &graph->step[at], out->reason[at], row) };
        }
    }
    return 0;
}

static void look_at_answers(nj_check *c, const nj_replay *r)
{
    const nj_answers *a = &r->worker[0].own.worker->answers[r->target];
    const nj_instance *in = nj_replay_target(r);
    const nj_counter *count = &r->first;
    if (a->silent)
        nj_check_wrong(c, "set reason[row] for every row of w->row",
                       "%" PRIu64 " alerts, first %" PRId64 ": no reason was set", a->silent, a->silent_id);
    if (a->invalid)
        nj_check_wrong(c, "a module sets NJ_DONE to NJ_UNAVAILABLE",
                       "%" PRIu64 " alerts, first %" PRId64 ": reason %u", a->invalid, a->invalid_id,
                       a->invalid_reason);
    if (a->failed)
        nj_check_wrong(c, "a row without an answer has a reason; the call as a whole succeeds",
                       "%" PRIu64 " alerts, first %" PRId64 ": process() failed", a->failed, a->failed_id);
    if (a->n_beyond)
        nj_check_wrong(c, nj_own_row_only,
                       "%" PRIu64 " calls, first with alert %" PRId64 ": bytes around an output were written",
                       a->n_beyond, a->beyond_id);
    if (a->n_state)
        nj_check_wrong(c, "rounding mode, locale, signals and the like belong to the host",
                       "%" PRIu64 " calls, first with alert %" PRId64 ": the process was left otherwise than "
                       "it was found",
                       a->n_state, a->state_id);
    for (uint32_t k = 0; k < in->n_gives; k++)
        if (a->beyond[k].n)
            nj_check_wrong(c, "widen lo and hi of the give, or answer NJ_RANGE without a value",
                           "%" PRIu64 " values of %s are outside of [%g, %g], first %.17g of alert %" PRId64,
                           a->beyond[k].n, in->give[k].name, in->give[k].lo, in->give[k].hi,
                           a->beyond[k].value, a->beyond[k].id);
    if (!count->hits)
        nj_check_wrong(c, "`nightjar run -m NAME SOURCE` says why, by reason and by need",
                       "none of %" PRIu64 " alerts got an answer", count->offered);
}

enum { FEW_ROWS = 7 };

void nj_check_alerts(nj_check *c, const nj_replay_options *options, const nj_alerts *alerts)
{
    nj_replay r = { 0 };
    nj_error err = { "" };
    answers whole = { 0 }, cut = { 0 };
    if (nj_replay_open(&r, options, alerts, &err)) {
        nj_check_wrong(c, NULL, "%s", err.text);
        nj_replay_close(&r);
        return;
    }
    look_at_answers(c, &r);
    const nj_counter first = r.first;
    uint64_t n_dead = r.n_dead;
    bool serial = nj_replay_target(&r)->serial; /* its answers are of the order, and it has seen them now */
    if (collect(&whole, &r)) nj_check_no_memory(c);
    if (c->verdict != NJ_CHECKED_WRONG && !serial) {
        if (nj_replay_cut(&r, options, alerts, FEW_ROWS, &err))
            nj_check_wrong(c, NULL, "%s", err.text);
        else if (collect(&cut, &r) || cut.n != whole.n)
            nj_check_no_memory(c);
    }
    for (size_t i = 0; i < cut.n && c->verdict != NJ_CHECKED_WRONG; i++)
        if (whole.item[i].hash != cut.item[i].hash)
            nj_check_wrong(c, "an answer may depend on the alert's own inputs alone",
                           "alert %" PRId64 ": another answer in batches of %d than in batches of %d",
                           whole.item[i].id, FEW_ROWS, (int)NJ_BATCH_ROWS);
    nj_check_note(c, "%" PRIu64 " alerts, %" PRIu64 " answered, %" PRIu64 " flagged%s", first.offered,
                  first.hits, first.flagged, serial ? "" : "; the same in batches of 7");
    if (n_dead && c->verdict == NJ_CHECKED) {
        size_t at = strlen(c->what);
        snprintf(c->what + at, sizeof c->what - at, "; %" PRIu64 " packets could not be read", n_dead);
    }
    free(whole.item);
    free(cut.item);
    nj_replay_close(&r);
}
