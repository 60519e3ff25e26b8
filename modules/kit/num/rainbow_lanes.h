/* rainbow_lanes.h - the Rainbow model and its derivatives at many points, for each instruction set; the
 * formulas are those of rainbow.c. The same bits by every set: no contraction, and sums in 8 parts. */

typedef int64_t ISA(hl) __attribute__((vector_size(4 * W), may_alias));
#define hl ISA(hl)

static inline hd ISA(all)(double x)
{
    return x - (hd){ 0 };
}

static inline hd ISA(choose)(hl mask, hd yes, hd no)
{
    return (hd)((mask & (hl)yes) | (~mask & (hl)no));
}

/* e^x to 1e-15; beyond the range of doubles the nearest finite power. */
static inline hd ISA(exp)(hd x)
{
    static const double shift =
                            6755399441055744.0, /* 1.5 2^52: rounds, and leaves the integer in the low bits */
        per_ln2 = 1.44269504088896338700, ln2_high = 0.693147180369123816490,
                        ln2_low = 1.90821492927058770002e-10;
    static const double c[] = { 1.0 / 6227020800,
                                1.0 / 479001600,
                                1.0 / 39916800,
                                1.0 / 3628800,
                                1.0 / 362880,
                                1.0 / 40320,
                                1.0 / 5040,
                                1.0 / 720,
                                1.0 / 120,
                                1.0 / 24,
                                1.0 / 6,
                                0.5,
                                1,
                                1 };
    x = ISA(choose)(x > ISA(all)(709), ISA(all)(709), x);
    x = ISA(choose)(x < ISA(all)(-708), ISA(all)(-708), x);
    const hd rounded = x * per_ln2 + shift, k = rounded - shift, r = (x - k * ln2_high) - k * ln2_low;
    hd y = ISA(all)(c[0]);
    for (int i = 1; i < 14; i++) y = y * r + c[i];
    return y * (hd)(((hl)rounded + 1023) << 52);
}

/* The bolometric term and its derivatives. */
static inline hd ISA(bolometric)(const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p,
                                 hd d, hd *D)
{
    const hd zero = { 0 };
    const double r = p[2], per_r = 1 / r;
    if (model->bolometric == NJ_SIGMOID) {
        const hl in = d > ISA(all)(-100 * r);
        const hd z = d * per_r, e = ISA(exp)(-z), s = 1 / (1 + e), q = e * s * s, slope = (p[1] * per_r) * q;
        D[0] = ISA(choose)(in, -slope, zero);
        D[1] = ISA(choose)(in, s, zero);
        D[2] = ISA(choose)(in, -slope * z, zero);
        return p[1] * D[1];
    }
    if (model->bolometric == NJ_BAZIN) {
        const double f = p[3], per_f = 1 / f;
        const hl in = (d > ISA(all)(-100 * r)) & (d < ISA(all)(100 * f));
        const hd rise = ISA(exp)(-d * per_r), fall = ISA(exp)(d * per_f), both = 1 / (rise + fall),
                 shape = ISA(choose)(in, bands->at_peak * both, zero), B = p[1] * shape,
                 up = rise * both * per_r,
                 down = fall * both * per_f; /* at most 1 each, before they meet d */
        D[0] = B * (down - up);
        D[1] = shape;
        D[2] = B * (bands->by_rise - up * (d * per_r));
        D[3] = B * (bands->by_fall + down * (d * per_f));
        return B;
    }
    if (model->bolometric == NJ_LINEXP) {
        const double least = 1e-5, s = fabs(r) < least ? copysign(least, r) : r;
        const hd z = -d / s, near = ISA(choose)(z < ISA(all)(100), z, ISA(all)(100)),
                 e = ISA(choose)(z > zero, ISA(exp)(1 - near), zero);
        D[0] = p[1] / s * e * (1 - z);
        D[1] = e * z;
        D[2] = p[1] / s * e * z * (z - 1);
        return p[1] * D[1];
    }
    const double t1 = p[2], t2 = p[3];
    const hd far = -d / t2, w = ISA(exp)(ISA(choose)(far < ISA(all)(300), far, ISA(all)(300))),
             a = -(d / t1) * (p[4] - w), e = ISA(exp)(ISA(choose)(a < ISA(all)(20), a, ISA(all)(20))),
             shape = ISA(choose)(a > ISA(all)(-700), e, zero),
             B = ISA(choose)(a < ISA(all)(20), p[1] * shape, zero);
    D[0] = B * ((p[4] - w) / t1 + d * w / (t1 * t2));
    D[1] = shape;
    D[2] = B * d * (p[4] - w) / (t1 * t1);
    D[3] = B * d * d * w / (t1 * t2 * t2);
    D[4] = -B * d / t1;
    return p[1] * shape;
}

