/* rainbow.c - the Rainbow fit: its model against the reference's values and against differences, its fits
 * against 456 of the reference's (../shared/oracles/next/rainbow; skipped without it), and light curves that
 * have no fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "modules/kit/num/rainbow.h"
#include "nightjar/rainbow.h"

enum { MOST_POINTS = 4096 };

static char *oracle(const char *name)
{
    static char path[4096];
    const char *shared = getenv("NIGHTJAR_SHARED");
    snprintf(path, sizeof path, "%s/oracles/next/rainbow/%s", shared ? shared : "", name);
    return path;
}

static FILE *open_oracle(const char *name)
{
    FILE *f = getenv("NIGHTJAR_SHARED") ? fopen(oracle(name), "r") : NULL;
    if (!f) {
        print_message("no ../shared/oracles/next/rainbow/%s\n", name);
        skip();
    }
    return f;
}

static json_t *next_line(FILE *f)
{
    static char *line;
    static size_t size;
    if (getline(&line, &size, f) > 0) return json_loads(line, 0, NULL);
    return NULL;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* --- the model --- */

static const char *const bolometric_name[] = { "sigmoid", "bazin", "linexp", "doublexp" };
static const char *const temperature_name[] = { "constant", "sigmoid", "delayed_sigmoid" };
static const char band_letter[] = "ugrizy";

static uint32_t index_of(const char *const *list, uint32_t n, const char *name)
{
    uint32_t k = 0;
    while (k < n && strcmp(list[k], name)) k++;
    assert_true(k < n);
    return k;
}

static uint8_t band_in(const char *letters, const json_t *v)
{
    const char *name = json_string_value(v);
    const char *at = strchr(letters, *name == 'Y' ? 'y' : *name);
    assert_non_null(at);
    return (uint8_t)(at - letters);
}

static double array(json_t *a, size_t k)
{
    return json_number_value(json_array_get(a, k));
}

static void model_equals_the_reference(void **state)
{
    (void)state;
    FILE *f = open_oracle("model.ndjson");
    double worst = 0, worst_slope = 0;
    int lines = 0;
    for (json_t *o; (o = next_line(f)); json_decref(o), lines++) {
        nj_rainbow m = { .bolometric =
                             (nj_bolometric)index_of(bolometric_name, NJ_BOLOMETRICS, text(o, "bolometric")),
                         .temperature = (nj_temperature)index_of(temperature_name, NJ_TEMPERATURES,
                                                                 text(o, "temperature")),
                         .baseline = json_is_true(json_object_get(o, "baseline")),
                         .n_bands = NJ_RAINBOW_BANDS };
        json_t *waves = json_object_get(o, "wave_aa"), *t = json_object_get(o, "t"),
               *bands = json_object_get(o, "band"), *flux = json_object_get(o, "flux"),
               *jacobian = json_object_get(o, "jacobian"), *params = json_object_get(o, "params");
        for (uint32_t b = 0; b < m.n_bands; b++)
            m.wavelength[b] = number(waves, (char[]){ band_letter[b], 0 });
        const uint32_t n = (uint32_t)json_array_size(t), n_p = nj_rainbow_parameters(&m);
        double time[256], ours[256], slope[NJ_RAINBOW_PARAMETERS * 256], p[NJ_RAINBOW_PARAMETERS], most = 0;
        uint8_t band[256];
        assert_int_equal(json_array_size(params), n_p);
        for (uint32_t k = 0; k < n_p; k++) {
            const char *name = json_string_value(json_array_get(json_object_get(o, "names"), k));
            p[k] = array(params, k);
            assert_int_equal(
                strncmp(name, nj_rainbow_parameter_name(&m, k), strlen(nj_rainbow_parameter_name(&m, k))), 0);
        }
        for (uint32_t i = 0; i < n; i++) {
            time[i] = array(t, i);
            band[i] = band_in(band_letter, json_array_get(bands, i));
            most = fmax(most, fabs(array(flux, i)));
        }
        nj_rainbow_flux(&m, p, &(nj_rainbow_points){ .n = n, .t = time, .band = band }, ours, slope);
        for (uint32_t i = 0; i < n; i++) worst = fmax(worst, fabs(ours[i] - array(flux, i)) / most);
        for (uint32_t k = 0; k < n_p; k++) {
            json_t *row = json_array_get(jacobian, k);
            double steepest = 1e-300;
            for (uint32_t i = 0; i < n; i++) steepest = fmax(steepest, fabs(array(row, i)));
            for (uint32_t i = 0; i < n; i++)
                worst_slope = fmax(worst_slope, fabs(slope[k * n + i] - array(row, i)) / steepest);
        }
    }
    fclose(f);
    print_message("# %d models: largest difference %.2g, of derivatives %.2g\n", lines, worst, worst_slope);
    assert_int_equal(lines, 24);
    assert_true(worst < 1e-7); /* 5e-8 of it is 15 / pi^4 as the reference's constants give it */
    assert_true(worst_slope < 1e-7);
}

