/* file.c - all sinks that write files must refuse existing files, lock their own and restore them on
 * failure. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/filelock.h"
#include "../base/output.h"
#include "waits.h"

static int exists_already(const char *path, nj_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), held = fd >= 0 && nj_file_lock(fd, path, err);
    if (fd >= 0) close(fd);
    if (held) return -1; /* then neither option would help */
    return nj_fail(err, "%s: exists; use --overwrite to replace it or --append to add to it", path);
}

/* Opens and locks. Whoever had the file until now may have removed or replaced it: then what was locked is no
 * longer what the path names, and it is opened again. */
static int open_locked(nj_outfile *file, const char *path, nj_sink_mode mode, int more, nj_error *err)
{
    for (int try = 0; try < 100; try++) {
        struct stat st, now;
        bool exists = stat(path, &st) == 0, regular = exists && S_ISREG(st.st_mode);
        if (exists && S_ISDIR(st.st_mode)) return nj_fail(err, "%s: is a folder, not a file", path);
        if (regular && mode == NJ_SINK_CREATE) return exists_already(path, err);
        /* a pipe cannot be opened for reading and writing with one end elsewhere */
        int flags = (exists && !regular ? O_WRONLY : O_RDWR | O_CREAT) | more;
        if (!exists && mode == NJ_SINK_CREATE) flags |= O_EXCL;
        file->fd = open(path, flags | O_CLOEXEC, 0666);
        if (file->fd < 0 && errno == EEXIST && try < 99) continue; /* another run was quicker */
        if (file->fd < 0) return nj_fail(err, "%s: cannot be written: %s", path, strerror(errno));
        file->created = !exists;
        if (exists && !regular) return 0;
        if (nj_file_lock(file->fd, path, err)) break;
        if (!fstat(file->fd, &st) && !stat(path, &now) && st.st_dev == now.st_dev && st.st_ino == now.st_ino)
            return 0;
        close(file->fd);
        file->fd = -1;
        nj_fail(err, "%s: another run is writing it", path);
    }
    if (file->fd >= 0) close(file->fd); /* the other's file: left alone */
    *file = (nj_outfile){ .fd = -1, .held = true };
    return -1;
}

static int open_file(nj_outfile *file, const char *path, nj_sink_mode mode, int more,
                     const nj_sink_args *args, nj_error *err)
{
    struct stat st;
    *file = (nj_outfile){ .fd = -1 };
    if (!*path) return nj_fail(err, "an output file needs a name");
    if (nj_output_is_standard(path))
        return nj_fail(err,
                       "%s: only `-o ndjson:-`, `-o csv:-` and `--report -` write to standard output; './-' "
                       "is a file of that name",
                       path);
    if (open_locked(file, path, mode, more, err)) return -1;
    bool regular = !fstat(file->fd, &st) && S_ISREG(st.st_mode);
    file->path = strdup(path);
    file->regular = regular;
    /* only now that it is ours; its journal first, which would promise bytes that are gone */
    if (file->path && args && regular && mode != NJ_SINK_APPEND) {
        if (!args->run) nj_journal_remove(path);
        if (args->run && nj_outfile_begin(file, args, 0, err)) {
            nj_outfile_close(file, true, NULL);
            return -1;
        }
    }
    if (!file->path || (regular && mode == NJ_SINK_OVERWRITE && ftruncate(file->fd, 0))) {
        nj_fail(err, "%s: %s", path, file->path ? strerror(errno) : "out of memory");
        nj_outfile_close(file, false, NULL);
        return -1;
    }
    off_t end = lseek(file->fd, 0, SEEK_END);
    file->size = file->end = end > 0 && regular ? end : 0;
    return 0;
}

int nj_outfile_open(nj_outfile *file, const char *path, nj_sink_mode mode, nj_error *err)
{
    return open_file(file, path, mode, 0, NULL, err);
}

int nj_outfile_open_to_append(nj_outfile *file, const char *path, nj_sink_mode mode, nj_error *err)
{
    return open_file(file, path, mode, O_APPEND, NULL, err);
}

nj_sink_mode nj_outfile_mode(const nj_sink_args *args)
{
    const nj_mark *mark = args->mark;
    if (!mark || mark->kind == NJ_MARK_NONE || mark->kind == NJ_MARK_UNKNOWN) return args->mode;
    if (mark->kind == NJ_MARK_NEW) return NJ_SINK_OVERWRITE;
    return mark->bytes ? NJ_SINK_APPEND : NJ_SINK_OVERWRITE; /* nothing of it had been committed */
}

int nj_outfile_open_for(nj_outfile *file, const nj_sink_args *args, bool to_append, nj_error *err)
{
    return open_file(file, args->target, nj_outfile_mode(args), to_append ? O_APPEND : 0, args, err);
}

int nj_outfile_begin(nj_outfile *file, const nj_sink_args *args, int64_t rows, nj_error *err)
{
    if (!args->run || args->part || !file->regular || file->journal) return 0;
    const nj_journal_of of = { args->run, args->configuration, args->disk };
    const nj_mark *mark = args->mark && args->mark->kind == NJ_MARK_THERE ? args->mark : NULL;
    const nj_mark first = { .bytes = file->end,
                            .rows = rows,
                            .commit = mark ? mark->commit : 0,
                            .state = mark ? mark->state : NULL };
    file->journal = nj_journal_begin(file->path, &of, &first, err);
    return file->journal ? 0 : -1;
}

