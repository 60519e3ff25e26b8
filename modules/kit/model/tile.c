/* tile.c - all networks spend their time in one matrix product; this is that loop for each instruction
 * set. */
#include "tile.h"

#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

enum { MAX_P = 28, MAX_V = 16 };

typedef void (*tile_function)(const nj_product *t, const float *in, const float *weight, const float *bias,
                              float *out, uint32_t n_out);

/* The tables: as many pixels as leave registers for the weights and one broadcast value (AVX-512 has 32,
 * AVX2 16). */
#define W 4
#define ISA(name) name##_portable
#define FMA(a, b, c) ((a) * (b) + (c))
#define FMA1(a, b, c) ((a) * (b) + (c))
#define MAX(a, b) ISA(choose)((a) > (b), a, b)
#define SET1(x) ((vec){ x, x, x, x })
#define TILES TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(8, 1) TILE(8, 2) TILE(16, 1)
/* clang-format off */
#define TILE_TABLE \
    { { 0, ISA(tile_4_1), ISA(tile_4_2), ISA(tile_4_3) }, { 0, ISA(tile_8_1), ISA(tile_8_2) }, { 0, \
    ISA(tile_16_1) } }
/* clang-format on */
/* clang-format off */
#define TILE_MOST \
    { 3, 2, 1 }
/* clang-format on */
#define EVEN_3 3
#define EVEN_16 3
#define EVENS EVEN(3, 3) EVEN(3, 16)
#define EVEN_FIRST ISA(even_3_3)
#define EVEN_TABLE ISA(even_3_16)
#include "tile_body.h"

#if defined __x86_64__
#define ISA_FMA
#define ISA_TARGET 8
#include "../num/isa_target.h"
#define W 8
#define ISA(name) name##_avx2
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SET1(x) ((vec)_mm256_set1_ps(x))
#define MAX(a, b) ((vec)_mm256_max_ps((__m256)(a), (__m256)(b))) /* b where one is NaN */
#define TILES                                                                                                \
    TILE(2, 1)                                                                                               \
    TILE(2, 2) TILE(2, 3) TILE(2, 4) TILE(2, 5) TILE(2, 6) TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(8, 1)
/* clang-format off */
#define TILE_TABLE \
    { { 0, ISA(tile_2_1), ISA(tile_2_2), ISA(tile_2_3), ISA(tile_2_4), ISA(tile_2_5), ISA(tile_2_6) }, { \
    0, ISA(tile_4_1), ISA(tile_4_2), ISA(tile_4_3) }, { 0, ISA(tile_8_1) } }
/* clang-format on */
/* clang-format off */
#define TILE_MOST \
    { 6, 3, 1 }
/* clang-format on */
#define HALF_TILES TILE(4, 1) TILE(4, 2) TILE(4, 3)
#define EVEN_3 6
#define EVEN_16 6
#define EVENS EVEN(6, 3) EVEN(6, 16)
#define EVEN_FIRST ISA(even_6_3)
#define EVEN_TABLE ISA(even_6_16)
#include "tile_body.h"
#define ISA_TARGET 0
#include "../num/isa_target.h"

#define ISA_TARGET 16
#include "../num/isa_target.h"
#define W 16
#define ISA(name) name##_avx512
#define FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SET1(x) ((vec)_mm512_set1_ps(x))
#define MAX(a, b) ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
/* clang-format off */
#define TILES \
    TILE(1, 1) TILE(1, 2) TILE(1, 3) TILE(1, 4) TILE(1, 5) TILE(1, 6) TILE(1, 7) TILE(1, 8) TILE(1, 9) \
    TILE(1, 10) TILE(1, 11) TILE(1, 12) TILE(1, 13) TILE(1, 14) TILE(1, 15) TILE(1, 16) TILE(1, 17) \
    TILE(1, 18) TILE(1, 19) TILE(1, 20) TILE(1, 21) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4) \
    TILE(2, 5) TILE(2, 6) TILE(2, 7) TILE(2, 8) TILE(2, 9) TILE(2, 10) TILE(2, 11) TILE(2, 12) \
    TILE(2, 13) TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(4, 4) TILE(4, 5) TILE(4, 6)
/* clang-format on */
/* clang-format off */
#define TILE_TABLE \
    { { 0, ISA(tile_1_1), ISA(tile_1_2), ISA(tile_1_3), ISA(tile_1_4), ISA(tile_1_5), ISA(tile_1_6), \
    ISA(tile_1_7), ISA(tile_1_8), ISA(tile_1_9), ISA(tile_1_10), ISA(tile_1_11), ISA(tile_1_12), \
    ISA(tile_1_13), ISA(tile_1_14), ISA(tile_1_15), ISA(tile_1_16), ISA(tile_1_17), ISA(tile_1_18), \
    ISA(tile_1_19), ISA(tile_1_20), ISA(tile_1_21) }, { 0, ISA(tile_2_1), ISA(tile_2_2), ISA(tile_2_3), \
    ISA(tile_2_4), ISA(tile_2_5), ISA(tile_2_6), ISA(tile_2_7), ISA(tile_2_8), ISA(tile_2_9), \
    ISA(tile_2_10), ISA(tile_2_11), ISA(tile_2_12), ISA(tile_2_13) }, { 0, ISA(tile_4_1), ISA(tile_4_2), \
    ISA(tile_4_3), ISA(tile_4_4), ISA(tile_4_5), ISA(tile_4_6) } }
/* clang-format on */
/* clang-format off */
#define TILE_MOST \
    { 21, 13, 6 }
/* clang-format on */
#define EVEN_3 20
#define EVEN_16 28, 14, 13, 12
#define EVENS EVEN(20, 3) EVEN(28, 16) EVEN(14, 16) EVEN(13, 16) EVEN(12, 16)
#define EVEN_FIRST ISA(even_20_3)
#define EVEN_TABLE ISA(even_28_16), ISA(even_14_16), ISA(even_13_16), ISA(even_12_16)
#include "tile_body.h"
#define ISA_TARGET 0
#include "../num/isa_target.h"
/* clang-format off */
#define EACH(name) \
    { name##_portable, name##_avx2, name##_avx512 }
/* clang-format on */
static const nj_lanes *const lanes[NJ_ISAS] = { &lanes_portable, &lanes_avx2, &lanes_avx512 };
#else
/* clang-format off */
#define EACH(name) \
    { name##_portable, name##_portable, name##_portable }
/* clang-format on */
static const nj_lanes *const lanes[NJ_ISAS] = { &lanes_portable, &lanes_portable, &lanes_portable };
#endif

void nj_product_run(nj_isa isa, const nj_product *product)
{
    static void (*const run[NJ_ISAS])(const nj_product *) = EACH(run);
    run[isa](product);
}

uint32_t nj_product_block(uint32_t n_out, uint32_t recurrent)
{
    return n_out <= 16 ? 16 : n_out <= 32 || !recurrent ? 32 : 64;
}

size_t nj_product_packed(uint32_t n_out, uint32_t n_in, uint32_t block)
{
    return (size_t)(n_out + block - 1) / block * block * n_in;
}

int nj_depthwise_groups(uint32_t channels, uint32_t kernel_y, uint32_t kernel_x)
{
    return kernel_y == 3 && kernel_x == 3 && channels % 16 == 0;
}

const nj_lanes *nj_lanes_of(nj_isa isa)
{
    return lanes[isa];
}
