/* batch.h - a few dozen alerts of one survey as columns, with the packets they came from.
 *
 * Owner: one thread at a time (compute, then output). A batch is freed once every sink has copied what it
 * needs; what must live longer (offsets, counts) is in its receipts. */
#ifndef NJ_BATCH_BATCH_H
#define NJ_BATCH_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/arena.h"
#include "../base/reason.h"
#include "chunk.h"
#include "nightjar/module.h"

enum { NJ_SCIENCE, NJ_TEMPLATE, NJ_DIFFERENCE, NJ_STAMPS, NJ_PLANES = 16 };
extern const char *const nj_stamp_name[NJ_STAMPS]; /* "stamp.science", "stamp.template", "stamp.difference" */

/* A column that decode fills. Columns of one series group (the part before the dot:
 * "lc") share their offsets. */
typedef struct nj_column_def {
    const char *path; /* "candid", "lc.mag", "packet.candidate.sgscore1", "packet.fp_hists[].rcid" */
    nj_type type;
    nj_shape shape;   /* NJ_SCALAR or NJ_SERIES */
    const char *unit; /* as the asker wants it */
    double scale;     /* multiply a packet's number by this; 1 = as it stands */
} nj_column_def;

/* A further HDU of a stamp that a module may open: "stamp.science[UNCERT]", "stamp.science[2]". */
typedef struct nj_plane_def {
    const char *path;
    const char *hdu; /* name or number, as text */
    uint8_t stamp;   /* NJ_SCIENCE ... */
} nj_plane_def;

/* The columns of one survey: resolved once by the graph, then read-only for the rest of the run. */
typedef struct nj_layout {
    const char *survey;
    uint32_t n_packet; /* col[0 .. n_packet) come from the packet;
                        * a batch has n in all (the rest is the graph's) */
    uint32_t n;
    const nj_column_def *col; /* [n_packet] */
    uint8_t stamps;           /* bit per stamp that a module may open */
    uint8_t n_planes;         /* up to NJ_PLANES; their stamps are among those of `stamps` */
    const nj_plane_def *plane;
    const void *owner; /* what its maker keeps with it: the survey of a run, the graph of a command */
} nj_layout;

/* Where one row came from. */
typedef struct nj_row {
    nj_chunk *chunk;
    uint32_t record;      /* number of the record in its chunk, from 0 */
    const uint8_t *datum; /* the Avro datum, in the chunk or in the batch's arena (compressed block) */
    uint32_t size;
    const uint64_t *absent; /* bit per packet column (layout order) that the writer schema lacks;
                             * read-only, as old as the batch */
    const char *schema;     /* name of the writer schema; as old as the batch */
    const char *json; /* the writer schema, json_size bytes; as old as the batch; NULL = there is none */
    size_t json_size;
} nj_row;

enum { NJ_STAMP_NONE, NJ_STAMP_PACKED, NJ_STAMP_OPEN, NJ_STAMP_BAD };
typedef struct nj_stamp {
    const uint8_t *bytes; /* as in the packet: gzip, FITS, JPEG ...; NULL = absent */
    uint32_t size;
    uint8_t state; /* NJ_STAMP_*: absent, not opened yet, opened (image is valid), unreadable */
    nj_image image;
    const char *hdu; /* which image of it, by name or number; NULL = the first */
} nj_stamp;

/* A packet that could not become a row. */
typedef struct nj_dead {
    nj_chunk *chunk;
    uint32_t record;
    const uint8_t *bytes; /* the datum, the rest of the block, or the whole chunk */
    size_t size;
    const char *reason; /* says why, with the field; arena */
    const char *module; /* "decode", or the instance */
    const char *field;  /* path of the field, or NULL */
    bool kept;          /* its row is written all the same, without the answers of `module` */
} nj_dead;

/* Records of a chunk that are another shard's. */
typedef struct nj_others {
    nj_chunk *chunk;
    uint32_t record, n; /* n of them from this one on */
} nj_others;

/* How many alerts of a chunk are in this batch, and whether it was the chunk's last. */
typedef struct nj_receipt {
    nj_chunk *chunk; /* held */
    uint32_t n_rows, n_dead;
    bool last;
} nj_receipt;

