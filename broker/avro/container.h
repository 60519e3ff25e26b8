/* container.h - walks an Avro Object Container File in memory: header, blocks, codecs. */
#ifndef NJ_AVRO_CONTAINER_H
#define NJ_AVRO_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/error.h"

typedef enum nj_codec {
    NJ_CODEC_NULL,
    NJ_CODEC_DEFLATE,
    NJ_CODEC_SNAPPY,
    NJ_CODEC_ZSTANDARD,
    NJ_CODEC_BZIP2,
    NJ_CODEC_XZ,
    NJ_CODECS
} nj_codec;

typedef struct nj_container {
    const uint8_t *start, *p, *end; /* p: next block */
    const uint8_t *schema;          /* in the file; not NUL-terminated */
    size_t schema_size;
    nj_codec codec;
    const uint8_t *sync; /* [16] */
} nj_container;

typedef struct nj_block {
    int64_t records;      /* as the block announces; of a damaged one what can be true, else -1 */
    const uint8_t *bytes; /* as stored: still compressed */
    size_t size;
    const uint8_t *from; /* first byte of the block with its two counts */
} nj_block;

enum { NJ_SYNC = 16 };

/* Reads the header. -1 with the reason. */
int nj_container_open(nj_container *ocf, const uint8_t *bytes, size_t size, nj_error *err);
/* The next block, its sync marker checked. 1 = there it is, 0 = the file ends here, -1 = damaged: the reason
 * in err, block->from .. ocf->p is the damaged piece (p stands behind the block when another one follows,
 * else behind the next sync marker, or at the end). */
int nj_container_next(nj_container *ocf, nj_block *block, nj_error *err);

/* Can a block of that size hold so many alerts? An alert has 16 bytes at least,
 * and nothing packs it to a thousandth. */
bool nj_container_can_hold(nj_codec codec, int64_t records, int64_t size);

/* Work area for compressed blocks; zero-initialise. */
typedef struct nj_inflater {
    uint8_t *buffer;
    size_t cap, limit; /* limit: most bytes a block may unpack to */
    void *deflate, *zstd;
} nj_inflater;
/* Unpacks a block. *bytes points into the inflater (until the next call) or, without a codec,
 * into the file. */
int nj_container_inflate(nj_inflater *inflater, nj_codec codec, const nj_block *block, const uint8_t **bytes,
                         size_t *size, nj_error *err);
void nj_inflater_free(nj_inflater *inflater);

#endif
