#!/usr/bin/env python3
"""From arrival to acknowledgement at a rate: p50, p99 and the most, over a Kafka broker on this machine.

  perf/latency.py [--seconds S] [--threads N] [CASE...]     cases: fink50 fink1333 all50 all1333 (all of them)

The broker is librdkafka's own, in this process, with 64 partitions; `nightjar replay --rate` feeds it with
real alerts in an even flow, once the run has had its first one. ZTF's mean rate is 50 alerts/s, its peak
1,333. fink: Fink's modules and hostless; all: with braai and five ACAI. `cores used` near the number of
cores means that the figure is that of a queue before a full machine, and no latency of the pipeline. Bars
(two cores with AVX-512): p99 at most 15 ms at 50/s, 100 ms at 1,333/s. Writes perf/results/latency.json; a
case that is not asked for stays as it is there."""

import argparse, json, os, subprocess, sys, tempfile, time

import whole_night as night

sys.path.insert(0, os.path.join(night.ROOT, "tests", "e2e"))
from mock_broker import MockBroker

OUT = os.path.join(night.ROOT, "perf", "results", "latency.json")
CASES = {
    "fink50": (50, ["-m", night.CNN]),
    "fink1333": (1333, ["-m", night.CNN]),
    "all50": (50, []),
    "all1333": (1333, []),
}


def measure(server, name, rate, args, seconds, threads):
    n = rate * seconds
    run = subprocess.Popen(
        [night.BIN, "run", "-q", "-j", str(threads), "-c", "night", "-D", "run.topics=", "-D", "run.dedup=0"]
        + ["-D", "models.path=" + os.path.join(night.SHARED, "real", "models", "onnx")]
        + ["-D", "catalogs.path=.", "-o", f"ndjson:{name}.ndjson", "--report", f"{name}.json", *args]
        + [f"kafka://{server}/{name}?group=g&from=earliest&until=count:{n}"]
    )

    def feed(source, *how):
        subprocess.run(
            [night.BIN, "replay", "-q", source, "--to", f"kafka://{server}/{name}", *how], check=True
        )

    feed("night.tar", "--limit", "1")
    until = time.monotonic() + 60
    while not (os.path.exists(f"{name}.ndjson") and os.path.getsize(f"{name}.ndjson")):
        if run.poll() is not None or time.monotonic() > until:
            sys.exit(f"latency: {name}: the run has not written the first alert")
        time.sleep(0.1)
    feed("night.tar", "--rate", f"{rate}/s", "--limit", str(n - 1))
    try:
        run.wait(timeout=60 + 4 * seconds)
    except subprocess.TimeoutExpired:  # the broker dropped what was too old: the run waits for it
        run.terminate()
        run.wait()
    with open(f"{name}.json") as f:
        r = json.load(f)
    late, used = r["latency"], r["throughput"]["cpu_s"] / max(r["throughput"]["wall_s"], 1e-9)
    result = {
        "rate": rate,
        "seconds": seconds,
        "threads": threads,
        "alerts": r["ledger"]["consumed"],
        "of": n,
        **{k: late[k] for k in ("p50_ms", "p99_ms", "max_ms")},
        "cores_used": used,
        "load": os.getloadavg()[0],
        "context": r["context"],
    }
    print(
        f"{name}: {result['alerts']} of {n} alerts, p50 {late['p50_ms']:.1f}, p99 {late['p99_ms']:.1f}, most"
        f" {late['max_ms']:.1f} ms, cores used {used:.2f}, load {result['load']:.1f}",
        flush=True,
    )
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("case", nargs="*", choices=[*CASES, []])
    p.add_argument("--seconds", type=int, default=15)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    result = night.kept(OUT, __doc__)
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as folder:
        os.chdir(folder)
        night.build_catalogs(night.BIN)
        night.make_night(
            "night.tar", 1 + 1333 * a.seconds // 322 if len(a.case) != 1 or "1333" in a.case[0] else 10
        )
        for name in a.case or CASES:
            with MockBroker(64) as broker:
                broker.topic(name)
                result[name] = measure(broker.server, name, *CASES[name], a.seconds, a.threads)
            night.keep(OUT, result)


if __name__ == "__main__":
    main()
