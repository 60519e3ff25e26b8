/* noise.c - simulated packets must be identical on every machine, so random numbers and noise depend only on
 * a key. */
#include "noise.h"

#include <math.h>
#include <string.h>

double nj_sim_normal(nj_sim_rng *r)
{
    double radius = sqrt(-2 * log(nj_sim_uniform(r)));
    return radius * cos(2 * M_PI * nj_sim_uniform(r));
}

double nj_sim_lognormal(nj_sim_rng *r, double median, double sigma_ln)
{
    return median * exp(sigma_ln * nj_sim_normal(r));
}

unsigned nj_sim_poisson(nj_sim_rng *r, double mean)
{
    double limit = exp(-mean), p = nj_sim_uniform(r);
    unsigned n = 0;
    while (p > limit && n < 1000) {
        p *= nj_sim_uniform(r);
        n++;
    }
    return n;
}

/* ---- array kernels: one body, compiled for each instruction set ------------------------------ */
#define INLINE static inline __attribute__((always_inline))

INLINE float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
INLINE uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Two rounds of a 32-bit mixer with full avalanche, each keyed: the vector units have no 64-bit multiply. */
INLINE uint32_t hash32(uint32_t x, uint32_t k1, uint32_t k2)
{
    x = (x ^ k1) * 0x9e3779b1u;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = ((x ^ (x >> 15)) + k2) * 0x846ca68bu;
    return x ^ (x >> 16);
}

/* ln(u) for u in (0, 1): exponent, and atanh series of the mantissa about sqrt(1/2)..sqrt(2);
 * error < 1e-6. */
INLINE float log_of(float u)
{
    uint32_t bits = bits_of(u) - 0x3f3504f3u; /* the bits of sqrt(1/2) */
    float e = (float)((int32_t)bits >> 23), m = float_of((bits & 0x7fffffu) + 0x3f3504f3u);
    float t = (m - 1) / (m + 1), t2 = t * t;
    return e * 0.693147181f + t * (2 + t2 * (0.666666667f + t2 * (0.4f + t2 * 0.285714286f)));
}

/* sin(2 pi x) for |x| <= 1/4: the Taylor series to x^11, error < 1e-7. */
INLINE float sin_turn(float x)
{
    float y = x * 6.28318531f, y2 = y * y;
    return y * (1 + y2 * (-1.66666667e-1f +
                          y2 * (8.33333333e-3f +
                                y2 * (-1.98412698e-4f + y2 * (2.75573192e-6f + y2 * -2.50521084e-8f)))));
}

/* exp(-x), with x taken as 0 below 0 and as 80 (2e-35) beyond it. Relative error < 4e-6. The limits compare
 * the bits as whole numbers, which orders floats of one sign alike and leaves the loop free of branches. */
INLINE float exp_minus(float x)
{
    int32_t bits = (int32_t)bits_of(x);
    bits = bits > 0 ? bits : 0;
    bits = bits < 0x42a00000 ? bits : 0x42a00000;
    float y = float_of((uint32_t)bits) * -1.44269504f;
    float whole = (float)(int32_t)(y - 0.5f), f = (y - whole) * 0.693147181f;
    float p =
        1 + f * (1 + f * (0.5f + f * (1.66666667e-1f +
                                      f * (4.16666667e-2f + f * (8.33333333e-3f + f * 1.38888889e-3f)))));
    return float_of((uint32_t)((int32_t)whole + 127) << 23) * p;
}

/* Box and Muller (1958, doi:10.1214/aoms/1177706645). */
INLINE void normals_body(float *restrict out, size_t n, uint64_t key)
{
    uint32_t k1 = (uint32_t)key, k2 = (uint32_t)(key >> 32), half = (uint32_t)(n / 2);
    float *restrict second = out + half;
#pragma omp simd
    for (uint32_t i = 0; i < half; i++) {
        float u = ((float)(int32_t)(hash32(2 * i, k1, k2) >> 8) + 0.5f) * 0x1p-24f;
        float turn = (float)(int32_t)hash32(2 * i + 1, k1, k2) * 0x1p-32f; /* [-1/2, 1/2] */
        float radius = __builtin_sqrtf(-2 * log_of(u));
        float size = turn < 0 ? -turn : turn, folded = size > 0.25f ? 0.5f - size : size;
        float sine = sin_turn(folded);
        out[i] = radius * sin_turn(0.25f - size);
        second[i] = radius * (turn < 0 ? -sine : sine);
    }
}

