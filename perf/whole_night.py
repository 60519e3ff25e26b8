#!/usr/bin/env python3
"""One night through everything: every module with its models and four catalogues, as `run -c night` does it.

  perf/whole_night.py [real] [drain] [simulated] [rates]     all four without arguments

It needs $NIGHTJAR_SHARED (alerts, models, catalogues), else ../shared.

real       the real alerts, copied, from packets to ndjson on one compute thread: Fink's modules with hostless
           unfiltered, and with braai and five ACAI; alerts/s/core beside the 20.5 that Fink's Python needed
           for the same modules (science notes, on such a machine; not run here)
drain      the same alerts drained from a real Kafka, by nightjar that only receives and decodes, and by
           nightjar with everything
simulated  50,000 simulated alerts through everything: ledger, resident memory over time
rates      a real Kafka fed at ZTF's mean rate and at its peak: arrival to acknowledgement
Writes perf/results/whole_night.json; a part that is not asked for stays as it is there."""

import json, os, statistics, subprocess, sys, tarfile, tempfile, threading, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SHARED = os.environ.get("NIGHTJAR_SHARED") or os.path.join(ROOT, "..", "shared")
BIN = os.path.join(ROOT, "nightjar")
OUT = os.path.join(ROOT, "perf", "results", "whole_night.json")
ZTF = os.path.join(SHARED, "real", "ztf")
FINK_ALERTS_PER_S_CORE = 20.5
COPIES, ROUNDS = 40, 5
CNN = "-braai,-acai_h,-acai_n,-acai_v,-acai_o,-acai_b"
RECIPES = {  # broker/catalog/README.md
    "gcvs": ["gcvs.parquet", "--columns", "VarType:type", "--radius", "1.5"],
    "spicy": ["spicy.parquet", "--columns", "class", "--radius", "1.2"],
    "x3hsp": [
        "3hsp.csv",
        "--ra",
        "R.A.",
        "--dec",
        "Dec",
        "--columns",
        "3HSP Source name:name",
        "--radius",
        "60",
    ],
    "x4lac": [
        "table-4LAC-DR3-h.fits",
        "table-4LAC-DR3-l.fits",
        "--columns",
        "Source_Name:name,CLASS",
        "--radius",
        "60",
    ],
}


