/* phase.c - phase curves of asteroids: basis functions, models, and their fit within bounds.
 *
 * Given: reduced magnitudes, phase angles, bands, and for the spin the directions in which the object was
 *   seen.
 * Returned: H and G, G12 or G1, G2 per band; with SHG1G2 the flattening R and the pole, common to all
 *   bands; errors inv(J^T J) times the mean square of the residuals.
 * Notes: the loss is 2 (sqrt(1 + r^2) - 1) of residuals in mag, as the reference's (unweighted there; over
 *   their errors when asked). Levenberg and Marquardt's method with the loss as weights; a parameter at
 *   its bound stays there while the gradient points out. The pole starts at four right ascensions, since a
 *   bound at 0 can hold it; a pole and its twin on the other side fit equally well. Splines are cubic with
 *   given end slopes, linear outside; negative values of them are 0.
 * Reference: Bowell et al. 1989, Asteroids II, 524; Muinonen et al. 2010, Icarus 209, 542,
 *   doi:10.1016/j.icarus.2010.04.003; Penttilae et al. 2016, PSS 123, 117; Carry et al. 2024, A&A 687,
 *   A38. */
#include "nightjar/phase.h"

#include <math.h>
#include <string.h>

#include "nightjar/astro.h"

enum { MOST = NJ_PHASE_PARAMETERS, KNOTS = 9, POLE_STARTS = 12, FIRST_LOOK = 40, MOST_EVALUATIONS = 400 };

/* --- basis functions --- */

void nj_phase_hg(double phase, double basis[2])
{
    static const double a[2] = { 3.332, 1.862 }, b[2] = { 0.631, 1.218 }, c[2] = { 0.986, 0.238 };
    const double s = sin(phase), t = tan(0.5 * phase), W = exp(-90.56 * t * t);
    for (int k = 0; k < 2; k++)
        basis[k] =
            W * (1 - c[k] * s / (0.119 + 1.341 * s - 0.754 * s * s)) + (1 - W) * exp(-a[k] * pow(t, b[k]));
}

typedef struct spline {
    uint32_t n;
    double x[KNOTS], y[KNOTS], bend[KNOTS], first, last; /* second derivatives at the knots; end slopes */
} spline;

/* Second derivatives of the clamped spline (tridiagonal system). */
static spline make_spline(uint32_t n, const double *degree, const double *y, double first, double last)
{
    spline s = { .n = n, .first = first, .last = last };
    double ratio[KNOTS];
    for (uint32_t k = 0; k < n; k++) s.x[k] = degree[k] * NJ_RAD_PER_DEG, s.y[k] = y[k];
    const double h0 = s.x[1] - s.x[0];
    ratio[0] = 0.5;
    s.bend[0] = 3 / h0 * ((s.y[1] - s.y[0]) / h0 - first);
    for (uint32_t k = 1; k < n; k++) {
        const double h = s.x[k] - s.x[k - 1], slope = (s.y[k] - s.y[k - 1]) / h;
        const bool end = k + 1 == n;
        const double next = end ? 0 : s.x[k + 1] - s.x[k],
                     diagonal = (end ? 2 * h : 2 * (h + next)) - h * ratio[k - 1],
                     right = 6 * ((end ? last : (s.y[k + 1] - s.y[k]) / next) - slope);
        ratio[k] = next / diagonal;
        s.bend[k] = (right - h * s.bend[k - 1]) / diagonal;
    }
    for (uint32_t k = n - 1; k-- > 0;) s.bend[k] -= ratio[k] * s.bend[k + 1];
    return s;
}

