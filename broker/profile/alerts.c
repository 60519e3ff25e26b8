#include "alerts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/sha256.h"

static nj_stream *new_stream(void *opaque, const char *name, const char *topic, int32_t partition)
{
    nj_alerts *a = opaque;
    if (a->n_streams == NJ_ALERTS_STREAMS) return NULL;
    nj_stream *s = &a->stream[a->n_streams];
    *s = (nj_stream){ .id = a->n_streams++, .name = strdup(name), .topic = topic ? strdup(topic) : NULL, .partition = partition };
    return s->name ? s : NULL;
}

static int drain(void *opaque, nj_stream *stream, int timeout_ms)
{
    (void)opaque, (void)stream, (void)timeout_ms;
    return 0; /* nothing is acknowledged: a profile consumes no stream */
}

static void note(void *opaque, const char *text)
{
    (void)opaque, (void)text;
}
static void returned(void *opaque, nj_stream *stream, uint64_t n)
{
    (void)opaque, (void)stream, (void)n;
}

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

static int read_one(nj_alerts *a, const nj_source_args *args, size_t max_bytes, nj_buffer *hashes, nj_error *err)
{
    nj_source *source = nj_source_open(args, err);
    if (!source) return -1;
    int rc = 0;
    for (int more = 1; more && rc == 0;) {
        nj_chunk *chunk = NULL;
        switch (source->class->next(source, 1000, &chunk, err)) {
        case NJ_NEXT_CHUNK:
            if (a->n && a->bytes + chunk->size > max_bytes) {
                a->cut = true;
                nj_chunk_drop(chunk);
                more = 0;
            } else if (keep(a, chunk, hashes)) {
                nj_chunk_drop(chunk);
                rc = nj_fail(err, "out of memory");
            }
            break;
        case NJ_NEXT_IDLE: break;
        case NJ_NEXT_END: more = 0; break;
        default: rc = -1;
        }
    }
    source->class->close(source);
    return rc;
}

int nj_alerts_read(nj_alerts *a, nj_settings *settings, const char *const *source, uint32_t n_sources, size_t max_bytes,
                   nj_error *err)
{
    nj_source_host host = { a, new_stream, drain, note, returned };
    nj_buffer hashes = { 0 };
    int rc = 0;
    for (uint32_t i = 0; i < n_sources && rc == 0 && !a->cut; i++) {
        nj_source_args args = { .spec = source[i], .settings = settings, .host = &host };
        rc = read_one(a, &args, max_bytes, &hashes, err);
    }
    nj_sha256(hashes.data ? hashes.data : "", hashes.n, a->digest);
    nj_buffer_free(&hashes);
    if (rc == 0 && !a->n) return nj_fail(err, "the sources hold no packet");
    return rc;
}

void nj_alerts_free(nj_alerts *a)
{
    if (!a) return;
    for (uint32_t i = 0; i < a->n; i++) nj_chunk_drop(a->chunk[i]);
    for (uint32_t i = 0; i < a->n_streams; i++) {
        free((char *)a->stream[i].name);
        free((char *)a->stream[i].topic);
    }
    free(a->chunk);
    free(a);
}
