/* parquet_avro.c - rows of Parquet files as Avro datums: fastavro reads from them what pyarrow reads from
 * the files; damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/parquet/parquet_avro.h"
#include "tests/unit/folder.h"

static int have_files;

static int make_files(void **state)
{
    if (make_folder(state)) return -1;
    have_files = by_python("pyarrow fastavro", "tests/unit/parquet_files.py") &&
                 by_python("pyarrow fastavro", "tests/unit/parquet_avro.py make");
    return 0;
}

static const nj_folder_column columns[] = {
    { "finkclass", "Early SN", 0 }, { "night", "07", 1 }, { "none", NULL, 1 }, { "candid", "12", 1 }
};

static nj_parquet_avro *open_file(const char *name, nj_error *err)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s.parquet", folder, name);
    /* "candid" is a column of most files, which then hides the folder's */
    return nj_parquet_avro_open(path, columns,
                                strcmp(name, "maps") && strcmp(name, "delta-length") &&
                                        strcmp(name, "int96") && strcmp(name, "old-lists")
                                    ? 4
                                    : 3,
                                err);
}

static FILE *create(const char *name, const char *ending)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    return f;
}

static void write_datums(const char *name)
{
    nj_error err = { "" };
    nj_parquet_avro *rows = open_file(name, &err);
    if (!rows) fail_msg("%s", err.text);
    size_t size;
    const char *schema = nj_parquet_avro_schema(rows, &size);
    FILE *f = create(name, "schema");
    assert_int_equal(fwrite(schema, 1, size, f), size);
    fclose(f);
    f = create(name, "datums");
    const uint8_t *datum;
    int rc;
    while ((rc = nj_parquet_avro_next(rows, &datum, &size, &err)) > 0) {
        uint32_t n = (uint32_t)size;
        fwrite(&n, 4, 1, f);
        fwrite(datum, 1, size, f);
    }
    fclose(f);
    if (rc < 0) fail_msg("%s", err.text);
    nj_parquet_avro_close(rows);
}

static void fastavro_reads_what_pyarrow_reads(void **state)
{
    (void)state;
    static const char *const names[] = { "defaults", "none-v1",   "snappy-v2",    "gzip-v1",
                                         "zstd-v2",  "delta",     "delta-length", "int96",
                                         "empty",    "old-lists", "maps" };
    if (!have_files) skip();
    char command[600];
    int n = snprintf(command, sizeof command,
                     "$(tests/python pyarrow fastavro) tests/unit/parquet_avro.py check %s", folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_datums(names[i]);
        n += snprintf(command + n, sizeof command - (size_t)n, " %s", names[i]);
    }
    assert_int_equal(system(command), 0);
}

static void equal_files_have_equal_schemas(void **state)
{
    (void)state;
    if (!have_files) skip();
    nj_error err = { "" };
    size_t a_size, b_size;
    nj_parquet_avro *a = open_file("zstd-v1", &err), *b = open_file("none-v2", &err);
    assert_true(a && b);
    const char *a_schema = nj_parquet_avro_schema(a, &a_size), *b_schema = nj_parquet_avro_schema(b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a_schema, b_schema, a_size);
    assert_int_equal(nj_parquet_avro_count(a), 2500);
    nj_parquet_avro_close(a);
    nj_parquet_avro_close(b);
}

static void what_avro_cannot_hold_is_refused(void **state)
{
    (void)state;
    if (!have_files) skip();
    char path[200];
    nj_error err = { "" };
    const uint8_t *datum;
    size_t size;
    snprintf(path, sizeof path, "%s/large.parquet", folder);
    nj_parquet_avro *rows = nj_parquet_avro_open(path, NULL, 0, &err);
    assert_non_null(rows);
    assert_int_equal(nj_parquet_avro_next(rows, &datum, &size, &err), 1);
    assert_int_equal(nj_parquet_avro_next(rows, &datum, &size, &err), -1);
    assert_non_null(strstr(err.text, "row 1: an unsigned number"));
    nj_parquet_avro_close(rows);
}

static uint64_t seed = 7;
static uint64_t random_below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

/* Whatever stands in a file: an answer or an error,
 * and no byte read that is not its own (for the sanitizers). */
static void damaged_files_are_survived(void **state)
{
    (void)state;
    if (!have_files) skip();
    char path[200], bad_path[200];
    snprintf(path, sizeof path, "%s/maps.parquet", folder);
    snprintf(bad_path, sizeof bad_path, "%s/bad.parquet", folder);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    static uint8_t good[1 << 20], bad[1 << 20];
    size_t n = fread(good, 1, sizeof good, f);
    fclose(f);
    assert_in_range(n, 1000, sizeof good - 1);
    uint32_t footer, refused = 0, rounds = 800;
    memcpy(&footer, good + n - 8, 4);
    for (uint32_t i = 0; i < rounds; i++) {
        memcpy(bad, good, n);
        for (uint32_t k = 0; k <= i % 4; k++)
            bad[i % 3 ? random_below(n - footer) : n - 9 - random_below(footer)] ^=
                (uint8_t)(1 + random_below(255));
        f = fopen(bad_path, "wb");
        fwrite(bad, 1, n, f);
        fclose(f);
        nj_error err = { "" };
        nj_parquet_avro *rows = nj_parquet_avro_open(bad_path, columns, 3, &err);
        const uint8_t *datum;
        size_t size;
        int rc = rows ? 1 : -1;
        for (int k = 0; k < 1000 && rc > 0; k++) rc = nj_parquet_avro_next(rows, &datum, &size, &err);
        refused += rc < 0;
        if (rc < 0) assert_non_null(strstr(err.text, "bad.parquet"));
        nj_parquet_avro_close(rows);
    }
    assert_true(refused > rounds / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fastavro_reads_what_pyarrow_reads),
        cmocka_unit_test(equal_files_have_equal_schemas),
        cmocka_unit_test(what_avro_cannot_hold_is_refused),
        cmocka_unit_test(damaged_files_are_survived),
    };
    return cmocka_run_group_tests(tests, make_files, remove_folder);
}