INLINE void bell_body(float *restrict img, uint32_t from, uint32_t to, const nj_sim_bell *bell)
{
    float a = bell->a, x = bell->x, peak = bell->amplitude;
    for (uint32_t r = from; r < to; r++) {
        float *restrict row = img + (size_t)r * NJ_SIM_STRIDE;
        float dy = (float)(int32_t)r - bell->y, cy = bell->c * dy * dy, by = 2 * bell->b * dy;
#pragma omp simd
        for (uint32_t c = 0; c < NJ_SIM_STRIDE; c++) {
            float dx = (float)(int32_t)c - x;
            row[c] += peak * exp_minus(dx * (a * dx + by) + cy);
        }
    }
}

#if defined __x86_64__
#if defined __clang__
#define WHOLE_VECTORS "" /* it has no such option */
#else
#define WHOLE_VECTORS ",prefer-vector-width=512"
#endif
#define VERSIONS(name, arguments, call)                                                                      \
    static __attribute__((target("avx512f,avx512dq" WHOLE_VECTORS))) void name##_avx512 arguments            \
    {                                                                                                        \
        name##_body call;                                                                                    \
    }                                                                                                        \
    static __attribute__((target("avx2"))) void name##_avx2 arguments                                        \
    {                                                                                                        \
        name##_body call;                                                                                    \
    }                                                                                                        \
    static void name##_plain arguments                                                                       \
    {                                                                                                        \
        name##_body call;                                                                                    \
    }
#define PICK(name, call)                                                                                     \
    do {                                                                                                     \
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))                         \
            name##_avx512 call;                                                                              \
        else if (__builtin_cpu_supports("avx2"))                                                             \
            name##_avx2 call;                                                                                \
        else                                                                                                 \
            name##_plain call;                                                                               \
    } while (0)
#else
#define VERSIONS(name, arguments, call)                                                                      \
    static void name##_plain arguments                                                                       \
    {                                                                                                        \
        name##_body call;                                                                                    \
    }
#define PICK(name, call) name##_plain call
#endif

VERSIONS(normals, (float *out, size_t n, uint64_t key), (out, n, key))
VERSIONS(bell, (float *img, uint32_t from, uint32_t to, const nj_sim_bell *b), (img, from, to, b))

void nj_sim_normals(float *out, size_t n, uint64_t key)
{
    PICK(normals, (out, n, key));
}
void nj_sim_add_bell(float *img, const nj_sim_bell *bell)
{
    /* Rows in which the bell stays below exp(-25) everywhere add nothing to a float that holds a sky. */
    float narrowest = bell->c - bell->b * bell->b / bell->a, reach = __builtin_sqrtf(25 / narrowest);
    float lo = bell->y - reach, hi = bell->y + reach + 1;
    uint32_t from = lo > 0 ? (uint32_t)lo : 0,
             to = hi < NJ_SIM_STRIDE ? (hi > 0 ? (uint32_t)hi + 1 : 0) : NJ_SIM_STRIDE;
    if (to > NJ_SIM_STRIDE) to = NJ_SIM_STRIDE;
    if (from < to) PICK(bell, (img, from, to, bell));
}

void nj_sim_add_gaussian(float *image, double x, double y, double flux, double sigma, double axis_ratio,
                         double angle, double psf_sigma)
{
    double c = cos(angle), s = sin(angle), u = sigma * sigma, v = u * axis_ratio * axis_ratio,
           w = psf_sigma * psf_sigma;
    double xx = c * c * u + s * s * v + w, yy = s * s * u + c * c * v + w, xy = c * s * (u - v),
           det = xx * yy - xy * xy;
    nj_sim_bell bell = { (float)x,
                         (float)y,
                         (float)(yy / (2 * det)),
                         (float)(-xy / (2 * det)),
                         (float)(xx / (2 * det)),
                         (float)(flux / (2 * M_PI * sqrt(det))) };
    nj_sim_add_bell(image, &bell);
}
