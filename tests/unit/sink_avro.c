/* sink_avro.c - the avro sink, read back by avro-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <avro.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "broker/base/clock.h"
#include "broker/sink/ocf.h"
#include "sink_rows.h"

/* The value of a key: down the records by its parts, then the branch of the union. False = null. */
static bool find(avro_value_t *row, const char *key, avro_value_t *out)
{
    char part[64];
    avro_value_t at = *row, branch;
    for (const char *dot; *key; key = dot ? dot + 1 : key + strlen(key)) {
        dot = strchr(key, '.');
        snprintf(part, sizeof part, "%.*s", dot ? (int)(dot - key) : (int)strlen(key), key);
        if (avro_value_get_by_name(&at, part, &branch, NULL)) fail_msg("no field %s", part);
        at = branch;
    }
    int number;
    assert_int_equal(avro_value_get_type(&at), AVRO_UNION);
    assert_int_equal(avro_value_get_discriminant(&at, &number), 0);
    assert_int_equal(avro_value_get_current_branch(&at, out), 0);
    return number != 0;
}

static void expect_double(avro_value_t *row, const char *key, double expected)
{
    avro_value_t v;
    double got;
    assert_int_equal(find(row, key, &v), !isnan(expected));
    if (isnan(expected)) return;
    assert_int_equal(avro_value_get_double(&v, &got), 0);
    assert_true(got == expected);
}

static void expect_int(avro_value_t *row, const char *key, bool is_null, int32_t expected)
{
    avro_value_t v;
    int32_t got;
    assert_int_equal(find(row, key, &v), !is_null);
    if (is_null) return;
    assert_int_equal(avro_value_get_int(&v, &got), 0);
    assert_int_equal(got, expected);
}

static void expect_text(avro_value_t *row, const char *key, const char *expected)
{
    avro_value_t v;
    const char *got;
    size_t n;
    assert_int_equal(find(row, key, &v), expected != NULL);
    if (!expected) return;
    assert_int_equal(avro_value_get_string(&v, &got, &n), 0);
    assert_string_equal(got, expected);
}

static void expect_array(avro_value_t *row, const char *key, bool wide, const double *expected, size_t n)
{
    avro_value_t v, item, branch;
    size_t got_n;
    assert_true(find(row, key, &v));
    assert_int_equal(avro_value_get_size(&v, &got_n), 0);
    assert_int_equal(got_n, n);
    for (size_t i = 0; i < n; i++) {
        double d = NAN;
        float f;
        avro_value_get_by_index(&v, i, &item, NULL);
        avro_value_get_current_branch(&item, &branch);
        if (isnan(expected[i])) {
            assert_int_equal(avro_value_get_type(&branch), AVRO_NULL);
            continue;
        }
        if (wide)
            assert_int_equal(avro_value_get_double(&branch, &d), 0);
        else
            assert_int_equal(avro_value_get_float(&branch, &f), 0), d = (double)f;
        assert_true(d == expected[i]);
    }
}

/* Number of rows; each is checked against rows4 in turn. -1 when the file ends badly. */
static int check_file(const char *path)
{
    avro_file_reader_t reader;
    avro_value_t row, v;
    int n = 0, rc;
    if (avro_file_reader(path, &reader)) fail_msg("%s: %s", path, avro_strerror());
    avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    avro_generic_value_new(iface, &row);
    for (; (rc = avro_file_reader_read_value(reader, &row)) == 0; n++) {
        uint32_t r = row_list[n % 4];
        int64_t id;
        float f;
        assert_int_equal(find(&row, "candid", &v), candid[r] != NJ_NO_I64);
        if (candid[r] != NJ_NO_I64)
            assert_int_equal(avro_value_get_long(&v, &id), 0), assert_true(id == candid[r]);
        assert_int_equal(find(&row, "rb", &v), isfinite(rb[r]));
        if (isfinite(rb[r])) assert_int_equal(avro_value_get_float(&v, &f), 0), assert_true(f == rb[r]);
        expect_text(&row, "object", object[r]);
        expect_double(&row, "jd", jd[r]);
        expect_double(&row, "ra", ra[r]);
        expect_double(&row, "dec", dec[r]);
        expect_double(&row, "hostless.ks_template", jd[r]);
        expect_int(&row, "positive", positive[r] == NJ_NO_U8, positive[r]);
        expect_int(&row, "ndethist", ndet[r] == NJ_NO_I32, ndet[r]);
        expect_int(&row, "roid.roid", ndet[r] == NJ_NO_I32, ndet[r]);
        expect_text(&row, "roid.reason", roid_reason[r] < NJ_REASONS ? nj_reason_name[roid_reason[r]] : NULL);
        expect_array(&row, "fit.rate", true, rate + (size_t)3 * r, 3);
        double series[3] = { 0 };
        for (uint32_t k = points_off[r]; k < points_off[r + 1]; k++)
            series[k - points_off[r]] = (double)points[k];
        expect_array(&row, "fit.points", false, series, points_off[r + 1] - points_off[r]);
        assert_false(find(&row, "packet.candidate.sgscore1", &v));
        avro_value_reset(&row);
    }
    avro_value_decref(&row);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    avro_file_reader_close(reader);
    return rc == EOF ? n : -1;
}

