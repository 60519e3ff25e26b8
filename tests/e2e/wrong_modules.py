#!/usr/bin/env python3
"""Modules that are wrong: what they forget, write, print or break is reported with their name."""

import os, signal, subprocess
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, nightjar, ok, report, rows, said_until, skip

SOURCE = """
@HEAD@
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "nightjar/module.h"
static const nj_need needs[] = { { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, @NEEDS@ };
static const nj_give gives[] = { { "x", NJ_F64, 1, 0, "1", 0, 10, NAN, 0, "A number." },
                                 { "n", NJ_I32, 1, 0, "1", 1, 2, NAN, 0, "A number." },
                                 { "wide", NJ_F64, 3, 0, "1", -INFINITY, 1, NAN, 0, "Three numbers." },
                                 @GIVES@ };
static int open_(const nj_host *host, const void *conf, void **self)
{
    (void)host, (void)conf, (void)self;
    @OPEN@
    return NJ_OK;
}
static int declare(const nj_host *host, const void *conf, nj_tables *tables)
{
    (void)host, (void)conf;
    tables->needs = needs;
    tables->gives = gives;
    @DECLARE@
    return NJ_OK;
}
static int thread_open(const void *self, void *thread)
{
    (void)self, (void)thread;
    @THREAD_OPEN@
    return NJ_OK;
}
static void close_(void *self)
{
    (void)self;
    @CLOSE@
}
static int process(const void *self, void *thread, const nj_work *w)
{
    (void)self, (void)thread;
    double *x = w->out[0], *wide = w->out[2];
    int *n = w->out[1];
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t row = w->row[k];
        x[row] = 5, n[row] = 1;
        wide[3 * row] = wide[3 * row + 2] = 0.5;
        w->reason[row] = NJ_DONE;
        long id = w->id[row];
        (void)id;
        @ROW@
    }
    return NJ_OK;
}
NJ_MODULE(@NAME@) = { NJ_HEADER, .name = "@NAME@", .version = "1.0", .summary = "a module that is wrong",
    .paper = "none: test",
    .needs = needs, .gives = gives, .process = process, .open = open_, .close = close_,
    .thread_open = thread_open, @MORE@ };
"""


def module(name, so=None, flags=(), **parts):
    """Builds NAME.so; parts: the texts for @ROW@, @OPEN@ ..."""
    parts = {
        "HEAD": "",
        "NEEDS": "{ 0 }",
        "GIVES": "{ 0 }",
        "OPEN": "",
        "DECLARE": "",
        "THREAD_OPEN": "",
        "CLOSE": "",
        "ROW": "",
        "MORE": "",
        **parts,
        "NAME": name,
    }
    text = SOURCE
    for key, value in parts.items():
        text = text.replace(f"@{key}@", value)
    so = so or name
    with open(f"{so}.c", "w", encoding="utf-8") as f:
        f.write(text)
    return build(so, flags)


