/* unpack.c - unpacking: every bit flipped and every length cut gives an error or the very bytes, by memory
 * and by small pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bzlib.h>
#include <cmocka.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "broker/base/unpack.h"

enum { PLAIN = 1500, ROOM = 16384 };
static uint8_t plain[PLAIN];

typedef struct packed {
    uint8_t bytes[ROOM];
    size_t n;
} packed;

static void add(packed *p, int kind, const uint8_t *bytes, size_t n)
{
    uint8_t *to = p->bytes + p->n;
    size_t room = ROOM - p->n, made = 0;
    if (kind == NJ_PACKED_GZIP) {
        z_stream z = { 0 };
        gz_header head = { .name = (Bytef *)"night.avro",
                           .comment = (Bytef *)"made",
                           .extra = (Bytef *)"ab\2\0xy",
                           .extra_len = 6,
                           .hcrc = 1 };
        deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
        deflateSetHeader(&z, &head);
        z.next_in = (Bytef *)(uintptr_t)bytes;
        z.avail_in = (uInt)n;
        z.next_out = to;
        z.avail_out = (uInt)room;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        made = z.total_out;
        deflateEnd(&z);
    } else if (kind == NJ_PACKED_ZSTD) {
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
        made = ZSTD_compress2(c, to, room, bytes, n);
        ZSTD_freeCCtx(c);
    } else if (kind == NJ_PACKED_BZIP2) {
        unsigned size = (unsigned)room;
        assert_int_equal(
            BZ2_bzBuffToBuffCompress((char *)to, &size, (char *)(uintptr_t)bytes, (unsigned)n, 9, 0, 0),
            BZ_OK);
        made = size;
    } else {
        assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, bytes, n, to, &made, room),
                         LZMA_OK);
    }
    p->n += made;
}

typedef struct pieces {
    const uint8_t *bytes;
    size_t n, at, step;
} pieces;

static long fill(void *opaque, void *into, size_t room, nj_error *err)
{
    (void)err;
    pieces *p = opaque;
    size_t n = p->n - p->at < p->step ? p->n - p->at : p->step;
    if (n > room) n = room;
    memcpy(into, p->bytes + p->at, n);
    p->at += n;
    return (long)n;
}

/* 1 = the very bytes, 0 = others, -1 = an error. */
static int by_pieces(const uint8_t *bytes, size_t n, size_t step)
{
    pieces p = { bytes, n, 0, step };
    nj_unpacker *u = nj_unpacker_new(fill, &p, NULL, 0, NJ_ZSTD_WINDOW);
    const uint8_t *piece;
    nj_error err;
    size_t at = 0;
    int same = 1;
    long got;
    while ((got = nj_unpacker_next(u, &piece, &err)) > 0) {
        if (at + (size_t)got > PLAIN || memcmp(plain + at, piece, (size_t)got) != 0) same = 0;
        at += (size_t)got;
        if (!same) break;
    }
    /* what is wrong by content must end as an error */
    while (!same && got > 0) got = nj_unpacker_next(u, &piece, &err);
    nj_unpacker_free(u);
    return got < 0 ? -1 : same && at == PLAIN;
}

static int by_memory(const uint8_t *bytes, size_t n)
{
    nj_unpacked w = { 0 };
    nj_error err;
    uint8_t *copy = malloc(n + 1); /* exactly so long, for the sanitizers */
    memcpy(copy, bytes, n);
    int rc = nj_unpack(&w, copy, n, false, 1 << 20, "the limit", &err);
    int same = rc == 0 && w.n == PLAIN && !memcmp(w.buffer, plain, PLAIN);
    free(copy);
    free(w.buffer);
    return rc ? -1 : same;
}

static packed made(int kind, int members)
{
    packed p = { .n = 0 };
    if (members == 1) {
        add(&p, kind, plain, PLAIN);
    } else {
        add(&p, kind, plain, 1000);
        add(&p, kind, plain, 0);
        add(&p, kind, plain + 1000, PLAIN - 1000);
    }
    return p;
}

