#!/usr/bin/env python3
"""A real Kafka that brings three times what the run can do with everything on: the dearest modules are left
out first, and --missing, from the same topic, then fills them in. All rows are those of an unhurried run.

  tests/long/overload.py [--seconds 60] [--times 3] [--lag 5] [--out FILE]

Speaks TAP; --out writes the figures as JSON. How long alerts waited is a figure, not a condition: in between,
the run is behind by what the feeder has sent and it has not yet written."""

import argparse, json, os, re, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report, rows

needs("confluent_kafka")
import live
from cluster import on_cluster, write_figures
from overload_kit import module

# square roots of one alert: some ms, and less; the others are the default modules
COST = {"dear": 600000, "middle": 150000, "cheap": 1000}
opts, figures = None, {}


def note(text):
    print("# " + text, flush=True)


def args_of(source, name, *more):
    return [
        *(NIGHTJAR, "run", source, "--module-path", os.path.abspath("modules"), "-q", "-j", "1"),
        *("-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", *more),
    ]


def run(source, name, *more):
    """Up to what the topic has now; seconds."""
    t = time.monotonic()
    r = nightjar(*args_of(source + f"?group={name}&from=earliest&until=end", name, *more)[1:], timeout=1800)
    ok(r.returncode == 0, f"{name}: runs to its end", r.stderr[-2500:])
    return time.monotonic() - t


class Behind(threading.Thread):
    """How many seconds of the feeder's pace are not yet in the file, ten times a second."""

    def __init__(self, path, rate, n):
        super().__init__(daemon=True)
        self.path, self.rate, self.n, self.over = path, rate, n, False
        self.begun, self.most, self.last, self.seen = time.monotonic(), 0, 0, []

    def run(self):
        while not self.over:
            t = time.monotonic() - self.begun
            sent = min(self.n, t * self.rate)
            self.last = max(0, sent - live.lines_of(self.path)) / self.rate
            self.seen.append((t, self.last))
            time.sleep(0.1)


def trial(c):
    module("dear", COST["dear"])
    module("middle", COST["middle"])
    module("cheap", COST["cheap"])
    url = f"kafka://{c.bootstrap}"
    nightjar("simulate", "-n", 1500, "--seed", 3, "-q", "-o", "some.tar")
    c.make("some")
    live.Feed("some.tar", c.bootstrap, "some").code()
    some = live.Run(args_of(f"{url}/some?group=some&from=earliest", "some", "-D", "run.batch_rows=16"), ".")
    can = live.drain_rate(["some.ndjson"], 1500)[0]
    some.end()
    rate = opts.times * can
    n = int(rate * opts.seconds)
    note(f"with everything on: {can:.0f} alerts/s; the feeder sends {rate:.0f}/s, {n} in all")
    r = nightjar("simulate", "-n", n, "--seed", 4, "-q", "-o", "night.tar", "--overwrite")
    if not ok(r.returncode == 0, "a night", r.stderr):
        return
    c.make("alerts")
    args = args_of(f"{url}/alerts?group=live&from=earliest", "hurried", "-D", f"guard.max_lag_s={opts.lag}")
    child = live.Run([*args, "-D", "run.batch_rows=16"], ".")
    until = time.time() + 60
    while "topic alerts" not in child.said() and child.alive() and time.time() < until:
        time.sleep(0.1)
    time.sleep(3)
    feed = live.Feed("night.tar", c.bootstrap, "alerts", rate)
    behind = Behind("hurried.ndjson", rate, n)
    behind.start()
    if not ok(feed.code() == 0, "all alerts were sent", feed.err):
        return
    sent_s = time.monotonic() - behind.begun
    ok(live.wait_rows("hurried.ndjson", n, 600), "every alert becomes a row", live.lines_of("hurried.ndjson"))
    behind.over = True
    behind.join()
    rc = child.end()
    said = child.said()
    ok(rc == 130, "the live run ends on Ctrl-C", (rc, said[-2000:]))
    order = list(dict.fromkeys(re.findall(r"(\w+) is left out", said)))
    ok(order[:2] == ["dear", "middle"], "the most expensive is left out first, then the next", order)
    shed = {m["name"]: m["alerts"] for m in report("hurried.json")["guard"]["shed"]}
    old = {r["candid"]: r for r in rows("hurried.ndjson")}
    ok(len(old) == n, "each alert once", (len(old), n))
    lacking = {i for i, r in old.items() if "shed" in [v for k, v in r.items() if k.endswith(".reason")]}
    ok(len(lacking) > 0, "some go without a module", shed)
    fill_s = run(f"{url}/alerts", "filled", "--missing", "hurried.ndjson")
    new = {r["candid"]: r for r in rows("filled.ndjson")}
    ok(set(new) == lacking, "--missing does exactly those again", (len(new), len(lacking)))
    run(f"{url}/alerts", "whole")
    whole = {r["candid"]: r for r in rows("whole.ndjson")}
    wrong = [i for i, r in {**old, **new}.items() if whole.get(i) != r]
    ok(not wrong, "then all rows are those of an unhurried run", len(wrong))
    steady = [b for t, b in behind.seen if t < sent_s]
    figures["overload"] = {
        "alerts_per_s_with_everything": round(can, 1),
        "sent_per_s": round(n / sent_s, 1),
        "alerts": n,
        "max_lag_s": opts.lag,
        "behind_s": {
            "most": round(max(steady), 2),
            "median": round(sorted(steady)[len(steady) // 2], 2),
            "share_of_time_within": round(sum(b <= opts.lag for b in steady) / len(steady), 4),
            "without_leaving_out": round((1 - 1 / opts.times) * sent_s, 1),
        },
        "left_out": shed,
        "order": order,
        "missing_s": round(fill_s, 1),
        "equal": not wrong,
    }
    note(json.dumps(figures["overload"]))


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--times", type=float, default=3)
    p.add_argument("--lag", type=float, default=5, help="[guard] max_lag_s")
    p.add_argument("--out")
    opts = p.parse_args()
    opts.out = os.path.abspath(opts.out) if opts.out else None
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Folder():
        on_cluster("overload on a real Kafka", 1, trial)
    write_figures(opts.out, figures, begun=begun, cpus=os.cpu_count(), load=os.getloadavg()[0])


main()
done()
