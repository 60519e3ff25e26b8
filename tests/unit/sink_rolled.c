/* sink_rolled.c - names with places, where nights begin and end, and what a resumed run finds after
 * one that died at any step of finishing a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>

#include "broker/base/file.h"
#include "broker/sink/rolled_name.h"
#include "sink_rows.h"

static nj_rolled_name parse(const char *target)
{
    nj_rolled_name name;
    nj_error err = { "" };
    if (nj_rolled_parse(&name, "ndjson", ".ndjson", target, &err)) fail_msg("%s: %s", target, err.text);
    return name;
}

static void refuse(const char *target, const char *says)
{
    nj_rolled_name name;
    nj_error err = { "" };
    if (!nj_rolled_parse(&name, "ndjson", ".ndjson", target, &err)) fail_msg("%s is taken", target);
    if (!strstr(err.text, says)) fail_msg("%s: %s", target, err.text);
}

/* The file of an alert of that time. */
static void expect(const char *target, double longitude, double jd_, uint32_t number, const char *file)
{
    nj_rolled_name name = parse(target);
    name.longitude = longitude;
    nj_rolled_key key = nj_rolled_key_of(&name, jd_);
    char *text = nj_rolled_file(&name, &key, number);
    assert_string_equal(text, file);
    free(text);
    nj_rolled_name_free(&name);
}

static void which_names_are_of_several_files(void **state)
{
    (void)state;
    assert_false(nj_rolled_is("out.ndjson"));
    assert_false(nj_rolled_is("what?.ndjson"));
    assert_false(nj_rolled_is("a?b=c/out.ndjson"));
    assert_true(nj_rolled_is("out-{night}.ndjson"));
    assert_true(nj_rolled_is("out}.ndjson"));
    assert_true(nj_rolled_is("out.ndjson?rotate=1h"));
}

static void places_are_filled_in(void **state)
{
    (void)state;
    const double noon = 2460385.0, midnight = 2460385.5; /* 2024-03-15 12:00 UTC, 2024-03-16 00:00 */
    expect("a/out-{date}.x", 0, noon, 1, "a/out-20240315.x");
    expect("{date}T{hour}.ndjson.zst", 0, midnight, 1, "20240316T00.ndjson.zst");
    expect("{date}T{hour}", 0, midnight - 1e-6, 1, "20240315T23");
    expect("{date}-{n}", 0, noon, 12, "20240315-0012");
    expect("{date}-{n}", 0, noon, 12345, "20240315-12345");
    expect("a.b/{date}.ndjson.gz", 0, noon, 2, "a.b/20240315-2.ndjson.gz");
    expect("a.b/{date}", 0, noon, 3, "a.b/20240315-3");
    expect("x.{date}.ndjson", 0, noon, 3, "x.20240315-3.ndjson");
    expect("{date}", 0, 2451603.5, 1, "20000229");
    expect("{date}", 0, 2440587.5, 1, "19700101");
    expect("{date}", 0, 2440587.5 - 1e-6, 1, "19691231");
    expect("{date}-{night}", 0, NAN, 1, "unknown-unknown");
    expect("{date}T{hour}", 0, -1, 1, "unknownTunknown");
    expect("{date}", 0, 1e9, 1, "unknown");
}

/* What the name of an output is spelled out to, and what its journal is called after. */
static void expect_tree(const char *target, const char *text, const char *stem, bool folders)
{
    nj_rolled_name name = parse(target);
    assert_string_equal(name.text, text);
    assert_string_equal(name.stem, stem);
    assert_true(name.folders == folders);
    nj_rolled_name_free(&name);
}

