/* rainbow_fit.c - the Rainbow fit: least squares with a barrier at the bounds, from several starts.
 *
 * Given: light curve with upper limits, model (rainbow.c), starts and bounds (rainbow_start.c).
 * Returned: the lowest minimum found of 1/2 sum ((m - F)/sigma)^2 - sum ln Phi((u - F)/sigma) over limits
 *   u + 1e-4 sum (1/y + 1/(1-y)), y = place of a parameter between its bounds; errors of the full second
 *   derivatives.
 * Notes: Levenberg and Marquardt's method with Nielsen's damping. Positive parameters are stepped in their
 *   logarithm: it makes straight the valleys A ~ T^3 of hot sources and ln A ~ t0/r of a rise that only
 *   shows its foot. A step out of the bounds is a rejected one. Gauss-Newton errors would be 1 to 2 times
 *   too large. The reference (Minuit's Migrad, numerical gradient) minimises the same function, not always
 *   to its minimum.
 * Reference: Russeil et al. 2024, A&A 683, A251; Nielsen 1999, IMM-REP-1999-05 (Technical University of
 *   Denmark); Marquardt 1963, J. SIAM 11, 431. */
#include <math.h>
#include <string.h>

#include "nightjar/astro.h"
#include "rainbow.h"

enum { MOST_EVALUATIONS = 400 }; /* of one start */
static const double barrier = 1e-4, first_damping = 1e-3, most_damping = 1e12, most_log_step = 2,
                    least_gain = 1e-8;

typedef struct fitter {
    nj_rainbow_problem *p;
    uint32_t n, index[MOST]; /* parameters that take part */
    bool is_log[MOST];
    uint32_t n_evaluations;
} fitter;

typedef struct point {
    double q[MOST], p[MOST];                              /* steps are made in q; p[index] = +-e^q or q */
    double objective, gradient[MOST], normal[MOST][MOST]; /* lower half */
} point;

typedef struct descent { /* from one start */
    point at;
    double scale[MOST], damping, more;
    uint32_t small;    /* steps in a row that gained almost nothing */
    bool fresh, ended; /* the last step was taken; at a minimum */
} descent;

/* --- the objective --- */

/* Row and derivative by F of an upper limit: row^2 / 2 = -ln Phi(z). */
static double limit_row(double z, double weight, double *by_flux)
{
    double minus_log, hazard; /* -ln Phi, phi / Phi */
    if (z < -30) {
        const double x = -z;
        minus_log = 0.5 * x * x + log(x) + 0.5 * log(2 * NJ_PI) + 1 / (x * x);
        hazard = x + 1 / x;
    } else {
        const double above = 0.5 * erfc(z * M_SQRT1_2), below = 0.5 * erfc(-z * M_SQRT1_2);
        minus_log = z > 0 ? -log1p(-above) : -log(below);
        hazard = exp(-0.5 * z * z) / (sqrt(2 * NJ_PI) * below);
    }
    const double row = sqrt(2 * minus_log);
    *by_flux = row > 0 ? hazard * weight / row : 0;
    return row;
}

static double data_row(const nj_rainbow_problem *p, uint32_t i, double flux, double *by_flux)
{
    if (p->upper && p->upper[i]) return limit_row((p->m[i] - flux) * p->weight[i], p->weight[i], by_flux);
    *by_flux = p->weight[i];
    return (flux - p->m[i]) * p->weight[i];
}

/* Fluxes become residuals, and the columns their derivatives; half the sum of squares. */
static double residuals(const fitter *f, const double *parameter, const double *factor, double *row,
                        double *column)
{
    const nj_rainbow_problem *p = f->p;
    const uint32_t base = nj_rainbow_first_baseline(p->model), n8 = padded(p->n);
    double sum = 0, by[8];
    for (uint32_t i = 0; i < n8; i += 8) {
        for (uint32_t l = 0; l < 8; l++) {
            const uint32_t k = i + l;
            if (k >= p->n) {
                row[k] = by[l] = 0;
                continue;
            }
            row[k] = data_row(p, k, row[k] + (p->model->baseline ? parameter[base + p->band[k]] : 0), &by[l]);
            sum += 0.5 * row[k] * row[k];
        }
        for (uint32_t a = 0; a < f->n; a++) {
            double *to = column + (size_t)a * n8 + i;
            const uint32_t k = f->index[a];
            for (uint32_t l = 0; l < 8; l++)
                to[l] = by[l] * (k < base ? to[l] * factor[a] : i + l < p->n && p->band[i + l] == k - base);
        }
    }
    return sum;
}

