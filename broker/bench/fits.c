/* fits.c - the fits of whole light curves on simulated ones whose truth is known: Rainbow against the
 * number of points and starts, the periodogram against its definition, phase curves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "harness.h"
#include "nightjar/astro.h"
#include "nightjar/period.h"
#include "nightjar/phase.h"
#include "nightjar/rainbow.h"

enum { MOST = 320, FREQUENCIES = 75000, DEFINED = 500 };
/* The references' own times, as measured once on one of these machines: median of 449 fits of light-curve
 * 0.10.4; astropy's fast periodogram of 2 bands of 140 points at 75,127 frequencies; means of 14 fits of
 * fink-utils. */
static const double rainbow_ms = 102, period_ms = 198, hg_ms = 5.1, spin_ms = 20.6;

typedef struct area {
    double t[MOST], flux[MOST], err[MOST], phase[MOST], ra[MOST], dec[MOST], mag[MOST], mag_err[MOST];
    uint8_t band[MOST];
    double work[NJ_RAINBOW_WORK(MOST) + NJ_PERIOD_WORK(MOST)], power[FREQUENCIES], defined[DEFINED];
    double transformed[FREQUENCIES], *fft_work;
    nj_period_fft fft;
    nj_rainbow_fit rainbow;
    nj_phase_fit curve;
} area;

static const nj_rainbow model = {
    .bolometric = NJ_BAZIN, .temperature = NJ_T_SIGMOID, .n_bands = 3, .wavelength = { 4770, 6231, 7625 }
};
static const double truth[] = { 60, 2000, 5, 30, 6000, 11000, 12 };
static const nj_frequencies grid = { 1.5e-4, 2.9e-4, FREQUENCIES };

static uint64_t seed = 20261129;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(seed >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* --- data --- */

static void transient(area *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        a->t[i] = 150.0 * i / n + 0.5 * uniform();
        a->band[i] = (uint8_t)(i % 3);
        a->err[i] = 25;
    }
    nj_rainbow_flux(&model, truth, &(nj_rainbow_points){ .n = n, .t = a->t, .band = a->band }, a->flux, NULL);
    for (uint32_t i = 0; i < n; i++) a->flux[i] += a->err[i] * normal();
}

static void variable(area *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        a->t[i] = 680 * uniform();
        a->err[i] = 0.1;
        a->flux[i] = sin(6.283185307179586 * a->t[i] / 0.537) + a->err[i] * normal();
    }
}

static void asteroid(area *a, uint32_t n)
{
    static const double p[] = { 15, 0.3, 0.2, 14.5, 0.5, 0.3, 0.7, 2, 0.4 };
    for (uint32_t i = 0; i < n; i++) {
        a->phase[i] = NJ_RAD_PER_DEG * (0.3 + 25 * uniform());
        a->ra[i] = 6.28 * uniform();
        a->dec[i] = 0.4 * (uniform() - 0.5);
        a->band[i] = (uint8_t)(i % 2);
        a->mag_err[i] = 0.03;
        a->mag[i] = nj_phase_mag(NJ_SHG1G2, p, a->band[i], 2, a->phase[i], a->ra[i], a->dec[i]) +
                    a->mag_err[i] * normal();
    }
}

/* --- cases --- */

static void rainbow(area *a, uint32_t n, uint32_t starts)
{
    nj_rainbow_fit_points(
        &model, &(nj_rainbow_points){ .n = n, .t = a->t, .flux = a->flux, .err = a->err, .band = a->band },
        starts, a->work, &a->rainbow);
    nj_bench_use(a);
}

/* A light curve of its own length, and how often it is begun with at most. */
enum { LENGTHS = 6, COSTS = 2 * LENGTHS, FORTY = 2 };
typedef struct cost {
    char name[48];
    uint32_t n, starts;
    area *a;
} cost;

static void rainbow_cost(void *cost_)
{
    const cost *c = cost_;
    rainbow(c->a, c->n, c->starts);
}

static void period(void *state)
{
    area *a = state;
    nj_period_power(140, a->t, a->flux, a->err, &grid, a->work, a->power);
    nj_bench_use(a);
}

static void period_fft(void *state)
{
    area *a = state;
    nj_period_power_fft(&a->fft, 140, a->t, a->flux, a->err, &grid, a->fft_work, a->transformed);
    nj_bench_use(a);
}

static void period_plain(void *state)
{
    area *a = state;
    const nj_frequencies part = { grid.first, grid.step, DEFINED };
    nj_period_power_plain(140, a->t, a->flux, a->err, &part, a->work, a->defined);
    nj_bench_use(a);
}

static void phase(area *a, nj_phase_model which)
{
    nj_phase_fit_points(which,
                        &(nj_phase_points){ .n = 200,
                                            .mag = a->mag,
                                            .err = a->mag_err,
                                            .phase = a->phase,
                                            .ra = a->ra,
                                            .dec = a->dec,
                                            .band = a->band,
                                            .n_bands = 2 },
                        false, a->work, &a->curve);
    nj_bench_use(a);
}

static void phase_hg(void *a)
{
    phase(a, NJ_HG);
}
static void phase_spin(void *a)
{
    phase(a, NJ_SHG1G2);
}

/* --- the subject --- */

