/* sink_journal.c - what a journal says after any end: the last whole commit, or a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/sink/journal.h"

static char folder[] = "/tmp/nj-journal-XXXXXX", path[64], file[80];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/out.ndjson", folder);
    snprintf(file, sizeof file, "%s.journal", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(file);
    return rmdir(folder);
}

static const nj_journal_of of = { "run-1", "column a\nwhere b > \"1\"\n", false };

/* An output of 100 bytes and a journal of `commits` commits, of 10 bytes and one row each. */
static void write_some(int commits)
{
    char zeros[100] = { 0 };
    nj_error err;
    assert_int_equal(nj_file_write(path, zeros, sizeof zeros), 0);
    nj_journal *j = nj_journal_begin(path, &of, &(nj_mark){ .bytes = 0 }, &err);
    assert_non_null(j);
    for (int i = 1; i <= commits; i++) {
        const nj_mark mark = {
            .bytes = i % 10 * 10, .rows = i, .commit = (uint64_t)i, .state = (char *)"{\"n\":1}"
        };
        assert_int_equal(nj_journal_add(j, &mark, &err), 0);
    }
    nj_journal_end(j);
}

static nj_mark look(void)
{
    nj_mark mark;
    nj_error err = { "" };
    if (nj_journal_look(path, &mark, &err)) fail_msg("%s", err.text);
    return mark;
}

static void the_last_commit_counts(void **state)
{
    (void)state;
    write_some(7);
    nj_mark mark = look();
    assert_int_equal(mark.kind, NJ_MARK_THERE);
    assert_int_equal(mark.bytes, 70);
    assert_int_equal(mark.rows, 7);
    assert_int_equal(mark.commit, 7);
    assert_string_equal(mark.run, "run-1");
    assert_string_equal(mark.configuration, of.configuration);
    assert_string_equal(mark.state, "{\"n\":1}");
    nj_mark_free(&mark);
}

/* Cut at every byte behind the header, and the rest as zeros, as a power cut leaves it. */
static void a_torn_end_is_the_commit_before(void **state)
{
    (void)state;
    write_some(5);
    size_t n;
    char *text = nj_file_read(file, 1 << 20, &n);
    char *first = strchr(strchr(text, '\n') + 1, '\n'); /* header, and the first commit */
    for (size_t at = (size_t)(first - text) + 1; at <= n; at++)
        for (int zeros = 0; zeros < 2; zeros++) {
            char *torn = malloc(n);
            memcpy(torn, text, n);
            memset(torn + at, 0, n - at);
            assert_int_equal(nj_file_write(file, torn, zeros ? n : at), 0);
            int64_t whole = -1;
            for (size_t k = 0; k < at; k++) whole += text[k] == '\n';
            nj_mark mark = look();
            assert_int_equal(mark.rows, whole - 1);
            nj_mark_free(&mark);
            free(torn);
        }
    free(text);
}

static void many_commits_do_not_grow_it_for_ever(void **state)
{
    (void)state;
    write_some(30000);
    size_t n;
    char *text = nj_file_read(file, 1 << 24, &n);
    assert_in_range(n, 1, 2 << 20);
    free(text);
    nj_mark mark = look();
    assert_int_equal(mark.rows, 30000);
    nj_mark_free(&mark);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "no JSON\n", "{}\n{}\n",
                                         "{\"nightjar.journal\":2,\"run\":\"x\"}\n" };
    nj_mark mark;
    nj_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nj_file_write(file, wrong[i], strlen(wrong[i])), 0);
        assert_int_equal(nj_journal_look(path, &mark, &err), -1);
        assert_non_null(strstr(err.text, file));
    }
    write_some(9);
    assert_int_equal(truncate(path, 89), 0);
    assert_int_equal(nj_journal_look(path, &mark, &err), -1);
    assert_non_null(strstr(err.text, "its journal says that 90 were there"));
    unlink(file);
    mark = look();
    assert_int_equal(mark.kind, NJ_MARK_UNKNOWN);
    unlink(path);
    mark = look();
    assert_int_equal(mark.kind, NJ_MARK_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_commit_counts),
        cmocka_unit_test(a_torn_end_is_the_commit_before),
        cmocka_unit_test(many_commits_do_not_grow_it_for_ever),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
