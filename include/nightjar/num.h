/* nightjar/num.h - numerical kernels shared by science modules (libnightjar-kit.a,
 * sources in modules/kit/num/).
 *
 * All functions are pure in their arguments: no allocation, no global state, any thread. Work areas belong to
 * the caller (thread block or scratch). Kernels that have vector versions take the instruction set as an
 * argument; every version gives the same bits (no fused multiply-add, one order of summation), which
 * tests/kernel checks. */
#ifndef NIGHTJAR_NUM_H
#define NIGHTJAR_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- instruction sets (isa.c) --- */

typedef enum { NJ_ISA_PORTABLE, NJ_ISA_AVX2, NJ_ISA_AVX512, NJ_ISAS } nj_isa;
/* The best set this processor has; a lesser one when NIGHTJAR_ISA (portable, avx2) asks for it, as tests and
 * benchmarks do. Modules ask once, in open(). */
nj_isa nj_isa_best(void);
/* "portable", "avx2", "avx512". */
extern const char *const nj_isa_name[NJ_ISAS];

/* --- random numbers (philox.c) --- */

/* Philox4x32-10: 4 random words that depend on nothing but key and counter. */
void nj_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4]);
/* The blocks first[0], first[0] + 1, ... n_blocks of them (the other three counter words stay):
 * word[4 * n_blocks]. */
void nj_philox_fill(nj_isa isa, const uint32_t first[4], const uint32_t key[2], uint32_t n_blocks,
                    uint32_t *word);
/* A deviate of the normal distribution N(0, 1) from two random words (Box and Muller). */
double nj_normal_of(uint32_t a, uint32_t b);

/* --- sigma clipping (clip.c) --- */

enum { NJ_CLIP_MAX = 4096 }; /* most pixels of one clip */

typedef struct nj_clip {
    uint32_t n;        /* pixels given */
    uint32_t n_nan;    /* not finite */
    uint32_t n_kept;   /* inside the last bounds; masked = n - n_kept */
    uint32_t n_passes; /* so far */
    bool converged;    /* the last pass removed nothing */
    double lo, hi;     /* last bounds: lo <= kept <= hi; +-inf when nothing could be clipped */
    double median, sd; /* of the kept pixels, sd with divisor n; NaN when nothing is kept */
} nj_clip;

typedef struct nj_clip_work nj_clip_work;
size_t nj_clip_work_size(void); /* bytes, to be 64-byte aligned */
/* Takes in n <= NJ_CLIP_MAX pixels; pixels that are not finite (also masked ones:
 * set them to NaN) are left out. */
void nj_clip_begin(nj_clip_work *work, nj_isa isa, const float *pixel, uint32_t n, nj_clip *clip);
/* Up to max_passes more passes at kappa standard deviations. A second call continues from the survivors of
 * the first: that is the clip of a clipped image. */
void nj_clip_passes(nj_clip_work *work, double kappa, uint32_t max_passes, nj_clip *clip);
/* mask[i] = 1 where pixel i is not kept; returns how many. */
uint32_t nj_clip_mask(const nj_clip *clip, const float *pixel, uint32_t n, uint8_t *mask);
/* The same by the definition: sorts in every pass. clip->lo, hi as they stand are the bounds to start from
 * (-inf, inf for a fresh one). sorted [n] is a work area. */
void nj_clip_plain(const float *pixel, uint32_t n, double kappa, uint32_t max_passes, double *sorted,
                   nj_clip *clip);

/* --- draws without replacement (draw.c) --- */

typedef struct nj_draw_work {
    uint32_t word[2][1808] __attribute__((aligned(64))); /* random words of two draws, or of a shuffle */
    uint32_t dice[4][1808];                              /* where the items of four shuffles go */
    float value[4096] __attribute__((aligned(64)));
    uint8_t round[2][4096 + 64]; /* of the last draw that took the item; UINT8_MAX: there is no such item */
    uint32_t n;
    uint8_t rounds; /* draws so far, modulo 254 */
} nj_draw_work;
/* The items of the draws to come: n <= 4096. */
void nj_draw_begin(nj_draw_work *work, const float *item, uint32_t n);
/* n_draw < n of them in random order, n_draws times: to[draw * stride + k] for k < n_draw; stride > n_draw.
 * Draw 0 depends on key and counter[1 .. 3] alone, the others have counter[1] + 1 ...; counter[0] is counted
 * up from 0. */
