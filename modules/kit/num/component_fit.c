/* component_fit.c - fit of three components to the light curve of one band.
 *
 * Given: points of one band; components P_k at 401 times of 0.25 d, the maximum in the middle.
 * Returned: c in [-2, 2]^3 that minimises
 *   sum_i ((sum_k c_k P_k(t_i) - f_i / F) / (s_i / F))^2 + w (c_2^2 + c_3^2 + [c_1 < 0] c_1^2)
 *   with F the largest flux, s its error and w = (F / s)^2, over the points closer than 50 d to the maximum.
 * Notes: the function is convex and quadratic on both sides of c_1 = 0.
 * Its minimum in the box lies where, for one of
 *   the two sides and one of the 27 ways to hold coefficients at a bound, the free ones solve a linear
 *   system: all are tried. Fink minimises by L-BFGS-B and stops up to 3e-6 away from it.
 *   A fitted c_1 can be exactly 0: "not fitted" is a flag of its own here.
 * Reference: Biswas et al. 2023, A&A 677, A77, doi:10.1051/0004-6361/202245340, section 3. */
#include "nightjar/lc.h"

#include <math.h>

static const double bound = 2, least_flux = 200;

/* c^T A c - 2 b^T c + const, without the penalty of a negative c_1. */
typedef struct quadratic {
    double a[3][3], b[3], constant, penalty;
    uint32_t n;
} quadratic;

/* The window and the sums. false: nothing to fit. */
static bool gather(uint32_t n, const double *t, const double *flux, const double *err,
                   const double *component, quadratic *q, double *max_flux)
{
    *q = (quadratic){ 0 };
    *max_flux = 0;
    if (!n) return false;
    uint32_t top = 0;
    for (uint32_t i = 1; i < n; i++)
        if (flux[i] > flux[top]) top = i;
    double F = flux[top], snr = F / err[top];
    if (!(F > least_flux)) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!(fabs(t[i] - t[top]) < NJ_COMPONENT_WINDOW_D)) continue;
        int32_t bin = (int32_t)nearbyint((t[i] - t[top]) / NJ_COMPONENT_STEP_D + NJ_COMPONENT_BINS / 2);
        double w = F / err[i], y = flux[i] / F, x[3];
        for (int k = 0; k < 3; k++) x[k] = component[k * NJ_COMPONENT_BINS + bin];
        for (int k = 0; k < 3; k++) {
            for (int m = 0; m < 3; m++) q->a[k][m] += w * w * x[k] * x[m];
            q->b[k] += w * w * x[k] * y;
        }
        q->constant += w * w * y * y;
        q->n++;
    }
    q->penalty = snr * snr;
    q->a[1][1] += q->penalty;
    q->a[2][2] += q->penalty;
    *max_flux = F;
    return q->n >= 2 && isfinite(q->constant) && isfinite(q->penalty);
}

static double value(const quadratic *q, const double c[3])
{
    double v = q->constant + (c[0] < 0 ? q->penalty * c[0] * c[0] : 0);
    for (int k = 0; k < 3; k++) {
        for (int m = 0; m < 3; m++) v += c[k] * q->a[k][m] * c[m];
        v -= 2 * q->b[k] * c[k];
    }
    return v;
}

/* Solves the n x n system by Gauss with pivots; false when it is singular. */
static bool solve(int n, double a[3][4])
{
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k])) pivot = i;
        if (!(fabs(a[pivot][k]) > 0)) return false;
        for (int j = 0; j <= n; j++) {
            double x = a[k][j];
            a[k][j] = a[pivot][j];
            a[pivot][j] = x;
        }
        for (int i = 0; i < n; i++) {
            if (i == k) continue;
            double f = a[i][k] / a[k][k];
            for (int j = k; j <= n; j++) a[i][j] -= f * a[k][j];
        }
    }
    for (int k = 0; k < n; k++) a[k][n] /= a[k][k];
    return true;
}

/* One side of c_1 = 0 and one choice of coefficients at a bound (hold[k] -1, 0 = free, 1):
 * the minimum, if inside. */
