/* clip.c - iterated sigma clipping of a stamp. */
#include "nightjar/num.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* Iterated sigma clipping about the median
 *
 * Given:     pixel [n], n <= NJ_CLIP_MAX, any unit; pixels that are not finite are masked from the start
 *            kappa > 0: bounds at median -/+ kappa standard deviations (divisor n) of the pixels still kept
 *            max_passes; a pass that removes nothing is the last
 * Returned:  clip: the last bounds (inclusive), how many pixels are kept, their median and standard deviation
 *
 * Notes
 * 1) The mask follows the last bounds, as in astropy.stats.sigma_clip, not the history:
 * a pixel that an early pass
 *    removed is kept again if the bounds moved back over it. Later passes never see it again, however.
 * 2) astropy computes in float32 there. Doubles give the same mask but for one case, which is imitated:
 * when the
 *    float32 sum of squares overflows (pixels near 1e19 and beyond), sd is infinite and nothing is clipped.
 * 3) Kept pixels are a contiguous range of the sorted values,
 * so that a median is an order statistic of all pixels,
 *    found by a histogram of 255 cells over the bulk and a sort within one cell. Sums of the core (two
 *    quartile distances about the median) are taken once, so that a pass adds up the tails alone. No full
 *    sort. Cost: some microseconds for 63 x 63 pixels (nightjar bench hostless).
 * 4) Same bits on every instruction set: 16 partial sums, added in one order.
 *
 * Reference: astropy 6, astropy.stats.sigma_clip (definition); notes in modules/hostless.c for its use. */
enum { CELLS = 255, OUT = 255, BLOCK = 64, SLOTS = 2 };

typedef struct sums {
    uint32_t n_below, n_kept; /* pixels under the lower bound, pixels within */
    double s1, s2;            /* sums of (x - centre) and its square over the pixels within */
} sums;

struct nj_clip_work {
    float x[NJ_CLIP_MAX] __attribute__((aligned(64)));         /* NaN where not finite and behind the end */
    float tail[NJ_CLIP_MAX + 32] __attribute__((aligned(64))); /* the pixels outside the core, then NaN */
    uint8_t cell[NJ_CLIP_MAX];                                 /* histogram cell of each pixel,
                                                                * OUT if it is not finite */
    uint32_t first[CELLS + 1];                                 /* rank of the first pixel of each cell */
    float slot[SLOTS][NJ_CLIP_MAX];                            /* sorted pixels of the cells used last */
    int slot_cell[SLOTS];                                      /* -1: empty */
    uint32_t n, n_padded, n_finite, n_tail;
    nj_isa isa;
    float centre, core_lo, core_hi; /* the core: pixels within, which a clip as a rule keeps */
    sums core;
};

size_t nj_clip_work_size(void)
{
    return sizeof(nj_clip_work);
}

/* The float bounds that keep exactly what the double bounds keep. */
static float bound_up(double lo)
{
    float f = (float)lo;
    return (double)f < lo ? nextafterf(f, INFINITY) : f;
}
static float bound_down(double hi)
{
    float f = (float)hi;
    return (double)f > hi ? nextafterf(f, -INFINITY) : f;
}

#define LANES_FILE "clip_lanes.h"
#include "each_isa.h"
static void (*const sums_of[NJ_ISAS])(const float *, uint32_t, float, float, float,
                                      sums *) = EACH_ISA(sums_of);
static void (*const fill_cells[NJ_ISAS])(const float *, uint32_t, float, float,
                                         uint8_t *) = EACH_ISA(fill_cells);
static uint32_t (*const collect[NJ_ISAS])(const float *, const uint8_t *, uint32_t, uint8_t,
                                          float *) = EACH_ISA(collect);
static uint32_t (*const collect_tail[NJ_ISAS])(const float *, uint32_t, float, float,
                                               float *) = EACH_ISA(collect_tail);
static uint32_t (*const take_in[NJ_ISAS])(const float *, uint32_t, float *) = EACH_ISA(take_in);

/* Few values as a rule (a cell of the histogram); heapsort when a flat image puts all into one cell. */
static void sort_floats(float *v, uint32_t n)
{
    if (n <= 64) {
        for (uint32_t i = 1; i < n; i++) {
            float t = v[i];
            uint32_t j = i;
            for (; j && v[j - 1] > t; j--) v[j] = v[j - 1];
            v[j] = t;
        }
        return;
    }
    for (uint32_t start = n / 2, end = n; end > 1;) {
        if (start) {
            start--;
        } else {
            end--;
            float t = v[end];
            v[end] = v[0];
            v[0] = t;
        }
        uint32_t root = start;
        float t = v[root];
        for (uint32_t child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && v[child + 1] > v[child]) child++;
            if (!(v[child] > t)) break;
            v[root] = v[child];
        }
        v[root] = t;
    }
}

