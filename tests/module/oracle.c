/* Fink's answers on real alerts, column by column: every row of ../shared/oracles, computed and stored ones.
 * The alerts go through the broker's own decoder, graph and dispatch. Skipped without the shared folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/decode/decode.h"
#include "broker/graph/dispatch.h"
#include "nightjar/csv.h"

/* Our column, theirs in order of preference, tolerances, and whether a 0 of theirs can be our null ("not processed"). */
typedef struct pair {
    const char *ours, *theirs[2];
    double relative, absolute;
    int zero_is_null;
} pair;

/* 1e-8, but 1e-5 for slopes: upstream does not centre the magnitudes */
#define FEATURE(b, ours, theirs, relative) { "features." b "_" ours, { "lc_features_" b "." theirs }, relative, 1e-9, 0 },
#define FEATURES(b) \
    FEATURE(b, "mean", "mean", 1e-8) \
    FEATURE(b, "weighted_mean", "weighted_mean", 1e-8) \
    FEATURE(b, "standard_deviation", "standard_deviation", 1e-8) \
    FEATURE(b, "median", "median", 1e-8) \
    FEATURE(b, "amplitude", "amplitude", 1e-8) \
    FEATURE(b, "beyond_1_std", "beyond_1_std", 1e-8) \
    FEATURE(b, "cusum", "cusum", 1e-8) \
    FEATURE(b, "inter_percentile_range_10", "inter_percentile_range_10", 1e-8) \
    FEATURE(b, "kurtosis", "kurtosis", 1e-8) \
    FEATURE(b, "linear_trend", "linear_trend", 1e-5) \
    FEATURE(b, "linear_trend_sigma", "linear_trend_sigma", 1e-5) \
    FEATURE(b, "linear_trend_noise", "linear_trend_noise", 1e-5) \
    FEATURE(b, "linear_fit_slope", "linear_fit_slope", 1e-5) \
    FEATURE(b, "linear_fit_slope_sigma", "linear_fit_slope_sigma", 1e-5) \
    FEATURE(b, "linear_fit_reduced_chi2", "linear_fit_reduced_chi2", 1e-5) \
    FEATURE(b, "magnitude_percentage_ratio_40_5", "magnitude_percentage_ratio_40_5", 1e-8) \
    FEATURE(b, "magnitude_percentage_ratio_20_10", "magnitude_percentage_ratio_20_10", 1e-8) \
    FEATURE(b, "maximum_slope", "maximum_slope", 1e-8) \
    FEATURE(b, "median_absolute_deviation", "median_absolute_deviation", 1e-8) \
    FEATURE(b, "median_buffer_range_percentage_10", "median_buffer_range_percentage_10", 1e-8) \
    FEATURE(b, "percent_amplitude", "percent_amplitude", 1e-8) \
    FEATURE(b, "mean_variance", "mean_variance", 1e-8) \
    FEATURE(b, "anderson_darling_normal", "anderson_darling_normal", 1e-8) \
    FEATURE(b, "chi2", "chi2", 1e-8) \
    FEATURE(b, "skew", "skew", 1e-8) \
    FEATURE(b, "stetson_k", "stetson_K", 1e-8)

/* Exact where the README says exact; times of 2.4e6 d are printed with all digits, their differences carry 1 ulp. */
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
    FEATURES("g") FEATURES("r")
    { "early_snia.score", { "rf_snia_vs_nonia.al_loop" }, 0, 1e-6, 1 },
    { "early_snia_nocut.score", { "rf_snia_vs_nonia.al_loop.nocut" }, 0, 1e-6, 1 },
    { "microlensing.score", { "mulens" }, 0, 1e-7, 1 },
    { "kilonova.score", { "rf_kn_vs_nonkn" }, 0, 1e-7, 1 },
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

typedef struct set {
    const char *name, *alerts;
} set;
static const set sets[] = { { "host", "oracles/alerts/host.avro" }, { "few", "oracles/alerts/few.avro" }, { "reg0", "oracles/alerts/reg0.avro" },
                            { "slsn", "oracles/alerts/slsn.avro" }, { "yso", "oracles/alerts/yso.avro" },   { "sym", "oracles/alerts/sym.avro" },
                            { "dt", "oracles/alerts/dt.avro" },     { "G", "real/other/fink_ztf/public_20260322_31alerts.avro" },
                            { "dev", "real/ztf" } };

static const char *shared;

/* --- running a set through the broker's own stages --- */

typedef struct answer {
    int64_t candid;
    double number[PAIRS]; /* NAN = null */
    char *text[PAIRS];    /* text columns; NULL = null */
    double *series[4];    /* dc_flux_jy, dc_sigma_jy, std_flux, std_sigma of each point */
    uint32_t n_points;
} answer;

typedef struct runner {
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    nj_decoder *decoder;
    nj_graph *graph;
    nj_worker *worker;
    nj_opener *opener;
    nj_batch *batch;
    nj_cursor cursor;
    nj_stream stream;
    answer *answer;
    uint32_t n, cap;
} runner;

