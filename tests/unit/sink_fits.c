/* sink_fits.c - the fits sink, read back by cfitsio. */
/* link: -Wl,--wrap=ftruncate */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fitsio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "broker/base/clock.h"
#include "sink_rows.h"

static fitsfile *open_table(const char *path)
{
    fitsfile *f;
    int status = 0;
    if (fits_open_diskfile(&f, path, READONLY, &status) ||
        fits_movnam_hdu(f, BINARY_TBL, "ALERTS", 0, &status)) {
        char text[FLEN_STATUS];
        fits_get_errstatus(status, text);
        fail_msg("%s: %s", path, text);
    }
    return f;
}

static int column_of(fitsfile *f, const char *name)
{
    int number = 0, status = 0;
    if (fits_get_colnum(f, CASEINSEN, (char *)name, &number, &status)) fail_msg("no column %s", name);
    return number;
}

static void expect_double(fitsfile *f, const char *name, int row, int element, double expected)
{
    double got = 0;
    int status = 0;
    fits_read_col(f, TDOUBLE, column_of(f, name), row, element, 1, NULL, &got, NULL, &status);
    assert_int_equal(status, 0);
    if (!isnan(expected))
        assert_true(got == expected);
    else
        assert_true(isnan(got));
}

static void expect_int(fitsfile *f, const char *name, int row, bool is_null, LONGLONG expected)
{
    LONGLONG got = 0;
    char null = 0;
    int status = 0, any;
    fits_read_colnull(f, TLONGLONG, column_of(f, name), row, 1, 1, &got, &null, &any, &status);
    assert_int_equal(status, 0);
    assert_int_equal(null, is_null);
    if (!is_null) assert_true(got == expected);
}

static void expect_text(fitsfile *f, const char *name, int row, const char *expected)
{
    char text[256], *at = text;
    int status = 0;
    fits_read_col(f, TSTRING, column_of(f, name), row, 1, 1, NULL, &at, NULL, &status);
    assert_int_equal(status, 0);
    assert_string_equal(text, expected);
}

/* Number of rows; each is checked against rows4 in turn. */
static int check_file(const char *path)
{
    fitsfile *f = open_table(path);
    static const char *const text[5] = { "ZTF21abcdefg", "a\"b\\c???", "", "", "" };
    long n = 0, length, offset;
    int status = 0;
    fits_get_num_rows(f, &n, &status);
    for (int i = 1; i <= n; i++) {
        uint32_t r = row_list[(i - 1) % 4];
        expect_int(f, "candid", i, candid[r] == NJ_NO_I64, candid[r]);
        expect_text(f, "object", i, text[r]);
        expect_double(f, "jd", i, 1, jd[r]);
        expect_double(f, "ra", i, 1, ra[r]);
        expect_double(f, "dec", i, 1, dec[r]);
        expect_double(f, "rb", i, 1, (double)rb[r]);
        expect_double(f, "hostless_ks_template", i, 1, jd[r]);
        expect_int(f, "positive", i, positive[r] == NJ_NO_U8, positive[r]);
        expect_int(f, "ndethist", i, ndet[r] == NJ_NO_I32, ndet[r]);
        expect_int(f, "roid_roid", i, ndet[r] == NJ_NO_I32, ndet[r]);
        expect_text(f, "roid_reason", i, roid_reason[r] < NJ_REASONS ? nj_reason_name[roid_reason[r]] : "");
        for (int k = 0; k < 3; k++) expect_double(f, "fit_rate", i, k + 1, rate[3 * r + (uint32_t)k]);
        fits_read_descript(f, column_of(f, "fit_points"), i, &length, &offset, &status);
        assert_int_equal(length, points_off[r + 1] - points_off[r]);
        for (int k = 0; k < length; k++)
            expect_double(f, "fit_points", i, k + 1, (double)points[points_off[r] + (uint32_t)k]);
        expect_double(f, "packet_candidate_sgscore1", i, 1, NAN);
    }
    fits_close_file(f, &status);
    assert_int_equal(status, 0);
    return (int)n;
}

static void read_text_key(fitsfile *f, const char *key, char *out, size_t size)
{
    char *text;
    int status = 0;
    if (fits_read_key_longstr(f, key, &text, NULL, &status)) fail_msg("no key %s", key);
    snprintf(out, size, "%s", text);
    fits_free_memory(text, &status);
}

