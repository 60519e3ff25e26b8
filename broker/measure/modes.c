/* modes.c - a mean hides that a module has a fast and a slow path; this tests whether costs have one mode or
 * several. */
#include "modes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NULL_SAMPLES = 999, MAX_N = 2000, LEAST_N = 16, LEAST_IN_MODE = 5, STEPS = 300 };
static const double P_LIMIT = 0.01, D_LIMIT = 2, LEAST_WEIGHT = 0.02;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The empirical distribution as steps: at v[k] it goes from below[k] to upto[k] (counts). hull: work area. */
typedef struct steps {
    double *v, *below, *upto, *g, *l; /* g, l: minorant and majorant at every step */
    uint32_t *hull, n;
} steps;

/* Greatest convex minorant (sign 1) or least concave majorant (sign -1) of height on [lo, hi],
 * at each step. */
static void fit(const steps *s, const double *height, double sign, uint32_t lo, uint32_t hi, double *at)
{
    uint32_t n = 0;
    for (uint32_t k = lo; k <= hi; k++) {
        while (n > 1) {
            uint32_t a = s->hull[n - 2], b = s->hull[n - 1];
            double turn =
                (height[b] - height[a]) * (s->v[k] - s->v[a]) - (height[k] - height[a]) * (s->v[b] - s->v[a]);
            if (sign * turn < 0) break;
            n--;
        }
        s->hull[n++] = k;
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t a = s->hull[i], b = s->hull[i + 1];
        double slope = (height[b] - height[a]) / (s->v[b] - s->v[a]);
        for (uint32_t k = a; k < b; k++) at[k] = height[a] + slope * (s->v[k] - s->v[a]);
    }
    at[hi] = height[hi];
}

/* A step where the fit touches the distribution. The comparison is exact:
 * fit() writes the height itself at its corners. */
static bool touches(const double *at, const double *height, uint32_t k)
{
    return at[k] == height[k];
}

/* The algorithm of section 5 of the paper, in counts; the dip is half of what it ends with, over n. */
static double dip_of(const steps *s)
{
    uint32_t lo = 0, hi = s->n - 1;
    double found = 1;
    while (lo < hi) {
        fit(s, s->below, 1, lo, hi, s->g);
        fit(s, s->upto, -1, lo, hi, s->l);
        double apart = -1;
        uint32_t where = lo;
        bool on_minorant = true;
        for (uint32_t k = lo; k <= hi; k++) {
            double gap = s->l[k] - s->g[k];
            bool g = touches(s->g, s->below, k), l = touches(s->l, s->upto, k);
            if (!(g || l) || gap <= apart) continue;
            apart = gap;
            where = k;
            on_minorant = g;
        }
        if (apart <= found) break;
        uint32_t new_lo = where, new_hi = where;
        if (on_minorant)
            while (new_hi < hi && !touches(s->l, s->upto, new_hi)) new_hi++;
        else
            while (new_lo > lo && !touches(s->g, s->below, new_lo)) new_lo--;
        for (uint32_t k = lo; k <= new_lo; k++) found = fmax(found, s->upto[k] - s->g[k]);
        for (uint32_t k = new_hi; k <= hi; k++) found = fmax(found, s->l[k] - s->below[k]);
        if (new_lo == lo && new_hi == hi) break;
        lo = new_lo;
        hi = new_hi;
    }
    return found;
}

static int make_steps(steps *s, uint32_t n)
{
    s->v = malloc((size_t)n * (5 * sizeof *s->v + sizeof *s->hull));
    if (!s->v) return -1;
    s->below = s->v + n;
    s->upto = s->below + n;
    s->g = s->upto + n;
    s->l = s->g + n;
    s->hull = (uint32_t *)(s->l + n);
    return 0;
}

static double dip_with(steps *s, const double *value, uint32_t n)
{
    s->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!s->n || value[i] != s->v[s->n - 1]) {
            s->v[s->n] = value[i];
            s->below[s->n++] = i;
        }
        s->upto[s->n - 1] = i + 1;
    }
    return dip_of(s) / (2.0 * n);
}

double nj_dip(const double *value, uint32_t n)
{
    steps s;
    if (!n || make_steps(&s, n)) return NAN;
    double dip = dip_with(&s, value, n);
    free(s.v);
    return dip;
}

double nj_dip_p(double dip, uint32_t n)
{
    steps s;
    double *value = n ? malloc(n * sizeof *value) : NULL;
    if (!value || make_steps(&s, n)) return free(value), NAN;
    uint32_t as_large = 0;
    uint64_t x = UINT64_C(0x2545F4914F6CDD1D); /* xorshift64*, Vigna 2016: the same null samples
                                                * in every run */
    for (int i = 0; i < NULL_SAMPLES; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < n; k++) { /* exponential spacings: uniform order statistics without a sort */
            x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
            double u = ((double)((x * UINT64_C(2685821657736338717)) >> 11) + 0.5) / 9007199254740992.0;
            value[k] = sum += -log(u);
        }
        as_large += dip_with(&s, value, n) >= dip;
    }
    free(s.v);
    free(value);
    return (as_large + 1.0) / (NULL_SAMPLES + 1.0);
}

