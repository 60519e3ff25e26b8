/* unpack.c - unpacking has a file of its own because libarchive looks at no checksum of gzip, and because
 * members, stamps and Avro blocks may be packed as files are. */
#include "unpack.h"

#include <bzlib.h>
#include <libdeflate.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { IN_BYTES = 256 << 10, OUT_BYTES = 256 << 10, MAX_LAYERS = 4 };

struct nj_unpacker {
    nj_fill fill;
    void *opaque;
    const uint8_t *in; /* [n_in], of which at are used */
    size_t n_in, at;
    uint64_t before; /* bytes in front of in[0] */
    bool in_ended;
    uint8_t *own; /* [IN_BYTES] with fill */
    int window_log;

    nj_packing first, packing; /* of the first frame; of the present frame, NOT between frames */
    bool looked;
    uint8_t *out; /* [OUT_BYTES] */
    int failed;   /* 1: err is to be given out */
    nj_error err;

    z_stream z;
    bool has_z, gzip_body;
    uint32_t crc, length;
    bz_stream bz;
    bool has_bz;
    lzma_stream xz;
    bool has_xz;
    ZSTD_DStream *zstd;

    nj_unpacker *above; /* unpacks what this one gives out, when that is packed once more */
    int layer;
    const uint8_t *rest; /* what `above` has not taken yet */
    size_t n_rest;
};

static const char *const packing_name[] = { "plain", "gzip", "zstandard", "bzip2", "xz" };

nj_unpacker *nj_unpacker_new(nj_fill fill, void *opaque, const uint8_t *bytes, size_t size, int window_log)
{
    nj_unpacker *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->fill = fill;
    u->opaque = opaque;
    u->window_log = window_log;
    if (!fill) {
        u->in = bytes;
        u->n_in = size;
        u->in_ended = true;
    } else if (!(u->in = u->own = malloc(IN_BYTES))) {
        free(u);
        return NULL;
    }
    return u;
}

static void end_frame(nj_unpacker *u)
{
    if (u->has_bz) BZ2_bzDecompressEnd(&u->bz);
    if (u->has_xz) lzma_end(&u->xz);
    u->has_bz = u->has_xz = false;
    u->packing = NJ_PACKED_NOT;
}

void nj_unpacker_free(nj_unpacker *u)
{
    if (!u) return;
    end_frame(u);
    if (u->has_z) inflateEnd(&u->z);
    ZSTD_freeDStream(u->zstd);
    nj_unpacker_free(u->above);
    free(u->own);
    free(u->out);
    free(u);
}

static int fails(nj_unpacker *u, const char *why)
{
    u->failed = 1;
    return nj_fail(&u->err, "%s data: %s (byte %llu)", packing_name[u->packing], why,
                   (unsigned long long)(u->before + u->at));
}

/* At least `want` bytes behind `at`, or as many as there are. -1: the source failed. */
static int need(nj_unpacker *u, size_t want)
{
    while (!u->in_ended && u->n_in - u->at < want) {
        if (u->at) {
            memmove(u->own, u->own + u->at, u->n_in - u->at);
            u->before += u->at;
            u->n_in -= u->at;
            u->at = 0;
        }
        long got = u->fill(u->opaque, u->own + u->n_in, IN_BYTES - u->n_in, &u->err);
        if (got < 0) return u->failed = 1, -1;
        if (got == 0) u->in_ended = true;
        u->n_in += (size_t)got;
    }
    return 0;
}

/* ---- gzip: raw deflate by zlib, the checksum by libdeflate, which takes a tenth of zlib's time --- */

/* The text at `at` of the header ends with a NUL. */
static int skip_text(nj_unpacker *u, size_t *at)
{
    for (;; ++*at) {
        if (*at >= IN_BYTES || need(u, *at + 1)) return -1;
        if (u->n_in - u->at <= *at) return -1;
        if (!u->in[u->at + (*at)++]) return 0;
        --*at;
    }
}

static int begin_gzip(nj_unpacker *u)
{
    size_t at = 10;
    uint8_t flags = u->in[u->at + 3];
    int cut = 0;
    if (flags & 4) {
        if (need(u, at + 2)) return -1;
        cut = u->n_in - u->at < at + 2;
        if (!cut) at += 2u + u->in[u->at + at] + 256u * u->in[u->at + at + 1];
    }
    if (!cut && flags & 8) cut = skip_text(u, &at);
    if (!cut && flags & 16) cut = skip_text(u, &at);
    if (u->failed || need(u, at + 2)) return -1;
    if (cut || u->n_in - u->at < at + (flags & 2 ? 2 : 0)) return fails(u, "cut inside its header");
    if (flags & 2) {
        const uint8_t *h = u->in + u->at;
        if ((libdeflate_crc32(0, h, at) & 0xffff) != (uint32_t)(h[at] | h[at + 1] << 8))
            return fails(u, "the checksum of its header is wrong");
        at += 2;
    }
    u->at += at;
    u->crc = u->length = 0;
    u->gzip_body = true;
    if (u->has_z ? inflateReset2(&u->z, -15) : inflateInit2(&u->z, -15)) return fails(u, "out of memory");
    u->has_z = true;
    return 0;
}