static void rows_come_back_with_every_codec(void **state)
{
    (void)state;
    static const char *const codec[] = { "null", "deflate", "snappy" };
    for (int i = 0; i < 3; i++) {
        nj_settings settings = { 0 };
        nj_error err = { "" };
        char spec[160];
        snprintf(spec, sizeof spec, "avro:%s", in_folder("codec.avro"));
        nj_settings_set(&settings, "sink.avro", "codec", codec[i], "test");
        nj_sink *s =
            nj_sink_open(spec, &(nj_sink_args){ .mode = NJ_SINK_OVERWRITE, .settings = &settings }, &err);
        nj_settings_free(&settings);
        if (!s) fail_msg("%s", err.text);
        must_write(s, 3);
        assert_int_equal(check_file(in_folder("codec.avro")), 12);
    }
    nj_settings settings = { 0 };
    nj_error err = { "" };
    nj_settings_set(&settings, "sink.avro", "codec", "brotli", "test");
    assert_null(nj_sink_open("avro:/tmp/x.avro",
                             &(nj_sink_args){ .mode = NJ_SINK_CREATE, .settings = &settings }, &err));
    assert_non_null(strstr(err.text, "brotli"));
    nj_settings_free(&settings);
}

static void the_header_has_the_provenance_and_the_keys(void **state)
{
    (void)state;
    const char *path = in_folder("header.avro");
    must_write(must_open("avro", path, NJ_SINK_CREATE), 0);
    assert_int_equal(check_file(path), 0); /* a run without rows leaves a valid file */
    static char bytes[16384];
    FILE *f = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_non_null(memmem(bytes, n,
                           "nightjar.module.roid\x18"
                           "1.0 \"quoted\"",
                           33));
    assert_non_null(memmem(bytes, n, "nightjar.version\n0.1.0", 22));
    assert_non_null(memmem(bytes, n, "\"key\":\"packet.candidate.sgscore1\"", 33));
    assert_non_null(memmem(bytes, n, "\"unit\":\"mag/day\"", 16));
}

static void a_flush_leaves_a_valid_file(void **state)
{
    (void)state;
    const char *path = in_folder("live.avro");
    nj_error err = { "" };
    nj_sink *s = must_open("avro", path, NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(s->class->write(s, &rows4, &err), 0);
        assert_int_equal(s->class->flush(s, &err), 0);
        assert_int_equal(check_file(path), 4 * i);
    }
    assert_int_equal(s->class->close(s, &err), 0);
}

static void an_existing_file_is_refused_replaced_or_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("b.avro");
    snprintf(spec, sizeof spec, "avro:%s", path);
    must_write(must_open("avro", path, NJ_SINK_CREATE), 1);
    off_t one = size_of(path);
    must_refuse(spec, NJ_SINK_CREATE, "--overwrite", "--append");
    must_write(must_open("avro", path, NJ_SINK_APPEND), 1);
    assert_int_equal(check_file(path), 8);
    off_t two = size_of(path);
    for (off_t cut = two - 1; cut >= one; cut -= 13) { /* a torn second block goes, the first stays */
        must_write(must_open("avro", path, NJ_SINK_OVERWRITE), 2);
        assert_int_equal(truncate(path, cut), 0);
        must_write(must_open("avro", path, NJ_SINK_APPEND), 1);
        assert_int_equal(check_file(path), 8);
    }
    /* other columns, or something else altogether */
    nj_error err = { "" };
    nj_sink *s = must_open("avro", path, NJ_SINK_APPEND);
    assert_int_equal(s->class->begin(s, field, FIELDS - 1, metadata, &err), -1);
    assert_non_null(strstr(err.text, "other columns"));
    s->class->close(s, &err);
    FILE *f = fopen(in_folder("novel.avro"), "w");
    fputs("It was a dark and stormy night", f);
    fclose(f);
    must_fail(must_open("avro", in_folder("novel.avro"), NJ_SINK_APPEND), "is not an Avro file");
}

