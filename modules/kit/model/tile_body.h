/* tile_body.h - the kernels for one instruction set; included by tile.c only. VEC is a vector of W floats. */

typedef float ISA(vec) __attribute__((vector_size(4 * W)));
typedef float ISA(loose) __attribute__((vector_size(4 * W), aligned(4))); /* at any float */
typedef int32_t ISA(ivec) __attribute__((vector_size(4 * W)));
typedef uint32_t ISA(uvec) __attribute__((vector_size(4 * W)));
#define vec ISA(vec)
#define loose ISA(loose)
#define ivec ISA(ivec)
#define uvec ISA(uvec)

static inline vec ISA(choose)(ivec mask, vec yes, vec no)
{
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}

static inline __attribute__((always_inline)) void ISA(store_part)(float *out, const vec *v, int n_vec,
                                                                  uint32_t n_out)
{
    if (n_out >= (uint32_t)(n_vec * W)) {
        for (int i = 0; i < n_vec; i++) *(loose *)(out + i * W) = v[i];
    } else
        memcpy(out, v, n_out * sizeof(float));
}

/* P pixels times V vectors; all loops with constant bounds unroll, so that acc stays in registers. S: floats
 * from one input's weights to the next one's. */
static inline __attribute__((always_inline)) void ISA(tile)(const nj_product *t, const float *in,
                                                            const float *weight, const float *bias,
                                                            float *out, uint32_t n_out, const int V,
                                                            const int P, const int S)
{
    vec acc[MAX_P * MAX_V];
    for (int p = 0; p < P; p++)
        for (int v = 0; v < V; v++) {
            if (bias)
                acc[p * V + v] = *(const loose *)(bias + v * W);
            else if (n_out >= (uint32_t)(V * W))
                acc[p * V + v] = *(const loose *)(out + p * t->out_step + v * W);
            else {
                acc[p * V + v] = (vec){ 0 };
                for (uint32_t k = 0; k < W && (uint32_t)(v * W) + k < n_out; k++)
                    acc[p * V + v][k] = out[p * t->out_step + v * W + k];
            }
        }
    const ptrdiff_t step = t->in_step;
    for (uint32_t s = 0; s < t->n_segments; s++) {
        const float *row = in + (ptrdiff_t)s * t->segment_step;
#pragma GCC unroll 4
        for (uint32_t j = 0; j < t->segment; j++, weight += S) {
            vec w[MAX_V];
            for (int v = 0; v < V; v++) w[v] = *(const vec *)(weight + v * W);
#pragma GCC unroll 32
            for (int p = 0; p < P; p++) {
                vec x = SET1(row[p * step + j]);
                for (int v = 0; v < V; v++) acc[p * V + v] = FMA(x, w[v], acc[p * V + v]);
            }
        }
    }
    for (int p = 0; p < P; p++) {
        if (t->relu) /* NaN stays */
            for (int v = 0; v < V; v++) acc[p * V + v] = (vec)((ivec)acc[p * V + v] & ~(acc[p * V + v] < 0));
        ISA(store_part)(out + p * t->out_step, acc + p * V, V, n_out);
    }
}

#define TILE(V, P)                                                                                           \
    static void ISA(tile_##V##_##P)(const nj_product *t, const float *in, const float *weight,               \
                                    const float *bias, float *out, uint32_t n_out)                           \
    {                                                                                                        \
        ISA(tile)(t, in, weight, bias, out, n_out, V, P, V * W);                                             \
    }
TILES
#undef TILE

#ifdef HALF_TILES
/* Half of a block of 64: several pixels share the weights that are read, which one pixel with the whole block
 * cannot. */
#define TILE(V, P)                                                                                           \
    static void ISA(half_##V##_##P)(const nj_product *t, const float *in, const float *weight,               \
                                    const float *bias, float *out, uint32_t n_out)                           \
    {                                                                                                        \
        ISA(tile)(t, in, weight, bias, out, n_out, V, P, 64);                                                \
    }
HALF_TILES
#undef TILE