static void fits_of_transients(nj_bench_run *run, area *a)
{
    transient(a, MOST);
    rainbow(a, MOST, NJ_RAINBOW_STARTS);
    nj_bench_verify(run,
                    a->rainbow.fitted && fabs(a->rainbow.parameter[0] - truth[0]) < 5 * a->rainbow.error[0],
                    "rainbow: the time that was put in, within its error");
    nj_bench_verify(run, a->rainbow.chi2_dof > 0.7 && a->rainbow.chi2_dof < 1.3,
                    "rainbow: chi^2 of noise alone");
    static const uint32_t length[LENGTHS] = { 10, 20, 40, 80, 160, 320 };
    nj_bench_case cases[COSTS];
    cost *costs = calloc(COSTS, sizeof *costs);
    area *areas = calloc(LENGTHS, sizeof *areas);
    if (!costs || !areas) nj_give_up("bench: out of memory");
    for (uint32_t k = 0; k < COSTS; k++) { /* as many starts as it takes, then one */
        cost *c = &costs[k];
        *c = (cost){ .n = length[k % LENGTHS],
                     .starts = k < LENGTHS ? NJ_RAINBOW_STARTS : 1,
                     .a = &areas[k % LENGTHS] };
        if (k < LENGTHS) transient(c->a, c->n);
        snprintf(c->name, sizeof c->name, "rainbow fit of %u points%s", c->n,
                 c->starts == 1 ? ", one start" : "");
        cases[k] = (nj_bench_case){ c->name, rainbow_cost, c, 1, 0 };
    }
    nj_bench_time(run, cases, COSTS);
    nj_bench_ratio(run, "rainbow, 320 points / 40", LENGTHS - 1, FORTY, NAN, NAN);
    nj_bench_ratio(run, "rainbow, 7 starts at most / 1", FORTY, LENGTHS + FORTY, NAN, NAN);
    nj_bench_bar(run, "rainbow, reference's median / fit of 40 points",
                 rainbow_ms * 1e6 / nj_bench_median(run, FORTY), "", NAN, NAN);
    free(costs);
    free(areas);
}

static void periodograms(nj_bench_run *run, area *a)
{
    variable(a, MOST);
    period(a);
    period_plain(a);
    a->fft_work = malloc(nj_period_fft_work(140) * sizeof *a->fft_work);
    if (!a->fft_work || nj_period_fft_open(&a->fft)) nj_give_up("bench: out of memory");
    period_fft(a);
    double worst = 0, worst_fft = 0;
    uint32_t best = 0;
    for (uint32_t k = 0; k < DEFINED; k++) worst = fmax(worst, fabs(a->power[k] - a->defined[k]));
    for (uint32_t k = 0; k < FREQUENCIES; k++) {
        if (a->power[k] > a->power[best]) best = k;
        worst_fft = fmax(worst_fft, fabs(a->power[k] - a->transformed[k]));
    }
    nj_bench_verify(run, worst < 1e-9, "periodogram: the powers of its definition (%.1g)", worst);
    nj_bench_verify(run, worst_fft < 1e-5, "periodogram by transforms: the same powers (%.1g)", worst_fft);
    nj_bench_verify(run, fabs(nj_period_refine(&grid, a->power, best) * 0.537 - 1) < 1e-4,
                    "periodogram: the period that was put in");
    const nj_bench_case cases[] = { { "periodogram, frequency of 140 points", period, a, FREQUENCIES, 0 },
                                    { "periodogram, by its definition", period_plain, a, DEFINED, 0 },
                                    { "periodogram by transforms, frequency of 140 points", period_fft, a,
                                      FREQUENCIES, 0 } };
    nj_bench_time(run, cases, sizeof cases / sizeof *cases);
    nj_bench_ratio(run, "periodogram, definition / rotations", 1, 0, NAN, NAN);
    nj_bench_bar(run, "periodogram, astropy's fast / sums, 2 bands of 140 points",
                 period_ms * 1e6 / (2 * FREQUENCIES * nj_bench_median(run, 0)), "", NAN, NAN);
    nj_bench_bar(run, "periodogram, astropy's fast / transforms, 2 bands of 140 points",
                 period_ms * 1e6 / (2 * FREQUENCIES * nj_bench_median(run, 2)), "", NAN, NAN);
    nj_period_fft_close(&a->fft);
    free(a->fft_work);
}

static void phase_curves(nj_bench_run *run, area *a)
{
    asteroid(a, 200);
    phase_spin(a);
    nj_bench_verify(run, a->curve.fitted && fabs(a->curve.rms / 0.03 - 1) < 0.2,
                    "phase curve: the noise that was put in");
    const nj_bench_case cases[] = { { "phase curve HG, 200 points", phase_hg, a, 1, 0 },
                                    { "phase curve sHG1G2, 200 points", phase_spin, a, 1, 0 } };
    nj_bench_time(run, cases, sizeof cases / sizeof *cases);
    nj_bench_bar(run, "phase curve HG, reference / ours", hg_ms * 1e6 / nj_bench_median(run, 0), "", NAN,
                 NAN);
    nj_bench_bar(run, "phase curve sHG1G2, reference / ours", spin_ms * 1e6 / nj_bench_median(run, 1), "",
                 NAN, NAN);
}

static int run_fits(nj_bench_run *run)
{
    area *a = calloc(1, sizeof *a);
    if (!a) nj_give_up("bench: out of memory");
    fits_of_transients(run, a);
    periodograms(run, a);
    phase_curves(run, a);
    free(a);
    return 0;
}

extern const nj_bench nj_bench_fits;
const nj_bench nj_bench_fits = { "fits",
                                 "Rainbow fits, periodograms and phase curves, on simulated light curves",
                                 run_fits };
