/* file.c - whole files are read and written in one place, with a size limit and errno kept. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nightjar/beside.h"

/* Reads on from the stream; the buffer has room for one byte more than `most`. */
static char *read_stream(FILE *f, size_t guess, size_t most, size_t *size)
{
    size_t room = guess < most ? guess + 2 : most + 2, n = 0; /* one byte to see the end, one for the NUL */
    char *bytes = malloc(room);
    while (bytes) {
        n += fread(bytes + n, 1, room - 1 - n, f);
        if (n < room - 1 || n > most) break;
        room = room < most / 2 ? 2 * room : most + 2;
        char *more = realloc(bytes, room);
        if (!more) free(bytes);
        bytes = more;
    }
    if (bytes && (n > most || ferror(f))) {
        if (n > most) errno = EFBIG;
        free(bytes);
        return NULL;
    }
    if (bytes) bytes[n] = 0;
    *size = n;
    return bytes;
}

char *nj_file_read(const char *path, size_t most, size_t *size)
{
    struct stat st;
    size_t n = 0;
    FILE *f = fopen(path, "rbe");
    if (!f) return NULL;
    size_t guess = fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096;
    char *bytes = read_stream(f, guess, most < SIZE_MAX - 2 ? most : SIZE_MAX - 2, &n);
    int saved = errno;
    fclose(f);
    errno = saved;
    if (size) *size = n;
    return bytes;
}

int nj_file_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wbe");
    if (!f) return -1;
    int bad = n && fwrite(bytes, 1, n, f) != n, saved = errno;
    if (fclose(f)) return -1;
    errno = saved;
    return bad ? -1 : 0;
}

int nj_file_replace(const char *path, const void *bytes, size_t n)
{
    char part[PATH_MAX];
    int fd = nj_beside_open(AT_FDCWD, path, 0666, part, sizeof part);
    if (fd < 0) return -1;
    FILE *f = fdopen(fd, "wb");
    bool good = f && (!n || fwrite(bytes, 1, n, f) == n);
    int why = errno;
    if (f ? fclose(f) : close(fd)) {
        if (good) why = errno;
        good = false;
    }
    if (good && rename(part, path) == 0) return 0;
    if (good) why = errno;
    unlink(part);
    errno = why;
    return -1;
}

int nj_folder_make(const char *folder, unsigned mode)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/", folder);
    if (n >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, (mode_t)mode) && errno != EEXIST) return -1;
        *slash = '/';
    }
    return access(path, X_OK); /* with its last slash: ENOTDIR for a file of that name */
}

bool nj_is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

bool nj_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

const char *nj_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
