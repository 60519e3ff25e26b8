#!/usr/bin/env python3
"""A live run that falls behind and catches up: how much memory it takes meanwhile, and that it gives it back.

  tests/long/behind.py [--rate 300] [--seconds 100] [--out FILE] [-- OPTIONS OF RUN]

Three phases of --seconds each: as fast as it can, stopped most of the time, as fast as it can again. Speaks
TAP; --out writes the figures as JSON."""

import argparse, json, os, re, signal, statistics, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report

needs("confluent_kafka")
import live
from cluster import on_cluster, write_figures

NIGHT = 3000  # alerts that are sent again and again
SLOW = (0.95, 0.05)  # s: stopped, and running
MOST_MB = 96 + 32 + 3 * 16  # [run] budget_bytes, librdkafka's queue, fetches under way
KEPT_MB = 40  # less than that is not given back: flow/trim.c
opts = None


def own_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1]) / 1024


def watch(child, pid, slow):
    """The memory of its own, each second."""
    seen, until = [], time.monotonic() + opts.seconds
    while time.monotonic() < until and child.alive():
        seen.append(own_mb(pid))
        if slow:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(SLOW[0])
        os.kill(pid, signal.SIGCONT)
        time.sleep(SLOW[1])
    return seen


def trial(c):
    r = nightjar("simulate", "-n", NIGHT, "--seed", 7, "-q", "-o", "night.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    c.make("behind", 6, **{"retention.bytes": str(640 << 20), "segment.bytes": str(32 << 20)})
    url = f"kafka://{c.bootstrap}/behind?group=g&from=earliest"
    args = [NIGHTJAR, "run", url, "-q", "-j", "1", "-o", "ndjson:rows-{n}.ndjson.zst?rotate=100MB"]
    child = live.Run([*args, "--report", "run.json", *opts.more], ".")
    until = time.time() + 120
    while "topic" not in child.said() and child.alive() and time.time() < until:
        time.sleep(0.2)
    pid = child.worker()
    n = int(opts.rate * opts.seconds * 3)
    feed = live.Feed("night.tar", c.bootstrap, "behind", opts.rate, n, times=n // NIGHT + 1)
    phases = [watch(child, pid, slow) for slow in (False, True, False)]
    feed.stop()
    ok(child.worker() == pid, "the same worker to the end", child.said()[-2000:])
    ok(child.end() == 130, "it ends on Ctrl-C", child.said()[-2000:])
    before, after = (statistics.median(p[len(p) // 2 :]) for p in (phases[0], phases[2][-12:]))
    most = max(phases[1])
    ok(most > before + KEPT_MB, "it was behind, and held what it had not done", (before, most))
    ok(most < before + MOST_MB, "within budget, queue and fetches", (before, most))
    ok(after < before + KEPT_MB, "when it has caught up the memory goes back", (before, after))
    ledger = report("run.json")["ledger"]
    ok(ledger["closed"] and ledger["missing"] == 0, "every alert is accounted for", ledger)
    figures = {
        "own_mb": {"before": round(before, 1), "behind_most": round(most, 1), "after": round(after, 1)},
        "own_mb_every_5_s": [[round(x, 1) for x in p[::5]] for p in phases],
        "alerts": ledger["consumed"],
        "load": os.getloadavg(),
    }
    print("# " + json.dumps(figures["own_mb"]))
    write_figures(opts.out, figures, cpus=os.cpu_count())


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rate", type=int, default=300)
    p.add_argument("--seconds", type=float, default=100)
    p.add_argument("--out")
    p.add_argument("more", nargs="*")
    opts = p.parse_args()
    opts.out = os.path.abspath(opts.out) if opts.out else None
    with Folder():
        on_cluster("a run that is behind, on a real Kafka", 1, trial)


main()
done()