void nj_draw(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
             uint32_t n_draw, uint32_t n_draws, float *to, uint32_t stride);
/* All n <= 3600 items in random order, likewise. item may not be in to. */
void nj_shuffle(nj_draw_work *work, nj_isa isa, const uint32_t counter[4], const uint32_t key[2],
                const float *item, uint32_t n, uint32_t n_shuffles, float *to, uint32_t stride);
/* The same draws by the definition, as indices: index[n_draw], n_draw = n for a shuffle. */
void nj_draw_plain(const uint32_t counter[4], const uint32_t key[2], uint32_t n, uint32_t n_draw,
                   uint32_t *index);

/* --- power spectra of small images (spectrum.c) --- */

enum { NJ_SPECTRUM_IMAGES = 32, NJ_SPECTRUM_BINS = 15 };
typedef struct nj_spectrum_plan {
    uint32_t size, n_bins; /* 14: 7 bins, 30: 15 bins */
    uint16_t first[NJ_SPECTRUM_BINS + 1], n_modes[NJ_SPECTRUM_BINS];
    float factor[NJ_SPECTRUM_BINS];
    uint16_t mode[512], mirror[512];
    float weight[512];
} nj_spectrum_plan;
/* Fills the plan; -1 when size is not 14 or 30. A plan is read-only afterwards. */
int nj_spectrum_open(nj_spectrum_plan *plan, uint32_t size);
/* Four images of a block: image l, of n_pixels, is at image[l * stride] and comes to block[32 * pixel + l].
 * stride is a multiple of 8, and block has as many rows as n_pixels rounded up to 8. */
void nj_spectrum_interleave(nj_isa isa, const float *image, uint32_t stride, uint32_t n_pixels, float *block);
/* 32 images: block [size * size][32], 64-byte aligned, destroyed; area [n_bins][stride] for images 0 .. 31,
 * 64-byte aligned rows: mean power of a bin times its number from 1. */
void nj_spectrum(const nj_spectrum_plan *plan, nj_isa isa, float *block, float *area, uint32_t stride);

/* --- Wasserstein distances of many small samples (w1.c) --- */

/* v [n_values][stride]: column l is a sample; stride a multiple of 16, v 64-byte aligned.
 * n_values 7 or 15. */
void nj_w1_sort(nj_isa isa, uint32_t n_values, float *v, uint32_t stride);
/* distance[l] between sorted samples l and which, for all l < stride, times n_values. */
void nj_w1_from(nj_isa isa, uint32_t n_values, const float *v, uint32_t stride, uint32_t which,
                float *distance);
/* All pairs i < j < n, times n_values, in no particular order with +inf in between; returns how many floats
 * were written (a multiple of 16; nj_w1_room(n) suffices). distance is 64-byte aligned. */
uint32_t nj_w1_pairs(nj_isa isa, uint32_t n_values, const float *v, uint32_t stride, uint32_t n,
                     float *distance);
#define nj_w1_room(n) (((n) / 16 + 1) * (((n) / 16 + 1) * 8 + 8) * 16)
/* By the definition: the integral of |F_u - F_v| of the empirical distribution functions. n <= 64. */
double nj_w1_plain(const double *u, const double *v, uint32_t n);

/* --- two-sample Kolmogorov-Smirnov statistic (ks.c) --- */

enum { NJ_KS_CELLS = 2048, NJ_KS_MAX_X = 1024 };
typedef struct nj_ks_work {
    uint16_t cell[4][NJ_KS_CELLS];
    uint32_t below[NJ_KS_CELLS + 1];
    float x[NJ_KS_MAX_X];
    uint16_t index[4096];
} nj_ks_work;
/* D of x [n_x <= NJ_KS_MAX_X] against n_y values in y [n_stored], the rest of which is +inf; all >= 0;
 * n_stored a multiple of 16, n_y < 65536, y 64-byte aligned.
 * -1 when either has fewer than 3 distinct values. */
double nj_ks(nj_ks_work *work, nj_isa isa, const float *x, uint32_t n_x, const float *y, uint32_t n_stored,
             uint32_t n_y);
/* The same by the definition; both arrays are sorted in place. */
double nj_ks_plain(double *x, uint32_t n_x, double *y, uint32_t n_y);

/* --- numpy's legacy random numbers (numpy_random.c) --- */