static void derivatives_are_those_of_the_flux(void **state)
{
    (void)state;
    static const double shape[NJ_BOLOMETRICS][5] = {
        { 0.1, 2, 0.3 }, { 0.1, 2, 0.3, 0.8 }, { 2.5, 2, 0.7 }, { 0.2, 1.3, 1.1, 0.8, 0.7 }
    };
    static const double temperature[] = { 6000, 11000, 0.5, 0.3 };
    for (uint32_t b = 0; b < NJ_BOLOMETRICS; b++)
        for (uint32_t c = 0; c < NJ_TEMPERATURES; c++) {
            nj_rainbow m = { .bolometric = (nj_bolometric)b,
                             .temperature = (nj_temperature)c,
                             .baseline = true,
                             .n_bands = 3,
                             .wavelength = { 4770, 6231, 7625 } };
            double p[NJ_RAINBOW_PARAMETERS] = { 0 }, t[41], low[41], high[41], ours[41],
                   slope[NJ_RAINBOW_PARAMETERS * 41];
            uint8_t band[41];
            const uint32_t n_p = nj_rainbow_parameters(&m), base = n_p - 3;
            memcpy(p, shape[b], sizeof shape[b]);
            for (uint32_t k = 0, n_t = c ? 2 + c : 1; k < n_t; k++) p[base - n_t + k] = temperature[k];
            for (uint32_t i = 0; i < 41; i++) t[i] = -2 + 0.1 * i, band[i] = i % 3;
            nj_rainbow_points points = { .n = 41, .t = t, .band = band };
            nj_rainbow_flux(&m, p, &points, ours, slope);
            for (uint32_t k = 0; k < n_p; k++) {
                const double middle = p[k], h = 1e-6 * fmax(1, fabs(middle));
                p[k] = middle - h;
                nj_rainbow_flux(&m, p, &points, low, NULL);
                p[k] = middle + h;
                nj_rainbow_flux(&m, p, &points, high, NULL);
                p[k] = middle;
                for (uint32_t i = 0; i < 41; i++)
                    if (fabs((high[i] - low[i]) / (2 * h) - slope[k * 41 + i]) > 1e-6)
                        fail_msg("%s, %s, parameter %u, point %u", bolometric_name[b], temperature_name[c], k,
                                 i);
            }
        }
}