static void ISA(run_halves)(const nj_product *t)
{
    static const tile_function half[4] = { 0, ISA(half_4_1), ISA(half_4_2), ISA(half_4_3) };
    uint32_t n_tiles = (t->n + 2) / 3, per_tile = (t->n + n_tiles - 1) / n_tiles;
    size_t depth = (size_t)t->n_segments * t->segment;
    for (uint32_t k = 0; k < t->n_out; k += 32)
        for (uint32_t p = 0; p < t->n; p += per_tile)
            half[t->n - p < per_tile ? t->n - p : per_tile](
                t, t->in + (ptrdiff_t)p * t->in_step, t->weight + depth * (k & ~63u) + (k & 63u),
                t->bias ? t->bias + k : NULL, t->out + (ptrdiff_t)p * t->out_step + k, t->n_out - k);
}
#endif

/* P pixels side by side, `step` floats apart, times 16 outputs that begin with the bias. With P and step
 * constant no pixel's place takes a register, and loading and storing the sums unrolls, too. Sixteen at a
 * time, for one broadcast from memory for each multiply-add is what the processor's two ports can do. */
static inline __attribute__((always_inline)) void ISA(even)(const nj_product *t, const float *in,
                                                            const float *weight, const float *bias,
                                                            float *out, const int P, const ptrdiff_t step)
{
    enum { V = 16 / W };
    vec acc[MAX_P * V];
#pragma GCC unroll 32
    for (int p = 0; p < P; p++)
        for (int v = 0; v < V; v++) acc[p * V + v] = *(const loose *)(bias + v * W);
    for (uint32_t s = 0; s < t->n_segments; s++, in += t->segment_step)
        for (uint32_t j = 0; j < t->segment; j++, weight += t->block) {
            const float *at = in + j;
            __asm__("" : "+r"(at)); /* else GCC keeps what pixels share in more registers than there are */
            vec w[V];
            for (int v = 0; v < V; v++) w[v] = *(const vec *)(weight + v * W);
#pragma GCC unroll 32
            for (int p = 0; p < P; p++) {
                vec x = SET1(at[p * step]);
                for (int v = 0; v < V; v++) acc[p * V + v] = FMA(x, w[v], acc[p * V + v]);
            }
        }
    const ivec all = (ivec){ 0 } - (t->relu ? 0 : 1);
#pragma GCC unroll 32
    for (int p = 0; p < P; p++)
        for (int v = 0; v < V; v++) /* NaN stays */
            *(loose *)(out + p * t->out_step + v * W) =
                (vec)((ivec)acc[p * V + v] & (~(acc[p * V + v] < 0) | all));
}

typedef void (*ISA(even_function))(const nj_product *t, const float *in, const float *weight,
                                   const float *bias, float *out);
#define EVEN(P, step)                                                                                        \
    static void ISA(even_##P##_##step)(const nj_product *t, const float *in, const float *weight,            \
                                       const float *bias, float *out)                                        \
    {                                                                                                        \
        ISA(even)(t, in, weight, bias, out, P, step);                                                        \
    }
EVENS
#undef EVEN

/* The kinds of products that images have most of; 0 = it is none of them. A last tile that would be short
 * begins earlier and computes some pixels again, to the same bits. */
