/* row.c - alerts wait on the disk for the others of their object: a row as bytes. */
#include <string.h>

#include "internal.h"

static void put_values(nj_buffer *out, nj_type type, uint32_t n, const void *data, size_t from)
{
    if (type != NJ_STR) {
        nj_buffer_add(out, (const char *)data + from * nj_type_size(type), n * nj_type_size(type));
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *text = ((const char *const *)data)[from + i];
        const uint32_t size = text ? (uint32_t)strlen(text) : UINT32_MAX;
        nj_buffer_add(out, &size, sizeof size);
        if (text) nj_buffer_add(out, text, size);
    }
}

int nj_objects_pack(const nj_objects_survey *s, const nj_batch *b, uint32_t row, nj_buffer *out)
{
    for (uint32_t i = 0; i < s->layout.n_packet; i++)
        if (s->layout.col[i].shape == NJ_SCALAR)
            put_values(out, s->layout.col[i].type, 1, b->col[i].data, row);
    for (uint32_t g = 0; g < s->n_groups; g++) {
        const nj_objects_group *group = &s->group[g];
        const uint32_t *off = b->col[group->column[0]].off, n = off[row + 1] - off[row];
        nj_buffer_add(out, &n, sizeof n);
        for (uint32_t k = 0; n && k < group->n; k++)
            put_values(out, s->layout.col[group->column[k]].type, n, b->col[group->column[k]].data, off[row]);
    }
    return out->failed ? -1 : 0;
}

uint32_t nj_objects_take_count(nj_objects_bytes *from)
{
    uint32_t n;
    memcpy(&n, from->at, sizeof n);
    from->at += sizeof n;
    return n;
}

int nj_objects_take_values(nj_objects_bytes *from, nj_type type, uint32_t n, void *to, nj_arena *arena)
{
    if (type != NJ_STR) {
        memcpy(to, from->at, n * nj_type_size(type));
        from->at += n * nj_type_size(type);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t size = nj_objects_take_count(from);
        const char *text = NULL;
        if (size != UINT32_MAX) {
            if (!(text = nj_arena_text(arena, (const char *)from->at, size))) return -1;
            from->at += size;
        }
        ((const char **)to)[i] = text;
    }
    return 0;
}