static void folders_have_places(void **state)
{
    (void)state;
    expect_tree("a/b/", "a/b/night={night}/part-{n}.ndjson", "a/b/.night={night}+part-{n}.ndjson", true);
    expect_tree("a/?by=survey,date|topic&rotate=1h",
                "a/survey={survey}/date={date}/topic={topic}/part-{n}.ndjson",
                "a/.survey={survey}+date={date}+topic={topic}+part-{n}.ndjson", true);
    expect_tree("a/?rotate=1h&by=schema", "a/schema={schema}/part-{n}.ndjson",
                "a/.schema={schema}+part-{n}.ndjson", true);
    expect_tree("{night}/b/x", "{night}/b/x", ".{night}+b+x", true);
    expect_tree("a/x-{night}", "a/x-{night}", "a/x-{night}", false);
    const double noon = 2460385.0; /* 2024-03-15 12:00 UTC */
    expect("a/{date}/b.c/x.ndjson", 0, noon, 2, "a/20240315/b.c/x-2.ndjson");
    expect("a/{date}/b.c/x", 0, noon, 2, "a/20240315/b.c/x-2");
    bool tree;
    assert_true(nj_rolled_root("a/b/c.ndjson", &tree) == 4);
    assert_false(tree);
    assert_true(nj_rolled_root("c-{night}.ndjson", &tree) == 0);
    assert_false(tree);
    assert_true(nj_rolled_root("a/b{night}/c.ndjson", &tree) == 2);
    assert_true(tree);
    assert_true(nj_rolled_root("a/b/?by=night", &tree) == 4);
    assert_true(tree);
    assert_true(nj_rolled_root("{survey}/c", &tree) == 0);
    assert_true(tree);
}

static void a_folder_says_what_a_column_has(void **state)
{
    (void)state;
    nj_rolled_name name = parse("a/survey={survey}/x");
    assert_true(nj_rolled_says(&name, "survey"));
    assert_false(nj_rolled_says(&name, "night"));
    nj_rolled_name_free(&name);
    static const char *const other[] = { "a/my-survey={survey}/x", "{survey}/x", "survey={survey}-{n}",
                                         "survey={survey}-a/x" };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        name = parse(other[i]);
        if (nj_rolled_says(&name, "survey")) fail_msg("%s", other[i]);
        nj_rolled_name_free(&name);
    }
}

/* From local mean noon to local mean noon; the name is the date of the first of them. */
static void nights_begin_at_noon(void **state)
{
    (void)state;
    const double noon = 2460385.0; /* 2024-03-15 12:00 UTC */
    expect("{night}", 0, noon, 1, "20240315");
    expect("{night}", 0, noon - 1e-6, 1, "20240314");
    expect("{night}", 0, noon + 1 - 1e-6, 1, "20240315");
    expect("{night}", -90, noon + 0.25, 1, "20240315"); /* 6 hours west: noon is at 18:00 UTC */
    expect("{night}", -90, noon + 0.25 - 1e-6, 1, "20240314");
    expect("{night}", 90, noon - 0.25, 1, "20240315");
    expect("{night}", 90, noon - 0.25 - 1e-6, 1, "20240314");
    expect("{night}", 180, noon - 0.5, 1, "20240315");
    expect("{night}", -180, noon + 0.5, 1, "20240315");
}

static void periods_end(void **state)
{
    (void)state;
    const double noon = 2460385.0, s = (noon - 2440587.5) * 86400;
    nj_rolled_name name = parse("{night}");
    name.longitude = -90;
    assert_float_equal(nj_rolled_end(&name, noon), s + 6 * 3600, 1e-3);
    assert_float_equal(nj_rolled_end(&name, noon + 0.25), s + 30 * 3600, 1e-3);
    assert_true(isinf(nj_rolled_end(&name, NAN)));
    nj_rolled_name_free(&name);
    name = parse("{date}T{hour}");
    assert_float_equal(nj_rolled_end(&name, noon + 0.01), s + 3600, 1e-3);
    nj_rolled_name_free(&name);
    name = parse("{date}");
    assert_float_equal(nj_rolled_end(&name, noon), s + 12 * 3600, 1e-3);
    nj_rolled_name_free(&name);
    name = parse("{n}");
    assert_true(isinf(nj_rolled_end(&name, noon)));
    nj_rolled_name_free(&name);
}

