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
 * 3) Kept pixels are a contiguous range of the sorted values, so that a median is an order statistic of all
 *    pixels. It lies as a rule within a quarter standard deviation of the mean of the core (pixels within two
 *    quartile distances of the median of a sample): only those few pixels are put into a histogram, and only
 *    one of its cells is sorted. When a rank lies elsewhere, all pixels are put into it. Sums of the core are
 *    taken once, so that a pass adds up the tails alone. No full sort. Cost: some microseconds for 63 x 63
 *    pixels (nightjar bench hostless).
 * 4) Same bits on every instruction set: 16 partial sums, added in one order.
 *
 * Reference: astropy 6, astropy.stats.sigma_clip (definition); notes in modules/hostless.c for its use. */
enum { CELLS = 127, OUT = 255, BLOCK = 64, SLOTS = 2, SAMPLE = 32 };

typedef struct sums {
    uint32_t n_below, n_kept; /* pixels under the lower bound, pixels within */
    double s1, s2;            /* sums of (x - centre) and its square over the pixels within */
} sums;

struct nj_clip_work {
    float x[NJ_CLIP_MAX] __attribute__((aligned(64)));         /* NaN where not finite and behind the end */
    float tail[NJ_CLIP_MAX + 32] __attribute__((aligned(64))); /* the pixels outside the core, then NaN */
    float middle[NJ_CLIP_MAX + BLOCK] __attribute__((aligned(64))); /* pixels about the median, then NaN */
    uint8_t cell[NJ_CLIP_MAX + BLOCK]; /* histogram cell of each pixel of the middle, OUT behind its end */
    uint32_t first[CELLS + 1];         /* rank of the first pixel of each cell */
    float slot[SLOTS][NJ_CLIP_MAX];    /* sorted pixels of the cells used last */
    int slot_cell[SLOTS];              /* -1: empty */
    uint32_t last_cell;                /* in which a rank was found */
    uint32_t n, n_padded, n_finite, n_tail, n_middle;
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

#if defined __x86_64__
/* The lanes that are set, in order, a byte each. */
#define PLACE(m, b) ((m) >> (b)&1 ? (uint64_t)(b) << 8 * __builtin_popcount((m) & ((1 << (b)) - 1)) : 0)
#define ONE(m)                                                                                               \
    PLACE(m, 0) | PLACE(m, 1) | PLACE(m, 2) | PLACE(m, 3) | PLACE(m, 4) | PLACE(m, 5) | PLACE(m, 6) |        \
        PLACE(m, 7)
#define FOUR(m) ONE(m), ONE((m) + 1), ONE((m) + 2), ONE((m) + 3)
#define SIXTEEN(m) FOUR(m), FOUR((m) + 4), FOUR((m) + 8), FOUR((m) + 12)
#define SIXTY_FOUR(m) SIXTEEN(m), SIXTEEN((m) + 16), SIXTEEN((m) + 32), SIXTEEN((m) + 48)
static const uint64_t squeezed[256] = { SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192) };
#endif

#define LANES_FILE "clip_lanes.h"
#include "each_isa.h"
static void (*const sums_of[NJ_ISAS])(const float *, uint32_t, float, float, float,
                                      sums *) = EACH_ISA(sums_of);
static uint32_t (*const take_in[NJ_ISAS])(const float *, uint32_t, float *, float, float, float, sums *,
                                          float *, uint32_t *) = EACH_ISA(take_in);
static uint32_t (*const collect_middle[NJ_ISAS])(const float *, uint32_t, float, float, float *,
                                                 uint32_t *) = EACH_ISA(collect_middle);
static void (*const fill_cells[NJ_ISAS])(const float *, uint32_t, float, float,
                                         uint8_t *) = EACH_ISA(fill_cells);
static uint32_t (*const collect[NJ_ISAS])(const float *, const uint8_t *, uint32_t, uint8_t,
                                          float *) = EACH_ISA(collect);
static void (*const sort_sample[NJ_ISAS])(const float *, float *) = EACH_ISA(sort_sample);

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

/* Takes pixels in, divided into core and tails. */
static void split(nj_clip_work *work, const float *pixel, uint32_t n)
{
    work->n_finite = take_in[work->isa](pixel, n, work->x, work->core_lo, work->core_hi, work->centre,
                                        &work->core, work->tail, &work->n_tail);
    while (work->n_tail % 16) work->tail[work->n_tail++] = NAN;
}

/* Puts the middle into cells; ranks of its pixels begin at n_under. */
static void make_cells(nj_clip_work *work, float from, float per_cell, uint32_t n_under)
{
    const uint32_t n_padded = (work->n_middle + BLOCK - 1) / BLOCK * BLOCK;
    for (uint32_t i = work->n_middle; i < n_padded; i++) work->middle[i] = NAN;
    fill_cells[work->isa](work->middle, n_padded, from, per_cell, work->cell);
    uint32_t count[2][OUT + 1] = { 0 }; /* two, so that neighbours of one cell do not wait for each other */
    for (uint32_t i = 0; i < n_padded; i += 2) count[0][work->cell[i]]++, count[1][work->cell[i + 1]]++;
    for (uint32_t c = 0, rank = n_under; c <= CELLS; c++) {
        work->first[c] = rank;
        rank += count[0][c] + count[1][c];
    }
    for (int slot = 0; slot < SLOTS; slot++) work->slot_cell[slot] = -1;
    work->last_cell = CELLS / 2;
}

/* Medians lie between that of all pixels and that of the core. Where that is among the values follows from
 * how many are under the centre, and from the density of a normal distribution that is cut off as the core
 * is. */
