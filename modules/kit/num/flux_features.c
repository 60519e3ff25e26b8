/* flux_features.c - 47 statistics of a light curve in flux, the inputs of the microlensing forest.
 *
 * Given: n >= 2 magnitudes with errors in packet order.
 * Returned: in the order of nj_flux_feature_name; not finite = 0.
 * Notes: flux = 10^(-(m - 24) / 2.5), then x = flux / max(flux);
 * amplitude and the two buffer ranges are taken before
 *   that division. "sd" has divisor n; moments are about the median. A NaN magnitude makes max(flux) NaN and
 *   with it every x: what is left is "duplicates", "last maximum", "last minimum" and "recurring points", all
 *   1. Where a flux minus its error is above 0 but below a few percent of the median, the entropy takes the
 *   logarithm of 1 - erf(5) and less: upstream integrates erf numerically and gets its rounding there, here
 *   it is 0 and counts as 1. Sample entropy costs n^2.
 * Reference: Godines et al. 2019, Astronomy and Computing 28, 100298, doi:10.1016/j.ascom.2019.100298,
 * table 1; Richman and
 *   Moorman 2000, Am. J. Physiol. 278, H2039 (sample entropy); Stetson 1996, PASP 108, 851 (J, K, L). */
#include "nightjar/lc.h"

#include <math.h>
#include <string.h>

#include "nightjar/astro.h"

enum {
    ABOVE1,
    ABOVE3,
    ABOVE5,
    ABS_ENERGY,
    ABS_SUM_CHANGES,
    AMPLITUDE,
    AUTOCORRELATION,
    BELOW1,
    BELOW3,
    BELOW5,
    C3,
    CHECK_DUP,
    CHECK_MAX_DUP,
    CHECK_MIN_DUP,
    CHECK_MAX_LAST_LOC,
    CHECK_MIN_LAST_LOC,
    COMPLEXITY,
    CON3,
    CON2,
    COUNT_ABOVE,
    COUNT_BELOW,
    FIRST_LOC_MAX,
    FIRST_LOC_MIN,
    INTEGRATE,
    KURTOSIS,
    LONGEST_STRIKE_ABOVE,
    LONGEST_STRIKE_BELOW,
    MEAN_ABS_CHANGE,
    MEAN_CHANGE,
    MEAN_SECOND_DERIVATIVE,
    MEDIAN_ABSOLUTE_DEVIATION,
    MEDIAN_BUFFER_RANGE,
    MEDIAN_BUFFER_RANGE2,
    PEAK_DETECTION,
    RATIO_RECURRING_POINTS,
    ROOT_MEAN_SQUARED,
    SAMPLE_ENTROPY,
    SHANNON_ENTROPY,
    SKEWNESS,
    STD,
    STD_OVER_MEAN,
    STETSON_J,
    STETSON_K,
    STETSON_L,
    SUM_VALUES,
    TIME_REVERSAL_ASYMMETRY,
    VON_NEUMANN_RATIO
};

const char *const nj_flux_feature_name[NJ_FLUX_FEATURES] = {
    "above1",
    "above3",
    "above5",
    "abs_energy",
    "abs_sum_changes",
    "amplitude",
    "autocorrelation",
    "below1",
    "below3",
    "below5",
    "c3",
    "check_dup",
    "check_max_dup",
    "check_min_dup",
    "check_max_last_loc",
    "check_min_last_loc",
    "complexity",
    "con3",
    "con2",
    "count_above",
    "count_below",
    "first_loc_max",
    "first_loc_min",
    "integrate",
    "kurtosis",
    "longest_strike_above",
    "longest_strike_below",
    "mean_abs_change",
    "mean_change",
    "mean_second_derivative",
    "median_absolute_deviation",
    "median_buffer_range",
    "median_buffer_range2",
    "peak_detection",
    "ratio_recurring_points",
    "root_mean_squared",
    "sample_entropy",
    "shannon_entropy",
    "skewness",
    "std",
    "std_over_mean",
    "stetson_j",
    "stetson_k",
    "stetson_l",
    "sum_values",
    "time_reversal_asymmetry",
    "von_neumann_ratio",
};

typedef struct curve {
    uint32_t n;
    const double *x, *e;  /* flux and error over the largest flux */
    const double *sorted; /* x */
    double *work;         /* [n] */
    double med, mean, sd;
} curve;

