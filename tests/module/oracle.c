/* oracle.c - Fink's answers on real alerts, column by column: every row of ../shared/oracles, computed and
 * stored ones. The alerts go through the broker's own decoder, graph and dispatch. Skipped without the
 * shared folder. */
#include "oracle.h"

#include <jansson.h>

/* Our column, theirs in order of preference, tolerances,
 * and whether a 0 of theirs can be our null ("not processed"). */
typedef struct pair {
    const char *ours, *theirs[2];
    double relative, absolute;
    int zero_is_null;
} pair;

/* 1e-8, but for the residuals of the weighted line: upstream's logarithm differs in the last bit of some
 * magnitudes, and over minutes the uncentred times make 1e-7 of it (the table's README allows 1e-5) */
#define FEATURE(b, ours, theirs, relative)                                                                   \
    { "features." b "_" ours, { "lc_features_" b "." theirs }, relative, 1e-9, 0 },
#define FEATURES(b)                                                                                          \
    FEATURE(b, "mean", "mean", 1e-8)                                                                         \
    FEATURE(b, "weighted_mean", "weighted_mean", 1e-8)                                                       \
    FEATURE(b, "standard_deviation", "standard_deviation", 1e-8)                                             \
    FEATURE(b, "median", "median", 1e-8)                                                                     \
    FEATURE(b, "amplitude", "amplitude", 1e-8)                                                               \
    FEATURE(b, "beyond_1_std", "beyond_1_std", 1e-8)                                                         \
    FEATURE(b, "cusum", "cusum", 1e-8)                                                                       \
    FEATURE(b, "inter_percentile_range_10", "inter_percentile_range_10", 1e-8)                               \
    FEATURE(b, "kurtosis", "kurtosis", 1e-8)                                                                 \
    FEATURE(b, "linear_trend", "linear_trend", 1e-8)                                                         \
    FEATURE(b, "linear_trend_sigma", "linear_trend_sigma", 1e-8)                                             \
    FEATURE(b, "linear_trend_noise", "linear_trend_noise", 1e-8)                                             \
    FEATURE(b, "linear_fit_slope", "linear_fit_slope", 1e-8)                                                 \
    FEATURE(b, "linear_fit_slope_sigma", "linear_fit_slope_sigma", 1e-8)                                     \
    FEATURE(b, "linear_fit_reduced_chi2", "linear_fit_reduced_chi2", 1e-6)                                   \
    FEATURE(b, "magnitude_percentage_ratio_40_5", "magnitude_percentage_ratio_40_5", 1e-8)                   \
    FEATURE(b, "magnitude_percentage_ratio_20_10", "magnitude_percentage_ratio_20_10", 1e-8)                 \
    FEATURE(b, "maximum_slope", "maximum_slope", 1e-8)                                                       \
    FEATURE(b, "median_absolute_deviation", "median_absolute_deviation", 1e-8)                               \
    FEATURE(b, "median_buffer_range_percentage_10", "median_buffer_range_percentage_10", 1e-8)               \
    FEATURE(b, "percent_amplitude", "percent_amplitude", 1e-8)                                               \
    FEATURE(b, "mean_variance", "mean_variance", 1e-8)                                                       \
    FEATURE(b, "anderson_darling_normal", "anderson_darling_normal", 1e-8)                                   \
    FEATURE(b, "chi2", "chi2", 1e-8)                                                                         \
    FEATURE(b, "skew", "skew", 1e-8)                                                                         \
    FEATURE(b, "stetson_k", "stetson_K", 1e-8)

/* Exact where the README says exact; times of 2.4e6 d are printed with all digits,
 * their differences carry 1 ulp. */
