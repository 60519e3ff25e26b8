#!/usr/bin/env python3
"""A live run at a steady rate for half an hour: its memory, descriptors and threads stay what they are, while
its metrics are read 20 times a second and a slow client reads them byte by byte.

  tests/long/steady.py [--rates 300,1333] [--seconds 1800] [--out FILE] [-- OPTIONS OF RUN]

Speaks TAP; --out writes the figures as JSON. How long alerts waited is a figure, not a condition."""

import argparse, json, os, re, socket, statistics, sys, threading, time, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, free_port, needs, nightjar, ok, report

needs("confluent_kafka")
import live
from cluster import on_cluster, write_figures

NIGHT = 3000  # alerts that are sent again and again
SAMPLE_S = 2
WARM = 0.2  # this share of the time is not looked at: caches and pools fill
opts, figures = None, {}


def note(text):
    print("# " + text, flush=True)


def status(pid):
    """kB resident, kB of it that are the process's own, threads, descriptors."""
    with open(f"/proc/{pid}/status") as f:
        text = f.read()
    value = lambda name: int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))
    return value("VmRSS"), value("RssAnon"), value("Threads"), len(os.listdir(f"/proc/{pid}/fd"))


class Scrapes(threading.Thread):
    """The metrics, 20 times a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.url, self.over, self.n, self.failed, self.slowest = (
            f"http://127.0.0.1:{port}/metrics",
            False,
            0,
            0,
            0,
        )
        self.start()

    def run(self):
        while not self.over:
            begun = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=10) as r:
                    text = r.read()
                self.n += 1
                self.failed += b"nightjar_" not in text
            except OSError:
                self.failed += 1
            took = time.monotonic() - begun
            self.slowest = max(self.slowest, took)
            time.sleep(max(0, 0.05 - took))


class Slow(threading.Thread):
    """A client that reads one byte a second, and connects again when it is sent away."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.connections = port, False, 0
        self.start()

    def run(self):
        while not self.over:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.connections += 1
                    while not self.over and s.recv(1):
                        time.sleep(1)
            except OSError:
                time.sleep(1)


def watch(child, pid, feed):
    """One row per sample until the feeder has ended."""
    seen = []
    begun = time.monotonic()
    while not feed.over.wait(SAMPLE_S) and child.alive():
        seen.append((time.monotonic() - begun, *status(pid)))
    return seen


def thirds(values):
    """The means of the second and the last third."""
    n = len(values) // 3
    return statistics.mean(values[n : 2 * n]), statistics.mean(values[2 * n :])


def trial(c, rate):
    n, port, name = int(rate * opts.seconds), free_port(), f"r{rate}"
    c.make(name, 6, **{"retention.bytes": str(640 << 20), "segment.bytes": str(32 << 20)})
    url = f"kafka://{c.bootstrap}/{name}?group={name}&from=earliest"
    args = [NIGHTJAR, "run", url, "-q", "-j", "1", "-o", f"ndjson:{name}-{{n}}.ndjson.zst?rotate=100MB"]
    args += ["--metrics", f"127.0.0.1:{port}", "--report", f"{name}.json", *opts.more]
    child = live.Run(args, ".")
    until = time.time() + 120
    while "topic" not in child.said() and child.alive() and time.time() < until:
        time.sleep(0.2)
    pid = child.worker()
    feed = live.Feed("night.tar", c.bootstrap, name, rate, n, times=n // NIGHT + 1)
    scrapes, slow = Scrapes(port), Slow(port)
    seen = watch(child, pid, feed)
    ok(feed.code() == 0, f"{rate}/s: all alerts were sent", feed.err)
    until = time.time() + 300
    while time.time() < until and child.alive() and written(port) < n:
        time.sleep(1)
    scrapes.over = slow.over = True
    ok(child.worker() == pid, f"{rate}/s: the same worker to the end", child.said()[-2000:])
    rc = child.end()
    ok(rc == 130, f"{rate}/s: ends on Ctrl-C", (rc, child.said()[-2000:]))
    r = report(f"{name}.json")
    late = [x for x in seen if x[0] >= WARM * seen[-1][0]]
    rss, own, threads, files = ([x[k] for x in late] for k in (1, 2, 3, 4))
    before, after = thirds(own)
    n_in = r["ledger"]["consumed"]
    ok(n_in == n, f"{rate}/s: every alert", (n_in, n))
    growth = after / before - 1
    ok(abs(growth) <= 0.02, f"{rate}/s: the memory of its own is flat within 2 %", f"{growth:+.2%}")
    ok(len(set(threads)) == 1, f"{rate}/s: threads are constant", sorted(set(threads)))
    ok(
        max(files) - min(files) <= 4,
        f"{rate}/s: descriptors are constant, but for the clients'",
        (min(files), max(files)),
    )
    ok(scrapes.failed == 0, f"{rate}/s: no scrape failed", (scrapes.failed, scrapes.n))
    figures[f"{rate}/s"] = {
        "alerts": n_in,
        "seconds": round(seen[-1][0], 1),
        "rss_mb": {
            "second_third": round(thirds(rss)[0] / 1024, 2),
            "last_third": round(thirds(rss)[1] / 1024, 2),
        },
        "own_mb": {"second_third": round(before / 1024, 2), "last_third": round(after / 1024, 2)},
        "own_growth": round(growth, 5),
        "threads": sorted(set(threads)),
        "descriptors": [min(files), max(files)],
        "latency": r["latency"],
        "scrapes": scrapes.n,
        "scrapes_failed": scrapes.failed,
        "slowest_scrape_s": round(scrapes.slowest, 3),
        "slow_client_connections": slow.connections,
        "own_mb_each_minute": [round(x[2] / 1024, 1) for x in seen[:: 60 // SAMPLE_S]],
        "load": os.getloadavg(),
    }
    note(f"{rate}/s: {json.dumps(figures[f'{rate}/s'])}")
    for f in os.listdir("."):
        if f.startswith(name + "-"):
            os.remove(f)


def written(port):
    """Alerts that the outputs have acknowledged."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as r:
            text = r.read().decode()
    except OSError:
        return 0
    found = re.search(r"^nightjar_alerts_total\{[^}]*outcome=\"emitted\"[^}]*\} (\d+)", text, re.M)
    return int(found.group(1)) if found else 0


def trials(c):
    r = nightjar("simulate", "-n", NIGHT, "--seed", 7, "-q", "-o", "night.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    for rate in opts.rates.split(","):
        trial(c, int(rate))


def main():
    global opts
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rates", default="300,1333")
    p.add_argument("--seconds", type=float, default=1800)
    p.add_argument("--out")
    p.add_argument("more", nargs="*")
    opts = p.parse_args()
    opts.out = os.path.abspath(opts.out) if opts.out else None
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Folder():
        on_cluster("steady rates on a real Kafka", 1, trials)
    kafka = "3.9.2, one broker"
    write_figures(opts.out, figures, begun=begun, cpus=os.cpu_count(), kafka=kafka)


main()
done()
