/* nightjar/lc.h - light-curve kernels shared by science modules (libnightjar-kit.a,
 * sources in modules/kit/num/).
 *
 * All functions are pure in their arguments: no allocation, no global state, any thread. Work areas belong to
 * the caller (scratch() or the thread block). */
#ifndef NIGHTJAR_LC_H
#define NIGHTJAR_LC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- sorting (sort.c) --- */

/* Sorts ascending; NaN must not be among the values. The C library's qsort may allocate. */
void nj_sort_f64(double *value, uint32_t n);
/* Order of the keys, ascending and stable: order[n]. Fast for keys that are nearly sorted.
 * NaN keys go last. */
void nj_order_f64(const double *key, uint32_t n, uint32_t *order);
/* The order that numpy's default argsort gives: which of two equal keys comes first depends on the rest, but
 * is always the same. For parity with code that keeps "the first" of points with the same time. */
void nj_order_numpy(const double *key, uint32_t n, uint32_t *order);
/* Of n >= 1 sorted values. */
static inline double nj_median_sorted(const double *value, uint32_t n)
{
    return n % 2 ? value[n / 2] : 0.5 * (value[n / 2 - 1] + value[n / 2]);
}
/* Likewise, q from 0 to 1: linear between neighbours, as numpy's. */
static inline double nj_quantile_sorted(const double *value, uint32_t n, double q)
{
    const double h = q * (n - 1);
    const uint32_t low = (uint32_t)h, high = low + 1 < n ? low + 1 : low;
    return value[low] + (h - (double)low) * (value[high] - value[low]);
}

/* --- magnitude features (lc_features.c) --- */

enum { NJ_LC_FEATURES = 26 };
extern const char *const nj_lc_feature_name[NJ_LC_FEATURES]; /* "mean", ..., "stetson_k" */
/* The features of one band: n >= 1 points sorted by time. t_day [n] d, mag [n] mag, mag_err [n] mag, all
 * finite; work [2 n]; out [NJ_LC_FEATURES], NaN = undefined for so few or equal points. */
void nj_lc_features(uint32_t n, const double *t_day, const double *mag, const double *mag_err, double *work,
                    double *out);
/* The same by the definitions, one pass per feature. */
void nj_lc_features_plain(uint32_t n, const double *t_day, const double *mag, const double *mag_err,
                          double *work, double *out);

/* --- fit of light-curve components (component_fit.c) --- */

enum { NJ_COMPONENTS = 3, NJ_COMPONENT_BINS = 401 };
#define NJ_COMPONENT_STEP_D 0.25   /* bin 200 is the day of maximum */
#define NJ_COMPONENT_WINDOW_D 50.0 /* points closer than this to it take part */

typedef struct nj_component_fit {
    bool fitted; /* false: no points, maximum not above 200, or fewer than 2 points in the window */
    double c[NJ_COMPONENTS];
    double residual; /* root mean square of (model - flux) / error */
    double max_flux;
} nj_component_fit;
/* Light curve of one band, n points: t_day [n], flux, flux_err [n] (FLUXCAL, finite, errors above 0);
 * component [3][401] row-major. The exact minimum, no iteration. */
void nj_component_fit_flux(uint32_t n, const double *t_day, const double *flux, const double *flux_err,
                           const double *component, nj_component_fit *fit);
/* The same by descent along the coordinates: slow. */
void nj_component_fit_plain(uint32_t n, const double *t_day, const double *flux, const double *flux_err,
                            const double *component, nj_component_fit *fit);

/* --- rising light curves (rise_fit.c) --- */

/* Means per night (night = Julian Date rounded to the nearest day, half to even) of one band, in order of
 * time: day, flux and flux_err have room for n. Points may come in any order;
 * returns the number of nights. */
uint32_t nj_night_means(uint32_t n, const double *jd, const double *flux, const double *flux_err,
                        const uint32_t *order, double *day, double *mean_flux, double *mean_err);

enum { NJ_RISE_NIGHTS = 4 }; /* fewest */
typedef struct nj_rise {
    bool fitted;    /* false: too few nights, or the smoothed flux falls somewhere:
                     * then the values are a, b, c 0, 0.1, 1e8, 0 */
    double a, b, c; /* flux = c / (1 + exp(-a (day - day[0] - b))) */
    double snratio; /* mean of flux / flux_err */
    double mse;     /* mean squared difference of the normalised light curve and its fit */
    double n_nights;
} nj_rise;
/* work [8 * n]. */
void nj_rise_fit(uint32_t n, const double *day, const double *flux, const double *flux_err, double *work,
                 nj_rise *rise);

/* --- flux statistics for microlensing (flux_features.c) --- */

enum { NJ_FLUX_FEATURES = 47 };
extern const char *const nj_flux_feature_name[NJ_FLUX_FEATURES];
/* n >= 2 points of one band in packet order: mag, mag_err [n]; work [5 n]; out [47], statistics that are not
 * finite are 0. One magnitude that is NaN makes all of them 0 but four, as upstream. */
void nj_flux_features(uint32_t n, const double *mag, const double *mag_err, double *work, double *out);

/* --- classes (classes.c) --- */

/* Can an object with this SIMBAD label be extragalactic or new: no label, "Unknown", a supernova, a galaxy, a
 * failed query? NULL counts as "Unknown". */
bool nj_may_be_extragalactic(const char *otype);
/* Is it a label of SIMBAD or Fink that a young transient can have; a type of TNS of one? NULL: no. */
bool nj_may_be_young_transient(const char *label);
bool nj_is_tns_transient(const char *type);

#ifdef __cplusplus
}
#endif
#endif