def build(so, flags=()):
    r = subprocess.run(
        [
            os.environ.get("CC_MODULE", "cc"),
            "-std=c11",
            "-D_GNU_SOURCE",
            "-O0",
            "-w",
            "-fPIC",
            "-DNJ_SHARED",
            "-shared",
            f"-I{ROOT}/include",
            f"{so}.c",
            "-o",
            f"{so}.so",
            "-lm",
            *flags,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if r.returncode:
        print("# " + r.stderr.replace("\n", "\n# "))
    return os.path.abspath(f"{so}.so")


def run(so, name, *more, **kw):
    return nightjar(
        "run",
        "night.tar",
        "--no-supervise",  # contain.py has what a supervisor makes of it
        "--module-path",
        so,
        "-m",
        name,
        "-j",
        "1",
        "-D",
        "run.single_row=0",
        "-D",
        "run.batch_ms=10000",
        *more,
        **kw,
    )


def lines(r, word):
    return [line for line in r.stderr.splitlines() if word in line]


def outputs():
    """Rows without a valid reason, failed calls, values out of range."""
    so = module("silent", ROW="if (row % 2) w->reason[row] = 255;")
    r = run(
        so, "silent", "-q", "-o", "ndjson:silent.ndjson", "--report", "silent.json", "-D", "run.batch_rows=8"
    )
    out = rows("silent.ndjson")
    bad = [x for x in out if x["silent.reason"] == "failed"]
    ok(r.returncode == 0, "a module that forgets its reason: the run continues", r.stderr)
    ok(
        len(bad) == 10
        and all(
            x["silent.x"] is None and x["silent.n"] is None and x["silent.wide"] in (None, [None] * 3)
            for x in bad
        ),
        "its rows are null",
        bad[:1],
    )
    ok(
        all(x["silent.x"] == 5 for x in out if x["silent.reason"] == "done"),
        "the other rows keep their values",
    )
    ok(
        len(lines(r, "module silent: no reason for 10 rows")) == 1,
        "it is reported once, with name and count, also with -q",
        r.stderr,
    )
    wrong = report("silent.json")["wrong_outputs"]
    ok(
        [(w["name"], w["what"], w["n"]) for w in wrong] == [("silent", "no_reason", 10)],
        "and is in the report",
        wrong,
    )
    ok(wrong[0]["first_id"] in [x["candid"] for x in bad], "with the first alert")
    r = run(so, "silent", "-q", "-D", "run.counters=0", "-o", "ndjson:uncounted.ndjson")
    ok(sum(x["silent.x"] is None for x in rows("uncounted.ndjson")) == 10, "null without counters, too")

    for reason in ("77", "9", "NJ_FAILED", "NJ_SHED"):
        so = module("odd", ROW=f"w->reason[row] = {reason};")
        r = run(so, "odd", "-q", "-o", "ndjson:odd.ndjson", "--overwrite")
        ok(
            all(x["odd.x"] is None and x["odd.reason"] == "failed" for x in rows("odd.ndjson")),
            f"reason {reason} is none of a module's: null",
            r.stderr,
        )
        ok(
            len(lines(r, "module odd: a reason that is none of a module's for 20 rows")) == 1,
            f"reason {reason} is reported",
            r.stderr,
        )

    so = module("broken", ROW="if (k == w->n - 1) return NJ_EDATA;")
    r = run(so, "broken", "-q", "-o", "ndjson:broken.ndjson", "--report", "broken.json")
    ok(all(x["broken.x"] is None for x in rows("broken.ndjson")), "a call that fails leaves no values")
    ok(
        len(lines(r, "module broken: process() failed on 20 rows")) == 1,
        "a call that fails is reported with its rows",
        r.stderr,
    )

    so = module(
        "beyond",
        ROW=(
            "if (row % 4 == 0) x[row] = 10.5; n[row] = row % 2 ? 3 : NJ_NO_I32; wide[3 * row + 1] = row == 1"
            " ? 2 : NAN;"
        ),
    )
    r = run(
        so, "beyond", "-q", "-o", "ndjson:beyond.ndjson", "--report", "beyond.json", "-D", "run.batch_rows=20"
    )
    got = {
        w["name"]: (w["what"], w["n"], w["first_value"], w["lo"], w["hi"])
        for w in report("beyond.json")["wrong_outputs"]
    }
    ok(
        got
        == {
            "beyond.x": ("out_of_range", 5, 10.5, 0, 10),
            "beyond.n": ("out_of_range", 10, 3, 1, 2),
            "beyond.wide": ("out_of_range", 1, 2, None, 1),
        },
        "values beyond the declared range are in the report",
        got,
    )
    ok(
        len(lines(r, "beyond.x: 5 values are outside its range of 0 to 10, the first 10.5")) == 1,
        "reported once for each column",
        r.stderr,
    )
    ok(len(lines(r, "outside its range")) == 3, "and for no other", r.stderr)
    ok(sum(x["beyond.x"] == 10.5 for x in rows("beyond.ndjson")) == 5, "the values are kept")
    kinds()
    r = run(module("right"), "right", "-q", "--report", "right.json")
    ok(
        r.stderr == "" and report("right.json")["wrong_outputs"] == [],
        "a module that is right: not a word",
        r.stderr,
    )


def kinds():
    """Every type and shape of output: null where the row failed, counted where it is out of range."""
    gives = """{ "s", NJ_STR, 1, 0, "1", 0, 0, NAN, 0, "Text." },
        { "u", NJ_U8, 1, 0, "1", 0, 1, NAN, 0, "A flag." },
        { "f", NJ_F32, 1, 0, "1", 0.7, 0.7, NAN, 0, "A float." },
        { "g", NJ_F32, 1, 0, "1", 0, 0.3, NAN, 0, "A float." },
        { "i", NJ_I64, 1, 0, "1", 0, 1e18, NAN, 0, "An id." },
        { "per", NJ_F64, 0, 1, "1", 0, 1, NAN, 0, "One per point." }, { 0 }"""
    row = """((const char **)w->out[3])[row] = "abc";
        ((uint8_t *)w->out[4])[row] = row == 6 ? 2 : 1;
        ((float *)w->out[5])[row] = 0.7f;
        ((float *)w->out[6])[row] = row == 5 ? 0.31f : 0.3f;
        ((int64_t *)w->out[7])[row] = row == 7 ? 1234567890123456789 : 3;
        for (uint32_t i = w->in[1]->off[row]; i < w->in[1]->off[row + 1]; i++)
            ((double *)w->out[8])[i] = row == 3 ? 2 : 0.5;
        if (row == 1) w->reason[row] = 255;"""
    reference = """#include "nightjar/module.h"
static int reference(const void *self, void *thread, const nj_work *w)
{
    for (uint32_t k = 0; k < w->n; k++) ((double *)w->out[0])[w->row[k]] = 5;
    return NJ_OK;
}
"""
    for flags in ("0", "NJ_MODULE_WHOLE_BATCH"):
        so = module(
            "kinds",
            NEEDS='{ "lc.mag", NJ_F64, NJ_SERIES, "mag", 0 }, { 0 }',
            GIVES=gives,
            ROW=row,
            MORE=f".flags = {flags}",
        )
        r = run(
            so,
            "kinds",
            "-q",
            "-o",
            "ndjson:kinds.ndjson",
            "--overwrite",
            "--report",
            "kinds.json",
            "-D",
            "run.batch_rows=20",
        )
        bad = [x for x in rows("kinds.ndjson") if x["kinds.reason"] == "failed"]
        points = len(bad[0]["kinds.per"])
        ok(
            len(bad) == 1
            and all(bad[0][f"kinds.{k}"] is None for k in "xnsufgi")
            and bad[0]["kinds.per"] == [None] * points,
            f"flags {flags}: every type is null in a failed row",
            bad,
        )
        got = {
            w["name"]: (w["n"], w["first_value"])
            for w in report("kinds.json")["wrong_outputs"]
            if w["what"] == "out_of_range"
        }
        three = len(rows("kinds.ndjson")[3]["kinds.per"])
        ok(
            set(got) == {"kinds.u", "kinds.g", "kinds.i", "kinds.per"},
            f"flags {flags}: out of range, and a float that is its bound is not",
            got,
        )
        ok(
            got.get("kinds.i") == (1, 1234567890123456789) and "the first 1234567890123456789 of" in r.stderr,
            "an integer is reported with all its digits",
            f"{got} {r.stderr}",
        )
        ok(got.get("kinds.per") == (three, 2), "values of a series are counted", got)
    r = run(
        module("lazy", HEAD=reference, MORE=".process_ref = reference"),
        "lazy",
        "-q",
        "-D",
        "run.reference=1",
        "-o",
        "ndjson:lazy.ndjson",
    )
    ok(
        all(x["lazy.x"] is None for x in rows("lazy.ndjson"))
        and len(lines(r, "module lazy: no reason for 20 rows")) == 1,
        "a process_ref() that forgets its reason",
        r.stderr,
    )


def standard_output():
    """What a module prints never lands between rows that go to standard output."""
    loud = 'printf("loud %ld\\n", id); fflush(stdout); dprintf(1, "louder\\n"); system("echo loudest");'
    once = 'printf("opened\\n"); if (system("echo shell") < 0) return NJ_ECONF;'
    so = module(
        "loud", ROW=loud, OPEN=once, THREAD_OPEN=once, CLOSE=once.replace("return NJ_ECONF", "return")
    )
    constructor = (
        '__attribute__((constructor)) static void first(void) { printf("loaded\\n"); fflush(stdout);'
        ' }\n__attribute__((destructor)) static void last(void) { printf("unloaded\\n"); }\nstatic const'
        ' nj_need needs[]'
    )
    with open("loud.c", encoding="utf-8") as f:
        text = f.read().replace("static const nj_need needs[]", constructor)
    with open("loud.c", "w", encoding="utf-8") as f:
        f.write(text)
    build("loud")
    for target in ("-", "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"):
        r = run(so, "loud", "-o", f"ndjson:{target}", "-D", "guard.sandbox=0")  # it starts programs
        out = r.stdout.splitlines()
        ok(
            r.returncode == 0 and len(out) == 20 and all(line.startswith("{") for line in out),
            f"ndjson:{target}: rows and nothing else",
            r.stdout[:300] + r.stderr[-300:],
        )
        ok(
            all(
                word in r.stderr
                for word in ("loaded", "opened", "shell", "loud 2", "louder", "loudest", "unloaded")
            ),
            "what it printed is on standard error",
            r.stderr[-500:],
        )
    with open("run.ini", "w", encoding="utf-8") as f:
        f.write("[run]\nsinks = ndjson:-\n")
    r = run(so, "loud", "-c", "run.ini")
    ok(
        len(r.stdout.splitlines()) == 20 and "loud" not in r.stdout.replace('"loud.', ""),
        "a sink of the settings, too",
        r.stdout[:300],
    )
    r = run(so, "loud", "-o", "ndjson:file.ndjson")
    ok(
        "loud 2" in r.stdout and "alerts/s" in r.stdout,
        "without such a sink standard output is what it was",
        r.stdout,
    )

    def shell(command):
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
        )

    loudly = f"{NIGHTJAR} run night.tar --module-path {so} -m loud -q"
    for target in ("-", "/dev/stdout", "out"):
        r = shell(f"rm -f out; {loudly} -o ndjson:{target} --append > out")
        ok(
            r.returncode == 0 and len(rows("out")) == 20,
            f"ndjson:{target} --append > out: rows and nothing else",
            r.stderr[-300:],
        )
    for target in ("-", "/dev/stdout"):
        r = shell(f"{loudly} --report {target} -o null: | python3 -m json.tool")
        ok(
            r.returncode == 0 and '"schema_version"' in r.stdout,
            f"--report {target}: JSON and nothing else",
            r.stdout[:300] + r.stderr[-300:],
        )
        r = shell(f"{loudly} --report {target} -o ndjson:- > both")
        ok(
            r.returncode == 1 and f"--report {target}: -o ndjson:- writes there" in r.stderr,
            f"rows and --report {target} do not mix",
            r.stderr,
        )
        r = shell(
            f"{NIGHTJAR} profile {so} night.tar --no-hits --repeat 1 --json {target} | python3 -m json.tool"
        )
        ok(
            r.returncode == 0 and "samples" in r.stdout,
            f"profile --json {target}: JSON and nothing else",
            r.stdout[:300] + r.stderr[-300:],
        )
        for what in (
            f"-o avro:{target}",
            f"-o fits:{target}",
            f"-o sqlite:{target}",
            f"--dead-letters {target}",
        ):
            r = shell(f"{loudly} {what}")
            ok(
                r.returncode == 1 and "only `-o ndjson:-`" in r.stderr,
                f"{what} is refused",
                r.stdout[:100] + r.stderr[-300:],
            )
    r = shell(f"{loudly} -o ndjson:- -o ndjson:/dev/fd/1")
    ok(
        r.returncode == 1 and "standard output has the rows of -o ndjson:-" in r.stderr,
        "rows go there once",
        r.stderr,
    )
    ok(not os.path.exists("-"), "no file is called -")
    command = f"{NIGHTJAR} run night.tar --module-path {so} -m loud -o ndjson:- 2>&-"
    r = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    ok(
        len(r.stdout.splitlines()) == 20 and "louder" not in r.stdout,
        "standard error closed: rows and nothing else",
        r.stdout[:300],
    )


CRASHES = {
    "segv": ("*(volatile int *)8 = 1;", signal.SIGSEGV, "SIGSEGV, a wrong address"),
    "fpe": ("{ volatile int zero = 0; volatile int one = 1; sum += one / zero; }", signal.SIGFPE, "SIGFPE"),
    "aborts": ("abort();", signal.SIGABRT, "SIGABRT"),
    "ill": ("raise(SIGILL);", signal.SIGILL, "SIGILL"),
    "bus": (
        (
            '{ char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open("empty", O_RDONLY), 0); sum +='
            ' *(volatile char *)p; }'
        ),
        signal.SIGBUS,
        "SIGBUS",
    ),
    "deep": ("sum += deep(1 << 30);", signal.SIGSEGV, "SIGSEGV, the stack is full"),
    "heap": ("{ char *volatile p = malloc(9); free(p); free(p); }", signal.SIGABRT, "SIGABRT"),
    "throws": (
        '{ void (*f)(void) = (void (*)(void))dlsym(NULL, "_ZSt9terminatev"); if (f) f(); abort(); }',
        signal.SIGABRT,
        "SIGABRT",
    ),
}
CRASH_HEAD = """#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
static volatile long sum;
__attribute__((noinline)) static long deep(long n)
{
    volatile char much[4096];
    much[n % 4096] = 1;
    return n ? deep(n - 1) + much[(n + 1) % 4096] : 0;
}
"""


def told(r, name, where, number, *words):
    """One line, and the signal that it died of."""
    line = lines(r, f"module {name} crashed {where}")
    return r.returncode == -number and len(line) == 1 and all(str(w) in line[0] for w in words)


def crashes():
    """The last words name module, phase, signal, alert and where it came from; the process dies of the
    signal."""
    open("empty", "w", encoding="utf-8").close()
    ids = [x["candid"] for x in night()]
    for kind, (code, number, words) in CRASHES.items():
        so = module(kind, ROW=f"if (row == 5) {code}", HEAD=CRASH_HEAD)
        r = run(so, kind, "-q", "-j", "2", "-o", "ndjson:crash.ndjson", "--overwrite")
        ok(
            told(
                r,
                kind,
                "in process()",
                number,
                words,
                f"20 rows from alert {ids[0]}",
                "night.tar",
                "run.batch_rows=1",
            ),
            f"{kind} in process()",
            r.stderr,
        )
        r = run(so, kind, "-q", "-D", "run.batch_rows=6")
        ok(
            told(r, kind, "in process()", number, words, f"6 rows from alert {ids[0]}"),
            f"{kind}: rows of the call",
            r.stderr,
        )
        for phase, part in (
            ("declare()", "DECLARE"),
            ("open()", "OPEN"),
            ("thread_open()", "THREAD_OPEN"),
            ("close()", "CLOSE"),
        ):
            name = kind + part.lower()
            so = module(name, **{part: code, "HEAD": CRASH_HEAD, "MORE": ".declare = declare"})
            r = run(so, name + "1", "-q", "-D", f"module.{name}1.kind={name}")
            ok(told(r, name + "1", f"in {phase}", number, words), f"{kind} in {phase}", r.stderr)
    so = module("last", ROW=f"if (id == {ids[7]}) {CRASHES['segv'][0]}")
    r = run(so, "last", "-q", "-D", "run.batch_rows=1")
    ok(
        told(r, "last", "in process()", signal.SIGSEGV, f"alert {ids[7]} of night.tar: {ids[7]}.avro"),
        "one row in a batch: the alert itself",
        r.stderr,
    )
    r = nightjar("profile", so, "night.tar", "--no-hits")
    ok(
        told(r, "last", "in process()", signal.SIGSEGV, "20 rows from alert", "night.tar"),
        "in profile",
        r.stderr,
    )
    r = nightjar("profile", "last.c", "night.tar")
    ok(
        r.returncode == -signal.SIGSEGV and len(lines(r, "module last crashed in process()")) >= 1,
        "in profile from the source",
        r.stderr,
    )
    so = module(
        "load", HEAD="__attribute__((constructor)) static void first(void) { *(volatile int *)8 = 1; }"
    )
    r = run(so, "load", "-q")
    ok(told(r, so, "while it was loaded", signal.SIGSEGV), "while it is loaded", r.stderr)
    for name, code, said in (
        ("leaves", "exit(0);", "called exit() in process()"),
        ("quits", "quick_exit(0);", "called exit() in process()"),
        ("under", "_exit(0);", "called _exit() in process()"),
        ("upper", "_Exit(0);", "called _exit() in process()"),
    ):
        so = module(name, ROW=f"if (row == 3) {code}")
        r = run(so, name, "-q", "-j", "2")
        ok(
            r.returncode == 3 and len(lines(r, f"module {name} {said}, 20 rows from alert {ids[0]}")) == 1,
            f"{code} is reported, and no success",
            f"{r.returncode} {r.stderr}",
        )
    for call in ("exit(0);", "_exit(0);"):
        so = module(
            "forks",
            HEAD="#include <sys/wait.h>",
            ROW=f"if (row == 3) {{ int p = fork(); if (!p) {call} waitpid(p, 0, 0); }}",
        )
        r = run(so, "forks", "-q")
        ok(
            r.returncode == 0 and r.stderr == "",
            f"{call} of a process that it forked is its own affair",
            f"{r.returncode} {r.stderr}",
        )
    threads = """#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
static void *die(void *x) { %s return x; }
"""
    start = "{ pthread_t t; pthread_create(&t, NULL, die, NULL); pthread_join(t, NULL); }"
    for name, part in (("threads", "ROW"), ("starts", "OPEN")):
        so = module(name, **{"HEAD": threads % "*(volatile int *)8 = 1;", part: start})
        r = run(so, name, "-q")
        ok(
            r.returncode == -signal.SIGSEGV
            and len(lines(r, f"module {name} crashed in a thread of its own")) == 1,
            f"a crash in a thread that a module starts ({part})",
            r.stderr,
        )
        so = module(name, **{"HEAD": threads % "abort();", part: start})
        r = run(so, name, "-q")
        ok(
            r.returncode == -signal.SIGABRT
            and len(lines(r, "crashed outside of a module's call: signal 6")) == 1,
            f"abort() there ({part})",
            r.stderr,
        )
    so = module("forbidden", ROW="raise(SIGSYS);", HEAD="#include <signal.h>")
    r = run(so, "forbidden", "-q")
    ok(told(r, "forbidden", "in process()", signal.SIGSYS, "SIGSYS"), "a forbidden system call", r.stderr)
    so = module("ends", OPEN="exit(0);")
    r = run(so, "ends", "-q")
    ok(
        r.returncode == 3 and len(lines(r, "module ends called exit() in open()")) == 1,
        "exit() in open()",
        f"{r.returncode} {r.stderr}",
    )


PARAMS = """#include "nightjar/module.h"
static const nj_param params[] = { { "one", NJ_I32, "1", 0, 0, 9, "1", "A setting." },
                                   { "two", NJ_I32, "2", 4, 0, 9, "1", "A setting." }, @END@ };
"""
END = "its %s have no closing row: write { 0 } behind the last one (row %d)"
DECLARED = """static const nj_%s open_table[] = { %s };
"""


def tables():
    """A table without its { 0 } is refused by name; none is read beyond its end, whatever lies there."""
    one_need = '{ "mag", NJ_F64, NJ_SCALAR, "mag", 0 }'
    one_give = '{ "x", NJ_F64, 1, 0, "1", 0, 10, NAN, 0, "A number." }'
    right = {"HEAD": PARAMS.replace("@END@", "{ 0 }"), "MORE": ".params = params, .conf_size = 8"}
    kinds = {
        "needs": ({**right, "NEEDS": ""}, "needs", 1),
        "gives": ({**right, "GIVES": ""}, "gives", 3),
        "params": ({**right, "HEAD": PARAMS.replace("@END@", "")}, "params", 2),
        "all": ({**right, "HEAD": PARAMS.replace("@END@", ""), "NEEDS": "", "GIVES": ""}, "needs", 1),
        "declared_needs": (
            {
                "HEAD": '#include "nightjar/module.h"\n' + DECLARED % ("need", one_need),
                "DECLARE": "tables->needs = open_table;",
                "MORE": ".declare = declare",
            },
            "needs",
            1,
        ),
        "declared_gives": (
            {
                "HEAD": '#include "nightjar/module.h"\n' + DECLARED % ("give", one_give),
                "DECLARE": "tables->gives = open_table;",
                "MORE": ".declare = declare",
            },
            "gives",
            1,
        ),
    }
    for kind, (parts, table, row) in kinds.items():
        for level in ("-O0", "-O2", "-fdata-sections"):
            so = module("unclosed", flags=[level], **parts)
            declared = "declare" in parts["MORE"]
            name = "own" if declared else "unclosed"
            more = ("-D", "module.own.kind=unclosed") if declared else ()
            r = run(so, name, "-q", *more)
            ok(
                r.returncode == 1 and f"module {name}: " + END % (table, row) in r.stderr,
                f"{kind} {level}: no closing row",
                r.stderr,
            )
            ok(declared or so in r.stderr, f"{kind} {level}: with the file", r.stderr)
            r = nightjar("modules", "--module-path", so, *more)
            ok(
                r.returncode == 1 and END % (table, row) in r.stderr,
                f"{kind} {level}: nightjar modules says so, too",
                r.stderr,
            )
        so = module("unclosed", flags=["-O1", "-s"], **parts)
        r = run(so, name, "-q", *more)
        ok(
            r.returncode in (0, 1) and "crashed" not in r.stderr,
            f"{kind} without symbols: no crash",
            f"{r.returncode} {r.stderr}",
        )
    for want, parts in (
        ("row 2 of its needs, 'nounit', has no unit", {"NEEDS": '{ "nounit", NJ_F64, NJ_SCALAR }, { 0 }'}),
        (
            "row 4 of its gives, 'nodoc', has no sentence",
            {"GIVES": '{ "nodoc", NJ_F64, 1, 0, "1", 0, 1, NAN }, { 0 }'},
        ),
        (
            "row 4 of its gives begins with no name",
            {"GIVES": '{ (const char *)8, NJ_F64, 1, 0, "1", 0, 1, NAN, 0, "A number." }, { 0 }'},
        ),
        (
            "row 2 of its params, 'two', lies beyond the settings' struct",
            {**right, "MORE": ".params = params, .conf_size = 4"},
        ),
        (
            "'like' has as many values as its need 9, and there are 1",
            {"GIVES": '{ "like", NJ_F64, 0, 9, "1", 0, 1, NAN, 0, "A number." }, { 0 }'},
        ),
        (
            "'like' has as many values as 'mag', which is no series",
            {"GIVES": '{ "like", NJ_F64, 0, 0, "1", 0, 1, NAN, 0, "A number." }, { 0 }'},
        ),
    ):
        r = run(module("rows", **parts), "rows", "-q")
        ok(r.returncode == 1 and want in r.stderr, want, r.stderr)
    for strip in ((), ("-s",)):
        so = module("right", flags=strip, **right)
        r = run(so, "right", "-q", "-D", "module.right.two=7")
        ok(r.returncode == 0 and r.stderr == "", f"closed tables {strip}: not a word", r.stderr)


def files():
    """Shared objects that are there twice, or whose names are taken: refused, or told once, also with -q."""
    so = module("twin")
    os.makedirs("same"), os.makedirs("copy"), os.makedirs("nothing"), os.makedirs("folder/inside.so")
    os.symlink(so, "link.so"), os.symlink(so, "same/a.so"), os.symlink(so, "same/b.so")
    with open(so, "rb") as f, open("copy/other.so", "wb") as g:
        g.write(f.read())
    os.mkfifo("pipe.so")
    for what, other in (("by its name", so), ("by a link", "link.so"), ("in a folder", "same")):
        r = run(so, "twin", "-q", "--module-path", other)
        ok(r.returncode == 0, f"the same file twice, {what}: it runs", r.stderr)
        ok(
            [line[line.index("nightjar:") :] for line in r.stderr.splitlines()]
            == [f"nightjar: warning: {so} is given twice: module twin is loaded once"],
            f"{what}: told once",
            r.stderr,
        )
    r = run(so, "twin", "-q", "--module-path", "copy")
    ok(
        r.returncode == 1
        and all(w in r.stderr for w in ("two modules are called twin", so, "copy/other.so")),
        "two files of one module are refused",
        r.stderr,
    )
    for what, path, words in (
        ("a folder without one", "nothing", "nothing: no *.so"),
        ("a folder that is called so", "folder", "inside.so: not a file"),
        ("a pipe", "pipe.so", "pipe.so: not a file"),
        ("no shared object", "night.tar", "night.tar: invalid ELF header"),
        ("what is not there", "none.so", "none.so: no such file"),
    ):
        r = run(path, "roid", "-q")
        ok(r.returncode == 1 and words in r.stderr, f"{what} is refused", r.stderr)
    r = run(module("roid", so="mine"), "roid", "-q", "-o", "ndjson:mine.ndjson")
    ok(
        "roid.wide" in rows("mine.ndjson")[0] and len(lines(r, "mine.so replaces the built-in one")) == 1,
        "a module that replaces a built-in one is reported",
        r.stderr,
    )
    r = run(module("other", so="roid"), "roid", "-q", "-o", "ndjson:still.ndjson")
    ok(
        "roid.roid" in rows("still.ndjson")[0]
        and len(lines(r, "its module is called 'other', so that 'roid' is still the built-in one")) == 1,
        "a file that is called as a built-in module, and does not replace it",
        r.stderr,
    )
    r = run(module("gcvs"), "gcvs", "-q")
    ok(
        r.returncode == 1
        and "gcvs.so: module gcvs has the name of the instance [module.gcvs] kind = xmatch" in r.stderr,
        "a module that an instance would hide is refused",
        r.stderr,
    )
    r = run(so, "roid", "-q", "-D", "module.roid.kind=twin")
    ok(
        r.returncode == 1 and "'roid' is a built-in module's name" in r.stderr,
        "an instance that would hide a built-in module is refused",
        r.stderr,
    )
    r = nightjar("profile", module("roid", so="own"), "night.tar", "--no-hits", "--repeat", 1)
    ok(
        r.returncode == 0 and "replaces" not in r.stderr,
        "in profile the file is what was asked for",
        r.stderr,
    )


def begin(*args):
    alone = ["--no-supervise"] if args[0] == "run" else []
    return subprocess.Popen(
        [NIGHTJAR, *args, *alone],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hangs():
    """A call that does not return is reported with module, rows and alert; a stop is acknowledged, and
    ends."""
    ids = [x["candid"] for x in night()]
    so = module("loops", ROW=f"if (id == {ids[5]}) for (volatile int go = 1; go;) sum++;", HEAD=CRASH_HEAD)
    args = (
        "run",
        "night.tar",
        "--module-path",
        so,
        "-m",
        "loops",
        "-q",
        "-j",
        "2",
        "-D",
        "run.single_row=0",
        "-D",
        "run.batch_ms=10000",
        "-D",
        "run.call_s=0.2",
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        p = begin(*args, "-D", "run.stop_s=0.3", "-D", "run.batch_rows=4")
        got = said_until(p, "has been in this call for")
        ok(
            f"module loops in process(), 4 rows from alert {ids[4]} of night.tar, has been in this call for"
            in got,
            "a call that does not return: module, rows and alert",
            got,
        )
        p.send_signal(number)
        got += p.communicate(timeout=60)[1]
        ok("finishing what was read; once more to stop at once" in got, f"{number.name} is acknowledged", got)
        ok(
            p.returncode == 130
            and "nothing has moved" in got
            and got.count("module loops in process(), 4 rows from alert") == 2,
            "the stop ends, and says what was under way",
            got,
        )
    p = begin(*args)
    got = said_until(p, "has been in this call for")
    p.send_signal(signal.SIGINT)
    got += said_until(p, "finishing what was read")
    p.send_signal(signal.SIGINT)
    got += p.communicate(timeout=60)[1]
    ok(p.returncode == 130 and "nothing has moved" not in got, "a second signal ends it at once", got)
    so = module("waits", OPEN="pause();")
    p = begin(
        "run",
        "night.tar",
        "--module-path",
        so,
        "-m",
        "waits",
        "-q",
        "-D",
        "run.call_s=0.2",
        "-D",
        "run.stop_s=0.2",
    )
    got = said_until(p, "has been in this call for")
    p.send_signal(signal.SIGTERM)
    got += p.communicate(timeout=60)[1]
    ok(
        p.returncode == 130 and "module waits in open(), has been in this call for" in got,
        "an open() that does not return",
        got,
    )
    p = begin("profile", os.path.abspath("loops.so"), "night.tar", "--no-hits", "-D", "run.call_s=0.2")
    got = said_until(p, "has been in this call for")
    os.killpg(p.pid, signal.SIGKILL)
    p.communicate()
    ok("module loops in process(), 20 rows" in got, "in profile", got)
    p = begin("profile", "loops.c", "night.tar", "-D", "run.call_s=0.2")
    got = said_until(p, "has been in this call for")
    os.killpg(p.pid, signal.SIGKILL)
    p.communicate()
    ok("module loops in process(), 20 rows" in got, "in profile's counting pass", got)
    so = module(
        "slow",
        HEAD="#include <time.h>",
        ROW="if (row % 2) nanosleep(&(struct timespec){ 0, 500000000 }, NULL);",
    )
    p = begin(
        "run",
        "night.tar",
        "--module-path",
        so,
        "-m",
        "slow",
        "-q",
        "-j",
        "1",
        "-D",
        "run.single_row=0",
        "-D",
        "run.batch_rows=2",
        "-D",
        "run.stop_s=3",
        "-D",
        "run.call_s=0.1",
        "-o",
        "ndjson:slow.ndjson",
        "--report",
        "slow.json",
    )
    said_until(p, "has been in this call for")
    p.send_signal(signal.SIGTERM)
    got = p.communicate(timeout=60)[1]
    ok(
        p.returncode == 130
        and "nothing has moved" not in got
        and report("slow.json")["ledger"]["emitted"] == len(rows("slow.ndjson")) > 0,
        "a stop that gets on may take longer, and loses nothing",
        got,
    )


def night():
    nightjar("run", "night.tar", "-m", "roid", "-q", "-o", "ndjson:night.ndjson", "--overwrite")
    return rows("night.ndjson")


with Folder():
    nightjar("simulate", "-n", 20, "-o", "night.tar")
    outputs()
    standard_output()
    tables()
    files()
    if SANITIZED:
        skip("crashes", "a sanitizer's handlers stay")
    else:
        crashes()
    hangs()
done()