static const pair pairs[] = {
    { "nalerthist.n", { "nalerthist" }, 0, 0, 0 },
    { "roid.roid", { "roid" }, 0, 0, 0 },
    { "fast_transient.jd_first_real_det", { "jd_first_real_det" }, 0, 0, 0 },
    { "fast_transient.jdstarthist_dt", { "jdstarthist_dt" }, 0, 0, 0 },
    { "fast_transient.delta_time", { "delta_time" }, 0, 0, 0 },
    { "fast_transient.from_upper", { "from_upper" }, 0, 0, 0 },
    { "transient_features.faint", { "transient.faint" }, 0, 0, 0 },
    { "transient_features.positivesubtraction", { "transient.positivesubtraction" }, 0, 0, 0 },
    { "transient_features.real", { "transient.real" }, 0, 0, 0 },
    { "transient_features.pointunderneath", { "transient.pointunderneath" }, 0, 0, 0 },
    { "transient_features.brightstar", { "transient.brightstar" }, 0, 0, 0 },
    { "transient_features.variablesource", { "transient.variablesource" }, 0, 0, 0 },
    { "transient_features.stationary", { "transient.stationary" }, 0, 0, 0 },
    { "is_transient.is_transient", { "is_transient" }, 0, 0, 0 },
    { "standardized_flux.known", { "standardized_flux.known" }, 0, 0, 0 },
    { "snn_snia_vs_nonia.score", { "snn_snia_vs_nonia.roid" }, 0, 1e-5, 1 },
    { "snn_snia_vs_nonia_all.score", { "snn_snia_vs_nonia" }, 0, 1e-5, 1 },
    { "snn_snia_vs_nonia_nocut.score", { "snn_snia_vs_nonia.nocut" }, 0, 1e-5, 1 },
    { "snn_sn_vs_all.score", { "snn_sn_vs_all.roid" }, 0, 1e-5, 1 },
    { "snn_sn_vs_all_all.score", { "snn_sn_vs_all" }, 0, 1e-5, 1 },
    { "snn_sn_vs_all_nocut.score", { "snn_sn_vs_all.nocut" }, 0, 1e-5, 1 },
    { "anomaly.score", { "anomaly_score_beta" }, 0, 1e-6, 0 },
    FEATURES("g") FEATURES("r"){ "early_snia.score", { "rf_snia_vs_nonia.al_loop" }, 0, 1e-6, 1 },
    { "early_snia_nocut.score", { "rf_snia_vs_nonia.al_loop.nocut" }, 0, 1e-6, 1 },
    { "finkclass.label", { "finkclass" }, 0, 0, 0 },
    { "microlensing.score", { "mulens" }, 0, 1e-7, 1 },
    { "kilonova.score", { "rf_kn_vs_nonkn" }, 0, 1e-7, 1 },
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

/* --- the answers of a set --- */

typedef struct answer {
    int64_t candid;
    double number[PAIRS]; /* NAN = null */
    char *text[PAIRS];    /* text columns; NULL = null */
    double *series[4];    /* dc_flux_jy, dc_sigma_jy, std_flux, std_sigma of each point */
    uint32_t n_points;
} answer;

typedef struct results {
    answer *answer;
    uint32_t n, cap;
} results;

static void free_results(results *all)
{
    for (uint32_t i = 0; i < all->n; i++) {
        for (int k = 0; k < PAIRS; k++) free(all->answer[i].text[k]);
        for (int k = 0; k < 4; k++) free(all->answer[i].series[k]);
    }
    free(all->answer);
}

/* The column "instance.give" of the batch; NULL when the instance is off. */
static const nj_col *column_of(const runner *r, const char *name, nj_type *type)
{
    size_t n = strcspn(name, ".");
    for (uint32_t s = 0; s < r->graph->n_steps; s++) {
        const nj_step *step = &r->graph->step[s];
        if (step->off || strlen(step->in->name) != n || strncmp(step->in->name, name, n)) continue;
        for (uint32_t g = 0; g < step->in->n_gives; g++) {
            if (strcmp(step->in->give[g].name, name + n + 1)) continue;
            *type = step->in->give[g].type;
            return &r->batch->col[step->first_out + g];
        }
        fail_msg("%s: no such column", name);
    }
    return NULL;
}

static void keep_series(const runner *r, answer *a, uint32_t row)
{
    static const char *const name[] = { "standardized_flux.dc_flux_jy_series",
                                        "standardized_flux.dc_sigma_jy_series",
                                        "standardized_flux.std_flux_series",
                                        "standardized_flux.std_sigma_series" };
    for (int k = 0; k < 4; k++) {
        nj_type type;
        const nj_col *col = column_of(r, name[k], &type);
        if (!col || !col->off) continue;
        a->n_points = col->off[row + 1] - col->off[row];
        a->series[k] = malloc((a->n_points + 1) * sizeof(double));
        memcpy(a->series[k], (const double *)col->data + col->off[row], a->n_points * sizeof(double));
    }
}

static void keep_answers(runner *r)
{
    results *all = r->owner;
    for (uint32_t row = 0; row < r->batch->n; row++) {
        if (all->n == all->cap)
            all->answer = realloc(all->answer, (all->cap = 2 * all->cap + 64) * sizeof *all->answer);
        answer *a = &all->answer[all->n++];
        *a = (answer){ .candid = r->batch->id[row] };
        for (int k = 0; k < PAIRS; k++) {
            nj_type type = 0;
            const nj_col *col = column_of(r, pairs[k].ours, &type);
            a->number[k] = col ? nj_number(type, (col)->data, row) : NAN;
            if (!col || type != NJ_STR) continue;
            const char *text = ((const char *const *)col->data)[row];
            a->text[k] = text ? strdup(text) : NULL;
        }
        keep_series(r, a, row);
    }
}

/* --- comparing --- */

static const answer *answer_of(const results *all, int64_t candid)
{
    for (uint32_t i = 0; i < all->n; i++)
        if (all->answer[i].candid == candid) return &all->answer[i];
    return NULL;
}

typedef struct column_tally {
    int rows, values, bad;
    double worst;
    char first[256]; /* the first mismatch */
} column_tally;

static void note_bad(column_tally *t, const char *candid, const char *ours, const char *theirs)
{
    if (!t->bad++) snprintf(t->first, sizeof t->first, "candid %s: ours %s, theirs %s", candid, ours, theirs);
}

static void compare_number(const pair *p, column_tally *t, const char *candid, double x, const char *cell)
{
    double y = *cell ? strtod(cell, NULL) : NAN;
    if (isnan(x) && y == 0 && p->zero_is_null) return;
    if (isnan(x) && isnan(y)) return;
    t->values++;
    double d = fabs(x - y);
    if (d <= fmax(p->absolute, p->relative * fabs(y))) { /* NaN fails */
        if (d > t->worst) t->worst = d;
        return;
    }
    char ours[64];
    snprintf(ours, sizeof ours, "%.17g", x);
    note_bad(t, candid, ours, *cell ? cell : "(null)");
}

static int compare_table(const results *all, const char *table)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, "%s/oracles/%s", shared, table);
    char *text = nj_file_read(path, SIZE_MAX, &n);
    if (!text) return 0;
    column_tally tally[PAIRS] = { 0 };
    int column[PAIRS], rows = 0, bad = 0;
    nj_csv csv = { .at = text, .end = text + n };
    assert_int_equal(nj_csv_row(&csv), 1);
    int candid = nj_csv_column(&csv, "candid");
    assert_true(candid >= 0);
    for (int k = 0; k < PAIRS; k++)
        for (int c = 0; c < 2; c++)
            if (c == 0 || column[k] < 0)
                column[k] = pairs[k].theirs[c] ? nj_csv_column(&csv, pairs[k].theirs[c]) : c ? column[k] : -1;
    while (nj_csv_row(&csv) == 1) {
        const answer *a = answer_of(all, strtoll(csv.cell[candid], NULL, 10));
        if (!a) fail_msg("%s: candid %s did not come out", table, csv.cell[candid]);
        rows++;
        for (int k = 0; k < PAIRS; k++) {
            if (column[k] < 0) continue;
            const char *cell = csv.cell[column[k]];
            tally[k].rows++;
            if (!a->text[k]) {
                compare_number(&pairs[k], &tally[k], csv.cell[candid], a->number[k], cell);
            } else {
                tally[k].values++;
                if (strcmp(a->text[k], cell)) note_bad(&tally[k], csv.cell[candid], a->text[k], cell);
            }
        }
    }
    for (int k = 0; k < PAIRS; k++) {
        if (column[k] < 0) continue;
        print_message("# %-22s %-44s %3d rows %3d values, largest difference %.3g%s%s\n", table,
                      pairs[k].ours, tally[k].rows, tally[k].values, tally[k].worst,
                      tally[k].bad ? " BAD " : "", tally[k].first);
        bad += tally[k].bad;
    }
    nj_csv_free(&csv);
    free(text);
    assert_int_equal(bad, 0);
    return rows;
}

