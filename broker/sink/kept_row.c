/* kept_row.c - another machine refuses a row long after its batch is freed, so what the row came from is kept
 * until then. */
#include "kept_row.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nj_kept_row *nj_kept_row_new(nj_kept_rows *all, const nj_rows *rows, uint32_t row)
{
    if (!all->refuse || !rows->batch) return NULL;
    const nj_row *from = &rows->batch->row[row];
    const nj_chunk *chunk = from->chunk;
    nj_kept_row *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->chunk = from->chunk;
    r->record = from->record;
    r->size = from->size;
    r->datum = from->datum;
    if (from->datum && !(from->datum >= chunk->bytes && from->datum < chunk->bytes + chunk->size)) {
        r->datum = r->own = malloc((size_t)from->size + 1); /* it lies in the batch:
                                                             * its block was compressed */
        if (!r->own) {
            free(r);
            return NULL;
        }
        memcpy(r->own, from->datum, from->size);
    }
    nj_chunk_hold(r->chunk);
    r->n_messages = 1;
    r->behind = all->first;
    if (r->behind) r->behind->before = r;
    all->first = r;
    all->held += r->size;
    return r;
}

void nj_kept_row_done(nj_kept_rows *all, nj_kept_row *row)
{
    if (--row->n_messages) return;
    *(row->before ? &row->before->behind : &all->first) = row->behind;
    if (row->behind) row->behind->before = row->before;
    all->held -= row->size;
    nj_chunk_drop(row->chunk);
    free(row->own);
    free(row);
}

void nj_kept_row_refuse(nj_kept_rows *all, nj_kept_row *row, const char *reason, ...)
{
    char text[768];
    va_list ap;
    if (row->refused) return;
    row->refused = true;
    va_start(ap, reason);
    vsnprintf(text, sizeof text, reason, ap);
    va_end(ap);
    all->refuse(all->opaque, &(nj_dead){ .chunk = row->chunk,
                                         .record = row->record,
                                         .bytes = row->datum,
                                         .size = row->size,
                                         .reason = text,
                                         .module = all->module });
}

void nj_kept_rows_drop(nj_kept_rows *all)
{
    while (all->first) {
        all->first->n_messages = 1;
        nj_kept_row_done(all, all->first);
    }
}