static int ISA(run_even)(const nj_product *t)
{
    static const ISA(even_function) even_16[] = { EVEN_TABLE };
    static const uint32_t pixels_16[] = { EVEN_16 };
    const uint32_t n_16 = sizeof even_16 / sizeof *even_16;
    uint32_t most = EVEN_3;
    ISA(even_function) even = EVEN_FIRST;
    if (t->in_step == 16) {
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 0; i < n_16; i++) { /* the one that computes fewest pixels twice */
            uint32_t pixels = (t->n + pixels_16[i] - 1) / pixels_16[i] * pixels_16[i];
            if (pixels >= least || pixels_16[i] > t->n) continue;
            least = pixels;
            most = pixels_16[i];
            even = even_16[i];
        }
    }
    if ((t->in_step != 16 && t->in_step != 3) || !t->bias || t->n < most || t->n_out % t->block ||
        t->block > 32)
        return 0;
    const size_t depth = (size_t)t->n_segments * t->segment;
    const uint32_t repeats = t->n_repeats ? t->n_repeats : 1;
    for (uint32_t r = 0; r < repeats; r++)
        for (uint32_t k = 0; k < t->n_out; k += 16) {
            const float *in = t->in + (ptrdiff_t)r * t->in_repeat,
                        *weight = t->weight + (ptrdiff_t)r * t->weight_repeat +
                                  depth * (k & ~(t->block - 1)) + (k & (t->block - 1));
            float *out = t->out + (ptrdiff_t)r * t->out_repeat + k;
            for (uint32_t tile = 0; tile < t->n; tile += most) {
                const ptrdiff_t p = tile + most > t->n ? t->n - most : tile;
                even(t, in + p * t->in_step, weight, t->bias + k, out + p * t->out_step);
            }
        }
    return 1;
}

/* [block 16, 32, 64][pixels] */
static const tile_function ISA(tiles)[3][MAX_P + 1] = TILE_TABLE;
static const uint32_t ISA(most_pixels)[3] = TILE_MOST;

static void ISA(run)(const nj_product *t)
{
    uint32_t kind = t->block == 16 ? 0 : t->block == 32 ? 1 : 2, most = ISA(most_pixels)[kind];
    uint32_t n_tiles = (t->n + most - 1) / most, per_tile = n_tiles ? (t->n + n_tiles - 1) / n_tiles : 0;
    size_t depth = (size_t)t->n_segments * t->segment;
    if (ISA(run_even)(t)) return;
    if (t->n_repeats > 1) {
        nj_product one = *t;
        one.n_repeats = 1;
        for (uint32_t r = 0; r < t->n_repeats; r++) {
            ISA(run)(&one);
            one.in += t->in_repeat;
            one.weight += t->weight_repeat;
            one.out += t->out_repeat;
        }
        return;
    }
#ifdef HALF_TILES
    if (kind == 2 && t->n > 1) {
        ISA(run_halves)(t);
        return;
    }
#endif
    for (uint32_t k = 0; k < t->n_out; k += t->block)
        for (uint32_t p = 0; p < t->n; p += per_tile) {
            uint32_t pixels = t->n - p < per_tile ? t->n - p : per_tile;
            ISA(tiles)
            [kind][pixels](t, t->in + (ptrdiff_t)p * t->in_step, t->weight + depth * k,
                           t->bias ? t->bias + k : NULL, t->out + (ptrdiff_t)p * t->out_step + k,
                           t->n_out - k);
        }
}

/* 3 x 3 and whole vectors of channels: nine weights stay in registers, each pixel loads one new column. */
static inline void ISA(depthwise9)(const float *in, size_t in_row, uint32_t channels, const float *weight,
                                   uint32_t n_x, float *out)
{
    for (uint32_t c = 0; c < channels; c += W) {
        vec w[9], left[3], middle[3];
        for (int k = 0; k < 9; k++) w[k] = *(const loose *)(weight + (size_t)k * channels + c);
        for (int y = 0; y < 3; y++) {
            left[y] = *(const loose *)(in + y * in_row + c);
            middle[y] = *(const loose *)(in + y * in_row + channels + c);
        }
        for (uint32_t x = 0; x < n_x; x++) {
            vec sum = { 0 };
            for (int y = 0; y < 3; y++) {
                vec right = *(const loose *)(in + y * in_row + (size_t)(x + 2) * channels + c);
                sum = FMA(left[y], w[3 * y], sum);
                sum = FMA(middle[y], w[3 * y + 1], sum);
                sum = FMA(right, w[3 * y + 2], sum);
                left[y] = middle[y];
                middle[y] = right;
            }
            *(loose *)(out + ((size_t)(c / 16) * n_x + x) * 16 + c % 16) = sum;
        }
    }
}

/* 3 x 3 and three channels: the weights of a vector are those of the third vector before it, so that nine at
 * a time stay in registers. */