/* One point of points.ndjson: members absent = upper limit, null = undefined. */
static int compare_point(const answer *a, uint32_t i, json_t *line)
{
    static const char *const key[] = { "flux_jy", "sigma_jy" };
    for (int k = 0; k < 2; k++) {
        json_t *v = json_object_get(line, key[k]);
        double theirs = v && !json_is_null(v) ? json_number_value(v) : NAN, ours = a->series[k][i];
        if (isnan(theirs) && isnan(ours)) continue;
        if (!(fabs(ours - theirs) <= 1e-6 * fabs(theirs))) { /* theirs has single-precision steps */
            print_message("candid %lld point %u: %s %.9g, theirs %.9g\n", (long long)a->candid, i, key[k],
                          ours, theirs);
            return 0;
        }
    }
    return 1;
}

static int compare_points(const results *all, const char *name)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/oracles/computed/%s.points.ndjson", shared, name);
    char *text = nj_file_read(path, SIZE_MAX, &size), *rest = NULL;
    assert_non_null(text);
    int n = 0, bad = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
        json_t *o = json_loads(line, 0, NULL);
        const answer *a = answer_of(all, json_integer_value(json_object_get(o, "candid")));
        uint32_t i = (uint32_t)json_integer_value(json_object_get(o, "point"));
        if (!a || !a->series[0] || i >= a->n_points)
            fail_msg("%s: point %u of a light curve is missing", name, i);
        bad += !compare_point(a, i, o);
        json_decref(o);
    }
    free(text);
    assert_int_equal(bad, 0);
    return n;
}

