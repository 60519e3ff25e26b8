/* winograd_lanes.h - the transforms of winograd.c for one instruction set (see ../num/each_isa.h); AVX2 and
 * AVX-512 give equal bits, as both have the fused multiply-add. */
#if W == 16
#define FMA(a, b, c) ((vf)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)(b), (__m512)(c)))
#define MAX(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
#elif W == 8
#define FMA(a, b, c) ((vf)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)(b), (__m256)(c)))
#define MAX(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#define MAX(a, b) ((vf)(((vi)(a) & ((a) > (b))) | ((vi)(b) & ~((a) > (b)))))
#endif

/* Is a number of these not finite, or 2^64 and more? n: a multiple of 16. */
static int ISA(too_large)(const float *number, size_t n)
{
    typedef uint32_t bits __attribute__((vector_size(4 * W)));
    const uint32_t to_sign = 0x80000000u - 0x5f800000u; /* what 2^64 lacks to the sign bit */
    bits any = { 0 };
    for (size_t i = 0; i < n; i += W) {
        bits b;
        memcpy(&b, number + i, sizeof b);
        any |= (b & 0x7fffffffu) + to_sign;
    }
    uint32_t sign = 0;
    for (int k = 0; k < W; k++) sign |= any[k];
    return sign >> 31 != 0;
}

/* v = B^T d: six numbers of a line to what the filters are multiplied with. */
static inline __attribute__((always_inline)) void ISA(line_in)(const vf d[6], vf v[6])
{
    const vf even = FMA(-4.0f, d[2], d[4]), odd = FMA(-4.0f, d[1], d[3]), even2 = d[4] - d[2],
             odd2 = d[3] - d[1];
    v[0] = FMA(4.0f, d[0], FMA(-5.0f, d[2], d[4]));
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = FMA(2.0f, odd2, even2);
    v[4] = FMA(-2.0f, odd2, even2);
    v[5] = FMA(4.0f, d[1], FMA(-5.0f, d[3], d[5]));
}

/* y = A^T m: four results of a line. */
static inline __attribute__((always_inline)) void ISA(line_out)(const vf m[6], vf y[4])
{
    const vf sum = m[1] + m[2], gap = m[1] - m[2], sum2 = m[3] + m[4], gap2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = FMA(2.0f, gap2, gap);
    y[2] = FMA(4.0f, sum2, sum);
    y[3] = FMA(8.0f, gap2, gap + m[5]);
}

/* to[k * place + c / 16 * group + c % 16] = number k of the 36 of channel c; the pixels lie at row[y] +
 * column[x] + c. */
static void ISA(tile_in)(const float *const row[6], const size_t column[6], uint32_t channels, float *to,
                         size_t place, size_t group)
{
    for (uint32_t c = 0; c < channels; c += W) {
        vf half[6][6], d[6], v[6];
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) {
#pragma GCC unroll 6
            for (int y = 0; y < 6; y++) memcpy(&d[y], row[y] + column[x] + c, sizeof d[y]);
            ISA(line_in)(d, v);
#pragma GCC unroll 6
            for (int y = 0; y < 6; y++) half[y][x] = v[y];
        }
        float *at = to + c / 16 * group + c % 16;
#pragma GCC unroll 6
        for (int y = 0; y < 6; y++) {
            ISA(line_in)(half[y], v);
#pragma GCC unroll 6
            for (int x = 0; x < 6; x++) memcpy(at + (size_t)(y * 6 + x) * place, &v[x], sizeof v[x]);
        }
    }
}

/* The largest of each pool x pool results, or (pool 1) all of them; of those the ones that the image has. */
static inline __attribute__((always_inline)) void ISA(put)(const nj_winograd_out *o, vf y[4][4], uint32_t c)
{
    const int pool = (int)o->pool;
    for (int r = 0; pool > 1 && r < 4; r++)
        for (int x = 0; x < 4; x += 2) y[r][x] = MAX(y[r][x], y[r][x + 1]);
    for (int x = 0; pool > 1 && x < 4; x += 2)
        for (int r = 0; r < 4; r += 2) y[r][x] = MAX(y[r][x], y[r + 1][x]);
    if (pool == 4) y[0][0] = MAX(MAX(y[0][0], y[0][2]), MAX(y[2][0], y[2][2]));
    for (uint32_t r = 0; r < o->rows; r++)
        for (uint32_t x = 0; x < o->columns; x++)
            memcpy(o->to + r * o->row + x * o->channels + c, &y[r * o->pool][x * o->pool], sizeof(vf));
}

/* from[k * place + c]: number k of the 36 of channel c. */
static void ISA(tile_out)(const nj_winograd_out *o, const float *from, size_t place)
{
    for (uint32_t c = 0; c < o->channels; c += W) {
        vf half[4][6], y[4][4], m[6], bias;
        memcpy(&bias, o->bias + c, sizeof bias);
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) {
            vf r[4];
#pragma GCC unroll 6
            for (int k = 0; k < 6; k++) memcpy(&m[k], from + (size_t)(k * 6 + x) * place + c, sizeof m[k]);
            ISA(line_out)(m, r);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) half[k][x] = r[k];
        }
        const vf zero = { 0 };
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            ISA(line_out)(half[r], y[r]);
#pragma GCC unroll 4
            for (int x = 0; x < 4; x++) {
                y[r][x] += bias;
                if (o->relu) y[r][x] = MAX(y[r][x], zero);
            }
        }
        ISA(put)(o, y, c);
    }
}
#undef FMA
#undef MAX
