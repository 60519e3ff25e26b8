/* dispatch.c - every module is called and timed here, so that all modules are measured and checked by the
 * same rules. */
#include "dispatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "answers.h"
#include "call.h"
#include "crash.h"
#include "fence.h"
#include "growth.h"
#include "state.h"
#include "trial.h"

static const nj_col absent_column = { NULL, NULL };

/* Calls of each instance whose whole surroundings are looked at; and calls, once something was found that
 * only the end of a batch shows, until the module is found that does it. */
enum { FIRST_CALLS = 2, SUSPICIOUS_CALLS = 4096 };

static void *work_scratch(const nj_work *w, size_t bytes)
{
    const nj_call *c = w->opaque;
    void *room = nj_arena_alloc(&c->worker->scratch, bytes);
    if (!room) c->worker->no_memory = true;
    return room;
}

static const char *work_text(const nj_work *w, const char *s, size_t length)
{
    const nj_call *c = w->opaque;
    const char *text = nj_arena_text(&c->batch->arena, s, length);
    if (!text) c->worker->no_memory = true;
    return text;
}

static void work_elsewhere(const nj_work *w, int64_t cpu_ns, int64_t wait_ns)
{
    const nj_call *c = w->opaque;
    nj_counter *count = &c->worker->module[c->step->instance];
    if (c->worker->uncounted) return;
    count->cpu_ns += cpu_ns;
    count->elsewhere_ns += cpu_ns;
    count->waited_ns += wait_ns;
}

/* Outputs of one step: data allocated and set to "no answer". */
static int allocate_outputs(const nj_step *s, nj_batch *b, void **out)
{
    for (uint32_t k = 0; k < s->in->n_gives; k++) {
        const nj_give *give = &s->in->give[k];
        nj_col *col = &b->col[s->first_out + k];
        size_t n = (size_t)b->n * give->width;
        if (!give->width) {
            uint32_t like = s->col[give->like];
            const nj_col *base = like < NJ_FIRST_STAMP ? &b->col[like] : &absent_column;
            if (!base->off) continue; /* absent series: absent output */
            col->off = base->off;
            n = base->off[b->n];
        }
        col->data = nj_fence_alloc(&b->arena, n * nj_type_size(give->type));
        if (!col->data) return -1;
        nj_fill_null(give->type, (void *)col->data, n);
        out[k] = (void *)col->data;
    }
    return 0;
}

static void count_rows(const nj_step *s, nj_counter *count, const nj_work *w)
{
    count->offered += w->n;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t r = w->row[k];
        uint8_t reason = w->reason[r];
        count->reason[reason]++;
        count->passed += reason != NJ_CUT;
        count->hits += reason == NJ_DONE;
        for (uint32_t g = 0; g < s->in->n_gives; g++) {
            const nj_give *give = &s->in->give[g];
            if (isnan(give->flag_above) || give->width != 1 || !w->out[g] ||
                !(nj_number(give->type, w->out[g], r) > give->flag_above))
                continue;
            count->flagged++;
            break;
        }
    }
}

/* Bytes of the step's output g. */
static size_t output_bytes(const nj_step *s, const nj_batch *b, uint32_t g)
{
    const nj_give *give = &s->in->give[g];
    size_t n = give->width ? (size_t)b->n * give->width : b->col[s->first_out + g].off[b->n];
    return n * nj_type_size(give->type);
}

/* The output beyond whose end, or before whose beginning, a module wrote, restored; NULL = none. */
static const char *broken_fence(const nj_step *s, const nj_batch *b, const nj_work *w)
{
    const char *name = NULL;
    for (uint32_t g = 0; g < s->in->n_gives; g++) {
        if (!w->out[g] || nj_fence_stands(w->out[g], output_bytes(s, b, g))) continue;
        nj_fence_mend(w->out[g], output_bytes(s, b, g));
        if (!name) name = s->in->give[g].name;
    }
    if (nj_fence_stands(w->reason, b->n)) return name;
    nj_fence_mend(w->reason, b->n);
    return name ? name : "reason";
}

