/* file.c - packets in files and folders are a source of their own: one file is one chunk. */
#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/arena.h"
#include "../base/clock.h"
#include "../base/file.h"
#include "members.h"

/* Larger files are mapped: a night in one OCF need not fit into memory. Smaller ones are read, which costs
 * less than the page faults of a mapping and cannot fault when the file is truncated in the meantime. */
enum { MAP_BYTES = 8 << 20, READ_STEP = 256 << 10, MAX_DEPTH = 64 };

typedef struct file_source {
    nj_source base;
    const nj_source_host *host;
    const nj_shard *shard;
    char *spec;
    const char **name; /* paths relative to the folder, sorted bytewise; one file: NULL names */
    size_t n, cap, at;
    int64_t n_handed;
    nj_members_common common; /* of a folder */
    nj_members *members;      /* of a folder: what files of several packets hold */
    const char **archive;     /* of a folder that holds archives and, perhaps, no packet */
    const char **json;        /* of a folder: packets when there is nothing else; reports are JSON, too */
    size_t n_archives, cap_archives, n_json, cap_json;
    nj_arena names;
} file_source;

static void release_mapped(nj_chunk *chunk)
{
    munmap(chunk->bytes, chunk->size);
    free(chunk->member);
    free(chunk->fault);
    free(chunk);
}

static nj_chunk *map_file(nj_stream *stream, int fd, size_t size)
{
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) return NULL;
    madvise(bytes, size, MADV_SEQUENTIAL);
    nj_chunk *chunk = nj_chunk_new(stream, bytes, size);
    if (chunk)
        chunk->release = release_mapped;
    else
        munmap(bytes, size);
    return chunk;
}

