/* search.c - cone search in one file. */
#include "njx.h"

#include <stdatomic.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

/* How a block of cones is done: (1) each cone becomes one or a few runs of neighbouring cells, and the
 * offsets are prefetched; (2) offsets are read, rows prefetched; (3) integers are filtered; (4) the few
 * survivors are judged in double precision. Wide cones (many bands) skip the prefetching: they read whole
 * rows of cells in order anyway. */
enum { BLOCK = 64, NARROW_BANDS = 2, RUNS_PER_CONE = 2 * NARROW_BANDS, SURVIVORS = 512 };

static const double deg = M_PI / 180, ra_unit = 4294967296.0 / 360, dec_unit = 4294967296.0 / 180;

typedef struct box { /* rows with row - low <= width in both coordinates, modulo 2^32 */
    uint32_t ra, ra_width, dec, dec_width;
} box;

typedef struct run { /* neighbouring cells of one band */
    uint32_t cone;
    uint64_t row0;
    const uint32_t *first, *end; /* offsets */
} run;

typedef struct survivor {
    uint32_t cone;
    uint64_t row; /* in the grid */
} survivor;

typedef struct search_state {
    const njx_grid *grid;
    double epoch_year;
    const nj_sky_cones *cones;
    const nj_sky_matches *out;
    uint32_t first; /* of the block */
    box box[BLOCK];
    double radius[BLOCK];
    survivor survivor[SURVIVORS];
    uint32_t n_survivors;
} search_state;

/* ---- integer filter ---- */

static uint32_t filter_portable(const uint32_t *p, uint32_t n, const box *b, uint32_t *hit)
{
    uint32_t n_hits = 0;
    for (uint32_t i = 0; i < n; i++) {
        hit[n_hits] = i;
        n_hits += (p[2 * i] - b->ra <= b->ra_width) & (p[2 * i + 1] - b->dec <= b->dec_width);
    }
    return n_hits;
}

#if defined __x86_64__
__attribute__((target("avx2"))) static uint32_t filter_avx2(const uint32_t *p, uint32_t n, const box *b,
                                                            uint32_t *hit)
{
    const __m256i low = _mm256_set1_epi64x((int64_t)((uint64_t)b->dec << 32 | b->ra));
    const __m256i width = _mm256_set1_epi64x((int64_t)((uint64_t)b->dec_width << 32 | b->ra_width));
    uint32_t n_hits = 0;
    for (uint32_t i = 0; i < n; i += 4) { /* reads up to 24 bytes behind the last row: NJX_PAD */
        __m256i d = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(p + 2 * i)), low);
        __m256i in = _mm256_cmpeq_epi32(_mm256_min_epu32(d, width), d);
        in = _mm256_cmpeq_epi64(in, _mm256_set1_epi64x(-1));
        uint32_t m = (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(in));
        if (n - i < 4) m &= (1u << (n - i)) - 1;
        for (; m; m &= m - 1) hit[n_hits++] = i + (uint32_t)__builtin_ctz(m);
    }
    return n_hits;
}

__attribute__((target("avx512f"))) static uint32_t filter_avx512(const uint32_t *p, uint32_t n, const box *b,
                                                                 uint32_t *hit)
{
    const __m512i low = _mm512_set1_epi64((int64_t)((uint64_t)b->dec << 32 | b->ra));
    const __m512i width = _mm512_set1_epi64((int64_t)((uint64_t)b->dec_width << 32 | b->ra_width));
    uint32_t n_hits = 0;
    for (uint32_t i = 0; i < n; i += 8) {
        __mmask8 there = n - i < 8 ? (__mmask8)((1u << (n - i)) - 1) : 0xff;
        __m512i d = _mm512_sub_epi32(_mm512_maskz_loadu_epi64(there, p + 2 * i), low);
        uint32_t m = _mm512_cmple_epu32_mask(d, width);
        m &= m >> 1 & 0x5555u;
        for (; m; m &= m - 1) {
            uint32_t at = (uint32_t)__builtin_ctz(m) / 2;
            if (there >> at & 1) hit[n_hits++] = i + at;
        }
    }
    return n_hits;
}
#endif

