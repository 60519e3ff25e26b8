/* oracle_features.c - the inputs of Fink's forests on real alerts, number by number: component fit, rise
 * fit, flux statistics. No cuts, so that every light curve of ../shared/oracles takes part. Skipped without
 * the shared folder. */
#include "oracle.h"

#include "nightjar/astro.h"
#include "nightjar/lc.h"

enum { JD, MAG, MAG_ERR, FID, REF_MAG, REF_MAG_ERR, POSITIVE, WANTS };
static const nj_want wants[WANTS] = {
    { "lc.jd", NJ_F64, "d" },      { "lc.mag", NJ_F64, "mag" },     { "lc.mag_err", NJ_F64, "mag" },
    { "lc.band", NJ_I32, "1" },    { "lc.ref_mag", NJ_F64, "mag" }, { "lc.ref_mag_err", NJ_F64, "mag" },
    { "lc.positive", NJ_U8, "1" },
};
enum { MOST_POINTS = 1000 };

/* What is compared, per band: title in the table ("%c" = g, r), tolerances from its README. */
typedef struct number {
    const char *title;
    double relative, absolute;
} number;
static const number component[] = { { "kn.coeff1_%c", 0, 1e-4 },
                                    { "kn.coeff2_%c", 0, 1e-4 },
                                    { "kn.coeff3_%c", 0, 1e-4 },
                                    { "kn.residuo_%c", 1e-4, 1e-12 },
                                    { "kn.maxflux_%c", 1e-6, 0 } };
static const number rise[] = { { "rf_snia.a_%c", 1e-4, 0 },   { "rf_snia.b_%c", 1e-4, 0 },
                               { "rf_snia.c_%c", 1e-4, 0 },   { "rf_snia.snratio_%c", 1e-9, 0 },
                               { "rf_snia.mse_%c", 1e-4, 0 }, { "rf_snia.nrise_%c", 0, 0 } };

typedef struct results {
    nj_csv csv;         /* the table's header */
    char *text, **line; /* its rows */
    int64_t *candid;
    uint32_t n_rows, n_values[3], n_bad, n_lower, n_rounding;
    double component[NJ_COMPONENTS * NJ_COMPONENT_BINS];
    uint32_t n_alerts;
    double worst[3];
} results;

typedef struct band {
    uint32_t n;
    double jd[MOST_POINTS], flux[MOST_POINTS], err[MOST_POINTS], dc_mag[MOST_POINTS], dc_err[MOST_POINTS];
} band;

static const double *series(const runner *r, int want, uint32_t row, uint32_t *n)
{
    const nj_col *c = &r->batch->col[r->graph->want[want]];
    *n = c->off[row + 1] - c->off[row];
    return (const double *)c->data + c->off[row];
}

static void take_band(const runner *r, uint32_t row, int32_t fid, band *b)
{
    uint32_t n;
    const double *jd = series(r, JD, row, &n), *mag = series(r, MAG, row, &n),
                 *err = series(r, MAG_ERR, row, &n);
    const double *ref = series(r, REF_MAG, row, &n), *ref_err = series(r, REF_MAG_ERR, row, &n);
    const nj_col *fids = &r->batch->col[r->graph->want[FID]],
                 *positive = &r->batch->col[r->graph->want[POSITIVE]];
    b->n = 0;
    for (uint32_t i = 0; i < n && b->n < MOST_POINTS; i++) {
        if (((const int32_t *)fids->data)[fids->off[row] + i] != fid || isnan(mag[i])) continue;
        nj_dc dc = nj_dc_flux(mag[i], err[i], ref[i], ref_err[i],
                              ((const uint8_t *)positive->data)[positive->off[row] + i] == 1);
        b->jd[b->n] = jd[i];
        b->flux[b->n] = nj_fluxcal_of_mag(mag[i]);
        b->err[b->n] = nj_fluxcal_err_of_mag(mag[i], err[i]);
        b->dc_mag[b->n] = nj_mag_of_flux(dc.flux);
        b->dc_err[b->n++] = dc.sigma / dc.flux * 1.0857;
    }
}

/* Is `ours` the value under that title in the row (cells as the row's reader has them)? */
static void compare(results *all, int kind, const nj_csv *row, const char *title, double ours,
                    double relative, double absolute)
{
    int column = nj_csv_column(&all->csv, title);
    if (column < 0) fail_msg("no column %s", title);
    const char *cell = row->cell[column];
    if (!*cell) return; /* not computed */
    double theirs = strtod(cell, NULL), d = fabs(ours - theirs);
    all->n_values[kind]++;
    if (d <= fmax(absolute, relative * fabs(theirs))) {
        if (d / fmax(fabs(theirs), 1e-12) > all->worst[kind])
            all->worst[kind] = d / fmax(fabs(theirs), 1e-12);
        return;
    }
    if (all->n_bad++ < 12)
        print_message("candid %s: %s is %.17g, theirs %s\n", row->cell[0], title, ours, cell);
}

