"""analysis_kit.py - modules and readers of known slowness for the tests of a run's analysis, and what must
hold of it. Not a test."""

import itertools, os, statistics, subprocess, time
from tap import NIGHTJAR, ROOT, compile_module, nightjar, report

SPANS = ["arrive", "queue", "decode", "modules", "filter", "publish"]
FAST = ["-m", "roid,nalerthist"]


def build(name, wait):
    """nalerthist under another name, with a statement for each row."""
    text = open(os.path.join(ROOT, "modules", "nalerthist.c")).read()
    text = (
        text.replace("nalerthist", name)
        .replace("int32_t n = 0;", wait + " int32_t n = 0;")
        .replace("#include", "#include <unistd.h>\n#include", 1)
    )
    open(name + ".c", "w").write(text)
    compile_module(name + ".c", name + ".so", "-O2", kit=True)


def consistent(x):
    return (
        (x["n"] == x["over"] if x["broker_budget_s"] == 0 else x["over"] <= x["n"])
        and all(
            abs(sum(w["spans_s"].values()) - w["total_s"]) < 1e-6
            and w["total_s"] > x["broker_budget_s"]
            and list(w["spans_s"]) == SPANS
            for w in x["worst"]
        )
        and len(x["worst"]) == min(x["over"], 100)
        and x["worst"] == sorted(x["worst"], key=lambda w: -w["total_s"])
    )


def night():
    nightjar(
        "simulate", "--survey", "ztf", "--alerts", 1500, "--seed", 5, "--exposures", 6, "-o", "night.tar.gz"
    )


def run_sleepy():
    """A module that sleeps a millisecond for each alert: (the process, its report)."""
    build("sleepy", "usleep(1000);")
    r = nightjar(
        "run",
        "night.tar.gz",
        "-m",
        "roid,sleepy",
        "--module-path",
        "sleepy.so",
        "-j",
        1,
        "-D",
        "run.exposure_budget_s=1",
        "-D",
        "run.broker_share=0.2",
        "--report",
        "slow.json",
    )
    return r, report("slow.json")


def run_to_slow_reader():
    """A reader of standard output that rests 40 ms after each 16 kB: (exit code, bytes, the report's
    exposures)."""
    child = subprocess.Popen(
        [
            NIGHTJAR,
            "run",
            "-q",
            "night.tar.gz",
            *FAST,
            "-j",
            "2",
            "-o",
            "ndjson:-",
            "-D",
            "run.exposure_budget_s=0.1",
            "-D",
            "run.broker_share=0.1",
            "--report",
            "pipe.json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    size = 0
    while True:
        data = os.read(child.stdout.fileno(), 16384)
        if not data:
            break
        size += len(data)
        time.sleep(0.04)
    rc = child.wait()
    return rc, size, report("pipe.json")["exposures"]


def run_tiring(*more, rows=16):
    """A module that takes longer with each alert: (the process, its report, that module's drift)."""
    build(
        "tiring",
        "static unsigned long turns; for (volatile unsigned long spin = 0, end = 2000 + 20 * turns++; spin <"
        " end; spin++) {}",
    )
    r = nightjar(
        "run",
        "night.tar.gz",
        "-m",
        "roid,tiring",
        "--module-path",
        "tiring.so",
        "-j",
        1,
        "-D",
        f"run.batch_rows={rows}",
        "--report",
        "drift.json",
        "--overwrite",
        *more,
        env={"COLUMNS": "1000"},
    )
    run = report("drift.json")
    return r, run, next(m for m in run["modules"] if m["name"] == "tiring")["drift"]


def kendall(points):
    s = n = 0
    slopes = []
    for (x1, y1), (x2, y2) in itertools.combinations(points, 2):
        s += (y2 > y1) - (y2 < y1)
        n += 1
        slopes.append((y2 - y1) / (x2 - x1))
    return s / n, statistics.median(slopes)
