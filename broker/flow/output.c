/* output.c - one thread writes all outputs: it restores the order, filters rows and calls the sinks. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../graph/crash.h"
#include "duplicates.h"
#include "missing.h"
#include "output.h"
#include "overload.h"
#include "topic_outputs.h"
#include "trace.h"

static int begin_sinks(out *o)
{
    run *r = o->r;
    nj_error err = { "" };
    o->begun = o->fresh = true;
    nj_flow_columns_note(r);
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        nj_rows columns = { .field = r->field, .n_fields = r->n_out };
        if (!nj_flow_topic_columns(r, i, &columns)) nj_flow_shard_columns(r, i, &columns);
        if (r->sink[i]->class->begin(r->sink[i], columns.field, columns.n_fields, r->metadata, &err)) {
            nj_flow_sink_fails(r, &err);
            return -1;
        }
    }
    return 0;
}

/* --- one batch --- */

static uint32_t select_rows(const uint8_t *outcome, uint32_t n, uint32_t *row)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (outcome[i] == ROW_EMIT) row[k++] = i;
    return k;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int write_rows(out *o, nj_batch *b, uint8_t *outcome)
{
    run *r = o->r;
    const survey *s = b->layout->owner;
    uint32_t *row = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *row);
    o->pass = nj_arena_alloc(&b->arena, b->n + 1);
    if (!s || !row || !o->pass) return -1;
    if (!o->begun) {
        if (begin_sinks(o)) return 0;
        nj_flow_commit(o, false); /* a run that dies from here on finds journals */
        if (r->output.failed) return 0;
    }
    nj_flow_values(r, s, b, o->value);
    if (nj_flow_shard_values(r, b, o->value)) return -1;
    uint64_t number = r->output.written;
    for (uint32_t i = 0; i < b->n; i++) {
        if (outcome[i] == ROW_AGAIN) continue;
        r->output.digest += mix((uint64_t)b->id[i]);
        if (outcome[i] == ROW_RETURNED) continue;
        if (o->later || (r->options->limit && (int64_t)number >= r->options->limit))
            outcome[i] = ROW_RETURNED;
        else if (nj_flow_is_duplicate(o, b, i, mix((uint64_t)(uintptr_t)s)))
            outcome[i] = ROW_DUPLICATE;
        else if (!nj_flow_is_wanted(r, b->id[i]))
            outcome[i] = ROW_FILTERED;
        number++;
    }
    r->output.written = number;
    int64_t t0 = nj_now_ns();
    nj_rows rows = { .field = r->field,
                     .n_fields = r->n_fields,
                     .value = o->value,
                     .row = row,
                     .n = select_rows(outcome, b->n, row),
                     .batch = b };
    uint32_t offered = rows.n;
    o->batch = b;
    o->outcome = outcome;
    if (r->trace) nj_flow_trace_rows(o, s, b);
    nj_flow_guard_rows(r, b);
    rows.n = select_rows(outcome, b->n, row);
    if ((r->filter || r->n_topics) && rows.n) {
        if (nj_flow_filter_rows(o, s, b, &rows, outcome)) return o->batch = NULL, r->output.failed ? 0 : -1;
    }
    rows.n = select_rows(outcome, b->n, row);
    rows.n_fields = r->n_shown;
    int64_t t1 = nj_now_ns();
    nj_error err = { "" };
    uint32_t *lacks = o->ahead ? nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *lacks) : NULL;
    if (o->ahead && !lacks) return o->batch = NULL, -1;
    if (rows.n && nj_flow_readable(r, b, &rows, o->value)) return o->batch = NULL, -1;
    rows.n_fields = r->n_out;
    for (uint32_t k = 0; k < rows.n; k++)
        NJ_ASSERT_SLOW(row[k] < b->n && (!k || row[k - 1] < row[k]), "row %u of %u goes to the outputs twice",
                       row[k], b->n);
    for (int others = 0; others < 2; others++) { /* a row that one refuses is in none, if that shows now */
        for (uint32_t i = 0; i < r->n_sinks && rows.n && !r->output.failed; i++) {
            nj_rows own = rows;
            if (r->sink[i]->class->refuses == others) continue;
            if (o->ahead) {
                own.row = lacks;
                own.n = nj_flow_rows_for(o, b, i, lacks);
            }
            if (nj_flow_rows_of(r, i, b, &own)) return o->batch = NULL, -1;
            if (own.n && nj_flow_guard_write(r->sink[i], &own, &err)) nj_flow_sink_fails(r, &err);
        }
        rows.n = select_rows(outcome, b->n, row);
    }
    if (r->trace) nj_flow_trace_outcome(o, b);
    o->batch = NULL;
    int64_t t2 = nj_now_ns();
    o->filter_ns = t0;
    o->filtered_ns = t1;
    if (!r->compute.drift) return r->output.rows += rows.n, 0;
    if (r->filter || r->n_topics) {
        r->output.count_filter->calls++;
        r->output.count_filter->offered += offered;
        r->output.count_filter->passed += rows.n;
        r->output.count_filter->hits += rows.n;
        r->output.count_filter->wall_ns += t1 - t0;
    }
    r->output.count->calls++;
    r->output.count->offered += rows.n;
    r->output.count->passed += rows.n;
    r->output.count->hits += rows.n;
    r->output.count->wall_ns += t2 - t1;
    if (rows.n) nj_histogram_add(&r->output.count->one, (uint64_t)(t2 - t1) / rows.n);
    nj_flow_drift_output(r, offered, t1 - t0, rows.n, t2 - t1);
    r->output.rows += rows.n;
    if (rows.n) __atomic_store_n(&r->output.last_row_ns, nj_now_ns(), __ATOMIC_RELAXED);
    return 0;
}

