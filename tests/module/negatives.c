/* negatives.c - what classifiers say about light curves that are nothing: flat, noise, one point, a point
 * in each of two bands, limits alone, an asteroid, an artefact. The table is printed; an answer above a
 * classifier's threshold is a fault unless it is listed here. Skipped without ../shared, which has the
 * models. */
#include "host.h"

#include "nightjar/astro.h"

typedef enum negative { FLAT, NOISE, ONE_POINT, TWO_BANDS, LIMITS, MOVING, ARTEFACT, NEGATIVES } negative;
static const char *const negative_name[NEGATIVES] = { "flat",   "noise",  "one point", "two bands",
                                                      "limits", "moving", "artefact" };
enum { MOST = 24 };

/* Classifiers that are known to score these high (modules/README.md says it): the networks were trained on
 * supernovae alone, and give Fink's own numbers. */
static const char *const known[] = { "snn_snia_vs_nonia", "snn_sn_vs_all" };

/* --- the alerts --- */

typedef struct lc {
    uint32_t n;
    double jd[MOST], mag[MOST], err[MOST], limit[MOST];
    int band[MOST], positive[MOST];
} lc;

static lc make(negative which, uint32_t n)
{
    lc c = { .n = which == ONE_POINT ? 1 : which == TWO_BANDS ? 2 : n };
    for (uint32_t i = 0; i < c.n; i++) {
        const double u = nj_made_uniform(1000 * (uint64_t)which + i);
        c.jd[i] = 2460000.5 + 0.8 * i;
        c.band[i] = 1 + (int)(i % 2);
        c.positive[i] = which == NOISE || which == ARTEFACT ? u < 0.5 : 1;
        c.mag[i] = which == LIMITS ? NAN : which == NOISE || which == ARTEFACT ? 19 + u : 19.2;
        c.err[i] = which == LIMITS ? NAN : 0.1;
        c.limit[i] = 20.5;
    }
    return c;
}

static double series_value(const char *path, const lc *c, negative which, uint32_t i)
{
    const char *leaf = strchr(path, '.') + 1;
    const double flux = NJ_NJY_OF_MAG0 * nj_flux_of_mag(c->mag[i]), sign = c->positive[i] ? 1 : -1;
    if (!strcmp(leaf, "jd")) return c->jd[i];
    if (!strcmp(leaf, "mag")) return c->mag[i];
    if (!strcmp(leaf, "mag_err")) return c->err[i];
    if (!strcmp(leaf, "flux")) return sign * flux;
    if (!strcmp(leaf, "flux_err")) return flux * c->err[i] * NJ_RELATIVE_FLUX_PER_MAG;
    if (!strcmp(leaf, "limit_mag")) return c->limit[i];
    if (!strcmp(leaf, "band") || !strcmp(leaf, "fid")) return c->band[i];
    if (!strcmp(leaf, "positive")) return which == LIMITS ? NAN : c->positive[i];
    if (!strcmp(leaf, "rb")) return which == LIMITS ? NAN : which == ARTEFACT ? 0.1 : 0.9;
    if (!strcmp(leaf, "candid")) return which == LIMITS ? NAN : 1 + i;
    if (!strcmp(leaf, "ref_dist")) return 5;
    if (!strcmp(leaf, "ref_mag")) return 20;
    if (!strcmp(leaf, "ref_mag_err")) return 0.05;
    return 0.5;
}

static double scalar_value(const char *path, const lc *c, negative which)
{
    if (!strcmp(path, "jd")) return c->jd[c->n - 1];
    if (!strcmp(path, "first_jd") || strstr(path, "jdstarthist")) return c->jd[0];
    if (!strcmp(path, "ndethist")) return which == LIMITS ? 0 : c->n;
    if (!strcmp(path, "roid.roid")) return which == MOVING ? 3 : 0;
    if (!strcmp(path, "gal_b")) return 50;
    if (!strcmp(path, "mag")) return c->mag[c->n - 1];
    if (!strcmp(path, "mag_err")) return c->err[c->n - 1];
    if (!strcmp(path, "rb") || !strcmp(path, "drb")) return which == ARTEFACT ? 0.1 : 0.9;
    return strstr(path, "dist") ? 8 : strstr(path, "mag") ? 20 : 0.5;
}

