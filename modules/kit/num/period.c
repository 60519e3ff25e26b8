/* period.c - the generalised Lomb-Scargle periodogram: weights, floating mean.
 *
 * Given: light curve of one band; a grid of frequencies.
 * Returned: at each frequency the share of the weighted variance that a sine wave with a constant takes
 *   away.
 * Notes: with weights of sum 1 and y about its weighted mean: C, S, YC, YS the weighted sums of cos, sin,
 *   y cos, y sin; CC = (1 + C2)/2 - C^2, SS = (1 - C2)/2 - S^2, CS = S2/2 - C S with the sums at twice the
 *   frequency; D = CC SS - CS^2; power = (SS YC^2 + CC YS^2 - 2 CS YC YS) / (YY D). Where the points have
 *   two phases only, or almost, D is 0 and one wave is left: power = (YC^2 + YS^2) / (YY (CC + SS)). Where
 *   they have one phase there is none, and the power is 0. cos and sin go from frequency to frequency by a
 *   rotation, 8 at a time: 10^4 rotations lose 1e-12. The same bits for every instruction set.
 * Reference: Zechmeister & Kuerster 2009, A&A 496, 577; Baluev 2008, MNRAS 385, 1279, equation 6 for a
 *   floating mean as Suveges 2012 and astropy have it. */
#include "nightjar/period.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "nightjar/astro.h"
#include "nightjar/num.h"
#include "period_sums.h"

#define LANES_FILE "period_lanes.h"
#include "each_isa.h"
static void (*const powers[NJ_ISAS])(uint32_t, double *, const double *, double, double *) = EACH_ISA(powers);

int nj_period_weigh(uint32_t n, const double *t, const double *y, const double *err, nj_period_curve *c)
{
    double total = 0, mean = 0, low = INFINITY, high = -INFINITY;
    if (n < 4) return 0;
    for (uint32_t i = 0; i < n; i++) {
        c->w[i] = 1 / (err[i] * err[i]);
        total += c->w[i];
        mean += c->w[i] * y[i];
        low = fmin(low, t[i]), high = fmax(high, t[i]);
    }
    mean /= total;
    c->yy = 0;
    for (uint32_t i = 0; i < n; i++) {
        c->t[i] = t[i] - 0.5 * (low + high);
        c->y[i] = y[i] - mean;
        c->w[i] /= total;
        c->yy += c->w[i] * c->y[i] * c->y[i];
    }
    c->chi2 = c->yy * total;
    const double rounding = n * DBL_EPSILON * mean; /* of values that are all the same */
    return high > low && c->yy > rounding * rounding && isfinite(c->chi2);
}

static double power_of(double C, double S, double YC, double YS, double C2, double S2, double yy)
{
    const double CC = 0.5 * (1 + C2) - C * C, SS = 0.5 * (1 - C2) - S * S, CS = 0.5 * S2 - C * S,
                 D = CC * SS - CS * CS, both = CC + SS;
    if (!(both > NJ_PERIOD_LEAST)) return 0;
    const double p = D > NJ_PERIOD_LEAST * both ? (SS * YC * YC + CC * YS * YS - 2 * CS * YC * YS) / (yy * D)
                                                : (YC * YC + YS * YS) / (yy * both);
    return p >= 0 && p <= 1 ? p : p > 1 ? 1 : 0;
}

double nj_period_power(uint32_t n, const double *t, const double *y, const double *err,
                       const nj_frequencies *grid, double *work, double *power)
{
    nj_period_curve c = { .t = work, .y = work + n, .w = work + 2 * (size_t)n };
    double *turn = work + 3 * (size_t)n, *state = turn + 4 * (size_t)n, block[8];
    const nj_isa isa = nj_isa_best();
    for (uint32_t k = 0; k < grid->n; k++) power[k] = 0;
    if (!nj_period_weigh(n, t, y, err, &c)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        for (int l = 0; l < 8; l++) {
            const double phase = 2 * NJ_PI * (grid->first + l * grid->step) * c.t[i];
            state[16 * (size_t)i + l] = c.w[i] * cos(phase);
            state[16 * (size_t)i + 8 + l] = c.w[i] * sin(phase);
        }
        turn[4 * i] = cos(2 * NJ_PI * 8 * grid->step * c.t[i]);
        turn[4 * i + 1] = sin(2 * NJ_PI * 8 * grid->step * c.t[i]);
        turn[4 * i + 2] = 1 / c.w[i];
        turn[4 * i + 3] = c.y[i];
    }
    for (uint32_t k = 0; k < grid->n; k += 8) {
        powers[isa](n, state, turn, c.yy, block);
        memcpy(power + k, block, (grid->n - k < 8 ? grid->n - k : 8) * sizeof *power);
    }
    return c.chi2;
}

double nj_period_power_at(uint32_t n, const nj_period_curve *c, double f)
{
    double C = 0, S = 0, YC = 0, YS = 0, C2 = 0, S2 = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double phase = 2 * NJ_PI * f * c->t[i], a = cos(phase), b = sin(phase);
        C += c->w[i] * a, S += c->w[i] * b;
        YC += c->w[i] * c->y[i] * a, YS += c->w[i] * c->y[i] * b;
        C2 += c->w[i] * cos(2 * phase), S2 += c->w[i] * sin(2 * phase);
    }
    return power_of(C, S, YC, YS, C2, S2, c->yy);
}

double nj_period_power_plain(uint32_t n, const double *t, const double *y, const double *err,
                             const nj_frequencies *grid, double *work, double *power)
{
    nj_period_curve c = { .t = work, .y = work + n, .w = work + 2 * (size_t)n };
    for (uint32_t k = 0; k < grid->n; k++) power[k] = 0;
    if (!nj_period_weigh(n, t, y, err, &c)) return 0;
    for (uint32_t k = 0; k < grid->n; k++) power[k] = nj_period_power_at(n, &c, grid->first + k * grid->step);
    return c.chi2;
}

double nj_period_false_alarm(double power, double most_f, uint32_t n, const double *t, const double *err)
{
    double total = 0, mean = 0, squares = 0;
    if (n < 4 || !(power >= 0) || !(power <= 1)) return NAN;
    for (uint32_t i = 0; i < n; i++) {
        const double w = 1 / (err[i] * err[i]);
        total += w;
        mean += w * (t[i] - t[0]);
    }
    mean /= total;
    for (uint32_t i = 0; i < n; i++)
        squares += (t[i] - t[0] - mean) * (t[i] - t[0] - mean) / (err[i] * err[i]);
    const double nh = n - 1.0, nk = n - 3.0, effective = sqrt(4 * NJ_PI * squares / total),
                 gamma = sqrt(2 / nh) * exp(lgamma(nh / 2) - lgamma((nh - 1) / 2)),
                 single = pow(1 - power, 0.5 * nk),
                 crossings =
                     gamma * most_f * effective * pow(1 - power, 0.5 * (nk - 1)) * sqrt(0.5 * nh * power);
    return -expm1(-crossings) + single * exp(-crossings);
}

double nj_period_refine(const nj_frequencies *grid, const double *power, uint32_t k)
{
    const double f = grid->first + k * grid->step;
    if (!k || k + 1 >= grid->n) return f;
    const double a = power[k - 1], b = power[k], c = power[k + 1], bend = a - 2 * b + c;
    return bend < 0 ? f + 0.5 * grid->step * (a - c) / bend : f;
}
