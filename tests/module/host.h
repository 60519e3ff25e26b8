/* host.h - a host of one module for tests: it opens instances as the broker does, builds the columns that an
 * instance needs row by row from a seed (or from a table of reference values), and calls process() with any
 * slicing. A row's content depends on its own seed and kind alone,
 * so the same row can be put anywhere in any batch. */
#ifndef TESTS_MODULE_HOST_H
#define TESTS_MODULE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/batch/batch.h"
#include "broker/graph/instance.h"

/* What a row looks like. */
typedef enum {
    ROW_TYPICAL,
    ROW_EMPTY,
    ROW_ONE_POINT,
    ROW_ALL_NULL,
    ROW_NAN,
    ROW_UNSORTED,
    ROW_GIANT,
    ROW_KINDS
} row_kind;
static const char *const row_kind_name[ROW_KINDS] = { "typical",      "empty",    "one point", "all null",
                                                      "NaN and huge", "unsorted", "giant" };

typedef struct row_spec {
    row_kind kind;
    uint64_t seed;
} row_spec;

enum { GIANT_POINTS = 3000 };

typedef struct host_batch {
    nj_arena arena;   /* columns, outputs, texts */
    nj_arena scratch; /* of one call */
    const nj_instance *in;
    uint32_t n;
    const row_spec *spec;
    nj_col *col; /* [n_needs] */
    const nj_col **in_col;
    void **out;    /* [n_gives] */
    size_t *out_n; /* [n_gives] elements */
    uint8_t *reason;
    int64_t *id;
} host_batch;

/* Set while process() itself runs, and not while it is inside a service of the host: see conformance.c. */
static int host_in_process;

/* --- numbers from a seed --- */

static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t text_hash(const char *s, size_t n)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h;
}

static inline double uniform(uint64_t h)
{
    return (double)(mix(h) >> 11) * 0x1p-53;
}

/* "lc" of lc.mag and lc.mag@r: columns of one group share their offsets. */
static inline size_t group_length(const char *path)
{
    const char *list = strstr(path, "[]"), *dot = strchr(path, '.');
    return list ? (size_t)(list - path) : dot ? (size_t)(dot - path) : strlen(path);
}

static inline uint64_t group_of(const char *path, uint64_t seed)
{
    const char *view = strchr(path, '@');
    return mix(seed ^ text_hash(path, group_length(path)) ^
               (view && strcmp(view, "@time") ? text_hash(view, strlen(view)) : 0));
}

static inline uint32_t n_points(const char *path, row_spec s)
{
    if (s.kind == ROW_EMPTY) return 0;
    if (s.kind == ROW_ONE_POINT) return 1;
    if (s.kind == ROW_GIANT) return GIANT_POINTS;
    return 2 + (uint32_t)(uniform(group_of(path, s.seed)) * 60);
}

/* A plausible value by the name of the column; NAN = null. */
static inline double plausible(const nj_need *need, row_spec s, uint32_t point, uint32_t n)
{
    const char *leaf = strrchr(need->path, '.');
    leaf = leaf ? leaf + 1 : need->path;
    uint64_t group = group_of(need->path, s.seed),
             h = mix(group ^ text_hash(leaf, strcspn(leaf, "@")) ^ (uint64_t)point * 7919);
    double u = uniform(h);
    bool series = need->shape == NJ_SERIES,
         limit = series && point + 1 < n && uniform(mix(group + point)) < 0.3;
    if (strstr(leaf, "jd") && strstr(leaf, "hist")) return 2459000 - 40 * u;
    if (strstr(leaf, "jd"))
        return 2459000 + (s.kind == ROW_UNSORTED ? 60 * u : series ? point * 1.7 + (point ? u : 0) : 100 + u);
    if (!strncmp(leaf, "limit", 5) || !strncmp(leaf, "diffmaglim", 10))
        return limit || !series ? 19.5 + u : NAN;
    if (strstr(leaf, "err") || strstr(leaf, "sigma")) return limit ? NAN : 0.02 + 0.2 * u;
    if (strstr(leaf, "band")) return 1 + floor(2.2 * uniform(mix(group ^ (point + 99))));
    if (strstr(leaf, "fid")) return 1 + floor(2.2 * uniform(mix(group ^ (point + 99))));
    if (!strncmp(leaf, "mag", 3)) return limit ? NAN : 15 + 5 * u;
    if (strstr(leaf, "flux")) return limit ? NAN : 1e5 * (u - 0.2);
    if (strstr(leaf, "positive")) return limit ? NAN : u < 0.8;
    if (strstr(leaf, "ndethist") || !strcmp(leaf, "n")) return floor(40 * u * u);
    if (!strcmp(leaf, "dec") || !strcmp(leaf, "gal_b")) return -90 + 180 * u;
    if (!strcmp(need->unit ? need->unit : "", "deg")) return 360 * u;
    if (strstr(leaf, "score") || strstr(leaf, "rb")) return u;
    return uniform(h + 1) < 0.1 ? NAN : 20 * u - 1;
}

