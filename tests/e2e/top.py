#!/usr/bin/env python3
"""nightjar top: what a run does is seen from outside, by its number, without a server."""

import json, os, signal, subprocess, time
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok

PATIENCE = 120  # s: only an end that never comes takes so long
SOURCE = """
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    double *x = w->out[0];
    for (uint32_t k = 0; k < w->n; k++) {
        x[w->row[k]] = 1, w->reason[w->row[k]] = NJ_DONE;
        @HABIT@;
    }
    return NJ_OK;
}
NJ_MODULE(@NAME@) = { NJ_HEADER, .name = "@NAME@", .version = "1.0", .summary = "a test",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""


def module(name, habit):
    with open(f"{name}.c", "w", encoding="utf-8") as f:
        f.write(SOURCE.replace("@NAME@", name).replace("@HABIT@", habit))
    flags = "-std=gnu11 -O1 -w -fPIC -DNJ_SHARED -shared".split()
    cc = os.environ.get("CC_MODULE", "cc")
    subprocess.run([cc, *flags, f"-I{ROOT}/include", f"{name}.c", "-o", f"{name}.so"], check=True)


def begin(out, *more):
    command = [
        NIGHTJAR,
        "run",
        "night.tar",
        "-q",
        "-j",
        "1",
        "-D",
        "run.batch_rows=4",
        "-D",
        "run.call_s=0.5",
    ]
    return subprocess.Popen(
        [*command, "-o", f"ndjson:{out}", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def look(pid):
    r = nightjar("top", pid, "--json")
    found = json.loads(r.stdout)["runs"]
    return found[0] if found else {}


def wait_for(child, condition):
    """The run as soon as the condition holds; as last seen, when it never does."""
    seen, end = {}, time.time() + PATIENCE
    while time.time() < end and child.poll() is None:
        seen = look(child.pid) or seen
        if seen and seen["whole"] and condition(seen):
            break
        time.sleep(0.1)
    return seen


def thread_in(run, name):
    return next((t for t in run.get("threads", []) if t["module"] == name), {})


def a_call_that_lasts():
    open("hang", "w").close()
    p = begin("held.ndjson", "--module-path", os.path.abspath("hangs.so"), "-m", "features,hangs")
    q = begin("held2.ndjson", "--module-path", os.path.abspath("hangs.so"), "-m", "hangs")
    seen = wait_for(p, lambda r: thread_in(r, "hangs").get("for_s", 0) > 0 and r["under_way"] > 0)
    wait_for(q, lambda r: thread_in(r, "hangs"))
    t = thread_in(seen, "hangs")
    ok(t.get("name") == "compute 1", "the thread in a call is there with its module", seen)
    ok(t.get("where") == "in process()", "and where in it", t)
    ok(t.get("for_s", 0) > 0, "and since when", t)
    ok(seen.get("sources") == "night.tar", "the source is named", seen)
    ok(seen.get("outputs") == "ndjson:held.ndjson", "the output is named", seen)
    ok(seen.get("under_way", 0) > 0, "alerts are under way", seen)
    names = [m["name"] for m in seen.get("modules", [])]
    ok("features" in names, "its modules are there", names)
    text = nightjar("top", p.pid, "--once").stdout
    ok("hangs" in text and "compute 1" in text, "the same as text", text)
    ok(max(map(len, text.splitlines())) <= 80, "which fits 80 columns", text)
    both = nightjar("top", "--once").stdout
    ok(f"{p.pid} " in both and f"{q.pid} " in both, "several runs are listed", both)
    ok(max(map(len, both.splitlines())) <= 80, "in 80 columns, too", both)
    if seen.get("worker", 0) > 1:
        os.kill(seen["worker"], signal.SIGKILL)
    again = wait_for(p, lambda r: r["restarts"] == 1 and thread_in(r, "hangs"))
    ok(again.get("restarts") == 1, "a worker that was killed is a restart", again)
    ok(again.get("worker") != seen["worker"], "the next worker is the one that is shown", again)
    os.remove("hang")
    p.communicate(timeout=PATIENCE)
    q.communicate(timeout=PATIENCE)
    ok(p.returncode == 0 and q.returncode == 0, "the runs end as ever", (p.returncode, q.returncode))
    r = nightjar("top", p.pid, "--once")
    ok(r.returncode == 1 and "no `nightjar run`" in r.stdout, "an ended run is not seen", r.stdout)


def quarantined():
    """Nobody reads its rows, so it lasts."""
    p = begin(
        "-", "--module-path", os.path.abspath("crashes.so"), "-m", "crashes", "-D", "guard.quarantine=1"
    )
    seen = wait_for(p, lambda r: any(g["quarantined"] for g in r["guarded"]))
    off = [g["name"] for g in seen.get("guarded", []) if g["quarantined"]]
    ok(off == ["crashes"], "a quarantined module is named", seen)
    text = nightjar("top", p.pid, "--once").stdout
    ok("quarantined: crashes" in text, "in the text, too", text)
    p.communicate(timeout=PATIENCE)


def left_out():
    """Every alert is beyond the bound, and nobody reads the rows, so it lasts."""
    p = begin("-", "-m", "features,nalerthist", "-D", "guard.max_lag_s=1e-9")
    gone = lambda r: {m["name"]: m["shed"] for m in r.get("modules", []) if m["left_out"]}
    seen = wait_for(p, lambda r: len(gone(r)) == 2 and all(gone(r).values()))
    ok(set(gone(seen)) == {"features", "nalerthist"}, "modules that are left out are named", seen)
    ok(all(gone(seen).values()), "with the alerts that went without them", gone(seen))
    text = nightjar("top", p.pid, "--once").stdout
    ok("left out  " in text and "features (" in text, "in the text, too", text)
    ok(max(map(len, text.splitlines())) <= 80, "which fits 80 columns", text)
    q = begin("-", "-m", "features", "-D", "guard.max_lag_s=1e-9")
    wait_for(q, gone)
    both = nightjar("top", "--once").stdout
    ok("without features (" in both, "and in the list of runs", both)
    for child in (p, q):
        child.communicate(timeout=PATIENCE)


def what_is_not_seen():
    r = nightjar("top", os.getpid(), "--once")
    ok(r.returncode == 1 and "is no `nightjar run`" in r.stdout, "another process is no run", r.stdout)
    r = nightjar("top", "seven")
    ok(r.returncode == 1 and "a PID is a number" in r.stderr, "a word is no number", r.stderr)
    r = nightjar("top", os.getpid(), "--json")
    ok(json.loads(r.stdout)["runs"] == [], "no run as JSON: an empty list", r.stdout)
    open("hang", "w").close()
    p = begin("alone.ndjson", "--no-supervise", "--module-path", os.path.abspath("hangs.so"), "-m", "hangs")
    r = nightjar("top", p.pid)
    ok(r.returncode == 1, "a run without a supervisor has no such memory", r.stdout)
    os.remove("hang")
    p.communicate(timeout=PATIENCE)


with Folder():
    nightjar("simulate", "-n", "600", "-o", "night.tar", "-q")
    module("hangs", 'while (w->id[w->row[k]] > 1000 && access("hang", F_OK) == 0) usleep(10000)')
    module("crashes", "if (w->id[w->row[k]] % 3 == 0 && w->id[w->row[k]] > 1000) abort()")
    a_call_that_lasts()
    quarantined()
    left_out()
    what_is_not_seen()
done()
