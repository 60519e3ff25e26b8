/* state.c - a module that leaves another rounding mode, locale or working directory behind changes the
 * answers
 * and outputs of all others, so these are compared and set back around its calls. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"

static const int signals[NJ_STATE_SIGNALS] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL,  SIGABRT,
                                               SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD };
static const char *const signal_name[NJ_STATE_SIGNALS] = { "SIGSEGV", "SIGBUS",  "SIGFPE", "SIGILL",
                                                           "SIGABRT", "SIGTERM", "SIGINT", "SIGHUP",
                                                           "SIGPIPE", "SIGCHLD" };
static const int limits[NJ_STATE_LIMITS] = { RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_CPU,
                                             RLIMIT_CORE };
static const char *const limit_name[NJ_STATE_LIMITS] = { "files", "file size", "memory", "CPU time",
                                                         "core files" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int folder = -1; /* the working directory of the process: nightjar itself never leaves it */

static void add(char *what, size_t size, const char *name, const char *of)
{
    size_t n = strlen(what);
    if (n < size) snprintf(what + n, size - n, "%s%s%s", n ? ", " : "", name, of);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Both were zeroed before they were asked for: equal bytes are equal sets. The other way round bytes say
 * nothing, because a set has room for more signals than there are. */
static bool same_mask(const sigset_t *a, const sigset_t *b)
{
    if (!memcmp(a, b, sizeof *a)) return true;
    for (int s = 1; s < SIGRTMAX; s++)
        if (sigismember(a, s) != sigismember(b, s)) return false;
    return true;
}

static void keep_folder(void)
{
    pthread_mutex_lock(&lock);
    if (folder < 0) folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    pthread_mutex_unlock(&lock);
}

static bool set_folder_back(const struct stat *was, char *what, size_t size)
{
    struct stat now;
    if (!was->st_ino || (stat(".", &now) == 0 && same_file(&now, was))) return false;
    add(what, size, "the working directory", folder < 0 || fchdir(folder) ? " (it cannot be set back)" : "");
    return true;
}

static bool set_mask_back(const sigset_t *was, char *what, size_t size)
{
    sigset_t now;
    memset(&now, 0, sizeof now);
    if (pthread_sigmask(SIG_SETMASK, NULL, &now) || same_mask(&now, was)) return false;
    pthread_sigmask(SIG_SETMASK, was, NULL);
    add(what, size, "the blocked signals", "");
    return true;
}

bool nj_state_set_back(nj_state_quick *was, const char *locale, char *what, size_t size)
{
    const nj_state_quick now = nj_state_look();
    bool changed = false;
#if defined __x86_64__
    if (now.sse != was->sse) {
        uint32_t differs = now.sse ^ was->sse;
        __builtin_ia32_ldmxcsr(was->sse);
        if (differs & 0x6000) add(what, size, "the rounding mode", "");
        if (differs & 0x8040) add(what, size, "the treatment of tiny numbers", "");
        if (differs & 0x1f80) add(what, size, "the traps of floating point", "");
        changed = true;
    }
    if (now.x87 != was->x87) {
        __asm__ volatile("fldcw %0" : : "m"(was->x87));
        if (now.sse == was->sse) add(what, size, "the precision of long doubles", "");
        changed = true;
    }
#else
    if (now.sse != was->sse) {
        fesetround((int)was->sse);
        add(what, size, "the rounding mode", "");
        changed = true;
    }
#endif
    if (now.thread_locale != was->thread_locale || now.locale != was->locale) {
        uselocale(was->thread_locale);
        setlocale(LC_ALL, locale);
        was->locale = setlocale(LC_ALL, NULL); /* the same name may stand elsewhere now */
        add(what, size, "the locale", "");
        changed = true;
    }
    return changed;
}

void nj_state_begin(nj_state *s, bool alone)
{
    memset(s, 0, sizeof *s);
    s->alone = alone;
    s->quick = nj_state_look();
    snprintf(s->locale, sizeof s->locale, "%s", s->quick.locale ? s->quick.locale : "C");
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    for (int i = 0; i < NJ_STATE_SIGNALS; i++) sigaction(signals[i], NULL, &s->action[i]);
    for (int i = 0; i < NJ_STATE_LIMITS; i++) getrlimit(limits[i], &s->limit[i]);
    keep_folder();
    if (stat(".", &s->folder)) s->folder.st_ino = 0;
    for (int fd = 0; fd < 3; fd++)
        s->kept[fd] = fstat(fd, &s->standard[fd]) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (alone) umask(s->mask_of_files = umask(077));
}

bool nj_state_end(nj_state *s, char *what, size_t size)
{
    static const char *const standard[3] = { "standard input", "standard output", "standard error" };
    what[0] = 0;
    bool changed = nj_state_set_back(&s->quick, s->locale, what, size);
    changed |= set_mask_back(&s->mask, what, size);
    changed |= set_folder_back(&s->folder, what, size);
    for (int i = 0; i < NJ_STATE_SIGNALS; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) || now.sa_handler == s->action[i].sa_handler) continue;
        sigaction(signals[i], &s->action[i], NULL);
        add(what, size, "the action of ", signal_name[i]);
        changed = true;
    }
    for (int i = 0; i < NJ_STATE_LIMITS; i++) {
        struct rlimit now;
        if (getrlimit(limits[i], &now) || now.rlim_cur == s->limit[i].rlim_cur) continue;
        setrlimit(limits[i], &s->limit[i]);
        add(what, size, "the limit of ", limit_name[i]);
        changed = true;
    }
    for (int fd = 0; fd < 3; fd++) {
        struct stat now;
        if (s->kept[fd] < 0) continue;
        if (fstat(fd, &now) || !same_file(&now, &s->standard[fd])) {
            add(what, size, standard[fd], dup2(s->kept[fd], fd) < 0 ? " (it cannot be set back)" : "");
            changed = true;
        }
        close(s->kept[fd]);
    }
    if (s->alone) {
        mode_t now = umask(s->mask_of_files);
        if (now != s->mask_of_files) add(what, size, "the mask of new files", "");
        changed |= now != s->mask_of_files;
    }
    return changed;
}

void nj_state_left(nj_state *s, const char *module, const char *where)
{
    char what[256];
    if (nj_state_end(s, what, sizeof what))
        nj_log(NJ_LOG_WARN, "module %s changed %s of the process %s; it is set back", module, what, where);
}

void nj_state_batch_begin(nj_state_batch *s)
{
    memset(s, 0, sizeof *s);
    keep_folder();
    if (stat(".", &s->folder)) s->folder.st_ino = 0;
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
}

bool nj_state_batch_end(const nj_state_batch *s, char *what, size_t size)
{
    what[0] = 0;
    bool changed = set_mask_back(&s->mask, what, size);
    return set_folder_back(&s->folder, what, size) || changed;
}
