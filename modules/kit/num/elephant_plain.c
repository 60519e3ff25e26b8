/* elephant_plain.c - hostless detection written directly by its definition, to test the fast version. */
#include "nightjar/num.h"
#include "planner.h"

#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The power-spectrum test in double precision: by the definition, to be read beside the paper
 * (nj_elephant_ks_plain), with the reference's random numbers (nj_elephant_ks_numpy), and for stamps whose
 * range is too wide for single precision (nj_elephant_ks_wide: the definition, rearranged as in elephant.c).
 * What it is: elephant.c. */

enum { SHUFFLES = NJ_ELEPHANT_SHUFFLES, PAIRS = SHUFFLES * (SHUFFLES - 1) / 2 };

int nj_elephant_open(nj_elephant *geometry, uint32_t stamp, uint32_t crop)
{
    *geometry = (nj_elephant){ .stamp = stamp, .crop = crop };
    if (crop > stamp || stamp > 63 || nj_spectrum_open(&geometry->spectrum, crop)) return -1;
    nj_elephant_work *work = aligned_alloc(64, (sizeof *work + 63) / 64 * 64); /* for its alignments */
    if (!work) return -1;
    pthread_mutex_lock(&nj_fft_planner);
    geometry->transform = fftw_plan_dft_r2c_2d((int)crop, (int)crop, work->pixel,
                                               (fftw_complex *)(void *)work->mode, FFTW_ESTIMATE);
    pthread_mutex_unlock(&nj_fft_planner);
    free(work);
    return geometry->transform ? 0 : -1;
}

void nj_elephant_close(nj_elephant *geometry)
{
    if (!geometry->transform) return;
    pthread_mutex_lock(&nj_fft_planner);
    fftw_destroy_plan(geometry->transform);
    pthread_mutex_unlock(&nj_fft_planner);
    geometry->transform = NULL;
}

/* A_b = 2 pi b <|F|^2> over the modes of bin b of the image in work->pixel. */
static void spectrum_of(const nj_elephant *geometry, nj_elephant_work *work, double *area)
{
    const double pi = 3.14159265358979323846;
    const int n = (int)geometry->crop, half = n / 2;
    double power[NJ_SPECTRUM_BINS] = { 0 };
    uint32_t n_modes[NJ_SPECTRUM_BINS] = { 0 };
    fftw_execute_dft_r2c(geometry->transform, work->pixel, (fftw_complex *)(void *)work->mode);
    for (int kx = -half; kx < half; kx++)
        for (int ky = -half; ky < half; ky++) {
            /* F(-k) is the conjugate of F(k): only ky >= 0 is there */
            int row = ((ky < 0 ? -kx : kx) + n) % n, col = abs(ky);
            const double *f = work->mode + 2 * (row * (half + 1) + col);
            int b = (int)floor(sqrt(kx * kx + ky * ky) - 0.5);
            if (b < 0 || b >= half) continue;
            power[b] += f[0] * f[0] + f[1] * f[1];
            n_modes[b]++;
        }
    for (int b = 0; b < half; b++) {
        double inner = b + 0.5, outer = b + 1.5;
        area[b] = power[b] / n_modes[b] * (pi * (outer * outer - inner * inner));
    }
}

/* The central part of work->image, or the pixels index[0 .. crop^2) of it. */
static void take(const nj_elephant *geometry, nj_elephant_work *work, const uint32_t *index)
{
    const uint32_t side = geometry->crop, from = (geometry->stamp - side) / 2;
    for (uint32_t i = 0; i < side * side; i++)
        work->pixel[i] =
            work->image[index ? index[i] : (from + i / side) * geometry->stamp + from + i % side];
}

static double statistic_plain(const nj_elephant *geometry, nj_elephant_work *work)
{
    const uint32_t bins = geometry->spectrum.n_bins;
    uint32_t pair = 0;
    for (uint32_t n = 0; n < SHUFFLES; n++)
        work->wide_x[n] = nj_w1_plain(work->wide_area[n], work->wide_area[SHUFFLES], bins);
    for (uint32_t i = 0; i < SHUFFLES; i++)
        for (uint32_t j = i + 1; j < SHUFFLES; j++)
            work->wide_y[pair++] = nj_w1_plain(work->wide_area[i], work->wide_area[j], bins);
    return nj_ks_plain(work->wide_x, SHUFFLES, work->wide_y, PAIRS);
}

/* The pixels of one shuffle that come to lie in the centre, by the definition or by way of floats. */
typedef void draw_function(nj_elephant_work *work, const uint32_t counter[4], const uint32_t k[2], uint32_t n,
                           uint32_t n_draw, uint32_t *index);
static void draw_plain(nj_elephant_work *work, const uint32_t counter[4], const uint32_t k[2], uint32_t n,
                       uint32_t n_draw, uint32_t *index)
{
    (void)work;
    nj_draw_plain(counter, k, n, n_draw, index);
}
static void draw_fast(nj_elephant_work *work, const uint32_t counter[4], const uint32_t k[2], uint32_t n,
                      uint32_t n_draw, uint32_t *index)
{
    if (counter[1] == 0) { /* the first shuffle: items are their own indices */
        for (uint32_t i = 0; i < n; i++) work->item[i] = (float)i;
        nj_draw_begin(&work->draw, work->item, n);
    }
    if (n == n_draw)
        nj_shuffle(&work->draw, NJ_ISA_PORTABLE, counter, k, work->item, n, 1, work->block, n);
    else
        nj_draw(&work->draw, NJ_ISA_PORTABLE, counter, k, n_draw, 1, work->block, n_draw);
    for (uint32_t i = 0; i < n_draw; i++) index[i] = (uint32_t)work->block[i];
}

