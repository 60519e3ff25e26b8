/* thrift.h - Thrift's compact protocol, reading only. A reader that met what is not Thrift is `bad`, and
 * gives zeros from then on. */
#ifndef NJ_PARQUET_THRIFT_H
#define NJ_PARQUET_THRIFT_H

#include <stdint.h>

enum {
    NJ_THRIFT_STOP,
    NJ_THRIFT_TRUE,
    NJ_THRIFT_FALSE,
    NJ_THRIFT_BYTE,
    NJ_THRIFT_I16,
    NJ_THRIFT_I32,
    NJ_THRIFT_I64,
    NJ_THRIFT_DOUBLE,
    NJ_THRIFT_BINARY,
    NJ_THRIFT_LIST,
    NJ_THRIFT_SET,
    NJ_THRIFT_MAP,
    NJ_THRIFT_STRUCT
};
enum { NJ_THRIFT_DEPTH = 48 };

typedef struct nj_thrift {
    const uint8_t *p, *end;
    int bad;
} nj_thrift;

typedef struct nj_thrift_field {
    int id, type;
} nj_thrift_field;

uint64_t nj_thrift_varint(nj_thrift *r);
int64_t nj_thrift_zigzag(nj_thrift *r);
int32_t nj_thrift_i32(nj_thrift *r);
/* The next field of a struct; 0 at its end. id is that of the field before, 0 at first. */
int nj_thrift_next(nj_thrift *r, nj_thrift_field *f);
/* Items of a list, and their type. */
uint32_t nj_thrift_list(nj_thrift *r, int *type);
const uint8_t *nj_thrift_binary(nj_thrift *r, uint32_t *n);
void nj_thrift_skip(nj_thrift *r, int type, int depth);

#endif