/* Percentile by linear interpolation between the order statistics. */
static double percentile(const double *sorted, uint32_t n, double percent)
{
    double at = percent / 100 * (n - 1);
    uint32_t i = (uint32_t)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* --- amplitude and buffer ranges, of the flux itself --- */

static void spread(uint32_t n, const double *flux, const double *sorted, double *out)
{
    double amplitude = percentile(sorted, n, 98) - percentile(sorted, n, 2),
           med = nj_median_sorted(sorted, n);
    uint32_t inside = 0, below = 0;
    for (uint32_t i = 0; i < n; i++) {
        inside += flux[i] > med - amplitude / 10 && flux[i] < med + amplitude / 10;
        below += flux[i] < med - amplitude / 5;
    }
    out[AMPLITUDE] = amplitude;
    out[MEDIAN_BUFFER_RANGE] = (double)inside / n;
    out[MEDIAN_BUFFER_RANGE2] = (double)below / n;
}

/* --- counts --- */

/* Triples of consecutive points at or below the median minus k sd; of overlapping ones every other counts. */
static double low_groups(const curve *c, double k)
{
    uint32_t run = 0, groups = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        run = c->x[i] <= c->med - k * c->sd ? run + 1 : 0;
        groups += run >= 3 && run % 2 == 1;
    }
    return groups;
}

static void counts(const curve *c, double *out)
{
    static const double k[] = { 1, 3, 5 };
    uint32_t above_run = 0, below_run = 0, longest_above = 0, longest_below = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        for (int s = 0; s < 3; s++) {
            out[ABOVE1 + s] += c->x[i] > c->med + k[s] * c->sd;
            out[BELOW1 + s] += c->x[i] < c->med - k[s] * c->sd;
        }
        above_run = c->x[i] > c->mean ? above_run + 1 : 0;
        below_run = c->x[i] < c->mean ? below_run + 1 : 0;
        out[COUNT_ABOVE] += above_run > 0;
        out[COUNT_BELOW] += below_run > 0;
        if (above_run > longest_above) longest_above = above_run;
        if (below_run > longest_below) longest_below = below_run;
    }
    out[LONGEST_STRIKE_ABOVE] = longest_above;
    out[LONGEST_STRIKE_BELOW] = longest_below;
    out[CON3] = low_groups(c, 3);
    out[CON2] = low_groups(c, 2);
}

static void extremes(const curve *c, double *out)
{
    uint32_t n = c->n, first_max = 0, last_max = 0, first_min = 0, last_min = 0, unique = 0, recurring = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (c->x[i] > c->x[first_max]) first_max = i;
        if (c->x[i] >= c->x[last_max]) last_max = i;
        if (c->x[i] < c->x[first_min]) first_min = i;
        if (c->x[i] <= c->x[last_min]) last_min = i;
    }
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && c->sorted[k] == c->sorted[i];) k++;
        unique++;
        recurring += k - i > 1;
    }
    out[FIRST_LOC_MAX] = (double)first_max / n;
    out[FIRST_LOC_MIN] = (double)first_min / n;
    out[CHECK_MAX_LAST_LOC] = 1 - (double)(n - 1 - last_max) / n;
    out[CHECK_MIN_LAST_LOC] = 1 - (double)(n - 1 - last_min) / n;
    out[CHECK_DUP] = recurring > 0;
    out[CHECK_MAX_DUP] = first_max != last_max;
    out[CHECK_MIN_DUP] = first_min != last_min;
    out[RATIO_RECURRING_POINTS] = (double)recurring / unique;
}

/* --- sums --- */

static void changes(const curve *c, double *out)
{
    const double *x = c->x;
    uint32_t n = c->n;
    double absolute = 0, squares = 0, reduced = 0, c3 = 0, asymmetry = 0;
    for (uint32_t i = 1; i < n; i++) {
        double d = x[i] - x[i - 1], z = (x[i] - c->mean) / c->sd - (x[i - 1] - c->mean) / c->sd;
        absolute += fabs(d);
        squares += d * d;
        reduced += z * z;
    }
    for (uint32_t i = 0; i + 2 < n; i++) {
        c3 += x[i] * x[i + 1] * x[i + 2];
        asymmetry += x[i + 2] * x[i + 2] * x[i + 1] - x[i + 1] * x[i] * x[i];
    }
    out[ABS_SUM_CHANGES] = absolute;
    out[MEAN_ABS_CHANGE] = absolute / (n - 1.0);
    out[MEAN_CHANGE] = (x[n - 1] - x[0]) / (n - 1.0);
    out[MEAN_SECOND_DERIVATIVE] = (x[n - 1] - x[n - 2] - x[1] + x[0]) / (2 * (n - 2.0));
    out[COMPLEXITY] = sqrt(reduced);
    out[VON_NEUMANN_RATIO] = squares / (n - 1.0) / (c->sd * c->sd);
    out[C3] = c3 / (n - 2.0);
    out[TIME_REVERSAL_ASYMMETRY] = asymmetry / (n - 2.0);
}

