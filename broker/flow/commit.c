/* commit.c - the one moment at which something counts: outputs have it, then it is acknowledged. */
#include <stdlib.h>
#include <string.h>

#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/debug.h"
#include "../base/exit.h"
#include "../base/log.h"
#include "../base/patience.h"
#include "../graph/crash.h"
#include "output.h"
#include "trace.h"

void nj_flow_sink_fails(run *r, const nj_error *err)
{
    if (!r->output.failed) {
        r->output.error = *err;
        r->output.error.said = 1;
        nj_log(NJ_LOG_ERROR, "%s", err->text);
    }
    r->output.failed = 1;
    r->end.stop = 1;
}

/* A live stream's alerts are hours old at most; a replay's are not,
 * and their latency to the sky means nothing. */
static void note_live(out *o, const pending *p, uint32_t n)
{
    int64_t now_ms = nj_calendar_ns() / 1000000, age = now_ms - p->exposure_end_ms;
    if (p->publish_ms <= 0 || p->exposure_end_ms <= 0 || age < 0 || age > 6 * 3600 * 1000) return;
    __atomic_store_n(&o->r->output.live, 1, __ATOMIC_RELAXED);
    for (uint32_t k = 0; k < n; k++) {
        nj_histogram_add(o->r->output.total, (uint64_t)age * 1000000);
        if (p->publish_ms > p->exposure_end_ms)
            nj_histogram_add(o->r->output.publish, (uint64_t)(p->publish_ms - p->exposure_end_ms) * 1000000);
    }
}

/* All of its message is through, and here. */
static bool is_done(const pending *p)
{
    return p->last && !p->returned && !p->held;
}

/* Others can see what is written: this is what latency means. */
static void note_visible(out *o, uint32_t from, bool acknowledged)
{
    run *r = o->r;
    int64_t now = nj_now_ns();
    nj_flow_parts_settle(r, &o->parts, acknowledged, now);
    for (uint32_t i = from; acknowledged && i < o->n_pending; i++) {
        const pending *p = &o->pending[i];
        uint32_t n = p->emitted + p->filtered + p->dead + p->duplicates;
        for (uint32_t k = 0; k < n && r->compute.drift; k++)
            nj_histogram_add(r->output.latency, (uint64_t)(now - p->arrival_ns));
        note_live(o, p, n);
    }
}

/* Within one assignment of a partition, what is acknowledged only grows: else alerts would come again, or be
 * skipped. */
static void note_ack(stream *s, const pending *p)
{
    NJ_ASSERT(p->generation > s->acked_generation ||
                  (p->generation == s->acked_generation && p->next_offset >= s->acked_offset),
              "%s is acknowledged up to %lld after %lld", s->name, (long long)p->next_offset,
              (long long)s->acked_offset);
    s->acked_generation = p->generation;
    s->acked_offset = p->next_offset;
}

static void settle(out *o, bool acknowledged)
{
    run *r = o->r;
    if (o->n_pending)
        nj_debug(NJ_DEBUG_FLOW, "%u chunks are %s", o->n_pending,
                 acknowledged ? "acknowledged" : "given back");
    for (uint32_t i = 0; i < o->n_pending; i++) {
        pending *p = &o->pending[i];
        nj_ledger *l = &r->accounts.ledger[p->stream];
        if (acknowledged) {
            l->emitted += p->emitted;
            l->filtered += p->filtered;
            l->dead += p->dead;
            l->duplicates += p->duplicates;
            l->others += p->others;
            l->returned += p->returned;
        } else {
            l->returned += p->emitted + p->filtered + p->dead + p->duplicates + p->returned;
        }
        /* offsets only after every sink has it, and only when all of the message is through */
        const stream *s = r->accounts.stream[p->stream];
        const pending *next = i + 1 < o->n_pending ? p + 1 : NULL;
        bool next_does =
            next && next->stream == p->stream && next->generation == p->generation && is_done(next);
        NJ_ASSERT_SLOW(l->emitted + l->filtered + l->dead + l->duplicates + l->returned <=
                           __atomic_load_n(&l->consumed, __ATOMIC_RELAXED),
                       "the ledger of %s settles more alerts than it had", s->name);
        if (acknowledged && is_done(p) && !next_does && s->source && s->source->class->ack) {
            note_ack(r->accounts.stream[p->stream], p);
            s->source->class->ack(s->source, &r->accounts.stream[p->stream]->public, p->generation,
                                  p->next_offset);
        }
        if (p->last) __atomic_add_fetch(&l->settled, 1, __ATOMIC_RELEASE);
    }
    if (acknowledged) nj_flow_keep(r, o->pending, o->n_pending);
    if (r->trace) nj_flow_trace_settled(r, acknowledged);
    if (acknowledged && o->n_pending) __atomic_store_n(&r->output.last_ack_ns, nj_now_ns(), __ATOMIC_RELAXED);
    o->n_pending = o->n_flushed = 0;
    for (uint32_t i = 0; i < o->n_refused; i++) nj_chunk_drop(o->refused[i].chunk);
    o->n_refused = 0;
}