typedef struct nj_batch {
    uint64_t seq; /* output order: (seq, part) */
    uint32_t part;
    bool last_part;
    bool later; /* the run ends: what is in this batch and in all behind it is not written, and comes again */
    const nj_layout *layout;    /* NULL: dead letters only */
    const void *graph;          /* the graph generation that made it */
    uint32_t n, cap;            /* rows, room for rows */
    nj_row *row;                /* [cap] */
    int64_t *id;                /* [cap] candid or diaSourceId; NJ_NO_I64 if the packet has none */
    nj_col *col;                /* [layout->n]; data and offsets in the arena */
    uint32_t *series_cap;       /* [layout->n_packet] room of each series, in elements: decode's own */
    nj_stamp *stamp[NJ_STAMPS]; /* [cap] each; NULL when no module opens that stamp */
    nj_stamp *plane[NJ_PLANES]; /* [cap] each; get them through nj_batch_plane() */
    nj_dead *dead;
    uint32_t n_dead, cap_dead;
    nj_others *others;
    uint32_t n_others, cap_others;
    nj_receipt *receipt;
    uint32_t n_receipts, cap_receipts;
    void *state;       /* the graph's outputs */
    int64_t oldest_ns; /* arrival of its oldest chunk */
    int64_t begin_ns, decoded_ns,
        computed_ns;     /* a compute thread began it; gave it to the modules; was through. 0 = not clocked */
    size_t budget_bytes; /* given back to the byte budget once the batch is written */
    nj_arena arena;      /* all of the above but the struct and the receipts */
} nj_batch;

nj_batch *nj_batch_new(void);
/* Empties a batch and gets it ready for cap rows of the layout: scalar columns allocated and set to "no
 * answer", offsets allocated. 0, or -1 when memory is short. layout NULL: for dead letters only. */
int nj_batch_begin(nj_batch *batch, const nj_layout *layout, uint32_t cap);
/* Drops the chunks it holds; the batch can be used again. */
void nj_batch_end(nj_batch *batch);
void nj_batch_free(nj_batch *batch);

/* Adds a dead letter (reason printf-style; it and field are copied). Bytes must live as long as the chunk or
 * the arena. */
__attribute__((format(printf, 8, 9))) int nj_batch_dead(nj_batch *batch, nj_chunk *chunk, uint32_t record,
                                                        const uint8_t *bytes, size_t size, const char *module,
                                                        const char *field, const char *reason, ...);
/* Notes records that are another shard's. -1: memory is short. */
int nj_batch_others(nj_batch *batch, nj_chunk *chunk, uint32_t record, uint32_t n);
/* The receipt of the chunk in this batch (made, and the chunk held, at the first call);
 * NULL when memory is short. */
nj_receipt *nj_batch_receipt(nj_batch *batch, nj_chunk *chunk);

/* The row's further HDU k of the layout, over the bytes of its stamp.
 * Opening it leaves the stamp as it is. */
nj_stamp *nj_batch_plane(nj_batch *batch, uint32_t k, uint32_t row);
/* Is the path "stamp.NAME[HDU]"? *stamp: which; *hdu: the text from the bracket on ("UNCERT]"). */
bool nj_plane_path(const char *path, uint8_t *stamp, const char **hdu);

/* Bytes of one value of a type. */
size_t nj_type_size(nj_type type);
const char *nj_type_name(nj_type type); /* "u8" "i32" "i64" "f32" "f64" "str" */
/* Element i of a column of numbers as a double; NaN for "no answer", and for texts. */
static inline double nj_number(nj_type type, const void *data, size_t i)
{
    switch (type) {
    case NJ_U8: return ((const uint8_t *)data)[i] == NJ_NO_U8 ? NAN : ((const uint8_t *)data)[i];
    case NJ_I32: return ((const int32_t *)data)[i] == NJ_NO_I32 ? NAN : ((const int32_t *)data)[i];
    case NJ_I64: return ((const int64_t *)data)[i] == NJ_NO_I64 ? NAN : (double)((const int64_t *)data)[i];
    case NJ_F32: return ((const float *)data)[i];
    case NJ_F64: return ((const double *)data)[i];
    default: return NAN;
    }
}
/* Sets n values to "no answer". */
void nj_fill_null(nj_type type, void *data, size_t n);
/* "done", "cut", ... of nj_reason; NULL for a code that is none.
 * nj_reason_name[] (base/reason.h) has all of them in order. */
enum { NJ_REASONS = NJ_SHED + 1, NJ_NO_REASON = 255 };

#endif
