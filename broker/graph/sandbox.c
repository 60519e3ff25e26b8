/* sandbox.c - a module computes: whatever else it tries, to write files, to start programs, to talk to
 * others, is a mistake or worse. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/log.h"
#include "instance.h"
#include "slot.h"

/* ---- files, by landlock: the whole process ------------------------------------------------------ */

/* By their numbers: headers may be older than the kernel. */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE = 1 << 1,
    FS_CHANGES = 0x1ff0,   /* remove, make */
    FS_REFER = 1 << 13,    /* from version 2 */
    FS_TRUNCATE = 1 << 14, /* 3 */
    SCOPE_SIGNAL = 1 << 1  /* 6 */
};

static bool allow(int rules, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) close(fd);
        return errno == ENOENT || errno == EACCES; /* whoever opens it says so */
    }
    if (!S_ISDIR(st.st_mode)) rights &= FS_EXECUTE | FS_WRITE | FS_TRUNCATE;
    struct landlock_path_beneath_attr beneath = { .allowed_access = rights, .parent_fd = fd };
    long rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(fd);
    return rc == 0;
}

bool nj_sandbox_files(const char *const *path, uint32_t n, const char *const *program, uint32_t n_programs,
                      char *why, uint32_t size)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) return snprintf(why, size, "the kernel has no landlock (%s)", strerror(errno)), false;
    uint64_t rights =
        FS_WRITE | FS_CHANGES | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0);
    /* files; networks; what stays within: signals, from version 6 */
    const uint64_t handled[3] = { rights | FS_EXECUTE, 0, SCOPE_SIGNAL };
    int rules = (int)syscall(SYS_landlock_create_ruleset, handled,
                             version >= 6 ? sizeof handled : sizeof *handled, 0);
    bool ok = rules >= 0;
    for (uint32_t i = 0; ok && i < n; i++) ok = allow(rules, path[i], rights);
    for (uint32_t i = 0; ok && i < n_programs; i++) ok = allow(rules, program[i], FS_EXECUTE);
    if (ok) ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (ok) ok = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (!ok) snprintf(why, size, "landlock: %s", strerror(errno));
    if (rules >= 0) close(rules);
    return ok;
}

/* ---- calls, by seccomp: threads that run modules ------------------------------------------------ */

enum { KINDS = 64, MOST_CODE = 512 };

/* Of OTHERS and OTHERS_NOT_0 the first argument is a process: not this one (nor 0, which means it there). */
typedef enum {
    ALWAYS,
    OPEN_FLAGS_1,
    OPEN_FLAGS_2,
    NEW_PROCESS,
    NAMESPACES,
    SOCKETS,
    OTHERS,
    OTHERS_NOT_0,
    TERMINAL
} condition;

