/* sink_parquet.c - the parquet sink, read back by our own reader; what a killed run leaves, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/syscall.h>
#include <unistd.h>

#include "broker/parquet/encode.h"
#include "broker/batch/cell.h"
#include "broker/parquet/parquet_values.h"
#include "broker/parquet/writer.h"
#include "sink_rows.h"

static off_t shortest = -1; /* to which a file was cut; -1 = none was */

/* In place of the C library's: a kill may come behind any cut. */
int ftruncate(int fd, off_t length)
{
    if (shortest < 0 || length < shortest) shortest = length;
    return (int)syscall(SYS_ftruncate, fd, length);
}

static nj_sink *open_with(const char *path, const nj_sink_args *more, const char *setting, const char *value)
{
    nj_settings settings = { 0 };
    nj_error err = { "" };
    char spec[256];
    snprintf(spec, sizeof spec, "parquet:%s", path);
    if (setting) nj_settings_set(&settings, "sink.parquet", setting, value, "test");
    nj_sink_args args = *more;
    args.settings = &settings;
    nj_sink *s = nj_sink_open(spec, &args, &err);
    nj_settings_free(&settings);
    if (!s) fail_msg("%s", err.text);
    return s;
}

/* Reads all of a column; the file has `n_rows` rows, which are rows4 again and again. */
static void check_column(const nj_parquet *f, uint32_t c, uint64_t n_rows)
{
    nj_error err = { "" };
    nj_parquet_values v;
    nj_parquet_column *cursor = nj_parquet_column_open(f, c, &err);
    const nj_parquet_leaf *leaf = nj_parquet_leaf_at(f, c);
    assert_string_equal(leaf->name, field[c].key);
    uint64_t rows = 0;
    for (;;) {
        if (nj_parquet_read(cursor, 3, &v, &err)) fail_msg("%s", err.text);
        if (!v.n_rows) break;
        for (uint64_t i = 0; i < v.n_rows; i++, rows++) {
            size_t from, to;
            uint32_t row = row_list[rows % 4];
            uint32_t at = v.row_start ? v.row_start[i] : (uint32_t)i;
            uint32_t n = v.row_start ? v.row_start[i + 1] - at : 1;
            if (!nj_cell_range(&field[c], &column[c], row, &from, &to)) {
                assert_int_equal(v.def[at], 0);
                continue;
            }
            if (from == to) assert_int_equal(v.def[at], leaf->item_def - 1);
            if (from < to) assert_int_equal(n, to - from);
            for (size_t k = from; k < to; k++, at++) {
                nj_cell cell = nj_cell_get(&field[c], column[c].data, k);
                assert_int_equal(v.def[at] == leaf->max_def, cell.kind != NJ_CELL_NULL);
                if (cell.kind == NJ_CELL_NULL) continue;
                const nj_parquet_bytes *text = (const nj_parquet_bytes *)v.value + at;
                switch (leaf->type) {
                case NJ_PARQUET_I32: assert_true(((const int32_t *)v.value)[at] == cell.i); break;
                case NJ_PARQUET_I64: assert_true(((const int64_t *)v.value)[at] == cell.i); break;
                case NJ_PARQUET_F32: assert_true(((const float *)v.value)[at] == (float)cell.f); break;
                case NJ_PARQUET_F64: assert_true(((const double *)v.value)[at] == cell.f); break;
                default:
                    assert_int_equal(text->n, strlen(cell.text));
                    assert_memory_equal(text->data, cell.text, text->n);
                }
            }
        }
    }
    assert_int_equal(rows, n_rows);
    nj_parquet_column_close(cursor);
}

static uint32_t check_file(const char *path, uint64_t n_rows)
{
    nj_error err = { "" };
    nj_parquet *f = nj_parquet_open(path, &err);
    if (!f) fail_msg("%s", err.text);
    assert_int_equal(nj_parquet_rows(f), n_rows);
    assert_int_equal(nj_parquet_leaves(f), FIELDS);
    for (uint32_t c = 0; c < FIELDS; c++) check_column(f, c, n_rows);
    uint32_t groups = f->n_groups;
    nj_parquet_close(f);
    return groups;
}

static void rows_come_back_with_every_codec(void **state)
{
    (void)state;
    static const char *const codec[] = { "zstd", "gzip", "snappy", "none" };
    for (int i = 0; i < 4; i++) {
        nj_sink_args args = { .mode = NJ_SINK_OVERWRITE };
        must_write(open_with(in_folder("codec.parquet"), &args, "codec", codec[i]), 3);
        assert_int_equal(check_file(in_folder("codec.parquet"), 12), 1);
    }
    must_refuse("parquet:x.parquet.zst", NJ_SINK_CREATE, "codec = zstd packs its pages", NULL);
}

