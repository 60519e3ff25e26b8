/* modes.h - does a sample have one mode or several? Hartigan's dip against a uniform null,
 * and normal components fitted. */
#ifndef NJ_MEASURE_MODES_H
#define NJ_MEASURE_MODES_H

#include <stdbool.h>
#include <stdint.h>

/* The largest distance of the empirical distribution of value[n] (ascending) from the nearest unimodal one:
 * 1/(2n) to 1/4. Equal values are one step. NAN when n = 0 or memory is short.
 * Reference: Hartigan & Hartigan 1985, Ann. Stat. 13, 70, section 5, doi:10.1214/aos/1176346577. */
double nj_dip(const double *value, uint32_t n);
/* Share of 999 uniform samples of this size whose dip is at least as large (a sample of more than 2000 stands
 * for itself by 2000 of its quantiles: give that n). The uniform has the largest dip among the unimodal: p
 * errs to the careful side. */
double nj_dip_p(double dip, uint32_t n);

enum { NJ_MODES = 6 };

typedef struct nj_mode {
    double mean, sd, weight;
} nj_mode;

typedef struct nj_modes {
    double dip, p;          /* of all values */
    uint32_t n;             /* components that are apart */
    nj_mode mode[NJ_MODES]; /* ascending */
    double d;               /* least D between neighbours; NAN with one */
    double split[NJ_MODES]; /* split[k]: where mode k + 1 becomes likelier than mode k */
} nj_modes;

/* value[n] in any order (2000 quantiles stand for more). Normal components by expectation-maximisation, their
 * number (to 6) by the least BIC; neighbours are one unless Ashman's D > 2 and the dip of their values has p
 * < 0.01; components of less than 2 % or of fewer than 5 values do not count (outliers).
 * D = |mean1 - mean0| / sqrt((sd0^2 + sd1^2) / 2). False, and n = 0, with fewer than 16 values, or all alike.
 * References: Ashman, Bird & Zepf 1994, AJ 108, 2348, eq. 5, doi:10.1086/117248 (D); Schwarz 1978, Ann.
 * Stat. 6, 461 (BIC). */
bool nj_modes_of(const double *value, uint32_t n, nj_modes *modes);
/* Index of the mode that a value belongs to. */
uint32_t nj_mode_of(const nj_modes *modes, double value);

#endif