/* Reads to the end, whatever size was announced: pipes announce none, and files may grow. */
static nj_chunk *read_all(nj_stream *stream, int fd, size_t announced)
{
    size_t cap = announced + 1, n = 0;
    uint8_t *bytes = malloc(cap);
    while (bytes) {
        ssize_t got = read(fd, bytes + n, cap - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        if (got == 0) {
            nj_chunk *chunk = nj_chunk_new(stream, bytes, n);
            if (!chunk) free(bytes);
            return chunk;
        }
        n += (size_t)got;
        if (n < cap) continue;
        cap += cap > READ_STEP ? cap : READ_STEP;
        uint8_t *grown = realloc(bytes, cap);
        if (!grown) break;
        bytes = grown;
    }
    int saved = bytes ? errno : ENOMEM;
    free(bytes);
    errno = saved;
    return NULL;
}

/* NULL with errno. */
static nj_chunk *read_file(nj_stream *stream, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    nj_chunk *chunk = NULL;
    if (fstat(fd, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            errno = EISDIR;
        else if (S_ISREG(st.st_mode) && st.st_size >= MAP_BYTES)
            chunk = map_file(stream, fd, (size_t)st.st_size);
        else
            chunk = read_all(stream, fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : READ_STEP);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return chunk;
}

static int add_name(nj_arena *names, const char ***list, size_t *n, size_t *cap, const char *name)
{
    if (*n == *cap) {
        size_t more = *cap ? 2 * *cap : 1024;
        const char **grown = realloc(*list, more * sizeof *grown);
        if (!grown) return -1;
        *list = grown;
        *cap = more;
    }
    (*list)[*n] = nj_arena_text(names, name, strlen(name));
    return (*list)[(*n)++] ? 0 : -1;
}

static void unreadable(file_source *s, const char *name, const char *why)
{
    nj_trouble_add(&s->common.trouble, s->host, "%s/%s: cannot be read: %s", s->spec, name, why);
}

/* A packet by its name, or by its content; an archive; or nothing of ours. */
static int add_file(file_source *s, const char *inside, nj_error *err)
{
    char path[4608];
    int kind = nj_source_is_packet_name(inside) ? 2 : nj_source_is_archive_name(inside) ? 1 : 0;
    bool fits = snprintf(path, sizeof path, "%s/%s", s->spec, inside) < (int)sizeof path;
    struct stat st;
    const bool folder = fits && stat(path, &st) == 0 && S_ISDIR(st.st_mode); /* a link to one */
    if (folder || (fits && nj_is_special(path))) return nj_skipped_add_special(&s->common.skipped, inside), 0;
    if (!kind && fits) kind = nj_members_look(path);
    if (!kind && nj_source_is_json_name(inside) &&
        add_name(&s->names, &s->json, &s->n_json, &s->cap_json, inside))
        return nj_fail(err, "%s: out of memory for the names", s->spec);
    if (!kind && nj_source_is_json_name(inside)) return 0;
    if (!kind)
        nj_skipped_add(&s->common.skipped, inside, 0);
    else if (kind == 1 ? add_name(&s->names, &s->archive, &s->n_archives, &s->cap_archives, inside)
                       : add_name(&s->names, &s->name, &s->n, &s->cap, inside))
        return nj_fail(err, "%s: out of memory for the names", s->spec);
    return 0;
}

/* Adds the packets under the folder `inside` ("" or "sub/dir/"). Links to folders are not followed: they may
 * lead in circles. */
static int scan(file_source *s, const char *inside, int depth, nj_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", s->spec, inside) >= (int)sizeof path || depth > MAX_DEPTH)
        return nj_fail(err, "%s/%s: folders are nested too deep", s->spec, inside);
    DIR *dir = opendir(path);
    if (!dir) {
        if (!inside[0]) return nj_fail(err, "%s: cannot be read: %s", s->spec, strerror(errno));
        unreadable(s, inside, strerror(errno));
        return 0;
    }
    int failed = 0;
    for (struct dirent *e; !failed && (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (snprintf(path, sizeof path - 1, "%s%s", inside, e->d_name) >= (int)sizeof path - 1) {
            failed = nj_fail(err, "%s/%s%s: the path is too long", s->spec, inside, e->d_name);
        } else if (e->d_type == DT_DIR ||
                   (e->d_type == DT_UNKNOWN &&
                    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))) {
            strcat(path, "/");
            failed = scan(s, path, depth + 1, err);
        } else if (nj_source_is_metadata(path)) {
            nj_skipped_add_metadata(&s->common.skipped, path);
        } else {
            failed = add_file(s, path, err);
        }
    }
    closedir(dir);
    return failed;
}

/* Archives beside packets are most often the packets again: they are read where there is nothing else. */
static int choose(file_source *s, nj_error *err)
{
    char text[1024];
    if (!s->n && s->n_archives) {
        free(s->name);
        s->name = s->archive;
        s->n = s->n_archives;
        s->archive = NULL;
    } else if (s->n_archives) {
        snprintf(text, sizeof text,
                 "%s: skipped %zu archive%s beside the packets (%.300s%s); name %s to read %s", s->spec,
                 s->n_archives, s->n_archives > 1 ? "s" : "", s->archive[0], s->n_archives > 1 ? ", ..." : "",
                 s->n_archives > 1 ? "them" : "it", s->n_archives > 1 ? "them" : "it");
        s->host->note(s->host->opaque, text);
    }
    if (!s->n && s->n_json) {
        free(s->name);
        s->name = s->json;
        s->n = s->n_json;
        s->json = NULL;
        s->common.json = true;
    }
    for (size_t i = 0; s->json && i < s->n_json; i++) nj_skipped_add(&s->common.skipped, s->json[i], 0);
    if (s->n || s->common.trouble.n) return 0;
    return nj_fail(err,
                   "%s: the folder holds no .avro, .msg, .datum or .json file, packed or not, and no archive",
                   s->spec);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void close_source(nj_source *source)
{
    file_source *s = (file_source *)source;
    nj_members_free(s->members);
    nj_arena_free(&s->names);
    free(s->name);
    free(s->archive);
    free(s->json);
    free(s->spec);
    free(s);
}

static file_source *new_source(const nj_source_args *args, const nj_source_class *class, nj_error *err)
{
    file_source *s = calloc(1, sizeof *s);
    char *spec = strdup(args->spec);
    if (!s || !spec) {
        free(s);
        free(spec);
        nj_fail(err, "%s: out of memory", args->spec);
        return NULL;
    }
    size_t n = strlen(spec);
    while (n > 1 && spec[n - 1] == '/') spec[--n] = '\0';
    s->base.class = class;
    s->host = args->host;
    s->shard = args->shard;
    s->spec = spec;
    return s;
}

static nj_source *with_stream(file_source *s, nj_error *err)
{
    s->base.stream = s->host->stream(s->host->opaque, s->spec, NULL, -1);
    if (s->base.stream) return &s->base;
    nj_fail(err, "%s: no room for another source", s->spec);
    close_source(&s->base);
    return NULL;
}

static nj_source *open_folder(const nj_source_args *args, nj_error *err)
{
    file_source *s = new_source(args, &nj_source_folder, err);
    if (!s) return NULL;
    s->common.spec = s->spec;
    s->common.host = s->host;
    s->members = nj_members_of_pieces(&s->common);
    int rc = s->members ? 0 : nj_fail(err, "%s: out of memory", s->spec);
    if (rc || nj_source_configure(args->settings, &s->common.conf, err) || scan(s, "", 0, err) ||
        choose(s, err)) {
        close_source(&s->base);
        return NULL;
    }
    qsort(s->name, s->n, sizeof *s->name, by_bytes);
    nj_source *made = with_stream(s, err);
    if (made) s->common.stream = made->stream; /* else s is gone */
    return made;
}

static nj_source *open_file(const nj_source_args *args, nj_error *err)
{
    struct stat st;
    if (stat(args->spec, &st) || access(args->spec, R_OK)) {
        nj_fail(err, "%s: cannot be read: %s", args->spec, strerror(errno));
        return NULL;
    }
    file_source *s = new_source(args, &nj_source_file, err);
    if (!s) return NULL;
    s->n = 1;
    return with_stream(s, err);
}

static nj_next hand_over(file_source *s, nj_chunk *made, nj_chunk **chunk)
{
    made->offset = s->n_handed++;
    made->part = nj_shard_part(s->shard, s->at - 1, made->offset);
    made->arrival_ns = nj_now_ns();
    *chunk = made;
    return NJ_NEXT_CHUNK;
}

static nj_next next_file(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    file_source *s = (file_source *)source;
    if (s->at == s->n) return NJ_NEXT_END;
    __atomic_fetch_add(&s->at, 1, __ATOMIC_RELAXED);
    nj_chunk *made = read_file(s->base.stream, s->spec);
    if (made) made->by_block = s->shard && s->shard->by == NJ_SHARD_PART;
    if (made) return hand_over(s, made, chunk);
    nj_fail(err, "%s: cannot be read: %s", s->spec, strerror(errno));
    return NJ_NEXT_ERROR;
}

/* The next file of the folder: 1 = *made is its packet, 0 = none in it, or nj_members_next() has them,
 * -1: out of memory. */
static int open_next(file_source *s, nj_chunk **made, nj_error *err)
{
    char path[4608];
    const char *name = s->name[s->at];
    nj_chunk *file = NULL;
    __atomic_fetch_add(&s->at, 1, __ATOMIC_RELAXED);
    if (!nj_shard_take(s->shard, s->base.stream, "file", s->at - 1)) return 0;
    if (snprintf(path, sizeof path, "%s/%s", s->spec, name) >= (int)sizeof path)
        errno = ENAMETOOLONG;
    else
        file = read_file(s->base.stream, path);
    if (!file) {
        unreadable(s, name, strerror(errno));
        return 0;
    }
    if (!(file->member = strdup(name))) {
        nj_chunk_drop(file);
        return nj_fail(err, "%s: out of memory", s->spec);
    }
    return nj_members_take(s->members, file, made, err);
}

/* A file that cannot be read does not cost the rest of the folder:
 * it is noted, and the source ends as an error. */
static nj_next next_of_folder(nj_source *source, int timeout_ms, nj_chunk **chunk, nj_error *err)
{
    (void)timeout_ms;
    file_source *s = (file_source *)source;
    for (;;) {
        nj_chunk *made = NULL;
        int rc = nj_members_inside(s->members) ? nj_members_next(s->members, &made, err) : 0;
        if (rc == 0 && s->at == s->n) break;
        if (rc == 0) rc = open_next(s, &made, err);
        if (rc < 0) return NJ_NEXT_ERROR;
        if (rc > 0 && made) return hand_over(s, made, chunk);
    }
    nj_skipped_report(&s->common.skipped, s->host, s->spec, "file");
    s->common.skipped = (nj_skipped){ 0 };
    if (!s->common.trouble.n) return NJ_NEXT_END;
    nj_fail(err, "%s: %llu of its files and folders could not be read; the first is %.400s", s->spec,
            (unsigned long long)s->common.trouble.n, s->common.trouble.first);
    return NJ_NEXT_ERROR;
}

static int progress(const nj_source *source, double *done, double *whole)
{
    const file_source *s = (const file_source *)source;
    *done = (double)__atomic_load_n(&s->at, __ATOMIC_RELAXED);
    *whole = (double)s->n;
    return 0;
}

static int match_folder(const char *spec)
{
    struct stat st;
    return stat(spec, &st) == 0 && S_ISDIR(st.st_mode);
}

static int match_file(const char *spec)
{
    return !strstr(spec, "://");
}

const nj_source_class nj_source_folder = { .name = "folder",
                                           .form = "FOLDER",
                                           .doc =
                                               "the packets below it by name and content, packed or not, in "
                                               "the order of their names; archives when there are no others",
                                           .match = match_folder,
                                           .open = open_folder,
                                           .next = next_of_folder,
                                           .close = close_source,
                                           .progress = progress };
const nj_source_class nj_source_file = {
    .name = "file",
    .form = "FILE.avro",
    .doc = "one packet, or an Avro file of many records (a dead-letter file is one)",
    .match = match_file,
    .open = open_file,
    .next = next_file,
    .close = close_source,
    .progress = progress
};
