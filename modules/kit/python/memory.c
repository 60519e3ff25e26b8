/* memory.c - the columns of a call in memory that two processes share: copied once, at places that both sides
 * read from its head. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nightjar/python.h"

enum { FIRST_BYTES = 1 << 20, ALIGN = 64 };

int64_t *nj_python_head(const nj_python_memory *t)
{
    return (int64_t *)t->base;
}

static uint32_t columns_of(const nj_python_tables *s)
{
    return s->n_needs + s->n_gives;
}

/* The words of a column; gives come behind the needs. */
static int64_t *column_words(const nj_python_tables *s, const nj_python_memory *t, uint32_t k)
{
    return nj_python_head(t) + NJ_PYTHON_HEAD + columns_of(s) + (size_t)k * NJ_PYTHON_COLUMN;
}

/* The file is as long as one side made it. */
bool nj_python_map(nj_python_memory *t, size_t size)
{
    struct stat st;
    if (size <= t->size) return true;
    if (fstat(t->fd, &st) || (size_t)st.st_size < size) return false; /* it says more than is there */
    void *base = t->base ? mremap(t->base, t->size, size, MREMAP_MAYMOVE)
                         : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (base == MAP_FAILED) return false;
    t->base = base;
    t->size = size;
    return true;
}

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static bool grow(nj_python_memory *t, size_t bytes)
{
    size_t size = t->size;
    while (bytes > size) size *= 2;
    return size == t->size || (!ftruncate(t->fd, (off_t)size) && nj_python_map(t, size));
}

/* Room behind what is used; the memory may move. 0: there is none. */
static size_t room(nj_python_memory *t, size_t bytes)
{
    const int64_t used = nj_python_head(t)[NJ_PYTHON_USED];
    if (used <= 0 || (uint64_t)used > t->size) return 0; /* the other side spoilt it */
    size_t at = aligned((size_t)used);
    if (!grow(t, at + bytes)) return 0;
    nj_python_head(t)[NJ_PYTHON_USED] = (int64_t)(at + bytes);
    return at;
}

static size_t size_of(nj_type type)
{
    return type == NJ_U8 ? 1 : type == NJ_I32 || type == NJ_F32 ? 4 : 8;
}

/* Are the rows neighbours? Then each column is copied at once. */
static bool is_one_block(const nj_work *w)
{
    for (uint32_t k = 1; k < w->n; k++)
        if (w->row[k] != w->row[0] + k) return false;
    return true;
}

/* Elements of a row: `width` of them, or as the series has. */
static void span(const uint32_t *off, uint32_t width, uint32_t row, size_t *first, size_t *n)
{
    *first = off ? off[row] : (size_t)row * width;
    *n = off ? off[row + 1] - off[row] : width;
}

static size_t elements(const nj_work *w, bool block, const uint32_t *off, uint32_t width)
{
    size_t sum = 0, first, n;
    if (!off) return (size_t)w->n * width;
    if (block) return off[w->row[w->n - 1] + 1] - off[w->row[0]];
    for (uint32_t k = 0; k < w->n; k++) {
        span(off, width, w->row[k], &first, &n);
        sum += n;
    }
    return sum;
}