/* The instance of a pair's column, and whether a module of the table is one. */
static int is_paired(const char *instance)
{
    for (int k = 0; k < PAIRS; k++)
        if (strcspn(pairs[k].ours, ".") == strlen(instance) &&
            !strncmp(pairs[k].ours, instance, strlen(instance)))
            return 1;
    return 0;
}

/* Opens the instances of tests/module/oracle.ini and of more settings,
 * without those of the list `without`. */
static void open_runner(runner *r, const char *more, const char *without)
{
    char select[4096];
    size_t size, length = (size_t)snprintf(select, sizeof select, "%s", without);
    char *text = nj_file_read("tests/module/oracle.ini", SIZE_MAX, &size),
         *ini = malloc(size + strlen(more) + 1);
    for (const nj_module *const *m = nj_builtin_modules; *m; m++)
        if (!is_paired((*m)->name) && !(*m)->declare && strncmp((*m)->name, "adapt_", 6))
            length += (size_t)snprintf(select + length, sizeof select - length, "%s-%s", length ? "," : "",
                                       (*m)->name);
    strcat(strcpy(ini, text), more);
    start(r, models_path(), ini, select, keep_answers);
    free(text);
    free(ini);
}

static runner all_instances; /* models are opened once for all sets */

static void run(runner *r, results *all, const set *s)
{
    r->owner = all;
    run_set(r, s);
}