static void take_middle(nj_clip_work *work)
{
    const sums *core = &work->core;
    const double n = core->n_kept, mean = core->s1 / n, sd = sqrt(core->s2 / n - mean * mean);
    const double per_rank = sd / (0.3677 * n), slack = n / 16;
    uint32_t n_low = 0, n_under = 0;
    for (uint32_t i = 0; i < work->n_tail; i++) n_low += work->tail[i] < work->core_lo;
    const double of_all = work->n_finite / 2., of_core = n_low + n / 2;
    const float from = (float)(work->centre + (fmin(of_all, of_core) - slack - core->n_below) * per_rank);
    const float to = (float)(work->centre + (fmax(of_all, of_core) + slack - core->n_below) * per_rank);
    const float per_cell = CELLS / (to - from);
    work->n_middle = 0;
    if (!(per_cell > 0) || !(per_cell <= FLT_MAX))
        return; /* no spread, or none that floats can tell: of_rank */
    work->n_middle = collect_middle[work->isa](work->x, work->n_padded, from, to, work->middle, &n_under);
    make_cells(work, from, per_cell, n_under);
}

/* All pixels: the cells span the core and half as much on either side. */
static void take_all(nj_clip_work *work)
{
    uint32_t none;
    const float per_cell = (float)(CELLS / ((double)work->core_hi - work->core_lo));
    work->n_middle =
        collect_middle[work->isa](work->x, work->n_padded, -INFINITY, INFINITY, work->middle, &none);
    make_cells(work, work->core_lo, per_cell > 0 && per_cell <= FLT_MAX ? per_cell : 1, 0);
}

/* A cell with many pixels is cut into cells of its own; those of a flat image cannot be. */
static bool refine(nj_clip_work *work, const float *pixel, uint32_t n, uint32_t n_under)
{
    float lo = pixel[0], hi = pixel[0];
    for (uint32_t i = 1; i < n; i++) {
        lo = pixel[i] < lo ? pixel[i] : lo;
        hi = pixel[i] > hi ? pixel[i] : hi;
    }
    const float per_cell = (float)(CELLS / ((double)hi - lo));
    if (!(hi > lo) || !(per_cell >= FLT_MIN) || !(per_cell <= FLT_MAX)) return false;
    memcpy(work->middle, pixel, n * sizeof *pixel);
    work->n_middle = n;
    make_cells(work, lo, per_cell, n_under);
    return true;
}

/* Pixel of a rank among all finite pixels. */
static float of_rank(nj_clip_work *work, uint32_t rank)
{
    enum { MANY = 128 };
    for (;;) {
        if (!work->n_middle || rank < work->first[0] || rank >= work->first[CELLS]) take_all(work);
        uint32_t c = work->last_cell; /* first[c] <= rank < first[c + 1] */
        while (work->first[c] > rank) c--;
        while (work->first[c + 1] <= rank) c++;
        work->last_cell = c;
        const int slot = c & (SLOTS - 1);
        float *in = work->slot[slot];
        if (work->slot_cell[slot] != (int)c) {
            const uint32_t n_padded = (work->n_middle + BLOCK - 1) / BLOCK * BLOCK;
            uint32_t n = collect[work->isa](work->middle, work->cell, n_padded, (uint8_t)c, in);
            if (n > MANY && refine(work, in, n, work->first[c])) continue;
            sort_floats(in, n);
            work->slot_cell[slot] = (int)c;
        }
        return in[rank - work->first[c]];
    }
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
    if (n > NJ_CLIP_MAX) n = NJ_CLIP_MAX;
    work->isa = isa;
    work->n = n;
    work->n_padded = (n + 15) / 16 * 16;
    work->n_finite = work->n_tail = work->n_middle = 0;
    *clip = (nj_clip){ .n = n, .n_nan = n, .lo = -INFINITY, .hi = INFINITY, .median = NAN, .sd = NAN };

    float sample[SAMPLE], sorted[SAMPLE];
    uint32_t m = 0, step = n / SAMPLE + 1;
    for (uint32_t start = 0; start < step && m < SAMPLE; start++)
        for (uint32_t i = start; i < n && m < SAMPLE; i += step)
            if (fabsf(pixel[i]) <= FLT_MAX) sample[m++] = pixel[i];
    if (!m) return; /* no pixel is finite */
    for (uint32_t i = m; i < SAMPLE; i++) sample[i] = INFINITY;
    sort_sample[isa](sample, sorted);
    const double q1 = sorted[m / 4], q3 = sorted[m * 3 / 4], width = 3 * (q3 - q1);
    work->centre = sorted[m / 2];
    work->core_lo = (float)(q1 - width / 3), work->core_hi = (float)(q3 + width / 3);

    split(work, pixel, n);
    clip->n_nan = n - work->n_finite;
    clip->n_kept = work->n_finite;
    take_middle(work);
}

/* Sums between bounds: over the tails alone. Bounds that cut into the core make it smaller. */
static sums sums_between(nj_clip_work *work, double lo, double hi)
{
    const float from = bound_up(lo), to = bound_down(hi);
    sums s;
    if (from > work->core_lo || to < work->core_hi) {
        work->core_lo = (float)fmax(work->core_lo, lo + (hi - lo) / 4);
        work->core_hi = (float)fmin(work->core_hi, hi - (hi - lo) / 4);
        split(work, work->x, work->n_padded);
    }
    sums_of[work->isa](work->tail, work->n_tail, from, to, work->centre, &s);
    s.n_kept += work->core.n_kept;
    s.s1 += work->core.s1, s.s2 += work->core.s2;
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
        mask[i] = !((pixel[i] >= lo) & (pixel[i] <= hi));
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