static inline double number_at(const nj_need *need, row_spec s, uint32_t point, uint32_t n)
{
    static const double odd[] = { NAN,   INFINITY, -INFINITY, 1e308,        -1e308,        0,   -0.0, 5e-324,
                                  1e-30, -1,       255,       4294967296.0, -2147483648.0, 1e15 };
    if (s.kind == ROW_ALL_NULL) return NAN;
    uint64_t h =
        mix(group_of(need->path, s.seed) ^ text_hash(need->path, strlen(need->path)) ^ (point * 31 + 5));
    if (s.kind == ROW_NAN && uniform(h) < 0.5) return odd[mix(h + 1) % (sizeof odd / sizeof *odd)];
    return plausible(need, s, point, n);
}

static inline const char *text_at(const nj_need *need, row_spec s)
{
    static const char *const text[] = {
        "Unknown",      "SN",       "Star",          "ZTF18abcdefg",          "Galaxy", "", "t", "f", "1",
        "LongPeriodV*", "Fail 504", "Candidate_SN*", "\xc3\xa9toile \"x\",\n"
    };
    uint64_t h = mix(group_of(need->path, s.seed) ^ text_hash(need->path, strlen(need->path)));
    if (s.kind == ROW_ALL_NULL || s.kind == ROW_EMPTY || uniform(h) < 0.1) return NJ_NO_STR;
    return text[mix(h + 2) % (sizeof text / sizeof *text)];
}

static inline void store(nj_type type, void *data, size_t i, double v)
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

/* --- services of one call --- */

static inline void *host_scratch(const nj_work *w, size_t bytes)
{
    int inside = host_in_process;
    host_in_process = 0;
    void *p = nj_arena_alloc(&((host_batch *)w->opaque)->scratch, bytes);
    host_in_process = inside;
    return p;
}

static inline const char *host_text(const nj_work *w, const char *s, size_t n)
{
    int inside = host_in_process;
    host_in_process = 0;
    const char *p = nj_arena_text(&((host_batch *)w->opaque)->arena, s, n);
    host_in_process = inside;
    return p;
}

/* A stamp of noise with a source in the middle; the odd kinds get cut, NaN and huge ones. */
static inline const nj_image *host_image(const nj_work *w, uint32_t need, uint32_t row)
{
    host_batch *b = w->opaque;
    row_spec s = b->spec[row];
    uint32_t rows = s.kind == ROW_UNSORTED    ? 41
                    : s.kind == ROW_ONE_POINT ? 1
                                              : 63,
             cols = s.kind == ROW_ONE_POINT ? 1 : 63;
    if (need >= b->in->n_needs || s.kind == ROW_ALL_NULL || s.kind == ROW_EMPTY) return NULL;
    int inside = host_in_process;
    host_in_process = 0;
    nj_image *image = nj_arena_zalloc(&b->arena, sizeof *image);
    float *pixel = nj_arena_alloc(&b->arena, (size_t)rows * cols * sizeof *pixel);
    host_in_process = inside;
    if (!image || !pixel) return NULL;
    *image = (nj_image){ .pixel = pixel, .rows = rows, .cols = cols };
    uint64_t seed = mix(s.seed ^ text_hash(b->in->need[need].path, strlen(b->in->need[need].path)));
    for (uint32_t i = 0; i < rows * cols; i++) {
        double u = uniform(seed + 2 * i), v = uniform(seed + 2 * i + 1), dy = i / cols - rows / 2.0,
               dx = i % cols - cols / 2.0;
        pixel[i] = (float)(5 * sqrt(-2 * log(u + 1e-18)) * cos(6.283185307179586 * v) +
                           300 * (s.seed % 3) * exp(-(dx * dx + dy * dy) / 8));
        if (s.kind == ROW_NAN && v < 0.1) pixel[i] = v < 0.09 ? NAN : -3.4e38f;
        image->n_nan += isnan(pixel[i]);
    }
    return image;
}

/* --- batches --- */

static inline void build_need(host_batch *b, uint32_t k)
{
    const nj_need *need = &b->in->need[k];
    nj_col *col = &b->col[k];
    if (need->shape == NJ_IMAGE) return;
    size_t size = nj_type_size(need->type), total = b->n;
    uint32_t *off = NULL;
    if (need->shape == NJ_SERIES) {
        off = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *off);
        off[0] = 0;
        for (uint32_t r = 0; r < b->n; r++) off[r + 1] = off[r] + n_points(need->path, b->spec[r]);
        total = off[b->n];
    }
    char *data = nj_arena_alloc(&b->arena, total * size + 64);
    for (uint32_t r = 0; r < b->n; r++) {
        uint32_t n = off ? off[r + 1] - off[r] : 1;
        for (uint32_t i = 0; i < n; i++) {
            size_t at = off ? off[r] + i : r;
            if (need->type == NJ_STR)
                ((const char **)(void *)data)[at] = text_at(need, b->spec[r]);
            else
                store(need->type, data, at, number_at(need, b->spec[r], i, n));
        }
    }
    *col = (nj_col){ data, off };
}

