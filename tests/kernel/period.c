/* period.c - the periodogram against its definition, and against astropy on 20 light curves
 * (../shared/oracles/next/periods; skipped without it). */
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

#include "nightjar/csv.h"
#include "nightjar/period.h"

enum { MOST_POINTS = 4096 };

static void fast_equals_plain(void **state)
{
    (void)state;
    double t[97], y[97], e[97], work[NJ_PERIOD_WORK(97)], a[2003], b[2003], worst = 0;
    for (int i = 0; i < 97; i++) {
        t[i] = 60000 + 300 * fabs(sin(i * 12.9898 + 1));
        y[i] = 5 + 2 * sin(t[i] * 6.283185 / 0.731) + sin(i * 78.233);
        e[i] = 0.3 + 0.2 * cos(i);
    }
    const nj_frequencies grid = { 3e-4, 7e-3, 2003 };
    const double chi2 = nj_period_power(97, t, y, e, &grid, work, a),
                 plain = nj_period_power_plain(97, t, y, e, &grid, work, b);
    for (int k = 0; k < 2003; k++) worst = fmax(worst, fabs(a[k] - b[k]));
    assert_true(fabs(chi2 / plain - 1) < 1e-12);
    print_message("# largest difference %.2g\n", worst);
    assert_true(worst < 1e-10);
}

static void finds_a_sine_and_not_a_constant(void **state)
{
    (void)state;
    double t[60], y[60], e[60], work[NJ_PERIOD_WORK(60)], power[4000];
    const nj_frequencies grid = { 0.001, 0.002, 4000 };
    for (int i = 0; i < 60; i++) t[i] = 100 * fabs(sin(i * 3.7)), e[i] = 0.1, y[i] = 3;
    assert_true(nj_period_power(60, t, y, e, &grid, work, power) == 0);
    for (int k = 0; k < 4000; k++) assert_true(power[k] == 0);
    for (int i = 0; i < 60; i++) y[i] = 3 + cos(6.283185307 * t[i] / 1.7);
    assert_true(nj_period_power(60, t, y, e, &grid, work, power) > 0);
    uint32_t best = 0;
    for (uint32_t k = 1; k < 4000; k++)
        if (power[k] > power[best]) best = k;
    assert_true(fabs(nj_period_refine(&grid, power, best) - 1 / 1.7) < 5e-4);
    assert_true(nj_period_false_alarm(power[best], 8, 60, t, e) < 1e-12);
    assert_true(nj_period_power(3, t, y, e, &grid, work, power) == 0);
}

/* At whole cycles per step of regular times all phases are one, and sine and cosine are constants: what is
 * left of their determinant is rounding. One point that stands out, of little weight, must not be a period
 * there. */
static void regular_times_give_no_power_by_rounding(void **state)
{
    (void)state;
    enum { N = 15, GRID = 4785 };
    double t[N], y[N], e[N], area[NJ_PERIOD_WORK(N)], power[GRID], plain[GRID];
    const nj_frequencies grid = { 0.5 / 217.5, 1 / 217.5, GRID };
    for (int i = 0; i < N; i++) t[i] = 2460000.5 + 3 * i, y[i] = 91201.1, e[i] = 8400;
    y[3] *= 4000, e[3] *= 4000;
    assert_true(nj_period_power(N, t, y, e, &grid, area, power) > 0);
    nj_period_power_plain(N, t, y, e, &grid, area, plain);
    for (int k = 0; k < GRID; k++)
        if (power[k] > 1e-6 || plain[k] > 1e-6 || !(fabs(power[k] - plain[k]) < 1e-9))
            fail_msg("frequency %d: %g, by the definition %g", k, power[k], plain[k]);
    for (int i = 0; i < N; i++) t[i] = i < 8 ? 2460000.5 : 2460010.5, y[i] = i < 8 ? 1 : 3, e[i] = 0.1;
    nj_period_power(N, t, y, e, &grid, area, power); /* two phases: the mean of each */
    nj_period_power_plain(N, t, y, e, &grid, area, plain);
    for (int k = 0; k < GRID; k++)
        if (!(fabs(power[k] - plain[k]) < 1e-6)) fail_msg("two times, %d: %g, %g", k, power[k], plain[k]);
    assert_true(fabs(power[GRID - 1] - 1) < 1e-6);
    y[3] = 4; /* what the means leave stays */
    nj_period_power(N, t, y, e, &grid, area, power);
    for (int k = 0; k < GRID; k++) assert_true(power[k] < 0.9);
}

/* Values that are all the same have no variance, whatever their mean is rounded to. */
static void one_value_has_no_power(void **state)
{
    (void)state;
    double t[40], y[40], e[40], area[NJ_PERIOD_WORK(40)], power[100];
    const nj_frequencies grid = { 0.01, 0.02, 100 };
    for (int m = 0; m < 200; m++) {
        for (int i = 0; i < 40; i++)
            t[i] = 100 * fabs(sin(i * 3.7)), y[i] = pow(10, 0.07 * m) / 3, e[i] = 0.1 * y[i] * (1 + i % 3);
        assert_true(nj_period_power(40, t, y, e, &grid, area, power) == 0);
        for (int k = 0; k < 100; k++) assert_true(power[k] == 0);
    }
}

