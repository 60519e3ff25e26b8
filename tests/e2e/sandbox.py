#!/usr/bin/env python3
"""[guard] sandbox: a module that tries what is no computing is refused, reported, and the rows are right."""

import ctypes, json, os, subprocess
from tap import ROOT, SANITIZED, Folder, done, nightjar, ok, report, rows, skip

# what it tries, by name: 1 when it worked
ACTS = {
    "writes": 'try_open("OUTSIDE/new", O_WRONLY | O_CREAT)',
    "appends": 'try_open("OUTSIDE/old", O_WRONLY | O_APPEND)',
    "beside": 'try_open("out/beside", O_RDWR | O_CREAT)',
    "creates": 'close_(creat("OUTSIDE/created", 0600))',
    "temporary": 'try_open("OUTSIDE", O_TMPFILE | O_RDWR)',
    "stdio": 'try_stdio("OUTSIDE/stdio")',
    "removes": 'unlink("OUTSIDE/doomed") == 0',
    "moves": 'rename("OUTSIDE/moved", "OUTSIDE/moved2") == 0',
    "folder": 'mkdir("OUTSIDE/folder", 0700) == 0',
    "link": 'symlink("old", "OUTSIDE/link") == 0',
    "cuts": 'truncate("OUTSIDE/cut", 1) == 0',
    "rights": 'chmod("OUTSIDE/rights", 0600) == 0',
    "socket": "close_(socket(AF_INET, SOCK_STREAM, 0))",
    "local_socket": "close_(socket(AF_UNIX, SOCK_DGRAM, 0))",
    "system": 'system("true") == 0',
    "forks": "try_fork()",
    "thread": "try_thread()",
    "child_writes": "try_child()",
    "kills": "kill(OTHER, 0) == 0",
    "kills_group": "kill(0, 0) == 0",
    "kills_all": "kill(-1, 0) == 0",
    "kills_thread": "syscall(SYS_tgkill, OTHER, OTHER, 0) == 0",
    "kills_by_tkill": "syscall(SYS_tkill, OTHER, 0) == 0",
    "queues": "sigqueue(OTHER, 0, (union sigval){ 0 }) == 0",
    "kills_by_descriptor": "syscall(SYS_pidfd_send_signal, pidfd(OTHER), 0, NULL, 0) == 0",
    "child_kills": "try_child_kill()",
    "reads_memory": "try_memory()",
    "takes_descriptor": "close_(syscall(SYS_pidfd_getfd, pidfd(getpid()), 2, 0))",
    "limits": "try_limit(OTHER)",
    "rights_of_read": 'fchmod(open("OUTSIDE/rights", O_RDONLY), 0600) == 0',
    "owner_of_read": 'fchown(open("OUTSIDE/rights", O_RDONLY), -1, -1) == 0',
    "times": 'utimensat(AT_FDCWD, "OUTSIDE/old", NULL, 0) == 0',
    # these fail everywhere, but only in a sandbox with this error
    "rights_by_2": 'tried(syscall(452, AT_FDCWD, "OUTSIDE/none", 0600, 0))',
    "attributes": 'tried(setxattr("OUTSIDE/none", "user.x", "1", 1, 0))',
    "types": 'tried(ioctl(open("OUTSIDE/old", O_RDONLY), TIOCSTI, "x"))',
    "namespace": "tried(unshare(CLONE_NEWUSER))",
    "enters": "tried(setns(-1, 0))",
    "mounts": "tried(syscall(SYS_move_mount, -1, NULL, -1, NULL, 0))",
    "messages": "try_messages()",
    "queue_of_posix": 'tried(syscall(SYS_mq_unlink, "nightjar-test-none"))',
    "kernel": "tried(syscall(SYS_delete_module, NULL, 0))",
}
KINDS = {
    "opens a file for writing",
    "removes a file",
    "moves a file",
    "makes a folder",
    "makes a link",
    "cuts a file",
    "changes rights",
    "opens a socket",
    "starts a program",
    "signals another process",
    "looks into a process",
    "limits another process",
    "changes the times of a file",
    "changes attributes",
    "types into a terminal",
    "enters a namespace",
    "mounts",
    "shares memory or messages",
    "changes the kernel",
}
SOURCE = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "nightjar/module.h"
static int tried(long rc) { return rc == 0 || errno != EPERM; }
static int pidfd(int pid) { return syscall(SYS_pidfd_open, pid, 0); }
static int try_memory(void)
{
    int from = 7, to = 0;
    struct iovec a = { &to, sizeof to }, b = { &from, sizeof from };
    return process_vm_readv(getpid(), &a, 1, &b, 1, 0) == sizeof to;
}
static int try_limit(int pid)
{
    struct rlimit l;
    return prlimit(pid, RLIMIT_CORE, NULL, &l) == 0 && prlimit(pid, RLIMIT_CORE, &l, NULL) == 0;
}
static int try_messages(void)
{
    int id = msgget(IPC_PRIVATE, 0600);
    return id >= 0 && msgctl(id, IPC_RMID, NULL) == 0;
}
static int close_(int fd) { return fd < 0 ? 0 : (close(fd), 1); }
static int try_open(const char *p, int flags) { return close_(open(p, flags, 0600)); }
static int try_stdio(const char *p) { FILE *f = fopen(p, "w"); if (f) fclose(f); return f != NULL; }
static int exits(int pid) { int s = 1; return pid > 0 && waitpid(pid, &s, 0) == pid && s == 0; }
static int try_fork(void)
{
    int pid = fork();
    if (pid == 0) execl("/bin/true", "true", NULL), _exit(1);
    return exits(pid);
}
static int try_child(void)
{
    int pid = fork();
    if (pid == 0) _exit(!try_open("OUTSIDE/child", O_WRONLY | O_CREAT));
    return exits(pid);
}
static int try_child_kill(void)
{
    int pid = fork();
    if (pid == 0) _exit(kill(OTHER, 0) != 0);
    return exits(pid);
}
static int own_signals(void) /* what stays allowed: itself, a child, its own limits */
{
    struct rlimit l;
    int pid = fork(), s = 0;
    if (pid == 0) pause(), _exit(0);
    return kill(getpid(), 0) == 0 && raise(0) == 0 && getrlimit(RLIMIT_CORE, &l) == 0 &&
           kill(pid, SIGKILL) == 0 && waitpid(pid, &s, 0) == pid && WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL;
}
static void *in_thread(void *got)
{
    return *(int *)got = try_open("OUTSIDE/thread", O_WRONLY | O_CREAT), NULL;
}
static int try_thread(void)
{
    pthread_t t;
    int got = 0;
    if (!pthread_create(&t, NULL, in_thread, &got)) pthread_join(t, NULL);
    return got;
}
static int in_open;
static int open_(const nj_host *host, const void *conf, void **self)
{
    in_open = 4 + try_open("OUTSIDE/open", O_WRONLY | O_CREAT) + 2 * try_fork() + 8 * (kill(OTHER, 0) == 0);
    return NJ_OK;
}
static int process(const void *self, void *thread, const nj_work *w)
{
    static int done;
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        int first = w->id[row] > 1000 && !done++;
        @TRIES@
        ((double *)w->out[@N@])[row] = in_open;
        ((double *)w->out[@N@ + 1])[row] = try_open("OUTSIDE/old", O_RDONLY) + 2 * try_open("out", O_RDONLY) +
            4 * (!first || own_signals());
        w->reason[row] = NJ_DONE;
    }
    return NJ_OK;
}
#define GIVE(name) { name, NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." },
NJ_MODULE(tries) = { NJ_HEADER, .name = "tries", .version = "1.0", .summary = "tries", .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ @GIVES@ GIVE("in_open") GIVE("reads") { 0 } },
    .open = open_, .process = process };