/* The vector form against the plain one, and every instruction set against the others. */
static void many_points_at_once_are_the_same(void **state)
{
    (void)state;
    enum { N = 48 };
    double p[] = { 0.1, 2, 0.3, 0.8, 0.7, 6000, 11000, 0.5, 0.3 }, x[N], kelvin[N], factor[N], ours[N],
           slope[MOST * N], plain[N], plain_slope[MOST * N], first[N], first_slope[MOST * N];
    uint8_t which[N];
    for (uint32_t b = 0; b < NJ_BOLOMETRICS; b++)
        for (uint32_t c = 0; c < NJ_TEMPERATURES; c++) {
            nj_rainbow m = { .bolometric = (nj_bolometric)b,
                             .temperature = (nj_temperature)c,
                             .n_bands = 3,
                             .wavelength = { 4770, 6231, 7625 } };
            nj_rainbow_bands bands;
            const uint32_t n_p = nj_rainbow_parameters(&m);
            const double shape[] = { 0.1, 2, 0.7, 0.8, 0.9 }, hot[] = { 6000, 11000, 0.5, 0.3 };
            memcpy(p, shape, sizeof shape);
            memcpy(p + first_temperature(&m), hot, (n_p - first_temperature(&m)) * sizeof *hot);
            nj_rainbow_set_bands(&m, &bands);
            nj_rainbow_prepare(&m, &bands, p);
            for (uint32_t i = 0; i < N; i++) {
                x[i] = i < 40 ? -2 + 0.13 * i : (i % 2 ? 1 : -1) * pow(10, i - 40); /* the wings, too */
                which[i] = i % 3;
                kelvin[i] = bands.kelvin[which[i]], factor[i] = bands.factor[which[i]];
            }
            nj_rainbow_flux(&m, p, &(nj_rainbow_points){ .n = N, .t = x, .band = which }, plain, plain_slope);
            for (nj_isa isa = NJ_ISA_PORTABLE; isa <= nj_isa_best(); isa++) {
                nj_rainbow_columns(isa, &m, &bands, p, N, x, kelvin, factor, ours, slope);
                if (isa == NJ_ISA_PORTABLE)
                    memcpy(first, ours, sizeof ours), memcpy(first_slope, slope, sizeof slope);
                assert_memory_equal(first, ours, sizeof ours);
                assert_memory_equal(first_slope, slope, n_p * N * sizeof *slope);
            }
            for (uint32_t i = 0; i < N; i++)
                if (!(fabs(ours[i] - plain[i]) <= 1e-13))
                    fail_msg("flux %u: %g, plain %g", i, ours[i], plain[i]);
            for (uint32_t k = 0; k < n_p; k++)
                for (uint32_t i = 0; i < N; i++)
                    if (!(fabs(slope[k * N + i] - plain_slope[k * N + i]) <=
                          1e-12 * (1 + fabs(plain_slope[k * N + i]))))
                        fail_msg("%s, %s: derivative %u at %g: %g, plain %g", bolometric_name[b],
                                 temperature_name[c], k, x[i], slope[k * N + i], plain_slope[k * N + i]);
        }
}

/* --- the fits --- */

typedef struct variant {
    const char *name, *letters;
    nj_rainbow model;
    uint32_t equal, better, worse, failed, stable, flat, off;
} variant;
#define SIX 3671, 4827, 6223, 7546, 8691, 9712
static variant variants[] = {
    { "tde", "gri", { NJ_SIGMOID, NJ_T_CONSTANT, false, 3, { 4770, 6231, 7625 } } },
    { "slsn", "gr", { NJ_BAZIN, NJ_T_SIGMOID, false, 2, { 4770, 6231 } } },
    { "base", "gr", { NJ_BAZIN, NJ_T_SIGMOID, true, 2, { 4770, 6231 } } },
    { "snia", "ugrizy", { NJ_SIGMOID, NJ_T_SIGMOID, false, 6, { SIX } } },
    { "bazin6", "ugrizy", { NJ_BAZIN, NJ_T_SIGMOID, false, 6, { SIX } } },
    { "dexp", "ugrizy", { NJ_DOUBLEXP, NJ_T_CONSTANT, false, 6, { SIX } } },
    { "delay", "ugrizy", { NJ_BAZIN, NJ_T_DELAYED_SIGMOID, true, 6, { SIX } } },
    { "rslsn", "ugrizy", { NJ_LINEXP, NJ_T_SIGMOID, false, 6, { 3751, 4742, 6173, 7502, 8679, 9711 } } },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static double t[MOST_POINTS], flux[MOST_POINTS], err[MOST_POINTS], work[NJ_RAINBOW_WORK(MOST_POINTS)];
static uint8_t band[MOST_POINTS], upper[MOST_POINTS];

static nj_rainbow_points points_of(json_t *curve, const variant *v)
{
    json_t *times = json_object_get(curve, "t");
    nj_rainbow_points p = {
        .n = (uint32_t)json_array_size(times), .t = t, .flux = flux, .err = err, .band = band, .upper = upper
    };
    assert_true(p.n <= MOST_POINTS);
    for (uint32_t i = 0; i < p.n; i++) {
        t[i] = array(times, i);
        flux[i] = array(json_object_get(curve, "flux"), i);
        err[i] = array(json_object_get(curve, "flux_err"), i);
        band[i] = band_in(v->letters, json_array_get(json_object_get(curve, "band"), i));
        upper[i] = json_object_get(curve, "upper") && array(json_object_get(curve, "upper"), i) != 0;
    }
    return p;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *curve_named(json_t **curve, int n, const char *id)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(text(curve[i], "id"), id)) return curve[i];
    fail_msg("no curve %s", id);
    return NULL;
}

