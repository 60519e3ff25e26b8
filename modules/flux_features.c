/* flux_features.c - 26 features of the light curve in fluxes, for each of the bands u g r i z y.
 *
 * Given: the light curve, fluxes of the difference image with their errors;
 * points whose error is not above 1e-9 nJy, or
 *   whose numbers are beyond 1e15 nJy (-6 mag), are left out.
 * Returned: NaN where a feature is undefined; a band without points has none. Of several points of the same
 * time the first in order
 *   of time is kept, whatever its band.
 * Notes: what Fink computes for Rubin's alerts (features.c is what it computes for ZTF's: magnitudes, bands g
 * and r). Points of negative
 *   flux take part: they have no magnitude.
 * Reference: nightjar/lc.h, modules/kit/num/lc_features.c. */
#include "nightjar/column.h"
#include "nightjar/lc.h"
#include "nightjar/lc_gives.h"

enum { JD, FLUX, FLUX_ERR, BAND };
enum { BANDS = 6 };
static const double least_njy = 1e-9, most_njy = 1e15;

typedef void (*features_of)(uint32_t, const double *, const double *, const double *, double *, double *);

/* The points that are complete, in order of time, one for each time. */
static uint32_t take_points(const nj_work *w, uint32_t row, uint32_t *order)
{
    uint32_t n = nj_points(w, FLUX, row), n_taken = 0;
    const double *jd = nj_f64_series(w, JD, row), *flux = nj_f64_series(w, FLUX, row),
                 *err = nj_f64_series(w, FLUX_ERR, row);
    nj_order_f64(jd, n, order); /* NaN last */
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = order[k];
        if (!isfinite(jd[i]) || !(fabs(flux[i]) < most_njy) || !(err[i] > least_njy && err[i] < most_njy))
            continue;
        if (n_taken && jd[order[n_taken - 1]] == jd[i]) continue;
        order[n_taken++] = i;
    }
    return n_taken;
}

static int one(const nj_work *w, uint32_t row, features_of features)
{
    uint32_t n = nj_points(w, FLUX, row);
    const double *jd = nj_f64_series(w, JD, row), *flux = nj_f64_series(w, FLUX, row),
                 *err = nj_f64_series(w, FLUX_ERR, row);
    const int32_t *band = nj_i32_series(w, BAND, row);
    uint32_t *order = w->scratch(w, (n + 1) * sizeof *order);
    double *column = w->scratch(w, (n + 1) * 5 * sizeof *column), out[NJ_LC_FEATURES];
    if (!order || !column) return NJ_ENOMEM;
    double *t = column, *f = t + n, *e = f + n, *work = e + n;
    uint32_t n_taken = take_points(w, row, order);
    w->reason[row] = NJ_FEW_POINTS;
    for (int32_t b = 0; b < BANDS; b++) {
        uint32_t m = 0;
        for (uint32_t k = 0; k < n_taken; k++) {
            if (band[order[k]] != b) continue;
            t[m] = jd[order[k]];
            f[m] = flux[order[k]];
            e[m++] = err[order[k]];
        }
        if (!m) continue;
        features(m, t, f, e, work, out);
        for (uint32_t k = 0; k < NJ_LC_FEATURES; k++)
            nj_put_f64(w, (uint32_t)b * NJ_LC_FEATURES + k, row, out[k]);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

static int all(const nj_work *w, features_of features)
{
    for (uint32_t k = 0; k < w->n; k++) {
        int rc = one(w, w->row[k], features);
        if (rc != NJ_OK) return rc;
    }
    return NJ_OK;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    return all(w, nj_lc_features);
}

static int process_ref(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    return all(w, nj_lc_features_plain);
}

#define BLOCK(b) NJ_LC_GIVES(b, "nJy", "flux")

NJ_MODULE(flux_features) = { NJ_HEADER,
                             .name = "flux_features",
                             .version = "1.0",
                             .summary = "26 features of the fluxes, per band u g r i z y",
                             .paper = "doi:10.1093/mnras/stab316",
                             .needs = (const nj_need[]){ { "lc.jd", NJ_F64, NJ_SERIES, "d", 0 },
                                                         { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                                         { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                                         { "lc.band", NJ_I32, NJ_SERIES, "1", 0 },
                                                         { 0 } },
                             .gives = (const nj_give[]){ BLOCK("u") BLOCK("g") BLOCK("r") BLOCK("i")
                                                             BLOCK("z") BLOCK("y"){ 0 } },
                             .process = process,
                             .process_ref = process_ref };
