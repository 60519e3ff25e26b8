/* xmatch.c - xmatch on real alerts: every row of ../shared/oracles, computed by Fink's code and stored by
 * Fink; the match that Fink loses; the rules on made-up rows. Alerts go through the broker's own decoder,
 * graph and dispatch. */
#include "oracle.h"

#include <unistd.h>

#include "broker/catalog/build.h"
#include "nightjar/sky.h"

static char folder[] = "/tmp/nightjar-xmatch.XXXXXX";

static const char ini[] =
    "[module.gcvs]\nkind = xmatch\ncatalog = gcvs.njx\nradius_arcsec = 1.5\ncolumns = type:label\n"
    "[module.x3hsp]\nkind = xmatch\ncatalog = x3hsp.njx\nradius_arcsec = 60\ncolumns = name:label\n"
    "[module.x4lac]\nkind = xmatch\ncatalog = x4lac.njx\nradius_arcsec = 60\ncolumns = name:label\n"
    "[module.spicy]\nkind = xmatch\ncatalog = spicy.njx\nradius_arcsec = 1.2\ncolumns = class:label\n";
enum { CATALOGS = 4 };
static const char *const catalog[CATALOGS] = { "gcvs", "x3hsp", "x4lac", "spicy" };
static const struct {
    const char *file[2], *ra, *dec, *columns;
    double radius;
} source[CATALOGS] = {
    { { "gcvs.parquet" }, NULL, NULL, "VarType:type", 1.5 },
    { { "3hsp.csv" }, "R.A.", "Dec", "3HSP Source name:name", 60 },
    { { "table-4LAC-DR3-h.fits", "table-4LAC-DR3-l.fits" }, "RAJ2000", "DEJ2000", "Source_Name:name", 60 },
    { { "spicy.parquet" }, NULL, NULL, "class", 1.2 },
};

typedef struct answer {
    int64_t candid;
    char label[CATALOGS][64]; /* "" = null */
    double sep[CATALOGS];
    int32_t n[CATALOGS];
    char state[CATALOGS][16];
} answer;

typedef struct answers {
    answer *item;
    uint32_t n, cap;
} answers;