static void compare_list(results *all, int kind, const nj_csv *row, char letter, const number *list,
                         const double *value, size_t n)
{
    char title[64];
    for (size_t k = 0; k < n; k++) {
        snprintf(title, sizeof title, list[k].title, letter);
        compare(all, kind, row, title, value[k], list[k].relative, list[k].absolute);
    }
}

/* What the fit minimises, at given coefficients; only for light curves that have a fit. */
static double loss(const results *all, const band *b, const double c[3])
{
    uint32_t top = 0;
    for (uint32_t i = 1; i < b->n; i++)
        if (b->flux[i] > b->flux[top]) top = i;
    double F = b->flux[top], w = F / b->err[top] * (F / b->err[top]),
           sum = w * (c[1] * c[1] + c[2] * c[2] + (c[0] < 0 ? c[0] * c[0] : 0));
    for (uint32_t i = 0; i < b->n; i++) {
        double t = b->jd[i] - b->jd[top], model = 0;
        if (!(fabs(t) < NJ_COMPONENT_WINDOW_D)) continue;
        for (int k = 0; k < 3; k++)
            model +=
                c[k] * all->component[k * NJ_COMPONENT_BINS + (int)nearbyint(t / NJ_COMPONENT_STEP_D + 200)];
        sum += pow((model - b->flux[i] / F) / (b->err[i] / F), 2);
    }
    return sum;
}

/* The reference minimises by steps and can stop early: then ours must be the lower one. */
static bool is_lower(const results *all, const nj_csv *row, char letter, const band *b,
                     const nj_component_fit *f)
{
    double c[3];
    char title[64];
    for (int k = 0; k < 3; k++) {
        snprintf(title, sizeof title, component[k].title, letter);
        c[k] = strtod(row->cell[nj_csv_column(&all->csv, title)], NULL);
    }
    return f->fitted && fabs(f->c[0] - c[0]) > 0.01 && loss(all, b, f->c) < 0.99 * loss(all, b, c);
}

static void compare_rise(results *all, const nj_csv *row, char letter, const band *b)
{
    static double day[MOST_POINTS], flux[MOST_POINTS], err[MOST_POINTS], work[8 * MOST_POINTS];
    static uint32_t order[MOST_POINTS];
    nj_rise f;
    nj_order_f64(b->jd, b->n, order);
    uint32_t nights = nj_night_means(b->n, b->jd, b->flux, b->err, order, day, flux, err);
    nj_rise_fit(nights, day, flux, err, work, &f);
    const double value[] = { f.a, f.b, f.c, f.snratio, f.mse, f.n_nights };
    compare_list(all, 1, row, letter, rise, value, 6);
}

/* Does the entropy hang on the rounding of 1 - erf(5)? See flux_features.c. */
static bool is_rounding(const band *b)
{
    double sorted[MOST_POINTS];
    for (uint32_t i = 0; i < b->n; i++) sorted[i] = pow(10, -(b->dc_mag[i] - 24) / 2.5);
    nj_sort_f64(sorted, b->n);
    double med = nj_median_sorted(sorted, b->n);
    for (uint32_t i = 0; i < b->n; i++) {
        double u = pow(10, -(b->dc_mag[i] - 24) / 2.5) * (1 - b->dc_err[i] * NJ_LN10 / 2.5) / med;
        if (u > 0 && u < 0.03) return true;
    }
    return false;
}

static void compare_statistics(results *all, const nj_csv *row, char letter, const band *b)
{
    static double work[5 * MOST_POINTS];
    double out[NJ_FLUX_FEATURES];
    char title[64];
    if (b->n < 10) return;
    nj_flux_features(b->n, b->dc_mag, b->dc_err, work, out);
    for (int k = 0; k < NJ_FLUX_FEATURES; k++) {
        snprintf(title, sizeof title, "mulens_%c.f%d", letter, k);
        if (k == 37 && out[44] > 0 && is_rounding(b)) {
            all->n_rounding++;
            continue;
        }
        /* 36, 37: entropies, 1e-6 by the table's README; sums of differences cancel: relative to 1 */
        compare(all, 2, row, title, out[k], k == 36 || k == 37 ? 1e-6 : 1e-8, 1e-8);
    }
}

