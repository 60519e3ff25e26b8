/* random.c - the counter-based generator against its published answers, and its bulk versions against the
 * plain one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nightjar/num.h"

/* The known answers that come with Random123 (kat_vectors, philox4x32 10): counter, key, words. */
static void known_answers(void **state)
{
    (void)state;
    static const uint32_t row[3][10] = {
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
          0xa20bc7c6, 0x6d5451fd },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
          0x5001e420, 0x24126ea1 },
    };
    for (int i = 0; i < 3; i++) {
        uint32_t word[4];
        nj_philox(row[i], row[i] + 4, word);
        assert_memory_equal(word, row[i] + 6, sizeof word);
    }
}

static void bulk_equals_plain(void **state)
{
    (void)state;
    enum { BLOCKS = 61 }; /* no multiple of 4 or 8: the rest is done one by one */
    /* wraps on the way */
    const uint32_t first[4] = { 0xfffffff0u, 7, 0x80000001u, 99 }, key[2] = { 123456789, 0xdeadbeef };
    uint32_t plain[4 * BLOCKS], word[4 * BLOCKS];
    for (uint32_t b = 0; b < BLOCKS; b++)
        nj_philox((const uint32_t[4]){ first[0] + b, first[1], first[2], first[3] }, key, plain + 4 * b);
    for (nj_isa isa = NJ_ISA_PORTABLE; isa <= nj_isa_best(); isa++) {
        memset(word, 0, sizeof word);
        nj_philox_fill(isa, first, key, BLOCKS, word);
        assert_memory_equal(word, plain, sizeof word);
    }
}

/* Mean, variance and fourth moment of 200,000 deviates: each within 5 standard errors (0 +- 1/sqrt(n), 1 +-
 * sqrt(2/n), 3 +- sqrt(96/n)). */
static void normal_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    double m1 = 0, m2 = 0, m4 = 0;
    for (uint32_t i = 0; i < N; i++) {
        uint32_t word[4];
        nj_philox((const uint32_t[4]){ i, 0, 0, 0 }, (const uint32_t[2]){ 5, 6 }, word);
        double x = nj_normal_of(word[0], word[1]);
        m1 += x / N, m2 += x * x / N, m4 += x * x * x * x / N;
    }
    assert_true(fabs(m1) < 5 / sqrt(N));
    assert_true(fabs(m2 - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m4 - 3) < 5 * sqrt(96.0 / N));
    assert_true(isfinite(nj_normal_of(0, 0)) && isfinite(nj_normal_of(0xffffffff, 0xffffffff)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_answers), cmocka_unit_test(bulk_equals_plain),
                                        cmocka_unit_test(normal_moments) };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