static void no_rows_and_many_row_groups(void **state)
{
    (void)state;
    nj_sink_args args = { .mode = NJ_SINK_OVERWRITE };
    must_write(open_with(in_folder("none.parquet"), &args, NULL, NULL), 0);
    assert_int_equal(check_file(in_folder("none.parquet"), 0), 0);
    must_write(open_with(in_folder("many.parquet"), &args, "row_group_bytes", "4096"), 500);
    assert_true(check_file(in_folder("many.parquet"), 2000) > 20);
    must_write(open_with(in_folder("pages.parquet"), &args, "page_bytes", "1024"), 500);
    assert_int_equal(check_file(in_folder("pages.parquet"), 2000), 1);
}

static void appending_goes_on_behind_the_last_row_group(void **state)
{
    (void)state;
    nj_sink_args args = { .mode = NJ_SINK_CREATE };
    const char *path = in_folder("append.parquet");
    must_write(open_with(path, &args, NULL, NULL), 2);
    args.mode = NJ_SINK_APPEND;
    must_write(open_with(path, &args, NULL, NULL), 1);
    must_write(open_with(path, &args, NULL, NULL), 0);
    assert_int_equal(check_file(path, 12), 2);
    assert_int_equal(size_of(in_folder("append.parquet.rows")), -1);
}

/* What is in the folder at any commit is enough to continue from it, whatever was written afterwards. */
static void every_commit_can_be_gone_back_to(void **state)
{
    (void)state;
    static const char *const group[] = { "4096", "1M" };
    char command[512];
    for (int g = 0; g < 2; g++) {
        char whole[128], cut[128];
        strcpy(whole, in_folder(g ? "whole1.parquet" : "whole0.parquet"));
        strcpy(cut, in_folder(g ? "cut1.parquet" : "cut0.parquet"));
        nj_sink_args args = { .mode = NJ_SINK_OVERWRITE, .run = "r", .configuration = "{}" };
        nj_error err = { "" };
        nj_sink *s = open_with(whole, &args, "row_group_bytes", group[g]);
        assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), 0);
        for (int i = 0; i < 60; i++) {
            assert_int_equal(s->class->write(s, &rows4, &err), 0);
            assert_int_equal(s->class->flush(s, &err), 0);
            if (i % 3 == 0)
                assert_int_equal(s->class->commit(s, &(nj_keep){ .commit = (uint64_t)i + 1 }, &err), 0);
            if (i % 7) continue;
            /* as a kill leaves it: copied now, during the run */
            snprintf(command, sizeof command,
                     "cd %s; for e in '' .rows .journal; do cp %s$e %s$e || exit 1; done", folder, whole,
                     cut);
            assert_int_equal(system(command), 0);
            nj_mark mark;
            assert_int_equal(nj_journal_look(cut, &mark, &err), 0);
            assert_int_equal(mark.rows, 4 * (i - i % 3 + 1));
            nj_sink_args back = args;
            back.mark = &mark;
            back.known = true;
            nj_sink *t = open_with(cut, &back, "row_group_bytes", group[g]);
            if (t->class->begin(t, field, FIELDS, metadata, &err)) fail_msg("%s", err.text);
            for (int k = i - i % 3 + 1; k < 60; k++) assert_int_equal(t->class->write(t, &rows4, &err), 0);
            assert_int_equal(t->class->flush(t, &err), 0);
            assert_int_equal(t->class->commit(t, &(nj_keep){ .complete = true }, &err), 0);
            assert_int_equal(t->class->close(t, &err), 0);
            nj_mark_free(&mark);
            check_file(cut, 240);
            snprintf(command, sizeof command, "%s.last", cut);
            rename(cut, command);
            snprintf(command, sizeof command, "rm -f %s %s.rows %s.journal", cut, cut, cut);
            assert_int_equal(system(command), 0);
        }
        assert_int_equal(s->class->flush(s, &err), 0);
        assert_int_equal(s->class->commit(s, &(nj_keep){ .complete = true }, &err), 0);
        assert_int_equal(s->class->close(s, &err), 0);
        check_file(whole, 240);
        snprintf(command, sizeof command, "cmp %s %s.last", whole, cut);
        assert_int_equal(system(command), 0);
        assert_int_equal(size_of(in_folder(g ? "whole1.parquet.rows" : "whole0.parquet.rows")), -1);
    }
}

/* A run that had no rows yet: when it is continued, its file is at no moment shorter than its journal says,
 * since such a file is refused. */