static double at(const spline *s, double x)
{
    const uint32_t last = s->n - 1;
    double y;
    if (x <= s->x[0]) {
        y = s->y[0] + s->first * (x - s->x[0]);
    } else if (x >= s->x[last]) {
        y = s->y[last] + s->last * (x - s->x[last]);
    } else {
        uint32_t k = 0;
        while (x > s->x[k + 1]) k++;
        const double h = s->x[k + 1] - s->x[k], a = (s->x[k + 1] - x) / h, b = (x - s->x[k]) / h;
        y = a * s->y[k] + b * s->y[k + 1] +
            ((a * a * a - a) * s->bend[k] + (b * b * b - b) * s->bend[k + 1]) * h * h / 6;
    }
    return y > 0 ? y : 0;
}

static void make_splines(spline s[3])
{
    static const double wide[] = { 7.5, 30, 60, 90, 120, 150 }, narrow[] = { 0, 0.3, 1, 2, 4, 8, 12, 20, 30 };
    static const double f1[] = { 0.75, 0.33486016, 0.13410560, 0.051104756, 0.021465687, 0.0036396989 },
                        f2[] = { 0.925, 0.62884169, 0.31755495, 0.12716367, 0.022373903, 0.00016505689 },
                        f3[] = { 1,          0.83381185,  0.57735424,  0.42144772, 0.23174230,
                                 0.10348178, 0.061733473, 0.016107006, 0 };
    s[0] = make_spline(6, wide, f1, -1.9098593, -0.091328612);
    s[1] = make_spline(6, wide, f2, -0.57295780, -8.6573138e-8);
    s[2] = make_spline(9, narrow, f3, -1.0630097, 0);
}

void nj_phase_hg1g2(double phase, double basis[3])
{
    spline s[3];
    make_splines(s);
    for (int k = 0; k < 3; k++) basis[k] = at(&s[k], phase);
}

/* --- models --- */

uint32_t nj_phase_shape(nj_phase_model model)
{
    return model == NJ_HG || model == NJ_HG12 ? 1 : 2;
}

uint32_t nj_phase_parameters(nj_phase_model model, uint32_t n_bands)
{
    return n_bands * (1 + nj_phase_shape(model)) + (model == NJ_SHG1G2 ? 3 : 0);
}

static const double g1_of_g12 = 0.84293649, g2_of_g12 = 0.53513350;

/* Magnitude by the parameters of one band and its derivatives by H and the shape; NaN where the flux is not
 * positive. */
static double mag_of(nj_phase_model model, const double *p, const double *f, double *d)
{
    double flux, by[2] = { 0, 0 };
    if (model == NJ_HG) {
        flux = (1 - p[1]) * f[0] + p[1] * f[1];
        by[0] = f[1] - f[0];
    } else if (model == NJ_HG12) {
        const double g1 = g1_of_g12 * p[1], g2 = g2_of_g12 * (1 - p[1]);
        flux = g1 * f[0] + g2 * f[1] + (1 - g1 - g2) * f[2];
        by[0] = g1_of_g12 * (f[0] - f[2]) - g2_of_g12 * (f[1] - f[2]);
    } else {
        flux = p[1] * f[0] + p[2] * f[1] + (1 - p[1] - p[2]) * f[2];
        by[0] = f[0] - f[2];
        by[1] = f[1] - f[2];
    }
    d[0] = 1;
    for (uint32_t k = 0; k < nj_phase_shape(model); k++) d[1 + k] = -NJ_MAG_PER_RELATIVE_FLUX * by[k] / flux;
    return flux > 0 ? p[0] - 2.5 * log10(flux) : NAN;
}

typedef struct direction {
    double sin_ra, cos_ra, sin_dec, cos_dec;
} direction;

static direction direction_of(double ra, double dec)
{
    return (direction){ sin(ra), cos(ra), sin(dec), cos(dec) };
}