/* What the call left: a reason that a module may give for each row, or no outputs. */
static void settle_rows(nj_worker *worker, const nj_step *s, const nj_work *w, int rc)
{
    const nj_batch *b = ((const nj_call *)w->opaque)->batch;
    nj_answers *answers = &worker->answers[s->instance];
    if (rc != NJ_OK) {
        nj_answers_failed(answers, s, b, w, rc);
        return;
    }
    for (uint32_t k = 0; k < w->n; k++)
        if (w->reason[w->row[k]] >= NJ_FAILED) nj_answers_reject(answers, s, b, w, w->row[k]);
}

/* process() with its clock: what is looked at before and behind it is no cost of the module. */
static int timed_process(nj_worker *worker, const nj_step *s, const nj_work *w, int64_t *ns)
{
    const nj_module *m = s->in->module;
    int (*process)(const void *, void *, const nj_work *) =
        worker->reference && m->process_ref ? m->process_ref : m->process;
    const int64_t start = worker->uncounted ? 0 : nj_now_ns();
    errno = 0;
    int rc = process(s->in->self, worker->thread[s->instance], w);
    nj_crash_came_back(s->in->name);
    *ns = worker->uncounted ? 0 : nj_now_ns() - start;
    return rc;
}

/* Rounding and locale are looked at behind each call, the rest behind an instance's first ones. ns: what
 * process() took. */
static int call_process(nj_worker *worker, const nj_step *s, const nj_work *w, int64_t *ns)
{
    char what[256];
    bool whole = worker->n_calls[s->instance] < FIRST_CALLS || worker->suspicious;
    if (whole) {
        worker->n_calls[s->instance]++;
        worker->suspicious -= worker->suspicious > 0;
        nj_state_begin(&worker->surroundings->whole, false);
        int rc = timed_process(worker, s, w, ns);
        int error = errno;
        if (nj_state_end(&worker->surroundings->whole, what, sizeof what)) {
            nj_answers_state(&worker->answers[s->instance], s->in->name, w->id[w->row[0]], what);
            worker->surroundings->quick = nj_state_look();
        }
        errno = error;
        return rc;
    }
    int rc = timed_process(worker, s, w, ns);
    const nj_state_quick now = nj_state_look();
    if (nj_state_same(&now, &worker->surroundings->quick)) return rc;
    int error = errno;
    what[0] = 0;
    nj_state_set_back(&worker->surroundings->quick, worker->surroundings->locale, what, sizeof what);
    nj_answers_state(&worker->answers[s->instance], s->in->name, w->id[w->row[0]], what);
    errno = error;
    return rc;
}

int nj_dispatch_call(nj_worker *worker, const nj_step *s, nj_work *w)
{
    nj_counter *count = &worker->module[s->instance];
    const nj_row *first = &((const nj_call *)w->opaque)->batch->row[w->row[0]];
    const bool measured = nj_growth_wanted();
    if (measured) nj_growth_begin();
    nj_slot_rows(worker->slot, w->n, w->id[w->row[0]], first->chunk, first->record,
                 worker->guarded ? worker->guarded[s->instance] : NJ_NO_MODULE);
    nj_slot_enter(worker->slot, s->in->name, NJ_PHASE_PROCESS);
    worker->image_ns = 0;
    int64_t ns;
    int rc = call_process(worker, s, w, &ns);
    if (rc == NJ_ENOMEM && errno == ENOMEM) worker->no_memory = true;
    ns -= worker->image_ns;
    nj_slot_leave(worker->slot);
    nj_arena_reset(&worker->scratch);
    if (measured) nj_growth_end(worker, s);
    if (worker->uncounted) return rc;
    if (worker->guarded) nj_trial_note(worker, s, ns / w->n);
    count->calls++;
    count->wall_ns += ns;
    if (w->n == 1) nj_histogram_add(&count->one, ns > 0 ? (uint64_t)ns : 0);
    if (worker->drift && worker->n_costs < worker->cap_costs)
        worker->cost[worker->n_costs++] = (nj_weighted){ (float)ns / (float)w->n, (float)w->n };
    return rc;
}

