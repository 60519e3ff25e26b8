#!/usr/bin/env python3
"""nightjar compare and nightjar diff: verdicts on files of known truth, two binaries in turn, two builds of a module."""
import json, os, random, shutil, subprocess
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, skip

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def bench_file(path, seed, floor, rounds=30):
    r = random.Random(seed)
    one = lambda name, t: {"name": name, "samples": [t * (1 + abs(r.gauss(0, 0.02))) for _ in range(rounds)]}
    json.dump({"schema_version": 1, "benchmarks": [one("modules/steady", 500.0), one("modules/changed", floor)]}, open(path, "w"))


def files():
    flags = 0
    for seed in range(10):
        bench_file("a.json", 2 * seed, 1000.0)
        bench_file("b.json", 2 * seed + 1, 1000.0)
        flags += nightjar("compare", "a.json", "b.json", "--gate").returncode != 0
    ok(flags == 0, "ten times the same raise no flag", flags)
    bench_file("slow.json", 99, 1120.0)
    r = nightjar("compare", "a.json", "slow.json", "--gate")
    line = next((x for x in r.stdout.splitlines() if x.startswith("modules/changed")), "")
    ok(r.returncode == 5 and "REGRESSION" in line and "modules/steady" in r.stdout and r.stdout.count("REGRESSION") == 1, "12 % slower: flagged, exit 5", r.stdout)
    r = nightjar("compare", "a.json", "slow.json")
    ok(r.returncode == 0 and "REGRESSION" in r.stdout, "without --gate it is said and exit is 0")
    r = nightjar("compare", "slow.json", "a.json", "--gate")
    ok(r.returncode == 0 and "improvement" in r.stdout, "12 % faster is no regression", r.stdout)
    r = nightjar("compare", "a.json", "slow.json", "--gate", "--only", "steady")
    ok(r.returncode == 0 and "changed" not in r.stdout, "--only picks rows")
    open("no.json", "w").write("{}")
    r = nightjar("compare", "a.json", "no.json")
    ok(r.returncode == 2 and "no.json" in r.stderr, "a file of another kind is refused", r.stderr)
    ok(nightjar("compare", "a.json").returncode == 1, "one file: usage")


def reports():
    for i in range(3):
        nightjar("run", "-q", SAMPLE, "-m", "roid,features", "--report", f"r{i}.json")
    r = nightjar("compare", "r0.json", "r1.json")
    ok(r.returncode == 0 and "(decode)" in r.stdout and "features" in r.stdout, "two run reports", r.stdout + r.stderr)
    r = nightjar("compare", "r0.json,r1.json", "r2.json,")
    ok(r.returncode == 0 and "too few" in r.stdout and "(whole run)" in r.stdout, "several reports of a side: one sample each", r.stdout + r.stderr)
    r = nightjar("compare", "--rerun", 7, NIGHTJAR, NIGHTJAR, "--", SAMPLE, "-m", "roid,features", "-j", 1)
    ok(r.returncode == 0 and " 7 7 " in r.stdout and "(whole run)" in r.stdout, "two binaries in turn", r.stdout + r.stderr)


def history_file(path, day, hostless, roid, seed):
    r = random.Random(seed)
    module = lambda name, ns: {"name": name, "kind": "module", "drift": {"points": [[i, ns * (1 + r.gauss(0, 0.02))] for i in range(60)]}}
    json.dump({"schema_version": 1, "context": {"date": f"2026-03-{day:02}T20:00:00Z", "git": f"c{day}", "cpu": "one", "input_digest": "ids:1"}, "ledger": {},
               "throughput": {"alerts_per_s_core": 1e9 / (hostless + roid)}, "modules": [module("hostless", hostless), module("roid", roid)]}, open(path, "w"))