static void whole(void **state)
{
    (void)state;
    for (int kind = NJ_PACKED_GZIP; kind <= NJ_PACKED_XZ; kind++)
        for (int members = 1; members < 3; members++) {
            packed p = made(kind, members);
            assert_int_equal(nj_packing_of(p.bytes, p.n), kind);
            assert_int_equal(by_memory(p.bytes, p.n), 1);
            for (size_t step = 1; step < 40; step += 2) assert_int_equal(by_pieces(p.bytes, p.n, step), 1);
            memset(p.bytes + p.n, 0, 100); /* padding */
            assert_int_equal(by_memory(p.bytes, p.n + 100), 1);
            p.bytes[p.n + 50] = 7; /* and what is none */
            assert_int_equal(by_memory(p.bytes, p.n + 100), -1);
        }
}

/* The first bytes decide whether it is packed at all: without them the bytes come as they are. */
static void no_bit_is_flipped_and_no_byte_is_missing_without_a_word(void **state)
{
    (void)state;
    for (int kind = NJ_PACKED_GZIP; kind <= NJ_PACKED_XZ; kind++)
        for (int members = 1; members < 3; members++) {
            packed p = made(kind, members);
            /* bzip2 and xz ask for
             * megabytes each time */
            size_t step = (kind >= NJ_PACKED_BZIP2 ? 5 : 1) * (members == 1 ? 1 : 7);
            for (size_t bit = 0; bit < 8 * p.n; bit += step) {
                p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                int memory = by_memory(p.bytes, p.n), piecewise = by_pieces(p.bytes, p.n, 97);
                if (nj_packing_of(p.bytes, p.n) == (nj_packing)kind) {
                    if (memory == 0) fail_msg("kind %d: bit %zu flipped, and nothing said", kind, bit);
                    if (piecewise == 0)
                        fail_msg("kind %d: bit %zu flipped, and nothing said of pieces", kind, bit);
                }
                p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            size_t begin = members == 1 ? p.n : 0;
            if (members == 2) {
                packed first = { .n = 0 };
                add(&first, kind, plain, 1000);
                begin = first.n;
            }
            for (size_t n = 16; n < p.n;
                 n += kind >= NJ_PACKED_BZIP2 ? 3 : 1) { /* cut between two members it is whole,
                                                          * and shorter */
                if (nj_packing_of(p.bytes, n) != (nj_packing)kind) continue;
                int memory = by_memory(p.bytes, n), piecewise = by_pieces(p.bytes, n, 97);
                if (memory == 1 || (members == 1 && memory == 0))
                    fail_msg("kind %d: cut at %zu of %zu (%zu): %d", kind, n, p.n, begin, memory);
                assert_int_equal(memory, piecewise);
            }
        }
}

static void what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *kind;
    } known[] = { { "\x89PNG\r\n\x1a\n", 8, "a PNG image" },
                  { "\xef\xbb\xbf  <!doctype HTML>", 19, "an HTML page" },
                  { "<?xml version='1.0'?><VOTABLE>", 30, "a VOTable" },
                  { "<?xml version='1.0'?><a/>", 25, "an XML document" },
                  { "PK\3\4aaaa", 8, "a zip archive" },
                  { "SIMPLE  =                    T", 30, "a FITS file" },
                  { "{\"a\": 1}", 8, "JSON text" },
                  { "Obj\1", 4, NULL },
                  { "", 0, NULL },
                  { "{", 1, NULL },
                  { "hello", 5, NULL } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint8_t *copy = malloc(known[i].n + 1);
        memcpy(copy, known[i].bytes, known[i].n);
        const char *kind = nj_kind_of(copy, known[i].n);
        if (!kind != !known[i].kind || (kind && strcmp(kind, known[i].kind) != 0))
            fail_msg("%zu: %s", i, kind ? kind : "not known");
        for (size_t n = 0; n < known[i].n; n++) nj_kind_of(copy + n, known[i].n - n);
        free(copy);
    }
}

int main(void)
{
    uint64_t x = 1;
    for (size_t i = 0; i < PLAIN; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        plain[i] = "ab c01\n\xff"[x >> 61];
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(no_bit_is_flipped_and_no_byte_is_missing_without_a_word),
        cmocka_unit_test(what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
