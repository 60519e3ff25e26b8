#!/usr/bin/env python3
"""perf/nightly appends a bench and a reference night to a history and charts it; the recipes for CI name
commands that are there."""

import os, re, subprocess
from tap import NIGHTJAR, ROOT, Folder, done, ok, report

SCRIPT = os.path.join(ROOT, "perf", "nightly")
ENV = dict(
    os.environ, NIGHTJAR=os.path.abspath(NIGHTJAR), ALERTS="20", BENCH="simulate", BENCH_SECONDS="0.01"
)


def nightly(*args, **more):
    return subprocess.run([SCRIPT, *args], capture_output=True, text=True, env=dict(ENV, **more))


def nights():
    for night in (1, 2):
        r = nightly("history")
        ok(r.returncode == 0, f"night {night} is measured", r.stdout + r.stderr)
        for kind in ("runs", "bench"):
            files = [f for f in os.listdir(f"history/{kind}") if f.endswith(".json")]
            ok(len(files) == night, f"night {night}: one more of {kind}", os.listdir(f"history/{kind}"))
        subprocess.run(["sleep", "1.1"])  # names have the second
    runs = [report(f"history/runs/{f}") for f in sorted(os.listdir("history/runs"))]
    digests = {x["context"]["input_digest"] for x in runs}
    ok(len(digests) == 1, "both nights are of the same alerts", digests)
    for kind in ("runs", "bench"):
        ok(os.path.getsize(f"history/{kind}.html") > 1000, f"a page of {kind}")
    ok("2 reports" in r.stdout, "the series is shown", r.stdout)
    ok("no change of level" in r.stdout, "two nights have no change of level", r.stdout)


def refused():
    ok(nightly().returncode == 1, "without a folder: usage")
    r = nightly("other", "/no/such/night.tar")
    ok(r.returncode == 2, "a night that is not there fails", r.stderr)
    ok(os.listdir("other/runs") == [], "and leaves no report", os.listdir("other/runs"))


def recipes():
    for name in ("github.yml", "gitlab.yml"):
        with open(os.path.join(ROOT, "perf", "ci", name), encoding="utf-8") as f:
            text = f.read()
        named = set(re.findall(r"(?:^|[ /])((?:perf|\.ci)/[a-z]+)(?= |$)", text, re.M))
        ok(
            named == {"perf/instructions", "perf/nightly", ".ci/deps"},
            f"{name}: gate, chart and packages",
            named,
        )
        missing = [x for x in named if not os.access(os.path.join(ROOT, x), os.X_OK)]
        ok(not missing, f"{name}: what it calls is there", missing)
        ok("\t" not in text, f"{name}: no tab, which YAML refuses")


with Folder():
    nights()
    refused()
    recipes()
done()
