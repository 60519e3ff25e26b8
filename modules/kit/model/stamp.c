/* stamp.c - stamps as networks want them: normalised, padded, three side by side. */
#include "nightjar/stamp.h"

#include <string.h>

#define LANES_FILE "../model/stamp_lanes.h"
#include "../num/each_isa.h"
static double (*const squares[NJ_ISAS])(const float *, uint32_t) = EACH_ISA(squares);
static void (*const interleave[NJ_ISAS])(const float *const *, const float *, uint32_t,
                                         float *) = EACH_ISA(interleave);

/* The norm of a stamp that fits, or why there is none. */
static nj_reason norm_of(nj_isa isa, const nj_image *image, uint32_t side, float *norm)
{
    if (!image || !image->pixel || !image->rows || !image->cols) return NJ_NO_INPUT;
    if (image->rows > side || image->cols > side) return NJ_RANGE;
    double sum = sqrt(squares[isa](image->pixel, image->rows * image->cols));
    *norm = (float)sum;
    return sum > 0 && !isinf(sum) ? NJ_DONE : NJ_RANGE;
}

static void put_plane(const nj_image *image, float norm, nj_small_stamp rule, uint32_t side, float *plane,
                      uint32_t step)
{
    uint32_t top = 0, left = 0;
    if (image->rows < side || image->cols < side) {
        float fill = rule == NJ_SMALL_KOWALSKI ? 1e-9f : 0;
        for (uint32_t i = 0; i < side * side; i++) plane[(size_t)i * step] = fill;
        if (rule == NJ_SMALL_BOOM) {
            top = (side - image->rows + 1) / 2;
            left = (side - image->cols + 1) / 2;
        }
    }
    for (uint32_t y = 0; y < image->rows; y++) {
        const float *from = image->pixel + (size_t)y * image->cols;
        float *to = plane + (size_t)step * ((y + top) * side + left);
        for (uint32_t x = 0; x < image->cols; x++) to[(size_t)step * x] = isnan(from[x]) ? 0 : from[x] / norm;
    }
}

nj_reason nj_stamp_plane(const nj_image *image, nj_small_stamp rule, uint32_t side, float *plane,
                         uint32_t step)
{
    float norm;
    nj_reason reason = norm_of(nj_isa_best(), image, side, &norm);
    if (reason == NJ_DONE) put_plane(image, norm, rule, side, plane, step);
    return reason;
}

nj_reason nj_stamp_triplet(nj_isa isa, const nj_image *const image[3], nj_small_stamp rule, uint32_t side,
                           float *triplet)
{
    float norm[3];
    const float *pixel[3];
    uint32_t n_whole = 0;
    for (uint32_t k = 0; k < 3; k++) {
        nj_reason reason = norm_of(isa, image[k], side, &norm[k]);
        if (reason != NJ_DONE) return reason;
        pixel[k] = image[k]->pixel;
        n_whole += image[k]->rows == side && image[k]->cols == side;
    }
    if (n_whole == 3)
        interleave[isa](pixel, norm, side * side, triplet);
    else
        for (uint32_t k = 0; k < 3; k++) put_plane(image[k], norm[k], rule, side, triplet + k, 3);
    return NJ_DONE;
}
