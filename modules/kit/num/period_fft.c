/* period_fft.c - the periodogram of many points at many frequencies: its sums by fast Fourier transforms.
 *
 * Given, returned: as nj_period_power(); powers differ by less than 1e-5 (measured: tests/kernel/period.c).
 * Method: the sums over points of w and w y at f_k, and of w at 2 f_k, are transforms of points that lie on
 *   no grid. The frequencies are taken as combs, every R-th one, so that a transform stays in the cache and
 *   one size serves every grid. Each point is spread over the SPREAD nearest cells by a Kaiser-Bessel window
 *   (extirpolation); after the transform each mode is divided by that of the window. Its relative error is
 *   about e^(-pi SPREAD sqrt(1 - 1 / s)) at s cells per mode: 2e-8 for 12 and 1.28. Which cells a point goes
 *   to, and with which weights, is the same for all combs: they differ by a phase.
 *   Where sine and cosine are nearly the same at all points (low frequencies, aliases of a cadence) the sums
 *   are taken directly: the error would be divided by next to nothing.
 * Reference: Press & Rybicki 1989, ApJ 338, 277; Barnett, Magland & af Klinteberg 2019, SIAM J. Sci. Comput.
 *   41, C479; Zechmeister & Kuerster 2009 (period.c). */
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nightjar/astro.h"
#include "nightjar/num.h"
#include "nightjar/period.h"
#include "period_sums.h"
#include "planner.h"

/* Of AT_ONCE modes: real and imaginary parts of the sums of w, of w y, and of w at twice the frequency. */
enum { AT_ONCE = 64 };
typedef struct fft_block {
    double part[6][AT_ONCE];
} fft_block;

#define LANES_FILE "period_fft_lanes.h"
#include "each_isa.h"
static void (*const powers[NJ_ISAS])(const fft_block *, double *, double *) = EACH_ISA(fft_powers);

enum { SPREAD = 12, TERMS = 40, SUMS = 3 };
#define CELLS_PER_MODE 1.28
#define LEAST_DETERMINANT 0.01 /* 0.25 when sine and cosine are independent */

pthread_mutex_t nj_fft_planner = PTHREAD_MUTEX_INITIALIZER;

/* A small transform is fastest for a cell; a large one spreads the points less often. */
static const uint32_t sizes[NJ_PERIOD_FFT_SIZES] = { 2048, 10000 };
enum { MANY_POINTS = 400 };

static int size_for(uint32_t n)
{
    return n > MANY_POINTS;
}

int nj_period_fft_open(nj_period_fft *f)
{
    int good = 1;
    pthread_mutex_lock(&nj_fft_planner);
    for (int i = 0; i < NJ_PERIOD_FFT_SIZES; i++) {
        double *area = aligned_alloc(64, 4 * (size_t)sizes[i] * sizeof *area);
        fftw_complex *from = (fftw_complex *)(void *)area, *to = from ? from + sizes[i] : NULL;
        f->plan[i] = area ? fftw_plan_dft_1d((int)sizes[i], from, to, FFTW_BACKWARD, FFTW_ESTIMATE) : NULL;
        good &= f->plan[i] != NULL;
        free(area);
    }
    pthread_mutex_unlock(&nj_fft_planner);
    if (!good) nj_period_fft_close(f);
    return good ? 0 : -1;
}

void nj_period_fft_close(nj_period_fft *f)
{
    pthread_mutex_lock(&nj_fft_planner);
    for (int i = 0; i < NJ_PERIOD_FFT_SIZES; i++) {
        if (f->plan[i]) fftw_destroy_plan(f->plan[i]);
        f->plan[i] = NULL;
    }
    pthread_mutex_unlock(&nj_fft_planner);
}

/* --- the window --- */

typedef struct window {
    uint32_t cells, modes;
    double beta, term[TERMS]; /* I0(beta sqrt(q)) = sum term_k q^k */
} window;

static window make_window(uint32_t cells)
{
    window w = { .cells = cells, .modes = (uint32_t)(cells / CELLS_PER_MODE), .term = { 1 } };
    w.beta = NJ_PI * SPREAD * (1 - 0.5 / CELLS_PER_MODE);
    for (int k = 1; k < TERMS; k++) w.term[k] = w.term[k - 1] * 0.25 * w.beta * w.beta / ((double)k * k);
    return w;
}

/* One over the window's transform at a mode. */
static double factor(const window *w, double mode)
{
    const double s = NJ_PI * SPREAD * mode / w->cells, root = sqrt(w->beta * w->beta - s * s);
    return root / (SPREAD * sinh(root));
}

/* The cells around x (turns): the first of them, and the window's values. */
static double place(const window *w, double x, double *value)
{
    const double at = (x - floor(x)) * w->cells, first = ceil(at - 0.5 * SPREAD);
    double q[SPREAD];
    for (int j = 0; j < SPREAD; j++) {
        const double d = (first + j - at) * (2.0 / SPREAD);
        q[j] = 1 - d * d;
        value[j] = w->term[TERMS - 1];
    }
    for (int k = TERMS - 2; k >= 0; k--)
        for (int j = 0; j < SPREAD; j++) value[j] = value[j] * q[j] + w->term[k];
    return first;
}

/* --- one comb after the other --- */

