/* sky.c - cone search in local catalogues: 1.5" cones at random places, half of them on a source, over 10^6
 * and 10^7 rows (and $NIGHTJAR_BENCH_ROWS rows), the index built from arrays in memory, fifteen catalogues
 * for each alert, and alerts that come by exposure. perf/sky_vs_python.py makes the same rows and queries
 * and compares with scipy and astropy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../modules/kit/sky/njx.h"
#include "harness.h"

enum { QUERIES = 200000, BATCH = 64, CATALOGS = 15, CHECKED = 60 };
static const double radius_arcsec = 1.5, deg = M_PI / 180;

/* Number i of a stream, in [0, 1): splitmix64 of a counter, so that numpy can make the same ones. */
static double uniform(uint64_t stream, uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9e3779b97f4a7c15) + stream * UINT64_C(0xd1342543de82ef95);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

typedef struct sky_data {
    uint64_t n;
    double *ra, *dec;
    njx_grid grid, rebuilt;
    double query_ra[QUERIES], query_dec[QUERIES], field_ra[QUERIES], field_dec[QUERIES];
    double sep[QUERIES];
    uint64_t row[QUERIES];
    uint32_t count[QUERIES];
    uint8_t state[QUERIES];
    uint32_t batch;
    const njx_grid *many[CATALOGS];
    uint32_t n_many;
} sky_data;

static void search(sky_data *d, const njx_grid *grid, const double *ra, const double *dec, uint32_t batch)
{
    for (uint32_t i = 0; i < QUERIES; i += batch) {
        uint32_t n = QUERIES - i < batch ? QUERIES - i : batch;
        nj_sky_cones cones = {
            .n = n, .cap = 1, .ra = ra + i, .dec = dec + i, .one_radius_arcsec = radius_arcsec
        };
        nj_sky_matches out = { d->state + i, d->count + i, d->row + i, d->sep + i };
        njx_search(grid, 1, NAN, &cones, &out);
    }
    nj_bench_use(d->sep);
}

static void one_by_one(void *s)
{
    search(s, &((sky_data *)s)->grid, ((sky_data *)s)->query_ra, ((sky_data *)s)->query_dec, 1);
}
static void batched(void *s)
{
    search(s, &((sky_data *)s)->grid, ((sky_data *)s)->query_ra, ((sky_data *)s)->query_dec, BATCH);
}
static void exposure(void *s)
{
    search(s, &((sky_data *)s)->grid, ((sky_data *)s)->field_ra, ((sky_data *)s)->field_dec, BATCH);
}

static void portable(void *s)
{
    njx_use_filter(1);
    batched(s);
    njx_use_filter(0);
}

static void fifteen(void *s)
{
    sky_data *d = s;
    for (uint32_t i = 0; i < QUERIES; i += BATCH) {
        uint32_t n = QUERIES - i < BATCH ? QUERIES - i : BATCH;
        nj_sky_cones cones = { .n = n,
                               .cap = 1,
                               .ra = d->query_ra + i,
                               .dec = d->query_dec + i,
                               .one_radius_arcsec = radius_arcsec };
        nj_sky_matches out = { d->state + i, d->count + i, d->row + i, d->sep + i };
        for (uint32_t k = 0; k < d->n_many; k++) njx_search(d->many[k], 1, NAN, &cones, &out);
    }
}

static void build(void *s)
{
    sky_data *d = s;
    if (njx_build_grid(&d->rebuilt, d->n, d->ra, d->dec, radius_arcsec, NULL) == 0)
        njx_free_grid(&d->rebuilt);
}

static sky_data *make(uint64_t n)
{
    sky_data *d = calloc(1, sizeof *d);
    if (!d || !(d->ra = malloc(n * sizeof *d->ra)) || !(d->dec = malloc(n * sizeof *d->dec))) return d;
    d->n = n;
    for (uint64_t i = 0; i < n; i++) {
        d->ra[i] = 360 * uniform(1, i);
        d->dec[i] = asin(2 * uniform(2, i) - 1) / deg;
    }
    for (uint32_t i = 0; i < QUERIES; i++) {
        d->query_ra[i] = 360 * uniform(3, i);
        d->query_dec[i] = asin(2 * uniform(4, i) - 1) / deg;
        d->field_ra[i] = 150 + 7 * uniform(5, i);
        d->field_dec[i] = 2 + 7 * uniform(6, i);
        if (i % 2) continue;
        uint64_t at = (uint64_t)(uniform(3, i) * (double)n);
        d->query_ra[i] = d->ra[at];
        d->query_dec[i] = d->dec[at] + 0.2 / 3600 * (uniform(4, i) - 0.5);
        if (fabs(d->query_dec[i]) > 90) d->query_dec[i] = d->dec[at];
    }
    if (njx_build_grid(&d->grid, n, d->ra, d->dec, radius_arcsec, NULL)) d->n = 0;
    return d;
}