/* The calls that are refused; numbers that a machine lacks are left out. */
static const struct act {
    long number;
    condition when;
    const char *words;
} acts[] = {
#ifdef SYS_open
    { SYS_open, OPEN_FLAGS_1, "opens a file for writing" },
    { SYS_creat, ALWAYS, "opens a file for writing" },
    { SYS_rename, ALWAYS, "moves a file" },
    { SYS_unlink, ALWAYS, "removes a file" },
    { SYS_rmdir, ALWAYS, "removes a folder" },
    { SYS_mkdir, ALWAYS, "makes a folder" },
    { SYS_link, ALWAYS, "makes a link" },
    { SYS_symlink, ALWAYS, "makes a link" },
    { SYS_mknod, ALWAYS, "makes a device or a pipe" },
    { SYS_chmod, ALWAYS, "changes rights" },
    { SYS_chown, ALWAYS, "changes rights" },
    { SYS_lchown, ALWAYS, "changes rights" },
    { SYS_vfork, ALWAYS, "starts a program" },
    { SYS_utime, ALWAYS, "changes the times of a file" },
    { SYS_utimes, ALWAYS, "changes the times of a file" },
    { SYS_futimesat, ALWAYS, "changes the times of a file" },
#endif
    { SYS_openat, OPEN_FLAGS_2, "opens a file for writing" },
#ifdef SYS_renameat
    { SYS_renameat, ALWAYS, "moves a file" },
#endif
    { SYS_renameat2, ALWAYS, "moves a file" },
    { SYS_unlinkat, ALWAYS, "removes a file" },
    { SYS_mkdirat, ALWAYS, "makes a folder" },
    { SYS_linkat, ALWAYS, "makes a link" },
    { SYS_symlinkat, ALWAYS, "makes a link" },
    { SYS_mknodat, ALWAYS, "makes a device or a pipe" },
    { SYS_truncate, ALWAYS, "cuts a file" },
    { SYS_fchmodat, ALWAYS, "changes rights" },
    { SYS_fchownat, ALWAYS, "changes rights" },
    { SYS_fchmod, ALWAYS, "changes rights" }, /* a file that is open for reading is enough */
    { SYS_fchown, ALWAYS, "changes rights" },
    { 452 /* fchmodat2 */, ALWAYS, "changes rights" },
    { SYS_setxattr, ALWAYS, "changes attributes" },
    { SYS_lsetxattr, ALWAYS, "changes attributes" },
    { SYS_fsetxattr, ALWAYS, "changes attributes" },
    { 463 /* setxattrat */, ALWAYS, "changes attributes" },
    { SYS_removexattr, ALWAYS, "changes attributes" },
    { SYS_lremovexattr, ALWAYS, "changes attributes" },
    { SYS_fremovexattr, ALWAYS, "changes attributes" },
    { 466 /* removexattrat */, ALWAYS, "changes attributes" },
    { 469 /* file_setattr */, ALWAYS, "changes attributes" },
    { SYS_utimensat, ALWAYS, "changes the times of a file" },
    { SYS_execve, ALWAYS, "starts a program" },
    { SYS_execveat, ALWAYS, "starts a program" },
    { SYS_clone, NEW_PROCESS, "starts a program" },
    { SYS_ptrace, ALWAYS, "looks into a process" },
    { SYS_process_vm_readv, ALWAYS, "looks into a process" },
    { SYS_kcmp, ALWAYS, "looks into a process" },
    { 438 /* pidfd_getfd */, ALWAYS, "looks into a process" },
    { SYS_process_vm_writev, ALWAYS, "writes into a process" },
    { 440 /* process_madvise */, ALWAYS, "writes into a process" },
    { SYS_kill, OTHERS, "signals another process" },
    { SYS_tgkill, OTHERS, "signals another process" },
    { SYS_rt_sigqueueinfo, OTHERS, "signals another process" },
    { SYS_rt_tgsigqueueinfo, OTHERS, "signals another process" },
    { SYS_tkill, ALWAYS, "signals another process" },
    { 424 /* pidfd_send_signal */, ALWAYS, "signals another process" },
    { SYS_prlimit64, OTHERS_NOT_0, "limits another process" },
    { SYS_ioctl, TERMINAL, "types into a terminal" },
    { SYS_mount, ALWAYS, "mounts" },
    { SYS_umount2, ALWAYS, "mounts" },
    { SYS_pivot_root, ALWAYS, "mounts" },
    { SYS_chroot, ALWAYS, "mounts" },
    { 428 /* open_tree */, ALWAYS, "mounts" },
    { 429 /* move_mount */, ALWAYS, "mounts" },
    { 430 /* fsopen */, ALWAYS, "mounts" },
    { 432 /* fsmount */, ALWAYS, "mounts" },
    { 442 /* mount_setattr */, ALWAYS, "mounts" },
    { SYS_setns, ALWAYS, "enters a namespace" },
    { SYS_unshare, NAMESPACES, "enters a namespace" },
    { SYS_bpf, ALWAYS, "changes the kernel" },
    { SYS_init_module, ALWAYS, "changes the kernel" },
    { SYS_finit_module, ALWAYS, "changes the kernel" },
    { SYS_delete_module, ALWAYS, "changes the kernel" },
    { SYS_kexec_load, ALWAYS, "changes the kernel" },
    { SYS_reboot, ALWAYS, "changes the kernel" },
    { SYS_swapon, ALWAYS, "changes the kernel" },
    { SYS_swapoff, ALWAYS, "changes the kernel" },
    { SYS_acct, ALWAYS, "changes the kernel" },
    { SYS_sethostname, ALWAYS, "changes the kernel" },
    { SYS_setdomainname, ALWAYS, "changes the kernel" },
    { SYS_settimeofday, ALWAYS, "changes the clock" },
    { SYS_clock_settime, ALWAYS, "changes the clock" },
    { SYS_clock_adjtime, ALWAYS, "changes the clock" },
    { SYS_adjtimex, ALWAYS, "changes the clock" },
    { SYS_shmget, ALWAYS, "shares memory or messages" },
    { SYS_shmat, ALWAYS, "shares memory or messages" },
    { SYS_shmctl, ALWAYS, "shares memory or messages" },
    { SYS_msgget, ALWAYS, "shares memory or messages" },
    { SYS_msgctl, ALWAYS, "shares memory or messages" },
    { SYS_semget, ALWAYS, "shares memory or messages" },
    { SYS_semctl, ALWAYS, "shares memory or messages" },
    { SYS_mq_open, ALWAYS, "shares memory or messages" },
    { SYS_mq_unlink, ALWAYS, "shares memory or messages" },
    { SYS_add_key, ALWAYS, "uses keys of the kernel" },
    { SYS_request_key, ALWAYS, "uses keys of the kernel" },
    { SYS_keyctl, ALWAYS, "uses keys of the kernel" },
    { SYS_socket, SOCKETS, "opens a socket" },
    { SYS_connect, SOCKETS, "connects a socket" },
    { SYS_bind, SOCKETS, "binds a socket" },
    { SYS_listen, SOCKETS, "listens" },
};
enum { ACTS = sizeof acts / sizeof *acts };

