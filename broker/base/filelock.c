/* filelock.c - two processes that write the same file destroy each other's rows, so a writer locks its
 * file. */
#include "filelock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* Far behind every byte that SQLite locks (1 GiB and 512 bytes),
 * so that readers of a database are not in the way. */
enum { AT = 0x7ffffffe };

/* Does an open file of this process hold a lock? Open files of readers have none. */
static int has_lock(const char *pid, const char *fd)
{
    char path[600], line[256];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", pid, fd);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) found = !strncmp(line, "lock:", 5);
    if (f) fclose(f);
    return found;
}

static int holds(const char *pid, const struct stat *file, int not_fd)
{
    char path[600];
    struct stat st;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;) {
        if (!isdigit((unsigned char)*e->d_name) || (not_fd >= 0 && atoi(e->d_name) == not_fd)) continue;
        snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, e->d_name);
        found = !stat(path, &st) && st.st_dev == file->st_dev && st.st_ino == file->st_ino &&
                has_lock(pid, e->d_name);
    }
    if (d) closedir(d);
    return found;
}

/* The process that has the file: the kernel does not report whose an open file's lock is, /proc does.
 * 0 = not to be seen. */
static long holder_of(int fd)
{
    struct stat file;
    char self[24];
    long pid = 0;
    if (fstat(fd, &file)) return 0;
    snprintf(self, sizeof self, "%ld", (long)getpid());
    if (holds(self, &file, fd)) return getpid();
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && !pid && (e = readdir(d)) != NULL;)
        if (isdigit((unsigned char)*e->d_name) && holds(e->d_name, &file, -1)) pid = atol(e->d_name);
    if (d) closedir(d);
    return pid;
}

int nj_file_lock(int fd, const char *path, nj_error *err)
{
    static int said;
    /* a lock of the open file: the process's own would go when cfitsio or SQLite closes a file of theirs */
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = AT, .l_len = 1 };
    int rc = fcntl(fd, F_OFD_SETLK, &lock);
    if (rc && errno == EINVAL) rc = flock(fd, LOCK_EX | LOCK_NB); /* a kernel without locks of open files */
    if (!rc) return 0;
    if (errno != EAGAIN && errno != EACCES && errno != EWOULDBLOCK) {
        if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
            nj_log(NJ_LOG_WARN, "%s: cannot be locked (%s); see to it that no second run writes it", path,
                   strerror(errno));
        return 0;
    }
    long pid = holder_of(fd);
    if (pid == getpid())
        return nj_fail(err, "%s: this run writes it already; each output needs a file of its own", path);
    if (pid) return nj_fail(err, "%s: another run is writing it (process %ld)", path, pid);
    return nj_fail(err, "%s: another run is writing it", path);
}
