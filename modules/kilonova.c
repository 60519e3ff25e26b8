/* kilonova.c - classifies kilonovae: three light-curve components are fitted per band, and a forest scores
 * the coefficients.
 *
 * Given: FLUXCAL light curves of g and r. Cuts (cuts = fink):
 * at least 2 detections, at most 20 in the survey's history,
 *   less than 20 d since its start, and a SIMBAD label that can be extragalactic.
 * Returned: P(kilonova), the mean over the trees; no answer when one of the two bands was not fitted,
 * or c_1 is 0 there.
 * Notes: the fit is exact where Fink's stops early (modules/kit/num/component_fit.c);
 * the model and the table of
 *   components are files of the model's folder (interpolated_mixed_pcs.csv: day, pc1, pc2, pc3).
 * Reference: Biswas et al. 2023, A&A 677, A77, doi:10.1051/0004-6361/202245340. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/csv.h"
#include "nightjar/forest.h"
#include "nightjar/lc.h"

enum { JD, MAG, MAG_ERR, BAND, START, NDETHIST, OTYPE };
enum { SCORE };
enum { FEATURES = 10, CLASSES = 2, KILONOVA = 1 };

typedef struct conf {
    const char *model, *cuts;
} conf;

typedef struct state {
    nj_forest forest; /* first: the table's entries of forest.h look for it there */
    bool cuts;
    double component[NJ_COMPONENTS * NJ_COMPONENT_BINS];
} state;

/* --- opening --- */

static int read_components(const nj_host *host, const char *folder, state *s)
{
    char name[512];
    const void *bytes;
    size_t n;
    snprintf(name, sizeof name, "%s/interpolated_mixed_pcs.csv", folder);
    if (host->data(host->opaque, name, &bytes, &n) != NJ_OK) { /* the folder is here,
                                                                * so the model is incomplete */
        host->log(host->opaque, 0, "kilonova: %s is not on the data path", name);
        return NJ_ECONF;
    }
    nj_csv csv = { .at = bytes, .end = (const char *)bytes + n };
    uint32_t bins = 0;
    int good = nj_csv_row(&csv) == 1 && csv.n == 1 + NJ_COMPONENTS;
    while (good && nj_csv_row(&csv) == 1) {
        good = csv.n == 1 + NJ_COMPONENTS && bins < NJ_COMPONENT_BINS &&
               strtod(csv.cell[0], NULL) == (bins - (double)(NJ_COMPONENT_BINS / 2)) * NJ_COMPONENT_STEP_D;
        for (uint32_t k = 0; good && k < NJ_COMPONENTS; k++)
            s->component[k * NJ_COMPONENT_BINS + bins] = strtod(csv.cell[1 + k], NULL);
        bins += good;
    }
    nj_csv_free(&csv);
    if (good && bins == NJ_COMPONENT_BINS) return NJ_OK;
    host->log(host->opaque, 0, "kilonova: %s:%u: expected %d rows day,pc1,pc2,pc3 in steps of %g d", name,
              csv.line, NJ_COMPONENT_BINS, NJ_COMPONENT_STEP_D);
    return NJ_ECONF;
}

static int open_model(const nj_host *host, const void *conf_, void **self)
{
    const conf *c = conf_;
    state *s = host->alloc(host->opaque, sizeof *s);
    if (!s) return NJ_ENOMEM;
    if (nj_forest_cuts(host, "kilonova", c->cuts, &s->cuts)) return NJ_ECONF;
    int rc = nj_forest_open(&s->forest, host, c->model, FEATURES, CLASSES);
    if (rc == NJ_OK) rc = read_components(host, c->model, s);
    if (rc == NJ_OK)
        *self = s;
    else
        nj_forest_close(&s->forest);
    return rc;
}

/* --- one alert --- */

static nj_reason cut(const nj_work *w, uint32_t row)
{
    uint32_t n = nj_points(w, MAG, row), n_valid = 0;
    const double *mag = nj_f64_series(w, MAG, row), *jd = nj_f64_series(w, JD, row);
    int32_t ndethist = nj_i32_of(w, NDETHIST, row);
    double start = nj_f64_of(w, START, row);
    if (ndethist == NJ_NO_I32 || isnan(start) || !n) return NJ_NO_INPUT;
    if (ndethist > 20 || !(jd[n - 1] - start < 20) || !nj_may_be_extragalactic(nj_text_of(w, OTYPE, row)))
        return NJ_CUT;
    for (uint32_t i = 0; i < n; i++) n_valid += !isnan(mag[i]);
    return n_valid > 1 ? NJ_DONE : NJ_FEW_POINTS;
}

