/* output.c - a printf in a module would land between the rows of `-o ndjson:-`, so rows are written to
 * another descriptor. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int kept = -1; /* standard output as the process was given it */

bool nj_output_is_standard(const char *target)
{
    static const char *const name[] = { "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (!strcmp(target, name[i])) return true;
    return false;
}

/* `-o ndjson:FILE > FILE`, or a link to /dev/stdout. Terminals and /dev/null may be shared. */
bool nj_output_is_shared(const char *target)
{
    struct stat here, there;
    if (nj_output_is_standard(target)) return true;
    if (fstat(nj_output_fd(), &here) || stat(target, &there) || S_ISCHR(here.st_mode)) return false;
    return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

int nj_output_take(nj_error *err)
{
    if (kept >= 0) return 0;
    fflush(stdout);
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return nj_fail(err, "standard output: %s", strerror(errno));
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) { /* no standard error either */
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        bool bad = nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0;
        if (nowhere >= 0) close(nowhere);
        if (bad) {
            nj_fail(err, "standard output cannot be kept for the rows: %s", strerror(errno));
            close(fd);
            return -1;
        }
    }
    kept = fd;
    return 0;
}

bool nj_output_taken(void)
{
    return kept >= 0;
}

int nj_output_fd(void)
{
    return kept >= 0 ? kept : STDOUT_FILENO;
}
