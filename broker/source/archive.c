/* Packets out of tar archives and compressed files, by libarchive. */
#include "source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/file.h"
#include "classes.h"

/* A tar may announce any size: memory follows what arrives, not what is announced. */
enum { READ_BLOCK = 256 << 10, FIRST_ROOM = 4 << 20, NAME_BYTES = 512 };

typedef struct archive_source {
    nj_source base;
    const nj_source_host *host;
    char *spec;
    struct archive *reader;
    int fd; /* of the file, closed here; standard input stays open */
    int64_t n_members, n_handed;
    double whole, done; /* bytes of the file; done is read by other threads */
    nj_skipped skipped;
    char member[NAME_BYTES]; /* the one in hand, for messages */
    int failed;
} archive_source;

/* ".tar" or ".tar.ANYTHING", the short forms of those, or one compressed packet. */
static int named_as_archive(const char *spec)
{
    static const char *const form[] = { ".tar", ".tgz", ".tzst", ".txz", ".tbz2", ".tbz", ".tlz", ".avro.gz", ".avro.zst" };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (nj_ends_with(spec, form[i])) return 1;
    const char *slash = strrchr(spec, '/');
    return strstr(slash ? slash : spec, ".tar.") != NULL;
}

/* A tar by its magic, whatever its name. */
static int looks_like_tar(const char *spec)
{
    char magic[6] = "";
    struct stat st;
    if (stat(spec, &st) || !S_ISREG(st.st_mode)) return 0; /* reading a pipe would eat what the source needs */
    int fd = open(spec, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = pread(fd, magic, 5, 257);
    close(fd);
    return got == 5 && !memcmp(magic, "ustar", 5);
}

static int match_archive(const char *spec)
{
    struct stat st;
    if (!strcmp(spec, "-")) return 1;
    if (strstr(spec, "://") || (stat(spec, &st) == 0 && S_ISDIR(st.st_mode))) return 0; /* a folder may be named x.tar */
    return named_as_archive(spec) || looks_like_tar(spec);
}

/* Tar under any compression that libarchive has built in. `raw`: or one file that is no tar, so that an Avro file comes
 * through standard input as a single member. Filters that run other programs are left out: the bytes choose the filter. */
static struct archive *new_reader(int raw)
{
    struct archive *a = archive_read_new();
    if (!a) return NULL;
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_lzma(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_lz4(a);
    archive_read_support_filter_compress(a);
    archive_read_support_format_tar(a);
    if (raw) archive_read_support_format_raw(a);
    return a;
}

static void close_archive(nj_source *source)
{
    archive_source *s = (archive_source *)source;
    if (s->reader) archive_read_free(s->reader);
    if (s->fd > STDIN_FILENO) close(s->fd);
    free(s->spec);
    free(s);
}

static nj_source *open_archive(const nj_source_args *args, nj_error *err)
{
    struct stat st;
    int is_stdin = !strcmp(args->spec, "-");
    int fd = is_stdin ? STDIN_FILENO : open(args->spec, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        nj_fail(err, "%s: cannot be read: %s", args->spec, strerror(errno));
        return NULL;
    }
    archive_source *s = calloc(1, sizeof *s);
    if (s) {
        s->base.class = &nj_source_archive;
        s->host = args->host;
        s->fd = fd;
        s->spec = strdup(is_stdin ? "stdin" : args->spec);
        s->reader = new_reader(is_stdin || nj_ends_with(args->spec, ".avro.gz") || nj_ends_with(args->spec, ".avro.zst"));
    }
    if (!s || !s->spec || !s->reader) {
        nj_fail(err, "%s: out of memory", args->spec);
    } else if (archive_read_open_fd(s->reader, fd, READ_BLOCK) != ARCHIVE_OK) {
        const char *why = archive_error_string(s->reader);
        nj_fail(err, "%s: cannot be opened: %s", s->spec, why ? why : "no reason given");
    } else {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) s->whole = (double)st.st_size;
        s->base.stream = s->host->stream(s->host->opaque, s->spec, NULL, -1);
        if (s->base.stream) return &s->base;
        nj_fail(err, "%s: no room for another source", s->spec);
    }
    if (s) close_archive(&s->base);
    return NULL;
}

static nj_next broken(archive_source *s, nj_error *err, const char *where)
{
    const char *why = archive_error_string(s->reader);
    s->failed = 1;
    nj_fail(err, "%s: %s %s: %s; the members before it are good", s->spec, where, s->member[0] ? s->member : "its first member",
            why ? why : "the archive is damaged");
    return NJ_NEXT_ERROR;
}

static void name_member(archive_source *s, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (!name) name = archive_entry_pathname(entry);
    if (name)
        snprintf(s->member, sizeof s->member, "%s", name);
    else
        snprintf(s->member, sizeof s->member, "member %lld", (long long)s->n_members);
}

/* The whole member into memory of its own; NULL with *status ARCHIVE_OK when memory is short. */
static uint8_t *read_member(archive_source *s, struct archive_entry *entry, size_t *size, int *status)
{
    size_t cap = FIRST_ROOM, n = 0;
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) < FIRST_ROOM) cap = (size_t)archive_entry_size(entry) + 1;
    uint8_t *bytes = malloc(cap);
    *status = ARCHIVE_OK;
    while (bytes) {
        la_ssize_t got = archive_read_data(s->reader, bytes + n, cap - n);
        if (got == ARCHIVE_RETRY) continue;
        if (got < 0 && got != ARCHIVE_WARN) {
            *status = (int)got;
            break;
        }
        if (got <= 0) {
            *size = n;
            return bytes;
        }
        n += (size_t)got;
        if (n < cap) continue;
        uint8_t *grown = realloc(bytes, cap *= 2);
        if (!grown) break;
        bytes = grown;
    }
    free(bytes);
    return NULL;
}

