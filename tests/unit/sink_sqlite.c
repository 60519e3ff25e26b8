/* sink_sqlite.c - the sqlite sink, read back by SQLite itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "broker/base/clock.h"
#include "sink_rows.h"

/* All rows of a query as text: values by '|', rows by '\n', null as NULL. */
static const char *ask(const char *path, const char *sql)
{
    static char text[8192];
    sqlite3 *db;
    sqlite3_stmt *q;
    int n = 0;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    text[0] = 0;
    while (sqlite3_step(q) == SQLITE_ROW) {
        for (int c = 0; c < sqlite3_column_count(q); c++) {
            const char *v = (const char *)sqlite3_column_text(q, c);
            n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", c ? "|" : "", v ? v : "NULL");
        }
        n += snprintf(text + n, sizeof text - (size_t)n, "\n");
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
    return text;
}

static void rows_come_back(void **state)
{
    (void)state;
    const char *path = in_folder("a.db");
    must_write(must_open("sqlite", path, NJ_SINK_CREATE), 1);
    assert_string_equal(ask(path, "SELECT candid, object, positive, ndethist, \"roid.roid\", "
                                  "\"roid.reason\", \"fit.rate\", \"fit.points\", "
                                  "\"packet.candidate.sgscore1\" FROM alerts"),
                        "2481168780615015008|ZTF21abcdefg|1|0|0|done|[1,2,3]|[18.5,null,19.25]|NULL\n"
                        "-7|a\"b\\c\n\xc3\xa9|0|-1|-1|cut|[-1.5,null,0]|[]|NULL\n"
                        "NULL|NULL|NULL|NULL|NULL|shed|[null,null,null]|[]|NULL\n"
                        "9223372036854775807||254|2147483647|2147483647|NULL|[4,5,6]|[20,21]|NULL\n");
    assert_string_equal(ask(path, "SELECT value FROM metadata WHERE run = 1 AND key = 'module.roid'"),
                        "1.0 \"quoted\"\n");
    assert_string_equal(
        ask(path, "SELECT unit, type FROM columns WHERE key IN ('ra', 'roid.reason') ORDER BY key"),
        "deg|f64\nNULL|str\n");
    assert_string_equal(
        ask(path, "SELECT type FROM pragma_table_info('alerts') WHERE name IN ('jd', 'candid', 'fit.rate')"),
        "INTEGER\nREAL\nTEXT\n");

    /* doubles to the bit */
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT jd, ra, dec, rb, \"hostless.ks_template\" FROM alerts", -1, &q, NULL),
        SQLITE_OK);
    for (int k = 0; k < 4; k++) {
        uint32_t r = row_list[k];
        double expected[5] = { jd[r], ra[r], dec[r], (double)rb[r], jd[r] };
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        for (int c = 0; c < 5; c++) {
            if (isnan(expected[c])) {
                assert_int_equal(sqlite3_column_type(q, c), SQLITE_NULL);
                continue;
            }
            assert_int_equal(sqlite3_column_type(q, c), SQLITE_FLOAT);
            assert_true(sqlite3_column_double(q, c) == expected[c]);
        }
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void an_existing_file_is_refused_replaced_or_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("b.db");
    snprintf(spec, sizeof spec, "sqlite:%s", path);
    must_write(must_open("sqlite", path, NJ_SINK_CREATE), 2);
    must_refuse(spec, NJ_SINK_CREATE, "--overwrite", "--append");
    must_write(must_open("sqlite", path, NJ_SINK_APPEND), 1);
    assert_string_equal(ask(path, "SELECT count(*) FROM alerts"), "12\n");
    assert_string_equal(ask(path, "SELECT max(run), count(*) FROM metadata"), "2|4\n");
    must_write(must_open("sqlite", path, NJ_SINK_OVERWRITE), 1);
    assert_string_equal(ask(path, "SELECT count(*) FROM alerts"), "4\n");
}