static int end_gzip(nj_unpacker *u)
{
    if (need(u, 8)) return -1;
    if (u->n_in - u->at < 8) return fails(u, "cut in front of its checksum");
    const uint8_t *t = u->in + u->at;
    uint32_t crc = t[0] | t[1] << 8 | t[2] << 16 | (uint32_t)t[3] << 24;
    uint32_t length = t[4] | t[5] << 8 | t[6] << 16 | (uint32_t)t[7] << 24;
    if (crc != u->crc) return fails(u, "its checksum is wrong (CRC 32): the data are damaged");
    if (length != u->length)
        return fails(u, "its length is not the one it was packed with: the data are damaged");
    u->at += 8;
    end_frame(u);
    return 0;
}

/* Each step takes from `in`, writes to out[*n..OUT_BYTES); what stands still with input left is damage. */
static int step_gzip(nj_unpacker *u, size_t *n)
{
    if (!u->gzip_body) return end_gzip(u);
    size_t there = u->n_in - u->at;
    u->z.next_in = (Bytef *)(uintptr_t)(u->in + u->at);
    u->z.avail_in = (uInt)(there < 1u << 30 ? there : 1u << 30);
    uInt given = u->z.avail_in;
    u->z.next_out = u->out + *n;
    u->z.avail_out = (uInt)(OUT_BYTES - *n);
    int rc = inflate(&u->z, Z_NO_FLUSH);
    size_t made = OUT_BYTES - *n - u->z.avail_out;
    u->crc = libdeflate_crc32(u->crc, u->out + *n, made);
    u->length += (uint32_t)made;
    *n += made;
    u->at += given - u->z.avail_in;
    if (rc == Z_STREAM_END) {
        u->gzip_body = false;
        return 0;
    }
    return rc == Z_OK || rc == Z_BUF_ERROR ? 0
                                           : fails(u, rc == Z_MEM_ERROR ? "out of memory"
                                                      : u->z.msg        ? u->z.msg
                                                                        : "damaged");
}

static int begin_bzip2(nj_unpacker *u)
{
    memset(&u->bz, 0, sizeof u->bz);
    u->has_bz = BZ2_bzDecompressInit(&u->bz, 0, 0) == BZ_OK;
    return u->has_bz ? 0 : fails(u, "out of memory");
}

static int step_bzip2(nj_unpacker *u, size_t *n)
{
    size_t there = u->n_in - u->at;
    u->bz.next_in = (char *)(uintptr_t)(u->in + u->at);
    u->bz.avail_in = (unsigned)(there < 1u << 30 ? there : 1u << 30);
    unsigned given = u->bz.avail_in;
    u->bz.next_out = (char *)u->out + *n;
    u->bz.avail_out = (unsigned)(OUT_BYTES - *n);
    int rc = BZ2_bzDecompress(&u->bz);
    *n = OUT_BYTES - u->bz.avail_out;
    u->at += given - u->bz.avail_in;
    if (rc == BZ_STREAM_END) return end_frame(u), 0;
    return rc == BZ_OK ? 0
                       : fails(u, rc == BZ_MEM_ERROR ? "out of memory" : "damaged, or its checksum is wrong");
}

static int begin_xz(nj_unpacker *u)
{
    u->xz = (lzma_stream)LZMA_STREAM_INIT;
    u->has_xz = lzma_stream_decoder(&u->xz, UINT64_MAX, LZMA_TELL_UNSUPPORTED_CHECK) == LZMA_OK;
    return u->has_xz ? 0 : fails(u, "out of memory");
}

static int step_xz(nj_unpacker *u, size_t *n)
{
    u->xz.next_in = u->in + u->at;
    u->xz.avail_in = u->n_in - u->at;
    u->xz.next_out = u->out + *n;
    u->xz.avail_out = OUT_BYTES - *n;
    lzma_ret rc = lzma_code(&u->xz, LZMA_RUN);
    *n = OUT_BYTES - u->xz.avail_out;
    u->at = u->n_in - u->xz.avail_in;
    switch (rc) {
    case LZMA_OK:
    case LZMA_BUF_ERROR: return 0;
    case LZMA_STREAM_END: return end_frame(u), 0;
    case LZMA_MEM_ERROR: return fails(u, "out of memory");
    case LZMA_UNSUPPORTED_CHECK: return fails(u, "its checksum is of a kind that liblzma does not know");
    default: return fails(u, "damaged, or its checksum is wrong");
    }
}

