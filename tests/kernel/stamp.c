/* stamp.c - stamps as network inputs: three at once equal three planes, on every instruction set, bit for
 * bit. */
#include "nightjar/stamp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static float pixel[3][NJ_STAMP_SIDE * NJ_STAMP_SIDE], together[NJ_TRIPLET], apart[NJ_TRIPLET];

static void fill(uint32_t seed)
{
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < NJ_STAMP_SIDE * NJ_STAMP_SIDE; i++) {
            seed = seed * 1664525u + 1013904223u;
            pixel[k][i] = seed >> 28 == 0 ? NAN : (float)(int32_t)seed * 1e-6f;
        }
}

static void equal_planes(void **state)
{
    (void)state;
    static const uint32_t sides[][2] = { { 63, 63 }, { 63, 41 }, { 62, 63 }, { 1, 1 } };
    fill(7);
    for (nj_isa isa = NJ_ISA_PORTABLE; isa <= nj_isa_best(); isa++)
        for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
            for (int rule = NJ_SMALL_BOOM; rule <= NJ_SMALL_KOWALSKI; rule++) {
                pixel[0][0] = pixel[1][0] = pixel[2][0] = 5; /* a stamp of one pixel has a norm */
                nj_image image[3];
                const nj_image *each[3];
                for (int k = 0; k < 3; k++) {
                    image[k] = (nj_image){ pixel[k], sides[s][0], sides[s][1], 0 };
                    each[k] = &image[k];
                    assert_int_equal(nj_stamp_plane(&image[k], rule, NJ_STAMP_SIDE, apart + k, 3), NJ_DONE);
                }
                assert_int_equal(nj_stamp_triplet(isa, each, rule, NJ_STAMP_SIDE, together), NJ_DONE);
                assert_memory_equal(together, apart, sizeof together);
            }
}

static void unit_norm(void **state)
{
    (void)state;
    fill(11);
    nj_image image = { pixel[0], 63, 63, 0 };
    const nj_image *each[3] = { &image, &image, &image };
    assert_int_equal(nj_stamp_triplet(nj_isa_best(), each, NJ_SMALL_BOOM, NJ_STAMP_SIDE, together), NJ_DONE);
    double sum = 0;
    for (int i = 0; i < NJ_TRIPLET; i++) sum += (double)together[i] * together[i];
    assert_true(fabs(sum - 3) < 1e-5); /* 3969 roundings to float of relative 6e-8 at random */
}

static void reasons(void **state)
{
    (void)state;
    fill(13);
    static float zero[NJ_STAMP_SIDE * NJ_STAMP_SIDE], infinite[1] = { INFINITY };
    nj_image good = { pixel[0], 63, 63, 0 }, large = { pixel[0], 64, 62, 0 }, dark = { zero, 63, 63, 0 },
             hot = { infinite, 1, 1, 0 };
    const struct {
        const nj_image *image[3];
        nj_reason reason;
    } cases[] = {
        { { &good, NULL, &large }, NJ_NO_INPUT }, { { &good, &large, NULL }, NJ_RANGE },
        { { &dark, &good, &good }, NJ_RANGE },    { { &good, &good, &hot }, NJ_RANGE },
        { { &good, &good, &good }, NJ_DONE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            nj_stamp_triplet(nj_isa_best(), cases[i].image, NJ_SMALL_BOOM, NJ_STAMP_SIDE, together),
            cases[i].reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(equal_planes), cmocka_unit_test(unit_norm),
                                        cmocka_unit_test(reasons) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