static void counter_spectra(const nj_elephant *geometry, nj_elephant_work *work, const nj_elephant_key *key,
                            draw_function *draw)
{
    const uint32_t k[2] = { (uint32_t)key->id, (uint32_t)((uint64_t)key->id >> 32) };
    const uint32_t n = geometry->stamp * geometry->stamp, n_crop = geometry->crop * geometry->crop;
    uint32_t index[4096];
    take(geometry, work, NULL);
    spectrum_of(geometry, work, work->wide_area[SHUFFLES]);
    for (uint32_t shuffle = 0; shuffle < SHUFFLES; shuffle++) {
        const uint32_t counter[4] = { 0, shuffle, key->image | key->repeat << 1, key->seed << 1 };
        draw(work, counter, k, n, n_crop, index);
        take(geometry, work, index);
        spectrum_of(geometry, work, work->wide_area[shuffle]);
    }
}

double nj_elephant_ks_plain(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel,
                            const nj_clip *clip, const nj_elephant_key *key)
{
    if (nj_elephant_fill(geometry, work, pixel, clip, key)) return -1;
    counter_spectra(geometry, work, key, draw_plain);
    return statistic_plain(geometry, work);
}

void nj_elephant_ks_numpy(const nj_elephant *geometry, nj_elephant_work *work, nj_numpy_random *rng,
                          const float *const pixel[2], const nj_clip clip[2], double d[2])
{
    const uint32_t n = geometry->stamp * geometry->stamp;
    double filled[2][63 * 63];
    for (int image = 0; image < 2; image++) {
        const double median = (float)clip[image].median, sd = (float)clip[image].sd;
        for (uint32_t i = 0; i < n; i++) { /* a deviate for every pixel, used or not */
            const float p = pixel[image][i];
            const double noise = median + sd * nj_numpy_normal(rng);
            filled[image][i] = p >= clip[image].lo && p <= clip[image].hi && fabsf(p) < INFINITY ? p : noise;
        }
    }
    for (int image = 0; image < 2; image++) {
        memcpy(work->image, filled[image], n * sizeof *work->image);
        take(geometry, work, NULL);
        spectrum_of(geometry, work, work->wide_area[SHUFFLES]);
        for (uint32_t shuffle = 0; shuffle < SHUFFLES; shuffle++) {
            memcpy(work->image, filled[image], n * sizeof *work->image); /* each shuffle starts from
                                                                          * the stamp */
            nj_numpy_shuffle(rng, work->image, n);
            take(geometry, work, NULL);
            spectrum_of(geometry, work, work->wide_area[shuffle]);
        }
        d[image] = clip[image].n_kept ? statistic_plain(geometry, work) : -1;
    }
}

/* --- the same, faster: sorted values, counts instead of sorting --- */

static void insertion_sort(double *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        double t = v[i];
        uint32_t j = i;
        for (; j && v[j - 1] > t; j--) v[j] = v[j - 1];
        v[j] = t;
    }
}

static double distance(const double *u, const double *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += fabs(u[k] - v[k]);
    return sum / n;
}

static bool three_distinct(const double *v, uint32_t n)
{
    uint32_t m = 0;
    double had[2];
    for (uint32_t i = 0; i < n; i++) {
        if ((m > 0 && v[i] == had[0]) || (m > 1 && v[i] == had[1])) continue;
        if (m == 2) return true;
        had[m++] = v[i];
    }
    return false;
}

/* D by counting, for every value of x, the values of y below it and up to it (ks.c, note 1). */
static double ks_by_counting(double *x, uint32_t n_x, const double *y, uint32_t n_y)
{
    uint32_t le[SHUFFLES + 1] = { 0 }, lt[SHUFFLES + 1] = { 0 }; /* by how many x lie below y, and up to y */
    double d = 0;
    if (!three_distinct(x, n_x) || !three_distinct(y, n_y)) return -1;
    insertion_sort(x, n_x);
    for (uint32_t i = 0; i < n_y; i++) {
        uint32_t below = 0;
        for (uint32_t step = 128; step; step /= 2)
            if (below + step <= n_x && x[below + step - 1] < y[i]) below += step;
        uint32_t up_to = below;
        while (up_to < n_x && x[up_to] == y[i]) up_to++;
        le[below]++, lt[up_to]++;
    }
    for (uint32_t i = 0, n_le = 0, n_lt = 0, first = 0; i < n_x; i++) {
        n_le += le[i], n_lt += lt[i]; /* #(y <= x_i), #(y < x_i) */
        if (i && x[i] != x[i - 1]) first = i;
        uint32_t last = i;
        while (last + 1 < n_x && x[last + 1] == x[i]) last++;
        d = fmax(d, (last + 1.0) / n_x - (double)n_le / n_y);
        d = fmax(d, (double)n_lt / n_y - (double)first / n_x);
    }
    return d;
}

double nj_elephant_ks_wide(const nj_elephant *geometry, nj_elephant_work *work, const nj_elephant_key *key)
{
    const uint32_t bins = geometry->spectrum.n_bins;
    uint32_t pair = 0;
    counter_spectra(geometry, work, key, draw_fast);
    for (uint32_t n = 0; n <= SHUFFLES; n++) insertion_sort(work->wide_area[n], bins);
    for (uint32_t n = 0; n < SHUFFLES; n++)
        work->wide_x[n] = distance(work->wide_area[n], work->wide_area[SHUFFLES], bins);
    for (uint32_t i = 0; i < SHUFFLES; i++)
        for (uint32_t j = i + 1; j < SHUFFLES; j++)
            work->wide_y[pair++] = distance(work->wide_area[i], work->wide_area[j], bins);
    return ks_by_counting(work->wide_x, SHUFFLES, work->wide_y, PAIRS);
}
