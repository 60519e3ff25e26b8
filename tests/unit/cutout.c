/* cutout.c - stamps from images: positions by hand, borders, the bytes of a file. tests/e2e/cutout.py
 * compares with astropy. */
#include "broker/cutout/cards.h"
#include "broker/cutout/stamps.h"
#include "broker/cutout/turn.h"

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

static const double DEG = 180 / M_PI;

/* Pixels of 1 arcsec, east to the left, about right ascension 1 and declination 0.5 rad;
 * `more` is further cards. */
static nj_wcs header_of(double crpix1, double crpix2, const char *ending, const char *const *more)
{
    char cards[32 * 80 + 1] = "", card[128];
    nj_wcs w;
    nj_error err = { "" };
    int n = 0;
#define ADD(...) (snprintf(card, sizeof card, __VA_ARGS__), sprintf(cards + 80 * n++, "%-80.80s", card))
    ADD("CTYPE1  = 'RA---TAN%s'", ending);
    ADD("CTYPE2  = 'DEC--TAN%s'", ending);
    ADD("CRPIX1  = %20.12f", crpix1);
    ADD("CRPIX2  = %20.12f", crpix2);
    ADD("CRVAL1  = %20.15f", DEG);
    ADD("CRVAL2  = %20.15f", 0.5 * DEG);
    ADD("CDELT1  = %20.15f", -1 / 3600.0);
    ADD("CDELT2  = %20.15f", 1 / 3600.0);
    for (; more && *more; more++) ADD("%s", *more);
    ADD("END");
    if (nj_wcs_parse(&w, cards, n, &err)) fail_msg("%s", err.text);
    return w;
}

static void positions(void **state)
{
    (void)state;
    nj_wcs w = header_of(11, 6, "", NULL);
    double x, y;
    assert_true(nj_wcs_pixel(&w, DEG, 0.5 * DEG, &x, &y));
    assert_true(fabs(x - 10) < 1e-9 && fabs(y - 5) < 1e-9); /* CRPIX, counted from 0 */
    /* along the meridian the plane has tan(angle): 1 degree north */
    assert_true(nj_wcs_pixel(&w, DEG, 0.5 * DEG + 1, &x, &y));
    assert_true(fabs(x - 10) < 1e-8 && fabs(y - 5 - 3600 * DEG * tan(1 / DEG)) < 1e-8);
    /* to the east x falls */
    assert_true(nj_wcs_pixel(&w, DEG + 0.01, 0.5 * DEG, &x, &y) && x < 10 &&
                fabs(x - 10 + 36 * cos(0.5)) < 1e-3);
    assert_false(nj_wcs_pixel(&w, DEG + 180, -0.5 * DEG, &x, &y));
    assert_false(nj_wcs_pixel(&w, DEG + 180, 0.5 * DEG - 90, &x, &y));
    assert_false(nj_wcs_pixel(&w, NAN, 0, &x, &y));
    nj_wcs_free(&w);
}

/* The pixel that comes out, distorted by hand, is the one without distortion;
 * with and without -SIP in CTYPE. */
static void distortion(void **state)
{
    (void)state;
    static const char *const sip[] = { "A_ORDER =                    3", "A_2_0   =                 3E-4",
                                       "A_1_1   =                -2E-4", "A_0_3   =                 1E-6",
                                       "B_ORDER =                    2", "B_0_2   =                 2E-4",
                                       "B_1_1   =                 1E-4", NULL };
    static const char *const ending[] = { "-SIP", "" };
    for (int k = 0; k < 2; k++) {
        nj_wcs w = header_of(11, 6, "", NULL), bent = header_of(11, 6, ending[k], sip);
        for (int i = -4; i <= 4; i++) {
            double x, y, u, v, ra = DEG + i * 0.01, dec = 0.5 * DEG - i * 0.004;
            assert_true(nj_wcs_pixel(&w, ra, dec, &x, &y));
            assert_true(nj_wcs_pixel(&bent, ra, dec, &u, &v));
            u -= 10, v -= 5;
            assert_true(fabs(u + 3e-4 * u * u - 2e-4 * u * v + 1e-6 * v * v * v + 10 - x) < 1e-8);
            assert_true(fabs(v + 2e-4 * v * v + 1e-4 * u * v + 5 - y) < 1e-8);
        }
        nj_wcs_free(&w);
        nj_wcs_free(&bent);
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
    nj_cut_image image = { .cols = COLS,
                           .rows = ROWS,
                           .planes = 1,
                           .n_axes = 2,
                           .width = 4,
                           .data = data,
                           .length = { COLS, ROWS } };
    image.wcs = header_of(2, 1, "", NULL); /* the target is pixel (1, 0) */
    nj_cut_target target[2] = { { (char *)"t", 180 / M_PI, 90 / M_PI }, { (char *)"far", 0, 0 } };
    assert_non_null(mkdtemp(folder));
    nj_cut_job job = { .image = &image,
                       .target = target,
                       .n_targets = 2,
                       .size = 5,
                       .folder = folder,
                       .suffix = "",
                       .origin = "i",
                       .workers = 2 };
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
    nj_wcs_free(&image.wcs);
}

/* Every number of pixels and frames about the steps of four and two; what lies between is left alone. */
static void pixels_in_line_become_images(void **state)
{
    (void)state;
    enum { MOST = 19, FRAMES = 7, GAP = 3, ROW = 4 * 2 * MOST + GAP, STEP = 8 * FRAMES };
    unsigned char in[MOST * STEP + 1], out[FRAMES * ROW + 1], want[sizeof out];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (unsigned char)(i * 167 + i / 251);
    for (uint32_t n = 0; n <= MOST; n++)
        for (uint32_t frames = 0; frames <= FRAMES; frames++) {
            memset(out, 0xee, sizeof out);
            memset(want, 0xee, sizeof want);
            for (uint32_t k = 0; k < frames; k++)
                for (uint32_t i = 0; i < n; i++) {
                    memcpy(want + k * ROW + 4 * i, in + 1 + i * STEP + 8 * k, 4);
                    memcpy(want + k * ROW + 4 * MOST + 4 * i, in + 1 + i * STEP + 8 * k + 4, 4);
                }
            nj_turn(&(nj_turned){ out, 4 * MOST, ROW }, in + 1, STEP, n, frames);
            assert_memory_equal(out, want, sizeof out);
        }
    memset(out, 0xee, sizeof out);
    nj_turn_none(&(nj_turned){ out, 4 * MOST, ROW }, 2, 1);
    static const unsigned char nan[] = { 0x7f, 0xc0, 0, 0, 0x7f, 0xc0, 0, 0, 0xee };
    assert_memory_equal(out, nan, 9);
    assert_memory_equal(out + 4 * MOST, nan, 9);
    assert_int_equal(out[ROW], 0xee);
}

/* Ones' complement: what is carried out of 32 bits comes in at the bottom. */
static void sums_of_words(void **state)
{
    (void)state;
    unsigned char bytes[4 * 61 + 1];
    uint32_t by_hand = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(200 + i * 31 % 56);
    for (size_t n = 0; n <= 60; n++) {
        assert_int_equal(nj_words_sum(bytes + 1, 4 * n), by_hand);
        const unsigned char *at = bytes + 1 + 4 * n;
        const uint64_t sum = (uint64_t)by_hand +
                             ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
        by_hand = (uint32_t)sum + (uint32_t)(sum >> 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(positions), cmocka_unit_test(distortion),
                                        cmocka_unit_test(corner),
                                        cmocka_unit_test(pixels_in_line_become_images),
                                        cmocka_unit_test(sums_of_words) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
