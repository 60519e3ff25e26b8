/* adapt_lsst_forced.c - canonical columns of LSST alerts that need arithmetic: magnitudes of the forced
 * photometry.
 *
 * Returned: fp.mag, fp.mag_err of the absolute difference flux, 1 sigma.
 * Notes: as adapt_ztf_forced.c; the zero point is that of adapt_lsst.c. None without a flux, with a flux
 *   of 0, or without an error above 0.
 * Reference: Oke & Gunn 1983, ApJ 266, 713. */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { FLUX, FLUX_ERR };
enum { MAG, MAG_ERR };

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        const uint32_t row = w->row[k], n = nj_points(w, FLUX, row), at = n ? w->in[FLUX]->off[row] : 0;
        double *mag = w->out[MAG], *mag_err = w->out[MAG_ERR];
        if (mag && mag_err)
            nj_mags_of_fluxes(n, nj_f64_series(w, FLUX, row), nj_f64_series(w, FLUX_ERR, row), NULL, mag + at,
                              mag_err + at);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_lsst_forced) = {
    NJ_HEADER,
    .name = "adapt_lsst_forced",
    .version = "1.0",
    .summary = "canonical columns of LSST alerts: magnitudes of the forced photometry",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "lsst",
    .needs = (const nj_need[]){ { "fp.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "fp.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "fp.mag", NJ_F64, 0, FLUX, "mag", -INFINITY, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL,
                                  "AB magnitudes of the absolute forced fluxes; none without flux or error" },
                                { "fp.mag_err", NJ_F64, 0, FLUX, "mag", 0, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "their 1-sigma errors" },
                                { 0 } },
    .process = process
};
