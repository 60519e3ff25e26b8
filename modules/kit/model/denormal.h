/* denormal.h - while a network runs, numbers below 1.2e-38 count as 0.
 *
 * Saturated gates and the products of their outputs are such numbers; processors handle each by microcode,
 * about 150 cycles: a recurrent network that saturates (snn_sn_vs_all on faint light curves) took 5 times
 * longer. As 0 they change a score by less than 1e-30. The caller's mode is put back. x86-64 has the mode in
 * every version of the kernels; elsewhere nothing is set. */
#ifndef NJ_MODEL_DENORMAL_H
#define NJ_MODEL_DENORMAL_H

#include <stdint.h>

#if defined __x86_64__
#include <xmmintrin.h>
#endif

/* Of the calling thread. Returns the mode before, for nj_denormals_back(). */
static inline uint32_t nj_denormals_are_zero(void)
{
#if defined __x86_64__
    enum { DENORMAL_INPUTS_ARE_ZERO = 0x40, DENORMAL_RESULTS_ARE_ZERO = 0x8000 };
    uint32_t before = _mm_getcsr();
    _mm_setcsr(before | DENORMAL_INPUTS_ARE_ZERO | DENORMAL_RESULTS_ARE_ZERO);
    return before;
#else
    return 0;
#endif
}

static inline void nj_denormals_back(uint32_t before)
{
#if defined __x86_64__
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

#endif
