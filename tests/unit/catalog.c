/* catalog.c - the catalogue builder: every kind of table, angles, damage; and the four real catalogues
 * against Fink's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fitsio.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "broker/catalog/build.h"
#include "modules/kit/sky/njx.h"
#include "tests/unit/folder.h"

static const char *write_text(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    return path;
}

static nj_catalog_build with(const char *const *input, uint32_t n, const char *output)
{
    return (nj_catalog_build){ .input = input,
                               .n_inputs = n,
                               .output = output,
                               .epoch_year = NAN,
                               .radius_arcsec = 5,
                               .pm_scale = 1,
                               .frame = "icrs" };
}

static njx_file *build_one(nj_catalog_build b, nj_catalog_built *built)
{
    nj_error err = { "" };
    char why[300] = "";
    if (nj_catalog_make(&b, built, &err)) fail_msg("%s", err.text);
    njx_file *f = njx_open(b.output, 1, why, sizeof why);
    if (!f) fail_msg("%s", why);
    return f;
}

static void angles_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int hours;
        double deg;
    } good[] = { { "12.5", 0, 12.5 },
                 { "-0.25", 0, -0.25 },
                 { "+29 35 34.0", 0, 29.592777777777778 },
                 { "-00 30 00", 0, -0.5 },
                 { "00 01 16.37", 1, 0.31820833333333333 },
                 { "23:59:59.99", 1, 359.99995833333336 },
                 { "1h2m3.5s", 1, 15.514583333333333 },
                 { "-10d30m0s", 0, -10.5 },
                 { "12 30.5", 1, 187.625 },
                 { " 5 0 0 ", 1, 75 },
                 { "5d0m0s", 1, 5 },
                 { "5h0m", 0, 75 },
                 { ".5", 0, 0.5 } };
    static const char *const bad[] = { "",       "x",   "1 2 3 4", "1:61:00", "1:00:60.1", "1.5:30:00",
                                       "1:-2:3", "nan", "1,5",     "--5",     "+",         "1 2 3x" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(fabs(nj_parse_angle(good[i].text, strlen(good[i].text), good[i].hours) - good[i].deg) <
                    1e-12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(isnan(nj_parse_angle(bad[i], strlen(bad[i]), 0)));
    assert_true(nj_angle_has_parts("00 01 16.37", 11) && nj_angle_has_parts("1h2m", 4) &&
                !nj_angle_has_parts("-12.5", 5) && !nj_angle_has_parts(" 5 ", 2));
}

static const char csv_text[] = "\xef\xbb\xbf# made by hand\n"
                               " id , RA , \"Dec\" , Type of source , z , flag\n"
                               "1 , 10.5 , -5 , \"a, \"\"quoted\"\"\nname\" , 0.1 , 1\r\n"
                               "\n"
                               "2 , 370 , 0 , too far , 1 , 1\n"
                               "3 , nan , 0 , no place , 1 , 1\n"
                               "4 , , , nothing , 1 , 1\n"
                               "5 , -10 , 90 , \"\" , null , 2\n"
                               "6 , 350 , 90.0001 , beyond , 1 , 2\n"
                               "7 , 20 , 20 , last , 1e-3 , 7";

static void check_csv(const char *path)
{
    nj_catalog_built built;
    nj_catalog_build b = with(&path, 1, in_folder("out.njx"));
    b.columns = "Type of source:Kind, z, id:id:i32, flag:flag:u8";
    b.number = "source_row";
    njx_file *f = build_one(b, &built);
    assert_int_equal(built.n_rows, 3);
    assert_int_equal(built.n_rejected, 4);
    assert_int_equal(f->info.n_rejected, 4);
    assert_int_equal(f->info.n_columns, 5);
    assert_string_equal(f->column[0].name, "kind");
    assert_int_equal(f->column[1].type, NJ_F64);
    for (uint64_t r = 0; r < 3; r++) {
        double ra, dec;
        njx_position(f, r, &ra, &dec);
        switch (njx_integer(f, 2, r)) {
        case 1:
            assert_true(ra == 10.5 && dec == -5 && njx_number(f, 1, r) == 0.1);
            assert_string_equal(njx_text(f, 0, r), "a, \"quoted\"\nname");
            assert_int_equal(njx_integer(f, 4, r), 0);
            break;
        case 5:
            assert_true(ra == 350 && dec == 90 && isnan(njx_number(f, 1, r)));
            assert_null(njx_text(f, 0, r));
            break;
        case 7:
            assert_true(ra == 20 && dec == 20 && njx_number(f, 1, r) == 0.001);
            assert_int_equal(njx_integer(f, 3, r), 7);
            assert_int_equal(njx_integer(f, 4, r), 6);
            break;
        default: fail();
        }
    }
    njx_close(f);
}

static void csv_with_quotes_blanks_and_bad_rows(void **state)
{
    (void)state;
    check_csv(write_text("a.csv", csv_text));
    const char *path = in_folder("a.csv.gz");
    gzFile z = gzopen(path, "wb");
    gzwrite(z, csv_text, sizeof csv_text - 1);
    gzclose(z);
    check_csv(path);
}

static void other_separators_and_sexagesimal(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "name\traj2000\tdej2000\nx\t12:00:00\t-00:30:00\n", "name;RAJ2000;DEJ2000\nx;12 00 00;-00 30 00\n",
        "# %ECSV 1.0\n# ---\n# delimiter: ','\nname,ra,dec\nx,12h0m0s,-0d30m\n",
        "# %ECSV 1.0\nname ra dec\nx 12:00:00 -00:30:00\n",
        "\"2026-01-01 00:00:00\"\n\"name\",\"ra\",\"declination\"\n\"x\",\"180\",\"-0.5\"\n"
    };
    for (int i = 0; i < 5; i++) {
        const char *path = write_text("b.txt", texts[i]);
        nj_catalog_built built;
        njx_file *f = build_one(with(&path, 1, in_folder("b.njx")), &built);
        double ra, dec;
        njx_position(f, 0, &ra, &dec);
        assert_true(ra == 180 && dec == -0.5);
        assert_string_equal(njx_text(f, njx_find_column(f, "name"), 0), "x");
        njx_close(f);
    }
    const char *path = write_text("rad.csv", "ra,dec\n3.141592653589793,-0.7853981633974483\n");
    nj_catalog_build b = with(&path, 1, in_folder("rad.njx"));
    nj_catalog_built built;
    double ra, dec;
    b.unit = NJ_ANGLE_RAD;
    njx_file *f = build_one(b, &built);
    njx_position(f, 0, &ra, &dec);
    assert_true(fabs(ra - 180) < 1e-13 && fabs(dec + 45) < 1e-13);
    njx_close(f);
}

static void fits_columns_of_every_type(void **state)
{
    (void)state;
    const char *path = in_folder("t.fits");
    fitsfile *out;
    int status = 0;
    char *names[] = { "RA", "DEC", "N", "S", "Z", "FLAG", "PM_RA", "PM_DE", "VEC" },
         *forms[] = { "D", "D", "J", "8A", "E", "L", "E", "E", "3D" },
         *units[] = { "deg", "deg", "", "", "km/s", "", "mas/yr", "mas/yr", "" };
    double ra[3] = { 1, 2, 3 }, dec[3] = { -1, NAN, 89 };
    int n[3] = { 7, 8, -99 }, null = -99;
    float z[3] = { 0.5f, 1, NAN }, pm[3] = { 100, 0, NAN };
    char *s[3] = { "one", "two", "  six " };
    char flag[3] = { 1, 0, 1 };
    fits_create_file(&out, path, &status);
    fits_create_tbl(out, BINARY_TBL, 0, 9, names, forms, units, "T", &status);
    fits_update_key(out, TINT, "TNULL3", &null, "", &status);
    fits_write_col(out, TDOUBLE, 1, 1, 1, 3, ra, &status);
    fits_write_col(out, TDOUBLE, 2, 1, 1, 3, dec, &status);
    fits_write_col(out, TINT, 3, 1, 1, 3, n, &status);
    fits_write_col(out, TSTRING, 4, 1, 1, 3, s, &status);
    fits_write_col(out, TFLOAT, 5, 1, 1, 3, z, &status);
    fits_write_col(out, TLOGICAL, 6, 1, 1, 3, flag, &status);
    fits_write_col(out, TFLOAT, 7, 1, 1, 3, pm, &status);
    fits_write_col(out, TFLOAT, 8, 1, 1, 3, pm, &status);
    fits_close_file(out, &status);
    assert_int_equal(status, 0);
    nj_catalog_build b = with(&path, 1, in_folder("t.njx"));
    nj_catalog_built built;
    b.pm_ra = "PM_RA";
    b.pm_dec = "PM_DE";
    b.epoch_year = 2016;
    njx_file *f = build_one(b, &built);
    assert_int_equal(built.n_rows, 2);
    assert_int_equal(built.n_rejected, 1);
    assert_int_equal(f->header->n_grids, 2);
    assert_int_equal(njx_find_column(f, "vec"), -1);
    assert_string_equal(f->column[njx_find_column(f, "z")].unit, "km/s");
    for (uint64_t r = 0; r < 2; r++) {
        int third = njx_number(f, njx_find_column(f, "z"), r) != 0.5;
        assert_string_equal(njx_text(f, njx_find_column(f, "s"), r), third ? "six" : "one");
        assert_true(njx_integer(f, njx_find_column(f, "n"), r) == (third ? NJ_NO_I64 : 7));
        assert_int_equal(njx_integer(f, njx_find_column(f, "flag"), r), 1);
    }
    njx_close(f);
}

static void refusals_name_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *csv, *columns, *ra, *says;
    } bad[] = { { "ra,dec,z\n1,2,3\n", "redshift", NULL, "no such column 'redshift'" },
                { "ra,dec,zphot\n1,2,3\n", "zphto", NULL, "did you mean 'zphot'" },
                { "ra,dec\n1,2\n", NULL, "RA_deg", "no ra column 'RA_deg'" },
                { "x,y\n1,2\n", NULL, NULL, "no ra column" },
                { "ra,dec,Z,z\n1,2,3,4\n", NULL, NULL, "two columns would be called 'z'" },
                { "ra,dec,a b,a-b\n1,2,3,4\n", NULL, NULL, "two columns would be called 'a_b'" },
                { "ra,dec,z\n1,2,3\n", "z:z:f128", NULL, "is no type" },
                { "ra,dec,z\n1,2,3\n1,2\n", NULL, NULL, ":3: 2 cells where the header has 3" },
                { "ra,dec,z\n1,2,\"3\n", NULL, NULL, "open quote" },
                { "just text\n", NULL, NULL, "no " },
                { "PAR1 this is no parquet", NULL, NULL, "Parquet" },
                { "SIMPLE  =                    T / broken", NULL, NULL, "bad.csv" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = write_text("bad.csv", bad[i].csv);
        nj_catalog_build b = with(&path, 1, in_folder("never.njx"));
        nj_catalog_built built;
        nj_error err = { "" };
        b.columns = bad[i].columns;
        b.ra = bad[i].ra;
        assert_int_equal(nj_catalog_make(&b, &built, &err), -1);
        if (!strstr(err.text, bad[i].says))
            fail_msg("case %zu: '%s' says nothing of '%s'", i, err.text, bad[i].says);
        assert_int_not_equal(access(in_folder("never.njx"), F_OK), 0);
    }
    char command[200];
    /* nothing half-written stays */
    snprintf(command, sizeof command, "test -z \"$(ls %s | grep tmp)\"", folder);
    assert_int_equal(system(command), 0);
}