static void transforms_equal_the_sums(void **state)
{
    (void)state;
    enum { N = 700, MOST = 60000 };
    static const uint32_t sizes[] = { 999, 5000, 12345, 60000 };
    double *tt = malloc(3 * N * sizeof *tt), *yy = tt + N, *ee = yy + N, *a = malloc(2 * MOST * sizeof *a),
           *b = a + MOST, worst = 0;
    nj_period_fft fft;
    assert_int_equal(nj_period_fft_open(&fft), 0);
    double *area = malloc(nj_period_fft_work(N) * sizeof *area);
    for (int i = 0; i < N; i++) {
        tt[i] = 60000 + 900 * fabs(sin(i * 12.9898 + 1));
        yy[i] = 5 + 2 * sin(tt[i] * 6.283185 / 0.731) + sin(i * 78.233);
        ee[i] = 0.3 + 0.2 * cos(i);
    }
    for (int s = 0; s < 4; s++)
        for (uint32_t n = 5; n <= N; n *= 11) {
            const nj_frequencies grid = { 1e-4, 2e-4, sizes[s] };
            const double chi2 = nj_period_power_fft(&fft, n, tt, yy, ee, &grid, area, a);
            assert_true(chi2 == nj_period_power(n, tt, yy, ee, &grid, area, b));
            for (uint32_t k = 0; k < grid.n; k++)
                if (n > 5 || b[k] < 0.999) worst = fmax(worst, fabs(a[k] - b[k]));
        }
    print_message("# transforms against sums: largest difference %.2g\n", worst);
    assert_true(worst < 1e-4);
    nj_period_fft_close(&fft);
    free(tt), free(a), free(area);
}

/* --- astropy --- */

static FILE *open_oracle(const char *name)
{
    char path[4096];
    const char *shared = getenv("NIGHTJAR_SHARED");
    snprintf(path, sizeof path, "%s/oracles/next/periods/%s", shared ? shared : "", name);
    FILE *f = shared ? fopen(path, "r") : NULL;
    if (!f) {
        print_message("no ../shared/oracles/next/periods/%s\n", name);
        skip();
    }
    return f;
}

static json_t *next_line(FILE *f)
{
    static char *line;
    static size_t size;
    return getline(&line, &size, f) > 0 ? json_loads(line, 0, NULL) : NULL;
}

static const char *cell(char **head, uint32_t n, const nj_csv *csv, const char *name)
{
    for (uint32_t c = 0; c < n; c++)
        if (!strcmp(head[c], name)) return csv->cell[c];
    fail_msg("no column %s", name);
    return NULL;
}

static double t[MOST_POINTS], y[MOST_POINTS], e[MOST_POINTS], work[NJ_PERIOD_WORK(MOST_POINTS)];

static uint32_t take_band(json_t *curve, const char *band)
{
    json_t *bands = json_object_get(curve, "band");
    uint32_t n = 0;
    for (size_t i = 0; i < json_array_size(bands); i++) {
        if (strcmp(json_string_value(json_array_get(bands, i)), band)) continue;
        t[n] = json_number_value(json_array_get(json_object_get(curve, "t"), i));
        y[n] = json_number_value(json_array_get(json_object_get(curve, "flux"), i));
        e[n++] = json_number_value(json_array_get(json_object_get(curve, "err"), i));
    }
    return n;
}

/* The last frequency of astropy's own grid for these times, up to top: its false alarms are for that. */
static double astropy_top(uint32_t n, double top)
{
    double low = INFINITY, high = -INFINITY;
    for (uint32_t i = 0; i < n; i++) low = fmin(low, t[i]), high = fmax(high, t[i]);
    const double step = 0.2 / (high - low);
    return 0.5 * step + step * nearbyint((top - 0.5 * step) / step);
}