static bool stationary(const quadratic *q, int side, const int hold[3], double c[3])
{
    const double low[3] = { side ? -bound : 0, -bound, -bound }, high[3] = { side ? 0 : bound, bound, bound };
    double system[3][4];
    int free_one[3], n = 0;
    for (int k = 0; k < 3; k++) {
        if (hold[k])
            c[k] = hold[k] < 0 ? low[k] : high[k];
        else
            free_one[n++] = k;
    }
    for (int i = 0; i < n; i++) {
        int k = free_one[i];
        for (int j = 0; j < n; j++)
            system[i][j] = q->a[k][free_one[j]] + (side && k == 0 && free_one[j] == 0 ? q->penalty : 0);
        system[i][n] = q->b[k];
        for (int m = 0; m < 3; m++)
            if (hold[m]) system[i][n] -= q->a[k][m] * c[m];
    }
    if (!solve(n, system)) return false;
    for (int i = 0; i < n; i++) {
        c[free_one[i]] = system[i][n];
        if (!(c[free_one[i]] >= low[free_one[i]] && c[free_one[i]] <= high[free_one[i]])) return false;
    }
    return true;
}

/* Root mean square of the weighted residuals, the penalty left out:
 * from the points, not from the sums, which cancel. */
static double residual(uint32_t n, const double *t, const double *flux, const double *err,
                       const double *component, double F, const double c[3])
{
    double sum = 0, t_top = 0;
    uint32_t used = 0;
    for (uint32_t i = n; i-- > 0;)
        if (flux[i] == F) t_top = t[i]; /* the first of equals, as in gather() */
    for (uint32_t i = 0; i < n; i++) {
        if (!(fabs(t[i] - t_top) < NJ_COMPONENT_WINDOW_D)) continue;
        int32_t bin = (int32_t)nearbyint((t[i] - t_top) / NJ_COMPONENT_STEP_D + NJ_COMPONENT_BINS / 2);
        double model = 0;
        for (int k = 0; k < 3; k++) model += c[k] * component[k * NJ_COMPONENT_BINS + bin];
        double r = (model - flux[i] / F) / (err[i] / F);
        sum += r * r;
        used++;
    }
    return sqrt(sum / used);
}

void nj_component_fit_flux(uint32_t n, const double *t, const double *flux, const double *err,
                           const double *component, nj_component_fit *fit)
{
    quadratic q;
    double F, best = INFINITY;
    *fit = (nj_component_fit){ 0 };
    if (!gather(n, t, flux, err, component, &q, &F)) return;
    for (int way = 0; way < 54; way++) {
        const int hold[3] = { way % 3 - 1, way / 3 % 3 - 1, way / 9 % 3 - 1 };
        double c[3] = { 0 };
        if (!stationary(&q, way / 27, hold, c)) continue;
        double v = value(&q, c);
        if (!(v < best)) continue;
        best = v;
        for (int k = 0; k < 3; k++) fit->c[k] = c[k];
    }
    fit->fitted = isfinite(best);
    if (!fit->fitted) return;
    fit->residual = residual(n, t, flux, err, component, F, fit->c);
    fit->max_flux = F;
}

void nj_component_fit_plain(uint32_t n, const double *t, const double *flux, const double *err,
                            const double *component, nj_component_fit *fit)
{
    quadratic q;
    double F, *c = fit->c;
    *fit = (nj_component_fit){ 0 };
    if (!gather(n, t, flux, err, component, &q, &F)) return;
    for (int round = 0; round < 200000; round++) {
        double moved = 0;
        for (int k = 0; k < 3; k++) {
            double g = q.b[k], a = q.a[k][k], was = c[k];
            for (int m = 0; m < 3; m++)
                if (m != k) g -= q.a[k][m] * c[m];
            if (k == 0 && g < 0) a += q.penalty;
            c[k] = a > 0 ? fmax(-bound, fmin(bound, g / a)) : 0;
            moved = fmax(moved, fabs(c[k] - was));
        }
        if (moved < 1e-14) break;
    }
    fit->fitted = true;
    fit->residual = residual(n, t, flux, err, component, F, fit->c);
    fit->max_flux = F;
}
