#!/usr/bin/env python3
"""How long `nightjar inspect --id` takes to find a packet in an archive (-o archive:DIR), beside a program
that opens nothing and the same question to the tar. perf/archive_find.py [ALERTS]. Writes
perf/results/archive_find.json."""

import datetime, json, os, random, sqlite3, sys, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from tap import Folder, nightjar

N = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
RUNS = 60


def milliseconds(*args):
    t = time.perf_counter()
    r = nightjar(*args)
    assert r.returncode == 0, (args, r.stderr)
    return 1e3 * (time.perf_counter() - t), r.stdout


def summary(times):
    times = sorted(times)
    at = {"p50": 0.5, "p90": 0.9, "max": 1}
    return {"runs": len(times), **{k: round(times[int(p * (len(times) - 1))], 2) for k, p in at.items()}}


with Folder():
    nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
    nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "archive:kept", "-D", "run.site=palomar")
    ids = [x[0] for x in sqlite3.connect("kept/packets.sqlite").execute("SELECT id FROM packets")]
    assert len(ids) == N, len(ids)
    find, nothing = [], []
    for which in random.Random(1).choices(ids, k=RUNS):
        took, said = milliseconds("inspect", "--json", "--id", which, "kept")
        assert str(which) in said, which
        find.append(took)
        nothing.append(milliseconds("--version")[0])
    tar = [milliseconds("inspect", "--json", "--id", ids[-1], "night.tar")[0] for _ in range(3)]
    result = {
        "what": "wall time in ms of `nightjar inspect --json --id ID DIR` for random ids of an archive; of "
        "`nightjar --version`, in turn with it; of the same question to the tar, for its last packet",
        "context": {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "version": nightjar("--version").stdout.split("\n")[0],
            "num_cpus": os.cpu_count(),
            "load_1_min": round(os.getloadavg()[0], 1),
        },
        "packets": N,
        "bytes": os.path.getsize("kept/packets.sqlite"),
        "ms": {"inspect --id": summary(find), "--version": summary(nothing), "from the tar": summary(tar)},
    }
with open(os.path.join(ROOT, "perf/results/archive_find.json"), "w", encoding="utf-8") as f:
    json.dump(result, f, indent=1)
print(json.dumps(result, indent=1))
