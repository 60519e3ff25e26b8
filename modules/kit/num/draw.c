/* draw.c - random draws and shuffles keyed on an alert. */
#include "nightjar/num.h"

#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* Random draws without replacement, in random order
 *
 * Given:     key [2], counter [1 .. 3]: what the draws are keyed on, counter[1] being that of the first;
 *            item [n]; n_draw < n (nj_draw) or all (nj_shuffle); how many draws
 * Returned:  to [draw * stride + k], k < n_draw
 *
 * Notes
 * 1) nj_draw takes random indices one after the other and skips those that it has had: the ordered draw is
 *    exactly uniform. An index is 12 bits (or as many as n - 1 has) of half a random word, skipped if it is n
 *    or more: no bias from scaling. The same law as the first n_draw places of a shuffle of all n, at a
 *    twentieth of the random numbers for 196 of 3969.
 * 2) nj_shuffle is the Fisher-Yates shuffle, inside out: item i goes to the place of one of 0 .. i, which
 *    goes to place i. Two of these numbers come from one word by two multiplications. A word whose rest is
 *    below 2^32 modulo the product of the bounds is thrown away, so that nothing is biased. The rest is at
 *    most the product itself in 3 of 100 shuffles of 900 items, which are then thrown one word after the
 *    other.
 * 3) Two draws and four shuffles go side by side: each step of one waits for memory that it has just written.
 * 4) Nothing is kept between draws, so that any of them can be repeated alone.
 *
 * Reference: Durstenfeld 1964, Commun. ACM 7, 420, DOI 10.1145/364520.364540; Lemire 2019, ACM Trans. Model.
 *            Comput. Simul. 29, 3, DOI 10.1145/3230636; Brackett-Rozinsky & Lemire 2024, arXiv 2408.06213
 *            (two numbers of one word). */
enum { FIRST_BLOCKS = 32, MORE_BLOCKS = 8, FIRST_INDICES = 8 * FIRST_BLOCKS, SIDE_BY_SIDE = 4 };

#define LANES_FILE "draw_lanes.h"
#include "each_isa.h"
static bool (*const throw_dice[NJ_ISAS])(const uint32_t *, uint32_t, uint32_t *) = EACH_ISA(throw_dice);

static uint32_t index_mask(uint32_t n)
{
    return n < 2 ? 0 : UINT32_MAX >> __builtin_clz(n - 1);
}

static void forget(nj_draw_work *work)
{
    for (int q = 0; q < 2; q++) {
        memset(work->round[q], 0, work->n);
        memset(work->round[q] + work->n, UINT8_MAX, sizeof work->round[q] - work->n);
    }
    work->rounds = 0;
}

void nj_draw_begin(nj_draw_work *work, const float *item, uint32_t n)
{
    memcpy(work->value, item, n * sizeof *item);
    memset(work->value + n, 0, (4096 - n) * sizeof *item);
    work->n = n;
    forget(work);
}

/* One step without a branch: the place is written always, and left behind only if the item is new. Indices
 * from n on have a round that no draw has; they lose it when they come up, and get it back after the draw. */
#define TAKE(i, seen, to, at)                                                                                \
    do {                                                                                                     \
        const uint32_t which = i;                                                                            \
        const uint8_t had = seen[which];                                                                     \
        to[at] = value[which];                                                                               \
        seen[which] = round;                                                                                 \
        at += had < round;                                                                                   \
    } while (0)
typedef uint16_t half __attribute__((may_alias)); /* of a word, the low one first */

static void philox_from(nj_isa isa, const uint32_t counter[4], uint32_t draw, uint32_t block,
                        const uint32_t key[2], uint32_t n_blocks, uint32_t *word)
{
    nj_philox_fill(isa, (const uint32_t[4]){ block, counter[1] + draw, counter[2], counter[3] }, key,
                   n_blocks, word);
}

/* Continues with draw `draw` from its index k on, at which `at` items are there. */
static void draw_rest(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
                      uint32_t draw, uint32_t n_draw, uint32_t k, uint32_t at, float *restrict to, int side)
{
    const uint32_t mask = index_mask(work->n);
    const uint8_t round = work->rounds;
    const float *restrict value = work->value;
    uint8_t *restrict seen = work->round[side];
    uint32_t *word = work->word[side];
    const half *index = (const half *)(const void *)word;
    for (uint32_t block = 0, n = FIRST_BLOCKS;;) {
        for (; k < 8 * n && at < n_draw; k++) TAKE(index[k] & mask, seen, to, at);
        if (at == n_draw) break;
        block += n, n = MORE_BLOCKS, k = 0;
        philox_from(isa, counter, draw, block, key, n, word);
    }
    memset(seen + work->n, UINT8_MAX, sizeof work->round[side] - work->n);
}

void nj_draw(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
             uint32_t n_draw, uint32_t n_draws, float *to, uint32_t stride)
{
    const uint32_t mask = index_mask(work->n), safe = n_draw < FIRST_INDICES ? n_draw : FIRST_INDICES;
    const float *restrict value = work->value;
    for (uint32_t draw = 0; draw < n_draws; draw += 2) {
        if (work->rounds == UINT8_MAX - 1) forget(work);
        const uint8_t round = ++work->rounds;
        const bool two = draw + 1 < n_draws;
        uint8_t *restrict seen0 = work->round[0], *restrict seen1 = work->round[1];
        const half *index0 = (const half *)(const void *)work->word[0],
                   *index1 = (const half *)(const void *)work->word[1];
        float *restrict to0 = to + (size_t)draw * stride, *restrict to1 = to0 + stride;
        uint32_t at0 = 0, at1 = 0;
        philox_from(isa, counter, draw, 0, key, FIRST_BLOCKS, work->word[0]);
        if (two) {
            philox_from(isa, counter, draw + 1, 0, key, FIRST_BLOCKS, work->word[1]);
            for (uint32_t k = 0; k < safe; k++) { /* cannot be too many */
                TAKE(index0[k] & mask, seen0, to0, at0);
                TAKE(index1[k] & mask, seen1, to1, at1);
            }
            draw_rest(work, isa, counter, key, draw + 1, n_draw, safe, at1, to1, 1);
        }
        draw_rest(work, isa, counter, key, draw, n_draw, two ? safe : 0, at0, to0, 0);
    }
}
#undef TAKE

