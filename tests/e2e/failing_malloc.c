/* failing_malloc.c - makes the k-th allocation of a program fail, so that a test can see how it handles
 * that. Preloaded; allocations of the libraries are left alone: they have their own ways. Not a test.
 *
 * FAIL_AT=k: the k-th fails (0 or unset: none). FAIL_COUNT=FILE: how many there were, as text, at the end.
 * FAIL_WHERE=FILE: the addresses of those who asked, in the file of the program, when one failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static uintptr_t first, last, base;
static unsigned long at;
static atomic_ulong count;

static int look(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    base = info->dlpi_addr; /* the program itself comes first */
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        first = base + p->p_vaddr;
        last = first + p->p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *k = getenv("FAIL_AT");
    void *ready[1];
    at = k ? strtoul(k, NULL, 10) : 0;
    backtrace(ready, 1); /* its first call loads a library */
    dl_iterate_phdr(look, NULL);
}

static void put(const char *variable, const unsigned long *value, int n_values)
{
    char text[1000];
    const char *path = getenv(variable);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1, n = 0;
    if (fd < 0) return;
    for (int i = 0; i < n_values && n < 900; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%#lx\n", value[i]);
    if (write(fd, text, (size_t)n) != n) _exit(99);
    close(fd);
}

static void put_where(void)
{
    void *frame[40];
    unsigned long where[12];
    int n = backtrace(frame, 40), k = 0;
    for (int i = 0; i < n && k < 12; i++)
        if ((uintptr_t)frame[i] >= first && (uintptr_t)frame[i] < last)
            where[k++] = (uintptr_t)frame[i] - base;
    put("FAIL_WHERE", where, k);
}

__attribute__((destructor)) static void end(void)
{
    put("FAIL_COUNT", &(unsigned long){ atomic_load(&count) }, 1);
}

/* Is it this one's turn to fail? */
static int fails(void *from)
{
    uintptr_t a = (uintptr_t)from;
    if (a < first || a >= last) return 0;
    if (atomic_fetch_add(&count, 1) + 1 != at) return 0;
    put_where();
    errno = ENOMEM;
    return 1;
}

#define FROM __builtin_return_address(0)

void *malloc(size_t n)
{
    return fails(FROM) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(FROM) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(FROM) ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return fails(FROM) ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    if (fails(FROM)) return ENOMEM;
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}

char *strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = fails(FROM) ? NULL : __libc_malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}