struct nj_sandbox {
    int notices, end[2]; /* of the kernel; a byte ends the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    nj_refused kind[KINDS];
    uint32_t n;
    /* of the thread, while it looks for the module */
    const nj_instances *set;
    int looked_for;
    char found[64];
};

typedef struct code {
    struct sock_filter op[MOST_CODE];
    unsigned short n;
} code;

static void put(code *c, unsigned short op, unsigned char yes, unsigned char no, uint32_t k)
{
    if (c->n < MOST_CODE) c->op[c->n++] = (struct sock_filter){ op, yes, no, k };
}

static void put_load(code *c, size_t offset)
{
    put(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void put_end(code *c, uint32_t what)
{
    put(c, BPF_RET | BPF_K, 0, 0, what);
}

/* The low half of an argument: flags are there. */
static size_t argument(int i)
{
    size_t at = offsetof(struct seccomp_data, args) + 8 * (size_t)i;
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? at + 4 : at;
}

static void put_act(code *c, const struct act *a, uint32_t refuse)
{
    static const uint32_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    static const uint32_t spaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                   CLONE_NEWUTS | CLONE_NEWCGROUP;
    /* What the argument is looked at for: a bit of these, or whether it is one of these two. */
    const struct {
        int argument;
        uint32_t bits, value[2];
        bool other; /* than these */
    } looks[] = {
        [OPEN_FLAGS_1] = { .argument = 1, .bits = writes },
        [OPEN_FLAGS_2] = { .argument = 2, .bits = writes },
        [NEW_PROCESS] = { .bits = (uint32_t)CLONE_VFORK },
        [NAMESPACES] = { .bits = spaces },
        [OTHERS] = { .value = { (uint32_t)getpid(), (uint32_t)getpid() }, .other = true },
        [OTHERS_NOT_0] = { .value = { (uint32_t)getpid(), 0 }, .other = true },
        [TERMINAL] = { .argument = 1, .value = { TIOCSTI, TIOCLINUX } },
    }, *look = &looks[a->when == SOCKETS ? ALWAYS : a->when];
    if (a->when == ALWAYS || a->when == SOCKETS) {
        put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)a->number);
        put_end(c, refuse);
        return;
    }
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, look->bits ? 4 : 5, (uint32_t)a->number);
    put_load(c, argument(look->argument));
    if (look->bits) {
        put(c, BPF_JMP | BPF_JSET | BPF_K, 0, 1, look->bits);
    } else {
        put(c, BPF_JMP | BPF_JEQ | BPF_K, look->other ? 2 : 1, 0, look->value[0]);
        put(c, BPF_JMP | BPF_JEQ | BPF_K, look->other, !look->other, look->value[1]);
    }
    put_end(c, refuse);
    put_end(c, SECCOMP_RET_ALLOW);
}