/* Pearson's correlation of the light curve with itself one point later. */
static double autocorrelation(const curve *c)
{
    uint32_t n = c->n - 1;
    double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
    for (uint32_t i = 0; i < n; i++) {
        ma += c->x[i] / n;
        mb += c->x[i + 1] / n;
    }
    for (uint32_t i = 0; i < n; i++) {
        double a = c->x[i] - ma, b = c->x[i + 1] - mb;
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    return ab / sqrt(aa) / sqrt(bb);
}

static void moments(const curve *c, double *out)
{
    double n = c->n, energy = 0, sum = 0, third = 0, fourth = 0, area = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double d = c->x[i] - c->med, z = d / c->sd;
        energy += c->x[i] * c->x[i];
        sum += c->x[i];
        third += d * d * d;
        fourth += z * z * z * z;
        if (i) area += 0.5 * (c->x[i] + c->x[i - 1]);
        c->work[i] = fabs(d);
    }
    nj_sort_f64(c->work, c->n);
    out[MEDIAN_ABSOLUTE_DEVIATION] = nj_median_sorted(c->work, c->n);
    out[ABS_ENERGY] = energy;
    out[SUM_VALUES] = sum;
    out[INTEGRATE] = area;
    out[SKEWNESS] = third / n / (c->sd * c->sd * c->sd);
    out[KURTOSIS] =
        n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * fourth - 3 * (n - 1) * (n - 1) / ((n - 2) * (n - 3));
    out[STD] = c->sd;
    out[STD_OVER_MEAN] = c->sd / c->med;
    out[ROOT_MEAN_SQUARED] = fabs(c->med);
    out[AUTOCORRELATION] = autocorrelation(c);
}

static void stetson(const curve *c, double *out)
{
    double n = c->n, scale = sqrt(n / (n - 1)), j = 0, absolute = 0, squares = 0, last = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double d = scale * (c->x[i] - c->med) / c->e[i], p = d * last;
        if (i) j += ((p > 0) - (p < 0)) ? copysign(sqrt(fabs(p)), p) : p; /* p: keeps a NaN */
        absolute += fabs(d);
        squares += d * d;
        last = d;
    }
    out[STETSON_J] = j;
    out[STETSON_K] = absolute / n / sqrt(squares / n);
    out[STETSON_L] = j * out[STETSON_K] / 0.798;
}

/* --- entropies and peaks --- */

/* -ln(A / B): A, B pairs of templates of 3 and 2 points no farther apart than 0.2 sd in any point. */
static double sample_entropy(const curve *c)
{
    const double *x = c->x, r = 0.2 * c->sd;
    uint32_t n = c->n;
    uint64_t a = 0, b = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        for (uint32_t k = i + 1; k + 1 < n; k++) {
            bool two = fabs(x[i] - x[k]) <= r && fabs(x[i + 1] - x[k + 1]) <= r;
            b += two;
            a += two && k + 2 < n && fabs(x[i + 2] - x[k + 2]) <= r;
        }
    return -log((double)a / (double)b);
}

/* An argument of the logarithm that is not positive counts as 1. */
static double log2_or_0(double y)
{
    return y > 0 ? log2(y) : 0;
}

/* The distribution functions of a normal and of an inverse Gaussian variable about the median. */
static double normal_cdf(double y, double med)
{
    return 0.5 * (1 + erf((y - med) / (med * M_SQRT2)));
}

static double inverse_gaussian_cdf(double y, double med)
{
    double q = y >= 0 ? sqrt(med / (2 * y)) : 0; /* where the root is not real, upstream continues with 0 */
    return 0.5 * (1 + erf(q * (y / med - 1))) + 0.5 * exp(2) * (1 - erf(q * (y / med + 1)));
}

