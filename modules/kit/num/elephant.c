#include "nightjar/num.h"

#include <math.h>
#include <string.h>

/* Is a stamp's power spectrum that of its own shuffled pixels?
 *
 * Given:     geometry (side of the stamp, side of the central part that is transformed); pixel [stamp * stamp], DN;
 *            clip: the sigma clip of the whole stamp; key: what the random numbers are keyed on
 * Returned:  D in [0, 1], the Kolmogorov-Smirnov statistic between the 200 distances shuffle to stamp and the 19,900
 *            distances between shuffles; small = the stamp looks like its shuffles, that is, like noise.
 *            -1: fewer than 3 distinct distances, or no pixel is kept by the clip
 *
 * Notes
 * 1) Clipped pixels and NaN are replaced by normal deviates about the median of the others. A shuffle permutes the
 *    pixels of the whole stamp; of each, the central part is transformed. Since only that part is looked at, it is
 *    drawn alone (same law). A spectrum is 7 (or 15) numbers A_b = mean power times 2 pi b; two of them are compared as
 *    samples, by the Wasserstein-1 distance.
 * 2) Here: single precision, all 201 spectra side by side, pairs by differences of sorted values, D by counting. With
 *    the same draws D equals the plain version (elephant_plain.c) within 2 steps of its grid of 1/39800, mostly exactly.
 *    Stamps with a range beyond what single precision bears go the way of double precision.
 * 3) A D is one draw of a random variable: repeat it (key->repeat) and take the mean. The draws of any key can be had
 *    alone; the order of alerts, the number of threads and the instruction set do not matter.
 * 4) The draws replace MT19937 and one stream per process of the reference: equal in distribution, not in value.
 *
 * Reference: Pessi et al. 2024, arXiv 2404.18165, section 3 (ELEPHANT). */

enum { FILL = 1 }; /* lowest bit of the last counter word: fill or shuffle */

static void philox_key(const nj_elephant_key *key, uint32_t k[2])
{
    k[0] = (uint32_t)key->id;
    k[1] = (uint32_t)((uint64_t)key->id >> 32);
}

int nj_elephant_fill(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel, const nj_clip *clip,
                     const nj_elephant_key *key)
{
    const uint32_t n = geometry->stamp * geometry->stamp;
    const double median = (float)clip->median, sd = (float)clip->sd; /* single precision as in the reference */
    uint32_t k[2], n_filled = 0;
    philox_key(key, k);
    if (!clip->n_kept) return -1;
    for (uint32_t i = 0; i < n; i++) {
        work->image[i] = pixel[i];
        if (pixel[i] >= clip->lo && pixel[i] <= clip->hi && fabsf(pixel[i]) < INFINITY) continue;
        uint32_t word[4], counter[4] = { i, 0, key->image | key->repeat << 1, key->seed << 1 | FILL };
        nj_philox(counter, k, word);
        work->image[i] = median + sd * nj_normal_of(word[0], word[1]);
        n_filled++;
    }
    return n_filled && !isfinite(sd) ? -1 : 0;
}

/* Pixels less their median, scaled by a power of two to at most 1; false when their range is too wide for floats. */
static bool normalise(const nj_elephant *geometry, nj_elephant_work *work, const nj_clip *clip)
{
    const uint32_t n = geometry->stamp * geometry->stamp;
    double most = 0;
    int exponent;
    for (uint32_t i = 0; i < n; i++) {
        double d = fabs(work->image[i] - clip->median);
        most = d > most ? d : most;
    }
    if (!(most <= 16384 * clip->sd) || !(clip->sd > 0)) return false;
    frexp(most, &exponent);
    const double scale = ldexp(1, -exponent);
    for (uint32_t i = 0; i < n; i++) work->item[i] = (float)((work->image[i] - clip->median) * scale);
    return true;
}

double nj_elephant_ks(const nj_elephant *geometry, nj_isa isa, nj_elephant_work *work, const float *pixel,
                      const nj_clip *clip, const nj_elephant_key *key)
{
    const uint32_t side = geometry->crop, from = (geometry->stamp - side) / 2, n_crop = side * side;
    const uint32_t n = geometry->stamp * geometry->stamp, bins = geometry->spectrum.n_bins;
    enum { IMAGES = NJ_SPECTRUM_IMAGES, SHUFFLES = NJ_ELEPHANT_SHUFFLES, STRIDE = NJ_ELEPHANT_STRIDE };
    uint32_t k[2], counter[4] = { 0, 0, key->image | key->repeat << 1, key->seed << 1 };
    if (nj_elephant_fill(geometry, work, pixel, clip, key)) return -1;
    if (!normalise(geometry, work, clip)) return nj_elephant_ks_wide(geometry, work, key);
    philox_key(key, k);
    for (uint32_t first = 0; first < STRIDE; first += IMAGES) {
        if (first + IMAGES > SHUFFLES) memset(work->block, 0, n_crop * IMAGES * sizeof *work->block);
        for (uint32_t l = 0; l < IMAGES && first + l < SHUFFLES; l++) {
            counter[1] = first + l;
            if (n == n_crop) nj_shuffle(&work->draw, isa, counter, k, work->item, n, work->block + l, IMAGES);
            else nj_draw(&work->draw, isa, counter, k, work->item, n, n_crop, work->block + l, IMAGES);
        }
        if (first + IMAGES > SHUFFLES) /* the stamp itself comes behind its shuffles */
            for (uint32_t i = 0; i < n_crop; i++)
                work->block[i * IMAGES + SHUFFLES - first] = work->item[(from + i / side) * geometry->stamp + from + i % side];
        nj_spectrum(&geometry->spectrum, isa, work->block, work->area + first, STRIDE);
    }
    if (work->keep_area) memcpy(work->keep_area, work->area, bins * STRIDE * sizeof *work->area);
    nj_w1_sort(isa, bins, work->area, STRIDE);
    nj_w1_from(isa, bins, work->area, STRIDE, SHUFFLES, work->x);
    work->n_y = nj_w1_pairs(isa, bins, work->area, STRIDE, SHUFFLES, work->y);
    return nj_ks(&work->ks, isa, work->x, SHUFFLES, work->y, work->n_y, SHUFFLES * (SHUFFLES - 1) / 2);
}
