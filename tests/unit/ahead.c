/* ahead.c - unpacking in a thread of its own gives the pieces, the end and the errors of an unpacker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "broker/base/ahead.h"

enum { PLAIN = 9 << 20 };
static uint8_t *plain, *packed;
static size_t n_packed;

static int make(void **state)
{
    (void)state;
    uLongf n = compressBound(PLAIN) + 100;
    plain = malloc(PLAIN);
    packed = malloc(n);
    uint64_t x = 1;
    for (size_t i = 0; i < PLAIN; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        plain[i] = (uint8_t)(x >> 60);
    }
    z_stream z = { 0 };
    deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    z.next_in = plain;
    z.avail_in = PLAIN;
    z.next_out = packed;
    z.avail_out = (uInt)n;
    int rc = deflate(&z, Z_FINISH);
    n_packed = z.total_out;
    deflateEnd(&z);
    return rc != Z_STREAM_END;
}

static int unmake(void **state)
{
    (void)state;
    free(plain);
    free(packed);
    return 0;
}

/* How many bytes are those of `plain`, to the end or the error: *last is 0 or -1. */
static size_t read_all(nj_ahead *a, long *last, nj_error *err)
{
    const uint8_t *piece;
    size_t at = 0;
    while ((*last = nj_ahead_next(a, &piece, err)) > 0) {
        assert_true(at + (size_t)*last <= PLAIN);
        assert_memory_equal(plain + at, piece, (size_t)*last);
        at += (size_t)*last;
    }
    return at;
}

static void whole(void **state)
{
    (void)state;
    nj_unpacker *u = nj_unpacker_new(NULL, NULL, packed, n_packed, NJ_ZSTD_WINDOW);
    nj_ahead *a = nj_ahead_new(u);
    nj_error err;
    const uint8_t *piece;
    long last;
    assert_int_equal(read_all(a, &last, &err), PLAIN);
    assert_int_equal(last, 0);
    assert_int_equal(nj_ahead_next(a, &piece, &err), 0); /* the end stays the end */
    nj_ahead_free(a);
    nj_unpacker_free(u);
}

/* After its first piece: what the unpacker gave before is not given again. */
static void later(void **state)
{
    (void)state;
    nj_unpacker *u = nj_unpacker_new(NULL, NULL, packed, n_packed, NJ_ZSTD_WINDOW);
    nj_error err;
    const uint8_t *piece;
    long n = nj_unpacker_next(u, &piece, &err);
    assert_true(n > 0);
    nj_ahead *a = nj_ahead_new(u);
    size_t rest = 0;
    while ((n = nj_ahead_next(a, &piece, &err)) > 0) rest += (size_t)n;
    nj_ahead_free(a);
    nj_unpacker_free(u);
    assert_true(rest > 0 && rest < PLAIN);
}

/* The bytes in front of the damage come first, and the error has the words of the unpacker. */
static void damaged(void **state)
{
    (void)state;
    uint8_t *copy = malloc(n_packed);
    memcpy(copy, packed, n_packed);
    copy[n_packed - 5] ^= 1; /* of the checksum */
    nj_unpacker *u = nj_unpacker_new(NULL, NULL, copy, n_packed, NJ_ZSTD_WINDOW);
    nj_ahead *a = nj_ahead_new(u);
    nj_error err = { "" }, again = { "" };
    const uint8_t *piece;
    long last;
    assert_int_equal(read_all(a, &last, &err), PLAIN);
    assert_int_equal(last, -1);
    assert_non_null(strstr(err.text, "checksum is wrong"));
    assert_int_equal(nj_ahead_next(a, &piece, &again), -1);
    assert_string_equal(err.text, again.text);
    nj_ahead_free(a);
    nj_unpacker_free(u);
    free(copy);
}

/* A reader that stops early: the thread waits for room, or has not yet begun. */
static void left(void **state)
{
    (void)state;
    for (int pieces = 0; pieces < 4; pieces++) {
        nj_unpacker *u = nj_unpacker_new(NULL, NULL, packed, n_packed, NJ_ZSTD_WINDOW);
        nj_ahead *a = nj_ahead_new(u);
        const uint8_t *piece;
        for (int i = 0; i < pieces; i++) assert_true(nj_ahead_next(a, &piece, NULL) > 0);
        nj_ahead_free(a);
        nj_unpacker_free(u);
    }
    nj_ahead_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(later),
        cmocka_unit_test(damaged),
        cmocka_unit_test(left),
    };
    return cmocka_run_group_tests_name("ahead", tests, make, unmake);
}
