/* sky.c - the sky kernels: cone search against brute force (ERFA's separations), the file format, hostile
 * files, and proper motion against ERFA. */
#include "sky_kit.h"

#include <erfa.h>
#include <fcntl.h>

static double erfa_separation(double ra1, double dec1, double ra2, double dec2)
{
    return eraSeps(ra1 * deg, dec1 * deg, ra2 * deg, dec2 * deg) / deg * 3600;
}

static void cones_equal_brute_force(void **state)
{
    (void)state;
    places *p = awkward_places();
    njx_grid g;
    uint32_t *source = malloc(ROWS * sizeof *source);
    assert_int_equal(njx_build_grid(&g, ROWS, p->ra, p->dec, 5, source), 0);
    double *ra = malloc(CONES * 8), *dec = malloc(CONES * 8), *radius = malloc(CONES * 8),
           *sep = malloc(CONES * CAP * 8);
    uint64_t *row = malloc(CONES * CAP * 8), n_matches = 0;
    uint32_t *n = malloc(CONES * 4);
    uint8_t *found = malloc(CONES);
    for (int i = 0; i < CONES; i++) {
        awkward_place(&ra[i], &dec[i]);
        radius[i] = log_uniform(0.5, 3600);
        if (i % 3 == 0) { /* near a row, so that small cones have something to miss */
            int k = (int)(uniform() * ROWS);
            ra[i] = p->ra[k];
            dec[i] = fmin(90, fmax(-90, p->dec[k] + radius[i] / 3600 * (2 * uniform() - 1)));
        }
        if (i % 7 == 0) ra[i] -= 360;
    }
    nj_sky_cones cones = { .n = CONES, .cap = CAP, .ra = ra, .dec = dec, .radius_arcsec = radius };
    nj_sky_matches m = { found, n, row, sep };
    assert_int_equal(njx_search(&g, 1, NAN, &cones, &m), 0);
    for (int i = 0; i < CONES; i++) {
        /* 1e-7 arcsec: eraSeps and the haversine differ by 2e-10 deg-free arcsec;
         * no pair lies that near an edge by chance */
        uint32_t surely = 0, perhaps = 0;
        double best[CAP + 1];
        uint32_t n_best = 0;
        for (int k = 0; k < ROWS; k++) {
            if (fabs(p->dec[k] - dec[i]) * 3600 > radius[i] + 1e-3) continue;
            double s = erfa_separation(ra[i], dec[i], p->ra[k], p->dec[k]);
            surely += s < radius[i] - 1e-7;
            perhaps += s < radius[i] + 1e-7;
            if (s >= radius[i]) continue;
            uint32_t at = n_best < CAP ? n_best++ : CAP;
            for (; at > 0 && best[at - 1] > s; at--) best[at] = best[at - 1];
            best[at] = s;
        }
        assert_in_range(n[i], surely, perhaps);
        assert_int_equal(found[i], n[i] == 0 ? NJ_SKY_NONE : n[i] > CAP ? NJ_SKY_OVERFLOW : NJ_SKY_MATCH);
        for (uint32_t k = 0; k < n_best; k++) {
            assert_true(fabs(sep[i * CAP + k] - best[k]) < 1e-7);
            uint32_t from = source[row[i * CAP + k]];
            assert_true(fabs(erfa_separation(ra[i], dec[i], p->ra[from], p->dec[from]) - best[k]) < 1e-7);
        }
        n_matches += n[i];
    }
    assert_true(n_matches > 100000); /* the test has something to say */
    int best_filter = njx_use_filter(0);
    for (int which = 1; which <= best_filter; which++) { /* every filter: the same bits */
        uint8_t *f2 = malloc(CONES);
        uint32_t *n2 = malloc(CONES * 4);
        uint64_t *row2 = malloc(CONES * CAP * 8);
        double *sep2 = malloc(CONES * CAP * 8);
        nj_sky_matches m2 = { f2, n2, row2, sep2 };
        assert_int_equal(njx_use_filter(which), which);
        assert_int_equal(njx_search(&g, 1, NAN, &cones, &m2), 0);
        assert_memory_equal(n, n2, CONES * 4);
        assert_memory_equal(found, f2, CONES);
        for (int i = 0; i < CONES; i++) {
            uint32_t kept = n[i] < CAP ? n[i] : CAP;
            assert_memory_equal(row + i * CAP, row2 + i * CAP, kept * 8);
            assert_memory_equal(sep + i * CAP, sep2 + i * CAP, kept * 8);
        }
        free(f2), free(n2), free(row2), free(sep2);
    }
    njx_use_filter(0);
    free(ra), free(dec), free(radius), free(sep), free(row), free(n), free(found), free(source), free(p);
    njx_free_grid(&g);
}

