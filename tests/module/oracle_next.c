/* link: -Wl,--wrap=log10f */
/* oracle_next.c - what other brokers' code gives on real alerts, column by column: BOOM's properties, AMPEL's
 * rise and decline (635 rows each, ../shared/oracles/next). Skipped without the shared folder. */
#include "oracle.h"

static const double single_digits = 6e-8; /* half a unit in the last place of single precision */

typedef struct pair {
    const char *ours, *theirs;
    double relative, absolute;
} pair;

/* --- what is compared --- */

#define SIDE(b, side)                                                                                        \
    { b "_" side "_rate", b "." side "_rate", 1e-4, 1e-7 },                                                  \
        { b "_" side "_rate_error", b "." side "_rate_error", 1e-4, 0 },                                     \
        { b "_" side "_red_chi2", b "." side "_red_chi2", 1e-4, 1e-6 },                                      \
        { b "_" side "_nb_data", b "." side "_nb_data", 0, 0 },                                              \
        { b "_" side "_dt", b "." side "_dt", 1e-7, 0 },
#define BAND(b)                                                                                              \
    { b "_peak_jd", b ".peak_jd", 0, 0 }, { b "_peak_mag", b ".peak_mag", 2e-7, 0 },                         \
        { b "_peak_mag_err", b ".peak_mag_err", 1e-6, 0 }, { b "_dt", b ".dt", 1e-7, 0 },                    \
        SIDE(b, "rising") SIDE(b, "fading")
static const pair boom[] = { { "rock", "rock", 0, 0 },
                             { "star", "star", 0, 0 },
                             { "near_brightstar", "near_brightstar", 0, 0 },
                             { "category", "babamul_ztf", 0, 0 },
                             { "n_points", "n_points", 0, 0 },
                             { "stationary", "stationary", 0, 0 },
                             { "peak_jd", "peak_jd", 0, 0 },
                             { "peak_mag", "peak_mag", 2e-7, 0 },
                             { "peak_mag_err", "peak_mag_err", 1e-6, 0 },
                             { "peak_band", "peak_band", 0, 0 },
                             { "faintest_jd", "faintest_jd", 0, 0 },
                             { "faintest_mag", "faintest_mag", 2e-7, 0 },
                             { "faintest_mag_err", "faintest_mag_err", 1e-6, 0 },
                             { "faintest_band", "faintest_band", 0, 0 },
                             { "first_jd", "first_jd", 0, 0 },
                             { "last_jd", "last_jd", 0, 0 },
                             BAND("g") BAND("r") BAND("i"){ 0 } };

#define SAME(name)                                                                                           \
    {                                                                                                        \
        name, name, 0, 0                                                                                     \
    }
static const pair ampel[] = { SAME("status"),
                              SAME("cut_pp"),
                              SAME("ndet"),
                              SAME("jd_det"),
                              SAME("jd_last"),
                              SAME("t_lc"),
                              SAME("mag_det"),
                              SAME("mag_last"),
                              SAME("bool_pure"),
                              SAME("t_predetect"),
                              SAME("bool_peaked"),
                              SAME("jd_max"),
                              SAME("mag_peak"),
                              SAME("bool_rising"),
                              SAME("bool_norise"),
                              SAME("bool_hasgaps"),
                              { "slope_rise_g", "slope_rise_g", 1e-6, 1e-9 },
                              { "slope_fall_g", "slope_fall_g", 1e-6, 1e-9 },
                              { "slope_rise_r", "slope_rise_r", 1e-6, 1e-9 },
                              { "slope_fall_r", "slope_fall_r", 1e-6, 1e-9 },
                              { "col_det", "col_det", 1e-12, 1e-14 },
                              { "col_last", "col_last", 1e-12, 1e-14 },
                              { "col_peak", "col_peak", 1e-12, 1e-14 },
                              SAME("rb_med"),
                              SAME("drb_med"),
                              SAME("distnr_med"),
                              SAME("magnr_med"),
                              SAME("classtar_med"),
                              SAME("sgscore1_med"),
                              SAME("distpsnr1_med"),
                              SAME("sgscore2_med"),
                              SAME("distpsnr2_med"),
                              SAME("neargaia_med"),
                              SAME("maggaia_med"),
                              { 0 } };

/* The forests on every light curve, whatever its number of detections, beside the module's own score. */
#define SNGUESS_FEATURES                                                                                     \
    "rise_decline.mag_det, rise_decline.mag_last, rise_decline.t_lc, rise_decline.rb_med,\n"                 \
    " rise_decline.col_det, rise_decline.t_predetect, rise_decline.distnr_med, rise_decline.magnr_med,\n"    \
    " rise_decline.classtar_med, rise_decline.sgscore1_med, rise_decline.distpsnr1_med,\n"                   \
    " rise_decline.neargaia_med, rise_decline.maggaia_med"
