/* host.c - what a module may call while it is declared and opened: messages, memory, data files, services. */
#include "instances.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/debug.h"
#include "../base/log.h"
#include "../base/sha256.h"
#include "services.h"

__attribute__((format(printf, 3, 4))) static void host_log(void *opaque, int level, const char *format, ...)
{
    nj_instances *set = opaque;
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (set->setting_up && level <= NJ_LOG_WARN) { /* logged once, with the reason, if it fails; else below */
        if (!set->said[0]) snprintf(set->said, sizeof set->said, "%.*s", (int)sizeof set->said - 1, text);
        level = NJ_LOG_DEBUG;
    }
    if (level < NJ_LOG_DEBUG)
        nj_log(level < NJ_LOG_ERROR ? NJ_LOG_ERROR : level, "%s", text); /* this folder's room is "module" */
    else
        nj_debug(NJ_DEBUG_MODULE, "%s", text);
}

static void *host_alloc(void *opaque, size_t bytes)
{
    nj_instances *set = opaque;
    void *room = nj_arena_zalloc(&set->arena, bytes);
    if (!room) set->no_memory = true;
    return room;
}

/* name as it stands if absolute, else below each folder of the data path,
 * else below the working directory. -1: errno */
static int find_file(const nj_instances *set, const char *name, char path[4096])
{
    for (const char *dir = set->data_path; dir && *dir && name[0] != '/';) {
        const char *end = strchrnul(dir, ':');
        snprintf(path, 4096, "%.*s/%s", (int)(end - dir), dir, name);
        if (access(path, R_OK) == 0) return 0;
        dir = *end ? end + 1 : end;
    }
    snprintf(path, 4096, "%s", name);
    return access(path, R_OK);
}

static int no_room(nj_instances *set, void *map, size_t n)
{
    if (map) munmap(map, n);
    set->no_memory = true;
    return NJ_ENOMEM;
}

static int host_data(void *opaque, const char *name, const void **bytes, size_t *n)
{
    nj_instances *set = opaque;
    for (uint32_t i = 0; i < set->n_files; i++)
        if (!strcmp(set->file[i].name, name)) {
            *bytes = set->file[i].bytes;
            *n = set->file[i].n;
            return NJ_OK;
        }
    char path[4096];
    struct stat st;
    if (find_file(set, name, path)) return errno == ENOENT || errno == ENOTDIR ? NJ_ENO_CATALOG : NJ_ECONF;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NJ_ECONF;
    void *map = NULL;
    int ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (ok && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = map != MAP_FAILED;
    }
    close(fd);
    if (!ok) return NJ_ECONF;
    if (set->n_files == set->cap_files) {
        uint32_t cap = set->cap_files ? 2 * set->cap_files : 16;
        nj_data_file *file = realloc(set->file, cap * sizeof *file);
        if (!file) return no_room(set, map, (size_t)st.st_size);
        set->file = file;
        set->cap_files = cap;
    }
    nj_data_file *f = &set->file[set->n_files];
    *f = (nj_data_file){ .path = nj_arena_text(&set->arena, path, strlen(path)),
                         .name = nj_arena_text(&set->arena, name, strlen(name)),
                         .bytes = map ? map : "",
                         .n = (size_t)st.st_size };
    if (!f->path || !f->name) return no_room(set, map, (size_t)st.st_size);
    set->n_files++;
    nj_sha256(f->bytes, f->n, f->sha256);
    nj_debug(NJ_DEBUG_MODULE, "data file %s is %s, %zu bytes", f->name, f->path, f->n);
    *bytes = f->bytes;
    *n = f->n;
    return NJ_OK;
}

/* Of the instance that is being opened. */
static void host_serial(void *opaque)
{
    nj_instances *set = opaque;
    if (set->opening) set->opening->serial = true;
}

static void host_every_row(void *opaque)
{
    nj_instances *set = opaque;
    if (set->opening) set->opening->every_row = true;
}

static const void *host_service(void *opaque, const char *name, uint32_t version)
{
    (void)opaque;
    return nj_service(name, version);
}

void nj_instances_make_host(nj_instances *set)
{
    set->host = (nj_host){ .abi = NJ_ABI,
                           .size = sizeof(nj_host),
                           .opaque = set,
                           .log = host_log,
                           .data = host_data,
                           .service = host_service,
                           .alloc = host_alloc,
                           .serial = host_serial,
                           .every_row = host_every_row };
}