/* A flush may come sooner than at the cadence, when it costs less than a tenth of the time. */
static int64_t flush_gap(const out *o)
{
    int64_t cadence = o->r->conf.flush_ms * 1000000, gap = o->flush_cost_ns * 10;
    return gap < cadence ? gap : cadence;
}

static int64_t commit_gap(const out *o)
{
    const run *r = o->r;
    return r->output.hurry ? 0 : r->conf.commit_ms * 1000000;
}

static void flush_now(out *o)
{
    run *r = o->r;
    nj_error err = { "" };
    int64_t start = nj_now_ns(); /* counted or not: the cadence of flushes hangs on it */
    for (uint32_t i = 0; i < r->n_sinks && !r->output.failed && o->begun; i++) {
        const int64_t from = nj_now_ns();
        if (r->sink[i]->class->flush(r->sink[i], &err)) nj_flow_sink_fails(r, &err);
        if (r->compute.drift) nj_histogram_add(&r->output.time[i].flush, (uint64_t)(nj_now_ns() - from));
    }
    if (o->begun)
        nj_debug(NJ_DEBUG_SINK, "%u outputs are flushed, %llu rows so far", r->n_sinks,
                 (unsigned long long)r->output.rows);
    if (r->output.dead && !r->output.failed && nj_dead_letters_flush(r->output.dead, &err))
        nj_flow_sink_fails(r, &err);
    if (!r->output.at_commit && !r->output.failed && !r->end.fatal) note_visible(o, o->n_flushed, true);
    o->n_flushed = o->n_pending;
    o->flushed_ns = nj_now_ns();
    o->flush_cost_ns = o->flushed_ns - start;
    nj_debug(NJ_DEBUG_FLOW, "flush: %.3f ms", (double)o->flush_cost_ns / 1e6);
    if (r->compute.drift) nj_histogram_add(r->output.flush, (uint64_t)o->flush_cost_ns);
    if (r->compute.drift) r->output.count->wall_ns += o->flush_cost_ns;
}

void nj_flow_flush(out *o)
{
    if (o->n_pending > o->n_flushed && nj_now_ns() - o->flushed_ns >= flush_gap(o)) flush_now(o);
}

/* --eos: up to where each partition is done, in the transaction of its rows. Rows of a partition that was
 * lost in between are in the transaction too, so it must not be committed. */
static int commit_with_places(out *o, nj_keep *keep, nj_error *err)
{
    run *r = o->r;
    nj_place *place = calloc(o->n_pending + 1, sizeof *place);
    if (!place) return nj_fail(err, "out of memory");
    int rc = 0;
    for (uint32_t i = 0; i < o->n_pending && !rc; i++) {
        const pending *p = &o->pending[i];
        const nj_stream *s = &r->accounts.stream[p->stream]->public;
        uint32_t revoked = __atomic_load_n(&s->revoked, __ATOMIC_RELAXED), k = 0;
        if (revoked && p->generation <= revoked && p->emitted) {
            rc = nj_fail(err, "%s: the partition was lost within a transaction", s->name);
            *keep->undone = true;
        }
        if (!is_done(p) || (revoked && p->generation <= revoked)) continue;
        while (k < keep->n_places &&
               (place[k].partition != s->partition || strcmp(place[k].topic, s->topic) != 0))
            k++;
        place[k] = (nj_place){ s->topic, s->partition, p->next_offset };
        keep->n_places += k == keep->n_places;
    }
    keep->place = place;
    keep->group = !rc && keep->n_places ? r->output.eos_source->class->group(r->output.eos_source) : NULL;
    if (!rc && keep->n_places && !keep->group) rc = nj_fail(err, "--eos: the source is in no group");
    for (uint32_t i = 0; i < r->n_sinks && !rc; i++)
        if (r->sink[i]->transactional && r->sink[i]->class->commit)
            rc = r->sink[i]->class->commit(r->sink[i], keep, err);
    free(place);
    return rc;
}

/* A transaction that was aborted has rows that this process cannot send again. As after a kill the next
 * worker begins at the last commit; when none of them gets on, the supervisor ends the run. */
static int begin_anew(const run *r, const nj_error *err)
{
    if (!r->options->shared || nj_stopping()) return -1;
    nj_log(NJ_LOG_WARN, "%s; the transaction is aborted, and another worker begins at the last one",
           err->text);
    nj_exit_at_once(NJ_EXIT_LEDGER);
}

