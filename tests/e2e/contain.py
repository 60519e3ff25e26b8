#!/usr/bin/env python3
"""Whatever a module does on one alert, the stream continues, and exactly its answers for that alert are
missing."""

import os, signal, sqlite3, subprocess, time
import own_copy  # before tap
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, compile_module, done, nightjar, ok, report, rows, skip

N = 300  # alerts of the night
SOURCE = """
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "nightjar/module.h"
static volatile long sum;
@HEAD@
static int open_(const nj_host *host, const void *conf, void **self)
{
    (void)host, (void)conf, (void)self;
    @OPEN@;
    return NJ_OK;
}
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    double *x = w->out[0];
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        x[row] = (double)(w->id[row] % 1000) / 3;
        w->reason[row] = NJ_DONE;
        if (w->id[row] % 17 != 3) continue;
        @HABIT@;
    }
    @END@;
    return NJ_OK;
}
NJ_MODULE(@NAME@) = { NJ_HEADER, .name = "@NAME@", .version = "1.0", .summary = "a bad one",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .open = open_, @MORE@ .process = process };
"""


def failing(candid):
    return candid % 17 == 3


def module(name, habit="", begin="", end="", more="", head=""):
    """NAME.so, whose process() does `habit` for the failing alerts."""
    text = (
        SOURCE.replace("@NAME@", name)
        .replace("@HABIT@", habit)
        .replace("@OPEN@", begin)
        .replace("@END@", end)
        .replace("@MORE@", more)
        .replace("@HEAD@", head)
    )
    with open(f"{name}.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-O1 -g -w -frounding-math -fno-stack-protector".split()
    return compile_module(f"{name}.c", f"{name}.so", *flags)


def run(name, *more, source="night.tar", others="nalerthist", threads=1):
    so = os.path.abspath(f"{name}.so")
    out = ["-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", "--dead-letters", f"{name}.avro"]
    r = nightjar(
        "run", source, "--module-path", so, "-m", f"{others},{name}", "-q", "-j", threads, *out, *more
    )
    r.rows = rows(f"{name}.ndjson") if os.path.exists(f"{name}.ndjson") else []
    return r


def only_these_failed(r, name, what):
    """These rows are failed and null, all others have their answer, in the order of the source."""
    ok(r.returncode == 0, f"{what}: the stream completes", f"{r.returncode} {r.stderr}")
    ok(
        [x["candid"] for x in r.rows] == IDS,
        f"{what}: every alert is a row, once",
        f"{len(r.rows)} rows {r.stderr}",
    )
    failed = [x["candid"] for x in r.rows if x[f"{name}.reason"] == "failed"]
    ok(
        failed == [i for i in IDS if failing(i)],
        f"{what}: exactly these are failed",
        f"{len(failed)} {r.stderr}",
    )
    ok(all(x[f"{name}.x"] is None for x in r.rows if failing(x["candid"])), f"{what}: their values are null")
    right = [x[f"{name}.x"] == x["candid"] % 1000 / 3 for x in r.rows if not failing(x["candid"])]
    ok(all(right) and right, f"{what}: all others have their values")


def wrong(name):
    return {w["what"]: w["n"] for w in report(f"{name}.json")["wrong_outputs"] if w["name"] == name}


def calls_that_fail():
    module("internal", "return NJ_EINTERNAL")
    for j in (1, 2):
        r = run("internal", "--overwrite", threads=j)
        only_these_failed(r, "internal", f"a status of failure, -j {j}")
    ok(
        wrong("internal") == {"call_failed": sum(map(failing, IDS))},
        "and so says the report",
        wrong("internal"),
    )
    module("half", "x[row] = 5; if (k) return 77")
    r = run("half")
    ok(
        sum(x["half.reason"] == "failed" for x in r.rows) == 0,
        "a call that fails only with others beside it fails nowhere",
        r.stderr,
    )


def state():
    """What a module changes in the process is set back behind its call."""
    plain = run(
        os.path.splitext(os.path.basename(module("plain")))[0],
        "--overwrite",
        others="roid,nalerthist,features",
    )
    want = [{k: v for k, v in x.items() if not k.startswith("plain.")} for x in plain.rows]
    for name, habit, word in (
        ("rounds", "fesetround(FE_UPWARD)", "the rounding mode"),
        ("traps", "feenableexcept(FE_DIVBYZERO | FE_INVALID)", "the traps of floating point"),
        (
            "tiny",
            "{ unsigned c = __builtin_ia32_stmxcsr() | 0x8040; __builtin_ia32_ldmxcsr(c); }",
            "the treatment of tiny numbers",
        ),
        (
            "long_doubles",
            "{ short c = 0x27f; __asm__ volatile(\"fldcw %0\" : : \"m\"(c)); }",
            "the precision of long doubles",
        ),
        ("speaks", "setlocale(LC_ALL, \"C.UTF-8\")", "the locale"),
        ("own_locale", "uselocale(newlocale(LC_ALL_MASK, \"C.UTF-8\", 0))", "the locale"),
        # and stays there for a while, in which journals are written by relative paths
        (
            "moves",
            "{ if (chdir(\"/\")) abort(); nanosleep(&(struct timespec){ 0, 20000000 }, NULL); }",
            "the working directory",
        ),
        (
            "blocks",
            "{ sigset_t s; sigfillset(&s); pthread_sigmask(SIG_BLOCK, &s, 0); }",
            "the blocked signals",
        ),
    ):
        if name in ("tiny", "long_doubles") and os.uname().machine != "x86_64":
            skip(name, "of x86")
            continue
        module(name, habit)
        often = ("-D", "run.batch_rows=20", "-D", "run.commit_ms=10", "-D", "run.flush_ms=1")
        r = run(name, *often, others="roid,nalerthist,features")
        ok(r.returncode == 0 and len(r.rows) == N, f"{name}: the run is through", r.stderr)
        got = [{k: v for k, v in x.items() if not k.startswith(f"{name}.")} for x in r.rows]
        ok(got == want, f"{name}: no other column differs")
        ok(word in r.stderr, f"{name}: said", r.stderr)
    for name, begin, word in (
        ("mask", "umask(0777)", "the mask of new files"),
        ("chdirs", "if (chdir(\"/\")) abort()", "the working directory"),
        ("closes", "close(0), close(1), close(2)", "standard output"),
        ("ignores", "signal(SIGTERM, SIG_IGN)", "the action of SIGTERM"),
        (
            "lowers",
            (
                "{ struct rlimit l; getrlimit(RLIMIT_NOFILE, &l); l.rlim_cur = 8; setrlimit(RLIMIT_NOFILE,"
                " &l); }"
            ),
            "the limit of files",
        ),
    ):
        module(name, begin=begin)
        r = run(name)
        ok(r.returncode == 0 and len(r.rows) == N, f"{name}: the run is through", r.stderr)
        ok(
            f"module {name} changed" in r.stderr and word in r.stderr,
            f"{name}: reported with the module",
            r.stderr,
        )
    ok(f"{os.stat('mask.ndjson').st_mode & 0o400:o}" == "400", "an output has the usual rights")


def beyond():
    """One element too far, on either side of a column, is found with the module, and only that alert is
    failed."""
    for name, habit in (
        (
            "behind",
            (
                "{ uint32_t n = 0; for (uint32_t i = 0; i < w->n; i++) if (w->row[i] >= n) n = w->row[i] + 1;"
                " if (w->n == 1 || k == w->n - 1) x[@ROWS@] = 1; }"
            ),
        ),
        ("before", "x[-1] = 1"),
    ):
        module(name, habit.replace("@ROWS@", "20"))
        r = run(name, "-D", "run.batch_rows=20", "-D", "run.single_row=0", "-D", "run.batch_ms=10000")
        ok(f"module {name} wrote before or behind its output x" in r.stderr, f"{name}: found", r.stderr)
        ok(wrong(name).get("written_beyond", 0) > 0, f"{name}: counted", wrong(name))
        others = [x for x in r.rows if not failing(x["candid"])]
        ok(
            all(x[f"{name}.x"] == x["candid"] % 1000 / 3 for x in others) and others,
            f"{name}: others have their values",
        )
    only_these_failed(r, "before", "one element before its column")


CRASHES = {
    "segv": "*(volatile int *)8 = 1",
    "aborts": "abort()",
    "leaves": "exit(0)",
    "under": "_exit(0)",
    "fpe": "{ volatile int zero = 0, one = 1; volatile int q = one / zero; }",
    "smashes": "{ volatile char b[8]; for (int i = 0; i < 4000; i++) b[i] = 65; }",
    # from the top, page by page: one write 64 MB below may hit what another thread has there
    "deep": "{ volatile char *p = __builtin_alloca(64 << 20); for (long i = 64 << 20; i > 0; i -= 4096) "
    "p[i - 1] = 1; sum += p[0]; }",
    "astray": "for (long i = 0; i < 1 << 22; i++) x[i] = 7",
    "ends": "pthread_exit(0)",
    "loops": 'for (;;) __asm__ volatile("")',
    "sleeps": "for (;;) pause()",
}


def crashes():
    """Each way to end a process, on one alert in 17: the worker is replaced, and the others have their
    answers."""
    for name, habit in CRASHES.items():
        module(name, habit)
        for j, more in ((1, ()), (2, ("-D", "run.batch_rows=7"))):
            late = ("-D", "guard.deadline_s=0.3") if name in ("loops", "sleeps") else ()
            r = run(name, "-D", "guard.quarantine=0", "--overwrite", *more, *late, threads=j)
            only_these_failed(r, name, f"{name}, -j {j}")
            modules = report(f"{name}.json")["guard"]["modules"]
            want = [
                {
                    "name": name,
                    "failed_alerts": sum(map(failing, IDS)),
                    "quarantined": False,
                    "grown_bytes": 0,
                }
            ]
            ok(modules == want, f"{name}, -j {j}: counted in the report", modules)
            ok(report(f"{name}.json")["guard"]["restarts"] > 0, f"{name}, -j {j}: the restart, too")
            ok(
                report(f"{name}.json")["ledger"]["emitted"] == N,
                f"{name}, -j {j}: the ledger is of all workers",
            )
            os.remove(f"{name}.avro")
    got = report("segv.json")["ledger"]
    ok(got["closed"] and got["dead"] == 0, "a row without a module's answers is no dead letter", got)


SILENT = {  # name: what it does, the limit of it
    "kills_itself": "kill(getpid(), SIGKILL)",
    "alarmed": "{ struct itimerval t = { { 0, 0 }, { 0, 1 } }; setitimer(ITIMER_REAL, &t, 0); pause(); }",
    "deaf": "{ signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1; }",
}


def silent():
    """A death of which the process cannot say anything, as of the kernel's want of memory, comes again on the
    same alert: it is kept from the module like any other."""
    for name, habit in SILENT.items():
        module(name, habit)
        r = run(name, "-D", "guard.quarantine=0", "-D", "guard.sandbox=0")
        only_these_failed(r, name, f"{name}, without a word")
        ok("killed again and again" in r.stderr, f"{name}: said", r.stderr)
    module("splits", "fork()")
    r = run("splits", "-D", "guard.sandbox=0")
    ok(
        r.returncode == 0 and [x["candid"] for x in r.rows] == IDS,
        "a module that forks: each row once",
        r.stderr,
    )
    ok("its child came back from the call" in r.stderr, "and its children do not stay", r.stderr)
    for name, act in (("crashes", "*(volatile int *)8 = 1"), ("exits", "exit(0)")):
        start = "{ pthread_t t; pthread_create(&t, 0, own, 0); pthread_join(t, 0); }"
        module(name, start, head=f"static void *own(void *x) {{ {act}; return x; }}")
        r = run(name)
        ok(r.returncode == 0 and [x["candid"] for x in r.rows] == IDS, f"{name} in its own thread", r.stderr)
        ok("in a thread of its own, again: it is off" in r.stderr, f"{name}: said", r.stderr)
        reasons = {x[f"{name}.reason"] for x in r.rows}
        ok("unavailable" in reasons, f"{name}: the reason of its rows", reasons)
        ok(report(f"{name}.json")["guard"]["modules"][0]["quarantined"], f"{name}: in the report")


def letters():
    """A letter for each failed pair: the packet, the module, the signal and where it was."""
    run("segv", "-D", "guard.quarantine=0", "--overwrite")
    r = nightjar("inspect", "segv.avro")
    ok(
        "module segv" in r.stdout + r.stderr or "segv" in r.stdout,
        "the letter names the module",
        r.stdout[:500],
    )
    text = open("segv.avro", "rb").read()
    n = sum(map(failing, IDS))
    ok(text.count(b"signal 11 (SIGSEGV, a wrong address) in process()") == n, "a letter for each")
    ok(text.count(b"stack: process in segv") == n, "with the stack")
    r = nightjar("run", "segv.avro", "-m", "nalerthist", "-q", "-o", "ndjson:again.ndjson")
    ok(
        [x["candid"] for x in rows("again.ndjson")] == [i for i in IDS if failing(i)],
        "the letters can be read again",
        r.stderr,
    )
    os.remove("segv.avro")


def quarantine():
    """A module that does it too often is off, and says so."""
    r = run("segv", "--overwrite", "-D", "run.single_row=0")
    bad = [i for i in IDS if failing(i)]
    reasons = {x["candid"]: x["segv.reason"] for x in r.rows}
    ok(r.returncode == 0 and len(r.rows) == N, "quarantine: the stream completes", r.stderr)
    ok([i for i in IDS if reasons[i] == "failed"] == bad[:6], "quarantine: six are failed")
    off = IDS[IDS.index(bad[5]) + 1 :]
    ok([i for i in IDS if reasons[i] == "unavailable"] == off, "quarantine: from then on it is unavailable")
    ok(
        all(reasons[i] == "done" for i in IDS if i not in off and i not in bad),
        "quarantine: what it did stands",
    )
    ok("module segv failed on more than 5 of 10000 alerts" in r.stderr, "quarantine: said", r.stderr)
    ok(report("segv.json")["guard"]["modules"][0]["quarantined"], "quarantine: in the report")


def two_at_once():
    """Two modules, each with its own failing alerts."""
    module("other", "return 0")
    with open("other.c", encoding="utf-8") as f:
        text = f.read().replace("% 17 != 3", "% 13 != 5").replace("return 0;\n    }", "abort();\n    }")
    with open("other.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-std=c11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    subprocess.run(["cc", *flags, f"-I{ROOT}/include", "other.c", "-o", "other.so", "-lm"], check=True)
    r = nightjar(
        *"run night.tar -m nalerthist,segv,other -q -j 2 -o ndjson:both.ndjson -D guard.quarantine=0".split(),
        *"--module-path segv.so --module-path other.so -D run.batch_rows=9".split(),
    )
    out = rows("both.ndjson")
    ok(sorted(x["candid"] for x in out) == sorted(IDS), "two modules: every alert once", r.stderr)
    for name, f in (("segv", failing), ("other", lambda c: c % 13 == 5)):
        got = {x["candid"] for x in out if x[f"{name}.reason"] == "failed"}
        ok(got == {i for i in IDS if f(i)}, f"two modules: the failed alerts of {name}", r.stderr)


def without_a_child():
    """A module of a service or a GPU has no child: each failing alert costs a restart, and no more."""
    module("whole", CRASHES["segv"], more=".flags = NJ_MODULE_WHOLE_BATCH,")
    r = run("whole", "-D", "guard.quarantine=0")
    only_these_failed(r, "whole", "a module without a child")
    ok(report("whole.json")["guard"]["restarts"] > sum(map(failing, IDS)), "a restart for each")
    text = open("whole.avro", "rb").read()
    ok(text.count(b"in process(); the row is written") == sum(map(failing, IDS)), "and a letter, once")
    module("ordered", CRASHES["segv"], begin="host->serial(host->opaque)")
    r = run("ordered", "-D", "guard.quarantine=0", threads=2)
    only_these_failed(r, "ordered", "a module that wants the order of the source")


def set_up():
    """A shared object is tried in a child: one that crashes before the first alert is refused by name."""
    crash = "*(volatile int *)8 = 1"
    for name, begin, end, where in (
        ("starts", crash, "", "in open()"),
        ("leaves_open", "exit(0)", "", "in open()"),
        ("always", "", f"if (w->n == 1 && w->id[0] == 1) {crash}", "in process()"),
        ("never_returns", "", "if (w->n == 1 && w->id[0] == 1) for (;;) pause()", "in process()"),
    ):
        so = module(name, begin=begin, end=end)
        r = run(name, "-D", "guard.deadline_s=0.3")
        ok(r.returncode == 1 and not r.rows, f"{name}: the run does not begin", r.stderr)
        ok(
            f"{so}: module {name}, crashed {where} when it was tried" in r.stderr,
            f"{name}: refused by name",
            r.stderr,
        )
    module("starts", begin=crash)
    r = run("starts", "--no-supervise")
    ok(r.returncode == -11, "without a supervisor it dies of the signal", r.returncode)
    module("loads")
    with open("loads.c", encoding="utf-8") as f:
        text = f.read() + f"__attribute__((constructor)) static void first(void) {{ {crash}; }}\n"
    with open("loads.c", "w", encoding="utf-8") as f:
        f.write(text)
    flags = "-std=c11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    subprocess.run(["cc", *flags, f"-I{ROOT}/include", "loads.c", "-o", "loads.so", "-lm"], check=True)
    r = run("loads")
    ok(
        r.returncode == 1 and "loads.so, crashed while it was loaded when it was tried" in r.stderr,
        "a constructor",
        r.stderr,
    )
    r = nightjar("run", "night.tar", "-m", "nalerthist", "-q", "--module-path", "loads.so", "-o", "null:")
    ok(r.returncode == 1, "also when no module of it runs: it would be loaded", r.stderr)


def begin(*args):
    return subprocess.Popen(
        [NIGHTJAR, "run", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def workers(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return [int(x) for x in f.read().split()]


def until(test, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return True
        time.sleep(0.02)
    return False


def killed(number):
    """kill -9 of a worker, or another signal, again and again: the next one continues, and no alert and no
    module is blamed for what another process did. kill -9 of the supervisor: nothing stays."""
    how = signal.Signals(number).name
    module("slow", end="nanosleep(&(struct timespec){ 0, 20000000 }, NULL)")
    args = "night.tar -m nalerthist,slow --module-path slow.so -q -j 1".split()
    args += "-D run.batch_rows=2 -D run.batch_ms=1".split()
    p = begin(*args, "-o", "ndjson:killed.ndjson", "--report", "killed.json", "--overwrite")
    n = 0
    for _ in range(5):
        before = workers(p.pid)
        time.sleep(0.15)
        for w in before:
            os.kill(w, number)
            n += 1
        until(lambda: p.poll() is not None or (workers(p.pid) and workers(p.pid) != before))
    err = p.communicate(timeout=120)[1]
    ok(p.returncode == 0, f"a worker that gets {how} five times: the stream completes", err)
    got = [x["candid"] for x in rows("killed.ndjson")]
    ok(got == IDS, "and no alert is lost, and none is twice", f"{len(got)} rows {err}")
    bad = [x["candid"] for x in rows("killed.ndjson") if x["slow.reason"] != "done"]
    ok(not bad, "and none is without its answer", (bad, err))
    got = report("killed.json")
    ok(got["guard"]["modules"] == [], "no module is blamed", got["guard"])
    ok(got["guard"]["restarts"] == n, "the restarts are in the report", got["guard"])
    ok(
        got["ledger"]["emitted"] == N and got["ledger"]["closed"],
        "the ledger is of all of them",
        got["ledger"],
    )
    p = begin(*args, "-o", "null:")
    until(lambda: workers(p.pid))
    left = workers(p.pid)
    p.kill()
    p.communicate()
    ok(
        until(lambda: not any(os.path.exists(f"/proc/{w}/exe") for w in left), 20),
        "no worker outlives its supervisor",
    )


def killed_at_once():
    """The first worker dies before it has opened an output: what the options say of files that
    exist still holds for the next one."""
    files = {"ndjson": "old.ndjson", "avro": "old.avro", "sqlite": "old.db", "fits": "old.fits"}
    outputs = [x for kind, f in files.items() for x in ("-o", f"{kind}:{f}")]
    args = ["night.tar", "-m", "nalerthist", "-q", *outputs, "--report", "old.json"]
    nightjar("run", *args, "--overwrite")
    for turn in range(4):
        p = begin(*args, "--overwrite")
        until(lambda: p.poll() is not None or workers(p.pid))
        time.sleep(0.004 * turn)
        for w in workers(p.pid) if p.poll() is None else []:
            os.kill(w, signal.SIGKILL)
        err = p.communicate(timeout=120)[1]
        ok(p.returncode == 0, f"killed at once, {turn}: the stream completes", err)
        got = [x["candid"] for x in rows("old.ndjson")]
        ok(got == IDS, f"killed at once, {turn}: --overwrite still replaces", f"{len(got)} {err}")
        db = sqlite3.connect("old.db")
        n = db.execute("SELECT count(*) FROM alerts").fetchone()[0]
        db.close()
        ok(n == N, f"killed at once, {turn}: also a database", n)
    p = begin(*args, "--append")
    until(lambda: p.poll() is not None or workers(p.pid))
    for w in workers(p.pid) if p.poll() is None else []:
        os.kill(w, signal.SIGKILL)
    err = p.communicate(timeout=120)[1]
    got = [x["candid"] for x in rows("old.ndjson")]
    ok(got == IDS + IDS, "killed at once: --append still adds, and all of it", f"{len(got)} {err}")
    before = open("old.ndjson", "rb").read()
    p = begin(*args)
    until(lambda: p.poll() is not None or workers(p.pid))
    for w in workers(p.pid) if p.poll() is None else []:
        os.kill(w, signal.SIGKILL)
    err = p.communicate(timeout=120)[1]
    ok(p.returncode in (1, 3) and "--overwrite" in err, "killed at once: what exists is refused", err)
    ok(open("old.ndjson", "rb").read() == before, "killed at once: and left as it was")


def killed_before_it_resumes():
    """A worker of a resumed run dies before it has looked at the outputs: the next one resumes."""
    module(
        "gate",
        end="nanosleep(&(struct timespec){ 0, 20000000 }, NULL)",
        begin='while (access("go", F_OK)) usleep(1000)',
    )
    args = "night.tar -m nalerthist,gate --module-path gate.so -q -j 1 -o ndjson:gate.ndjson".split()
    args += "-D run.batch_rows=2 -D run.batch_ms=1 -D run.commit_ms=20".split()
    open("go", "w").close()
    p = begin(*args)
    begun = lambda: os.path.exists("gate.ndjson.journal") and '"offset"' in open("gate.ndjson.journal").read()
    ok(until(begun), "a run that has a commit")
    p.kill()
    p.communicate()
    os.remove("go")
    p = begin(*args, "--resume")
    until(lambda: workers(p.pid))
    first = workers(p.pid)
    for w in first:
        os.kill(w, signal.SIGKILL)
    until(lambda: workers(p.pid) and workers(p.pid) != first)
    open("go", "w").close()
    err = p.communicate(timeout=120)[1]
    ok(p.returncode == 0, "its worker was killed before it had resumed: it ends well", err)
    got = [x["candid"] for x in rows("gate.ndjson")]
    ok(got == IDS, "and each row is there once", f"{len(got)} rows of {len(IDS)} {err}")


def stops():
    """Signals to the supervisor reach the worker; a second one ends both."""
    module("loops", 'for (;;) __asm__ volatile("")')
    args = "night.tar -m nalerthist,loops --module-path loops.so -q -o null: -D run.call_s=0.1".split()
    p = begin(*args)
    for line in p.stderr:
        if "has been in this call" in line:
            break
    p.send_signal(signal.SIGTERM)
    for line in p.stderr:
        if "once more to stop at once" in line:
            break
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=60)
    ok(p.returncode == 130, "a second SIGTERM ends a run that hangs at once", p.returncode)
    p = begin(*args, "-D", "run.stop_s=0.3")
    for line in p.stderr:
        if "has been in this call" in line:
            break
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    ok(
        p.returncode == 130,
        "one SIGINT ends it when nothing moves, and no other worker is made",
        p.returncode,
    )


def stops_though_it_cannot():
    """A worker that takes no signal, or writes to a pipe that nobody reads, is ended by its supervisor, and
    --resume does the rest."""
    module("slow", end="nanosleep(&(struct timespec){ 0, 20000000 }, NULL)")
    args = "night.tar -m nalerthist,slow --module-path slow.so -q -j 1 -o ndjson:stuck.ndjson".split()
    args += "-D run.batch_rows=2 -D run.batch_ms=1 -D run.flush_ms=20 -D run.commit_ms=50".split()
    p = begin(*args, "-D", "run.stop_s=0.5", "--overwrite")
    until(lambda: os.path.exists("stuck.ndjson") and os.path.getsize("stuck.ndjson"))
    stuck = workers(p.pid)
    for w in stuck:
        os.kill(w, signal.SIGSTOP)
    p.send_signal(signal.SIGTERM)
    err = p.communicate(timeout=120)[1]
    ok(p.returncode == 130, "a stop of a worker that stands still: exit code 130", (p.returncode, err))
    ok("does not stop" in err and "run.stop_s" in err, "and the supervisor reports that it ended it", err)
    ok(stuck and not any(os.path.exists(f"/proc/{w}/exe") for w in stuck), "and it is gone", stuck)
    got = [x["candid"] for x in rows("stuck.ndjson")]
    ok(0 < len(got) < N and got == IDS[: len(got)], "its file is whole up to there", len(got))
    r = nightjar("run", *args, "--resume")
    ok([x["candid"] for x in rows("stuck.ndjson")] == IDS, "--resume adds the rest, each once", r.stderr)
    module("loops", 'for (;;) __asm__ volatile("")')
    args = "night.tar -m nalerthist,loops --module-path loops.so -q -o null: -D run.stop_s=0.5".split()
    out, into = os.pipe()
    os.set_blocking(into, False)
    try:
        while True:
            os.write(into, b" " * 512)
    except BlockingIOError:
        os.set_blocking(into, True)
    p = subprocess.Popen([NIGHTJAR, "run", *args, "-D", "run.call_s=0.1"], stdout=into, stderr=into)
    until(lambda: workers(p.pid))
    time.sleep(0.5)
    p.send_signal(signal.SIGTERM)
    try:
        p.wait(60)
    except subprocess.TimeoutExpired:
        p.kill()
    os.close(into)
    os.close(out)
    ok(p.returncode == 130, "a stop of a run whose messages nobody reads: it ends", p.returncode)


def stops_early():
    """A Ctrl-C goes to both processes, and may find a worker that has only begun."""
    with open("early.c", "w", encoding="utf-8") as f:
        f.write("""
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int prctl(int option, ...)
{
    va_list a;
    va_start(a, option);
    unsigned long x = va_arg(a, unsigned long);
    va_end(a);
    static int done;
    if (option == PR_SET_PDEATHSIG && !done++) kill(getppid(), SIGINT), kill(getpid(), SIGINT);
    return (int)syscall(SYS_prctl, option, x, 0, 0, 0);
}
""")
    subprocess.run("cc -w -fPIC -shared early.c -o early.so".split(), check=True)
    r = nightjar(
        *"run night.tar -m nalerthist -q -o ndjson:early.ndjson".split(),
        env={"LD_PRELOAD": os.path.abspath("early.so")},
    )
    ok(r.returncode == 130, "a Ctrl-C when the worker has only begun: exit code 130", r.stderr)
    ok("finishing what was read" in r.stderr, "with a plain sentence", r.stderr)
    ok("error" not in r.stderr, "and no error", r.stderr)


def leaks():
    """A worker that grew too large is replaced, and no alert is lost; the module that does it again is
    off."""
    module(
        "leaks",
        end=(
            "for (uint32_t k = 0; k < w->n; k++) { char *p = malloc(4 << 20); memset(p, 1, 4 << 20); }"
            " usleep(150000)"
        ),
    )
    small = ("-D", "guard.max_rss=150M", "-D", "run.batch_rows=4", "-D", "run.budget_bytes=2M")
    for j in (1, 2):
        r = run("leaks", *small, "--overwrite", others="nalerthist,roid,features", threads=j)
        got = report("leaks.json")
        ok(r.returncode == 0, f"a module that leaks, -j {j}: the stream completes", r.stderr)
        ok([x["candid"] for x in r.rows] == IDS, f"a module that leaks, -j {j}: each alert is a row, once")
        ok("[guard] max_rss" in r.stderr, f"a module that leaks, -j {j}: said", r.stderr)
        ok(
            got["guard"]["recycled"] > 1,
            f"a module that leaks, -j {j}: replacements are counted",
            got["guard"],
        )
        ok(got["ledger"]["emitted"] == N, f"a module that leaks, -j {j}: the ledger is of all workers")
        off = [(m["name"], m["quarantined"]) for m in got["guard"]["modules"]]
        ok(off == [("leaks", True)], f"a module that leaks, -j {j}: it is off, and no other is", got["guard"])
        ok(got["guard"]["modules"][0]["grown_bytes"] > 0, f"a module that leaks, -j {j}: by how much")
        ok("module leaks grew by" in r.stderr, f"a module that leaks, -j {j}: that is reported", r.stderr)
        reasons = [x["leaks.reason"] for x in r.rows]
        ok(reasons[-1] == "unavailable", f"a module that leaks, -j {j}: its last answers are unavailable")
        ok(
            set(reasons) == {"done", "unavailable"},
            f"a module that leaks, -j {j}: the others stand",
            set(reasons),
        )
        ok(
            all(x["roid.reason"] != "unavailable" for x in r.rows),
            f"a module that leaks, -j {j}: others answer on",
        )


with Folder():
    nightjar("simulate", "-n", N, "--seed", 5, "-o", "night.tar")
    nightjar("run", "night.tar", "-m", "nalerthist", "-q", "-o", "ndjson:ids.ndjson")
    IDS = [x["candid"] for x in rows("ids.ndjson")]
    calls_that_fail()
    state()
    beyond()
    if SANITIZED:
        skip("crashes", "a sanitizer's handlers stay")
    else:
        crashes()
        silent()
        letters()
        quarantine()
        two_at_once()
        without_a_child()
        set_up()
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            killed(number)
        killed_at_once()
        killed_before_it_resumes()
        stops()
        stops_though_it_cannot()
        stops_early()
        leaks()
done()
