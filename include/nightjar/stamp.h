/* nightjar/stamp.h - stamps as image classifiers read them (libnightjar-kit.a, modules/kit/model/stamp.c). */
#ifndef NIGHTJAR_STAMP_H
#define NIGHTJAR_STAMP_H
#include <string.h>

#include "nightjar/module.h"
#include "nightjar/num.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NJ_STAMP_SIDE = 63, NJ_TRIPLET = NJ_STAMP_SIDE * NJ_STAMP_SIDE * 3 };

/* What becomes of a stamp that is smaller than 63 x 63 (an alert near the edge of the detector). */
typedef enum {
    NJ_SMALL_BOOM,    /* centred in zeros before the norm, offset ceil((63 - n) / 2) on each axis */
    NJ_SMALL_KOWALSKI /* after the norm, filled with 1e-9 behind the last row and column */
} nj_small_stamp;
/* The word of a setting small_stamps; -1 = neither. */
static inline int nj_stamp_small(const char *word)
{
    return !strcmp(word, "boom") ? NJ_SMALL_BOOM : !strcmp(word, "kowalski") ? NJ_SMALL_KOWALSKI : -1;
}

/* One stamp as one plane of a network's input: NaN becomes 0,
 * then all is divided by the L2 norm (summed in float64).
 * Given:    image, at most side x side
 * Returned: plane[(row * side + column) * step], float32, row 0 = the first row of the file;
 * for [row][column][channel]
 *           memory `plane` points at the channel and step is the number of channels
 * Notes:    NJ_DONE; NJ_NO_INPUT without an image or pixels;
 * NJ_RANGE when it is larger, or its norm is 0 or not finite
 *           (BOOM and Kowalski divide all the same, and score NaN).
 * Reference: Duev et al. 2019, MNRAS 489, 3582, doi:10.1093/mnras/stz2357;
 * the rules for small stamps are those of
 *           the brokers BOOM and Kowalski. */
nj_reason nj_stamp_plane(const nj_image *image, nj_small_stamp rule, uint32_t side, float *plane,
                         uint32_t step);

/* Three stamps as one input in [row][column][channel] order:
 * the values of three planes with step 3, in a third of the time.
 * Given:    image [3] in the order of the channels; any may be NULL (NJ_NO_INPUT)
 * Returned: triplet [side * side * 3], float32; unspecified unless NJ_DONE
 * Notes:    the reason is that of the first stamp without a plane;
 * every instruction set gives the same bits. */
nj_reason nj_stamp_triplet(nj_isa isa, const nj_image *const image[3], nj_small_stamp rule, uint32_t side,
                           float *triplet);

#ifdef __cplusplus
}
#endif
#endif
