/* ks_lanes.h - the vector loops of ks.c; see each_isa.h. */

/* Sorts a few hundred values: each goes to the place that is the number of smaller ones. */
static void ISA(rank)(const float *x, uint32_t n, float *sorted)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = 0;
        const float v = x[i];
        for (uint32_t k = 0; k < i; k++) place += x[k] <= v;
        for (uint32_t k = i; k < n; k++) place += x[k] < v;
        sorted[place] = v;
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
