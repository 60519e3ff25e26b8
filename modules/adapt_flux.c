/* adapt_flux.c - canonical columns of alerts whose detection has a magnitude and whose light curve has fluxes
 * (Babamul's): the light curve's magnitudes.
 *
 * Returned: lc.mag, lc.mag_err of the absolute difference flux (its sign is lc.positive), as ZTF publishes
 * them.
 * Notes: mag = 31.4 - 2.5 log10 |flux / nJy|; mag_err = 2.5 / ln 10 * flux_err / |flux|. None without a flux,
 * with a flux of 0, or with a negative error.
 * Reference: Oke & Gunn 1983, ApJ 266, 713 (AB system: 3631 Jy at magnitude 0; the exact zero point is
 * used). */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { FLUX, FLUX_ERR };
enum { MAG, MAG_ERR };

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = nj_points(w, FLUX, row), at = n ? w->in[FLUX]->off[row] : 0;
        const double *flux = nj_f64_series(w, FLUX, row), *err = nj_f64_series(w, FLUX_ERR, row);
        double *mag = w->out[MAG], *mag_err = w->out[MAG_ERR];
        for (uint32_t i = 0; i < n; i++) {
            const int none = !(flux[i] != 0) || isnan(flux[i]);
            if (mag) mag[at + i] = none ? NJ_NO_F64 : -2.5 * log10(fabs(flux[i]) / NJ_NJY_OF_MAG0);
            if (mag_err)
                mag_err[at + i] =
                    none || !(err[i] >= 0) ? NJ_NO_F64 : NJ_MAG_PER_RELATIVE_FLUX * err[i] / fabs(flux[i]);
        }
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_flux) = {
    NJ_HEADER,
    .name = "adapt_flux",
    .version = "1.0",
    .summary = "canonical columns of alerts whose light curve has fluxes alone",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "babamul, babamul_lsst",
    .needs = (const nj_need[]){ { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { "lc.flux_err", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "lc.mag", NJ_F64, 0, FLUX, "mag", -INFINITY, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL,
                                  "AB magnitudes of the light curve; none where there is no flux" },
                                { "lc.mag_err", NJ_F64, 0, FLUX, "mag", 0, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "their errors" },
                                { 0 } },
    .process = process
};
