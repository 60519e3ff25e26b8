/* inflate.c - gzip members unpacked together: every byte is libdeflate's, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inflate_kit.h"

enum { STAMP = 20160 };

static void stamp_like(kit *k)
{
    k->n_plain = STAMP;
    kit_pixels(k, k->n_plain);
    k->n_packed = 0;
    z_stream z = {
        .next_in = k->plain, .avail_in = STAMP, .next_out = k->packed, .avail_out = sizeof k->packed
    };
    deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    k->n_packed = z.total_out;
    deflateEnd(&z);
}

/* NIGHTJAR_INFLATE_ROUNDS: for a long run. */
static void test_made_members(void **state)
{
    (void)state;
    const char *rounds = getenv("NIGHTJAR_INFLATE_ROUNDS"), *seed = getenv("NIGHTJAR_INFLATE_SEED");
    kit *k = kit_new(seed ? strtoull(seed, NULL, 10) : 1);
    for (long i = 0, n = rounds ? atol(rounds) : 500; i < n; i++) {
        const char *wrong = kit_round(k, i % 2);
        if (*wrong) fail_msg("round %ld: %s", i, wrong);
    }
    print_message("# %zu members: %zu taken, %zu refused by libdeflate, %zu left to it\n", k->members,
                  k->done, k->refused, k->left);
    assert_true(k->done > k->members / 4);
    kit_free(k);
}

/* Stamps are what all this is for: none of them may be left, however many come together. */
static void test_stamps_are_taken(void **state)
{
    (void)state;
    kit *k = kit_new(2);
    size_t members = 0;
    for (size_t n = 1; n <= KIT_GROUP; n++)
        for (int portable = 0; portable < 2; portable++) {
            nj_member member[KIT_GROUP];
            for (size_t i = 0; i < n; i++) {
                do stamp_like(k);
                while (!nj_inflate_announced(k->packed, k->n_packed));
                member[i] = kit_member(k->packed, k->n_packed);
            }
            members += n;
            assert_string_equal(kit_check(k, member, n, portable), "");
            assert_int_equal(k->done, members);
        }
    kit_free(k);
}

/* One good member among damaged ones is taken. */
static void test_cuts_and_flips(void **state)
{
    (void)state;
    kit *k = kit_new(3);
    do stamp_like(k);
    while (!nj_inflate_announced(k->packed, k->n_packed));
    uint8_t *whole = malloc(k->n_packed);
    const size_t n = k->n_packed;
    memcpy(whole, k->packed, n);
    for (size_t i = 0; i < 2000; i++) {
        const size_t cut = i < 1000 ? n - i : 2000 - i;
        nj_member member[3] = { kit_member(whole, n), kit_member(whole, cut), kit_member(whole, n) };
        const size_t before = k->done, byte = i < 1600 ? i / 8 : n - 1 - (i - 1600) / 8;
        ((uint8_t *)(uintptr_t)member[0].bytes)[byte] ^= (uint8_t)(1 << i % 8);
        assert_string_equal(kit_check(k, member, 3, 0), "");
        assert_true(k->done > before);
    }
    free(whole);
    kit_free(k);
}

/* A size that is not the true one is never filled with what is there. */
static void test_announced_size(void **state)
{
    (void)state;
    kit *k = kit_new(4);
    for (int by = -300; by <= 300; by += 5) {
        do stamp_like(k);
        while (!nj_inflate_announced(k->packed, k->n_packed));
        kit_put32(k->packed + k->n_packed - 4, (uint32_t)(STAMP + by));
        nj_member member = kit_member(k->packed, k->n_packed);
        const size_t before = k->done;
        assert_string_equal(kit_check(k, &member, 1, by & 1), "");
        assert_int_equal(k->done - before, by == 0);
    }
    kit_free(k);
}

static void test_what_is_not_for_it(void **state)
{
    (void)state;
    kit *k = kit_new(5);
    memset(k->plain, 0, KIT_MOST);
    k->n_packed = libdeflate_gzip_compress(k->deflate[6], k->plain, 20160, k->packed, sizeof k->packed);
    assert_int_equal(nj_inflate_announced(k->packed, k->n_packed), 0); /* packs too well */
    for (size_t i = 0; i < KIT_MOST; i++) k->plain[i] = (uint8_t)kit_random(k);
    k->n_packed = libdeflate_gzip_compress(k->deflate[6], k->plain, KIT_MOST, k->packed, sizeof k->packed);
    assert_int_equal(nj_inflate_announced(k->packed, k->n_packed), 0); /* too large */
    for (size_t i = 0; i < 18; i++) assert_int_equal(nj_inflate_announced(k->packed, i), 0);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_members),       cmocka_unit_test(test_stamps_are_taken),
        cmocka_unit_test(test_cuts_and_flips),     cmocka_unit_test(test_announced_size),
        cmocka_unit_test(test_what_is_not_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