/* The rows of w, each in a call of its own, so that only those fail that are to blame. */
static void call_singly(nj_worker *worker, const nj_step *s, nj_work *w)
{
    const nj_batch *b = ((const nj_call *)w->opaque)->batch;
    const uint32_t *rows = w->row, n = w->n;
    w->n = 1;
    for (uint32_t k = 0; k < n && !worker->no_memory; k++) {
        w->row = rows + k;
        nj_answers_clear(s, b, w, rows[k]);
        int rc = nj_dispatch_call(worker, s, w);
        const char *beyond = broken_fence(s, b, w);
        if (beyond) {
            nj_answers_beyond(&worker->answers[s->instance], s->in->name, beyond, w->id[rows[k]]);
            nj_answers_clear(s, b, w, rows[k]);
            w->reason[rows[k]] = NJ_FAILED;
        } else {
            settle_rows(worker, s, w, rc);
        }
    }
    w->row = rows;
    w->n = n;
}

/* A call that fails, or writes where it must not, is done again row by row. What depends on the order of all
 * alerts cannot be done again. */
static void one_call(nj_worker *worker, const nj_step *s, nj_work *w)
{
    const nj_batch *b = ((const nj_call *)w->opaque)->batch;
    int rc = nj_dispatch_call(worker, s, w);
    const char *beyond = broken_fence(s, b, w);
    bool again = !s->in->serial && !worker->no_memory;
    if (again && (beyond || (rc != NJ_OK && w->n > 1))) {
        uint64_t found = worker->answers[s->instance].n_beyond;
        call_singly(worker, s, w);
        if (beyond && worker->answers[s->instance].n_beyond == found) /* only with other rows beside it */
            nj_answers_beyond(&worker->answers[s->instance], s->in->name, beyond, w->id[w->row[0]]);
    } else {
        if (beyond) nj_answers_beyond(&worker->answers[s->instance], s->in->name, beyond, w->id[w->row[0]]);
        settle_rows(worker, s, w, rc);
    }
    if (!worker->uncounted) count_rows(s, &worker->module[s->instance], w);
}

/* Cuts the rows into calls: by the module's hint, by row index and never by thread count;
 * one row in `single` alone. */
static void call_slices(nj_worker *worker, const nj_step *s, nj_work *w, const uint32_t *rows, uint32_t n)
{
    const nj_module *m = s->in->module;
    uint32_t whole = m->flags & NJ_MODULE_WHOLE_BATCH && !nj_trial_wanted(worker, s),
             hint = m->rows_hint ? m->rows_hint : n;
    if (nj_trial_wanted(worker, s)) hint = 1;
    uint64_t *left = &worker->countdown[s->instance];
    for (uint32_t at = 0; at < n && !worker->no_memory;) {
        uint32_t take = whole ? n : n - at < hint ? n - at : hint;
        if (!whole && worker->single && *left < take) {
            take = *left ? (uint32_t)*left : 1;
            *left = *left ? 0 : worker->single - 1;
        } else if (!whole && worker->single) {
            *left -= take;
        }
        w->row = rows + at;
        w->n = take;
        one_call(worker, s, w);
        at += take;
    }
}

/* Rows whose packets lack a field that the module requires are answered here: no_input. */
static uint32_t rows_with_input(const nj_step *s, const nj_batch *b, uint8_t *reason, uint32_t *rows)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < b->n; r++) {
        const uint64_t *absent = b->row[r].absent;
        uint32_t k = 0;
        while (absent && k < s->n_required && !(absent[s->required[k] / 64] >> (s->required[k] % 64) & 1))
            k++;
        if (absent && k < s->n_required)
            reason[r] = NJ_NO_INPUT;
        else
            rows[n++] = r;
    }
    for (uint32_t k = 0; k < n; k++)
        NJ_ASSERT_SLOW(reason[rows[k]] == NJ_NO_REASON, "row %u of module %s is answered before it is asked",
                       rows[k], s->in->name);
    return n;
}