static void computed(void **state)
{
    if (!shared) skip();
    const set *s = *state;
    char table[256];
    results all = { 0 };
    if (!all_instances.batch) open_runner(&all_instances, "", "");
    run(&all_instances, &all, s);
    snprintf(table, sizeof table, "computed/%s.csv", s->name);
    assert_int_equal(compare_table(&all, table), all.n);
    print_message("# %s: %d points of standardized flux\n", s->name, compare_points(&all, s->name));
    free_results(&all);
}

/* With the stored SIMBAD labels, and the decision table fed with the stored scores. */
static void expected(void **state)
{
    static const struct {
        const char *need, *column;
    } score[] = {
        { "microlensing.score", "mulens" },         { "snn_snia_vs_nonia.score", "snn_snia_vs_nonia" },
        { "snn_sn_vs_all.score", "snn_sn_vs_all" }, { "early_snia.score", "rf_snia_vs_nonia" },
        { "kilonova.score", "rf_kn_vs_nonkn" },     { "tracklet.tracklet", "tracklet" }
    };
    if (!shared) skip();
    const set *s = *state;
    char path[4096], table[256], ini[16384], needs[4096] = "";
    size_t size;
    snprintf(table, sizeof table, "expected/%s.csv", s->name);
    snprintf(path, sizeof path, "%s/oracles/%s", shared, table);
    char *text = nj_file_read(path, SIZE_MAX, &size);
    assert_non_null(text);
    nj_csv csv = { .at = text, .end = text + size };
    assert_int_equal(nj_csv_row(&csv), 1);
    int n = snprintf(ini, sizeof ini,
                     "\n[module.stored]\nkind = lookup\nkey = candid\nfile = %s\ncolumns = cdsxmatch", path);
    for (size_t k = 0, at = 0; k < sizeof score / sizeof *score; k++) {
        if (nj_csv_column(&csv, score[k].column) < 0) continue; /* not stored for this set: our own */
        n += snprintf(ini + n, sizeof ini - (size_t)n, ", %s", score[k].column);
        at += (size_t)snprintf(needs + at, sizeof needs - at, "need.%s = stored.%s\n", score[k].need,
                               score[k].column);
    }
    if (nj_csv_column(&csv, "cdsxmatch") < 0) n = 0, needs[0] = 0; /* host: no label */
    snprintf(ini + n, sizeof ini - (size_t)n,
             "\n[module.simbad]\nkind = lookup\nkey = candid\nfile = %s\n%s\n[module.finkclass]\n%s", path,
             n ? "columns = cdsxmatch:otype" : "columns = gcvs:otype_is_not_here", needs);
    nj_csv_free(&csv);
    free(text);
    results all = { 0 };
    runner r;
    open_runner(&r, ini, "-snn_snia_vs_nonia_nocut,-snn_sn_vs_all_nocut,-early_snia_nocut");
    run(&r, &all, s);
    stop(&r);
    compare_table(&all, table);
    free_results(&all);
}

int main(void)
{
    static struct CMUnitTest test[2 * SETS];
    static char name[2 * SETS][64];
    size_t n = 0;
    find_shared();
    for (size_t i = 0; i < SETS; i++) {
        snprintf(name[n], sizeof name[n], "set %s equals what Fink's code computes", sets[i].name);
        test[n] =
            (struct CMUnitTest){ .name = name[n], .test_func = computed, .initial_state = (void *)&sets[i] };
        n++;
        if (!strcmp(sets[i].name, "dev")) continue; /* nothing was stored for it */
        snprintf(name[n], sizeof name[n], "set %s equals what Fink stored", sets[i].name);
        test[n] =
            (struct CMUnitTest){ .name = name[n], .test_func = expected, .initial_state = (void *)&sets[i] };
        n++;
    }
    int rc = _cmocka_run_group_tests("oracle", test, n, NULL, NULL);
    if (all_instances.batch) stop(&all_instances);
    return rc;
}
