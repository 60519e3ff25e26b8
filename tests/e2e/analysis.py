#!/usr/bin/env python3
"""The analysis of a run: drift along it, and the waterfall of each exposure. What its times must be:
tests/timing/analysis.py."""

import json, shutil, statistics
from analysis_kit import FAST, consistent, kendall, night, run_sleepy, run_tiring, run_to_slow_reader
from tap import SANITIZED, Folder, done, nightjar, ok, report, skip


def exposures():
    r = nightjar(
        "run",
        "night.tar.gz",
        *FAST,
        "-j",
        2,
        "-D",
        "run.exposure_budget_s=4000",
        "--report",
        "fast.json",
        "-o",
        "ndjson:fast.ndjson"
    )
    x = report("fast.json")["exposures"]
    truth = {}
    for line in open("fast.ndjson"):
        row = json.loads(line)
        truth[row["exposure"]] = truth.get(row["exposure"], 0) + 1
    ok(
        r.returncode == 0
        and x["n"] == len(truth) == 6
        and x["alerts"] == sum(truth.values()) == 1500
        and x["over"] == 0
        and consistent(x)
        and x["broker_budget_s"] == 1000
        and "Exposures 6, " in r.stdout
        and "over 1e+03 s (25 % of 4e+03 s): 0" in " ".join(r.stdout.split()),
        "a fast run: every exposure, none over a thousand seconds",
        (x, r.stdout),
    )
    r = nightjar(
        "run",
        "night.tar.gz",
        *FAST,
        "-w",
        "roid.roid = 99",
        "-D",
        "run.broker_share=0",
        "--report",
        "all.json"
    )
    x = report("all.json")["exposures"]
    ok(
        {(w["exposure"], w["alerts"]) for w in x["worst"]} == set(truth.items())
        and consistent(x)
        and x["alerts"] == 1500,
        "filtered alerts belong to their exposures too; all listed",
        x,
    )


def slow_module():
    r, run = run_sleepy()
    x = run["exposures"]
    ok(
        r.returncode == 0 and consistent(x),
        "a module of 1 ms an alert: the spans add up",
        (x["spans"], r.stderr),
    )
    # an exposure has some 250 alerts, and one thread sleeps for each
    ok(x["over"] == 6 and "over 0.2 s (20 % of 1 s): 6" in r.stdout, "every exposure is over 0.2 s", r.stdout)
    ok("the slowest, ztf " in r.stdout, "the slowest is named", r.stdout)


def slow_sink():
    rc, size, x = run_to_slow_reader()
    ok(
        rc == 0 and size > 100000 and consistent(x),
        "a slow reader of the output: the spans add up",
        (rc, size, x["spans"]),
    )


def drift():
    r, run, tiring = run_tiring()
    told = [x for x in r.stdout.splitlines() if x.startswith("Drift along the run: ")]
    ok(r.returncode == 0, "a module that tires", r.stderr)
    quiet = [
        m["name"]
        for m in run["modules"]
        if "drift" in m and not m["drift"]["drifts"] and told and m["name"] + " +" in told[0]
    ]
    ok(
        not quiet
        and run["throughput"]["batches"] >= 1500 // 16
        and all(
            len(m["drift"]["points"]) <= 128 and 0 <= m["drift"]["p"] <= 1
            for m in run["modules"]
            if "drift" in m
        ),
        "nothing else is reported that is not significant; points are few",
        quiet,
    )
    # a batch for each alert: never more of them than the report has points, however busy the machine is
    tiring = run_tiring("--limit", 120, rows=1)[2]
    tau, slope = kendall(tiring["points"])
    middle = statistics.median(y for _, y in tiring["points"])
    ok(tiring["n"] == 120, "a point for each batch", tiring["n"])
    ok(
        tiring["n"] == len(tiring["points"])
        and abs(tau - tiring["tau"]) < 0.01
        and abs(slope / middle * 1e5 / tiring["percent_per_1000"] - 1) < 0.01,
        "slope and tau are those of the points",
        (tau, slope, tiring["tau"], tiring["percent_per_1000"]),
    )
    r = nightjar(
        "run",
        "-q",
        "night.tar.gz",
        *FAST,
        "-D",
        "run.counters=0",
        "-o",
        "ndjson:off.ndjson",
        "--report",
        "off.json"
    )
    off = report("off.json")
    same = sorted(open("off.ndjson").readlines()) == sorted(open("fast.ndjson").readlines())
    ok(
        r.returncode == 0
        and same
        and off["ledger"]["closed"]
        and "exposures" not in off
        and not any(m["wall_ns"] for m in off["modules"]),
        "counters off: the same rows, no clocks",
        off["modules"][:2],
    )


with Folder():
    night()
    exposures()
    if SANITIZED or not shutil.which("cc"):
        for name in ("slow module", "drift"):
            skip(name, "a plain compiler and binary are needed")
    else:
        slow_module()
        drift()
    slow_sink()
done()
