#!/usr/bin/env python3
"""How many alerts a second 1, 2 and 3 processes of one Kafka group take from a prepared topic here.
perf/members.py [ALERTS] [ROUNDS] [MODULES]; one broker on the same machine, 6 partitions, one
compute thread a process, rows to ndjson. Each number of processes in turn. The rate is taken
between the moment when every process has rows and the moment when 95 % of the topic are through.
Writes perf/results/members.json."""

import json, os, resource, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path[:0] = [os.path.join(ROOT, "tests", "long"), os.path.join(ROOT, "tests", "e2e")]
from tap import needs

needs("confluent_kafka")
import live
from cluster import Cluster

ALERTS = int(sys.argv[1]) if len(sys.argv) > 1 else 30000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
MODULES = sys.argv[3] if len(sys.argv) > 3 else ""


def once(c, n, number):
    """Alerts a second, CPU seconds of all processes per alert."""
    group = f"drain-{n}-{number}"
    folders = [f"{group}-{i}" for i in range(n)]
    args = [live.NIGHTJAR, "run"]
    args += [f"kafka://{c.bootstrap}/drain?group={group}&from=committed", "-q", "-j", "1"]
    args += ["-m", MODULES] if MODULES else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = []
    for f in folders:
        own = ["-D", f"kafka.group_instance={f}", "-o", "ndjson:out.ndjson"]
        runs.append(live.Run([*args, *own], f))
    paths = [f"{f}/out.ndjson" for f in folders]
    rate, counted = live.drain_rate(paths, ALERTS)
    until = time.monotonic() + 120
    while sum(map(live.lines_of, paths)) < ALERTS and time.monotonic() < until:
        time.sleep(0.1)
    shares = [live.lines_of(p) for p in paths]
    for r in runs:
        r.end()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for f in folders:
        shutil.rmtree(f)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "alerts_per_s": round(rate, 1),
        "counted": counted,
        "cpu_us_per_alert": round(1e6 * cpu / ALERTS, 1),
        "shares": shares,
        "twice": sum(shares) - ALERTS,
    }


with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
    os.chdir(folder)
    c = Cluster("kafka", 1)
    subprocess.run(
        [live.NIGHTJAR, "simulate", "-n", str(ALERTS), "--seed", "7", "-q", "-o", "night.tar", "--overwrite"],
        check=True,
    )
    c.make("drain")
    feed = live.Feed("night.tar", c.bootstrap, "drain", None, ALERTS)
    assert feed.code() == 0, feed.err
    os.unlink("night.tar")
    found = {1: [], 2: [], 3: []}
    for k in range(ROUNDS):
        for n in found:
            found[n].append(once(c, n, k))
            print(f"{n} processes: {found[n][-1]}", flush=True)
    c.end()
    os.chdir(ROOT)

result = {
    "what": "drain of a topic of 6 partitions by 1, 2, 3 processes of a group, broker on the machine",
    "command": " ".join(["perf/members.py", *sys.argv[1:]]),
    "alerts": ALERTS,
    "modules": MODULES or "default",
    "cpus": os.cpu_count(),
    "load": os.getloadavg()[0],
    "median_alerts_per_s": {n: statistics.median(x["alerts_per_s"] for x in f) for n, f in found.items()},
    "rounds": found,
}
with open(os.path.join(ROOT, "perf", "results", "members.json"), "w") as f:
    json.dump(result, f, indent=1)
    f.write("\n")
print(json.dumps(result["median_alerts_per_s"]))
