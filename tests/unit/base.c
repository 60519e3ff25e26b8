/* base.c - the base library: settings, buffers, histogram, ring, arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/buffer.h"
#include "broker/base/histogram.h"
#include "broker/base/ring.h"
#include "broker/base/settings.h"

typedef struct conf {
    double radius;
    int64_t rows;
    const char *name;
} conf;
static const nj_param table[] = { { "radius", NJ_F64, "1.5", offsetof(conf, radius), 0, 60, "arcsec", "" },
                                  { "rows", NJ_I64, "64", offsetof(conf, rows), 1, 1 << 20, "1", "" },
                                  { "name", NJ_STR, "x", offsetof(conf, name), 0, 0, "1", "" },
                                  { 0 } };

static void settings_apply_defaults_and_last_word(void **state)
{
    (void)state;
    nj_settings s = { 0 };
    nj_error err;
    conf c;
    assert_int_equal(nj_settings_ini(&s, "a.ini", "[module.m]\nradius = 3\nrows = 4k\n", &err), 0);
    assert_int_equal(nj_settings_define(&s, "module.m.radius=2.5", &err), 0);
    assert_int_equal(nj_settings_apply(&s, "module.m", table, NULL, &c, &err), 0);
    assert_true(c.radius == 2.5 && c.rows == 4096);
    assert_string_equal(c.name, "x");
    nj_settings_free(&s);
}

/* A value continues in lines that begin with a blank;
 * a line that libinih would cut is an error with its number. */
static void settings_keep_long_values_whole(void **state)
{
    (void)state;
    nj_settings s = { 0 };
    nj_error err = { "" };
    char text[400];
    assert_int_equal(
        nj_settings_ini(&s, "a.ini",
                        "[t.a]\nwhere = x = 1\n  AND y = 2\n\tAND z = 3\nother = 4\n[t.b]\nwhere = 5\n",
                        &err),
        0);
    assert_string_equal(nj_settings_get(&s, "t.a", "where"), "x = 1 AND y = 2 AND z = 3");
    assert_string_equal(nj_settings_get(&s, "t.a", "other"), "4");
    assert_string_equal(s.item[1].where, "a.ini:5");
    assert_string_equal(nj_settings_get(&s, "t.b", "where"), "5");
    snprintf(text, sizeof text, "[t.c]\nwhere = %0187d\n", 7); /* 195 characters: whole */
    assert_int_equal(nj_settings_ini(&s, "a.ini", text, &err), 0);
    assert_int_equal(strlen(nj_settings_get(&s, "t.c", "where")), 187);
    snprintf(text, sizeof text, "[t.c]\nwhere = %0197d\n", 7);
    assert_int_equal(nj_settings_ini(&s, "a.ini", text, &err), -1);
    assert_non_null(strstr(err.text, "a.ini:2: longer"));
    nj_settings_free(&s);
}

static void settings_refuse_unknown_keys_and_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } bad[] = {
        { "m.radius=61", "outside" },
        { "m.radius=nan", "outside" },
        { "m.rows=1.5", "whole number" },
        { "m.rows=x", "whole number" },
        { "m.radios=1", "did you mean 'radius'" },
        { "m.rows=9999999999999999999999", "" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nj_settings s = { 0 };
        nj_error err = { "" };
        conf c;
        assert_int_equal(nj_settings_define(&s, bad[i].line, &err), 0);
        assert_int_equal(nj_settings_apply(&s, "m", table, NULL, &c, &err), -1);
        assert_non_null(strstr(err.text, bad[i].says));
        nj_settings_free(&s);
    }
}

static void json_numbers_read_back(void **state)
{
    (void)state;
    nj_buffer b = { 0 };
    nj_json_f64(&b, 0.1);
    nj_buffer_text(&b, " ");
    nj_json_f32(&b, 0.1f);
    nj_buffer_text(&b, " ");
    nj_json_f64(&b, NAN);
    nj_buffer_text(&b, " ");
    nj_json_i64(&b, INT64_MIN);
    nj_buffer_text(&b, " ");
    nj_json_text(&b, "a\"\n\xff\xc3\xa9");
    assert_string_equal(b.data, "0.1 0.1 null -9223372036854775808 \"a\\\"\\u000a\\\\xff\xc3\xa9\"");
    nj_buffer_free(&b);
}

static void histogram_percentiles_are_within_one_percent(void **state)
{
    (void)state;
    static nj_histogram h;
    for (uint64_t i = 1; i <= 100000; i++) nj_histogram_add(&h, i * 37);
    for (double q = 0.05; q < 1; q += 0.05)
        assert_true(fabs(nj_histogram_quantile(&h, q) / (q * 3700000) - 1) < 0.01);
    assert_int_equal(h.max, 3700000);
}

static void ring_keeps_its_byte_budget(void **state)
{
    (void)state;
    nj_ring *r = nj_ring_new(4, 100);
    int a, closed;
    assert_int_equal(nj_ring_push(r, &a, 500), 0); /* larger than the budget, but alone */
    assert_ptr_equal(nj_ring_pop(r, 0, &closed), &a);
    assert_null(nj_ring_pop(r, 1, &closed));
    assert_false(closed);
    nj_ring_release(r, 500);
    nj_ring_close(r);
    assert_null(nj_ring_pop(r, -1, &closed));
    assert_true(closed);
    assert_int_equal(nj_ring_push(r, &a, 1), -1);
    nj_ring_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_apply_defaults_and_last_word),
        cmocka_unit_test(settings_keep_long_values_whole),
        cmocka_unit_test(settings_refuse_unknown_keys_and_ranges),
        cmocka_unit_test(json_numbers_read_back),
        cmocka_unit_test(histogram_percentiles_are_within_one_percent),
        cmocka_unit_test(ring_keeps_its_byte_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
