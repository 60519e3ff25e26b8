/* kernels.c - the numerical kernels one by one, on data made from a seed: each verified against its
 * definition and, where it has vector versions, against the portable one bit for bit; then timed
 * against it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "harness.h"
#include "nightjar/lc.h"
#include "nightjar/num.h"

enum {
    SIDE = 63,
    PIXELS = SIDE * SIDE,
    BLOCKS = 1024,
    RUBIN = 30,
    CROP = 14,
    BINS = 7,
    SAMPLES = 200,
    STRIDE = 208,
    POINTS = 32,
    NIGHTS = 12,
    NUMBERS = 256,
    N_X = 200
};

typedef struct area {
    float image[CROP * CROP * NJ_SPECTRUM_IMAGES] __attribute__((aligned(64)));
    float block[CROP * CROP * NJ_SPECTRUM_IMAGES] __attribute__((aligned(64)));
    float power[BINS * NJ_SPECTRUM_IMAGES] __attribute__((aligned(64)));
    float sample[BINS * STRIDE] __attribute__((aligned(64)));
    float distance[nj_w1_room(SAMPLES)] __attribute__((aligned(64)));
    float from[STRIDE] __attribute__((aligned(64)));
    nj_elephant_work elephant;
    nj_clip_work *clip_work;
    nj_clip clip;
    double sorted[PIXELS];
    double ks;
    nj_elephant geometry[2]; /* of ZTF and Rubin */
    nj_clip of_stamp[2];
    double d[2];
    double day[POINTS], mag[POINTS], mag_err[POINTS], flux[POINTS], flux_err[POINTS], work[8 * POINTS],
        feature[NJ_LC_FEATURES];
    double flux_feature[NJ_FLUX_FEATURES];
    double component[NJ_COMPONENTS * NJ_COMPONENT_BINS];
    nj_component_fit fit;
    nj_rise rise;
    double number[NUMBERS], in_order[NUMBERS];
    nj_isa isa; /* of the next call */
    nj_isa best;
    uint32_t n_distances;
    nj_spectrum_plan plan;
    nj_ks_work ks_work;
    uint32_t word[4 * BLOCKS];
    float pixel[PIXELS];
    float x[N_X];
    float small[RUBIN * RUBIN];
} area;

