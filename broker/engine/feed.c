/* feed.c - commands that look at packets, and readers of notices, need no ledger, and should not each write a
 * host for sources. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

typedef struct feed_stream {
    nj_stream public; /* what the source sees */
    struct feed_stream *next;
} feed_stream;

struct nj_feed {
    nj_settings *settings;
    const char *const *spec;
    uint32_t n, at; /* sources; the one that is open */
    int64_t limit;
    nj_source_host host;
    nj_source *source;
    feed_stream *stream;
    uint32_t n_streams;
};

static void free_stream(feed_stream *s)
{
    free((char *)s->public.name);
    free((char *)s->public.topic);
    free(s);
}

static nj_stream *new_stream(void *opaque, const char *name, const char *topic, int32_t partition)
{
    nj_feed *f = opaque;
    feed_stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->public = (nj_stream){ .id = f->n_streams, .name = strdup(name), .partition = partition };
    if (topic) s->public.topic = strdup(topic);
    if (!s->public.name || (topic && !s->public.topic)) return free_stream(s), NULL;
    s->next = f->stream;
    f->stream = s;
    f->n_streams++;
    return &s->public;
}

static int open_source(nj_feed *f, nj_error *err)
{
    nj_source_args args = {
        .spec = f->spec[f->at], .settings = f->settings, .host = &f->host, .limit = f->limit
    };
    f->source = nj_source_open(&args, err);
    return f->source ? 0 : -1;
}

static void close_source(nj_feed *f)
{
    if (f->source) f->source->class->close(f->source);
    f->source = NULL;
}

nj_feed *nj_feed_open(nj_settings *settings, const char *const *spec, uint32_t n, int64_t limit,
                      nj_error *err)
{
    nj_feed *f = calloc(1, sizeof *f);
    if (!f) return nj_fail(err, "out of memory"), NULL;
    *f = (nj_feed){ .settings = settings,
                    .spec = spec,
                    .n = n,
                    .limit = limit,
                    .host = nj_source_reader_host(new_stream, f) };
    if (n && open_source(f, err)) return nj_feed_close(f), NULL;
    return f;
}

nj_next nj_feed_next(nj_feed *f, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    while (f->source) {
        nj_next next = f->source->class->next(f->source, timeout_ms, chunk, err);
        if (next != NJ_NEXT_END) return next;
        close_source(f);
        if (++f->at < f->n && open_source(f, err)) return NJ_NEXT_ERROR;
    }
    return NJ_NEXT_END;
}

void nj_feed_ack(nj_feed *f, const nj_chunk *chunk)
{
    if (f->source && f->source->class->ack)
        f->source->class->ack(f->source, chunk->stream, chunk->generation, chunk->offset + 1);
}

void nj_feed_close(nj_feed *f)
{
    if (!f) return;
    close_source(f);
    while (f->stream) {
        feed_stream *next = f->stream->next;
        free_stream(f->stream);
        f->stream = next;
    }
    free(f);
}