/* Between the batch's column and the memory; to: into the memory. */
static void copy(const nj_work *w, bool block, char *data, const uint32_t *off, uint32_t width, size_t size,
                 char *memory, bool to)
{
    size_t first, n;
    for (uint32_t k = 0; k < w->n; k++) {
        span(off, width, w->row[k], &first, &n);
        if (block) {
            size_t last, m;
            span(off, width, w->row[w->n - 1], &last, &m);
            n = last + m - first;
        }
        if (to)
            memcpy(memory, data + first * size, n * size);
        else
            memcpy(data + first * size, memory, n * size);
        if (block) return;
        memory += n * size;
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

/* The offsets of a give that is like a series; false: the output is absent. */
static bool shape_of(const nj_python_tables *s, const nj_work *w, uint32_t g, const uint32_t **off,
                     uint32_t *width)
{
    const nj_give *give = &s->give[g];
    *width = give->width;
    *off = give->width ? NULL : w->in[give->like]->off;
    return w->out[g] != NULL && (give->width || *off);
}

static size_t bytes_of(const nj_work *w, const char *const *data, const uint32_t *off)
{
    size_t bytes = 0, first, n;
    for (uint32_t r = 0; r < w->n; r++) {
        span(off, 1, w->row[r], &first, &n);
        for (size_t i = first; i < first + n; i++) bytes += data[i] ? strlen(data[i]) : 0;
    }
    return bytes;
}

/* Series of one light curve share their offsets. */
static uint32_t first_like(const nj_python_tables *s, const nj_work *w, uint32_t k)
{
    for (uint32_t j = 0; j < k; j++)
        if (s->need[j].shape == NJ_SERIES && w->in[j]->data && w->in[j]->off == w->in[k]->off) return j;
    return k;
}

/* Notes what column k has in this call. Has it room where it lies? */
static bool fits(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, bool block, uint32_t k)
{
    nj_python_place *p = &t->place[k], was = *p;
    const uint32_t *off = NULL;
    uint32_t width = 1;
    p->like = k;
    p->n_bytes = 0;
    if (k >= s->n_needs) {
        p->there = shape_of(s, w, k - s->n_needs, &off, &width);
        if (off) p->like = (uint32_t)s->give[k - s->n_needs].like;
    } else {
        const nj_need *need = &s->need[k];
        p->there = need->shape != NJ_IMAGE && w->in[k]->data;
        if (need->shape == NJ_SERIES) off = w->in[k]->off;
        if (p->there && off) p->like = first_like(s, w, k);
        if (p->there && need->type == NJ_STR) p->n_bytes = bytes_of(w, w->in[k]->data, off);
    }
    p->ragged = off != NULL;
    p->n = p->there ? elements(w, block, off, width) : 0;
    return p->there == was.there && p->ragged == was.ragged && p->like == was.like && p->n <= p->room &&
           p->n_bytes <= p->bytes_room;
}

static size_t larger(size_t room, size_t wanted)
{
    return room > wanted ? room : wanted;
}

/* All columns, with more room than they need now, so that most calls find theirs where they were. */
static bool lay_out(const nj_python_tables *s, nj_python_memory *t, const nj_work *w)
{
    const uint32_t n = columns_of(s);
    const int64_t layout = nj_python_head(t)[NJ_PYTHON_LAYOUT];
    t->rows = larger(t->rows, aligned(w->n));
    t->id = aligned((NJ_PYTHON_HEAD + (size_t)n * (1 + NJ_PYTHON_COLUMN)) * sizeof(int64_t));
    t->reason = t->id + aligned(t->rows * sizeof(int64_t));
    size_t at = t->reason + aligned(t->rows);
    for (uint32_t k = 0; k < n; k++) {
        nj_python_place *p = &t->place[k];
        const bool give = k >= s->n_needs;
        const nj_type type = give ? s->give[k - s->n_needs].type : s->need[k].type;
        p->data = p->offsets = p->bytes = 0;
        if (!p->there) continue;
        p->room = p->ragged ? larger(p->room, p->n + p->n / 2 + ALIGN)
                            : t->rows * (give ? s->give[k - s->n_needs].width : 1);
        p->data = at;
        at += aligned(p->room * (type == NJ_STR ? sizeof(int32_t) : size_of(type)));
        if (p->ragged && p->like != k) p->offsets = t->place[p->like].offsets;
        if (p->ragged && p->like == k) {
            p->offsets = at;
            at += aligned((t->rows + 1) * sizeof(int64_t));
        }
        if (give || type != NJ_STR) continue;
        p->bytes_room = larger(p->bytes_room, p->n_bytes + p->n_bytes / 2 + ALIGN);
        p->bytes = at;
        at += aligned(p->bytes_room);
    }
    t->end = at;
    if (!grow(t, at)) return false;
    int64_t *head = nj_python_head(t);
    head[NJ_PYTHON_ID] = (int64_t)t->id;
    head[NJ_PYTHON_REASON] = (int64_t)t->reason;
    head[NJ_PYTHON_LAYOUT] = layout + 1;
    for (uint32_t k = 0; k < n; k++) {
        int64_t *c = column_words(s, t, k);
        c[NJ_PYTHON_DATA] = (int64_t)t->place[k].data;
        c[NJ_PYTHON_OFFSETS] = (int64_t)t->place[k].offsets;
        c[NJ_PYTHON_BYTES] = (int64_t)t->place[k].bytes;
    }
    return true;
}

/* ---- there ----------------------------------------------------------------------------------- */

static void put_texts(const nj_python_place *p, nj_python_memory *t, const nj_work *w,
                      const char *const *data, const uint32_t *off)
{
    int32_t *length = (int32_t *)(t->base + p->data);
    char *to = t->base + p->bytes;
    size_t first, n;
    for (uint32_t r = 0; r < w->n; r++) {
        span(off, 1, w->row[r], &first, &n);
        for (size_t i = first; i < first + n; i++, length++) {
            const size_t bytes = data[i] ? strlen(data[i]) : 0;
            *length = data[i] ? (int32_t)bytes : -1;
            if (bytes) memcpy(to, data[i], bytes);
            to += bytes;
        }
    }
}

static void put_need(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, bool block, uint32_t k)
{
    const nj_need *need = &s->need[k];
    const nj_col *col = w->in[k];
    const nj_python_place *p = &t->place[k];
    if (!p->there) return;
    const uint32_t *off = need->shape == NJ_SERIES ? col->off : NULL;
    if (p->ragged && p->like == k) {
        int64_t *to = (int64_t *)(t->base + p->offsets);
        to[0] = 0;
        for (uint32_t r = 0; r < w->n; r++) to[r + 1] = to[r] + off[w->row[r] + 1] - off[w->row[r]];
    }
    if (need->type == NJ_STR)
        put_texts(p, t, w, col->data, off);
    else
        copy(w, block, (char *)(uintptr_t)col->data, off, 1, size_of(need->type), t->base + p->data, true);
}

static void put_give(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, bool block, uint32_t g)
{
    const nj_python_place *p = &t->place[s->n_needs + g];
    const uint32_t *off;
    uint32_t width;
    if (!shape_of(s, w, g, &off, &width)) return;
    if (s->give[g].type == NJ_STR) {
        column_words(s, t, s->n_needs + g)[NJ_PYTHON_BYTES] = 0;
        memset(t->base + p->data, 0xff, p->n * sizeof(int32_t));
    } else { /* they hold "no answer" */
        copy(w, block, w->out[g], off, width, size_of(s->give[g].type), t->base + p->data, true);
    }
}

bool nj_python_put(const nj_python_tables *s, nj_python_memory *t, const nj_work *w)
{
    const bool block = is_one_block(w);
    bool stays = w->n <= t->rows;
    for (uint32_t k = 0; k < columns_of(s); k++) stays &= fits(s, t, w, block, k);
    if (!stays && !lay_out(s, t, w)) return false;
    int64_t *head = nj_python_head(t), *ids = (int64_t *)(t->base + t->id);
    head[NJ_PYTHON_REASONED] = 0;
    head[NJ_PYTHON_USED] = (int64_t)t->end;
    head[NJ_PYTHON_N_ROWS] = w->n;
    for (uint32_t k = 0; k < columns_of(s); k++) head[NJ_PYTHON_HEAD + k] = (int64_t)t->place[k].n;
    for (uint32_t k = 0; k < w->n; k++) ids[k] = w->id[w->row[k]];
    memset(t->base + t->reason, 0xff, w->n);
    for (uint32_t k = 0; k < s->n_needs; k++) put_need(s, t, w, block, k);
    for (uint32_t g = 0; g < s->n_gives; g++) put_give(s, t, w, block, g);
    return true;
}

/* ---- and back -------------------------------------------------------------------------------- */

/* Lengths and place are read once: the worker may still write. */
static int take_texts(const nj_python_memory *t, const nj_work *w, const nj_python_place *place, int64_t at,
                      const char **out, const uint32_t *off, uint32_t width)
{
    const volatile int32_t *lengths = (const int32_t *)(t->base + place->data);
    size_t left = at > 0 && (size_t)at <= t->size ? t->size - (size_t)at : 0, first, n;
    for (uint32_t k = 0; k < w->n; k++) {
        span(off, width, w->row[k], &first, &n);
        for (size_t i = first; i < first + n; i++) {
            const int32_t length = *lengths++;
            if (length < 0) continue;
            if (!left || (size_t)length > left) return NJ_EDATA;
            out[i] = w->text(w, t->base + t->size - left, (size_t)length);
            if (!out[i]) return NJ_ENOMEM;
            left -= (size_t)length;
        }
    }
    return NJ_OK;
}

static bool is_answer(nj_type type, const void *data, size_t i)
{
    switch (type) {
    case NJ_U8: return ((const uint8_t *)data)[i] != NJ_NO_U8;
    case NJ_I32: return ((const int32_t *)data)[i] != NJ_NO_I32;
    case NJ_I64: return ((const int64_t *)data)[i] != NJ_NO_I64;
    case NJ_F32: return !isnan(((const float *)data)[i]);
    case NJ_F64: return !isnan(((const double *)data)[i]);
    case NJ_STR: return ((const char *const *)data)[i] != NULL;
    }
    return false;
}

/* Has the row a value in any output? */
static bool has_answer(const nj_python_tables *s, const nj_work *w, uint32_t row)
{
    for (uint32_t g = 0; g < s->n_gives; g++) {
        const uint32_t *off;
        uint32_t width;
        size_t first, n;
        if (!shape_of(s, w, g, &off, &width)) continue;
        span(off, width, row, &first, &n);
        for (size_t i = first; i < first + n; i++)
            if (is_answer(s->give[g].type, w->out[g], i)) return true;
    }
    return false;
}

int nj_python_take(const nj_python_tables *s, const nj_python_memory *t, const nj_work *w)
{
    const bool block = is_one_block(w);
    int rc = NJ_OK;
    for (uint32_t g = 0; rc == NJ_OK && g < s->n_gives; g++) {
        const uint32_t k = s->n_needs + g, *off;
        uint32_t width;
        if (!shape_of(s, w, g, &off, &width)) continue;
        if (s->give[g].type == NJ_STR)
            rc =
                take_texts(t, w, &t->place[k], column_words(s, t, k)[NJ_PYTHON_BYTES], w->out[g], off, width);
        else
            copy(w, block, w->out[g], off, width, size_of(s->give[g].type), t->base + t->place[k].data,
                 false);
    }
    const uint8_t *reason = (const uint8_t *)t->base + t->reason;
    const bool given = nj_python_head(t)[NJ_PYTHON_REASONED] != 0;
    for (uint32_t k = 0; k < w->n; k++)
        w->reason[w->row[k]] = given ? reason[k] : has_answer(s, w, w->row[k]) ? NJ_DONE : NJ_NO_INPUT;
    return rc;
}

size_t nj_python_put_images(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, int64_t need,
                            int64_t first, int64_t n)
{
    if (need < 0 || need >= s->n_needs || s->need[need].shape != NJ_IMAGE) return 0;
    if (first < 0 || first >= w->n || n < 1 || n > w->n - first) return 0;
    size_t table = room(t, (size_t)n * 3 * sizeof(int64_t));
    for (int64_t k = 0; table && k < n; k++) {
        const nj_image *image = w->image(w, (uint32_t)need, w->row[first + k]);
        size_t bytes = image ? (size_t)image->rows * image->cols * sizeof(float) : 0;
        size_t place = image ? room(t, bytes + 1) : 0;
        if (image && !place) return 0;
        int64_t *at = (int64_t *)(t->base + table) + 3 * k;
        at[0] = (int64_t)place;
        at[1] = image ? image->rows : 0;
        at[2] = image ? image->cols : 0;
        if (image) memcpy(t->base + place, image->pixel, bytes);
    }
    return table;
}

int nj_python_memory_open(nj_python_memory *t, const nj_python_tables *s)
{
    t->place = calloc(columns_of(s) + 1, sizeof *t->place);
    t->fd = memfd_create("nightjar-python", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return !t->place || t->fd < 0 || ftruncate(t->fd, FIRST_BYTES) ||
                   fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK) || /* what is mapped stays there */
                   !nj_python_map(t, FIRST_BYTES)
               ? -1
               : 0;
}

void nj_python_memory_close(nj_python_memory *t)
{
    if (t->base) munmap(t->base, t->size);
    if (t->fd > 0) close(t->fd);
    free(t->place);
    *t = (nj_python_memory){ 0 };
}
