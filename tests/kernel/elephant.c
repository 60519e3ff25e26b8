/* elephant.c - the kernels of the power-spectrum test against their definitions: clipping, draws, spectra,
 * distances, the KS statistic, numpy's random numbers. Synthetic data; real stamps are in hostless.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fftw3.h>

#include "nightjar/num.h"

static uint64_t seed = 20240418;
static double uniform(void)
{
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}
static double normal(void)
{
    return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform());
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(p, 0, bytes);
    return p;
}

/* --- clipping --- */

enum { SKY, BRIGHT, CONSTANT, TWO_VALUES, QUANTISED, HOLES, ALL_NAN, INFINITE, ENORMOUS, SKEWED, CLIP_KINDS };

static void make_stamp(int kind, float *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double u = uniform(), sky = 150 + 7 * normal();
        p[i] = (float)sky;
        if (kind == BRIGHT && u < 0.05) p[i] = (float)(sky + 5000 * u);
        if (kind == CONSTANT) p[i] = 3.25f;
        if (kind == TWO_VALUES) p[i] = u < 0.9 ? -1 : 40;
        if (kind == QUANTISED) p[i] = (float)floor(sky / 4);
        if (kind == HOLES && u < 0.4) p[i] = NAN;
        if (kind == ALL_NAN) p[i] = NAN;
        if (kind == INFINITE && u < 0.02) p[i] = u < 0.01 ? INFINITY : -INFINITY;
        if (kind == ENORMOUS && u < 0.01) p[i] = -3.4028235e38f;
        if (kind == SKEWED) p[i] = (float)exp(2 * normal()); /* clips for many passes */
    }
}

static void clip_equals_plain(void **state)
{
    (void)state;
    static const uint32_t size[] = { 1, 2, 3, 15, 64, 196, 900, 3969, 4096 };
    nj_clip_work *work = aligned(nj_clip_work_size());
    float *p = aligned(NJ_CLIP_MAX * sizeof *p);
    double *sorted = aligned(NJ_CLIP_MAX * sizeof *sorted);
    uint8_t mask[NJ_CLIP_MAX];
    int n_capped = 0;
    for (int kind = 0; kind < CLIP_KINDS; kind++)
        for (size_t s = 0; s < sizeof size / sizeof *size; s++)
            for (int trial = 0; trial < 4; trial++) {
                make_stamp(kind, p, size[s]);
                nj_clip plain = { .lo = -INFINITY, .hi = INFINITY }, again, first = { 0 };
                nj_clip_plain(p, size[s], 3, 10, sorted, &plain);
                again = plain;
                nj_clip_plain(p, size[s], 3, 10, sorted, &again);
                n_capped += !plain.converged;
                for (int v = NJ_ISA_PORTABLE; v <= (int)nj_isa_best(); v++) {
                    nj_clip c, second;
                    memset(&c, 0, sizeof c);
                    nj_clip_begin(work, (nj_isa)v, p, size[s], &c);
                    nj_clip_passes(work, 3, 10, &c);
                    if (c.n_kept != plain.n_kept || c.n_nan != plain.n_nan || c.n_passes != plain.n_passes ||
                        c.converged != plain.converged)
                        fail_msg("kind %d, %u pixels: kept %u, plain %u; passes %u, plain %u", kind, size[s],
                                 c.n_kept, plain.n_kept, c.n_passes, plain.n_passes);
                    assert_true(c.median == plain.median ||
                                (isnan(c.median) && isnan(plain.median))); /* an order statistic: exact */
                    /* sums in another order: 4096 additions of doubles */
                    assert_true(c.sd == plain.sd || fabs(c.sd - plain.sd) <= 1e-11 * plain.sd + 1e-12 ||
                                (isnan(c.sd) && isnan(plain.sd)));
                    assert_int_equal(nj_clip_mask(&c, p, size[s], mask), size[s] - c.n_kept);
                    for (uint32_t i = 0; i < size[s]; i++) assert_true(!isnan(p[i]) || mask[i]);
                    if (v == NJ_ISA_PORTABLE) first = c;
                    assert_memory_equal(&first, &c, sizeof c); /* same bits on every instruction set */
                    second = c;
                    nj_clip_passes(work, 3, 10, &second);
                    assert_int_equal(second.n_kept, again.n_kept);
                }
            }
    assert_true(n_capped > 0); /* else the second clip was not tested */
    free(work), free(p), free(sorted);
}