"""


def module():
    text = SOURCE.replace(
        "@TRIES@",
        "\n".join(
            f"((double *)w->out[{i}])[row] = first ? ({act}) != 0 : 0;" for i, act in enumerate(ACTS.values())
        ),
    )
    text = text.replace("@GIVES@", " ".join(f'GIVE("{name}")' for name in ACTS))
    text = text.replace("@N@", str(len(ACTS))).replace("OUTSIDE", os.path.abspath("outside"))
    text = text.replace("OTHER", str(os.getpid()))
    with open("tries.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-std=gnu11 -O1 -w -fPIC -DNJ_SHARED -shared -pthread".split()
    cc = os.environ.get("CC_MODULE", "cc")
    subprocess.run([cc, *flags, f"-I{ROOT}/include", "tries.c", "-o", "tries.so"], check=True)


def fresh():
    subprocess.run(["rm", "-rf", "outside", "out/beside"], check=True)
    os.makedirs("outside")
    for name in ("old", "doomed", "moved", "cut", "rights"):
        with open(f"outside/{name}", "w", encoding="utf-8") as f:
            f.write("as it was")
    os.chmod("outside/rights", 0o644)
    return state()


def state():
    found = {}
    for name in sorted(os.listdir("outside")):
        st = os.lstat(f"outside/{name}")
        found[name] = (st.st_mode, st.st_size)
    return found


def run(name, *more):
    r = nightjar(
        *("run", "night.tar", "-m", "tries,nalerthist", "-q", "-o", f"ndjson:out/{name}.ndjson"),
        *("--report", f"out/{name}.json", "--module-path", os.path.abspath("tries.so"), *more),
    )
    r.rows = rows(f"out/{name}.ndjson") if r.returncode == 0 else []
    r.did = {a for a in ACTS for row in r.rows if row[f"tries.{a}"] == 1}
    r.report = report(f"out/{name}.json") if r.returncode == 0 else {}
    return r


def landlock():
    libc = ctypes.CDLL(None, use_errno=True)
    return max(libc.syscall(444, None, 0, 1), 0)  # its version


def open_to_all():
    fresh()
    r = run("free", "-D", "guard.sandbox=0", "-j", "1")
    ok(r.returncode == 0, "without the sandbox", r.stderr)
    ok(r.did == set(ACTS), "each act works", set(ACTS) - r.did)
    ok({x["tries.in_open"] for x in r.rows} == {15}, "in open() as well", r.rows[:1])


def refused():
    for j in (1, 2):
        before = fresh()
        r = run(f"kept{j}", "-j", j)
        ok(r.returncode == 0, f"with --module-path the sandbox is there, -j {j}", r.stderr)
        ok(r.did == set(), "each act is refused", r.did)
        ok(state() == before, "no file outside is new, gone or changed", state())
        ok(not os.path.exists("out/beside"), "nor one beside the outputs")
        if landlock():
            want = 4 if landlock() >= 6 else 12
            ok({x["tries.in_open"] for x in r.rows} == {want}, "open() cannot either", r.rows[:1])
        else:
            skip("open()", "no landlock in this kernel")
        ok({x["tries.reads"] for x in r.rows} == {7}, "reading continues, and signals to itself", r.rows[:1])
        ok([x["candid"] for x in r.rows] == IDS, "every alert is a row")
        found = {x["act"] for x in r.report["guard"]["refused"]}
        ok(KINDS <= found, "the report has each kind of act", KINDS - found)
        who = {x["module"] for x in r.report["guard"]["refused"]}
        ok(who == {"tries"}, "and who it was", who)
        said = [
            line for line in r.stderr.splitlines() if "module tries opens a file for writing: refused" in line
        ]
        ok(len(said) == 1, "the log says it once a kind", r.stderr)
        ok(r.report["guard"]["restarts"] == 0, "and nobody dies of it", r.report["guard"])


def outputs_of_all_kinds():
    """What the host itself does is not refused: outputs in several folders, letters, a trace."""
    os.makedirs("other", exist_ok=True)
    names = "sqlite:a.db avro:a.avro fits:a.fits ndjson:p.ndjson.gz ndjson:r-{n}.ndjson"
    names += " parquet:a.parquet packets:k-{schema}.avro csv:a.csv"
    more = [x for spec in names.split() for x in ("-o", spec.replace(":", ":other/"))]
    r = run(
        "all", *more, "--trace", IDS[0], "--trace-file", "other/trace", "--dead-letters", "other/dead.avro"
    )
    ok(r.returncode == 0, "outputs of all kinds", r.stderr)
    names = set(os.listdir("other"))
    ok(
        {"a.db", "a.avro", "a.fits", "a.parquet", "a.csv", "p.ndjson.gz", "trace"} <= names,
        "are there",
        names,
    )
    plain = run("plain", "-D", "guard.sandbox=0")
    a = [{k: v for k, v in row.items() if not k.startswith("tries")} for row in r.rows]
    b = [{k: v for k, v in row.items() if not k.startswith("tries")} for row in plain.rows]
    ok(a == b, "with the same rows")


def asked_for():
    r = nightjar(*"run night.tar -m nalerthist -q -D guard.sandbox=1 -o ndjson:out/own.ndjson".split())
    ok(r.returncode == 0, "sandbox = 1 without modules of others", r.stderr)
    ok([x["candid"] for x in rows("out/own.ndjson")] == IDS, "every alert is a row")
    r = nightjar("run", "night.tar", "-m", "nalerthist", "-D", "guard.sandbox=1", "-o", "ndjson:-")
    ok(len(r.stdout.splitlines()) == len(IDS), "rows on standard output", r.stderr)
    os.makedirs("kept", exist_ok=True)
    r = nightjar(
        *"run night.tar -m nalerthist -q -D guard.sandbox=1 -o ndjson:out/cache.ndjson -d flow".split(),
        *("-D", "module.xmatch_remote.cache=kept/answers"),
    )
    ok("may write below kept/" in r.stderr, "the cache of a service may be written", r.stderr)
    before = fresh()
    r = run("alone", "--no-supervise")
    ok(r.did == set() and state() == before, "without a supervisor it is the same", r.stderr)


with Folder():
    os.makedirs("out")
    nightjar("simulate", "-n", "150", "-o", "night.tar", "-q")
    nightjar("run", "night.tar", "-m", "nalerthist", "-q", "-o", "ndjson:all.ndjson")
    IDS = [x["candid"] for x in rows("all.ndjson")]
    module()
    open_to_all()
    refused()
    outputs_of_all_kinds()
    asked_for()
done()
