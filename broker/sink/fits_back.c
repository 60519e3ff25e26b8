/* fits_back.c - a FITS table is changed in place, so going back to a commit needs more than a cut.
 *
 * Without series rows only grow at the end: the number of rows in the header is set back and the file is
 * cut. Values of series lie behind all rows and are moved at every flush: what the file had there at the
 * commit, and the table's header, are kept in PATH.undo before the first change. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fits_table.h"
#include "waits.h"

enum { BLOCK = NJ_FITS_BLOCK, CARD = 80 };
static const char magic[8] = "NJUNDO1", whole[8] = "NJWHOLE";

typedef struct piece {
    int64_t at, n;
} piece;

/* The beginning of PATH.undo; the bytes of both pieces and `whole` follow. */
typedef struct undo_head {
    char magic[8];
    int64_t commit, bytes;
    piece piece[2];
} undo_head;

static char *undo_path(const fits_sink *s)
{
    size_t n = strlen(s->path) + sizeof ".undo";
    char *path = malloc(n);
    if (path) snprintf(path, n, "%s.undo", s->path);
    return path;
}

static int write_all(int fd, const char *bytes, size_t n, int64_t at)
{
    nj_wait wait = { 0 };
    nj_wait_kind kind;
    while (n) {
        ssize_t done = at < 0 ? write(fd, bytes, n) : pwrite(fd, bytes, n, at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            int error = errno;
            if (nj_wait_helps(fd, error, &kind) &&
                nj_wait_more(&wait, kind, "what a FITS file keeps beside it (.undo)", strerror(error)))
                continue;
            return errno = error, -1;
        }
        nj_wait_over(&wait, "fits");
        bytes += done;
        n -= (size_t)done;
        if (at >= 0) at += done;
    }
    return 0;
}