typedef struct nj_numpy_random nj_numpy_random;
/* numpy.random.seed(seed). NULL when memory is short. Owned by the caller, one thread. */
nj_numpy_random *nj_numpy_random_new(uint32_t seed);
void nj_numpy_random_free(nj_numpy_random *rng);
double nj_numpy_normal(nj_numpy_random *rng);                          /* numpy.random.standard_normal() */
void nj_numpy_shuffle(nj_numpy_random *rng, double *item, uint32_t n); /* numpy.random.shuffle() of
                                                                        * one axis */

/* --- power-spectrum test of a stamp against its own shuffles (elephant.c, elephant_plain.c) --- */

enum { NJ_ELEPHANT_SHUFFLES = 200, NJ_ELEPHANT_STRIDE = 224 };
typedef struct nj_elephant { /* read-only after open */
    uint32_t stamp, crop;    /* sides in pixels: 63 and 14 (ZTF), 30 and 30 (Rubin) */
    nj_spectrum_plan spectrum;
    void *transform; /* FFTW's plan */
} nj_elephant;
/* -1: no such geometry, or FFTW has no plan. Any thread, one at a time (it takes a lock). */
int nj_elephant_open(nj_elephant *geometry, uint32_t stamp, uint32_t crop);
void nj_elephant_close(nj_elephant *geometry);

typedef struct nj_elephant_work { /* 64-byte aligned, zero-initialised; one thread */
    float block[904 * NJ_SPECTRUM_IMAGES] __attribute__((aligned(64)));
    float drawn[904 * 4] __attribute__((aligned(64))); /* four of them, image by image */
    /* of shuffle l; the stamp's own is 200 */
    float area[NJ_SPECTRUM_BINS * NJ_ELEPHANT_STRIDE] __attribute__((aligned(64)));
    /* distances shuffle to stamp */
    float x[NJ_ELEPHANT_STRIDE] __attribute__((aligned(64)));
    /* between shuffles, +inf in between */
    float y[nj_w1_room(NJ_ELEPHANT_SHUFFLES)] __attribute__((aligned(64)));
    uint32_t n_y; /* 0: the stamp went the way of double precision, x, y and area are not filled */
    float item[4096] __attribute__((aligned(64)));
    uint8_t mask[4096]; /* zero behind the stamp */
    nj_draw_work draw;
    nj_ks_work ks;
    /* double precision */
    double image[4096] __attribute__((aligned(64))), pixel[900] __attribute__((aligned(64)));
    double mode[2 * 30 * 16] __attribute__((aligned(64)));
    double wide_area[NJ_ELEPHANT_SHUFFLES + 1][NJ_SPECTRUM_BINS], wide_x[NJ_ELEPHANT_SHUFFLES];
    double wide_y[NJ_ELEPHANT_SHUFFLES * (NJ_ELEPHANT_SHUFFLES - 1) / 2];
    float *keep_area; /* NULL, or [bins][NJ_ELEPHANT_STRIDE] for the spectra before they are sorted */
} nj_elephant_work;

typedef struct nj_elephant_key { /* all that the random numbers depend on */
    int64_t id;
    uint32_t image, repeat, seed; /* 0 science, 1 template; from 0; below 2^31 */
} nj_elephant_key;

/* D of a stamp (geometry->stamp squared pixels) whose clip is given; -1 = no answer (fewer than 3 distinct
 * distances, or nothing is kept by the clip). */
double nj_elephant_ks(const nj_elephant *geometry, nj_isa isa, nj_elephant_work *work, const float *pixel,
                      const nj_clip *clip, const nj_elephant_key *key);
/* The same by the definition, in double precision, with the same random numbers. */
double nj_elephant_ks_plain(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel,
                            const nj_clip *clip, const nj_elephant_key *key);
/* Two stamps as the reference takes them, random numbers in its order. */
void nj_elephant_ks_numpy(const nj_elephant *geometry, nj_elephant_work *work, nj_numpy_random *rng,
                          const float *const pixel[2], const nj_clip clip[2], double d[2]);
/* Sides of the pieces (for elephant.c): image [stamp^2] in work->image, filled; 0 = it has an answer. */
int nj_elephant_fill(const nj_elephant *geometry, nj_elephant_work *work, const float *pixel,
                     const nj_clip *clip, const nj_elephant_key *key);
double nj_elephant_ks_wide(const nj_elephant *geometry, nj_elephant_work *work, const nj_elephant_key *key);

#ifdef __cplusplus
}
#endif
#endif
