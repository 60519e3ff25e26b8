/* compute.c - the OpenMP region: each thread takes a whole unit through decode and all modules, without a
 * barrier. */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../base/debug.h"
#include "../base/assert.h"
#include "../base/clock.h"
#include "../base/patience.h"
#include "../base/log.h"
#include "overload.h"
#include "trace.h"

/* One compute thread's own state. */
typedef struct thread_state {
    run *r;
    nj_worker *worker;
    nj_reader reader;
    uint64_t schema; /* serial of that of the last chunk, and its survey: found without the lock */
    const survey *survey;
    int number;
    uint64_t seq; /* of the present unit, and of its next batch */
    uint32_t part;
    bool last_part;
    nj_chunk *chunk; /* being read; NULL = none */
    size_t unit_bytes;
    int64_t cpu_mark;
    nj_drift *drift;   /* with counters */
    int64_t decode_ns; /* of the decode counter when the batch began */
    uint64_t decoded_rows;
} thread_state;

/* Points later than their alert exist in some streams; modules see them, and the report says how many. */
static uint64_t count_future_points(const survey *s, const nj_batch *b)
{
    uint64_t n = 0;
    if (s->jd == NJ_NO_COLUMN || s->lc_jd == NJ_NO_COLUMN || !b->col[s->lc_jd].data) return 0;
    const double *jd = b->col[s->jd].data, *t = b->col[s->lc_jd].data;
    const uint32_t *off = b->col[s->lc_jd].off;
    for (uint32_t r = 0; r < b->n; r++)
        for (uint32_t i = off[r]; i < off[r + 1]; i++) n += t[i] > jd[r];
    return n;
}

static float per_row(int64_t ns, uint64_t rows)
{
    return rows ? (float)((double)ns / (double)rows) : NAN;
}

/* The modules, clocked as a whole; and what this batch cost per row,
 * when it is one of those that are kept. */
static int dispatch_counted(thread_state *t, const nj_graph *graph, nj_batch *b)
{
    nj_worker *w = t->worker;
    float *traced = t->r->trace ? nj_flow_trace_clock(t->r, b) : NULL;
    const nj_counter before = { .wall_ns = w->stamps->wall_ns, .offered = w->stamps->offered };
    w->drift = nj_drift_row(t->drift, __atomic_fetch_add(&t->r->compute.batches, 1, __ATOMIC_RELAXED));
    if (w->drift) w->drift[0] = per_row(w->decode->wall_ns - t->decode_ns, w->decode->hits - t->decoded_rows);
    float *kept = w->drift;
    if (!kept && traced) w->drift = traced;
    t->decode_ns = w->decode->wall_ns;
    t->decoded_rows = w->decode->hits;
    b->decoded_ns = nj_now_ns();
    int rc = nj_dispatch(graph, w, b);
    b->computed_ns = nj_now_ns();
    if (w->drift)
        w->drift[1] = per_row(w->stamps->wall_ns - before.wall_ns, w->stamps->offered - before.offered);
    if (rc == 0 && traced) ((nj_outputs *)b->state)->cost = traced;
    if (rc == 0 && traced && kept) memcpy(traced, kept, (2 + (size_t)w->set->n) * sizeof *traced);
    w->drift = NULL;
    return rc;
}

/* What the engine hands to the graph: every row has a receipt (a dead letter may stand for many records), and
 * the layout is the graph's. */
static void check_batch(const nj_batch *b, const survey *s)
{
    uint64_t rows = 0, dead = 0;
    for (uint32_t i = 0; i < b->n_receipts; i++) {
        rows += b->receipt[i].n_rows;
        dead += b->receipt[i].n_dead;
    }
    NJ_ASSERT(rows == b->n && dead >= b->n_dead, "a batch of %u rows has receipts for %llu", b->n,
              (unsigned long long)rows);
    NJ_ASSERT(!b->n || (s && b->layout == &s->graph->layout), "a batch has the columns of another graph");
}

/* What the batch took out of its chunks, before it can be written. */
static void count_consumed(run *r, const nj_batch *b)
{
    for (uint32_t i = 0; i < b->n_receipts; i++) {
        const nj_receipt *receipt = &b->receipt[i];
        uint32_t n = receipt->n_rows + receipt->n_dead;
        if (n)
            __atomic_add_fetch(&r->accounts.ledger[receipt->chunk->stream->id].consumed, n, __ATOMIC_RELAXED);
    }
}

/* A batch has its rows: through the modules, and to the output thread. */
static int finish_batch(void *opaque, nj_batch **batch)
{
    thread_state *t = opaque;
    nj_batch *b = *batch;
    const survey *s = b->layout ? b->layout->owner : NULL;
    *batch = NULL;
    b->seq = t->seq;
    b->part = t->part++;
    b->last_part = t->last_part;
    b->budget_bytes = t->last_part ? t->unit_bytes : 0;
    check_batch(b, s);
    count_consumed(t->r, b);
    int rc = 0;
    if (t->r->options->shared) atomic_fetch_add(&t->r->options->shared->batches, 1);
    if (b->n && s) {
        rc = t->drift ? dispatch_counted(t, s->graph, b) : nj_dispatch(s->graph, t->worker, b);
        __atomic_add_fetch(&t->r->compute.future_points, count_future_points(s, b), __ATOMIC_RELAXED);
    }
    if (t->drift) {
        int64_t cpu = nj_thread_cpu_ns();
        nj_worker_share_cpu(t->worker, cpu - t->cpu_mark);
        t->cpu_mark = cpu;
    }
    if (t->chunk) nj_flow_guard_decode(t->worker, t->chunk); /* its other records */
    if (rc == 0 && nj_ring_push(t->r->done, b, 0) == 0) return NJ_READ_ON;
    nj_batch_free(b); /* memory is short, or the output thread is gone */
    return NJ_READ_FAILED;
}

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    thread_state *t = opaque;
    if (nj_schema_serial(schema) != t->schema) {
        const survey *found = nj_flow_survey(t->r, schema, t->seq, err);
        if (!found) return NULL;
        t->schema = nj_schema_serial(schema);
        t->survey = found;
    }
    return &t->survey->graph->layout;
}