/* Of the rows, those that are wanted; the others have the reason shed. */
static uint32_t wanted_rows(const nj_worker *worker, const nj_batch *b, uint8_t *reason, uint32_t *rows,
                            uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t k = 0; k < n; k++)
        if (worker->wanted(worker->wanted_opaque, b->id[rows[k]]))
            rows[kept++] = rows[k];
        else
            reason[rows[k]] = NJ_SHED;
    return kept;
}

/* Is the step left out, or one whose answers it reads? */
static bool is_left_out(const nj_graph *g, const nj_worker *worker, const nj_step *s, const uint8_t *gone)
{
    if (worker->left_out[s->instance]) return true;
    for (uint32_t k = 0; k < s->in->n_needs; k++) {
        uint32_t c = s->col[k];
        if (c < NJ_FIRST_STAMP && g->col[c].derived >= 0) c = g->derived[g->col[c].derived].base;
        if (c < NJ_FIRST_STAMP && g->col[c].derived >= 0) c = g->derived[g->col[c].derived].base;
        if (c < NJ_FIRST_STAMP && g->col[c].step >= 0 && gone[g->col[c].step]) return true;
    }
    return false;
}

static int run_step(const nj_graph *g, nj_worker *worker, nj_batch *b, const nj_step *s, uint8_t *reason,
                    uint32_t *rows, uint8_t *gone)
{
    nj_counter *count = &worker->module[s->instance];
    if (gone && !s->off && is_left_out(g, worker, s, gone)) {
        gone[s - g->step] = 1;
        memset(reason, NJ_SHED, b->n);
        count->offered += b->n;
        count->passed += b->n;
        count->reason[NJ_SHED] += b->n;
        return 0;
    }
    if (s->off) {
        memset(reason, NJ_NO_INPUT, b->n);
        count->offered += b->n;
        count->passed += b->n;
        count->reason[NJ_NO_INPUT] += b->n;
        return 0;
    }
    for (uint32_t k = 0; k < s->n_prepare; k++)
        if (nj_derive(g, b, s->prepare[k])) return -1;
    const nj_col **in = nj_arena_alloc(&b->arena, (s->in->n_needs + 1) * sizeof *in);
    void **out = nj_arena_zalloc(&b->arena, (s->in->n_gives + 1) * sizeof *out);
    if (!in || !out || allocate_outputs(s, b, out)) return -1;
    for (uint32_t k = 0; k < s->in->n_needs; k++)
        NJ_ASSERT(s->col[k] < g->layout.n || s->col[k] >= NJ_FIRST_STAMP,
                  "module %s reads a column that is none: %s", s->in->name, s->in->need[k].path);
    for (uint32_t k = 0; k < s->in->n_needs; k++)
        in[k] = s->col[k] < NJ_FIRST_STAMP ? &b->col[s->col[k]] : &absent_column;
    memset(reason, NJ_NO_REASON, b->n);
    uint32_t n = rows_with_input(s, b, reason, rows);
    uint32_t lacking = b->n - n;
    if (worker->wanted) n = wanted_rows(worker, b, reason, rows, n);
    count->offered += lacking;
    count->passed += lacking;
    count->reason[NJ_NO_INPUT] += lacking;
    nj_call c = { worker, b, s };
    nj_work w = { .size = sizeof w,
                  .in = in,
                  .out = out,
                  .reason = reason,
                  .id = b->id,
                  .opaque = &c,
                  .scratch = work_scratch,
                  .text = work_text,
                  .image = nj_call_image,
                  .elsewhere = work_elsewhere };
    worker->n_costs = 0;
    worker->no_memory = false;
    if (worker->guarded && n && nj_trial_rows(worker, s, b, &w, rows, &n)) return -1;
    if (n) call_slices(worker, s, &w, rows, n);
    if (worker->no_memory) return -1;
    if (n && !worker->uncounted) nj_answers_range(&worker->answers[s->instance], s, b, out);
    if (worker->drift) worker->drift[2 + s->instance] = nj_weighted_median(worker->cost, worker->n_costs);
    return 0;
}

