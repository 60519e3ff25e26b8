/* parquet.c - the Parquet reader: real files against the same tables as CSV, pyarrow's files value by value,
 * damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "broker/base/buffer.h"
#include "broker/base/file.h"
#include "broker/parquet/parquet.h"
#include "tests/unit/folder.h"

static const char *shared(const char *name)
{
    static char path[500];
    const char *root = getenv("NIGHTJAR_SHARED");
    if (!root || !*root) return NULL;
    snprintf(path, sizeof path, "%s/real/catalogs/%s", root, name);
    return access(path, R_OK) ? NULL : path;
}

typedef struct flat {
    nj_parquet_column *column;
    nj_parquet_values v;
    const nj_parquet_leaf *leaf;
} flat;

static void table_equals_csv(const char *name, const char *csv_name, const char *const *columns)
{
    nj_error err = { "" };
    nj_parquet *f = nj_parquet_open(shared(name), &err);
    assert_non_null(f);
    gzFile csv = gzopen(shared(csv_name), "rb");
    assert_non_null(csv);
    char line[300];
    assert_non_null(gzgets(csv, line, sizeof line));
    flat c[3];
    for (int k = 0; k < 3; k++) {
        int leaf = nj_parquet_find(f, columns[k]);
        assert_true(leaf >= 0);
        c[k].leaf = nj_parquet_leaf_at(f, (uint32_t)leaf);
        c[k].column = nj_parquet_column_open(f, (uint32_t)leaf, &err);
    }
    uint64_t rows = 0;
    for (;;) {
        for (int k = 0; k < 3; k++) assert_int_equal(nj_parquet_read(c[k].column, 1009, &c[k].v, &err), 0);
        uint64_t n = c[0].v.n_rows;
        if (!n) break;
        for (uint64_t i = 0; i < n; i++) {
            assert_non_null(gzgets(csv, line, sizeof line));
            char *end;
            double ra = strtod(line, &end), dec = strtod(end + 1, &end);
            char *label = end + 1;
            label[strcspn(label, "\r\n")] = 0;
            size_t n_label = strlen(label);
            if (n_label > 1 && *label == '"') label[n_label - 1] = 0, label++;
            assert_true(((const double *)c[0].v.value)[i] == ra && ((const double *)c[1].v.value)[i] == dec);
            nj_parquet_bytes b = ((const nj_parquet_bytes *)c[2].v.value)[i];
            if (c[2].v.def && c[2].v.def[i] < c[2].leaf->max_def) b.n = 0;
            while (b.n && isspace(b.data[b.n - 1])) b.n--;
            while (b.n && isspace(*b.data)) b.n--, b.data++;
            assert_int_equal(b.n, strlen(label));
            assert_memory_equal(b.data, label, b.n);
        }
        rows += n;
    }
    assert_int_equal(rows, nj_parquet_rows(f));
    assert_null(gzgets(csv, line, sizeof line));
    gzclose(csv);
    for (int k = 0; k < 3; k++) nj_parquet_column_close(c[k].column);
    nj_parquet_close(f);
}

static void real_catalogues_equal_their_csv(void **state)
{
    (void)state;
    if (!shared("gcvs.parquet")) skip();
    table_equals_csv("gcvs.parquet", "gcvs.csv.gz", (const char *const[]){ "ra", "dec", "VarType" });
    table_equals_csv("spicy.parquet", "spicy.csv.gz", (const char *const[]){ "RAdeg", "DEdeg", "class" });
}

/* ---- pyarrow's files ---- */

static void hex(nj_buffer *b, const uint8_t *p, size_t n, int big)
{
    for (size_t i = 0; i < n; i++) nj_buffer_printf(b, "%02x", p[big ? i : n - 1 - i]);
    if (!n) nj_buffer_text(b, ".");
}

static int dump_leaf(const nj_parquet *f, uint32_t leaf, uint32_t step, nj_buffer *out, nj_error *err)
{
    static const uint8_t width[] = { 1, 4, 8, 4, 8, 0 };
    const nj_parquet_leaf *l = nj_parquet_leaf_at(f, leaf);
    nj_parquet_column *c = nj_parquet_column_open(f, leaf, err);
    uint64_t rows = 0;
    volatile uint8_t touched = 0; /* a pointer that leads nowhere shall be found here */
    int rc = -1;
    if (out) nj_buffer_printf(out, "leaf %s\n", l->name);
    for (nj_parquet_values v; !nj_parquet_read(c, step, &v, err);) {
        if (!v.n_rows) {
            rc = rows == nj_parquet_rows(f) ? 0 : -1;
            break;
        }
        rows += v.n_rows;
        if (v.row_start)
            assert_int_equal(v.row_start[v.n_rows], v.n_levels);
        else
            assert_int_equal(v.n_levels, v.n_rows);
        for (uint32_t i = 0; i < v.n_levels; i++) {
            int def = v.def ? v.def[i] : 0, rep = v.rep ? v.rep[i] : 0;
            assert_true(def <= l->max_def && rep <= l->max_rep);
            if (out) nj_buffer_printf(out, "%d %d ", rep, def);
            if (def < l->max_def) {
                if (out) nj_buffer_text(out, "-");
            } else if (l->type == NJ_PARQUET_BYTES) {
                nj_parquet_bytes b = ((const nj_parquet_bytes *)v.value)[i];
                if (out)
                    hex(out, b.data, b.n, 1);
                else
                    for (uint32_t k = 0; k < b.n; k++) touched ^= b.data[k];
            } else if (out) {
                hex(out, (const uint8_t *)v.value + (size_t)i * width[l->type], width[l->type], 0);
            }
            if (out) nj_buffer_text(out, "\n");
        }
        if (v.row_start)
            for (uint64_t r = 0; r < v.n_rows; r++)
                assert_true(v.row_start[r] < v.row_start[r + 1] && v.rep[v.row_start[r]] == 0);
    }
    nj_parquet_column_close(c);
    return rc;
}