static void impossible_cones_are_no_input(void **state)
{
    (void)state;
    double place_ra[] = { 10, 350 }, place_dec[] = { 0, 89.9999 };
    njx_grid g;
    assert_int_equal(njx_build_grid(&g, 2, place_ra, place_dec, 5, NULL), 0);
    double ra[] = { NAN, 10, INFINITY, 10, 10, 370, 10 }, dec[] = { 0, NAN, 0, 91, 0, 0, 0 };
    double radius[] = { 1, 1, 1, 1, NAN, 1, 0 }, sep[7];
    uint8_t found[7];
    uint32_t n[7];
    uint64_t row[7];
    nj_sky_cones cones = { .n = 7, .cap = 1, .ra = ra, .dec = dec, .radius_arcsec = radius };
    nj_sky_matches m = { found, n, row, sep };
    assert_int_equal(njx_search(&g, 1, NAN, &cones, &m), 0);
    for (int i = 0; i < 5; i++) assert_int_equal(found[i], NJ_SKY_NO_INPUT);
    assert_int_equal(found[5], NJ_SKY_MATCH); /* ra 370 is 10 */
    assert_int_equal(found[6], NJ_SKY_NONE);  /* nothing is nearer than 0, not even the row itself:
                                               * strictly < */
    cones.cap = 0;
    assert_int_equal(njx_search(&g, 1, NAN, &cones, &m), -1);
    njx_free_grid(&g);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    places *p = awkward_places();
    uint64_t before = seed;
    char why[300] = "", other[200];
    write_catalog(path_of("a.njx"), p, ROWS, "s", 0, 0);
    snprintf(other, sizeof other, "%s", path_of("spilled.njx"));
    seed = before; /* the same motions */
    write_catalog(other, p, ROWS, "s", 200000, 0);
    njx_file *a = njx_open(path_of("a.njx"), 1, why, sizeof why), *b = njx_open(other, 1, why, sizeof why);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->info.n_rows, ROWS);
    assert_int_equal(a->info.n_rejected, 2);
    assert_int_equal(a->header->n_grids, 2);
    for (int k = 0; k < 2; k++) {
        njx_file *f = k ? b : a;
        uint8_t *seen = calloc(ROWS, 1);
        int id = njx_find_column(f, "ID"), name = njx_find_column(f, "name"), z = njx_find_column(f, "z"),
            class = njx_find_column(f, "class");
        for (uint64_t r = 0; r < ROWS; r++) {
            int64_t i = njx_integer(f, id, r);
            double ra, dec;
            char expected[40];
            assert_in_range(i, 0, ROWS - 1);
            assert_int_equal(seen[i]++, 0);
            njx_position(f, r, &ra, &dec);
            assert_true(ra == p->ra[i] && dec == p->dec[i]);
            assert_true(njx_number(f, z, r) == (double)(float)(i / 10.0));
            snprintf(expected, sizeof expected, "s%d", (int)i % 1000);
            if (i % 5 == 0)
                assert_null(njx_text(f, name, r));
            else
                assert_string_equal(njx_text(f, name, r), expected);
            if (i % 2)
                assert_int_equal(njx_integer(f, class, r), 3);
            else
                assert_true(njx_integer(f, class, r) == NJ_NO_I64 && isnan(njx_number(f, class, r)));
        }
        assert_null(njx_text(f, name, ROWS));
        assert_null(njx_text(f, 99, 0));
        free(seen);
    }
    for (int i = 0; i < 2000; i++) { /* however the rows were sorted on their way,
                                      * a cone finds the same sources */
        double ra, dec, radius = log_uniform(1, 3600), epoch = i % 2 ? 2000 + 40 * uniform() : NAN,
                        sep[2][CAP];
        uint64_t row[2][CAP];
        uint32_t n[2];
        uint8_t found[2];
        awkward_place(&ra, &dec);
        nj_sky_cones c = {
            .n = 1, .cap = CAP, .ra = &ra, .dec = &dec, .one_radius_arcsec = radius, .epoch_year = &epoch
        };
        for (int k = 0; k < 2; k++) {
            njx_file *f = k ? b : a;
            nj_sky_matches m = { &found[k], &n[k], row[k], sep[k] };
            assert_int_equal(njx_search(f->grid, 2, 2000, &c, &m), 0);
        }
        assert_int_equal(n[0], n[1]);
        for (uint32_t k = 0; k < n[0] && k < CAP; k++) {
            assert_true(sep[0][k] == sep[1][k]);
            assert_int_equal(njx_integer(a, 2, row[0][k]), njx_integer(b, 2, row[1][k]));
        }
    }
    njx_close(a);
    njx_close(b);
    free(p);
}