static void make_filter(code *c, bool sockets, uint32_t refuse)
{
#if defined __x86_64__
    const uint32_t machine = AUDIT_ARCH_X86_64;
#else
    const uint32_t machine = AUDIT_ARCH_AARCH64;
#endif
    const uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;
    put_load(c, offsetof(struct seccomp_data, arch));
    put(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, machine);
    put_end(c, unknown);
    put_load(c, offsetof(struct seccomp_data, nr));
    put(c, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000); /* the same calls by other numbers (x32) */
    put_end(c, unknown);
    /* their flags are in memory, where a filter does not see them: libraries take the older calls then */
    static const long in_memory[] = { SYS_clone3, 437 /* openat2 */, 425 /* io_uring_setup */ };
    for (size_t i = 0; i < sizeof in_memory / sizeof *in_memory; i++) {
        put(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)in_memory[i]);
        put_end(c, unknown);
    }
    for (size_t i = 0; i < ACTS; i++)
        if (!sockets || acts[i].when != SOCKETS) put_act(c, &acts[i], refuse);
    put_end(c, SECCOMP_RET_ALLOW);
}

/* ---- who it was --------------------------------------------------------------------------------- */

static void look_at_slot(void *sandbox_, nj_slot *slot)
{
    nj_sandbox *s = sandbox_;
    const char *instance = atomic_load(&slot->instance);
    if (!instance || atomic_load(&slot->thread) != s->looked_for) return;
    snprintf(s->found, sizeof s->found, "%s", instance);
}

/* All modules of shared objects that are in a call: "a or b". The host's own parts, "(decode)", and the
 * modules of the binary make no processes, and no threads but those of a service. */
static void look_for_any(void *sandbox_, nj_slot *slot)
{
    nj_sandbox *s = sandbox_;
    const char *instance = atomic_load(&slot->instance);
    if (!instance || instance[0] == '(' || strstr(s->found, instance)) return;
    const nj_instance *in = nj_instances_find(s->set, instance);
    if (in && !in->path) return;
    size_t n = strlen(s->found);
    snprintf(s->found + n, sizeof s->found - n, "%s%s", n ? " or " : "", instance);
}

/* The module that a thread is in. A process or a thread that a module made is in none. */
static const char *module_of(nj_sandbox *s, int thread)
{
    s->found[0] = '\0';
    s->looked_for = thread;
    nj_slot_each(look_at_slot, s);
    if (!s->found[0]) nj_slot_each(look_for_any, s);
    return s->found[0] ? s->found : "?";
}

static void note(nj_sandbox *s, int thread, long number)
{
    const char *words = "?", *module = module_of(s, thread);
    for (size_t i = 0; i < ACTS; i++)
        if (acts[i].number == number) words = acts[i].words;
    pthread_mutex_lock(&s->lock);
    uint32_t k = 0;
    while (k < s->n && (strcmp(s->kind[k].module, module) != 0 ||
                        strncmp(s->kind[k].act, words, sizeof s->kind->act - 1) != 0))
        k++;
    if (k == s->n && s->n < KINDS) {
        nj_refused *r = &s->kind[s->n++];
        *r = (nj_refused){ .n = 0 };
        snprintf(r->module, sizeof r->module, "%s", module);
        snprintf(r->act, sizeof r->act, "%s", words);
    }
    bool first = k < s->n && s->kind[k].n++ == 0;
    pthread_mutex_unlock(&s->lock);
    if (first)
        nj_log(NJ_LOG_WARN, "module %s %s: refused, and not shown again ([guard] sandbox)", module, words);
}

