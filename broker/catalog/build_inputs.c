/* build_inputs.c - the input files of a catalogue, by name or by folder, and the hash of their bytes. */
#include "build_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/file.h"
#include "../base/sha256.h"

enum { MOST_FILES = 65536 };

static int add_file(nj_build_job *j, const char *path)
{
    if (j->n_files == MOST_FILES) return nj_fail(j->err, "%s: more than %d files", path, MOST_FILES);
    char **file = realloc(j->file, (j->n_files + 1) * sizeof *file);
    char *copy = strdup(path);
    if (file) j->file = file;
    if (!file || !copy) {
        free(copy);
        return nj_fail(j->err, "%s: no memory", path);
    }
    file[j->n_files++] = copy;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_folder(nj_build_job *j, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return nj_fail(j->err, "%s: cannot be opened: %s", path, strerror(errno));
    uint32_t first = j->n_files;
    int rc = 0;
    for (struct dirent *e; !rc && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        char full[4096];
        if (n < 9 || strcmp(e->d_name + n - 8, ".parquet")) continue;
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        rc = nj_is_special(full) ? nj_fail(j->err, "%s: is not a file", full) : add_file(j, full);
    }
    closedir(dir);
    if (rc) return -1;
    if (!j->file || j->n_files == first) return nj_fail(j->err, "%s: no *.parquet file in this folder", path);
    qsort(j->file + first, j->n_files - first, sizeof *j->file, by_name);
    return 0;
}

int nj_build_list(nj_build_job *j)
{
    for (uint32_t i = 0; i < j->b->n_inputs; i++) {
        struct stat st;
        const char *path = j->b->input[i];
        if (stat(path, &st)) return nj_fail(j->err, "%s: cannot be opened: %s", path, strerror(errno));
        if (S_ISDIR(st.st_mode) ? add_folder(j, path) : add_file(j, path)) return -1;
    }
    return 0;
}

/* Hash of one file's bytes; of several, the hash of their hashes in order. */
int nj_build_hash(const nj_build_job *j, uint8_t digest[32])
{
    njx_sha256 all;
    njx_sha256_start(&all);
    char hex[65] = "";
    for (uint32_t i = 0; i < j->n_files; i++) {
        struct stat st;
        int fd = open(j->file[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st)) {
            if (fd >= 0) close(fd);
            return nj_fail(j->err, "%s: cannot be opened: %s", j->file[i], strerror(errno));
        }
        void *bytes = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
        close(fd);
        if (bytes == MAP_FAILED)
            return nj_fail(j->err, "%s: cannot be read: %s", j->file[i], strerror(errno));
        nj_sha256(bytes ? bytes : "", (size_t)st.st_size, hex);
        if (bytes) munmap(bytes, (size_t)st.st_size);
        njx_sha256_add(&all, hex, 64);
    }
    njx_sha256_end(&all, digest);
    for (int i = 0; j->n_files == 1 && i < 32; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        digest[i] = (uint8_t)byte;
    }
    return 0;
}
