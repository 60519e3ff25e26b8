/* block.c - a run that one can look at needs memory that others find: a memory file (memfd) has a name, which
 * is seen in /proc/PID/fd, and goes away with its process. */
#include "block.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/version.h"

#define NAME "nightjar-run"
static const char magic[8] = "njrun01";

static int memory = -1; /* the supervisor's */

nj_shared *nj_block_make(nj_error *err)
{
    const int rights = PROT_READ | PROT_WRITE;
    nj_shared *s = MAP_FAILED;
    memory = memfd_create(NAME, MFD_CLOEXEC);
    if (memory >= 0 && ftruncate(memory, sizeof *s) == 0)
        s = mmap(NULL, sizeof *s, rights, MAP_SHARED | MAP_NORESERVE, memory, 0);
    if (s == MAP_FAILED) {
        nj_log(NJ_LOG_WARN, "no memory file (%s): `nightjar top` does not show this run", strerror(errno));
        nj_block_forget();
        s = mmap(NULL, sizeof *s, rights, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (s == MAP_FAILED) return nj_fail(err, "no memory to share with the worker: %s", strerror(errno)), NULL;
    memcpy(s->head.magic, magic, sizeof magic);
    s->head.bytes = sizeof *s;
    s->head.pid = (int32_t)getpid();
    snprintf(s->head.version, sizeof s->head.version, "%s %s", nj_version, nj_revision);
    s->head.began = time(NULL);
    return s;
}

void nj_block_forget(void)
{
    if (memory >= 0) close(memory);
    memory = -1;
}

void nj_block_free(nj_shared *shared)
{
    munmap(shared, sizeof *shared);
    nj_block_forget();
}

/* ---- from another process ---------------------------------------------------------------------- */

static void look_into(nj_run_block *b, int fd)
{
    struct stat st;
    nj_shared_head head;
    if (fstat(fd, &st) || pread(fd, &head, sizeof head, 0) != sizeof head ||
        memcmp(head.magic, magic, sizeof magic)) {
        snprintf(b->why, sizeof b->why, "its memory is not that of a run");
        return;
    }
    head.version[sizeof head.version - 1] = '\0';
    if (head.bytes != sizeof(nj_shared) || st.st_size != sizeof(nj_shared)) {
        snprintf(b->why, sizeof b->why, "a run of another nightjar (%.60s); this one is %.30s", head.version,
                 nj_version);
        return;
    }
    void *at = mmap(NULL, sizeof(nj_shared), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        snprintf(b->why, sizeof b->why, "%s", strerror(errno));
    else
        b->shared = at;
}

static int add(nj_run_blocks *blocks, int32_t pid, const char *path, nj_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0; /* it has ended */
    nj_run_block *more = realloc(blocks->item, (blocks->n + 1) * sizeof *more);
    if (more) {
        blocks->item = more;
        nj_run_block *b = &more[blocks->n++];
        *b = (nj_run_block){ .pid = pid };
        look_into(b, fd);
    }
    close(fd);
    return more ? 0 : nj_fail(err, "out of memory");
}

static bool is_nightjar(int32_t pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && !fgets(name, sizeof name, f)) name[0] = '\0';
    if (f) fclose(f);
    return !strcmp(name, "nightjar\n");
}

static int look_at(nj_run_blocks *blocks, int32_t pid, nj_error *err)
{
    char folder[64], path[64 + 300], target[64];
    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(folder);
    if (!d) {
        blocks->n_closed += errno == EACCES && is_nightjar(pid);
        return 0;
    }
    int rc = 0;
    for (const struct dirent *e; rc == 0 && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0) continue;
        target[n] = '\0';
        if (strncmp(target, "/memfd:" NAME " ", strlen("/memfd:" NAME " "))) continue;
        rc = add(blocks, pid, path, err);
        break;
    }
    closedir(d);
    return rc;
}

static int by_pid(const void *a, const void *b)
{
    const nj_run_block *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

int nj_blocks_find(nj_run_blocks *blocks, int32_t pid, nj_error *err)
{
    *blocks = (nj_run_blocks){ .n = 0 };
    if (pid) return look_at(blocks, pid, err);
    DIR *d = opendir("/proc");
    if (!d) return nj_fail(err, "/proc: %s", strerror(errno));
    int rc = 0;
    for (const struct dirent *e; rc == 0 && (e = readdir(d));)
        if (isdigit((unsigned char)e->d_name[0])) rc = look_at(blocks, (int32_t)atoi(e->d_name), err);
    closedir(d);
    if (blocks->n) qsort(blocks->item, blocks->n, sizeof *blocks->item, by_pid);
    return rc;
}

void nj_blocks_free(nj_run_blocks *blocks)
{
    for (uint32_t i = 0; i < blocks->n; i++)
        if (blocks->item[i].shared) munmap((void *)blocks->item[i].shared, sizeof(nj_shared));
    free(blocks->item);
    *blocks = (nj_run_blocks){ .n = 0 };
}
