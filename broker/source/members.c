/* members.c - a packet may be in a file, in an archive or in an archive inside an archive; all nesting is
 * handled here. libarchive reads tar and zip; unpacking is base/unpack.c's, which looks at checksums. */
#include "members.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/unpack.h"
#include "members_state.h"

nj_members *nj_members_new(nj_members_common *common, int fd, nj_chunk *owned, const char *path, int depth)
{
    nj_members *m = calloc(1, sizeof *m);
    char *copy = strdup(path);
    if (!m || !copy) {
        free(m);
        free(copy);
        return NULL;
    }
    m->common = common;
    m->fd = fd;
    m->owned = owned;
    m->path = copy;
    m->depth = depth;
    return m;
}

nj_members *nj_members_of_file(nj_members_common *common, int fd)
{
    return nj_members_new(common, fd, NULL, "", 0);
}

nj_members *nj_members_of_pieces(nj_members_common *common)
{
    nj_members *m = nj_members_new(common, -1, NULL, "", 0);
    if (m) m->opened = true;
    return m;
}

void nj_members_free(nj_members *m)
{
    if (!m) return;
    nj_members_free(m->inside);
    if (m->reader) archive_read_free(m->reader);
    nj_ahead_free(m->ahead);
    nj_unpacker_free(m->unpack);
    nj_chunk_drop(m->owned);
    free((char *)m->path);
    free(m);
}

double nj_members_done(const nj_members *m)
{
    double done;
    __atomic_load(&m->done, &done, __ATOMIC_RELAXED);
    return done;
}

bool nj_members_inside(const nj_members *m)
{
    return m->inside != NULL;
}

bool nj_members_is_archive(const uint8_t *bytes, size_t n)
{
    return nj_is_tar(bytes, n) || nj_is_zip(bytes, n) || nj_is_packed_otherwise(bytes, n);
}

bool nj_members_are_in(const uint8_t *bytes, size_t n)
{
    return nj_packing_of(bytes, n) || nj_members_is_archive(bytes, n);
}

/* An empty tar, or one with an empty one in front. */
static bool begins_with_end_mark(const uint8_t *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && i < 512 && !bytes[i]) i++;
    return i == 512;
}

