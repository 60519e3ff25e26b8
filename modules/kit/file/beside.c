/* beside.c - a file that is written beside another needs a name that no other process has, in whatever
 * container or on whatever machine it runs, and must not stay when its process is killed. */
#include "nightjar/beside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DIGITS = 16,
    TRIES = 100,
    YOUNG_S = 60
}; /* between making a file and locking it, and between closing
                                                  * and renaming it, nobody may take it for a dead one */
static const char end[] = ".tmp";

/* Is it "BASE.0123456789abcdef.tmp"? */
static int is_ours(const char *name, const char *base)
{
    const size_t n = strlen(base);
    if (strncmp(name, base, n) != 0 || name[n] != '.') return 0;
    return strspn(name + n + 1, "0123456789abcdef") == DIGITS && !strcmp(name + n + 1 + DIGITS, end);
}

static int is_dead(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtime + YOUNG_S < time(NULL) &&
           flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_dead(int at, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char folder[4096] = ".";
    if (slash && (size_t)(slash - path) >= sizeof folder) return;
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash == path ? 1 : slash - path), path);
    int fd = openat(at, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; list && (e = readdir(list));) {
        if (!is_ours(e->d_name, base)) continue;
        int file = openat(fd, e->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0) continue;
        if (is_dead(file)) unlinkat(fd, e->d_name, 0);
        close(file);
    }
    if (list)
        closedir(list);
    else if (fd >= 0)
        close(fd);
}

int nj_beside_open(int at, const char *path, unsigned mode, char *name, size_t size)
{
    int fd = -1;
    remove_dead(at, path);
    for (int k = 0; fd < 0 && k < TRIES; k++) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) return -1;
        if ((size_t)snprintf(name, size, "%s.%016" PRIx64 "%s", path, random, end) >= size)
            return errno = ENAMETOOLONG, -1;
        fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST) return -1;
    }
    if (fd >= 0) flock(fd, LOCK_EX | LOCK_NB); /* without locks, no process asks for them either */
    return fd;
}