/* ---- normal distributions -------------------------------------------------------------------- */

static double density(const nj_mode *m, double x)
{
    double z = (x - m->mean) / m->sd;
    return m->weight / m->sd * exp(-0.5 * z * z);
}

/* Sums of v and of v^2 before each position, so that the scatter of any stretch is two differences away. */
typedef struct sums {
    double *v, *square;
} sums;

static double scatter(const sums *s, uint32_t from, uint32_t to)
{
    double n = to - from, sum = s->v[to] - s->v[from];
    return fmax(s->square[to] - s->square[from] - sum * sum / n, 0);
}

/* The cuts of the sorted values into k stretches that leave the least scatter within them, by dynamic
 * programming: cost[j][i] is that of the first i values in j + 1 stretches. cut[k + 1] ends with n. */
static int best_cuts(const sums *s, uint32_t n, uint32_t k, uint32_t *cut)
{
    double *cost = calloc((size_t)k * (n + 1), sizeof *cost);
    uint32_t *from = calloc((size_t)k * (n + 1), sizeof *from);
    int rc = cost && from ? 0 : -1;
    for (uint32_t i = 1; i <= n && rc == 0; i++) cost[i] = scatter(s, 0, i), from[i] = 0;
    for (uint32_t j = 1; j < k && rc == 0; j++)
        for (uint32_t i = j + 1; i <= n; i++) {
            double *best = &cost[(size_t)j * (n + 1) + i];
            *best = INFINITY;
            for (uint32_t a = j; a < i; a++) {
                double c = cost[(size_t)(j - 1) * (n + 1) + a] + scatter(s, a, i);
                if (c < *best) *best = c, from[(size_t)j * (n + 1) + i] = a;
            }
        }
    cut[k] = n;
    for (uint32_t j = k; j-- > 0 && rc == 0;) cut[j] = j ? from[(size_t)j * (n + 1) + cut[j + 1]] : 0;
    free(cost);
    free(from);
    return rc;
}

/* One step of expectation-maximisation; returns the log likelihood of what was there before,
 * less n log(sqrt(2 pi)). */
static double improve(const double *v, uint32_t n, nj_mode *mode, uint32_t k, double least_sd)
{
    double w[NJ_MODES] = { 0 }, m[NJ_MODES] = { 0 }, q[NJ_MODES] = { 0 }, likelihood = 0;
    for (uint32_t i = 0; i < n; i++) {
        double f[NJ_MODES], all = 0;
        for (uint32_t j = 0; j < k; j++) all += f[j] = density(&mode[j], v[i]);
        likelihood += log(fmax(all, 1e-300));
        for (uint32_t j = 0; j < k && all > 0; j++) {
            double part = f[j] / all, off = v[i] - mode[j].mean; /* squares about the old mean keep
                                                                  * their digits */
            w[j] += part;
            m[j] += part * off;
            q[j] += part * off * off;
        }
    }
    for (uint32_t j = 0; j < k; j++) {
        if (w[j] < 1e-3) continue; /* eaten by its neighbours; BIC has paid for it */
        double shift = m[j] / w[j];
        mode[j] = (nj_mode){ mode[j].mean + shift, fmax(sqrt(fmax(q[j] / w[j] - shift * shift, 0)), least_sd),
                             w[j] / n };
    }
    return likelihood;
}

/* Fits k normal components; returns the BIC. */
static double fit_humps(const double *v, const sums *s, uint32_t n, uint32_t k, nj_mode *mode)
{
    uint32_t cut[NJ_MODES + 1];
    double least_sd = 1e-3 * (v[n - 1] - v[0]), likelihood = -INFINITY;
    if (best_cuts(s, n, k, cut)) return INFINITY;
    for (uint32_t j = 0; j < k; j++) {
        double in = cut[j + 1] - cut[j];
        mode[j] = (nj_mode){ (s->v[cut[j + 1]] - s->v[cut[j]]) / in,
                             fmax(sqrt(scatter(s, cut[j], cut[j + 1]) / in), least_sd), in / n };
    }
    for (int step = 0; step < STEPS; step++) {
        double before = likelihood;
        likelihood = improve(v, n, mode, k, least_sd);
        if (likelihood - before < 1e-9 * n) break;
    }
    return (3 * k - 1) * log(n) - 2 * likelihood;
}

static int by_mean(const void *a, const void *b)
{
    double x = ((const nj_mode *)a)->mean, y = ((const nj_mode *)b)->mean;
    return (x > y) - (x < y);
}

static double apart(const nj_mode *a, const nj_mode *b)
{
    return (b->mean - a->mean) / sqrt(0.5 * (a->sd * a->sd + b->sd * b->sd));
}

static void join(nj_modes *m, uint32_t k)
{
    nj_mode *a = &m->mode[k];
    const nj_mode b = m->mode[k + 1];
    double w = a->weight + b.weight, mean = (a->weight * a->mean + b.weight * b.mean) / w;
    double square = a->weight * (a->sd * a->sd + pow(a->mean - mean, 2)) +
                    b.weight * (b.sd * b.sd + pow(b.mean - mean, 2));
    *a = (nj_mode){ mean, sqrt(square / w), w };
    memmove(&m->mode[k + 1], &m->mode[k + 2], (m->n - k - 2) * sizeof *m->mode);
    m->n--;
}