static void fill(nj_made_batch *b, uint32_t k, const lc *c, negative which)
{
    const nj_need *need = &b->in->need[k];
    const bool series = need->shape == NJ_SERIES;
    const uint32_t n = series ? c->n : 1;
    if (need->shape == NJ_IMAGE) return;
    void *data = nj_arena_zalloc(&b->arena, (n + 1) * nj_type_size(need->type));
    uint32_t *off = nj_arena_zalloc(&b->arena, 2 * sizeof *off);
    off[1] = n;
    for (uint32_t i = 0; i < n; i++) {
        if (need->type == NJ_STR)
            ((const char **)data)[i] = "Unknown";
        else
            nj_made_store(need->type, data, i,
                          series ? series_value(need->path, c, which, i)
                                 : scalar_value(need->path, c, which));
    }
    b->col[k] = (nj_col){ data, series ? off : NULL };
}

/* --- the answers --- */

static bool is_known(const char *instance)
{
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strcmp(known[k], instance)) return true;
    return false;
}

/* Prints the scores; how many are above their threshold and not listed. */
static uint32_t one(const nj_instance *in, nj_made_thread *t, negative which)
{
    const nj_made_row row = { NJ_MADE_TYPICAL, 1 };
    const lc c = make(which, strcmp(in->module->name, "microlensing") ? 14 : MOST); /* it wants 10 a band */
    nj_made_batch b;
    uint32_t high = 0;
    char text[512] = "";
    assert_int_equal(nj_made_begin(&b, in, &row, 1), 0);
    for (uint32_t k = 0; k < in->n_needs; k++) fill(&b, k, &c, which);
    assert_int_equal(nj_made_clear(&b), 0);
    assert_int_equal(nj_made_call_all(&b, t, in->module->process, 1), NJ_OK);
    for (uint32_t g = 0; g < in->n_gives; g++) {
        if (isnan(in->give[g].flag_above) || in->give[g].type == NJ_STR) continue;
        const double v = nj_number(in->give[g].type, b.out[g], 0);
        const size_t n = strlen(text);
        if (isnan(v)) continue;
        snprintf(text + n, sizeof text - n, " %s %.3f%s", in->give[g].name, v,
                 v > in->give[g].flag_above ? " HIGH" : "");
        high += v > in->give[g].flag_above && !is_known(in->name);
    }
    print_message("# %-18s %-9s %s%s\n", in->name, negative_name[which], nj_reason_name[b.reason[0]], text);
    nj_made_free(&b);
    return high;
}

static void nothing_scores_high(void **state)
{
    (void)state;
    static const char ini[] = "[module.snn_snia_vs_nonia]\nkind = snn\nmodel = snn_snia_vs_nonia\n"
                              "[module.snn_sn_vs_all]\nkind = snn\nmodel = snn_sn_vs_all\n"
                              "[module.rise_decline]\nkind = rise_decline\nmodel = ampel_snguess_ndet\n"
                              "[module.early_tde]\nkind = early_tde\nmodel = early_tde\n"
                              "[module.early_tde_all]\nkind = early_tde\nmodel = early_tde\nall = 1\n"
                              "[module.early_snia_nocut]\nkind = early_snia\ncuts = off\n";
    static const char select[] = "early_tde,early_tde_all,rise_decline,early_snia,early_snia_nocut,kilonova,"
                                 "microlensing,snn_snia_vs_nonia,snn_sn_vs_all";
    const char *shared = getenv("NIGHTJAR_SHARED");
    char path[4096];
    host h;
    uint32_t high = 0, n = 0;
    snprintf(path, sizeof path, "%s/oracles/next/models/early_tde_broad/model.onnx", shared ? shared : "");
    FILE *f = shared ? fopen(path, "r") : NULL;
    if (!f) {
        print_message("no ../shared/oracles/next/models\n");
        skip();
    }
    fclose(f);
    snprintf(path, sizeof path, "%s/real/models/onnx:%s/oracles/next/models", shared, shared);
    open_host(&h, ini, select, path);
    for (uint32_t i = 0; i < h.set.n; i++) {
        const nj_instance *in = &h.set.item[i];
        if (!in->opened || in->module->flags & NJ_MODULE_ADAPTER) continue;
        nj_made_thread t = open_thread(in);
        for (int which = 0; which < NEGATIVES; which++) high += one(in, &t, (negative)which);
        nj_made_thread_close(&t);
        n++;
    }
    close_host(&h);
    assert_int_equal(n, 9);
    assert_int_equal(high, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_scores_high) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
