/* reader.c - every command cuts packets into batches by the same rules, so that what is profiled is what
 * runs. */
#include "reader.h"

#include <string.h>

#include "../base/clock.h"

static int no_memory(nj_error *err)
{
    return nj_fail(err, "out of memory"), NJ_READ_FAILED;
}

static int64_t now(const nj_reader *r)
{
    return r->o.clocked ? nj_now_ns() : 0;
}

static int begin_batch(nj_reader *r, const nj_layout *layout)
{
    nj_batch *b = r->spare ? r->spare : nj_batch_new();
    r->spare = NULL;
    if (!b || nj_batch_begin(b, layout, r->o.batch_rows)) {
        nj_batch_free(b);
        return NJ_READ_FAILED;
    }
    b->begin_ns = now(r);
    r->batch = b;
    return NJ_READ_ON;
}

void nj_reader_reuse(nj_reader *r, nj_batch *batch)
{
    if (!batch) return;
    nj_batch_free(r->spare);
    nj_batch_end(batch);
    r->spare = batch;
}

static int hand_on(nj_reader *r)
{
    nj_batch *b = r->batch;
    r->batch = NULL;
    int rc = r->o.full(r->o.opaque, &b);
    nj_reader_reuse(r, b);
    return rc;
}

int nj_reader_flush(nj_reader *r, bool always)
{
    if (!r->batch && !always) return NJ_READ_ON;
    if (!r->batch && begin_batch(r, NULL)) return NJ_READ_FAILED;
    return hand_on(r);
}

static void count_dead_chunk(nj_reader *r, int64_t start_ns)
{
    nj_counter *count = r->o.count;
    if (!count) return;
    count->calls++;
    count->offered++;
    count->flagged++;
    count->wall_ns += now(r) - start_ns;
}

/* One that cannot be read, and that all shards have seen. */
static bool is_others(const nj_reader *r, const nj_chunk *chunk)
{
    const nj_shard *shard = r->o.shard;
    return shard && (chunk->by_block || shard->by != NJ_SHARD_PART) && !nj_shard_has_rest(shard);
}

static int dead_chunk(nj_reader *r, nj_chunk *chunk, const nj_error *why)
{
    if (!r->batch && begin_batch(r, NULL)) return NJ_READ_FAILED;
    nj_receipt *receipt = nj_batch_receipt(r->batch, chunk);
    if (receipt && is_others(r, chunk)) {
        receipt->last = true;
        return nj_batch_others(r->batch, chunk, 0, 1) ? NJ_READ_FAILED : NJ_READ_ON;
    }
    if (!receipt ||
        nj_batch_dead(r->batch, chunk, 0, chunk->bytes, chunk->size, "decode", NULL, "%s", why->text))
        return NJ_READ_FAILED;
    receipt->n_dead++;
    receipt->last = true;
    return NJ_READ_ON;
}

static void count_read(nj_reader *r, uint32_t n, uint32_t rows, int64_t ns)
{
    nj_counter *count = r->o.count;
    count->calls++;
    count->wall_ns += ns;
    count->offered += n;
    count->passed += rows;
    count->hits += rows;
    count->flagged += n - rows;
    if (n == 1 && r->o.clocked) nj_histogram_add(&count->one, (uint64_t)ns);
}

/* Rows that the open batch may have after the next read. */
static uint32_t room(const nj_reader *r)
{
    uint64_t left = r->o.limit ? r->o.limit - r->n_rows : UINT64_MAX, most = r->o.batch_rows;
    return left < most - r->batch->n ? r->batch->n + (uint32_t)left : (uint32_t)most;
}

static bool at_limit(const nj_reader *r)
{
    return r->o.limit && r->n_rows >= r->o.limit;
}

/* Reads the open chunk. The clock is read twice for a chunk of one alert: opening it (from start_ns on) and
 * reading it are one stretch, unless a batch must be begun or handed on between them; open_ns is what the
 * opening took, when there was no batch. */
static int read_chunk(nj_reader *r, nj_chunk *chunk, const nj_layout *layout, int64_t start_ns,
                      int64_t open_ns)
{
    for (int first = 1, more = 1; more && !at_limit(r); first = 0) {
        if (!r->batch || r->batch->layout != layout || r->batch->n >= r->o.batch_rows) {
            if (first && r->batch) open_ns = now(r) - start_ns;
            int rc = nj_reader_flush(r, false);
            if (rc || begin_batch(r, layout)) return rc ? rc : NJ_READ_FAILED;
            start_ns = now(r);
        }
        nj_receipt *receipt = nj_batch_receipt(r->batch, chunk);
        if (!receipt) return NJ_READ_FAILED;
        uint32_t before = receipt->n_rows + receipt->n_dead, rows_before = receipt->n_rows;
        more = nj_cursor_read(&r->cursor, r->batch, room(r), r->o.batch_bytes);
        int64_t end_ns = now(r), ns = end_ns - start_ns + open_ns;
        open_ns = 0;
        if (more < 0) return NJ_READ_FAILED;
        receipt = nj_batch_receipt(r->batch, chunk);
        uint32_t rows = receipt->n_rows - rows_before;
        r->n_rows += rows;
        if (r->o.count) count_read(r, receipt->n_rows + receipt->n_dead - before, rows, ns);
        if (!more || at_limit(r)) continue;
        int rc = hand_on(r); /* the byte limit filled it, or it must not grow */
        if (rc) return rc;
    }
    return at_limit(r) ? NJ_READ_STOPPED : NJ_READ_ON;
}

int nj_reader_take(nj_reader *r, nj_chunk *chunk, nj_error *err)
{
    nj_error why = { "" };
    int64_t start = now(r);
    if (at_limit(r)) return NJ_READ_STOPPED;
    r->cursor.shard = r->o.shard;
    r->cursor.mine = r->o.mine;
    r->cursor.opaque = r->o.opaque;
    if (nj_cursor_open(&r->cursor, r->o.decoder, chunk, &why)) {
        if (why.memory) return no_memory(err); /* the chunk is not to blame */
        if (why.later) return NJ_READ_LATER;
        if (!is_others(r, chunk)) count_dead_chunk(r, start);
        return dead_chunk(r, chunk, &why) ? no_memory(err) : NJ_READ_ON;
    }
    int64_t open_ns = r->batch ? 0 : now(r) - start; /* a survey's graph is made at its first sight:
                                                      * not counted */
    const nj_layout *layout = r->o.layout(r->o.opaque, r->cursor.schema, err);
    if (!layout) return dead_chunk(r, chunk, err) ? no_memory(err) : NJ_READ_NO_LAYOUT;
    int rc = read_chunk(r, chunk, layout, start, open_ns);
    return rc == NJ_READ_FAILED ? no_memory(err) : rc;
}

const nj_schema *nj_reader_schema(nj_reader *r, nj_chunk *chunk, nj_error *err)
{
    return nj_cursor_open(&r->cursor, r->o.decoder, chunk, err) ? NULL : r->cursor.schema;
}

void nj_reader_forget(nj_reader *r)
{
    nj_reader_reuse(r, r->batch);
    r->batch = NULL;
    r->n_rows = 0;
}

void nj_reader_free(nj_reader *r)
{
    nj_reader_forget(r);
    nj_batch_free(r->spare);
    nj_cursor_free(&r->cursor);
    r->spare = NULL;
}
