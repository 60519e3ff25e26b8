#!/usr/bin/env python3
"""A clause that kills the worker, or does not come back, for some alerts costs those alerts and no others."""

import os, subprocess
from tap import SANITIZED, Folder, done, nightjar, ok, report, rows, skip

N = 90
# Clauses with a function: SQLite answers them, and not the comparisons of columns that we answer ourselves.
# Stands in SQLite's place when our table gives it a number, or when a row of an output is bound.
BAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
typedef long long number;
static void bad(const char *who, number value)
{
    const char *list = getenv(who);
    char text[32];
    while (list && *list) {
        char *next;
        if (strtoll(list, &next, 10) == value) *(volatile int *)8 = 1;
        list = *next ? next + 1 : next;
    }
}
void sqlite3_result_int64(void *c, number v)
{
    static void (*real)(void *, number);
    bad("BAD_READ", v);
    if (!real) real = (void (*)(void *, number))dlsym(RTLD_NEXT, "sqlite3_result_int64");
    real(c, v);
}
int sqlite3_bind_int64(void *s, int at, number v)
{
    static int (*real)(void *, int, number);
    bad("BAD_BIND", v);
    if (!real) real = (int (*)(void *, int, number))dlsym(RTLD_NEXT, "sqlite3_bind_int64");
    return real(s, at, v);
}
"""
# Minutes within one step of SQLite's machine, so that its budget of steps does not end it.
LONG = "instr(printf('%.1000000c', char(97 + 0 * candid)), printf('%.500000c', char(97 + 0 * candid)) || 'b')"
HANG = f"CASE WHEN candid IN ({{}}) THEN {' + '.join([LONG] * 20)} ELSE 1 END"


def run(what, failing, args, more=(), env=None, out="ndjson:out.ndjson"):
    for f in ("out.ndjson", "out.ndjson.journal", "out.db", "dead.avro", "dead.avro.journal", "run.json"):
        if os.path.exists(f):
            os.remove(f)
    r = nightjar(
        *("run", "night.tar", "-q", "-m", "roid", "-o", "ndjson:out.ndjson", "--dead-letters", "dead.avro"),
        *("--report", "run.json", "--overwrite", *args, *more),
        env=env,
    )
    got = [x["candid"] for x in rows("out.ndjson")] if os.path.exists("out.ndjson") else []
    ok(r.returncode == 0, f"{what}: the stream completes", r.stderr)
    ok(
        got == [i for i in IDS if i not in failing],
        f"{what}: all others are rows, once",
        (len(got), r.stderr),
    )
    ledger = report("run.json")["ledger"] if os.path.exists("run.json") else {}
    ok(ledger.get("dead") == len(failing), f"{what}: these are dead letters", ledger)
    ok(ledger.get("closed") is True, f"{what}: the ledger closes", ledger)
    nightjar("run", "dead.avro", "-q", "-m", "roid", "-o", "ndjson:again.ndjson", "--overwrite")
    ok({x["candid"] for x in rows("again.ndjson")} == set(failing), f"{what}: the letters have their packets")
    return r


def crashes():
    with open("bad.c", "w", encoding="utf-8") as f:
        f.write(BAD)
    subprocess.run(["cc", "-w", "-O1", "-fPIC", "-shared", "bad.c", "-o", "bad.so", "-ldl"], check=True)
    failing = [IDS[17], IDS[18], IDS[60]]
    env = {"LD_PRELOAD": os.path.abspath("bad.so"), "BAD_READ": ",".join(map(str, failing))}
    for args in (
        ("-w", "abs(candid) > 0"),
        ("-t", "mine=abs(candid) > 0"),
        ("-w", "mag > -99", "-t", "mine=abs(candid) > 0", "-t", "yours=abs(candid) > 1"),
    ):
        for j, size in ((1, 64), (2, 7), (1, 1)):
            what = f"a crash, {' '.join(a for a in args if a[0] == '-')}, -j {j}, batches of {size}"
            r = run(what, failing, args, ("-j", j, "-D", f"run.batch_rows={size}"), env)
            ok("in a filter" in r.stderr, f"{what}: said", r.stderr)
    text = open("dead.avro", "rb").read()
    ok(text.count(b"signal 11 (SIGSEGV, a wrong address)") == 3, "each letter has the signal")
    env = {"LD_PRELOAD": os.path.abspath("bad.so"), "BAD_BIND": env["BAD_READ"]}
    r = run("a crash in an output", failing, ("-o", "sqlite:out.db"), env=env)
    ok("in an output" in r.stderr, "a crash in an output: said", r.stderr)


def hangs():
    failing = [IDS[3], IDS[40]]
    clause = HANG.format(",".join(map(str, failing)))
    for args in (("-w", clause), ("-t", f"mine={clause}")):
        r = run(
            f"a clause that does not come back, {args[0]}", failing, (*args, "-D", "guard.deadline_s=0.5")
        )
        ok("did not return in time (guard.deadline_s)" in r.stderr, f"{args[0]}: said", r.stderr)
        text = open("dead.avro", "rb").read()
        ok(text.count(b"it did not return in time (guard.deadline_s)") == 2, "the letters say so")
        ok(text.count(b"; stack: ") == 2, "and where it was")


with Folder():
    if SANITIZED:
        skip("clauses that kill", "a sanitizer's handlers stay")
    else:
        nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
        nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "ndjson:all.ndjson")
        IDS = [x["candid"] for x in rows("all.ndjson")]
        crashes()
        hangs()
done()