def night(*args, stdin=None, watch=None):
    """A run with everything; its report, and with `watch` the resident bytes once a second."""
    p = subprocess.Popen(
        [
            BIN,
            "run",
            "-q",
            "-c",
            "night",
            "-D",
            "run.dedup=0",
            "-D",
            "models.path=" + os.path.join(SHARED, "real", "models", "onnx"),
            "-D",
            "catalogs.path=.",
            "--report",
            "report.json",
            "--overwrite",
            "--dead-letters",
            "dead.avro",
            *map(str, args),
        ],
        stdin=stdin,
    )
    while watch is not None and p.poll() is None:
        try:
            with open(f"/proc/{p.pid}/statm") as f:
                watch.append(int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        except OSError:
            pass
        time.sleep(1)
    if p.wait():
        sys.exit(f"nightjar: exit {p.returncode}")
    with open("report.json") as f:
        r = json.load(f)
    assert r["ledger"]["closed"], r["ledger"]
    return r


def of_modules(r):
    return [
        {
            "name": m["name"],
            "offered": m["offered"],
            "hits": m["hits"],
            "us": m["cpu_ns"] / max(m["offered"], 1) / 1e3,
            "share": m["share"],
        }
        for m in r["modules"]
    ]


def rates_of(runs):
    rate = [r["throughput"]["alerts_per_s_core"] for r in runs]
    return {
        "alerts_per_s_core": {"median": statistics.median(rate), "rounds": rate},
        "rss_max_bytes": max(r["memory"]["rss_max_bytes"] for r in runs),
    }


def real():
    cases = {
        "fink_modules_and_hostless_to_ndjson": ["-m", CNN, "-o", "ndjson:all.ndjson"],
        "everything_to_ndjson": ["-o", "ndjson:all.ndjson"],
        "everything_to_ndjson_and_sqlite": [],
    }
    runs = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, args in cases.items():  # in turn, so that all see the same machine
            runs[name].append(night("-j", 1, *args, "night.tar"))
    result = {name: {**rates_of(r), "modules": of_modules(r[0])} for name, r in runs.items()}
    for name in cases:
        result[name]["ratio_to_fink"] = result[name]["alerts_per_s_core"]["median"] / FINK_ALERTS_PER_S_CORE
        print(
            f"{name}: {result[name]['alerts_per_s_core']['median']:.0f} alerts/s/core,"
            f" {result[name]['ratio_to_fink']:.0f} x Fink"
        )
    return {
        "alerts": runs["everything_to_ndjson"][0]["ledger"]["consumed"],
        "fink_alerts_per_s_core": FINK_ALERTS_PER_S_CORE,
        **result,
    }


class Kafka:
    def __enter__(self):
        self.tool, self.folder = os.path.join(ROOT, "tests", "e2e", "kafka-up"), os.path.abspath("kafka")
        subprocess.run([self.tool, "start", self.folder], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(self.folder, "env")) as f:
            return dict(line.strip().split("=", 1) for line in f)["KAFKA"]

    def __exit__(self, *_):
        subprocess.run([self.tool, "stop", self.folder])


def replay(at, topic, *args):
    return subprocess.Popen([BIN, "replay", "-q", "night.tar", "--to", f"kafka://{at}/{topic}", *args])


def drain():
    with Kafka() as at:
        assert replay(at, "night").wait() == 0
        result = {}
        for name, args in {
            "receive_and_decode": ["-m", "nalerthist", "-o", "null:", "-D", "run.topics="],
            "everything": [],
            "fink_modules_and_hostless": ["-m", CNN],
        }.items():
            runs = [
                night(*args, f"kafka://{at}/night?group={name}{k}&from=earliest&until=end") for k in range(3)
            ]
            rate = [r["throughput"]["alerts_per_s"] for r in runs]
            result[name] = {
                "alerts_per_s": {"median": statistics.median(rate), "rounds": rate},
                "threads": 2,
                "alerts": runs[0]["ledger"]["consumed"],
                "rss_max_bytes": max(r["memory"]["rss_max_bytes"] for r in runs),
            }
            print(f"drain, {name}: {statistics.median(rate):.0f} alerts/s")
        return result


def simulated(n=50000):
    watch = []
    sim = subprocess.Popen(
        [BIN, "simulate", "-q", "--alerts", str(n), "--seed", "5", "-o", "-"], stdout=subprocess.PIPE
    )
    r = night("-", stdin=sim.stdout, watch=watch)
    sim.stdout.close()
    assert sim.wait() == 0 and r["ledger"]["consumed"] == n, r["ledger"]
    third = len(watch) // 3
    result = {
        "alerts": n,
        "ledger": r["ledger"],
        "rss_max_bytes": r["memory"]["rss_max_bytes"],
        "rss_median_bytes": {
            "second_third": statistics.median(watch[third : 2 * third]),
            "last_third": statistics.median(watch[2 * third :]),
        },
        "alerts_per_s": r["throughput"]["alerts_per_s"],
        "alerts_per_s_core": r["throughput"]["alerts_per_s_core"],
        "modules": of_modules(r),
    }
    print(
        f"{n} simulated: ledger closed, RSS at most {result['rss_max_bytes'] / 1e6:.0f} MB, thirds"
        f" {[round(x / 1e6) for x in result['rss_median_bytes'].values()]} MB,"
        f" {result['alerts_per_s_core']:.0f} alerts/s/core"
    )
    return result


def rates():
    with Kafka() as at:
        result = {}
        for rate, seconds in ((50, 30), (1333, 9)):
            feed = {}
            url = f"kafka://{at}/at{rate}?group=g&from=earliest&until=count:{rate * seconds}"
            subprocess.run(
                [BIN, "replay", "-q", "night.tar", "--to", f"kafka://{at}/at{rate}", "--limit", "1"],
                check=True,
            )  # the topic is there
            start = lambda: feed.update(
                p=replay(at, f"at{rate}", "--rate", f"{rate}/s", "--limit", str(rate * seconds - 1))
            )
            timer = threading.Timer(3, start)  # once the consumer has its partitions
            timer.start()
            r = night(url)
            timer.join()
            feed["p"].wait()
            result[f"{rate}_per_s"] = {
                "seconds": seconds,
                "alerts": r["ledger"]["consumed"],
                "latency": r["latency"],
                "rss_max_bytes": r["memory"]["rss_max_bytes"],
                "cpu_s": r["throughput"]["cpu_s"],
            }
            print(
                f"{rate}/s: p50 {r['latency']['p50_ms']:.0f}, p99 {r['latency']['p99_ms']:.0f}, max"
                f" {r['latency']['max_ms']:.0f} ms"
            )
        return result


def build_catalogs(binary, folder="."):
    for name, (first, *rest) in RECIPES.items():
        fits = [x for x in rest if x.endswith(".fits")]
        files = [os.path.join(SHARED, "real", "catalogs", x) for x in (first, *fits)]
        options = [x for x in rest if x not in fits]
        subprocess.run(
            [binary, "catalog", "build", *files, "-o", os.path.join(folder, name + ".njx"), "-q", *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def make_night(path, copies):
    with tarfile.open(path, "w") as t:
        for k in range(copies):
            for f in sorted(x for x in os.listdir(ZTF) if x.endswith(".avro")):
                t.add(os.path.join(ZTF, f), arcname=f"{k}_{f}")


def kept(path, what):
    """The results that stand in a file of perf/results, with its first line; empty where there is none."""
    result = {}
    if os.path.exists(path):
        with open(path) as f:
            result = json.load(f)
    result["what"] = what.split("\n")[0]
    return result


def keep(path, result):
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


def main():
    parts = {f.__name__: f for f in (real, drain, simulated, rates)}
    wanted = sys.argv[1:] or list(parts)
    result = kept(OUT, __doc__)
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as folder:
        os.chdir(folder)
        build_catalogs(BIN)
        make_night("night.tar", COPIES)
        for name in wanted:
            result[name] = parts[name]()
            with open("report.json") as f:
                result[name]["context"] = json.load(f)["context"]
            keep(OUT, result)


if __name__ == "__main__":
    main()
