/* nightjar/lc.h - light-curve kernels shared by science modules (libnightjar-kit.a, sources in modules/kit/num/).
 *
 * All functions are pure in their arguments: no allocation, no global state, any thread. Work areas belong to the
 * caller (scratch() or the thread block). */
#ifndef NIGHTJAR_LC_H
#define NIGHTJAR_LC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- sorting (sort.c) --- */

/* Sorts ascending; NaN must not be among the values. The C library's qsort may allocate. */
void nj_sort_f64(double *value, uint32_t n);
/* Order of the keys, ascending and stable: order[n]. Fast for keys that are nearly sorted. NaN keys go last. */
void nj_order_f64(const double *key, uint32_t n, uint32_t *order);
/* The order that numpy's default argsort gives: which of two equal keys comes first depends on the rest, but is always
 * the same. For parity with code that keeps "the first" of points with the same time. */
void nj_order_numpy(const double *key, uint32_t n, uint32_t *order);
/* Of n >= 1 sorted values. */
static inline double nj_median_sorted(const double *value, uint32_t n)
{
    return n % 2 ? value[n / 2] : 0.5 * (value[n / 2 - 1] + value[n / 2]);
}

/* --- magnitude features (lc_features.c) --- */

enum { NJ_LC_FEATURES = 26 };
extern const char *const nj_lc_feature_name[NJ_LC_FEATURES]; /* "mean", ..., "stetson_k" */
/* The features of one band: n >= 1 points sorted by time. t_day [n] d, mag [n] mag, mag_err [n] mag, all finite;
 * work [2 n]; out [NJ_LC_FEATURES], NaN = undefined for so few or equal points. */
void nj_lc_features(uint32_t n, const double *t_day, const double *mag, const double *mag_err, double *work, double *out);
/* The same by the definitions, one pass per feature. */
void nj_lc_features_plain(uint32_t n, const double *t_day, const double *mag, const double *mag_err, double *work, double *out);

/* --- classes (classes.c) --- */

/* Can an object with this SIMBAD label be extragalactic or new: no label, "Unknown", a supernova, a galaxy, a failed
 * query? NULL counts as "Unknown". */
bool nj_may_be_extragalactic(const char *otype);

#endif
