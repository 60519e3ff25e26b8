/* philox.c - counter-based random numbers: the same for an alert on any thread. */
#include "nightjar/num.h"

#include <math.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* Philox4x32-10, a counter-based random number generator
 *
 * Given:     counter [4] any; key [2] any
 * Returned:  word [4], uniform in 0 .. 2^32 - 1
 *
 * Notes
 * 1) Equal counter and key give equal words on every machine:
 * a draw can be keyed on an alert, so that it does not
 *    depend on the order of alerts or on the number of threads.
 *    Published answers are checked in tests/kernel/random.c.
 * 2) The bulk version counts in counter[0]; the vector versions have 8 blocks in flight.
 *
 * Reference: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11,
 *            DOI 10.1145/2063384.2063405, section 3.3 and table 2. */
enum { ROUNDS = 10 };
static const uint32_t multiplier[2] = { 0xD2511F53u, 0xCD9E8D57u };
static const uint32_t weyl[2] = { 0x9E3779B9u, 0xBB67AE85u };

void nj_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)multiplier[0] * c0, p1 = (uint64_t)multiplier[1] * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += weyl[0];
        k1 += weyl[1];
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

static void fill_portable(const uint32_t *first, const uint32_t *key, uint32_t n, uint32_t *word)
{
    for (uint32_t block = 0; block < n; block++)
        nj_philox((const uint32_t[4]){ first[0] + block, first[1], first[2], first[3] }, key,
                  word + 4 * block);
}

#if defined __x86_64__
/* One 32-bit word per 64-bit lane, so that the full product of two words is one instruction; ROUND is the
 * same text for both widths. */
#define ROUND(mul, xor3, srl, lo)                                                                            \
    do {                                                                                                     \
        p0 = mul(c0, m0), p1 = mul(c2, m1);                                                                  \
        c0 = xor3(srl(p1, 32), c1, k0), c2 = xor3(srl(p0, 32), c3, k1);                                      \
        c1 = lo(p1), c3 = lo(p0);                                                                            \
    } while (0)
#define XOR512(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define SAME(a) (a) /* the multiplication reads the low halves only; the high halves are dropped at the end */
#define XOR256(a, b, c) _mm256_xor_si256(_mm256_xor_si256(a, b), c)

/* The low half of a product's lane is all that is multiplied, so a key may stand alone in 64 bits. */
static void key_schedule(const uint32_t key[2], uint64_t keys[ROUNDS][2])
{
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (int k = 0; k < 2; k++) keys[round][k] = key[k] + round * weyl[k];
}

__attribute__((target("avx512f"))) static void fill_avx512(const uint32_t *first, const uint32_t *key,
                                                           uint32_t n, uint32_t *word)
{
    const __m512i m0 = _mm512_set1_epi64(multiplier[0]), m1 = _mm512_set1_epi64(multiplier[1]);
    const __m512i step = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), low = _mm512_set1_epi64(0xFFFFFFFF);
    const __m512i even = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0),
                  odd = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    uint64_t keys[ROUNDS][2];
    uint32_t block = 0;
    key_schedule(key, keys);
    for (; block + 8 <= n; block += 8) {
        __m512i c0 = _mm512_add_epi32(_mm512_set1_epi64((uint32_t)(first[0] + block)), step),
                c1 = _mm512_set1_epi64(first[1]);
        __m512i c2 = _mm512_set1_epi64(first[2]), c3 = _mm512_set1_epi64(first[3]), p0, p1;
        for (int round = 0; round < ROUNDS; round++) {
            const __m512i k0 = _mm512_set1_epi64((int64_t)keys[round][0]),
                          k1 = _mm512_set1_epi64((int64_t)keys[round][1]);
            ROUND(_mm512_mul_epu32, XOR512, _mm512_srli_epi64, SAME);
        }
        __m512i a = _mm512_or_si512(_mm512_and_si512(c0, low), _mm512_slli_epi64(c1, 32));
        __m512i b = _mm512_or_si512(_mm512_and_si512(c2, low), _mm512_slli_epi64(c3, 32));
        _mm512_storeu_si512(word + 4 * block, _mm512_permutex2var_epi64(a, even, b));
        _mm512_storeu_si512(word + 4 * block + 16, _mm512_permutex2var_epi64(a, odd, b));
    }
    for (; block < n; block++)
        nj_philox((const uint32_t[4]){ first[0] + block, first[1], first[2], first[3] }, key,
                  word + 4 * block);
}

