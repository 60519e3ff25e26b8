/* inputs.c - columns, stamps and texts of made rows, and the calls of process() over them. */
#include "inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/fence.h"
#include "../graph/slot.h"

_Thread_local int nj_made_inside;

const char *const nj_made_kind_name[NJ_MADE_KINDS] = { "typical",      "empty",    "one point", "all null",
                                                       "NaN and huge", "unsorted", "giant" };

/* ---- numbers from a seed --------------------------------------------------------------------- */

uint64_t nj_made_hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double nj_made_uniform(uint64_t seed)
{
    return (double)(nj_made_hash(seed) >> 11) * 0x1p-53;
}

static uint64_t text_hash(const char *s, size_t n)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h;
}

/* "lc" of lc.mag and lc.mag@r: columns of one group share their offsets. */
static size_t group_length(const char *path)
{
    const char *list = strstr(path, "[]"), *dot = strchr(path, '.');
    return list ? (size_t)(list - path) : dot ? (size_t)(dot - path) : strlen(path);
}

static uint64_t group_of(const char *path, uint64_t seed)
{
    const char *view = strchr(path, '@');
    return nj_made_hash(seed ^ text_hash(path, group_length(path)) ^
                        (view && strcmp(view, "@time") ? text_hash(view, strlen(view)) : 0));
}

bool nj_made_is_like(const char *path, const char *other)
{
    return group_of(path, 0) == group_of(other, 0);
}

static uint32_t n_points(const char *path, nj_made_row row)
{
    if (row.kind == NJ_MADE_EMPTY) return 0;
    if (row.kind == NJ_MADE_ONE_POINT) return 1;
    if (row.kind == NJ_MADE_GIANT) return NJ_MADE_GIANT_POINTS;
    return 2 + (uint32_t)(nj_made_uniform(group_of(path, row.seed)) * 60);
}

/* A plausible value by the name of the column; NAN = null. */
static double plausible(const nj_need *need, nj_made_row row, uint32_t point, uint32_t n)
{
    const char *leaf = strrchr(need->path, '.');
    leaf = leaf ? leaf + 1 : need->path;
    uint64_t group = group_of(need->path, row.seed),
             h = nj_made_hash(group ^ text_hash(leaf, strcspn(leaf, "@")) ^ (uint64_t)point * 7919);
    double u = nj_made_uniform(h);
    bool series = need->shape == NJ_SERIES,
         limit = series && point + 1 < n && nj_made_uniform(nj_made_hash(group + point)) < 0.3;
    if (strstr(leaf, "jd") && strstr(leaf, "hist")) return 2459000 - 40 * u;
    if (strstr(leaf, "jd"))
        return 2459000 + (row.kind == NJ_MADE_UNSORTED ? 60 * u
                          : series                     ? point * 1.7 + (point ? u : 0)
                                                       : 100 + u);
    if (!strncmp(leaf, "limit", 5) || !strncmp(leaf, "diffmaglim", 10))
        return limit || !series ? 19.5 + u : NAN;
    if (strstr(leaf, "err") || strstr(leaf, "sigma")) return limit ? NAN : 0.02 + 0.2 * u;
    if (strstr(leaf, "band") || strstr(leaf, "fid"))
        return 1 + floor(2.2 * nj_made_uniform(nj_made_hash(group ^ (point + 99))));
    if (!strncmp(leaf, "mag", 3)) return limit ? NAN : 15 + 5 * u;
    if (strstr(leaf, "flux")) return limit ? NAN : 1e5 * (u - 0.2);
    if (strstr(leaf, "positive")) return limit ? NAN : u < 0.8;
    if (strstr(leaf, "ndethist") || !strcmp(leaf, "n")) return floor(40 * u * u);
    if (!strcmp(leaf, "dec") || !strcmp(leaf, "gal_b")) return -90 + 180 * u;
    if (!strcmp(need->unit ? need->unit : "", "deg")) return 360 * u;
    if (strstr(leaf, "score") || strstr(leaf, "rb")) return u;
    return nj_made_uniform(h + 1) < 0.1 ? NAN : 20 * u - 1;
}