static void bad_cells_become_null_and_are_counted(void **state)
{
    (void)state;
    const char *path = write_text("cells.csv", "ra,dec,z,n\n1,1,0.5,3\n2,2,oops,3.5\n");
    nj_catalog_build b = with(&path, 1, in_folder("cells.njx"));
    nj_catalog_built built;
    b.columns = "z:z:f32,n:n:i32";
    njx_file *f = build_one(b, &built);
    assert_int_equal(built.n_bad_values, 2);
    assert_non_null(strstr(built.first_bad, "column 'z', row 2 (line 3): 'oops'"));
    njx_close(f);
}

/* A million rows, little memory: the same answers as with much, and never much more memory than asked for. */
static void spilled_build_equals_the_other(void **state)
{
    (void)state;
    const char *path = in_folder("big.csv"), *out[2];
    FILE *csv = fopen(path, "w");
    uint64_t s = 99;
    fprintf(csv, "ra,dec,n\n");
    for (int i = 0; i < 200000; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        double dec = asin(2 * (double)(s >> 40) * 0x1p-24 - 1) * 180 / M_PI;
        s = s * 6364136223846793005u + 1442695040888963407u;
        fprintf(csv, "%.9f,%.9f,%d\n", (double)(s >> 34) * 0x1p-30 * 360, dec, i);
    }
    fclose(csv);
    njx_file *f[2];
    for (int k = 0; k < 2; k++) {
        nj_catalog_build b = with(&path, 1, out[k] = in_folder(k ? "big1.njx" : "big0.njx"));
        nj_catalog_built built;
        b.memory_bytes = k ? 1 << 20 : 0;
        f[k] = build_one(b, &built);
        assert_int_equal(built.n_rows, 200000);
    }
    assert_int_equal(f[1]->grid[0].n_bands % 256, 0);
    for (int i = 0; i < 3000; i++) {
        double ra, dec, sep[2][16];
        uint64_t row[2][16];
        uint32_t n[2];
        uint8_t found[2];
        njx_position(f[0], (uint64_t)i * 66, &ra, &dec);
        nj_sky_cones c = { .n = 1, .cap = 16, .ra = &ra, .dec = &dec, .one_radius_arcsec = 600 };
        for (int k = 0; k < 2; k++)
            njx_search(f[k]->grid, 1, NAN, &c, &(nj_sky_matches){ &found[k], &n[k], row[k], sep[k] });
        assert_int_equal(n[0], n[1]);
        for (uint32_t m = 0; m < n[0] && m < 16; m++)
            assert_int_equal(njx_integer(f[0], 0, row[0][m]), njx_integer(f[1], 0, row[1][m]));
    }
    njx_close(f[0]);
    njx_close(f[1]);
}