/* log2, rounded up, of the window that the frame at `at` asks for; 0 = not known. */
static int window_of(const uint8_t *f, size_t n)
{
    if (n < 6 || memcmp(f, "\x28\xb5\x2f\xfd", 4)) return 0;
    if (!(f[4] & 0x20)) return 10 + (f[5] >> 3) + ((f[5] & 7) != 0);
    size_t at = 5 + (size_t)(((f[4] & 3) + 1) / 2 + ((f[4] & 3) == 3)),
           width = (size_t)1 << (f[4] >> 6); /* the window is the content */
    uint64_t size = width == 2 ? 256 : 0;
    if (at + width > n) return 0;
    for (size_t i = 0; i < width; i++) size += (uint64_t)f[at + i] << 8 * i;
    int log = 0;
    while (log < 63 && (uint64_t)1 << log < size) log++;
    return log;
}

static int begin_zstd(nj_unpacker *u)
{
    if (!u->zstd && !(u->zstd = ZSTD_createDStream())) return fails(u, "out of memory");
    ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
    if (ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, u->window_log)))
        return fails(u, "[source] zstd_window_log is none that libzstd takes");
    if (need(u, 18)) return -1;
    int window = window_of(u->in + u->at, u->n_in - u->at);
    if (window <= u->window_log) return 0;
    char why[160];
    snprintf(
        why, sizeof why,
        "it needs a window of 2^%d bytes (%llu MiB of memory); [source] zstd_window_log = %d allows it%s",
        window, (unsigned long long)1 << (window - 20), window,
        window > NJ_ZSTD_WINDOW ? ", but libzstd takes no more than 31" : "");
    return fails(u, why);
}

static int step_zstd(nj_unpacker *u, size_t *n)
{
    ZSTD_inBuffer in = { u->in + u->at, u->n_in - u->at, 0 };
    ZSTD_outBuffer out = { u->out, OUT_BYTES, *n };
    size_t rc = ZSTD_decompressStream(u->zstd, &out, &in);
    u->at += in.pos;
    *n = out.pos;
    if (ZSTD_isError(rc)) return fails(u, ZSTD_getErrorName(rc));
    if (rc == 0) end_frame(u);
    return 0;
}

/* --- frames --- */

/* Between two frames: the next one, or the end. 1 = a frame is begun, 0 = the end. */
static int begin_frame(nj_unpacker *u, nj_packing last)
{
    for (;;) {
        if (need(u, 16)) return -1;
        size_t n = u->n_in - u->at;
        if (n == 0) return 0;
        u->packing = nj_packing_of(u->in + u->at, n);
        if (u->packing) break;
        if (u->in[u->at]) {
            u->packing = last;
            return fails(u, "what follows it is no packed data");
        }
        u->at++; /* padding of tapes and of xz */
    }
    int rc = -1;
    switch (u->packing) {
    case NJ_PACKED_GZIP: rc = begin_gzip(u); break;
    case NJ_PACKED_ZSTD: rc = begin_zstd(u); break;
    case NJ_PACKED_BZIP2: rc = begin_bzip2(u); break;
    case NJ_PACKED_XZ: rc = begin_xz(u); break;
    default: break;
    }
    return rc ? -1 : 1;
}

/* Fills `out` as far as it goes; 0 bytes with no failure = the end. */
static size_t fill_out(nj_unpacker *u)
{
    size_t n = 0;
    nj_packing last = u->first;
    while (n < OUT_BYTES && !u->failed) {
        if (!u->packing) {
            if (begin_frame(u, last) <= 0) break;
            last = u->packing;
        }
        if (need(u, 1)) break;
        last = u->packing;
        bool at_end = u->in_ended && u->at == u->n_in;
        size_t at = u->at, made = n;
        nj_packing packing = u->packing;
        bool body = u->gzip_body;
        switch (u->packing) {
        case NJ_PACKED_GZIP: step_gzip(u, &n); break;
        case NJ_PACKED_ZSTD: step_zstd(u, &n); break;
        case NJ_PACKED_BZIP2: step_bzip2(u, &n); break;
        default: step_xz(u, &n); break;
        }
        bool stands = at == u->at && made == n && packing == u->packing && body == u->gzip_body;
        if (stands && !u->failed) fails(u, at_end ? "cut: the end is missing" : "damaged");
    }
    return n;
}

