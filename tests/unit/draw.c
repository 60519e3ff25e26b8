/* draw.c - pictures for people: the range of zscale, the terminal's stamps and light curve, cell by cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "broker/view/draw.h"

static const nj_terminal plain = { .columns = 80 }, rich = { .columns = 80, .colour = true, .utf8 = true };

static uint32_t count(const char *text, const char *what)
{
    uint32_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

static void zscale_shows_the_sky_and_not_the_star(void **state)
{
    (void)state;
    static float pixel[63 * 63];
    float lo, hi;
    /* A flat spread of 90 .. 110, three bright pixels, two holes. */
    for (int i = 0; i < 63 * 63; i++) pixel[i] = 90 + 20 * (float)((i * 7919) % 3969) / 3969;
    pixel[100] = pixel[101] = pixel[2000] = 50000;
    pixel[7] = NAN;
    pixel[8] = -3.4e38f;
    const nj_picture p = { pixel, 63, 63, "x" };
    nj_zscale(&p, &lo, &hi);
    /* Contrast 1/4 opens the range four times about the middle; then the darkest pixel bounds it below. */
    assert_true(fabsf(lo - 90) < 0.1f);
    assert_true(hi > 120 && hi < 145);
    for (int i = 0; i < 63 * 63; i++) pixel[i] = 5;
    nj_zscale(&p, &lo, &hi);
    assert_true(lo == 5 && hi == 5);
    for (int i = 0; i < 63 * 63; i++) pixel[i] = NAN;
    nj_zscale(&p, &lo, &hi);
    assert_true(lo == 0 && hi == 0);
}

static void pictures_keep_their_orientation_and_width(void **state)
{
    (void)state;
    float pixel[4 * 6] = { 0 };
    nj_buffer out = { 0 };
    pixel[0] = 100;         /* first row of FITS: lower left */
    pixel[3 * 6 + 5] = NAN; /* upper right */
    const nj_picture p[2] = { { pixel, 4, 6, "one" }, { pixel, 4, 6, "two" } };
    nj_draw_pictures(&out, p, 2, &plain);
    /* 4 rows are 2 lines; upper right x, lower left half bright. */
    assert_int_equal(strncmp(out.data, "one     two\n", 12), 0);
    char *line = strchr(out.data, '\n') + 1;
    assert_int_equal(line[5], ' '); /* NaN above, 0 below: the pair shows what is known */
    line = strchr(line, '\n') + 1;
    assert_true(line[0] != ' ' && line[8] == line[0] && line[1] == ' ');
    nj_buffer_free(&out);
    nj_draw_pictures(&out, p, 2, &rich);
    assert_int_equal(count(out.data, "\u2580"), 2 * 2 * 6);
    assert_int_equal(count(out.data, "38;5;18;"), 2); /* the hole's colour, once in each */
    nj_buffer_free(&out);
    /* Too narrow for 2 x 63 columns: averaged by two. */
    static float wide[63 * 63];
    const nj_picture w[2] = { { wide, 63, 63, "a" }, { wide, 63, 63, "b" } };
    nj_draw_pictures(&out, w, 2, &rich);
    assert_int_equal(count(out.data, "\u2580"), 2 * 16 * 32);
    nj_buffer_free(&out);
}

static void a_curve_puts_bright_on_top_and_late_on_the_right(void **state)
{
    (void)state;
    const nj_curve_point point[] = { { 2460000, NAN, NAN, 20.5, 1, 255 },
                                     { 2460010, 19, 0.1, 20.5, 1, 1 },
                                     { 2460020, 17, 0.05, 20.5, 2, 0 },
                                     { NAN, 18, 0.1, 20, 2, 1 } };
    nj_buffer out = { 0 };
    nj_draw_curve(&out, point, 4, &plain);
    char *chart = out.data, *legend = strstr(chart, "0 = JD 2460020.00000");
    assert_non_null(legend);
    *legend = 0;
    char *bright = strchr(chart, 'r'), *middle = strchr(chart, 'G'), *limit = strchr(chart, 'v');
    assert_true(bright && middle && limit && bright < middle && middle < limit);
    assert_null(strchr(chart, 'R')); /* fainter than the template: a small letter;
                                      * the point without a time is left out */
    size_t column[3];
    char *at[3] = { limit, middle, bright };
    for (int i = 0; i < 3; i++) {
        char *start = at[i];
        while (start > chart && start[-1] != '\n') start--;
        column[i] = (size_t)(at[i] - start);
    }
    assert_true(column[0] < column[1] && column[1] < column[2]);
    assert_true(column[1] - column[0] == column[2] - column[1] ||
                column[1] - column[0] + 1 == column[2] - column[1] ||
                column[1] - column[0] == column[2] - column[1] + 1);
    nj_buffer_free(&out);
    nj_draw_curve(&out, point, 0, &plain);
    assert_int_equal(out.n, 0);
    nj_buffer_free(&out);
}

static void pngs_that_cannot_be_are_refused(void **state)
{
    (void)state;
    nj_error err;
    float pixel[4] = { 1, 2, 3, 4 };
    const nj_picture p = { pixel, 2, 2, "x" }, none = { pixel, 0, 0, "x" };
    const nj_curve_point nothing = { 2460000, NAN, NAN, NAN, 1, 1 };
    assert_int_equal(nj_png_picture("/nowhere/at/all.png", &p, 4, &err), -1);
    assert_non_null(strstr(err.text, "/nowhere/at/all.png"));
    assert_int_equal(nj_png_picture("/tmp/none.png", &none, 4, &err), -1);
    assert_int_equal(nj_png_curve("/tmp/none.png", &nothing, 1, 900, 400, &err), -1);
    assert_int_equal(nj_png_curve("/tmp/none.png", &nothing, 1, 20, 20, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zscale_shows_the_sky_and_not_the_star),
        cmocka_unit_test(pictures_keep_their_orientation_and_width),
        cmocka_unit_test(a_curve_puts_bright_on_top_and_late_on_the_right),
        cmocka_unit_test(pngs_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
