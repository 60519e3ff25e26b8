/* parquet.h - reads Parquet files: flat columns and nested ones (structs, lists of structs), page by page, in
 * bounded memory whatever the file claims.
 *
 * Encodings: PLAIN, PLAIN_DICTIONARY / RLE_DICTIONARY, RLE (booleans), DELTA_BINARY_PACKED,
 * DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY, BYTE_STREAM_SPLIT; data pages v1 and v2. Compression: none,
 * Snappy, gzip, Zstandard. Not: Brotli, LZ4, LZO, encryption, columns in other files.
 *
 * A file may be read by several threads at once, each with columns (cursors) of its own. */
#ifndef NJ_PARQUET_PARQUET_H
#define NJ_PARQUET_PARQUET_H

#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef struct nj_parquet nj_parquet;
typedef struct nj_parquet_column nj_parquet_column; /* a cursor over one leaf, from row 0 on */

typedef enum nj_parquet_type {                  /* how a value stands in nj_parquet_values.value */
                               NJ_PARQUET_BOOL, /* uint8_t, 0 or 1 */
                               NJ_PARQUET_I32,
                               NJ_PARQUET_I64,
                               NJ_PARQUET_F32,
                               NJ_PARQUET_F64,  /* int32_t int64_t float double */
                               NJ_PARQUET_BYTES /* nj_parquet_bytes */
} nj_parquet_type;

typedef enum nj_parquet_kind {                   /* what the value means */
                               NJ_PARQUET_PLAIN, /* a number, or bytes */
                               NJ_PARQUET_TEXT,  /* UTF-8 */
                               NJ_PARQUET_UNSIGNED,
                               NJ_PARQUET_TIME_MS,
                               NJ_PARQUET_TIME_US,
                               NJ_PARQUET_TIME_NS, /* since 1970; INT96 comes as NS */
                               NJ_PARQUET_DECIMAL  /* value * 10^-scale */
} nj_parquet_kind;

typedef struct nj_parquet_bytes {
    const uint8_t *data; /* not NUL-terminated */
    uint32_t n;
} nj_parquet_bytes;

typedef struct nj_parquet_leaf {
    const char *path; /* all names of the schema: "prv_candidates.list.element.jd" */
    const char *name; /* without the levels that lists add: "prv_candidates.jd" */
    nj_parquet_type type;
    nj_parquet_kind kind;
    int32_t scale;            /* of a decimal */
    uint8_t max_def, max_rep; /* max_rep 0: one value per row; 1: a list per row; 2: lists of lists */
    uint8_t item_def;         /* def >= item_def: an element of the innermost list;
                               * item_def - 1: an empty list; less: no list */
} nj_parquet_leaf;

/* The schema in preorder; node 0 is the root, whose name means nothing. */
typedef struct nj_parquet_node {
    const char *name; /* n_name bytes, not NUL-terminated; lives as long as the file */
    uint32_t n_name;
    uint32_t n_children; /* 0: a leaf */
    uint32_t leaf;       /* its index; of a group that of its first leaf; UINT32_MAX of a group of nothing */
    uint8_t repetition;  /* 0 required, 1 optional, 2 repeated */
    uint8_t is_list, is_map;
} nj_parquet_node;

/* Rows read from one leaf. Level entries stand in row order; a flat column has one per row, a list one per
 * element and one for an empty or absent list. Pointers live until the column's next read or close. */
typedef struct nj_parquet_values {
    uint64_t n_rows;
    uint32_t n_levels;
    const uint32_t *row_start; /* [n_rows + 1] first level entry of each row;
                                * NULL for a flat column (max_rep 0) */
    const uint8_t *def, *rep;  /* [n_levels]; NULL when the leaf's max_def or max_rep is 0 */
    const void *value;         /* [n_levels] by the leaf's type; undefined where def < max_def (null) */
} nj_parquet_values;

/* Maps the file and reads its footer; err names the file and what is wrong. */
nj_parquet *nj_parquet_open(const char *path, nj_error *err);
/* The same on bytes that live as long as the file; name is for messages. */
nj_parquet *nj_parquet_memory(const char *name, const void *bytes, size_t n, nj_error *err);
void nj_parquet_close(nj_parquet *file); /* NULL allowed; columns must be closed before */

uint64_t nj_parquet_rows(const nj_parquet *file);
uint32_t nj_parquet_leaves(const nj_parquet *file);
const nj_parquet_leaf *nj_parquet_leaf_at(const nj_parquet *file, uint32_t leaf);
const nj_parquet_node *nj_parquet_nodes(const nj_parquet *file, uint32_t *n);
/* Index of the leaf of that name or path; -1 when there is none. */
int nj_parquet_find(const nj_parquet *file, const char *name);

nj_parquet_column *nj_parquet_column_open(const nj_parquet *file, uint32_t leaf, nj_error *err);
/* The next n_rows rows (n_rows <= 2^20), fewer at the end of the file, 0 rows behind it. -1: the column is
 * damaged or in a form not supported; err says where. */
int nj_parquet_read(nj_parquet_column *column, uint32_t n_rows, nj_parquet_values *out, nj_error *err);
/* The next row read is the first one of this row group. */
void nj_parquet_column_seek(nj_parquet_column *column, uint32_t group);
void nj_parquet_column_close(nj_parquet_column *column); /* NULL allowed */

/* thrift.c: what the reader and the footer share. */
typedef struct nj_parquet_chunk { /* one leaf in one row group */
    uint64_t offset, size;        /* first page, all pages */
    int64_t n_values;             /* level entries */
    int32_t codec, type;
} nj_parquet_chunk;

typedef struct nj_parquet_page {
    int32_t kind, packed, plain; /* data v1 0, index 1, dictionary 2, data v2 3; bytes compressed and not */
    int32_t n_values, encoding, def_encoding, rep_encoding, def_bytes, rep_bytes, compressed;
} nj_parquet_page;

struct nj_parquet {
    char *name;
    const uint8_t *bytes;
    size_t n;
    int mapped;
    uint64_t n_rows;
    uint32_t n_leaves, n_groups, n_nodes;
    nj_parquet_leaf *leaf;
    nj_parquet_node *node;
    int32_t *physical, *fixed_size; /* [n_leaves] type and size as in the schema */
    uint64_t *group_rows;           /* [n_groups] */
    nj_parquet_chunk *chunk;        /* [n_groups * n_leaves] */
};

/* Fills leaves, groups and chunks from the footer's bytes. */
int nj_parquet_footer(nj_parquet *file, const uint8_t *bytes, size_t n, nj_error *err);
/* Bytes of the page header at p, or 0 when it is damaged. */
size_t nj_parquet_page_header(const uint8_t *p, size_t n, nj_parquet_page *page);

#endif