/* Fills objective, gradient and normal equations at x->p; false: out of bounds or not finite. */
static bool evaluate(fitter *f, point *x)
{
    nj_rainbow_problem *p = f->p;
    const uint32_t n8 = padded(p->n);
    double factor[MOST];
    f->n_evaluations++;
    x->objective = 0;
    for (uint32_t a = 0; a < f->n; a++) {
        const uint32_t k = f->index[a];
        if (!(x->p[k] > p->low[k] && x->p[k] < p->high[k])) return false;
        factor[a] = f->is_log[a] ? x->p[k] : 1;
    }
    nj_rainbow_prepare(p->model, &p->bands, x->p);
    nj_rainbow_columns(p->isa, p->model, &p->bands, x->p, n8, p->t, p->kelvin, p->factor, p->row, p->column);
    x->objective = residuals(f, x->p, factor, p->row, p->column);
    nj_rainbow_normals(p->isa, f->n, n8, p->row, p->column, x->gradient, x->normal[0]);
    for (uint32_t a = 0; a < f->n; a++) {
        const uint32_t k = f->index[a];
        const double range = p->high[k] - p->low[k], y = (x->p[k] - p->low[k]) / range,
                     z = (p->high[k] - x->p[k]) / range, height = barrier * (1 / y + 1 / z),
                     row = sqrt(2 * height),
                     slope = factor[a] * barrier * (1 / (z * z) - 1 / (y * y)) / (range * row);
        x->objective += height;
        x->gradient[a] += row * slope;
        x->normal[a][a] += slope * slope;
    }
    return isfinite(x->objective);
}

/* --- linear algebra of a few dimensions: lower halves --- */

/* Cholesky's factor in place; false: not positive definite. */
static bool factorise(double m[MOST][MOST], uint32_t n)
{
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b <= a; b++) {
            double sum = m[a][b];
            for (uint32_t k = 0; k < b; k++) sum -= m[a][k] * m[b][k];
            if (a != b) {
                m[a][b] = sum / m[b][b];
            } else if (!(sum > 0) || !isfinite(sum)) {
                return false;
            } else {
                m[a][a] = sqrt(sum);
            }
        }
    }
    return true;
}

static void solve(double m[MOST][MOST], uint32_t n, double *x)
{
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t k = 0; k < a; k++) x[a] -= m[a][k] * x[k];
        x[a] /= m[a][a];
    }
    for (uint32_t a = n; a-- > 0;) {
        for (uint32_t k = a + 1; k < n; k++) x[a] -= m[k][a] * x[k];
        x[a] /= m[a][a];
    }
}

/* The inverse (all of it) by the matrix of unit diagonal; false: not positive definite. */
static bool invert(double m[MOST][MOST], uint32_t n, double inverse[MOST][MOST])
{
    double scale[MOST], root[MOST][MOST];
    for (uint32_t a = 0; a < n; a++) {
        if (!(m[a][a] > 0)) return false;
        scale[a] = 1 / sqrt(m[a][a]);
    }
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b <= a; b++) root[a][b] = m[a][b] * scale[a] * scale[b];
    if (!factorise(root, n)) return false;
    for (uint32_t a = 0; a < n; a++) {
        double x[MOST] = { 0 };
        x[a] = 1;
        solve(root, n, x);
        for (uint32_t b = 0; b < n; b++) inverse[b][a] = x[b] * scale[a] * scale[b];
        if (!(inverse[a][a] > 0) || !isfinite(inverse[a][a])) return false;
    }
    return true;
}

/* --- descent --- */

static void set_parameters(const fitter *f, const double *from, point *x)
{
    memcpy(x->p, from, sizeof x->p);
    for (uint32_t a = 0; a < f->n; a++) {
        const double p = from[f->index[a]];
        x->q[a] = f->is_log[a] ? log(fabs(p)) : p;
    }
}

/* The step from x by the damped normal equations into `to`; the fall of the objective that they foresee. NaN:
 * none. */
