/* writing.c - numbers as people read them, and the one writer of JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "broker/base/format.h"
#include "broker/base/json.h"
#include "broker/base/reason.h"
#include "broker/batch/batch.h"
#include "broker/measure/cpu.h"

static void durations_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    char text[24];
    assert_string_equal(nj_format_duration(text, 0), "0 ns");
    assert_string_equal(nj_format_duration(text, 999.4), "999 ns");
    assert_string_equal(nj_format_duration(text, 999.6), "1 us"); /* not 1e+03 ns */
    assert_string_equal(nj_format_duration(text, 12345), "12.3 us");
    assert_string_equal(nj_format_duration(text, 1e9), "1 s");
    assert_string_equal(nj_format_duration(text, 1e12), "1e+03 s");
    assert_string_equal(nj_format_duration(text, NAN), "-");
    assert_string_equal(nj_format_duration_micro(text, 12345), "12.3 µs");
    assert_string_equal(nj_format_duration_micro(text, 5), "5 ns");
}

static void figures_have_their_digits(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(nj_format_si(text, 999.6), "1k");
    assert_string_equal(nj_format_si(text, 54900), "54.9k");
    assert_string_equal(nj_format_rate(text, 7), "7.00");
    assert_string_equal(nj_format_rate(text, 54900), "54.9k");
    assert_string_equal(nj_format_us(text, 0.001), "<0.01");
    assert_string_equal(nj_format_share(text, 0.477), "47.7 %");
    assert_string_equal(nj_format_small(text, 1e-5), "<.001");
    assert_string_equal(nj_format_two(text, 1234), "1200");
    assert_string_equal(nj_format_two(text, 0.0123), "0.012");
    assert_string_equal(nj_format_two(text, -1), "0");
    assert_string_equal(nj_format_grouped(text, 0), "0");
    assert_string_equal(nj_format_grouped(text, 12345678), "12,345,678");
    assert_string_equal(nj_format_rate(text, INFINITY), "-");
}

static void json_has_its_commas_and_lines(void **state)
{
    (void)state;
    nj_buffer b = { 0 };
    nj_json j = nj_json_begin(&b, '{');
    nj_json_put(&j, "text=%s whole=%g part=%g nan=%g yes=%hhd n=%u", "a\"b", 2.0, 0.25, NAN, true, 7u);
    nj_json_open(&j, "empty", '{');
    nj_json_close(&j);
    nj_json_open(&j, "pairs", '[');
    for (int i = 0; i < 2; i++) {
        nj_json_open(&j, NULL, '[');
        nj_json_item(&j, "%d", i);
        nj_json_short(&j, 1.0 / 3, 3);
        nj_json_close(&j);
    }
    nj_json_close(&j);
    nj_json_open(&j, "objects", '[');
    for (int i = 0; i < 2; i++) {
        nj_json_open(&j, NULL, '{');
        nj_json_put(&j, "i=%lld", (long long)i);
        nj_json_close(&j);
    }
    nj_json_close(&j);
    nj_json_open(&j, "a\"name", '{');
    nj_json_count(&j, "x\\y", UINT64_MAX);
    nj_json_string(&j, "s", NULL);
    nj_json_raw(&j, "raw", "[1]", 3);
    nj_json_end(&j);
    assert_false(b.failed);
    assert_string_equal(
        b.data, "{\n"
                "  \"text\": \"a\\\"b\",\n  \"whole\": 2.0,\n  \"part\": 0.25,\n"
                "  \"nan\": null,\n  \"yes\": true,\n  \"n\": 7,\n  \"empty\": {},\n"
                "  \"pairs\": [[0, 0.333], [1, 0.333]],\n"
                "  \"objects\": [\n    {\"i\": 0},\n    {\"i\": 1}\n  ],\n"
                "  \"a\\\"name\": {\"x\\\\y\": 18446744073709551615, \"s\": null, \"raw\": [1]}\n}\n");
    nj_buffer_free(&b);
}

static void json_of_a_line_and_of_nothing(void **state)
{
    (void)state;
    nj_buffer b = { 0 };
    nj_json j = nj_json_begin_line(&b);
    nj_json_put(&j, "a=%ld b=%zu", -1L, (size_t)2);
    nj_json_end(&j);
    assert_string_equal(b.data, "{\"a\": -1, \"b\": 2}\n");
    nj_buffer_free(&b);
    j = nj_json_begin(&b, '[');
    nj_json_end(&j);
    assert_string_equal(b.data, "[]\n");
    nj_buffer_free(&b);
}

static void json_too_deep_is_a_failure(void **state)
{
    (void)state;
    nj_buffer b = { 0 };
    nj_json j = nj_json_begin(&b, '[');
    for (int i = 0; i < NJ_JSON_DEEPEST; i++) nj_json_open(&j, NULL, '[');
    nj_json_end(&j);
    assert_true(b.failed);
    nj_buffer_free(&b);
}

static void reasons_stand_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    assert_string_equal(nj_reason_name[NJ_DONE], "done");
    assert_string_equal(nj_reason_name[NJ_SHED], "shed");
}

static void the_processor_has_a_name(void **state)
{
    (void)state;
    char name[128];
    int sockets = 0;
    nj_cpu_model(name, sizeof name, &sockets);
    assert_true(strlen(name) > 0);
    assert_true(sockets >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_three_digits_and_a_unit),
        cmocka_unit_test(figures_have_their_digits),
        cmocka_unit_test(json_has_its_commas_and_lines),
        cmocka_unit_test(json_of_a_line_and_of_nothing),
        cmocka_unit_test(json_too_deep_is_a_failure),
        cmocka_unit_test(reasons_stand_in_the_order_of_their_numbers),
        cmocka_unit_test(the_processor_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
