/* process_calls.h - C library functions that process() must not call (malloc, open),
 * counted while host_in_process is set.
 * For one test program only: it defines malloc() and open() of the whole program.
 * Sanitizers have their own malloc. */
#ifndef TESTS_MODULE_PROCESS_CALLS_H
#define TESTS_MODULE_PROCESS_CALLS_H

#include <dlfcn.h>
#include <fcntl.h>

#include "host.h"

static long n_allocations, n_files;

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n)
{
    n_allocations += host_in_process;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    n_allocations += host_in_process;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    n_allocations += host_in_process;
    return __libc_realloc(p, n);
}
int open(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "open");
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    n_files += host_in_process;
    return next(path, flags, mode);
}
FILE *fopen(const char *path, const char *mode)
{
    static FILE *(*next)(const char *, const char *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "fopen");
    n_files += host_in_process;
    return next(path, mode);
}
enum { COUNTED = 1 };
#else
enum { COUNTED = 0 };
#endif

#endif
