/* source_parquet.c - nights in Parquet: folders whose names are columns, files that are none, damaged and
 * missing ones, and row groups that are dealt out to shards. The files are the broker's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/batch/shard.h"
#include "broker/parquet/writer.h"
#include "broker/source/source.h"
#include "tests/unit/folder.h"
#include "tests/unit/source_host.h"

static int to_file(void *file, const void *bytes, size_t n, nj_error *err)
{
    return fwrite(bytes, 1, n, file) == n ? 0 : nj_fail(err, "not written");
}

/* Rows first, first + 1, ... in groups of `group` rows. */
static void write_parquet(const char *name, int64_t first, int n, int group)
{
    static const nj_parquet_new column[] = { { "candid", NJ_PARQUET_I64, NJ_PARQUET_PLAIN, false },
                                             { "name", NJ_PARQUET_BYTES, NJ_PARQUET_TEXT, false } };
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    nj_error err = { "" };
    nj_parquet_writer w = {
        .codec = NJ_PQ_NONE, .page_bytes = 1 << 16, .write = to_file, .opaque = f, .created_by = "test"
    };
    assert_int_equal(nj_parquet_writer_begin(&w, column, 2, &err), 0);
    assert_int_equal(fwrite("PAR1", 1, 4, f), 4);
    for (int i = 0; i < n; i++) {
        int64_t id = first + i;
        char text[32];
        snprintf(text, sizeof text, "row %d", i);
        nj_parquet_put(&w, 0, 1, &id, sizeof id);
        nj_parquet_put_text(&w, 1, 1, text);
        w.n_open++;
        if ((i + 1) % group && i + 1 < n) continue;
        assert_int_equal(nj_parquet_write_group(&w, (uint64_t)ftell(f), &err), 0);
    }
    assert_int_equal(nj_parquet_write_footer(&w, &err), 0);
    assert_int_equal(fclose(f), 0);
    nj_parquet_writer_free(&w);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void make(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0755), 0);
}

typedef struct tally {
    int n;
    nj_next end;
    char members[2048], schema[4096];
    nj_error err;
} tally;

static tally read_all(test_host *t, const char *spec, const nj_shard *shard)
{
    static tally r;
    r = (tally){ .end = NJ_NEXT_ERROR };
    nj_source_args args = { .spec = spec, .settings = &t->settings, .host = &t->host, .shard = shard };
    nj_source *s = nj_source_open(&args, &r.err);
    nj_chunk *c;
    double done = 0, whole = 0;
    if (!s) return r;
    assert_string_equal(s->class->name, "parquet");
    while ((r.end = s->class->next(s, 100, &c, &r.err)) == NJ_NEXT_CHUNK) {
        size_t at = strlen(r.members);
        assert_int_equal(c->offset, r.n);
        assert_true(c->framing == NJ_FRAME_KEYED);
        snprintf(r.members + at, sizeof r.members - at, "%s;", c->member);
        snprintf(r.schema, sizeof r.schema, "%.*s", (int)c->key_size, (const char *)c->key);
        nj_chunk_drop(c);
        r.n++;
    }
    assert_int_equal(s->class->progress(s, &done, &whole), 0);
    assert_true(done == whole);
    s->class->close(s);
    return r;
}

static void a_file_gives_its_rows(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    write_parquet("one.parquet", 10, 3, 2);
    tally r = read_all(t, in_folder("one.parquet"), NULL);
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_string_equal(r.members, "row 0;row 1;row 2;");
    assert_non_null(strstr(r.schema, "candid"));
    assert_string_equal(t->notes, "");
    test_host_free(t);
}

/* It is known by its first bytes, too. */
static void a_file_of_another_name(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    write_parquet("unnamed", 10, 2, 2);
    assert_int_equal(read_all(t, in_folder("unnamed"), NULL).n, 2);
    test_host_free(t);
}

