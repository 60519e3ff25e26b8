/* nightjar/period.h - the generalised Lomb-Scargle periodogram of a light curve (libnightjar-kit.a,
 * modules/kit/num/period*.c).
 *
 * Reference: Zechmeister & Kuerster 2009, A&A 496, 577, doi:10.1051/0004-6361:200811296; Baluev 2008,
 *   MNRAS 385, 1279, doi:10.1111/j.1365-2966.2008.12689.x. */
#ifndef NIGHTJAR_PERIOD_H
#define NIGHTJAR_PERIOD_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nj_frequencies { /* f_k = first + k step, k < n, cycles per day */
    double first, step;
    uint32_t n;
} nj_frequencies;

/* Doubles of the work area for n points. */
#define NJ_PERIOD_WORK(n) (23 * ((size_t)(n) + 1))

/* Power [grid->n], 0 to 1, of one band of n >= 4 points: t [d], y and err > 0 in one unit; weights 1 / err^2,
 * floating mean. Returned: chi^2 of the constant, 0 when y does not vary (power 0 then). All times equal, or
 * fewer points: 0. */
double nj_period_power(uint32_t n, const double *t, const double *y, const double *err,
                       const nj_frequencies *grid, double *work, double *power);
/* The same by the definition, one frequency after the other: slow. */
double nj_period_power_plain(uint32_t n, const double *t, const double *y, const double *err,
                             const nj_frequencies *grid, double *work, double *power);

/* The same by fast Fourier transforms, within 1e-5: for many points at many frequencies. Plans: one for all
 * threads. -1: no memory. */
enum { NJ_PERIOD_FFT_SIZES = 2 };
typedef struct nj_period_fft {
    void *plan[NJ_PERIOD_FFT_SIZES];
} nj_period_fft;
int nj_period_fft_open(nj_period_fft *fft);
void nj_period_fft_close(nj_period_fft *fft);
size_t nj_period_fft_work(uint32_t n); /* doubles of the work area for n points */
double nj_period_power_fft(const nj_period_fft *fft, uint32_t n, const double *t, const double *y,
                           const double *err, const nj_frequencies *grid, double *work, double *power);

/* Probability that noise gives this power or more at any frequency up to most_f (Baluev's upper limit). */
double nj_period_false_alarm(double power, double most_f, uint32_t n, const double *t, const double *err);

/* Where the parabola through the power of k and its neighbours has its top. */
double nj_period_refine(const nj_frequencies *grid, const double *power, uint32_t k);

#ifdef __cplusplus
}
#endif
#endif
