/* nightjar/lc_gives.h - the 26 features of nj_lc_features() as columns of a module:
 * one block of gives for each band. */
#ifndef NIGHTJAR_LC_GIVES_H
#define NIGHTJAR_LC_GIVES_H

#include "nightjar/module.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NJ_LC_GIVE(b, name, unit, lo, hi, text)                                                              \
    { b "_" name, NJ_F64, 1, -1, unit, lo, hi, NAN, 0, b " band: " text },
/* b: "g"; u: the unit of the values, "mag"; what: their word, "magnitude".
 * In the order of nj_lc_feature_name. */
#define NJ_LC_GIVES(b, u, what)                                                                              \
    NJ_LC_GIVE(b, "mean", u, -INFINITY, INFINITY, "mean " what)                                              \
    NJ_LC_GIVE(b, "weighted_mean", u, -INFINITY, INFINITY, "mean weighted by 1 / sigma^2")                   \
    NJ_LC_GIVE(b, "standard_deviation", u, 0, INFINITY, "standard deviation (n - 1); none below 2 points")   \
    NJ_LC_GIVE(b, "median", u, -INFINITY, INFINITY, "median " what)                                          \
    NJ_LC_GIVE(b, "amplitude", u, 0, INFINITY, "half of the range")                                          \
    NJ_LC_GIVE(b, "beyond_1_std", "1", 0, 1,                                                                 \
               "fraction beyond 1 standard deviation of the mean; none below 2 points")                      \
    NJ_LC_GIVE(b, "cusum", "1", 0, INFINITY,                                                                 \
               "range of the cumulative sum of deviations over n sd; none below 2 points or without spread") \
    NJ_LC_GIVE(b, "inter_percentile_range_10", u, 0, INFINITY, "90 % minus 10 % point")                      \
    NJ_LC_GIVE(b, "kurtosis", "1", -INFINITY, INFINITY,                                                      \
               "excess kurtosis; none below 4 points or without spread")                                     \
    NJ_LC_GIVE(b, "linear_trend", u "/d", -INFINITY, INFINITY, "slope of a line; none below 3 points")       \
    NJ_LC_GIVE(b, "linear_trend_sigma", u "/d", 0, INFINITY, "error of that slope from the scatter")         \
    NJ_LC_GIVE(b, "linear_trend_noise", u, 0, INFINITY, "scatter about that line")                           \
    NJ_LC_GIVE(b, "linear_fit_slope", u "/d", -INFINITY, INFINITY,                                           \
               "slope of a line weighted by 1 / sigma^2; none below 3 points")                               \
    NJ_LC_GIVE(b, "linear_fit_slope_sigma", u "/d", 0, INFINITY, "its error from the sigmas")                \
    NJ_LC_GIVE(b, "linear_fit_reduced_chi2", "1", 0, INFINITY, "reduced chi^2 of that line")                 \
    NJ_LC_GIVE(b, "magnitude_percentage_ratio_40_5", "1", -INFINITY, INFINITY,                               \
               "(60 % - 40 %) over (95 % - 5 %) point; none without spread")                                 \
    NJ_LC_GIVE(b, "magnitude_percentage_ratio_20_10", "1", -INFINITY, INFINITY,                              \
               "(80 % - 20 %) over (90 % - 10 %) point; none without spread")                                \
    NJ_LC_GIVE(b, "maximum_slope", u "/d", 0, INFINITY,                                                      \
               "steepest change between neighbours; none below 2 points")                                    \
    NJ_LC_GIVE(b, "median_absolute_deviation", u, 0, INFINITY, "median distance to the median")              \
    NJ_LC_GIVE(b, "median_buffer_range_percentage_10", "1", 0, 1,                                            \
               "fraction within a tenth of the amplitude of the median")                                     \
    NJ_LC_GIVE(b, "percent_amplitude", u, 0, INFINITY, "largest distance to the median")                     \
    NJ_LC_GIVE(b, "mean_variance", "1", -INFINITY, INFINITY, "standard deviation over mean")                 \
    NJ_LC_GIVE(                                                                                              \
        b, "anderson_darling_normal", "1", -INFINITY, INFINITY,                                              \
        "Anderson-Darling statistic against a normal distribution; none below 4 points or without spread")   \
    NJ_LC_GIVE(b, "chi2", "1", 0, INFINITY, "reduced chi^2 about the weighted mean; none below 2 points")    \
    NJ_LC_GIVE(b, "skew", "1", -INFINITY, INFINITY, "skewness; none below 3 points or without spread")       \
    NJ_LC_GIVE(b, "stetson_k", "1", -INFINITY, INFINITY,                                                     \
               "Stetson's K about the weighted mean; none below 2 points or without spread")

#ifdef __cplusplus
}
#endif
#endif
