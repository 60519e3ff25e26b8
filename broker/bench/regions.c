/* regions.c - regions of the sky: one coverage map, 300 of them in one index, the same one after the other,
 * and 300 cones beside them; per alert, at random places and within one exposure. */
#include <chealpix.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../modules/kit/region/rgn.h"
#include "harness.h"

enum { QUERIES = 100000, MAPS = 300, CHECKED = 2000, WORDS = 16, ORDER = 10 };
static const double deg = M_PI / 180;

typedef struct regions_data {
    rgn_region map[MAPS], cone[MAPS];
    const rgn_region *list[2 * MAPS];
    rgn_index one, many, both, each[MAPS], made;
    double ra[QUERIES], dec[QUERIES], field_ra[QUERIES], field_dec[QUERIES];
    uint64_t inside;
} regions_data;

/* Number i of a stream, in [0, 1). */
static double uniform(uint64_t stream, uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9e3779b97f4a7c15) + stream * UINT64_C(0xd1342543de82ef95);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* The cells of a cone down to ORDER, with a ragged edge, as the map of a gravitational wave has. */
static void cover(rgn_region *r, size_t *cap, unsigned order, int64_t cell, const double centre[3],
                  double radius)
{
    double v[3], size = 1.5 * sqrt(4 * M_PI / 12) / (double)(1 << order);
    pix2vec_nest64((int64_t)1 << order, cell, v);
    double apart = acos(fmin(1, fmax(-1, v[0] * centre[0] + v[1] * centre[1] + v[2] * centre[2])));
    if (apart > radius + size) return;
    if (order == ORDER || apart + size < radius) {
        if (order < ORDER || uniform((uint64_t)cell, order) < 0.7)
            rgn_add_cells(r, cap, order, (uint64_t)cell, (uint64_t)cell);
        return;
    }
    for (int64_t k = 0; k < 4; k++) cover(r, cap, order + 1, 4 * cell + k, centre, radius);
}

static void find(const rgn_index *x, regions_data *d, const double *ra, const double *dec)
{
    uint64_t bits[WORDS], inside = 0;
    for (uint32_t i = 0; i < QUERIES; i++) inside += (uint64_t)rgn_index_find(x, ra[i], dec[i], bits);
    d->inside = inside;
    nj_bench_use(bits);
}

static void one_map(void *s)
{
    find(&((regions_data *)s)->one, s, ((regions_data *)s)->ra, ((regions_data *)s)->dec);
}
static void all_maps(void *s)
{
    find(&((regions_data *)s)->many, s, ((regions_data *)s)->ra, ((regions_data *)s)->dec);
}
static void exposure(void *s)
{
    find(&((regions_data *)s)->many, s, ((regions_data *)s)->field_ra, ((regions_data *)s)->field_dec);
}
static void with_cones(void *s)
{
    find(&((regions_data *)s)->both, s, ((regions_data *)s)->ra, ((regions_data *)s)->dec);
}

/* What an instance for each map would cost. */
static void one_by_one(void *s)
{
    regions_data *d = s;
    uint64_t bits[WORDS], inside = 0;
    for (uint32_t i = 0; i < QUERIES / 100; i++)
        for (uint32_t k = 0; k < MAPS; k++)
            inside += (uint64_t)rgn_index_find(&d->each[k], d->ra[i], d->dec[i], bits);
    d->inside = inside;
    nj_bench_use(bits);
}

static void build(void *s)
{
    regions_data *d = s;
    rgn_index_make(&d->made, d->list, MAPS);
    rgn_index_free(&d->made);
}

