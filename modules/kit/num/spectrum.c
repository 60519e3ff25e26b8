/* spectrum.c - power spectra of stamps. */
#include "nightjar/num.h"

#include <math.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* Radial power spectra of many small square images at once
 *
 * Given:     size 14 or 30; block [size * size][NJ_SPECTRUM_IMAGES]: pixel by pixel, the images side by side
 * Returned:  area [n_bins][stride] for the images from 0 on:
 * mean of |F|^2 over the modes of bin b, times b + 1
 *            block is destroyed
 *
 * Notes
 * 1) F is the unnormalised discrete Fourier transform;
 * a mode has k = sqrt(kx^2 + ky^2) with integer kx, ky from
 *    -size/2 to size/2 - 1, and bin b holds b + 0.5 <= k < b + 1.5. k = 0 and the corners beyond size/2 + 0.5
 *    are in no bin. The paper's areas are 2 pi (b + 1);
 *    the common factor 2 pi is left out, since only ratios are used.
 * 2) Two images are the real and imaginary part of one complex image; their spectra are taken apart by
 *    F1(k) = (Z(k) + conj Z(-k)) / 2, F2(k) = (Z(k) - conj Z(-k)) / 2i. The transforms are 2 x 7 and 2 x 3 x
 *    5 by the prime factor algorithm, which needs no twiddle factors.
 * 3) Single precision: take the bulk level off the pixels first.
 * Against double precision the spectrum is good to
 *    some 1e-6 of the image's largest bin (tests/kernel/elephant.c).
 *
 * Reference: Pessi et al. 2024, arXiv 2404.18165, section 3 (use); Good 1958, J. R. Statist. Soc.
 * B 20, 361 (prime
 *            factor algorithm). */

#define LANES_FILE "spectrum_lanes.h"
#include "each_isa.h"
static void (*const transform14[NJ_ISAS])(float *) = EACH_ISA(transform14);
static void (*const transform30[NJ_ISAS])(float *) = EACH_ISA(transform30);
static void (*const interleave[NJ_ISAS])(const float *, uint32_t, uint32_t, float *) = EACH_ISA(interleave);
static void (*const bin_power[NJ_ISAS])(const nj_spectrum_plan *, const float *, float *,
                                        uint32_t) = EACH_ISA(bin_power);

int nj_spectrum_open(nj_spectrum_plan *plan, uint32_t size)
{
    const int n = (int)size, half = n / 2;
    uint32_t n_pairs = 0;
    if (size != 14 && size != 30) return -1;
    *plan = (nj_spectrum_plan){ .size = size, .n_bins = size / 2 };
    for (int b = 0; b < half; b++) {
        plan->first[b] = (uint16_t)n_pairs;
        for (int kx = -half; kx < half; kx++)
            for (int ky = -half; ky < half; ky++) {
                int at = (kx + n) % n * n + (ky + n) % n, mirror = (n - kx) % n * n + (n - ky) % n;
                if ((int)floor(sqrt(kx * kx + ky * ky) - 0.5) != b) continue;
                plan->n_modes[b]++;
                if (mirror < at) continue; /* came with its mirror image */
                plan->mode[n_pairs] = (uint16_t)at;
                plan->mirror[n_pairs] = (uint16_t)mirror;
                plan->weight[n_pairs++] = mirror == at ? 1 : 2;
            }
        plan->factor[b] = (float)((b + 1) / (4.0 * plan->n_modes[b])); /* 4: the halves of note 2 squared */
    }
    plan->first[half] = (uint16_t)n_pairs;
    return 0;
}

void nj_spectrum_interleave(nj_isa isa, const float *image, uint32_t stride, uint32_t n_pixels, float *block)
{
    interleave[isa](image, stride, n_pixels, block);
}

void nj_spectrum(const nj_spectrum_plan *plan, nj_isa isa, float *block, float *area, uint32_t stride)
{
    (plan->size == 14 ? transform14 : transform30)[isa](block);
    bin_power[isa](plan, block, area, stride);
}