/* ---- the real ones ---- */

typedef struct real {
    const char *name, *file[2], *ra, *dec, *columns;
    double radius;
} real;
static const real reals[] = {
    { "gcvs", { "gcvs.parquet" }, NULL, NULL, "VarType:label", 1.5 },
    { "x3hsp", { "3hsp.csv" }, "R.A.", "Dec", "3HSP Source name:label", 60 },
    { "x4lac",
      { "table-4LAC-DR3-h.fits", "table-4LAC-DR3-l.fits" },
      "RAJ2000",
      "DEJ2000",
      "Source_Name:label",
      60 },
    { "spicy", { "spicy.parquet" }, NULL, NULL, "class:label", 1.2 },
    { "gcvs", { "gcvs.csv.gz" }, NULL, NULL, "VarType:label", 1.5 },
    { "spicy", { "spicy.csv.gz" }, NULL, NULL, "class:label", 1.2 },
};

static int column_of(const char *header, const char *name)
{
    int at = 0;
    size_t n = strlen(name);
    for (const char *p = header; *p; p++) {
        if (!strncmp(p, name, n) && (p[n] == ',' || p[n] == '\n' || !p[n]) && (p == header || p[-1] == ','))
            return at;
        p = strchr(p, ',');
        if (!p) break;
        at++;
    }
    return -1;
}

