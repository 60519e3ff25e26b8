/* lc_features.c - features of a light curve in magnitudes.
 *
 * Given: n >= 1 points of one band sorted by time, w_i = 1 / sigma_i^2.
 * Returned: in the order of nj_lc_feature_name; NaN where a feature is undefined
 * (fewer points than it needs, or all
 *   magnitudes equal where it divides by their spread).
 * Notes: moments come from centred sums. For slopes the times are centred, the magnitudes are not,
 * as in the field's
 *   package: the rounding of the mean time leaves a noise of about 1e-8 mag d / sum (t - mean)^2, which is
 *   1e-5 of the slope for points within minutes, and the line's value at time 0 one of 1e-9 mag in each
 *   residual; the same operations in the same order (found by trial: w (x x), (w x) m, w (r r)) give the same
 *   noise, bit for bit. Quantiles are taken in single precision (h = n q - 1/2), as the field's package does:
 *   q = 0.1 there is not the double 0.1.
 * Reference: Malanchev et al. 2021, MNRAS 502, 5147, doi:10.1093/mnras/stab316,
 * section 3 and appendix A; D'Isanto et al.
 *   2016, MNRAS 457, 3119 (most of them); Stetson 1996, PASP 108, 851 (K); Kim et al. 2014, A&A 566, A43
 *   (cusum); Stephens 1974, JASA 69, 730 (Anderson-Darling). */
#include "nightjar/lc.h"

#include <math.h>
#include <string.h>

enum {
    MEAN,
    WEIGHTED_MEAN,
    STANDARD_DEVIATION,
    MEDIAN,
    AMPLITUDE,
    BEYOND_1_STD,
    CUSUM,
    INTER_PERCENTILE_RANGE_10,
    KURTOSIS,
    LINEAR_TREND,
    LINEAR_TREND_SIGMA,
    LINEAR_TREND_NOISE,
    LINEAR_FIT_SLOPE,
    LINEAR_FIT_SLOPE_SIGMA,
    LINEAR_FIT_REDUCED_CHI2,
    MAGNITUDE_PERCENTAGE_RATIO_40_5,
    MAGNITUDE_PERCENTAGE_RATIO_20_10,
    MAXIMUM_SLOPE,
    MEDIAN_ABSOLUTE_DEVIATION,
    MEDIAN_BUFFER_RANGE_PERCENTAGE_10,
    PERCENT_AMPLITUDE,
    MEAN_VARIANCE,
    ANDERSON_DARLING_NORMAL,
    CHI2,
    SKEW,
    STETSON_K
};

const char *const nj_lc_feature_name[NJ_LC_FEATURES] = {
    "mean",
    "weighted_mean",
    "standard_deviation",
    "median",
    "amplitude",
    "beyond_1_std",
    "cusum",
    "inter_percentile_range_10",
    "kurtosis",
    "linear_trend",
    "linear_trend_sigma",
    "linear_trend_noise",
    "linear_fit_slope",
    "linear_fit_slope_sigma",
    "linear_fit_reduced_chi2",
    "magnitude_percentage_ratio_40_5",
    "magnitude_percentage_ratio_20_10",
    "maximum_slope",
    "median_absolute_deviation",
    "median_buffer_range_percentage_10",
    "percent_amplitude",
    "mean_variance",
    "anderson_darling_normal",
    "chi2",
    "skew",
    "stetson_k",
};

/* --- pieces used by both versions --- */

/* ln of the normal distribution function, good in the lower tail: erfc underflows below z = -38. */
static double log_phi(double z)
{
    static const double half_log_two_pi = 0.91893853320467274178;
    if (z < -30) {
        double u = 1 / (z * z);
        return -0.5 * z * z - log(-z) - half_log_two_pi + log1p(-u * (1 - 3 * u * (1 - 5 * u)));
    }
    return z > 0 ? log1p(-0.5 * erfc(z * M_SQRT1_2)) : log(0.5 * erfc(-z * M_SQRT1_2));
}

/* Quantile q of n sorted values. */
static double quantile(const double *s, uint32_t n, float q)
{
    float h = (float)n * q - 0.5f, below = floorf(h);
    if (below < 0) return s[0];
    if (below + 1 >= (float)n) return s[n - 1];
    uint32_t i = (uint32_t)below;
    return s[i] + (double)(h - below) * (s[i + 1] - s[i]);
}

