/* clip_lanes.h - the vector loops of clip.c; see each_isa.h. */

/* 16 partial sums whatever W is: pixel i goes to sum i mod 16. */
static void ISA(sums_of)(const float *x, uint32_t n_padded, float lo, float hi, float centre, sums *out)
{
    enum { VECTORS = 16 / W, HALVES = 2 * VECTORS };
    hd s1[HALVES] = { 0 }, s2[HALVES] = { 0 };
    vi below[VECTORS] = { 0 }, kept[VECTORS] = { 0 };
    const vf at = (vf){ 0 } + centre, from = (vf){ 0 } + lo, to = (vf){ 0 } + hi;
    const hd at_wide = (hd){ 0 } + (double)centre;
    for (uint32_t i = 0; i < n_padded; i += 16)
#pragma GCC unroll 8
        for (int q = 0; q < VECTORS; q++) {
            vf v = *(const vf *)(const void *)(x + i + q * W);
            vi in = (v >= from) & (v <= to);
            below[q] -= v < from;
            kept[q] -= in;
            vf w = (vf)((in & (vi)v) | (~in & (vi)at)); /* what is out adds nothing */
            union {
                vf whole;
                hf half[2];
            } u = { w };
            hd a = __builtin_convertvector(u.half[0], hd) - at_wide,
               b = __builtin_convertvector(u.half[1], hd) - at_wide;
            s1[2 * q] += a, s1[2 * q + 1] += b;
            s2[2 * q] += a * a, s2[2 * q + 1] += b * b;
        }
    double t1[16], t2[16];
    memcpy(t1, s1, sizeof t1);
    memcpy(t2, s2, sizeof t2);
    for (int w = 8; w; w /= 2)
        for (int l = 0; l < w; l++) t1[l] += t1[l + w], t2[l] += t2[l + w];
    *out = (sums){ .s1 = t1[0], .s2 = t2[0] };
    for (int q = 0; q < VECTORS; q++)
        for (int l = 0; l < W; l++)
            out->n_below += (uint32_t)below[q][l], out->n_kept += (uint32_t)kept[q][l];
}

/* Cells rise with the pixel: subtraction, multiplication and truncation are monotone. */
static void ISA(fill_cells)(const float *x, uint32_t n_padded, float from, float per_cell, uint8_t *cell)
{
    for (uint32_t i = 0; i < n_padded; i++) {
        float t = (x[i] - from) * per_cell;
        t = t < CELLS - 1 ? t : CELLS - 1;
        t = t > 0 ? t : 0;
        cell[i] = x[i] == x[i] ? (uint8_t)(int)t : OUT;
    }
}

/* A step looks at 4 W cells at once; a cell of the bulk has a pixel in few of them. */
static uint32_t ISA(collect)(const float *x, const uint8_t *cell, uint32_t n_padded, uint8_t which, float *to)
{
    typedef uint8_t bytes __attribute__((vector_size(4 * W)));
    const bytes wanted = (bytes){ 0 } + which;
    uint32_t n = 0;
    for (size_t i = 0; i < n_padded; i += 4 * W) {
        union {
            bytes b;
            uint64_t word[W / 2];
        } hit = { (bytes)(*(const bytes *)(const void *)(cell + i) == wanted) };
        for (size_t q = 0; q < W / 2; q++)
            for (uint64_t left = hit.word[q] & 0x0101010101010101u; left; left &= left - 1)
                to[n++] = x[i + 8 * q + (size_t)__builtin_ctzll(left) / 8];
    }
    return n;
}

/* The pixels outside [lo, hi], in order; `to` has room for 16 more. */
static uint32_t ISA(collect_tail)(const float *x, uint32_t n, float lo, float hi, float *to)
{
    uint32_t k = 0;
#if W == 16
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __mmask16 out = _mm512_cmp_ps_mask(v, _mm512_set1_ps(lo), _CMP_LT_OQ) |
                        _mm512_cmp_ps_mask(v, _mm512_set1_ps(hi), _CMP_GT_OQ);
        _mm512_storeu_ps(to + k, _mm512_maskz_compress_ps(out, v));
        k += (uint32_t)__builtin_popcount(out);
    }
#else
    const vf from = (vf){ 0 } + lo, until = (vf){ 0 } + hi;
    for (uint32_t i = 0; i < n; i += W) {
        vf v = *(const vf *)(const void *)(x + i);
        union {
            vi lane;
            uint64_t two[W / 2];
        } out = { (v < from) | (v > until) };
        for (uint32_t q = 0; q < W / 2; q++) {
            if (!out.two[q]) continue;
            to[k] = x[i + 2 * q];
            k += (uint32_t)out.two[q] & 1;
            to[k] = x[i + 2 * q + 1];
            k += (uint32_t)(out.two[q] >> 63);
        }
    }
#endif
    return k;
}

/* Copies, with NaN for all that is not finite; returns how many are finite. */
static uint32_t ISA(take_in)(const float *pixel, uint32_t n, float *x)
{
    uint32_t n_finite = 0;
    for (uint32_t i = 0; i < n; i++) {
        int finite = fabsf(pixel[i]) <= FLT_MAX;
        x[i] = finite ? pixel[i] : NAN;
        n_finite += (uint32_t)finite;
    }
    return n_finite;
}
