/* rainbow.c - the model of the Rainbow fit and its derivatives.
 *
 * Given: parameters, time, band. d = t - t0.
 * Returned: flux = B(d) g(T(d), band) + baseline. B: sigmoid A / (1 + e^(-d/r)); Bazin's, whose peak is A;
 *   linear rise times exponential fall, whose peak is A; double exponential A e^(-(d/t1)(p - e^(-d/t2))).
 *   T: constant; from Tmax before to Tmin after by 1 / (1 + e^(d/t_color)), which a delay moves. g is the
 *   black body of unit bolometric flux, pi B_nu nubar / (sigma T^4), nubar of the mean wavelength of all
 *   bands.
 * Notes: exponents are limited as in the reference (light-curve 0.10), so that the far wings are exactly
 *   0.
 * Reference: Russeil et al. 2024, A&A 683, A251, doi:10.1051/0004-6361/202348158; Bazin et al. 2009, A&A
 *   499, 653. Derivatives by hand; tests/kernel/rainbow.c compares them with differences. */
#include "rainbow.h"

#include <math.h>
#include <string.h>

#include "nightjar/astro.h"

static const double h_over_k = 6.62607004e-27 / 1.380649e-16, /* s K */
    light_cm_s = 2.99792458e10, cm_per_angstrom = 1e-8;

static const uint32_t n_shape[NJ_BOLOMETRICS] = { 1, 2, 1, 3 }, n_temperature[NJ_TEMPERATURES] = { 1, 3, 4 };

uint32_t nj_rainbow_shape_parameters(const nj_rainbow *model)
{
    return n_shape[model->bolometric];
}

uint32_t nj_rainbow_first_baseline(const nj_rainbow *model)
{
    return FIRST_SHAPE + n_shape[model->bolometric] + n_temperature[model->temperature];
}

uint32_t nj_rainbow_parameters(const nj_rainbow *model)
{
    return nj_rainbow_first_baseline(model) + (model->baseline ? model->n_bands : 0);
}

const char *nj_rainbow_parameter_name(const nj_rainbow *model, uint32_t k)
{
    static const char *const shape[NJ_BOLOMETRICS][3] = {
        { "rise_time" }, { "rise_time", "fall_time" }, { "rise_time" }, { "time1", "time2", "p" }
    };
    static const char *const cooling[] = { "Tmin", "Tmax", "t_color", "t_delay" };
    const uint32_t temperature = first_temperature(model);
    if (k == T0) return "reference_time";
    if (k == AMPLITUDE) return "amplitude";
    if (k < temperature) return shape[model->bolometric][k - FIRST_SHAPE];
    if (k >= nj_rainbow_first_baseline(model)) return "baseline";
    return model->temperature == NJ_T_CONSTANT ? "T" : cooling[k - temperature];
}

void nj_rainbow_set_bands(const nj_rainbow *model, nj_rainbow_bands *bands)
{
    double mean = 0;
    for (uint32_t b = 0; b < model->n_bands; b++) mean += model->wavelength[b] / model->n_bands;
    for (uint32_t b = 0; b < model->n_bands; b++) {
        bands->kelvin[b] = h_over_k * light_cm_s / (model->wavelength[b] * cm_per_angstrom);
        bands->factor[b] = 15 / (NJ_PI * NJ_PI * NJ_PI * NJ_PI) * model->wavelength[b] / mean;
    }
}

void nj_rainbow_prepare(const nj_rainbow *model, nj_rainbow_bands *bands, const double *p)
{
    if (model->bolometric != NJ_BAZIN) return;
    const double r = p[2], f = p[3], sum = r + f, L = log(f / r);
    bands->at_peak = exp(r / sum * L) + exp(-f / sum * L);
    bands->by_rise = f / sum * L / sum;
    bands->by_fall = -r / sum * L / sum;
}

/* --- bolometric terms: the value; derivatives by t0, A and the shape --- */

static double sigmoid(const double *p, double d, double *D)
{
    const double r = p[2];
    if (d <= -100 * r) {
        D[0] = D[1] = D[2] = 0;
        return 0;
    }
    const double e = exp(-d / r), s = 1 / (1 + e), q = e * s * s, slope = p[1] * q / r;
    D[0] = -slope;
    D[1] = s;
    D[2] = -slope * d / r;
    return p[1] * s;
}

static double bazin(const nj_rainbow_bands *k, const double *p, double d, double *D)
{
    const double r = p[2], f = p[3];
    if (d <= -100 * r || d >= 100 * f) {
        D[0] = D[1] = D[2] = D[3] = 0;
        return 0;
    }
    const double rise = exp(-d / r), fall = exp(d / f), both = 1 / (rise + fall), c = k->at_peak,
                 B = p[1] * c * both;
    D[0] = B * both * (fall / f - rise / r);
    D[1] = c * both;
    D[2] = B * (k->by_rise - rise * d * both / (r * r));
    D[3] = B * (k->by_fall + fall * d * both / (f * f));
    return B;
}

static double linexp(const double *p, double d, double *D)
{
    const double least = 1e-5, r = fabs(p[2]) < least ? copysign(least, p[2]) : p[2], z = -d / r,
                 e = z > 0 ? exp(1 - fmin(z, 100)) : 0;
    D[0] = p[1] * e * (1 - z) / r;
    D[1] = e * z;
    D[2] = p[1] * e * z * (z - 1) / r;
    return p[1] * e * z;
}

