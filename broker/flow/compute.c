/* compute.c - the OpenMP region: each thread takes a whole unit through decode and all modules, without a barrier. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "internal.h"

/* One thread's hands. */
typedef struct hand {
    run *r;
    nj_worker *worker;
    nj_cursor cursor;
    nj_batch *batch;  /* being filled, or NULL */
    const survey *at; /* its survey */
    uint64_t seq;
    uint32_t part;
    int64_t cpu_mark;
    nj_drift *drift;   /* NULL: nobody counts */
    int64_t decode_ns; /* of the decode counter when the batch began */
    uint64_t decoded_rows;
} hand;

static int begin_batch(hand *h, const survey *s)
{
    nj_batch *b = nj_batch_new();
    if (!b || nj_batch_begin(b, s ? &s->graph->layout : NULL, (uint32_t)h->r->conf.batch_rows)) {
        nj_batch_free(b);
        return -1;
    }
    b->seq = h->seq;
    b->part = h->part++;
    b->begin_ns = h->drift ? nj_now_ns() : 0;
    h->batch = b;
    h->at = s;
    return 0;
}

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

/* The modules, clocked as a whole; and what this batch cost per row, when it is one of those that are kept. */
static int dispatch_counted(hand *h, nj_batch *b)
{
    nj_worker *w = h->worker;
    const nj_counter before = { .wall_ns = w->stamps->wall_ns, .offered = w->stamps->offered };
    w->drift = nj_drift_row(h->drift, __atomic_fetch_add(&h->r->batches, 1, __ATOMIC_RELAXED));
    if (w->drift) w->drift[0] = per_row(w->decode->wall_ns - h->decode_ns, w->decode->hits - h->decoded_rows);
    h->decode_ns = w->decode->wall_ns;
    h->decoded_rows = w->decode->hits;
    b->decoded_ns = nj_now_ns();
    int rc = nj_dispatch(h->at->graph, w, b);
    b->computed_ns = nj_now_ns();
    if (w->drift) w->drift[1] = per_row(w->stamps->wall_ns - before.wall_ns, w->stamps->offered - before.offered);
    w->drift = NULL;
    return rc;
}

static int finish_batch(hand *h, bool last_part, size_t budget_bytes)
{
    nj_batch *b = h->batch;
    h->batch = NULL;
    b->last_part = last_part;
    b->budget_bytes = budget_bytes;
    int rc = 0;
    if (b->n && h->at) {
        rc = h->drift ? dispatch_counted(h, b) : nj_dispatch(h->at->graph, h->worker, b);
        __atomic_add_fetch(&h->r->future_points, count_future_points(h->at, b), __ATOMIC_RELAXED);
    }
    if (h->drift) {
        int64_t cpu = nj_thread_cpu_ns();
        nj_worker_share_cpu(h->worker, cpu - h->cpu_mark);
        h->cpu_mark = cpu;
    }
    if (rc == 0 && nj_ring_push(h->r->done, b, 0) == 0) return 0;
    nj_batch_free(b); /* memory is short, or the output thread is gone */
    return -1;
}

static void consumed(hand *h, nj_chunk *chunk, uint32_t n)
{
    __atomic_add_fetch(&h->r->ledger[chunk->stream->id].consumed, n, __ATOMIC_RELAXED);
}

static int dead_chunk(hand *h, nj_chunk *chunk, const nj_error *why)
{
    if (!h->batch && begin_batch(h, NULL)) return -1;
    nj_receipt *receipt = nj_batch_receipt(h->batch, chunk);
    if (!receipt || nj_batch_dead(h->batch, chunk, 0, chunk->bytes, chunk->size, "decode", NULL, "%s", why->text)) return -1;
    receipt->n_dead++;
    receipt->last = true;
    consumed(h, chunk, 1);
    return 0;
}

static int64_t now_if_counted(const hand *h)
{
    return h->drift ? nj_now_ns() : 0;
}

/* A batch of the survey with room in it. */
static int room_for(hand *h, const survey *s)
{
    if (h->batch && finish_batch(h, false, 0)) return -1;
    return begin_batch(h, s);
}

/* Reads a chunk whose cursor is open into batches of its survey. The clock is read twice for a chunk of one alert: opening it (from
 * start_ns on) and reading it are one stretch, unless a batch must be begun or go through the modules between them; open_ns is what
 * the opening took, when there was no batch. */