/* All 2,008 points: label, distance of the nearest (whatever it is) and its row in the source. */
static void compare_points(const real *r, const njx_file *f, FILE *points)
{
    char line[2000], name[64], *cell[64];
    rewind(points);
    assert_non_null(fgets(line, sizeof line, points));
    snprintf(name, sizeof name, "%s.arcsec", r->name);
    int label = column_of(line, r->name), arcsec = column_of(line, name);
    snprintf(name, sizeof name, "%s.row", r->name);
    int row = column_of(line, name), n_points = 0, n_matches = 0;
    assert_true(label > 0 && arcsec > 0 && row > 0);
    while (fgets(line, sizeof line, points)) {
        int n_cells = 0;
        char *rest = line;
        line[strcspn(line, "\n")] = 0;
        while (rest && n_cells < 64) cell[n_cells++] = strsep(&rest, ",");
        double ra = strtod(cell[1], NULL), dec = strtod(cell[2], NULL), sep[2];
        uint64_t found[2];
        uint32_t n;
        uint8_t st;
        nj_sky_cones c = { .n = 1, .cap = 1, .ra = &ra, .dec = &dec, .one_radius_arcsec = r->radius };
        njx_search(f->grid, f->header->n_grids, NAN, &c, &(nj_sky_matches){ &st, &n, found, sep });
        const char *mine = n ? njx_text(f, 0, found[0]) : "Unknown";
        assert_string_equal(mine ? mine : "", cell[label]);
        n_matches += n > 0;
        if (n) assert_true(fabs(sep[0] - strtod(cell[arcsec], NULL)) < 1e-6);
        c.one_radius_arcsec = 648000; /* the nearest wherever it is: every 20th point, it looks at all rows */
        if (n_points++ % 20) continue;
        njx_search(f->grid, f->header->n_grids, NAN, &c, &(nj_sky_matches){ &st, &n, found, sep });
        assert_int_equal(n, f->info.n_rows);
        assert_true(fabs(sep[0] - strtod(cell[arcsec], NULL)) < 1e-6);
        assert_int_equal(njx_integer(f, 1, found[0]), strtol(cell[row], NULL, 10));
    }
    assert_int_equal(n_points, 2008);
    assert_true(n_matches > 100);
}