static uint64_t seed = 20261121;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(seed >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* ---- the kernels ----------------------------------------------------------------------------- */

static const uint32_t counter[4] = { 0, 1, 2, 3 }, philox_key[2] = { 4, 5 };

static void philox(void *state)
{
    area *a = state;
    nj_philox_fill(a->isa, counter, philox_key, BLOCKS, a->word);
}

static void clip(void *state)
{
    area *a = state;
    nj_clip_begin(a->clip_work, a->isa, a->pixel, PIXELS, &a->clip);
    nj_clip_passes(a->clip_work, 3, 5, &a->clip);
}

static void clip_plain(void *state)
{
    area *a = state;
    a->clip = (nj_clip){ .lo = -INFINITY, .hi = INFINITY };
    nj_clip_plain(a->pixel, PIXELS, 3, 5, a->sorted, &a->clip);
}

static void spectrum(void *state)
{
    area *a = state;
    memcpy(a->block, a->image, sizeof a->block); /* the kernel destroys it */
    nj_spectrum(&a->plan, a->isa, a->block, a->power, NJ_SPECTRUM_IMAGES);
}

static void w1(void *state)
{
    area *a = state;
    a->n_distances = nj_w1_pairs(a->isa, BINS, a->sample, STRIDE, SAMPLES, a->distance);
}

static void w1_from(void *state)
{
    area *a = state;
    nj_w1_from(a->isa, BINS, a->sample, STRIDE, 0, a->from);
}

static void ks(void *state)
{
    area *a = state;
    a->ks = nj_ks(&a->ks_work, a->isa, a->x, N_X, a->distance, a->n_distances, SAMPLES * (SAMPLES - 1) / 2);
}

static void spectrum_test(area *a, int which)
{
    const nj_elephant_key key = { 20261129, 0, 0, 1337 };
    a->d[which] = nj_elephant_ks(&a->geometry[which], a->isa, &a->elephant, which ? a->small : a->pixel,
                                 &a->of_stamp[which], &key);
}

static void test_ztf(void *state)
{
    spectrum_test(state, 0);
}

static void test_rubin(void *state)
{
    spectrum_test(state, 1);
}

static void features(void *state)
{
    area *a = state;
    nj_lc_features(POINTS, a->day, a->mag, a->mag_err, a->work, a->feature);
}

static void features_plain(void *state)
{
    area *a = state;
    nj_lc_features_plain(POINTS, a->day, a->mag, a->mag_err, a->work, a->feature);
}

static void flux_features(void *state)
{
    area *a = state;
    nj_flux_features(POINTS, a->mag, a->mag_err, a->work, a->flux_feature);
}

static void component(void *state)
{
    area *a = state;
    nj_component_fit_flux(POINTS, a->day, a->flux, a->flux_err, a->component, &a->fit);
}

static void component_plain(void *state)
{
    area *a = state;
    nj_component_fit_plain(POINTS, a->day, a->flux, a->flux_err, a->component, &a->fit);
}

static void rise(void *state)
{
    area *a = state;
    nj_rise_fit(NIGHTS, a->day, a->flux, a->flux_err, a->work, &a->rise);
}

static void sort(void *state)
{
    area *a = state;
    memcpy(a->in_order, a->number, sizeof a->number);
    nj_sort_f64(a->in_order, NUMBERS);
}

static int by_value(const void *p, const void *q)
{
    double x = *(const double *)p, y = *(const double *)q;
    return (x > y) - (x < y);
}

static void sort_qsort(void *state)
{
    area *a = state;
    memcpy(a->in_order, a->number, sizeof a->number);
    qsort(a->in_order, NUMBERS, sizeof *a->in_order, by_value);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void make_images(area *a)
{
    for (int i = 0; i < PIXELS; i++) { /* sky, and a galaxy in the middle */
        double x = i % SIDE - SIDE / 2, y = i / SIDE - SIDE / 2;
        a->pixel[i] = (float)(100 + 10 * normal() + 4000 * exp(-(x * x + y * y) / 18));
    }
    for (int i = 0; i < RUBIN * RUBIN; i++)
        a->small[i] = a->pixel[(i / RUBIN + (SIDE - RUBIN) / 2) * SIDE + i % RUBIN + (SIDE - RUBIN) / 2];
    for (int which = 0; which < 2; which++) {
        nj_clip_begin(a->clip_work, a->best, which ? a->small : a->pixel, which ? RUBIN * RUBIN : PIXELS,
                      &a->of_stamp[which]);
        nj_clip_passes(a->clip_work, 3, 10, &a->of_stamp[which]);
    }
    for (size_t i = 0; i < sizeof a->image / sizeof *a->image; i++) a->image[i] = (float)normal();
    for (int k = 0; k < BINS; k++)
        for (int l = 0; l < STRIDE; l++) a->sample[k * STRIDE + l] = l < SAMPLES ? (float)exp(normal()) : 0;
    nj_w1_sort(NJ_ISA_PORTABLE, BINS, a->sample, STRIDE);
    for (int i = 0; i < N_X; i++) a->x[i] = (float)(3 + fabs(normal()));
}

/* A supernova-like rise and fall with 5 % noise; the first NIGHTS points rise as 1 /
 * (1 + exp(-(day - 6) / 2)). */
static void make_light_curve(area *a)
{
    for (int k = 0; k < NJ_COMPONENTS; k++)
        for (int i = 0; i < NJ_COMPONENT_BINS; i++) {
            double d = (i - 200) * NJ_COMPONENT_STEP_D;
            a->component[k * NJ_COMPONENT_BINS + i] = exp(-pow((d - 8 * k) / (10 + 5 * k), 2) / 2);
        }
    for (int i = 0; i < POINTS; i++) {
        double d = i, f = i < NIGHTS ? 1000 / (1 + exp(-(d - 6) / 2)) : 950 * exp(-(d - NIGHTS) / 15);
        a->day[i] = 2460000.5 + d;
        a->flux[i] = f;
        a->flux_err[i] = 0.05 * f + 5;
        a->mag[i] = 27.5 - 2.5 * log10(f) + 0.03 * normal();
        a->mag_err[i] = 0.03 + 0.02 * uniform();
    }
    for (int i = 0; i < NUMBERS; i++) a->number[i] = normal();
}

static int make(area *a)
{
    a->best = nj_isa_best();
    a->clip_work = aligned_alloc(64, (nj_clip_work_size() + 63) / 64 * 64);
    if (!a->clip_work || nj_spectrum_open(&a->plan, CROP)) return -1;
    if (nj_elephant_open(&a->geometry[0], SIDE, CROP) || nj_elephant_open(&a->geometry[1], RUBIN, RUBIN))
        return -1;
    make_images(a);
    make_light_curve(a);
    w1(a); /* ks reads its distances */
    return 0;
}

/* ---- verification ---------------------------------------------------------------------------- */

/* The same bits by the portable version and by the best. */
static bool same_bits(nj_bench_run *run, area *a, const char *name, void (*work)(void *), const void *result,
                      size_t size)
{
    void *kept = malloc(size);
    if (!kept) nj_give_up("bench: out of memory");
    a->isa = NJ_ISA_PORTABLE;
    work(a);
    memcpy(kept, result, size);
    a->isa = a->best;
    work(a);
    bool same = !memcmp(kept, result, size);
    free(kept);
    return nj_bench_verify(run, same, "%s: the same %zu bytes by portable code and by %s", name, size,
                           nj_isa_name[a->best]);
}

static void verify_vectors(nj_bench_run *run, area *a)
{
    uint32_t word[4], bad = 0;
    same_bits(run, a, "philox", philox, a->word, sizeof a->word);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        nj_philox((const uint32_t[]){ counter[0] + i, counter[1], counter[2], counter[3] }, philox_key, word);
        bad += memcmp(word, a->word + 4 * i, sizeof word) != 0;
    }
    nj_bench_verify(run, !bad, "philox: %d blocks equal those made one by one", BLOCKS);
    same_bits(run, a, "clip", clip, &a->clip, sizeof a->clip);
    nj_clip fast = a->clip;
    clip_plain(a);
    nj_bench_verify(run,
                    fast.n_kept == a->clip.n_kept && fabs(fast.median - a->clip.median) < 1e-6 &&
                        fabs(fast.sd / a->clip.sd - 1) < 1e-6,
                    "clip: keeps the %u of %d pixels that the definition keeps", a->clip.n_kept, PIXELS);
    same_bits(run, a, "spectrum", spectrum, a->power, sizeof a->power);
    same_bits(run, a, "w1, all pairs", w1, a->distance, sizeof a->distance);
    same_bits(run, a, "w1, one to all", w1_from, a->from, sizeof a->from);
    double worst = 0, u[BINS], v[BINS];
    for (int l = 0; l < SAMPLES; l++) {
        for (int k = 0; k < BINS; k++) u[k] = a->sample[k * STRIDE], v[k] = a->sample[k * STRIDE + l];
        worst = fmax(worst, fabs(a->from[l] / BINS - nj_w1_plain(u, v, BINS)));
    }
    /* single precision */
    nj_bench_verify(run, worst < 1e-5, "w1: within %.1g of the integral of |F_u - F_v|", worst);
    same_bits(run, a, "ks", ks, &a->ks, sizeof a->ks);
    same_bits(run, a, "spectrum test, ZTF", test_ztf, &a->d[0], sizeof a->d[0]);
    same_bits(run, a, "spectrum test, Rubin", test_rubin, &a->d[1], sizeof a->d[1]);
    double *x = malloc((N_X + SAMPLES * SAMPLES) * sizeof *x), *y = x + N_X;
    if (!x) nj_give_up("bench: out of memory");
    uint32_t n_y = 0;
    for (int i = 0; i < N_X; i++) x[i] = (double)a->x[i];
    for (uint32_t i = 0; i < a->n_distances; i++)
        if (isfinite(a->distance[i])) y[n_y++] = (double)a->distance[i];
    double plain = nj_ks_plain(x, N_X, y, n_y);
    nj_bench_verify(run, fabs(a->ks - plain) < 1e-12,
                    "ks: D = %.6f, that of the definition, of %d against %u", a->ks, N_X, n_y);
    free(x);
}

static void verify_fits(nj_bench_run *run, area *a)
{
    double plain[NJ_LC_FEATURES], worst = 0;
    features_plain(a);
    memcpy(plain, a->feature, sizeof plain);
    features(a);
    for (int k = 0; k < NJ_LC_FEATURES; k++)
        worst = fmax(worst, fabs(a->feature[k] - plain[k]) / (1e-3 + fabs(plain[k])));
    nj_bench_verify(run, worst < 1e-6, "features: within %.1g of one pass per feature",
                    worst); /* sums in other orders, over Julian Dates: seven digits of a slope are gone */
    component_plain(a);
    double residual = a->fit.residual;
    component(a);
    nj_bench_verify(run, a->fit.fitted && a->fit.residual <= residual * (1 + 1e-6),
                    "component fit: residual %.6f, by descent %.6f", a->fit.residual, residual);
    rise(a);
    nj_bench_verify(run, a->rise.fitted && fabs(a->rise.a - 0.5) < 0.02,
                    "rise fit: a = %.4f of a curve made with 0.5", a->rise.a);
    sort_qsort(a);
    double in_order[NUMBERS];
    memcpy(in_order, a->in_order, sizeof in_order);
    sort(a);
    nj_bench_verify(run, !memcmp(in_order, a->in_order, sizeof in_order), "sort: the order of qsort");
}

/* ---- the subject ----------------------------------------------------------------------------- */

/* A kernel with vector versions is timed as two cases: each sets its instruction set first. */
#define BOTH(f)                                                                                              \
    static void f##_portable(void *state)                                                                    \
    {                                                                                                        \
        ((area *)state)->isa = NJ_ISA_PORTABLE;                                                              \
        f(state);                                                                                            \
        nj_bench_use(state);                                                                                 \
    }                                                                                                        \
    static void f##_best(void *state)                                                                        \
    {                                                                                                        \
        ((area *)state)->isa = ((area *)state)->best;                                                        \
        f(state);                                                                                            \
        nj_bench_use(state);                                                                                 \
    }
BOTH(philox)
BOTH(clip)
BOTH(spectrum)
BOTH(w1)
BOTH(ks)
BOTH(test_ztf)
BOTH(test_rubin)

static int run_kernels(nj_bench_run *run)
{
    area *a = aligned_alloc(64, (sizeof *a + 63) / 64 * 64);
    if (!a) nj_give_up("bench: out of memory");
    memset(a, 0, sizeof *a);
    int rc = make(a);
    if (rc == 0) {
        const double pairs = SAMPLES * (SAMPLES - 1) / 2;
        verify_vectors(run, a);
        verify_fits(run, a);
        nj_bench_note(run, "best instruction set: %s", nj_isa_name[a->best]);
        const nj_bench_case vectors[] = {
            { "philox, word, portable", philox_portable, a, 4 * BLOCKS, 0 },
            { "philox, word", philox_best, a, 4 * BLOCKS, 0 },
            { "clip of a stamp, portable", clip_portable, a, 1, 0 },
            { "clip of a stamp", clip_best, a, 1, 0 },
            { "clip of a stamp, by the definition", clip_plain, a, 1, 0 },
            { "spectrum of 14 x 14 pixels, portable", spectrum_portable, a, NJ_SPECTRUM_IMAGES, 0 },
            { "spectrum of 14 x 14 pixels", spectrum_best, a, NJ_SPECTRUM_IMAGES, 0 },
            { "w1 of a pair of 7, portable", w1_portable, a, pairs, 0 },
            { "w1 of a pair of 7", w1_best, a, pairs, 0 },
            { "ks of 200 against 19900, portable", ks_portable, a, 1, 0 },
            { "ks of 200 against 19900", ks_best, a, 1, 0 },
            { "spectrum test of a 63 x 63 stamp, portable", test_ztf_portable, a, 1, 0 },
            { "spectrum test of a 63 x 63 stamp", test_ztf_best, a, 1, 0 },
            { "spectrum test of a 30 x 30 stamp, portable", test_rubin_portable, a, 1, 0 },
            { "spectrum test of a 30 x 30 stamp", test_rubin_best, a, 1, 0 },
        };
        nj_bench_time(run, vectors, sizeof vectors / sizeof *vectors);
        nj_bench_ratio(run, "philox, portable / best", 0, 1, NAN, NAN);
        nj_bench_ratio(run, "clip, portable / best", 2, 3, NAN, NAN);
        nj_bench_ratio(run, "clip, by the definition / best", 4, 3, NAN, NAN);
        nj_bench_ratio(run, "spectrum, portable / best", 5, 6, NAN, NAN);
        nj_bench_ratio(run, "w1, portable / best", 7, 8, NAN, NAN);
        nj_bench_ratio(run, "ks, portable / best", 9, 10, NAN, NAN);
        nj_bench_ratio(run, "spectrum test of ZTF, portable / best", 11, 12, NAN, NAN);
        nj_bench_ratio(run, "spectrum test of Rubin, portable / best", 13, 14, NAN, NAN);
        nj_bench_bar(run, "spectrum tests of a Rubin candidate, both stamps, ms",
                     2 * nj_bench_median(run, 14) / 1e6, "ms", NAN, 0.35);
        const nj_bench_case scalars[] = {
            { "26 features of 32 points", features, a, 1, 0 },
            { "26 features of 32 points, plain", features_plain, a, 1, 0 },
            { "47 flux features of 32 points", flux_features, a, 1, 0 },
            { "component fit of 32 points", component, a, 1, 0 },
            { "component fit, by descent", component_plain, a, 1, 0 },
            { "rise fit of 12 nights", rise, a, 1, 0 },
            { "sort of 256 numbers", sort, a, 1, 0 },
            { "sort of 256 numbers, qsort", sort_qsort, a, 1, 0 },
        };
        nj_bench_time(run, scalars, sizeof scalars / sizeof *scalars);
        nj_bench_ratio(run, "features, plain / one pass", 1, 0, NAN, NAN);
        nj_bench_ratio(run, "component fit, descent / exact", 4, 3, NAN, NAN);
        nj_bench_ratio(run, "sort, qsort / ours", 7, 6, NAN, NAN);
    }
    for (int which = 0; which < 2; which++) nj_elephant_close(&a->geometry[which]);
    free(a->clip_work);
    free(a);
    return rc;
}

extern const nj_bench nj_bench_kernels;
const nj_bench nj_bench_kernels = {
    "kernels", "numerical kernels one by one: the same bits by every instruction set, and their speed",
    run_kernels
};
