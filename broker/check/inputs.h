/* inputs.h - batches for one module, made row by row from seeds: what a row holds depends on its own kind and
 * seed alone, so that the same row can stand anywhere in any batch, and be made again from two numbers. */
#ifndef NJ_CHECK_INPUTS_H
#define NJ_CHECK_INPUTS_H

#include "../batch/batch.h"
#include "../graph/instance.h"

/* What a row looks like. */
typedef enum nj_made_kind {
    NJ_MADE_TYPICAL,
    NJ_MADE_EMPTY, /* series without points, no stamps */
    NJ_MADE_ONE_POINT,
    NJ_MADE_ALL_NULL,
    NJ_MADE_NAN,      /* NaN, infinities, huge and tiny numbers among plausible ones */
    NJ_MADE_UNSORTED, /* times in any order; stamps that are cut at an edge */
    NJ_MADE_GIANT,    /* NJ_MADE_GIANT_POINTS points */
    NJ_MADE_KINDS
} nj_made_kind;
extern const char *const nj_made_kind_name[NJ_MADE_KINDS];

typedef struct nj_made_row {
    nj_made_kind kind;
    uint64_t seed;
} nj_made_row;

enum { NJ_MADE_GIANT_POINTS = 3000 };

/* A batch of n rows as process() sees it, and the outputs of the calls. */
typedef struct nj_made_batch {
    nj_arena arena;   /* columns, outputs, texts */
    nj_arena scratch; /* of one call */
    nj_arena texts;   /* that the calls made */
    const nj_instance *in;
    uint32_t n;
    const nj_made_row *row; /* [n]; the caller's */
    nj_col *col;            /* [n_needs] */
    const nj_col **in_col;
    const nj_image **image; /* [n_needs * n]; opened at the first call, as the host does */
    void **out;             /* [n_gives], fenced; elements of each in out_n */
    size_t *out_n;
    uint8_t *reason;
    int64_t *id;
} nj_made_batch;

/* Numbers from a seed: a hash, and one of [0, 1). */
uint64_t nj_made_hash(uint64_t x);
double nj_made_uniform(uint64_t seed);
/* Stores v as an element of that type; what the type cannot hold becomes its "no answer". */
/* The first need whose values or pixels are no longer those that were made, or -1. */
int nj_made_changed(const nj_made_batch *b);
/* Have columns of these paths the same points? */
bool nj_made_is_like(const char *path, const char *other);
void nj_made_store(nj_type type, void *data, size_t i, double v);

/* Columns, ids and empty outputs. -1 = out of memory; free it in either case. */
int nj_made_build(nj_made_batch *b, const nj_instance *in, const nj_made_row *row, uint32_t n);
/* The same without any column, for a caller that fills them; then nj_made_need() for those it does not have,
 * and nj_made_clear(). */
int nj_made_begin(nj_made_batch *b, const nj_instance *in, const nj_made_row *row, uint32_t n);
int nj_made_need(nj_made_batch *b, uint32_t need);
/* Empties the outputs for another call over the same inputs. */
int nj_made_clear(nj_made_batch *b);
void nj_made_free(nj_made_batch *b);
/* Elements of a give in a row: their number, and the first of them. */
size_t nj_made_width(const nj_made_batch *b, uint32_t give, uint32_t row, size_t *first);
/* Are the bytes around every output as they were? The give that is not, or -1. */
int nj_made_fence(const nj_made_batch *b);

typedef int (*nj_process)(const void *self, void *thread, const nj_work *w);

/* A module's block of one thread. */
typedef struct nj_made_thread {
    void *block;
    const nj_instance *in;
} nj_made_thread;

int nj_made_thread_open(nj_made_thread *t, const nj_instance *in); /* 0, or what thread_open() said */
void nj_made_thread_close(nj_made_thread *t);
/* Calls it for rows[0..n) in slices of at most `slice` rows. 0, or the first status that is not. */
int nj_made_call(nj_made_batch *b, nj_made_thread *t, nj_process process, const uint32_t *rows, uint32_t n,
                 uint32_t slice);
int nj_made_call_all(nj_made_batch *b, nj_made_thread *t, nj_process process, uint32_t slice);

/* The services of such a call, for one that is built by hand: opaque is an nj_made_batch. */
void *nj_made_scratch(const nj_work *w, size_t bytes);
const char *nj_made_text(const nj_work *w, const char *text, size_t n);

/* Set while process() itself runs in this thread, and not while it is inside of a service of its host. */
extern _Thread_local int nj_made_inside;

#endif
