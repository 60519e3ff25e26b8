/* draw_lanes.h - the vector loops of draw.c; see each_isa.h. */

/* Two dice of a word: 0 .. bound - 1 in the low half, 0 .. bound in the high one, for bounds that rise by 2
 * from 2 on. Returns whether one of the words may have to be thrown away (draw.c, note 2). word and dice have
 * room for 8 more. */
static bool ISA(throw_dice)(const uint32_t *restrict word, uint32_t n, uint32_t *restrict dice)
{
#if W >= 8
    const __m256i die = _mm256_set1_epi64x(0xffff0000), one = _mm256_set1_epi32(1),
                  last = _mm256_set1_epi32((int)(2 * n));
    __m256i bound = _mm256_set_epi32(16, 14, 12, 10, 8, 6, 4, 2), any = _mm256_setzero_si256();
    for (uint32_t k = 0; k < n; k += 8) { /* even lanes and odd lanes: a product has 64 bits */
        const __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(word + k));
        const __m256i next = _mm256_add_epi32(bound, one), product = _mm256_mullo_epi32(bound, next);
        const __m256i e1 = _mm256_mul_epu32(w, bound), e2 = _mm256_mul_epu32(e1, next);
        const __m256i o1 = _mm256_mul_epu32(_mm256_srli_epi64(w, 32), _mm256_srli_epi64(bound, 32));
        const __m256i o2 = _mm256_mul_epu32(o1, _mm256_srli_epi64(next, 32));
        const __m256i even =
            _mm256_or_si256(_mm256_srli_epi64(e1, 32), _mm256_and_si256(_mm256_srli_epi64(e2, 16), die));
        const __m256i odd = _mm256_or_si256(o1, _mm256_slli_epi64(_mm256_srli_epi64(o2, 32), 48));
        _mm256_storeu_si256((__m256i *)(void *)(dice + k), _mm256_blend_epi32(even, odd, 0xAA));
        const __m256i rest = _mm256_blend_epi32(e2, _mm256_slli_epi64(o2, 32), 0xAA);
        const __m256i low = _mm256_cmpeq_epi32(_mm256_max_epu32(rest, product), product);
        any = _mm256_or_si256(any, _mm256_andnot_si256(_mm256_cmpgt_epi32(bound, last), low));
        bound = _mm256_add_epi32(bound, _mm256_set1_epi32(16));
    }
    return !_mm256_testz_si256(any, any);
#else
    uint32_t any = 0;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t bound = 2 * k + 2;
        const uint64_t first = (uint64_t)word[k] * bound, second = (uint64_t)(uint32_t)first * (bound + 1);
        dice[k] = (uint32_t)(first >> 32) | (uint32_t)(second >> 32) << 16;
        any |= (uint32_t)second <= bound * (bound + 1);
    }
    return any;
#endif
}
