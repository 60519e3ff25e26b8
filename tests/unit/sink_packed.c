/* sink_packed.c - packed ndjson: what stands in the file at each commit is whole frames, and a file that was
 * broken off anywhere continues behind the last whole one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/file.h"
#include "broker/base/unpack.h"
#include "broker/sink/packed.h"
#include "sink_rows.h"

static const char *const endings[] = { "gz", "zst" };

/* The lines of a packed file; -1: it does not unpack to its end. */
static int lines_of(const char *path)
{
    size_t size;
    nj_error err;
    nj_unpacked plain = { 0 };
    char *bytes = nj_file_read(path, 1 << 24, &size);
    assert_non_null(bytes);
    int n = 0, rc = nj_unpack(&plain, (const uint8_t *)bytes, size, true, 1 << 24, "limit", &err);
    for (size_t i = 0; !rc && i < plain.n; i++) n += plain.buffer[i] == '\n';
    free(plain.buffer);
    free(bytes);
    return rc ? -1 : n;
}

static const char *packed_name(const char *name, const char *ending)
{
    char text[64];
    snprintf(text, sizeof text, "%s.ndjson.%s", name, ending);
    return in_folder(text);
}

static void a_commit_ends_a_frame(void **state)
{
    (void)state;
    for (int e = 0; e < 2; e++) {
        const char *path = packed_name("commits", endings[e]);
        nj_error err;
        nj_sink *sink = must_open("ndjson", path, NJ_SINK_CREATE);
        assert_int_equal(sink->class->begin(sink, field, FIELDS, metadata, &err), 0);
        for (int i = 1; i <= 3; i++) {
            assert_int_equal(sink->class->write(sink, &rows4, &err), 0);
            assert_int_equal(sink->class->flush(sink, &err), 0);
            assert_int_equal(sink->class->write(sink, &rows4, &err), 0);
            assert_int_equal(flush_and_commit(sink, &err), 0);
            assert_int_equal(lines_of(path), 8 * i);
        }
        off_t size = size_of(path);
        assert_int_equal(flush_and_commit(sink, &err), 0);
        assert_int_equal(size_of(path), size); /* no rows, no frame */
        assert_int_equal(sink->class->close(sink, &err), 0);
        assert_int_equal(lines_of(path), 24);
    }
}

/* Flushed rows can be read before their commit. */
static void a_flush_can_be_read(void **state)
{
    (void)state;
    for (int e = 0; e < 2; e++) {
        const char *path = packed_name("flushed", endings[e]);
        nj_error err;
        nj_sink *sink = must_open("ndjson", path, NJ_SINK_CREATE);
        assert_int_equal(sink->class->begin(sink, field, FIELDS, metadata, &err), 0);
        assert_int_equal(sink->class->write(sink, &rows4, &err), 0);
        assert_int_equal(sink->class->flush(sink, &err), 0);
        size_t size;
        char *bytes = nj_file_read(path, 1 << 20, &size);
        const uint8_t *piece;
        int n = 0;
        nj_unpacker *u = nj_unpacker_new(NULL, NULL, (const uint8_t *)bytes, size, NJ_ZSTD_WINDOW);
        for (long got; (got = nj_unpacker_next(u, &piece, &err)) > 0;)
            for (long i = 0; i < got; i++) n += piece[i] == '\n';
        assert_int_equal(n, 4);
        nj_unpacker_free(u);
        free(bytes);
        assert_int_equal(sink->class->close(sink, &err), 0);
    }
}

/* Cut at every byte, then added to: the whole frames stay, and nothing is between them and the new ones. */
static void a_cut_file_goes_on(void **state)
{
    (void)state;
    for (int e = 0; e < 2; e++) {
        const char *path = packed_name("cut", endings[e]);
        char command[512];
        must_write(must_open("ndjson", path, NJ_SINK_OVERWRITE), 1);
        off_t one = size_of(path);
        must_write(must_open("ndjson", path, NJ_SINK_OVERWRITE), 2);
        off_t two = size_of(path);
        snprintf(command, sizeof command, "cp %s %s.whole", path, path);
        assert_int_equal(system(command), 0);
        for (off_t at = 0; at <= two; at += at == one || at == two - 1 ? 1 : 7) {
            snprintf(command, sizeof command, "cp %s.whole %s", path, path);
            assert_int_equal(system(command), 0);
            assert_int_equal(truncate(path, at), 0);
            must_write(must_open("ndjson", path, NJ_SINK_APPEND), 1);
            int before = at >= two ? 8 : at >= one ? 4 : 0;
            assert_int_equal(lines_of(path), before + 4);
        }
    }
}

static void names_are_checked(void **state)
{
    (void)state;
    nj_error err;
    assert_int_equal(nj_packed_by_name("out.ndjson.ZST"), NJ_PACKED_ZSTD);
    assert_int_equal(nj_packed_by_name("out.ndjson.gz.part"), NJ_PACKED_GZIP);
    assert_int_equal(nj_packed_by_name("out.gz.ndjson"), NJ_PACKED_NOT);
    assert_int_equal(nj_packed_by_name(".gz"), NJ_PACKED_NOT);
    assert_int_equal(nj_packed_check("out.ndjson", "ndjson", true, NULL, &err), 0);
    must_refuse("ndjson:/nowhere/out.ndjson.zstd", NJ_SINK_CREATE, ".zstd is not written", ".zst");
    must_refuse("ndjson:/nowhere/out.ndjson.bz2", NJ_SINK_CREATE, ".bz2 is not written", ".gz");
    must_refuse("avro:/nowhere/out.avro.gz", NJ_SINK_CREATE, "no compressed files", "codec = deflate");
    must_refuse("sqlite:/nowhere/out.db.zst", NJ_SINK_CREATE, "no compressed files", "in place");
    must_refuse("fits:/nowhere/out.fits.gz", NJ_SINK_CREATE, "no compressed files", NULL);
}

/* What is not what its name says is not added to. */
static void other_bytes_are_left_alone(void **state)
{
    (void)state;
    const char *path = packed_name("other", "gz"), *plain = packed_name("plain", "zst");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"candid\":1}\n", f);
    fclose(f);
    char spec[300];
    snprintf(spec, sizeof spec, "ndjson:%s", path);
    must_refuse(spec, NJ_SINK_APPEND, "is no whole gzip data", NULL);
    assert_int_equal(size_of(path), 13);
    path = packed_name("damaged", "zst");
    must_write(must_open("ndjson", path, NJ_SINK_CREATE), 1);
    off_t size = size_of(path);
    f = fopen(path, "a");
    assert_non_null(f);
    fputs("no frame", f);
    fclose(f);
    snprintf(spec, sizeof spec, "ndjson:%s", path);
    must_refuse(spec, NJ_SINK_APPEND, "is damaged behind byte", NULL);
    assert_int_equal(size_of(path), size + 8);
    char command[300];
    snprintf(command, sizeof command, "printf 'a,b\\n1,2\\n' | zstd -q > %s", plain);
    if (system(command)) return; /* no zstd here */
    snprintf(spec, sizeof spec, "ndjson:%s", plain);
    must_refuse(spec, NJ_SINK_APPEND, "does not begin with a JSON object", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_ends_a_frame),      cmocka_unit_test(a_flush_can_be_read),
        cmocka_unit_test(a_cut_file_goes_on),         cmocka_unit_test(names_are_checked),
        cmocka_unit_test(other_bytes_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