static void write_dead(run *r, const nj_dead *dead, uint32_t n)
{
    nj_error err = { "" };
    for (uint32_t i = 0; i < n; i++) {
        char where[512];
        static nj_log_limit said;
        nj_reasons_add(r->output.reasons, dead[i].module ? dead[i].module : "decode", dead[i].reason);
        if (dead[i].kept) continue; /* who found it has reported it */
        nj_log_limited(&said, 10, NJ_LOG_WARN, "%s: record %u is dead: %s",
                       nj_chunk_where(dead[i].chunk, where, sizeof where), dead[i].record, dead[i].reason);
        if (r->trace) nj_flow_trace_dead(r, &dead[i]);
    }
    if (nj_flow_letters_open(r, &err) || nj_dead_letters_write(r->output.dead, dead, n, &err))
        nj_flow_sink_fails(r, &err);
}

static void write_letters(out *o, const nj_batch *b)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i <= b->n_dead; i++) { /* in runs: mostly all of them at once */
        bool there = i == b->n_dead || o->dead_outcome[i] == ROW_AGAIN || nj_flow_has_letter(o, &b->dead[i]);
        if (there && i > from && !o->r->output.failed) write_dead(o->r, b->dead + from, i - from);
        if (there) from = i + 1;
    }
}

/* Accounts for it: 0; 1 when it is accounted for already; -1 when memory is short. */
static int refuse_row(out *o, const nj_dead *dead)
{
    for (uint32_t i = 0; i < o->n_refused; i++)
        if (o->refused[i].chunk == dead->chunk && o->refused[i].record == dead->record) return 1;
    if (o->n_refused == o->cap_refused) {
        uint32_t cap = 2 * o->cap_refused + 16;
        refused *more = realloc(o->refused, cap * sizeof *more);
        if (!more) return -1;
        o->refused = more;
        o->cap_refused = cap;
    }
    o->refused[o->n_refused++] = (refused){ dead->chunk, dead->record };
    nj_chunk_hold(dead->chunk);
    for (uint32_t i = 0; o->batch && i < o->batch->n; i++)
        if (o->batch->row[i].chunk == dead->chunk && o->batch->row[i].record == dead->record) {
            if (o->outcome[i] == ROW_AGAIN) return 1; /* it was accounted for when it came first */
            o->outcome[i] = ROW_REFUSED;
            return 0;
        }
    for (uint32_t i = 0; i < o->n_pending; i++) { /* the target had it, and said so only now */
        pending *p = &o->pending[i];
        if (p->stream != dead->chunk->stream->id || p->next_offset != dead->chunk->offset + 1 || !p->emitted)
            continue;
        p->emitted--;
        p->dead++;
        break;
    }
    return 0;
}

void nj_flow_refuse(void *run_, const nj_dead *dead)
{
    run *r = run_;
    int rc = r->output.thread && !r->output.failed ? refuse_row(r->output.thread, dead) : 1;
    nj_error err;
    if (rc == 0 && !nj_flow_has_letter(r->output.thread, dead)) write_dead(r, dead, 1);
    if (rc < 0) nj_fail(&err, "out of memory for a dead letter"), nj_flow_sink_fails(r, &err);
}

static pending *add_pending(out *o)
{
    if (o->n_pending == o->cap_pending) {
        uint32_t cap = o->cap_pending ? 2 * o->cap_pending : 256;
        pending *p = realloc(o->pending, cap * sizeof *p);
        if (!p) return NULL;
        o->pending = p;
        o->cap_pending = cap;
    }
    return &o->pending[o->n_pending++];
}

/* When the exposure of a row ended, in ms since 1970;
 * 0 = not known: no time, or the survey's map does not say what jd is. */
