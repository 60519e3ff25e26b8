/* rise_fit.c - nightly means and the fit of a logistic function to a rising light curve.
 *
 * Given: light curve of one band in FLUXCAL.
 * Returned: nothing fitted (a, b, c = 0, snratio 0.1, mse 1e8) with fewer than 4 nights,
 * or when the light curve,
 *   smoothed by exponential weights (centre of mass 3 nights), falls from any night to the next; else the
 *   least-squares parameters of f = c / (1 + exp(-a (t - t_0 - b))), unweighted, and how good the fit is.
 * Notes: where the data show the exponential foot only, b and c run away along a valley,
 * and where they stop depends on
 *   the solver: MINPACK's lmder moves 3 of 30 scores of real alerts, one by 0.065. Hence the trust-region
 *   method, start, forward differences and stopping rules (1e-8, 300 evaluations) of the solver that the
 *   forest was trained with. The start value of a divides positions in the list by days;
 *   Fink does, and the valley remembers it.
 * Reference: Leoni et al. 2022, A&A 663, A13, doi:10.1051/0004-6361/202142715, section 3; Branch,
 *   Coleman and Li 1999, SIAM J. Sci. Comput. 21, 1;
 *   Nocedal and Wright 2006, Numerical Optimization, chapters 4 and 10. */
#include "nightjar/lc.h"

#include <math.h>

uint32_t nj_night_means(uint32_t n, const double *jd, const double *flux, const double *flux_err,
                        const uint32_t *order, double *day, double *mean_flux, double *mean_err)
{
    uint32_t nights = 0;
    for (uint32_t k = 0; k < n;) {
        double key = nearbyint(jd[order[k]]), sum = 0, sum_err = 0;
        uint32_t first = k;
        for (; k < n && nearbyint(jd[order[k]]) == key; k++) {
            sum += flux[order[k]];
            sum_err += flux_err[order[k]];
        }
        if (k == first) return nights; /* a time that is no number: order puts those last */
        day[nights] = key;
        mean_flux[nights] = sum / (k - first);
        mean_err[nights++] = sum_err / (k - first);
    }
    return nights;
}

/* Does the smoothed light curve never fall? e_i = sum_j .75^(i-j) f_j / sum_j .75^(i-j). */
static bool rises(uint32_t n, const double *flux)
{
    double weighted = 0, weights = 0, last = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        weighted = 0.75 * weighted + flux[i];
        weights = 0.75 * weights + 1;
        double e = weighted / weights;
        if (!(e >= last)) return false;
        last = e;
    }
    return true;
}

typedef struct curve {
    uint32_t n;
    const double *day, *flux;
    double *residual, *trial; /* [n] at x, at a point to try */
    double *column;           /* [3][n] the Jacobian, then its left singular vectors times
                               * the singular values */
} curve;

/* ---- trust-region least squares in 3 parameters (More and Sorensen;
 * Nocedal and Wright 2006, chapter 4.3) --- */

static double norm(const double *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

/* |flux - model|: the modulus changes neither J^T J nor J^T r,
 * but where a forward difference straddles its kink. */
static double residuals(const curve *d, const double x[3], double *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        r[i] = fabs(x[2] / (1 + exp(-x[0] * (d->day[i] - d->day[0] - x[1]))) - d->flux[i]);
        sum += r[i] * r[i];
    }
    return 0.5 * sum;
}

/* Forward differences, steps of sqrt(epsilon) max(1, |x|); gradient J^T r. */
static void jacobian(const curve *d, const double x[3], double gradient[3])
{
    for (int k = 0; k < 3; k++) {
        double y[3] = { x[0], x[1], x[2] }, *column = d->column + (size_t)k * d->n;
        y[k] += (x[k] >= 0 ? 1 : -1) * 0x1p-26 * fmax(1, fabs(x[k]));
        residuals(d, y, column);
        gradient[k] = 0;
        for (uint32_t i = 0; i < d->n; i++) {
            column[i] = (column[i] - d->residual[i]) / (y[k] - x[k]);
            gradient[k] += column[i] * d->residual[i];
        }
    }
}

typedef struct spectrum {        /* J = U S V^T */
    double s[3], uf[3], v[3][3]; /* uf = U^T r; v[k] the k-th right vector */
    double largest, smallest;
} spectrum;

