#include "container.h"

#include <libdeflate.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { MAX_KEYS = 1000 };

static const char *const codec_name[NJ_CODECS] = { "null", "deflate", "snappy", "zstandard" };

/* One zigzag number; -1 at the end of the bytes or past 10 of them. */
static int number(const uint8_t **p, const uint8_t *end, int64_t *value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        v |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (byte & 0x80) continue;
        *value = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
        return 0;
    }
    return -1;
}

static int piece(const uint8_t **p, const uint8_t *end, const uint8_t **bytes, size_t *size)
{
    int64_t n;
    if (number(p, end, &n) || n < 0 || n > end - *p) return -1;
    *bytes = *p;
    *size = (size_t)n;
    *p += n;
    return 0;
}

static bool is(const uint8_t *bytes, size_t size, const char *text)
{
    return strlen(text) == size && !memcmp(bytes, text, size);
}

static int take_codec(nj_container *ocf, const uint8_t *value, size_t size, nj_error *err)
{
    for (nj_codec c = 0; c < NJ_CODECS; c++)
        if (is(value, size, codec_name[c])) {
            ocf->codec = c;
            return 0;
        }
    if (size == 0) return 0; /* written by some; the same as none */
    return nj_fail(err, "codec '%.*s' is not known (null, deflate, snappy, zstandard are)", (int)(size < 40 ? size : 40),
                   (const char *)value);
}

int nj_container_open(nj_container *ocf, const uint8_t *bytes, size_t size, nj_error *err)
{
    const uint8_t *p = bytes + 4, *end = bytes + size;
    *ocf = (nj_container){ .start = bytes, .end = end };
    if (size < 4 || memcmp(bytes, "Obj\1", 4)) return nj_fail(err, "not an Avro container file");
    for (unsigned keys = 0;;) {
        int64_t n, skip;
        if (number(&p, end, &n)) return nj_fail(err, "the file ends inside its header, at byte %zu", size);
        if (n == 0) break;
        if (n < 0 && (n = n == INT64_MIN ? INT64_MAX : -n, number(&p, end, &skip)))
            return nj_fail(err, "the file ends inside its header, at byte %zu", size);
        for (; n > 0; n--) {
            const uint8_t *key, *value;
            size_t key_size, value_size;
            if (++keys > MAX_KEYS) return nj_fail(err, "the header has more than %d keys", MAX_KEYS);
            if (piece(&p, end, &key, &key_size) || piece(&p, end, &value, &value_size))
                return nj_fail(err, "the header is damaged or cut at byte %zu of %zu", (size_t)(p - bytes), size);
            if (is(key, key_size, "avro.schema")) {
                ocf->schema = value;
                ocf->schema_size = value_size;
            } else if (is(key, key_size, "avro.codec") && take_codec(ocf, value, value_size, err)) {
                return -1;
            }
        }
    }
    if (!ocf->schema) return nj_fail(err, "the header has no avro.schema");
    if (end - p < NJ_SYNC) return nj_fail(err, "the file ends inside its header, at byte %zu", size);
    ocf->sync = p;
    ocf->p = p + NJ_SYNC;
    return 0;
}

/* After damage: go on behind the next sync marker, or give up at the end of the file. */
static void resync(nj_container *ocf, const uint8_t *from)
{
    const uint8_t *found = memmem(from, (size_t)(ocf->end - from), ocf->sync, NJ_SYNC);
    ocf->p = found ? found + NJ_SYNC : ocf->end;
}

int nj_container_next(nj_container *ocf, nj_block *block, nj_error *err)
{
    if (ocf->p == ocf->end) return 0;
    const uint8_t *p = ocf->p;
    size_t at = (size_t)(p - ocf->start);
    int64_t size;
    *block = (nj_block){ .from = p };
    if (number(&p, ocf->end, &block->records) || number(&p, ocf->end, &size)) {
        nj_fail(err, "the file is cut inside a block header, at byte %zu", at);
    } else if (block->records < 0 || size < 0) {
        nj_fail(err, "no block at byte %zu: it would have %lld records in %lld bytes", at, (long long)block->records,
                (long long)size);
    } else if (size > ocf->end - p || ocf->end - p - size < NJ_SYNC) {
        nj_fail(err, "the block at byte %zu announces %lld bytes and a sync marker, %lld bytes are left", at, (long long)size,
                (long long)(ocf->end - p));
    } else if (memcmp(p + size, ocf->sync, NJ_SYNC)) {
        nj_fail(err, "the block of %lld bytes at byte %zu does not end at its sync marker", (long long)size, at);
    } else {
        block->bytes = p;
        block->size = (size_t)size;
        ocf->p = p + size + NJ_SYNC;
        return 1;
    }
    resync(ocf, block->from);
    return -1;
}