static double number_at(const nj_need *need, nj_made_row row, uint32_t point, uint32_t n)
{
    static const double odd[] = { NAN,   INFINITY, -INFINITY, 1e308,        -1e308,        0,   -0.0, 5e-324,
                                  1e-30, -1,       255,       4294967296.0, -2147483648.0, 1e15 };
    if (row.kind == NJ_MADE_ALL_NULL) return NAN;
    uint64_t h = nj_made_hash(group_of(need->path, row.seed) ^ text_hash(need->path, strlen(need->path)) ^
                              (point * 31 + 5));
    if (row.kind == NJ_MADE_NAN && nj_made_uniform(h) < 0.5)
        return odd[nj_made_hash(h + 1) % (sizeof odd / sizeof *odd)];
    return plausible(need, row, point, n);
}

static const char *text_at(const nj_need *need, nj_made_row row)
{
    static const char *const text[] = {
        "Unknown",      "SN",       "Star",          "ZTF18abcdefg",          "Galaxy", "", "t", "f", "1",
        "LongPeriodV*", "Fail 504", "Candidate_SN*", "\xc3\xa9toile \"x\",\n"
    };
    uint64_t h = nj_made_hash(group_of(need->path, row.seed) ^ text_hash(need->path, strlen(need->path)));
    if (row.kind == NJ_MADE_ALL_NULL || row.kind == NJ_MADE_EMPTY || nj_made_uniform(h) < 0.1)
        return NJ_NO_STR;
    return text[nj_made_hash(h + 2) % (sizeof text / sizeof *text)];
}

void nj_made_store(nj_type type, void *data, size_t i, double v)
{
    switch (type) {
    case NJ_U8: ((uint8_t *)data)[i] = v >= 0 && v < 255 ? (uint8_t)v : NJ_NO_U8; break;
    case NJ_I32:
        ((int32_t *)data)[i] = v > -2147483648.0 && v <= 2147483647.0 ? (int32_t)v : NJ_NO_I32;
        break;
    case NJ_I64: ((int64_t *)data)[i] = v > -9.2e18 && v < 9.2e18 ? (int64_t)v : NJ_NO_I64; break;
    case NJ_F32: ((float *)data)[i] = (float)v; break;
    default: ((double *)data)[i] = v; break;
    }
}

/* ---- services of one call -------------------------------------------------------------------- */

enum { SPOILT_BYTES = 1 << 16 };

void *nj_made_scratch(const nj_work *w, size_t bytes)
{
    int inside = nj_made_inside;
    nj_made_inside = 0;
    void *p = nj_arena_alloc(&((nj_made_batch *)w->opaque)->scratch, bytes);
    /* other contents each time: whoever reads what it has not written gives answers that differ */
    static _Thread_local uint8_t rest;
    if (p) memset(p, rest += 37, bytes < SPOILT_BYTES ? bytes : SPOILT_BYTES);
    nj_made_inside = inside;
    return p;
}

const char *nj_made_text(const nj_work *w, const char *s, size_t n)
{
    int inside = nj_made_inside;
    nj_made_inside = 0;
    const char *p = nj_arena_text(&((nj_made_batch *)w->opaque)->texts, s, n);
    nj_made_inside = inside;
    return p;
}

/* A stamp of noise with a source in the middle; the odd kinds get cut, NaN and huge ones. */
static const nj_image *make_image(nj_made_batch *b, uint32_t need, nj_made_row row)
{
    bool point = row.kind == NJ_MADE_ONE_POINT;
    uint32_t rows = row.kind == NJ_MADE_UNSORTED ? 41 : point ? 1 : 63, cols = point ? 1 : 63;
    nj_image *image = nj_arena_zalloc(&b->arena, sizeof *image);
    float *pixel = nj_arena_alloc(&b->arena, (size_t)rows * cols * sizeof *pixel);
    if (!image || !pixel) return NULL;
    *image = (nj_image){ .pixel = pixel, .rows = rows, .cols = cols };
    const char *path = b->in->need[need].path;
    uint64_t seed = nj_made_hash(row.seed ^ text_hash(path, strlen(path)));
    for (uint32_t i = 0; i < rows * cols; i++) {
        double u = nj_made_uniform(seed + 2 * i), v = nj_made_uniform(seed + 2 * i + 1),
               dy = i / cols - rows / 2.0, dx = i % cols - cols / 2.0;
        pixel[i] = (float)(5 * sqrt(-2 * log(u + 1e-18)) * cos(6.283185307179586 * v) +
                           300 * (row.seed % 3) * exp(-(dx * dx + dy * dy) / 8));
        if (row.kind == NJ_MADE_NAN && v < 0.1) pixel[i] = v < 0.09 ? NAN : -3.4e38f;
        image->n_nan += isnan(pixel[i]);
    }
    return image;
}