static int have_files;

static int make_files(void **state)
{
    if (make_folder(state)) return -1;
    have_files = by_python("pyarrow", "tests/unit/parquet_files.py");
    return 0;
}

static void pyarrows_files_value_by_value(void **state)
{
    (void)state;
    static const char *const names[] = { "defaults",     "none-v1", "none-v2", "snappy-v1", "snappy-v2",
                                         "gzip-v1",      "gzip-v2", "zstd-v1", "zstd-v2",   "delta",
                                         "delta-length", "int96",   "empty",   "old-lists" };
    if (!have_files) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) /* row by row costs: a few files */
        for (uint32_t step = i % 5 ? 38 : 1; step < 5000; step = step * 37 + 1) {
            char path[300];
            nj_error err = { "" };
            size_t n;
            snprintf(path, sizeof path, "%s/%s.parquet", folder, names[i]);
            nj_parquet *f = nj_parquet_open(path, &err);
            if (!f) fail_msg("%s", err.text);
            nj_buffer out = { 0 };
            for (uint32_t leaf = 0; leaf < nj_parquet_leaves(f); leaf++)
                if (dump_leaf(f, leaf, step, &out, &err)) fail_msg("%s", err.text);
            snprintf(path, sizeof path, "%s/%s.txt", folder, names[i]);
            char *expected = nj_file_read(path, SIZE_MAX, &n);
            if (n != out.n || memcmp(expected, out.data, n)) {
                size_t at = 0;
                while (at < n && at < out.n && expected[at] == out.data[at]) at++;
                while (at && expected[at - 1] != '\n') at--;
                fail_msg("%s, step %u: expected %.40s, read %.40s", names[i], step, expected + at,
                         out.data + at);
            }
            free(expected);
            nj_buffer_free(&out);
            nj_parquet_close(f);
        }
}

static void kinds_say_what_values_mean(void **state)
{
    (void)state;
    if (!have_files) skip();
    char path[300];
    nj_error err;
    snprintf(path, sizeof path, "%s/defaults.parquet", folder);
    nj_parquet *f = nj_parquet_open(path, &err);
    static const struct {
        const char *name;
        nj_parquet_kind kind;
    } expected[] = { { "objectId", NJ_PARQUET_TEXT },
                     { "unsigned", NJ_PARQUET_UNSIGNED },
                     { "when", NJ_PARQUET_TIME_US },
                     { "cost", NJ_PARQUET_DECIMAL },
                     { "cutoutScience.stampData", NJ_PARQUET_PLAIN },
                     { "prv_candidates.jd", NJ_PARQUET_PLAIN } };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int leaf = nj_parquet_find(f, expected[i].name);
        assert_true(leaf >= 0);
        assert_int_equal(nj_parquet_leaf_at(f, (uint32_t)leaf)->kind, expected[i].kind);
    }
    assert_int_equal(nj_parquet_leaf_at(f, (uint32_t)nj_parquet_find(f, "cost"))->scale, 3);
    assert_int_equal(nj_parquet_find(f, "prv_candidates.list.element.jd"),
                     nj_parquet_find(f, "prv_candidates.jd"));
    assert_int_equal(nj_parquet_find(f, "absent"), -1);
    nj_parquet_close(f);
}

/* ---- damage ---- */

static uint64_t seed = 42;
static uint64_t random_below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

static void survive(const char *path, int rounds)
{
    size_t n;
    char *good = nj_file_read(path, SIZE_MAX, &n);
    assert_non_null(good);
    int refused = 0;
    for (int i = 0; i < rounds; i++) {
        size_t size = i % 5 == 0 ? random_below(n) : n;
        char *bad = malloc(size + 1); /* exactly: a sanitizer sees each byte too far */
        memcpy(bad, good, size);
        uint32_t footer;
        memcpy(&footer, good + n - 8, 4);
        for (int k = 0; k < 1 + i % 4 && size == n; k++) {
            size_t at = i % 2 ? n - 8 - 1 - random_below(footer) : random_below(n);
            bad[at] = (char)(i % 3 ? bad[at] ^ (1 << random_below(8)) : (int)random_below(256));
        }
        nj_error err = { "" };
        nj_parquet *f = nj_parquet_memory("bad", bad, size, &err);
        refused += !f;
        if (!f) assert_true(strlen(err.text) > 5);
        for (uint32_t leaf = 0; f && leaf < nj_parquet_leaves(f) && leaf < 40; leaf++) {
            if (dump_leaf(f, leaf, 333, NULL, &err)) refused++;
        }
        nj_parquet_close(f);
        free(bad);
    }
    assert_true(refused > rounds / 10);
    free(good);
}

