/* nightjar/rainbow.h - the Rainbow fit: one light curve of all bands as a bolometric flux times a black
 * body whose temperature changes (libnightjar-kit.a, modules/kit/num/rainbow*.c).
 *
 * All functions are pure: no allocation, no global state, any thread. Work areas belong to the caller.
 * Reference: Russeil et al. 2024, A&A 683, A251, doi:10.1051/0004-6361/202348158. */
#ifndef NIGHTJAR_RAINBOW_H
#define NIGHTJAR_RAINBOW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum nj_bolometric { NJ_SIGMOID, NJ_BAZIN, NJ_LINEXP, NJ_DOUBLEXP, NJ_BOLOMETRICS } nj_bolometric;
typedef enum nj_temperature {
    NJ_T_CONSTANT,
    NJ_T_SIGMOID,
    NJ_T_DELAYED_SIGMOID,
    NJ_TEMPERATURES
} nj_temperature;
enum { NJ_RAINBOW_BANDS = 6, NJ_RAINBOW_PARAMETERS = 15, NJ_RAINBOW_STARTS = 7 };

typedef struct nj_rainbow {
    nj_bolometric bolometric;
    nj_temperature temperature;
    bool baseline; /* a constant flux per band beside the model */
    uint32_t n_bands;
    double wavelength[NJ_RAINBOW_BANDS]; /* Angstrom; their mean counts, also of bands without points */
} nj_rainbow;

/* Parameters in order: reference_time, amplitude, those of the bolometric term (rise_time; rise_time,
 * fall_time; rise_time of either sign; time1, time2, p), of the temperature (T; Tmin, Tmax, t_color; and
 * t_delay), one baseline per band. */
uint32_t nj_rainbow_parameters(const nj_rainbow *model);
const char *nj_rainbow_parameter_name(const nj_rainbow *model, uint32_t k); /* a baseline: "baseline" */

typedef struct nj_rainbow_points {
    uint32_t n;
    const double *t, *flux, *err; /* [n] finite, err > 0; of a limit the flux is the limit */
    const uint8_t *band;          /* [n] below n_bands */
    const uint8_t *upper;         /* [n] 1 = an upper limit; NULL = none */
} nj_rainbow_points;

/* The model's flux [n], and its derivatives [parameter][n] unless jacobian is NULL. */
void nj_rainbow_flux(const nj_rainbow *model, const double *parameter, const nj_rainbow_points *points,
                     double *flux, double *jacobian);

typedef struct nj_rainbow_fit {
    bool fitted;    /* false: fewer points than parameters, all of one time or of one flux; all else is NaN */
    bool converged; /* the best start ended by itself */
    bool hessian;   /* errors are of the full second derivatives; else of the normal equations */
    uint32_t n_parameters, n_starts, n_evaluations;
    double parameter[NJ_RAINBOW_PARAMETERS]; /* in units of t and flux, K; a baseline without points is NaN */
    double error[NJ_RAINBOW_PARAMETERS];
    double covariance[NJ_RAINBOW_PARAMETERS * NJ_RAINBOW_PARAMETERS];
    double objective; /* half of chi2 and of the barrier of the bounds: what is minimised */
    double chi2;      /* of the data, a limit's being -2 ln of its probability */
    double
        half_chi2_dof; /* objective / (n - n_parameters): the reference's "reduced chi2"; NaN if n equals */
    double chi2_dof;   /* chi2 / (n - n_parameters) */
} nj_rainbow_fit;

/* Doubles of the work area for n points. */
#define NJ_RAINBOW_WORK(n) ((6 + NJ_RAINBOW_PARAMETERS) * ((size_t)(n) + 8))
/* Fits from the reference's start and n_starts - 1 own ones (1 to NJ_RAINBOW_STARTS), keeping the lowest. */
void nj_rainbow_fit_points(const nj_rainbow *model, const nj_rainbow_points *points, uint32_t n_starts,
                           double *work, nj_rainbow_fit *fit);

/* In how many bands the means of nights (times rounded to the nearest day, half to even) never fall;
 * points below `least` do not count, a band of one night rises. t in order. Bands with points into
 * n_present. */
uint32_t nj_rainbow_rising_bands(uint32_t n, const double *t, const double *flux, const uint8_t *band,
                                 uint32_t n_bands, double least, uint32_t *n_present);

#ifdef __cplusplus
}
#endif
#endif