static void drop(sky_data *d)
{
    if (!d) return;
    if (d->n) njx_free_grid(&d->grid);
    free(d->ra);
    free(d->dec);
    free(d);
}

/* Some cones against every row, and every filter against the portable one. */
static bool right(nj_bench_run *run, sky_data *d)
{
    uint32_t wrong = 0, matches = 0, differ = 0;
    double sum = 0;
    njx_use_filter(1);
    batched(d);
    uint32_t *plain = malloc(sizeof d->count);
    if (!plain) return nj_bench_verify(run, false, "no memory");
    memcpy(plain, d->count, sizeof d->count);
    for (int which = 2; which <= 3; which++) {
        if (njx_use_filter(which) != which) continue;
        batched(d);
        differ += memcmp(plain, d->count, sizeof d->count) != 0;
    }
    njx_use_filter(0);
    free(plain);
    for (uint32_t i = 0; i < CHECKED; i++) {
        uint32_t n = 0;
        for (uint64_t r = 0; r < d->n; r++)
            if (fabs(d->dec[r] - d->query_dec[i]) * 3600 < 2 * radius_arcsec)
                n += njx_separation(d->query_ra[i], d->query_dec[i], d->ra[r], d->dec[r]) < radius_arcsec;
        wrong += n != d->count[i];
    }
    for (uint32_t i = 0; i < QUERIES; i++) {
        matches += d->count[i] > 0;
        if (d->count[i]) sum += d->sep[i];
    }
    char name[64];
    snprintf(name, sizeof name, "matches of %d cones, %.0e rows", QUERIES, (double)d->n);
    nj_bench_figure(run, name, matches, "1");
    snprintf(name, sizeof name, "sum of separations, %.0e rows", (double)d->n);
    nj_bench_figure(run, name, sum, "arcsec");
    return nj_bench_verify(
        run, !wrong && !differ && matches >= QUERIES / 2,
        "%.0e rows: %d cones against every row, %u wrong; filters %s; %u of %d cones match", (double)d->n,
        CHECKED, wrong, differ ? "differ" : "equal", matches, QUERIES);
}

static int measure(nj_bench_run *run, uint64_t n)
{
    sky_data *d = make(n);
    if (!d || !d->n) {
        drop(d);
        nj_bench_note(run, "%.0e rows do not fit into memory", (double)n);
        return -1;
    }
    int rc = right(run, d) ? 0 : -1;
    if (rc == 0) {
        char name[5][48];
        static const char *const what[] = { "cone", "cone, batches of 64", "cone, portable filter",
                                            "cone, one 7 deg field", "build, per row" };
        for (int k = 0; k < 5; k++) snprintf(name[k], sizeof name[k], "%s, %.0e rows", what[k], (double)n);
        nj_bench_case cases[] = { { name[0], one_by_one, d, QUERIES, 0 },
                                  { name[1], batched, d, QUERIES, 0 },
                                  { name[2], portable, d, QUERIES, 0 },
                                  { name[3], exposure, d, QUERIES, 0 },
                                  { name[4], build, d, (double)n, 0 } };
        nj_bench_time(run, cases, n > 20000000 ? 4 : 5);
        nj_bench_ratio(run, "one by one / batched", 0, 1, NAN, NAN);
    }
    drop(d);
    return rc;
}

/* Fifteen catalogues of 10^4.5 to 10^6.5 rows, as a broker has them:
 * small lists of variables, large surveys. */
static int measure_fifteen(nj_bench_run *run)
{
    sky_data *all[CATALOGS] = { 0 }, *d = make(1000000);
    int rc = d && d->n ? 0 : -1;
    for (int k = 0; k < CATALOGS && rc == 0; k++) {
        all[k] = make((uint64_t)pow(10, 4.5 + 2.0 * k / (CATALOGS - 1)));
        if (!all[k] || !all[k]->n)
            rc = -1;
        else
            d->many[d->n_many++] = &all[k]->grid;
    }
    if (rc) nj_bench_note(run, "no memory for fifteen catalogues");
    nj_bench_case one = { "fifteen catalogues, per alert", fifteen, d, QUERIES, 0 };
    if (!rc) nj_bench_time(run, &one, 1);
    for (int k = 0; k < CATALOGS; k++) drop(all[k]);
    drop(d);
    return rc;
}

static int run_sky(nj_bench_run *run)
{
    const char *more = getenv("NIGHTJAR_BENCH_ROWS");
    nj_bench_note(
        run, "filter %d (1 portable, 2 AVX2, 3 AVX-512), radius %.1f arcsec, half of the cones on a source",
        njx_use_filter(0), radius_arcsec);
    int rc = measure(run, 1000000) || measure(run, 10000000) || measure_fifteen(run);
    if (!rc && more) rc = measure(run, (uint64_t)strtod(more, NULL));
    return rc ? -1 : 0;
}

extern const nj_bench nj_bench_sky;
const nj_bench nj_bench_sky = { "sky", "cone searches in local catalogues, and building them", run_sky };
