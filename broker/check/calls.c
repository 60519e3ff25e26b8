/* calls.c - replaces the addresses of malloc(), open() and their like in the tables by which loaded objects
 * call them (the global offset table of ELF): a module's calls are seen without a build of its own. */
#include "calls.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inputs.h"

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined SANITIZED || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define KNOWN 0 /* they have their own malloc() */
#elif defined __x86_64__
enum { SLOT = R_X86_64_JUMP_SLOT, DATA = R_X86_64_GLOB_DAT };
#define KNOWN 1
#elif defined __aarch64__
enum { SLOT = R_AARCH64_JUMP_SLOT, DATA = R_AARCH64_GLOB_DAT };
#define KNOWN 1
#else
#define KNOWN 0
#endif

static unsigned long taken;
static const char *first_taken;

unsigned long nj_calls_taken(const char **first)
{
    unsigned long n = taken;
    *first = first_taken;
    taken = 0;
    first_taken = NULL;
    return n;
}

#if KNOWN

static void count(const char *name)
{
    if (!nj_made_inside) return;
    taken++;
    if (!first_taken) first_taken = name;
}

/* What they are in the C library: found before anything is replaced, since these functions would otherwise
 * come to themselves. */
static struct {
    void *(*malloc)(size_t n);
    void *(*calloc)(size_t n, size_t size);
    void *(*realloc)(void *p, size_t n);
    void *(*aligned_alloc)(size_t align, size_t n);
    int (*posix_memalign)(void **p, size_t align, size_t n);
    FILE *(*fopen)(const char *path, const char *mode);
    int (*socket)(int domain, int type, int protocol);
    int (*system)(const char *command);
    FILE *(*popen)(const char *command, const char *mode);
    int (*open)(const char *path, int flags, ...);
    void *(*mmap)(void *at, size_t n, int rights, int flags, int fd, off_t offset);
    int (*pthread_create)(pthread_t *t, const pthread_attr_t *how, void *(*f)(void *), void *argument);
    pid_t (*fork)(void);
    char *(*setlocale)(int category, const char *name);
    int (*sigaction)(int number, const struct sigaction *now, struct sigaction *was);
    sighandler_t (*signal)(int number, sighandler_t handler);
    int (*setenv)(const char *name, const char *value, int replace);
} real;

static void *counted_malloc(size_t n)
{
    count("malloc");
    return real.malloc(n);
}
static void *counted_calloc(size_t n, size_t size)
{
    count("calloc");
    return real.calloc(n, size);
}
static void *counted_realloc(void *p, size_t n)
{
    count("realloc");
    return real.realloc(p, n);
}
static void *counted_aligned_alloc(size_t align, size_t n)
{
    count("aligned_alloc");
    return real.aligned_alloc(align, n);
}
static int counted_posix_memalign(void **p, size_t align, size_t n)
{
    count("posix_memalign");
    return real.posix_memalign(p, align, n);
}
static FILE *counted_fopen(const char *path, const char *mode)
{
    count("fopen");
    return real.fopen(path, mode);
}
static int counted_socket(int domain, int type, int protocol)
{
    count("socket");
    return real.socket(domain, type, protocol);
}
static int counted_system(const char *command)
{
    count("system");
    return real.system(command);
}
static FILE *counted_popen(const char *command, const char *mode)
{
    count("popen");
    return real.popen(command, mode);
}
static int counted_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    count("open");
    return real.open(path, flags, mode);
}

static void *counted_mmap(void *at, size_t n, int rights, int flags, int fd, off_t offset)
{
    count("mmap");
    return real.mmap(at, n, rights, flags, fd, offset);
}
static int counted_pthread_create(pthread_t *t, const pthread_attr_t *how, void *(*f)(void *), void *argument)
{
    count("pthread_create");
    return real.pthread_create(t, how, f, argument);
}
static pid_t counted_fork(void)
{
    count("fork");
    return real.fork();
}
static char *counted_setlocale(int category, const char *name)
{
    if (name) count("setlocale");
    return real.setlocale(category, name);
}
static int counted_sigaction(int number, const struct sigaction *now, struct sigaction *was)
{
    if (now) count("sigaction");
    return real.sigaction(number, now, was);
}
static sighandler_t counted_signal(int number, sighandler_t handler)
{
    count("signal");
    return real.signal(number, handler);
}
static int counted_setenv(const char *name, const char *value, int replaces)
{
    count("setenv");
    return real.setenv(name, value, replaces);
}