typedef struct point {
    double w[2], turn[2]; /* weight times phase of the present comb; what the next one turns it by */
    double per_weight, y;
    double first[2], value[2][SPREAD]; /* cells at the frequency, and at twice it */
} point;

static void add(double *cells, uint32_t n, double first, const double *value, double re, double im)
{
    int64_t cell = (int64_t)first;
    if (cell < 0) cell += n;
    for (int j = 0; j < SPREAD; j++, cell++) {
        if (cell >= n) cell -= n;
        cells[2 * cell] += value[j] * re;
        cells[2 * cell + 1] += value[j] * im;
    }
}

static void fill(uint32_t n, point *p, uint32_t cells, double *const sum[SUMS])
{
    for (int s = 0; s < SUMS; s++) memset(sum[s], 0, 2 * (size_t)cells * sizeof *sum[s]);
    for (uint32_t i = 0; i < n; i++) {
        const double re = p[i].w[0], im = p[i].w[1];
        add(sum[0], cells, p[i].first[0], p[i].value[0], re, im);
        add(sum[1], cells, p[i].first[0], p[i].value[0], re * p[i].y, im * p[i].y);
        add(sum[2], cells, p[i].first[1], p[i].value[1], (re * re - im * im) * p[i].per_weight,
            2 * re * im * p[i].per_weight);
        p[i].w[0] = re * p[i].turn[0] - im * p[i].turn[1];
        p[i].w[1] = re * p[i].turn[1] + im * p[i].turn[0];
    }
}

static void take(fft_block *b, uint32_t first, uint32_t m, uint32_t half, uint32_t cells,
                 const double *inverse, double *const sum[SUMS])
{
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        const uint32_t mode = first + (i < m ? i : 0);
        const size_t cell = mode >= half ? mode - half : cells - (half - mode);
        for (int s = 0; s < SUMS; s++) {
            b->part[2 * s][i] = sum[s][2 * cell] * inverse[mode];
            b->part[2 * s + 1][i] = sum[s][2 * cell + 1] * inverse[mode];
        }
    }
}

size_t nj_period_fft_work(uint32_t n)
{
    const size_t cells = sizes[size_for(n)];
    return NJ_PERIOD_WORK(n) + n * (sizeof(point) / sizeof(double)) + (4 * SUMS + 1) * cells + 64;
}

double nj_period_power_fft(const nj_period_fft *f, uint32_t n, const double *t, const double *y,
                           const double *err, const nj_frequencies *grid, double *work, double *power)
{
    nj_period_curve c = { .t = work, .y = work + n, .w = work + 2 * (size_t)n };
    for (uint32_t k = 0; k < grid->n; k++) power[k] = 0;
    if (!nj_period_weigh(n, t, y, err, &c)) return 0;
    const window w = make_window(sizes[size_for(n)]);
    const uint32_t combs = (grid->n + w.modes - 1) / w.modes, modes = (grid->n + combs - 1) / combs,
                   half = modes / 2;
    point *p = (point *)(void *)(work + 3 * (size_t)n);
    double *cells = (double *)(((uintptr_t)(p + n) + 63) / 64 * 64), *sum[SUMS], *mode[SUMS], *inverse;
    for (int s = 0; s < SUMS; s++) sum[s] = cells + 2 * s * (size_t)w.cells;
    for (int s = 0; s < SUMS; s++) mode[s] = cells + 2 * (SUMS + s) * (size_t)w.cells;
    inverse = cells + 4 * SUMS * (size_t)w.cells;
    for (uint32_t m = 0; m < modes; m++) inverse[m] = factor(&w, (double)m - half);
    for (uint32_t i = 0; i < n; i++) {
        const double x = combs * grid->step * c.t[i],
                     phase = (grid->first + half * combs * grid->step) * c.t[i],
                     a = 2 * NJ_PI * (phase - floor(phase)), d = 2 * NJ_PI * grid->step * c.t[i];
        p[i] = (point){
            { c.w[i] * cos(a), c.w[i] * sin(a) }, { cos(d), sin(d) }, 1 / c.w[i], c.y[i], { 0 }, { { 0 } }
        };
        p[i].first[0] = place(&w, x, p[i].value[0]);
        p[i].first[1] = place(&w, 2 * x, p[i].value[1]);
    }
    const double per_yy = 1 / c.yy;
    const nj_isa isa = nj_isa_best();
    for (uint32_t comb = 0; comb < combs; comb++) {
        const uint32_t here = (grid->n - comb + combs - 1) / combs; /* its frequencies */
        fill(n, p, w.cells, sum);
        for (int s = 0; s < SUMS; s++)
            fftw_execute_dft((fftw_plan)f->plan[size_for(n)], (fftw_complex *)(void *)sum[s],
                             (fftw_complex *)(void *)mode[s]);
        for (uint32_t first = 0; first < here; first += AT_ONCE) {
            fft_block b;
            double out[AT_ONCE], D[AT_ONCE];
            const uint32_t m = here - first < AT_ONCE ? here - first : AT_ONCE;
            take(&b, first, m, half, w.cells, inverse, mode);
            powers[isa](&b, out, D);
            for (uint32_t i = 0; i < m; i++) {
                const uint32_t k = comb + combs * (first + i);
                power[k] = D[i] > LEAST_DETERMINANT ? fmin(out[i] * per_yy, 1)
                                                    : nj_period_power_at(n, &c, grid->first + k * grid->step);
            }
        }
    }
    return c.chi2;
}