def history():
    os.mkdir("series")
    for k, day in enumerate((3, 1, 2, 4)):  # written in another order than that of their dates
        history_file(f"series/{k}.json", day, 1e5 * (1.2 if day == 4 else 1), 50.0, day)
    open("series/other.json", "w").write("[1]")
    r = nightjar("compare", "--history", "series", "-o", "series.html", "--gate")
    lines = {x.split()[0]: x.split() for x in r.stdout.splitlines() if x.strip()}
    ok(r.returncode == 5 and "4 reports, 2026-03-01T20:00:00 (c1) to 2026-03-04T20:00:00 (c4)" in r.stdout and "REGRESSION" in lines["hostless"]
       and abs(float(lines["hostless"][8]) - 1.2) < 0.03 and "same" in lines["roid"] and lines["hostless"][-1].endswith("█") and lines["hostless"][-1][0] != "█", "a series by date: the last is 20 % slower, --gate", r.stdout + r.stderr)
    text = open("series.html", encoding="utf-8").read()
    ok(text.count("median per report") == 3 and text.count("<circle") == 12 and text.count(", REGRESSION") == 1 and text.index("2026-03-01") < text.index("2026-03-04")
       and "2026-03-04T20:00:00, c4: 1" in text and "http" not in text and "<script src" not in text, "its page: a chart per name, points with date and commit", text[-500:])
    r = nightjar("compare", "--history", "a.json", "slow.json", "series/0.json", "--only", "changed")
    ok(r.returncode == 0 and "modules/changed" in r.stdout and "roid" not in r.stdout and "not all of the same" in r.stdout, "bench files too; --only; unlike reports are told", r.stdout + r.stderr)
    r = nightjar("compare", "--history", "no.json")
    ok(r.returncode == 2 and "neither" in r.stderr and nightjar("compare", "--history").returncode == 1 and nightjar("compare", "--history", "/no/such").returncode == 2, "another file, none, one that is not there", r.stderr)


def burner(folder, turns):
    """A module of so many turns of one chain of multiplications an alert: its cost is the turns, on any machine."""
    os.makedirs(folder + "/modules")
    text = open(os.path.join(ROOT, "modules", "nalerthist.c")).read().replace("nalerthist", "burner")
    spin = 'double x = (double)(w->id[row] & 255); for (int i = 0; i < %d; i++) { x = x * 0.999 + 1e-3; __asm__ volatile("" : "+g"(x)); } int32_t n = 0;' % turns
    open(folder + "/modules/burner.c", "w").write(text.replace("int32_t n = 0;", spin))
    kit = os.path.join(os.environ.get("NIGHTJAR_BUILD", os.path.join(ROOT, "build", "release")), "libnightjar-kit.a")
    subprocess.run(["cc", "-std=c11", "-O2", "-g", "-fPIC", "-ffp-contract=off", "-D_GNU_SOURCE", "-DNJ_SHARED", "-shared", "-I" + os.path.join(ROOT, "include"),
                    "-o", "burner.so", "modules/burner.c", os.path.abspath(kit), "-lm"], check=True, cwd=folder)
    with open(folder + "/nightjar", "w") as f:
        f.write(f'#!/bin/sh\nexec {NIGHTJAR} "$@" --module-path {os.path.abspath(folder)}/burner.so\n')
    os.chmod(folder + "/nightjar", 0o755)
    return f"./{folder}/nightjar"


