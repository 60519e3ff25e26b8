#!/usr/bin/env python3
"""What the way to a Python function and back costs, a call of 64 rows:
perf/python_calls.py [ROUNDS] [OLD_BINARY OLD_PACKAGE].
A function that returns one of its columns, in two ways: `profile` calls it over and over with the same
batches, so that caches are warm, and `run` calls it once per batch of a simulated night, between decoding.
With an older binary and its package (modules/python) both are measured in turn. The least of the rounds
says what it costs on a calm machine, the median what it did here. Writes perf/results/python_calls.json."""

import json, os, re, statistics, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from tap import NIGHTJAR, needs

needs("numpy")
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
WHICH = {"new": (os.path.abspath(NIGHTJAR), f"{ROOT}/modules/python")}
if len(sys.argv) > 3:
    WHICH = {"old": (os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])), **WHICH}
ALERTS = 6400
NOOP = """
from nightjar import give, module, scalar, series
@module(needs={"mag": series("lc.mag", unit="mag"), "jd": scalar("jd", unit="d")},
        gives={"x": give("d", "jd; never none")})
def noop(mag, jd):
    return jd
"""
WARM = re.compile(r"([\d.]+) wall us per call, ([\d.]+) CPU us/alert")


def warm(binary, env):
    words = [binary, "profile", "noop.py", "night.tar", "--limit", "640", "--repeat", "200"]
    r = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
    wall, cpu = map(float, WARM.search(r.stdout).groups())
    return {"wall_us": wall, "worker_cpu_us": 64 * cpu}


def cold(binary, env):
    words = [binary, "run", "-q", "-j", "1", "-m", "noop", "-D", "run.batch_rows=64", "-o", "null:"]
    words += ["--module-path", "noop.py", "--report", "r.json", "--overwrite", "night.tar"]
    subprocess.run(words, env=env, check=True, stderr=subprocess.DEVNULL)
    with open("r.json") as f:
        r = json.load(f)
    m = next(x for x in r["modules"] if x["name"] == "noop")
    calls = 1e3 * m["calls"]
    return {"wall_us": m["wall_ns"] / calls, "cpu_us": m["cpu_ns"] / calls, "rows": m["offered"] / m["calls"]}


def main():
    with open("noop.py", "w") as f:
        f.write(NOOP)
    subprocess.run([NIGHTJAR, "simulate", "-q", "-n", str(ALERTS), "-o", "night.tar"], check=True)
    got, load = {}, []
    for _ in range(ROUNDS):
        load.append(os.getloadavg()[0])
        for name, (binary, package) in WHICH.items():
            env = {**os.environ, "PYTHONPATH": package, "NIGHTJAR_PYTHON": sys.executable}
            for how in (warm, cold):
                for key, value in how(binary, env).items():
                    got.setdefault((name, how.__name__, key), []).append(value)
    rows = []
    for (name, how, key), values in got.items():
        least, median = min(values), statistics.median(values)
        rows.append({"version": name, "caches": how, "of_a_call": key, "least": least, "median": median})
        print(f"{name:4} {how:5} {key:14} least {least:9.1f}  median {median:9.1f}")
    out = {"rounds": ROUNDS, "cores": os.cpu_count(), "load": [min(load), max(load)], "rows": rows}
    with open(os.path.join(ROOT, "perf", "results", "python_calls.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
