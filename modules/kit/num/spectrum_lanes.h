/* spectrum_lanes.h - the vector loops of spectrum.c; see each_isa.h. A complex pixel is 16 floats of real
 * parts (images 0-15 of the block) and 16 of imaginary parts (images 16-31). */

#define cf ISA(cf)
#define dft2 ISA(dft2)
#define dft3 ISA(dft3)
#define dft5 ISA(dft5)
#define dft7 ISA(dft7)
#define dft14 ISA(dft14)
#define dft30 ISA(dft30)

typedef struct cf {
    vf r, i;
} cf; /* W complex numbers */

static inline __attribute__((always_inline)) cf ISA(add)(cf a, cf b)
{
    return (cf){ a.r + b.r, a.i + b.i };
}
static inline __attribute__((always_inline)) cf ISA(sub)(cf a, cf b)
{
    return (cf){ a.r - b.r, a.i - b.i };
}
static inline __attribute__((always_inline)) cf ISA(mul)(float f, cf a)
{
    return (cf){ f * a.r, f * a.i };
}
/* a - i b and a + i b */
static inline __attribute__((always_inline)) cf ISA(turn)(cf a, cf b)
{
    return (cf){ a.r + b.i, a.i - b.r };
}
static inline __attribute__((always_inline)) cf ISA(back)(cf a, cf b)
{
    return (cf){ a.r - b.i, a.i + b.r };
}
#define ADD ISA(add)
#define SUB ISA(sub)
#define MUL ISA(mul)

static inline __attribute__((always_inline)) void dft3(const cf x[3], cf X[3])
{
    cf p = ADD(x[1], x[2]), m = MUL(0.866025403784438646764f, SUB(x[1], x[2]));
    cf c = SUB(x[0], MUL(0.5f, p));
    X[0] = ADD(x[0], p);
    X[1] = ISA(turn)(c, m), X[2] = ISA(back)(c, m);
}

static inline __attribute__((always_inline)) void dft5(const cf x[5], cf X[5])
{
    const float c1 = 0.309016994374947424102f, c2 = -0.809016994374947424102f;
    const float s1 = 0.951056516295153572116f, s2 = 0.587785252292473129169f;
    cf p1 = ADD(x[1], x[4]), p2 = ADD(x[2], x[3]), m1 = SUB(x[1], x[4]), m2 = SUB(x[2], x[3]);
    cf a = ADD(ADD(x[0], MUL(c1, p1)), MUL(c2, p2)), b = ADD(ADD(x[0], MUL(c2, p1)), MUL(c1, p2));
    cf s = ADD(MUL(s1, m1), MUL(s2, m2)), t = SUB(MUL(s2, m1), MUL(s1, m2));
    X[0] = ADD(ADD(x[0], p1), p2);
    X[1] = ISA(turn)(a, s), X[4] = ISA(back)(a, s);
    X[2] = ISA(turn)(b, t), X[3] = ISA(back)(b, t);
}

static inline __attribute__((always_inline)) void dft7(const cf x[7], cf X[7])
{
    const float c1 = 0.623489801858733530525f, c2 = -0.222520933956314404289f, c3 = -0.900968867902419126236f;
    const float s1 = 0.781831482468029808708f, s2 = 0.974927912181823607018f, s3 = 0.433883739117558120475f;
    cf p1 = ADD(x[1], x[6]), p2 = ADD(x[2], x[5]), p3 = ADD(x[3], x[4]);
    cf m1 = SUB(x[1], x[6]), m2 = SUB(x[2], x[5]), m3 = SUB(x[3], x[4]);
    cf a = ADD(ADD(x[0], MUL(c1, p1)), ADD(MUL(c2, p2), MUL(c3, p3)));
    cf b = ADD(ADD(x[0], MUL(c2, p1)), ADD(MUL(c3, p2), MUL(c1, p3)));
    cf c = ADD(ADD(x[0], MUL(c3, p1)), ADD(MUL(c1, p2), MUL(c2, p3)));
    cf s = ADD(ADD(MUL(s1, m1), MUL(s2, m2)), MUL(s3, m3));
    cf t = SUB(SUB(MUL(s2, m1), MUL(s3, m2)), MUL(s1, m3));
    cf u = ADD(SUB(MUL(s3, m1), MUL(s1, m2)), MUL(s2, m3));
    X[0] = ADD(ADD(x[0], p1), ADD(p2, p3));
    X[1] = ISA(turn)(a, s), X[6] = ISA(back)(a, s);
    X[2] = ISA(turn)(b, t), X[5] = ISA(back)(b, t);
    X[3] = ISA(turn)(c, u), X[4] = ISA(back)(c, u);
}

static inline __attribute__((always_inline)) cf ISA(load)(const float *at)
{
    return (cf){ *(const vf *)(const void *)at, *(const vf *)(const void *)(at + 16) };
}
static inline __attribute__((always_inline)) void ISA(store)(float *at, cf v)
{
    *(vf *)(void *)at = v.r, *(vf *)(void *)(at + 16) = v.i;
}

/* n = 7 n1 + 2 n2, k = k1 mod 2 and k2 mod 7; step in floats from one element to the next. */
static inline __attribute__((always_inline)) void dft14(float *x, uint32_t step)
{
    cf a[7], b[7], A[7], B[7];
#pragma GCC unroll 7
    for (uint32_t j = 0; j < 7; j++) {
        cf u = ISA(load)(x + 2 * j % 14 * step), v = ISA(load)(x + (2 * j + 7) % 14 * step);
        a[j] = ADD(u, v), b[j] = SUB(u, v);
    }
    dft7(a, A);
#pragma GCC unroll 7
    for (uint32_t k = 0; k < 7; k++) ISA(store)(x + (k % 2 ? k + 7 : k) * step, A[k]);
    dft7(b, B);
#pragma GCC unroll 7
    for (uint32_t k = 0; k < 7; k++) ISA(store)(x + (k % 2 ? k : k + 7) * step, B[k]);
}

