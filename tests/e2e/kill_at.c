/* kill_at.c - a crash may come between any two system calls, and random moments find few of them: this runs a
 * command and kills it with all its children at the N-th call that changes something under a folder.
 *
 *   kill_at FOLDER N before|half COMMAND...
 *
 * before: the call is not done; half: of a write the first half of the bytes. FOLDER is the working directory
 * of the command, too. The last line on stderr is "kill_at: N calls", with the call that was not done. Exit
 * code: the command's; 137 = it was killed; 125 = it cannot be traced. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNTRACED = 125, KILLED = 137, TASKS = 256 };

/* Which argument says what is changed: a descriptor, a path, a path behind the descriptor of a folder. */
typedef enum { BY_FD, BY_PATH, BY_PATH_AT, BY_OPEN, BY_OPEN_AT } by;

static const struct {
    long number;
    const char *name;
    by by;
} call[] = {
    { SYS_write, "write", BY_FD },
    { SYS_pwrite64, "pwrite", BY_FD },
    { SYS_writev, "writev", BY_FD },
    { SYS_pwritev, "pwritev", BY_FD },
    { SYS_fsync, "fsync", BY_FD },
    { SYS_fdatasync, "fdatasync", BY_FD },
    { SYS_ftruncate, "ftruncate", BY_FD },
    { SYS_fallocate, "fallocate", BY_FD },
    { SYS_sync_file_range, "sync", BY_FD },
    { SYS_copy_file_range, "copy", BY_FD },
    { SYS_rename, "rename", BY_PATH },
    { SYS_renameat, "renameat", BY_PATH_AT },
    { SYS_renameat2, "renameat2", BY_PATH_AT },
    { SYS_unlink, "unlink", BY_PATH },
    { SYS_unlinkat, "unlinkat", BY_PATH_AT },
    { SYS_link, "link", BY_PATH },
    { SYS_linkat, "linkat", BY_PATH_AT },
    { SYS_truncate, "truncate", BY_PATH },
    { SYS_mkdir, "mkdir", BY_PATH },
    { SYS_mkdirat, "mkdirat", BY_PATH_AT },
    { SYS_rmdir, "rmdir", BY_PATH },
    { SYS_open, "open", BY_OPEN },
    { SYS_openat, "openat", BY_OPEN_AT },
};

static pid_t task[TASKS]; /* processes, not threads */
static int n_tasks;

static void text_at(pid_t pid, uint64_t at, char *text, size_t size)
{
    for (size_t n = 0; n + 1 < size; n++) {
        struct iovec to = { text + n, 1 }, from = { (void *)(uintptr_t)(at + n), 1 };
        text[n + 1] = 0;
        if (process_vm_readv(pid, &to, 1, &from, 1, 0) != 1) text[n] = 0;
        if (!text[n]) return;
    }
}

/* Does it change something under the folder? What, in words. */
static bool changes(pid_t pid, const struct __ptrace_syscall_info *info, const char *folder, char *what,
                    size_t size)
{
    char path[600] = "", link[64];
    size_t k = 0, n = strlen(folder);
    while (k < sizeof call / sizeof *call && call[k].number != (long)info->entry.nr) k++;
    if (k == sizeof call / sizeof *call) return false;
    const uint64_t *arg = (const uint64_t *)info->entry.args;
    if (call[k].by == BY_FD) {
        snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, (int)arg[0]);
        ssize_t got = readlink(link, path, sizeof path - 1);
        path[got > 0 ? got : 0] = 0;
        if (path[0] != '/') return false; /* a pipe, a memory file */
    } else {
        bool at = call[k].by == BY_PATH_AT || call[k].by == BY_OPEN_AT;
        bool opens = call[k].by == BY_OPEN || call[k].by == BY_OPEN_AT;
        text_at(pid, arg[at], path, sizeof path);
        if (opens && !(arg[at + 1] & (O_CREAT | O_TRUNC))) return false;
    }
    if (path[0] == '/' && (strncmp(path, folder, n) != 0 || (path[n] && path[n] != '/'))) return false;
    snprintf(what, size, "%s %s", call[k].name, path[0] == '/' ? path + n + (path[n] == '/') : path);
    return true;
}

static void kill_all(void)
{
    for (int i = 0; i < n_tasks; i++) kill(task[i], SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR) {
    }
}

static void add(pid_t pid)
{
    if (n_tasks < TASKS) task[n_tasks++] = pid;
}

/* Until the first process has ended, or was killed: the exit code. */
static int follow(pid_t first, const char *folder, long at, bool half)
{
    long n = 0;
    int status;
    pid_t halved = 0;
    char what[700] = "";
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        int pass = 0;
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return UNTRACED;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid != first) continue;
            fprintf(stderr, "kill_at: %ld calls\n", n);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info = { 0 };
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            if (pid == halved && info.op == PTRACE_SYSCALL_INFO_EXIT) {
                fprintf(stderr, "kill_at: %ld calls, the last by half: %s\n", n, what);
                return kill_all(), KILLED;
            }
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && !halved &&
                changes(pid, &info, folder, what, sizeof what) && ++n == at) {
                bool writes = info.entry.nr == SYS_write || info.entry.nr == SYS_pwrite64;
                if (!half || !writes || info.entry.args[2] < 2) {
                    fprintf(stderr, "kill_at: %ld calls, before %s\n", n, what);
                    return kill_all(), KILLED;
                }
                halved = pid;
                ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rdx), info.entry.args[2] / 2);
            }
        } else if (status >> 16 == PTRACE_EVENT_FORK || status >> 16 == PTRACE_EVENT_VFORK) {
            unsigned long child;
            if (!ptrace(PTRACE_GETEVENTMSG, pid, 0, &child)) add((pid_t)child);
        } else if (!(status >> 16) && WSTOPSIG(status) != SIGSTOP) {
            pass = WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, pid, 0, pass);
    }
}

int main(int argc, char **argv)
{
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                         PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (argc < 5) return fprintf(stderr, "kill_at FOLDER N before|half COMMAND...\n"), 2;
    if (chdir(argv[1])) return perror(argv[1]), 2;
    char *folder = realpath(".", NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(UNTRACED);
        raise(SIGSTOP);
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    int status;
    if (!folder || pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, 0, options))
        return UNTRACED;
    add(pid);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    return follow(pid, folder, atol(argv[2]), !strcmp(argv[3], "half"));
}
