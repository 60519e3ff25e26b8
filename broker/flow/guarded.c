/* guarded.c - an alert that killed a worker in the decoder, a filter or an output would do so again, so the
 * host's own parts have slots as modules have, and such an alert becomes a dead letter. */
#include <stdlib.h>
#include <string.h>

#include "output.h"

static uint32_t decode, filter, sink; /* their numbers; the same for all threads */

void nj_flow_guard_begin(run *r)
{
    decode = nj_guard_module_of(nj_guard_here, NJ_GUARD_DECODE);
    filter = nj_guard_module_of(nj_guard_here, NJ_GUARD_FILTER);
    sink = nj_guard_module_of(nj_guard_here, NJ_GUARD_SINK);
    if (!r->options->shared) return;
    nj_shared *shared = r->options->shared;
    if (!shared->start_ns) shared->start_ns = r->start_ns;
    r->start_ns = shared->start_ns;
}

void nj_flow_guard_decode(nj_worker *w, nj_chunk *chunk)
{
    if (!nj_guard_here) return;
    nj_slot_rows(w->slot, 1, 0, chunk, 0, decode);
    nj_slot_enter(w->slot, NJ_GUARD_DECODE, NJ_PHASE_DECODE);
}

void nj_flow_guard_decoded(nj_worker *w)
{
    if (nj_guard_here) nj_slot_leave(w->slot);
}

/* A packet that killed the decoder is not opened again. */
void nj_flow_guard_chunk(nj_chunk *chunk)
{
    if (!nj_guard_here || decode >= NJ_GUARD_MODULES || chunk->fault ||
        !atomic_load(&nj_guard_here->module[decode].tried))
        return;
    const nj_failed_pair *p =
        nj_guard_pair(nj_guard_here, decode, chunk->stream->key, chunk->offset, NJ_ANY_RECORD);
    if (!p) return;
    nj_buffer text = { 0 };
    nj_buffer_printf(&text, "a worker died of it: %s%s%s", p->what, p->stack[0] ? "; stack: " : "", p->stack);
    chunk->fault = text.failed ? NULL : strdup(text.data);
    nj_buffer_free(&text);
}

static void refuse(run *r, const nj_batch *b, uint32_t row, const nj_failed_pair *p)
{
    char why[1024];
    snprintf(why, sizeof why, "a worker died of it: %s%s%s", p->what, p->stack[0] ? "; stack: " : "",
             p->stack);
    const nj_row *from = &b->row[row];
    nj_flow_refuse(r, &(nj_dead){ .chunk = from->chunk,
                                  .record = from->record,
                                  .bytes = from->datum,
                                  .size = from->size,
                                  .reason = why,
                                  .module = p->module == filter ? "filter" : "output" });
}

void nj_flow_guard_rows(run *r, const nj_batch *b)
{
    const nj_guard *g = nj_guard_here;
    if (!g || filter >= NJ_GUARD_MODULES || sink >= NJ_GUARD_MODULES) return;
    const uint32_t part[2] = { filter, sink };
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < b->n && atomic_load(&g->module[part[k]].tried); i++) {
            const nj_row *from = &b->row[i];
            const nj_failed_pair *p =
                nj_guard_pair(g, part[k], from->chunk->stream->key, from->chunk->offset, from->record);
            if (p) refuse(r, b, i, p);
        }
}

/* A worker died in this part over several rows: each has a call of its own, and the next death names one. */
static bool comes_singly(uint32_t part)
{
    return nj_guard_here && part < NJ_GUARD_MODULES && atomic_load(&nj_guard_here->module[part].tried);
}

static nj_slot *enter(const nj_rows *rows, nj_phase phase, const char *name, uint32_t number)
{
    if (!nj_guard_here || !rows->n) return NULL;
    nj_slot *slot = &nj_guard_here->slot[NJ_SLOT_OUTPUT];
    const nj_row *first = &rows->batch->row[rows->row[0]];
    nj_slot_rows(slot, rows->n, rows->batch->id[rows->row[0]], first->chunk, first->record, number);
    nj_slot_enter(slot, name, phase);
    return slot;
}

int nj_flow_guard_ask(nj_filter *clause, const nj_rows *rows, const nj_light_curve *lc, uint8_t *pass,
                      nj_filter_failed *on_failed, void *opaque, nj_error *err)
{
    const bool singly = comes_singly(filter);
    nj_rows part = *rows;
    int rc = 0;
    for (uint32_t at = 0; at < rows->n && rc == 0; at += part.n) {
        part.row = rows->row + at;
        part.n = singly ? 1 : rows->n;
        nj_slot *slot = enter(&part, NJ_PHASE_FILTER, NJ_GUARD_FILTER, filter);
        rc = nj_filter_run_each(clause, &part, lc, pass + at, on_failed, opaque, err);
        if (slot) nj_slot_leave(slot);
    }
    return rc;
}

int nj_flow_guard_write(nj_sink *to, const nj_rows *rows, nj_error *err)
{
    const bool singly = comes_singly(sink);
    nj_rows part = *rows;
    int rc = 0;
    for (uint32_t at = 0; at < rows->n && rc == 0; at += part.n) {
        part.row = rows->row + at;
        part.n = singly ? 1 : rows->n;
        nj_slot *slot = enter(&part, NJ_PHASE_SINK, NJ_GUARD_SINK, sink);
        rc = to->class->write(to, &part, err);
        if (slot) nj_slot_leave(slot);
    }
    return rc;
}