static void real_catalogues_give_the_reference_answers(void **state)
{
    (void)state;
    const char *root = getenv("NIGHTJAR_SHARED");
    char path[2][400];
    if (!root || !*root) skip();
    snprintf(path[0], sizeof path[0], "%s/oracles/computed/xmatch_points.csv", root);
    FILE *points = fopen(path[0], "r");
    if (!points) skip();
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const real *r = &reals[i];
        const char *input[2] = { path[0], path[1] };
        uint32_t n = 0;
        for (; n < 2 && r->file[n]; n++)
            snprintf(path[n], sizeof path[n], "%s/real/catalogs/%s", root, r->file[n]);
        nj_catalog_build b = with(input, n, in_folder("real.njx"));
        nj_catalog_built built;
        b.ra = r->ra;
        b.dec = r->dec;
        b.columns = r->columns;
        b.radius_arcsec = r->radius;
        b.number = "row";
        njx_file *f = build_one(b, &built);
        assert_int_equal(built.n_rejected, 0);
        compare_points(r, f, points);
        njx_close(f);
    }
    fclose(points);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(angles_in_all_forms),
        cmocka_unit_test(csv_with_quotes_blanks_and_bad_rows),
        cmocka_unit_test(other_separators_and_sexagesimal),
        cmocka_unit_test(fits_columns_of_every_type),
        cmocka_unit_test(refusals_name_the_reason),
        cmocka_unit_test(bad_cells_become_null_and_are_counted),
        cmocka_unit_test(spilled_build_equals_the_other),
        cmocka_unit_test(real_catalogues_give_the_reference_answers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
