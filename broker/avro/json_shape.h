/* json_shape.h - what JSON packets of one kind have: the keys seen so far with their types, as an Avro schema
 * that each of them can be written by. It only grows, so that a key which is null or lacks in one packet does
 * not make another schema. One thread at a time. */
#ifndef NJ_AVRO_JSON_SHAPE_H
#define NJ_AVRO_JSON_SHAPE_H

#include <jansson.h>
#include <stdbool.h>

#include "../base/buffer.h"
#include "../base/error.h"

typedef struct nj_json_shape nj_json_shape;

typedef struct nj_json_limits {
    uint32_t depth, items;
    /* Is the text at this path ("cutoutScience.stampData") a stamp, in base64? */
    bool (*is_stamp)(void *opaque, const char *path);
    void *opaque;
} nj_json_limits;

/* topic: part of the schema, so that packets of several topics are told apart; NULL = none. */
nj_json_shape *nj_json_shape_new(const char *topic);
void nj_json_shape_free(nj_json_shape *shape);
const char *nj_json_shape_topic(const nj_json_shape *shape);
/* Which part of the packet's keys it has, 0 .. 1. */
double nj_json_shape_likes(const nj_json_shape *shape, const json_t *packet);

/* Is it of another kind: has it fewer than half of the shape's keys, and the shape fewer than half of its? */
bool nj_json_shape_is_apart(const nj_json_shape *shape, const json_t *packet);

/* Takes the packet's keys and types in. *grew: the schema is another one now. -1 with err: too deep, too many
 * keys, or memory. */
int nj_json_shape_take(nj_json_shape *shape, const json_t *packet, const nj_json_limits *limits, bool *grew,
                       nj_error *err);
/* The schema; lives until the shape grows. NULL: out of memory. */
const char *nj_json_shape_schema(nj_json_shape *shape, size_t *size);
/* The packet by it. -1 with err: a stamp that is no base64. */
int nj_json_shape_write(const nj_json_shape *shape, const json_t *packet, nj_buffer *out, nj_error *err);

enum { NJ_JSON_TYPES = 64 };

/* A path, for the end of a run. */
typedef struct nj_json_key {
    const char *path;
    uint64_t there, lacking;   /* records that had it (null counts as there), and that lacked it */
    bool new;                  /* it came after the first packet */
    bool holds;                /* it has keys of its own */
    char types[NJ_JSON_TYPES]; /* "number", "number, text"; empty: always null */
} nj_json_key;
typedef void nj_json_count(void *opaque, const nj_json_key *key);
void nj_json_shape_counts(const nj_json_shape *shape, nj_json_count *count, void *opaque);
/* Did any packet have a value at this path ("a.b", "list[].c")? */
bool nj_json_shape_has(const nj_json_shape *shape, const char *path);
uint64_t nj_json_shape_packets(const nj_json_shape *shape);

#endif
