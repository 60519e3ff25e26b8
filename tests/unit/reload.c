/* reload.c - which settings SIGHUP may change, and that all others keep their values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "broker/flow/reload.h"

static nj_settings old, fresh;
static nj_buffer changed, refused;

/* define: what -D adds on both sides, or NULL */
static int merged_with(const char *before, const char *after, const char *define)
{
    nj_error err;
    changed = refused = (nj_buffer){ 0 };
    old = fresh = (nj_settings){ 0 };
    assert_int_equal(nj_settings_ini(&old, "old.ini", before, &err), 0);
    assert_int_equal(nj_settings_ini(&fresh, "fresh.ini", after, &err), 0);
    if (define) {
        assert_int_equal(nj_settings_define(&old, define, &err), 0);
        assert_int_equal(nj_settings_define(&fresh, define, &err), 0);
    }
    return nj_reload_merge(&old, &fresh, &changed, &refused);
}

static int merged(const char *before, const char *after)
{
    return merged_with(before, after, NULL);
}

static void end(void)
{
    nj_settings_free(&old);
    nj_settings_free(&fresh);
    nj_buffer_free(&changed);
    nj_buffer_free(&refused);
}

static const char *text(const nj_buffer *b)
{
    return b->n ? b->data : "";
}

static void what_may_change(void **state)
{
    (void)state;
    assert_int_equal(merged("[topic.a]\nwhere = x\n[module.m]\nlow = 1\n[guard]\nmax_rss = 1G\n",
                            "[topic.a]\nwhere = y\n[module.m]\nhigh = 2\n[guard]\nmax_rss = 1G\n"),
                     3);
    assert_string_equal(text(&changed), "topic.a.where module.m.low module.m.high");
    assert_string_equal(text(&refused), "");
    assert_string_equal(nj_settings_get(&fresh, "topic.a", "where"), "y");
    assert_null(nj_settings_get(&fresh, "module.m", "low"));
    end();
}

static void what_may_not(void **state)
{
    (void)state;
    assert_int_equal(
        merged("[run]\ndedup = 5\nmodules = a\n[module.m]\nkind = k\n",
               "[run]\ndedup = 6\nbatch_rows = 3\n[module.m]\nkind = l\nneed.mag = rb\n[sink.fits]\nx = 1\n"),
        0);
    assert_string_equal(text(&changed), "");
    assert_string_equal(text(&refused),
                        "run.dedup run.modules module.m.kind run.batch_rows module.m.need.mag sink.fits.x");
    assert_string_equal(nj_settings_get(&fresh, "run", "dedup"), "5");
    assert_string_equal(nj_settings_get(&fresh, "run", "modules"), "a");
    assert_string_equal(nj_settings_get(&fresh, "module.m", "kind"), "k");
    assert_null(nj_settings_get(&fresh, "run", "batch_rows"));
    assert_null(nj_settings_get(&fresh, "module.m", "need.mag"));
    assert_null(nj_settings_get(&fresh, "sink.fits", "x"));
    end();
}

static void the_last_of_equal_keys_counts(void **state)
{
    (void)state;
    /* -D overrides the file: what changes there has no effect */
    assert_int_equal(merged_with("[run]\nwhere = a\n", "[run]\nwhere = c\n", "run.where=b"), 0);
    assert_string_equal(nj_settings_get(&fresh, "run", "where"), "b");
    end();
    assert_int_equal(merged_with("[run]\nwhere = a\n", "[run]\nwhere = c\n", "run.columns=jd"), 1);
    assert_string_equal(text(&changed), "run.where");
    end();
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    assert_int_equal(merged("[kafka]\nsasl.password = one\n", "[kafka]\nsasl.password = two\n"), 1);
    assert_string_equal(text(&changed), "kafka.sasl.password");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_may_change), cmocka_unit_test(what_may_not),
                                        cmocka_unit_test(the_last_of_equal_keys_counts),
                                        cmocka_unit_test(secrets_are_not_shown) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