static void rows_and_header_come_back(void **state)
{
    (void)state;
    const char *path = in_folder("a.fits");
    must_write(must_open("fits", path, NJ_SINK_CREATE), 3);
    assert_int_equal(check_file(path), 12);
    assert_int_equal(size_of(path) % 2880, 0);
    fitsfile *f = open_table(path);
    char key[16], text[128];
    int status = 0;
    snprintf(key, sizeof key, "TUNIT%d", column_of(f, "fit_rate"));
    read_text_key(f, key, text, sizeof text);
    assert_string_equal(text, "mag/d");
    snprintf(key, sizeof key, "TKEY%d", column_of(f, "packet_candidate_sgscore1"));
    read_text_key(f, key, text, sizeof text);
    assert_string_equal(text, "packet.candidate.sgscore1");
    snprintf(key, sizeof key, "TCOMM%d", column_of(f, "roid_roid"));
    read_text_key(f, key, text, sizeof text);
    assert_string_equal(text, "asteroid class");
    fits_movabs_hdu(f, 1, NULL, &status);
    static const char *const expected[] = { "NJKEY1", "run",         "NJVAL1", "1",
                                            "NJKEY3", "module.roid", "NJVAL3", "1.0 \"quoted\"" };
    for (int i = 0; i < 8; i += 2) {
        read_text_key(f, expected[i], text, sizeof text);
        assert_string_equal(text, expected[i + 1]);
    }
    fits_close_file(f, &status);
}

static void long_provenance_is_kept(void **state)
{
    (void)state;
    char value[400], text[400];
    memset(value, 'f', sizeof value - 1);
    value[sizeof value - 1] = 0;
    const nj_metadata long_one[] = { { "catalogue.gaia.sha256", value }, { NULL, NULL } };
    const char *path = in_folder("long.fits");
    nj_error err = { "" };
    nj_sink *s = must_open("fits", path, NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, field, FIELDS, long_one, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(check_file(path), 0); /* a run without rows leaves a valid file */
    fitsfile *f = open_table(path);
    int status = 0;
    fits_movabs_hdu(f, 1, NULL, &status);
    read_text_key(f, "NJVAL2", text, sizeof text);
    assert_string_equal(text, value);
    fits_close_file(f, &status);
}

static void a_flush_leaves_a_valid_file(void **state)
{
    (void)state;
    const char *path = in_folder("live.fits"), *copy = in_folder("copy.fits");
    char command[300];
    nj_error err = { "" };
    nj_sink *s = must_open("fits", path, NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), 0);
    snprintf(command, sizeof command, "cp %s %s", path, copy);
    for (int i = 0; i <= 40; i++) {
        if (i % 10 == 0) { /* a copy, because cfitsio would hand out its own open file again */
            assert_int_equal(system(command), 0);
            assert_int_equal(check_file(copy), 4 * i);
        }
        assert_int_equal(s->class->write(s, &rows4, &err), 0);
        assert_int_equal(s->class->flush(s, &err), 0);
    }
    assert_int_equal(s->class->close(s, &err), 0);
}

static void an_existing_file_is_refused_replaced_or_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("b.fits");
    snprintf(spec, sizeof spec, "fits:%s", path);
    must_write(must_open("fits", path, NJ_SINK_CREATE), 1);
    must_refuse(spec, NJ_SINK_CREATE, "--overwrite", "--append");
    must_write(must_open("fits", path, NJ_SINK_APPEND), 2);
    assert_int_equal(check_file(path), 12);
    must_write(must_open("fits", path, NJ_SINK_OVERWRITE), 1);
    assert_int_equal(check_file(path), 4);
    nj_error err = { "" };
    nj_sink *s = must_open("fits", path, NJ_SINK_APPEND);
    assert_int_equal(s->class->begin(s, field, FIELDS - 1, metadata, &err), -1);
    assert_non_null(strstr(err.text, "has 15 columns, this run writes 14"));
    s->class->close(s, &err);
    s = must_open("fits", path, NJ_SINK_APPEND);
    assert_int_equal(s->class->begin(s, field + 1, FIELDS - 1, metadata, &err), -1);
    assert_non_null(strstr(err.text, "has the column candid (1K) where this run writes object (64A)"));
    s->class->close(s, &err);
    FILE *f = fopen(in_folder("novel.fits"), "w");
    for (int i = 0; i < 200; i++) fputs("It was a dark and stormy night. ", f);
    fclose(f);
    must_fail(must_open("fits", in_folder("novel.fits"), NJ_SINK_APPEND), "novel.fits: cannot be opened");
    assert_int_equal(size_of(in_folder("novel.fits")), 6400);
}