/* Five times 0 and a 9: median 0, sd sqrt(81 * 5) / 6 = 3.354, so that 9 lies within 3 sd; at 2 sd it goes,
 * and then sd = 0 keeps the zeros. */
static void clip_by_hand(void **state)
{
    (void)state;
    nj_clip_work *work = aligned(nj_clip_work_size());
    const float p[6] = { 0, 0, 9, 0, 0, 0 };
    nj_clip c;
    nj_clip_begin(work, nj_isa_best(), p, 6, &c);
    nj_clip_passes(work, 3, 10, &c);
    assert_int_equal(c.n_kept, 6);
    assert_int_equal(c.n_passes, 1);
    assert_true(fabs(c.sd - sqrt(81.0 * 5) / 6) < 1e-15);
    nj_clip_begin(work, nj_isa_best(), p, 6, &c);
    nj_clip_passes(work, 2, 10, &c);
    assert_int_equal(c.n_kept, 5);
    assert_int_equal(c.n_passes, 2);
    assert_true(c.sd == 0 && c.median == 0 && c.converged);
    free(work);
}

/* --- draws --- */

static void draws_equal_plain(void **state)
{
    (void)state;
    nj_draw_work *work = aligned(sizeof *work);
    float *item = aligned(4096 * sizeof *item), *to = aligned(7 * 4096 * sizeof *to);
    uint32_t index[4096];
    enum { MOST = 7, STRIDE = 4096 };
    static const uint32_t shape[][2] = { { 3969, 196 }, { 900, 900 },  { 3969, 3900 },
                                         { 2, 1 },      { 4096, 196 }, { 17, 17 } };
    for (int i = 0; i < 4096; i++) item[i] = (float)i;
    for (uint32_t trial = 0; trial < 300; trial++) { /* draws twice: the second must not see the first */
        const uint32_t *s = shape[trial % 6], key[2] = { trial, 77 }, counter[4] = { 0, trial / 2, 3, 4 };
        const nj_isa isa = (nj_isa)(trial / 6 % (nj_isa_best() + 1u));
        const uint32_t n_draws = 1 + trial % MOST;
        if (s[0] == s[1])
            nj_shuffle(work, isa, counter, key, item, s[0], n_draws, to, STRIDE);
        else
            nj_draw_begin(work, item, s[0]), nj_draw(work, isa, counter, key, s[1], n_draws, to, STRIDE),
                nj_draw(work, isa, counter, key, s[1], n_draws, to, STRIDE);
        for (uint32_t draw = 0; draw < n_draws; draw++) {
            const uint32_t own[4] = { 0, counter[1] + draw, 3, 4 };
            uint8_t seen[4096] = { 0 };
            nj_draw_plain(own, key, s[0], s[1], index);
            for (uint32_t i = 0; i < s[1]; i++) {
                assert_int_equal(to[draw * STRIDE + i], index[i]);
                assert_true(index[i] < s[0] && !seen[index[i]]++); /* without replacement */
            }
        }
    }
    free(work), free(item), free(to);
}

/* chi^2 of how often each of n items comes, over all places and in the first place. Drawing k of n without
 * replacement shrinks the variance of a count by 1 - k/n. |z| < 5. */
