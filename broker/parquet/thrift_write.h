/* thrift_write.h - Thrift's compact protocol, writing. Memory shortage shows in the buffer's `failed`. */
#ifndef NJ_PARQUET_THRIFT_WRITE_H
#define NJ_PARQUET_THRIFT_WRITE_H

#include "../base/buffer.h"
#include "thrift.h"

/* A struct that is being written; ids go up. */
typedef struct nj_thrift_out {
    nj_buffer *to;
    int id; /* of the field before */
} nj_thrift_out;

void nj_thrift_put_bool(nj_thrift_out *t, int id, int value);
void nj_thrift_put_byte(nj_thrift_out *t, int id, int8_t value);
void nj_thrift_put_i32(nj_thrift_out *t, int id, int32_t value);
void nj_thrift_put_i64(nj_thrift_out *t, int id, int64_t value);
void nj_thrift_put_binary(nj_thrift_out *t, int id, const void *bytes, size_t n);
void nj_thrift_put_text(nj_thrift_out *t, int id, const char *text);
/* A field that is a struct; nj_thrift_end() ends it. */
nj_thrift_out nj_thrift_put_struct(nj_thrift_out *t, int id);
void nj_thrift_end(nj_thrift_out *t);
/* A field that is a list of n items of a type; they follow, each as nj_thrift_item_... or as a struct whose
 * nj_thrift_out is { to, 0 }. */
void nj_thrift_put_list(nj_thrift_out *t, int id, int type, uint32_t n);
void nj_thrift_item_i32(nj_buffer *to, int32_t value);
void nj_thrift_item_binary(nj_buffer *to, const void *bytes, size_t n);

#endif
