/* microlensing.c - classifies microlensing events: 47 statistics of the flux per band, and a forest of four
 * classes.
 *
 * Given: apparent magnitudes (difference plus reference) of g and r.
 * Cuts (cuts = fink): fewer than 100 detections in
 *   the survey's history, at least 20 in the packet.
 * Returned: the mean of P(ML) over the two bands when ML is the most probable class in both, else 0;
 * no answer when a
 *   band has fewer than 10 detections.
 * Notes: a detection without an apparent magnitude (no reference,
 * negative flux) spoils all statistics of its band, as
 *   upstream: modules/kit/num/flux_features.c.
 * Reference: Godines et al. 2019, Astronomy and Computing 28, 100298, doi:10.1016/j.ascom.2019.100298. */
#include <stdbool.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/scored.h"

enum { MAG, MAG_ERR, BAND, REF_MAG, REF_MAG_ERR, POSITIVE, NDETHIST };
enum { SCORE };
enum { CONSTANT, CV, ML, VARIABLE, CLASSES };
enum { FEATURES = NJ_FLUX_FEATURES, VECTORS = 2, ALERTS = 16 }; /* g and r of an alert */
enum { LEAST = 10 };

/* Apparent magnitudes and errors of the band's detections; returns how many there are. */
static uint32_t take_band(const nj_work *w, uint32_t row, int32_t fid, double *mag, double *err)
{
    uint32_t n = nj_points(w, MAG, row), k = 0;
    const double *m = nj_f64_series(w, MAG, row), *s = nj_f64_series(w, MAG_ERR, row);
    const double *ref = nj_f64_series(w, REF_MAG, row), *ref_err = nj_f64_series(w, REF_MAG_ERR, row);
    const uint8_t *positive = nj_u8_series(w, POSITIVE, row);
    const int32_t *of = nj_i32_series(w, BAND, row);
    for (uint32_t i = 0; i < n; i++) {
        if (of[i] != fid || isnan(m[i])) continue;
        nj_dc dc = ref && ref_err ? nj_dc_flux(m[i], s[i], ref[i], ref_err[i], positive[i] == 1)
                                  : (nj_dc){ NAN, NAN };
        mag[k] = nj_mag_of_flux(dc.flux);
        err[k++] = dc.sigma / dc.flux * 1.0857;
    }
    return k;
}

static bool is_lensed(const double *p)
{
    return p[ML] > p[CONSTANT] && p[ML] > p[CV] && p[ML] >= p[VARIABLE]; /* the first of equals is
                                                                          * the class */
}

static void band_features(uint32_t n, const double *mag, const double *err, double *work, float *x)
{
    double out[FEATURES];
    nj_flux_features(n, mag, err, work, out);
    for (int k = 0; k < FEATURES; k++) x[k] = (float)out[k];
}

static int features(const void *self, const nj_work *w, uint32_t row, float *x)
{
    const uint32_t n = nj_points(w, MAG, row);
    (void)self;
    double *mag = w->scratch(w, 9 * (size_t)(n + 1) * sizeof *mag);
    if (!mag) return NJ_ENOMEM;
    double *err = mag + n, *mag_r = err + n, *err_r = mag_r + n;
    uint32_t n_g = take_band(w, row, 1, mag, err), n_r = take_band(w, row, 2, mag_r, err_r);
    if (n_g < LEAST || n_r < LEAST) return NJ_FEW_POINTS;
    band_features(n_g, mag, err, err_r + n, x);
    band_features(n_r, mag_r, err_r, err_r + n, x + FEATURES);
    return NJ_DONE;
}

static nj_reason answer(const nj_work *w, uint32_t row, const double *g)
{
    const double *r = g + CLASSES;
    nj_put_f64(w, SCORE, row, is_lensed(g) && is_lensed(r) ? 0.5 * (g[ML] + r[ML]) : 0);
    return NJ_DONE;
}

static const nj_scored_kind kind = { .module = "microlensing",
                                     .n_features = FEATURES,
                                     .width = CLASSES,
                                     .vectors = VECTORS,
                                     .alerts = ALERTS,
                                     .cuts = { .mag = MAG,
                                               .ndethist = NDETHIST,
                                               .otype = NJ_SCORED_NONE,
                                               .jd = NJ_SCORED_NONE,
                                               .first_jd = NJ_SCORED_NONE,
                                               .max_ndethist = 99,
                                               .min_points = 20 },
                                     .features = features,
                                     .answer = answer };

static int open_model(const nj_host *host, const void *conf, void **self)
{
    const nj_scored_conf *c = conf;
    return nj_scored_open(host, &kind, c->model, NULL, c->cuts, sizeof(nj_scored), self);
}

#define LC(name, flags)                                                                                      \
    {                                                                                                        \
        "lc." name, NJ_F64, NJ_SERIES, "mag", flags                                                          \
    }
NJ_MODULE(microlensing) = {
    NJ_HEADER,
    .name = "microlensing",
    .version = "1.0",
    .summary = "probability of microlensing, from statistics of both bands",
    .paper = "doi:10.1016/j.ascom.2019.100298",
    .needs = (const nj_need[]){ LC("mag", 0),
                                LC("mag_err", 0),
                                { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                LC("ref_mag", NJ_NEED_OPTIONAL),
                                LC("ref_mag_err", NJ_NEED_OPTIONAL),
                                { "lc.positive", NJ_U8, NJ_SERIES, "1", 0 },
                                { "ndethist", NJ_I32, NJ_SCALAR, "1", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "score", NJ_F64, 1, -1, "1", 0, 1, 0, 0,
                                  "mean P(ML) of g and r, 0 unless ML wins in both; none when cut or with "
                                  "fewer than 10 detections in a band" },
                                { 0 } },
    .params = (const nj_param[]){ NJ_SCORED_PARAMS("microlensing"), { 0 } },
    .conf_size = sizeof(nj_scored_conf),
    .rows_hint = 2 * ALERTS,
    .open = open_model,
    NJ_SCORED_CALLS(ALERTS, VECTORS, FEATURES, CLASSES)
};
