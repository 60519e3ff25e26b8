/* avro_value.h - values of Parquet in Avro's binary encoding. */
#ifndef NJ_PARQUET_AVRO_VALUE_H
#define NJ_PARQUET_AVRO_VALUE_H

#include "../base/buffer.h"
#include "parquet.h"

void nj_parquet_put_long(nj_buffer *b, int64_t value);
void nj_parquet_put_bytes(nj_buffer *b, const void *bytes, size_t n);
/* The schema of a leaf that is not null, as JSON. */
const char *nj_parquet_avro_type(const nj_parquet_leaf *leaf);
/* Value `at` of what was read. */
void nj_parquet_put_value(nj_buffer *b, const nj_parquet_leaf *leaf, const void *value, uint32_t at);

#endif