def measured():
    names = ("measured, in turn: a module that is a quarter slower is flagged, and no other module", "measured, in turn: the same twice raises no flag",
             "instructions: 12 % more in a module is seen exactly, exit 5", "instructions: the same twice differs by less than 1e-3")
    if os.environ.get("NIGHTJAR_SANITIZED") or not shutil.which("cc"):
        for name in names:
            skip(name, "a plain compiler and binary are needed")
        return
    a, b = burner("a", 20000), burner("b", 25000)
    nightjar("simulate", "--alerts", 400, "--seed", 8, "-o", "night")  # many batches: CPU time is shared out by wall time, batch by batch
    args = ("--", "night", "-m", "burner,roid", "-j", 1)
    r = nightjar("compare", "--rerun", 11, a, b, "--gate", *args)
    line = next((x for x in r.stdout.splitlines() if x.startswith("burner")), "")
    ok(r.returncode == 5 and "REGRESSION" in line and all(x.split()[0] in ("burner", "(whole") for x in r.stdout.splitlines() if "REGRESSION" in x), names[0], r.stdout + r.stderr)
    r = nightjar("compare", "--rerun", 9, a, a, "--gate", *args)
    ok(r.returncode == 0 and "burner" in r.stdout and "REGRESSION" not in r.stdout, names[1], r.stdout + r.stderr)
    if not shutil.which("valgrind"):
        for name in names[2:]:
            skip(name, "valgrind is not installed")
        return
    burner("c", 22400)
    count = lambda new: subprocess.run([os.path.join(ROOT, "perf", "instructions"), f"{NIGHTJAR} -m burner,roid --module-path a/burner.so",
                                        f"{NIGHTJAR} -m burner,roid --module-path {new}/burner.so"], capture_output=True, text=True, timeout=300)
    ratio = lambda r, what: float(next(x for x in r.stdout.splitlines() if x.startswith(what)).split()[3])
    r = count("c")
    ok(r.returncode == 5 and abs(ratio(r, "modules/burner.c") - 1.12) < 0.002 and "GREW" in r.stdout, names[2], r.stdout + r.stderr)
    r = count("a")
    ok(r.returncode == 0 and all(abs(ratio(r, x) - 1) < 1e-3 for x in ("modules/burner.c", "(total)")), names[3], r.stdout + r.stderr)


def build(name, out, **change):
    text = open(os.path.join(ROOT, "modules", name + ".c")).read()
    for a, b in change.get("replace", []):
        assert a in text
        text = text.replace(a, b)
    open("m.c", "w").write(text)
    kit = os.path.join(os.environ.get("NIGHTJAR_BUILD", os.path.join(ROOT, "build", "release")), "libnightjar-kit.a")
    subprocess.run(["cc", "-std=c11", "-O2", "-g", "-fPIC", "-ffp-contract=off", "-D_GNU_SOURCE", "-DNJ_SHARED", "-shared",
                    "-I" + os.path.join(ROOT, "include"), "-o", out, "m.c", kit, "-lm"], check=True)


def builds():
    names = ("two equal builds: no output changed", "a changed build: its columns, alerts, differences; the cost", "two modules are not compared")
    if os.environ.get("NIGHTJAR_SANITIZED") or not shutil.which("cc"):
        for name in names:
            skip(name, "a plain compiler and binary are needed")
        return
    build("nalerthist", "old.so")
    r = nightjar("diff", "nalerthist", "./old.so", SAMPLE, "--rounds", 2)
    ok(r.returncode == 0 and "no output changed" in r.stdout and "cost:" in r.stdout, names[0], r.stdout + r.stderr)
    # one alert in the batch's first rows gains 3, the next 1: and 20 us for each
    slow = "for (volatile int spin = 0; spin < 20000; spin++) {} n += row == 0 ? 3 : row == 1;"
    build("nalerthist", "new.so", replace=[("nj_put_i32(w, N, row, n);", slow + " nj_put_i32(w, N, row, n);")])
    r = nightjar("diff", "./old.so", "./new.so", SAMPLE, "--top", 1)
    text = r.stdout
    ratio = float(text.split("ratio ")[1].split()[0]) if "ratio " in text else 0
    worst = next((x for x in text.splitlines() if "->" in x and x.startswith("    ")), "")
    difference = int(worst.split()[3]) - int(worst.split()[1]) if worst else 0
    ok(r.returncode == 0 and "nalerthist.n: " in text and "largest difference 3" in text and difference == 3 and ratio > 5 and "REGRESSION" in text, names[1], text + r.stderr)
    r = nightjar("diff", "./old.so", "roid", SAMPLE)
    ok(r.returncode == 1 and "not the same module" in r.stderr, names[2], r.stderr)


with Folder():
    files()
    reports()
    history()
    measured()
    builds()
done()
