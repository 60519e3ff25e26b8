/* period_lanes.h - the sums of a periodogram over points, 8 frequencies at a time, for each instruction
 * set, and their powers. As many frequencies go together as a register holds, so that the sums stay in
 * registers. */

typedef int64_t ISA(hl) __attribute__((vector_size(4 * W)));

/* state [n][16]: cos and sin of 8 frequencies times the weight; turn [n][4]: what 8 steps of the grid turn
 * them by, one over the weight, the value. power [8]. */
static void ISA(powers)(uint32_t n, double *state, const double *turn, double yy, double *power)
{
    for (int first = 0; first < 8; first += W / 2) {
        hd s[6] = { { 0 } };
        for (uint32_t i = 0; i < n; i++) {
            double *at = state + 16 * (size_t)i + first;
            const double c = turn[4 * i], d = turn[4 * i + 1], per_weight = turn[4 * i + 2],
                         y = turn[4 * i + 3];
            hd a, b;
            memcpy(&a, at, sizeof a);
            memcpy(&b, at + 8, sizeof b);
            const hd cosine = a * per_weight, re = a * c - b * d, im = a * d + b * c;
            s[0] += a;
            s[1] += b;
            s[2] += y * a;
            s[3] += y * b;
            s[4] += cosine * a;
            s[5] += cosine * b;
            memcpy(at, &re, sizeof re);
            memcpy(at + 8, &im, sizeof im);
        }
        const hd CC = s[4] - s[0] * s[0], SS = (1 - s[4]) - s[1] * s[1], CS = s[5] - s[0] * s[1],
                 D = CC * SS - CS * CS, both = CC + SS;
        const ISA(hl) any = both > NJ_PERIOD_LEAST - (hd){ 0 }, two = any & (D > NJ_PERIOD_LEAST * both);
        const hd p2 = (SS * s[2] * s[2] + CC * s[3] * s[3] - 2 * CS * s[2] * s[3]) / (yy * D),
                 p1 = (s[2] * s[2] + s[3] * s[3]) / (yy * both);
        hd p = (hd)((two & (ISA(hl))p2) | (any & ~two & (ISA(hl))p1));
        const ISA(hl) above = p > 1.0 - (hd){ 0 }, good = (p >= (hd){ 0 });
        p = (hd)((above & (ISA(hl))(1.0 - (hd){ 0 })) | (~above & good & (ISA(hl))p));
        memcpy(power + first, &p, sizeof p);
    }
}