static double entropy(const curve *c)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double up = c->x[i] + c->e[i], down = c->x[i] - c->e[i];
        sum += 2 * c->e[i] *
               (log2_or_0(normal_cdf(up, c->med)) + log2_or_0(normal_cdf(down, c->med)) +
                log2_or_0(inverse_gaussian_cdf(up, c->med)) + log2_or_0(inverse_gaussian_cdf(down, c->med)));
    }
    return -sum;
}

/* First differences in which level stretches take the slope behind them, then the one before,
 * until none is left. */
static void filled_differences(const double *y, uint32_t n, double *d)
{
    uint32_t m = n - 1;
    for (uint32_t i = 0; i < m; i++) d[i] = y[i + 1] - y[i];
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i + 1 < m; i++) {
            changed |= d[i] == 0 && d[i + 1] != 0;
            if (d[i] == 0) d[i] = d[i + 1];
        }
        for (uint32_t i = m; i-- > 1;) {
            changed |= d[i] == 0 && d[i - 1] != 0;
            if (d[i] == 0) d[i] = d[i - 1];
        }
    }
}

/* Peaks of |x - med| above the middle of its range, the highest first,
 * none within 10 points of a kept one. */
static double peaks(const curve *c)
{
    enum { EXCLUDED = 10 };
    double *y = c->work, *d = c->work + c->n, low = INFINITY, high = -INFINITY;
    uint32_t n = c->n, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        y[i] = fabs(c->x[i] - c->med);
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
    }
    double threshold = low + 0.5 * (high - low);
    filled_differences(y, n, d);
    for (uint32_t i = 0; i < n; i++)
        if (!(i > 0 && i + 1 < n && d[i] < 0 && d[i - 1] > 0 && y[i] > threshold)) y[i] = -1;
    for (;; kept++) {
        uint32_t top = n;
        for (uint32_t i = 0; i < n; i++)
            if (y[i] >= 0 && (top == n || y[i] >= y[top])) top = i;
        if (top == n) return kept;
        for (uint32_t i = top > EXCLUDED ? top - EXCLUDED : 0; i < n && i <= top + EXCLUDED; i++) y[i] = -1;
    }
}

/* --- all together --- */

/* Flux and error over the largest flux, in place of the flux x. */
static void normalise(uint32_t n, const double *mag_err, double top, double *x, double *e)
{
    for (uint32_t i = 0; i < n; i++) {
        double share = x[i] / top;
        e[i] = mag_err[i] * x[i] * NJ_LN10 / 2.5 * share / x[i];
        x[i] = share;
    }
}

void nj_flux_features(uint32_t n, const double *mag, const double *mag_err, double *work, double *out)
{
    double *x = work, *e = x + n, *sorted = e + n;
    bool defined = n >= 2;
    for (int k = 0; k < NJ_FLUX_FEATURES; k++) out[k] = 0;
    for (uint32_t i = 0; i < n; i++) {
        sorted[i] = pow(10, -(mag[i] - 24) / 2.5);
        defined &= !isnan(mag[i]) && isfinite(sorted[i]);
    }
    if (!defined) {
        out[CHECK_DUP] = out[CHECK_MAX_LAST_LOC] = out[CHECK_MIN_LAST_LOC] = out[RATIO_RECURRING_POINTS] = 1;
        return;
    }
    memcpy(x, sorted, n * sizeof *x);
    nj_sort_f64(sorted, n);
    spread(n, x, sorted, out);
    double top = sorted[n - 1];
    for (uint32_t i = 0; i < n; i++) sorted[i] /= top;
    normalise(n, mag_err, top, x, e);
    curve c = {
        .n = n, .x = x, .e = e, .sorted = sorted, .work = sorted + n, .med = nj_median_sorted(sorted, n)
    };
    for (uint32_t i = 0; i < n; i++) c.mean += x[i] / n;
    for (uint32_t i = 0; i < n; i++) c.sd += (x[i] - c.mean) * (x[i] - c.mean) / n;
    c.sd = sqrt(c.sd);
    counts(&c, out);
    extremes(&c, out);
    changes(&c, out);
    moments(&c, out);
    stetson(&c, out);
    out[SAMPLE_ENTROPY] = sample_entropy(&c);
    out[SHANNON_ENTROPY] = entropy(&c);
    out[PEAK_DETECTION] = peaks(&c);
    for (int k = 0; k < NJ_FLUX_FEATURES; k++)
        if (!isfinite(out[k])) out[k] = 0;
}