static long fill_from_file(void *opaque, void *into, size_t room, nj_error *err)
{
    nj_members *m = opaque;
    ssize_t got;
    do {
        got = read(m->fd, into, room < NJ_MEMBERS_BLOCK ? room : NJ_MEMBERS_BLOCK);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return nj_fail(err, "cannot be read: %s", strerror(errno));
    double done = m->done + (double)got;
    __atomic_store(&m->done, &done, __ATOMIC_RELAXED);
    return got;
}

int nj_members_look(const char *path)
{
    uint8_t head[NJ_KIND_BYTES];
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return 0; /* reading a pipe would eat what the
                   * source needs */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = pread(fd, head, sizeof head, 0);
    int kind = n > 0 && nj_members_are_in(head, (size_t)n);
    if (n >= 4 && !memcmp(head, "Obj\1", 4)) kind = 2;
    if (kind == 1 && nj_packing_of(head, (size_t)n)) {
        nj_members m = { .fd = fd };
        nj_unpacker *u = nj_unpacker_new(fill_from_file, &m, NULL, 0, NJ_ZSTD_WINDOW);
        const uint8_t *bytes;
        long got = u ? nj_unpacker_next(u, &bytes, NULL) : 0;
        if (got >= 4 && !memcmp(bytes, "Obj\1", 4)) kind = 2;
        if (got > 0 && kind == 1 && !nj_members_is_archive(bytes, (size_t)got)) kind = 0;
        nj_unpacker_free(u);
    }
    close(fd);
    return kind;
}

/* --- opening --- */

/* A pipe may stand still, and could then not be closed while a thread reads it. */
static bool may_run_ahead(const nj_members *m)
{
    struct stat st;
    return !m->owned && nj_unpacker_packing(m->unpack) && m->n_head >= NJ_MEMBERS_BLOCK / 2 &&
           fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* The piece behind those that were asked for; the one before it is given back. */
static long next_piece(nj_members *m, const uint8_t **piece)
{
    if (m->run_ahead) m->ahead = nj_ahead_new(m->unpack);
    m->run_ahead = false;
    return m->ahead ? nj_ahead_next(m->ahead, piece, &m->feed_err)
                    : nj_unpacker_next(m->unpack, piece, &m->feed_err);
}

static void see_zeros(nj_members *m, const uint8_t *bytes, size_t n)
{
    size_t k = n;
    while (k && !bytes[k - 1]) k--;
    m->zeros = k ? n - k : m->zeros + n;
    m->fed += n;
}

static la_ssize_t feed(struct archive *a, void *opaque, const void **bytes)
{
    nj_members *m = opaque;
    const uint8_t *piece = m->head;
    long n = (long)m->n_head;
    if (n)
        m->head = NULL, m->n_head = 0;
    else
        n = next_piece(m, &piece);
    if (n < 0) {
        m->feed_failed = true;
        archive_set_error(a, EIO, "%s", m->feed_err.text);
        return -1;
    }
    if (n == 0) m->feed_ended = true;
    see_zeros(m, piece, (size_t)n);
    *bytes = piece;
    return n;
}

/* Filters that run other programs are left out: the bytes choose the filter. */
static struct archive *new_reader(nj_members *m, const uint8_t *head, size_t n)
{
    struct archive *a = archive_read_new();
    if (!a) return NULL;
    if (nj_is_zip(head, n)) {
        archive_read_support_format_zip(a);
        return a;
    }
    archive_read_support_format_tar(a);
    archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1");
    if (m->is_tar) return a;
    m->packed_otherwise = true;
    archive_read_support_filter_lzma(a);
    archive_read_support_filter_lzip(a);
    archive_read_support_filter_lz4(a);
    archive_read_support_filter_compress(a);
    archive_read_support_format_raw(a);
    return a;
}

/* A zip has its table at the end, and only that is sure: it is read there where one can seek. */
static int open_reader(nj_members *m)
{
    struct stat st;
    if (nj_is_zip(m->head, m->n_head) && nj_unpacker_packing(m->unpack) == NJ_PACKED_NOT) {
        if (m->owned) return archive_read_open_memory(m->reader, m->owned->bytes, m->owned->size);
        if (fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(m->fd, 0, SEEK_SET) == 0)
            return archive_read_open_fd(m->reader, m->fd, NJ_MEMBERS_BLOCK);
    }
    return archive_read_open(m->reader, m, NULL, feed, NULL);
}

static int fails(nj_members *m, nj_error *err, const char *why)
{
    m->failed = true;
    return nj_fail(err, "%s%s%s: %s", m->common->spec, *m->path ? ": " : "", m->path, why);
}

static int open_members(nj_members *m, nj_error *err)
{
    nj_error why;
    m->opened = true;
    m->unpack = nj_unpacker_new(m->owned ? NULL : fill_from_file, m, m->owned ? m->owned->bytes : NULL,
                                m->owned ? m->owned->size : 0, (int)m->common->conf.zstd_window_log);
    if (!m->unpack) return fails(m, err, "out of memory");
    long n = nj_unpacker_next(m->unpack, &m->head, &why);
    if (n < 0) return fails(m, err, why.text);
    m->n_head = (size_t)n;
    m->run_ahead = may_run_ahead(m);
    if (n == 0) return fails(m, err, nj_unpacker_packing(m->unpack) ? "packed, but empty" : "empty: 0 bytes");
    /* lzma has no magic, so that its name must do */
    bool lzma = nj_ends_with(m->common->spec, ".tlz") || nj_ends_with(m->common->spec, ".lzma");
    bool avro = n >= 4 && !memcmp(m->head, "Obj\1", 4);
    m->is_tar = nj_is_tar(m->head, m->n_head) ||
                (begins_with_end_mark(m->head, m->n_head) && !nj_source_is_packet_name(m->common->spec));
    m->single = avro || (!m->is_tar && !nj_members_is_archive(m->head, m->n_head) && !lzma);
    if (m->single && !avro && m->depth == 0 && nj_source_is_archive_name(m->common->spec)) {
        const char *kind = nj_kind_of(m->head, m->n_head);
        char text[128];
        snprintf(text, sizeof text, "no archive, whatever its name says: %s%s",
                 kind ? "it is " : "its beginning is unknown", kind ? kind : "");
        return fails(m, err, text);
    }
    if (m->single) return 0;
    m->reader = new_reader(m, m->head, m->n_head);
    if (!m->reader) return fails(m, err, "out of memory");
    if (open_reader(m) == ARCHIVE_OK) return 0;
    const char *text = archive_error_string(m->reader);
    return fails(m, err, m->feed_failed ? m->feed_err.text : text ? text : "cannot be opened");
}

/* --- reading --- */

static void name_member(nj_members *m, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (!name) name = archive_entry_pathname(entry);
    if (name)
        snprintf(m->member, sizeof m->member, "%s", name);
    else
        snprintf(m->member, sizeof m->member, "member %lld", (long long)m->n_members);
}

/* The whole member into memory of its own. ARCHIVE_OK, or what libarchive says;
 * *why is its text, or "out of memory". */
static int read_member(nj_members *m, struct archive_entry *entry, uint8_t **bytes, size_t *size,
                       const char **why)
{
    size_t cap = NJ_MEMBERS_ROOM, n = 0;
    int status = ARCHIVE_OK;
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) < NJ_MEMBERS_ROOM)
        cap = (size_t)archive_entry_size(entry) + 1;
    *bytes = malloc(cap);
    *why = "out of memory";
    while (*bytes) {
        la_ssize_t got = archive_read_data(m->reader, *bytes + n, cap - n);
        if (got == ARCHIVE_RETRY) continue;
        if (got < 0) {
            const char *text = archive_error_string(m->reader);
            *why = m->feed_failed ? m->feed_err.text : text ? text : "damaged";
            status = (int)got;
            break;
        }
        if (got == 0) break;
        n += (size_t)got;
        if (n > (size_t)m->common->conf.max_member) {
            *why = "it has more bytes than [source] max_member";
            status = ARCHIVE_FAILED;
            break;
        }
        if (n < cap) continue;
        uint8_t *grown = realloc(*bytes, cap *= 2);
        if (!grown) free(*bytes);
        *bytes = grown;
    }
    *size = n;
    return *bytes ? status : ARCHIVE_FATAL;
}