/* Pixel of a rank among all finite pixels. */
static float of_rank(nj_clip_work *work, uint32_t rank)
{
    uint32_t lo = 0, hi = CELLS; /* first[lo] <= rank < first[hi] */
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (work->first[mid] <= rank)
            lo = mid;
        else
            hi = mid;
    }
    int slot = lo & (SLOTS - 1);
    if (work->slot_cell[slot] != (int)lo) {
        uint32_t n = collect[work->isa](work->x, work->cell, work->n_padded, (uint8_t)lo, work->slot[slot]);
        sort_floats(work->slot[slot], n);
        work->slot_cell[slot] = (int)lo;
    }
    return work->slot[slot][rank - work->first[lo]];
}

static double median_of(nj_clip_work *work, const sums *s)
{
    return ((double)of_rank(work, s->n_below + (s->n_kept - 1) / 2) +
            of_rank(work, s->n_below + s->n_kept / 2)) /
           2;
}

/* Divisor n; infinite where float32 would overflow (note 2). */
static double sd_of(const sums *s)
{
    double mean = s->s1 / s->n_kept, square = s->s2 - mean * s->s1;
    return square > FLT_MAX ? INFINITY : sqrt(fmax(square, 0) / s->n_kept);
}

void nj_clip_begin(nj_clip_work *work, nj_isa isa, const float *pixel, uint32_t n, nj_clip *clip)
{
    enum { SAMPLE = 32 };
    work->isa = isa;
    work->n = n < NJ_CLIP_MAX ? n : NJ_CLIP_MAX;
    work->n_padded = (work->n + BLOCK - 1) / BLOCK * BLOCK;
    uint32_t n_finite = take_in[isa](pixel, work->n, work->x);
    for (uint32_t i = work->n; i < work->n_padded; i++) work->x[i] = NAN;
    work->n_finite = n_finite;
    *clip = (nj_clip){ .n = work->n,
                       .n_nan = work->n - n_finite,
                       .n_kept = n_finite,
                       .lo = -INFINITY,
                       .hi = INFINITY,
                       .median = NAN,
                       .sd = NAN };
    if (!n_finite) return;

    /* The cells span the quartiles of a sample and as much again on either side; ranks of medians lie well
     * within, and where they do not, a cell is merely longer. */
    float sample[SAMPLE] = { 0 };
    uint32_t m = 0, step = work->n / SAMPLE + 1;
    for (uint32_t start = 0; start < step && m < SAMPLE; start++)
        for (uint32_t i = start; i < work->n && m < SAMPLE; i += step)
            if (work->x[i] == work->x[i]) sample[m++] = work->x[i];
    sort_floats(sample, m);
    double q1 = sample[m / 4], q3 = sample[m * 3 / 4], width = 3 * (q3 - q1);
    float from = (float)fmax(q1 - width / 3, -FLT_MAX), per_cell = (float)(CELLS / width);
    if (!(per_cell > 0) || !(per_cell <= FLT_MAX)) per_cell = 1;
    work->centre = sample[m / 2];
    fill_cells[isa](work->x, work->n_padded, from, per_cell, work->cell);

    uint32_t count[4][CELLS + 1] = { 0 }; /* four, so that neighbours of one cell do not wait
                                           * for each other */
    for (uint32_t i = 0; i < work->n_padded; i += 4)
        for (int l = 0; l < 4; l++) count[l][work->cell[i + l]]++;
    for (uint32_t c = 0, rank = 0; c <= CELLS; c++) {
        work->first[c] = rank;
        rank += count[0][c] + count[1][c] + count[2][c] + count[3][c];
    }
    for (int slot = 0; slot < SLOTS; slot++) work->slot_cell[slot] = -1;

    work->core_lo = (float)(q1 - width / 3), work->core_hi = (float)(q3 + width / 3);
    sums_of[isa](work->x, work->n_padded, work->core_lo, work->core_hi, work->centre, &work->core);
    work->n_tail = collect_tail[isa](work->x, work->n_padded, work->core_lo, work->core_hi, work->tail);
    while (work->n_tail % 16) work->tail[work->n_tail++] = NAN;
}

