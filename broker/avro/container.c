/* container.c - avro-c cannot recover from damaged blocks or limit memory, so Avro container files are read
 * here. */
#include "container.h"

#include <libdeflate.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "../base/unpack.h"

enum { MAX_KEYS = 1000 };

static const char *const codec_name[NJ_CODECS] = { "null", "deflate", "snappy", "zstandard", "bzip2", "xz" };

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
    return nj_fail(err, "codec '%.*s' is not known (null, deflate, snappy, zstandard, bzip2, xz are)",
                   (int)(size < 40 ? size : 40), (const char *)value);
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
                return nj_fail(err, "the header is damaged or cut at byte %zu of %zu", (size_t)(p - bytes),
                               size);
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

/* Does a whole block begin here, or does the file end? */
static bool goes_on_at(const nj_container *ocf, const uint8_t *p)
{
    int64_t records, size;
    if (p == ocf->end) return true;
    return number(&p, ocf->end, &records) == 0 && number(&p, ocf->end, &size) == 0 && records >= 0 &&
           size >= 0 && size <= ocf->end - p && ocf->end - p - size >= NJ_SYNC &&
           !memcmp(p + size, ocf->sync, NJ_SYNC);
}

bool nj_container_can_hold(nj_codec codec, int64_t records, int64_t size)
{
    return records > 0 && size > 0 && (codec == NJ_CODEC_NULL ? records <= size / 16 : records / 64 <= size);
}

/* After damage: continue behind the block when only its marker is damaged, behind the next sync marker,
 * or give up at the end of the file. The number of records is kept where the block's header can be believed:
 * when another block follows it, or the file is cut in it; and when it can be true: an alert has 16 bytes
 * at least, and nothing packs it to a thousandth. */
static void resync(nj_container *ocf, nj_block *block, const uint8_t *behind, int64_t size)
{
    bool alone = behind && goes_on_at(ocf, behind), cut = !behind;
    const uint8_t *found = memmem(block->from, (size_t)(ocf->end - block->from), ocf->sync, NJ_SYNC);
    ocf->p = alone ? behind : found ? found + NJ_SYNC : ocf->end;
    if (!(alone || (cut && !found)) || !nj_container_can_hold(ocf->codec, block->records, size))
        block->records = -1;
}

int nj_container_next(nj_container *ocf, nj_block *block, nj_error *err)
{
    if (ocf->p == ocf->end) return 0;
    const uint8_t *p = ocf->p;
    size_t at = (size_t)(p - ocf->start);
    int64_t size = 0;
    const uint8_t *behind = NULL;
    *block = (nj_block){ .from = p };
    if (number(&p, ocf->end, &block->records) || number(&p, ocf->end, &size)) {
        nj_fail(err, "the file is cut inside a block header, at byte %zu", at);
    } else if (block->records < 0 || size < 0) {
        nj_fail(err, "no block at byte %zu: it would have %lld records in %lld bytes", at,
                (long long)block->records, (long long)size);
    } else if (size > ocf->end - p || ocf->end - p - size < NJ_SYNC) {
        nj_fail(err, "the block at byte %zu announces %lld bytes and a sync marker, %lld bytes are left", at,
                (long long)size, (long long)(ocf->end - p));
    } else if (memcmp(p + size, ocf->sync, NJ_SYNC)) {
        nj_fail(err, "the block of %lld bytes at byte %zu does not end at its sync marker", (long long)size,
                at);
        behind = p + size + NJ_SYNC;
    } else {
        block->bytes = p;
        block->size = (size_t)size;
        ocf->p = p + size + NJ_SYNC;
        return 1;
    }
    resync(ocf, block, behind, size);
    return -1;
}

/* ---- codecs ---------------------------------------------------------------------------------- */

static int room(nj_inflater *f, size_t size, nj_error *err)
{
    if (size > f->limit)
        return nj_fail(err, "the block unpacks to more than %zu bytes ([decode] max_block)", f->limit);
    if (size <= f->cap) return 0;
    free(f->buffer);
    f->buffer = malloc(size);
    f->cap = f->buffer ? size : 0;
    return f->buffer ? 0 : nj_fail(err, "out of memory");
}

/* Deflate data that ends with a flush in place of its last block, as some writers leave it: good when a
 * deflate block ends exactly with the data. libdeflate refuses these. */