typedef uint32_t filter_fn(const uint32_t *p, uint32_t n, const box *b, uint32_t *hit);
static filter_fn *const filter_of[] = { NULL, filter_portable,
#if defined __x86_64__
                                        filter_avx2, filter_avx512
#endif
};
static _Atomic int filter_in_use; /* set once to what the CPU has; by tests and bench to another */

int njx_use_filter(int which)
{
    int best = 1;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2")) best = 2;
    if (__builtin_cpu_supports("avx512f")) best = 3;
#endif
    if (which <= 0 || which > best) which = best;
    filter_in_use = which;
    return which;
}

/* ---- separations ---- */

/* sin(x)^2; below 1e-3 the series is exact to the last bit or so and costs no call. */
static inline double sin_squared(double x)
{
    double s = fabs(x) < 1e-3 ? x * (1 - x * x * (1.0 / 6) * (1 - x * x * (1.0 / 20))) : sin(x);
    return s * s;
}

/* cos(dec) for dec in deg, within 3e-16 relative, also beside the poles: the sine of the distance to the
 * pole, which is exact in degrees. A Taylor sum without branches or calls: survivors are judged one behind
 * the other, overlapping. */
static inline double cos_dec(double dec)
{
    double x = (90 - fabs(dec)) * deg, y = x * x, sum = 0;
    static const double term[] = { 1 / 51090942171709440000.0,
                                   -1 / 121645100408832000.0,
                                   1 / 355687428096000.0,
                                   -1 / 1307674368000.0,
                                   1 / 6227020800.0,
                                   -1 / 39916800.0,
                                   1 / 362880.0,
                                   -1 / 5040.0,
                                   1 / 120.0,
                                   -1 / 6.0 };
    for (int k = 0; k < 10; k++) sum = (sum + term[k]) * y;
    return x + x * sum;
}

/* Haversine: good for all but the antipodes, where it still has 1e-8 rad.
 * Position 1 comes with its cos(dec). */
static inline double separation(double ra1, double dec1, double cos1, double ra2, double dec2)
{
    double d_ra = ra2 - ra1;
    if (d_ra > 180) d_ra -= 360;
    if (d_ra < -180) d_ra += 360;
    double h = sin_squared((dec2 - dec1) * (deg / 2)) + cos1 * cos_dec(dec2) * sin_squared(d_ra * (deg / 2));
    double s = sqrt(h);
    double angle = s < 1e-3 ? s * (1 + h * (1.0 / 6 + h * (3.0 / 40))) : asin(s > 1 ? 1 : s);
    return angle * (2 / deg * 3600);
}

double njx_separation(double ra1, double dec1, double ra2, double dec2)
{
    return separation(ra1, dec1, cos_dec(dec1), ra2, dec2);
}

void njx_propagate(double *ra, double *dec, double pm_ra, double pm_dec, double years)
{
    if (isnan(pm_ra)) pm_ra = 0;
    if (isnan(pm_dec)) pm_dec = 0;
    if ((pm_ra == 0 && pm_dec == 0) || years == 0) return;
    double sa = sin(*ra * deg), ca = cos(*ra * deg), sd = sin(*dec * deg), cd = cos(*dec * deg);
    double a = pm_ra * years * (deg / 3.6e6), d = pm_dec * years * (deg / 3.6e6);
    double x = cd * ca - a * sa - d * sd * ca, y = cd * sa + a * ca - d * sd * sa, z = sd + d * cd;
    double new_ra = atan2(y, x) / deg;
    *ra = new_ra < 0 ? new_ra + 360 : new_ra;
    *dec = atan2(z, hypot(x, y)) / deg;
}

