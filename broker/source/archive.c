/* archive.c - archives and packed files as a source: what members.c finds in one file or in standard
 * input. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/unpack.h"
#include "members.h"

typedef struct archive_source {
    nj_source base;
    nj_members_common common;
    nj_members *members, *before; /* before: of the first pass */
    char *spec;
    int fd; /* of the file, closed here; standard input stays open */
    const nj_shard *shard;
    uint64_t n_seen; /* packets in it so far: the number of the next one */
    int64_t n_handed;
    double whole; /* bytes of the file */
    int ended;
} archive_source;

/* Pipes come here too: their content is unknown before they are read. */
static int match_archive(const char *spec)
{
    struct stat st;
    if (!strcmp(spec, "-")) return 1;
    if (strstr(spec, "://")) return 0;
    if (stat(spec, &st)) return nj_source_is_archive_name(spec);
    if (S_ISDIR(st.st_mode)) return 0; /* a folder may be named x.tar */
    if (!S_ISREG(st.st_mode) || nj_source_is_archive_name(spec)) return 1;
    uint8_t head[NJ_KIND_BYTES];
    int fd = open(spec, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0) close(fd);
    return n > 0 && nj_members_are_in(head, (size_t)n);
}

static void close_archive(nj_source *source)
{
    archive_source *s = (archive_source *)source;
    nj_members_free(s->members);
    nj_members_free(s->before);
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
        s->fd = fd;
        s->shard = args->shard;
        s->spec = strdup(is_stdin ? "stdin" : args->spec);
        s->common.spec = s->spec;
        s->common.host = args->host;
        s->members = nj_members_of_file(&s->common, fd);
    } else if (!is_stdin) {
        close(fd);
    }
    if (!s || !s->spec || !s->members) {
        nj_fail(err, "%s: out of memory", args->spec);
    } else if (nj_source_configure(args->settings, &s->common.conf, err) == 0) {
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) s->whole = (double)st.st_size;
        s->base.stream = s->common.stream = args->host->stream(args->host->opaque, s->spec, NULL, -1);
        if (s->base.stream) return &s->base;
        nj_fail(err, "%s: no room for another source", s->spec);
    }
    if (s) close_archive(&s->base);
    return NULL;
}

/* Beside packets of Avro, files of JSON are reports and the like. That an archive has no others is known when
 * it was read to its end: then it is read once more, for its files of JSON. */
static bool begin_json(archive_source *s)
{
    char text[600];
    if (s->common.json || !s->common.n_json || s->n_seen || s->common.trouble.n) return false;
    if (s->whole <= 0 || lseek(s->fd, 0, SEEK_SET)) {
        snprintf(text, sizeof text,
                 "%.400s: its members of JSON are not read: a pipe does not say whether other packets follow",
                 s->spec);
        s->common.host->note(s->common.host->opaque, text);
        return false;
    }
    s->common.json = true;
    s->common.skipped = (nj_skipped){ 0 };
    nj_members *second = nj_members_of_file(&s->common, s->fd);
    if (!second) return false;
    s->before = s->members; /* another thread may be asking it how far it is */
    __atomic_store_n(&s->members, second, __ATOMIC_RELEASE);
    snprintf(text, sizeof text, "%.400s: holds no packets but JSON: its %llu member%s of JSON are read",
             s->spec, (unsigned long long)s->common.n_json, s->common.n_json == 1 ? "" : "s");
    s->common.host->note(s->common.host->opaque, text);
    return true;
}

static nj_next next_member(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    archive_source *s = (archive_source *)source;
    int rc;
    while ((rc = nj_members_next(s->members, chunk, err)) > 0 || (rc == 0 && begin_json(s))) {
        if (rc == 0) continue;
        uint64_t part = s->n_seen++;
        if (!nj_shard_take(s->shard, s->base.stream, "member", part)) {
            nj_chunk_drop(*chunk);
            continue;
        }
        (*chunk)->offset = s->n_handed++;
        (*chunk)->part = nj_shard_part(s->shard, part, (*chunk)->offset);
        (*chunk)->arrival_ns = nj_now_ns();
        return NJ_NEXT_CHUNK;
    }
    nj_skipped_report(&s->common.skipped, s->common.host, s->spec, "member");
    s->common.skipped = (nj_skipped){ 0 };
    if (rc < 0) return NJ_NEXT_ERROR;
    __atomic_store_n(&s->ended, 1, __ATOMIC_RELAXED);
    if (!s->common.trouble.n) return NJ_NEXT_END;
    nj_fail(err, "%s: %llu of its members could not be read; the first: %.400s", s->spec,
            (unsigned long long)s->common.trouble.n, s->common.trouble.first);
    return NJ_NEXT_ERROR;
}

static int progress(const nj_source *source, double *done, double *whole)
{
    const archive_source *s = (const archive_source *)source;
    *whole = s->whole;
    *done = __atomic_load_n(&s->ended, __ATOMIC_RELAXED)
                ? s->whole
                : nj_members_done(__atomic_load_n(&s->members, __ATOMIC_ACQUIRE));
    return 0;
}

const nj_source_class nj_source_archive = {
    .name = "archive",
    .form = "FILE.tar, FILE.tar.gz, FILE.zip, FILE.avro.gz, -",
    .doc = "members of an archive in their order, or a packed packet, streamed; - is standard input",
    .match = match_archive,
    .open = open_archive,
    .next = next_member,
    .close = close_archive,
    .progress = progress
};
