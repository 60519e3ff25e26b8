/* Stamps from images: positions by hand, borders, the bytes of a file. tests/e2e/cutout.py compares with astropy. */
#include "broker/cutout/stamps.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { COLS = 30, ROWS = 20 };

static nj_wcs plain(void)
{
    nj_wcs w = { .crpix = { 11, 6 }, .ra0 = 1, .dec0 = 0.5, .lonpole = M_PI };
    w.inverse[0][0] = -3600, w.inverse[1][1] = 3600; /* pixels of 1 arcsec, east to the left */
    return w;
}

static void positions(void **state)
{
    (void)state;
    nj_wcs w = plain();
    double x, y, deg = 180 / M_PI;
    assert_true(nj_wcs_pixel(&w, deg, 0.5 * deg, &x, &y));
    assert_true(fabs(x - 10) < 1e-9 && fabs(y - 5) < 1e-9); /* CRPIX, counted from 0 */
    /* along the meridian the plane has tan(angle): 1 degree north */
    assert_true(nj_wcs_pixel(&w, deg, 0.5 * deg + 1, &x, &y));
    assert_true(fabs(x - 10) < 1e-8 && fabs(y - 5 - 3600 * deg * tan(1 / deg)) < 1e-8);
    /* to the east x falls */
    assert_true(nj_wcs_pixel(&w, deg + 0.01, 0.5 * deg, &x, &y) && x < 10 && fabs(x - 10 + 36 * cos(0.5)) < 1e-3);
    assert_false(nj_wcs_pixel(&w, deg + 180, -0.5 * deg, &x, &y));
    assert_false(nj_wcs_pixel(&w, deg + 180, 0.5 * deg - 90, &x, &y));
    assert_false(nj_wcs_pixel(&w, NAN, 0, &x, &y));
}

/* The pixel that comes out, distorted by hand, is the one without distortion. */
static void distortion(void **state)
{
    (void)state;
    nj_wcs w = plain(), bent = w;
    bent.order[0] = 3, bent.order[1] = 2;
    bent.sip[0][2][0] = 3e-4, bent.sip[0][1][1] = -2e-4, bent.sip[0][0][3] = 1e-6, bent.sip[1][0][2] = 2e-4,
    bent.sip[1][1][1] = 1e-4;
    for (int i = -4; i <= 4; i++) {
        double x, y, u, v, deg = 180 / M_PI, ra = deg + i * 0.01, dec = 0.5 * deg - i * 0.004;
        assert_true(nj_wcs_pixel(&w, ra, dec, &x, &y) && nj_wcs_pixel(&bent, ra, dec, &u, &v));
        u -= 10, v -= 5;
        assert_true(fabs(u + 3e-4 * u * u - 2e-4 * u * v + 1e-6 * v * v * v + 10 - x) < 1e-8);
        assert_true(fabs(v + 2e-4 * v * v + 1e-4 * u * v + 5 - y) < 1e-8);
    }
}

static float pixel_of(const unsigned char *p)
{
    uint32_t bits = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* A stamp at the corner: what it has is the image's, what it has not is NaN; the file is whole blocks. */
static void corner(void **state)
{
    (void)state;
    static unsigned char data[ROWS * COLS * 4], file[5761];
    char folder[] = "/tmp/nightjar-cutout-unit-XXXXXX", path[96];
    for (uint32_t i = 0; i < ROWS * COLS; i++) {
        float f = (float)i;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        bits = __builtin_bswap32(bits);
        memcpy(data + 4 * i, &bits, 4);
    }
    nj_cut_image image = { .cols = COLS, .rows = ROWS, .planes = 1, .n_axes = 2, .width = 4, .data = data, .wcs = plain() };
    image.wcs.crpix[0] = 2, image.wcs.crpix[1] = 1; /* the target is pixel (1, 0) */
    nj_cut_target target[2] = { { (char *)"t", 180 / M_PI, 90 / M_PI }, { (char *)"far", 0, 0 } };
    assert_non_null(mkdtemp(folder));
    nj_cut_job job = {
        .image = &image, .target = target, .n_targets = 2, .size = 5, .folder = folder, .suffix = "", .origin = "i", .workers = 2
    };
    nj_cut_result r;
    nj_error err = { "" };
    assert_int_equal(nj_cut(&job, &r, &err), 0);
    assert_true(r.whole == 0 && r.partial == 1 && r.outside == 1 && r.bytes == 5760);
    assert_int_equal(nj_cut(&job, &r, &err), -1); /* it exists */
    assert_non_null(strstr(err.text, "t.fits"));
    snprintf(path, sizeof path, "%s/t.fits", folder);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(file, 1, sizeof file, f), 5760);
    fclose(f);
    assert_memory_equal(file, "SIMPLE  =                    T", 30);
    assert_non_null(strstr((char *)file, "CRPIX1  =                    3")); /* 2 - (-1) */
    for (int row = 0; row < 5; row++)
        for (int col = 0; col < 5; col++) {
            float got = pixel_of(file + 2880 + 4 * (5 * row + col));
            if (row < 2 || col < 1)
                assert_true(isnan(got));
            else
                assert_true(got == (float)((row - 2) * COLS + col - 1));
        }
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(positions), cmocka_unit_test(distortion), cmocka_unit_test(corner) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
