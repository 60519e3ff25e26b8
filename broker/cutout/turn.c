/* turn.c - target pixel files are mostly pixels that change their order; word by word that costs more than
 * all else, so four pixels and two frames are turned at a time. */
#include "turn.h"

#include <string.h>

typedef uint32_t four __attribute__((vector_size(16)));

static four load(const unsigned char *at)
{
    four v;
    memcpy(&v, at, sizeof v);
    return v;
}

static void store(unsigned char *at, four v)
{
    memcpy(at, &v, sizeof v);
}

static void word_by_word(const nj_turned *to, const unsigned char *pair, size_t pixel, uint32_t n_pixels,
                         uint32_t first, uint32_t n_frames)
{
    for (uint32_t i = 0; i < n_pixels; i++, pair += pixel)
        for (uint32_t k = first; k < n_frames; k++) {
            unsigned char *at = to->flux + k * to->row + 4 * (size_t)i;
            memcpy(at, pair + 8 * (size_t)k, 4);
            memcpy(at + to->error, pair + 8 * (size_t)k + 4, 4);
        }
}

/* Of four pixels. A load has flux, error, flux, error of two frames; a store one frame of four pixels. */
static void by_fours(const nj_turned *to, const unsigned char *pair, size_t pixel, uint32_t n_frames)
{
    unsigned char *at = to->flux;
    for (uint32_t k = 0; k + 2 <= n_frames; k += 2, at += 2 * to->row) {
        const unsigned char *from = pair + 8 * (size_t)k;
        const four a = load(from), b = load(from + pixel), c = load(from + 2 * pixel),
                   d = load(from + 3 * pixel);
        const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                   cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                   AB = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                   CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        store(at, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
        store(at + to->error, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
        store(at + to->row, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
        store(at + to->row + to->error, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
    }
    if (n_frames % 2) word_by_word(to, pair, pixel, 4, n_frames - 1, n_frames);
}

void nj_turn(const nj_turned *to, const unsigned char *pair, size_t pixel, uint32_t n_pixels,
             uint32_t n_frames)
{
    if (n_pixels < 4) {
        word_by_word(to, pair, pixel, n_pixels, 0, n_frames);
        return;
    }
    for (uint32_t i = 0; i < n_pixels; i += 4) {
        const uint32_t at = i + 4 <= n_pixels ? i : n_pixels - 4; /* the last ones: some of them once more */
        const nj_turned part = { to->flux + 4 * (size_t)at, to->error, to->row };
        by_fours(&part, pair + at * pixel, pixel, n_frames);
    }
}

void nj_turn_none(const nj_turned *to, uint32_t n_pixels, uint32_t n_frames)
{
    static const unsigned char nan[4] = { 0x7f, 0xc0, 0, 0 };
    for (uint32_t k = 0; k < n_frames; k++)
        for (uint32_t i = 0; i < n_pixels; i++) {
            unsigned char *at = to->flux + k * to->row + 4 * (size_t)i;
            memcpy(at, nan, 4);
            memcpy(at + to->error, nan, 4);
        }
}