/* After all files: a transaction that fails is done again by the next run, and they know what they have. */
static int commit_transactions(out *o, nj_keep *keep, nj_error *err)
{
    run *r = o->r;
    if (r->output.eos_source) return commit_with_places(o, keep, err);
    for (uint32_t i = 0; i < r->n_sinks; i++) {
        nj_sink *s = r->sink[i];
        const int64_t from = nj_now_ns();
        if (!s->transactional || !s->class->commit) continue;
        if (s->class->commit(s, keep, err)) return -1;
        if (r->compute.drift) nj_histogram_add(&r->output.time[i].commit, (uint64_t)(nj_now_ns() - from));
    }
    return 0;
}

/* What the streams have when this commit is done. */
static void add_up(out *o)
{
    for (uint32_t i = 0; i < o->n_pending; i++) {
        const pending *p = &o->pending[i];
        nj_ledger *sum = &o->r->accounts.stream[p->stream]->progress->next_sum;
        sum->settled += p->last && !p->held && !p->returned;
        sum->emitted += p->emitted;
        sum->filtered += p->filtered;
        sum->dead += p->dead;
        sum->duplicates += p->duplicates;
        sum->others += p->others;
    }
}

bool nj_flow_is_complete(const run *r)
{
    return !r->ingest.failed && !r->end.later && !(r->options->stop && *r->options->stop);
}

/* The disk has it, in every file that counts, and each file's journal says so. The letters go first: an
 * output whose journal is at this commit is then never ahead of them. */
static int reach_disk(out *o, bool last, nj_error *err)
{
    run *r = o->r;
    nj_buffer state = { 0 };
    bool undone = false;
    nj_keep keep = { .disk = r->conf.durable,
                     .complete = last && nj_flow_is_complete(r),
                     .commit = ++r->resume->commit,
                     .undone = &undone };
    uint32_t letters = r->resume->n - 1;
    int rc = 0;
    add_up(o);
    for (uint32_t k = 0; k <= r->n_sinks && !rc; k++) {
        uint32_t i = k ? k - 1 : letters;
        const nj_sink *sink = k ? r->sink[i] : NULL;
        if (k ? !o->begun || !sink->class->commit || sink->transactional : !r->output.dead) continue;
        state.n = 0;
        nj_flow_state(r, i, &state);
        keep.state = state.data;
        const int64_t from = nj_now_ns();
        if (state.failed)
            rc = nj_fail(err, "out of memory for the journals");
        else
            rc = k ? sink->class->commit(r->sink[i], &keep, err)
                   : nj_dead_letters_commit(r->output.dead, &keep, err);
        if (r->compute.drift)
            nj_histogram_add(&r->output.time[k ? i : r->n_sinks].commit, (uint64_t)(nj_now_ns() - from));
    }
    nj_buffer_free(&state);
    keep.state = NULL;
    if (!rc && o->begun) rc = commit_transactions(o, &keep, err);
    if (rc && undone) rc = begin_anew(r, err);
    if (!rc) nj_flow_kept(r);
    o->fresh = false;
    return rc;
}

/* An output wants one even without rows: a file of it is to be finished. */
static bool is_wanted(const out *o)
{
    const run *r = o->r;
    for (uint32_t i = 0; i < r->n_sinks && o->begun && !r->output.failed; i++)
        if (r->sink[i]->class->due && r->sink[i]->class->due(r->sink[i])) return true;
    return r->output.dead && !r->output.failed && nj_dead_letters_due(r->output.dead);
}

void nj_flow_commit(out *o, bool last)
{
    run *r = o->r;
    nj_error err = { "" };
    bool due = o->n_pending && o->n_pending == o->n_flushed && nj_now_ns() - o->committed_ns >= commit_gap(o);
    if (!last && !due && !o->fresh && !is_wanted(o)) return;
    if (last || o->fresh || o->n_pending > o->n_flushed) flush_now(o);
    int64_t start = nj_now_ns();
    if (!r->output.failed && !r->end.fatal && reach_disk(o, last, &err)) nj_flow_sink_fails(r, &err);
    bool good = !r->output.failed && !r->end.fatal; /* after a fatal error rows may be missing before those
                                                     * that are written */
    if (r->output.at_commit || !good) note_visible(o, 0, good);
    settle(o, good);
    o->committed_ns = nj_now_ns();
    if (r->compute.drift) r->output.count->wall_ns += o->committed_ns - start;
}

int64_t nj_flow_next_ms(const out *o)
{
    if (!o->n_pending) return 100;
    int64_t now = nj_now_ns();
    int64_t left = o->n_pending > o->n_flushed ? o->flushed_ns + flush_gap(o) - now
                                               : o->committed_ns + commit_gap(o) - now;
    if (left > 20000000) left = 20000000; /* a source that drains does not wake this thread */
    return left <= 0 ? 0 : left / 1000000 + 1;
}
