#!/usr/bin/env python3
"""`-d LIST`: debug lines of the parts that are named, and of no others."""

import os, re
from tap import Folder, ROOT, done, nightjar, ok

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
LINES = {
    "source": "sample.tar.gz is a source of kind archive",
    "decode": r"schema ztf.alert 3.3: a plan of \d+ steps",
    "module": "roid: version .* of module roid",
    "graph": r"survey ztf: 1\. roid: .*lc\.mag of packet",
    "flow": r"unit 0: \d+ chunks",
    "query": '-w \'rb > 0.5\': 1 columns, to SQLite: "alert"."rb" > 0.5',
    "sink": "null:: an output of kind null",
}


def run(*options):
    return nightjar("run", SAMPLE, "-q", "-m", "roid", "-w", "rb > 0.5", "-o", "null:", *options)


def contexts(r):
    return set(re.findall(r"^(?:\S+Z )?nightjar: debug: (\w+): ", r.stderr, re.M))


def each_alone():
    for name, line in LINES.items():
        r = run("-d", name)
        ok(
            re.search(rf"^(?:\S+Z )?nightjar: debug: {name}: .*{line}", r.stderr, re.M),
            f"-d {name} shows its lines",
            r.stderr,
        )
        ok(contexts(r) == {name}, f"-d {name} shows no others", r.stderr)


def lists():
    ok(contexts(run()) == set(), "without -d there is no debug line")
    ok(contexts(run("-d", "graph,sink")) == {"graph", "sink"}, "a list: these two")
    ok(contexts(run("-d", "graph", "--debug=sink")) == {"graph", "sink"}, "said twice: both")
    ok(contexts(run("-d", "all")) == set(LINES), "-d all: all that this run has")
    r = nightjar("run", SAMPLE, "-v", "-m", "roid", "-w", "rb > 0.5", "-o", "null:")
    ok(contexts(r) == set(LINES), "-v: the same", r.stderr)


def names():
    r = nightjar("run", "-d", "help")
    ok(r.returncode == 0, "-d help ends with 0", r.stderr)
    listed = re.findall(r"^(\w+) ", r.stdout, re.M)
    ok(set(LINES) | {"kafka", "all"} == set(listed), "-d help lists them all", r.stdout)
    r = run("-d", "decod")
    ok(r.returncode == 1, "an unknown context: exit 1", r.stderr)
    ok("did you mean 'decode'?" in r.stderr, "and the nearest name", r.stderr)
    r = run("-d", "")
    ok(r.returncode == 1 and "-d help" in r.stderr, "an empty list is refused", r.stderr)
    r = nightjar("graph", SAMPLE, "-m", "roid", "-d", "decode")
    ok("decode" in contexts(r), "other commands have -d, too", r.stderr)


with Folder():
    each_alone()
    lists()
    names()
done()
