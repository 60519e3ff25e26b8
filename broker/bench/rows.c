/* rows.c - the decoding subjects time the reader that a run uses, and not a loop of their own. */
#include "rows.h"
#include "../image/opener.h"

static const nj_layout *layout_of(void *opaque, const nj_schema *schema, nj_error *err)
{
    (void)schema, (void)err;
    return ((nj_bench_rows *)opaque)->layout;
}

static int keep(void *opaque, nj_batch **batch)
{
    nj_bench_rows *r = opaque;
    if (r->batch) return NJ_READ_STOPPED;
    r->batch = *batch;
    *batch = NULL;
    return NJ_READ_ON;
}

int nj_bench_rows_open(nj_bench_rows *r, nj_decoder *decoder, const nj_layout *layout, nj_framing framing)
{
    *r = (nj_bench_rows){ .layout = layout,
                          .stream = { .name = "bench", .partition = -1 },
                          .framing = framing };
    r->reader.o = (nj_reader_options){ .decoder = decoder,
                                       .batch_rows = NJ_BENCH_ROWS,
                                       .batch_bytes = SIZE_MAX,
                                       .layout = layout_of,
                                       .full = keep,
                                       .opaque = r };
    r->opener = nj_opener_new(decoder);
    return r->opener ? 0 : -1;
}

void nj_bench_rows_end(nj_bench_rows *r)
{
    nj_reader_reuse(&r->reader, r->batch);
    r->batch = NULL;
}

nj_batch *nj_bench_rows_read(nj_bench_rows *r, const nj_bench_packet *packet, size_t n)
{
    nj_error err;
    nj_bench_rows_end(r);
    for (size_t k = 0; k < n; k++) {
        r->chunk[k] = nj_bench_chunk(packet[k].bytes, packet[k].size, &r->stream);
        r->chunk[k].framing = r->framing;
        if (nj_reader_take(&r->reader, &r->chunk[k], &err)) return NULL;
    }
    return nj_reader_flush(&r->reader, true) ? NULL : r->batch;
}

void nj_bench_rows_close(nj_bench_rows *r)
{
    nj_bench_rows_end(r);
    nj_reader_free(&r->reader);
    nj_opener_free(r->opener);
    r->opener = NULL;
}
