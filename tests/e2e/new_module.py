#!/usr/bin/env python3
"""nightjar new-module: the walk-through that it prints is run, in a copy of the tree."""

import json, os, shutil, subprocess
from tap import ROOT, SANITIZED, Folder, done, nightjar, ok, skip


def sh(command, **more):
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=400, **more)


def main():
    for part in ("Makefile", "broker", "include", "modules", "schemas", "data", "tests"):
        src = os.path.join(ROOT, part)
        (shutil.copytree if os.path.isdir(src) else shutil.copy2)(src, part)
    shutil.copytree(
        os.path.join(ROOT, "build", "release"),
        os.path.join("build", "release"),
        ignore=shutil.ignore_patterns("tests", "so", "fuzz"),
    )
    r = nightjar("new-module", "fresh_start")
    commands = [line.split("#")[0].strip() for line in r.stdout.splitlines()[1:]]
    ok(
        r.returncode == 0 and os.path.exists("modules/fresh_start.c") and len(commands) == 6,
        "a module to fill in, and what to do next",
        r.stdout + r.stderr,
    )
    less = {"bench": " --seconds 0.01", "profile": " --min-samples 50"}  # as printed, but for how long
    out = [sh(c + "".join(more for word, more in less.items() if word in c)) for c in commands]
    for c, o in zip(commands, out):
        ok(o.returncode == 0, c, o.stdout[-2000:] + o.stderr)
    rows = [json.loads(line) for line in out[3].stdout.splitlines() if line.startswith("{")]
    ok(
        len(rows) == 20
        and any((x["fresh_start.range"] or 0) > 0 for x in rows)
        and {x["fresh_start.reason"] for x in rows} <= {"done", "few_points"},
        "its column is in the rows",
        rows[:1],
    )
    ok(
        "nj_put_f64(w, RANGE" in out[4].stdout and "Hits: exact" in out[4].stdout,
        "its lines are profiled",
        out[4].stdout,
    )
    r = nightjar("new-module", "fresh_start")
    ok(r.returncode == 1 and "exists" in r.stderr, "an existing file is not touched", r.stderr)
    ok(
        nightjar("new-module", "Bad-name").returncode == 1 and nightjar("new-module", "roid").returncode == 1,
        "bad and taken names are refused",
    )


if SANITIZED:
    skip("new-module", "the walk-through is of the release build")
else:
    with Folder():
        main()
done()