static const char snguess_ini[] =
    "[module.rise_decline]\nkind = rise_decline\nmodel = ampel_snguess_ndet\n"
    "[module.n2]\nkind = model\nmodel = ampel_snguess_ndet2\nmissing = nan\nfeatures = " SNGUESS_FEATURES "\n"
    "[module.n3]\nkind = model\nmodel = ampel_snguess_ndet3\nmissing = nan\nfeatures = " SNGUESS_FEATURES "\n"
    "[module.n4]\nkind = model\nmodel = ampel_snguess_ndet4\nmissing = nan\nfeatures = " SNGUESS_FEATURES
    "\n";

/* Beside the pairs of AMPEL: columns of other instances, and the score, which is null where theirs is 0.5. */
static const pair forests[] = { { "n2.p_1", "prob_ndet2", 0, 1e-6 },
                                { "n3.p_1", "prob_ndet3", 0, 1e-6 },
                                { "n4.p_1", "prob_ndet4", 0, 1e-6 },
                                { "rise_decline.snguess", "SNGuess", 0, 1e-6 },
                                { 0 } };

/* --- the logarithm with which the magnitudes of forced fluxes were made for BOOM's code --- */

/* They came from numpy's float32 log10, which lies one unit in the last place above the nearest number for 59
 * of the 128 fluxes. With it every value must be equal to single precision. */
static bool as_numpy;
static const float numpy_rounds_up[] = {
    138.203003f, 147.406754f, 181.450882f, 234.939758f, 258.405243f, 260.475555f, 266.917419f, 282.644684f,
    290.484009f, 335.748169f, 345.639282f, 349.993347f, 383.17276f,  465.608398f, 769.056091f, 797.289246f,
    818.117798f, 854.427124f, 903.52124f,  909.758118f, 1202.23596f, 1213.12024f, 1216.40637f, 1272.93909f,
    1291.70996f, 1411.22388f, 1470.02502f, 1532.83374f, 1536.33142f, 1681.80066f, 1829.20618f, 1932.85437f,
    2043.17883f, 2166.84155f, 2504.09009f, 2632.37817f, 2736.94849f, 3221.7356f,  4289.81201f, 4850.20264f,
    4992.7251f,  6570.5752f,  6717.05371f, 7023.89209f, 7735.1665f,  8395.64551f, 9088.50586f, 9362.21289f,
    12086.8145f, 15959.6045f, 16821.8379f, 18917.9648f, 19207.1973f, 24556.3359f, 49952.2109f, 50779.9727f,
    58548.125f,  73762.1641f, 111745.133f
};

float __real_log10f(float x);
float __wrap_log10f(float x);
float __wrap_log10f(float x)
{
    if (!as_numpy) return __real_log10f(x);
    const float nearest = (float)log10(x);
    for (size_t k = 0; k < sizeof numpy_rounds_up / sizeof *numpy_rounds_up; k++)
        if (numpy_rounds_up[k] == x) return nextafterf(nearest, INFINITY);
    return nearest;
}

/* --- one table --- */

typedef struct table {
    const char *set, *instance;
    const pair *pair;
    char **cell; /* of the set's rows: [row][column] */
    uint32_t n_rows, n_columns, record;
    uint32_t rows, values, bad, null;
    double worst;
    uint32_t loose; /* equal, but not to the digits of single precision */
} table;

static void read_table(table *t, const char *text)
{
    nj_csv csv = { .at = text, .end = text + strlen(text) };
    assert_int_equal(nj_csv_row(&csv), 1);
    t->n_columns = csv.n;
    t->n_rows = 0;
    t->cell = calloc(csv.n, sizeof *t->cell);
    for (uint32_t c = 0; c < csv.n; c++) t->cell[c] = strdup(csv.cell[c]);
    while (nj_csv_row(&csv) == 1) {
        if (strcmp(csv.cell[0], t->set)) continue;
        t->n_rows++;
        t->cell = realloc(t->cell, (size_t)(t->n_rows + 1) * t->n_columns * sizeof *t->cell);
        for (uint32_t c = 0; c < t->n_columns; c++)
            t->cell[(size_t)t->n_rows * t->n_columns + c] = strdup(csv.cell[c]);
    }
    nj_csv_free(&csv);
}

static void free_table(table *t)
{
    for (size_t k = 0; k < (size_t)(t->n_rows + 1) * t->n_columns; k++) free(t->cell[k]);
    free(t->cell);
}

static const char *cell_of(const table *t, uint32_t row, const char *name)
{
    for (uint32_t c = 0; c < t->n_columns; c++)
        if (!strcmp(t->cell[c], name)) return t->cell[(size_t)(row + 1) * t->n_columns + c];
    fail_msg("no column %s", name);
    return NULL;
}

static const nj_col *column_of(const runner *r, const char *name, nj_type *type)
{
    const size_t n = strcspn(name, ".");
    for (uint32_t s = 0; s < r->graph->n_steps; s++) {
        const nj_step *step = &r->graph->step[s];
        if (step->off || strlen(step->in->name) != n || strncmp(step->in->name, name, n)) continue;
        for (uint32_t g = 0; g < step->in->n_gives; g++)
            if (!strcmp(step->in->give[g].name, name + n + 1)) {
                *type = step->in->give[g].type;
                return &r->batch->col[step->first_out + g];
            }
    }
    fail_msg("%s: no such column", name);
    return NULL;
}