/* One-sided Jacobi rotations of the columns of J until they are orthogonal. */
static void decompose(const curve *d, spectrum *p)
{
    for (int k = 0; k < 9; k++) p->v[k / 3][k % 3] = k / 3 == k % 3;
    for (int sweep = 0; sweep < 40; sweep++) {
        int turned = 0;
        for (int k = 0; k < 3; k++) {
            double *u = d->column + (size_t)(k == 2) * d->n, *w = d->column + (size_t)(k == 0 ? 1 : 2) * d->n;
            double *vu = p->v[k == 2], *vw = p->v[k == 0 ? 1 : 2], uu = 0, ww = 0, uw = 0;
            for (uint32_t i = 0; i < d->n; i++) {
                uu += u[i] * u[i];
                ww += w[i] * w[i];
                uw += u[i] * w[i];
            }
            if (!(fabs(uw) > 1e-16 * sqrt(uu * ww))) continue;
            turned = 1;
            double zeta = (ww - uu) / (2 * uw),
                   t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta)), c = 1 / sqrt(1 + t * t),
                   s = c * t;
            for (uint32_t i = 0; i < d->n; i++) {
                double x = u[i];
                u[i] = c * x - s * w[i];
                w[i] = s * x + c * w[i];
            }
            for (int i = 0; i < 3; i++) {
                double x = vu[i];
                vu[i] = c * x - s * vw[i];
                vw[i] = s * x + c * vw[i];
            }
        }
        if (!turned) break;
    }
    p->largest = 0;
    p->smallest = INFINITY;
    for (int k = 0; k < 3; k++) {
        const double *u = d->column + (size_t)k * d->n;
        double dot = 0;
        for (uint32_t i = 0; i < d->n; i++) dot += u[i] * d->residual[i];
        p->s[k] = norm(u, d->n);
        p->uf[k] = p->s[k] > 0 ? dot / p->s[k] : 0;
        p->largest = fmax(p->largest, p->s[k]);
        p->smallest = fmin(p->smallest, p->s[k]);
    }
}

static void combine(const spectrum *p, const double weight[3], double step[3])
{
    for (int i = 0; i < 3; i++)
        step[i] = -(p->v[0][i] * weight[0] + p->v[1][i] * weight[1] + p->v[2][i] * weight[2]);
}

/* |step(alpha)| - radius and its derivative. */
static double excess(const spectrum *p, double alpha, double radius, double *slope)
{
    double q[3], sum = 0;
    for (int k = 0; k < 3; k++) {
        double suf = p->s[k] * p->uf[k], denominator = p->s[k] * p->s[k] + alpha;
        q[k] = suf / denominator;
        sum += suf * suf / (denominator * denominator * denominator);
    }
    double length = norm(q, 3);
    *slope = -sum / length;
    return length - radius;
}

/* The step inside the radius: Gauss and Newton's if it fits,
 * else Levenberg and Marquardt's with alpha by Newton. */
static void trust_step(const spectrum *p, uint32_t m, double radius, double *alpha, double step[3])
{
    double weight[3], slope, suf[3];
    for (int k = 0; k < 3; k++) suf[k] = p->s[k] * p->uf[k];
    bool full_rank = p->smallest > 2.220446049250313e-16 * m * p->largest;
    if (full_rank) {
        for (int k = 0; k < 3; k++) weight[k] = p->uf[k] / p->s[k];
        combine(p, weight, step);
        if (norm(step, 3) <= radius) {
            *alpha = 0;
            return;
        }
    }
    double high = norm(suf, 3) / radius, low = 0, a = *alpha;
    if (full_rank) {
        double f = excess(p, 0, radius, &slope);
        low = -f / slope;
    } else if (a == 0) {
        a = fmax(0.001 * high, sqrt(low * high));
    }
    for (int round = 0; round < 10; round++) {
        if (a < low || a > high) a = fmax(0.001 * high, sqrt(low * high));
        double f = excess(p, a, radius, &slope), ratio = f / slope;
        if (f < 0) high = a;
        low = fmax(low, a - ratio);
        a -= (f + radius) * ratio / radius;
        if (fabs(f) < 0.01 * radius) break;
    }
    for (int k = 0; k < 3; k++) weight[k] = suf[k] / (p->s[k] * p->s[k] + a);
    combine(p, weight, step);
    double length = norm(step, 3);
    for (int k = 0; k < 3; k++) step[k] *= radius / length;
    *alpha = a;
}

/* How much the quadratic model promises: from the singular values, as J itself has been rotated. */
static double promise(const spectrum *p, const double gradient[3], const double step[3])
{
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        double along = p->s[k] * (p->v[k][0] * step[0] + p->v[k][1] * step[1] + p->v[k][2] * step[2]);
        sum += 0.5 * along * along + gradient[k] * step[k];
    }
    return -sum;
}