static double quantile_range(const double *s, uint32_t n, float q)
{
    return quantile(s, n, 1.0f - q) - quantile(s, n, q);
}

/* Anderson and Darling's A^2 of the sorted values s against N(mean, sd),
 * with Stephens' factor for unknown mean and sd. */
static double anderson_darling(const double *s, uint32_t n, double mean, double sd)
{
    double sum = 0, size = n;
    for (uint32_t i = 0; i < n; i++) {
        double z = (s[i] - mean) / sd;
        sum += (2 * i + 1.0) * log_phi(z) + (2 * (size - i) - 1) * log_phi(-z);
    }
    return (1 + 4 / size - 25 / (size * size)) * (-size - sum / size);
}

static double maximum_slope(uint32_t n, const double *t, const double *m)
{
    double best = NAN;
    for (uint32_t i = 1; i < n; i++) {
        double slope = fabs((m[i] - m[i - 1]) / (t[i] - t[i - 1]));
        if (isfinite(slope) && !(slope <= best)) best = slope;
    }
    return best;
}

static double fraction_within(const double *m, uint32_t n, double centre, double radius)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) k += fabs(m[i] - centre) < radius;
    return (double)k / n;
}

static double fourth(double x)
{
    return x * x * x * x;
}

static double kurtosis_of(double sum4, double sd, double n)
{
    return n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * sum4 / fourth(sd) -
           3 * (n - 1) * (n - 1) / ((n - 2) * (n - 3));
}

/* --- the fast version --- */

/* All features of the sorted magnitudes s; d [n] is a work area. */
static void order_features(uint32_t n, const double *s, double *d, double *out)
{
    double med = nj_median_sorted(s, n), low = s[0], high = s[n - 1];
    out[MEDIAN] = med;
    out[AMPLITUDE] = 0.5 * (high - low);
    out[PERCENT_AMPLITUDE] = fmax(high - med, med - low);
    out[INTER_PERCENTILE_RANGE_10] = quantile_range(s, n, 0.1f);
    out[MEDIAN_BUFFER_RANGE_PERCENTAGE_10] = fraction_within(s, n, med, (double)0.1f * (0.5 * (high - low)));
    for (uint32_t i = 0; i < n; i++) d[i] = fabs(s[i] - med);
    /* |s - med| falls to the median and rises behind it: merge the two runs up to the middle */
    uint32_t right = 0, left;
    while (right < n && s[right] < med) right++;
    left = right;
    double last = 0, previous = 0;
    for (uint32_t k = 0; k <= n / 2; k++) {
        previous = last;
        last = left > 0 && (right == n || d[left - 1] <= d[right]) ? d[--left] : d[right++];
    }
    out[MEDIAN_ABSOLUTE_DEVIATION] = n % 2 ? last : 0.5 * (previous + last);
    if (n < 2 || high == low) return;
    out[MAGNITUDE_PERCENTAGE_RATIO_40_5] = quantile_range(s, n, 0.4f) / quantile_range(s, n, 0.05f);
    out[MAGNITUDE_PERCENTAGE_RATIO_20_10] = quantile_range(s, n, 0.2f) / quantile_range(s, n, 0.1f);
}

/* Slope of m on t, weights 1 / err^2 (NULL = 1). Times are centred, magnitudes are not: see Notes. */
static void line(uint32_t n, const double *t, const double *m, const double *err, double *slope,
                 double *sum_tt, double *chi2)
{
    double sw = 0, st = 0, sm = 0, tt = 0, tm = 0, rr = 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1;
        sw += w;
        st += w * t[i];
        sm += w * m[i];
    }
    double mean_t = st / sw;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1, x = t[i] - mean_t;
        tt += w * (x * x);
        tm += w * x * m[i];
    }
    *slope = tm / tt;
    double at_zero = (sm - st * *slope) / sw;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1, r = m[i] - at_zero - *slope * t[i];
        rr += w * (r * r);
    }
    *sum_tt = tt;
    *chi2 = rr / (n - 2.0);
}

