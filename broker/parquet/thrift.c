/* thrift.c - a Parquet file's metadata is in Thrift's compact protocol; this reads as much of that protocol
 * as Parquet uses. */
#include "thrift.h"

uint64_t nj_thrift_varint(nj_thrift *r)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->p == r->end) break;
        uint8_t b = *r->p++;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return v;
    }
    r->bad = 1;
    r->p = r->end;
    return 0;
}

int64_t nj_thrift_zigzag(nj_thrift *r)
{
    uint64_t v = nj_thrift_varint(r);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

int32_t nj_thrift_i32(nj_thrift *r)
{
    int64_t v = nj_thrift_zigzag(r);
    if (v < INT32_MIN || v > INT32_MAX) r->bad = 1;
    return (int32_t)v;
}

/* The next field of a struct; 0 at its end. id is that of the field before, 0 at first. */
int nj_thrift_next(nj_thrift *r, nj_thrift_field *f)
{
    if (r->bad || r->p == r->end) {
        r->bad = 1;
        return 0;
    }
    uint8_t b = *r->p++;
    f->type = b & 15;
    if (f->type == NJ_THRIFT_STOP) return 0;
    f->id = b >> 4 ? f->id + (b >> 4) : (int)nj_thrift_zigzag(r);
    return !r->bad;
}

uint32_t nj_thrift_list(nj_thrift *r, int *type)
{
    if (r->p == r->end) {
        r->bad = 1;
        return 0;
    }
    uint8_t b = *r->p++;
    uint64_t n = b >> 4;
    *type = b & 15;
    if (n == 15) n = nj_thrift_varint(r);
    if (n > (uint64_t)(r->end - r->p)) r->bad = 1; /* every element takes a byte at least */
    return r->bad ? 0 : (uint32_t)n;
}

const uint8_t *nj_thrift_binary(nj_thrift *r, uint32_t *n)
{
    uint64_t size = nj_thrift_varint(r);
    if (r->bad || size > (uint64_t)(r->end - r->p)) {
        r->bad = 1;
        *n = 0;
        return r->end;
    }
    const uint8_t *p = r->p;
    r->p += size;
    *n = (uint32_t)size;
    return p;
}

void nj_thrift_skip(nj_thrift *r, int type, int depth)
{
    uint32_t n;
    int of, value;
    if (depth > NJ_THRIFT_DEPTH) r->bad = 1;
    if (r->bad) return;
    switch (type) {
    case NJ_THRIFT_TRUE:
    case NJ_THRIFT_FALSE: return;
    case NJ_THRIFT_BYTE:
        if (r->p == r->end)
            r->bad = 1;
        else
            r->p++;
        return;
    case NJ_THRIFT_I16:
    case NJ_THRIFT_I32:
    case NJ_THRIFT_I64: nj_thrift_varint(r); return;
    case NJ_THRIFT_DOUBLE:
        if (r->end - r->p < 8)
            r->bad = 1;
        else
            r->p += 8;
        return;
    case NJ_THRIFT_BINARY: nj_thrift_binary(r, &n); return;
    case NJ_THRIFT_LIST:
    case NJ_THRIFT_SET:
        n = nj_thrift_list(r, &of);
        for (; n && !r->bad; n--)
            if (of == NJ_THRIFT_TRUE || of == NJ_THRIFT_FALSE)
                r->p++; /* in a list a boolean takes its byte */
            else
                nj_thrift_skip(r, of, depth + 1);
        return;
    case NJ_THRIFT_MAP: {
        uint64_t pairs = nj_thrift_varint(r);
        if (!pairs) return;
        if (pairs > (uint64_t)(r->end - r->p)) break;
        of = *r->p >> 4;
        value = *r->p++ & 15;
        for (; pairs && !r->bad; pairs--) {
            nj_thrift_skip(r, of, depth + 1);
            nj_thrift_skip(r, value, depth + 1);
            if (r->p == r->end && pairs > 1) r->bad = 1;
        }
        return;
    }
    case NJ_THRIFT_STRUCT: {
        nj_thrift_field f = { 0 };
        while (nj_thrift_next(r, &f)) nj_thrift_skip(r, f.type, depth + 1);
        return;
    }
    default: break;
    }
    r->bad = 1;
}
