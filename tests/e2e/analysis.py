#!/usr/bin/env python3
"""The analysis of a run: drift along it, and the waterfall of each exposure, on modules and sinks of known slowness."""
import itertools, json, os, shutil, statistics, subprocess, time
from tap import NIGHTJAR, ROOT, SANITIZED, Folder, done, nightjar, ok, report, skip

SPANS = ["arrive", "queue", "decode", "modules", "filter", "publish"]
FAST = ["-m", "roid,nalerthist"]


def build(name, wait):
    """nalerthist under another name, with a statement for each row."""
    text = open(os.path.join(ROOT, "modules", "nalerthist.c")).read()
    text = text.replace("nalerthist", name).replace("int32_t n = 0;", wait + " int32_t n = 0;").replace("#include", "#include <unistd.h>\n#include", 1)
    open(name + ".c", "w").write(text)
    kit = os.path.join(os.environ.get("NIGHTJAR_BUILD", os.path.join(ROOT, "build", "release")), "libnightjar-kit.a")
    subprocess.run(["cc", "-std=c11", "-O2", "-fPIC", "-D_GNU_SOURCE", "-DNJ_SHARED", "-shared", "-I" + os.path.join(ROOT, "include"),
                    "-o", name + ".so", name + ".c", kit, "-lm"], check=True)


def consistent(x):
    return (x["n"] == x["over"] if x["broker_budget_s"] == 0 else x["over"] <= x["n"]) and all(
        abs(sum(w["spans_s"].values()) - w["total_s"]) < 1e-6 and w["total_s"] > x["broker_budget_s"] and list(w["spans_s"]) == SPANS for w in x["worst"]) and len(
        x["worst"]) == min(x["over"], 100) and x["worst"] == sorted(x["worst"], key=lambda w: -w["total_s"])


def exposures():
    r = nightjar("run", "night.tar.gz", *FAST, "-j", 2, "--report", "fast.json", "-o", "ndjson:fast.ndjson")
    x = report("fast.json")["exposures"]
    truth = {}
    for line in open("fast.ndjson"):
        row = json.loads(line)
        truth[row["exposure"]] = truth.get(row["exposure"], 0) + 1
    ok(r.returncode == 0 and x["n"] == len(truth) == 6 and x["alerts"] == sum(truth.values()) == 1500 and x["over"] == 0 and consistent(x)
       and x["broker_budget_s"] == 15 and "Exposures 6, " in r.stdout and "over 15 s (25 % of 60 s): 0" in r.stdout, "a fast run: every exposure, none over its 15 s", (x, r.stdout))
    r = nightjar("run", "night.tar.gz", *FAST, "-w", "roid.roid = 99", "-D", "run.broker_share=0", "--report", "all.json")
    x = report("all.json")["exposures"]
    ok({(w["exposure"], w["alerts"]) for w in x["worst"]} == set(truth.items()) and consistent(x) and x["alerts"] == 1500, "filtered alerts belong to their exposures too; all listed", x)


def slow_module():
    build("sleepy", "usleep(1000);")
    r = nightjar("run", "night.tar.gz", "-m", "roid,sleepy", "--module-path", "sleepy.so", "-j", 1, "-D", "run.exposure_budget_s=1", "-D", "run.broker_share=0.2",
                 "--report", "slow.json")
    run = report("slow.json")
    x, s = run["exposures"], run["exposures"]["spans"]
    rest = sum(s[k]["p50_s"] for k in ("decode", "filter", "publish"))
    ok(r.returncode == 0 and x["over"] == 6 and consistent(x) and s["modules"]["p50_s"] >= 0.01 and s["modules"]["p50_s"] > rest and s["queue"]["p50_s"] > s["modules"]["p50_s"]
       and "over 0.2 s (20 % of 1 s): 6" in r.stdout and "the slowest, ztf " in r.stdout,
       "a module of 1 ms an alert: every exposure over 0.2 s, the modules' span holds what a batch of it takes", (x["spans"], r.stdout, r.stderr))