static void slopes(uint32_t n, const double *t, const double *m, const double *err, double *out)
{
    double tt, chi2;
    line(n, t, m, NULL, &out[LINEAR_TREND], &tt, &chi2);
    out[LINEAR_TREND_SIGMA] = sqrt(chi2 / tt);
    out[LINEAR_TREND_NOISE] = sqrt(chi2);
    line(n, t, m, err, &out[LINEAR_FIT_SLOPE], &tt, &chi2);
    out[LINEAR_FIT_SLOPE_SIGMA] = sqrt(1 / tt);
    out[LINEAR_FIT_REDUCED_CHI2] = chi2;
}

/* Moments about the mean and about the weighted mean, sums in packet order. */
static void moments(uint32_t n, const double *m, const double *err, bool constant, double *out)
{
    double mean = out[MEAN], wm = out[WEIGHTED_MEAN], s2 = 0, s3 = 0, s4 = 0, chi = 0, k_sum = 0;
    double run = 0, run_low = INFINITY, run_high = -INFINITY, size = n;
    for (uint32_t i = 0; i < n; i++) {
        double d = m[i] - mean, dw = m[i] - wm, w = 1 / (err[i] * err[i]);
        s2 += d * d;
        s3 += d * d * d;
        s4 += d * d * d * d;
        chi += w * dw * dw;
        k_sum += fabs(dw) / err[i];
        run += d;
        run_low = fmin(run_low, run);
        run_high = fmax(run_high, run);
    }
    double sd = sqrt(s2 / (size - 1));
    out[STANDARD_DEVIATION] = sd;
    out[MEAN_VARIANCE] = sd / mean;
    out[CHI2] = chi / (size - 1);
    uint32_t beyond = 0;
    for (uint32_t i = 0; i < n; i++) beyond += fabs(m[i] - mean) > sd;
    out[BEYOND_1_STD] = beyond / size;
    if (constant) return;
    out[CUSUM] = (run_high - run_low) / (size * sd);
    out[STETSON_K] = k_sum / sqrt(size * chi);
    if (n >= 3) out[SKEW] = size / ((size - 1) * (size - 2)) * s3 / (sd * sd * sd);
    if (n >= 4) out[KURTOSIS] = kurtosis_of(s4, sd, size);
}

static void means(uint32_t n, const double *m, const double *err, double *out)
{
    double sum = 0, sw = 0, swm = 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = 1 / (err[i] * err[i]);
        sum += m[i];
        sw += w;
        swm += w * m[i];
    }
    out[MEAN] = sum / n;
    out[WEIGHTED_MEAN] = swm / sw;
}

void nj_lc_features(uint32_t n, const double *t, const double *m, const double *err, double *work,
                    double *out)
{
    for (int k = 0; k < NJ_LC_FEATURES; k++) out[k] = NAN;
    if (!n) return;
    double *s = work;
    memcpy(s, m, n * sizeof *s);
    nj_sort_f64(s, n);
    bool constant = s[0] == s[n - 1];
    means(n, m, err, out);
    order_features(n, s, work + n, out);
    if (n < 2) return;
    moments(n, m, err, constant, out);
    out[MAXIMUM_SLOPE] = maximum_slope(n, t, m);
    if (n >= 3) slopes(n, t, m, err, out);
    if (n >= 4 && !constant)
        out[ANDERSON_DARLING_NORMAL] = anderson_darling(s, n, out[MEAN], out[STANDARD_DEVIATION]);
}

/* --- the plain version: one definition after the other --- */

static double sum_of_power(uint32_t n, const double *m, double centre, int power)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += pow(m[i] - centre, power);
    return sum;
}

static double cusum_plain(uint32_t n, const double *m, double mean, double sd)
{
    double run = 0, low = INFINITY, high = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        run += m[i] - mean;
        low = fmin(low, run);
        high = fmax(high, run);
    }
    return (high - low) / (n * sd);
}