static void damaged_real_files_are_survived(void **state)
{
    (void)state;
    if (!shared("tns_raw.parquet")) skip();
    survive(shared("tns_raw.parquet"), 1500);
    survive(shared("CTAO_blazars_ztf_dr23.v03_2026.parquet"), 1500);
}

static void damaged_nested_files_are_survived(void **state)
{
    (void)state;
    if (!have_files) skip();
    static const char *const names[] = { "none-v1", "none-v2", "delta", "snappy-v2", "delta-length" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s.parquet", folder, names[i]);
        survive(path, 60);
    }
}

static void other_files_are_refused(void **state)
{
    (void)state;
    nj_error err;
    assert_null(nj_parquet_open("/no/such/file", &err));
    assert_non_null(strstr(err.text, "/no/such/file"));
    assert_null(nj_parquet_memory("text", "ra,dec,class\n1,2,3\n", 19, &err));
    assert_non_null(strstr(err.text, "not a Parquet file"));
    assert_null(nj_parquet_memory("cut", "PAR1................", 20, &err));
    assert_non_null(strstr(err.text, "truncated"));
    assert_null(nj_parquet_memory("locked", "PARE................", 20, &err));
    assert_non_null(strstr(err.text, "encrypted"));
}

static void add_whole(nj_buffer *b, uint64_t n)
{
    for (; n > 0x7f; n >>= 7) nj_buffer_add(b, (char[]){ (char)(n | 0x80) }, 1);
    nj_buffer_add(b, (char[]){ (char)n }, 1);
}

/* The reader's word on a file whose footer has so many columns, groups of none, and broken row groups. */
static const char *word_on(uint32_t columns, uint32_t groups, uint32_t row_groups)
{
    static nj_error err;
    nj_buffer b = { 0 };
    nj_buffer_add(&b, "PAR1\x15\x02\x19\xfc", 8); /* version; a list of structs: the schema */
    add_whole(&b, 1 + (uint64_t)columns + groups);
    nj_buffer_add(&b, "\x48\1r\x15", 4); /* the root: a name, children */
    add_whole(&b, 2 * ((uint64_t)columns + groups));
    nj_buffer_add(&b, "", 1);
    for (uint32_t i = 0; i < columns; i++) nj_buffer_add(&b, "\x15\2\x25\0\x18\1a", 8);
    for (uint32_t i = 0; i < groups; i++) nj_buffer_add(&b, "\x35\0\x18\1g\x15\0", 8);
    nj_buffer_add(&b, "\x16\0\x19\xfc", 4); /* no rows; row groups */
    add_whole(&b, row_groups);
    for (uint32_t i = 0; i < row_groups; i++) nj_buffer_add(&b, "\xff", 1);
    nj_buffer_add(&b, "", 1);
    const uint32_t size = (uint32_t)b.n - 4;
    nj_buffer_add(&b, &size, 4);
    nj_buffer_add(&b, "PAR1", 4);
    assert_false(b.failed);
    err.text[0] = 0;
    nj_parquet *f = nj_parquet_memory("made", b.data, b.n, &err);
    nj_parquet_close(f);
    nj_buffer_free(&b);
    return f ? "read" : err.text;
}

/* MOST_LEAVES, MOST_NODES and MOST_GROUPS, reached and passed. */
static void as_many_columns_and_groups_as_may_be(void **state)
{
    (void)state;
    const uint32_t leaves = 1 << 16, nodes = 1 << 18, groups = 1 << 22;
    assert_string_equal(word_on(leaves, 0, 0), "read");
    assert_string_equal(word_on(leaves + 1, 0, 0), "made: the schema has more than 65536 columns");
    assert_string_equal(word_on(leaves, nodes - leaves - 1, 0), "read");
    assert_string_equal(word_on(leaves, nodes - leaves, 0),
                        "made: the schema has more than 262144 columns and groups");
    assert_string_equal(word_on(1, 0, groups), "made: row group 0 is damaged");
    assert_string_equal(word_on(1, 0, groups + 1), "made: more than 4194304 row groups");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_catalogues_equal_their_csv),
        cmocka_unit_test(pyarrows_files_value_by_value),
        cmocka_unit_test(kinds_say_what_values_mean),
        cmocka_unit_test(damaged_real_files_are_survived),
        cmocka_unit_test(damaged_nested_files_are_survived),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(as_many_columns_and_groups_as_may_be),
    };
    return cmocka_run_group_tests(tests, make_files, remove_folder);
}