static void equals_astropy(void **state)
{
    (void)state;
    static const char *const bands[] = { "g", "r", "i" };
    FILE *curves = open_oracle("curves.ndjson"), *powers = open_oracle("powers.ndjson"),
         *expected = open_oracle("expected.csv");
    char *text = NULL, *head[64];
    size_t size = 0;
    if (getdelim(&text, &size, 0, expected) < 0) fail();
    nj_csv csv = { .at = text, .end = text + strlen(text) };
    assert_int_equal(nj_csv_row(&csv), 1);
    const uint32_t n_head = csv.n;
    for (uint32_t c = 0; c < n_head; c++) head[c] = strdup(csv.cell[c]);
    double worst = 0, worst_fap = 0, ms = 0, astropy_fast = 0, ms_fft = 0, worst_fft = 0;
    nj_period_fft fft;
    assert_int_equal(nj_period_fft_open(&fft), 0);
    double *area = malloc(nj_period_fft_work(MOST_POINTS) * sizeof *area),
           *other = malloc(200000 * sizeof *other);
    uint32_t n_curves = 0, n_powers = 0, best_equal = 0, combined_equal = 0, n_bands = 0;
    for (json_t *o, *p; (o = next_line(curves)); json_decref(o), json_decref(p), n_curves++) {
        p = next_line(powers);
        assert_int_equal(nj_csv_row(&csv), 1);
        assert_string_equal(csv.cell[0], json_string_value(json_object_get(o, "id")));
        assert_string_equal(csv.cell[0], json_string_value(json_object_get(p, "id")));
        const nj_frequencies grid = { strtod(cell(head, n_head, &csv, "f0"), NULL),
                                      strtod(cell(head, n_head, &csv, "df"), NULL),
                                      (uint32_t)strtoul(cell(head, n_head, &csv, "nf"), NULL, 10) };
        double *power = calloc(grid.n, sizeof *power), *all = calloc(grid.n, sizeof *all), total = 0;
        json_t *index = json_object_get(p, "i");
        for (int b = 0; b < 3; b++) {
            char name[32];
            json_t *theirs = json_object_get(json_object_get(p, "power"), bands[b]);
            if (!theirs) continue;
            const uint32_t n = take_band(o, bands[b]);
            struct timespec from, to;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
            const double chi2 = nj_period_power(n, t, y, e, &grid, work, power);
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
            ms += (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
            nj_period_power_fft(&fft, n, t, y, e, &grid, area, other);
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
            ms_fft += (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6;
            for (uint32_t k = 0; k < grid.n; k++) worst_fft = fmax(worst_fft, fabs(other[k] - power[k]));
            snprintf(name, sizeof name, "ms_fast_%s", bands[b]);
            astropy_fast += strtod(cell(head, n_head, &csv, name), NULL);
            for (size_t k = 0; k < json_array_size(index); k++, n_powers++)
                worst = fmax(worst, fabs(power[json_integer_value(json_array_get(index, k))] -
                                         json_number_value(json_array_get(theirs, k))));
            uint32_t best = 0;
            for (uint32_t k = 0; k < grid.n; k++) {
                if (power[k] > power[best]) best = k;
                all[k] += chi2 * power[k];
            }
            total += chi2;
            n_bands++;
            snprintf(name, sizeof name, "best_f_%s", bands[b]);
            best_equal += fabs(grid.first + best * grid.step - strtod(cell(head, n_head, &csv, name), NULL)) <
                          0.01 * grid.step;
            snprintf(name, sizeof name, "fap_%s", bands[b]);
            const double fap = strtod(cell(head, n_head, &csv, name), NULL),
                         ours = nj_period_false_alarm(
                             power[best], astropy_top(n, grid.first + grid.step * (grid.n - 1)), n, t, e);
            if (fap > 1e-300) worst_fap = fmax(worst_fap, fabs(ours / fap - 1));
        }
        uint32_t best = 0;
        for (uint32_t k = 0; k < grid.n; k++)
            if (all[k] > all[best]) best = k;
        combined_equal += fabs(grid.first + best * grid.step -
                               strtod(cell(head, n_head, &csv, "best_f"), NULL)) < 0.01 * grid.step;
        const double best_power = strtod(cell(head, n_head, &csv, "best_power"), NULL);
        worst = fmax(worst, fabs(all[best] / total - best_power));
        for (size_t k = 0; k < json_array_size(index); k++, n_powers++)
            worst =
                fmax(worst, fabs(all[json_integer_value(json_array_get(index, k))] / total -
                                 json_number_value(json_array_get(json_object_get(p, "power_multi"), k))));
        free(power);
        free(all);
    }
    print_message(
        "# %u light curves, %u bands, %u powers: largest difference %.2g; best frequency equal in %u "
        "bands, combined in %u; false alarms within %.2g; %.2f ms a light curve, astropy's fast %.1f\n",
        n_curves, n_bands, n_powers, worst, best_equal, combined_equal, worst_fap, ms / n_curves,
        astropy_fast / n_curves);
    print_message("# by transforms: largest difference to the sums %.2g, %.2f ms a light curve\n", worst_fft,
                  ms_fft / n_curves);
    nj_period_fft_close(&fft);
    free(area), free(other);
    assert_true(worst_fft < 1e-4);
    nj_csv_free(&csv);
    for (uint32_t c = 0; c < n_head; c++) free(head[c]);
    free(text);
    fclose(curves), fclose(powers), fclose(expected);
    assert_int_equal(n_curves, 20);
    assert_true(worst < 1e-6);
    assert_int_equal(best_equal, n_bands);
    assert_int_equal(combined_equal, n_curves);
    assert_true(worst_fap < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(fast_equals_plain),
                                        cmocka_unit_test(finds_a_sine_and_not_a_constant),
                                        cmocka_unit_test(regular_times_give_no_power_by_rounding),
                                        cmocka_unit_test(one_value_has_no_power),
                                        cmocka_unit_test(transforms_equal_the_sums),
                                        cmocka_unit_test(equals_astropy) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
