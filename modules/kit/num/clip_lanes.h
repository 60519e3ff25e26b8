/* clip_lanes.h - the vector loops of clip.c; see each_isa.h. */

static inline __attribute__((always_inline)) vf ISA(load)(const float *at) /* of any alignment */
{
    vf v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* Appends the lanes of v whose `which` is set, in order; `to` has room for W more. */
static inline __attribute__((always_inline)) uint32_t ISA(append)(float *to, uint32_t k, vf v, vi which)
{
#if W == 16
    const __mmask16 m = _mm512_movepi32_mask((__m512i)which);
    _mm512_storeu_ps(to + k, _mm512_maskz_compress_ps(m, (__m512)v));
    return k + (uint32_t)__builtin_popcount(m);
#elif W == 8
    const uint32_t m = (uint32_t)_mm256_movemask_ps((__m256)which);
    const __m256i lane = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)&squeezed[m]));
    _mm256_storeu_ps(to + k, _mm256_permutevar8x32_ps((__m256)v, lane));
    return k + (uint32_t)__builtin_popcount(m);
#else
    union {
        vi lane;
        uint64_t two[W / 2];
    } out = { which };
    for (uint32_t q = 0; q < W / 2; q++) {
        if (!out.two[q]) continue;
        to[k] = v[2 * q];
        k += which[2 * q] != 0;
        to[k] = v[2 * q + 1];
        k += which[2 * q + 1] != 0;
    }
    return k;
#endif
}

/* Sums over the 16 partial ones, pixel i in sum i mod 16, in one order whatever W is. */
static inline __attribute__((always_inline)) double ISA(total)(hd *s)
{
    for (int w = 8 * 2 / W; w; w /= 2)
        for (int q = 0; q < w; q++) s[q] += s[q + w];
    double t[W / 2];
    memcpy(t, s, sizeof t);
    for (int w = W / 4; w; w /= 2)
        for (int l = 0; l < w; l++) t[l] += t[l + w];
    return t[0];
}

static inline __attribute__((always_inline)) uint32_t ISA(count)(vi n)
{
    uint32_t sum = 0;
    for (int l = 0; l < W; l++) sum += (uint32_t)n[l];
    return sum;
}

/* Adds what `in` holds of v to the sums: 2 vectors of doubles each. */
static inline __attribute__((always_inline)) void ISA(add)(vf v, vi in, vf at, hd at_wide, hd *s1, hd *s2)
{
    union {
        vf whole;
        hf half[2];
    } u = { (vf)((in & (vi)v) | (~in & (vi)at)) }; /* what is out adds nothing */
    hd a = __builtin_convertvector(u.half[0], hd) - at_wide,
       b = __builtin_convertvector(u.half[1], hd) - at_wide;
    s1[0] += a, s1[1] += b;
    s2[0] += a * a, s2[1] += b * b;
}

static void ISA(sums_of)(const float *x, uint32_t n_padded, float lo, float hi, float centre, sums *out)
{
    enum { VECTORS = 16 / W };
    hd s1[2 * VECTORS] = { 0 }, s2[2 * VECTORS] = { 0 };
    vi below[VECTORS] = { 0 }, kept[VECTORS] = { 0 };
    const vf at = (vf){ 0 } + centre, from = (vf){ 0 } + lo, to = (vf){ 0 } + hi;
    const hd at_wide = (hd){ 0 } + (double)centre;
    for (uint32_t i = 0; i < n_padded; i += 16)
#pragma GCC unroll 4
        for (int q = 0; q < VECTORS; q++) {
            vf v = *(const vf *)(const void *)(x + i + q * W);
            vi in = (v >= from) & (v <= to);
            below[q] -= v < from;
            kept[q] -= in;
            ISA(add)(v, in, at, at_wide, s1 + 2 * q, s2 + 2 * q);
        }
    for (int q = 1; q < VECTORS; q++) below[0] += below[q], kept[0] += kept[q];
    *out = (sums){ ISA(count)(below[0]), ISA(count)(kept[0]), ISA(total)(s1), ISA(total)(s2) };
}

