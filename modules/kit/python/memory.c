/* memory.c - the columns of a call in memory that two processes share: copied once, at places that both sides
 * read from its head. */
#include <math.h>
#include <stdio.h>
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

/* The words of a column; gives come behind the needs. */
int64_t *nj_python_column(const nj_python_memory *t, uint32_t k)
{
    return nj_python_head(t) + NJ_PYTHON_HEAD + (size_t)k * NJ_PYTHON_COLUMN;
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

/* Room behind what is used; the memory may move. 0: there is none. */
static size_t room(nj_python_memory *t, size_t bytes)
{
    if ((uint64_t)nj_python_head(t)[NJ_PYTHON_USED] > t->size) return 0; /* the other side spoilt it */
    size_t at = ((size_t)nj_python_head(t)[NJ_PYTHON_USED] + ALIGN - 1) & ~(size_t)(ALIGN - 1),
           size = t->size;
    while (at + bytes > size) size *= 2;
    if (size > t->size && (ftruncate(t->fd, (off_t)size) || !nj_python_map(t, size))) return 0;
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

static size_t elements(const nj_work *w, const uint32_t *off, uint32_t width)
{
    size_t sum = 0, first, n;
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

static bool put_texts(nj_python_memory *t, const nj_work *w, uint32_t k, const char *const *data,
                      const uint32_t *off, size_t n)
{
    size_t bytes = 0, first, m, place = room(t, (n + 1) * sizeof(int32_t));
    if (!place) return false;
    nj_python_column(t, k)[NJ_PYTHON_DATA] = (int64_t)place;
    int32_t *length = (int32_t *)(t->base + place);
    for (uint32_t r = 0; r < w->n; r++) {
        span(off, 1, w->row[r], &first, &m);
        for (size_t i = first; i < first + m; i++) {
            *length = data[i] ? (int32_t)strlen(data[i]) : -1;
            bytes += data[i] ? (size_t)*length : 0;
            length++;
        }
    }
    place = room(t, bytes + 1);
    if (!place) return false;
    nj_python_column(t, k)[NJ_PYTHON_BYTES] = (int64_t)place;
    char *p = t->base + place;
    for (uint32_t r = 0; r < w->n; r++) {
        span(off, 1, w->row[r], &first, &m);
        for (size_t i = first; i < first + m; i++) {
            if (!data[i]) continue;
            size_t length_of = strlen(data[i]);
            memcpy(p, data[i], length_of);
            p += length_of;
        }
    }
    return true;
}

/* Series of one light curve share their offsets. */
static bool put_offsets(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, uint32_t k)
{
    const uint32_t *off = w->in[k]->off;
    for (uint32_t j = 0; j < k; j++)
        if (s->need[j].shape == NJ_SERIES && w->in[j]->off == off &&
            nj_python_column(t, j)[NJ_PYTHON_OFFSETS]) {
            nj_python_column(t, k)[NJ_PYTHON_OFFSETS] = nj_python_column(t, j)[NJ_PYTHON_OFFSETS];
            return true;
        }
    size_t place = room(t, (w->n + 1) * sizeof(int64_t));
    if (!place) return false;
    nj_python_column(t, k)[NJ_PYTHON_OFFSETS] = (int64_t)place;
    int64_t *to = (int64_t *)(t->base + place);
    to[0] = 0;
    for (uint32_t r = 0; r < w->n; r++) to[r + 1] = to[r] + off[w->row[r] + 1] - off[w->row[r]];
    return true;
}

static bool put_need(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, bool block, uint32_t k)
{
    const nj_need *need = &s->need[k];
    const nj_col *col = w->in[k];
    if (need->shape == NJ_IMAGE || !col->data) return true;
    const uint32_t *off = need->shape == NJ_SERIES ? col->off : NULL;
    size_t n = elements(w, off, 1);
    if (off && !put_offsets(s, t, w, k)) return false;
    nj_python_column(t, k)[NJ_PYTHON_N] = (int64_t)n;
    if (need->type == NJ_STR) return put_texts(t, w, k, col->data, off, n);
    const size_t size = size_of(need->type);
    size_t place = room(t, n * size + 1);
    if (!place) return false;
    nj_python_column(t, k)[NJ_PYTHON_DATA] = (int64_t)place;
    copy(w, block, (char *)(uintptr_t)col->data, off, 1, size, t->base + place, true);
    return true;
}

/* The offsets of a give that is like a series; false: the output is absent. */
static bool shape_of(const nj_python_tables *s, const nj_work *w, uint32_t g, const uint32_t **off,
                     uint32_t *width)
{
    const nj_give *give = &s->give[g];
    *width = give->width;
    *off = give->width ? NULL : w->in[give->like]->off;
    return w->out[g] != NULL && (give->width || *off);
}

static bool put_give(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, bool block, uint32_t g)
{
    const uint32_t *off, k = s->n_needs + g;
    uint32_t width;
    if (!shape_of(s, w, g, &off, &width)) return true;
    size_t n = elements(w, off, width), size = s->give[g].type == NJ_STR ? 4 : size_of(s->give[g].type);
    size_t place = room(t, n * size + 1);
    if (!place) return false;
    nj_python_column(t, k)[NJ_PYTHON_DATA] = (int64_t)place;
    nj_python_column(t, k)[NJ_PYTHON_N] = (int64_t)n;
    if (off)
        nj_python_column(t, k)[NJ_PYTHON_OFFSETS] =
            nj_python_column(t, (uint32_t)s->give[g].like)[NJ_PYTHON_OFFSETS];
    if (s->give[g].type == NJ_STR)
        memset(t->base + place, 0xff, n * size);
    else /* they hold "no answer" */
        copy(w, block, w->out[g], off, width, size, t->base + place, true);
    return true;
}

bool nj_python_put(const nj_python_tables *s, nj_python_memory *t, const nj_work *w)
{
    const bool block = is_one_block(w);
    const uint32_t n = s->n_needs + s->n_gives;
    nj_python_head(t)[NJ_PYTHON_USED] =
        (int64_t)((NJ_PYTHON_HEAD + (size_t)n * NJ_PYTHON_COLUMN) * sizeof(int64_t));
    if (!room(t, 0)) return false; /* so many columns */
    nj_python_head(t)[NJ_PYTHON_N_ROWS] = w->n;
    nj_python_head(t)[NJ_PYTHON_N_NEEDS] = s->n_needs;
    nj_python_head(t)[NJ_PYTHON_N_GIVES] = s->n_gives;
    size_t id = room(t, w->n * sizeof(int64_t)), reason = id ? room(t, w->n + 1) : 0;
    if (!reason) return false;
    nj_python_head(t)[NJ_PYTHON_ID] = (int64_t)id;
    nj_python_head(t)[NJ_PYTHON_REASON] = (int64_t)reason;
    nj_python_head(t)[NJ_PYTHON_REASONED] = 0;
    for (uint32_t k = 0; k < w->n; k++) ((int64_t *)(t->base + id))[k] = w->id[w->row[k]];
    memset(t->base + reason, 0xff, w->n);
    memset(nj_python_column(t, 0), 0, n * NJ_PYTHON_COLUMN * sizeof(int64_t));
    for (int ragged = 0; ragged < 2; ragged++) { /* what has one length comes first: it keeps its place */
        for (uint32_t k = 0; k < s->n_needs; k++)
            if ((s->need[k].shape == NJ_SERIES || s->need[k].type == NJ_STR) == ragged &&
                !put_need(s, t, w, block, k))
                return false;
        for (uint32_t g = 0; g < s->n_gives; g++)
            if ((s->give[g].width == 0) == ragged && !put_give(s, t, w, block, g)) return false;
    }
    return true;
}

static int take_texts(const nj_python_memory *t, const nj_work *w, const int64_t *c, const char **out,
                      const uint32_t *off, uint32_t width)
{
    const int32_t *length = (const int32_t *)(t->base + c[NJ_PYTHON_DATA]);
    const char *p = t->base + c[NJ_PYTHON_BYTES], *end = t->base + t->size;
    size_t first, n;
    for (uint32_t k = 0; k < w->n; k++) {
        span(off, width, w->row[k], &first, &n);
        for (size_t i = first; i < first + n; i++, length++) {
            if (*length < 0) continue;
            if (c[NJ_PYTHON_BYTES] <= 0 || p > end || *length > end - p) return NJ_EDATA;
            out[i] = w->text(w, p, (size_t)*length);
            if (!out[i]) return NJ_ENOMEM;
            p += *length;
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

/* The worker can write to the words, too, and what it calls may write anywhere. */
static bool lies_within(const nj_python_memory *t, int64_t place, size_t bytes)
{
    return place > 0 && (size_t)place <= t->size && bytes <= t->size - (size_t)place;
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
        const int64_t *c = nj_python_column(t, s->n_needs + g);
        const uint32_t *off;
        uint32_t width;
        if (!c[NJ_PYTHON_DATA] || !shape_of(s, w, g, &off, &width)) continue;
        const size_t size = s->give[g].type == NJ_STR ? sizeof(int32_t) : size_of(s->give[g].type);
        if (!lies_within(t, c[NJ_PYTHON_DATA], elements(w, off, width) * size)) return NJ_EDATA;
        if (s->give[g].type == NJ_STR)
            rc = take_texts(t, w, c, w->out[g], off, width);
        else
            copy(w, block, w->out[g], off, width, size_of(s->give[g].type), t->base + c[NJ_PYTHON_DATA],
                 false);
    }
    if (!lies_within(t, nj_python_head(t)[NJ_PYTHON_REASON], w->n)) return NJ_EDATA;
    const uint8_t *reason = (const uint8_t *)t->base + nj_python_head(t)[NJ_PYTHON_REASON];
    const bool given = nj_python_head(t)[NJ_PYTHON_REASONED] != 0;
    for (uint32_t k = 0; k < w->n; k++)
        w->reason[w->row[k]] = given ? reason[k] : has_answer(s, w, w->row[k]) ? NJ_DONE : NJ_NO_INPUT;
    return rc;
}

size_t nj_python_put_images(const nj_python_tables *s, nj_python_memory *t, const nj_work *w, int64_t need,
                            int64_t first, int64_t n)
{
    if (need < 0 || need >= s->n_needs || s->need[need].shape != NJ_IMAGE || first < 0 || n < 1 ||
        first + n > w->n)
        return 0;
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

int nj_python_memory_open(nj_python_memory *t)
{
    t->fd = memfd_create("nightjar-python", MFD_CLOEXEC);
    return t->fd < 0 || ftruncate(t->fd, FIRST_BYTES) || !nj_python_map(t, FIRST_BYTES) ? -1 : 0;
}

void nj_python_memory_close(nj_python_memory *t)
{
    if (t->base) munmap(t->base, t->size);
    if (t->fd > 0) close(t->fd);
    *t = (nj_python_memory){ 0 };
}
