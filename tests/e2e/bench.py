#!/usr/bin/env python3
"""nightjar bench: what its subjects verify, the figures that are counts, and the two files it writes. Its
times: tests/timing."""

import json, os, subprocess
from tap import ROOT, SHARED, Folder, done, nightjar, ok, report, skip

REAL = os.path.join(SHARED, "real", "ztf")


def run(name, *args):
    """A short run of some subjects; its file. The exit code is 5 when a bar is missed, which a busy machine
    may do, and 0 else."""
    r = nightjar("bench", *args, "--seconds", 0.01, "--json", "b.json", env={"OMP_WAIT_POLICY": "passive"})
    if not ok(os.path.exists("b.json"), f"{name}: a file", r.stdout + r.stderr):
        return r, {"benchmarks": [], "figures": [], "context": {}}
    b = report("b.json")
    os.remove("b.json")
    missed = sum(f["met"] is False for f in b["figures"])
    ok(
        r.returncode == (5 if missed else 0),
        f"{name}: exit code, with {missed} bars missed",
        (r.returncode, r.stdout + r.stderr),
    )
    ok("WRONG" not in r.stdout, f"{name}: nothing is wrong", r.stdout)
    ok("verified: " in r.stdout, f"{name}: something is verified", r.stdout)
    well_formed(name, b)
    return r, b


def well_formed(name, b):
    odd = [
        x["name"] for x in b["benchmarks"] if not len(x["samples"]) == len(x["wall_samples"]) == x["rounds"]
    ]
    ok(not odd, f"{name}: a sample for each round", odd)
    odd = [x["name"] for x in b["benchmarks"] if not 0 < x["min"] <= x["median"]]
    ok(not odd, f"{name}: the least is not above the median", odd)


def kernels():
    r, b = run("kernels", "kernels")
    names = [x["name"] for x in b["benchmarks"]]
    ok(len(names) == len(set(names)) > 0, "kernels: a case each", names)
    ok(all(n.startswith("kernels/") for n in names), "kernels: named after their subject", names)
    # each kernel that has vector versions is verified against the portable one, so that there are more cases
    # than kernels
    plain = {n.split(",")[0] for n in names}
    ok(
        0 < r.stdout.count("verified: ") <= len(names),
        "kernels: verified before they are timed",
        (len(plain), r.stdout),
    )
    ok(
        b["context"].get("timer_ns", 0) > 0,
        "kernels: what a reading of the clock costs is reported",
        b["context"],
    )


def modules():
    r, b = run("modules and pipeline", "modules", "pipeline", "--google", "g.json")
    names = [x["name"] for x in b["benchmarks"]]
    ok("modules/roid" in names, "modules: each module by name", names)
    ok("pipeline/null, 1 thread" in names, "pipeline: each sink and number of threads", names)
    ok("fnv1a:" in b["context"].get("data", ""), "the digest of what was timed", b["context"])
    f = {x["name"]: x["value"] for x in b["figures"]}
    nightjar("run", "-q", REAL, "-m", "hostless", "--report", "real.json")
    hostless = next(m for m in report("real.json")["modules"] if m["name"] == "hostless")
    rate = f.get("modules/hostless, hit rate", 0)
    ok(
        abs(rate - hostless["hits"] / hostless["offered"]) < 1e-12,
        "the hit rate is that of a run over the same packets",
        (rate, hostless),
    )
    share = f.get("modules/hostless, effective alerts/s/core", 0) / f.get(
        "modules/hostless, on-sky alerts/s/core", 1
    )
    ok(abs(share - rate) < 1e-9, "effective is on-sky times the hit rate", (share, rate))
    g = report("g.json")["benchmarks"] if os.path.exists("g.json") else []
    keys = {
        "name",
        "run_name",
        "run_type",
        "repetition_index",
        "real_time",
        "cpu_time",
        "time_unit",
        "threads",
    }
    ok(g and all(keys <= set(x) for x in g), "Google Benchmark's form has its keys")
    ok(len(g) == sum(x["rounds"] for x in b["benchmarks"]), "and a run for each round", len(g))