typedef struct counted {
    const char *name;
    void *instead, *real; /* real: where its address is to be put, or NULL */
} counted;

#define IS(name, f)                                                                                          \
    {                                                                                                        \
        name, (void *)(uintptr_t)counted_##f, &real.f                                                        \
    }
#define ALSO(name, f)                                                                                        \
    {                                                                                                        \
        name, (void *)(uintptr_t)counted_##f, NULL                                                           \
    }
static const counted all[] = {
    IS("malloc", malloc),
    IS("calloc", calloc),
    IS("realloc", realloc),
    IS("aligned_alloc", aligned_alloc),
    IS("posix_memalign", posix_memalign),
    IS("open", open),
    IS("fopen", fopen),
    IS("socket", socket),
    IS("system", system),
    IS("popen", popen),
    IS("mmap", mmap),
    IS("pthread_create", pthread_create),
    IS("fork", fork),
    IS("setlocale", setlocale),
    IS("sigaction", sigaction),
    IS("signal", signal),
    IS("setenv", setenv),
    ALSO("mmap64", mmap),
    ALSO("open64", open),
    ALSO("fopen64", fopen),
    ALSO("_Znwm", malloc), /* operator new and new[] of C++ */
    ALSO("_Znam", malloc),
};

static bool find_real(void)
{
    bool well = true;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        void *at = all[k].real ? dlsym(RTLD_NEXT, all[k].name) : NULL;
        if (at) memcpy(all[k].real, &at, sizeof at);
        well &= at || !all[k].real;
    }
    return well;
}

/* What one object needs to know of itself; addresses of a dynamic section are absolute once it is loaded. */
typedef struct dynamic {
    const ElfW(Sym) * symbol;
    const char *text;
    const ElfW(Rela) * table[2];
    size_t n[2];
} dynamic;

static dynamic read_dynamic(const struct dl_phdr_info *info)
{
    dynamic d = { 0 };
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        const ElfW(Dyn) *at = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; at->d_tag != DT_NULL; at++) {
            const void *address = (const void *)(uintptr_t)at->d_un.d_ptr;
            if (at->d_tag == DT_SYMTAB) d.symbol = address;
            if (at->d_tag == DT_STRTAB) d.text = address;
            if (at->d_tag == DT_JMPREL) d.table[0] = address;
            if (at->d_tag == DT_PLTRELSZ) d.n[0] = at->d_un.d_val / sizeof(ElfW(Rela));
            if (at->d_tag == DT_RELA) d.table[1] = address;
            if (at->d_tag == DT_RELASZ) d.n[1] = at->d_un.d_val / sizeof(ElfW(Rela));
        }
    }
    return d;
}

static bool replace(void *at, void *value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)at & ~(page - 1);
    if (mprotect((void *)from, page + sizeof value, PROT_READ | PROT_WRITE)) return false;
    memcpy(at, &value, sizeof value);
    return true;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *opaque)
{
    const char *name = strrchr(info->dlpi_name, '/');
    bool *well = opaque;
    (void)size;
    name = name ? name + 1 : info->dlpi_name;
    if (!strncmp(name, "libc.so", 7) || !strncmp(name, "ld-linux", 8) || !strncmp(name, "linux-vdso", 10))
        return 0;
    const dynamic d = read_dynamic(info);
    if (!d.symbol || !d.text) return 0;
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; d.table[t] && i < d.n[t]; i++) {
            const ElfW(Rela) *r = &d.table[t][i];
            unsigned type = (unsigned)ELF64_R_TYPE(r->r_info);
            if (type != SLOT && type != DATA) continue;
            const char *symbol = d.text + d.symbol[ELF64_R_SYM(r->r_info)].st_name;
            for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                if (!strcmp(symbol, all[k].name))
                    *well &= replace((void *)(info->dlpi_addr + r->r_offset), all[k].instead);
        }
    return 0;
}

#endif

bool nj_calls_watch(void)
{
#if KNOWN
    bool well = find_real();
    if (well) dl_iterate_phdr(look_at, &well);
    return well;
#else
    return false;
#endif
}