/* Largest relative difference of bounds and start from the reference's. */
static double scaling_differs(json_t *o, const variant *v, const nj_rainbow_points *points)
{
    nj_rainbow_problem p;
    double worst = 0;
    if (!nj_rainbow_scale(&v->model, points, work, &p)) return strcmp(text(o, "status"), "ok") ? 0 : INFINITY;
    if (strcmp(text(o, "status"), "ok")) return 0;
    for (uint32_t k = 0; k < p.n_p; k++) {
        const char *const key[] = { "init_scaled", "lower_scaled", "upper_scaled" };
        const double ours[] = { p.start[k], p.low[k], p.high[k] };
        for (int i = 0; i < 3; i++) {
            const double theirs = array(json_object_get(o, key[i]), k),
                         d = fabs(ours[i] - theirs) / fmax(1, fabs(theirs));
            if (d > 1e-9 && getenv("NIGHTJAR_WORSE"))
                print_message("# %s %s %s of %s: %.15g, theirs %.15g\n", text(o, "id"), v->name, key[i],
                              nj_rainbow_parameter_name(&v->model, k), ours[i], theirs);
            worst = fmax(worst, d);
        }
    }
    return worst;
}

static void compare(json_t *o, variant *v, const nj_rainbow_fit *fit)
{
    const double theirs = number(o, "fval");
    if (strcmp(text(o, "status"), "ok")) {
        v->failed++;
        return;
    }
    const bool low = fit->fitted && fit->objective <= theirs * (1 + 1e-3) + 0.01;
    if (!low)
        v->worse++;
    else if (fit->objective < theirs - 0.5)
        v->better++;
    else
        v->equal++;
    if (!low && getenv("NIGHTJAR_WORSE"))
        print_message("# worse %s %s: %.8g, theirs %.8g, n %d\n", text(o, "id"), v->name, fit->objective,
                      theirs, (int)number(o, "n"));
    if (!json_is_true(json_object_get(o, "stable"))) return;
    bool good = fit->fitted;
    for (uint32_t k = 0; k < fit->n_parameters; k++) {
        const double p = array(json_object_get(o, "params"), k), e = array(json_object_get(o, "errors"), k);
        good &= fabs(fit->parameter[k] - p) <= 0.1 * e;
    }
    v->stable++;
    v->flat += !good && low; /* a valley where the errors say nothing: ours lies as low or lower */
    v->off += !good && !low;
    if (!good && getenv("NIGHTJAR_WORSE"))
        for (uint32_t k = 0; k < fit->n_parameters; k++)
            print_message("# off %s %s %s: %.8g +- %.3g, theirs %.8g +- %.3g; objective %.9g, theirs %.9g\n",
                          text(o, "id"), v->name, nj_rainbow_parameter_name(&v->model, k), fit->parameter[k],
                          fit->error[k], array(json_object_get(o, "params"), k),
                          array(json_object_get(o, "errors"), k), fit->objective, theirs);
}

