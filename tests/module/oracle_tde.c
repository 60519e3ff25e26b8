/* oracle_tde.c - Fink's early TDE filter on real alerts: cuts, fits and classes of 474 rows
 * (../shared/oracles/next/early_tde). Skipped without the shared folder. */
#include "oracle.h"

static const set tde = { "tde", "oracles/next/early_tde/tde.avro" };

/* The numbers before the fit, which must be equal. */
static const char *const exact[][2] = { { "n_detections", "nalerthist" },
                                        { "n_negative", "nneg" },
                                        { "n_g", "n_g" },
                                        { "n_r", "n_r" },
                                        { "is_rising", "is_rising" },
                                        { "prefilter", "prefilter" },
                                        { "n_fit", "n_fit" },
                                        { "n_upper", "n_upper" } };
enum { EXACT = sizeof exact / sizeof *exact };

typedef struct results {
    const char *set;
    char **line; /* of the table, without its head */
    uint32_t n_lines, record, rows, n_exact, bad, equal, better, worse, no_fit, classes, same_class, cuts;
    uint32_t same_cuts, candidates, same_candidates;
    double worst_p;
    nj_csv head;
} results;

static const nj_col *column_of(const runner *r, const char *instance, const char *name, nj_type *type)
{
    for (uint32_t s = 0; s < r->graph->n_steps; s++) {
        const nj_step *step = &r->graph->step[s];
        if (step->off || strcmp(step->in->name, instance)) continue;
        for (uint32_t g = 0; g < step->in->n_gives; g++)
            if (!strcmp(step->in->give[g].name, name)) {
                *type = step->in->give[g].type;
                return &r->batch->col[step->first_out + g];
            }
    }
    fail_msg("%s.%s: no such column", instance, name);
    return NULL;
}

static double ours(const runner *r, const char *instance, const char *name, uint32_t row)
{
    nj_type type = NJ_F64;
    const nj_col *col = column_of(r, instance, name, &type);
    return nj_number(type, col->data, row);
}

static const char *cell(const results *all, const nj_csv *csv, const char *name)
{
    const int c = nj_csv_column(&all->head, name);
    if (c < 0) fail_msg("no column %s", name);
    return csv->cell[c];
}

static double theirs(const results *all, const nj_csv *csv, const char *name)
{
    const char *text = cell(all, csv, name);
    return *text ? strtod(text, NULL) : NAN;
}

static void compare_fit(const runner *r, results *all, const nj_csv *csv, const char *instance, uint32_t row)
{
    const double f = ours(r, instance, "objective", row), g = theirs(all, csv, "fval");
    nj_type type = NJ_STR;
    if (isnan(g)) {
        all->no_fit++;
        return;
    }
    const bool worse = !(f <= g * (1 + 1e-3) + 0.01);
    if (worse && getenv("NIGHTJAR_WORSE"))
        print_message("# %s record %s: worse %.8g, theirs %.8g, %g points, %g starts, %g\n", all->set,
                      cell(all, csv, "record"), f, g, ours(r, instance, "n_fit", row),
                      ours(r, instance, "n_starts", row), ours(r, instance, "converged", row));
    if (worse)
        all->worse++;
    else if (f < g - 0.5)
        all->better++;
    else
        all->equal++;
    if (!(fabs(f - g) <= 1e-3 * g + 1e-3)) return; /* another minimum, another class */
    const char *cuts = ((const char *const *)column_of(r, instance, "cuts", &type)->data)[row];
    const bool same_cuts = cuts && !strcmp(cuts, cell(all, csv, "cuts"));
    all->cuts++;
    all->same_cuts += same_cuts;
    static const char *const forest[2][3] = { { "p_nuclear", "prob_nuclear", "class_nuclear" },
                                              { "p_broad", "prob_broad", "class_broad" } };
    for (int k = 0; k < 2; k++) {
        all->classes++;
        all->same_class +=
            (ours(r, instance, forest[k][0], row) > 0.5) == (theirs(all, csv, forest[k][2]) == 1);
    }
    if (getenv("NIGHTJAR_WORSE") && !same_cuts)
        print_message("# %s record %s: cuts %s, theirs %s, objective %.8g %.8g\n", all->set,
                      cell(all, csv, "record"), cuts, cell(all, csv, "cuts"), f, g);
}