static int read_chunk(hand *h, nj_chunk *chunk, const survey *s, int64_t start_ns, int64_t open_ns)
{
    const run_conf *conf = &h->r->conf;
    nj_counter *count = h->worker->decode;
    for (int first = 1, more = 1; more; first = 0) {
        if (!h->batch || h->at != s || h->batch->n >= (uint32_t)conf->batch_rows) {
            if (first && h->batch) open_ns = now_if_counted(h) - start_ns;
            if (room_for(h, s)) return -1;
            start_ns = now_if_counted(h);
        }
        nj_receipt *receipt = nj_batch_receipt(h->batch, chunk);
        if (!receipt) return -1;
        uint32_t before = receipt->n_rows + receipt->n_dead, rows_before = receipt->n_rows;
        more = nj_cursor_read(&h->cursor, h->batch, (uint32_t)conf->batch_rows, (size_t)conf->batch_bytes);
        int64_t end_ns = now_if_counted(h), ns = end_ns - start_ns + open_ns;
        open_ns = 0;
        if (more < 0) return -1;
        receipt = nj_batch_receipt(h->batch, chunk);
        uint32_t n = receipt->n_rows + receipt->n_dead - before, rows = receipt->n_rows - rows_before;
        consumed(h, chunk, n);
        count->calls++;
        count->wall_ns += ns;
        count->offered += n;
        count->passed += rows;
        count->hits += rows;
        count->flagged += n - rows;
        if (n == 1 && h->drift) nj_histogram_add(&count->one, (uint64_t)ns);
        /* a batch that the byte limit filled, or that must not grow: hand it on */
        if (more && finish_batch(h, false, 0)) return -1;
    }
    return 0;
}

static int compute_chunk(hand *h, nj_chunk *chunk)
{
    nj_error err = { "" };
    int64_t start = now_if_counted(h);
    if (nj_cursor_open(&h->cursor, h->r->decoder, chunk, &err)) {
        if (err.memory) return -1; /* the chunk is not to blame */
        nj_counter *count = h->worker->decode;
        count->calls++;
        count->offered++;
        count->flagged++;
        count->wall_ns += now_if_counted(h) - start;
        return dead_chunk(h, chunk, &err);
    }
    int64_t open_ns = h->batch ? 0 : now_if_counted(h) - start; /* a survey's graph is made at its first sight */
    const survey *s = nj_flow_survey(h->r, h->cursor.schema, h->seq, &err);
    if (!s) {
        nj_flow_fatal(h->r, &err);
        return dead_chunk(h, chunk, &err);
    }
    return read_chunk(h, chunk, s, start, open_ns);
}

static void compute_unit(hand *h, unit *u)
{
    h->seq = u->seq;
    h->part = 0;
    h->cpu_mark = h->drift ? nj_thread_cpu_ns() : 0;
    int rc = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        if (rc == 0) rc = compute_chunk(h, u->chunk[i]);
        nj_chunk_drop(u->chunk[i]); /* the batches hold what they need */
    }
    if (rc == 0 && !h->batch) rc = begin_batch(h, NULL);
    if (rc == 0) rc = finish_batch(h, true, u->bytes);
    if (rc) {
        nj_error err;
        nj_fail(&err, "out of memory while computing");
        nj_flow_fatal(h->r, &err);
        nj_batch_free(h->batch);
        h->batch = NULL;
        nj_ring_close(h->r->work);
        nj_ring_close(h->r->done);
    }
    free(u);
}

/* The next unit, in their order; one thread waits for it and the others for that thread. NULL when there is none any more. */
static unit *take_unit(run *r, int thread)
{
    int closed = 0;
    pthread_mutex_lock(&r->take_lock);
    unit *u = nj_ring_pop(r->work, -1, &closed);
    nj_flow_at_unit(r, thread, u ? u->seq : NJ_NO_UNIT);
    pthread_mutex_unlock(&r->take_lock);
    return u;
}

int nj_compute(run *r, nj_worker **worker, int threads)
{
#pragma omp parallel num_threads(threads)
    {
        hand h = { .r = r, .worker = worker[omp_get_thread_num()] };
        h.drift = r->drift ? r->drift[omp_get_thread_num()] : NULL;
        unit *u;
        int thread = omp_get_thread_num();
        while ((u = take_unit(r, thread)) != NULL) {
            compute_unit(&h, u);
            nj_flow_at_unit(r, thread, NJ_NO_UNIT);
        }
        nj_cursor_free(&h.cursor);
    }
    nj_ring_close(r->done);
    return 0;
}