static const nj_image *own_image(const nj_work *w, uint32_t need, uint32_t row)
{
    nj_made_batch *b = w->opaque;
    if (need >= b->in->n_needs || row >= b->n) return NULL;
    const nj_image **image = &b->image[(size_t)need * b->n + row];
    nj_made_kind kind = b->row[row].kind;
    if (*image || kind == NJ_MADE_ALL_NULL || kind == NJ_MADE_EMPTY) return *image;
    int inside = nj_made_inside;
    nj_made_inside = 0;
    *image = make_image(b, need, b->row[row]);
    nj_made_inside = inside;
    return *image;
}

/* ---- batches --------------------------------------------------------------------------------- */

int nj_made_need(nj_made_batch *b, uint32_t k)
{
    const nj_need *need = &b->in->need[k];
    if (need->shape == NJ_IMAGE) return 0;
    size_t total = b->n;
    uint32_t *off = NULL;
    if (need->shape == NJ_SERIES) {
        if (!(off = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *off))) return -1;
        off[0] = 0;
        for (uint32_t r = 0; r < b->n; r++) off[r + 1] = off[r] + n_points(need->path, b->row[r]);
        total = off[b->n];
    }
    char *data = nj_arena_alloc(&b->arena, total * nj_type_size(need->type) + 64);
    if (!data) return -1;
    for (uint32_t r = 0; r < b->n; r++) {
        uint32_t n = off ? off[r + 1] - off[r] : 1;
        for (uint32_t i = 0; i < n; i++) {
            size_t at = off ? off[r] + i : r;
            if (need->type == NJ_STR)
                ((const char **)(void *)data)[at] = text_at(need, b->row[r]);
            else
                nj_made_store(need->type, data, at, number_at(need, b->row[r], i, n));
        }
    }
    b->col[k] = (nj_col){ data, off };
    return 0;
}

int nj_made_clear(nj_made_batch *b)
{
    for (uint32_t k = 0; k < b->in->n_gives; k++) {
        const nj_give *give = &b->in->give[k];
        const uint32_t *off = give->width ? NULL : b->col[give->like].off;
        size_t n = give->width ? (size_t)b->n * give->width : off ? off[b->n] : 0;
        b->out_n[k] = n;
        if (!b->out[k]) b->out[k] = nj_fence_alloc(&b->arena, n * nj_type_size(give->type));
        if (!b->out[k]) return -1;
        nj_fill_null(give->type, b->out[k], n);
        nj_fence_mend(b->out[k], n * nj_type_size(give->type));
    }
    memset(b->reason, NJ_NO_REASON, b->n + 1);
    return 0;
}

int nj_made_begin(nj_made_batch *b, const nj_instance *in, const nj_made_row *row, uint32_t n)
{
    *b = (nj_made_batch){ .in = in, .n = n, .row = row };
    nj_arena *a = &b->arena;
    b->col = nj_arena_zalloc(a, (in->n_needs + 1) * sizeof *b->col);
    b->in_col = nj_arena_zalloc(a, (in->n_needs + 1) * sizeof *b->in_col);
    b->image = nj_arena_zalloc(a, ((size_t)in->n_needs * n + 1) * sizeof *b->image);
    b->out = nj_arena_zalloc(a, (in->n_gives + 1) * sizeof *b->out);
    b->out_n = nj_arena_zalloc(a, (in->n_gives + 1) * sizeof *b->out_n);
    b->reason = nj_arena_alloc(a, n + 1);
    b->id = nj_arena_alloc(a, (n + 1) * sizeof *b->id);
    if (a->failed) return -1;
    for (uint32_t k = 0; k < in->n_needs; k++) b->in_col[k] = &b->col[k];
    for (uint32_t r = 0; r < n; r++) b->id[r] = (int64_t)(nj_made_hash(row[r].seed) >> 2);
    return 0;
}

