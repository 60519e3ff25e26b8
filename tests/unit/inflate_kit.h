/* inflate_kit.h - gzip members of all kinds, whole and damaged, and what inflate.c makes of them against what
 * libdeflate does. For unit/inflate.c and fuzz/inflate.c. */
#ifndef NJ_TESTS_INFLATE_KIT_H
#define NJ_TESTS_INFLATE_KIT_H
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "broker/image/inflate.h"

enum { KIT_GROUP = 9, KIT_MOST = 70000 };

typedef struct kit {
    uint64_t random;
    nj_inflate_work *inflater;
    struct libdeflate_decompressor *inflate;
    struct libdeflate_compressor *deflate[13];
    uint8_t plain[KIT_MOST], packed[2 * KIT_MOST], whole[2 * KIT_MOST];
    size_t n_plain, n_packed;
    /* what was seen */
    size_t members, done, refused, left;
} kit;

static inline uint32_t kit_random(kit *k)
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return (uint32_t)(k->random >> 32);
}
static inline uint32_t kit_below(kit *k, uint32_t n)
{
    return (uint32_t)((uint64_t)kit_random(k) * n >> 32);
}

static inline kit *kit_new(uint64_t seed)
{
    kit *k = calloc(1, sizeof *k);
    k->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    k->inflater = nj_inflate_work_new();
    k->inflate = libdeflate_alloc_decompressor();
    for (int level = 0; level <= 12; level++) k->deflate[level] = libdeflate_alloc_compressor(level);
    return k;
}
static inline void kit_free(kit *k)
{
    nj_inflate_work_free(k->inflater);
    libdeflate_free_decompressor(k->inflate);
    for (int level = 0; level <= 12; level++) libdeflate_free_compressor(k->deflate[level]);
    free(k);
}

/* Pixels of noise about a level, some NaN, with zeros behind them, as a stamp has; big-endian floats. */
static inline void kit_pixels(kit *k, size_t n)
{
    const float sky = (float)kit_below(k, 3000), sd = 1 + (float)kit_below(k, 100);
    const uint32_t holes = kit_below(k, 4) ? 0 : 1 + kit_below(k, 50), keep = 0xffffffff << kit_below(k, 20);
    size_t end = n - n / 100 * kit_below(k, 20);
    memset(k->plain, 0, n);
    for (size_t i = 0; i + 4 <= end; i += 4) {
        float v = sky;
        for (int j = 0; j < 4; j++) v += sd * ((float)kit_random(k) / 4294967296.f - 0.5f);
        if (holes && !kit_below(k, holes)) v = NAN;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        bits &= keep;
        for (int j = 0; j < 4; j++) k->plain[i + (size_t)j] = (uint8_t)(bits >> (24 - 8 * j));
    }
}

/* The bytes that are packed: their kind and number by chance. */
static inline void kit_plain(kit *k)
{
    static const uint32_t most[] = { 1, 20, 300, 5000, 20160, 24000, 66000 };
    size_t n = k->n_plain = kit_below(k, most[kit_below(k, 7)] + 1);
    switch (kit_below(k, 6)) {
    case 0: /* bytes of a few values, at distances that repeat */
        for (size_t i = 0, values = 1 + kit_below(k, 255); i < n; i++)
            k->plain[i] = (uint8_t)kit_below(k, (uint32_t)values);
        break;
    case 1: /* copies of what was before, of all lengths and distances */
        for (size_t i = 0; i < n;) {
            size_t length = 1 + kit_below(k, kit_below(k, 5) ? 6 : 300);
            const size_t from = i ? i - 1 - kit_below(k, (uint32_t)(i < 33000 ? i : 33000)) : 0;
            const int fresh = !i || !kit_below(k, 3);
            for (size_t j = 0; j < length && i < n; j++, i++)
                k->plain[i] = fresh ? (uint8_t)kit_random(k) : k->plain[from + j];
        }
        break;
    case 2: /* steep distribution: codes of up to 15 bits */
        for (size_t i = 0; i < n; i++) k->plain[i] = (uint8_t)__builtin_ctz(kit_random(k) | 1u << 24);
        for (size_t i = 0; i < n; i += 1 + kit_below(k, 40)) k->plain[i] = (uint8_t)kit_random(k);
        break;
    default: kit_pixels(k, n);
    }
}

/* Packs them by zlib or libdeflate, any level and strategy. */
static inline void kit_pack(kit *k)
{
    static const int strategy[] = {
        Z_DEFAULT_STRATEGY, Z_DEFAULT_STRATEGY, Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED
    };
    if (!kit_below(k, 4)) {
        k->n_packed = libdeflate_gzip_compress(k->deflate[kit_below(k, 13)], k->plain, k->n_plain, k->packed,
                                               sizeof k->packed);
        return;
    }
    z_stream z = { 0 };
    gz_header header = { .name = (Bytef *)"stamp.fits", .os = 3, .hcrc = kit_below(k, 2) };
    deflateInit2(&z, kit_below(k, 3) ? 9 : (int)kit_below(k, 10), Z_DEFLATED, 16 + 9 + (int)kit_below(k, 7),
                 1 + (int)kit_below(k, 9), strategy[kit_below(k, 7)]);
    if (!kit_below(k, 4)) deflateSetHeader(&z, &header);
    z.next_out = k->packed;
    z.avail_out = sizeof k->packed;
    z.next_in = k->plain;
    if (!kit_below(k, 8)) { /* several blocks, empty ones between them */
        z.avail_in = (uInt)kit_below(k, (uint32_t)k->n_plain + 1);
        deflate(&z, kit_below(k, 2) ? Z_BLOCK : Z_FULL_FLUSH);
    }
    z.avail_in = (uInt)(k->n_plain - (size_t)(z.next_in - k->plain));
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) abort();
    k->n_packed = (size_t)(z.next_out - k->packed);
    deflateEnd(&z);
}