/* Is the process a child of this one, or a child's? A module in Python ends its worker that hangs. */
static bool is_descendant(uint32_t pid)
{
    for (int i = 0; i < 100 && pid > 1; i++) {
        char path[40], text[400];
        snprintf(path, sizeof path, "/proc/%u/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        if (n <= 0) return false;
        text[n] = 0;
        const char *name = strrchr(text, ')'); /* the name of the program may have any characters */
        if (!name || sscanf(name, ") %*c %u", &pid) != 1) return false;
        if (pid == (uint32_t)getpid()) return true;
    }
    return false;
}

/* A signal to a process of its own; the numbers are in registers, so nobody changes them behind our back. */
static bool is_allowed(const struct seccomp_data *d)
{
    const bool one = d->nr == SYS_kill || d->nr == SYS_tgkill || d->nr == SYS_rt_sigqueueinfo ||
                     d->nr == SYS_rt_tgsigqueueinfo;
    return one && (int32_t)d->args[0] > 1 && is_descendant((uint32_t)d->args[0]);
}

static void *watch(void *sandbox_)
{
    nj_sandbox *s = sandbox_;
    struct pollfd on[2] = { { .fd = s->notices, .events = POLLIN }, { .fd = s->end[0], .events = POLLIN } };
    struct {
        struct seccomp_notif ask;
        char more[256]; /* a newer kernel's may be larger */
    } in;
    while (poll(on, 2, -1) >= 0 || errno == EINTR) {
        if (on[1].revents) break;
        if (on[0].revents & (POLLHUP | POLLERR)) on[0].fd = -1; /* its last thread is gone */
        if (!(on[0].revents & POLLIN)) continue;
        memset(&in, 0, sizeof in);
        if (ioctl(s->notices, SECCOMP_IOCTL_NOTIF_RECV, &in.ask)) continue; /* who asked is gone */
        struct seccomp_notif_resp answer = { .id = in.ask.id, .error = -EPERM };
        if (is_allowed(&in.ask.data))
            answer.error = 0, answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
            note(s, (int)in.ask.pid, in.ask.data.nr);
        if (ioctl(s->notices, SECCOMP_IOCTL_NOTIF_SEND, &answer)) continue;
    }
    return NULL;
}

/* ---- in and out --------------------------------------------------------------------------------- */

nj_sandbox *nj_sandbox_enter(bool sockets, const nj_instances *set, char *why, uint32_t size)
{
    code c = { .n = 0 };
    nj_sandbox *s = calloc(1, sizeof *s);
    if (!s || pipe2(s->end, O_CLOEXEC)) {
        snprintf(why, size, "%s", strerror(errno));
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->set = set;
    make_filter(&c, sockets, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = { c.n, c.op };
    long rc = c.n < MOST_CODE ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : -1;
    if (rc == 0)
        rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    s->notices = (int)rc;
    /* the thread that answers is under the filter as well: it needs none of these calls */
    if (rc >= 0 && pthread_create(&s->thread, NULL, watch, s) == 0) return s;
    snprintf(why, size, "the kernel has no seccomp that reports (%s)", strerror(errno));
    if (rc >= 0) close((int)rc);
    close(s->end[0]);
    close(s->end[1]);
    free(s);
    return NULL;
}

uint32_t nj_sandbox_refused(nj_sandbox *s, const nj_refused **list)
{
    pthread_mutex_lock(&s->lock);
    uint32_t n = s->n;
    pthread_mutex_unlock(&s->lock);
    *list = s->kind;
    return n;
}

void nj_sandbox_free(nj_sandbox *s)
{
    if (!s) return;
    if (write(s->end[1], "", 1) == 1) pthread_join(s->thread, NULL);
    close(s->notices);
    close(s->end[0]);
    close(s->end[1]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
