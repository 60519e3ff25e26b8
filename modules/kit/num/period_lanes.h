/* period_lanes.h - the sums of a periodogram over points, 8 frequencies at a time, for each instruction
 * set. As many of them go together as a register holds, so that the sums stay in registers. */

/* state [n][16]: cos and sin of 8 frequencies, times the root of the weight; turn [n][2]: what 8 steps of
 * the grid turn them by; root, y [n]: that root, and the value times it. sum [6][8]: w cos, w sin, w y
 * cos, w y sin, w cos^2, w cos sin. */
static void ISA(sums)(uint32_t n, double *state, const double *turn, const double *root, const double *y,
                      double (*sum)[8])
{
    for (int first = 0; first < 8; first += W / 2) {
        hd s[6] = { { 0 } };
        for (uint32_t i = 0; i < n; i++) {
            double *at = state + 16 * (size_t)i + first;
            const double c = turn[2 * i], d = turn[2 * i + 1], u = root[i], v = y[i];
            hd a, b, re, im;
            memcpy(&a, at, sizeof a);
            memcpy(&b, at + 8, sizeof b);
            s[0] += u * a;
            s[1] += u * b;
            s[2] += v * a;
            s[3] += v * b;
            s[4] += a * a;
            s[5] += a * b;
            re = a * c - b * d;
            im = a * d + b * c;
            memcpy(at, &re, sizeof re);
            memcpy(at + 8, &im, sizeof im);
        }
        for (int k = 0; k < 6; k++) memcpy(&sum[k][first], &s[k], sizeof s[k]);
    }
}
