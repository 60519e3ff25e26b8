#!/usr/bin/env python3
"""What a module in Python costs, beside the same one in C: perf/python_modules.py [ALERTS] [ROUNDS].
A function that returns one of its columns shows what the way there and back costs: wall time of a call of up
to 64 rows, CPU time per alert (thread and worker together), alerts a second per core. One compute thread, all
cases in turn, the least of the rounds beside their median. Writes perf/results/python_modules.json."""

import json, os, statistics, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from tap import NIGHTJAR, needs

needs("numpy")
ALERTS = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}/modules/python", "NIGHTJAR_PYTHON": sys.executable}
EXAMPLES = f"{ROOT}/modules/python/examples"
NOOP = """
from nightjar import give, module, scalar, series
@module(needs={"mag": series("lc.mag", unit="mag"), "jd": scalar("jd", unit="d")},
        gives={"x": give("d", "jd; never none")})
def noop(mag, jd):
    return jd
"""


def once(name, path):
    """A run of one module: its row of the report, and what the report says of itself."""
    words = [NIGHTJAR, "run", "-q", "-j", "1", "-m", name, "-D", "run.batch_rows=64", "-o", "null:"]
    words += ["--module-path", path] if path else []
    subprocess.run(
        [*words, "--report", "r.json", "night.tar"], env=ENV, check=True, stderr=subprocess.DEVNULL
    )
    with open("r.json") as f:
        r = json.load(f)
    m = next(x for x in r["modules"] if x["name"] == name)
    return {
        "wall_us_per_call": m["wall_ns"] / m["calls"] / 1e3,
        "rows_per_call": m["offered"] / m["calls"],
        "cpu_us_per_alert": m["cpu_ns"] / m["offered"] / 1e3,
    }, (r["context"])


def main():
    with open("noop.py", "w") as f:
        f.write(NOOP)
    subprocess.run([NIGHTJAR, "simulate", "-q", "-n", str(ALERTS), "-o", "night.tar"], check=True)
    cases = [("noop", "noop.py"), ("nalerthist", None), ("nalerthist", f"{EXAMPLES}/nalerthist.py")]
    cases += [("fast_transient", None), ("fast_transient", f"{EXAMPLES}/fast_transient.py")]
    rows = {c: [] for c in cases}
    for _ in range(ROUNDS):
        for c in cases:
            got, context = once(*c)
            context.pop("files")  # a path of this machine
            rows[c].append(got)
    out = []
    for (name, path), got in rows.items():
        line = {"module": name, "language": "Python" if path else "C"}
        for key in got[0]:
            values = [g[key] for g in got]
            line[key] = {"median": statistics.median(values), "least": min(values)}
        line["alerts_per_s_core"] = 1e6 / line["cpu_us_per_alert"]["median"]
        out.append(line)
        print(
            f"{name:16} {line['language']:7} {line['cpu_us_per_alert']['median']:9.3f} CPU us/alert,"
            f" {line['wall_us_per_call']['median']:9.1f} us/call (least"
            f" {line['wall_us_per_call']['least']:.1f}), {line['alerts_per_s_core']:12,.0f} alerts/s/core"
        )
    with open(os.path.join(ROOT, "perf", "results", "python_modules.json"), "w") as f:
        load = os.getloadavg()[0]
        json.dump(
            {"context": {**context, "load": load}, "alerts": ALERTS, "rounds": ROUNDS, "rows": out},
            f,
            indent=1,
        )
        f.write("\n")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
