/* again.c - alerts come again, after a crash or with a partition that came back: each output has each row
 * once, because it is known per stream what is written, and per output what a run before had written. */
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "output.h"

static progress_of *progress_of_chunk(const out *o, const nj_chunk *c)
{
    return o->r->accounts.stream[c->stream->id]->progress;
}

/* A topic of that name was created again: what is known of the old one says nothing. */
static void forget(const out *o, progress_of *p, const nj_chunk *c)
{
    nj_log(NJ_LOG_WARN,
           "%s: begins again at offset %lld, below its committed offset %lld: treated as a new topic", p->key,
           (long long)c->offset, (long long)p->kept.offset);
    p->written = p->next = (position){ c->offset, 0 };
    __atomic_store_n(&p->kept.offset, c->offset, __ATOMIC_RELEASE);
    for (uint32_t i = 0; p->ahead && i < o->r->resume->n; i++) p->ahead[i] = (position){ -1, 0 };
}

static uint32_t end_of(const nj_batch *b, const nj_chunk *chunk)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_others; i++)
        if (b->others[i].chunk == chunk && b->others[i].record + b->others[i].n > n)
            n = b->others[i].record + b->others[i].n;
    return n;
}

/* One past the last record of the chunk in this batch. */
static uint32_t records_of(const nj_batch *b, const nj_receipt *receipt, uint32_t row)
{
    uint32_t n = receipt->n_rows ? b->row[row + receipt->n_rows - 1].record + 1 : 0;
    for (uint32_t i = 0; i < b->n_dead && receipt->n_dead; i++)
        if (b->dead[i].chunk == receipt->chunk && b->dead[i].record >= n) n = b->dead[i].record + 1;
    uint32_t others = b->n_others ? end_of(b, receipt->chunk) : 0;
    return others > n ? others : n;
}

/* The part of each run of records that is behind what was counted when it came first; p->next has not moved
 * past this batch yet. */
uint32_t nj_flow_others(const out *o, const nj_batch *b, const nj_chunk *chunk)
{
    const position at = progress_of_chunk(o, chunk)->next;
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_others; i++) {
        const nj_others *other = &b->others[i];
        uint32_t from = other->record;
        if (other->chunk != chunk || chunk->offset < at.offset) continue;
        if (chunk->offset == at.offset && at.record > from) from = at.record;
        if (from < other->record + other->n) n += other->record + other->n - from;
    }
    return n;
}

/* Alerts count once: they did when they were written. */
static void mark(const out *o, const nj_chunk *c, uint8_t *outcome)
{
    *outcome = ROW_AGAIN;
    __atomic_sub_fetch(&o->r->accounts.ledger[c->stream->id].consumed, 1, __ATOMIC_RELAXED);
}

static void mark_dead(out *o, const nj_dead *dead, uint8_t *outcome)
{
    o->again = true;
    *outcome = ROW_AGAIN;
    if (!dead->kept) mark(o, dead->chunk, outcome); /* else it is a letter about a row, which counts */
}

/* Of a partition that was lost before they could be acknowledged: the messages come again, to whoever has the
 * partition now, and are not written here. That may be this run: nothing of them counts as written. */
static bool is_lost(const nj_chunk *c)
{
    uint32_t revoked = __atomic_load_n(&c->stream->revoked, __ATOMIC_RELAXED);
    return revoked && c->generation <= revoked;
}

int nj_flow_mark_again(out *o, nj_batch *b, uint8_t *outcome)
{
    uint32_t row = 0;
    o->again = o->ahead = false;
    o->dead_outcome = nj_arena_zalloc(&b->arena, b->n_dead + 1);
    if (!o->dead_outcome) return -1;
    for (uint32_t i = 0; i < b->n_receipts; row += b->receipt[i++].n_rows) {
        const nj_receipt *receipt = &b->receipt[i];
        const nj_chunk *c = receipt->chunk;
        progress_of *p = progress_of_chunk(o, c);
        if (is_lost(c)) {
            for (uint32_t k = row; k < row + receipt->n_rows; k++) outcome[k] = ROW_RETURNED;
            for (uint32_t k = 0; k < b->n_dead && receipt->n_dead; k++)
                if (b->dead[k].chunk == c) mark_dead(o, &b->dead[k], &o->dead_outcome[k]);
            continue;
        }
        if (p->generation != c->generation) {
            p->generation = c->generation;
            p->compare = p->written.offset >= 0;
        }
        bool later =
            c->publish_ms <= 0 || c->publish_ms > p->published; /* than all that was in the old one */
        if (p->compare && p->is_kafka && c->offset < p->kept.offset && later) forget(o, p, c);
        if (c->publish_ms > p->published) __atomic_store_n(&p->published, c->publish_ms, __ATOMIC_RELAXED);
        if (p->compare && c->offset > p->written.offset) p->compare = false;
        for (uint32_t k = row; p->compare && k < row + receipt->n_rows; k++)
            if (nj_before(c->offset, b->row[k].record, p->written)) mark(o, c, &outcome[k]), o->again = true;
        for (uint32_t k = 0; p->compare && k < b->n_dead && receipt->n_dead; k++)
            if (b->dead[k].chunk == c && nj_before(c->offset, b->dead[k].record, p->written))
                mark_dead(o, &b->dead[k], &o->dead_outcome[k]);
        for (uint32_t k = 0; p->ahead && k < o->r->resume->n; k++)
            o->ahead |= nj_before(c->offset, 0, p->ahead[k]);
        position to = { c->offset + 1, 0 };
        if (!receipt->last) to = (position){ c->offset, records_of(b, receipt, row) };
        if (nj_before(p->written.offset, p->written.record, to)) p->written = to;
    }
    return 0;
}

uint32_t nj_flow_rows_for(const out *o, const nj_batch *b, uint32_t sink, uint32_t *row)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < b->n; k++) {
        const nj_chunk *c = b->row[k].chunk;
        const progress_of *p = progress_of_chunk(o, c);
        if (o->outcome[k] != ROW_EMIT) continue;
        if (p->ahead && nj_before(c->offset, b->row[k].record, p->ahead[sink])) continue;
        row[n++] = k;
    }
    return n;
}

bool nj_flow_has_letter(const out *o, const nj_dead *dead)
{
    const progress_of *p = progress_of_chunk(o, dead->chunk);
    return p->ahead && nj_before(dead->chunk->offset, dead->record, p->ahead[o->r->resume->n - 1]);
}

void nj_flow_advance(out *o, const nj_batch *b, const nj_receipt *receipt, uint32_t row)
{
    const nj_chunk *c = receipt->chunk;
    progress_of *p = progress_of_chunk(o, c);
    position to = { c->offset + 1, 0 };
    bool whole = receipt->last && !o->later;
    for (uint32_t k = row; k < row + receipt->n_rows && whole; k++) whole = o->outcome[k] != ROW_RETURNED;
    if (!whole) {
        to = (position){ c->offset, o->later ? 0 : records_of(b, receipt, row) };
        for (uint32_t k = row; k < row + receipt->n_rows; k++)
            if (o->outcome[k] == ROW_RETURNED && b->row[k].record < to.record) to.record = b->row[k].record;
        if (!to.record) return;
    }
    if (!nj_before(p->next.offset, p->next.record, to)) return;
    p->next = to;
    if (whole && !p->is_kafka)
        snprintf(p->next_member, sizeof p->next_member, "%s", c->member ? c->member : "");
}