static void count_stamps(nj_worker *worker, const nj_batch *b)
{
    nj_counter *stamps = worker->stamps;
    for (uint32_t r = 0; r < b->n; r++) {
        int asked = 0, bad = 0;
        for (int k = 0; k < NJ_STAMPS + b->layout->n_planes; k++) {
            const nj_stamp *column = k < NJ_STAMPS ? b->stamp[k] : b->plane[k - NJ_STAMPS],
                           *s = column ? &column[r] : NULL;
            asked |= s && (s->state == NJ_STAMP_OPEN || s->state == NJ_STAMP_BAD);
            bad |= s && s->state == NJ_STAMP_BAD;
        }
        stamps->offered += (uint64_t)asked;
        stamps->passed += (uint64_t)asked;
        stamps->hits += (uint64_t)(asked && !bad);
        stamps->flagged += (uint64_t)bad;
        if (asked) nj_histogram_add(&stamps->one, (uint64_t)worker->row_stamp_ns[r]);
    }
}

/* As the thread's first batch finds it is how it is to stay. */
static int begin_surroundings(nj_worker *worker)
{
    if (worker->surroundings) return 0;
    nj_surroundings *s = worker->surroundings = calloc(1, sizeof *s);
    if (!s) return -1;
    s->quick = nj_state_look();
    snprintf(s->locale, sizeof s->locale, "%s", s->quick.locale ? s->quick.locale : "C");
    nj_state_batch_begin(&s->batch);
    return 0;
}

static void end_surroundings(nj_worker *worker, const nj_batch *b)
{
    char what[256];
    if (!nj_state_batch_end(&worker->surroundings->batch, what, sizeof what)) return;
    static nj_log_limit said;
    nj_log_limited(&said, 10, NJ_LOG_WARN,
                   "a module changed %s of the process within %u rows from alert %" PRId64 "; it is set back",
                   what, b->n, b->id[0]);
    worker->suspicious = SUSPICIOUS_CALLS;
}

int nj_dispatch(const nj_graph *g, nj_worker *worker, nj_batch *b)
{
    nj_outputs *state = nj_arena_alloc(&b->arena, sizeof *state);
    uint32_t *rows = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *rows);
    worker->row_stamp_ns = nj_arena_zalloc(&b->arena, (b->n + 1) * sizeof *worker->row_stamp_ns);
    worker->cap_costs = 2 * b->n; /* rows that are done again have two */
    worker->cost = worker->drift ? nj_arena_alloc(&b->arena, (2 * b->n + 1) * sizeof *worker->cost) : NULL;
    if (!state || !rows || !worker->row_stamp_ns || (worker->drift && !worker->cost)) return -1;
    state->reason = nj_arena_zalloc(&b->arena, (g->n_steps + 1) * sizeof *state->reason);
    if (!state->reason) return -1;
    state->cost = NULL;
    b->state = state;
    b->graph = g;
    nj_crash_thread();
    if (begin_surroundings(worker)) return -1;
    uint8_t *gone = worker->left_out ? nj_arena_zalloc(&b->arena, g->n_steps + 1) : NULL;
    if (worker->left_out && !gone) return -1;
    for (uint32_t s = 0; s < g->n_steps; s++) {
        state->reason[s] = nj_fence_alloc(&b->arena, b->n);
        if (!state->reason[s] || run_step(g, worker, b, &g->step[s], state->reason[s], rows, gone)) return -1;
    }
    for (uint32_t k = 0; k < g->n_wants; k++) {
        uint32_t c = g->want[k];
        if (c >= NJ_FIRST_STAMP || g->col[c].derived < 0) continue;
        const nj_derived *d = &g->derived[g->col[c].derived];
        if (g->col[d->base].derived >= 0 && nj_derive(g, b, d->base)) return -1;
        if (nj_derive(g, b, c)) return -1;
    }
    if (!worker->uncounted) count_stamps(worker, b);
    worker->row_stamp_ns = NULL;
    end_surroundings(worker, b);
    return 0;
}
