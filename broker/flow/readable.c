/* readable.c - many readers stop at text that is not UTF-8, so such text is escaped before any sink
 * gets it. */
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/utf8.h"
#include "../batch/cell.h"
#include "internal.h"

/* Each column once; the sums at the end. */
static void report(run *r, const nj_rows *rows, uint32_t f, uint32_t row)
{
    char where[512];
    if (r->output.escaped[f]++) return;
    const nj_row *from = &rows->batch->row[row];
    nj_log(NJ_LOG_WARN,
           "%s: record %u: a text of %s is not UTF-8 or has a NUL: such bytes are written as \\xNN, in all "
           "outputs",
           nj_chunk_where(from->chunk, where, sizeof where), from->record, rows->field[f].key);
}

/* The text, or a readable one in the batch's arena; NULL: out of memory. */
static const char *readable(nj_batch *b, const char *text)
{
    nj_buffer out = { 0 };
    nj_utf8_escape(&out, text);
    char *copy = out.failed ? NULL : nj_arena_alloc(&b->arena, out.n + 2);
    if (copy) {
        memcpy(copy, out.data ? out.data : "", out.n);
        copy[out.n] = 0;
        copy[out.n + 1] = NJ_TEXT_WAS_TEXT;
    }
    nj_buffer_free(&out);
    return copy;
}

static int mend_column(run *r, nj_batch *b, const nj_rows *rows, uint32_t f, nj_col *col)
{
    const nj_field *field = &rows->field[f];
    const char **own = NULL; /* the column's texts, copied when the first one changes:
                              * modules and their memory keep theirs */
    size_t from, to;
    for (uint32_t k = 0; k < rows->n; k++) {
        if (!nj_cell_range(field, col, rows->row[k], &from, &to)) return 0;
        for (size_t i = from; i < to; i++) {
            const char *text = ((const char *const *)col->data)[i];
            if (!text || nj_utf8_is(text)) continue;
            if (!own) {
                size_t all = field->width ? (size_t)b->n * field->width : col->off[b->n];
                if (!(own = nj_arena_alloc(&b->arena, all * sizeof *own))) return -1;
                memcpy(own, col->data, all * sizeof *own);
                col->data = own;
            }
            if (!(own[i] = readable(b, text))) return -1;
            report(r, rows, f, rows->row[k]);
        }
    }
    return 0;
}

int nj_flow_readable(run *r, nj_batch *b, const nj_rows *rows, nj_col *value)
{
    if (!r->output.escaped && !(r->output.escaped = calloc(rows->n_fields + 1, sizeof *r->output.escaped)))
        return -1;
    for (uint32_t f = 0; f < rows->n_fields; f++)
        if (rows->field[f].type == NJ_STR && mend_column(r, b, rows, f, &value[f])) return -1;
    return 0;
}

void nj_flow_readable_end(run *r)
{
    for (uint32_t f = 0; r->output.escaped && f < r->n_shown; f++)
        if (r->output.escaped[f] > 1)
            nj_log(NJ_LOG_WARN,
                   "%llu texts of %s were not UTF-8 or had a NUL: such bytes are written as \\xNN",
                   (unsigned long long)r->output.escaped[f], r->field[f].key);
    free(r->output.escaped);
    r->output.escaped = NULL;
}
