#!/usr/bin/env python3
"""Both binaries in turn: a default night, Fink's modules, everything, a packed night, a Kafka drain, starts.

  perf/before_after.sh [--quick] [-o PREFIX] OLD NEW      9 pairs of 3,220 real alerts; --quick: 5 of 1,610

One table: each row is one case, and each module of the case "everything". The ratio is that of all pairs
(Hodges and Lehmann) with its 95 % interval; a figure of one side is the median of its runs. CPU time is that
of the run without its start; wall time is where two threads work together (drain, packed night). Order
A B B A ..., one compute thread where nothing else is said, OMP_NUM_THREADS=1. Each binary has a cache folder
and catalogues of its own; "first start" has an empty cache each time. Only cases that both sides can do have
a row, what one of them refuses is named. Writes PREFIX.txt and PREFIX.json (perf/results/before_after_all).
It needs $NIGHTJAR_SHARED (alerts, models, catalogues), else ../shared."""

import argparse, json, math, os, platform, resource, statistics, subprocess, sys, tarfile, tempfile, time

import whole_night as night

PLACES = {"us": 1e6, "ms": 1e3}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("old")
    p.add_argument("new")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--pairs", type=int)
    p.add_argument(
        "-o", dest="prefix", default=os.path.join(night.ROOT, "perf", "results", "before_after_all")
    )
    a = p.parse_args()
    a.old, a.new, a.prefix = map(os.path.abspath, (a.old, a.new, a.prefix))
    pairs, a.copies = (5, 5) if a.quick else (9, 10)
    a.pairs = a.pairs or pairs
    return a


def cases():
    """Name: (what is measured, of the report or of the process; unit; arguments)."""
    models = ["-D", "models.path=" + os.path.join(night.SHARED, "real", "models", "onnx")]
    all_of_it = ["-c", "night", "-D", "run.topics=", "-D", "run.dedup=0", *models, "-D", "catalogs.path=."]
    one, null = ["-j", "1"], ["-o", "null:"]
    drain = "embedded://../night.tar?partitions=4"
    lsst = os.path.join(night.SHARED, "real", "lsst", "ocf")
    start = ["-q", *one, *null, "--limit", "1", *models]
    return {
        "default night": ("cpu", "us", ["../night.tar", *one, *null]),
        "Fink's modules and hostless, to ndjson": (
            "cpu",
            "us",
            ["../night.tar", *one, *all_of_it, "-m", night.CNN, "-o", "ndjson:out.ndjson"],
        ),
        "everything, to ndjson": (
            "cpu",
            "us",
            ["../night.tar", *one, *all_of_it, "-o", "ndjson:out.ndjson"],
        ),
        "tar.gz, roid": ("wall", "us", ["../night.tar.gz", *one, "-m", "roid", *null]),
        "Kafka drain, receive and decode, 2 threads": (
            "wall",
            "us",
            [drain, "-j", "2", "-m", "nalerthist", *null],
        ),
        "Kafka drain, Fink's modules, 2 threads": (
            "wall",
            "us",
            [drain, "-j", "2", *all_of_it, "-m", night.CNN, *null],
        ),
        "Kafka drain, everything, 2 threads": ("wall", "us", [drain, "-j", "2", *all_of_it, *null]),
        "start, all models": ("process", "ms", ["../night.tar", *start]),
        "first start, all models": ("process", "ms", ["../night.tar", *start]),
        "first start, cats": ("process", "ms", [lsst, *start, "-m", "cats"]),
    }


def run(side, binary, name, case):
    """Seconds (per alert, of a start in all), and the report; a text when the binary refuses."""
    kind, _, args = case
    cache = "cache" if not name.startswith("first") else tempfile.mkdtemp(prefix="cache-", dir=side)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    env["XDG_CACHE_HOME"] = os.path.abspath(os.path.join(side, cache))
    before, t = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    r = subprocess.run(
        [binary, "run", "-q", "--overwrite", "--report", "report.json", "--dead-letters", "dead.avro", *args],
        cwd=side,
        env=env,
        capture_output=True,
        text=True,
    )
    wall, after = time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN)
    if r.returncode:
        return f"exit {r.returncode}: {r.stderr.strip().splitlines()[-1:]}", None
    with open(os.path.join(side, "report.json")) as f:
        report = json.load(f)
    if not report["ledger"]["closed"]:
        return "the ledger is not closed", None
    if kind == "process":
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"s": cpu, "wall": wall}, report
    of_run = report["throughput"]
    n = report["ledger"]["consumed"]
    return {"s": of_run[kind + "_s"] / n, "wall": of_run["wall_s"] / n}, report


