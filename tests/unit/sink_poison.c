/* sink_poison.c - one row that a sink cannot take is refused, and the rows around it are written. */
/* link: -Wl,--wrap=sqlite3_bind_text,--wrap=avro_value_write */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <avro.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "broker/batch/batch.h"
#include "sink_rows.h"

/* The library says no to the row with this object. */
static const char poison[] = "a\"b\\c\n\xc3\xa9";
static int avro_no, n_avro, avro_no_at;

int __real_sqlite3_bind_text(sqlite3_stmt *q, int at, const char *text, int n, void (*done)(void *));
int __wrap_sqlite3_bind_text(sqlite3_stmt *q, int at, const char *text, int n, void (*done)(void *));
int __wrap_sqlite3_bind_text(sqlite3_stmt *q, int at, const char *text, int n, void (*done)(void *))
{
    if (text && !strcmp(text, poison)) return SQLITE_TOOBIG;
    return __real_sqlite3_bind_text(q, at, text, n, done);
}

int __real_avro_value_write(avro_writer_t writer, avro_value_t *src);
int __wrap_avro_value_write(avro_writer_t writer, avro_value_t *src);
int __wrap_avro_value_write(avro_writer_t writer, avro_value_t *src)
{
    if (avro_no && n_avro++ == avro_no_at) return avro_no;
    return __real_avro_value_write(writer, src);
}

typedef struct refusals {
    int n;
    uint32_t record;
    char reason[300], module[40];
} refusals;

static void note(void *opaque, const nj_dead *dead)
{
    refusals *r = opaque;
    r->n++;
    r->record = dead->record;
    snprintf(r->reason, sizeof r->reason, "%s", dead->reason);
    snprintf(r->module, sizeof r->module, "%s", dead->module);
}

static nj_sink *open_sink(const char *spec, refusals *r, nj_settings *settings)
{
    nj_error err = { "" };
    nj_sink_args args = { .settings = settings, .refuse = r ? note : NULL, .refuse_opaque = r };
    nj_sink *sink = nj_sink_open(spec, &args, &err);
    if (!sink) fail_msg("%s: %s", spec, err.text);
    if (sink->class->begin(sink, field, FIELDS, metadata, &err)) fail_msg("%s", err.text);
    return sink;
}

static int write_all(nj_sink *sink, nj_error *err)
{
    nj_row row[5];
    for (uint32_t i = 0; i < 5; i++) row[i] = (nj_row){ .record = i };
    nj_batch batch = { .n = 5, .row = row };
    nj_rows rows = rows4;
    rows.batch = &batch;
    return sink->class->write(sink, &rows, err);
}

static void one_row_that_sqlite_cannot_take(void **state)
{
    (void)state;
    refusals r = { 0 };
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char spec[200];
    const char *path = in_folder("poison.db");
    snprintf(spec, sizeof spec, "sqlite:%s", path);
    nj_sink *sink = open_sink(spec, &r, &settings);
    if (write_all(sink, &err)) fail_msg("%s", err.text);
    assert_int_equal(sink->class->flush(sink, &err), 0);
    assert_int_equal(sink->class->close(sink, &err), 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.record, 1);
    assert_string_equal(r.module, "sink.sqlite");
    assert_non_null(strstr(r.reason, "a row cannot be written"));
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM alerts", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), 3);
    sqlite3_finalize(q);
    sqlite3_close(db);
    nj_settings_free(&settings);
}

static void a_sink_that_cannot_report_fails(void **state)
{
    (void)state;
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char spec[200];
    snprintf(spec, sizeof spec, "sqlite:%s", in_folder("nobody.db"));
    nj_sink *sink = open_sink(spec, NULL, &settings);
    assert_int_equal(write_all(sink, &err), -1);
    assert_non_null(strstr(err.text, "a row cannot be written"));
    sink->class->close(sink, &err);
    nj_settings_free(&settings);
}

static void avro_says(int no, int rc, int n_refused)
{
    refusals r = { 0 };
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char spec[200], name[40];
    snprintf(name, sizeof name, "poison-%d.avro", no);
    snprintf(spec, sizeof spec, "avro:%s", in_folder(name));
    nj_sink *sink = open_sink(spec, &r, &settings);
    avro_no = no;
    avro_no_at = 2;
    n_avro = 0;
    assert_int_equal(write_all(sink, &err), rc);
    avro_no = 0;
    assert_int_equal(r.n, n_refused);
    if (n_refused) assert_int_equal(r.record, 3);
    assert_int_equal(sink->class->close(sink, &err), 0);
    nj_settings_free(&settings);
}

static void one_row_that_avro_cannot_take(void **state)
{
    (void)state;
    avro_says(EINVAL, 0, 1);
}

static void short_memory_is_not_the_rows_fault(void **state)
{
    (void)state;
    avro_says(ENOMEM, -1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_row_that_sqlite_cannot_take),
        cmocka_unit_test(a_sink_that_cannot_report_fails),
        cmocka_unit_test(one_row_that_avro_cannot_take),
        cmocka_unit_test(short_memory_is_not_the_rows_fault),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
