/* avro_value.c - one value of a Parquet leaf as Avro has it. */
#include "avro_value.h"

#include <math.h>

void nj_parquet_put_long(nj_buffer *b, int64_t value)
{
    uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    uint8_t *p = (uint8_t *)nj_buffer_room(b, 10);
    if (!p) return;
    uint8_t *start = p;
    for (; v > 127; v >>= 7) *p++ = (uint8_t)(v | 128);
    *p++ = (uint8_t)v;
    b->n += (size_t)(p - start);
}

void nj_parquet_put_bytes(nj_buffer *b, const void *bytes, size_t n)
{
    nj_parquet_put_long(b, (int64_t)n);
    nj_buffer_add(b, bytes, n);
}

const char *nj_parquet_avro_type(const nj_parquet_leaf *leaf)
{
    if (leaf->kind == NJ_PARQUET_DECIMAL) return "\"double\"";
    switch (leaf->type) {
    case NJ_PARQUET_BOOL: return "\"boolean\"";
    case NJ_PARQUET_I32: return leaf->kind == NJ_PARQUET_UNSIGNED ? "\"long\"" : "\"int\"";
    case NJ_PARQUET_I64:
        if (leaf->kind == NJ_PARQUET_TIME_MS)
            return "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}";
        if (leaf->kind == NJ_PARQUET_TIME_US)
            return "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}";
        if (leaf->kind == NJ_PARQUET_TIME_NS)
            return "{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}";
        return "\"long\"";
    case NJ_PARQUET_F32: return "\"float\"";
    case NJ_PARQUET_F64: return "\"double\"";
    case NJ_PARQUET_BYTES: break;
    }
    return leaf->kind == NJ_PARQUET_TEXT ? "\"string\"" : "\"bytes\"";
}

static double decimal(const nj_parquet_leaf *leaf, const void *value, uint32_t at)
{
    double number = 0;
    if (leaf->type == NJ_PARQUET_I32)
        number = ((const int32_t *)value)[at];
    else if (leaf->type == NJ_PARQUET_I64)
        number = (double)((const int64_t *)value)[at];
    else if (leaf->type == NJ_PARQUET_BYTES) { /* two's complement, the highest byte first */
        const nj_parquet_bytes *b = &((const nj_parquet_bytes *)value)[at];
        for (uint32_t i = 0; i < b->n; i++)
            number = number * 256 + (i || b->data[0] < 128 ? b->data[i] : b->data[i] - 256);
    }
    return number / pow(10, leaf->scale);
}

void nj_parquet_put_value(nj_buffer *b, const nj_parquet_leaf *leaf, const void *value, uint32_t at)
{
    if (leaf->kind == NJ_PARQUET_DECIMAL) {
        double number = decimal(leaf, value, at);
        nj_buffer_add(b, &number, sizeof number);
        return;
    }
    switch (leaf->type) {
    case NJ_PARQUET_BOOL: nj_buffer_add(b, (const uint8_t *)value + at, 1); break;
    case NJ_PARQUET_I32: {
        int32_t number = ((const int32_t *)value)[at];
        nj_parquet_put_long(b, leaf->kind == NJ_PARQUET_UNSIGNED ? (int64_t)(uint32_t)number : number);
        break;
    }
    case NJ_PARQUET_I64: nj_parquet_put_long(b, ((const int64_t *)value)[at]); break;
    case NJ_PARQUET_F32: nj_buffer_add(b, (const float *)value + at, 4); break;
    case NJ_PARQUET_F64: nj_buffer_add(b, (const double *)value + at, 8); break;
    case NJ_PARQUET_BYTES: {
        const nj_parquet_bytes *bytes = &((const nj_parquet_bytes *)value)[at];
        nj_parquet_put_bytes(b, bytes->data, bytes->n);
        break;
    }
    }
}
