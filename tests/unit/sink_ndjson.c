/* sink_ndjson.c - the ndjson and null sinks, and what all specs have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>

#include "broker/base/buffer.h"
#include "broker/base/clock.h"
#include "sink_rows.h"

static void specs_are_checked(void **state)
{
    (void)state;
    must_refuse("out.ndjson", NJ_SINK_CREATE, "-o ndjson:out.ndjson", NULL);
    must_refuse("nowhere", NJ_SINK_CREATE, "ndjson, ", NULL);
    must_refuse("ndjsn:x", NJ_SINK_CREATE, "did you mean 'ndjson'", NULL);
    must_refuse("null:x", NJ_SINK_CREATE, "no target", NULL);
    must_refuse("ndjson:", NJ_SINK_CREATE, "needs a name", NULL);
    must_refuse("ndjson:/tmp", NJ_SINK_CREATE, "is a folder", NULL);
    must_refuse("ndjson:/nowhere/x.ndjson", NJ_SINK_CREATE,
                "/nowhere/x.ndjson: cannot be written: No such file", NULL);
    must_write(must_open("null", "", NJ_SINK_CREATE), 2);
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    static char text[1 << 16];
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

/* The expected text stands here in full: keys, order, digits, nulls and escapes are the public interface. */
static const char first[] =
    "{\"candid\":2481168780615015008,\"object\":\"ZTF21abcdefg\",\"jd\":2460231.712345679,\"ra\":359."
    "99999999999994,\"dec\":-0.0,"
    "\"positive\":1,\"ndethist\":0,\"rb\":0.1,\"roid.roid\":0,\"roid.reason\":\"done\",\"hostless.ks_"
    "template\":2460231."
    "712345679,"
    "\"hostless.reason\":\"done\",\"fit.rate\":[1,2,3],\"fit.points\":[18.5,null,19.25],\"packet.candidate."
    "sgscore1\":null}\n"
    "{\"candid\":-7,\"object\":\"a\\\"b\\\\c\\u000a\xc3\xa9\",\"jd\":0.1,\"ra\":1e+22,\"dec\":5e-324,"
    "\"positive\":0,\"ndethist\":"
    "-1,"
    "\"rb\":16777216,\"roid.roid\":-1,\"roid.reason\":\"cut\",\"hostless.ks_template\":0.1,\"hostless."
    "reason\":\"cut\","
    "\"fit.rate\":[-1.5,null,0],\"fit.points\":[],\"packet.candidate.sgscore1\":null}\n"
    "{\"candid\":null,\"object\":null,\"jd\":null,\"ra\":1e999,\"dec\":-1e999,\"positive\":null,\"ndethist\":"
    "null,\"rb\":null,"
    "\"roid.roid\":null,\"roid.reason\":\"shed\",\"hostless.ks_template\":null,\"hostless.reason\":\"shed\","
    "\"fit.rate\":[null,null,null],\"fit.points\":[],\"packet.candidate.sgscore1\":null}\n"
    "{\"candid\":9223372036854775807,\"object\":\"\",\"jd\":1e-300,\"ra\":0,\"dec\":0.3333333333333333,"
    "\"positive\":254,"
    "\"ndethist\":2147483647,\"rb\":1e-45,\"roid.roid\":2147483647,\"roid.reason\":null,\"hostless.ks_"
    "template\":1e-300,"
    "\"hostless.reason\":null,\"fit.rate\":[4,5,6],\"fit.points\":[20,21],\"packet.candidate.sgscore1\":null}"
    "\n";

static void rows_are_the_contract_to_the_byte(void **state)
{
    (void)state;
    const char *path = in_folder("a.ndjson");
    must_write(must_open("ndjson", path, NJ_SINK_CREATE), 1);
    assert_string_equal(slurp(path), first);
    /* and JSON by somebody else's reading */
    for (char *line = strtok(slurp(path), "\n"); line; line = strtok(NULL, "\n")) {
        json_t *row = nj_json_read_row(line, strlen(line));
        assert_non_null(row);
        assert_int_equal(json_object_size(row), FIELDS);
        json_decref(row);
    }
}