/* Steps from x within the radius until one reduces the cost (true) or the end is reached. */
typedef struct search {
    double x[3], cost, radius, alpha;
    int evaluations;
    bool ended;
} search;
enum { EVALUATIONS = 300 };
static const double tolerance = 1e-8; /* of cost, step and gradient */

static bool improve(const curve *d, search *s, const spectrum *p, const double gradient[3])
{
    while (s->evaluations < EVALUATIONS) {
        double step[3], x[3];
        trust_step(p, d->n, s->radius, &s->alpha, step);
        for (int k = 0; k < 3; k++) x[k] = s->x[k] + step[k];
        double cost = residuals(d, x, d->trial), length = norm(step, 3),
               predicted = promise(p, gradient, step);
        s->evaluations++;
        if (!isfinite(cost)) {
            s->radius = 0.25 * length;
            continue;
        }
        double reduction = s->cost - cost,
               ratio = predicted > 0 ? reduction / predicted : predicted == 0 && reduction == 0,
               radius = s->radius;
        if (ratio < 0.25)
            radius = 0.25 * length;
        else if (ratio > 0.75 && length > 0.95 * s->radius)
            radius *= 2;
        s->ended = (reduction < tolerance * s->cost && ratio > 0.25) ||
                   length < tolerance * (tolerance + norm(s->x, 3));
        if (!s->ended) {
            s->alpha *= s->radius / radius;
            s->radius = radius;
        }
        if (reduction > 0) {
            for (int k = 0; k < 3; k++) s->x[k] = x[k];
            for (uint32_t i = 0; i < d->n; i++) d->residual[i] = d->trial[i];
            s->cost = cost;
            return true;
        }
        if (s->ended) return false;
    }
    return false;
}

static void least_squares(const curve *d, double x[3])
{
    search s = { .x = { x[0], x[1], x[2] }, .radius = norm(x, 3), .evaluations = 1 };
    double gradient[3];
    spectrum p;
    if (s.radius == 0) s.radius = 1;
    s.cost = residuals(d, s.x, d->residual);
    while (s.evaluations < EVALUATIONS && !s.ended) {
        jacobian(d, s.x, gradient);
        if (fmax(fabs(gradient[0]), fmax(fabs(gradient[1]), fabs(gradient[2]))) < tolerance) break;
        decompose(d, &p);
        if (!isfinite(p.largest)) break;
        improve(d, &s, &p, gradient);
    }
    for (int k = 0; k < 3; k++) x[k] = s.x[k];
}

/* --- the fit --- */

/* First guess: a from the positions of the extremes, b where the logistic with it meets the first flux. */
static void guess(uint32_t n, const double *day, const double *flux, double x[3])
{
    uint32_t high = 0, low = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (flux[i] > flux[high]) high = i;
        if (flux[i] < flux[low]) low = i;
    }
    double first = flux[0] > 0 ? flux[0] : 0;
    x[0] = day[high] - day[0] > 0 ? ((double)high - (double)low) / (day[high] - day[low]) : 1;
    x[2] = flux[high];
    x[1] = first != 0 && x[2] != first ? log(x[2] / first - 1) / x[0] : 1;
}

/* Mean squared difference of the two light curves, each divided by its sum;
 * the model is rounded to 4 decimals. */
static double shape_error(uint32_t n, const double *day, const double *flux, const double x[3], double *model)
{
    double sum = 0, sum_model = 0, mse = 0;
    for (uint32_t i = 0; i < n; i++) {
        double m = nearbyint(1e4 * (x[2] / (1 + exp(-x[0] * (day[i] - day[0] - x[1]))))) / 1e4;
        model[i] = m == 0 ? 1e-5 : m;
        sum_model += model[i];
        sum += flux[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        double d = flux[i] / sum - model[i] / sum_model;
        mse += d * d;
    }
    return mse / n;
}

void nj_rise_fit(uint32_t n, const double *day, const double *flux, const double *flux_err, double *work,
                 nj_rise *rise)
{
    *rise = (nj_rise){ .snratio = 0.1, .mse = 1e8 };
    if (n < NJ_RISE_NIGHTS || n > 100000 || !rises(n, flux)) return;
    double x[3], snr = 0;
    curve d = { n, day, flux, work, work + n, work + 2 * (size_t)n };
    guess(n, day, flux, x);
    if (!isfinite(x[0]) || !isfinite(x[1]) || !isfinite(x[2])) return;
    least_squares(&d, x);
    for (uint32_t i = 0; i < n; i++) snr += flux[i] / flux_err[i];
    if (!isfinite(x[0]) || !isfinite(x[1]) || !isfinite(x[2])) return;
    *rise = (nj_rise){ true, x[0], x[1], x[2], snr / n, shape_error(n, day, flux, x, work), n };
}