static int offer(const void *schema, const char *path, nj_type *type, nj_shape *shape, const char **unit, bool *in_map)
{
    nj_offer o = { 0 };
    int rc = nj_schema_offer(schema, path, &o, in_map);
    *type = o.type;
    *shape = o.shape;
    *unit = o.unit;
    return rc;
}

static void open_stamp(void *opener, nj_stamp *stamp, nj_arena *arena, const char **why)
{
    nj_stamp_open(opener, stamp, arena, why);
}

/* The instance part of one of our columns. */
static size_t instance_length(const char *column)
{
    return strcspn(column, ".");
}

static int is_paired(const char *instance)
{
    for (int k = 0; k < PAIRS; k++)
        if (instance_length(pairs[k].ours) == strlen(instance) && !strncmp(pairs[k].ours, instance, strlen(instance))) return 1;
    return 0;
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *bytes = NULL;
    size_t got, room = 0;
    *n = 0;
    do {
        if (*n + (1 << 16) >= room) bytes = realloc(bytes, room = 2 * room + (1 << 17));
        got = fread(bytes + *n, 1, 1 << 16, f);
        *n += got;
    } while (got);
    bytes[*n] = 0;
    fclose(f);
    return bytes;
}

static void start(runner *r, const char *data_path)
{
    nj_error err = { "" };
    char select[4096] = "";
    size_t n, length = 0;
    *r = (runner){ .stream = { .name = "oracles", .partition = -1 } };
    char *ini = read_file("tests/module/oracle.ini", &n);
    assert_non_null(ini);
    for (const nj_module *const *m = nj_builtin_modules; *m; m++)
        if (!is_paired((*m)->name) && !(*m)->declare && strncmp((*m)->name, "adapt_", 6))
            length += (size_t)snprintf(select + length, sizeof select - length, "%s-%s", length ? "," : "", (*m)->name);
    r->set.data_path = data_path;
    if (nj_modules_builtin(&r->modules, &err) || nj_settings_ini(&r->settings, "tests/module/oracle.ini", ini, &err) ||
        nj_instances_choose(&r->set, &r->modules, &r->settings, length ? select : NULL, &err) ||
        nj_instances_open(&r->set, length ? select : NULL, &err))
        fail_msg("%s", err.text);
    free(ini);
    r->decoder = nj_decoder_new(&r->settings, &err);
    if (!r->decoder) fail_msg("%s", err.text);
    r->opener = nj_opener_new(r->decoder);
    r->worker = nj_worker_new(&r->set, open_stamp, r->opener, 0, false, &err);
    if (!r->worker) fail_msg("%s", err.text);
    r->batch = nj_batch_new();
}

static void stop(runner *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        for (int k = 0; k < PAIRS; k++) free(r->answer[i].text[k]);
        for (int k = 0; k < 4; k++) free(r->answer[i].series[k]);
    }
    free(r->answer);
    nj_batch_free(r->batch);
    nj_cursor_free(&r->cursor);
    nj_worker_free(r->worker);
    nj_graph_free(r->graph);
    nj_opener_free(r->opener);
    nj_decoder_free(r->decoder);
    nj_instances_close(&r->set);
    nj_settings_free(&r->settings);
    nj_modules_free(&r->modules);
}

/* The column "instance.give" of the batch; NULL when the instance is off. */
static const nj_col *column_of(const runner *r, const char *name, nj_type *type)
{
    size_t n = instance_length(name);
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

static double number_in(nj_type type, const nj_col *col, uint32_t row)
{
    switch (type) {
    case NJ_U8: return ((const uint8_t *)col->data)[row] == NJ_NO_U8 ? NAN : ((const uint8_t *)col->data)[row];
    case NJ_I32: return ((const int32_t *)col->data)[row] == NJ_NO_I32 ? NAN : ((const int32_t *)col->data)[row];
    case NJ_I64: return ((const int64_t *)col->data)[row] == NJ_NO_I64 ? NAN : (double)((const int64_t *)col->data)[row];
    case NJ_F32: return ((const float *)col->data)[row];
    case NJ_F64: return ((const double *)col->data)[row];
    default: return NAN;
    }
}

static void keep_series(const runner *r, answer *a, uint32_t row)
{
    static const char *const name[] = { "standardized_flux.dc_flux_jy_series", "standardized_flux.dc_sigma_jy_series",
                                        "standardized_flux.std_flux_series", "standardized_flux.std_sigma_series" };
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
    for (uint32_t row = 0; row < r->batch->n; row++) {
        if (r->n == r->cap) r->answer = realloc(r->answer, (r->cap = 2 * r->cap + 64) * sizeof *r->answer);
        answer *a = &r->answer[r->n++];
        *a = (answer){ .candid = r->batch->id[row] };
        for (int k = 0; k < PAIRS; k++) {
            nj_type type = 0;
            const nj_col *col = column_of(r, pairs[k].ours, &type);
            a->number[k] = col ? number_in(type, col, row) : NAN;
            if (!col || type != NJ_STR) continue;
            const char *text = ((const char *const *)col->data)[row];
            a->text[k] = text ? strdup(text) : NULL;
        }
        keep_series(r, a, row);
    }
}

static void run_file(runner *r, const char *path)
{
    nj_error err = { "" };
    size_t n;
    char *bytes = read_file(path, &n);
    if (!bytes) fail_msg("%s: cannot be read", path);
    nj_chunk *chunk = nj_chunk_new(&r->stream, (uint8_t *)bytes, n);
    assert_non_null(chunk);
    if (nj_cursor_open(&r->cursor, r->decoder, chunk, &err)) fail_msg("%s: %s", path, err.text);
    if (!r->graph) {
        nj_offers offers = { r->cursor.schema, nj_schema_survey(r->cursor.schema), offer };
        r->graph = nj_graph_new(&r->set, &offers, NULL, 0, &err);
        if (!r->graph) fail_msg("%s", err.text);
    }
    for (int more = 1; more;) {
        assert_int_equal(nj_batch_begin(r->batch, &r->graph->layout, 64), 0);
        more = nj_cursor_read(&r->cursor, r->batch, 64, 8 << 20);
        assert_true(more >= 0);
        if (r->batch->n_dead) fail_msg("%s: %s", path, r->batch->dead[0].reason);
        assert_int_equal(nj_dispatch(r->graph, r->worker, r->batch), 0);
        keep_answers(r);
        nj_batch_end(r->batch);
    }
    nj_chunk_drop(chunk);
}

static void run_set(runner *r, const set *s)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", shared, s->alerts);
    if (stat(path, &st)) fail_msg("%s: not there", path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(r, path);
        return;
    }
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", shared, s->alerts, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.') run_file(r, path);
        free(entry[i]);
    }
    free(entry);
}