static int read_all(int fd, char *bytes, size_t n, int64_t at)
{
    while (n) {
        ssize_t got = pread(fd, bytes, n, at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        bytes += got;
        n -= (size_t)got;
        at += got;
    }
    return 0;
}

/* n bytes of one file into another; to_at < 0 = behind what was written. */
static int copy(int from, int64_t at, int64_t n, int to, int64_t to_at)
{
    char block[65536];
    for (int64_t done = 0; done < n;) {
        size_t part = n - done < (int64_t)sizeof block ? (size_t)(n - done) : sizeof block;
        if (read_all(from, block, part, at + done) ||
            write_all(to, block, part, to_at < 0 ? -1 : to_at + done))
            return -1;
        done += (int64_t)part;
    }
    return 0;
}

int nj_fits_keep(fits_sink *s, nj_error *err)
{
    struct stat st;
    if (s->undo) return 0;
    char *path = undo_path(s);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1, rc = -1;
    int64_t rows = s->data + s->n_written * (int64_t)s->row_size;
    if (fd >= 0 && !fstat(s->lock.fd, &st)) {
        undo_head head = { .commit = s->commit,
                           .bytes = st.st_size,
                           .piece = { { s->header, s->data - s->header }, { rows, st.st_size - rows } } };
        memcpy(head.magic, magic, sizeof magic);
        rc = write_all(fd, (const char *)&head, sizeof head, -1);
        for (int i = 0; i < 2 && !rc; i++) rc = copy(s->lock.fd, head.piece[i].at, head.piece[i].n, fd, -1);
        if (!rc) rc = write_all(fd, whole, sizeof whole, -1);
        if (!rc && s->args.disk) rc = fdatasync(fd);
    }
    if (rc)
        nj_fail(err, "%s: cannot be written: %s", path ? path : s->path,
                path ? strerror(errno) : "out of memory");
    if (fd >= 0) close(fd);
    free(path);
    s->undo = !rc;
    return rc;
}

void nj_fits_forget(const fits_sink *s)
{
    char *path = undo_path(s);
    if (path) unlink(path);
    free(path);
}

/* 1 = the file is as at the commit; 0 = there is no such thing to go back by; -1. */
static int back_by_undo(fits_sink *s, const nj_mark *mark, nj_error *err)
{
    undo_head head;
    char end[sizeof whole];
    char *path = undo_path(s);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1, rc = 0;
    if (fd >= 0 && !read_all(fd, (char *)&head, sizeof head, 0) && !memcmp(head.magic, magic, sizeof magic) &&
        head.commit == (int64_t)mark->commit && head.bytes == mark->bytes && head.piece[0].n >= 0 &&
        head.piece[1].n >= 0 &&
        !read_all(fd, end, sizeof end, (int64_t)sizeof head + head.piece[0].n + head.piece[1].n) &&
        !memcmp(end, whole, sizeof end)) {
        int64_t at = (int64_t)sizeof head;
        rc = 1;
        for (int i = 0; i < 2 && rc > 0; at += head.piece[i++].n)
            if (copy(fd, at, head.piece[i].n, s->lock.fd, head.piece[i].at)) rc = -1;
        if (rc > 0 && ftruncate(s->lock.fd, head.bytes)) rc = -1;
        s->lock.end = head.bytes;
        if (rc < 0) nj_fail(err, "%s: cannot be set back by %s: %s", s->path, path, strerror(errno));
    }
    if (fd >= 0) close(fd);
    free(path);
    return rc;
}

/* NAXIS2 of the table, in place: header and rows stay where they are. */
static int set_rows(fits_sink *s, LONGLONG header, LONGLONG data, int64_t rows, nj_error *err)
{
    char card[CARD + 1];
    for (LONGLONG at = header; at < data; at += CARD) {
        if (read_all(s->lock.fd, card, CARD, at)) break;
        if (memcmp(card, "NAXIS2  =", 9)) continue;
        char value[24];
        snprintf(value, sizeof value, "%20" PRId64, rows);
        memcpy(card + 10, value, 20);
        return write_all(s->lock.fd, card, CARD, at) ? nj_fail(err, "%s: %s", s->path, strerror(errno)) : 0;
    }
    return nj_fail(err, "%s: its table has no NAXIS2; it cannot be continued", s->path);
}

int nj_fits_back(fits_sink *s, const nj_mark *mark, nj_error *err)
{
    int status = 0, rc = back_by_undo(s, mark, err);
    LONGLONG header = 0, data = 0, end = 0, row_size = 0, heap = 0;
    struct stat st;
    if (rc) return rc < 0 ? -1 : 0;
    fitsfile *file = NULL;
    if (fits_open_diskfile(&file, s->path, READONLY, &status) ||
        fits_movnam_hdu(file, BINARY_TBL, "ALERTS", 0, &status) ||
        fits_get_hduaddrll(file, &header, &data, &end, &status) ||
        fits_read_key(file, TLONGLONG, "NAXIS1", &row_size, NULL, &status) ||
        fits_read_key(file, TLONGLONG, "PCOUNT", &heap, NULL, &status))
        rc = nj_fits_failed(s, "cannot be read", status, err);
    int ignored = 0;
    if (file) fits_close_file(file, &ignored);
    fits_clear_errmsg();
    if (rc) return rc;
    if (heap) { /* nothing was kept: nothing was changed since the commit */
        if (fstat(s->lock.fd, &st) || st.st_size != mark->bytes)
            return nj_fail(err, "%s: cannot be set back: what is kept in %s.undo is not of the last commit",
                           s->path, s->path);
        return 0;
    }
    if (set_rows(s, header, data, mark->rows, err)) return -1;
    LONGLONG last = data + mark->rows * row_size, padded = (last + BLOCK - 1) / BLOCK * BLOCK;
    /* a kill in between must not leave less than the journal says */
    static const char zeros[BLOCK];
    if (ftruncate(s->lock.fd, padded) || write_all(s->lock.fd, zeros, (size_t)(padded - last), last))
        return nj_fail(err, "%s: cannot be set back: %s", s->path, strerror(errno));
    s->lock.end = padded;
    return 0;
}