static inline void ISA(depthwise3)(const float *in, size_t in_row, const float *weight, uint32_t repeats,
                                   uint32_t n, float *out)
{
    for (uint32_t first = 0; first < 3 * W && first + W <= n; first += W) {
        vec w[9];
        for (int k = 0; k < 9; k++) w[k] = *(const loose *)(weight + (size_t)k * repeats + first);
        for (uint32_t i = first; i + W <= n; i += 3 * W) {
            vec sum = { 0 };
            for (int k = 0; k < 9; k++)
                sum = FMA((vec) * (const loose *)(in + (size_t)(k / 3) * in_row + (size_t)(k % 3) * 3 + i),
                          w[k], sum);
            *(loose *)(out + i) = sum;
        }
    }
}

/* Any kernel: the row is one line of numbers, its weights repeat every `channels`. */
static void ISA(depthwise)(const float *in, size_t in_row, uint32_t channels, uint32_t kernel_y,
                           uint32_t kernel_x, const float *weight, uint32_t repeats, uint32_t n, float *out)
{
    uint32_t i = 0;
    if (nj_depthwise_groups(channels, kernel_y, kernel_x)) {
        ISA(depthwise9)(in, in_row, channels, weight, n / channels, out);
        return;
    }
    if (kernel_y == 3 && kernel_x == 3 && channels == 3 && n >= W) {
        ISA(depthwise3)(in, in_row, weight, repeats, n, out);
        if (n % W == 0) return;
        i = n - W;
    }
    for (; i < n && n >= W; i = i + W < n && i + 2 * W > n ? n - W : i + W) { /* the last ones some twice */
        vec sum = { 0 };
        const float *w = weight + i;
        for (uint32_t y = 0; y < kernel_y; y++)
            for (uint32_t x = 0; x < kernel_x; x++, w += repeats)
                sum = FMA((vec) * (const loose *)(in + y * in_row + x * channels + i),
                          (vec) * (const loose *)w, sum);
        *(loose *)(out + i) = sum;
    }
    for (; i < n; i++) {
        float sum = 0;
        for (uint32_t y = 0; y < kernel_y; y++)
            for (uint32_t x = 0; x < kernel_x; x++)
                sum = FMA1(in[y * in_row + x * channels + i], weight[(y * kernel_x + x) * repeats + i], sum);
        out[i] = sum;
    }
}

static inline __attribute__((always_inline)) vec ISA(most_of)(const float *at, size_t in_row,
                                                              uint32_t channels, uint32_t kernel_y,
                                                              uint32_t kernel_x)
{
    vec most = *(const loose *)at;
    for (uint32_t y = 0; y < kernel_y; y++)
        for (uint32_t x = 0; x < kernel_x; x++)
            most = MAX((vec) * (const loose *)(at + y * in_row + x * channels), most);
    return most;
}

static void ISA(pool)(const float *in, size_t in_row, uint32_t channels, uint32_t kernel_y, uint32_t kernel_x,
                      uint32_t stride_x, uint32_t n_x, float *out)
{
    const size_t step = (size_t)stride_x * channels;
    const int square = kernel_y == 2 && kernel_x == 2; /* what most networks have, as constants */
    uint32_t c = 0;
    for (; c + W <= channels; c += W)
        for (uint32_t ox = 0; ox < n_x; ox++) {
            const float *at = in + ox * step + c;
            *(loose *)(out + (size_t)ox * channels + c) =
                square ? ISA(most_of)(at, in_row, channels, 2, 2)
                       : ISA(most_of)(at, in_row, channels, kernel_y, kernel_x);
        }
    for (; c < channels; c++)
        for (uint32_t ox = 0; ox < n_x; ox++) {
            const float *at = in + ox * step + c;
            float most = *at;
            for (uint32_t y = 0; y < kernel_y; y++)
                for (uint32_t x = 0; x < kernel_x; x++)
                    most = at[y * in_row + x * channels] > most ? at[y * in_row + x * channels] : most;
            out[(size_t)ox * channels + c] = most;
        }
}

