#!/usr/bin/env python3
"""What commits cost: a night into four outputs, pairs in turn of [run] defaults (a commit each second,
synced) against no commit before the end (commit_ms = 60000, durable = 0). Wall and CPU time of each run, the
median of the ratios of pairs with its spread. perf/commit_cost.py [PAIRS] [ALERTS]; writes
perf/results/commit.json."""

import json, os, resource, statistics, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
NIGHTJAR = os.environ.get("NIGHTJAR", os.path.join(ROOT, "nightjar"))
PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
ALERTS = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
OFF = ["-D", "run.commit_ms=60000", "-D", "run.durable=0"]


def once(night, more):
    outputs = [x for k in ("ndjson", "avro", "fits", "sqlite") for x in ("-o", f"{k}:out.{k}")]
    before, t = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [NIGHTJAR, "run", night, "-q", "-j", "1", *outputs, "--overwrite", *more],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(ratios):
    ratios = sorted(ratios)
    n = len(ratios)
    return {
        "median": round(statistics.median(ratios), 4),
        "quartiles": [round(ratios[n // 4], 4), round(ratios[(3 * n) // 4], 4)],
    }


with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
    os.chdir(folder)
    subprocess.run(
        [NIGHTJAR, "simulate", "-n", str(ALERTS), "--seed", "3", "-q", "-o", "night.tar"], check=True
    )
    once("night.tar", [])
    pairs = []
    for i in range(PAIRS):
        order = [[], OFF] if i % 2 else [OFF, []]
        got = [once("night.tar", more) for more in order]
        on, off = got if i % 2 else got[::-1]
        pairs.append((on, off))
        print(f"{i}: on {on[0]:.2f} s wall {on[1]:.2f} s CPU, off {off[0]:.2f} {off[1]:.2f}", flush=True)

result = {
    "what": "default commits against none before the end, four outputs, default modules, one thread",
    "alerts": ALERTS,
    "pairs": PAIRS,
    "load": os.getloadavg()[0],
    "cpus": os.cpu_count(),
    "wall_on_over_off": spread([a[0] / b[0] for a, b in pairs]),
    "cpu_on_over_off": spread([a[1] / b[1] for a, b in pairs]),
    "on_wall_s": round(statistics.median(a[0] for a, _ in pairs), 3),
    "off_wall_s": round(statistics.median(b[0] for _, b in pairs), 3),
}
with open(os.path.join(ROOT, "perf", "results", "commit.json"), "w") as f:
    json.dump(result, f, indent=1)
    f.write("\n")
print(json.dumps(result, indent=1))
