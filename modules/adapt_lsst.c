/* adapt_lsst.c - canonical columns of LSST alerts that need arithmetic: AB magnitudes from fluxes. (Their
 * errors: adapt_lsst_err.c, a module of its own, so that a release without errors still has magnitudes.)
 *
 * Returned: mag, lc.mag of the absolute difference flux (its sign is `positive`),
 * as ZTF publishes them; mjd_tai_mid.
 * Notes: mag = 31.4 - 2.5 log10 |flux / nJy|. A flux of 0 or none has no magnitude.
 * jd is TAI at mid-exposure already.
 * Reference: Oke & Gunn 1983, ApJ 266, 713 (AB system: 3631 Jy at magnitude 0, so 31.4 for nJy to 1.3 mmag;
 * the exact zero point is used). */
#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { FLUX, JD, LC_FLUX };
enum { MAG, MJD_TAI_MID, LC_MAG };

static double mag_of(double flux_njy)
{
    return flux_njy != 0 ? -2.5 * log10(fabs(flux_njy) / NJ_NJY_OF_MAG0) : NJ_NO_F64;
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k], n = nj_points(w, LC_FLUX, row), at = n ? w->in[LC_FLUX]->off[row] : 0;
        nj_put_f64(w, MAG, row, mag_of(nj_f64_of(w, FLUX, row)));
        nj_put_f64(w, MJD_TAI_MID, row, nj_f64_of(w, JD, row) - 2400000.5);
        const double *flux = nj_f64_series(w, LC_FLUX, row);
        double *mag = w->out[LC_MAG];
        for (uint32_t i = 0; i < n && mag; i++) mag[at + i] = mag_of(flux[i]);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_lsst) = {
    NJ_HEADER,
    .name = "adapt_lsst",
    .version = "1.0",
    .summary = "canonical columns of LSST alerts that need arithmetic",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "lsst",
    .needs = (const nj_need[]){ { "flux", NJ_F64, NJ_SCALAR, "nJy", NJ_NEED_OPTIONAL },
                                { "jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL },
                                { "lc.flux", NJ_F64, NJ_SERIES, "nJy", 0 },
                                { 0 } },
    .gives = (const nj_give[]){ { "mag", NJ_F64, 1, -1, "mag", -INFINITY, INFINITY, NAN, NJ_GIVE_CANONICAL,
                                  "AB magnitude of the absolute difference flux; none without one" },
                                { "mjd_tai_mid", NJ_F64, 1, -1, "d", -INFINITY, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL, "MJD (TAI) at mid-exposure" },
                                { "lc.mag", NJ_F64, 0, LC_FLUX, "mag", -INFINITY, INFINITY, NAN,
                                  NJ_GIVE_CANONICAL,
                                  "AB magnitudes of the light curve; none where there is no flux" },
                                { 0 } },
    .process = process
};