static bool is_mine(void *opaque, const nj_batch *b, uint32_t row)
{
    return nj_flow_shard_mine(((const thread_state *)opaque)->r, b, row);
}

/* 0, NJ_READ_LATER, or -1: memory is short. */
static int compute_chunk(thread_state *t, nj_chunk *chunk)
{
    nj_error err = { "" };
    t->chunk = chunk;
    nj_flow_guard_chunk(chunk);
    nj_flow_guard_decode(t->worker, chunk);
    int rc = nj_reader_take(&t->reader, chunk, &err);
    nj_flow_guard_decoded(t->worker);
    t->chunk = NULL;
    if (rc == NJ_READ_NO_LAYOUT) nj_flow_fatal(t->r, &err); /* the chunk is a dead letter, and the run ends */
    return rc == NJ_READ_FAILED ? -1 : rc == NJ_READ_LATER ? rc : 0;
}

/* The run ends while a schema is waited for: this chunk and all behind it come again. Their receipts close
 * the books of their streams. */
static int give_back(thread_state *t, unit *u, uint32_t from)
{
    int rc = nj_reader_flush(&t->reader, false); /* what was read before them is written */
    nj_batch *b = rc == 0 ? nj_batch_new() : NULL;
    if (!b || nj_batch_begin(b, NULL, 0)) return nj_batch_free(b), -1;
    t->r->end.later = true;
    b->later = true;
    for (uint32_t i = from; i < u->n; i++) {
        nj_receipt *receipt = nj_batch_receipt(b, u->chunk[i]);
        if (!receipt) return nj_batch_free(b), -1;
        receipt->last = true;
    }
    t->last_part = true;
    return finish_batch(t, &b) == NJ_READ_ON ? 0 : -1;
}

static void compute_unit(thread_state *t, unit *u)
{
    NJ_ASSERT(u->seq >= t->seq, "unit %llu comes behind unit %llu in one thread", (unsigned long long)u->seq,
              (unsigned long long)t->seq);
    t->seq = u->seq;
    t->part = 0;
    t->last_part = false;
    t->unit_bytes = u->bytes;
    nj_flow_overload_unit(t->r, t->number, u);
    t->cpu_mark = t->drift ? nj_thread_cpu_ns() : 0;
    int rc = 0;
    if (nj_patience_over())
        t->r->end.later = true; /* it comes again, and whoever stops the run has not so long */
    for (uint32_t i = 0; i < u->n && rc == 0; i++) {
        rc = t->r->end.later ? NJ_READ_LATER : compute_chunk(t, u->chunk[i]);
        if (rc == NJ_READ_LATER) rc = give_back(t, u, i);
        if (t->last_part) break;
    }
    if (rc == 0 && !t->last_part) {
        t->last_part = true;
        rc = nj_reader_flush(&t->reader, true);
    }
    for (uint32_t i = 0; i < u->n; i++) nj_chunk_drop(u->chunk[i]); /* the batches hold what they need */
    if (rc) {
        nj_error err;
        nj_fail(&err, "out of memory while computing");
        nj_flow_fatal(t->r, &err);
        nj_reader_forget(&t->reader);
        nj_ring_close(t->r->work);
        nj_ring_close(t->r->done);
    }
    free(u);
}

/* The next unit, in their order; one thread waits for it and the others for that thread.
 * NULL when there is none any more. */
static unit *take_unit(run *r, int thread)
{
    int closed = 0;
    pthread_mutex_lock(&r->surveys.take_lock);
    unit *u = nj_ring_pop(r->work, -1, &closed);
    nj_flow_at_unit(r, thread, u ? u->seq : NJ_NO_UNIT);
    pthread_mutex_unlock(&r->surveys.take_lock);
    return u;
}

static void work(run *r, nj_worker *worker, int number)
{
    thread_state t = { .r = r,
                       .worker = worker,
                       .number = number,
                       .drift = r->conf.counters ? r->compute.drift[number] : NULL };
    const nj_shard *shard = nj_flow_shard(r);
    t.reader.o = (nj_reader_options){ .decoder = r->engine.decoder,
                                      .batch_rows = (uint32_t)r->conf.batch_rows,
                                      .batch_bytes = (size_t)r->conf.batch_bytes,
                                      .count = worker->decode,
                                      .clocked = r->conf.counters,
                                      .shard = shard,
                                      .mine = shard && shard->by != NJ_SHARD_PART ? is_mine : NULL,
                                      .layout = layout_of,
                                      .full = finish_batch,
                                      .opaque = &t };
    /* A working directory of this thread alone: until a module's chdir() is set back, other threads open
     * their files by relative paths. Where that is forbidden (in some containers) all threads have one. */
    if (unshare(CLONE_FS))
        nj_debug(NJ_DEBUG_FLOW, "all threads have one working directory: %s", strerror(errno));
    for (unit *u; (u = take_unit(r, number)) != NULL;) {
        compute_unit(&t, u);
        nj_flow_at_unit(r, number, NJ_NO_UNIT);
    }
    nj_reader_free(&t.reader);
}

int nj_compute(run *r)
{
#pragma omp parallel num_threads(r->n_threads)
    work(r, r->thread[omp_get_thread_num()].worker, omp_get_thread_num());
    nj_ring_close(r->done);
    return 0;
}
