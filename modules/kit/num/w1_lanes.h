/* w1_lanes.h - the vector loops of w1.c; see each_isa.h. */

static void ISA(sort)(float *v, uint32_t stride, const uint8_t (*network)[2], uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        float *restrict a = v + network[c][0] * stride, *restrict b = v + network[c][1] * stride;
        for (uint32_t l = 0; l < stride; l++) {
            float lo = a[l] < b[l] ? a[l] : b[l], hi = a[l] < b[l] ? b[l] : a[l];
            a[l] = lo, b[l] = hi;
        }
    }
}

/* Sum over the values of |a - v[.][l .. l + W)|; the order of the sum is that of the values. */
static inline __attribute__((always_inline)) vf ISA(distance)(const float *v, uint32_t stride, uint32_t l,
                                                              const vf *a, uint32_t n_values)
{
    const vi magnitude = (vi){ 0 } + INT32_MAX;
    vf sum = { 0 };
#pragma GCC unroll 15
    for (uint32_t k = 0; k < n_values; k++)
        sum += (vf)((vi)(a[k] - *(const vf *)(const void *)(v + k * stride + l)) & magnitude);
    return sum;
}

static inline __attribute__((always_inline)) void ISA(from)(const float *v, uint32_t stride, uint32_t which,
                                                            float *to, uint32_t n_values)
{
    vf a[15];
#pragma GCC unroll 15
    for (uint32_t k = 0; k < n_values; k++) a[k] = (vf){ 0 } + v[k * stride + which];
    for (uint32_t l = 0; l < stride; l += W)
        *(vf *)(void *)(to + l) = ISA(distance)(v, stride, l, a, n_values);
}

/* Rows of 16 whatever W is; in the first of them lanes up to i, in the last lanes from n on,
 * count as infinite. */
static inline __attribute__((always_inline)) uint32_t ISA(pairs)(const float *v, uint32_t stride, uint32_t n,
                                                                 float *to, uint32_t n_values)
{
    vi number;
    for (int l = 0; l < W; l++) number[l] = l;
    const vi infinite = (vi){ 0 } + 0x7f800000;
    uint32_t at = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        vf a[15];
#pragma GCC unroll 15
        for (uint32_t k = 0; k < n_values; k++) a[k] = (vf){ 0 } + v[k * stride + i];
        uint32_t start = (i + 1) / 16 * 16, end = (n + 15) / 16 * 16;
        for (uint32_t l = start; l < end; l += W, at += W) {
            vf d = ISA(distance)(v, stride, l, a, n_values);
            if (l <= i || l + W > n) {
                vi out = (number + (int32_t)l <= (int32_t)i) | (number + (int32_t)l >= (int32_t)n);
                d = (vf)((out & infinite) | (~out & (vi)d));
            }
            *(vf *)(void *)(to + at) = d;
        }
    }
    return at;
}

static void ISA(from7)(const float *v, uint32_t stride, uint32_t which, float *to)
{
    ISA(from)(v, stride, which, to, 7);
}
static void ISA(from15)(const float *v, uint32_t stride, uint32_t which, float *to)
{
    ISA(from)(v, stride, which, to, 15);
}
static uint32_t ISA(pairs7)(const float *v, uint32_t stride, uint32_t n, float *to)
{
    return ISA(pairs)(v, stride, n, to, 7);
}
static uint32_t ISA(pairs15)(const float *v, uint32_t stride, uint32_t n, float *to)
{
    return ISA(pairs)(v, stride, n, to, 15);
}