static void compact_positions_are_within_half_a_milliarcsecond(void **state)
{
    (void)state;
    places *p = awkward_places();
    char why[300];
    write_catalog(path_of("compact.njx"), p, ROWS, "s", 0, 1);
    njx_file *f = njx_open(path_of("compact.njx"), 1, why, sizeof why);
    assert_non_null(f);
    for (uint64_t r = 0; r < ROWS; r++) {
        double ra, dec;
        int64_t i = njx_integer(f, 2, r);
        njx_position(f, r, &ra, &dec);
        /* half a quantum: 0.15 mas of ra, 0.075 mas of dec */
        assert_true(erfa_separation(ra, dec, p->ra[i], p->dec[i]) < 2e-4);
    }
    njx_close(f);
    free(p);
}

static void motion_equals_erfa(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < 5000; i++) {
        double ra, dec, pm_ra = 10000 * (2 * uniform() - 1), pm_dec = 10000 * (2 * uniform() - 1),
                        years = 60 * (uniform() - 0.5);
        awkward_place(&ra, &dec);
        if (fabs(dec) > 89.9999)
            continue; /* ERFA wants pm in coordinate ra:
                       * it has no answer at the pole itself */
        double ra2, dec2, pmr2, pmd2, px2, rv2, my_ra = ra, my_dec = dec, mas = deg / 3.6e6;
        int rc = eraPmsafe(ra * deg, dec * deg, pm_ra * mas / cos(dec * deg), pm_dec * mas, 1, 0, 2451545.0,
                           0, 2451545.0, years * 365.25, &ra2, &dec2, &pmr2, &pmd2, &px2, &rv2);
        assert_int_equal(rc, 0);
        njx_propagate(&my_ra, &my_dec, pm_ra, pm_dec, years);
        worst = fmax(worst, erfa_separation(my_ra, my_dec, ra2 / deg, dec2 / deg));
    }
    /* 420" of motion at most, seen from 1 pc: ERFA also follows the light's longer way,
     * about t^2 / 2 * 3.26 yr * 14" */
    assert_true(worst < 2e-4);
    double ra = 0, dec = 90;
    njx_propagate(&ra, &dec, 0, -3600e3, 1); /* over the pole and down: exact there too */
    assert_true(fabs(dec - (90 - atan(deg) / deg)) < 1e-12);
}

