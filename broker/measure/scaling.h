/* scaling.h - how does a cost grow with a size? The exponent with its interval, from pairs of size and
 * cost. */
#ifndef NJ_MEASURE_SCALING_H
#define NJ_MEASURE_SCALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    NJ_SCALING_UNKNOWN, /* fewer than four sizes, or the largest is less than four times the smallest,
                         * or an interval wider than 2, or an exponent near 6: a step, no power */
    NJ_SCALING_FLAT,    /* the cost changes by less than a tenth over the range, or as n^0.07 and less */
    NJ_SCALING_POWER    /* fixed + factor * x^exponent, with logarithm: ... * log2(x) */
} nj_scaling_kind;

typedef struct nj_scaling {
    nj_scaling_kind kind;
    uint32_t n, n_sizes;        /* pairs; different sizes among them */
    double least, most;         /* sizes */
    double exponent, low, high; /* 95 %; FLAT: exponent 0, and the interval of the slope of log over log */
    bool logarithm;
    double fixed, factor;
    double change; /* of the fitted cost, from the least size to the most */
} nj_scaling;

/* What: fits cost = fixed + factor * x^p, fixed and factor >= 0, by least squares of the relative residuals
 * of the medians at each size (of 24 classes of size when there are more), p from 0 to 6; and the same with
 * a logarithm, which is taken when its residuals are less than half as large.
 * Interval: 400 bootstrap samples in two levels, of the sizes and of the costs at each, from a fixed seed.
 * Notes: pairs that are not positive and finite are left out. The fixed part is what keeps a small n from
 * hiding the exponent: a plain slope of logarithms would be too low.
 * Reference: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 9 (pairs) and 13 (percentiles).
 * */
nj_scaling nj_scaling_of(const double *x, const double *y, uint32_t n);
/* The fitted cost. */
double nj_scaling_at(const nj_scaling *s, double x);
/* From here on a cost is reported as one that long inputs will make felt. */
#define NJ_SCALING_WARN 1.5
bool nj_scaling_warns(const nj_scaling *s);
/* "n^1.04 [0.99, 1.10] in points", "n^1.00 log n [0.97, 1.02] in points", "n^0 in pixels". */
const char *nj_scaling_words(char text[96], const nj_scaling *s, const char *unit);

#endif