static void draws_are_uniform(void **state)
{
    (void)state;
    enum { N = 3969, K = 196, TRIALS = 4000, COARSE = 63 };
    nj_draw_work *work = aligned(sizeof *work);
    float *item = aligned(4096 * sizeof *item), *to = aligned(4096 * sizeof *to);
    static uint32_t count[N], first[COARSE], shuffled[900];
    double chi2 = 0, chi2_first = 0, chi2_shuffle = 0;
    for (int i = 0; i < 4096; i++) item[i] = (float)i;
    nj_draw_begin(work, item, N);
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        const uint32_t key[2] = { 1, 2 }, counter[4] = { 0, trial, 0, 0 };
        nj_draw(work, nj_isa_best(), counter, key, K, 1, to, K);
        for (int i = 0; i < K; i++) count[(int)to[i]]++;
        first[(int)to[0] / 63]++;
        nj_shuffle(work, nj_isa_best(), counter, key, item, 900, 1, to, 900);
        shuffled[(int)to[450]]++;
    }
    const double want = (double)TRIALS * K / N, want_first = (double)TRIALS / COARSE,
                 want_shuffle = TRIALS / 900.0;
    for (int i = 0; i < N; i++) chi2 += (count[i] - want) * (count[i] - want) / want / (1 - (double)K / N);
    for (int i = 0; i < COARSE; i++)
        chi2_first += (first[i] - want_first) * (first[i] - want_first) / want_first;
    for (int i = 0; i < 900; i++)
        chi2_shuffle += (shuffled[i] - want_shuffle) * (shuffled[i] - want_shuffle) / want_shuffle;
    assert_true(fabs(chi2 - (N - 1)) < 5 * sqrt(2.0 * (N - 1)));
    assert_true(fabs(chi2_first - (COARSE - 1)) < 5 * sqrt(2.0 * (COARSE - 1)));
    assert_true(fabs(chi2_shuffle - 899) < 5 * sqrt(2.0 * 899));
    free(work), free(item), free(to);
}

/* --- spectra --- */

/* FFTW in double precision, bins counted mode by mode. */
static void spectrum_by_fftw(const float *block, uint32_t image, int n, double *area, uint32_t *n_modes)
{
    fftw_complex *f = fftw_malloc((size_t)(n * n) * sizeof *f);
    fftw_plan plan = fftw_plan_dft_2d(n, n, f, f, FFTW_FORWARD, FFTW_ESTIMATE);
    for (int i = 0; i < n * n; i++) f[i][0] = block[i * 32 + (int)image], f[i][1] = 0;
    fftw_execute(plan);
    for (int b = 0; b < n / 2; b++) area[b] = 0, n_modes[b] = 0;
    for (int i = 0; i < n * n; i++) {
        int kx = i / n < n / 2 ? i / n : i / n - n, ky = i % n < n / 2 ? i % n : i % n - n;
        double k = sqrt(kx * kx + ky * ky);
        for (int b = 0; b < n / 2; b++)
            if (k >= b + 0.5 && k < b + 1.5) area[b] += f[i][0] * f[i][0] + f[i][1] * f[i][1], n_modes[b]++;
    }
    for (int b = 0; b < n / 2; b++) area[b] *= (b + 1.0) / n_modes[b];
    fftw_destroy_plan(plan);
    fftw_free(f);
}

