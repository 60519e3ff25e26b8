#!/usr/bin/env python3
"""The analysis of a run by the clock: what is slow is named, be it a module, a reader of the output, or a
module that tires."""

import shutil
from kit import Folder, SANITIZED, done, ok, skip
from analysis_kit import night, run_sleepy, run_tiring, run_to_slow_reader


def slow_module():
    r, run = run_sleepy()
    s = run["exposures"]["spans"]
    rest = sum(s[k]["p50_s"] for k in ("decode", "filter", "publish"))
    ok(
        s["modules"]["p50_s"] >= 0.01 and s["modules"]["p50_s"] > rest,
        "a module of 1 ms an alert: the modules' span holds what a batch of it takes",
        s,
    )
    ok(s["queue"]["p50_s"] > s["modules"]["p50_s"], "and its alerts wait for it", s)


def slow_sink():
    rc, size, x = run_to_slow_reader()
    slow = [
        w
        for w in x["worst"]
        if w["spans_s"]["publish"] + w["spans_s"]["queue"] > 0.5 * (w["total_s"] - w["spans_s"]["arrive"])
    ]
    ok(x["over"] == 6 and len(slow) >= 5, "a slow reader of the output: over, and publish is why", x["spans"])
    ok(
        x["spans"]["publish"]["max_s"] > 0.01
        and x["spans"]["publish"]["p50_s"] > x["spans"]["modules"]["p50_s"],
        "more than the modules",
        x["spans"],
    )


def drift():
    r, run, tiring = run_tiring()
    told = [x for x in r.stdout.splitlines() if x.startswith("Drift along the run: ")]
    ok(
        tiring["drifts"] and tiring["p"] < 1e-6 and tiring["change_percent"] > 50 and tiring["low"] > 0,
        "a module that tires: its slope and p",
        {k: v for k, v in tiring.items() if k != "points"},
    )
    ok(told and "tiring +" in told[0], "and it is reported", r.stdout)


with Folder():
    night()
    if SANITIZED or not shutil.which("cc"):
        skip("slow module and drift", "a plain compiler and binary are needed")
    else:
        slow_module()
        drift()
    slow_sink()
done()