/* No series here: the file is then header and rows only, and every torn length can be mended. */
static nj_field plain[FIELDS];
static nj_col plain_column[FIELDS];
static nj_rows plain_rows(void)
{
    uint32_t n = 0;
    for (uint32_t f = 0; f < FIELDS; f++)
        if (f != POINTS) plain[n] = field[f], plain_column[n++] = column[f];
    return (nj_rows){ plain, n, plain_column, row_list, 4, NULL, NULL };
}
static long count_rows(const char *path)
{
    long n = 0;
    int status = 0;
    fitsfile *f = open_table(path);
    fits_get_num_rows(f, &n, &status);
    for (int i = 1; i <= n; i++)
        expect_int(f, "ndethist", i, ndet[row_list[(i - 1) % 4]] == NJ_NO_I32, ndet[row_list[(i - 1) % 4]]);
    fits_close_file(f, &status);
    return n;
}
static void write_plain(nj_sink *s, int times)
{
    nj_rows rows = plain_rows();
    nj_error err = { "" };
    if (s->class->begin(s, rows.field, rows.n_fields, metadata, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < times; i++) {
        assert_int_equal(s->class->write(s, &rows, &err), 0);
        assert_int_equal(s->class->flush(s, &err), 0);
    }
    if (s->class->close(s, &err)) fail_msg("%s", err.text);
}

static void a_torn_end_is_mended(void **state)
{
    (void)state;
    const char *path = in_folder("torn.fits");
    write_plain(must_open("fits", path, NJ_SINK_CREATE), 100);
    off_t whole = size_of(path);
    fitsfile *f = open_table(path);
    LONGLONG start = 0, row_size = 0;
    int status = 0;
    fits_get_hduaddrll(f, NULL, &start, NULL, &status);
    fits_read_key(f, TLONGLONG, "NAXIS1", &row_size, NULL, &status);
    fits_close_file(f, &status);
    for (off_t cut = whole - 1; cut > start;
         cut -= 3011) { /* shorter than the header says: whole rows of fours stay comparable */
        write_plain(must_open("fits", path, NJ_SINK_OVERWRITE), 100);
        assert_int_equal(truncate(path, cut), 0);
        write_plain(must_open("fits", path, NJ_SINK_APPEND), 0);
        long left = (long)((cut - start) / row_size);
        assert_int_equal(count_rows(path), left > 400 ? 400 : left);
        assert_int_equal(size_of(path) % 2880, 0);
    }
    write_plain(must_open("fits", path, NJ_SINK_OVERWRITE), 2); /* longer than the header says */
    FILE *tail = fopen(path, "a");
    for (int i = 0; i < 5000; i++) fputc(i, tail);
    fclose(tail);
    write_plain(must_open("fits", path, NJ_SINK_APPEND), 1);
    assert_int_equal(count_rows(path), 12);
    assert_int_equal(size_of(path) % 2880, 0);
}

static void a_killed_run_keeps_what_was_flushed(void **state)
{
    (void)state;
    const char *path = in_folder("killed.fits");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        nj_error err;
        nj_rows rows = plain_rows();
        nj_sink *s = must_open("fits", path, NJ_SINK_CREATE);
        s->class->begin(s, rows.field, rows.n_fields, metadata, &err);
        for (int i = 0; i < 3; i++) s->class->write(s, &rows, &err);
        s->class->flush(s, &err);
        for (int i = 0; i < 20000; i++)
            s->class->write(s, &rows, &err); /* some reach the file,
                                              * some do not */
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_true(size_of(path) > 1 << 20);
    write_plain(must_open("fits", path, NJ_SINK_APPEND), 1);
    assert_int_equal(count_rows(path), 16);
}

static off_t shortest; /* that a file was cut to */
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size)
{
    if (size < shortest) shortest = size;
    return __real_ftruncate(fd, size);
}

