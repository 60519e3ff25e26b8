/* elephant.c - hostless detection (ELEPHANT): masks, spectra and their statistics for one candidate. */
#include "nightjar/num.h"

#include <math.h>
#include <string.h>

/* Is a stamp's power spectrum that of its own shuffled pixels?
 *
 * Given:     geometry (side of the stamp, side of the central part that is transformed);
 * pixel [stamp * stamp], DN;
 *            clip: the sigma clip of the whole stamp; key: what the random numbers are keyed on
 * Returned:  D in [0, 1], the Kolmogorov-Smirnov statistic between the 200 distances
 * shuffle to stamp and the 19,900
 *            distances between shuffles; small = the stamp looks like its shuffles, that is, like noise.
 *            -1: fewer than 3 distinct distances, or no pixel is kept by the clip
 *
 * Notes
 * 1) Clipped pixels and NaN are replaced by normal deviates about the median of the others.
 * A shuffle permutes the
 *    pixels of the whole stamp; of each, the central part is transformed. Since only that part is looked at,
 *    it is drawn alone (same law). A spectrum is 7 (or 15) numbers A_b = mean power times 2 pi b; two of them
 *    are compared as samples, by the Wasserstein-1 distance.
 * 2) Here: single precision, all 201 spectra side by side, pairs by differences of sorted values,
 * D by counting. With
 *    the same draws D equals the plain version (elephant_plain.c) within 2 steps of its grid of 1/39800,
 *    mostly exactly. Stamps that the clip could not bound (pixels near 1e19 and beyond)
 *    go the way of double precision.
 * 3) A D is one draw of a random variable: repeat it (key->repeat) and take the mean.
 * The draws of any key can be had
 *    alone; the order of alerts, the number of threads and the instruction set do not matter.
 * 4) The draws replace MT19937 and one stream per process of the reference:
 * equal in distribution, not in value.
 *
 * Reference: Pessi et al. 2024, arXiv 2404.18165, section 3 (ELEPHANT). */

enum { FILL = 1 }; /* lowest bit of the last counter word: fill or shuffle */

static void philox_key(const nj_elephant_key *key, uint32_t k[2])
{
    k[0] = (uint32_t)key->id;
    k[1] = (uint32_t)((uint64_t)key->id >> 32);
}

/* The deviate that stands for pixel i. */
static double noise(const nj_elephant_key *key, const uint32_t k[2], uint32_t i)
{
    const uint32_t counter[4] = { i, 0, key->image | key->repeat << 1, key->seed << 1 | FILL };
    uint32_t word[4];
    nj_philox(counter, k, word);
    return nj_normal_of(word[0], word[1]);
}

int nj_elephant_fill(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel,
                     const nj_clip *clip, const nj_elephant_key *key)
{
    const uint32_t n = geometry->stamp * geometry->stamp;
    const double median = (float)clip->median, sd = (float)clip->sd; /* single precision as in the
                                                                      * reference */
    uint32_t k[2], n_filled = 0;
    philox_key(key, k);
    if (!clip->n_kept) return -1;
    nj_clip_mask(clip, pixel, n, work->mask);
    for (uint32_t i = 0; i < n; i++) {
        work->image[i] = work->mask[i] ? median + sd * noise(key, k, i) : pixel[i];
        n_filled += work->mask[i];
    }
    return n_filled && !isfinite(sd) ? -1 : 0;
}

/* The same in single precision: less the median, and scaled by a power of two so that squares of sums stay in
 * range. What the clip keeps lies within its bounds, so that nothing is large against the noise. */
static void fill_fast(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel,
                      const nj_clip *clip, const nj_elephant_key *key)
{
    const uint32_t n = geometry->stamp * geometry->stamp;
    int exponent;
    uint32_t k[2];
    frexp((float)clip->sd, &exponent);
    const float median = (float)clip->median, scale = ldexpf(1, exponent > 100    ? -100
                                                                : exponent < -100 ? 100
                                                                                  : -exponent);
    const double sd = (float)clip->sd * (double)scale;
    philox_key(key, k);
    nj_clip_mask(clip, pixel, n, work->mask);
    for (uint32_t i = 0; i < n; i++) work->item[i] = (pixel[i] - median) * scale;
    for (uint32_t i = 0; i < (n + 7) / 8 * 8; i += 8) { /* few pixels are masked */
        uint64_t any;
        memcpy(&any, work->mask + i, sizeof any);
        if (!any) continue;
        for (uint32_t l = i; l < i + 8; l++)
            if (work->mask[l]) work->item[l] = (float)(sd * noise(key, k, l));
    }
}

double nj_elephant_ks(const nj_elephant *geometry, nj_isa isa, nj_elephant_work *work, const float *pixel,
                      const nj_clip *clip, const nj_elephant_key *key)
{
    const uint32_t side = geometry->crop, from = (geometry->stamp - side) / 2, n_crop = side * side;
    const uint32_t n = geometry->stamp * geometry->stamp, bins = geometry->spectrum.n_bins;
    const uint32_t image_stride = (n_crop + 7) / 8 * 8;
    enum {
        FOUR = 4,
        IMAGES = NJ_SPECTRUM_IMAGES,
        SHUFFLES = NJ_ELEPHANT_SHUFFLES,
        STRIDE = NJ_ELEPHANT_STRIDE
    };
    uint32_t k[2], counter[4] = { 0, 0, key->image | key->repeat << 1, key->seed << 1 };
    work->n_y = 0;
    if (!clip->n_kept) return -1;
    if (!(clip->sd > 0) || !isfinite(clip->lo) || !isfinite(clip->hi)) { /* nothing was clipped:
                                                                          * any range, see clip.c */
        if (nj_elephant_fill(geometry, work, pixel, clip, key)) return -1;
        return nj_elephant_ks_wide(geometry, work, key);
    }
    fill_fast(geometry, work, pixel, clip, key);
    philox_key(key, k);
    if (n != n_crop) nj_draw_begin(&work->draw, work->item, n);
    for (uint32_t first = 0; first < STRIDE; first += IMAGES) {
        for (uint32_t l = 0; l < IMAGES; l += FOUR) {
            if ((counter[1] = first + l) >= SHUFFLES) {
                memset(work->drawn, 0, sizeof work->drawn);
                for (uint32_t i = 0; counter[1] == SHUFFLES && i < n_crop; i++) /* the stamp itself */
                    work->drawn[i] = work->item[(from + i / side) * geometry->stamp + from + i % side];
            } else if (n == n_crop) {
                nj_shuffle(&work->draw, isa, counter, k, work->item, n, FOUR, work->drawn, image_stride);
            } else {
                nj_draw(&work->draw, isa, counter, k, n_crop, FOUR, work->drawn, image_stride);
            }
            nj_spectrum_interleave(isa, work->drawn, image_stride, n_crop, work->block + l);
        }
        nj_spectrum(&geometry->spectrum, isa, work->block, work->area + first, STRIDE);
    }
    if (work->keep_area) memcpy(work->keep_area, work->area, bins * STRIDE * sizeof *work->area);
    nj_w1_sort(isa, bins, work->area, STRIDE);
    nj_w1_from(isa, bins, work->area, STRIDE, SHUFFLES, work->x);
    work->n_y = nj_w1_pairs(isa, bins, work->area, STRIDE, SHUFFLES, work->y);
    return nj_ks(&work->ks, isa, work->x, SHUFFLES, work->y, work->n_y, SHUFFLES * (SHUFFLES - 1) / 2);
}
