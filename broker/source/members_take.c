/* members_take.c - what is in a member: a packet, an archive, what is no alert, or what cannot be read. */
#include "members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/file.h"
#include "../base/unpack.h"
#include "members_state.h"

/* Bytes taken over; NULL when memory is short. */
nj_chunk *nj_members_chunk(nj_members *m, uint8_t *bytes, size_t size, const char *name)
{
    nj_chunk *chunk = nj_chunk_new(m->common->stream, bytes, size);
    if (!chunk) {
        free(bytes);
        return NULL;
    }
    if (!name) return chunk;
    size_t n = strlen(m->path) + strlen(name) + 1;
    chunk->member = malloc(n);
    if (!chunk->member) {
        nj_chunk_drop(chunk);
        return NULL;
    }
    snprintf(chunk->member, n, "%s%s", m->path, name);
    return chunk;
}

/* A member that cannot be read is a dead letter when it was to be a packet,
 * and trouble of the source in any case. */
int nj_members_fault(nj_members *m, nj_chunk *chunk, const char *why, nj_chunk **out)
{
    const char *name = chunk->member ? chunk->member : "";
    nj_trouble_add(&m->common->trouble, m->common->host, "%s: %s: %s", m->common->spec, name, why);
    if (nj_source_is_packet_name(name) && (chunk->fault = strdup(why))) {
        *out = chunk;
        return 1;
    }
    nj_chunk_drop(chunk);
    return 0;
}

static int unpack_chunk(nj_members *m, nj_chunk **chunk, nj_error *err)
{
    nj_unpacked w = { 0 };
    if (nj_unpack(&w, (*chunk)->bytes, (*chunk)->size, false, (size_t)m->common->conf.max_member,
                  "[source] max_member", err)) {
        free(w.buffer);
        return -1;
    }
    if (w.n < w.cap / 2) { /* chunks wait in queues whose bounds count size */
        uint8_t *less = realloc(w.buffer, w.n + 1);
        if (less) w.buffer = less;
    }
    nj_chunk *plain = nj_chunk_new((*chunk)->stream, w.buffer, w.n);
    if (!plain) {
        free(w.buffer);
        return nj_fail(err, "out of memory");
    }
    plain->member = (*chunk)->member;
    (*chunk)->member = NULL;
    nj_chunk_drop(*chunk);
    *chunk = plain;
    return 0;
}

int nj_members_take(nj_members *m, nj_chunk *chunk, nj_chunk **out, nj_error *err)
{
    nj_error why;
    const char *name = chunk->member ? chunk->member : "";
    if (chunk->size && nj_packing_of(chunk->bytes, chunk->size) && unpack_chunk(m, &chunk, &why))
        return nj_members_fault(m, chunk, why.text, out);
    if (chunk->size == 0) {
        nj_skipped_add(&m->common->skipped, name, 1);
    } else if (chunk->size >= 4 && !memcmp(chunk->bytes, "\0\5\x16\7", 4)) { /* AppleDouble under
                                                                              * another name */
        nj_skipped_add_metadata(&m->common->skipped, name);
    } else if (nj_members_is_archive(chunk->bytes, chunk->size)) {
        if (m->depth == NJ_MEMBERS_DEPTH)
            return nj_members_fault(m, chunk, "an archive in more than 4 archives", out);
        char path[NJ_MEMBER_NAME + 8];
        snprintf(path, sizeof path, "%s/", name);
        m->inside = nj_members_new(m->common, -1, chunk, path, m->depth + 1);
        if (m->inside) return 0;
        nj_chunk_drop(chunk);
        return nj_fail(err, "%s: out of memory", m->common->spec);
    } else if (nj_source_is_packet_name(name) || (m->common->json && nj_source_is_json_name(name)) ||
               (chunk->size >= 4 && !memcmp(chunk->bytes, "Obj\1", 4))) {
        *out = chunk;
        return 1;
    } else {
        m->common->n_json += nj_source_is_json_name(name);
        nj_skipped_add(&m->common->skipped, name, 0);
    }
    nj_chunk_drop(chunk);
    return 0;
}