/* Two chains of 4 blocks: a round waits for its products, and the other chain fills the wait. */
__attribute__((target("avx2"))) static void fill_avx2(const uint32_t *first, const uint32_t *key, uint32_t n,
                                                      uint32_t *word)
{
    enum { CHAINS = 2 };
    const __m256i m0 = _mm256_set1_epi64x(multiplier[0]), m1 = _mm256_set1_epi64x(multiplier[1]);
    const __m256i step = _mm256_set_epi64x(3, 2, 1, 0), low = _mm256_set1_epi64x(0xFFFFFFFF);
    uint64_t keys[ROUNDS][2];
    uint32_t block = 0;
    key_schedule(key, keys);
    for (; block + 4 * CHAINS <= n; block += 4 * CHAINS) {
        __m256i x0[CHAINS], x1[CHAINS], x2[CHAINS], x3[CHAINS];
        for (uint32_t q = 0; q < CHAINS; q++) {
            x0[q] = _mm256_add_epi32(_mm256_set1_epi64x((uint32_t)(first[0] + block + 4 * q)), step);
            x1[q] = _mm256_set1_epi64x(first[1]);
            x2[q] = _mm256_set1_epi64x(first[2]), x3[q] = _mm256_set1_epi64x(first[3]);
        }
        for (int round = 0; round < ROUNDS; round++) {
            const __m256i k0 = _mm256_set1_epi64x((int64_t)keys[round][0]),
                          k1 = _mm256_set1_epi64x((int64_t)keys[round][1]);
#pragma GCC unroll 2
            for (int q = 0; q < CHAINS; q++) {
                __m256i c0 = x0[q], c1 = x1[q], c2 = x2[q], c3 = x3[q], p0, p1;
                ROUND(_mm256_mul_epu32, XOR256, _mm256_srli_epi64, SAME);
                x0[q] = c0, x1[q] = c1, x2[q] = c2, x3[q] = c3;
            }
        }
        for (int q = 0; q < CHAINS; q++) {
            __m256i a = _mm256_or_si256(_mm256_and_si256(x0[q], low), _mm256_slli_epi64(x1[q], 32));
            __m256i b = _mm256_or_si256(_mm256_and_si256(x2[q], low), _mm256_slli_epi64(x3[q], 32));
            __m256i lo = _mm256_unpacklo_epi64(a, b), hi = _mm256_unpackhi_epi64(a, b);
            __m256i *to = (__m256i *)(void *)(word + 4 * block) + 2 * q;
            _mm256_storeu_si256(to, _mm256_permute2x128_si256(lo, hi, 0x20));
            _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(lo, hi, 0x31));
        }
    }
    for (; block < n; block++)
        nj_philox((const uint32_t[4]){ first[0] + block, first[1], first[2], first[3] }, key,
                  word + 4 * block);
}
#else
#define fill_avx2 fill_portable
#define fill_avx512 fill_portable
#endif

void nj_philox_fill(nj_isa isa, const uint32_t first[4], const uint32_t key[2], uint32_t n_blocks,
                    uint32_t *word)
{
    static void (*const version[NJ_ISAS])(const uint32_t *, const uint32_t *, uint32_t,
                                          uint32_t *) = { fill_portable, fill_avx2, fill_avx512 };
    version[isa](first, key, n_blocks, word);
}

/* Normal deviate
 *
 * Given:     a, b  two independent uniform 32-bit words
 * Returned:  one deviate of N(0, 1), |x| <= 6.8
 *
 * Notes
 * 1) One of the two deviates of the transform is thrown away: callers key every deviate on its own counter.
 * 2) u = (a + 1) / 2^32 lies in (0, 1], so that the logarithm is finite.
 *
 * Reference: Box & Muller 1958, Ann. Math. Statist. 29, 610, DOI 10.1214/aoms/1177706645. */
double nj_normal_of(uint32_t a, uint32_t b)
{
    const double two_pi = 6.283185307179586476925286766559;
    return sqrt(-2 * log((a + 1.0) * 0x1p-32)) * cos(two_pi * (b * 0x1p-32));
}