static void compare_row(const runner *r, results *all, const nj_csv *csv, uint32_t row)
{
    const char *instance = theirs(all, csv, "ebv") > 0 ? "dusty" : "early_tde";
    const bool one_band = !strcmp(cell(all, csv, "status"), "one_band");
    assert_int_equal(r->batch->id[row], strtoll(cell(all, csv, "candid"), NULL, 10));
    all->rows++;
    for (int k = 0; k < EXACT; k++) {
        const double x = ours(r, instance, exact[k][0], row), y = theirs(all, csv, exact[k][1]);
        if (one_band && isnan(y)) continue; /* it stops there; ours fits */
        all->n_exact++;
        if (x == y) continue;
        all->bad++;
        print_message("# %s record %s: %s %.17g, theirs %.17g\n", all->set, cell(all, csv, "record"),
                      exact[k][0], x, y);
    }
    compare_fit(r, all, csv, instance, row);
}

static void compare_rows(runner *r)
{
    results *all = r->owner;
    for (uint32_t row = 0; row < r->batch->n; row++, all->record++)
        for (uint32_t k = 0; k < all->n_lines; k++) {
            nj_csv csv = { .at = all->line[k], .end = all->line[k] + strlen(all->line[k]) };
            assert_int_equal(nj_csv_row(&csv), 1);
            if (!strcmp(csv.cell[0], all->set) && strtoul(csv.cell[1], NULL, 10) == all->record)
                compare_row(r, all, &csv, row);
            nj_csv_free(&csv);
        }
}

/* Fink counts the sign "0" as positive: a column of the test's own, by which these instances read the
 * sign. */
static const char amend[] = "amend ztf\nlc.sign_of_fink u8 = isdiffpos {t:1 1:1 true:1 f:0 0:1 false:1}\n",
                  instances[] = "[module.early_tde]\nkind = early_tde\nmodel = early_tde\nall = 1\n"
                                "need.lc.positive = lc.sign_of_fink\n"
                                "[module.dusty]\nkind = early_tde\nmodel = early_tde\nall = 1\nebv = 0.1\n"
                                "need.lc.positive = lc.sign_of_fink\n";

static void one_set(results *all, const set *s, const char *maps)
{
    char path[4096], ini[4096];
    runner r;
    snprintf(path, sizeof path, "%s/oracles/next/models", shared);
    snprintf(ini, sizeof ini, "[decode]\nmaps = %s\n%s", maps, instances);
    all->set = s->name;
    all->record = 0;
    start(&r, path, ini, "early_tde,dusty", compare_rows);
    r.owner = all;
    run_set(&r, s);
    stop(&r);
}

static void early_tde_is_finks(void **state)
{
    (void)state;
    char path[4096], *rest = NULL;
    size_t size;
    results all = { 0 };
    snprintf(path, sizeof path, "%s/oracles/next/early_tde/alerts.csv", shared ? shared : "");
    char *text = shared ? nj_file_read(path, SIZE_MAX, &size) : NULL;
    if (!text) {
        print_message("no ../shared/oracles/next/early_tde\n");
        skip();
    }
    char maps[] = "/tmp/oracle_tde.XXXXXX", map[64];
    assert_non_null(mkdtemp(maps));
    snprintf(map, sizeof map, "%s/ztf.map", maps);
    FILE *f = fopen(map, "w");
    assert_non_null(f);
    fputs(amend, f);
    fclose(f);
    all.head = (nj_csv){ .at = text, .end = text + size };
    assert_int_equal(nj_csv_row(&all.head), 1);
    all.line = calloc(size, sizeof *all.line);
    for (char *line = strtok_r((char *)all.head.at, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        all.line[all.n_lines++] = line;
    for (size_t k = 0; k < SETS; k++) one_set(&all, &sets[k], maps);
    one_set(&all, &tde, maps);
    print_message(
        "# %u rows; before the fit: %u numbers equal, %u differ; fits: %u equal, %u better, %u worse, %u "
        "not there; of fits of the same objective %u of %u cuts and %u of %u classes are equal\n",
        all.rows, all.n_exact - all.bad, all.bad, all.equal, all.better, all.worse, all.no_fit, all.same_cuts,
        all.cuts, all.same_class, all.classes);
    assert_int_equal(all.rows, 474);
    assert_int_equal(all.bad, 0);
    assert_true(all.worse * 100 <= 3 * (all.equal + all.better + all.worse));
    assert_true(all.same_class * 100 >= 97 * all.classes);
    assert_true(all.same_cuts * 100 >= 90 * all.cuts);
    nj_csv_free(&all.head);
    free(all.line);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(early_tde_is_finks) };
    find_shared();
    return _cmocka_run_group_tests("oracle_tde", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