static int is_alert(const char *name, const uint8_t *bytes, size_t size, int raw)
{
    return raw || nj_source_is_packet_name(name) || (size >= 4 && !memcmp(bytes, "Obj\1", 4));
}

static nj_next hand_over(archive_source *s, uint8_t *bytes, size_t size, int raw, nj_chunk **chunk, nj_error *err)
{
    nj_chunk *made = nj_chunk_new(s->base.stream, bytes, size);
    char *member = raw ? NULL : strdup(s->member);
    if (!made || (!raw && !member)) {
        if (made)
            nj_chunk_drop(made);
        else
            free(bytes);
        free(member);
        nj_fail(err, "%s: out of memory", s->spec);
        return NJ_NEXT_ERROR;
    }
    made->member = member;
    made->offset = s->n_handed++;
    made->arrival_ns = nj_now_ns();
    *chunk = made;
    return NJ_NEXT_CHUNK;
}

static nj_next next_member(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    archive_source *s = (archive_source *)source;
    struct archive_entry *entry;
    while (!s->failed) {
        int status = archive_read_next_header(s->reader, &entry);
        if (status == ARCHIVE_RETRY) continue;
        if (status == ARCHIVE_EOF) {
            nj_skipped_tell(&s->skipped, s->host, s->spec, "member");
            s->skipped = (nj_skipped){ 0 };
            __atomic_store(&s->done, &s->whole, __ATOMIC_RELAXED); /* what is left is padding */
            return NJ_NEXT_END;
        }
        if (status < ARCHIVE_WARN) return broken(s, err, "after");
        name_member(s, entry);
        s->n_members++;
        if (archive_entry_filetype(entry) == AE_IFDIR) continue;
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) {
            nj_skipped_add(&s->skipped, s->member, 0); /* a link holds no bytes: its target is a member of its own */
            continue;
        }
        size_t size = 0;
        uint8_t *bytes = read_member(s, entry, &size, &status);
        double done = (double)archive_filter_bytes(s->reader, -1);
        __atomic_store(&s->done, &done, __ATOMIC_RELAXED);
        if (!bytes && status != ARCHIVE_OK) return broken(s, err, "in");
        if (!bytes) {
            s->failed = 1;
            nj_fail(err, "%s: %s: out of memory", s->spec, s->member);
            return NJ_NEXT_ERROR;
        }
        int raw = (archive_format(s->reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_RAW;
        if (size && is_alert(s->member, bytes, size, raw)) return hand_over(s, bytes, size, raw, chunk, err);
        nj_skipped_add(&s->skipped, s->member, size == 0);
        free(bytes);
    }
    return NJ_NEXT_ERROR;
}

static int progress(const nj_source *source, double *done, double *whole)
{
    const archive_source *s = (const archive_source *)source;
    __atomic_load(&s->done, done, __ATOMIC_RELAXED);
    *whole = s->whole;
    return 0;
}

const nj_source_class nj_source_archive = { .name = "archive",
                                            .form = "FILE.tar, FILE.tar.gz, -",
                                            .doc = "members of a tar in their order, streamed; - is standard input (tar or Avro)",
                                            .match = match_archive,
                                            .open = open_archive,
                                            .next = next_member,
                                            .close = close_archive,
                                            .progress = progress };
