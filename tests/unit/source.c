/* source.c - sources of files: single files, folders, archives under several compressions, standard input,
 * and what is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/source_host.h"
#include "tests/unit/folder.h"

/* Packet i: "Obj\1", its number, and filler of a size of its own that no compression can shrink away. */
static size_t packet(uint32_t i, uint8_t *bytes)
{
    size_t n = 20000 + (i * 7919u) % 60000;
    uint64_t x = i + 1;
    for (size_t k = 0; k < n; k++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        bytes[k] = (uint8_t)(x >> 56);
    }
    memcpy(bytes, "Obj\1", 4);
    memcpy(bytes + 4, &i, 4);
    return n;
}

static void write_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void add_member(struct archive *a, const char *name, int type, const void *bytes, size_t n)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, (unsigned)type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)n);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (n) assert_int_equal(archive_write_data(a, bytes, n), n);
    archive_entry_free(e);
}

/* A tar of n packets in an order that is not that of their names, among things that are none. */
static void write_tar(const char *name, int (*filter)(struct archive *), uint32_t n)
{
    static uint8_t bytes[80004];
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    if (filter) assert_int_equal(filter(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, in_folder(name)), ARCHIVE_OK);
    add_member(a, "night", AE_IFDIR, "", 0);
    add_member(a, "night/README", AE_IFREG, "alerts", 6);
    for (uint32_t i = 0; i < n; i++) {
        char member[64];
        /* one without an ending: known by "Obj\1" */
        snprintf(member, sizeof member, "night/%u%s", n - i, i == 1 ? "" : ".avro");
        add_member(a, member, AE_IFREG, bytes, packet(i, bytes));
        if (i == 0) add_member(a, "night/nothing.avro", AE_IFREG, "", 0);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

typedef struct tally {
    uint32_t n;
    nj_next end;
    nj_error err;
} tally;

/* Reads to the end; every chunk must be the next packet, whole. */
static tally read_packets(test_host *t, const char *spec)
{
    static uint8_t bytes[80004];
    tally r = { .end = NJ_NEXT_ERROR };
    nj_source *s = test_open(t, spec, &r.err);
    nj_chunk *c;
    if (!s) return r;
    while ((r.end = s->class->next(s, 100, &c, &r.err)) == NJ_NEXT_CHUNK) {
        size_t n = packet(r.n, bytes);
        assert_int_equal(c->size, n);
        assert_memory_equal(c->bytes, bytes, n);
        assert_int_equal(c->offset, r.n);
        assert_int_equal(c->refs, 1);
        assert_ptr_equal(c->stream, s->stream);
        assert_true(c->arrival_ns > 0);
        nj_chunk_drop(c);
        r.n++;
    }
    double done = -1, whole = -1;
    assert_int_equal(s->class->progress(s, &done, &whole), 0);
    if (r.end == NJ_NEXT_END && whole > 0) assert_true(done == whole);
    s->class->close(s);
    return r;
}

static void archives_give_their_members_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*filter)(struct archive *);
    } kind[] = {
        { "a.tar", NULL },
        { "a.tar.gz", archive_write_add_filter_gzip },
        { "a.tgz", archive_write_add_filter_gzip },
        { "a.tar.zst", archive_write_add_filter_zstd },
        { "a.tar.xz", archive_write_add_filter_xz },
        { "a.tar.bz2", archive_write_add_filter_bzip2 },
        { "named-otherwise", NULL },
    };
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        test_host *t = test_host_new();
        write_tar(kind[i].name, kind[i].filter, 25);
        tally r = read_packets(t, in_folder(kind[i].name));
        if (r.end != NJ_NEXT_END) print_error("%s\n", r.err.text);
        assert_int_equal(r.end, NJ_NEXT_END);
        assert_int_equal(r.n, 25);
        assert_int_equal(t->n_streams, 1);
        assert_non_null(
            strstr(t->notes,
                   "skipped 1 member not an alert (night/README), and 1 empty member (night/nothing.avro)"));
        test_host_free(t);
    }
}

static void a_cut_archive_names_the_member_and_keeps_what_came_before(void **state)
{
    (void)state;
    write_tar("whole.tar", NULL, 10);
    write_tar("whole.tar.gz", archive_write_add_filter_gzip, 10);
    static const char *const name[] = { "whole.tar", "whole.tar.gz" };
    for (int k = 0; k < 2; k++) {
        struct stat st;
        static char bytes[2 << 20];
        assert_int_equal(stat(in_folder(name[k]), &st), 0);
        assert_true(st.st_size < (off_t)sizeof bytes);
        int fd = open(in_folder(name[k]), O_RDONLY);
        assert_int_equal(read(fd, bytes, sizeof bytes), st.st_size);
        close(fd);
        write_file(k ? "cut.tar.gz" : "cut.tar", bytes, (size_t)st.st_size / 2);
        test_host *t = test_host_new();
        tally r = read_packets(t, in_folder(k ? "cut.tar.gz" : "cut.tar"));
        assert_int_equal(r.end, NJ_NEXT_ERROR);
        assert_in_range(r.n, 3, 7);
        char member[64];
        snprintf(member, sizeof member, "in night/%u.avro", 10 - r.n);
        assert_non_null(strstr(r.err.text, member));
        assert_non_null(strstr(r.err.text, k ? "cut.tar.gz" : "cut.tar"));
        test_host_free(t);
    }
}

