/* unpack.h - what bytes are by their beginning, and gzip, zstd, bzip2 and xz unpacked with every checksum
 * looked at: one member or frame or several, each of any of these kinds. No name is looked at.
 * One thread at a time. */
#ifndef NJ_BASE_UNPACK_H
#define NJ_BASE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef enum nj_packing {
    NJ_PACKED_NOT,
    NJ_PACKED_GZIP,
    NJ_PACKED_ZSTD,
    NJ_PACKED_BZIP2,
    NJ_PACKED_XZ
} nj_packing;

enum {
    NJ_KIND_BYTES = 512, /* so many bytes of a beginning are all that the functions below need */
    NJ_ZSTD_WINDOW = 31  /* log2 of the largest window that libzstd takes */
};

nj_packing nj_packing_of(const uint8_t *bytes, size_t n);
/* A tar by its magic or by the checksum of its first header (old tars have no magic).
 * Not one that begins with end marks. */
bool nj_is_tar(const uint8_t *bytes, size_t n);
bool nj_is_zip(const uint8_t *bytes, size_t n);
/* lz4, compress, lzip: libarchive reads these. lzma alone has no magic. */
bool nj_is_packed_otherwise(const uint8_t *bytes, size_t n);
/* "a PNG image", "an HTML page", "gzip data": for messages. NULL when the bytes do not say. */
const char *nj_kind_of(const uint8_t *bytes, size_t n);

/* Brings up to `room` bytes: how many; 0 = the end; -1 with err. */
typedef long (*nj_fill)(void *opaque, void *into, size_t room, nj_error *err);

typedef struct nj_unpacker nj_unpacker;
/* Reads from fill(), or from bytes[size] when fill is NULL (they stay where they are). What is not packed
 * comes as it is. Packed twice is unpacked twice. window_log: the largest zstd window, as a power of 2. NULL
 * when memory is short. */
nj_unpacker *nj_unpacker_new(nj_fill fill, void *opaque, const uint8_t *bytes, size_t size, int window_log);
void nj_unpacker_free(nj_unpacker *u); /* NULL allowed */
/* The next piece, valid until the next call; the first one has NJ_KIND_BYTES when there are as many. Its
 * length; 0 = the end, checksums and all; -1: damaged or cut, and all pieces before it were given out. */
long nj_unpacker_next(nj_unpacker *u, const uint8_t **bytes, nj_error *err);
/* What the outermost layer was: NJ_PACKED_NOT when nothing was packed. Valid after the first piece. */
nj_packing nj_unpacker_packing(const nj_unpacker *u);

/* All of bytes[size] into *buffer, which grows (malloc) and is used again; *n bytes of it. -1: damaged, cut,
 * or more than `limit` bytes: the message names `limit_key`. once: what is packed twice is unpacked once. */
typedef struct nj_unpacked {
    uint8_t *buffer;
    size_t cap, n;
} nj_unpacked;
int nj_unpack(nj_unpacked *into, const uint8_t *bytes, size_t size, bool once, size_t limit,
              const char *limit_key, nj_error *err);

#endif