/* ---- the kept matches of one cone: a heap with the farthest on top, sorted at the end ---- */

static inline int farther(const double *sep, const uint64_t *row, uint32_t i, uint32_t j)
{
    return sep[i] > sep[j] || (sep[i] == sep[j] && row[i] > row[j]);
}

static void sift_down(double *sep, uint64_t *row, uint32_t i, uint32_t n)
{
    for (;;) {
        uint32_t top = i, l = 2 * i + 1;
        if (l < n && farther(sep, row, l, top)) top = l;
        if (l + 1 < n && farther(sep, row, l + 1, top)) top = l + 1;
        if (top == i) return;
        double s = sep[i];
        uint64_t r = row[i];
        sep[i] = sep[top], row[i] = row[top];
        sep[top] = s, row[top] = r;
        i = top;
    }
}

static void keep(const search_state *s, uint32_t i, uint64_t row_found, double sep_found)
{
    uint32_t cap = s->cones->cap, n = s->out->n[i]++;
    double *sep = s->out->sep_arcsec + (size_t)i * cap;
    uint64_t *row = s->out->row + (size_t)i * cap;
    if (n >= cap) {
        if (sep_found > sep[0] || (sep_found == sep[0] && row_found > row[0])) return;
        sep[0] = sep_found;
        row[0] = row_found;
        sift_down(sep, row, 0, cap);
        return;
    }
    sep[n] = sep_found;
    row[n] = row_found;
    if (n + 1 == cap) /* a heap is needed only once the room is full */
        for (uint32_t k = cap / 2; k-- > 0;) sift_down(sep, row, k, cap);
}

static void sort_kept(const search_state *s, uint32_t i)
{
    uint32_t cap = s->cones->cap, n = s->out->n[i] < cap ? s->out->n[i] : cap;
    if (n < 2) return;
    double *sep = s->out->sep_arcsec + (size_t)i * cap;
    uint64_t *row = s->out->row + (size_t)i * cap;
    for (uint32_t k = n / 2; k-- > 0;) sift_down(sep, row, k, n);
    for (uint32_t end = n - 1; end > 0; end--) {
        double a = sep[0];
        uint64_t r = row[0];
        sep[0] = sep[end], row[0] = row[end];
        sep[end] = a, row[end] = r;
        sift_down(sep, row, 0, end);
    }
}

/* Does cone i look at the grid's rows at another epoch than theirs? */
static inline int moves(const search_state *s, uint32_t i)
{
    return s->grid->motion && s->cones->epoch_year && isfinite(s->cones->epoch_year[i]) &&
           !isnan(s->epoch_year);
}

static void judge_survivors(search_state *s)
{
    const njx_grid *g = s->grid;
    for (uint32_t k = 0; k < s->n_survivors; k++) {
        uint32_t c = s->survivor[k].cone, i = s->first + c;
        uint64_t row = s->survivor[k].row;
        double ra, dec;
        if (g->exact) {
            ra = g->exact[2 * row];
            dec = g->exact[2 * row + 1];
        } else { /* the middle of the quantum */
            ra = (g->position[2 * row] + 0.5) / ra_unit;
            dec = (g->position[2 * row + 1] + 0.5) / dec_unit - 90;
        }
        if (moves(s, i))
            njx_propagate(&ra, &dec, g->motion[2 * row], g->motion[2 * row + 1],
                          s->cones->epoch_year[i] - s->epoch_year);
        double query_ra = s->cones->ra[i];
        if (!(query_ra >= 0 && query_ra < 360)) query_ra -= 360 * floor(query_ra / 360);
        double sep = separation(query_ra, s->cones->dec[i], cos_dec(s->cones->dec[i]), ra, dec);
        if (sep < s->radius[c]) keep(s, i, g->row0 + row, sep);
    }
    s->n_survivors = 0;
}

/* ---- from cones to rows ---- */

