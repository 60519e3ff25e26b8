/* phase.c - phase curves of asteroids: basis functions and models against the reference's at 51 angles,
 * fits against 56 of fink-utils (../shared/oracles/next/ssoft; skipped without it), and a fit whose truth
 * is known. */
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

#include "nightjar/astro.h"
#include "nightjar/csv.h"
#include "nightjar/phase.h"

enum { MOST_POINTS = 2048 };
static double mag[MOST_POINTS], err[MOST_POINTS], phase[MOST_POINTS], ra[MOST_POINTS], dec[MOST_POINTS],
    work[NJ_PHASE_WORK(MOST_POINTS)];
static uint8_t band[MOST_POINTS];

static FILE *open_oracle(const char *name)
{
    char path[4096];
    const char *shared = getenv("NIGHTJAR_SHARED");
    snprintf(path, sizeof path, "%s/oracles/next/ssoft/%s", shared ? shared : "", name);
    FILE *f = shared ? fopen(path, "r") : NULL;
    if (!f) {
        print_message("no ../shared/oracles/next/ssoft/%s\n", name);
        skip();
    }
    return f;
}

static json_t *next_line(FILE *f)
{
    static char *line;
    static size_t size;
    if (getline(&line, &size, f) <= 0) return NULL;
    for (char *at = line; (at = strstr(at, "NaN"));) memcpy(at, "-99", 3); /* JSON has none */
    json_t *o = json_loads(line, 0, NULL);
    assert_non_null(o);
    return o;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && json_is_number(v) && json_number_value(v) != -99 ? json_number_value(v) : NAN;
}

static double item(json_t *o, const char *key, size_t k)
{
    return json_number_value(json_array_get(json_object_get(o, key), k));
}

/* --- functions --- */

static void functions_equal_the_reference(void **state)
{
    (void)state;
    static const double hg[] = { 10, 0.15 }, hg1g2[] = { 10, 0.3, 0.2 }, hg12[] = { 10, 0.4 };
    FILE *f = open_oracle("functions.csv");
    char *text = NULL;
    size_t size = 0;
    double worst = 0;
    uint32_t rows = 0;
    if (getdelim(&text, &size, 0, f) < 0) fail();
    fclose(f);
    nj_csv csv = { .at = text, .end = text + strlen(text) };
    assert_int_equal(nj_csv_row(&csv), 1);
    for (; nj_csv_row(&csv) == 1; rows++) {
        const double angle = strtod(csv.cell[0], NULL) * NJ_RAD_PER_DEG;
        double basis[2], three[3];
        nj_phase_hg(angle, basis);
        nj_phase_hg1g2(angle, three);
        const double ours[] = { basis[0],
                                basis[1],
                                three[0],
                                three[1],
                                three[2],
                                nj_phase_mag(NJ_HG, hg, 0, 1, angle, 0, 0),
                                nj_phase_mag(NJ_HG1G2, hg1g2, 0, 1, angle, 0, 0),
                                nj_phase_mag(NJ_HG12, hg12, 0, 1, angle, 0, 0) };
        for (int k = 0; k < 8; k++) {
            const double theirs = strtod(csv.cell[1 + k], NULL);
            if (isnan(theirs) || isnan(ours[k]) || !*csv.cell[1 + k]) continue;
            if (fabs(ours[k] - theirs) > 1e-9 && getenv("NIGHTJAR_WORSE"))
                print_message("# %s deg, column %d: %.15g, theirs %s\n", csv.cell[0], k, ours[k],
                              csv.cell[1 + k]);
            worst = fmax(worst, fabs(ours[k] - theirs));
        }
    }
    nj_csv_free(&csv);
    free(text);
    print_message("# %u angles, 8 functions: largest difference %.2g\n", rows, worst);
    assert_int_equal(rows, 51);
    assert_true(worst < 1e-8);
}

/* --- a truth --- */

