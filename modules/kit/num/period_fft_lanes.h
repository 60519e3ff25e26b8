/* period_fft_lanes.h - powers times the variance from the sums, as many frequencies at a time as a register
 * holds, for each instruction set. */

typedef int64_t ISA(fl) __attribute__((vector_size(4 * W)));

static void ISA(fft_powers)(const fft_block *b, double *power, double *determinant)
{
    for (int from = 0; from < AT_ONCE; from += W / 2) {
        hd part[6];
        for (int p = 0; p < 6; p++) memcpy(&part[p], b->part[p] + from, sizeof *part);
        const hd C = part[0], S = part[1], YC = part[2], YS = part[3], CC = 0.5 * (1 + part[4]) - C * C,
                 SS = 0.5 * (1 - part[4]) - S * S, CS = 0.5 * part[5] - C * S, D = CC * SS - CS * CS;
        hd p = (SS * YC * YC + CC * YS * YS - 2 * CS * YC * YS) / D;
        p = (hd)((p >= (hd){ 0 }) & (ISA(fl))p);
        memcpy(power + from, &p, sizeof p);
        memcpy(determinant + from, &D, sizeof D);
    }
}