/* The features of one band; false = not fitted. */
static bool band_features(const state *s, const nj_work *w, uint32_t row, int32_t fid, double *work, float *x)
{
    uint32_t n = nj_points(w, MAG, row), k = 0;
    const double *jd = nj_f64_series(w, JD, row), *mag = nj_f64_series(w, MAG, row),
                 *err = nj_f64_series(w, MAG_ERR, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    double *t = work, *flux = work + n, *flux_err = flux + n;
    for (uint32_t i = 0; i < n; i++) {
        if (of[i] != fid || isnan(mag[i]) || !(err[i] > 0)) continue;
        t[k] = jd[i];
        flux[k] = nj_fluxcal_of_mag(mag[i]);
        flux_err[k++] = nj_fluxcal_err_of_mag(mag[i], err[i]);
    }
    nj_component_fit f;
    nj_component_fit_flux(k, t, flux, flux_err, s->component, &f);
    const double value[] = { f.c[0], f.c[1], f.c[2], f.residual, f.max_flux };
    for (int i = 0; i < 5; i++) x[i] = (float)value[i];
    return f.fitted && f.c[0] != 0;
}

static int all(const state *s, nj_forest_rows *rows, const nj_work *w, int reference)
{
    int rc = NJ_OK;
    rows->n = 0;
    for (uint32_t k = 0; k < w->n && rc == NJ_OK; k++) {
        uint32_t row = w->row[k];
        nj_reason why = s->cuts ? cut(w, row) : NJ_DONE;
        w->reason[row] = (uint8_t)why;
        if (why != NJ_DONE) continue;
        double *work = w->scratch(w, (3 * (size_t)nj_points(w, MAG, row) + 1) * sizeof *work);
        if (!work) return NJ_ENOMEM;
        float x[FEATURES];
        bool g = band_features(s, w, row, 1, work, x), r = g && band_features(s, w, row, 2, work, x + 5);
        w->reason[row] = NJ_NO_FIT;
        if (!r) continue;
        memcpy(nj_forest_add(&s->forest, rows, row), x, sizeof x);
        if (rows->n == NJ_FOREST_ROWS) rc = nj_forest_score(&s->forest, rows, w, SCORE, KILONOVA, reference);
    }
    return rc == NJ_OK ? nj_forest_score(&s->forest, rows, w, SCORE, KILONOVA, reference) : rc;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 0);
}

/* The forest by its plain kernels; the fit has its own plain version and test (tests/kernel/lc.c). */
static int process_ref(const void *self, void *thread, const nj_work *w)
{
    return all(self, thread, w, 1);
}

NJ_MODULE(kilonova) = {
    NJ_HEADER,
    .name = "kilonova",
    .version = "1.0",
    .summary = "probability of a kilonova, from components of the light curve",
    .paper = "doi:10.1051/0004-6361/202245340",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.mag_err", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { "first_jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL },
                                { "ndethist", NJ_I32, NJ_SCALAR, "1", 0 },
                                { "simbad.otype", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },
                                { 0 } },
    .gives =
        (const nj_give[]){ { "score", NJ_F64, 1, -1, "1", 0, 1, 0.5, 0,
                             "probability of a kilonova; none when cut or when a band could not be fitted" },
                           { 0 } },
    .params = (const nj_param[]){ { "model", NJ_STR, "kilonova", offsetof(conf, model), 0, 0, "1",
                                    "folder of the forest and of its components" },
                                  { "cuts", NJ_STR, "fink", offsetof(conf, cuts), 0, 0, "1",
                                    "fink: the broker's cuts before the fit; off: none" },
                                  { 0 } },
    .conf_size = sizeof(conf),
    .thread_size = sizeof(nj_forest_rows),
    .rows_hint = NJ_FOREST_ROWS,
    .open = open_model,
    .thread_open = nj_forest_self_thread_open,
    .process = process,
    .process_ref = process_ref,
    .thread_close = nj_forest_self_thread_close,
    .close = nj_forest_self_close
};
