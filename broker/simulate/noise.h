/* noise.h - random numbers that depend on a key and a counter only, and the array kernels that stamps are
 * drawn with. Pure functions; any thread. The array kernels use + - * / sqrt and shifts alone, without
 * contraction, so that the portable, AVX2 and AVX-512 versions give the same bits. */
#ifndef NJ_SIMULATE_NOISE_H
#define NJ_SIMULATE_NOISE_H

#include <stddef.h>
#include <stdint.h>

/* A stream of random numbers: number i is a hash of (key, i). */
typedef struct nj_sim_rng {
    uint64_t key, i;
} nj_sim_rng;

/* The finaliser of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195). */
static inline uint64_t nj_sim_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
static inline uint64_t nj_sim_key(uint64_t a, uint64_t b)
{
    return nj_sim_mix(a + 0x9e3779b97f4a7c15u * (b + 1));
}
static inline uint64_t nj_sim_next(nj_sim_rng *r)
{
    return nj_sim_mix(r->key + 0x9e3779b97f4a7c15u * ++r->i);
}
/* In (0, 1), 53 bits. */
static inline double nj_sim_uniform(nj_sim_rng *r)
{
    return ((double)(nj_sim_next(r) >> 11) + 0.5) * 0x1p-53;
}
static inline double nj_sim_between(nj_sim_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * nj_sim_uniform(r);
}
/* Mean 0, standard deviation 1. */
double nj_sim_normal(nj_sim_rng *r);
double nj_sim_lognormal(nj_sim_rng *r, double median, double sigma_ln);
unsigned nj_sim_poisson(nj_sim_rng *r, double mean);

/* out[0..n) standard normals as float with all mantissa bits in use (real noise hardly compresses).
 * n must be even; |out| < 5.9. About 1 ns a number with AVX2. */
void nj_sim_normals(float *out, size_t n, uint64_t key);
/* Stamps are drawn on a square of this many rows and columns, so that whole vectors fit;
 * 63 of each are written out. */
enum { NJ_SIM_STRIDE = 64, NJ_SIM_PIXELS = NJ_SIM_STRIDE * NJ_SIM_STRIDE };
/* img[NJ_SIM_STRIDE][NJ_SIM_STRIDE] += amplitude * exp(-(a dx^2 + 2 b dx dy + c dy^2)) about (x, y) in
 * pixels; a, c > 0, a c > b^2. About 2 us for a bell that fills the stamp. */
typedef struct nj_sim_bell {
    float x, y, a, b, c, amplitude;
} nj_sim_bell;
void nj_sim_add_bell(float *img, const nj_sim_bell *bell);
/* The bell of an elliptical Gaussian of that flux (its minor axis is axis_ratio of sigma), seen through a
 * round one of psf_sigma; lengths in pixels, angle in radians. */
void nj_sim_add_gaussian(float *image, double x, double y, double flux, double sigma, double axis_ratio,
                         double angle, double psf_sigma);

#endif