static void finds_what_was_put_in(void **state)
{
    (void)state;
    static const double truth[NJ_PHASE_MODELS][9] = { { 15, 0.2, 14.5, 0.4 },
                                                      { 15, 0.3, 14.5, 0.6 },
                                                      { 15, 0.3, 0.2, 14.5, 0.5, 0.3 },
                                                      { 15, 0.3, 0.2, 14.5, 0.5, 0.3, 0.7, 2, 0.4 } };
    const nj_phase_points p = {
        .n = 200, .mag = mag, .err = err, .phase = phase, .ra = ra, .dec = dec, .band = band, .n_bands = 2
    };
    for (uint32_t m = 0; m < NJ_PHASE_MODELS; m++) {
        nj_phase_fit fit;
        for (uint32_t i = 0; i < p.n; i++) {
            phase[i] = NJ_RAD_PER_DEG * (0.3 + 30 * fabs(sin(i * 12.9898)));
            ra[i] = 6.28 * fabs(sin(i * 78.233));
            dec[i] = 0.4 * sin(i * 3.7);
            band[i] = i % 2;
            err[i] = 0.02;
            mag[i] = nj_phase_mag((nj_phase_model)m, truth[m], band[i], 2, phase[i], ra[i], dec[i]);
        }
        nj_phase_fit_points((nj_phase_model)m, &p, m % 2, work, &fit);
        assert_true(fit.fitted);
        assert_true(fit.rms < 1e-6);
        for (uint32_t k = 0; k + (m == NJ_SHG1G2 ? 2 : 0) < fit.n_parameters; k++)
            if (fabs(fit.parameter[k] - truth[m][k]) > 1e-4)
                fail_msg("model %u, parameter %u: %g, put in %g", m, k, fit.parameter[k], truth[m][k]);
    }
}

static void too_few_points_have_no_fit(void **state)
{
    (void)state;
    nj_phase_fit fit;
    const nj_phase_points p = {
        .n = 3, .mag = mag, .err = err, .phase = phase, .ra = ra, .dec = dec, .band = band, .n_bands = 2
    };
    nj_phase_fit_points(NJ_HG, &p, false, work, &fit);
    assert_false(fit.fitted);
    assert_true(isnan(fit.rms));
}

/* --- fits --- */

static const char *const model_name[NJ_PHASE_MODELS] = { "HG", "HG12", "HG1G2", "SHG1G2" };
static const char *const shape_name[NJ_PHASE_MODELS][2] = {
    { "G" }, { "G12" }, { "G1", "G2" }, { "G1", "G2" }
};

/* The points; letters of the bands into fid. */
static uint32_t take(json_t *o, int *fid, uint32_t *n_bands)
{
    const uint32_t n = (uint32_t)json_array_size(json_object_get(o, "fid"));
    *n_bands = 0;
    for (int f = 1; f <= 3; f++) {
        bool there = false;
        for (uint32_t i = 0; i < n; i++) {
            if ((int)item(o, "fid", i) != f) continue;
            band[i] = (uint8_t)*n_bands;
            there = true;
        }
        if (there) fid[(*n_bands)++] = f;
    }
    for (uint32_t i = 0; i < n; i++) {
        mag[i] = item(o, "mag", i) - 5 * log10(item(o, "dobs", i) * item(o, "dhelio", i));
        err[i] = item(o, "sig", i);
        phase[i] = item(o, "phase", i) * NJ_RAD_PER_DEG;
        ra[i] = item(o, "ra", i) * NJ_RAD_PER_DEG;
        dec[i] = item(o, "dec", i) * NJ_RAD_PER_DEG;
    }
    return n;
}

typedef struct tally {
    uint32_t equal, better, worse, failed, h, h_off, g, g_off;
    double ms, theirs_ms;
} tally;