static double doublexp(const double *p, double d, double *D)
{
    const double t1 = p[2], t2 = p[3], w = exp(fmin(-d / t2, 300)), a = -(d / t1) * (p[4] - w);
    D[0] = D[1] = D[2] = D[3] = D[4] = 0;
    if (!(a > -700)) return 0;
    if (a >= 20) {
        D[1] = exp(20);
        return p[1] * D[1];
    }
    D[1] = exp(a);
    const double B = p[1] * D[1];
    D[0] = B * ((p[4] - w) / t1 + d * w / (t1 * t2));
    D[2] = B * d * (p[4] - w) / (t1 * t1);
    D[3] = B * d * d * w / (t1 * t2 * t2);
    D[4] = -B * d / t1;
    return B;
}

static double bolometric(const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p, double d,
                         double *D)
{
    switch (model->bolometric) {
    case NJ_SIGMOID: return sigmoid(p, d, D);
    case NJ_BAZIN: return bazin(bands, p, d, D);
    case NJ_LINEXP: return linexp(p, d, D);
    default: return doublexp(p, d, D);
    }
}

/* --- temperature: p its own parameters; derivative by t0, and by each of its own --- */

static double temperature(const nj_rainbow *model, const double *p, double d, double *by_t0, double *D)
{
    *by_t0 = 0;
    D[0] = 1;
    if (model->temperature == NJ_T_CONSTANT) return p[0];
    const double tc = p[2], at = model->temperature == NJ_T_DELAYED_SIGMOID ? d - p[3] : d, z = at / tc,
                 s = z > 100    ? 0
                     : z < -100 ? 1
                                : 1 / (1 + exp(z)),
                 q = s * (1 - s), range = p[1] - p[0];
    *by_t0 = range * q / tc;
    D[0] = 1 - s;
    D[1] = s;
    D[2] = range * q * z / tc;
    if (model->temperature == NJ_T_DELAYED_SIGMOID) D[3] = *by_t0;
    return p[0] + range * s;
}

double nj_rainbow_value(const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p, double t,
                        uint32_t band, double *d)
{
    double by_t0, by_temperature[4], by_shape[5];
    const uint32_t first = first_temperature(model), end = nj_rainbow_first_baseline(model);
    const double B = bolometric(model, bands, p, t - p[T0], by_shape),
                 T = temperature(model, p + first, t - p[T0], &by_t0, by_temperature);
    const double x = bands->kelvin[band] / T,
                 e = x > 700   ? INFINITY
                     : x > 0.7 ? exp(x) - 1
                               : expm1(x),
                 g = bands->factor[band] * (x * x) * (x * x) / e;
    if (!d) return B * g;
    const double dg =
        e < INFINITY ? B * g / T * (x * (1 + 1 / e) - 4) : 0; /* x / (1 - e^-x) = x (1 + 1 / e) */
    for (uint32_t k = 0; k < first; k++) d[k] = g * by_shape[k];
    d[T0] += dg * by_t0;
    for (uint32_t k = first; k < end; k++) d[k] = dg * by_temperature[k - first];
    return B * g;
}

void nj_rainbow_flux(const nj_rainbow *model, const double *parameter, const nj_rainbow_points *points,
                     double *flux, double *jacobian)
{
    nj_rainbow_bands bands;
    double d[MOST];
    const uint32_t n_p = nj_rainbow_parameters(model), base = nj_rainbow_first_baseline(model);
    nj_rainbow_set_bands(model, &bands);
    nj_rainbow_prepare(model, &bands, parameter);
    for (uint32_t i = 0; i < points->n; i++) {
        const uint32_t band = points->band[i];
        flux[i] = nj_rainbow_value(model, &bands, parameter, points->t[i], band, jacobian ? d : NULL);
        if (model->baseline) flux[i] += parameter[base + band];
        for (uint32_t k = 0; jacobian && k < n_p; k++)
            jacobian[(size_t)k * points->n + i] = k < base ? d[k] : k - base == band;
    }
}

/* --- many points at once --- */

#define LANES_FILE "rainbow_lanes.h"
#include "each_isa.h"
static void (*const columns[NJ_ISAS])(const nj_rainbow *, const nj_rainbow_bands *, const double *, uint32_t,
                                      const double *, const double *, const double *, double *,
                                      double *) = EACH_ISA(columns);
static void (*const normals[NJ_ISAS])(uint32_t, uint32_t, const double *, const double *, double *, double *,
                                      uint32_t) = EACH_ISA(normals);

void nj_rainbow_columns(nj_isa isa, const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p,
                        uint32_t n, const double *t, const double *kelvin, const double *factor, double *flux,
                        double *column)
{
    columns[isa](model, bands, p, n, t, kelvin, factor, flux, column);
}

void nj_rainbow_normals(nj_isa isa, uint32_t n_p, uint32_t n, const double *r, const double *column,
                        double *gradient, double *normal)
{
    normals[isa](n_p, n, r, column, gradient, normal, MOST);
}

/* --- a cut before the fit --- */

uint32_t nj_rainbow_rising_bands(uint32_t n, const double *t, const double *flux, const uint8_t *band,
                                 uint32_t n_bands, double least, uint32_t *n_present)
{
    uint32_t n_rising = 0;
    *n_present = 0;
    for (uint32_t b = 0; b < n_bands; b++) {
        double night = NAN, sum = 0, count = 0, before = -INFINITY;
        bool any = false, falls = false;
        for (uint32_t i = 0; i < n; i++) {
            if (band[i] != b || !(flux[i] >= least)) continue;
            if (any && nearbyint(t[i]) != night) {
                falls |= sum / count < before;
                before = sum / count;
                sum = count = 0;
            }
            night = nearbyint(t[i]);
            any = true;
            sum += flux[i], count++;
        }
        *n_present += any;
        n_rising += any && !falls && !(sum / count < before);
    }
    return n_rising;
}