static double split_between(const nj_mode *a, const nj_mode *b)
{
    double lo = a->mean, hi = b->mean;
    for (int i = 0; i < 60; i++) {
        double x = 0.5 * (lo + hi);
        if (density(a, x) > density(b, x))
            lo = x;
        else
            hi = x;
    }
    return 0.5 * (lo + hi);
}

/* Forgets what is too light. */
static void drop_light(nj_modes *m, uint32_t n)
{
    double least = fmax(LEAST_WEIGHT, (double)LEAST_IN_MODE / n);
    qsort(m->mode, m->n, sizeof *m->mode, by_mean);
    for (uint32_t k = 0; k < m->n;) {
        if (m->n > 1 && m->mode[k].weight < least * (1 - 1e-9)) {
            memmove(&m->mode[k], &m->mode[k + 1], (m->n - k - 1) * sizeof *m->mode);
            m->n--;
        } else {
            k++;
        }
    }
}

/* p of the dip of the values that lie in the neighbouring components k and k + 1,
 * of all the others' company deprived. */
static double p_of_pair(const nj_modes *m, uint32_t k, const double *v, uint32_t n)
{
    double from = k ? m->split[k - 1] : -INFINITY, to = k + 2 < m->n ? m->split[k + 1] : INFINITY;
    uint32_t a = 0, b = n;
    while (a < n && v[a] <= from) a++;
    while (b > a && v[b - 1] > to) b--;
    return b - a < LEAST_N / 2 ? 1 : nj_dip_p(nj_dip(v + a, b - a), b - a);
}

/* Joins neighbours that are not apart: the nearest first as long as D is small,
 * then the pair that looks most like one mode. */
static void settle(nj_modes *m, const double *v, uint32_t n)
{
    drop_light(m, n);
    while (m->n > 1) {
        uint32_t nearest = 0, likest = 0;
        double least_d = INFINITY, most_p = 0;
        for (uint32_t k = 0; k + 1 < m->n; k++) {
            double d = apart(&m->mode[k], &m->mode[k + 1]);
            if (d < least_d) least_d = d, nearest = k;
            m->split[k] = split_between(&m->mode[k], &m->mode[k + 1]);
        }
        m->d = least_d;
        for (uint32_t k = 0; k + 1 < m->n && least_d > D_LIMIT; k++) {
            double p = p_of_pair(m, k, v, n);
            if (p > most_p) most_p = p, likest = k;
        }
        if (least_d > D_LIMIT && most_p < P_LIMIT) return;
        join(m, least_d > D_LIMIT ? likest : nearest);
    }
    m->d = NAN;
}

/* v sorted, about 0. */
static int find_humps(const double *v, uint32_t n, nj_modes *m)
{
    sums s = { malloc((n + 1) * sizeof *s.v), malloc((n + 1) * sizeof *s.v) };
    int rc = s.v && s.square ? 0 : -1;
    if (rc == 0) s.v[0] = s.square[0] = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        s.v[i + 1] = s.v[i] + v[i], s.square[i + 1] = s.square[i] + v[i] * v[i];
    double best = INFINITY;
    for (uint32_t k = 1; k <= NJ_MODES && rc == 0; k++) {
        nj_mode mode[NJ_MODES];
        double bic = fit_humps(v, &s, n, k, mode);
        if (!(bic < best)) continue;
        best = bic;
        m->n = k;
        memcpy(m->mode, mode, sizeof mode);
    }
    free(s.v);
    free(s.square);
    return rc;
}

bool nj_modes_of(const double *value, uint32_t n, nj_modes *m)
{
    memset(m, 0, sizeof *m);
    m->p = 1;
    double *sorted = n >= LEAST_N ? malloc(n * sizeof *sorted) : NULL;
    if (!sorted) return false;
    memcpy(sorted, value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    uint32_t few = n < MAX_N ? n : MAX_N;
    for (uint32_t i = 0; i < few; i++) sorted[i] = sorted[((uint64_t)2 * i + 1) * n / (2 * (uint64_t)few)];
    double centre = sorted[few / 2];
    for (uint32_t i = 0; i < few; i++) sorted[i] -= centre;
    bool found = sorted[0] < sorted[few - 1] && find_humps(sorted, few, m) == 0;
    if (found) {
        m->dip = nj_dip(sorted, few);
        m->p = nj_dip_p(m->dip, few);
        settle(m, sorted, few);
        for (uint32_t k = 0; k + 1 < m->n; k++) m->split[k] += centre;
        for (uint32_t k = 0; k < m->n; k++) m->mode[k].mean += centre;
    }
    free(sorted);
    return found;
}

uint32_t nj_mode_of(const nj_modes *m, double value)
{
    uint32_t k = 0;
    while (k + 1 < m->n && value > m->split[k]) k++;
    return k;
}
