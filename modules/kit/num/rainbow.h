/* rainbow.h - the model of the Rainbow fit, shared by its value (rainbow.c), its fit (rainbow_fit.c) and its
 * starts (rainbow_start.c). */
#ifndef NJ_KIT_RAINBOW_H
#define NJ_KIT_RAINBOW_H
#include "nightjar/num.h"
#include "nightjar/rainbow.h"

enum { T0, AMPLITUDE, FIRST_SHAPE };
enum { MOST = NJ_RAINBOW_PARAMETERS };

/* How many parameters the two terms have; where the temperature's and the baselines begin. */
uint32_t nj_rainbow_shape_parameters(const nj_rainbow *model);
static inline uint32_t first_temperature(const nj_rainbow *model)
{
    return FIRST_SHAPE + nj_rainbow_shape_parameters(model);
}
uint32_t nj_rainbow_first_baseline(const nj_rainbow *model);

/* hc/k over the wavelength [K] and mean wavelength frequency ratio of each band. */
typedef struct nj_rainbow_bands {
    double kelvin[NJ_RAINBOW_BANDS];  /* x = kelvin / T */
    double factor[NJ_RAINBOW_BANDS];  /* 15 / pi^4 times nubar / nu */
    double at_peak, by_rise, by_fall; /* of Bazin's function: what depends on the parameters alone */
} nj_rainbow_bands;
void nj_rainbow_set_bands(const nj_rainbow *model, nj_rainbow_bands *bands);
/* Before the values at parameters p. */
void nj_rainbow_prepare(const nj_rainbow *model, nj_rainbow_bands *bands, const double *p);

/* The model without baselines at one time in one band; its derivatives by the first parameters unless
 * NULL. */
double nj_rainbow_value(const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p, double t,
                        uint32_t band, double *d);

/* The same at n points, a multiple of 8, with kelvin and factor of each point's band: flux [n] and
 * column [parameter][n]; and the normal equations of residuals and columns, lower half in rows of MOST. */
void nj_rainbow_columns(nj_isa isa, const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p,
                        uint32_t n, const double *t, const double *kelvin, const double *factor, double *flux,
                        double *column);
void nj_rainbow_normals(nj_isa isa, uint32_t n_p, uint32_t n, const double *r, const double *column,
                        double *gradient, double *normal);
static inline uint32_t padded(uint32_t n)
{
    return (n + 7) & ~UINT32_C(7);
}

/* The scaled light curve, its bounds and what starts are made of. */
typedef struct nj_rainbow_problem {
    const nj_rainbow *model;
    nj_rainbow_bands bands;
    uint32_t n, n_p;
    const double *t, *m, *weight;  /* [n] scaled; weight = 1 / sigma; padded with points of weight 0 */
    const double *kelvin, *factor; /* of each point's band */
    double *row, *column;          /* room for residuals [n], derivatives [MOST][n] */
    nj_isa isa;
    const uint8_t *band, *upper;
    double mean_t, std_t, std_m, shift[NJ_RAINBOW_BANDS], median[NJ_RAINBOW_BANDS];
    bool present[NJ_RAINBOW_BANDS]; /* has points */
    double low[MOST], high[MOST], start[MOST];
    double first, last, peak, centre, most; /* times, and the largest flux above the baselines */
} nj_rainbow_problem;
/* False: no fit. work: NJ_RAINBOW_WORK(n). */
bool nj_rainbow_scale(const nj_rainbow *model, const nj_rainbow_points *points, double *work,
                      nj_rainbow_problem *p);
/* Start k: 0 is the reference's. All inside the bounds. */
void nj_rainbow_start(const nj_rainbow_problem *p, uint32_t k, double *parameter);
/* Is the parameter a baseline of a band without points, which takes no part in the fit? */
static inline bool is_idle(const nj_rainbow_problem *p, uint32_t k)
{
    const uint32_t base = nj_rainbow_first_baseline(p->model);
    return k >= base && !p->present[k - base];
}

#endif
