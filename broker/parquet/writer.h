/* writer.h - writes Parquet files: flat columns and lists, every value nullable. Rows are kept as columns
 * until their row group is written; a file can be read when its footer is there.
 *
 * Data pages v1, PLAIN or a dictionary where that is smaller; statistics of each column chunk, a checksum of
 * each page. */
#ifndef NJ_PARQUET_WRITER_H
#define NJ_PARQUET_WRITER_H

#include <stdbool.h>
#include <string.h>

#include "../base/buffer.h"
#include "../base/error.h"
#include "format.h"
#include "parquet.h"

typedef struct nj_parquet_new {
    const char *name;     /* lives as long as the writer */
    nj_parquet_type type; /* not BOOL */
    nj_parquet_kind kind; /* PLAIN, TEXT (of BYTES), UNSIGNED (of I32: a byte) */
    bool list;
    const char *group; /* a struct that has it and its neighbours of the same one; NULL = none */
} nj_parquet_new;

/* How much of a value there is: of a flat column 0 = null, 1 = a value; of a list 0 = null, 1 = an empty
 * list, 2 = a null in it, 3 = a value in it; NJ_PARQUET_MORE: of the same row as the one before. */
enum { NJ_PARQUET_MORE = 16 };

/* The open row group of one column. */
typedef struct nj_parquet_store {
    nj_buffer value; /* those that are there, as PLAIN has them */
    nj_buffer level; /* a byte for each entry, as above */
} nj_parquet_store;

typedef int nj_parquet_write(void *opaque, const void *bytes, size_t n, nj_error *err);

typedef struct nj_parquet_writer {
    const nj_parquet_new *column;
    uint32_t n_columns;
    int codec, level; /* NJ_PQ_NONE, _SNAPPY, _GZIP, _ZSTD */
    uint32_t page_bytes;
    nj_parquet_write *write;
    void *opaque;
    const char *created_by;
    /* the open row group */
    nj_parquet_store *store;  /* [n_columns] */
    uint64_t n_open, n_bytes; /* rows; bytes of all stores */
    /* the footer so far */
    nj_buffer schema, groups, keys; /* items of lists, in Thrift */
    uint32_t n_schema, n_groups, n_keys;
    uint64_t n_rows;        /* in groups */
    uint64_t plain, packed; /* bytes of stores that were written, and what became of them */
    struct nj_parquet_packing *packing;
} nj_parquet_writer;

/* codec ... created_by are the caller's to fill in first. -1 with err: out of memory. */
int nj_parquet_writer_begin(nj_parquet_writer *w, const nj_parquet_new *column, uint32_t n, nj_error *err);
void nj_parquet_writer_free(nj_parquet_writer *w);

/* One entry of a column: its level, and the bytes of its value when there is one. */
static inline void nj_parquet_put(nj_parquet_writer *w, uint32_t c, uint8_t level, const void *value,
                                  size_t n)
{
    nj_parquet_store *s = &w->store[c];
    char *at = nj_buffer_room(&s->level, 1);
    if (at) *at = (char)level, s->level.n++;
    if (n) nj_buffer_add(&s->value, value, n);
    w->n_bytes += n + 1;
}
static inline void nj_parquet_put_text(nj_parquet_writer *w, uint32_t c, uint8_t level, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    nj_parquet_put(w, c, level, &n, sizeof n);
    nj_buffer_add(&w->store[c].value, text, n);
    w->n_bytes += n;
}
/* Memory was short for one of them. */
bool nj_parquet_failed(const nj_parquet_writer *w);

/* The open rows as a row group, which begins at byte `at` of the file. Nothing without rows. */
int nj_parquet_write_group(nj_parquet_writer *w, uint64_t at, nj_error *err);
/* The open rows are no more. */
void nj_parquet_drop_rows(nj_parquet_writer *w);
/* A key and its value, for the footer. */
void nj_parquet_add_key(nj_parquet_writer *w, const char *key, const char *value);
/* Is there such a key? */
bool nj_parquet_has_key(const nj_parquet_writer *w, const char *key);
int nj_parquet_write_footer(nj_parquet_writer *w, nj_error *err);

/* To continue with a file: row groups and keys of the footer that ends at bytes + n. *footer: where it
 * begins. 1: it has other columns; -1: there is no such footer. */
int nj_parquet_take_up(nj_parquet_writer *w, const uint8_t *bytes, size_t n, size_t *footer);

#endif
