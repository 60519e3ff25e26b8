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
#include "nightjar/lc.h"
#include "nightjar/scored.h"

enum { JD, MAG, MAG_ERR, BAND, START, NDETHIST, OTYPE };
enum { SCORE };
enum { FEATURES = 10, CLASSES = 2, KILONOVA = 1, VECTORS = 1, ALERTS = 32 };

typedef struct state {
    nj_scored scored;
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

/* --- one alert --- */

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

static int features(const void *self, const nj_work *w, uint32_t row, float *x)
{
    double *work = w->scratch(w, (3 * (size_t)nj_points(w, MAG, row) + 1) * sizeof *work);
    if (!work) return NJ_ENOMEM;
    bool both = band_features(self, w, row, 1, work, x) && band_features(self, w, row, 2, work, x + 5);
    return both ? NJ_DONE : NJ_NO_FIT;
}

static nj_reason answer(const nj_work *w, uint32_t row, const double *out)
{
    nj_put_f64(w, SCORE, row, out[KILONOVA]);
    return NJ_DONE;
}

static const nj_scored_kind kind = { .module = "kilonova",
                                     .n_features = FEATURES,
                                     .width = CLASSES,
                                     .vectors = VECTORS,
                                     .alerts = ALERTS,
                                     .cuts = { .mag = MAG,
                                               .ndethist = NDETHIST,
                                               .otype = OTYPE,
                                               .jd = JD,
                                               .first_jd = START,
                                               .max_ndethist = 20,
                                               .min_points = 2,
                                               .max_age_day = 20 },
                                     .features = features,
                                     .answer = answer };

static int open_model(const nj_host *host, const void *conf, void **self)
{
    const nj_scored_conf *c = conf;
    int rc = nj_scored_open(host, &kind, c->model, NULL, c->cuts, sizeof(state), self);
    if (rc != NJ_OK) return rc;
    rc = read_components(host, c->model, *self);
    if (rc != NJ_OK) nj_scored_close(*self);
    return rc;
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
    .params = (const nj_param[]){ NJ_SCORED_PARAMS("kilonova"), { 0 } },
    .conf_size = sizeof(nj_scored_conf),
    .rows_hint = ALERTS,
    .open = open_model,
    NJ_SCORED_CALLS(ALERTS, VECTORS, FEATURES, CLASSES)
};