/* Copies, with NaN for all that is not finite and behind the end up to 16, adds up what is in the core, with
 * the pixels under the centre as n_below, and collects the finite pixels outside it: tail[*n_tail]. Returns
 * how many are finite. */
static uint32_t ISA(take_in)(const float *pixel, uint32_t n, float *x, float core_lo, float core_hi,
                             float centre, sums *core, float *tail, uint32_t *n_tail)
{
    enum { VECTORS = 16 / W };
    hd s1[2 * VECTORS] = { 0 }, s2[2 * VECTORS] = { 0 };
    vi finite[VECTORS] = { 0 }, kept[VECTORS] = { 0 }, below[VECTORS] = { 0 };
    const vf at = (vf){ 0 } + centre, from = (vf){ 0 } + core_lo, to = (vf){ 0 } + core_hi;
    const hd at_wide = (hd){ 0 } + (double)centre;
    const vi magnitude = (vi){ 0 } + 0x7fffffff, infinite = (vi){ 0 } + 0x7f800000;
    uint32_t k = 0;
    float last[16];
    for (uint32_t i = 0; i < 16; i++) last[i] = i < n % 16 ? pixel[n / 16 * 16 + i] : NAN;
    for (uint32_t i = 0; i < n; i += 16) {
        const float *from16 = i + 16 <= n ? pixel + i : last;
#pragma GCC unroll 4
        for (int q = 0; q < VECTORS; q++) {
            vf v = ISA(load)(from16 + q * W);
            vi good = ((vi)v & magnitude) < infinite, in = (v >= from) & (v <= to);
            *(vf *)(void *)(x + i + q * W) = (vf)((vi)v | ~good);
            finite[q] -= good;
            below[q] -= v < at;
            kept[q] -= in;
            ISA(add)(v, in, at, at_wide, s1 + 2 * q, s2 + 2 * q);
            k = ISA(append)(tail, k, v, good & ~in);
        }
    }
    for (int q = 1; q < VECTORS; q++) finite[0] += finite[q], kept[0] += kept[q], below[0] += below[q];
    *core = (sums){ ISA(count)(below[0]), ISA(count)(kept[0]), ISA(total)(s1), ISA(total)(s2) };
    *n_tail = k;
    return ISA(count)(finite[0]);
}

/* The pixels of [lo, hi], in order; *n_under are below. `to` has room for 16 more. */
static uint32_t ISA(collect_middle)(const float *x, uint32_t n_padded, float lo, float hi, float *to,
                                    uint32_t *n_under)
{
    const vf from = (vf){ 0 } + lo, until = (vf){ 0 } + hi;
    vi under = { 0 };
    uint32_t k = 0;
    for (uint32_t i = 0; i < n_padded; i += W) {
        vf v = *(const vf *)(const void *)(x + i);
        under -= v < from;
        k = ISA(append)(to, k, v, (v >= from) & (v <= until));
    }
    *n_under = ISA(count)(under);
    return k;
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

/* A step looks at 4 W cells at once; a cell has a pixel in few of them. */
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

/* Sorts: each value goes to the place that is the number of those before it, equal ones in their order. */
static void ISA(sort_sample)(const float *v, float *sorted)
{
    vi place[SAMPLE / W] = { 0 }, number[SAMPLE / W];
    for (int i = 0; i < SAMPLE; i++) number[i / W][i % W] = i;
    for (int i = 0; i < SAMPLE; i++) {
        const vf one = (vf){ 0 } + v[i];
        for (int q = 0; q < SAMPLE / W; q++) {
            vf other = ISA(load)(v + q * W);
            place[q] -= (other > one) | ((other == one) & (number[q] > i));
        }
    }
    for (int i = 0; i < SAMPLE; i++) sorted[place[i / W][i % W]] = v[i];
}
