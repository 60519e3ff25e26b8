/* nightjar/num.h - numerical kernels shared by science modules (libnightjar-kit.a, sources in modules/kit/num/).
 *
 * All functions are pure in their arguments: no allocation, no global state, any thread. Work areas belong to the
 * caller (thread block or scratch). Kernels that have vector versions take the instruction set as an argument; every
 * version gives the same bits (no fused multiply-add, one order of summation), which tests/kernel checks. */
#ifndef NIGHTJAR_NUM_H
#define NIGHTJAR_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- instruction sets (isa.c) --- */

typedef enum { NJ_ISA_PORTABLE, NJ_ISA_AVX2, NJ_ISA_AVX512, NJ_ISAS } nj_isa;
/* The best set this processor has. */
nj_isa nj_isa_best(void);
/* "portable", "avx2", "avx512". */
extern const char *const nj_isa_name[NJ_ISAS];

/* --- random numbers (philox.c) --- */

/* Philox4x32-10: 4 random words that depend on nothing but key and counter. */
void nj_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4]);
/* The blocks first[0], first[0] + 1, ... n_blocks of them (the other three counter words stay): word[4 * n_blocks]. */
void nj_philox_fill(nj_isa isa, const uint32_t first[4], const uint32_t key[2], uint32_t n_blocks, uint32_t *word);
/* A deviate of the normal distribution N(0, 1) from two random words (Box and Muller). */
double nj_normal_of(uint32_t a, uint32_t b);

/* --- sigma clipping (clip.c) --- */

enum { NJ_CLIP_MAX = 4096 }; /* most pixels of one clip */

typedef struct nj_clip {
    uint32_t n;         /* pixels given */
    uint32_t n_nan;     /* not finite */
    uint32_t n_kept;    /* inside the last bounds; masked = n - n_kept */
    uint32_t n_passes;  /* so far */
    bool converged;     /* the last pass removed nothing */
    double lo, hi;      /* last bounds: lo <= kept <= hi; +-inf when nothing could be clipped */
    double median, sd;  /* of the kept pixels, sd with divisor n; NaN when nothing is kept */
} nj_clip;

typedef struct nj_clip_work nj_clip_work;
size_t nj_clip_work_size(void); /* bytes, to be 64-byte aligned */
/* Takes in n <= NJ_CLIP_MAX pixels; pixels that are not finite (also masked ones: set them to NaN) are left out. */
void nj_clip_begin(nj_clip_work *work, nj_isa isa, const float *pixel, uint32_t n, nj_clip *clip);
/* Up to max_passes more passes at kappa standard deviations. A second call goes on from the survivors of the first:
 * that is the clip of a clipped image. */
void nj_clip_passes(nj_clip_work *work, double kappa, uint32_t max_passes, nj_clip *clip);
/* mask[i] = 1 where pixel i is not kept; returns how many. */
uint32_t nj_clip_mask(const nj_clip *clip, const float *pixel, uint32_t n, uint8_t *mask);
/* The same by the definition: sorts in every pass. clip->lo, hi as they stand are the bounds to start from
 * (-inf, inf for a fresh one). sorted [n] is a work area. */
void nj_clip_plain(const float *pixel, uint32_t n, double kappa, uint32_t max_passes, double *sorted, nj_clip *clip);

#endif
