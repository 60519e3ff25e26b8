/* wire.h - the protobuf wire format: one field after the other, none beyond the end of the bytes. */
#ifndef NJ_MODEL_WIRE_H
#define NJ_MODEL_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct wire {
    const uint8_t *at, *end;
} wire;

typedef struct field {
    uint32_t number, type; /* 0 varint, 1 eight bytes, 2 a length and bytes, 5 four bytes */
    uint64_t value;        /* types 0, 1, 5 */
    wire bytes;            /* type 2 */
} field;

static inline int read_long_varint(wire *w, uint64_t *value)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->at == w->end) return -1;
        uint8_t byte = *w->at++;
        v |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *value = v;
            return 0;
        }
    }
    return -1;
}

/* Nearly all are one byte: a forest has millions of them, and each one has a key. */
static inline int read_varint(wire *w, uint64_t *value)
{
    if (w->at == w->end || *w->at & 128) return read_long_varint(w, value);
    *value = *w->at++;
    return 0;
}

/* 1 = a field, 0 = end, -1 = broken. */
static inline int next_field(wire *w, field *f)
{
    if (w->at == w->end) return 0;
    uint64_t key, n;
    if (read_varint(w, &key) || key >> 3 == 0 || key >> 35) return -1;
    *f = (field){ .number = (uint32_t)(key >> 3), .type = (uint32_t)(key & 7) };
    size_t left = (size_t)(w->end - w->at);
    switch (f->type) {
    case 0: return read_varint(w, &f->value) ? -1 : 1;
    case 1:
        if (left < 8) return -1;
        memcpy(&f->value, w->at, 8);
        w->at += 8;
        return 1;
    case 5: {
        uint32_t four;
        if (left < 4) return -1;
        memcpy(&four, w->at, 4);
        f->value = four;
        w->at += 4;
        return 1;
    }
    case 2:
        if (read_varint(w, &n) || n > (uint64_t)(w->end - w->at)) return -1;
        f->bytes = (wire){ w->at, w->at + n };
        w->at += n;
        return 1;
    default: return -1;
    }
}

#endif