/* Filters rows [row, end) of the grid for one cone. */
static void filter_rows(search_state *s, uint32_t cone, uint64_t row, uint64_t end, filter_fn *filter)
{
    uint32_t hit[SURVIVORS]; /* room for all of a step */
    const uint32_t step = SURVIVORS;
    while (row < end) {
        uint32_t n = end - row < step ? (uint32_t)(end - row) : step;
        uint32_t n_hits = filter(s->grid->position + 2 * row, n, &s->box[cone], hit);
        if (s->n_survivors + n_hits > SURVIVORS) judge_survivors(s);
        for (uint32_t k = 0; k < n_hits; k++) {
            uint64_t found = row + hit[k];
            s->survivor[s->n_survivors++] = (survivor){ cone, found };
            if (s->grid->exact) __builtin_prefetch(s->grid->exact + 2 * found);
        }
        row += n;
    }
}

/* The box around cone i, never too small; 0 when there is nothing to search. Sets box, radius, bands. */
static int make_box(search_state *s, uint32_t cone, uint32_t *band_first, uint32_t *band_last)
{
    const nj_sky_cones *q = s->cones;
    const njx_grid *g = s->grid;
    uint32_t i = s->first + cone;
    double radius = q->radius_arcsec ? q->radius_arcsec[i] : q->one_radius_arcsec;
    double ra = q->ra[i], dec = q->dec[i], reach = radius;
    s->radius[cone] = radius;
    if (moves(s, i)) /* a straight line of length t is seen under an angle atan(t) <= t */
        reach += g->max_motion * fabs(q->epoch_year[i] - s->epoch_year) * 1.0001;
    double r = reach / 3600 * (1 + 1e-12) + 1e-12;
    double low = dec - r, high = dec + r;
    uint32_t low_u = low <= -90 ? 0 : njx_dec_u32(low), high_u = high >= 90 ? UINT32_MAX : njx_dec_u32(high);
    low_u -= low_u >= 2 ? 2 : low_u;
    high_u += high_u <= UINT32_MAX - 2 ? 2 : UINT32_MAX - high_u;
    uint32_t b0 = (uint32_t)((uint64_t)low_u * g->n_bands >> 32),
             b1 = (uint32_t)((uint64_t)high_u * g->n_bands >> 32);
    float w0 = g->band[b0].worst, w1 = g->band[b1].worst;
    double half = r * (w0 > w1 ? w0 : w1); /* on the circle |d ra| <= arc / cos(largest |dec| on the way) */
    box *b = &s->box[cone];
    *b = (box){ 0, UINT32_MAX, low_u, high_u - low_u };
    if (half < 170) {
        if (!(ra >= 0 && ra < 360)) ra -= 360 * floor(ra / 360);
        int64_t from = (int64_t)((ra - half) * ra_unit) - 3; /* cut towards 0, which may be one too high */
        b->ra = (uint32_t)from;
        b->ra_width = (uint32_t)(int64_t)(2 * half * ra_unit) + 6;
    }
    *band_first = b0;
    *band_last = b1;
    return g->n_rows != 0;
}

/* The runs of cells of one band that the box touches: 1 or 2. */
static uint32_t band_runs(const search_state *s, uint32_t cone, uint32_t band, run *out)
{
    const njx_band *b = &s->grid->band[band];
    const box *x = &s->box[cone];
    const uint32_t *offset = s->grid->offset + b->cell0;
    uint32_t last = b->n_cells - 1, ra_end = x->ra + x->ra_width;
    uint32_t c0 = (uint32_t)((uint64_t)x->ra * b->n_cells >> 32),
             c1 = (uint32_t)((uint64_t)ra_end * b->n_cells >> 32);
    if (ra_end >= x->ra) { /* no wrap */
        out[0] = (run){ cone, b->row0, offset + c0, offset + c1 + 1 };
        return 1;
    }
    if (c1 + 1 >= c0) {
        out[0] = (run){ cone, b->row0, offset, offset + last + 1 };
        return 1;
    }
    out[0] = (run){ cone, b->row0, offset + c0, offset + last + 1 };
    out[1] = (run){ cone, b->row0, offset, offset + c1 + 1 };
    return 2;
}