static void fast_rows_are_found_where_they_are(void **state)
{
    (void)state;
    char why[300];
    uint8_t source[32] = { 0 };
    njx_options o = { .path = path_of("pm.njx"), .epoch_year = 2000, .radius_arcsec = 2, .has_motion = 1 };
    njx_writer *w = njx_create(&o, why, sizeof why);
    for (int i = 0; i < 1000; i++) assert_int_equal(njx_add(w, 0.36 * i, 0, 0, 0, NULL, why, sizeof why), 1);
    /* Barnard's star, J2000 */
    assert_int_equal(njx_add(w, 269.452, 4.693, -801.551, 10362.394, NULL, why, sizeof why), 1);
    assert_int_equal(njx_add(w, 12, 89.99999, 3000, -1000, NULL, why, sizeof why), 1);
    assert_int_equal(njx_finish(w, source, why, sizeof why), 0);
    njx_file *f = njx_open(path_of("pm.njx"), 1, why, sizeof why);
    assert_non_null(f);
    assert_int_equal(f->header->n_grids, 2);
    double ra[4], dec[4], epoch[4] = { 2026, NAN, 2000, 2026 }, sep[4];
    for (int i = 0; i < 4; i++) ra[i] = 269.452, dec[i] = 4.693;
    njx_propagate(&ra[0], &dec[0], -801.551, 10362.394, 26);
    ra[3] = 12, dec[3] = 89.99999;
    njx_propagate(&ra[3], &dec[3], 3000, -1000, 26);
    uint8_t found[4];
    uint32_t n[4];
    uint64_t row[4];
    nj_sky_cones c = {
        .n = 4, .cap = 1, .ra = ra, .dec = dec, .one_radius_arcsec = 0.5, .epoch_year = epoch
    };
    nj_sky_matches m = { found, n, row, sep };
    assert_int_equal(njx_search(f->grid, 2, 2000, &c, &m), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(found[i], NJ_SKY_MATCH);
    for (int i = 0; i < 4; i++) assert_true(sep[i] < 1e-4); /* pm is a float: 3e-8 of 270" */
    epoch[2] = 2026;                                        /* where it was in 2000, it is no more */
    assert_int_equal(njx_search(f->grid, 2, 2000, &c, &m), 0);
    assert_int_equal(found[2], NJ_SKY_NONE);
    njx_close(f);
}

static void damaged_files_are_refused_with_the_reason(void **state)
{
    (void)state;
    places *p = awkward_places();
    write_catalog(path_of("good.njx"), p, 500, "s", 0, 0);
    size_t n;
    char *good = nj_file_read(path_of("good.njx"), SIZE_MAX, &n), *bad = malloc(n + 1), why[300];
    for (int i = 0; i < 600; i++) { /* any bit */
        memcpy(bad, good, n);
        size_t at = i < 300 ? (size_t)i : (size_t)(uniform() * (double)n), size = n;
        const njx_header *h = (const njx_header *)good;
        int in_section = at < sizeof *h + h->n_sections * sizeof(njx_section);
        for (uint32_t k = 0; k < h->n_sections; k++) {
            const njx_section *s = (const njx_section *)(h + 1) + k;
            in_section |= at >= s->offset && at < s->offset + s->size;
        }
        bad[at] ^= (char)(1 << i % 8);
        nj_file_write(path_of("bad.njx"), bad, size);
        njx_file *f = njx_open(path_of("bad.njx"), 0, why, sizeof why);
        if (in_section) assert_null(f); /* a byte between sections says nothing */
        if (!f) assert_non_null(strstr(why, "bad.njx: "));
        njx_close(f);
    }
    for (int i = 0; i < 100; i++) {
        nj_file_write(path_of("bad.njx"), good, i * n / 100);
        assert_null(njx_open(path_of("bad.njx"), 0, why, sizeof why));
        assert_true(strstr(why, "truncated") || strstr(why, "too short"));
    }
    memcpy(bad, good, n);
    ((njx_header *)bad)->version = 9;
    nj_file_write(path_of("bad.njx"), bad, n);
    assert_null(njx_open(path_of("bad.njx"), 0, why, sizeof why));
    assert_non_null(strstr(why, "format version 9"));
    nj_file_write(path_of("bad.njx"), "ra,dec\n", 7);
    assert_null(njx_open(path_of("bad.njx"), 0, why, sizeof why));
    assert_non_null(strstr(why, "too short"));
    assert_null(njx_open(path_of("absent.njx"), 0, why, sizeof why));
    assert_non_null(strstr(why, "No such file"));
    free(good), free(bad), free(p);
}

/* Sums that are right around content that is not: what a hostile writer, or a bug in ours, would make. */
static void forged_files_cannot_reach_outside(void **state)
{
    (void)state;
    places *p = awkward_places();
    write_catalog(path_of("good.njx"), p, 500, "s", 0, 0);
    size_t n;
    char *good = nj_file_read(path_of("good.njx"), SIZE_MAX, &n), *bad = malloc(n), why[300];
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
        memcpy(bad, good, n);
        njx_header *h = (njx_header *)bad;
        njx_section *s = (njx_section *)(h + 1);
        const njx_section *true_section = (const njx_section *)((njx_header *)good + 1);
        for (int k = 0; k < 1 + i % 3; k++) {
            uint32_t which = (uint32_t)(uniform() * ((njx_header *)good)->n_sections);
            const njx_section *t = &true_section[which];
            if (t->size)
                ((uint8_t *)bad + t->offset)[(size_t)(uniform() * (double)t->size)] =
                    (uint8_t)(256 * uniform());
            if (i % 10 == 0) ((uint8_t *)&s[which])[(int)(uniform() * 24)] ^= (uint8_t)(1 << i % 8);
            if (i % 10 == 1) ((uint8_t *)h)[(int)(24 + uniform() * 40)] ^= (uint8_t)(1 << i % 8);
        }
        for (uint32_t k = 0; k < ((njx_header *)good)->n_sections; k++)
            if (s[k].offset <= n && s[k].size <= n - s[k].offset)
                s[k].sum = njx_sum(bad + s[k].offset, s[k].size);
        njx_sha256 sha;
        njx_header clean = *h;
        clean.file_size = 0;
        njx_sha256_start(&sha);
        njx_sha256_add(&sha, &clean, offsetof(njx_header, content_sha256));
        if (h->n_sections < 30) njx_sha256_add(&sha, s, h->n_sections * sizeof *s);
        njx_sha256_end(&sha, h->content_sha256);
        h->header_sum = njx_sum(h, offsetof(njx_header, header_sum));
        nj_file_write(path_of("bad.njx"), bad, n);
        njx_file *f = njx_open(path_of("bad.njx"), 0, why, sizeof why);
        refused += !f;
        if (!f) continue;
        double ra = 123.4, dec = 0, sep[CAP];
        uint8_t found;
        uint32_t count;
        uint64_t row[CAP];
        nj_sky_cones c = { .n = 1, .cap = CAP, .ra = &ra, .dec = &dec, .one_radius_arcsec = 40000 };
        nj_sky_matches m = { &found, &count, row, sep };
        njx_search(f->grid, f->header->n_grids, 2000, &c, &m);
        for (uint32_t k = 0; k < count && k < CAP; k++)
            for (int col = -1; col < 5; col++) {
                const char *text = njx_text(f, col, row[k]);
                assert_true(!text || strlen(text) < 10);
                njx_number(f, col, row[k]);
            }
        njx_close(f);
    }
    assert_true(refused > 100 && refused < 3000);
    free(good), free(bad), free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cones_equal_brute_force),
        cmocka_unit_test(impossible_cones_are_no_input),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(compact_positions_are_within_half_a_milliarcsecond),
        cmocka_unit_test(motion_equals_erfa),
        cmocka_unit_test(fast_rows_are_found_where_they_are),
        cmocka_unit_test(damaged_files_are_refused_with_the_reason),
        cmocka_unit_test(forged_files_cannot_reach_outside),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