/* Sums between bounds: over the tails alone as long as the bounds leave the core whole. */
static sums sums_between(const nj_clip_work *work, double lo, double hi)
{
    const float from = bound_up(lo), to = bound_down(hi);
    sums s;
    if (from <= work->core_lo && to >= work->core_hi) {
        sums_of[work->isa](work->tail, work->n_tail, from, to, work->centre, &s);
        s.n_kept += work->core.n_kept;
        s.s1 += work->core.s1, s.s2 += work->core.s2;
    } else {
        sums_of[work->isa](work->x, work->n_padded, from, to, work->centre, &s);
    }
    return s;
}

void nj_clip_passes(nj_clip_work *work, double kappa, uint32_t max_passes, nj_clip *clip)
{
    const double start_lo = clip->lo, start_hi = clip->hi;
    double lo = start_lo, hi = start_hi, last_lo = lo, last_hi = hi;
    bool changed = true;
    if (!work->n_finite) {
        clip->converged = true;
        return;
    }
    sums s = sums_between(work, lo, hi);
    for (uint32_t pass = 0; changed && pass < max_passes && s.n_kept; pass++) {
        double median = median_of(work, &s), reach = kappa * sd_of(&s);
        uint32_t before = s.n_kept;
        last_lo = median - reach, last_hi = median + reach;
        lo = fmax(lo, last_lo), hi = fmin(hi, last_hi);
        if (reach < INFINITY) s = sums_between(work, lo, hi);
        changed = s.n_kept != before;
        clip->n_passes++;
    }
    uint32_t survivors = s.n_kept;
    clip->lo = fmax(start_lo, last_lo), clip->hi = fmin(start_hi, last_hi); /* the last bounds, note 1 */
    if (clip->lo != lo || clip->hi != hi) s = sums_between(work, clip->lo, clip->hi);
    clip->n_kept = s.n_kept;
    clip->converged = !changed && s.n_kept == survivors;
    clip->median = s.n_kept ? median_of(work, &s) : NAN;
    clip->sd = s.n_kept ? sd_of(&s) : NAN;
}

uint32_t nj_clip_mask(const nj_clip *clip, const float *pixel, uint32_t n, uint8_t *mask)
{
    const float lo = fmaxf(bound_up(clip->lo), -FLT_MAX), hi = fminf(bound_down(clip->hi), FLT_MAX);
    uint32_t n_masked = 0;
    for (uint32_t i = 0; i < n; i++) {
        mask[i] = !(pixel[i] >= lo && pixel[i] <= hi);
        n_masked += mask[i];
    }
    return n_masked;
}

/* --- by the definition --- */

static uint32_t keep(const float *pixel, uint32_t n, double lo, double hi, double *kept)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++)
        if (isfinite(pixel[i]) && pixel[i] >= lo && pixel[i] <= hi) kept[m++] = pixel[i];
    return m;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void median_and_sd(double *kept, uint32_t m, double *median, double *sd)
{
    double mean = 0, square = 0;
    qsort(kept, m, sizeof *kept, by_size);
    for (uint32_t i = 0; i < m; i++) mean += kept[i] / m;
    for (uint32_t i = 0; i < m; i++) square += (kept[i] - mean) * (kept[i] - mean);
    *median = m ? (kept[(m - 1) / 2] + kept[m / 2]) / 2 : NAN;
    *sd = square > FLT_MAX ? INFINITY : sqrt(square / m);
}

void nj_clip_plain(const float *pixel, uint32_t n, double kappa, uint32_t max_passes, double *sorted,
                   nj_clip *clip)
{
    const double start_lo = clip->lo, start_hi = clip->hi;
    double last_lo = start_lo, last_hi = start_hi, median, sd;
    uint32_t m = keep(pixel, n, start_lo, start_hi, sorted), before = m + 1;
    clip->n = n;
    clip->n_nan = n - keep(pixel, n, -INFINITY, INFINITY, sorted);
    m = keep(pixel, n, start_lo, start_hi, sorted);
    for (uint32_t pass = 0; pass < max_passes && m && m != before; pass++) {
        median_and_sd(sorted, m, &median, &sd);
        last_lo = median - kappa * sd, last_hi = median + kappa * sd;
        before = m;
        uint32_t left = 0;
        for (uint32_t i = 0; i < m; i++)
            if (sorted[i] >= last_lo && sorted[i] <= last_hi) sorted[left++] = sorted[i];
        m = left;
        clip->n_passes++;
    }
    clip->lo = fmax(start_lo, last_lo), clip->hi = fmin(start_hi, last_hi);
    clip->n_kept = keep(pixel, n, clip->lo, clip->hi, sorted);
    clip->converged = !m || (m == before && clip->n_kept == m);
    median_and_sd(sorted, clip->n_kept, &clip->median, &clip->sd);
}
