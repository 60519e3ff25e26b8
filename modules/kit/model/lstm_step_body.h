/* lstm_step_body.h - the step for one instruction set; included by lstm_step.c only. vec is a vector of W
 * floats, ROWS the rows that share the weights that are read. */

typedef float ISA(vec) __attribute__((vector_size(4 * W)));
typedef float ISA(loose) __attribute__((vector_size(4 * W), aligned(4))); /* at any float */
typedef int32_t ISA(ivec) __attribute__((vector_size(4 * W)));
typedef uint32_t ISA(uvec) __attribute__((vector_size(4 * W)));
#define vec ISA(vec)
#define loose ISA(loose)
#define ivec ISA(ivec)
#define uvec ISA(uvec)

#if W == 4
static inline vec ISA(choose)(ivec mask, vec yes, vec no)
{
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}
#endif

/* q and *two_to_n of e^x = (1 + q) 2^n, for |x| up to 25, beyond as there: the product of three stays below
 * the largest float, and no result is denormal. Cody and Waite's reduction, Cephes' polynomial. */
static inline vec ISA(reduced)(vec x, vec *two_to_n)
{
    const vec most = SET1(25.0f), least = SET1(-25.0f), shift = SET1(12582912.0f);
    x = BETWEEN(x);
    vec shifted = FMA(x, SET1(1.44269504088896341f), shift), n = shifted - shift;
    vec r = FMA(n, SET1(2.12194440e-4f), FMA(n, SET1(-0.693359375f), x));
    vec p = FMA(SET1(1.9875691500e-4f), r, SET1(1.3981999507e-3f));
    p = FMA(p, r, SET1(8.3334519073e-3f));
    p = FMA(p, r, SET1(4.1665795894e-2f));
    p = FMA(p, r, SET1(1.6666665459e-1f));
    p = FMA(p, r, SET1(5.0000001201e-1f));
    *two_to_n = (vec)(((uvec)shifted << 23) + (127u << 23)); /* the low bits of n + shift are n */
    return FMA(p * r, r, r);
}

static inline vec ISA(exp25)(vec x)
{
    vec two_to_n, q = ISA(reduced)(x, &two_to_n);
    return FMA(q, two_to_n, two_to_n);
}

/* e^x - 1, without the cancellation near 0. */
static inline vec ISA(exp25_less_1)(vec x)
{
    vec two_to_n, q = ISA(reduced)(x, &two_to_n);
    return FMA(q, two_to_n, two_to_n - SET1(1.0f));
}

/* Sums of ROWS or fewer rows, of W units of a block; constant bounds unroll, so that they stay in
 * registers. */
static inline __attribute__((always_inline)) void ISA(sums)(const nj_lstm_step *s, uint32_t row,
                                                            uint32_t unit, const float *weight, vec *to,
                                                            const int P)
{
    vec acc[ROWS * 4];
    const size_t line = (size_t)s->n_blocks * NJ_LSTM_UNITS,
                 at = (size_t)unit / NJ_LSTM_UNITS * NJ_LSTM_BLOCK;
    const float *hidden = s->hidden + row * line;
    float *const *gate = s->gate + row;
    const uint32_t within = unit % NJ_LSTM_UNITS, n = s->starting ? 0 : s->n_units;
    weight += at * s->n_units + within;
    for (int p = 0; p < P; p++)
        for (int g = 0; g < 4; g++)
            acc[4 * p + g] = *(const loose *)(gate[p] + at + within + g * NJ_LSTM_UNITS);
#pragma GCC unroll 4
    for (uint32_t k = 0; k < n; k++, weight += NJ_LSTM_BLOCK) {
        vec x[ROWS];
        for (int p = 0; p < P; p++) x[p] = SET1(hidden[p * line + k]);
        for (int g = 0; g < 4; g++) {
            vec w = *(const vec *)(weight + g * NJ_LSTM_UNITS);
            for (int p = 0; p < P; p++) acc[4 * p + g] = FMA(x[p], w, acc[4 * p + g]);
        }
    }
#pragma GCC unroll 32
    for (int i = 0; i < 4 * P; i++) to[i] = acc[i];
}

