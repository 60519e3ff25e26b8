#!/usr/bin/env python3
"""--log-json: every line on stderr is one object, also when a module crashes or the run is stopped;
--log-level."""

import json, os, re, signal, subprocess
from tap import NIGHTJAR, ROOT, Folder, compile_module, done, nightjar, ok

MEMBERS = {"time", "level", "room", "text", "fields"}
SOURCE = """
#include <math.h>
#include <stdlib.h>
#include "nightjar/module.h"
static int process(const void *self, void *thread, const nj_work *w)
{
    double *x = w->out[0];
    for (uint32_t k = 0; k < w->n; k++) {
        x[w->row[k]] = 1, w->reason[w->row[k]] = NJ_DONE;
        if (w->id[w->row[k]] > 1000 && w->id[w->row[k]] % 7 == 0) abort();
    }
    return NJ_OK;
}
NJ_MODULE(crashes) = { NJ_HEADER, .name = "crashes", .version = "1.0", .summary = "a test",
    .paper = "none: test",
    .needs = (const nj_need[]){ { "mag", NJ_F64, NJ_SCALAR, "mag", 0 }, { 0 } },
    .gives = (const nj_give[]){ { "x", NJ_F64, 1, 0, "1", -INFINITY, INFINITY, NAN, 0, "A number." }, { 0 } },
    .process = process };
"""


def events(text, name):
    """All lines as objects; those that are none are shown by the test."""
    found, wrong = [], []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            wrong.append(line)
    ok(not wrong, f"{name}: each line is an object", wrong)
    other = [e for e in found if set(e) != MEMBERS]
    ok(not other, f"{name}: each has time, level, room, text and fields", other)
    when = [
        e["time"] for e in found if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["time"])
    ]
    ok(not when, f"{name}: the time is UTC with milliseconds", when)
    return found


def texts(found, room):
    return " | ".join(e["text"] for e in found if e["room"] == room)


def crashes():
    with open("crashes.c", "w", encoding="utf-8") as f:
        f.write(SOURCE)
    compile_module("crashes.c", "crashes.so", "-O1", "-w")
    command = "run night.tar -m crashes --log-json --module-path".split()
    r = nightjar(*command, os.path.abspath("crashes.so"), "-o", "ndjson:a.ndjson")
    found = events(r.stderr, "a module that crashes")
    ok("crashed" in texts(found, "module"), "the crash is an event of the room module", found)
    ok("another one continues" in texts(found, "flow"), "the restart is an event of the room flow", found)
    site = [e["fields"].get("site", "") for e in found if "another one continues" in e["text"]]
    ok(all(s.startswith("broker/flow/") for s in site), "with the place that says it", site)
    r = nightjar(*command, os.path.abspath("crashes.so"), "--no-supervise", "-o", "ndjson:b.ndjson")
    found = events(r.stderr, "without a supervisor")
    ok("crashes" in texts(found, "module"), "the crash itself is an event, too", found)


def stopped():
    p = subprocess.Popen(
        [NIGHTJAR, *"run night.tar -m features -o ndjson:- --log-json -D run.batch_rows=4".split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    p.stdout.read(1)
    p.send_signal(signal.SIGTERM)
    rest, errors = p.communicate()
    found = events(errors, "SIGTERM")
    ok("finishing what was read" in texts(found, "flow"), "the stop is an event", found)
    p = subprocess.run(
        [NIGHTJAR, *"run night.tar -m features -o ndjson:- --log-json".split()],
        capture_output=True,
        text=True,
    )
    ok(len(p.stdout.splitlines()) == 600, "all rows are on standard output", len(p.stdout.splitlines()))
    events(p.stderr, "rows on standard output")


def hard_texts():
    r = nightjar("run", 'no "such" \\ file\n\x1b[1m', "-o", "null:", "--log-json")
    found = events(r.stderr, "a name with quotes, a line break and an escape")
    ok('no "such" \\ file\n' in found[-1]["text"], "its text is the text", found)
    candid = json.loads(open("a.ndjson", encoding="utf-8").readline())["candid"]
    r = nightjar("run", "night.tar", "-o", "null:", "-m", "features", "--log-json", "--trace", candid)
    found = events(r.stderr, "--trace")
    traced = [e for e in found if e["fields"].get("trace") == candid]
    ok(traced, "lines of a trace have its number", found)


def levels():
    base = ("run", "night.tar", "-o", "null:", "-m", "features", "--log-json")
    r = nightjar(*base, "--log-level", "debug")
    rooms = {e["room"] for e in events(r.stderr, "debug")}
    ok({"source", "decode", "module", "graph", "flow", "sink"} <= rooms, "debug: of all rooms", rooms)
    r = nightjar(*base, "--log-level", "error,sink=debug")
    rooms = {e["room"] for e in events(r.stderr, "sink=debug")}
    ok(rooms == {"sink"}, "error,sink=debug: of that room alone", rooms)
    r = nightjar(*base, "--log-level", "debug,flow=note,graph=error")
    rooms = {e["room"] for e in events(r.stderr, "all but two") if e["level"] == "debug"}
    ok(not rooms & {"flow", "graph"}, "debug,flow=note,graph=error: of the others", rooms)
    r = nightjar("run", "night.tar", "-o", "null:", "--log-level", "warnign")
    ok(
        r.returncode == 1 and "did you mean 'warning'?" in r.stderr,
        "a misspelt level: its near miss",
        r.stderr,
    )
    r = nightjar("run", "night.tar", "-o", "null:", "--log-level", "snik=debug")
    ok(r.returncode == 1 and "did you mean 'sink'?" in r.stderr, "a misspelt room: its near miss", r.stderr)


with Folder():
    nightjar("simulate", "-n", "600", "-o", "night.tar", "-q")
    crashes()
    stopped()
    hard_texts()
    levels()
done()