static void fits_are_as_low_as_the_reference(void **state)
{
    (void)state;
    FILE *f = open_oracle("curves.ndjson");
    static json_t *curve[1024];
    static double ms[1024];
    int n_curves = 0, n = 0;
    const char *asked = getenv("NIGHTJAR_STARTS");
    const uint32_t n_starts = asked ? (uint32_t)atoi(asked) : NJ_RAINBOW_STARTS;
    double scaling = 0;
    uint32_t good = 0, compared = 0, stable = 0, flat = 0, off = 0, evaluations = 0;
    for (json_t *o; (o = next_line(f));) curve[n_curves++] = o;
    fclose(f);
    f = open_oracle("fits.ndjson");
    for (json_t *o; (o = next_line(f)); json_decref(o)) {
        variant *v = variants;
        while (v < variants + VARIANTS && strcmp(v->name, text(o, "variant"))) v++;
        assert_true(v < variants + VARIANTS);
        nj_rainbow_points p = points_of(curve_named(curve, n_curves, text(o, "id")), v);
        scaling = fmax(scaling, scaling_differs(o, v, &p));
        nj_rainbow_fit fit;
        struct timespec a, b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        nj_rainbow_fit_points(&v->model, &p, n_starts, work, &fit);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        ms[n++] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
        evaluations += fit.n_evaluations;
        compare(o, v, &fit);
    }
    fclose(f);
    for (int i = 0; i < n_curves; i++) json_decref(curve[i]);
    for (variant *v = variants; v < variants + VARIANTS; v++) {
        print_message(
            "# %-6s %3u equal, %2u better, %2u worse, %u failed there; of %u stable ones %u have the "
            "parameters, %u others lie as low\n",
            v->name, v->equal, v->better, v->worse, v->failed, v->stable, v->stable - v->flat - v->off,
            v->flat);
        good += v->equal + v->better;
        compared += v->equal + v->better + v->worse;
        stable += v->stable;
        flat += v->flat;
        off += v->off;
    }
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    print_message(
        "# %d fits, at most %u starts: %u of %u as low; of %u stable ones %u have the parameters within "
        "0.1 error, %u others lie as low, %u do not; median %.3f ms, 95 %% %.3f ms, %.0f evaluations\n",
        n, n_starts, good, compared, stable, stable - flat - off, flat, off, ms[n / 2], ms[n * 95 / 100],
        (double)evaluations / n);
    print_message("# starts and bounds: largest difference %.2g\n", scaling);
    assert_int_equal(n, 456);
    assert_true(scaling < 1e-9);
    assert_true(good * 100 >= compared * 98);
    assert_int_equal(off, 0);
}

/* --- Fink's early type Ia supernovae for Rubin --- */

static void early_snia_features_equal_finks(void **state)
{
    (void)state;
    static const char *const name[] = { "amplitude", "rise_time", "Tmin", "delta_T", "k_sig" };
    FILE *f = open_oracle("early_snia_rubin.ndjson");
    const variant *v = variants;
    uint32_t rows = 0, cut = 0, wrong = 0, fitted = 0, low = 0, equal = 0;
    while (strcmp(v->name, "snia")) v++;
    for (json_t *o; (o = next_line(f)); json_decref(o), rows++) {
        uint32_t n_bands;
        nj_rainbow_fit fit;
        const nj_rainbow_points p = points_of(o, v);
        json_t *theirs = json_object_get(o, "features");
        const uint32_t n_rising = nj_rainbow_rising_bands(p.n, t, flux, band, 6, -10, &n_bands);
        const bool rises = p.n >= 7 && n_rising > (n_bands <= 2 ? 2 : 3);
        cut += !rises;
        wrong += rises == json_is_null(theirs);
        if (!rises || json_is_null(theirs)) continue;
        double most = -INFINITY;
        for (uint32_t i = 0; i < p.n; i++) most = fmax(most, flux[i]);
        nj_rainbow_fit_points(&v->model, &p, NJ_RAINBOW_STARTS, work, &fit);
        const double half = number(theirs, "reduced_chi2");
        bool same = fabs(most - number(theirs, "lc_max")) < 1e-6 * most;
        for (uint32_t k = 0; k < 5; k++) {
            const double x = fit.parameter[1 + k] / (k ? 1 : most), y = number(theirs, name[k]),
                         e = fit.error[1 + k] / (k ? 1 : most);
            same &= fabs(x - y) <= 0.1 * e;
        }
        fitted++;
        low += fit.half_chi2_dof <= half * (1 + 1e-3) + 0.01;
        equal += same;
    }
    fclose(f);
    print_message(
        "# %u light curves, %u cut, %u otherwise than there; of %u fits %u as low, %u with the same "
        "features\n",
        rows, cut, wrong, fitted, low, equal);
    assert_int_equal(rows, 50);
    assert_int_equal(wrong, 0);
    assert_true(low * 10 >= 9 * fitted);
}