/* What the aspect adds at a flattening and pole, and its derivatives by R, alpha0, delta0. */
static double spin_mag(double R, const direction *pole, const direction *at, double *d)
{
    const double along = at->cos_ra * pole->cos_ra + at->sin_ra * pole->sin_ra,
                 across = at->sin_ra * pole->cos_ra - at->cos_ra * pole->sin_ra,
                 c = at->sin_dec * pole->sin_dec + at->cos_dec * pole->cos_dec * along,
                 flux = 1 - (1 - R) * fabs(c), unit = NJ_MAG_PER_RELATIVE_FLUX / flux,
                 by_c = -(1 - R) * (c < 0 ? -1 : 1) * unit;
    d[0] = fabs(c) * unit;
    d[1] = by_c * at->cos_dec * pole->cos_dec * across;
    d[2] = by_c * (at->sin_dec * pole->cos_dec - at->cos_dec * pole->sin_dec * along);
    return 2.5 * log10(flux);
}

double nj_phase_mag(nj_phase_model model, const double *parameter, uint32_t band, uint32_t n_bands,
                    double phase, double ra, double dec)
{
    const uint32_t each = 1 + nj_phase_shape(model);
    double f[3] = { 0 }, d[3];
    if (model == NJ_HG)
        nj_phase_hg(phase, f);
    else
        nj_phase_hg1g2(phase, f);
    const double mag = mag_of(model, parameter + band * each, f, d);
    if (model != NJ_SHG1G2) return mag;
    const double *spin = parameter + n_bands * each;
    const direction pole = direction_of(spin[1], spin[2]), seen = direction_of(ra, dec);
    return mag + spin_mag(spin[0], &pole, &seen, d);
}

/* --- the fit --- */

typedef struct problem {
    nj_phase_model model;
    const nj_phase_points *points;
    bool weighted;
    const double *basis;   /* [n][3] */
    const direction *seen; /* [n], of the spin alone */
    uint32_t n, n_p, each;
    double low[MOST], high[MOST];
} problem;

typedef struct state {
    double x[MOST], cost, gradient[MOST], normal[MOST][MOST]; /* lower half */
} state;

static direction pole_of(const problem *p, const double *x)
{
    return p->model == NJ_SHG1G2 ? direction_of(x[p->n_p - 2], x[p->n_p - 1]) : (direction){ 0 };
}

/* The derivatives of point i, sparse: place and value; their number. Returned: model minus magnitude. */
static double residual(const problem *p, const double *x, const direction *pole, uint32_t i, uint32_t *place,
                       double *d, uint32_t *n)
{
    const nj_phase_points *q = p->points;
    const uint32_t first = q->band[i] * p->each;
    double r = mag_of(p->model, x + first, p->basis + 3 * (size_t)i, d) - q->mag[i];
    *n = p->each;
    for (uint32_t k = 0; k < p->each; k++) place[k] = first + k;
    if (p->model != NJ_SHG1G2) return r;
    r += spin_mag(x[p->n_p - 3], pole, &p->seen[i], d + p->each);
    for (uint32_t k = 0; k < 3; k++) place[(*n)++] = p->n_p - 3 + k;
    return r;
}

/* loss: with the reference's; else the plain squares. False: not finite. */
static bool evaluate(const problem *p, state *s, bool loss)
{
    const direction pole = pole_of(p, s->x);
    s->cost = 0;
    for (uint32_t a = 0; a < p->n_p; a++) {
        s->gradient[a] = 0;
        memset(s->normal[a], 0, (a + 1) * sizeof s->normal[a][0]);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        double d[6], r;
        uint32_t place[6], n;
        r = residual(p, s->x, &pole, i, place, d, &n);
        const double unit = p->weighted ? 1 / p->points->err[i] : 1;
        r *= unit;
        const double root = loss ? sqrt(1 + r * r) : 1, weight = unit * unit / root;
        s->cost += loss ? root - 1 : 0.5 * r * r;
        for (uint32_t a = 0; a < n; a++) {
            s->gradient[place[a]] += d[a] * (r / unit) * weight;
            for (uint32_t b = 0; b <= a; b++) s->normal[place[a]][place[b]] += d[a] * d[b] * weight;
        }
    }
    return isfinite(s->cost);
}