/* n = 6 n1 + 5 n2 with n1 < 5, n2 < 6, and n2 = 3 m1 + 2 m2 (mod 6) with m1 < 2, m2 < 3. */
static inline __attribute__((always_inline)) void dft30(float *x, uint32_t step)
{
    cf t[6][5];
#pragma GCC unroll 6
    for (uint32_t n2 = 0; n2 < 6; n2++) {
        cf in[5];
#pragma GCC unroll 5
        for (uint32_t n1 = 0; n1 < 5; n1++) in[n1] = ISA(load)(x + (6 * n1 + 5 * n2) % 30 * step);
        dft5(in, t[n2]);
    }
#pragma GCC unroll 5
    for (uint32_t k1 = 0; k1 < 5; k1++) {
        cf a[3], b[3], A[3], B[3];
#pragma GCC unroll 3
        for (uint32_t m2 = 0; m2 < 3; m2++) {
            cf u = t[2 * m2 % 6][k1], v = t[(2 * m2 + 3) % 6][k1];
            a[m2] = ADD(u, v), b[m2] = SUB(u, v);
        }
        dft3(a, A);
        dft3(b, B);
        /* k = k1 (mod 5), parity from a or b, k = k2 (mod 3): 6 k1 + 15 parity + 10 k2 (mod 30) */
#pragma GCC unroll 3
        for (uint32_t k2 = 0; k2 < 3; k2++) {
            ISA(store)(x + (6 * k1 + 10 * k2) % 30 * step, A[k2]);
            ISA(store)(x + (6 * k1 + 15 + 10 * k2) % 30 * step, B[k2]);
        }
    }
}

static void ISA(transform14)(float *block)
{
    for (uint32_t lane = 0; lane < 16; lane += W) {
        for (uint32_t row = 0; row < 14; row++) dft14(block + row * 14 * 32 + lane, 32);
        for (uint32_t col = 0; col < 14; col++) dft14(block + col * 32 + lane, 14 * 32);
    }
}

static void ISA(transform30)(float *block)
{
    for (uint32_t lane = 0; lane < 16; lane += W) {
        for (uint32_t row = 0; row < 30; row++) dft30(block + row * 30 * 32 + lane, 32);
        for (uint32_t col = 0; col < 30; col++) dft30(block + col * 32 + lane, 30 * 32);
    }
}

/* Tiles of 4 images and 8 pixels. */
static void ISA(interleave)(const float *image, uint32_t stride, uint32_t n_pixels, float *block)
{
    for (uint32_t i = 0; i < n_pixels; i += 8) {
        const float *from = image + i;
        float *to = block + (size_t)i * NJ_SPECTRUM_IMAGES;
#if W >= 8
        const __m256 a = _mm256_loadu_ps(from), b = _mm256_loadu_ps(from + stride),
                     c = _mm256_loadu_ps(from + 2 * stride), d = _mm256_loadu_ps(from + 3 * stride);
        const __m256 ab[2] = { _mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b) },
                     cd[2] = { _mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d) };
        for (int k = 0; k < 2; k++) { /* pixels 2 k and 2 k + 4, then those behind them */
            const __m256 even = _mm256_shuffle_ps(ab[k], cd[k], 0x44),
                         odd = _mm256_shuffle_ps(ab[k], cd[k], 0xee);
            float *at = to + (size_t)(2 * k) * NJ_SPECTRUM_IMAGES;
            _mm_storeu_ps(at, _mm256_castps256_ps128(even));
            _mm_storeu_ps(at + NJ_SPECTRUM_IMAGES, _mm256_castps256_ps128(odd));
            _mm_storeu_ps(at + 4 * NJ_SPECTRUM_IMAGES, _mm256_extractf128_ps(even, 1));
            _mm_storeu_ps(at + 5 * NJ_SPECTRUM_IMAGES, _mm256_extractf128_ps(odd, 1));
        }
#else
        for (uint32_t k = 0; k < 8; k++)
            for (uint32_t q = 0; q < 4; q++) to[k * NJ_SPECTRUM_IMAGES + q] = from[q * stride + k];
#endif
    }
}

static void ISA(bin_power)(const nj_spectrum_plan *plan, const float *block, float *area, uint32_t stride)
{
    for (uint32_t lane = 0; lane < 16; lane += W)
        for (uint32_t b = 0; b < plan->n_bins; b++) {
            vf sum1 = { 0 }, sum2 = { 0 };
            for (uint32_t p = plan->first[b]; p < plan->first[b + 1]; p++) {
                cf z = ISA(load)(block + plan->mode[p] * 32 + lane),
                   m = ISA(load)(block + plan->mirror[p] * 32 + lane);
                vf r1 = z.r + m.r, i1 = z.i - m.i, r2 = z.i + m.i, i2 = z.r - m.r;
                sum1 += plan->weight[p] * (r1 * r1 + i1 * i1);
                sum2 += plan->weight[p] * (r2 * r2 + i2 * i2);
            }
            *(vf *)(void *)(area + b * stride + lane) = plan->factor[b] * sum1;
            *(vf *)(void *)(area + b * stride + 16 + lane) = plan->factor[b] * sum2;
        }
}

#undef cf
#undef dft2
#undef dft3
#undef dft5
#undef dft7
#undef dft14
#undef dft30
#undef ADD
#undef SUB
#undef MUL
