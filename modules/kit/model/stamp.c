#include "nightjar/stamp.h"

#include <string.h>

/* Eight partial sums, so that the loop vectorises; the order is fixed. */
static double sum_of_squares(const float *pixel, uint32_t n)
{
    double part[8] = { 0 }, sum = 0;
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t k = 0; k < 8; k++) {
            double v = pixel[i + k];
            part[k] += isnan(v) ? 0 : v * v;
        }
    for (; i < n; i++) part[0] += isnan(pixel[i]) ? 0 : (double)pixel[i] * pixel[i];
    for (uint32_t k = 0; k < 8; k++) sum += part[k];
    return sum;
}

nj_reason nj_stamp_plane(const nj_image *image, nj_small_stamp rule, uint32_t side, float *plane, uint32_t step)
{
    if (!image || !image->pixel || !image->rows || !image->cols) return NJ_NO_INPUT;
    if (image->rows > side || image->cols > side) return NJ_RANGE;
    double norm = sqrt(sum_of_squares(image->pixel, image->rows * image->cols));
    if (!(norm > 0) || isinf(norm)) return NJ_RANGE;
    uint32_t top = 0, left = 0;
    if (image->rows < side || image->cols < side) {
        float fill = rule == NJ_SMALL_KOWALSKI ? 1e-9f : 0;
        for (uint32_t i = 0; i < side * side; i++) plane[(size_t)i * step] = fill;
        if (rule == NJ_SMALL_BOOM) {
            top = (side - image->rows + 1) / 2;
            left = (side - image->cols + 1) / 2;
        }
    }
    float norm32 = (float)norm;
    for (uint32_t y = 0; y < image->rows; y++) {
        const float *from = image->pixel + (size_t)y * image->cols;
        float *to = plane + (size_t)step * ((y + top) * side + left);
        for (uint32_t x = 0; x < image->cols; x++) to[(size_t)step * x] = isnan(from[x]) ? 0 : from[x] / norm32;
    }
    return NJ_DONE;
}