static void spectra_equal_fftw(void **state)
{
    (void)state;
    static const uint32_t modes[2][15] = { { 8, 12, 16, 32, 28, 40, 30 },
                                           { 8, 12, 16, 32, 28, 40, 40, 48, 68, 56, 72, 68, 88, 88, 70 } };
    nj_spectrum_plan plan;
    assert_int_equal(nj_spectrum_open(&plan, 16), -1);
    for (int which = 0; which < 2; which++) {
        const uint32_t n = which ? 30 : 14;
        const size_t bytes = n * n * 32 * sizeof(float);
        float *block = aligned(bytes), *copy = aligned(bytes), *area = aligned(15 * 32 * sizeof *area),
              *first = aligned(15 * 32 * sizeof *first);
        assert_int_equal(nj_spectrum_open(&plan, n), 0);
        /* noise, an offset, a bright pixel in every fourth image */
        for (uint32_t i = 0; i < n * n * 32; i++)
            block[i] = (float)(normal() + 0.1 * (i % 32) + (i % 4 == 0 && i / 32 == 33 ? 1000 : 0));
        for (int v = NJ_ISA_PORTABLE; v <= (int)nj_isa_best(); v++) {
            memcpy(copy, block, bytes);
            nj_spectrum(&plan, (nj_isa)v, copy, area, 32);
            if (v == NJ_ISA_PORTABLE) memcpy(first, area, plan.n_bins * 32 * sizeof *area);
            assert_memory_equal(first, area, plan.n_bins * 32 * sizeof *area);
        }
        for (uint32_t image = 0; image < 32; image++) {
            double want[15], most = 0;
            uint32_t n_modes[15];
            spectrum_by_fftw(block, image, (int)n, want, n_modes);
            for (uint32_t b = 0; b < plan.n_bins; b++) most = fmax(most, want[b]);
            for (uint32_t b = 0; b < plan.n_bins; b++) {
                assert_int_equal(n_modes[b], modes[which][b]);
                assert_int_equal(plan.n_modes[b], n_modes[b]);
                /* single precision; pairs of images share their rounding:
                 * 1e-6 of the larger one's largest bin */
                double pair = fmax(most, image % 4 ? 0 : most);
                assert_true(fabs(area[b * 32 + image] - want[b]) < 1e-6 * pair);
            }
        }
        free(block), free(copy), free(area), free(first);
    }
}

/* --- distances --- */

static void distances_equal_plain(void **state)
{
    (void)state;
    enum { N = 200, STRIDE = 224 };
    float *v = aligned(15 * STRIDE * sizeof *v), *x = aligned(STRIDE * sizeof *x),
          *y = aligned(nj_w1_room(N) * sizeof *y);
    float *first = aligned(nj_w1_room(N) * sizeof *first);
    for (uint32_t values = 7; values <= 15; values += 8)
        for (int isa = NJ_ISA_PORTABLE; isa <= (int)nj_isa_best(); isa++) {
            static double raw[STRIDE][15];
            double column[2][15];
            seed = values;
            for (uint32_t l = 0; l < STRIDE; l++)
                for (uint32_t k = 0; k < values; k++)
                    raw[l][k] = (float)(l % 5 ? exp(normal()) : floor(4 * uniform())),
                    v[k * STRIDE + l] = (float)raw[l][k];
            nj_w1_sort((nj_isa)isa, values, v, STRIDE);
            for (uint32_t l = 0; l < STRIDE; l++)
                for (uint32_t k = 1; k < values; k++)
                    assert_true(v[k * STRIDE + l] >= v[(k - 1) * STRIDE + l]);
            nj_w1_from((nj_isa)isa, values, v, STRIDE, N, x);
            for (uint32_t l = 0; l < N; l++) /* 15 roundings of floats */
                assert_true(fabs(x[l] - values * nj_w1_plain(raw[l], raw[N], values)) <= 1e-5 * x[l]);
            uint32_t n = nj_w1_pairs((nj_isa)isa, values, v, STRIDE, N, y), n_pairs = 0;
            assert_true(n % 16 == 0 && n <= nj_w1_room(N));
            double sum = 0, want = 0;
            for (uint32_t i = 0; i < n; i++)
                if (y[i] < INFINITY) sum += y[i], n_pairs++;
            assert_int_equal(n_pairs, N * (N - 1) / 2);
            for (uint32_t i = 0; i < N; i++)
                for (uint32_t j = i + 1; j < N; j++) {
                    memcpy(column[0], raw[i], sizeof column[0]);
                    memcpy(column[1], raw[j], sizeof column[1]);
                    want += values * nj_w1_plain(column[0], column[1], values);
                }
            assert_true(fabs(sum - want) < 1e-6 * want);
            if (isa == NJ_ISA_PORTABLE) memcpy(first, y, n * sizeof *y);
            assert_memory_equal(first, y, n * sizeof *y);
        }
    /* the examples of scipy.stats.wasserstein_distance's page */
    assert_true(fabs(nj_w1_plain((const double[]){ 0, 1, 3 }, (const double[]){ 5, 6, 8 }, 3) - 5) < 1e-15);
    free(v), free(x), free(y), free(first);
}

