/* adapt_ztf.c - canonical columns of ZTF alerts that need arithmetic: fluxes from magnitudes, time at
 * mid-exposure.
 *
 * Returned: lc.flux, lc.flux_err in nJy AB, negative for a negative difference; mjd_tai_mid.
 * Notes: jd is UTC at the start of the exposure: half the exposure time and TAI - UTC are added.
 * Reference: leap seconds: ERFA (SOFA's dat). */
#include <erfa.h>

#include "nightjar/astro.h"
#include "nightjar/column.h"

enum { JD, EXPTIME, MAG, MAG_ERR, POSITIVE };
enum { MJD_TAI_MID, FLUX, FLUX_ERR };

static double mjd_tai_mid(double jd_utc, double exptime_s)
{
    double tai1, tai2;
    /* outside, ERFA's calendar does not hold; NaN fails the comparison too */
    if (!(jd_utc > 2441317.5 && jd_utc < 2500000.5) || !(exptime_s >= 0 && exptime_s < 1e6)) return NJ_NO_F64;
    if (eraUtctai(jd_utc, 0, &tai1, &tai2) < 0) return NJ_NO_F64;
    return (tai1 - 2400000.5) + (tai2 + 0.5 * exptime_s * NJ_DAY_PER_S);
}

static void fluxes(const nj_work *w, uint32_t row)
{
    uint32_t n = nj_points(w, MAG, row), at = n ? w->in[MAG]->off[row] : 0;
    const double *mag = nj_f64_series(w, MAG, row), *err = nj_f64_series(w, MAG_ERR, row);
    const uint8_t *positive = nj_u8_series(w, POSITIVE, row);
    double *flux = w->out[FLUX], *flux_err = w->out[FLUX_ERR];
    for (uint32_t i = 0; i < n && flux && flux_err; i++) {
        if (isnan(mag[i]) || positive[i] == NJ_NO_U8) continue;
        double f = NJ_NJY_OF_MAG0 * nj_flux_of_mag(mag[i]);
        flux[at + i] = positive[i] ? f : -f;
        if (err[i] >= 0) flux_err[at + i] = f * NJ_RELATIVE_FLUX_PER_MAG * err[i];
    }
}

static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self;
    (void)thread;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        nj_put_f64(w, MJD_TAI_MID, row, mjd_tai_mid(nj_f64_of(w, JD, row), nj_f64_of(w, EXPTIME, row)));
        fluxes(w, row);
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}

NJ_MODULE(adapt_ztf) = {
    NJ_HEADER,
    .name = "adapt_ztf",
    .version = "1.0",
    .summary = "canonical columns of ZTF alerts that need arithmetic",
    .paper = "none: definitions",
    .flags = NJ_MODULE_ADAPTER,
    .surveys = "ztf",
    .needs = (const nj_need[]){ { "jd", NJ_F64, NJ_SCALAR, "d", NJ_NEED_OPTIONAL },
                                { "exptime", NJ_F64, NJ_SCALAR, "s", NJ_NEED_OPTIONAL },
                                { "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.mag_err", NJ_F64, NJ_SERIES, "mag", 0 },
                                { "lc.positive", NJ_U8, NJ_SERIES, "1", 0 },
                                { 0 } },
    .gives =
        (const nj_give[]){
            { "mjd_tai_mid", NJ_F64, 1, -1, "d", -INFINITY, INFINITY, NAN, NJ_GIVE_CANONICAL,
              "MJD (TAI) at mid-exposure; none without an exposure time" },
            { "lc.flux", NJ_F64, 0, MAG, "nJy", -INFINITY, INFINITY, NAN, NJ_GIVE_CANONICAL,
              "difference flux, negative for a negative difference; none for upper limits" },
            { "lc.flux_err", NJ_F64, 0, MAG, "nJy", 0, INFINITY, NAN, NJ_GIVE_CANONICAL, "its error" },
            { 0 } },
    .process = process
};