static void search_wide(search_state *s, uint32_t cone, uint32_t b0, uint32_t b1, filter_fn *filter)
{
    for (uint32_t b = b0; b <= b1; b++) {
        run r[2];
        uint32_t n = band_runs(s, cone, b, r);
        for (uint32_t k = 0; k < n; k++)
            filter_rows(s, cone, r[k].row0 + *r[k].first, r[k].row0 + *r[k].end, filter);
    }
}

static void search_block(search_state *s, uint32_t n, filter_fn *filter)
{
    run runs[BLOCK * RUNS_PER_CONE];
    uint64_t from[BLOCK * RUNS_PER_CONE], to[BLOCK * RUNS_PER_CONE];
    uint32_t n_runs = 0;
    for (uint32_t c = 0; c < n; c++) {
        uint32_t b0, b1;
        if (s->out->state[s->first + c] == NJ_SKY_NO_INPUT || !make_box(s, c, &b0, &b1)) continue;
        if (b1 - b0 >= NARROW_BANDS) {
            search_wide(s, c, b0, b1, filter);
            continue;
        }
        for (uint32_t b = b0; b <= b1; b++) {
            uint32_t more = band_runs(s, c, b, runs + n_runs);
            for (uint32_t k = 0; k < more; k++) __builtin_prefetch(runs[n_runs + k].first);
            n_runs += more;
        }
    }
    for (uint32_t k = 0; k < n_runs; k++) {
        from[k] = runs[k].row0 + *runs[k].first;
        to[k] = runs[k].row0 + *runs[k].end;
        __builtin_prefetch(s->grid->position + 2 * from[k]);
        if (to[k] - from[k] > 4) __builtin_prefetch(s->grid->position + 2 * from[k] + 16);
    }
    for (uint32_t k = 0; k < n_runs; k++) filter_rows(s, runs[k].cone, from[k], to[k], filter);
    judge_survivors(s);
}

int njx_search(const njx_grid *grid, uint32_t n_grids, double epoch_year, const nj_sky_cones *cones,
               const nj_sky_matches *matches)
{
    if (!cones->cap || (cones->n && (!cones->ra || !cones->dec || !matches->state || !matches->n ||
                                     !matches->row || !matches->sep_arcsec)))
        return -1;
    int which = filter_in_use;
    filter_fn *filter = filter_of[which ? which : njx_use_filter(0)];
    for (uint32_t i = 0; i < cones->n; i++) {
        double radius = cones->radius_arcsec ? cones->radius_arcsec[i] : cones->one_radius_arcsec;
        int good = isfinite(cones->ra[i]) && cones->dec[i] >= -90 && cones->dec[i] <= 90 && radius >= 0 &&
                   radius <= 648000;
        matches->state[i] = good ? NJ_SKY_NONE : NJ_SKY_NO_INPUT;
        matches->n[i] = 0;
    }
    search_state s; /* not cleared: 10 KiB, of which a single cone uses little */
    s.epoch_year = epoch_year;
    s.cones = cones;
    s.out = matches;
    s.n_survivors = 0;
    for (uint32_t first = 0; first < cones->n; first += BLOCK) {
        uint32_t n = cones->n - first < BLOCK ? cones->n - first : BLOCK;
        s.first = first;
        for (uint32_t g = 0; g < n_grids; g++) {
            s.grid = &grid[g];
            search_block(&s, n, filter);
        }
        for (uint32_t i = first; i < first + n; i++) {
            if (!matches->n[i]) continue;
            matches->state[i] = matches->n[i] > cones->cap ? NJ_SKY_OVERFLOW : NJ_SKY_MATCH;
            sort_kept(&s, i);
        }
    }
    return 0;
}
