/* alerts.c - all passes of a profile must see the same alerts without disk time, so they are read once into
 * memory. */
#include "alerts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/sha256.h"

static int keep(nj_alerts *a, nj_chunk *chunk, nj_buffer *hashes)
{
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? 2 * a->cap : 256;
        nj_chunk **more = realloc(a->chunk, cap * sizeof *more);
        if (!more) return -1;
        a->chunk = more;
        a->cap = cap;
    }
    char hex[65];
    nj_sha256(chunk->bytes, chunk->size, hex);
    nj_buffer_text(hashes, hex);
    a->chunk[a->n++] = chunk;
    a->bytes += chunk->size;
    return 0;
}

static int read_all(nj_alerts *a, size_t max_bytes, nj_buffer *hashes, nj_error *err)
{
    for (;;) {
        nj_chunk *chunk = NULL;
        switch (nj_feed_next(a->feed, 1000, &chunk, err)) {
        case NJ_NEXT_IDLE: continue;
        case NJ_NEXT_END: return 0;
        case NJ_NEXT_ERROR: return -1;
        case NJ_NEXT_CHUNK: break;
        }
        a->cut = a->n && a->bytes + chunk->size > max_bytes;
        if (!a->cut && keep(a, chunk, hashes) == 0) continue;
        nj_chunk_drop(chunk);
        return a->cut ? 0 : nj_fail(err, "out of memory");
    }
}

int nj_alerts_read(nj_alerts *a, nj_settings *settings, const char *const *source, uint32_t n_sources,
                   size_t max_bytes, nj_error *err)
{
    nj_buffer hashes = { 0 };
    a->feed = nj_feed_open(settings, source, n_sources, 0, err);
    int rc = a->feed ? read_all(a, max_bytes, &hashes, err) : -1;
    nj_sha256(hashes.data ? hashes.data : "", hashes.n, a->digest);
    nj_buffer_free(&hashes);
    if (rc == 0 && !a->n) return nj_fail(err, "the sources hold no packet");
    return rc;
}

void nj_alerts_free(nj_alerts *a)
{
    if (!a) return;
    for (uint32_t i = 0; i < a->n; i++) nj_chunk_drop(a->chunk[i]);
    nj_feed_close(a->feed);
    free(a->chunk);
    free(a);
}
