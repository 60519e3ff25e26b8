/* early_snia.c - classifies young type Ia supernovae: a logistic rise is fitted per band, and a forest
 * scores its parameters.
 *
 * Given: FLUXCAL light curves of g and r in nightly means.
 * Cuts (cuts = fink): at least 4 detections, at most 20 in the
 *   survey's history, and a SIMBAD label that can be extragalactic.
 * Returned: P(early SN Ia), the mean over the trees;
 * no answer when one of the two bands has fewer than 4 nights or does
 *   not rise.
 * Notes: modules/kit/num/rise_fit.c says where the fit is not unique.
 * Reference: Leoni et al. 2022, A&A 663, A13, doi:10.1051/0004-6361/202142715. */
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/scored.h"

enum { JD, MAG, MAG_ERR, BAND, NDETHIST, OTYPE };
enum { SCORE };
enum { FEATURES = 12, CLASSES = 2, EARLY = 1, VECTORS = 1, ALERTS = 32 };

typedef struct area { /* work areas for n points */
    double *jd, *flux, *err, *day, *mean, *mean_err, *fit;
    uint32_t *order;
} area;

static int open_area(const nj_work *w, uint32_t n, area *a)
{
    a->jd = w->scratch(w, 14 * (size_t)(n + 1) * sizeof(double));
    a->order = w->scratch(w, (size_t)(n + 1) * sizeof *a->order);
    if (!a->jd || !a->order) return NJ_ENOMEM;
    a->flux = a->jd + n;
    a->err = a->flux + n;
    a->day = a->err + n;
    a->mean = a->day + n;
    a->mean_err = a->mean + n;
    a->fit = a->mean_err + n;
    return NJ_OK;
}

/* The features of one band; false = not fitted. */
static bool band_features(const nj_work *w, uint32_t row, int32_t fid, const area *a, float *x)
{
    uint32_t n = nj_points(w, MAG, row), k = 0;
    const double *jd = nj_f64_series(w, JD, row), *mag = nj_f64_series(w, MAG, row),
                 *err = nj_f64_series(w, MAG_ERR, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    for (uint32_t i = 0; i < n; i++) {
        if (of[i] != fid || isnan(mag[i]) || isnan(jd[i])) continue;
        a->jd[k] = jd[i];
        a->flux[k] = nj_fluxcal_of_mag(mag[i]);
        a->err[k++] = nj_fluxcal_err_of_mag(mag[i], err[i]);
    }
    nj_rise rise;
    nj_order_f64(a->jd, k, a->order);
    uint32_t nights = nj_night_means(k, a->jd, a->flux, a->err, a->order, a->day, a->mean, a->mean_err);
    nj_rise_fit(nights, a->day, a->mean, a->mean_err, a->fit, &rise);
    const double value[] = { rise.a, rise.b, rise.c, rise.snratio, rise.mse, rise.n_nights };
    for (int i = 0; i < 6; i++) x[i] = (float)value[i];
    return rise.fitted && rise.a != 0;
}

static int features(const void *self, const nj_work *w, uint32_t row, float *x)
{
    area a;
    (void)self;
    if (open_area(w, nj_points(w, MAG, row), &a)) return NJ_ENOMEM;
    return band_features(w, row, 1, &a, x) && band_features(w, row, 2, &a, x + 6) ? NJ_DONE : NJ_NO_FIT;
}

static nj_reason answer(const nj_work *w, uint32_t row, const double *out)
{
    nj_put_f64(w, SCORE, row, out[EARLY]);
    return NJ_DONE;
}

static const nj_scored_kind kind = { .module = "early_snia",
                                     .n_features = FEATURES,
                                     .width = CLASSES,
                                     .vectors = VECTORS,
                                     .alerts = ALERTS,
                                     .cuts = { .mag = MAG,
                                               .ndethist = NDETHIST,
                                               .otype = OTYPE,
                                               .jd = NJ_SCORED_NONE,
                                               .first_jd = NJ_SCORED_NONE,
                                               .max_ndethist = 20,
                                               .min_points = 4 },
                                     .features = features,
                                     .answer = answer };

static int open_model(const nj_host *host, const void *conf, void **self)
{
    const nj_scored_conf *c = conf;
    return nj_scored_open(host, &kind, c->model, NULL, c->cuts, sizeof(nj_scored), self);
}

NJ_MODULE(early_snia) = {
    NJ_HEADER,
    .name = "early_snia",
    .version = "1.0",
    .summary = "probability of a young type Ia supernova, from its rise",
    .paper = "doi:10.1051/0004-6361/202142715",
    .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.mag_err", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                { "ndethist", NJ_I32, NJ_SCALAR, "1", 0 },
                                { "simbad.otype", NJ_STR, NJ_SCALAR, "", NJ_NEED_OPTIONAL },
                                { 0 } },
    .gives =
        (const nj_give[]){
            { "score", NJ_F64, 1, -1, "1", 0, 1, 0.5, 0,
              "probability of an early type Ia supernova; none when cut or when a band does not rise" },
            { 0 } },
    .params = (const nj_param[]){ NJ_SCORED_PARAMS("early_snia"), { 0 } },
    .conf_size = sizeof(nj_scored_conf),
    .rows_hint = ALERTS,
    .open = open_model,
    NJ_SCORED_CALLS(ALERTS, VECTORS, FEATURES, CLASSES)
};
