/* runtime.c - locks that all runs of a user look at need one folder: of its own, so that a sandbox can allow
 * it and nothing beside it, and that no other user can have prepared. */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int nj_runtime_folder(char *path, size_t size)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (!folder || access(folder, W_OK | X_OK)) folder = "/tmp";
    if (snprintf(path, size, "%s/nightjar-%u", folder, (unsigned)geteuid()) >= (int)size) return -1;
    if (mkdir(path, 0700) && errno != EEXIST) return -1;
    if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()) return -1;
    return st.st_mode & 022 ? -1 : 0;
}
