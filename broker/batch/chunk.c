/* chunk.c - a chunk of bytes is shared by the reader and by batches, so its holders are counted. */
#include "chunk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void release(nj_chunk *chunk)
{
    free(chunk->bytes);
    free(chunk->key);
    free(chunk->member);
    free(chunk->fault);
    free(chunk);
}

nj_chunk *nj_chunk_new(nj_stream *stream, uint8_t *bytes, size_t size)
{
    nj_chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk) return NULL;
    chunk->bytes = bytes;
    chunk->size = size;
    chunk->stream = stream;
    chunk->publish_ms = -1;
    chunk->release = release;
    chunk->refs = 1;
    return chunk;
}

void nj_chunk_hold(nj_chunk *chunk)
{
    __atomic_add_fetch(&chunk->refs, 1, __ATOMIC_RELAXED);
}

void nj_chunk_drop(nj_chunk *chunk)
{
    if (chunk && __atomic_sub_fetch(&chunk->refs, 1, __ATOMIC_ACQ_REL) == 0) chunk->release(chunk);
}

const char *nj_chunk_where(const nj_chunk *chunk, char *text, size_t size)
{
    const char *stream = chunk->stream ? chunk->stream->name : "?";
    if (chunk->stream && chunk->stream->partition >= 0)
        snprintf(text, size, "%s offset %" PRId64, stream, chunk->offset);
    else if (chunk->member)
        snprintf(text, size, "%s: %s", stream, chunk->member);
    else
        snprintf(text, size, "%s", stream);
    return text;
}
