/* sqlite_waits.c - SQLite undoes a transaction at the first write that a full disk refuses, and with it rows
 * that were counted. So the write itself waits, below SQLite, which never hears of it. */
#include "sqlite_waits.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "waits.h"

typedef int open_call(const char *path, int flags, int mode);
typedef ssize_t write_call(int fd, const void *bytes, size_t n);
typedef ssize_t pwrite_call(int fd, const void *bytes, size_t n, off_t at);
typedef sqlite3_syscall_ptr any_call;

/* SQLite's own; NULL = it is built without this one. */
static open_call *sqlite_open;
static write_call *sqlite_write;
static pwrite_call *sqlite_pwrite, *sqlite_pwrite64;

/* True: the call is to be made once more. errno stays. */
static bool helps(nj_wait *wait, int fd)
{
    int error = errno;
    nj_wait_kind kind;
    bool more = false;
    if (nj_wait_helps(fd, error, &kind)) {
        char link[40], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = 0;
        more = nj_wait_more(wait, kind, n > 0 ? path : "sqlite", strerror(error));
        if (!more) *wait = (nj_wait){ 0 };
    }
    errno = error;
    return more;
}

/* Reports that it continues. */
static void over(nj_wait *wait)
{
    int error = errno;
    nj_wait_over(wait, "sqlite");
    errno = error;
}

static ssize_t patient_write(int fd, const void *bytes, size_t n)
{
    nj_wait wait = { 0 };
    ssize_t done;
    do done = sqlite_write(fd, bytes, n);
    while (done < 0 && helps(&wait, fd));
    over(&wait);
    return done;
}

static ssize_t patiently(pwrite_call *call, int fd, const void *bytes, size_t n, off_t at)
{
    nj_wait wait = { 0 };
    ssize_t done;
    do done = call(fd, bytes, n, at);
    while (done < 0 && helps(&wait, fd));
    over(&wait);
    return done;
}

static ssize_t patient_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return patiently(sqlite_pwrite, fd, bytes, n, at);
}

static ssize_t patient_pwrite64(int fd, const void *bytes, size_t n, off_t at)
{
    return patiently(sqlite_pwrite64, fd, bytes, n, at);
}

/* The journal of a transaction is a file that is created each time. A missing folder is waited for, too;
 * a read-only file system is not, because SQLite then opens what it only reads in another way. */
static int patient_open(const char *path, int flags, int mode)
{
    nj_wait wait = { 0 };
    for (;;) {
        int fd = sqlite_open(path, flags, mode), error = errno;
        bool full = error == ENOSPC || error == EDQUOT,
             away = error == ENOENT && flags & O_CREAT && nj_folder_is_away(path);
        if (fd < 0 && (full || away) && nj_wait_more(&wait, NJ_WAIT_FOR_ROOM, path, strerror(error)))
            continue;
        if (fd >= 0) nj_wait_over(&wait, path);
        errno = error;
        return fd;
    }
}

static any_call replace(sqlite3_vfs *vfs, const char *name, any_call by)
{
    any_call old = vfs->xGetSystemCall(vfs, name);
    if (old) vfs->xSetSystemCall(vfs, name, by);
    return old;
}

void nj_sqlite_waits(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    if (sqlite_open || !vfs || vfs->iVersion < 3 || !vfs->xSetSystemCall) return;
    sqlite_open = (open_call *)replace(vfs, "open", (any_call)patient_open);
    sqlite_write = (write_call *)replace(vfs, "write", (any_call)patient_write);
    sqlite_pwrite = (pwrite_call *)replace(vfs, "pwrite", (any_call)patient_pwrite);
    sqlite_pwrite64 = (pwrite_call *)replace(vfs, "pwrite64", (any_call)patient_pwrite64);
}