static void folders_are_read_by_name_to_the_bottom(void **state)
{
    (void)state;
    static uint8_t bytes[80004];
    static const char *const name[] = { "f/10.avro",   "f/9.msg",    "f/B.avro",
                                        "f/a/1.datum", "f/a/2.avro", "f/b.avro" }; /* bytewise */
    mkdir(in_folder("f"), 0755);
    mkdir(in_folder("f/a"), 0755);
    mkdir(in_folder("f/bare"), 0755);
    for (uint32_t i = 0; i < 6; i++) write_file(name[i], bytes, packet(i, bytes));
    write_file("f/README.md", "x", 1);
    write_file("f/a/zero.avro", "", 0);
    test_host *t = test_host_new();
    char spec[512];
    snprintf(spec, sizeof spec, "%s/", in_folder("f"));
    tally r = read_packets(t, spec);
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_int_equal(r.n, 6);
    assert_non_null(strstr(t->notes, "1 file not an alert (README.md), and 1 empty file (a/zero.avro)"));
    assert_string_equal(t->stream[0].name, in_folder("f"));

    /* a link that leads nowhere: the others are read, and the end is an error that names it */
    assert_int_equal(symlink("/nonexistent/x", in_folder("f/a/0.avro")), 0);
    r = (tally){ 0 };
    nj_source *s = test_open(t, in_folder("f"), &r.err);
    nj_chunk *c;
    while ((r.end = s->class->next(s, 0, &c, &r.err)) == NJ_NEXT_CHUNK) {
        r.n++;
        nj_chunk_drop(c);
    }
    s->class->close(s);
    assert_int_equal(r.n, 6);
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    assert_non_null(strstr(r.err.text, "a/0.avro: cannot be read: No such file"));
    assert_non_null(strstr(t->notes, "a/0.avro"));
    test_host_free(t);
}

static void single_files_small_and_mapped(void **state)
{
    (void)state;
    static uint8_t bytes[80004];
    write_file("one.avro", bytes, packet(0, bytes));
    test_host *t = test_host_new();
    tally r = read_packets(t, in_folder("one.avro"));
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_int_equal(r.n, 1);

    size_t n = 20 << 20;
    uint8_t *large = calloc(n, 1);
    memcpy(large, "Obj\1", 4);
    large[n - 1] = 7;
    write_file("large.avro", large, n);
    nj_source *s = test_open(t, in_folder("large.avro"), &r.err);
    nj_chunk *c;
    assert_int_equal(s->class->next(s, 0, &c, &r.err), NJ_NEXT_CHUNK);
    assert_int_equal(s->class->next(s, 0, &c, &r.err), NJ_NEXT_END);
    s->class->close(s); /* the chunk outlives its source */
    assert_int_equal(c->size, n);
    assert_memory_equal(c->bytes, large, n);
    nj_chunk_drop(c);
    free(large);
    test_host_free(t);
}

/* Runs read_packets with the file as standard input. */
static tally read_stdin(test_host *t, const char *path)
{
    int saved = dup(STDIN_FILENO), fd = open(path, O_RDONLY);
    dup2(fd, STDIN_FILENO);
    close(fd);
    tally r = read_packets(t, "-");
    dup2(saved, STDIN_FILENO);
    close(saved);
    return r;
}

static void standard_input_is_a_tar_or_an_avro_file(void **state)
{
    (void)state;
    static uint8_t bytes[80004];
    test_host *t = test_host_new();
    write_tar("in.tar.gz", archive_write_add_filter_gzip, 8);
    tally r = read_stdin(t, in_folder("in.tar.gz"));
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_int_equal(r.n, 8);
    write_file("in.avro", bytes, packet(0, bytes));
    r = read_stdin(t, in_folder("in.avro"));
    assert_int_equal(r.end, NJ_NEXT_END);
    assert_int_equal(r.n, 1);
    r = read_stdin(t, "/dev/null");
    assert_int_equal(r.end, NJ_NEXT_ERROR);
    test_host_free(t);
}

static void bad_sources_say_why(void **state)
{
    (void)state;
    write_file("html.tar.gz", "<html>gone</html>", 17);
    mkdir(in_folder("empty"), 0755);
    static const struct {
        const char *name, *says;
    } bad[] = { { "missing.avro", "missing.avro: cannot be read: No such file" },
                { "missing.tar.gz", "missing.tar.gz: cannot be read: No such file" },
                { "html.tar.gz", "html.tar.gz" },
                { "empty", "holds no .avro" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_host *t = test_host_new();
        tally r = read_packets(t, in_folder(bad[i].name));
        assert_int_equal(r.end, NJ_NEXT_ERROR);
        assert_int_equal(r.n, 0);
        assert_non_null(strstr(r.err.text, bad[i].says));
        test_host_free(t);
    }
    test_host *t = test_host_new();
    tally r = { 0 };
    assert_null(test_open(t, "ftp://host/x", &r.err));
    assert_non_null(strstr(r.err.text, "ftp://host/x"));
    test_host_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archives_give_their_members_in_order),
        cmocka_unit_test(a_cut_archive_names_the_member_and_keeps_what_came_before),
        cmocka_unit_test(folders_are_read_by_name_to_the_bottom),
        cmocka_unit_test(single_files_small_and_mapped),
        cmocka_unit_test(standard_input_is_a_tar_or_an_avro_file),
        cmocka_unit_test(bad_sources_say_why),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