/* --- codecs ------------------------------------------------------------------------------------------------------ */

static int room(nj_inflater *f, size_t size, nj_error *err)
{
    if (size > f->limit) return nj_fail(err, "the block unpacks to more than %zu bytes ([decode] max_block)", f->limit);
    if (size <= f->cap) return 0;
    free(f->buffer);
    f->buffer = malloc(size);
    f->cap = f->buffer ? size : 0;
    return f->buffer ? 0 : nj_fail(err, "out of memory");
}

static int inflate_deflate(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    if (!f->deflate && !(f->deflate = libdeflate_alloc_decompressor())) return nj_fail(err, "out of memory");
    size_t want = b->size < f->limit / 4 ? 4 * b->size + 65536 : f->limit;
    for (;;) {
        if (want > f->limit) want = f->limit;
        if (room(f, want, err)) return -1;
        enum libdeflate_result rc = libdeflate_deflate_decompress(f->deflate, b->bytes, b->size, f->buffer, f->cap, size);
        if (rc == LIBDEFLATE_SUCCESS) return 0;
        if (rc != LIBDEFLATE_INSUFFICIENT_SPACE) return nj_fail(err, "the deflate data of the block is damaged");
        want = f->cap < f->limit ? 2 * f->cap : f->limit + 1;
        if (want > f->limit && f->cap < f->limit) want = f->limit;
        if (want > f->limit) return room(f, want, err);
    }
}

static int inflate_snappy(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    if (b->size < 4) return nj_fail(err, "the snappy data of the block is cut");
    const char *in = (const char *)b->bytes;
    size_t n = b->size - 4;
    if (snappy_uncompressed_length(in, n, size) != SNAPPY_OK) return nj_fail(err, "the snappy data of the block is damaged");
    if (room(f, *size ? *size : 1, err)) return -1;
    if (snappy_uncompress(in, n, (char *)f->buffer, size) != SNAPPY_OK)
        return nj_fail(err, "the snappy data of the block is damaged");
    const uint8_t *c = b->bytes + n;
    uint32_t want = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
    if (libdeflate_crc32(0, f->buffer, *size) != want) return nj_fail(err, "the checksum of the snappy block is wrong");
    return 0;
}

static int inflate_zstandard(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    if (!f->zstd && !(f->zstd = ZSTD_createDCtx())) return nj_fail(err, "out of memory");
    ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_only);
    size_t want = b->size < f->limit / 4 ? 4 * b->size + 65536 : f->limit;
    if (room(f, want < f->limit ? want : f->limit, err)) return -1;
    ZSTD_inBuffer in = { b->bytes, b->size, 0 };
    ZSTD_outBuffer out = { f->buffer, f->cap, 0 };
    for (;;) {
        size_t rc = ZSTD_decompressStream(f->zstd, &out, &in);
        if (ZSTD_isError(rc)) return nj_fail(err, "the zstandard data of the block is damaged: %s", ZSTD_getErrorName(rc));
        if (rc == 0 && in.pos == in.size) break;
        if (out.pos < out.size) {
            if (in.pos == in.size) return nj_fail(err, "the zstandard data of the block is cut");
            continue;
        }
        size_t cap = f->cap < f->limit / 2 ? 2 * f->cap : f->limit;
        if (cap == f->cap) return room(f, f->limit + 1, err);
        uint8_t *bigger = realloc(f->buffer, cap);
        if (!bigger) return nj_fail(err, "out of memory");
        f->buffer = bigger;
        f->cap = cap;
        out.dst = bigger;
        out.size = cap;
    }
    *size = out.pos;
    return 0;
}

int nj_container_inflate(nj_inflater *f, nj_codec codec, const nj_block *block, const uint8_t **bytes, size_t *size,
                         nj_error *err)
{
    int rc = 0;
    *bytes = block->bytes;
    *size = block->size;
    switch (codec) {
    case NJ_CODEC_DEFLATE: rc = inflate_deflate(f, block, size, err); break;
    case NJ_CODEC_SNAPPY: rc = inflate_snappy(f, block, size, err); break;
    case NJ_CODEC_ZSTANDARD: rc = inflate_zstandard(f, block, size, err); break;
    default: return 0;
    }
    *bytes = f->buffer;
    return rc;
}

void nj_inflater_free(nj_inflater *f)
{
    free(f->buffer);
    libdeflate_free_decompressor(f->deflate);
    ZSTD_freeDCtx(f->zstd);
    *f = (nj_inflater){ .limit = f->limit };
}
