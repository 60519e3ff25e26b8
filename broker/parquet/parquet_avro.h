/* parquet_avro.h - rows of a Parquet file as Avro datums with one schema: what decode reads from any stream.
 *
 * Structs are records, lists arrays, maps with text keys maps, whatever may be null a union with null; text
 * is string, other bytes are bytes, decimals double, unsigned numbers long (2^63 and more is an error).
 * One thread at a time. */
#ifndef NJ_PARQUET_PARQUET_AVRO_H
#define NJ_PARQUET_PARQUET_AVRO_H

#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

/* A column that the file lacks and its folder names: finkclass=Unknown/. */
typedef struct nj_folder_column {
    const char *name;
    const char *value; /* NULL = null */
    int is_long;       /* value is a whole number, and so in all files of the source */
} nj_folder_column;

typedef struct nj_parquet_avro nj_parquet_avro;

/* The folder's columns stand behind the file's; one that the file has too is left out. Their texts are
 * copied. NULL with err, which names the file. */
nj_parquet_avro *nj_parquet_avro_open(const char *path, const nj_folder_column *column, uint32_t n_columns,
                                      nj_error *err);
void nj_parquet_avro_close(nj_parquet_avro *rows); /* NULL allowed */
/* The JSON schema; lives as long as rows. The same for all files of the same columns. */
const char *nj_parquet_avro_schema(const nj_parquet_avro *rows, size_t *size);
uint64_t nj_parquet_avro_count(const nj_parquet_avro *rows);
uint32_t nj_parquet_avro_groups(const nj_parquet_avro *rows);
/* From here on only the rows of this row group; returns the number of its first one in the file. */
uint64_t nj_parquet_avro_seek(nj_parquet_avro *rows, uint32_t group);
/* The next row: 1, 0 behind the last one, -1: a column is damaged. The bytes live until the next call. */
int nj_parquet_avro_next(nj_parquet_avro *rows, const uint8_t **datum, size_t *size, nj_error *err);

#endif