static void folders_are_read_by_name(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    make("night");
    make("night/class=Early%20SN");
    make("night/class=__HIVE_DEFAULT_PARTITION__");
    make("night/_temporary");
    write_parquet("night/class=Early%20SN/b.parquet", 1, 1, 1);
    write_parquet("night/class=Early%20SN/a.parquet", 2, 1, 1);
    write_parquet("night/class=__HIVE_DEFAULT_PARTITION__/c.parquet", 3, 1, 1);
    write_parquet("night/_temporary/d.parquet", 4, 1, 1); /* Spark's, not yet committed */
    write_text("night/_SUCCESS", "");
    write_text("night/README", "words");
    assert_int_equal(mkfifo(in_folder("night/pipe.parquet"), 0644), 0);
    char spec[200];
    snprintf(spec, sizeof spec, "%s//", in_folder("night")); /* slashes at its end are of no matter */
    tally r = read_all(t, spec, NULL);
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_string_equal(r.members, "class=Early%20SN/a.parquet row 0;class=Early%20SN/b.parquet row 0;"
                                   "class=__HIVE_DEFAULT_PARTITION__/c.parquet row 0;");
    assert_non_null(strstr(r.schema, "\"class\""));
    assert_non_null(strstr(t->notes, "README"));
    assert_non_null(strstr(t->notes, "pipe.parquet"));
    test_host_free(t);
}

/* A folder's column is a number only if it is one in every folder. */
static void numbers_in_names(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    make("numbers");
    make("numbers/night=07");
    make("numbers/night=-8");
    write_parquet("numbers/night=07/a.parquet", 1, 1, 1);
    write_parquet("numbers/night=-8/a.parquet", 1, 1, 1);
    tally r = read_all(t, in_folder("numbers"), NULL);
    const char *column = strstr(r.schema, "\"night\"");
    assert_non_null(column);
    assert_non_null(strstr(column, "long"));
    make("numbers/night=x8");
    write_parquet("numbers/night=x8/a.parquet", 1, 1, 1);
    r = read_all(t, in_folder("numbers"), NULL);
    column = strstr(r.schema, "\"night\"");
    assert_non_null(column);
    assert_null(strstr(column, "long"));
    test_host_free(t);
}

static void damage_costs_one_file(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    make("damaged");
    write_parquet("damaged/a.parquet", 1, 2, 2);
    write_text("damaged/b.parquet", "PAR1 and nothing else");
    write_parquet("damaged/c.parquet", 3, 2, 2);
    tally r = read_all(t, in_folder("damaged"), NULL);
    assert_int_equal(r.n, 4);
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(r.err.text, "1 of its files and folders could not be read to the end"));
    assert_non_null(strstr(r.err.text, "b.parquet"));
    assert_non_null(strstr(t->notes, "b.parquet"));
    assert_non_null(strstr(t->early, "b.parquet"));
    r = read_all(t, in_folder("damaged/b.parquet"), NULL);
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    assert_null(strstr(r.err.text, "of its files"));
    test_host_free(t);
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    tally r = read_all(t, in_folder("gone.parquet"), NULL);
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(r.err.text, "gone.parquet"));
    test_host_free(t);
}

static void too_many_columns_of_folders(void **state)
{
    (void)state;
    test_host *t = test_host_new();
    make("many");
    for (int i = 0; i < 17; i++) {
        char name[64];
        snprintf(name, sizeof name, "many/key%d=1", i);
        make(name);
        snprintf(name, sizeof name, "many/key%d=1/a.parquet", i);
        write_parquet(name, i, 1, 1);
    }
    tally r = read_all(t, in_folder("many"), NULL);
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(r.err.text, "folders name more than 16 columns"));
    test_host_free(t);
}

/* Five groups of two rows in two files: each shard has its own, and together they have all. */
static void row_groups_are_dealt_out(void **state)
{
    (void)state;
    int n = 0;
    make("groups");
    write_parquet("groups/a.parquet", 0, 6, 2);
    write_parquet("groups/b.parquet", 6, 4, 2);
    for (uint32_t k = 1; k <= 2; k++) {
        test_host *t = test_host_new();
        nj_shard shard = { .k = k, .n = 2, .by = NJ_SHARD_PART };
        tally r = read_all(t, in_folder("groups"), &shard);
        assert_int_equal(r.end, NJ_NEXT_END);
        assert_in_range(r.n, 4, 6);
        n += r.n;
        test_host_free(t);
    }
    assert_int_equal(n, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_its_rows),       cmocka_unit_test(a_file_of_another_name),
        cmocka_unit_test(folders_are_read_by_name),    cmocka_unit_test(numbers_in_names),
        cmocka_unit_test(damage_costs_one_file),       cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(too_many_columns_of_folders), cmocka_unit_test(row_groups_are_dealt_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