/* --- the KS statistic --- */

static void ks_equals_plain(void **state)
{
    (void)state;
    enum { NX = 200, NY = 19904 };
    nj_ks_work *work = aligned(sizeof *work);
    float *x = aligned(256 * sizeof *x), *y = aligned(NY * sizeof *y);
    double *dx = malloc(NX * sizeof *dx), *dy = malloc(NY * sizeof *dy);
    for (int trial = 0; trial < 120; trial++) {
        /* alike, shifted, heavy ties, far apart, tiny and large values */
        const double shift = trial % 4 * 0.3, step = trial % 3 == 2 ? 0.25 : 0,
                     scale = pow(10, trial % 7 * 10 - 30);
        const uint32_t nx = trial % 5 ? NX : 3 + (uint32_t)trial, hole = (uint32_t)trial % 16;
        uint32_t ny = 0;
        for (uint32_t i = 0; i < nx; i++) {
            double t = exp(0.5 * normal() + (trial % 11 == 10 ? 9 : shift));
            x[i] = (float)(scale * (step > 0 ? floor(t / step) * step : t));
            dx[i] = x[i];
        }
        for (uint32_t i = 0; i < NY; i++) {
            double t = exp(0.5 * normal());
            y[i] = i % 16 < hole ? INFINITY : (float)(scale * (step > 0 ? floor(t / step) * step : t));
            if (y[i] < INFINITY) dy[ny++] = y[i];
        }
        double want = nj_ks_plain(dx, nx, dy, ny);
        for (int isa = NJ_ISA_PORTABLE; isa <= (int)nj_isa_best(); isa++) {
            double d = nj_ks(work, (nj_isa)isa, x, nx, y, NY, ny);
            /* counts: exactly equal */
            if (d != want) fail_msg("trial %d: %.17g, plain %.17g", trial, d, want);
        }
    }
    for (uint32_t i = 0; i < NX; i++) x[i] = dx[i] = i % 2; /* two values only */
    assert_true(nj_ks(work, nj_isa_best(), x, NX, y, NY, NY) == -1);
    for (uint32_t i = 0; i < NX; i++) x[i] = (float)i;
    for (uint32_t i = 0; i < NY; i++) y[i] = 5;
    assert_true(nj_ks(work, nj_isa_best(), x, NX, y, NY, NY) == -1);
    assert_true(nj_ks_plain(dx, NX, dy, 100) == -1);
    /* by hand: F_x - F_y of {1, 2, 3} and {2.5, 3.5, 4} is 2/3 from 2 to 2.5 */
    assert_true(fabs(nj_ks_plain((double[]){ 3, 1, 2 }, 3, (double[]){ 4, 2.5, 3.5 }, 3) - 2.0 / 3) < 1e-15);
    free(work), free(x), free(y), free(dx), free(dy);
}

/* --- numpy --- */

/* Printed by numpy 2.4: random.seed(1337); standard_normal(5); shuffle(arange(12.)); standard_normal(2) */
static void numpy_stream(void **state)
{
    (void)state;
    static const double deviate[7] = { -0.7031873098624105, -0.49028236278771464, -0.3218143296501526,
                                       -1.7550787171239868, 0.20666447021383047,  -2.011264572814634,
                                       0.110498664274258 };
    static const int order[12] = { 5, 8, 11, 4, 2, 3, 1, 0, 7, 10, 6, 9 };
    nj_numpy_random *rng = nj_numpy_random_new(1337);
    double item[12];
    for (int i = 0; i < 12; i++) item[i] = i;
    for (int i = 0; i < 5; i++) assert_true(nj_numpy_normal(rng) == deviate[i]);
    nj_numpy_shuffle(rng, item, 12);
    for (int i = 0; i < 12; i++) assert_int_equal(item[i], order[i]);
    for (int i = 5; i < 7; i++) assert_true(nj_numpy_normal(rng) == deviate[i]);
    nj_numpy_random_free(rng);
}