static void append_wants_the_same_columns(void **state)
{
    (void)state;
    const char *path = in_folder("c.db");
    must_write(must_open("sqlite", path, NJ_SINK_CREATE), 1);
    static const struct {
        uint32_t from, n;
        const char *says;
    } cases[] = {
        { 0, FIELDS - 1, "has the column packet.candidate.sgscore1 where this run writes none" },
        { 1, FIELDS - 1, "has the column candid where this run writes object" },
    };
    for (int i = 0; i < 2; i++) {
        nj_error err = { "" };
        nj_sink *s = must_open("sqlite", path, NJ_SINK_APPEND);
        assert_int_equal(s->class->begin(s, field + cases[i].from, cases[i].n, NULL, &err), -1);
        assert_non_null(strstr(err.text, cases[i].says));
        s->class->close(s, &err);
    }
    nj_field more[FIELDS + 1];
    memcpy(more, field, sizeof field);
    more[FIELDS] = (nj_field){ "x.y", "x", NJ_I32, 1, NULL, NULL, NULL };
    nj_error err = { "" };
    nj_sink *s = must_open("sqlite", path, NJ_SINK_APPEND);
    assert_int_equal(s->class->begin(s, more, FIELDS + 1, NULL, &err), -1);
    assert_non_null(strstr(err.text, "lacks the column x.y"));
    s->class->close(s, &err);
    assert_string_equal(ask(path, "SELECT count(*) FROM alerts"), "4\n");
}

static void a_file_of_something_else_is_not_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("novel.db");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 200; i++) fputs("It was a dark and stormy night. ", f);
    fclose(f);
    snprintf(spec, sizeof spec, "sqlite:%s", path);
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_sink *s = nj_sink_open(spec, &(nj_sink_args){ .mode = NJ_SINK_APPEND, .settings = &settings }, &err);
    if (s) {
        assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), -1);
        s->class->close(s, NULL);
    }
    assert_non_null(strstr(err.text, "not a database"));
    assert_int_equal(size_of(path), 6400);
}

/* A process that dies between two flushes: what was flushed is there,
 * what was not is undone by the next opening. */
static void a_killed_run_keeps_what_was_flushed(void **state)
{
    (void)state;
    const char *path = in_folder("killed.db");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        nj_error err;
        nj_sink *s = must_open("sqlite", path, NJ_SINK_CREATE);
        s->class->begin(s, field, FIELDS, metadata, &err);
        for (int i = 0; i < 3; i++) s->class->write(s, &rows4, &err);
        flush_and_commit(s, &err);
        for (int i = 0; i < 20000; i++)
            s->class->write(s, &rows4, &err); /* more than its page cache:
                                               * it has spilt to the file */
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_true(size_of(path) > 1 << 20); /* the torn transaction did reach the file */
    must_write(must_open("sqlite", path, NJ_SINK_APPEND), 1);
    assert_string_equal(ask(path, "SELECT count(*) FROM alerts"), "16\n");
    assert_string_equal(ask(path, "PRAGMA integrity_check"), "ok\n");
}

static void a_full_disk_and_a_locked_folder_are_errors(void **state)
{
    (void)state;
    must_refuse("sqlite:/nowhere/x.db", NJ_SINK_CREATE, "/nowhere/x.db: cannot be written", NULL);
    must_refuse("sqlite:/dev/full", NJ_SINK_CREATE, "/dev/full: is a device", NULL);
    full_disk_and_locked_folder("sqlite", "full.db", &rows4, 64 << 10);
}

static void a_start_that_fails_leaves_no_file(void **state)
{
    (void)state;
    const char *path = in_folder("never.db");
    nj_sink *s = must_open("sqlite", path, NJ_SINK_CREATE);
    nj_error err;
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(size_of(path), -1);
}

static void cost_of_a_row(void **state)
{
    (void)state;
    nj_error err;
    nj_sink *s = must_open("sqlite", in_folder("speed.db"), NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    int64_t start = nj_now_ns();
    for (int i = 0; i < 5000; i++) assert_int_equal(s->class->write(s, &rows4, &err), 0);
    assert_int_equal(flush_and_commit(s, &err), 0);
    printf("# sqlite: %.0f ns per row of %d columns, commit included\n",
           (double)(nj_now_ns() - start) / 20000, FIELDS);
    assert_int_equal(s->class->close(s, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(an_existing_file_is_refused_replaced_or_continued),
        cmocka_unit_test(append_wants_the_same_columns),
        cmocka_unit_test(a_file_of_something_else_is_not_continued),
        cmocka_unit_test(a_killed_run_keeps_what_was_flushed),
        cmocka_unit_test(a_full_disk_and_a_locked_folder_are_errors),
        cmocka_unit_test(a_start_that_fails_leaves_no_file),
        cmocka_unit_test(cost_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
