/* period.c - periods of a light curve: the generalised Lomb-Scargle periodogram of each band, and of all
 * together.
 *
 * Given: fluxes with errors; bands with at least min_points of them take part.
 * Returned: the three highest peaks of P(f) = sum_b chi2_b P_b(f) / sum_b chi2_b, chi2_b of the constant
 *   in band b, for f up to max_frequency in steps of 1 / (oversampling span); each refined by a parabola,
 *   and further from the others than the width of a peak. fap: Baluev's limit in the band where it is
 *   least, times the number of bands.
 *   Of many points at many frequencies the powers come by fast Fourier transforms, within 1e-5.
 * Notes: one sine wave per band with a phase of its own: of an eclipsing binary it finds half the period,
 *   so that the power at twice the period is given, too. Nightly sampling mirrors every frequency at whole
 *   cycles per day: near_day says that the best one is such, window how well the times alone repeat with
 *   it (1: they do). A packet of 30 days rarely has a period; merged light curves do.
 * Reference: Zechmeister & Kuerster 2009, A&A 496, 577; VanderPlas & Ivezic 2015, ApJ 812, 18 (bands with
 *   phases of their own); Baluev 2008, MNRAS 385, 1279. */
#include "nightjar/period.h"

#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/list.h"

enum { JD, FLUX, FLUX_ERR, BAND };
enum {
    PERIOD_1,
    POWER_1 = PERIOD_1 + 3,
    FAP = POWER_1 + 3,
    POWER_DOUBLE,
    WINDOW,
    NEAR_DAY,
    N_POINTS,
    N_BANDS,
    SPAN,
    N_FREQUENCIES
};
enum { BANDS = 6, PEAKS = 3 };

typedef struct conf {
    int64_t min_points, most_frequencies;
    double max_frequency, oversampling;
    const char *method;
} conf;

typedef struct state {
    const conf *c;
    uint32_t method;
    nj_period_fft fft;
} state;
enum { AUTO, SUMS, FFT };
enum { POINTS_OF_FFT = 40, FREQUENCIES_OF_FFT = 2000 }; /* from so many on it is faster than the sums */

typedef struct band {
    uint32_t n;
    double *t, *y, *err;
} band;