def counters():
    r, b = run("counters", "counters")
    ok("alerts in = out in each of" in r.stdout, "counters: with and without them the same rows", r.stdout)
    ok(
        any(f["name"] == "counters/on / off" for f in b["figures"]),
        "counters: what they cost is a figure",
        b["figures"],
    )


def threads():
    r, b = run("threads", "threads")
    t = {f["name"]: f["value"] for f in b["figures"]}
    ok(
        "by 1 and by 2 threads: the same" in r.stdout,
        "threads: the same bytes for any number of threads",
        r.stdout,
    )
    for sweep in ("stamps", "host"):
        ok(
            f"{sweep}: " in r.stdout and "in every pass" in r.stdout,
            f"threads, {sweep}: the same rows in every pass",
            r.stdout,
        )
        sizes = sorted(
            int(n.split(" by ")[1].split()[0]) for n in t if n.startswith(f"threads/{sweep}, alerts/s by")
        )
        ok(sizes[:5] == [1, 2, 4, 8, 16], f"threads, {sweep}: 1 to 16 threads at least", sizes)
        ok(
            t.get(f"threads/{sweep}, knee (last size with 75 % efficiency)") in sizes,
            f"threads, {sweep}: the knee is one of them",
            t,
        )


def slower(path, out, factor):
    """The same rounds, one case slower."""
    g = report(path)
    for b in g["benchmarks"]:
        if b["name"] == "modules/roid":
            b["cpu_time"] *= factor
            b["real_time"] *= factor
    json.dump(g, open(out, "w"))


def debian():
    """Its verdict on a file and the same with one case 12 % slower: only that one differs, p of the U test
    below 0.05."""
    name = "Debian's compare script: reads the file"
    script = "/usr/share/benchmark/compare.py"
    if not os.path.exists(script):
        return skip(name, "libbenchmark-tools is not installed")
    python = subprocess.run(
        [os.path.join(ROOT, "tests", "python"), "numpy", "scipy"], capture_output=True, text=True
    ).stdout.strip()
    if not python:
        return skip(name, "there is no Python with scipy, and none can be had here")
    python = os.path.join(ROOT, python)  # as it stands when absolute
    # of one sample, so that the 12 % stand for themselves: every round is the first one's figure, a
    # thousandth apart
    g = report("g.json")
    seen = {}
    for b in g["benchmarks"]:
        first = seen.setdefault(b["name"], b["cpu_time"])
        b["cpu_time"] = b["real_time"] = first * (1 + 0.001 * b["repetition_index"])
    json.dump(g, open("even.json", "w"))
    slower("even.json", "slow.json", 1.12)
    run = lambda a, b: subprocess.run(
        [python, script, "-d", "d.json", "benchmarks", a, b], capture_output=True, text=True
    )
    r = run("g.json", "g.json")
    ok(r.returncode == 0, name, r.stdout + r.stderr)
    r = run("even.json", "slow.json")
    ok(
        r.returncode == 0 and "modules/roid" in r.stdout,
        "Debian's compare script: compares two",
        r.stdout + r.stderr,
    )
    d = {x["name"]: x for x in report("d.json")} if os.path.exists("d.json") else {}
    roid, other = d.get("modules/roid"), d.get("modules/features")
    if not ok(roid and other, "Debian's compare script: has the cases by name", list(d)):
        return
    ok(abs(roid["measurements"][0]["cpu"] - 0.12) < 1e-6, "Debian's compare script: sees the 12 %", roid)
    ok(roid["utest"]["cpu_pvalue"] < 0.002, "Debian's compare script: which are significant", roid)
    ok(other["utest"]["cpu_pvalue"] > 0.5, "Debian's compare script: and nothing else is", other)


with Folder():
    kernels()
    if SHARED and os.path.isdir(REAL):
        modules()
        counters()
        threads()
        debian()
    else:
        for name in ("modules and pipeline", "counters", "threads", "Debian's compare script"):
            skip(f"bench {name}", "the real packets are not here")
done()
