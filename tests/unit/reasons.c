/* reasons.c - dead letters are counted by kinds of reasons, whose number does not grow with the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "broker/flow/reasons.h"

static void what_is_the_packets_own_becomes_a_sign(void **state)
{
    (void)state;
    static const char *const pair[][2] = {
        { "the block at byte 120 announces 7 bytes", "the block at byte N announces N bytes" },
        { "schema id 4242: the registry http://127.0.0.1:80: HTTP status 404",
          "schema id N: the registry URL HTTP status N" },
        { "codec 'gold' is not known", "codec '*' is not known" },
        { "the column i32 isn't one, it isn't", "the column i32 isn't one, it isn't" },
        { "a number of 1.5e300 and 0x1f", "a number of N and N" },
        { "two\nlines, \xc3\xa9", "two?lines, ??" },
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        char kind[NJ_REASON_TEXT];
        nj_reason_kind(pair[i][0], kind, sizeof kind);
        assert_string_equal(kind, pair[i][1]);
    }
}

static void a_long_reason_is_cut(void **state)
{
    (void)state;
    char reason[1000], kind[NJ_REASON_TEXT];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = 0;
    nj_reason_kind(reason, kind, sizeof kind);
    assert_true(strlen(kind) < sizeof kind);
}

static void many_kinds_end_as_other(void **state)
{
    (void)state;
    nj_reasons *r = nj_reasons_new();
    nj_dead_kind kind;
    uint64_t sum = 0;
    uint32_t n = 0;
    for (int i = 0; i < 1000; i++) {
        char reason[40];
        snprintf(reason, sizeof reason, "trouble with %c%c", 'a' + i / 26 % 26, 'a' + i % 26);
        nj_reasons_add(r, "decode", reason);
    }
    while (nj_reasons_get(r, n, &kind)) sum += kind.n, n++;
    assert_int_equal(n, 32);
    assert_int_equal(sum, 1000);
    assert_string_equal(kind.text, "other");
    nj_reasons_free(r);
}

static void the_same_reason_of_two_modules_is_two_kinds(void **state)
{
    (void)state;
    nj_reasons *r = nj_reasons_new();
    nj_dead_kind kind;
    nj_reasons_add(r, "decode", "too large");
    nj_reasons_add(r, "kafka", "too large");
    nj_reasons_add(r, "kafka", "too large");
    assert_true(nj_reasons_get(r, 1, &kind));
    assert_string_equal(kind.module, "kafka");
    assert_int_equal(kind.n, 2);
    assert_false(nj_reasons_get(r, 2, &kind));
    nj_reasons_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_the_packets_own_becomes_a_sign),
                                        cmocka_unit_test(a_long_reason_is_cut),
                                        cmocka_unit_test(many_kinds_end_as_other),
                                        cmocka_unit_test(the_same_reason_of_two_modules_is_two_kinds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
