/* call.c - stamps are opened when a module asks for them and not before, but several at a time where it is
 * known that it will ask for all of them. */
#include "call.h"

#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"

/* Stamps that are opened together: as many as inflate.c has streams. More gain nothing, and leave the cache
 * before they are looked at. */
enum { TOGETHER = 4 };

/* Time is shared out evenly among the stamps that it opened. */
static void count_opened(nj_worker *w, nj_stamp *const *stamp, const uint32_t *row, uint32_t n, int64_t ns)
{
    uint32_t opened = 0;
    for (uint32_t k = 0; k < n; k++) opened += stamp[k]->state != NJ_STAMP_PACKED;
    for (uint32_t k = 0; k < n && w->row_stamp_ns; k++)
        if (stamp[k]->state != NJ_STAMP_PACKED) w->row_stamp_ns[row[k]] += ns / opened;
    w->image_ns += ns;
    w->stamps->calls += opened;
    w->stamps->wall_ns += ns;
}

/* The stamp that a need is given in a row; NULL = none. */
static nj_stamp *stamp_of(const nj_call *c, uint32_t need, uint32_t row)
{
    uint32_t column = need < c->step->in->n_needs ? c->step->col[need] : NJ_NO_COLUMN;
    if (column == NJ_NO_COLUMN || column < NJ_FIRST_STAMP || row >= c->batch->n) return NULL;
    uint32_t which = column - NJ_FIRST_STAMP;
    if (which >= NJ_STAMPS)
        return which - NJ_STAMPS < c->batch->layout->n_planes
                   ? nj_batch_plane(c->batch, which - NJ_STAMPS, row)
                   : NULL;
    return c->batch->stamp[which] ? &c->batch->stamp[which][row] : NULL;
}

/* Will the module ask for this one as well? It asks for the images of a row in their order, and stops at one
 * that is not there. */
static bool is_asked_for(const nj_call *c, uint32_t need, uint32_t row)
{
    for (uint32_t k = 0; k < need; k++) {
        if (c->step->in->need[k].shape != NJ_IMAGE) continue;
        const nj_stamp *s = stamp_of(c, k, row);
        if (!s || s->state != NJ_STAMP_OPEN) return false;
    }
    return true;
}

/* The stamp of row[0], and behind it those of the next rows that the module is going to ask for. */
static uint32_t stamps_together(const nj_work *w, uint32_t need, nj_stamp *stamp[TOGETHER],
                                uint32_t row[TOGETHER])
{
    const nj_call *c = w->opaque;
    uint32_t n = 1, at = 0;
    stamp[0] = stamp_of(c, need, row[0]);
    if (!c->step->in->every_row) return 1;
    while (at < w->n && w->row[at] != row[0]) at++;
    for (at++; at < w->n && n < TOGETHER; at++) {
        nj_stamp *s = stamp_of(c, need, w->row[at]);
        if (!s || s->state != NJ_STAMP_PACKED || !is_asked_for(c, need, w->row[at])) continue;
        stamp[n] = s;
        row[n++] = w->row[at];
    }
    return n;
}

static void say_closed(const nj_call *c, uint32_t need, uint32_t row, const char *why)
{
    static nj_log_limit said;
    char where[512];
    const uint32_t which = c->step->col[need] - NJ_FIRST_STAMP;
    nj_log_limited(&said, 3, NJ_LOG_WARN, "%s: %s cannot be opened: %s",
                   nj_chunk_where(c->batch->row[row].chunk, where, sizeof where),
                   which < NJ_STAMPS ? nj_stamp_name[which] : c->batch->layout->plane[which - NJ_STAMPS].path,
                   why ? why : "?");
}

const nj_image *nj_call_image(const nj_work *w, uint32_t need, uint32_t row)
{
    const nj_call *c = w->opaque;
    nj_stamp *s = stamp_of(c, need, row), *stamp[TOGETHER];
    uint32_t rows[TOGETHER] = { row };
    if (!s) return NULL;
    if (s->state == NJ_STAMP_PACKED) {
        int64_t start = c->worker->uncounted ? 0 : nj_now_ns();
        const char *why = NULL;
        nj_slot_phase(c->worker->slot, NJ_PHASE_STAMP);
        const uint32_t n = stamps_together(w, need, stamp, rows);
        c->worker->open_stamp(c->worker->opener, stamp, n, &c->batch->arena, &why);
        nj_slot_phase(c->worker->slot, NJ_PHASE_PROCESS);
        if (!c->worker->uncounted) count_opened(c->worker, stamp, rows, n, nj_now_ns() - start);
        if (why && !strcmp(why, "out of memory")) c->worker->no_memory = true;
        if (s->state != NJ_STAMP_OPEN) say_closed(c, need, row, why);
    }
    return s->state == NJ_STAMP_OPEN ? &s->image : NULL;
}