/* --- without a fit --- */

static void what_has_no_fit_says_so(void **state)
{
    (void)state;
    const nj_rainbow m = { .bolometric = NJ_BAZIN,
                           .temperature = NJ_T_SIGMOID,
                           .baseline = true,
                           .n_bands = 3,
                           .wavelength = { 4770, 6231, 7625 } };
    nj_rainbow_points p = { .n = 30, .t = t, .flux = flux, .err = err, .band = band };
    nj_rainbow_fit fit;
    for (uint32_t i = 0; i < 30; i++) t[i] = 10 + i, flux[i] = 5, err[i] = 1, band[i] = i % 2;
    nj_rainbow_fit_points(&m, &p, 3, work, &fit);
    assert_false(fit.fitted);
    for (uint32_t i = 0; i < 30; i++) t[i] = 10, flux[i] = i;
    nj_rainbow_fit_points(&m, &p, 3, work, &fit);
    assert_false(fit.fitted);
    p.n = 5;
    for (uint32_t i = 0; i < 30; i++) t[i] = 10 + i;
    nj_rainbow_fit_points(&m, &p, 3, work, &fit);
    assert_false(fit.fitted);
    p.n = 0;
    nj_rainbow_fit_points(&m, &p, 3, work, &fit);
    assert_false(fit.fitted);
    assert_true(isnan(fit.objective));
}

/* Noise, one point that stands out, limits alone: an end within bounds, and a band without points that has no
 * baseline. */
static void odd_light_curves_end(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < NJ_BOLOMETRICS; b++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            const nj_rainbow m = { .bolometric = (nj_bolometric)b,
                                   .temperature = NJ_T_DELAYED_SIGMOID,
                                   .baseline = true,
                                   .n_bands = 3,
                                   .wavelength = { 4770, 6231, 7625 } };
            nj_rainbow_points p = { .n = 40, .t = t, .flux = flux, .err = err, .band = band, .upper = upper };
            nj_rainbow_fit fit;
            for (uint32_t i = 0; i < 40; i++) {
                t[i] = 60000 + 1.5 * i;
                band[i] = i % 2;
                flux[i] = kind == 1 ? (i == 7 ? 1e6 : 1) : sin(i * 78.233) * 43758;
                err[i] = 100;
                upper[i] = kind == 2;
            }
            nj_rainbow_fit_points(&m, &p, NJ_RAINBOW_STARTS, work, &fit);
            const uint32_t last = fit.n_parameters - 1;
            assert_true(fit.n_evaluations < 3000);
            assert_true(fit.fitted);
            assert_true(isfinite(fit.objective));
            for (uint32_t k = 0; k < last; k++) assert_true(isfinite(fit.parameter[k]));
            assert_true(isnan(fit.parameter[last]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_are_those_of_the_flux),
        cmocka_unit_test(many_points_at_once_are_the_same),
        cmocka_unit_test(what_has_no_fit_says_so),
        cmocka_unit_test(odd_light_curves_end),
        cmocka_unit_test(model_equals_the_reference),
        cmocka_unit_test(fits_are_as_low_as_the_reference),
        cmocka_unit_test(early_snia_features_equal_finks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