/* One layer's next piece. */
static long next_piece(nj_unpacker *u, const uint8_t **bytes, nj_error *err)
{
    size_t n = 0;
    if (!u->failed && !u->looked) {
        u->looked = true;
        if (need(u, NJ_KIND_BYTES) == 0) u->first = nj_packing_of(u->in + u->at, u->n_in - u->at);
        if (u->first && !(u->out = malloc(OUT_BYTES))) fails(u, "out of memory");
    }
    if (!u->failed && u->first) {
        n = fill_out(u);
        *bytes = u->out;
    } else if (!u->failed && need(u, 1) == 0) {
        *bytes = u->in + u->at;
        n = u->n_in - u->at;
        u->at = u->n_in;
    }
    if (n) return (long)n;
    if (u->failed && err) *err = u->err;
    return u->failed ? -1 : 0;
}

/* What the layer above reads: the pieces of this one, cut as it has room. */
static long fill_above(void *opaque, void *into, size_t room, nj_error *err)
{
    nj_unpacker *u = opaque;
    if (!u->n_rest) {
        long n = next_piece(u, &u->rest, err);
        if (n <= 0) return n;
        u->n_rest = (size_t)n;
    }
    size_t n = u->n_rest < room ? u->n_rest : room;
    memcpy(into, u->rest, n);
    u->rest += n;
    u->n_rest -= n;
    return (long)n;
}

long nj_unpacker_next(nj_unpacker *u, const uint8_t **bytes, nj_error *err)
{
    if (u->above) return nj_unpacker_next(u->above, bytes, err);
    bool first = !u->looked;
    long n = next_piece(u, bytes, err);
    if (!first || n <= 0 || !u->first || u->layer == MAX_LAYERS || !nj_packing_of(*bytes, (size_t)n))
        return n;
    u->rest = *bytes;
    u->n_rest = (size_t)n;
    if (!(u->above = nj_unpacker_new(fill_above, u, NULL, 0, u->window_log)))
        return nj_fail(err, "out of memory");
    u->above->layer = u->layer + 1;
    return nj_unpacker_next(u->above, bytes, err);
}

nj_packing nj_unpacker_packing(const nj_unpacker *u)
{
    return u->first;
}

/* --- all at once --- */

static int make_room(nj_unpacked *into, size_t want)
{
    if (want <= into->cap) return 0;
    uint8_t *grown = realloc(into->buffer, want);
    if (!grown) return -1;
    into->buffer = grown;
    into->cap = want;
    return 0;
}

/* One gzip member whose trailer has its true length, which is nearly always so:
 * libdeflate, at three times zlib's speed. */
static bool unpack_gzip_member(nj_unpacked *into, const uint8_t *bytes, size_t size, size_t limit)
{
    if (nj_packing_of(bytes, size) != NJ_PACKED_GZIP || size < 18) return false;
    const uint8_t *t = bytes + size - 4;
    size_t declared = t[0] | (size_t)t[1] << 8 | (size_t)t[2] << 16 | (size_t)t[3] << 24, used = 0;
    /* deflate packs to a thousandth at best: a length beyond that is a lie, and costs no memory */
    if (declared > limit || declared / 1040 > size || make_room(into, declared + 1)) return false;
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    bool good = d && libdeflate_gzip_decompress_ex(d, bytes, size, into->buffer, declared, &used, &into->n) ==
                         LIBDEFLATE_SUCCESS;
    libdeflate_free_decompressor(d);
    return good && used == size && !nj_packing_of(into->buffer, into->n);
}

int nj_unpack(nj_unpacked *into, const uint8_t *bytes, size_t size, bool once, size_t limit,
              const char *limit_key, nj_error *err)
{
    if (!once && unpack_gzip_member(into, bytes, size, limit)) return 0;
    nj_unpacker *u = nj_unpacker_new(NULL, NULL, bytes, size, NJ_ZSTD_WINDOW);
    if (!u) return nj_fail(err, "out of memory");
    const uint8_t *piece;
    long n;
    into->n = 0;
    if (once) u->layer = MAX_LAYERS;
    while ((n = nj_unpacker_next(u, &piece, err)) > 0) {
        size_t want = into->n + (size_t)n;
        if (want > limit)
            n = nj_fail(err, "it unpacks to more than %zu bytes (%s)", limit, limit_key);
        else if (want > into->cap && make_room(into, want < SIZE_MAX / 2 ? 2 * want : want))
            n = nj_fail(err, "out of memory");
        if (n < 0) break;
        memcpy(into->buffer + into->n, piece, (size_t)n);
        into->n = want;
    }
    nj_unpacker_free(u);
    return n < 0 ? -1 : 0;
}
