/* ks_lanes.h - the vector loops of ks.c; see each_isa.h. */

/* Sorts a few hundred values: each goes to the place that is the number of those before it, equal ones in
 * their order. x has room for 32 more. */
static void ISA(rank)(const float *x, uint32_t n, float *sorted)
{
    enum { VECTORS = 32 / W };
    for (uint32_t from = 0; from < n; from += 32) { /* 32 values against all */
        vf v[VECTORS];
        vi place[VECTORS] = { 0 }, number[VECTORS];
        int32_t to[32];
        memcpy(v, x + from, sizeof v);
        for (int32_t i = 0; i < 32; i++) to[i] = (int32_t)from + i;
        memcpy(number, to, sizeof number);
        const uint32_t end = from + 32 < n ? from + 32 : n;
        for (uint32_t k = 0; k < from; k++)
            for (int q = 0; q < VECTORS; q++) place[q] -= (vf){ 0 } + x[k] <= v[q];
        for (uint32_t k = from; k < end; k++)
            for (int q = 0; q < VECTORS; q++) {
                const vf other = (vf){ 0 } + x[k];
                place[q] -= (other < v[q]) | ((other == v[q]) & (number[q] > (int)k));
            }
        for (uint32_t k = end; k < n; k++)
            for (int q = 0; q < VECTORS; q++) place[q] -= (vf){ 0 } + x[k] < v[q];
        memcpy(to, place, sizeof to);
        for (uint32_t i = from; i < end; i++) sorted[to[i - from]] = x[i];
    }
}

static void ISA(classify)(const float *y, uint32_t n, int32_t base, int32_t shift, uint16_t *cell)
{
    typedef int32_t aliasing __attribute__((may_alias));
    const aliasing *pattern = (const aliasing *)(const void *)y;
    for (uint32_t i = 0; i < n; i++) {
        int32_t c = ((pattern[i] - base) >> shift) + 1;
        c = c < 0 ? 0 : c;
        cell[i] = (uint16_t)(c > NJ_KS_CELLS - 1 ? NJ_KS_CELLS - 1 : c);
    }
}

static void ISA(count_at)(const float *y, uint32_t n, float at, uint32_t *n_le, uint32_t *n_lt)
{
    const vf bound = (vf){ 0 } + at;
    vi le = { 0 }, lt = { 0 };
    for (uint32_t i = 0; i < n; i += W) {
        vf v = *(const vf *)(const void *)(y + i);
        le -= v <= bound;
        lt -= v < bound;
    }
    *n_le = *n_lt = 0;
    for (int l = 0; l < W; l++) *n_le += (uint32_t)le[l], *n_lt += (uint32_t)lt[l];
}
