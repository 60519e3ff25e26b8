/* scratch.c - a process that is killed leaves its temporary folder behind; the next one of its kind removes
 * it. A lock on the folder, which goes with the process, says whether it is still used. */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum { YOUNG_S = 60 }; /* between making a folder and locking it nobody may take it for a dead one */

static int open_folder(int in, const char *name)
{
    return openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void empty(int folder)
{
    int again = dup(folder);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *e; list && (e = readdir(list));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) unlinkat(folder, e->d_name, 0);
    if (list)
        closedir(list);
    else if (again >= 0)
        close(again);
}

/* Is it ours, and of a process that is no more? */
static int is_dead(int folder)
{
    struct stat st;
    return fstat(folder, &st) == 0 && st.st_uid == geteuid() && st.st_mtime + YOUNG_S < time(NULL) &&
           flock(folder, LOCK_EX | LOCK_NB) == 0;
}

static void remove_dead(const char *in, const char *prefix)
{
    DIR *list = opendir(in);
    size_t n = strlen(prefix);
    for (struct dirent *e; list && (e = readdir(list));) {
        if (strncmp(e->d_name, prefix, n) != 0 || strlen(e->d_name) != n + 6) continue;
        int folder = open_folder(dirfd(list), e->d_name);
        if (folder < 0) continue;
        if (is_dead(folder)) {
            empty(folder);
            if (unlinkat(dirfd(list), e->d_name, AT_REMOVEDIR) == 0)
                nj_log(NJ_LOG_INFO, "%s/%s: removed; a run that was killed had left it", in, e->d_name);
        }
        close(folder);
    }
    if (list) closedir(list);
}

int nj_scratch_make(char *path, size_t size, const char *in, const char *name, nj_error *err)
{
    char prefix[64];
    if (!in) in = getenv("TMPDIR");
    if (!in || !*in) in = "/tmp";
    snprintf(prefix, sizeof prefix, "nightjar-%s-", name);
    if ((size_t)snprintf(path, size, "%s/%sXXXXXX", in, prefix) >= size) {
        *path = 0;
        return nj_fail(err, "%s: the path of the folder for temporary files is too long", in);
    }
    remove_dead(in, prefix);
    if (!mkdtemp(path)) {
        nj_fail(err, "%s: %s", in, strerror(errno));
        *path = 0;
        return -1;
    }
    int folder = open_folder(AT_FDCWD, path); /* stays open: its lock lasts as long as the process */
    if (folder >= 0) flock(folder, LOCK_EX | LOCK_NB);
    return 0;
}

void nj_scratch_remove(const char *path)
{
    int folder = open_folder(AT_FDCWD, path);
    if (folder < 0) return;
    empty(folder);
    close(folder);
    rmdir(path);
}
