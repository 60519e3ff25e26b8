/* options.c - the command line by tables: what is understood, what is refused and with which words. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/option.h"

typedef struct conf {
    bool quiet, strict;
    const char *columns, *clock;
    int threads;
    int64_t limit;
    uint64_t seed;
    double seconds;
    char said[64];
} conf;

static int add(void *opaque, const char *value, nj_error *err)
{
    conf *c = opaque;
    if (!strcmp(value, "bad")) return nj_fail(err, "bad is refused");
    strcat(strcat(c->said, value), ";");
    return 0;
}

static const nj_option first[] = {
    { "quiet", 'q', NJ_OPTION_FLAG, offsetof(conf, quiet), .doc = "no progress" },
    { "strict", 0, NJ_OPTION_FLAG, offsetof(conf, strict), .doc = "exit code 4" },
    { "columns", 'c', NJ_OPTION_TEXT, offsetof(conf, columns), "LIST", .doc = "more columns" },
    { "clock", 0, NJ_OPTION_WORD, offsetof(conf, clock), "CLOCK", "wall", .words = "wall|cpu",
      .doc = "what is timed" },
    { 0 }
};
static const nj_option second[] = {
    { "threads", 'j', NJ_OPTION_INT, offsetof(conf, threads), "N", "2", 1, 64, .doc = "threads" },
    { "limit", 0, NJ_OPTION_I64, offsetof(conf, limit), "N", NULL, 1, INT64_MAX, .doc = "stop after" },
    { "seed", 0, NJ_OPTION_U64, offsetof(conf, seed), "S", NULL, 0, (double)UINT64_MAX, .doc = "seed" },
    { "seconds", 's', NJ_OPTION_F64, offsetof(conf, seconds), "S", "1.5", 0.1, 1e6, .doc = "time" },
    { "add", 'D', NJ_OPTION_CALL, 0, "K=V", .take = add, .doc = "one more" },
    { 0 }
};
static const nj_option *const tables[] = { first, second, NULL };

static conf got;
static nj_words words;
static nj_error err;
static char line[256], *argv_of[32];

/* "run -q x": split at blanks. */
static int parse(const char *text)
{
    int argc = 0;
    snprintf(line, sizeof line, "%s", text);
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " ")) argv_of[argc++] = w;
    argv_of[argc] = NULL;
    got = (conf){ 0 };
    err.text[0] = 0;
    return nj_options_parse(tables, &got, argc, argv_of, &words, &err);
}

static void refused(const char *text, const char *why)
{
    assert_int_equal(parse(text), -1);
    assert_string_equal(err.text, why);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("run"), 0);
    assert_int_equal(got.threads, 2);
    assert_string_equal(got.clock, "wall");
    assert_true(got.seconds == 1.5);
    assert_null(got.columns);
    assert_int_equal(words.n, 0);
}

static void forms(void **state)
{
    (void)state;
    assert_int_equal(
        parse("run a -qj4 --columns=x,y b --limit 9223372036854775807 --cl cpu -D k=1 -Dm=2 - --str"), 0);
    assert_true(got.quiet);
    assert_true(got.strict);
    assert_int_equal(got.threads, 4);
    assert_string_equal(got.columns, "x,y");
    assert_true(got.limit == INT64_MAX);
    assert_string_equal(got.clock, "cpu");
    assert_string_equal(got.said, "k=1;m=2;");
    assert_int_equal(words.n, 3);
    assert_string_equal(words.item[0], "a");
    assert_string_equal(words.item[1], "b");
    assert_string_equal(words.item[2], "-");
}

static void numbers_and_dashes(void **state)
{
    (void)state;
    assert_int_equal(parse("query cat 12.5 -5 -.5 -c -hostless x -- -q --limit"), 0);
    assert_int_equal(words.n, 7);
    assert_int_equal(words.before, 5);
    assert_string_equal(words.item[2], "-5");
    assert_string_equal(words.item[3], "-.5");
    assert_string_equal(words.item[6], "--limit");
    assert_string_equal(got.columns, "-hostless");
    assert_false(got.quiet);
    assert_int_equal(parse("run --seed 18446744073709551615 x"), 0);
    assert_true(got.seed == UINT64_MAX);
    assert_int_equal(words.before, words.n);
}

static void wrong_names(void **state)
{
    (void)state;
    refused("run --colums x", "option --colums is not known; did you mean --columns?");
    refused("run --colums=x", "option --colums is not known; did you mean --columns?");
    refused("run --zzzzzzzz",
            "option --zzzzzzzz is not known; there are --quiet --strict --columns --clock --threads --limit "
            "--seed --seconds --add");
    refused("run -Z", "option -Z is not known; there are --quiet --strict --columns --clock --threads "
                      "--limit --seed --seconds --add");
    refused("run -Q", "option -Q is not known; did you mean -q?");
    refused("run -qZ",
            "option -Z is not known; there are --quiet --strict --columns --clock --threads --limit --seed "
            "--seconds --add");
    refused("run -columns x", "option -columns is not known; did you mean --columns?");
    refused("run -limit=4", "option -limit=4 is not known; did you mean --limit=4?");
    refused("run --s 1", "option --s can be each of --strict --seed --seconds");
}

static void wrong_values(void **state)
{
    (void)state;
    refused("run --columns", "option --columns lacks its value");
    refused("run --col", "option --columns lacks its value");
    refused("run -c", "option -c lacks its value");
    refused("run --columns --limit 3", "option --columns lacks its value");
    refused("run --strict=1", "option --strict takes no value");
    refused("run -j 65", "-j 65: expected a whole number from 1 to 64");
    refused("run -j 4x", "-j 4x: expected a whole number from 1 to 64");
    refused("run -j 1e3", "-j 1e3: expected a whole number from 1 to 64");
    refused("run --seed -1", "--seed -1: expected a whole number, 0 or more");
    refused("run --limit 9223372036854775808",
            "--limit 9223372036854775808: expected a whole number, 1 or more");
    refused("run --seconds nan", "--seconds nan: expected a number from 0.1 to 1e+06");
    refused("run --clock wal", "--clock wal: did you mean wall?");
    refused("run --clock sundial", "--clock sundial: expected one of wall cpu");
    refused("run -D bad", "bad is refused");
}

int main(void)
{
    const struct CMUnitTest all[] = { cmocka_unit_test(defaults), cmocka_unit_test(forms),
                                      cmocka_unit_test(numbers_and_dashes), cmocka_unit_test(wrong_names),
                                      cmocka_unit_test(wrong_values) };
    return cmocka_run_group_tests(all, NULL, NULL);
}
