/* stats.h - is B slower than A? Order statistics and the Mann-Whitney test,
 * and the verdict of `nightjar compare`. */
#ifndef NJ_MEASURE_STATS_H
#define NJ_MEASURE_STATS_H

#include <stdint.h>

/* Quantile q (0..1) of n values in any order, linear between neighbours;
 * NAN when n = 0 or memory is short. */
double nj_quantile(const double *value, uint32_t n, double q);
/* Median absolute deviation from the median. */
double nj_mad(const double *value, uint32_t n);

/* Two-sided p of the Mann-Whitney U test. Exact for up to 30 values on each side without a value on both,
 * else the normal approximation with corrections for ties and continuity. 1 when a side is empty.
 * Reference: Mann & Whitney 1947, Ann. Math. Stat. 18, 50, doi:10.1214/aoms/1177730491. */
double nj_mann_whitney(const double *a, uint32_t n_a, const double *b, uint32_t n_b);

/* Share of the pairs of one of each side in which a is the larger, ties counted half: 0 to 1, 0.5 when
 * nothing tells the sides apart. NAN when a side is empty or memory is short. */
double nj_superiority(const double *a, uint32_t n_a, const double *b, uint32_t n_b);

/* What a gate says: only a difference that is sure and matters. */
typedef enum { NJ_SAME, NJ_REGRESSION, NJ_IMPROVEMENT, NJ_TOO_FEW } nj_verdict;
/* What the samples say, without a gate's margin. */
typedef enum { NJ_ALIKE, NJ_SLOWER, NJ_FASTER, NJ_CANNOT_TELL } nj_found;
enum { NJ_WORDS = 160 };

typedef struct nj_comparison {
    double median_a, median_b, mad_a, mad_b; /* of times: more is slower */
    double ratio, p;                         /* ratio = median_b / median_a */
    double low, high;                        /* the 95 % interval of b / a;
                                              * 0 and INFINITY: there are too few samples for one */
    nj_verdict verdict;
    nj_found found;
    uint32_t enough; /* CANNOT_TELL: about so many samples of each side would decide */
} nj_comparison;

/* Regression: p < 0.002 and ratio > 1.10 and the medians further apart than 3 MAD (the larger of the two), or
 * no value of one side within the range of the other.
 * TOO_FEW: with so few samples p cannot get below 0.002, whatever they are.
 * Interval: of the ratios of all pairs, at the ranks that the Mann-Whitney distribution gives; it leaves out
 * 1 where that test finds p < 0.05. SLOWER, FASTER: it does not hold 1. ALIKE: it holds 1 and no ratio beyond
 * 1.10. CANNOT_TELL: it holds both.
 * Reference: Hodges & Lehmann 1963, Ann. Math. Stat. 34, 598, doi:10.1214/aoms/1177704172. */
nj_comparison nj_compare(const double *a, uint32_t n_a, const double *b, uint32_t n_b);
/* One word for a table: "same", "slower", "faster", "undecided", or what a gate says:
 * "REGRESSION", "improvement". */
const char *nj_comparison_word(const nj_comparison *c);
/* All of it: by how much, and what a gate would say.
 * option: what gives more samples ("--rounds"), or NULL. */
const char *nj_comparison_words(char text[NJ_WORDS], const nj_comparison *c, const char *option);

#endif