/* The gates of W units of n rows, in two passes so that rows do not wait for one another. With a = e^-x,
 * sigmoid(x) = 1 / (1 + a) and tanh(x / 2) = (1 - a) / (1 + a): a common denominator leaves two divisions of
 * the five. */
static void ISA(finish)(const nj_lstm_step *s, uint32_t row, uint32_t unit, vec *sum, uint32_t n)
{
    const size_t line = (size_t)s->n_blocks * NJ_LSTM_UNITS;
    const vec one = SET1(1.0f), two = SET1(2.0f);
    float *cell = s->cell + row * line + unit, *next = s->next + row * line + unit;
    for (uint32_t p = 0; p < n; p++) {
        vec i = one + ISA(exp25)(sum[4 * p]), f = one + ISA(exp25)(sum[4 * p + 2]),
            c = ISA(exp25_less_1)(sum[4 * p + 3]), entry = i * (two + c);
        vec *state = (vec *)(cell + p * line);
        *state = FMA(*state, entry, -c * f) / (entry * f);
        sum[4 * p + 1] = one + ISA(exp25)(sum[4 * p + 1]);
    }
    for (uint32_t p = 0; p < n; p++) {
        vec t = ISA(exp25_less_1)(*(vec *)(cell + p * line) * -two), h = -t / (sum[4 * p + 1] * (two + t));
        *(vec *)(next + p * line) = h;
        if (!s->out) continue;
        if (unit + W <= s->n_units)
            *(loose *)(s->out[row + p] + unit) = h;
        else if (unit < s->n_units)
            memcpy(s->out[row + p] + unit, &h, (s->n_units - unit) * sizeof(float));
    }
}

/* Only the sums, back to where their first part was. */
static void ISA(give_back)(const nj_lstm_step *s, uint32_t row, uint32_t unit, const vec *sum, uint32_t n)
{
    const size_t at = (size_t)unit / NJ_LSTM_UNITS * NJ_LSTM_BLOCK + unit % NJ_LSTM_UNITS;
    for (uint32_t p = 0; p < n; p++)
        for (int g = 0; g < 4; g++) *(loose *)(s->gate[row + p] + at + g * NJ_LSTM_UNITS) = sum[4 * p + g];
}

static void ISA(step)(const nj_lstm_step *s)
{
    const uint32_t n_tiles = (s->n + ROWS - 1) / ROWS,
                   per_tile = n_tiles ? (s->n + n_tiles - 1) / n_tiles : 0;
    for (uint32_t unit = 0; unit < s->n_blocks * NJ_LSTM_UNITS; unit += W)
        for (uint32_t row = 0; row < s->n; row += per_tile) {
            const uint32_t n = s->n - row < per_tile ? s->n - row : per_tile;
            vec sum[ROWS * 4];
            switch (n) {
#if ROWS > 3
            case 6: ISA(sums)(s, row, unit, s->weight, sum, 6); break;
            case 5: ISA(sums)(s, row, unit, s->weight, sum, 5); break;
            case 4: ISA(sums)(s, row, unit, s->weight, sum, 4); break;
#endif
#if ROWS > 2
            case 3: ISA(sums)(s, row, unit, s->weight, sum, 3); break;
#endif
            case 2: ISA(sums)(s, row, unit, s->weight, sum, 2); break;
            default: ISA(sums)(s, row, unit, s->weight, sum, 1);
            }
            if (s->sums_only)
                ISA(give_back)(s, row, unit, sum, n);
            else
                ISA(finish)(s, row, unit, sum, n);
        }
}

#undef vec
#undef loose
#undef ivec
#undef uvec

#undef W
#undef ROWS
#undef ISA
#undef FMA
#undef SET1
#undef BETWEEN