static int broken(nj_members *m, nj_error *err, const char *why)
{
    bool packed = m->packed_otherwise || (m->unpack && nj_unpacker_packing(m->unpack));
    char text[640];
    if (!m->member[0])
        snprintf(text, sizeof text, "in front of its first member: %s", why);
    else if (strcmp(m->member, m->before) != 0)
        snprintf(text, sizeof text, "in %s: %s; the members before it %s", m->member, why,
                 packed ? "were read, and no checksum vouches for them" : "are good");
    else
        snprintf(text, sizeof text, "after %s: %s; %s", m->member, why,
                 packed ? "what was read from it may be wrong" : "the members before it are good");
    return fails(m, err, text);
}

/* Bytes behind the end marks: tapes and copies pad with zeros, to any length. */
static bool only_padding_is_left(const nj_members *m)
{
    return m->is_tar && m->feed_ended && m->fed % 512 && m->zeros >= m->fed % 512;
}

static int end_members(nj_members *m, nj_error *err)
{
    const uint8_t *piece;
    if (m->reader && !m->feed_ended && m->fed) { /* a zip ends before its bytes do,
                                                  * and the checksum is behind them */
        long n;
        while ((n = next_piece(m, &piece)) > 0) continue;
        if (n < 0) return m->failed = m->feed_failed = true, broken(m, err, m->feed_err.text);
    }
    if (m->is_tar && m->zeros < 512) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s%s: no end mark behind %s; it may be cut", m->common->spec,
                 *m->path ? ": " : "", m->path, m->member[0] ? m->member : "its beginning");
        m->common->host->note(m->common->host->opaque, text);
        if (m->common->host->early) m->common->host->early(m->common->host->opaque, text);
    }
    return 0;
}