/* Words in the order of the counter, some at hand. */
typedef struct words {
    uint32_t *word, at, n, n_blocks;
    const uint32_t *counter, *key;
} words;

static uint32_t next_word(words *w)
{
    if (w->at == w->n) {
        nj_philox((const uint32_t[4]){ w->n_blocks++, w->counter[1], w->counter[2], w->counter[3] }, w->key,
                  w->word);
        w->at = 0, w->n = 4;
    }
    return w->word[w->at++];
}

/* Two numbers, uniform in 0 .. bound - 1 (the low half) and 0 .. bound. */
static uint32_t two_below(words *w, uint32_t bound)
{
    const uint32_t product = bound * (bound + 1);
    for (;;) {
        const uint64_t first = (uint64_t)next_word(w) * bound,
                       second = (uint64_t)(uint32_t)first * (bound + 1);
        if ((uint32_t)second >= product || (uint32_t)second >= -product % product)
            return (uint32_t)(first >> 32) | (uint32_t)(second >> 32) << 16;
    }
}

/* Where items 1, 2 ... n - 1 go, and one more when n is even. */
static void dice_of(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
                    uint32_t shuffle, uint32_t n, uint32_t *dice)
{
    const uint32_t own[4] = { 0, counter[1] + shuffle, counter[2], counter[3] };
    const uint32_t n_blocks = (n / 2 + 3) / 4;
    nj_philox_fill(isa, own, key, n_blocks, work->word[0]);
    if (!throw_dice[isa](work->word[0], n / 2, dice)) return;
    words w = { .word = work->word[0], .n = 4 * n_blocks, .n_blocks = n_blocks, .counter = own, .key = key };
    for (uint32_t k = 0; k < n / 2; k++) dice[k] = two_below(&w, 2 * k + 2);
}

#define PUT(a, i, j, v)                                                                                      \
    do {                                                                                                     \
        const uint32_t place = j;                                                                            \
        a[i] = a[place];                                                                                     \
        a[place] = v;                                                                                        \
    } while (0)

void nj_shuffle(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
                const float *item, uint32_t n, uint32_t n_shuffles, float *to, uint32_t stride)
{
    uint32_t shuffle = 0;
    for (; shuffle + SIDE_BY_SIDE <= n_shuffles; shuffle += SIDE_BY_SIDE) {
        for (uint32_t q = 0; q < SIDE_BY_SIDE; q++)
            dice_of(work, isa, counter, key, shuffle + q, n, work->dice[q]);
        float *restrict a0 = to + (size_t)shuffle * stride, *restrict a1 = a0 + stride,
                        *restrict a2 = a1 + stride, *restrict a3 = a2 + stride;
        a0[0] = a1[0] = a2[0] = a3[0] = item[0];
        const uint32_t *d0 = work->dice[0], *d1 = work->dice[1], *d2 = work->dice[2], *d3 = work->dice[3];
        uint32_t i = 1;
        for (; i + 1 < n; i += 2, d0++, d1++, d2++, d3++) {
            const float v = item[i], w = item[i + 1];
            PUT(a0, i, *d0 & 0xffff, v);
            PUT(a1, i, *d1 & 0xffff, v);
            PUT(a2, i, *d2 & 0xffff, v);
            PUT(a3, i, *d3 & 0xffff, v);
            PUT(a0, i + 1, *d0 >> 16, w);
            PUT(a1, i + 1, *d1 >> 16, w);
            PUT(a2, i + 1, *d2 >> 16, w);
            PUT(a3, i + 1, *d3 >> 16, w);
        }
        if (i < n) {
            PUT(a0, i, *d0 & 0xffff, item[i]);
            PUT(a1, i, *d1 & 0xffff, item[i]);
            PUT(a2, i, *d2 & 0xffff, item[i]);
            PUT(a3, i, *d3 & 0xffff, item[i]);
        }
    }
    for (; shuffle < n_shuffles; shuffle++) {
        float *a = to + (size_t)shuffle * stride;
        dice_of(work, isa, counter, key, shuffle, n, work->dice[0]);
        a[0] = item[0];
        for (uint32_t i = 1; i < n; i++)
            PUT(a, i, work->dice[0][(i - 1) / 2] >> (i - 1) % 2 * 16 & 0xffff, item[i]);
    }
}
#undef PUT

void nj_draw_plain(const uint32_t counter[4], const uint32_t key[2], uint32_t n, uint32_t n_draw,
                   uint32_t *index)
{
    uint32_t word[4];
    words w = { .word = word, .counter = counter, .key = key };
    if (n_draw == n) {
        uint32_t two = 0;
        index[0] = 0;
        for (uint32_t i = 1; i < n; i++) {
            two = i % 2 ? two_below(&w, i + 1) : two >> 16;
            index[i] = index[two & 0xffff];
            index[two & 0xffff] = i;
        }
        return;
    }
    for (uint32_t done = 0, high = 0, both = 0; done < n_draw; high ^= 1) {
        both = high ? both >> 16 : next_word(&w);
        uint32_t i = both & 0xffff & index_mask(n);
        bool had = i >= n;
        for (uint32_t k = 0; k < done && !had; k++) had = index[k] == i;
        if (!had) index[done++] = i;
    }
}