/* e^x by Cody and Waite's reduction and a polynomial of degree 5 for (e^r - 1 - r) / r^2; within 2 units in
 * the last place for |x| < 87, clamped beyond; NaN stays NaN. Reference: Moshier, Cephes expf. */
static inline vec ISA(exp)(vec x)
{
    const vec top = (vec){ 0 } + 88.0f, bottom = (vec){ 0 } - 87.0f, shift = (vec){ 0 } + 12582912.0f;
    x = ISA(choose)(x > top, top, x);
    x = ISA(choose)(x < bottom, bottom, x);
    vec n = (x * 1.44269504088896341f + shift) - shift;
    vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uvec scale = ((uvec)(n + shift) << 23) + (127u << 23); /* the low bits of n + shift are n */
    return p * (vec)scale;
}

static inline vec ISA(sigmoid1)(vec x)
{
    return 1.0f / (1.0f + ISA(exp)(-x));
}

/* Odd polynomial near 0, where 2 sigmoid(2x) - 1 would cancel. Reference: Moshier, Cephes tanhf. */
static inline vec ISA(tanh1)(vec x)
{
    vec z = x * x, p = -5.70498872745e-3f * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    vec far = 1.0f - 2.0f / (ISA(exp)(x + x) + 1.0f);
    return ISA(choose)(z < 0.390625f, p, far); /* |x| < 0.625 */
}

#define EACH_VECTOR(call)                                                                                    \
    size_t i = 0;                                                                                            \
    for (; i + W <= n; i += W) *(loose *)(out + i) = call(*(const loose *)(in + i));                         \
    if (i < n) {                                                                                             \
        vec part = { 0 };                                                                                    \
        memcpy(&part, in + i, (n - i) * sizeof(float));                                                      \
        part = call(part);                                                                                   \
        memcpy(out + i, &part, (n - i) * sizeof(float));                                                     \
    }

static void ISA(sigmoid)(const float *in, size_t n, float *out)
{
    EACH_VECTOR(ISA(sigmoid1))
}

static void ISA(tanh)(const float *in, size_t n, float *out)
{
    EACH_VECTOR(ISA(tanh1))
}
#undef EACH_VECTOR

static inline vec ISA(lstm1)(vec i, vec o, vec f, vec g, vec *cell)
{
    *cell = ISA(sigmoid1)(f) * *cell + ISA(sigmoid1)(i) * ISA(tanh1)(g);
    return ISA(sigmoid1)(o) * ISA(tanh1)(*cell);
}

static void ISA(lstm)(const float *gate, uint32_t hidden, float *cell, float *out)
{
    uint32_t k = 0;
    for (; k + W <= hidden; k += W) {
        vec c = *(const loose *)(cell + k);
        *(loose *)(out + k) =
            ISA(lstm1)(*(const loose *)(gate + k), *(const loose *)(gate + hidden + k),
                       *(const loose *)(gate + 2 * hidden + k), *(const loose *)(gate + 3 * hidden + k), &c);
        *(loose *)(cell + k) = c;
    }
    if (k < hidden) {
        vec part[5] = { 0 };
        size_t bytes = (hidden - k) * sizeof(float);
        for (int g = 0; g < 4; g++) memcpy(&part[g], gate + (size_t)g * hidden + k, bytes);
        memcpy(&part[4], cell + k, bytes);
        part[0] = ISA(lstm1)(part[0], part[1], part[2], part[3], &part[4]);
        memcpy(out + k, &part[0], bytes);
        memcpy(cell + k, &part[4], bytes);
    }
}

static const nj_lanes ISA(lanes) = { ISA(depthwise), ISA(pool), ISA(sigmoid), ISA(tanh), ISA(lstm) };

#undef vec
#undef loose
#undef ivec
#undef uvec

#undef W
#undef ISA
#undef FMA
#undef FMA1
#undef SET1
#undef MAX
#undef TILES
#undef TILE_TABLE
#undef TILE_MOST
#undef HALF_TILES
#undef EVENS
#undef EVEN_TABLE
#undef EVEN_3
#undef EVEN_FIRST
#undef EVEN_16
