/* nightjar/astro.h - constants named both ways round, magnitudes and fluxes, difference photometry. */
#ifndef NIGHTJAR_ASTRO_H
#define NIGHTJAR_ASTRO_H
#include <math.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NJ_PI 3.14159265358979323846
#define NJ_RAD_PER_DEG (NJ_PI / 180.0)
#define NJ_DEG_PER_RAD (180.0 / NJ_PI)
#define NJ_ARCSEC_PER_DEG 3600.0
#define NJ_DEG_PER_ARCSEC (1.0 / 3600.0)
#define NJ_ARCSEC_PER_RAD (3600.0 * 180.0 / NJ_PI)
#define NJ_RAD_PER_ARCSEC (NJ_PI / (3600.0 * 180.0))
#define NJ_S_PER_DAY 86400.0
#define NJ_DAY_PER_S (1.0 / 86400.0)
#define NJ_MJD_OF_JD_ZERO (-2400000.5) /* MJD = JD + this */
#define NJ_LN10 2.30258509299404568402
#define NJ_MAG_PER_RELATIVE_FLUX (2.5 / NJ_LN10) /* 1.0857: sigma_mag = this * sigma_flux / flux */
#define NJ_RELATIVE_FLUX_PER_MAG (NJ_LN10 / 2.5)
#define NJ_JY_OF_MAG0 3631.0 /* AB flux of magnitude 0 */
#define NJ_NJY_OF_MAG0 3631e9
#define NJ_NJY_PER_JY 1e9
#define NJ_JY_PER_NJY 1e-9
#define NJ_FLUXCAL_PER_NJY 0.027542287033381663 /* 10^(-(31.4 - 27.5) / 2.5), SNANA's zero point */

/* Flux of a magnitude in units of the flux of magnitude 0; NaN in, NaN out. */
static inline double nj_flux_of_mag(double mag)
{
    return pow(10.0, -0.4 * mag);
}
/* Magnitude of a flux in units of the flux of magnitude 0; NaN for a flux below 0, +inf for 0. */
static inline double nj_mag_of_flux(double flux)
{
    return -2.5 * log10(flux);
}

/* SNANA's FLUXCAL (zero point 27.5) of a magnitude and of its error.
 * Note: the second is d(flux)/d(mag) with the rounded constants that the field's
 * classifiers were trained with.
 * Reference: Kessler et al. 2009, PASP 121, 1028 (SNANA), doi:10.1086/605984. */
static inline double nj_fluxcal_of_mag(double mag)
{
    return 1e11 * pow(10.0, -0.4 * mag);
}
static inline double nj_fluxcal_err_of_mag(double mag, double mag_err)
{
    return 9.21034e10 * exp(-0.921034 * mag) * mag_err;
}

/* Magnitudes of the sizes of n difference fluxes, and their 1-sigma errors. zp [n] are the zero points [mag]
 * of the fluxes; zp NULL: the fluxes are in nJy (AB). mag and mag_err [n] keep what they hold where the flux
 * is 0, and where its error is not above 0. */
static inline void nj_mags_of_fluxes(uint32_t n, const double *flux, const double *flux_err, const double *zp,
                                     double *mag, double *mag_err)
{
    for (uint32_t i = 0; i < n; i++) {
        const double size = fabs(flux[i]);
        if (flux[i] == 0 || !(flux_err[i] > 0)) continue;
        mag[i] = zp ? zp[i] - 2.5 * log10(size) : -2.5 * log10(size / NJ_NJY_OF_MAG0);
        mag_err[i] = NJ_MAG_PER_RELATIVE_FLUX * flux_err[i] / size;
    }
}

/* Apparent ("DC") photometry: what the telescope saw, from the difference image and its reference source.
 * Given: mag, mag_err of the difference [mag]; ref_mag, ref_mag_err of the nearest reference source [mag];
 * positive: 1 when the science image is the brighter one. Returned: flux and its error in units of the flux
 * of magnitude 0; NaN without a detection or without a reference magnitude (ref_mag null or below 0).
 * A flux can be 0 or negative.
 * Reference: ZTF Science Data System Explanatory Supplement, section 6.5;
 * sign and terms as Fink uses them. */
typedef struct nj_dc {
    double flux, sigma;
} nj_dc;
static inline nj_dc nj_dc_flux(double mag, double mag_err, double ref_mag, double ref_mag_err, int positive)
{
    if (!(ref_mag >= 0) || isnan(mag)) return (nj_dc){ NAN, NAN };
    double d = nj_flux_of_mag(mag), r = nj_flux_of_mag(ref_mag);
    double sd = mag_err / 1.0857 * d, sr = ref_mag_err / 1.0857 * r; /* 1.0857: rounded,
                                                                      * as in the field's own code */
    return (nj_dc){ positive ? r + d : r - d, sqrt(sd * sd + sr * sr) };
}

#ifdef __cplusplus
}
#endif
#endif