static inline void kit_put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Checksum and size of what libdeflate makes of the damaged stream: the frame says nothing about it then. */
static inline void kit_frame(kit *k)
{
    size_t used, n;
    if (k->n_packed < 18 || k->packed[3]) return;
    if (libdeflate_deflate_decompress_ex(k->inflate, k->packed + 10, k->n_packed - 18, k->plain,
                                         sizeof k->plain, &used, &n))
        return;
    k->n_packed = 10 + used + 8;
    kit_put32(k->packed + k->n_packed - 8, libdeflate_crc32(0, k->plain, n));
    kit_put32(k->packed + k->n_packed - 4, (uint32_t)n);
}

static inline void kit_damage(kit *k)
{
    const uint32_t n = (uint32_t)k->n_packed;
    const uint32_t front = kit_below(k, 2) && n > 150 ? 150 : n; /* the codes are at the front */
    switch (kit_below(k, 7)) {
    case 0:
        for (uint32_t i = 0, flips = 1 + kit_below(k, 4); i < flips; i++)
            k->packed[kit_below(k, n)] ^= (uint8_t)(1 << kit_below(k, 8));
        break;
    case 1: k->n_packed = kit_below(k, n + 1); break;
    case 2: k->packed[k->n_packed++] = (uint8_t)kit_random(k); break;
    case 3: kit_put32(k->packed + n - 4, (uint32_t)k->n_plain + kit_below(k, 5) - 2); break;
    case 4: k->packed[n - 8 + kit_below(k, 4)] ^= 1; break;
    default:
        for (uint32_t i = 0, flips = 1 + kit_below(k, 2); i < flips; i++)
            k->packed[10 + kit_below(k, front > 18 ? front - 18 : 1)] ^= (uint8_t)(1 << kit_below(k, 8));
        kit_frame(k);
    }
}

/* A copy of exactly these bytes, in memory that ends with them. */
static inline nj_member kit_member(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (n) memcpy(copy, bytes, n);
    const size_t announced = nj_inflate_announced(copy, n);
    return (nj_member){ copy, n, malloc(announced + NJ_INFLATE_SLACK), announced, false };
}

/* Unpacks them in one group, and compares with libdeflate: "" or what is wrong. Frees them. */
static inline const char *kit_check(kit *k, nj_member *member, size_t n, int portable)
{
    const char *wrong = "";
    nj_member taken[KIT_GROUP];
    size_t n_taken = 0;
    for (size_t i = 0; i < n; i++)
        if (member[i].announced) taken[n_taken++] = member[i];
    if (portable)
        nj_inflate_portable(k->inflater, taken, n_taken);
    else
        nj_inflate(k->inflater, taken, n_taken);
    for (size_t i = 0; i < n_taken; i++) {
        const nj_member *m = &taken[i];
        uint8_t *plain = malloc(m->announced);
        size_t used, size;
        const int rc =
            libdeflate_gzip_decompress_ex(k->inflate, m->bytes, m->size, plain, m->announced, &used, &size);
        if (m->done && (rc != LIBDEFLATE_SUCCESS || used != m->size))
            wrong = "taken, and libdeflate refuses it";
        else if (m->done && (size != m->announced || memcmp(plain, m->out, size)))
            wrong = "other bytes than libdeflate's";
        k->done += m->done;
        k->refused += rc != LIBDEFLATE_SUCCESS;
        k->left += rc == LIBDEFLATE_SUCCESS && !m->done;
        free(plain);
    }
    k->members += n_taken;
    for (size_t i = 0; i < n; i++) {
        free((void *)member[i].bytes);
        free(member[i].out);
    }
    return wrong;
}

/* Members by chance, half of them undamaged; of one origin mostly, since packing is what takes the time. */
static inline const char *kit_round(kit *k, int portable)
{
    nj_member member[KIT_GROUP];
    const size_t n = 1 + kit_below(k, KIT_GROUP);
    const uint32_t several = !kit_below(k, 8);
    size_t n_whole = 0, n_plain = 0;
    for (size_t i = 0; i < n; i++) {
        if (!i || several) {
            kit_plain(k);
            kit_pack(k);
            n_whole = k->n_packed;
            n_plain = k->n_plain;
            memcpy(k->whole, k->packed, n_whole);
        }
        memcpy(k->packed, k->whole, k->n_packed = n_whole);
        k->n_plain = n_plain;
        if (kit_below(k, 2)) kit_damage(k);
        member[i] = kit_member(k->packed, k->n_packed);
    }
    return kit_check(k, member, n, portable);
}

#endif