static int64_t exposure_end_ms(const out *o, const survey *s, uint32_t row)
{
    const nj_col *jd = &o->value[o->r->jd_field];
    if (!s || !s->facts->has_time || !jd->data) return 0;
    double t = (((const double *)jd->data)[row] - 2440587.5) * 86400e3;
    if (!(t > 0 && t < 1e14)) return 0;
    return (int64_t)t + (int64_t)(s->facts->exposure_end_s * 1000);
}

/* The exposures of a chunk's rows. */
static int note_exposures(out *o, const nj_batch *b, const survey *s, const nj_chunk *c,
                          const uint8_t *outcome, uint32_t first, uint32_t n)
{
    const nj_col *exposure = &o->value[o->r->exposure_field];
    if (!s || !o->r->compute.drift || !exposure->data) return 0;
    for (uint32_t k = 0; k < n; k++)
        if (outcome[k] != ROW_RETURNED &&
            nj_flow_part(&o->parts, b, c, ((const double *)exposure->data)[first + k], o->filter_ns,
                         o->filtered_ns))
            return -1;
    return 0;
}

/* A receipt per chunk; rows of one chunk are consecutive. */
static int note_receipts(out *o, const nj_batch *b, const uint8_t *outcome)
{
    uint32_t row = 0;
    o->parts.first = o->parts.n;
    const survey *s = b->n && b->graph && !o->r->output.failed ? b->layout->owner : NULL;
    for (uint32_t i = 0; i < b->n_receipts; i++) {
        const nj_receipt *receipt = &b->receipt[i];
        const nj_chunk *c = receipt->chunk;
        pending *p = add_pending(o);
        if (!p) return -1;
        *p = (pending){ .stream = c->stream->id,
                        .generation = c->generation,
                        .next_offset = c->offset + 1,
                        .arrival_ns = c->arrival_ns,
                        .publish_ms = c->publish_ms,
                        .dead = o->later ? 0 : receipt->n_dead,
                        .returned = o->later ? receipt->n_dead : 0,
                        .held = o->later,
                        .last = receipt->last };
        for (uint32_t k = 0; o->again && k < b->n_dead && p->dead; k++)
            p->dead -= b->dead[k].chunk == c && !b->dead[k].kept && o->dead_outcome[k] == ROW_AGAIN;
        if (b->n_others && !o->later) p->others = nj_flow_others(o, b, c);
        nj_flow_advance(o, b, receipt, row);
        if (receipt->n_rows && c->publish_ms > 0) p->exposure_end_ms = exposure_end_ms(o, s, row);
        for (uint32_t k = 0; k < receipt->n_rows; k++, row++) switch (outcome[row]) {
            case ROW_EMIT: p->emitted++; break;
            case ROW_FILTERED: p->filtered++; break;
            case ROW_DUPLICATE: p->duplicates++; break;
            case ROW_REFUSED: p->dead++; break;
            case ROW_AGAIN: break;
            default: p->returned++; break;
            }
        if (note_exposures(o, b, s, c, outcome + row - receipt->n_rows, row - receipt->n_rows,
                           receipt->n_rows))
            return -1;
        if (o->r->output.failed) { /* nothing of this batch is safe: it comes again */
            p->returned += p->emitted + p->filtered + p->duplicates + p->dead;
            p->emitted = p->filtered = p->duplicates = p->dead = 0;
        }
    }
    return 0;
}

static void write_batch(out *o, nj_batch *b)
{
    run *r = o->r;
    uint8_t *outcome = nj_arena_zalloc(&b->arena, b->n + 1);
    int rc = outcome ? 0 : -1;
    o->later |= b->later;
    o->outcome = outcome;
    if (rc == 0) rc = nj_flow_mark_again(o, b, outcome);
    if (rc == 0 && !r->output.failed && b->n) rc = write_rows(o, b, outcome);
    /* a failure is in sink_failed */
    if (rc == 0 && !r->output.failed && b->n_dead && !o->later) write_letters(o, b);
    if (rc == 0) rc = note_receipts(o, b, outcome);
    if (rc == 0 && !r->output.failed) nj_flow_overload_note(r, b, outcome);
    if (rc) {
        nj_error err;
        nj_fail(&err, "out of memory while writing");
        nj_flow_fatal(r, &err);
    }
    if (b->budget_bytes) nj_ring_release(r->work, b->budget_bytes);
    nj_batch_free(b);
}

/* --- order --- */

static int stash(out *o, nj_batch *b)
{
    if (o->n_stash == o->cap_stash) {
        uint32_t cap = o->cap_stash ? 2 * o->cap_stash : 64;
        nj_batch **list = realloc(o->stash, cap * sizeof *list);
        if (!list) return -1;
        o->stash = list;
        o->cap_stash = cap;
    }
    o->stash[o->n_stash++] = b;
    return 0;
}