static inline void allocate_gives(host_batch *b)
{
    for (uint32_t k = 0; k < b->in->n_gives; k++) {
        const nj_give *give = &b->in->give[k];
        const uint32_t *off = give->width ? NULL : b->col[give->like].off;
        size_t n = give->width ? (size_t)b->n * give->width : off ? off[b->n] : 0;
        b->out_n[k] = n;
        b->out[k] = nj_arena_alloc(&b->arena, n * nj_type_size(give->type) + 64);
        nj_fill_null(give->type, b->out[k], n);
    }
}

/* Empties the outputs for another run over the same input. */
static inline void reset_outputs(host_batch *b)
{
    allocate_gives(b);
    memset(b->reason, NJ_NO_REASON, b->n + 1);
}

static inline void begin_batch(host_batch *b, const nj_instance *in, const row_spec *spec, uint32_t n)
{
    *b = (host_batch){ .in = in, .n = n, .spec = spec };
    nj_arena *a = &b->arena;
    b->col = nj_arena_zalloc(a, (in->n_needs + 1) * sizeof *b->col);
    b->in_col = nj_arena_zalloc(a, (in->n_needs + 1) * sizeof *b->in_col);
    b->out = nj_arena_zalloc(a, (in->n_gives + 1) * sizeof *b->out);
    b->out_n = nj_arena_zalloc(a, (in->n_gives + 1) * sizeof *b->out_n);
    b->reason = nj_arena_alloc(a, n + 1);
    b->id = nj_arena_alloc(a, (n + 1) * sizeof *b->id);
    for (uint32_t k = 0; k < in->n_needs; k++) b->in_col[k] = &b->col[k];
}

static inline void build_batch(host_batch *b, const nj_instance *in, const row_spec *spec, uint32_t n)
{
    begin_batch(b, in, spec, n);
    for (uint32_t r = 0; r < n; r++) b->id[r] = (int64_t)(mix(spec[r].seed) >> 2);
    for (uint32_t k = 0; k < in->n_needs; k++) build_need(b, k);
    reset_outputs(b);
}

static inline void free_batch(host_batch *b)
{
    nj_arena_free(&b->arena);
    nj_arena_free(&b->scratch);
}

/* --- calls --- */

typedef struct host_thread {
    void *block;
    const nj_instance *in;
} host_thread;

static inline host_thread open_thread(const nj_instance *in)
{
    host_thread t = { NULL, in };
    size_t size = (in->module->thread_size + 127) & ~(size_t)63;
    assert_int_equal(posix_memalign(&t.block, 64, size), 0);
    memset(t.block, 0, size);
    if (in->module->thread_open) assert_int_equal(in->module->thread_open(in->self, t.block), NJ_OK);
    return t;
}

static inline void close_thread(host_thread *t)
{
    if (t->in->module->thread_close) t->in->module->thread_close(t->in->self, t->block);
    free(t->block);
    t->block = NULL;
}

typedef int (*process_function)(const void *, void *, const nj_work *);

/* Calls process on rows[0..n) in slices of at most `slice` rows. */
static inline int call_rows(host_batch *b, host_thread *t, process_function process, const uint32_t *rows,
                            uint32_t n, uint32_t slice)
{
    nj_work w = { .size = sizeof w,
                  .in = b->in_col,
                  .out = b->out,
                  .reason = b->reason,
                  .id = b->id,
                  .opaque = b,
                  .scratch = host_scratch,
                  .text = host_text,
                  .image = host_image };
    for (uint32_t at = 0; at < n; at += slice) {
        w.row = rows + at;
        w.n = n - at < slice ? n - at : slice;
        host_in_process = 1;
        int rc = process(b->in->self, t->block, &w);
        host_in_process = 0;
        nj_arena_reset(&b->scratch);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

static inline int call_all(host_batch *b, host_thread *t, process_function process, uint32_t slice)
{
    uint32_t *rows = nj_arena_alloc(&b->arena, (b->n + 1) * sizeof *rows);
    for (uint32_t r = 0; r < b->n; r++) rows[r] = r;
    return call_rows(b, t, process, rows, b->n, slice);
}

/* --- the instances of a test --- */

typedef struct host {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
} host;

/* Opens the built-in modules with the given settings text (may be NULL);
 * instances whose data are not here are off. */
static inline void open_host(host *h, const char *ini, const char *select, const char *data_path)
{
    nj_error err = { "" };
    *h = (host){ .set = { .data_path = data_path } };
    if (nj_modules_builtin(&h->modules, &err) ||
        (ini && nj_settings_ini(&h->settings, "test.ini", ini, &err)) ||
        nj_instances_choose(&h->set, &h->modules, &h->settings, select, &err) ||
        nj_instances_open(&h->set, select, &err))
        fail_msg("%s", err.text);
}

static inline void close_host(host *h)
{
    nj_instances_close(&h->set);
    nj_settings_free(&h->settings);
    nj_modules_free(&h->modules);
}

#endif