static void options_are_read(void **state)
{
    (void)state;
    nj_rolled_name name = parse("{night}-{n}?rotate=night,1GB|90m&late=30s");
    assert_string_equal(name.text, "{night}-{n}");
    assert_true(name.max_bytes == 1000000000);
    assert_true(name.max_s == 5400);
    assert_true(name.late_s == 30);
    nj_rolled_name_free(&name);
    name = parse("{n}?rotate=1GiB");
    assert_true(name.max_bytes == 1 << 30);
    assert_true(name.late_s == 600);
    nj_rolled_name_free(&name);
    refuse("{n}?rotate=", "none of");
    refuse("{n}?rotate=1", "none of");
    refuse("{n}?rotate=-1h", "none of");
    refuse("{n}?rotate=nan", "none of");
    refuse("{n}?rotate=0s", "a second at least");
    refuse("{n}?rotate=9999TB", "1000 TB at most");
    refuse("{n}?rotate=date", "wants {date}");
    refuse("{date}?rotate=1h", "{n}");
    refuse("{n}?lat=1h", "did you mean 'late'");
    refuse("{n}?late=1GB", "is no time");
    refuse("{n}?size=1", "there are rotate=, late= and by=");
}

static void wrong_places_are_refused(void **state)
{
    (void)state;
    refuse("out-{nights}.x", "did you mean {night}");
    refuse("out-{topics}.x", "did you mean {topic}");
    refuse("out-{somebody}.x", "there are {night}, {date}, {hour}, {survey}, {topic}, {schema} and {n}");
    refuse("out-{night", "without its other half");
    refuse("out-{ni{ght}", "without its other half");
    refuse("out-{{night}}", "without its other half");
    refuse("{n}/x", "the number of a file");
    refuse("{night}/a{n}/x", "the number of a file");
    refuse("{hour}", "the same on every day");
    refuse("/dev/fd/{n}", "only files");
    refuse("a.ndjson?by=night", "DIR/?by=night");
    refuse("a/?by=nights", "did you mean 'night'");
    refuse("a/?by=night,", "there are night, date, hour, survey, topic and schema");
    refuse("a/?by=hour", "the same on every day");
}

static void sites(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double longitude;
    } good[] = { { "palomar", -116.8597 },   { "ZTF", -116.8597 },
                 { "rubin", -70.7494 },      { "utc", 0 },
                 { "UTC-7", -105 },          { "utc+5:30", 82.5 },
                 { "-70.5", -70.5 },         { "243.1,33.4,1712", -116.9 },
                 { "149.07,-31.27", 149.07 } };
    static const char *const bad[] = { "palomer", "",      "UTC+",    "UTC+25", "UTC-7:99", "UTC-7x",
                                       "400",     "1,100", "1,2,3,4", "1,",     "nan",      "1 2" };
    double longitude;
    nj_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(nj_site_parse(good[i].text, &longitude, &err), 0);
        assert_float_equal(longitude, good[i].longitude, 1e-9);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nj_site_parse(bad[i], &longitude, &err), -1);
    assert_int_equal(nj_site_parse("palomer", &longitude, &err), -1);
    assert_non_null(strstr(err.text, "did you mean 'palomar'"));
}

/* ---- a resumed run --------------------------------------------------------------------------- */

static const nj_journal_of of = { "run-1", "column candid\n", false, NULL };

/* The journal that a run left: one file of so many rows. */
static void leave(const char *path, const char *files, int64_t rows)
{
    nj_error err = { "" };
    const nj_mark mark = { .rows = rows, .commit = 3, .state = (char *)"{}", .files = (char *)files };
    nj_journal *j = nj_journal_begin(path, &of, &mark, &err);
    assert_non_null(j);
    nj_journal_end(j);
}

static nj_sink *go_on(const char *spec, const nj_mark *mark, nj_error *err)
{
    static nj_settings none;
    const nj_sink_args args = { .mode = NJ_SINK_CREATE,
                                .settings = &none,
                                .run = "run-1",
                                .configuration = "column candid\n",
                                .mark = mark,
                                .known = true };
    return nj_sink_open(spec, &args, err);
}

static void close_it(nj_sink *sink)
{
    nj_error err = { "" };
    assert_non_null(sink);
    assert_int_equal(sink->class->close(sink, &err), 0);
}