static int inflate_unfinished(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)b->bytes, .avail_in = (uInt)b->size };
    if (b->size > UINT32_MAX || inflateInit2(&z, -15)) return nj_fail(err, "out of memory");
    int rc = Z_OK;
    size_t made = 0;
    while (rc == Z_OK && !(z.avail_in == 0 && z.data_type & 128)) {
        if (made == f->cap) {
            size_t cap = f->cap < f->limit / 2 ? 2 * f->cap + 1 : f->limit;
            uint8_t *bigger = cap > f->cap ? realloc(f->buffer, cap) : NULL;
            if (!bigger) {
                inflateEnd(&z);
                return cap > f->cap ? nj_fail(err, "out of memory") : room(f, f->limit + 1, err);
            }
            f->buffer = bigger;
            f->cap = cap;
        }
        size_t there = f->cap - made < UINT32_MAX ? f->cap - made : UINT32_MAX;
        z.next_out = f->buffer + made;
        z.avail_out = (uInt)there;
        rc = inflate(&z, Z_BLOCK);
        made += there - z.avail_out;
    }
    inflateEnd(&z);
    *size = made;
    return rc == Z_OK ? 0 : nj_fail(err, "the deflate data of the block is damaged");
}

static int inflate_deflate(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    if (!f->deflate && !(f->deflate = libdeflate_alloc_decompressor())) return nj_fail(err, "out of memory");
    size_t want = b->size < f->limit / 4 ? 4 * b->size + 65536 : f->limit;
    for (;;) {
        if (want > f->limit) want = f->limit;
        if (room(f, want, err)) return -1;
        enum libdeflate_result rc =
            libdeflate_deflate_decompress(f->deflate, b->bytes, b->size, f->buffer, f->cap, size);
        if (rc == LIBDEFLATE_SUCCESS) return 0;
        if (rc == LIBDEFLATE_BAD_DATA) return inflate_unfinished(f, b, size, err);
        if (rc != LIBDEFLATE_INSUFFICIENT_SPACE)
            return nj_fail(err, "the deflate data of the block is damaged");
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
    if (snappy_uncompressed_length(in, n, size) != SNAPPY_OK)
        return nj_fail(err, "the snappy data of the block is damaged");
    if (room(f, *size ? *size : 1, err)) return -1;
    if (snappy_uncompress(in, n, (char *)f->buffer, size) != SNAPPY_OK)
        return nj_fail(err, "the snappy data of the block is damaged");
    const uint8_t *c = b->bytes + n;
    uint32_t want = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
    if (libdeflate_crc32(0, f->buffer, *size) != want)
        return nj_fail(err, "the checksum of the snappy block is wrong");
    return 0;
}

static int inflate_zstandard(nj_inflater *f, const nj_block *b, size_t *size, nj_error *err)
{
    if (!f->zstd && !(f->zstd = ZSTD_createDCtx())) return nj_fail(err, "out of memory");
    ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_only);
    ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax, NJ_ZSTD_WINDOW); /* max_block bounds what is
                                                                           * touched */
    size_t want = b->size < f->limit / 4 ? 4 * b->size + 65536 : f->limit;
    if (room(f, want < f->limit ? want : f->limit, err)) return -1;
    ZSTD_inBuffer in = { b->bytes, b->size, 0 };
    ZSTD_outBuffer out = { f->buffer, f->cap, 0 };
    for (;;) {
        size_t rc = ZSTD_decompressStream(f->zstd, &out, &in);
        if (ZSTD_isError(rc))
            return nj_fail(err, "the zstandard data of the block is damaged: %s", ZSTD_getErrorName(rc));
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

/* bzip2 and xz, as streams of their own formats. */
static int inflate_stream(nj_inflater *f, nj_codec codec, const nj_block *b, size_t *size, nj_error *err)
{
    nj_error why;
    if (nj_packing_of(b->bytes, b->size) != (codec == NJ_CODEC_XZ ? NJ_PACKED_XZ : NJ_PACKED_BZIP2))
        return nj_fail(err, "the %s data of the block is damaged", codec_name[codec]);
    nj_unpacked w = { f->buffer, f->cap, 0 };
    int rc = nj_unpack(&w, b->bytes, b->size, true, f->limit, "[decode] max_block", &why);
    f->buffer = w.buffer;
    f->cap = w.cap;
    *size = w.n;
    return rc ? nj_fail(err, "the block: %.500s", why.text) : 0;
}

int nj_container_inflate(nj_inflater *f, nj_codec codec, const nj_block *block, const uint8_t **bytes,
                         size_t *size, nj_error *err)
{
    int rc = 0;
    *bytes = block->bytes;
    *size = block->size;
    if (block->records == 0 && block->size == 0) return 0; /* some writers end so; nothing packs to nothing */
    switch (codec) {
    case NJ_CODEC_DEFLATE: rc = inflate_deflate(f, block, size, err); break;
    case NJ_CODEC_SNAPPY: rc = inflate_snappy(f, block, size, err); break;
    case NJ_CODEC_ZSTANDARD: rc = inflate_zstandard(f, block, size, err); break;
    case NJ_CODEC_BZIP2:
    case NJ_CODEC_XZ: rc = inflate_stream(f, codec, block, size, err); break;
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