def interval(old, new):
    """Median of new / old over all pairs, and its 95 % interval (ranks as in the Mann-Whitney test)."""
    ratios = sorted(b / a for a in old for b in new if a > 0)
    n, m = len(old), len(new)
    if not ratios:
        return math.nan, math.nan, math.nan
    k = int(n * m / 2 - 1.96 * math.sqrt(n * m * (n + m + 1) / 12))
    k = max(0, min(k, len(ratios) - 1))
    return statistics.median(ratios), ratios[k], ratios[-1 - k]


def verdict(low, high, pairs):
    if pairs < 4:
        return "too few pairs to say"
    if high < 1:
        return f"{1 / high:.2f} to {1 / low:.2f} times as fast"
    return (
        f"slower by {100 * (low - 1):.0f} to {100 * (high - 1):.0f} %" if low > 1 else "no difference shown"
    )


def row(name, unit, old, new):
    ratio, low, high = interval(old, new)
    return {
        "name": name,
        "unit": unit,
        "old": statistics.median(old) * PLACES[unit],
        "new": statistics.median(new) * PLACES[unit],
        "ratio": ratio,
        "low": low,
        "high": high,
        "verdict": verdict(low, high, min(len(old), len(new))),
        "old_runs": [x * PLACES[unit] for x in old],
        "new_runs": [x * PLACES[unit] for x in new],
    }


def of_modules(reports):
    """Of each module that both sides have: CPU seconds per alert offered, one for each run."""
    found = [{}, {}]
    for side in (0, 1):
        for r in reports[side]:
            for m in r["modules"]:
                if m["offered"]:
                    found[side].setdefault(m["name"], []).append(m["cpu_ns"] / m["offered"] / 1e9)
    return [row("  " + n, "us", found[0][n], found[1][n]) for n in found[0] if n in found[1]]


def measure(sides, binaries, pairs):
    rows, refused, context = [], [], [None, None]
    for name, case in cases().items():
        seconds, reports, why = [[], []], [[], []], None
        for pair in range(pairs):
            for side in (0, 1) if pair % 2 == 0 else (1, 0):
                got, report = run(sides[side], binaries[side], name, case)
                if report is None:
                    why = f"{name}: {'old' if side == 0 else 'new'} binary: {got}"
                    break
                context[side] = context[side] or report["context"]
                seconds[side].append(got["s"])
                reports[side].append(report)
            if why:
                break
        if why:
            refused.append(why)
            continue
        rows.append(row(name, case[1], *seconds))
        print(line(rows[-1]), flush=True)
        if name.startswith("everything"):
            rows += of_modules(reports)
    return rows, refused, context


def line(r):
    return (
        f"{r['name']:44} {r['old']:10.4g} {r['new']:10.4g} {r['unit']}"
        f"  {r['ratio']:6.3f} [{r['low']:.3f}, {r['high']:.3f}]  {r['verdict']}"
    )


def prepare(copies):
    night.make_night("night.tar", copies)
    subprocess.run("gzip -6 < night.tar > night.tar.gz", shell=True, check=True)


def main():
    a = arguments()
    if os.uname().sysname != "Linux" or not os.path.isdir(night.ZTF):
        sys.exit(f"before_after: no alerts in {night.ZTF}: set NIGHTJAR_SHARED")
    begin, load = time.time(), os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="nightjar-perf-") as folder:
        os.chdir(folder)
        prepare(a.copies)
        for side, binary in (("old", a.old), ("new", a.new)):
            os.mkdir(side)
            night.build_catalogs(binary, side)
        head = f"{'median; CPU or wall time':44} {'old':>10} {'new':>10}      ratio, 95 % interval"
        print(head)
        rows, refused, context = measure(("old", "new"), (a.old, a.new), a.pairs)
    manifest = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "load_before": load,
        "load_after": os.getloadavg(),
        "pairs": a.pairs,
        "alerts": 322 * a.copies,
        "command": "perf/before_after.sh" + (" --quick" if a.quick else ""),
        **{
            s: {k: c[k] for k in ("git", "version", "compiler", "flags", "cpu")}
            for s, c in zip(("old", "new"), context)
            if c
        },
    }
    with open(a.prefix + ".json", "w") as f:
        json.dump({"context": manifest, "rows": rows, "refused": refused}, f, indent=1)
        f.write("\n")
    text = [f"# {manifest['command']} OLD NEW: {__doc__.splitlines()[0]}"]
    text += [f"# {k}: {v}" for k, v in manifest.items()]
    text += [head, *map(line, rows), *("# not compared: " + x for x in refused)]
    with open(a.prefix + ".txt", "w") as f:
        f.write("\n".join(text) + "\n")
    for x in refused:
        print("not compared:", x)
    print(f"{manifest['seconds']} s; {a.prefix}.txt, {a.prefix}.json")


if __name__ == "__main__":
    main()
