/* thrift_write.c - a Parquet file's metadata is in Thrift's compact protocol; this writes as much of that
 * protocol as Parquet uses. */
#include "thrift_write.h"

#include <string.h>

static void varint(nj_buffer *to, uint64_t v)
{
    uint8_t byte[10];
    size_t n = 0;
    for (; v > 127; v >>= 7) byte[n++] = (uint8_t)(v | 128);
    byte[n++] = (uint8_t)v;
    nj_buffer_add(to, byte, n);
}

static void zigzag(nj_buffer *to, int64_t v)
{
    varint(to, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void field(nj_thrift_out *t, int id, int type)
{
    int step = id - t->id;
    uint8_t head = (uint8_t)(step > 0 && step < 16 ? step << 4 | type : type);
    nj_buffer_add(t->to, &head, 1);
    if (step <= 0 || step >= 16) zigzag(t->to, id);
    t->id = id;
}

void nj_thrift_put_bool(nj_thrift_out *t, int id, int value)
{
    field(t, id, value ? NJ_THRIFT_TRUE : NJ_THRIFT_FALSE);
}

void nj_thrift_put_byte(nj_thrift_out *t, int id, int8_t value)
{
    field(t, id, NJ_THRIFT_BYTE);
    nj_buffer_add(t->to, &value, 1);
}

void nj_thrift_put_i32(nj_thrift_out *t, int id, int32_t value)
{
    field(t, id, NJ_THRIFT_I32);
    zigzag(t->to, value);
}

void nj_thrift_put_i64(nj_thrift_out *t, int id, int64_t value)
{
    field(t, id, NJ_THRIFT_I64);
    zigzag(t->to, value);
}

void nj_thrift_item_i32(nj_buffer *to, int32_t value)
{
    zigzag(to, value);
}

void nj_thrift_item_binary(nj_buffer *to, const void *bytes, size_t n)
{
    varint(to, n);
    nj_buffer_add(to, bytes, n);
}

void nj_thrift_put_binary(nj_thrift_out *t, int id, const void *bytes, size_t n)
{
    field(t, id, NJ_THRIFT_BINARY);
    nj_thrift_item_binary(t->to, bytes, n);
}

void nj_thrift_put_text(nj_thrift_out *t, int id, const char *text)
{
    nj_thrift_put_binary(t, id, text, strlen(text));
}

nj_thrift_out nj_thrift_put_struct(nj_thrift_out *t, int id)
{
    field(t, id, NJ_THRIFT_STRUCT);
    return (nj_thrift_out){ t->to, 0 };
}

void nj_thrift_end(nj_thrift_out *t)
{
    static const uint8_t stop = NJ_THRIFT_STOP;
    nj_buffer_add(t->to, &stop, 1);
}

void nj_thrift_put_list(nj_thrift_out *t, int id, int type, uint32_t n)
{
    field(t, id, NJ_THRIFT_LIST);
    uint8_t head = (uint8_t)((n < 15 ? n << 4 : 0xf0) | (uint32_t)type);
    nj_buffer_add(t->to, &head, 1);
    if (n >= 15) varint(t->to, n);
}