static void columns_that_collide_are_refused(void **state)
{
    (void)state;
    static const nj_field bad[][2] = {
        { { "a.b", "a", NJ_F64, 1, NULL, NULL, NULL }, { "a.b", "a", NJ_F64, 1, NULL, NULL, NULL } },
        { { "a", NULL, NJ_F64, 1, NULL, NULL, NULL }, { "a.b", "a", NJ_F64, 1, NULL, NULL, NULL } },
        { { "packet.x[].y", NULL, NJ_F64, 0, NULL, NULL, NULL },
          { "packet.x.y", NULL, NJ_F64, 1, NULL, NULL, NULL } },
    };
    for (int i = 0; i < 3; i++) {
        nj_error err = { "" };
        nj_sink *s = must_open("avro", in_folder("collide.avro"), NJ_SINK_CREATE);
        assert_int_equal(s->class->begin(s, bad[i], 2, NULL, &err), -1);
        assert_non_null(strstr(err.text, "same Avro name"));
        s->class->close(s, &err);
    }
}

static void a_row_may_be_larger_than_a_block(void **state)
{
    (void)state;
    enum { N = 400000 };
    static double v[N];
    static const uint32_t off[2] = { 0, N }, list[1] = { 0 };
    for (int i = 0; i < N; i++) v[i] = i % 7 ? i / 3.0 : NAN;
    const nj_field f = { "lc.jd", NULL, NJ_F64, 0, NULL, NULL, NULL };
    const nj_col c = { v, off };
    const char *path = in_folder("large.avro");
    nj_error err = { "" };
    nj_sink *s = must_open("avro", path, NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, &f, 1, NULL, &err), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(s->class->write(s, &(nj_rows){ &f, 1, &c, list, 1, NULL, NULL }, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    avro_file_reader_t reader;
    avro_value_t row;
    assert_int_equal(avro_file_reader(path, &reader), 0);
    avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    avro_generic_value_new(iface, &row);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(avro_file_reader_read_value(reader, &row), 0);
        expect_array(&row, "lc.jd", true, v, N);
        avro_value_reset(&row);
    }
    assert_int_equal(avro_file_reader_read_value(reader, &row), EOF);
    avro_value_decref(&row);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    avro_file_reader_close(reader);
    nj_settings settings = { 0 };
    char spec[160];
    snprintf(spec, sizeof spec, "avro:%s", path);
    nj_settings_set(&settings, "sink.avro", "codec", "deflate", "test");
    s = nj_sink_open(spec, &(nj_sink_args){ .mode = NJ_SINK_APPEND, .settings = &settings }, &err);
    nj_settings_free(&settings);
    assert_int_equal(s->class->begin(s, &f, 1, NULL, &err), -1);
    assert_non_null(strstr(err.text, "its codec is null, not deflate"));
    s->class->close(s, &err);
}

static void a_full_disk_and_a_locked_folder_are_errors(void **state)
{
    (void)state;
    must_refuse("avro:/dev/full", NJ_SINK_CREATE, "/dev/full: is a device", NULL);
    full_disk_and_locked_folder("avro", "full.avro", &rows4, 16 << 10);
}

static void cost_of_a_row(void **state)
{
    (void)state;
    nj_error err;
    nj_sink *s = must_open("avro", in_folder("speed.avro"), NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, field, FIELDS, NULL, &err), 0);
    int64_t start = nj_now_ns();
    for (int i = 0; i < 5000; i++) assert_int_equal(s->class->write(s, &rows4, &err), 0);
    assert_int_equal(s->class->flush(s, &err), 0);
    printf("# avro: %.0f ns per row of %d columns\n", (double)(nj_now_ns() - start) / 20000, FIELDS);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(check_file(in_folder("speed.avro")), 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_with_every_codec),
        cmocka_unit_test(the_header_has_the_provenance_and_the_keys),
        cmocka_unit_test(a_flush_leaves_a_valid_file),
        cmocka_unit_test(an_existing_file_is_refused_replaced_or_continued),
        cmocka_unit_test(columns_that_collide_are_refused),
        cmocka_unit_test(a_row_may_be_larger_than_a_block),
        cmocka_unit_test(a_full_disk_and_a_locked_folder_are_errors),
        cmocka_unit_test(cost_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
