#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/output.h"

int nj_outfile_open(nj_outfile *file, const char *path, nj_sink_mode mode, nj_error *err)
{
    struct stat st;
    char room[32];
    path = nj_output_path(path, room, sizeof room);
    bool exists = stat(path, &st) == 0, regular = exists && S_ISREG(st.st_mode);
    *file = (nj_outfile){ .fd = -1 };
    if (!*path) return nj_fail(err, "an output file needs a name");
    if (exists && S_ISDIR(st.st_mode)) return nj_fail(err, "%s: is a folder, not a file", path);
    if (regular && mode == NJ_SINK_CREATE)
        return nj_fail(err, "%s: exists; say --overwrite to replace it or --append to add to it", path);
    /* a pipe cannot be opened for reading and writing with one end elsewhere */
    int flags = exists && !regular ? O_WRONLY : O_RDWR | O_CREAT;
    if (!exists && mode == NJ_SINK_CREATE) flags |= O_EXCL;
    if (regular && mode == NJ_SINK_OVERWRITE) flags |= O_TRUNC;
    file->fd = open(path, flags | O_CLOEXEC, 0666);
    if (file->fd < 0) return nj_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    file->created = !exists;
    file->path = strdup(path);
    if (!file->path) {
        close(file->fd);
        file->fd = -1;
        return nj_fail(err, "%s: out of memory", path);
    }
    off_t end = lseek(file->fd, 0, SEEK_END);
    file->size = end > 0 && regular ? end : 0;
    return 0;
}

int nj_outfile_must_be_plain(const nj_outfile *file, nj_error *err)
{
    struct stat st;
    if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode)) return 0;
    return nj_fail(err, "%s: is a device or a pipe; this sink needs a plain file", file->path);
}

int nj_outfile_write(const nj_outfile *file, const void *bytes, size_t n, nj_error *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = write(file->fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return nj_fail(err, "%s: cannot be written: %s", file->path, strerror(errno));
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

int nj_outfile_close(nj_outfile *file, bool discard, nj_error *err)
{
    int rc = 0;
    if (file->fd >= 0 && close(file->fd)) rc = nj_fail(err, "%s: closing failed: %s", file->path, strerror(errno));
    if (discard && file->created && file->path) unlink(file->path);
    free(file->path);
    *file = (nj_outfile){ .fd = -1 };
    return rc;
}