def slow_sink():
    child = subprocess.Popen([NIGHTJAR, "run", "-q", "night.tar.gz", *FAST, "-j", "2", "-o", "ndjson:-", "-D", "run.exposure_budget_s=0.1", "-D", "run.broker_share=0.1",
                              "--report", "pipe.json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    size = 0
    while True:
        data = os.read(child.stdout.fileno(), 16384)
        if not data:
            break
        size += len(data)
        time.sleep(0.04)
    rc = child.wait()
    x = report("pipe.json")["exposures"]
    slow = [w for w in x["worst"] if w["spans_s"]["publish"] + w["spans_s"]["queue"] > 0.5 * (w["total_s"] - w["spans_s"]["arrive"])]
    ok(rc == 0 and size > 100000 and x["over"] == 6 and consistent(x) and len(slow) >= 5 and x["spans"]["publish"]["max_s"] > 0.01
       and x["spans"]["publish"]["p50_s"] > x["spans"]["modules"]["p50_s"], "a slow reader of the output: over, and publish is why", (size, x["spans"]))


def kendall(points):
    s = n = 0
    slopes = []
    for (x1, y1), (x2, y2) in itertools.combinations(points, 2):
        s += (y2 > y1) - (y2 < y1)
        n += 1
        slopes.append((y2 - y1) / (x2 - x1))
    return s / n, statistics.median(slopes)


def drift():
    build("tiring", "static unsigned long turns; for (volatile unsigned long spin = 0, end = 2000 + 20 * turns++; spin < end; spin++) {}")
    r = nightjar("run", "night.tar.gz", "-m", "roid,tiring", "--module-path", "tiring.so", "-j", 1, "-D", "run.batch_rows=16", "--report", "drift.json")
    run = report("drift.json")
    tiring = next(m for m in run["modules"] if m["name"] == "tiring")["drift"]
    told = [x for x in r.stdout.splitlines() if x.startswith("Drift along the run: ")]
    ok(r.returncode == 0 and tiring["drifts"] and tiring["p"] < 1e-6 and tiring["change_percent"] > 50 and tiring["low"] > 0 and told and "tiring +" in told[0],
       "a module that tires is told, with its slope and p", ({k: v for k, v in tiring.items() if k != "points"}, r.stdout, r.stderr))
    quiet = [m["name"] for m in run["modules"] if "drift" in m and not m["drift"]["drifts"] and told and m["name"] + " +" in told[0]]
    ok(not quiet and run["throughput"]["batches"] >= 1500 // 16 and all(len(m["drift"]["points"]) <= 128 and 0 <= m["drift"]["p"] <= 1 for m in run["modules"] if "drift" in m),
       "nothing else is told that is not significant; points are few", quiet)
    tau, slope = kendall(tiring["points"])
    middle = statistics.median(y for _, y in tiring["points"])
    ok(tiring["n"] == len(tiring["points"]) and abs(tau - tiring["tau"]) < 0.01 and abs(slope / middle * 1e5 / tiring["percent_per_1000"] - 1) < 0.01,
       "slope and tau are those of the points", (tau, slope, tiring["tau"], tiring["percent_per_1000"]))
    r = nightjar("run", "-q", "night.tar.gz", *FAST, "-D", "run.counters=0", "-o", "ndjson:off.ndjson", "--report", "off.json")
    off = report("off.json")
    same = sorted(open("off.ndjson").readlines()) == sorted(open("fast.ndjson").readlines())
    ok(r.returncode == 0 and same and off["ledger"]["closed"] and "exposures" not in off and not any(m["wall_ns"] for m in off["modules"]),
       "counters off: the same rows, no clocks", off["modules"][:2])


with Folder():
    nightjar("simulate", "--survey", "ztf", "--alerts", 1500, "--seed", 5, "--exposures", 6, "-o", "night.tar.gz")
    exposures()
    if SANITIZED or not shutil.which("cc"):
        for name in ("slow module", "drift"):
            skip(name, "a plain compiler and binary are needed")
    else:
        slow_module()
        drift()
    slow_sink()
done()
