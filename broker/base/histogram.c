/* histogram.c - percentiles of millions of durations are wanted in fixed memory, so durations are counted in
 * log-linear cells. */
#include "histogram.h"

static uint32_t cell_of(uint64_t ns)
{
    if (ns < 2 * NJ_HISTOGRAM_SUB) return (uint32_t)ns;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(ns) - 7; /* keeps 8 significant bits */
    uint32_t cell = shift * NJ_HISTOGRAM_SUB + (uint32_t)(ns >> shift);
    return cell < NJ_HISTOGRAM_CELLS ? cell : NJ_HISTOGRAM_CELLS - 1;
}

double nj_histogram_edge(uint32_t cell)
{
    if (cell < 2 * NJ_HISTOGRAM_SUB) return cell;
    uint32_t shift = cell / NJ_HISTOGRAM_SUB - 1;
    return (double)((uint64_t)(cell - shift * NJ_HISTOGRAM_SUB) << shift);
}

void nj_histogram_add(nj_histogram *h, uint64_t ns)
{
    h->cell[cell_of(ns)]++;
    h->n++;
    h->sum += (double)ns;
    if (ns > h->max) h->max = ns;
}

void nj_histogram_merge(nj_histogram *into, const nj_histogram *from)
{
    for (uint32_t i = 0; i < NJ_HISTOGRAM_CELLS; i++) into->cell[i] += from->cell[i];
    into->n += from->n;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
}

double nj_histogram_quantile(const nj_histogram *h, double q)
{
    if (h->n == 0) return 0;
    double want = q * (double)h->n, seen = 0;
    for (uint32_t i = 0; i < NJ_HISTOGRAM_CELLS; i++) {
        seen += h->cell[i];
        if (h->cell[i] && seen >= want) {
            double middle =
                i < 2 * NJ_HISTOGRAM_SUB ? i : 0.5 * (nj_histogram_edge(i) + nj_histogram_edge(i + 1));
            return middle < (double)h->max ? middle : (double)h->max;
        }
    }
    return (double)h->max;
}