static bool there(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

static void a_file_is_finished_once(void **state)
{
    (void)state;
    const char *pattern = in_folder("one-{date}.ndjson");
    char spec[256];
    nj_error err = { "" };
    nj_mark mark;
    snprintf(spec, sizeof spec, "ndjson:%s", pattern);
    const char *files = "[{\"file\":\"\",\"number\":1,\"night\":0,\"date\":0,\"hour\":0,\"topic\":\"\","
                        "\"bytes\":3,\"rows\":1,\"finished\":true}]";
    leave(in_folder("one-{date}.ndjson"), files, 1);
    assert_int_equal(nj_file_write(in_folder("one-19700101.ndjson.part"), "{}\n", 3), 0);
    assert_int_equal(nj_file_write(in_folder("one-19700101.ndjson.part.meta.json"), "{}\n", 3), 0);
    for (int again = 0; again < 2; again++) { /* the second one finds all of it done */
        assert_int_equal(nj_sink_look(spec, &mark, &err), 0);
        assert_int_equal(mark.kind, NJ_MARK_THERE);
        close_it(go_on(spec, &mark, &err));
        nj_mark_free(&mark);
        assert_true(there("one-19700101.ndjson"));
        assert_true(there("one-19700101.ndjson.journal"));
        assert_true(there("one-19700101.ndjson.meta.json"));
        assert_false(there("one-19700101.ndjson.part"));
        leave(in_folder("one-{date}.ndjson"), files, 1);
    }
}

static void what_somebody_put_there_stays(void **state)
{
    (void)state;
    char spec[256];
    nj_error err = { "" };
    nj_mark mark;
    snprintf(spec, sizeof spec, "ndjson:%s", in_folder("four-{date}.ndjson"));
    leave(in_folder("four-{date}.ndjson"),
          "[{\"number\":1,\"date\":0,\"topic\":\"\",\"bytes\":3,\"rows\":1,\"finished\":true}]", 1);
    assert_int_equal(nj_file_write(in_folder("four-19700101.ndjson.part"), "{}\n", 3), 0);
    assert_int_equal(nj_file_write(in_folder("four-19700101.ndjson"), "theirs\n", 7), 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(nj_sink_look(spec, &mark, &err), 0);
        close_it(go_on(spec, &mark, &err));
        nj_mark_free(&mark);
        assert_int_equal(size_of(in_folder("four-19700101.ndjson")), 7);
        assert_int_equal(size_of(in_folder("four-19700101-2.ndjson")), 3);
        assert_true(there("four-19700101-2.ndjson.journal"));
        assert_false(there("four-19700101-3.ndjson"));
        leave(in_folder("four-{date}.ndjson"),
              "[{\"number\":1,\"date\":0,\"topic\":\"\",\"bytes\":3,\"rows\":1,\"finished\":true}]", 1);
    }
}

static void what_was_not_committed_goes(void **state)
{
    (void)state;
    char spec[256];
    nj_error err = { "" };
    nj_mark mark;
    snprintf(spec, sizeof spec, "ndjson:%s", in_folder("two-{date}.ndjson"));
    leave(in_folder("two-{date}.ndjson"),
          "[{\"number\":1,\"date\":0,\"topic\":\"\",\"bytes\":0,\"rows\":0},"
          "{\"number\":1,\"date\":1,\"topic\":\"\",\"bytes\":3,\"rows\":1}]",
          1);
    assert_int_equal(nj_file_write(in_folder("two-19700101.ndjson.part"), "{}\n{", 4), 0);
    assert_int_equal(nj_file_write(in_folder("two-19700102.ndjson.part"), "{}\n{}\n{", 7), 0);
    assert_int_equal(nj_sink_look(spec, &mark, &err), 0);
    nj_sink *sink = go_on(spec, &mark, &err);
    assert_non_null(sink);
    assert_false(there("two-19700101.ndjson.part"));
    assert_int_equal(sink->class->begin(sink, field, FIELDS, metadata, &err), 0);
    assert_int_equal(size_of(in_folder("two-19700102.ndjson.part")), 3);
    close_it(sink);
    nj_mark_free(&mark);
}

static void what_is_gone_is_refused(void **state)
{
    (void)state;
    char spec[256];
    nj_error err = { "" };
    nj_mark mark;
    snprintf(spec, sizeof spec, "ndjson:%s", in_folder("three-{date}.ndjson"));
    leave(in_folder("three-{date}.ndjson"),
          "[{\"number\":1,\"date\":1,\"topic\":\"\",\"bytes\":3,\"rows\":1}]", 1);
    assert_int_equal(nj_sink_look(spec, &mark, &err), 0);
    assert_null(go_on(spec, &mark, &err));
    assert_non_null(strstr(err.text, "three-19700102.ndjson.part: is gone"));
    assert_int_equal(nj_file_write(in_folder("three-19700102.ndjson.part"), "{}", 2), 0);
    assert_null(go_on(spec, &mark, &err));
    assert_non_null(strstr(err.text, "three-19700102.ndjson.part: has 2 bytes"));
    nj_mark_free(&mark);
    leave(in_folder("three-{date}.ndjson"), NULL, 1);
    assert_int_equal(nj_sink_look(spec, &mark, &err), 0);
    assert_null(go_on(spec, &mark, &err));
    assert_non_null(strstr(err.text, "is no journal of an output of several files"));
    nj_mark_free(&mark);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static uint32_t count_files(const char *ending)
{
    char command[256], text[32] = "";
    snprintf(command, sizeof command, "ls %s | grep -c 'many-.*%s$'", folder, ending);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    pclose(f);
    return (uint32_t)atoi(text);
}

static uint32_t count_descriptors(void)
{
    uint32_t n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Alerts of more dates than are open at once, or unfinished (MOST_PARTS): the rest is finished. */
static void dates_without_end(void **state)
{
    (void)state;
    enum { DATES = 1200 };
    static nj_settings none;
    static double times[5];
    char spec[256];
    nj_error err = { "" };
    nj_col col[FIELDS];
    nj_rows rows = rows4;
    memcpy(col, column, sizeof col);
    col[JD].data = times;
    rows.value = col;
    snprintf(spec, sizeof spec, "ndjson:%s", in_folder("many-{date}.ndjson"));
    nj_sink *sink = nj_sink_open(
        spec, &(nj_sink_args){ .settings = &none, .run = "r", .configuration = "", .open_files = 8 }, &err);
    if (!sink) fail_msg("%s", err.text);
    assert_int_equal(sink->class->begin(sink, field, FIELDS, metadata, &err), 0);
    uint32_t before = count_descriptors(), most = 0;
    for (int i = 0; i < DATES; i += 4) {
        for (int k = 0; k < 4; k++) times[row_list[k]] = 2460000.5 + i + k;
        if (sink->class->write(sink, &rows, &err)) fail_msg("%s", err.text);
        if (i % 100 == 0) assert_int_equal(sink->class->flush(sink, &err), 0);
        if (i % 100 == 0) assert_int_equal(sink->class->commit(sink, &(nj_keep){ .commit = 1 }, &err), 0);
        uint32_t now = count_descriptors() - before;
        most = now > most ? now : most;
    }
    assert_in_range(most, 1, 8);
    assert_in_range(count_files(".part"), 1, 1100);
    assert_int_equal(sink->class->flush(sink, &err), 0);
    assert_int_equal(sink->class->commit(sink, &(nj_keep){ .commit = 2, .complete = true }, &err), 0);
    assert_int_equal(sink->class->close(sink, &err), 0);
    assert_int_equal(count_files(".ndjson"), DATES);
    assert_int_equal(count_files(".part"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_names_are_of_several_files),
        cmocka_unit_test(places_are_filled_in),
        cmocka_unit_test(folders_have_places),
        cmocka_unit_test(a_folder_says_what_a_column_has),
        cmocka_unit_test(nights_begin_at_noon),
        cmocka_unit_test(periods_end),
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(wrong_places_are_refused),
        cmocka_unit_test(sites),
        cmocka_unit_test(a_file_is_finished_once),
        cmocka_unit_test(what_somebody_put_there_stays),
        cmocka_unit_test(what_was_not_committed_goes),
        cmocka_unit_test(what_is_gone_is_refused),
        cmocka_unit_test(dates_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