/* --- the whole test, Rubin's geometry and the wide way --- */

static void whole_test_equals_plain(void **state)
{
    (void)state;
    nj_elephant_work *work = aligned(sizeof *work);
    nj_clip_work *clip_work = aligned(nj_clip_work_size());
    float *p = aligned(NJ_CLIP_MAX * sizeof *p);
    for (int trial = 0; trial < 6; trial++) {
        nj_elephant g;
        const uint32_t side = trial % 2 ? 30 : 63;
        assert_int_equal(nj_elephant_open(&g, side, trial % 2 ? 30 : 14), 0);
        for (uint32_t i = 0; i < side * side; i++) {
            double dx = i % side - side / 2.0, dy = i / side - side / 2.0;
            p[i] = (float)(100 + 5 * normal() + (trial < 2 ? 0 : 300 * exp(-(dx * dx + dy * dy) / 6)));
            if (trial == 3 && i % 50 == 0) p[i] = NAN;
        }
        if (trial >= 4)
            p[5 * side + 5] = 1e9f, p[(side / 2) * side + side / 2] = 2e9f; /* too wide for floats:
                                                                             * both clipped, one by one */
        nj_clip clip;
        nj_clip_begin(clip_work, nj_isa_best(), p, side * side, &clip);
        nj_clip_passes(clip_work, 3, trial >= 4 ? 1 : 10, &clip);
        if (trial >= 4)
            clip.lo = -INFINITY, clip.hi = INFINITY; /* nothing replaced, as when the
                                                      * sums overflow */
        for (uint32_t repeat = 0; repeat < 2; repeat++) {
            const nj_elephant_key key = { 1234567890123 + trial, 1, repeat, 7 };
            double plain = nj_elephant_ks_plain(&g, work, p, &clip, &key), first = -2;
            for (int isa = NJ_ISA_PORTABLE; isa <= (int)nj_isa_best(); isa++) {
                double d = nj_elephant_ks(&g, (nj_isa)isa, work, p, &clip, &key);
                if (isa == NJ_ISA_PORTABLE) first = d;
                assert_true(d == first);
                /* two steps of the grid by single precision; the wide way is double throughout */
                if (!(fabs(d - plain) < (trial >= 4 ? 1e-12 : 2.5 / 39800)))
                    fail_msg("trial %d: %.17g, plain %.17g", trial, d, plain);
            }
        }
        nj_elephant_close(&g);
    }
    nj_elephant g;
    assert_int_equal(nj_elephant_open(&g, 63, 14), 0);
    for (uint32_t i = 0; i < 63 * 63; i++) p[i] = 4;
    nj_clip clip;
    nj_clip_begin(clip_work, nj_isa_best(), p, 63 * 63, &clip);
    nj_clip_passes(clip_work, 3, 10, &clip);
    const nj_elephant_key key = { 1, 0, 0, 0 };
    assert_true(nj_elephant_ks(&g, nj_isa_best(), work, p, &clip, &key) == -1); /* all distances are 0 */
    for (uint32_t i = 0; i < 63 * 63; i++) p[i] = NAN;
    nj_clip_begin(clip_work, nj_isa_best(), p, 63 * 63, &clip);
    nj_clip_passes(clip_work, 3, 10, &clip);
    assert_true(nj_elephant_ks(&g, nj_isa_best(), work, p, &clip, &key) == -1);
    nj_elephant_close(&g);
    free(work), free(clip_work), free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clip_equals_plain),       cmocka_unit_test(clip_by_hand),
        cmocka_unit_test(draws_equal_plain),       cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(spectra_equal_fftw),      cmocka_unit_test(distances_equal_plain),
        cmocka_unit_test(ks_equals_plain),         cmocka_unit_test(numpy_stream),
        cmocka_unit_test(whole_test_equals_plain),
    };
    return cmocka_run_group_tests_name("elephant", tests, NULL, NULL);
}
