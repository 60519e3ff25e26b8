/* draw.c - random draws and shuffles keyed on an alert. */
#include "nightjar/num.h"

#include <string.h>

/* Random draws without replacement, in random order
 *
 * Given:     key [2], counter [1 .. 3]: what the draw is keyed on; item [n];
 * n_draw < n (nj_draw) or all (nj_shuffle)
 * Returned:  to [k * step], k < n_draw
 *
 * Notes
 * 1) nj_draw takes random indices one after the other and skips those that it has had:
 * the ordered draw is exactly
 *    uniform. An index is 12 bits (or as many as n - 1 has) of half a random word, skipped if it is n or
 *    more: no bias from scaling. The same law as the first n_draw places of a shuffle of all n, at a
 *    twentieth of the random numbers for 196 of 3969.
 * 2) nj_shuffle is the Fisher-Yates shuffle with unbiased bounded numbers by multiplication and rejection.
 * 3) Nothing is kept between draws, so that any of them can be repeated alone.
 *
 * Reference: Durstenfeld 1964, Commun. ACM 7, 420, DOI 10.1145/364520.364540; Lemire 2019, ACM Trans.
 * Model. Comput.
 *            Simul. 29, 3, DOI 10.1145/3230636. */
enum { FIRST_BLOCKS = 32, MORE_BLOCKS = 8 };

static uint32_t index_mask(uint32_t n)
{
    return n < 2 ? 0 : UINT32_MAX >> __builtin_clz(n - 1);
}

static void forget(nj_draw_work *work)
{
    memset(work->round, 0, work->n);
    memset(work->round + work->n, UINT8_MAX, sizeof work->round - work->n);
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
#define TAKE(i)                                                                                              \
    do {                                                                                                     \
        const uint32_t which = i;                                                                            \
        const uint8_t had = seen[which];                                                                     \
        *at = value[which];                                                                                  \
        seen[which] = round;                                                                                 \
        at = had < round ? at + step : at;                                                                   \
    } while (0)

void nj_draw(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
             uint32_t n_draw, float *restrict to, uint32_t step)
{
    if (work->rounds == UINT8_MAX - 1) forget(work);
    const uint32_t mask = index_mask(work->n);
    const uint8_t round = ++work->rounds;
    typedef uint16_t half __attribute__((may_alias));
    const half *restrict index = (const half *)(const void *)work->word; /* low half first */
    const float *restrict value = work->value;
    uint8_t *restrict seen = work->round;
    float *restrict at = to, *const end = to + (size_t)n_draw * step;
    for (uint32_t block = 0, n_blocks = FIRST_BLOCKS; at < end; block += n_blocks, n_blocks = MORE_BLOCKS) {
        nj_philox_fill(isa, (const uint32_t[4]){ block, counter[1], counter[2], counter[3] }, key, n_blocks,
                       work->word);
        /* cannot be too many */
        uint32_t k = 0, safe = block ? 0 : n_draw < 8 * FIRST_BLOCKS ? n_draw : 8 * FIRST_BLOCKS;
        for (; k < safe; k++) TAKE(index[k] & mask);
        for (; k < 8 * n_blocks && at < end; k++) TAKE(index[k] & mask);
    }
    memset(work->round + work->n, UINT8_MAX, sizeof work->round - work->n);
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

/* Uniform in 0 .. bound - 1. */
static inline uint32_t below(words *w, uint32_t bound)
{
    uint64_t product = (uint64_t)next_word(w) * bound;
    if ((uint32_t)product < bound) {
        uint32_t least = -bound % bound;
        while ((uint32_t)product < least) product = (uint64_t)next_word(w) * bound;
    }
    return (uint32_t)(product >> 32);
}

void nj_shuffle(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
                const float *item, uint32_t n, float *to, uint32_t step)
{
    words w = { .word = work->word, .n_blocks = (n + 3) / 4, .counter = counter, .key = key };
    nj_philox_fill(isa, (const uint32_t[4]){ 0, counter[1], counter[2], counter[3] }, key, w.n_blocks,
                   work->word);
    w.n = 4 * w.n_blocks;
    float *a = work->item;
    memcpy(a, item, n * sizeof *a);
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t j = below(&w, i + 1);
        float t = a[j];
        a[j] = a[i];
        to[i * step] = t;
    }
    to[0] = a[0];
}

void nj_draw_plain(const uint32_t counter[4], const uint32_t key[2], uint32_t n, uint32_t n_draw,
                   uint32_t *index)
{
    uint32_t word[4];
    words w = { .word = word, .counter = counter, .key = key };
    if (n_draw == n) {
        for (uint32_t i = 0; i < n; i++) index[i] = i;
        for (uint32_t i = n - 1; i > 0; i--) {
            uint32_t j = below(&w, i + 1), t = index[i];
            index[i] = index[j];
            index[j] = t;
        }
        return;
    }
    for (uint32_t done = 0, half = 0, both = 0; done < n_draw; half ^= 1) {
        both = half ? both >> 16 : next_word(&w);
        uint32_t i = both & 0xffff & index_mask(n);
        bool had = i >= n;
        for (uint32_t k = 0; k < done && !had; k++) had = index[k] == i;
        if (!had) index[done++] = i;
    }
}