static void without_rows_it_is_never_shorter_than_its_journal(void **state)
{
    (void)state;
    char path[128];
    strcpy(path, in_folder("none_yet.parquet"));
    nj_sink_args args = { .mode = NJ_SINK_OVERWRITE, .run = "r", .configuration = "{}" };
    nj_error err = { "" };
    nj_sink *s = open_with(path, &args, NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), 0);
    assert_int_equal(s->class->commit(s, &(nj_keep){ .commit = 1 }, &err), 0);
    char command[512], cut[128];
    strcpy(cut, in_folder("none_cut.parquet"));
    snprintf(command, sizeof command, "cd %s; for e in '' .rows .journal; do cp %s$e %s$e; done", folder,
             path, cut);
    assert_int_equal(system(command), 0);
    nj_mark mark;
    assert_int_equal(nj_journal_look(cut, &mark, &err), 0);
    assert_int_equal(mark.rows, 0);
    assert_int_equal(mark.bytes, 4);
    nj_sink_args back = args;
    back.mark = &mark;
    shortest = -1;
    nj_sink *t = open_with(cut, &back, NULL, NULL);
    if (t->class->begin(t, field, FIELDS, metadata, &err)) fail_msg("%s", err.text);
    assert_int_equal(shortest, 4);
    assert_int_equal(t->class->write(t, &rows4, &err), 0);
    assert_int_equal(t->class->commit(t, &(nj_keep){ .complete = true }, &err), 0);
    assert_int_equal(t->class->close(t, &err), 0);
    nj_mark_free(&mark);
    check_file(cut, 4);
    assert_int_equal(s->class->close(s, &err), 0);
}

static void a_damaged_side_file_is_refused(void **state)
{
    (void)state;
    const char *path = in_folder("damaged.parquet");
    nj_sink_args args = { .mode = NJ_SINK_OVERWRITE, .run = "r", .configuration = "{}" };
    nj_error err = { "" };
    nj_mark mark;
    nj_sink *s = open_with(path, &args, NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), 0);
    assert_int_equal(s->class->write(s, &rows4, &err), 0);
    assert_int_equal(s->class->flush(s, &err), 0);
    assert_int_equal(s->class->commit(s, &(nj_keep){ .commit = 1 }, &err), 0);
    s->comes_again = true;
    assert_int_equal(s->class->close(s, &err), 0);
    FILE *f = fopen(in_folder("damaged.parquet.rows"), "r+b");
    assert_non_null(f);
    fseek(f, 200, SEEK_SET);
    fputc(fgetc(f) ^ 1, f);
    fclose(f);
    off_t before = size_of(in_folder("damaged.parquet.rows"));
    assert_int_equal(nj_journal_look(path, &mark, &err), 0);
    args.mark = &mark;
    s = open_with(path, &args, NULL, NULL);
    assert_int_equal(s->class->begin(s, field, FIELDS, metadata, &err), -1);
    assert_non_null(strstr(err.text, "cannot be set back"));
    assert_int_equal(s->class->close(s, NULL), 0);
    assert_int_equal(size_of(in_folder("damaged.parquet.rows")), before);
    nj_mark_free(&mark);
}

/* Numbers of few bits: runs, pieces between them, and an end that fills no group of eight. */
static void numbers_of_few_bits_come_back(void **state)
{
    (void)state;
    uint32_t value[4000];
    uint8_t level[4000];
    for (uint32_t seed = 1; seed < 200; seed++) {
        nj_buffer out = { 0 };
        uint32_t x = seed * 2654435761u, n = 1 + x % 3999, max = 1 + seed % 200, run = 0, now = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (!run) {
                x = x * 1664525u + 1013904223u;
                now = (x >> 8) % (max + 1);
                run = (x >> 28) > 9 ? (x >> 20) % 100 + 1 : 1;
            }
            run--;
            value[i] = now;
        }
        nj_rle_write(&out, value, n, nj_rle_bits(max));
        assert_int_equal(nj_rle_levels((uint8_t *)out.data, (uint8_t *)out.data + out.n, (int)max, level, n),
                         0);
        for (uint32_t i = 0; i < n; i++) assert_int_equal(level[i], value[i]);
        nj_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_with_every_codec),
        cmocka_unit_test(no_rows_and_many_row_groups),
        cmocka_unit_test(appending_goes_on_behind_the_last_row_group),
        cmocka_unit_test(every_commit_can_be_gone_back_to),
        cmocka_unit_test(without_rows_it_is_never_shorter_than_its_journal),
        cmocka_unit_test(a_damaged_side_file_is_refused),
        cmocka_unit_test(numbers_of_few_bits_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