static void doubles_read_back_the_same(void **state)
{
    (void)state;
    enum { N = 20000 };
    static double v[N];
    uint64_t x = 88172645463325252u; /* xorshift64, Marsaglia 2003: the seed of the paper */
    for (int i = 0; i < N; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(&v[i], &x, 8);
        if (i % 2) v[i] = (double)(x >> 11) * 0x1p-53 * 360; /* coordinates, too */
    }
    static uint32_t list[N];
    for (uint32_t i = 0; i < N; i++) list[i] = i;
    const nj_field f = { "v", NULL, NJ_F64, 1, NULL, NULL, NULL };
    const nj_col c = { v, NULL };
    const char *path = in_folder("doubles.ndjson");
    nj_sink *s = must_open("ndjson", path, NJ_SINK_CREATE);
    nj_error err;
    assert_int_equal(s->class->begin(s, &f, 1, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &(nj_rows){ &f, 1, &c, list, N, NULL, NULL }, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    FILE *file = fopen(path, "r");
    char line[128];
    for (int i = 0; i < N; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        if (isnan(v[i])) {
            assert_string_equal(line, "{\"v\":null}\n");
            continue;
        }
        double back = strtod(line + 5, NULL);
        assert_memory_equal(&back, &v[i], 8);
    }
    fclose(file);
}

static void an_existing_file_is_refused_replaced_or_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("b.ndjson");
    snprintf(spec, sizeof spec, "ndjson:%s", path);
    must_write(must_open("ndjson", path, NJ_SINK_CREATE), 1);
    off_t once = size_of(path);
    must_refuse(spec, NJ_SINK_CREATE, "--overwrite", "--append");
    assert_int_equal(size_of(path), once);
    must_write(must_open("ndjson", path, NJ_SINK_OVERWRITE), 1);
    assert_int_equal(size_of(path), once);
    must_write(must_open("ndjson", path, NJ_SINK_APPEND), 1);
    assert_int_equal(size_of(path), 2 * once);
    /* torn tails of every length of a last line, among them none */
    for (off_t cut = 2 * once; cut > 2 * once - 300; cut -= 37) {
        assert_int_equal(truncate(path, cut), 0);
        must_write(must_open("ndjson", path, NJ_SINK_APPEND), 1);
        FILE *f = fopen(path, "r");
        static char line[8192];
        int n = 0;
        for (; fgets(line, sizeof line, f); n++) {
            json_t *row = nj_json_read_row(line, strlen(line));
            assert_non_null(row);
            json_decref(row);
        }
        fclose(f);
        assert_int_equal(n, cut == 2 * once ? 12 : 11);
        assert_int_equal(truncate(path, 2 * once), 0);
        must_write(must_open("ndjson", path, NJ_SINK_OVERWRITE), 2);
    }
}

static void a_file_of_something_else_is_not_continued(void **state)
{
    (void)state;
    char spec[160];
    const char *path = in_folder("novel.txt");
    FILE *f = fopen(path, "w");
    fputs("It was a dark and stormy night", f);
    fclose(f);
    snprintf(spec, sizeof spec, "ndjson:%s", path);
    must_refuse(spec, NJ_SINK_APPEND, "does not begin with a JSON object", NULL);
    assert_int_equal(size_of(path), 30);
    /* a torn first line is all there is: cut to nothing, and continue */
    f = fopen(path, "w");
    fputs("{\"candid\":12", f);
    fclose(f);
    must_write(must_open("ndjson", path, NJ_SINK_APPEND), 1);
    assert_string_equal(slurp(path), first);
}

static void metadata_stands_beside_the_file(void **state)
{
    (void)state;
    const char *path = in_folder("c.ndjson");
    must_write(must_open("ndjson", path, NJ_SINK_CREATE), 0);
    assert_int_equal(size_of(path), 0);
    must_write(must_open("ndjson", path, NJ_SINK_APPEND), 1);
    json_t *meta = json_load_file(in_folder("c.ndjson.meta.json"), 0, NULL);
    json_t *runs = json_object_get(meta, "runs"), *columns = json_object_get(meta, "columns");
    assert_int_equal(json_array_size(runs), 2);
    assert_int_equal(json_array_size(columns), FIELDS);
    assert_string_equal(json_string_value(json_object_get(json_array_get(runs, 1), "module.roid")),
                        "1.0 \"quoted\"");
    json_t *ra_column = json_array_get(columns, RA);
    assert_string_equal(json_string_value(json_object_get(ra_column, "unit")), "deg");
    assert_string_equal(json_string_value(json_object_get(json_array_get(columns, KS_REASON), "type")),
                        "str");
    json_decref(meta);
}

static void a_start_that_fails_leaves_no_file(void **state)
{
    (void)state;
    const char *path = in_folder("never.ndjson");
    nj_sink *s = must_open("ndjson", path, NJ_SINK_CREATE);
    nj_error err;
    assert_int_equal(size_of(path), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    assert_int_equal(size_of(path), -1);
}

static void a_full_disk_and_a_locked_folder_are_errors(void **state)
{
    (void)state;
    must_fail(must_open("ndjson", "/dev/full", NJ_SINK_CREATE),
              "/dev/full: cannot be written: No space left");
    char locked[128], spec[256];
    if (!write_protected_folder(locked)) return;
    snprintf(spec, sizeof spec, "ndjson:%s/x.ndjson", locked);
    must_refuse(spec, NJ_SINK_CREATE, "Permission denied", NULL);
}

static void standard_output_takes_rows(void **state)
{
    (void)state;
    const char *path = in_folder("stdout");
    fflush(stdout);
    int keep = dup(1), fd = open(path, O_CREAT | O_WRONLY, 0600);
    dup2(fd, 1);
    close(fd);
    must_write(must_open("ndjson", "-", NJ_SINK_CREATE), 1);
    dup2(keep, 1);
    close(keep);
    assert_string_equal(slurp(path), first);
    assert_int_equal(size_of(in_folder("stdout.meta.json")), -1);
}

/* Reasons are quoted beforehand, words of other tables are not: each of both beside none, with an escape too,
 * over more rows than the buffer has room for at first. */
static void words_and_reasons(void **state)
{
    (void)state;
    enum { N = 2000, W = 3 };
    static const char *const word[W] = { "done", "a\"b", "" };
    static const char *const written[W + 1] = { "\"done\"", "\"a\\\"b\"", "\"\"", "null" };
    static uint8_t reason[N], other[N];
    static uint32_t list[N];
    for (uint32_t i = 0; i < N; i++) {
        reason[i] = i % 11 < NJ_REASONS ? (uint8_t)(i % 11) : i % 2 ? NJ_NO_U8 : NJ_REASONS;
        other[i] = i % 4 < W ? (uint8_t)(i % 4) : NJ_NO_U8;
        list[i] = i;
    }
    const nj_field f[2] = { { "a", NULL, NJ_U8, 1, NULL, NULL, nj_reason_name },
                            { "b", NULL, NJ_U8, 1, NULL, NULL, word } };
    const nj_col c[2] = { { reason, NULL }, { other, NULL } };
    const char *path = in_folder("words.ndjson");
    nj_sink *s = must_open("ndjson", path, NJ_SINK_CREATE);
    nj_error err;
    assert_int_equal(s->class->begin(s, f, 2, NULL, &err), 0);
    assert_int_equal(s->class->write(s, &(nj_rows){ f, 2, c, list, N, NULL, NULL }, &err), 0);
    assert_int_equal(s->class->close(s, &err), 0);
    FILE *file = fopen(path, "r");
    char line[128], expected[128];
    for (uint32_t i = 0; i < N; i++) {
        const char *name = reason[i] < NJ_REASONS ? nj_reason_name[reason[i]] : NULL,
                   *quote = name ? "\"" : "";
        assert_non_null(fgets(line, sizeof line, file));
        snprintf(expected, sizeof expected, "{\"a\":%s%s%s,\"b\":%s}\n", quote, name ? name : "null", quote,
                 written[i % 4]);
        assert_string_equal(line, expected);
    }
    fclose(file);
}

/* Not a limit of the test, a line for people: what a row of 40 columns costs. */
static void cost_of_forty_columns(void **state)
{
    (void)state;
    enum { N = 64, F = 40 };
    static double v[F][N];
    static float w[N];
    static int32_t u[N];
    static uint8_t reason[N];
    nj_field f[F];
    nj_col c[F];
    uint32_t list[N];
    for (int i = 0; i < N; i++) {
        list[i] = (uint32_t)i, u[i] = i * 7919, w[i] = (float)i / 3, reason[i] = (uint8_t)(i % 7);
        for (int k = 0; k < F; k++) v[k][i] = k % 3 ? sin(i + k) * 360 : NAN;
    }
    for (int k = 0; k < F; k++) { /* 20 doubles, of which a third null, 8 floats, 6 integers, 6 reasons */
        nj_type t = k < 20 ? NJ_F64 : k < 28 ? NJ_F32 : k < 34 ? NJ_I32 : NJ_U8;
        static char key[F][40];
        snprintf(key[k], sizeof key[k], "instance%02d.column_%d", k / 4, k);
        f[k] = (nj_field){ key[k], NULL, t, 1, NULL, NULL, t == NJ_U8 ? nj_reason_name : NULL };
        c[k] = (nj_col){ t == NJ_F64   ? (void *)v[k]
                         : t == NJ_F32 ? (void *)w
                         : t == NJ_I32 ? (void *)u
                                       : (void *)reason,
                         NULL };
    }
    nj_sink *s = must_open("ndjson", "/dev/null", NJ_SINK_CREATE);
    nj_error err;
    nj_rows r = { f, F, c, list, N, NULL, NULL };
    assert_int_equal(s->class->begin(s, f, F, NULL, &err), 0);
    double best = INFINITY;
    for (int pass = 0; pass < 9; pass++) {
        int64_t start = nj_now_ns();
        for (int i = 0; i < 100; i++) assert_int_equal(s->class->write(s, &r, &err), 0);
        assert_int_equal(s->class->flush(s, &err), 0);
        double ns = (double)(nj_now_ns() - start) / 100 / N;
        if (ns < best) best = ns;
    }
    printf("# ndjson: %.0f ns per row of %d columns (best of 9)\n", best, F);
    assert_int_equal(s->class->close(s, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_are_checked),
        cmocka_unit_test(rows_are_the_contract_to_the_byte),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(an_existing_file_is_refused_replaced_or_continued),
        cmocka_unit_test(a_file_of_something_else_is_not_continued),
        cmocka_unit_test(metadata_stands_beside_the_file),
        cmocka_unit_test(a_start_that_fails_leaves_no_file),
        cmocka_unit_test(a_full_disk_and_a_locked_folder_are_errors),
        cmocka_unit_test(standard_output_takes_rows),
        cmocka_unit_test(words_and_reasons),
        cmocka_unit_test(cost_of_forty_columns),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
