/* adapt_lsst_err.c - canonical columns of LSST alerts: errors of the magnitudes that adapt_lsst.c makes of
 * fluxes.
 *
 * Returned: mag_err, lc.mag_err, 1 sigma.
 * Notes: mag_err = 2.5 / ln 10 * flux_err / |flux|,
 * which is a 1-sigma error only where flux_err is small against the flux. None
 *   without a flux, with a flux of 0, or with a negative error.
 * Reference: propagation of errors through m = -2.5 log10 f, to first order. */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { FLUX, FLUX_ERR, LC_FLUX, LC_FLUX_ERR };
enum { MAG_ERR, LC_MAG_ERR };

static double mag_err_of(double flux, double err)
{
    return flux != 0 && err >= 0 ? NJ_MAG_PER_RELATIVE_FLUX * err / fabs(flux) : NJ_NO_F64;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = nj_points(w, LC_FLUX, row), at = n ? w->in[LC_FLUX]->off[row] : 0;
        nj_put_f64(w, MAG_ERR, row, mag_err_of(nj_f64_of(w, FLUX, row), nj_f64_of(w, FLUX_ERR, row)));
        const double *flux = nj_f64_series(w, LC_FLUX, row), *err = nj_f64_series(w, LC_FLUX_ERR, row);
        double *out = w->out[LC_MAG_ERR];
        for (uint32_t i = 0; i < n && out; i++) out[at + i] = mag_err_of(flux[i], err[i]);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_lsst_err) = {
    NJ_HEADER,
    .name = "adapt_lsst_err",
    .version = "1.0",
    .summary = "canonical columns of LSST alerts: errors of magnitudes",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "lsst",
    .needs = (const nj_need[]){ { "flux", NJ_F64, NJ_SCALAR, "nJy", NJ_NEED_OPTIONAL },
                                { "flux_err", NJ_F64, NJ_SCALAR, "nJy", NJ_NEED_OPTIONAL },
                                { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "mag_err", NJ_F64, 1, -1, "mag", 0, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "1-sigma error of mag; none without a flux" },
                                { "lc.mag_err", NJ_F64, 0, LC_FLUX, "mag", 0, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL,
                                  "errors of the light curve's magnitudes; none where there is no flux" },
                                { 0 } },
    .process = process
};