static int build_catalogs(void **state)
{
    (void)state;
    shared = getenv("NIGHTJAR_SHARED");
    if (!mkdtemp(folder)) return -1;
    if (!shared || !*shared) return 0;
    for (int k = 0; k < CATALOGS; k++) {
        char in[2][400], out[200];
        const char *input[2] = { in[0], in[1] };
        uint32_t n = 0;
        for (; n < 2 && source[k].file[n]; n++)
            snprintf(in[n], sizeof in[n], "%s/real/catalogs/%s", shared, source[k].file[n]);
        snprintf(out, sizeof out, "%s/%s.njx", folder, catalog[k]);
        nj_catalog_build b = { .input = input,
                               .n_inputs = n,
                               .output = out,
                               .ra = source[k].ra,
                               .dec = source[k].dec,
                               .columns = source[k].columns,
                               .epoch_year = NAN,
                               .radius_arcsec = source[k].radius,
                               .pm_scale = 1,
                               .frame = "icrs" };
        nj_catalog_built built;
        nj_error err;
        if (nj_catalog_make(&b, &built, &err)) {
            shared = NULL;
            print_message("# %s\n", err.text);
        }
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Element [row] of a column of an instance. */
static const void *value_of(const runner *r, const char *instance, const char *give, uint32_t row,
                            size_t size)
{
    for (uint32_t s = 0; s < r->graph->n_steps; s++) {
        const nj_step *step = &r->graph->step[s];
        for (uint32_t g = 0; !strcmp(step->in->name, instance) && g < step->in->n_gives; g++)
            if (!strcmp(step->in->give[g].name, give))
                return (const char *)r->batch->col[step->first_out + g].data + row * size;
    }
    fail_msg("no column %s.%s", instance, give);
    return NULL;
}

static void keep_answers(runner *r)
{
    answers *all = r->owner;
    for (uint32_t row = 0; row < r->batch->n; row++) {
        if (all->n == all->cap)
            all->item = realloc(all->item, (all->cap = 2 * all->cap + 64) * sizeof *all->item);
        answer *a = &all->item[all->n++];
        *a = (answer){ .candid = r->batch->id[row] };
        for (int k = 0; k < CATALOGS; k++) {
            const char *label = *(const char *const *)value_of(r, catalog[k], "label", row, sizeof label);
            const char *st = *(const char *const *)value_of(r, catalog[k], "state", row, sizeof st);
            snprintf(a->label[k], sizeof a->label[k], "%s", label ? label : "");
            snprintf(a->state[k], sizeof a->state[k], "%s", st ? st : "");
            a->sep[k] = *(const double *)value_of(r, catalog[k], "sep_arcsec", row, 8);
            a->n[k] = *(const int32_t *)value_of(r, catalog[k], "n", row, 4);
        }
    }
}

/* The table's column of each catalogue against ours, "Unknown" being our null.
 * Returns compared cells; counts matches. */
static int compare_table(const answers *all, const char *table, int *matches)
{
    char path[1000];
    size_t n;
    snprintf(path, sizeof path, "%s/oracles/%s", shared, table);
    char *text = nj_file_read(path, SIZE_MAX, &n);
    if (!text) return 0;
    nj_csv csv = { .at = text, .end = text + n };
    assert_int_equal(nj_csv_row(&csv), 1);
    int candid = nj_csv_column(&csv, "candid"), column[CATALOGS], arcsec[CATALOGS], cells = 0;
    for (int k = 0; k < CATALOGS; k++) {
        char name[40];
        snprintf(name, sizeof name, "%s.arcsec", catalog[k]);
        column[k] = nj_csv_column(&csv, catalog[k]);
        arcsec[k] = nj_csv_column(&csv, name);
    }
    while (nj_csv_row(&csv) == 1) {
        const answer *a = NULL;
        for (uint32_t i = 0; i < all->n && !a; i++)
            if (all->item[i].candid == strtoll(csv.cell[candid], NULL, 10)) a = &all->item[i];
        assert_non_null(a);
        for (int k = 0; k < CATALOGS; k++) {
            if (column[k] < 0) continue;
            const char *theirs = csv.cell[column[k]];
            int matched = strcmp(theirs, "Unknown") != 0;
            if (strcmp(matched ? theirs : "", a->label[k]))
                fail_msg("%s, candid %s, %s: ours '%s', theirs '%s'", table, csv.cell[candid], catalog[k],
                         a->label[k], theirs);
            assert_string_equal(a->state[k], matched ? "match" : "none");
            assert_true(matched ? a->n[k] >= 1 && a->sep[k] < source[k].radius
                                : a->n[k] == 0 && isnan(a->sep[k]));
            if (matched && arcsec[k] >= 0) /* as the README says */
                assert_true(fabs(a->sep[k] - strtod(csv.cell[arcsec[k]], NULL)) < 1e-6);
            *matches += matched;
            cells++;
        }
    }
    nj_csv_free(&csv);
    free(text);
    return cells;
}

static void every_row_of_every_set(void **state)
{
    (void)state;
    if (!shared) skip();
    int computed = 0, stored = 0, matches = 0;
    for (size_t i = 0; i < SETS; i++) {
        runner r;
        answers all = { NULL, 0, 0 };
        char table[100];
        start(&r, folder, ini, "gcvs,x3hsp,x4lac,spicy", keep_answers);
        r.owner = &all;
        run_set(&r, &sets[i]);
        snprintf(table, sizeof table, "computed/%s.csv", sets[i].name);
        computed += compare_table(&all, table, &matches);
        snprintf(table, sizeof table, "expected/%s.csv", sets[i].name);
        stored += compare_table(&all, table, &matches);
        stop(&r);
        free(all.item);
    }
    print_message("# %d cells computed by Fink's code, %d stored by Fink, %d of them matches: all equal\n",
                  computed, stored, matches);
    assert_true(computed >= 4 * 600 && stored > 500 && matches > 20);
}

/* ---- one instance on made-up rows ---- */

static nj_arena scratch;
static void *scratch_alloc(const struct nj_work *w, size_t bytes)
{
    (void)w;
    return nj_arena_alloc(&scratch, bytes);
}
static const char *scratch_text(const struct nj_work *w, const char *s, size_t n)
{
    (void)w;
    return nj_arena_text(&scratch, s, n);
}

enum { MOST_ROWS = 16, MOST_GIVES = 16 };
typedef struct one { /* an instance and its outputs */
    nj_modules modules;
    nj_settings settings;
    nj_instances set;
    const nj_instance *in;
    double out[MOST_GIVES][MOST_ROWS];
    uint8_t reason[MOST_ROWS];
} one;

static void open_one(one *o, const char *catalog_csv, const char *build_columns, const char *settings)
{
    char path[200], out[200], text[600];
    const char *input = path;
    nj_error err = { "" };
    nj_catalog_built built;
    memset(o, 0, sizeof *o);
    snprintf(path, sizeof path, "%s/one.csv", folder);
    snprintf(out, sizeof out, "%s/one.njx", folder);
    FILE *f = fopen(path, "w");
    fputs(catalog_csv, f);
    fclose(f);
    nj_catalog_build b = { .input = &input,
                           .n_inputs = 1,
                           .output = out,
                           .columns = build_columns,
                           .epoch_year = NAN,
                           .radius_arcsec = 5,
                           .pm_scale = 1,
                           .frame = "icrs" };
    if (nj_catalog_make(&b, &built, &err)) fail_msg("%s", err.text);
    snprintf(text, sizeof text, "[module.one]\nkind = xmatch\ncatalog = one.njx\n%s", settings);
    o->set.data_path = folder;
    if (nj_modules_builtin(&o->modules, &err) || nj_settings_ini(&o->settings, "test", text, &err) ||
        nj_instances_choose(&o->set, &o->modules, &o->settings, "one", &err) ||
        nj_instances_open(&o->set, "one", &err))
        fail_msg("%s", err.text);
    o->in = nj_instances_find(&o->set, "one");
    assert_non_null(o->in);
}

static void match_one(one *o, const double *ra, const double *dec, const double *jd, uint32_t n)
{
    nj_col col[3] = { { ra, NULL }, { dec, NULL }, { jd, NULL } };
    const nj_col *in[3] = { &col[0], &col[1], &col[2] };
    void *out[MOST_GIVES];
    uint32_t rows[MOST_ROWS];
    for (uint32_t k = 0; k < n; k++) rows[k] = k;
    for (uint32_t g = 0; g < o->in->n_gives; g++) nj_fill_null(o->in->give[g].type, out[g] = o->out[g], n);
    nj_work w = { .size = sizeof w,
                  .n = n,
                  .row = rows,
                  .in = in,
                  .out = out,
                  .reason = o->reason,
                  .scratch = scratch_alloc,
                  .text = scratch_text };
    assert_int_equal(o->in->module->process(o->in->self, NULL, &w), NJ_OK);
}

static const void *out_of(const one *o, const char *give)
{
    for (uint32_t g = 0; g < o->in->n_gives; g++)
        if (!strcmp(o->in->give[g].name, give)) return o->out[g];
    fail_msg("no column %s", give);
    return NULL;
}

static void close_one(one *o)
{
    nj_instances_close(&o->set);
    nj_settings_free(&o->settings);
    nj_modules_free(&o->modules);
    nj_arena_reset(&scratch);
}

#define TEXT(o, give, row) (((const char *const *)out_of(o, give))[row])
#define REAL(o, give, row) (((const double *)out_of(o, give))[row])
#define WHOLE(o, give, row) (((const int32_t *)out_of(o, give))[row])

static void three_alerts_of_one_source_match_three_times(void **state)
{
    (void)state;
    one o;
    open_one(&o, "ra,dec,type\n10,20,RR\n10.1,20,M\n", NULL, "radius_arcsec = 1.5\n");
    double ra[] = { 10, 10, 10.00008, 10, NAN }, dec[] = { 20.00002, 20.00008, 20, 20.001, 20 };
    match_one(&o, ra, dec, NULL, 5);
    for (int k = 0; k < 3; k++) {
        assert_string_equal(TEXT(&o, "type", k), "RR");
        assert_string_equal(TEXT(&o, "state", k), "match");
        assert_int_equal(WHOLE(&o, "n", k), 1);
    }
    assert_string_equal(TEXT(&o, "state", 3), "none");
    assert_null(TEXT(&o, "type", 3));
    assert_int_equal(WHOLE(&o, "n", 3), 0);
    assert_int_equal(o.reason[3], NJ_DONE);
    assert_int_equal(o.reason[4], NJ_NO_INPUT);
    assert_null(TEXT(&o, "state", 4));
    close_one(&o);
}

static void error_circles_narrow_the_match(void **state)
{
    (void)state;
    one o;
    open_one(&o, "ra,dec,name,err\n0,0,sharp,0.1\n0,0.01,wide,15\n", NULL,
             "radius_arcsec = 1\nerror_column = err\nerror_arcsec = 0.2\nerror_k = 2\n");
    double ra[] = { 0, 0, 0, 0 }, dec[] = { 1.0 / 3600, 1.2 / 3600, 0.0025, 0.01 + 31.0 / 3600 };
    match_one(&o, ra, dec, NULL, 4);
    /* sharp: sqrt(1 + 4 (0.04 + 0.01)) = 1.095"; wide: sqrt(1 + 4 (0.04 + 225)) = 30.02" */
    assert_string_equal(TEXT(&o, "name", 0), "sharp");
    assert_string_equal(TEXT(&o, "state", 1), "none");
    assert_string_equal(TEXT(&o, "name", 2), "wide");
    assert_string_equal(TEXT(&o, "state", 3), "none");
    close_one(&o);
}

static void physical_radius_follows_the_redshift(void **state)
{
    (void)state;
    one o;
    open_one(&o, "ra,dec,name,z\n0,0,far,0.1\n0,0.05,none,\n0,0.02,near,0.005\n", NULL,
             "radius_arcsec = 300\nkpc = 30\n");
    double ra[] = { 0, 0, 0 }, dec[] = { -14.0 / 3600, -16.0 / 3600, 0.06 }; /* far: 30 * 0.05 / 0.1 = 15" */
    match_one(&o, ra, dec, NULL, 3);
    assert_string_equal(TEXT(&o, "name", 0), "far");
    assert_int_equal(WHOLE(&o, "n", 0), 2);
    assert_string_equal(TEXT(&o, "name", 1), "near");
    assert_string_equal(TEXT(&o, "name", 2), "near"); /* none is nearer, and has no redshift */
    close_one(&o);
}

static void hosts_by_directional_light_radius(void **state)
{
    (void)state;
    one o;
    /* a long galaxy along the meridian and a small round one nearer to the alert */
    open_one(&o, "ra,dec,name,a,b,pa\n180,0,long,30,5,0\n180,0.02,round,4,4,\n180,-1,point,0,0,0\n", NULL,
             "radius_arcsec = 120\ndlr_a = a\ndlr_max = 4\ncolumns = name\n");
    double ra[] = { 180, 180 + 25.0 / 3600, 180 }, dec[] = { 45.0 / 3600, 0, -1 };
    match_one(&o, ra, dec, NULL, 3);
    assert_string_equal(TEXT(&o, "name", 0), "long"); /* 45 / 30 = 1.5 radii; the round one: 27 / 4 = 6.75 */
    assert_true(fabs(REAL(&o, "dlr", 0) - 1.5) < 1e-9 && fabs(REAL(&o, "sep_arcsec", 0) - 45) < 1e-9);
    assert_int_equal(WHOLE(&o, "n", 0), 1);
    assert_string_equal(TEXT(&o, "state", 1), "none"); /* 25 / 5 = 5 radii across the long one */
    assert_string_equal(TEXT(&o, "state", 2), "none"); /* no ellipse, no answer */
    close_one(&o);
}

static void a_replaced_file_answers_the_next_batch(void **state)
{
    (void)state;
    one o, other;
    open_one(&o, "ra,dec,type\n10,20,OLD\n", NULL, "with_hash = 1\n");
    double ra[] = { 10, 10 }, dec[] = { 20, 20 };
    match_one(&o, ra, dec, NULL, 2);
    assert_string_equal(TEXT(&o, "type", 0), "OLD");
    char hash[20];
    snprintf(hash, sizeof hash, "%s", TEXT(&o, "catalog", 0));
    open_one(&other, "ra,dec,type\n10,20,NEW\n11,20,X\n", NULL, ""); /* replaces the file */
    ((const nj_sky *)o.set.host.service(&o.set, "sky", NJ_SKY_VERSION))->recheck();
    match_one(&o, ra, dec, NULL, 2);
    for (int k = 0; k < 2; k++) {
        assert_string_equal(TEXT(&o, "type", k), "NEW");
        assert_string_not_equal(TEXT(&o, "catalog", k), hash);
    }
    close_one(&other);
    close_one(&o);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "catalog = absent.njx\n",
                                       "catalog = one.njx\ncolumns = nothing\n",
                                       "catalog = one.njx\ncolumns = type, type\n",
                                       "catalog = one.njx\ncolumns = type:n\n",
                                       "catalog = one.njx\nerror_column = type\n",
                                       "catalog = one.njx\ndlr_a = a\nkpc = 3\n",
                                       "" };
    one o;
    open_one(&o, "ra,dec,type\n10,20,OLD\n", NULL, "");
    close_one(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        nj_error err = { "" };
        memset(&o, 0, sizeof o);
        o.set.data_path = folder;
        snprintf(text, sizeof text, "[module.one]\nkind = xmatch\n%s", bad[i]);
        assert_int_equal(nj_modules_builtin(&o.modules, &err), 0);
        assert_int_equal(nj_settings_ini(&o.settings, "test", text, &err), 0);
        assert_int_not_equal(nj_instances_choose(&o.set, &o.modules, &o.settings, "one", &err), 0);
        close_one(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_every_set),
        cmocka_unit_test(three_alerts_of_one_source_match_three_times),
        cmocka_unit_test(error_circles_narrow_the_match),
        cmocka_unit_test(physical_radius_follows_the_redshift),
        cmocka_unit_test(hosts_by_directional_light_radius),
        cmocka_unit_test(a_replaced_file_answers_the_next_batch),
        cmocka_unit_test(wrong_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, build_catalogs, remove_folder);
}