/* The bands that take part, one behind the other in memory; false: no memory. */
static bool take_bands(const conf *c, const nj_work *w, uint32_t row, band *b, uint32_t *n_bands)
{
    const uint32_t n = nj_points(w, FLUX, row);
    const double *jd = nj_f64_series(w, JD, row), *flux = nj_f64_series(w, FLUX, row),
                 *err = nj_f64_series(w, FLUX_ERR, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    double *room = w->scratch(w, (3 * (size_t)n + 1) * sizeof *room);
    if (!room) return false;
    *n_bands = 0;
    for (int32_t k = 0; k < BANDS; k++) {
        uint32_t m = 0, most = 0;
        for (uint32_t i = 0; i < n; i++) most += of[i] == k;
        band *to = &b[*n_bands];
        *to = (band){ .t = room, .y = room + most, .err = room + 2 * (size_t)most };
        for (uint32_t i = 0; i < n; i++) {
            if (of[i] != k || !isfinite(jd[i]) || !(fabs(flux[i]) < 1e15) ||
                !(err[i] > 1e-9 && err[i] < 1e15))
                continue;
            to->t[m] = jd[i];
            to->y[m] = flux[i];
            to->err[m++] = err[i];
        }
        to->n = m;
        if (m < c->min_points) continue;
        ++*n_bands;
        room += 3 * (size_t)most;
    }
    return true;
}

static double span_of(const band *b, uint32_t n_bands)
{
    double low = INFINITY, high = -INFINITY;
    for (uint32_t k = 0; k < n_bands; k++)
        for (uint32_t i = 0; i < b[k].n; i++) low = fmin(low, b[k].t[i]), high = fmax(high, b[k].t[i]);
    return high - low;
}

/* How well the times alone repeat at a frequency: |sum e^(2 pi i f t)|^2 / n^2 of each band, which has a
 * phase of its own; their mean by points. */
static double window_at(const band *b, uint32_t n_bands, double f)
{
    double sum = 0, n = 0;
    for (uint32_t k = 0; k < n_bands; k++) {
        double re = 0, im = 0;
        for (uint32_t i = 0; i < b[k].n; i++) {
            const double phase = 2 * NJ_PI * f * (b[k].t[i] - b[k].t[0]);
            re += cos(phase), im += sin(phase);
        }
        sum += (re * re + im * im) / b[k].n;
        n += b[k].n;
    }
    return fmin(sum / n, 1);
}

/* The highest local maximum that is further than a peak's width from those before; false: there is none. */
static bool next_peak(const nj_frequencies *grid, const double *power, double width, const double *before,
                      uint32_t n_before, uint32_t *best)
{
    bool found = false;
    for (uint32_t k = 0; k < grid->n; k++) {
        const double f = grid->first + k * grid->step;
        bool peak =
            power[k] > 0 && (!k || power[k] >= power[k - 1]) && (k + 1 == grid->n || power[k] > power[k + 1]);
        for (uint32_t i = 0; i < n_before && peak; i++) peak = fabs(f - before[i]) > width;
        if (!peak || (found && power[k] <= power[*best])) continue;
        *best = k;
        found = true;
    }
    return found;
}

static void peaks(const nj_work *w, uint32_t row, const nj_frequencies *grid, const double *power,
                  const band *b, uint32_t n_bands, double span)
{
    double f[PEAKS];
    for (uint32_t i = 0; i < PEAKS; i++) {
        uint32_t k;
        if (!next_peak(grid, power, 1 / span, f, i, &k)) break;
        f[i] = nj_period_refine(grid, power, k);
        nj_put_f64(w, PERIOD_1 + i, row, 1 / f[i]);
        nj_put_f64(w, POWER_1 + i, row, power[k]);
        if (i) continue;
        const double half = (0.5 * f[0] - grid->first) / grid->step;
        if (half >= 0) nj_put_f64(w, POWER_DOUBLE, row, power[(uint32_t)(half + 0.5)]);
        nj_put_f64(w, WINDOW, row, window_at(b, n_bands, f[0]));
        nj_put_u8(w, NEAR_DAY, row,
                  nearbyint(f[0]) >= 1 && fabs(f[0] - nearbyint(f[0])) <= fmax(1 / span, 0.004 * f[0]));
    }
}

/* plain: by the definition. */
static double calculate(const state *s, bool plain, const band *b, const nj_frequencies *grid, double *work,
                        double *power)
{
    if (plain) return nj_period_power_plain(b->n, b->t, b->y, b->err, grid, work, power);
    const bool fft =
        s->method == FFT || (s->method == AUTO && b->n >= POINTS_OF_FFT && grid->n >= FREQUENCIES_OF_FFT);
    return fft ? nj_period_power_fft(&s->fft, b->n, b->t, b->y, b->err, grid, work, power)
               : nj_period_power(b->n, b->t, b->y, b->err, grid, work, power);
}

static int one(const state *s, const nj_work *w, uint32_t row, bool plain)
{
    const conf *c = s->c;
    band b[BANDS + 1];
    uint32_t n_bands, n = 0, most = 0;
    if (!take_bands(c, w, row, b, &n_bands)) return NJ_ENOMEM;
    for (uint32_t k = 0; k < n_bands; k++) n += b[k].n, most = b[k].n > most ? b[k].n : most;
    nj_put_i32(w, N_POINTS, row, (int32_t)n);
    nj_put_i32(w, N_BANDS, row, (int32_t)n_bands);
    w->reason[row] = n_bands ? NJ_DONE : NJ_FEW_POINTS;
    if (!n_bands) return NJ_OK;
    const double span = span_of(b, n_bands), count = c->max_frequency * c->oversampling * span;
    nj_put_f64(w, SPAN, row, span);
    if (!(count >= 3 && count <= (double)c->most_frequencies)) {
        w->reason[row] = NJ_RANGE;
        return NJ_OK;
    }
    const double step = 1 / (c->oversampling * span);
    const nj_frequencies grid = { 0.5 * step, step, (uint32_t)count };
    double *power = w->scratch(w, grid.n * sizeof *power), *all = w->scratch(w, grid.n * sizeof *all),
           *work = w->scratch(w, nj_period_fft_work(most) * sizeof *work), total = 0, fap = 1;
    if (!power || !all || !work) return NJ_ENOMEM;
    for (uint32_t k = 0; k < grid.n; k++) all[k] = 0;
    for (uint32_t k = 0; k < n_bands; k++) {
        const double chi2 = calculate(s, plain, &b[k], &grid, work, power);
        double best = 0;
        for (uint32_t i = 0; i < grid.n; i++) {
            all[i] += chi2 * power[i];
            best = fmax(best, power[i]);
        }
        total += chi2;
        if (chi2 > 0)
            fap = fmin(fap, n_bands * nj_period_false_alarm(best, grid.first + step * (grid.n - 1), b[k].n,
                                                            b[k].t, b[k].err));
    }
    nj_put_i32(w, N_FREQUENCIES, row, (int32_t)grid.n);
    if (!(total > 0) || !isfinite(total)) {
        w->reason[row] = NJ_NO_FIT;
        return NJ_OK;
    }
    for (uint32_t i = 0; i < grid.n; i++) all[i] = fmin(all[i] / total, 1);
    nj_put_f64(w, FAP, row, fap);
    peaks(w, row, &grid, all, b, n_bands, span);
    return NJ_OK;
}

static int all_rows(const void *self, const nj_work *w, bool plain)
{
    for (uint32_t k = 0; k < w->n; k++) {
        int rc = one(self, w, w->row[k], plain);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return all_rows(self, w, false);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    (void)thread;
    return all_rows(self, w, true);
}

static int open_conf(const nj_host *host, const void *c, void **self)
{
    static const char *const methods[] = { "auto", "sums", "fft" };
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    *s = (state){ .c = c };
    *self = s;
    if (nj_list_choose(host, "period", "method", s->c->method, methods, 3, &s->method)) return NJ_ECONF;
    return nj_period_fft_open(&s->fft) ? NJ_ENOMEM : NJ_OK;
}

static void close_state(void *self)
{
    if (self) nj_period_fft_close(&((state *)self)->fft);
}

#define NUMBER(name, unit, low, high, doc)                                                                   \
    {                                                                                                        \
        name, NJ_F64, 1, -1, unit, low, high, NAN, 0, doc                                                    \
    }
#define COUNT(name, doc)                                                                                     \
    {                                                                                                        \
        name, NJ_I32, 1, -1, "1", 0, INT32_MAX, NAN, 0, doc                                                  \
    }

NJ_MODULE(period) = {
    NJ_HEADER,
    .name = "period",
    .version = "1.0",
    .summary = "periods of all bands together: generalised Lomb-Scargle, best three peaks",
    .paper = "doi:10.1051/0004-6361:200811296",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { 0 } },
    .gives =
        (const nj_give[]){
            NUMBER("period", "d", 0, INFINITY,
                   "of the highest peak; none without a band of min_points, as all below"),
            NUMBER("period_2", "d", 0, INFINITY, "of the second highest; none when there is none"),
            NUMBER("period_3", "d", 0, INFINITY, "of the third highest; none when there is none"),
            NUMBER("power", "1", 0, 1,
                   "power of the highest peak: the share of chi^2 that sine waves take away"),
            NUMBER("power_2", "1", 0, 1, "power of the second"),
            NUMBER("power_3", "1", 0, 1, "power of the third"),
            NUMBER("fap", "1", 0, 1,
                   "false-alarm probability: Baluev's limit in the band where it is least, times the bands"),
            NUMBER("power_double", "1", 0, 1, "power at twice the period"),
            NUMBER("window", "1", 0, 1,
                   "how well the times alone repeat with the period; 1: they do, an alias"),
            { "near_day", NJ_U8, 1, -1, "1", 0, 1, NAN, 0,
              "1: the best frequency is a whole number of cycles per (solar or sidereal) day" },
            COUNT("n_points", "points of the bands that take part"),
            COUNT("n_bands", "those bands"),
            NUMBER("span", "d", 0, INFINITY, "from their first to their last point"),
            COUNT("n_frequencies", "frequencies that were tried; none when there would be too many"),
            { 0 } },
    .params = (const nj_param[]){ { "min_points", NJ_I64, "15", offsetof(conf, min_points), 4, 100000, "1",
                                    "fewest points of a band that takes part" },
                                  { "max_frequency", NJ_F64, "22", offsetof(conf, max_frequency), 0.001, 1000,
                                    "1/d", "highest frequency" },
                                  { "oversampling", NJ_F64, "5", offsetof(conf, oversampling), 1, 100, "1",
                                    "frequencies per width of a peak" },
                                  { "most_frequencies", NJ_I64, "1000000", offsetof(conf, most_frequencies),
                                    100, 5000000, "1",
                                    "no answer (range) for light curves so long that they need more" },
                                  { "method", NJ_STR, "auto", offsetof(conf, method), 0, 0, "1",
                                    "sums: over the points; fft: powers within 1e-5 of it, and faster from "
                                    "40 points and 2000 frequencies on; auto: whichever is faster" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .open = open_conf,
    .process = process,
    .process_ref = process_ref,
    .close = close_state
};