static void compare(json_t *o, nj_phase_model m, const nj_phase_fit *fit, const int *fid, uint32_t n_bands,
                    tally *t)
{
    const double theirs = number(o, "rms");
    if (isnan(theirs)) {
        t->failed++;
        return;
    }
    const double d = fit->rms / theirs - 1;
    if (d > 1e-5 || !fit->fitted)
        t->worse++;
    else if (d < -1e-5)
        t->better++;
    else
        t->equal++;
    if (getenv("NIGHTJAR_WORSE") && !(fabs(d) < 1e-5))
        print_message("# %s %s: rms %.9g, theirs %.9g\n", json_string_value(json_object_get(o, "id")),
                      model_name[m], fit->rms, theirs);
    if (!(fabs(d) < 1e-5)) return;
    for (uint32_t b = 0; b < n_bands; b++) {
        char name[32];
        snprintf(name, sizeof name, "H_%d", fid[b]);
        const uint32_t first = b * (1 + nj_phase_shape(m));
        t->h++;
        t->h_off += !(fabs(fit->parameter[first] - number(o, name)) <= fmax(1e-3, 0.1 * fit->error[first]));
        for (uint32_t k = 0; k < nj_phase_shape(m); k++) {
            snprintf(name, sizeof name, "%s_%d", shape_name[m][k], fid[b]);
            t->g++;
            t->g_off += !(fabs(fit->parameter[first + 1 + k] - number(o, name)) <= 1e-2);
            if (getenv("NIGHTJAR_WORSE") && !(fabs(fit->parameter[first + 1 + k] - number(o, name)) <= 1e-2))
                print_message("# %s %s %s: %.6g, theirs %.6g; rms %.9g %.9g\n",
                              json_string_value(json_object_get(o, "id")), model_name[m], name,
                              fit->parameter[first + 1 + k], number(o, name), fit->rms, theirs);
        }
    }
}

static void fits_equal_fink_utils(void **state)
{
    (void)state;
    FILE *curves = open_oracle("lightcurves.ndjson"), *fits = open_oracle("fits.ndjson");
    tally t[NJ_PHASE_MODELS] = { { 0 } }, all = { 0 };
    json_t *curve[64];
    int n_curves = 0;
    for (json_t *o; (o = next_line(curves));) curve[n_curves++] = o;
    for (json_t *o; (o = next_line(fits)); json_decref(o)) {
        int c = 0, m = 0, fid[NJ_PHASE_BANDS];
        uint32_t n_bands;
        nj_phase_fit fit;
        struct timespec from, to;
        while (strcmp(json_string_value(json_object_get(curve[c], "id")),
                      json_string_value(json_object_get(o, "id"))))
            c++;
        while (strcmp(model_name[m], json_string_value(json_object_get(o, "model")))) m++;
        const uint32_t n = take(curve[c], fid, &n_bands);
        const nj_phase_points p = { .n = n,
                                    .mag = mag,
                                    .err = err,
                                    .phase = phase,
                                    .ra = ra,
                                    .dec = dec,
                                    .band = band,
                                    .n_bands = n_bands };
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        nj_phase_fit_points((nj_phase_model)m, &p, false, work, &fit);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        t[m].ms += (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6;
        t[m].theirs_ms += number(o, "ms");
        compare(o, (nj_phase_model)m, &fit, fid, n_bands, &t[m]);
    }
    for (int m = 0; m < NJ_PHASE_MODELS; m++) {
        const uint32_t n = t[m].equal + t[m].better + t[m].worse + t[m].failed;
        print_message("# %-6s %2u equal, %u better, %u worse, %u failed there; H within 1e-3 or 0.1 error %u "
                      "of %u, G %u of %u; %.2f ms a fit, theirs %.1f\n",
                      model_name[m], t[m].equal, t[m].better, t[m].worse, t[m].failed, t[m].h - t[m].h_off,
                      t[m].h, t[m].g - t[m].g_off, t[m].g, t[m].ms / n, t[m].theirs_ms / n);
        all.equal += t[m].equal, all.better += t[m].better, all.worse += t[m].worse,
            all.failed += t[m].failed;
        all.h_off += t[m].h_off, all.g_off += t[m].g_off;
    }
    for (int c = 0; c < n_curves; c++) json_decref(curve[c]);
    fclose(curves), fclose(fits);
    print_message("# %u fits: %u equal, %u better, %u worse\n",
                  all.equal + all.better + all.worse + all.failed, all.equal, all.better, all.worse);
    assert_int_equal(all.equal + all.better + all.worse + all.failed, 56);
    assert_int_equal(all.worse, 0);
    assert_int_equal(all.h_off, 0);
    assert_int_equal(all.g_off, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_was_put_in),
                                        cmocka_unit_test(too_few_points_have_no_fit),
                                        cmocka_unit_test(functions_equal_the_reference),
                                        cmocka_unit_test(fits_equal_fink_utils) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
