/* pack.c - the stamps' own deflate against libdeflate: what comes back, how long it is, what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libdeflate.h>
#include <string.h>

#include "broker/simulate/noise.h"
#include "broker/simulate/pack.h"

enum { HEAD = 2880, PIXELS = 63 * 63 * 4, WHOLE = 7 * 2880, ROOM = 32768 };

static uint8_t bytes[WHOLE], packed[ROOM], other[ROOM], back[WHOLE];

static size_t round_trip(size_t n, size_t from, size_t to)
{
    size_t got = 0, size = nj_sim_deflate(bytes, n, from, to, packed, sizeof packed);
    assert_true(size > 0);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    memset(back, 0x55, sizeof back);
    assert_int_equal(libdeflate_deflate_decompress(d, packed, size, back, sizeof back, &got),
                     LIBDEFLATE_SUCCESS);
    libdeflate_free_decompressor(d);
    assert_int_equal(got, n);
    assert_memory_equal(back, bytes, n);
    return size;
}

static void fill_stamp(double mean, double sigma, uint64_t key)
{
    static float noise[4096];
    nj_sim_normals(noise, 4096, key);
    memset(bytes, ' ', HEAD);
    memcpy(bytes, "SIMPLE  =  T", 12);
    memcpy(bytes + 80, "BITPIX  =                  -32", 30);
    memset(bytes + HEAD, 0, sizeof bytes - HEAD);
    for (int i = 0; i < PIXELS / 4; i++) {
        float v = (float)(mean + sigma * (double)noise[i]);
        uint32_t bits;
        memcpy(&bits, &v, 4);
        bits = __builtin_bswap32(bits);
        memcpy(bytes + HEAD + 4 * i, &bits, 4);
    }
}

static void stamps_come_back_and_are_as_small_as_libdeflates(void **state)
{
    (void)state;
    struct libdeflate_compressor *level1 = libdeflate_alloc_compressor(1);
    static const double kinds[][2] = { { 150, 6 }, { 160, 1.5 }, { 0, 6 }, { 78, 4.5 }, { 20000, 300 } };
    for (uint64_t key = 0; key < 100; key++) {
        const double *kind = kinds[key % 5];
        fill_stamp(kind[0], kind[1], key);
        size_t size = round_trip(WHOLE, HEAD, HEAD + PIXELS);
        size_t theirs = libdeflate_deflate_compress(level1, bytes, WHOLE, other, sizeof other);
        assert_true((double)size < 1.01 * (double)theirs);
    }
    libdeflate_free_compressor(level1);
}

static void odd_contents_come_back(void **state)
{
    (void)state;
    memset(bytes, 0, sizeof bytes); /* one symbol, no other */
    round_trip(WHOLE, HEAD, HEAD + PIXELS);
    round_trip(WHOLE, 0, WHOLE);
    round_trip(WHOLE, 0, 0);
    round_trip(4, 0, 4);
    round_trip(1, 0, 0);
    round_trip(0, 0, 0);
    for (size_t i = 0; i < WHOLE; i++) bytes[i] = (uint8_t)(i * 37); /* all alike: 8 bits each */
    round_trip(WHOLE, HEAD, HEAD + PIXELS);
    /* Fibonacci counts: codes would grow to 20 bits and are held to 15. */
    size_t n = 0, a = 1, b = 1;
    for (int symbol = 0; symbol < 20 && n + a < WHOLE; symbol++) {
        memset(bytes + n, symbol, a);
        n += a;
        size_t next = a + b;
        a = b;
        b = next;
    }
    n -= n % 4;
    round_trip(n, 0, n);
    for (size_t run = 1; run < 600; run++) { /* every length of a run */
        memset(bytes, 'x', run);
        bytes[run] = 'y';
        round_trip(run + 1, 0, 0);
    }
}

static void no_room_is_said(void **state)
{
    (void)state;
    fill_stamp(0, 6, 1);
    assert_int_equal(nj_sim_deflate(bytes, WHOLE, HEAD, HEAD + PIXELS, packed, 12000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(stamps_come_back_and_are_as_small_as_libdeflates),
                                        cmocka_unit_test(odd_contents_come_back),
                                        cmocka_unit_test(no_room_is_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
