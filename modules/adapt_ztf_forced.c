/* adapt_ztf_forced.c - canonical columns of ZTF alerts that need arithmetic: magnitudes of the forced
 * photometry.
 *
 * Returned: fp.mag, fp.mag_err of the absolute difference flux, 1 sigma.
 * Notes: mag = zero point - 2.5 log10 |flux|. A point below any significance has a magnitude too, and a
 *   large error: whoever wants detections asks for a small one (0.36 mag is 3 sigma). None without a flux,
 *   with a flux of 0, or without an error above 0.
 * Reference: Masci et al. 2019, PASP 131, 018003 (forced fluxes are in DN of the difference image). */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { FLUX, FLUX_ERR, ZP };
enum { MAG, MAG_ERR };

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        const uint32_t row = w->row[k], n = nj_points(w, FLUX, row), at = n ? w->in[FLUX]->off[row] : 0;
        double *mag = w->out[MAG], *mag_err = w->out[MAG_ERR];
        if (mag && mag_err)
            nj_mags_of_fluxes(n, nj_f64_series(w, FLUX, row), nj_f64_series(w, FLUX_ERR, row),
                              nj_f64_series(w, ZP, row), mag + at, mag_err + at);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_ztf_forced) = {
    NJ_HEADER,
    .name = "adapt_ztf_forced",
    .version = "1.0",
    .summary = "canonical columns of ZTF alerts: magnitudes of the forced photometry",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "ztf",
    .needs = (const nj_need[]){ { "fp.flux", NJ_F64, NJ_SERIES, "DN", 0 },
                                { "fp.flux_err", NJ_F64, NJ_SERIES, "DN", 0 },
                                { "fp.zp", NJ_F64, NJ_SERIES, "mag", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "fp.mag", NJ_F64, 0, FLUX, "mag", -INFINITY, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL,
                                  "magnitudes of the absolute forced fluxes; none without flux or error" },
                                { "fp.mag_err", NJ_F64, 0, FLUX, "mag", 0, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "their 1-sigma errors" },
                                { 0 } },
    .process = process
};