static void compare_value(const runner *r, table *t, uint32_t row, uint32_t at, const char *ours,
                          const pair *p)
{
    nj_type type = NJ_F64;
    const nj_col *col = column_of(r, ours, &type);
    const char *theirs = cell_of(t, at, p->theirs);
    char got[64];
    bool good;
    if (type == NJ_STR) {
        const char *text = ((const char *const *)col->data)[row];
        snprintf(got, sizeof got, "%s", text ? text : "");
        good = !strcmp(got, theirs);
    } else {
        const double x = nj_number(type, col->data, row), y = *theirs ? strtod(theirs, NULL) : NAN,
                     d = fabs(x - y);
        if (!strcmp(p->theirs, "SNGuess") && isnan(x) && (y == 0.5 || isnan(y))) {
            t->null++;
            return;
        }
        if (!strncmp(p->theirs, "prob_", 5) && isnan(y)) return;
        snprintf(got, sizeof got, "%.17g", x);
        good = (isnan(x) && isnan(y)) || d <= (as_numpy ? fmin(p->relative, single_digits) * fabs(y)
                                                        : fmax(p->absolute, p->relative * fabs(y)));
        if (good && d > t->worst * fabs(y) && y != 0) t->worst = d / fabs(y);
        t->loose += good && d > single_digits * fabs(y);
    }
    t->values++;
    if (!good && t->bad++ < 40)
        print_message("# %s record %s candid %s: %s is %s, theirs %s\n", t->set, cell_of(t, at, "record"),
                      cell_of(t, at, "candid"), ours, got, *theirs ? theirs : "(null)");
}

static void compare_rows(runner *r)
{
    table *t = r->owner;
    for (uint32_t row = 0; row < r->batch->n; row++, t->record++) {
        uint32_t at = 0;
        while (at < t->n_rows && strtoul(cell_of(t, at, "record"), NULL, 10) != t->record) at++;
        if (at == t->n_rows) continue;
        assert_int_equal(r->batch->id[row], strtoll(cell_of(t, at, "candid"), NULL, 10));
        t->rows++;
        for (const pair *p = t->pair; p->ours; p++) {
            char name[128];
            snprintf(name, sizeof name, "%s.%s", t->instance, p->ours);
            compare_value(r, t, row, at, name, p);
        }
        for (const pair *p = forests; t->pair == ampel && p->ours; p++)
            compare_value(r, t, row, at, p->ours, p);
    }
}

static void compare_sets(const char *file, const char *instance, const pair *pairs, const char *ini,
                         const char *select)
{
    char path[4096], models[4200];
    size_t size;
    uint32_t rows = 0, values = 0, bad = 0, null = 0;
    double worst = 0;
    uint32_t loose = 0;
    snprintf(path, sizeof path, "%s/oracles/next/%s", shared ? shared : "", file);
    char *text = shared ? nj_file_read(path, SIZE_MAX, &size) : NULL;
    if (!text) {
        print_message("no ../shared/oracles/next/%s\n", file);
        skip();
    }
    snprintf(models, sizeof models, "%s/oracles/next/models", shared);
    for (size_t k = 0; k < SETS; k++) {
        table t = { .set = sets[k].name, .instance = instance, .pair = pairs };
        runner r;
        read_table(&t, text);
        start(&r, models, ini, select, compare_rows);
        r.owner = &t;
        run_set(&r, &sets[k]);
        stop(&r);
        assert_int_equal(t.rows, t.n_rows);
        print_message("# %-5s %3u rows, %u values, %u differ\n", t.set, t.rows, t.values, t.bad);
        rows += t.rows, values += t.values, bad += t.bad, null += t.null;
        worst = fmax(worst, t.worst);
        loose += t.loose;
        free_table(&t);
    }
    free(text);
    print_message("# %s: %u rows, %u values equal, %u differ, %u without our answer; relative differences at "
                  "most %.2g, %u of them above %.0g\n",
                  instance, rows, values - bad, bad, null, worst, loose, single_digits);
    assert_int_equal(rows, 635);
    assert_int_equal(bad, 0);
}

static void properties_equal_boom(void **state)
{
    (void)state;
    as_numpy = false;
    compare_sets("boom/ztf.csv", "properties", boom, "[module.properties]\nkind = properties\n",
                 "properties");
}

static void properties_equal_boom_on_its_magnitudes(void **state)
{
    (void)state;
    as_numpy = true;
    compare_sets("boom/ztf.csv", "properties", boom, "[module.properties]\nkind = properties\n",
                 "properties");
}

static void rise_decline_equals_ampel(void **state)
{
    (void)state;
    as_numpy = false;
    compare_sets("ampel/alerts.csv", "rise_decline", ampel, snguess_ini, "rise_decline,n2,n3,n4");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(properties_equal_boom),
                                        cmocka_unit_test(properties_equal_boom_on_its_magnitudes),
                                        cmocka_unit_test(rise_decline_equals_ampel) };
    find_shared();
    return _cmocka_run_group_tests("oracle_next", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