/* The temperature; its derivatives by t0 and by its own parameters. */
static inline hd ISA(temperature)(const nj_rainbow *model, const double *p, hd d, hd *by_t0, hd *D)
{
    const hd zero = { 0 };
    *by_t0 = zero;
    D[0] = ISA(all)(1);
    if (model->temperature == NJ_T_CONSTANT) return ISA(all)(p[0]);
    const bool delayed = model->temperature == NJ_T_DELAYED_SIGMOID;
    const double per_tc = 1 / p[2], range = p[1] - p[0];
    hd z = (delayed ? d - p[3] : d) * per_tc;
    z = ISA(choose)(z > ISA(all)(100), ISA(all)(100), z);
    z = ISA(choose)(z < ISA(all)(-100), ISA(all)(-100), z);
    const hd s = 1 / (1 + ISA(exp)(z)), q = s * (1 - s);
    *by_t0 = (range * per_tc) * q;
    D[0] = 1 - s;
    D[1] = s;
    D[2] = (range * per_tc) * q * z;
    D[3] = *by_t0;
    return p[0] + range * s;
}

/* n is a multiple of 8. flux [n], column [parameter][n]. */
static void ISA(columns)(const nj_rainbow *model, const nj_rainbow_bands *bands, const double *p, uint32_t n,
                         const double *t, const double *kelvin, const double *factor, double *flux,
                         double *column)
{
    const uint32_t first = first_temperature(model), end = nj_rainbow_first_baseline(model);
    for (uint32_t i = 0; i < n; i += W / 2) {
        hd time, hot, scale, by_t0, D[5], by_temperature[4];
        memcpy(&time, t + i, sizeof time);
        memcpy(&hot, kelvin + i, sizeof hot);
        memcpy(&scale, factor + i, sizeof scale);
        const hd d = time - p[0], B = ISA(bolometric)(model, bands, p, d, D),
                 cold = 1 / ISA(temperature)(model, p + first, d, &by_t0, by_temperature), x = hot * cold,
                 per_e = 1 / (ISA(exp)(x) - 1), g = scale * (x * x) * (x * x) * per_e, F = B * g,
                 by_T = F * cold * (x + x * per_e - 4);
        memcpy(flux + i, &F, sizeof F);
        for (uint32_t k = 0; k < end; k++) {
            hd value = k < first ? D[k] * g : by_temperature[k - first] * by_T;
            if (!k) value += by_T * by_t0;
            memcpy(column + (size_t)k * n + i, &value, sizeof value);
        }
    }
}

/* sum a[i] b[i] over n points, a multiple of 8. */
static inline double ISA(dot)(uint32_t n, const double *a, const double *b)
{
    hd sum[16 / W];
    double part[8];
    memset(sum, 0, sizeof sum);
    for (uint32_t i = 0; i < n; i += 8)
        for (int k = 0; k < 16 / W; k++) {
            hd x, y;
            memcpy(&x, a + i + k * (W / 2), sizeof x);
            memcpy(&y, b + i + k * (W / 2), sizeof y);
            sum[k] += x * y;
        }
    memcpy(part, sum, sizeof part);
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

/* Gradient and normal equations (lower half, rows of `stride`) of residuals r and columns. */
static void ISA(normals)(uint32_t n_p, uint32_t n, const double *r, const double *column, double *gradient,
                         double *normal, uint32_t stride)
{
    for (uint32_t a = 0; a < n_p; a++) {
        gradient[a] = ISA(dot)(n, column + (size_t)a * n, r);
        for (uint32_t b = 0; b <= a; b++)
            normal[(size_t)a * stride + b] = ISA(dot)(n, column + (size_t)a * n, column + (size_t)b * n);
    }
}
#undef hl
