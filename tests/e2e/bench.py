#!/usr/bin/env python3
"""nightjar bench: the subjects that time the host: what they verify, and the two files they write."""
import os
from tap import SHARED, Folder, done, nightjar, ok, report, skip

NAMES = ("bench modules and pipeline verify and time", "on-sky and effective agree with the hit rate", "Google Benchmark's form",
         "bench threads: rows and bytes the same for any number of threads")


def figures(b, prefix):
    return {f["name"]: f["value"] for f in b["figures"] if f["name"].startswith(prefix)}


def main():
    if not SHARED or not os.path.isdir(os.path.join(SHARED, "real", "ztf")):
        for name in NAMES:
            skip(name, "the real packets are not here")
        return
    r = nightjar("bench", "modules", "pipeline", "--seconds", 0.01, "--json", "b.json", "--google", "g.json")
    b = report("b.json") if os.path.exists("b.json") else {"benchmarks": [], "figures": []}
    names = [x["name"] for x in b["benchmarks"]]
    ok(r.returncode == 0 and "modules/roid" in names and "pipeline/null, 1 thread" in names and "fnv1a:" in b["context"]["data"]
       and all(len(x["samples"]) == len(x["wall_samples"]) == x["rounds"] >= 9 and x["median"] > 0 for x in b["benchmarks"]), NAMES[0], r.stdout + r.stderr)
    f = figures(b, "modules/hostless, ")
    rate = f.get("modules/hostless, hit rate", 0)
    ok(abs(rate - 307 / 322) < 1e-12 and  # the real night's hits, exactly
       abs(f["modules/hostless, effective alerts/s/core"] / f["modules/hostless, on-sky alerts/s/core"] - rate) < 1e-9, NAMES[1], f)
    g = report("g.json") if os.path.exists("g.json") else {}
    ok(all({"name", "run_name", "run_type", "repetition_index", "real_time", "cpu_time", "time_unit", "threads"} <= set(x) for x in g["benchmarks"])
       and len(g["benchmarks"]) == sum(x["rounds"] for x in b["benchmarks"]), NAMES[2])
    r = nightjar("bench", "threads", "--seconds", 0.01, "--json", "t.json", env={"OMP_WAIT_POLICY": "passive"})
    # 5: the bar of the speed-up, which a busy machine misses; a wrong answer would be 3
    ok(r.returncode in (0, 5) and "WRONG" not in r.stdout and r.stdout.count("verified") == 3, NAMES[3], r.stdout + r.stderr)


with Folder():
    main()
done()
