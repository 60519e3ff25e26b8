/* secret.c - what is taken out of texts: every secret, the whole of it, however many there are and however
 * they came. */
#include "broker/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/error.h"

static char text[400];

static const char *scrubbed(const char *format, const char *a, const char *b)
{
    snprintf(text, sizeof text, format, a, b);
    nj_secret_scrub(text);
    return text;
}

static void one_within_another(void **state)
{
    (void)state;
    nj_secret_remember("hunter");
    nj_secret_remember("hunter22");
    nj_secret_remember("my hunter22 too");
    nj_secret_remember("hunter");
    assert_string_equal(scrubbed("%s, %s", "hunter22", "hunter"), "***, ***");
    assert_string_equal(scrubbed("%s%s", "my hunter22 too", ""), "***");
    assert_string_equal(scrubbed("%s%s", "hunter2", ""), "***2");
}

static void more_than_a_few(void **state)
{
    (void)state;
    char secret[40];
    for (int i = 0; i < 500; i++) {
        snprintf(secret, sizeof secret, "of-many-%d!", i);
        nj_secret_remember(secret);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(secret, sizeof secret, "of-many-%d!", i);
        if (strcmp(scrubbed("a %s b%s", secret, ""), "a *** b")) fail_msg("%s: %s", secret, text);
    }
}

/* Tokens come each hour, for months. */
static void those_that_pass(void **state)
{
    (void)state;
    char token[40];
    for (int i = 0; i < 1000; i++) {
        snprintf(token, sizeof token, "token-%d.", i);
        nj_secret_remember_for_now(token);
        if (strcmp(scrubbed("a %s b%s", token, ""), "a *** b")) fail_msg("%s: %s", token, text);
    }
    assert_string_equal(scrubbed("%s %s", "token-999.", "token-744."), "*** ***");
    assert_string_equal(scrubbed("%s %s", "token-743.", "token-0."), "token-743. token-0.");
}

static void an_end_that_was_cut_off(void **state)
{
    (void)state;
    nj_secret_remember("a-long-client-secret");
    snprintf(text, sizeof text, "it says a-long-client-secret and a-long-clie");
    nj_secret_scrub_cut(text);
    assert_string_equal(text, "it says *** and ***");
    snprintf(text, sizeof text, "nothing of one");
    nj_secret_scrub_cut(text);
    assert_string_equal(text, "nothing of one");
    snprintf(text, sizeof text, "a-l");
    nj_secret_scrub_cut(text);
    assert_string_equal(text, "a-l");
    nj_error err;
    for (size_t room = 1; room < 20; room++) {
        nj_fail(&err, "%*s%s", (int)(sizeof err.text - 1 - room), "", "a-long-client-secret");
        const char *said = err.text + strspn(err.text, " ");
        if (room >= 4) assert_string_equal(said, "***");
        if (strlen(said) > 3) fail_msg("%zu of it: %s", room, said);
    }
}

static void several_of_one_address_list(void **state)
{
    (void)state;
    nj_secret_remember_address("https://me:first-one@h/, https://you:second-one@h/");
    assert_string_equal(scrubbed("%s %s", "first-one", "second-one"), "*** ***");
}

static void several_in_one_word(void **state)
{
    (void)state;
    char program[] = "nightjar", word[] = "kafka://me:pass-word-1@h/t?sasl.password=pass-word-2",
         plain[] = "-q";
    char *argv[] = { program, word, plain, NULL };
    char **own = nj_secret_command_line(3, argv);
    assert_string_equal(word, "kafka://me:***********@h/t?sasl.password=***********");
    assert_string_equal(own[1], "kafka://me:pass-word-1@h/t?sasl.password=pass-word-2");
    assert_ptr_equal(own[2], plain);
    assert_string_equal(scrubbed("%s %s", "pass-word-1", "pass-word-2"), "*** ***");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_within_another),
        cmocka_unit_test(more_than_a_few),
        cmocka_unit_test(those_that_pass),
        cmocka_unit_test(an_end_that_was_cut_off),
        cmocka_unit_test(several_of_one_address_list),
        cmocka_unit_test(several_in_one_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
