/* served.c - provenance: which region files this process has read, by their hashes, for the report. */
#include "rgn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sky/njx.h"

typedef struct file_read { /* one state of one file */
    char *path, hash[65];
} file_read;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static file_read *list;
static size_t n_list, cap_list;

/* Of the bytes as they lie on the disk, packed or not, as sha256sum has it. */
static int hash_file(const char *path, char hash[65])
{
    static const size_t block = 1 << 16;
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(block);
    njx_sha256 sum;
    uint8_t digest[32];
    size_t n;
    int rc = f && bytes ? 0 : -1;
    njx_sha256_start(&sum);
    while (!rc && (n = fread(bytes, 1, block, f)) > 0) njx_sha256_add(&sum, bytes, n);
    if (!rc && ferror(f)) rc = -1;
    njx_sha256_end(&sum, digest);
    njx_hex(hash, digest);
    if (f) fclose(f);
    free(bytes);
    return rc;
}

static int is_noted(const char *path, const char *hash)
{
    for (size_t k = 0; k < n_list; k++)
        if (!strcmp(list[k].path, path) && !strcmp(list[k].hash, hash)) return 1;
    return 0;
}

void rgn_note_file(const char *path)
{
    char hash[65];
    if (hash_file(path, hash)) return; /* it was read a moment ago: who wants to know it looks in vain */
    pthread_mutex_lock(&lock);
    if (n_list == cap_list) {
        size_t cap = cap_list ? 2 * cap_list : 16;
        file_read *more = realloc(list, cap * sizeof *more);
        if (more) list = more, cap_list = cap;
    }
    if (n_list < cap_list && !is_noted(path, hash)) {
        file_read f = { .path = strdup(path) };
        memcpy(f.hash, hash, sizeof f.hash);
        if (f.path) list[n_list++] = f;
    }
    pthread_mutex_unlock(&lock);
}

void rgn_served(void (*each)(void *opaque, const char *path, const char *hash), void *opaque)
{
    pthread_mutex_lock(&lock);
    for (size_t k = 0; k < n_list; k++) each(opaque, list[k].path, list[k].hash);
    pthread_mutex_unlock(&lock);
}