/* A run that is killed while it goes back to a commit must find the commit's bytes at the next start. */
static void on_the_way_back_to_a_commit_the_file_is_never_shorter(void **state)
{
    (void)state;
    const char *path = in_folder("back.fits");
    write_plain(must_open("fits", path, NJ_SINK_CREATE), 3);
    nj_mark mark = { .kind = NJ_MARK_THERE, .bytes = size_of(path), .rows = 12 };
    write_plain(must_open("fits", path, NJ_SINK_APPEND), 500);
    char spec[256];
    nj_error err = { "" };
    nj_settings settings = { 0 };
    snprintf(spec, sizeof spec, "fits:%s", path);
    shortest = 1 << 30;
    nj_sink *s = nj_sink_open(
        spec, &(nj_sink_args){ .mode = NJ_SINK_APPEND, .settings = &settings, .mark = &mark }, &err);
    if (!s) fail_msg("%s", err.text);
    write_plain(s, 0);
    assert_true(shortest >= mark.bytes);
    assert_int_equal(count_rows(path), 12);
    assert_int_equal(size_of(path), mark.bytes);
}

static void texts_are_cut_and_names_stay_apart(void **state)
{
    (void)state;
    static const char *const text[2] = { "0123456789", NULL };
    static const nj_field two[4] = { { "a.b_c", "a", NJ_STR, 1, NULL, NULL, NULL },
                                     { "a_b.c", "a_b", NJ_STR, 1, NULL, NULL, NULL },
                                     { "A.B_C", NULL, NJ_STR, 2, NULL, NULL, NULL },
                                     { "packet.x[].y", NULL, NJ_I32, 0, NULL, NULL, NULL } };
    const nj_col col[4] = { { text, NULL }, { text, NULL }, { text, NULL }, { NULL, NULL } };
    static const uint32_t list[1] = { 0 };
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char spec[160];
    snprintf(spec, sizeof spec, "fits:%s", in_folder("text.fits"));
    nj_settings_set(&settings, "sink.fits", "text_width", "8", "test");
    nj_sink *s = nj_sink_open(spec, &(nj_sink_args){ .mode = NJ_SINK_CREATE, .settings = &settings }, &err);
    nj_settings_free(&settings);
    assert_int_equal(s->class->begin(s, two, 4, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &(nj_rows){ two, 4, col, list, 1, NULL, NULL }, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    fitsfile *f = open_table(in_folder("text.fits"));
    expect_text(f, "a_b_c", 1, "01234567");
    expect_text(f, "a_b_c_2", 1, "01234567");
    expect_text(f, "A_B_C_3", 1, "01234567");
    assert_int_equal(column_of(f, "packet_x_y"), 4);
    int status = 0;
    fits_close_file(f, &status);
}

static void a_full_disk_and_a_locked_folder_are_errors(void **state)
{
    (void)state;
    must_refuse("fits:/dev/full", NJ_SINK_CREATE, "/dev/full: is a device", NULL);
    must_refuse("fits:/tmp/x.fits.gz", NJ_SINK_CREATE, "no compressed files", NULL);
    const nj_rows rows = plain_rows();
    full_disk_and_locked_folder("fits", "full.fits", &rows, 200 << 10);
}

static void cost_of_a_row(void **state)
{
    (void)state;
    nj_error err;
    nj_rows rows = plain_rows();
    nj_sink *s = must_open("fits", in_folder("speed.fits"), NJ_SINK_CREATE);
    assert_int_equal(s->class->begin(s, rows.field, rows.n_fields, NULL, &err), 0);
    int64_t start = nj_now_ns();
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(s->class->write(s, &rows, &err), 0);
        if (i % 500 == 499) assert_int_equal(s->class->flush(s, &err), 0);
    }
    printf("# fits: %.0f ns per row of %u columns, a flush every 2000 rows included\n",
           (double)(nj_now_ns() - start) / 20000, rows.n_fields);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(count_rows(in_folder("speed.fits")), 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_header_come_back),
        cmocka_unit_test(long_provenance_is_kept),
        cmocka_unit_test(a_flush_leaves_a_valid_file),
        cmocka_unit_test(an_existing_file_is_refused_replaced_or_continued),
        cmocka_unit_test(a_torn_end_is_mended),
        cmocka_unit_test(a_killed_run_keeps_what_was_flushed),
        cmocka_unit_test(on_the_way_back_to_a_commit_the_file_is_never_shorter),
        cmocka_unit_test(texts_are_cut_and_names_stay_apart),
        cmocka_unit_test(a_full_disk_and_a_locked_folder_are_errors),
        cmocka_unit_test(cost_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