static nj_batch *take_next(out *o)
{
    for (uint32_t i = 0; i < o->n_stash; i++) {
        nj_batch *b = o->stash[i];
        NJ_ASSERT(b->seq >= o->seq, "a batch of unit %llu comes when unit %llu is written",
                  (unsigned long long)b->seq, (unsigned long long)o->seq);
        if (b->seq != o->seq || b->part != o->part) continue;
        o->stash[i] = o->stash[--o->n_stash];
        if (b->last_part)
            o->seq++, o->part = 0;
        else
            o->part++;
        return b;
    }
    return NULL;
}

static void progress(out *o)
{
    run *r = o->r;
    int64_t now = nj_now_ns();
    if (!r->options->progress || now - o->progress_ns < 500000000) return;
    o->progress_ns = now;
    uint64_t dead = 0;
    double done = 0, whole = 0, d, w;
    for (uint32_t i = 0; i < r->accounts.n_streams; i++) dead += r->accounts.ledger[i].dead;
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (r->source[i]->class->progress && !r->source[i]->class->progress(r->source[i], &d, &w))
            done += d, whole += w;
    double seconds = (double)(now - r->start_ns) / 1e9, rate = (double)r->output.written / seconds;
    char line[160], eta[32] = "";
    if (r->options->stop && *r->options->stop)
        snprintf(eta, sizeof eta, ", stopping");
    else if (whole > 0 && done > 0 && done <= whole)
        snprintf(eta, sizeof eta, ", %.0f %%, %.0f s to go", 100 * done / whole,
                 seconds * (whole / done - 1));
    int n = snprintf(line, sizeof line, "\r%llu alerts, %.0f/s%s, %llu dead \033[K",
                     (unsigned long long)r->output.written, rate, eta, (unsigned long long)dead);
    if (write(STDERR_FILENO, line, (size_t)n) < 0) return;
}

/* The thread's CPU time since the last time; reading it costs a microsecond, so not for each batch. */
static void share_cpu(out *o, int64_t now)
{
    nj_counter *const counter[] = { o->r->output.count_filter, o->r->output.count };
    if (!o->r->compute.drift) return;
    int64_t cpu = nj_thread_cpu_ns();
    nj_counter_share_cpu(counter, 2, cpu - o->cpu_mark);
    o->cpu_mark = cpu;
    o->shared_ns = now;
}

/* No batches are taken any more, so the compute threads must not wait for room in the ring. */
static void give_up(run *r)
{
    nj_error err;
    nj_batch *b;
    nj_fail(&err, "out of memory for the output");
    nj_flow_fatal(r, &err);
    nj_ring_close(r->work);
    nj_ring_close(r->done);
    while ((b = nj_ring_pop(r->done, 0, NULL)) != NULL) nj_batch_free(b);
}

void *nj_output(void *run_)
{
    run *r = run_;
    out o = { .r = r, .flushed_ns = nj_now_ns(), .cpu_mark = nj_thread_cpu_ns() };
    r->output.thread = &o;
    nj_crash_thread(); /* a clause or a row may crash here */
    o.value = calloc(r->n_fields + 1, sizeof *o.value);
    if (!o.value) give_up(r);
    for (int closed = 0; !closed && o.value;) {
        __atomic_store_n(&r->output.busy, 0, __ATOMIC_RELAXED);
        nj_batch *b = nj_ring_pop(r->done, (int)nj_flow_next_ms(&o), &closed);
        __atomic_store_n(&r->output.busy, 1, __ATOMIC_RELAXED);
        int64_t now = nj_now_ns();
        if (b && stash(&o, b)) {
            nj_batch_free(b);
            give_up(r);
            break;
        }
        while ((b = take_next(&o)) != NULL) write_batch(&o, b);
        nj_flow_flush(&o);
        nj_flow_commit(&o, false);
        if (now - o.shared_ns > 20000000) share_cpu(&o, now);
        progress(&o);
    }
    /* no rows at all: still a valid header; but one whose types no packet has said yet would be in the way of
     * the resumed run */
    if (!o.begun && !r->output.failed && (nj_flow_is_complete(r) || nj_flow_columns_known(r)))
        begin_sinks(&o);
    nj_flow_commit(&o, true);
    share_cpu(&o, 0);
    for (uint32_t i = 0; i < o.n_stash; i++) nj_batch_free(o.stash[i]); /* only after a fatal error */
    if (r->options->progress && o.progress_ns) {
        if (write(STDERR_FILENO, "\r\033[K", 4) < 0) r->end.stop = 1;
    }
    nj_flow_readable_end(r);
    r->output.thread = NULL;
    free(o.refused);
    free(o.stash);
    free(o.pending);
    free(o.parts.part);
    free(o.value);
    return NULL;
}