/* --- comparing --- */

static const answer *answer_of(const runner *r, int64_t candid)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->answer[i].candid == candid) return &r->answer[i];
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

static int compare_table(const runner *r, const char *table)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, "%s/oracles/%s", shared, table);
    char *text = read_file(path, &n);
    if (!text) return 0;
    column_tally tally[PAIRS] = { 0 };
    int column[PAIRS], rows = 0, bad = 0;
    nj_csv csv = { .at = text, .end = text + n };
    assert_int_equal(nj_csv_row(&csv), 1);
    int candid = nj_csv_column(&csv, "candid");
    assert_true(candid >= 0);
    for (int k = 0; k < PAIRS; k++)
        for (int c = 0; c < 2; c++)
            if (c == 0 || column[k] < 0) column[k] = pairs[k].theirs[c] ? nj_csv_column(&csv, pairs[k].theirs[c]) : c ? column[k] : -1;
    while (nj_csv_row(&csv) == 1) {
        const answer *a = answer_of(r, strtoll(csv.cell[candid], NULL, 10));
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
        print_message("# %-22s %-44s %3d rows %3d values, largest difference %.3g%s%s\n", table, pairs[k].ours, tally[k].rows, tally[k].values, tally[k].worst,
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
            print_message("candid %lld point %u: %s %.9g, theirs %.9g\n", (long long)a->candid, i, key[k], ours, theirs);
            return 0;
        }
    }
    return 1;
}

static int compare_points(const runner *r, const char *name)
{
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/oracles/computed/%s.points.ndjson", shared, name);
    char *text = read_file(path, &size), *rest = NULL;
    assert_non_null(text);
    int n = 0, bad = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
        json_t *o = json_loads(line, 0, NULL);
        const answer *a = answer_of(r, json_integer_value(json_object_get(o, "candid")));
        uint32_t i = (uint32_t)json_integer_value(json_object_get(o, "point"));
        if (!a || !a->series[0] || i >= a->n_points) fail_msg("%s: point %u of a light curve is missing", name, i);
        bad += !compare_point(a, i, o);
        json_decref(o);
    }
    free(text);
    assert_int_equal(bad, 0);
    return n;
}

static void equal_on_every_row(void **state)
{
    if (!shared || !*shared) skip();
    const set *s = *state;
    char table[256], models[4096];
    snprintf(models, sizeof models, "%s/real/models/onnx:tests/module", shared);
    runner r;
    start(&r, models);
    run_set(&r, s);
    snprintf(table, sizeof table, "computed/%s.csv", s->name);
    int rows = compare_table(&r, table);
    assert_int_equal(rows, r.n);
    snprintf(table, sizeof table, "expected/%s.csv", s->name);
    compare_table(&r, table);
    print_message("# %s: %d points of standardized flux\n", s->name, compare_points(&r, s->name));
    stop(&r);
}

int main(void)
{
    const char *folder = getenv("NIGHTJAR_SHARED");
    static char oracles[4096];
    struct CMUnitTest test[sizeof sets / sizeof *sets];
    static char name[sizeof sets / sizeof *sets][64];
    snprintf(oracles, sizeof oracles, "%s/oracles/computed", folder ? folder : "");
    struct stat st;
    shared = folder && !stat(oracles, &st) ? folder : NULL;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        snprintf(name[i], sizeof name[i], "set %s equals Fink", sets[i].name);
        test[i] = (struct CMUnitTest){ .name = name[i], .test_func = equal_on_every_row, .initial_state = (void *)&sets[i] };
    }
    return _cmocka_run_group_tests("oracle", test, sizeof sets / sizeof *sets, NULL, NULL);
}