static double step(const fitter *f, const point *x, const double *scale, double damping, point *to)
{
    double m[MOST][MOST], s[MOST], longest = 0, foreseen = 0;
    for (uint32_t a = 0; a < f->n; a++) {
        s[a] = -x->gradient[a];
        for (uint32_t b = 0; b <= a; b++) m[a][b] = x->normal[a][b];
        m[a][a] += damping * scale[a];
    }
    if (!factorise(m, f->n)) return NAN;
    solve(m, f->n, s);
    for (uint32_t a = 0; a < f->n; a++)
        if (f->is_log[a]) longest = fmax(longest, fabs(s[a]));
    const double shorten = longest > most_log_step ? most_log_step / longest : 1;
    memcpy(to->p, x->p, sizeof to->p);
    for (uint32_t a = 0; a < f->n; a++) {
        s[a] *= shorten;
        to->q[a] = x->q[a] + s[a];
        const double old = x->p[f->index[a]];
        to->p[f->index[a]] = f->is_log[a] ? copysign(exp(to->q[a]), old) : to->q[a];
    }
    for (uint32_t a = 0; a < f->n; a++) {
        double row = 0.5 * x->normal[a][a] * s[a];
        for (uint32_t b = 0; b < a; b++) row += x->normal[a][b] * s[b];
        foreseen -= s[a] * (x->gradient[a] + row);
    }
    return foreseen;
}

/* Lowers d->at by at most so many evaluations more. */
static void descend(fitter *f, descent *d, uint32_t evaluations)
{
    point trial = { 0 };
    const uint32_t end = f->n_evaluations + evaluations;
    while (!d->ended && f->n_evaluations < end) {
        if (d->fresh)
            for (uint32_t a = 0; a < f->n; a++)
                d->scale[a] = fmax(fmax(d->scale[a] / 2, d->at.normal[a][a]), 1e-300);
        const double foreseen = step(f, &d->at, d->scale, d->damping, &trial);
        const bool good = isfinite(foreseen) && evaluate(f, &trial);
        const double gain = good ? d->at.objective - trial.objective : -1;
        d->fresh = gain > 0 || (gain == 0 && foreseen >= 0);
        if (!d->fresh) {
            f->n_evaluations += !isfinite(foreseen);
            d->damping *= d->more;
            d->more *= 2;
            d->ended = d->damping > most_damping || (good && foreseen < 1e-13 * d->at.objective);
            continue;
        }
        const double quality = foreseen > 0 ? 2 * gain / foreseen - 1 : 0;
        d->damping *= fmax(1.0 / 3, 1 - quality * quality * quality);
        d->more = 2;
        d->small = gain < fmin(least_gain * trial.objective, 1e-6) ? d->small + 1 : 0;
        d->at = trial;
        d->ended = d->small == 2;
    }
}

static void begin(fitter *f, descent *d, const double *start)
{
    *d = (descent){ .damping = first_damping, .more = 2, .fresh = true };
    set_parameters(f, start, &d->at);
    if (evaluate(f, &d->at)) return;
    d->at.objective = INFINITY;
    d->ended = true;
}

/* --- errors --- */

/* Second derivatives by central differences of the gradient, in the parameters themselves; lower half. */
static bool second_derivatives(fitter *f, const point *at, double inverse[MOST][MOST], double m[MOST][MOST])
{
    point x = *at;
    for (uint32_t a = 0; a < f->n; a++) {
        const uint32_t k = f->index[a];
        const double room = fmin(at->p[k] - f->p->low[k], f->p->high[k] - at->p[k]),
                     h = fmin(1e-3 * sqrt(inverse[a][a]), 0.1 * room);
        double low[MOST];
        x.p[k] = at->p[k] - h;
        if (!evaluate(f, &x)) return false;
        memcpy(low, x.gradient, sizeof low);
        x.p[k] = at->p[k] + h;
        if (!evaluate(f, &x)) return false;
        for (uint32_t b = 0; b < f->n; b++) {
            const double second = (x.gradient[b] - low[b]) / (2 * h);
            if (b <= a)
                m[a][b] = b < a ? 0.5 * (m[a][b] + second) : second;
            else
                m[b][a] = second;
        }
        x.p[k] = at->p[k];
    }
    return true;
}

static double unit_of(const nj_rainbow_problem *p, uint32_t k)
{
    const uint32_t first = first_temperature(p->model), base = nj_rainbow_first_baseline(p->model);
    if (k == AMPLITUDE || k >= base) return p->std_m;
    if (k == T0 || k >= first + 2) return p->std_t;
    if (k >= first) return 1;
    return p->model->bolometric == NJ_DOUBLEXP && k == FIRST_SHAPE + 2 ? 1 : p->std_t;
}