/* One packed file: all of it, as one packet. */
static int next_single(nj_members *m, nj_chunk **chunk, nj_error *err)
{
    size_t cap = m->n_head + NJ_MEMBERS_BLOCK, n = m->n_head;
    uint8_t *bytes = n ? malloc(cap) : NULL;
    const uint8_t *piece;
    long got = 0;
    if (!n) return 0;
    if (bytes) memcpy(bytes, m->head, n);
    m->n_head = 0;
    while (bytes && (got = next_piece(m, &piece)) > 0) {
        if (n + (size_t)got > (size_t)m->common->conf.max_member) {
            free(bytes);
            return fails(m, err, "it unpacks to more bytes than [source] max_member");
        }
        if (n + (size_t)got > cap) {
            cap = 2 * (n + (size_t)got);
            uint8_t *grown = realloc(bytes, cap);
            if (!grown) free(bytes);
            bytes = grown;
        }
        if (bytes) memcpy(bytes + n, piece, (size_t)got);
        n += (size_t)got;
    }
    if (bytes && got < 0) {
        free(bytes);
        return fails(m, err, m->feed_err.text);
    }
    *chunk = bytes ? nj_members_chunk(m, bytes, n, NULL) : NULL;
    return *chunk ? 1 : fails(m, err, "out of memory");
}

/* The next member of the archive: as nj_members_next, and 2 = look again. */
static int next_member(nj_members *m, nj_chunk **chunk, nj_error *err)
{
    struct archive_entry *entry;
    const char *why;
    uint8_t *bytes;
    size_t size;
    int status = archive_read_next_header(m->reader, &entry);
    if (status == ARCHIVE_EOF) return end_members(m, err);
    if (status == ARCHIVE_RETRY) { /* libarchive looks for the next header, 512 bytes at a time */
        if (!m->in_damage)
            nj_trouble_add(&m->common->trouble, m->common->host,
                           "%s: %safter %s: what should be the header of a member is none", m->common->spec,
                           m->path, m->member[0] ? m->member : "its beginning");
        m->in_damage = true;
        return 2;
    }
    if (status < ARCHIVE_WARN) {
        if (!m->feed_failed && only_padding_is_left(m)) return 0;
        why = archive_error_string(m->reader);
        return broken(m, err, m->feed_failed ? m->feed_err.text : why ? why : "the archive is damaged");
    }
    m->in_damage = false;
    if (!m->fed && !m->owned) { /* libarchive reads the file itself */
        double done = (double)archive_filter_bytes(m->reader, -1);
        __atomic_store(&m->done, &done, __ATOMIC_RELAXED);
    }
    name_member(m, entry);
    m->n_members++;
    if (archive_entry_filetype(entry) != AE_IFDIR && nj_source_is_metadata(m->member)) {
        nj_skipped_add_metadata(&m->common->skipped, m->member);
    } else if (archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry)) {
        status = read_member(m, entry, &bytes, &size, &why);
        if (status < ARCHIVE_FAILED || (status < 0 && m->feed_failed)) {
            free(bytes);
            return broken(m, err, why);
        }
        nj_chunk *made = nj_members_chunk(m, bytes, size, m->member);
        if (!made) return fails(m, err, "out of memory");
        memcpy(m->before, m->member, sizeof m->before);
        int rc = status < 0 ? nj_members_fault(m, made, why, chunk) : nj_members_take(m, made, chunk, err);
        return rc ? rc : 2;
    } else if (archive_entry_filetype(entry) != AE_IFDIR) {
        /* a link holds no bytes: its target is a member of its own */
        nj_skipped_add_special(&m->common->skipped, m->member);
    }
    memcpy(m->before, m->member, sizeof m->before);
    return 2;
}

int nj_members_next(nj_members *m, nj_chunk **chunk, nj_error *err)
{
    if (m->failed) return -1;
    if (!m->opened && open_members(m, err)) return -1;
    for (int rc = 2; rc == 2;) {
        while (m->inside) {
            nj_error why;
            rc = nj_members_next(m->inside, chunk, &why);
            if (rc > 0) return 1;
            /* a broken archive in an archive costs its own members only */
            if (rc < 0) nj_trouble_add(&m->common->trouble, m->common->host, "%s", why.text);
            nj_members_free(m->inside);
            m->inside = NULL;
        }
        if (m->single) return next_single(m, chunk, err);
        rc = m->reader ? next_member(m, chunk, err) : 0;
        if (rc != 2) return rc;
    }
    return 0;
}