int nj_outfile_cut(nj_outfile *file, off_t end, nj_error *err)
{
    if (ftruncate(file->fd, end) || lseek(file->fd, end, SEEK_SET) < 0)
        return nj_fail(err, "%s: cannot be cut to %lld bytes: %s", file->path, (long long)end,
                       strerror(errno));
    file->end = end;
    return 0;
}

/* stat() of the path; a missing folder is waited for, a missing file is not. */
static int find(const nj_outfile *file, struct stat *there)
{
    nj_wait wait = { 0 };
    for (;;) {
        if (stat(file->path, there) == 0) return nj_wait_over(&wait, file->path), 0;
        int error = errno;
        if (!nj_folder_is_away(file->path) ||
            !nj_wait_more(&wait, NJ_WAIT_FOR_ROOM, file->path, "its folder is not there"))
            return errno = error, -1;
    }
}

int nj_outfile_look(const nj_outfile *file, nj_error *err)
{
    struct stat ours, there;
    if (!file->regular) return 0;
    if (fstat(file->fd, &ours)) return nj_fail(err, "%s: %s", file->path, strerror(errno));
    /* a folder that was moved, or whose disk is away, comes back with the file; this one does not */
    if (!ours.st_nlink) return nj_fail(err, "%s: was removed while it was written", file->path);
    if (find(file, &there))
        return nj_fail(err, "%s: was removed or moved while it was written (%s)", file->path,
                       strerror(errno));
    if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
        return nj_fail(err, "%s: was replaced by another file while it was written", file->path);
    if (there.st_size < file->end)
        return nj_fail(err, "%s: was cut to %lld bytes while it was written; it had %lld", file->path,
                       (long long)there.st_size, (long long)file->end);
    return 0;
}

int nj_outfile_commit(nj_outfile *file, int64_t rows, const nj_keep *keep, nj_error *err)
{
    /* pipes and terminals cannot be synced, and need not */
    if (!file->regular) return 0;
    if (keep->disk && fdatasync(file->fd) && errno != EINVAL)
        return nj_fail(err, "%s: fdatasync: %s", file->path, strerror(errno));
    if (keep->disk && !file->named) nj_sync_folder_of(file->path);
    file->named = true;
    const nj_mark mark = { .bytes = file->end,
                           .rows = rows,
                           .commit = keep->commit,
                           .complete = keep->complete,
                           .state = (char *)keep->state };
    return file->journal ? nj_journal_add(file->journal, &mark, err) : 0;
}

int nj_outfile_must_be_plain(const nj_outfile *file, nj_error *err)
{
    struct stat st;
    if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode)) return 0;
    return nj_fail(err, "%s: is a device or a pipe; this sink needs a plain file", file->path);
}

int nj_outfile_reserve(const nj_outfile *file, off_t bytes, nj_error *err)
{
    nj_wait wait = { 0 };
    nj_wait_kind kind;
    struct stat st;
    if (!file->regular || bytes <= 0) return 0;
    while (fstat(file->fd, &st) == 0 && fallocate(file->fd, FALLOC_FL_KEEP_SIZE, st.st_size, bytes)) {
        int error = errno;
        if (error == EINTR) continue;
        if (!nj_wait_helps(file->fd, error, &kind)) return 0; /* not known: the write will show it */
        if (!nj_wait_more(&wait, kind, file->path, strerror(error)))
            return nj_fail(err, "%s: cannot be written: %s", file->path, strerror(error));
    }
    nj_wait_over(&wait, file->path);
    return 0;
}

int nj_outfile_beside(const char *path, const char *bytes, size_t n, nj_error *err)
{
    char fresh[4096 + 4];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return nj_fail(err, "%s: the name is too long", path);
    nj_outfile file = { .path = fresh, .fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) };
    int rc = file.fd < 0 ? nj_fail(err, "%s: cannot be written: %s", path, strerror(errno))
                         : nj_outfile_write(&file, bytes, n, err);
    if (file.fd >= 0 && close(file.fd) && !rc)
        rc = nj_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    if (!rc && rename(fresh, path)) rc = nj_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    if (rc) unlink(fresh);
    return rc;
}

int nj_outfile_write(nj_outfile *file, const void *bytes, size_t n, nj_error *err)
{
    const char *p = bytes;
    nj_wait wait = { 0 };
    while (n) {
        ssize_t done = write(file->fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            int error = errno;
            nj_wait_kind kind;
            if (nj_wait_helps(file->fd, error, &kind) &&
                nj_wait_more(&wait, kind, file->path, strerror(error)))
                continue;
            return nj_fail(err, "%s: cannot be written: %s", file->path, strerror(error));
        }
        nj_wait_over(&wait, file->path);
        p += done;
        n -= (size_t)done;
        file->end += done;
    }
    return 0;
}

int nj_outfile_close(nj_outfile *file, bool discard, nj_error *err)
{
    int rc = 0;
    if (discard && file->created && file->path)
        unlink(file->path); /* before the lock goes with the descriptor */
    if (discard && file->created && file->journal) nj_journal_remove(file->path);
    nj_journal_end(file->journal);
    if (file->fd >= 0 && close(file->fd))
        rc = nj_fail(err, "%s: closing failed: %s", file->path, strerror(errno));
    free(file->path);
    *file = (nj_outfile){ .fd = -1 };
    return rc;
}