static void give_errors(fitter *f, const point *best, nj_rainbow_fit *fit)
{
    double inverse[MOST][MOST] = { 0 }, second[MOST][MOST] = { 0 }, m[MOST][MOST] = { 0 };
    point x = *best;
    for (uint32_t a = 0; a < f->n; a++) f->is_log[a] = false;
    if (!evaluate(f, &x)) return;
    memcpy(m, x.normal, sizeof m);
    if (!invert(m, f->n, inverse)) return;
    fit->hessian = second_derivatives(f, best, inverse, second) && invert(second, f->n, m);
    if (fit->hessian) memcpy(inverse, m, sizeof inverse);
    for (uint32_t a = 0; a < f->n; a++)
        for (uint32_t b = 0; b < f->n; b++) {
            const uint32_t j = f->index[a], k = f->index[b];
            fit->covariance[j * fit->n_parameters + k] = inverse[a][b] * unit_of(f->p, j) * unit_of(f->p, k);
            if (j == k) fit->error[j] = sqrt(inverse[a][a]) * unit_of(f->p, j);
        }
}

/* --- the fit --- */

/* How many starts must end at the lowest objective: where it is as low as noise leaves it, a lower one would
 * mean little; above, two starts can lie in the same wrong valley. */
static uint32_t enough(const fitter *f, double objective)
{
    const double noise = 0.5 * ((double)f->p->n - f->n);
    return objective <= noise ? 2 : 3;
}

static double chi2_of(nj_rainbow_problem *p, const double *parameter)
{
    const uint32_t base = nj_rainbow_first_baseline(p->model);
    double sum = 0, unused;
    nj_rainbow_prepare(p->model, &p->bands, parameter);
    for (uint32_t i = 0; i < p->n; i++) {
        double flux = nj_rainbow_value(p->model, &p->bands, parameter, p->t[i], p->band[i], NULL);
        if (p->model->baseline) flux += parameter[base + p->band[i]];
        const double row = data_row(p, i, flux, &unused);
        sum += row * row;
    }
    return sum;
}

static void choose_parameters(fitter *f, nj_rainbow_problem *p)
{
    const uint32_t first = first_temperature(p->model), base = nj_rainbow_first_baseline(p->model);
    *f = (fitter){ .p = p };
    for (uint32_t k = 0; k < p->n_p; k++) {
        if (is_idle(p, k)) continue;
        f->is_log[f->n] = k != T0 && k < base && k != first + 3; /* t_delay has either sign */
        f->index[f->n++] = k;
    }
}

static void give_up(nj_rainbow_fit *fit, uint32_t n_p)
{
    *fit = (nj_rainbow_fit){
        .n_parameters = n_p, .objective = NAN, .chi2 = NAN, .half_chi2_dof = NAN, .chi2_dof = NAN
    };
    for (uint32_t k = 0; k < MOST; k++) fit->parameter[k] = fit->error[k] = NAN;
    for (uint32_t k = 0; k < MOST * MOST; k++) fit->covariance[k] = NAN;
}

void nj_rainbow_fit_points(const nj_rainbow *model, const nj_rainbow_points *points, uint32_t n_starts,
                           double *work, nj_rainbow_fit *fit)
{
    nj_rainbow_problem p;
    fitter f;
    point best = { .objective = INFINITY };
    descent d;
    uint32_t agree = 0;
    double start[MOST] = { 0 };
    give_up(fit, nj_rainbow_parameters(model));
    if (!nj_rainbow_scale(model, points, work, &p)) return;
    choose_parameters(&f, &p);
    if (points->n < f.n) return;
    for (uint32_t k = 0; k < n_starts && k < NJ_RAINBOW_STARTS && agree < enough(&f, best.objective); k++) {
        nj_rainbow_start(&p, k, start);
        begin(&f, &d, start);
        descend(&f, &d, MOST_EVALUATIONS);
        fit->n_starts++;
        const double lower = best.objective - d.at.objective, same = fmin(1e-4 * d.at.objective, 0.01) + 1e-3;
        if (fabs(lower) <= same)
            agree += d.ended;
        else if (lower > 0)
            agree = d.ended;
        if (!(lower > 0)) continue;
        best = d.at;
        fit->converged = d.ended;
    }
    if (!isfinite(best.objective)) return;
    fit->fitted = true;
    fit->objective = best.objective;
    fit->chi2 = chi2_of(&p, best.p);
    if (p.n > f.n) {
        fit->half_chi2_dof = fit->objective / (p.n - f.n);
        fit->chi2_dof = fit->chi2 / (p.n - f.n);
    }
    give_errors(&f, &best, fit);
    fit->n_evaluations = f.n_evaluations;
    const uint32_t base = nj_rainbow_first_baseline(model);
    for (uint32_t k = 0; k < p.n_p; k++) {
        if (is_idle(&p, k)) continue;
        fit->parameter[k] = best.p[k] * unit_of(&p, k) + (k == T0     ? p.mean_t
                                                          : k >= base ? p.shift[k - base]
                                                                      : 0);
    }
}
