/* histogram.h - log-linear histogram of durations: 128 cells per power of two, so a percentile is within 0.8
 * %. One writer per histogram; a reader merges them when the writers have stopped (or
 * accepts a torn glance). */
#ifndef NJ_BASE_HISTOGRAM_H
#define NJ_BASE_HISTOGRAM_H

#include <stdint.h>

enum { NJ_HISTOGRAM_SUB = 128, NJ_HISTOGRAM_CELLS = NJ_HISTOGRAM_SUB * 37 }; /* 0 .. 2^43 ns = 2.4 h */

typedef struct nj_histogram {
    uint64_t n, max;
    double sum;
    uint32_t cell[NJ_HISTOGRAM_CELLS];
} nj_histogram; /* zero-initialised = empty; 19 kB */

void nj_histogram_add(nj_histogram *h, uint64_t ns);
void nj_histogram_merge(nj_histogram *into, const nj_histogram *from);
/* The value below which a share q (0..1) of the entries lies: middle of its cell; 0 when empty. */
double nj_histogram_quantile(const nj_histogram *h, double q);
/* Lower edge of a cell, in ns. */
double nj_histogram_edge(uint32_t cell);

#endif