static int make(regions_data *d)
{
    int failed = 0;
    for (uint32_t k = 0; k < MAPS; k++) {
        size_t cap = 0;
        double centre[3];
        rgn_vector(360 * uniform(1, k), asin(2 * uniform(2, k) - 1) / deg, centre);
        double radius = 1 + 14 * uniform(3, k) * uniform(4, k);
        for (int64_t base = 0; base < 12; base++) cover(&d->map[k], &cap, 0, base, centre, radius * deg);
        rgn_sort(&d->map[k]);
        d->cone[k].shape = malloc(sizeof *d->cone[k].shape);
        d->cone[k].n_shapes = d->cone[k].shape != NULL;
        rgn_vector(360 * uniform(5, k), asin(2 * uniform(6, k) - 1) / deg, centre);
        failed |= !d->cone[k].shape || rgn_make_cone(d->cone[k].shape, centre, 0.1 + 3 * uniform(7, k));
        d->list[k] = &d->map[k];
        d->list[MAPS + k] = &d->cone[k];
    }
    for (uint32_t i = 0; i < QUERIES; i++) {
        d->ra[i] = 360 * uniform(8, i);
        d->dec[i] = asin(2 * uniform(9, i) - 1) / deg;
        d->field_ra[i] = 150 + 7 * uniform(10, i);
        d->field_dec[i] = 2 + 7 * uniform(11, i);
    }
    for (uint32_t k = 0; k < MAPS && !failed; k++) failed = rgn_index_make(&d->each[k], d->list + k, 1);
    return failed || rgn_index_make(&d->one, d->list, 1) || rgn_index_make(&d->many, d->list, MAPS) ||
                   rgn_index_make(&d->both, d->list, 2 * MAPS)
               ? -1
               : 0;
}

static void drop(regions_data *d)
{
    for (uint32_t k = 0; k < MAPS; k++) {
        rgn_free(&d->map[k]);
        rgn_free(&d->cone[k]);
        rgn_index_free(&d->each[k]);
    }
    rgn_index_free(&d->one);
    rgn_index_free(&d->many);
    rgn_index_free(&d->both);
    free(d);
}

static bool right(nj_bench_run *run, regions_data *d)
{
    uint32_t wrong = 0;
    uint64_t inside = 0, ranges = 0;
    for (uint32_t k = 0; k < MAPS; k++) ranges += d->map[k].n_ranges;
    for (uint32_t i = 0; i < CHECKED; i++) {
        uint64_t fast[WORDS], plain[WORDS];
        int32_t n = rgn_index_find(&d->both, d->ra[i], d->dec[i], fast);
        rgn_find_plain(&d->both, d->ra[i], d->dec[i], plain);
        wrong += memcmp(fast, plain, d->both.words * sizeof *fast) != 0;
        inside += (uint64_t)n;
    }
    nj_bench_figure(run, "ranges of 300 maps", (double)ranges, "1");
    nj_bench_figure(run, "places where the set of regions changes", (double)d->many.n_starts, "1");
    return nj_bench_verify(
        run, !wrong && inside > 0,
        "%d positions, each against every range and cone: %u wrong; %llu regions hold them", CHECKED, wrong,
        (unsigned long long)inside);
}

static int run_regions(nj_bench_run *run)
{
    regions_data *d = calloc(1, sizeof *d);
    if (!d || make(d)) {
        if (d) drop(d);
        nj_bench_note(run, "no memory for %d maps", MAPS);
        return -1;
    }
    int rc = right(run, d) ? 0 : -1;
    if (!rc) {
        nj_bench_case cases[] = { { "one map", one_map, d, QUERIES, 0 },
                                  { "300 maps", all_maps, d, QUERIES, 0 },
                                  { "300 maps, one 7 deg field", exposure, d, QUERIES, 0 },
                                  { "300 maps and 300 cones", with_cones, d, QUERIES, 0 },
                                  { "300 maps, one after the other", one_by_one, d, QUERIES / 100, 0 },
                                  { "index, per map", build, d, MAPS, 0 } };
        nj_bench_time(run, cases, 6);
        nj_bench_bar(run, "300 maps, per alert", nj_bench_median(run, 1) / 1000, "us", NAN, 1);
        nj_bench_bar(run, "300 maps and 300 cones, per alert", nj_bench_median(run, 3) / 1000, "us", NAN, 1);
    }
    drop(d);
    return rc;
}

extern const nj_bench nj_bench_regions;
const nj_bench nj_bench_regions = { "regions", "which of 300 regions of the sky hold an alert", run_regions };