static void compare_batch(runner *r)
{
    static band b;
    results *all = r->owner;
    for (uint32_t row = 0; row < r->batch->n; row++) {
        uint32_t k = 0, n, n_valid = 0;
        while (k < all->n_rows && all->candid[k] != r->batch->id[row]) k++;
        if (k == all->n_rows) fail_msg("candid %lld is not in the table", (long long)r->batch->id[row]);
        nj_csv cells = { .at = all->line[k], .end = all->line[k] + strlen(all->line[k]) };
        assert_int_equal(nj_csv_row(&cells), 1);
        const double *mag = series(r, MAG, row, &n);
        for (uint32_t i = 0; i < n; i++) n_valid += !isnan(mag[i]);
        all->n_alerts++;
        for (int32_t fid = 1; fid <= 2; fid++) {
            char letter = fid == 1 ? 'g' : 'r';
            take_band(r, row, fid, &b);
            nj_component_fit f;
            nj_component_fit_flux(n_valid >= 2 ? b.n : 0, b.jd, b.flux, b.err, all->component, &f);
            const double value[] = { f.c[0], f.c[1], f.c[2], f.residual, f.max_flux };
            if (is_lower(all, &cells, letter, &b, &f))
                all->n_lower++;
            else
                compare_list(all, 0, &cells, letter, component, value, 5);
            compare_rise(all, &cells, letter, &b);
            compare_statistics(all, &cells, letter, &b);
        }
        nj_csv_free(&cells);
    }
}

static void read_table(results *all, const char *name)
{
    char path[4096], *rest = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/oracles/computed/%s.csv", shared, name);
    all->text = nj_file_read(path, SIZE_MAX, &size);
    assert_non_null(all->text);
    all->csv = (nj_csv){ .at = all->text, .end = all->text + size };
    assert_int_equal(nj_csv_row(&all->csv), 1);
    char *at = (char *)all->csv.at;
    all->line = calloc(size, sizeof *all->line);
    all->candid = calloc(size, sizeof *all->candid);
    /* no line breaks inside cells */
    for (char *line = strtok_r(at, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        all->candid[all->n_rows] = strtoll(line, NULL, 10);
        all->line[all->n_rows++] = line;
    }
}

static void read_components(double *component_of)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/real/models/onnx/kilonova/interpolated_mixed_pcs.csv", shared);
    char *text = nj_file_read(path, SIZE_MAX, &size);
    assert_non_null(text);
    nj_csv csv = { .at = text, .end = text + size };
    nj_csv_row(&csv);
    for (int bin = 0; bin < NJ_COMPONENT_BINS && nj_csv_row(&csv) == 1; bin++)
        for (int k = 0; k < NJ_COMPONENTS; k++)
            component_of[k * NJ_COMPONENT_BINS + bin] = strtod(csv.cell[1 + k], NULL);
    nj_csv_free(&csv);
    free(text);
}

static void inputs_equal(void **state)
{
    if (!shared) skip();
    const set *s = *state;
    results all = { 0 };
    read_table(&all, s->name);
    read_components(all.component);
    runner r;
    start(&r, models_path(), "", "nalerthist", compare_batch); /* one cheap module: the columns are
                                                                * what is wanted */
    r.owner = &all;
    r.want = wants;
    r.n_wants = WANTS;
    run_set(&r, s);
    stop(&r);
    print_message("# %s: %u alerts; values compared: component fit %u, rise fit %u, flux statistics %u; "
                  "largest relative difference %.2g %.2g %.2g; left out %u %u\n",
                  s->name, all.n_alerts, all.n_values[0], all.n_values[1], all.n_values[2], all.worst[0],
                  all.worst[1], all.worst[2], all.n_lower, all.n_rounding);
    assert_int_equal(all.n_alerts, all.n_rows);
    assert_int_equal(all.n_bad, 0);
    assert_true(all.n_rounding <= 5); /* of 140 bands */
    assert_true(all.n_lower <= 1);    /* one light curve in 1,270: dev 541294366115010020, band g */
    nj_csv_free(&all.csv);
    free(all.line);
    free(all.candid);
    free(all.text);
}

int main(void)
{
    static struct CMUnitTest test[SETS];
    static char name[SETS][64];
    find_shared();
    for (size_t i = 0; i < SETS; i++) {
        snprintf(name[i], sizeof name[i], "inputs of the forests, set %s", sets[i].name);
        test[i] = (struct CMUnitTest){ .name = name[i],
                                       .test_func = inputs_equal,
                                       .initial_state = (void *)&sets[i] };
    }
    return _cmocka_run_group_tests("oracle_features", test, SETS, NULL, NULL);
}