int nj_made_build(nj_made_batch *b, const nj_instance *in, const nj_made_row *row, uint32_t n)
{
    int rc = nj_made_begin(b, in, row, n);
    for (uint32_t k = 0; rc == 0 && k < in->n_needs; k++) rc = nj_made_need(b, k);
    return rc ? rc : nj_made_clear(b);
}

void nj_made_free(nj_made_batch *b)
{
    nj_arena_free(&b->arena);
    nj_arena_free(&b->scratch);
    nj_arena_free(&b->texts);
}

int nj_made_changed(const nj_made_batch *b)
{
    nj_made_batch again;
    int changed = -1;
    bool well = nj_made_build(&again, b->in, b->row, b->n) == 0;
    for (uint32_t k = 0; well && changed < 0 && k < b->in->n_needs; k++) {
        const nj_need *need = &b->in->need[k];
        const size_t n = b->col[k].off ? b->col[k].off[b->n] : b->n;
        if (need->shape != NJ_IMAGE &&
            memcmp(b->col[k].data, again.col[k].data, n * nj_type_size(need->type)))
            changed = (int)k;
        for (uint32_t r = 0; need->shape == NJ_IMAGE && changed < 0 && r < b->n; r++) {
            const nj_image *now = b->image[(size_t)k * b->n + r];
            const nj_image *was = now ? make_image(&again, k, b->row[r]) : NULL;
            if (was && memcmp(now->pixel, was->pixel, (size_t)was->rows * was->cols * sizeof *was->pixel))
                changed = (int)k;
        }
    }
    nj_made_free(&again);
    return changed;
}

size_t nj_made_width(const nj_made_batch *b, uint32_t k, uint32_t row, size_t *first)
{
    const nj_give *g = &b->in->give[k];
    if (g->width) return *first = (size_t)row * g->width, g->width;
    const uint32_t *off = b->col[g->like].off;
    if (!off) return *first = 0, 0;
    return *first = off[row], off[row + 1] - off[row];
}

int nj_made_fence(const nj_made_batch *b)
{
    for (uint32_t k = 0; k < b->in->n_gives; k++)
        if (!nj_fence_stands(b->out[k], b->out_n[k] * nj_type_size(b->in->give[k].type))) return (int)k;
    return -1;
}

/* ---- calls ----------------------------------------------------------------------------------- */

int nj_made_thread_open(nj_made_thread *t, const nj_instance *in)
{
    *t = (nj_made_thread){ NULL, in };
    size_t size = (in->module->thread_size + 127) & ~(size_t)63;
    if (posix_memalign(&t->block, 64, size)) return NJ_ENOMEM;
    memset(t->block, 0, size);
    return in->module->thread_open ? in->module->thread_open(in->self, t->block) : NJ_OK;
}

void nj_made_thread_close(nj_made_thread *t)
{
    if (t->block && t->in->module->thread_close) t->in->module->thread_close(t->in->self, t->block);
    free(t->block);
    t->block = NULL;
}

int nj_made_call(nj_made_batch *b, nj_made_thread *t, nj_process process, const uint32_t *rows, uint32_t n,
                 uint32_t slice)
{
    nj_work w = { .size = sizeof w,
                  .in = b->in_col,
                  .out = b->out,
                  .reason = b->reason,
                  .id = b->id,
                  .opaque = b,
                  .scratch = nj_made_scratch,
                  .text = nj_made_text,
                  .image = own_image };
    uint32_t at = 0;
    do {
        w.row = rows + at;
        w.n = n - at < slice ? n - at : slice;
        nj_slot_enter(nj_slot_set_up, b->in->name, NJ_PHASE_PROCESS);
        nj_made_inside = 1;
        int rc = process(b->in->self, t->block, &w);
        nj_made_inside = 0;
        nj_slot_leave(nj_slot_set_up);
        nj_arena_reset(&b->scratch);
        if (rc != NJ_OK) return rc;
        at += w.n;
    } while (at < n);
    return NJ_OK;
}

int nj_made_call_all(nj_made_batch *b, nj_made_thread *t, nj_process process, uint32_t slice)
{
    uint32_t *rows = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *rows);
    if (!rows) return NJ_ENOMEM;
    for (uint32_t r = 0; r < b->n; r++) rows[r] = r;
    return nj_made_call(b, t, process, rows, b->n, slice);
}
