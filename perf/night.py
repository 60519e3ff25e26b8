#!/usr/bin/env python3
"""A whole night as a broker sees one: N simulated alerts with all modules, twice, piped so that no file is
needed.

  perf/night.py [N]      (default 212,039: a ZTF night; about half an hour on two cores)

Writes perf/results/night.json: alerts/s/core of nightjar itself (the simulator is a process of its own) as
mean and sd of the two loops, resident memory, the ledger of each."""

import json, os, statistics, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BIN = os.path.join(ROOT, "nightjar")


def one(n, seed, folder):
    rep = os.path.join(folder, f"night{seed}.json")
    sim = subprocess.Popen(
        [BIN, "simulate", "--alerts", str(n), "--seed", str(seed), "-o", "-"], stdout=subprocess.PIPE
    )
    run = subprocess.run(
        [
            BIN,
            "run",
            "-",
            "-j",
            "1",
            "-o",
            "null:",
            "--report",
            rep,
            "--dead-letters",
            os.path.join(folder, "dead.avro"),
            "-q",
        ],
        stdin=sim.stdout,
    )
    sim.stdout.close()
    sim.wait()
    with open(rep) as f:
        r = json.load(f)
    assert run.returncode == 0 and r["ledger"]["closed"] and r["ledger"]["consumed"] == n, r["ledger"]
    return r


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 212039
    with tempfile.TemporaryDirectory(prefix="nightjar-night-") as folder:
        loops = [one(n, seed, folder) for seed in (1, 2)]
    rate = [r["throughput"]["alerts_per_s_core"] for r in loops]
    result = {
        "what": f"{n} simulated alerts piped through all modules to null:, one compute thread, two loops",
        "alerts_per_s_core": {"mean": statistics.mean(rate), "sd": statistics.stdev(rate), "loops": rate},
        "rss_max_bytes": [r["memory"]["rss_max_bytes"] for r in loops],
        "ledger": [r["ledger"] for r in loops],
        "cpu_us_per_alert": loops[0]["throughput"]["cpu_us_per_alert"],
        "rest_of_the_run_cpu_us_per_alert": 1e6 * loops[0]["throughput"]["rest_cpu_s"] / n,
        "modules": [
            {
                k: m[k]
                for k in (
                    "name",
                    "offered",
                    "passed",
                    "hits",
                    "flagged",
                    "cpu_us_per_alert",
                    "wall_us_per_alert",
                    "share",
                )
            }
            for m in loops[0]["modules"]
        ],
        "load": os.getloadavg(),
        "context": loops[0]["context"],
    }
    os.makedirs(os.path.join(ROOT, "perf", "results"), exist_ok=True)
    out = os.path.join(ROOT, "perf", "results", "night.json")
    with open(out, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(
        f"{statistics.mean(rate):.0f} +- {statistics.stdev(rate):.0f} alerts/s/core, RSS"
        f" {max(result['rss_max_bytes']) / 1e6:.0f} MB -> {out}"
    )


main()
