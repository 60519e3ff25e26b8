#!/usr/bin/env python3
"""Fink's modules, each against its own per-core cost: nightjar run on the real alerts, one compute thread.

  perf/fink_table.py [--copies N] [--rounds N]

It needs $NIGHTJAR_SHARED (real alerts, models), else ../shared.

The cost of Fink's own Python, us per alert on-sky, without Spark, is the figure measured for it on one core
of such a machine (issue 6, and science notes section 7); it is not run here, so the ratios carry that
machine's speed. Ours is the CPU time of the module in the run report, median of the rounds; decode and
light-curve columns are shared by all modules and stand in a row of their own, as is the total. Writes
perf/results/fink.json.
"""

import argparse, json, os, statistics, subprocess, tarfile, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SHARED = os.environ.get("NIGHTJAR_SHARED") or os.path.join(ROOT, "..", "shared")
FINK_US = {
    "snn_snia_vs_nonia": 400,
    "snn_sn_vs_all": 365,
    "kilonova": 680,
    "early_snia": 660,
    "microlensing": 2440,
    "features": 1220,
    "anomaly": 615,
    "fast_transient": 2240,
    "transient_features": 1260,
    "roid": 12,
    "finkclass": 13,
}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--copies", type=int, default=20)
    ap.add_argument("--rounds", type=int, default=5)
    a = ap.parse_args()
    src = os.path.join(SHARED, "real", "ztf")
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as d:
        night, rep = os.path.join(d, "night.tar"), os.path.join(d, "r.json")
        with tarfile.open(night, "w") as t:
            for k in range(a.copies):
                for f in sorted(os.listdir(src)):
                    t.add(os.path.join(src, f), arcname=f"{k}_{f}")
        rounds = []
        for _ in range(a.rounds):
            subprocess.run(
                [
                    os.path.join(ROOT, "nightjar"),
                    "run",
                    "-q",
                    "-j",
                    "1",
                    "-m",
                    ",".join(FINK_US) + ",is_transient",
                    "-o",
                    "null:",
                    "-D",
                    "models.path=" + os.path.join(SHARED, "real", "models", "onnx"),
                    "--report",
                    rep,
                    night,
                ],
                check=True,
            )
            with open(rep) as f:
                rounds.append(json.load(f))
    us = lambda r, name: next(m["cpu_ns"] / m["offered"] / 1e3 for m in r["modules"] if m["name"] == name)
    table = []
    for name, fink in FINK_US.items():
        ours = statistics.median(us(r, name) for r in rounds)
        table.append({"module": name, "fink_us": fink, "nightjar_us": ours, "ratio": fink / ours})
    total = statistics.median(sum(us(r, n) for n in FINK_US) for r in rounds)
    whole = statistics.median(1e6 / r["throughput"]["alerts_per_s_core"] for r in rounds)
    decode = statistics.median(us(r, "(decode)") for r in rounds)
    result = {
        "what": __doc__.split("\n")[0],
        "alerts": rounds[0]["ledger"]["consumed"],
        "modules": table,
        "all_modules": {
            "fink_us": sum(FINK_US.values()),
            "nightjar_us": total,
            "ratio": sum(FINK_US.values()) / total,
        },
        "decode_us": decode,
        "whole_run_with_decode_and_source": {
            "nightjar_us": whole,
            "ratio_to_fink_modules_alone": sum(FINK_US.values()) / whole,
        },
        "load": os.getloadavg(),
        "context": rounds[0]["context"],
    }
    with open(os.path.join(ROOT, "perf", "results", "fink.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(f"{'module':22} {'Fink us':>8} {'ours us':>9} {'ratio':>8}")
    for t in table + [{"module": "all of them", **result["all_modules"]}]:
        print(f"{t['module']:22} {t['fink_us']:8.0f} {t['nightjar_us']:9.3f} {t['ratio']:8.0f}")
    print(
        f"whole run, decode and source included: {whole:.1f} us per alert, ratio"
        f" {result['whole_run_with_decode_and_source']['ratio_to_fink_modules_alone']:.0f}"
    )


main()