/* Cholesky's factor of the n x n lower half in place; false: not positive definite. */
static bool factorise(double m[MOST][MOST], uint32_t n)
{
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b <= a; b++) {
            double sum = m[a][b];
            for (uint32_t k = 0; k < b; k++) sum -= m[a][k] * m[b][k];
            if (a != b)
                m[a][b] = sum / m[b][b];
            else if (!(sum > 1e-14 * m[a][a]))
                return false;
            else
                m[a][a] = sqrt(sum);
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

/* The damped step of the parameters that are free to move. */
static bool step(const problem *p, const state *s, double damping, state *to)
{
    uint32_t index[MOST], n = 0;
    double m[MOST][MOST], d[MOST];
    for (uint32_t a = 0; a < p->n_p; a++) {
        const bool held =
            (s->x[a] <= p->low[a] && s->gradient[a] > 0) || (s->x[a] >= p->high[a] && s->gradient[a] < 0);
        if (!held) index[n++] = a;
    }
    for (uint32_t a = 0; a < n; a++) {
        d[a] = -s->gradient[index[a]];
        for (uint32_t b = 0; b <= a; b++) m[a][b] = s->normal[index[a]][index[b]];
        m[a][a] += damping * (m[a][a] + 1e-12);
    }
    if (!factorise(m, n)) return false;
    solve(m, n, d);
    memcpy(to->x, s->x, sizeof to->x);
    for (uint32_t a = 0; a < n; a++)
        to->x[index[a]] = fmin(fmax(s->x[index[a]] + d[a], p->low[index[a]]), p->high[index[a]]);
    return true;
}

static bool descend(const problem *p, state *s, int evaluations)
{
    double damping = 1e-3;
    uint32_t small = 0;
    state trial;
    if (!evaluate(p, s, true)) {
        s->cost = INFINITY;
        return false;
    }
    for (int n = 1; n < evaluations; n++) {
        if (step(p, s, damping, &trial) && evaluate(p, &trial, true) && trial.cost <= s->cost) {
            small = s->cost - trial.cost <= 1e-13 * trial.cost ? small + 1 : 0;
            *s = trial;
            damping = fmax(damping / 5, 1e-12);
            if (small == 3) return true;
        } else {
            damping *= 4;
            if (damping > 1e12) return true;
        }
    }
    return false;
}

static void bounds(problem *p)
{
    const bool spin = p->model == NJ_SHG1G2;
    for (uint32_t k = 0; k < p->n_p; k++) {
        const bool is_h = k % p->each == 0;
        p->low[k] = is_h ? -3 : spin ? -0.429 : p->model == NJ_HG12 ? -0.29 : 0;
        p->high[k] = is_h ? 30 : spin ? 1.429 : p->model == NJ_HG12 ? 1.6979 : 1;
    }
    if (!spin) return;
    const double low[] = { 0.3, 0, -0.5 * NJ_PI }, high[] = { 1, 2 * NJ_PI, 0.5 * NJ_PI };
    memcpy(p->low + p->n_p - 3, low, sizeof low);
    memcpy(p->high + p->n_p - 3, high, sizeof high);
}

static void set_start(const problem *p, uint32_t k, double *x)
{
    for (uint32_t i = 0; i < p->n_p; i++) x[i] = i % p->each ? 0.15 : 15;
    if (p->model != NJ_SHG1G2) return;
    const double spin[] = { 0.8, NJ_PI * (1 + 0.5 * (k % 4)), 0.7 * (k / 4 == 1) - 0.7 * (k / 4 == 2) };
    memcpy(x + p->n_p - 3, spin, sizeof spin);
    if (x[p->n_p - 2] >= 2 * NJ_PI) x[p->n_p - 2] -= 2 * NJ_PI - 0.1;
}

static void give_errors(const problem *p, state *s, nj_phase_fit *fit)
{
    double m[MOST][MOST];
    if (!evaluate(p, s, false)) return;
    const double mean_square = 2 * s->cost / (p->n - p->n_p);
    memcpy(m, s->normal, sizeof m);
    fit->errors = p->n > p->n_p && factorise(m, p->n_p);
    for (uint32_t a = 0; fit->errors && a < p->n_p; a++) {
        double x[MOST] = { 0 };
        x[a] = 1;
        solve(m, p->n_p, x);
        fit->error[a] = sqrt(x[a] * mean_square);
    }
}

static void give_residuals(const problem *p, const state *s, nj_phase_fit *fit)
{
    const direction pole = pole_of(p, s->x);
    double squares[NJ_PHASE_BANDS] = { 0 }, all = 0, chi2 = 0;
    uint32_t count[NJ_PHASE_BANDS] = { 0 };
    for (uint32_t i = 0; i < p->n; i++) {
        double d[6], r;
        uint32_t place[6], n;
        r = residual(p, s->x, &pole, i, place, d, &n);
        squares[p->points->band[i]] += r * r;
        count[p->points->band[i]]++;
        all += r * r;
        chi2 += r * r / (p->points->err[i] * p->points->err[i]);
    }
    fit->rms = sqrt(all / p->n);
    fit->chi2red = p->n > p->n_p + 1 ? chi2 / (p->n - p->n_p - 1) : NAN;
    for (uint32_t b = 0; b < p->points->n_bands; b++)
        if (count[b]) fit->rms_band[b] = sqrt(squares[b] / count[b]);
}

void nj_phase_fit_points(nj_phase_model model, const nj_phase_points *points, bool weighted, double *work,
                         nj_phase_fit *fit)
{
    problem p = { .model = model,
                  .points = points,
                  .weighted = weighted,
                  .basis = work,
                  .n = points->n,
                  .n_p = nj_phase_parameters(model, points->n_bands),
                  .each = 1 + nj_phase_shape(model) };
    state best = { .cost = INFINITY }, second = { .cost = INFINITY }, s;
    spline splines[3];
    *fit = (nj_phase_fit){ .n_parameters = p.n_p, .rms = NAN, .chi2red = NAN };
    for (uint32_t k = 0; k < MOST; k++) fit->parameter[k] = fit->error[k] = NAN;
    for (uint32_t b = 0; b < NJ_PHASE_BANDS; b++) fit->rms_band[b] = NAN;
    if (p.n < p.n_p) return;
    direction *seen = (direction *)(work + 3 * (size_t)p.n);
    p.seen = seen;
    make_splines(splines);
    for (uint32_t i = 0; i < p.n; i++) {
        if (model == NJ_SHG1G2) seen[i] = direction_of(points->ra[i], points->dec[i]);
        double *f = work + 3 * (size_t)i;
        f[2] = 0;
        if (model == NJ_HG)
            nj_phase_hg(points->phase[i], f);
        else
            for (int k = 0; k < 3; k++) f[k] = at(&splines[k], points->phase[i]);
    }
    bounds(&p);
    const uint32_t n_starts = model == NJ_SHG1G2 ? POLE_STARTS : 1;
    for (uint32_t k = 0; k < n_starts; k++) {
        set_start(&p, k, s.x);
        descend(&p, &s, n_starts > 1 ? FIRST_LOOK : MOST_EVALUATIONS);
        if (s.cost < second.cost) second = s;
        if (!(second.cost < best.cost)) continue;
        const state lower = second;
        second = best;
        best = lower;
    }
    fit->converged = descend(&p, &best, MOST_EVALUATIONS);
    if (n_starts > 1) descend(&p, &second, MOST_EVALUATIONS);
    if (second.cost < best.cost) best = second;
    if (!isfinite(best.cost)) return;
    fit->fitted = true;
    give_errors(&p, &best, fit);
    give_residuals(&p, &best, fit);
    memcpy(fit->parameter, best.x, p.n_p * sizeof *best.x);
}
