/* stamp_lanes.h - the loops of stamp.c for one instruction set (see ../num/each_isa.h);
 * equal bits on all of them. */

/* Sum of squares in 32 partial sums (the additions of one would wait for each other), whose order is the same
 * for every instruction set; NaN counts as 0. */
static double ISA(squares)(const float *pixel, uint32_t n)
{
    enum { SUMS = 32, PARTS = SUMS / (W / 2) };
    hd part[PARTS] = { 0 };
    uint32_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int p = 0; p < PARTS; p++) {
            hf x;
            memcpy(&x, pixel + i + p * (W / 2), sizeof x);
            hd v = __builtin_convertvector(x, hd);
            v *= v;
            part[p] += (hd)((__typeof__(v == v))v & (v == v));
        }
    double sum = part[0][0];
    for (; i < n; i++) sum += pixel[i] == pixel[i] ? (double)pixel[i] * pixel[i] : 0;
    for (int k = 1; k < SUMS; k++) sum += part[k / (W / 2)][k % (W / 2)];
    return sum;
}

static inline vf ISA(scaled)(const float *pixel, float norm)
{
    vf x;
    memcpy(&x, pixel, sizeof x);
    return (vf)((vi)(x / norm) & (x == x));
}

/* to[3 i + k] = plane[k][i] / norm[k], NaN as 0. */
static void ISA(interleave)(const float *const plane[3], const float norm[3], uint32_t n, float *to)
{
    uint32_t i = 0;
#if !defined __clang__ /* it has no shuffle by a vector, and the scalar loop does */
    vi first[3], second[3];
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < W; k++) {
            int from = (j * W + k) % 3, at = (j * W + k) / 3;
            first[j][k] = from == 1 ? W + at : at;
            second[j][k] = from == 2 ? W + at : k;
        }
    for (; i + W <= n; i += W) {
        vf a = ISA(scaled)(plane[0] + i, norm[0]), b = ISA(scaled)(plane[1] + i, norm[1]),
           c = ISA(scaled)(plane[2] + i, norm[2]);
        for (int j = 0; j < 3; j++) {
            vf out = __builtin_shuffle(__builtin_shuffle(a, b, first[j]), c, second[j]);
            memcpy(to + 3 * i + j * W, &out, sizeof out);
        }
    }
#endif
    for (; i < n; i++)
        for (int k = 0; k < 3; k++) to[3 * i + k] = plane[k][i] == plane[k][i] ? plane[k][i] / norm[k] : 0;
}