/* Slope, its error and reduced chi^2 of a straight line from the normal equations about the first time. */
static void line_plain(uint32_t n, const double *t, const double *m, const double *err, double fit[3])
{
    double s = 0, st = 0, sm = 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1;
        s += w;
        st += w * (t[i] - t[0]);
        sm += w * (m[i] - m[0]);
    }
    double tt = 0, tm = 0, chi = 0;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1, x = t[i] - t[0] - st / s;
        tt += w * x * x;
        tm += w * x * (m[i] - m[0] - sm / s);
    }
    fit[0] = tm / tt;
    for (uint32_t i = 0; i < n; i++) {
        double w = err ? 1 / (err[i] * err[i]) : 1, x = t[i] - t[0] - st / s,
               r = m[i] - m[0] - sm / s - fit[0] * x;
        chi += w * r * r;
    }
    fit[2] = chi / (n - 2.0);
    fit[1] = tt;
}

static void slopes_plain(uint32_t n, const double *t, const double *m, const double *err, double *out)
{
    double fit[3];
    line_plain(n, t, m, NULL, fit);
    out[LINEAR_TREND] = fit[0];
    out[LINEAR_TREND_SIGMA] = sqrt(fit[2] / fit[1]);
    out[LINEAR_TREND_NOISE] = sqrt(fit[2]);
    line_plain(n, t, m, err, fit);
    out[LINEAR_FIT_SLOPE] = fit[0];
    out[LINEAR_FIT_SLOPE_SIGMA] = sqrt(1 / fit[1]);
    out[LINEAR_FIT_REDUCED_CHI2] = fit[2];
}

static void weighted_plain(uint32_t n, const double *m, const double *err, bool constant, double *out)
{
    double chi = 0, k_sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d = (m[i] - out[WEIGHTED_MEAN]) / err[i];
        chi += d * d;
        k_sum += fabs(d);
    }
    out[CHI2] = chi / (n - 1.0);
    if (!constant) out[STETSON_K] = k_sum / sqrt(n * chi);
}

void nj_lc_features_plain(uint32_t n, const double *t, const double *m, const double *err, double *work,
                          double *out)
{
    for (int k = 0; k < NJ_LC_FEATURES; k++) out[k] = NAN;
    if (!n) return;
    double *s = work, *d = work + n, size = n;
    memcpy(s, m, n * sizeof *s);
    nj_sort_f64(s, n);
    bool constant = s[0] == s[n - 1];
    means(n, m, err, out);
    double mean = out[MEAN], med = nj_median_sorted(s, n);
    out[MEDIAN] = med;
    out[AMPLITUDE] = 0.5 * (s[n - 1] - s[0]);
    out[PERCENT_AMPLITUDE] = fmax(s[n - 1] - med, med - s[0]);
    out[INTER_PERCENTILE_RANGE_10] = quantile_range(s, n, 0.1f);
    out[MEDIAN_BUFFER_RANGE_PERCENTAGE_10] = fraction_within(m, n, med, (double)0.1f * out[AMPLITUDE]);
    for (uint32_t i = 0; i < n; i++) d[i] = fabs(m[i] - med);
    nj_sort_f64(d, n);
    out[MEDIAN_ABSOLUTE_DEVIATION] = nj_median_sorted(d, n);
    if (n < 2) return;
    double sd = out[STANDARD_DEVIATION] = sqrt(sum_of_power(n, m, mean, 2) / (size - 1));
    out[MEAN_VARIANCE] = sd / mean;
    out[BEYOND_1_STD] = 0;
    for (uint32_t i = 0; i < n; i++) out[BEYOND_1_STD] += (fabs(m[i] - mean) > sd) / size;
    out[MAXIMUM_SLOPE] = maximum_slope(n, t, m);
    weighted_plain(n, m, err, constant, out);
    if (n >= 3) slopes_plain(n, t, m, err, out);
    if (constant) return;
    out[CUSUM] = cusum_plain(n, m, mean, sd);
    out[MAGNITUDE_PERCENTAGE_RATIO_40_5] = quantile_range(s, n, 0.4f) / quantile_range(s, n, 0.05f);
    out[MAGNITUDE_PERCENTAGE_RATIO_20_10] = quantile_range(s, n, 0.2f) / quantile_range(s, n, 0.1f);
    if (n >= 3) out[SKEW] = size / ((size - 1) * (size - 2)) * sum_of_power(n, m, mean, 3) / (sd * sd * sd);
    if (n >= 4) out[KURTOSIS] = kurtosis_of(sum_of_power(n, m, mean, 4), sd, size);
    if (n >= 4) out[ANDERSON_DARLING_NORMAL] = anderson_darling(s, n, mean, sd);
}
