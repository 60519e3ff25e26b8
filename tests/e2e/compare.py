#!/usr/bin/env python3
"""nightjar compare and nightjar diff: verdicts on files of known truth, two binaries in turn, two builds of a
module."""

import json, os, random, shutil, subprocess
from tap import NIGHTJAR, ROOT, Folder, compile_module, done, nightjar, ok, skip

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")


def bench_file(path, seed, floor, rounds=30):
    r = random.Random(seed)
    one = lambda name, t: {"name": name, "samples": [t * (1 + abs(r.gauss(0, 0.02))) for _ in range(rounds)]}
    json.dump(
        {"schema_version": 1, "benchmarks": [one("modules/steady", 500.0), one("modules/changed", floor)]},
        open(path, "w"),
    )


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
    ok(
        r.returncode == 5
        and "REGRESSION" in line
        and "modules/steady" in r.stdout
        and r.stdout.count("REGRESSION") == 1,
        "12 % slower: flagged, exit 5",
        r.stdout,
    )
    r = nightjar("compare", "a.json", "slow.json")
    ok(r.returncode == 0 and "REGRESSION" in r.stdout, "without --gate it is reported and exit is 0")
    r = nightjar("compare", "slow.json", "a.json", "--gate")
    ok(r.returncode == 0 and "improvement" in r.stdout, "12 % faster is no regression", r.stdout)
    r = nightjar("compare", "a.json", "slow.json", "--gate", "--only", "steady")
    ok(r.returncode == 0 and "changed" not in r.stdout, "--only picks rows")
    open("no.json", "w").write("{}")
    r = nightjar("compare", "a.json", "no.json")
    ok(r.returncode == 2 and "no.json" in r.stderr, "a file of another kind is refused", r.stderr)
    ok(nightjar("compare", "a.json").returncode == 1, "one file: usage")


def google_file(path, scale, repetitions=12, unit="us", only=None, broken=False):
    """As Google Benchmark writes them: a run per repetition, then mean, median, stddev and cv of each
    benchmark."""
    rows = []
    for name in ("BM_sort/8", "BM_read/real_time"):
        common = {"run_name": name, "time_unit": unit, "repetitions": repetitions, "threads": 1}
        for k in range(repetitions):
            t = 100 * scale * (1 + 0.002 * (k * 7 % repetitions))
            rows.append(
                dict(
                    common,
                    name=name,
                    run_type="iteration",
                    repetition_index=k,
                    iterations=10,
                    real_time=2 * t,
                    cpu_time=t,
                )
            )
        for kind in ("mean", "median", "stddev", "cv"):
            rows.append(
                dict(
                    common,
                    name=name + "_" + kind,
                    run_type="aggregate",
                    aggregate_name=kind,
                    real_time=200 * scale,
                    cpu_time=100 * scale,
                    aggregate_unit="percentage" if kind == "cv" else "time",
                )
            )
    rows.append(
        {
            "name": "BM_sort_BigO",
            "run_name": "BM_sort",
            "run_type": "aggregate",
            "aggregate_name": "BigO",
            "cpu_coefficient": 1.0,
            "big_o": "N",
        }
    )
    if broken:
        rows += [
            {
                "name": "BM_lost",
                "run_type": "iteration",
                "error_occurred": True,
                "error_message": "no file",
                "real_time": 0.0,
                "cpu_time": 0.0,
                "time_unit": "ns",
            },
            {
                "name": "BM_odd",
                "run_type": "iteration",
                "real_time": 1.0,
                "cpu_time": 1.0,
                "time_unit": "fortnights",
            },
        ]
    json.dump(
        {
            "context": {"date": "2026-03-01T00:00:00+00:00"},
            "benchmarks": [x for x in rows if only in (None, x["run_type"])],
        },
        open(path, "w"),
    )


def row(result, name):
    return next((x for x in result.stdout.splitlines() if x.split(" ")[0] == name), "")


def google():
    google_file("g1.json", 1)
    google_file("g2.json", 1.2)
    r = nightjar("compare", "g1.json", "g2.json", "--gate")
    ok(r.returncode == 5, "Google Benchmark: 20 % slower fails a gate", r.stdout + r.stderr)
    ok("1.200" in row(r, "BM_sort/8"), "its CPU time is taken", r.stdout)
    ok(
        "202 us" in row(r, "BM_read/real_time"),
        "its real time where the benchmark is registered so",
        r.stdout,
    )
    ok(" 12 12 " in row(r, "BM_sort/8"), "repetitions are samples", r.stdout)
    google_file("ns.json", 1000, unit="ns")
    r = nightjar("compare", "g1.json", "ns.json", "--gate")
    ok("same" in row(r, "BM_sort/8"), "time_unit: 100,000 ns are 100 us", r.stdout)
    google_file("s.json", 1e-6, unit="s", only="iteration")
    google_file("ms.json", 1e-3, unit="ms", only="iteration")
    r = nightjar("compare", "s.json", "ms.json", "--gate")
    ok("same" in row(r, "BM_sort/8"), "time_unit: s and ms", r.stdout + r.stderr)
    google_file("sum.json", 1.1, only="aggregate")
    r = nightjar("compare", "g1.json", "sum.json")
    ok(" 12 1 " in row(r, "BM_sort/8"), "aggregates alone: the median is the one sample", r.stdout + r.stderr)
    ok("undecided" in row(r, "BM_sort/8"), "one sample decides nothing", r.stdout)
    google_file("broken.json", 1, broken=True)
    r = nightjar("compare", "g1.json", "broken.json")
    ok("'BM_lost' (it ended in an error" in r.stderr, "what is not taken is named", r.stderr)
    ok("broken.json: 3 entries not taken" in r.stderr, "and counted", r.stderr)
    r = nightjar("compare", "--history", "g1.json", "g2.json", "--gate")
    ok(r.returncode == 5, "a series of Google Benchmark's files", r.stdout + r.stderr)


def nothing():
    """A check that looked at nothing must not end as one that found nothing."""
    json.dump({"benchmarks": []}, open("none.json", "w"))
    json.dump({"benchmarks": [{"name": "other", "samples": [1.0] * 9}]}, open("other.json", "w"))
    json.dump(
        {"benchmarks": [{"name": "modules/steady", "samples": ["slow", None, -1]}]}, open("words.json", "w")
    )
    open("empty.json", "w").close()
    open("text.json", "w").write("BM_x 12 ns\n")
    os.mkdir("nothing")
    os.mkdir("odd")
    open("odd/x.json", "w").write("[1]")
    for args, code, word, what in (
        (("a.json", "none.json"), 1, "nothing was compared", "no rows on one side"),
        (("none.json", "none.json", "--gate"), 1, "nothing was compared", "no rows at all"),
        (("a.json", "other.json"), 1, "A has 2, B 1", "no common name"),
        (("a.json", "slow.json", "--only", "chnged"), 1, "'chnged' in it", "--only that picks nothing"),
        (("a.json", "words.json"), 1, "a sample is no number", "samples that are no numbers"),
        (("sum.json", "sum.json", "--gate"), 1, "judged nothing", "a gate without samples enough"),
        (
            ("--rerun", "3", NIGHTJAR, NIGHTJAR, "--gate", "--", SAMPLE),
            1,
            "3 rounds cannot show",
            "a gate of three rounds",
        ),
        (("a.json", "empty.json"), 2, "it is empty", "an empty file"),
        (("text.json", "a.json"), 2, "no JSON", "a file that is no JSON"),
        (("--history", "nothing"), 1, "no run report and no bench file", "--history of an empty folder"),
        (("--history", "odd"), 1, "odd/x.json", "--history of a folder without reports"),
        (("--history", "a.json", "--gate"), 1, "judged nothing", "--history --gate of one report"),
        (("--history", "a.json", "--only", "zz"), 1, "'zz' in it", "--history --only that picks nothing"),
    ):
        r = nightjar("compare", *args)
        ok(
            (r.returncode, word in r.stderr) == (code, True),
            what + ": said, exit %d" % code,
            r.stdout + r.stderr,
        )
    for name, word in (
        ("empty.json", "it is empty"),
        ("text.json", "no JSON"),
        ("a.json", "a bench file"),
        ("odd/x.json", "not a run report"),
        ("no/such.json", "cannot be read"),
    ):
        r = nightjar("report", name)
        ok(
            (r.returncode, name in r.stderr and word in r.stderr) == (2, True),
            f"report {name}: {word}",
            r.stderr,
        )
    shutil.rmtree("odd")
    nightjar("simulate", "--survey", "lsst", "--alerts", 30, "--seed", 1, "-o", "lsst")
    off = ("-D", "module.nalerthist.surveys=ztf", "-o", "null:", "-q")
    r = nightjar("run", "lsst", "-m", "nalerthist", *off)
    ok(
        "every module that -m names is off" in r.stderr,
        "a run whose every module is off: said, with -q too",
        r.stderr,
    )
    ok((r.returncode, "no row has an answer" in r.stderr) == (1, True), "and it ends with 1", r.stderr)
    r = nightjar("run", "lsst", "-m", "nalerthist,roid", *off)
    ok((r.returncode, r.stderr) == (0, ""), "one that is on: not a word", r.stderr)
    r = nightjar("run", "lsst", SAMPLE, "-m", "nalerthist", *off)
    ok(r.returncode == 0, "one survey of two that it answers on: exit 0", r.stderr)
    open("none.avro", "w").close()
    r = nightjar("diff", "roid", "roid", "none.avro", "--rounds", 1)
    ok(
        (r.returncode, "nothing was compared" in r.stderr) == (1, True),
        "diff of no alert: said, exit 1",
        r.stderr,
    )
    open("none.njx", "w").close()
    r = nightjar("catalog", "check", "none.njx")
    ok(
        (r.returncode, "none.njx" in r.stderr) == (2, True),
        "catalog check of an empty file: said, exit 2",
        r.stderr,
    )
    open("none.csv", "w").write("ra,dec,name\n")
    r = nightjar("catalog", "build", "none.csv", "-o", "rows.njx")
    ok((r.returncode, "no row" in r.stderr) == (2, True), "a catalogue without a row is not made", r.stderr)
    os.mkdir("empty")
    r = nightjar("bench", "modules", "--seconds", 0.01, "--data", "empty")
    ok(
        (r.returncode, "no packets in empty" in r.stdout + r.stderr) == (3, True),
        "bench over a folder without packets: an error",
        (r.returncode, r.stdout + r.stderr),
    )


def words():
    """Samples by hand: the verdict on 4 % more, on the same, on what is undecided."""
    spread = [1 + 0.001 * (k * 7 % 12) for k in range(12)]
    bench = lambda path, **rows: json.dump(
        {"benchmarks": [{"name": n, "samples": v} for n, v in rows.items()]}, open(path, "w")
    )
    wide = [1 + 0.1 * (k * 7 % 12) for k in range(12)]
    bench(
        "w1.json",
        more=[100 * x for x in spread],
        less=[100 * x for x in spread],
        equal=spread,
        wide=wide,
        few=[1, 2, 3],
    )
    bench(
        "w2.json",
        more=[104 * x for x in spread],
        less=[96 * x for x in spread],
        equal=spread,
        wide=wide,
        few=[1, 2, 3],
    )
    r = nightjar("compare", "w1.json", "w2.json", "--gate")
    for name, text in (
        ("more", "slower by 3.7 to 4.3 %; within what a gate allows"),
        ("less", "faster by 3.7 to 4.3 %; within what a gate allows"),
        ("equal", "same (-0."),
        ("wide", "undecided (-"),
        ("few", "undecided: too few samples: 25 of each side"),
    ):
        ok(text in row(r, name), f"{name}: {text}", row(r, name))


def reports():
    for i in range(3):
        nightjar("run", "-q", SAMPLE, "-m", "roid,features", "--report", f"r{i}.json")
    r = nightjar("compare", "r0.json", "r1.json")
    ok(
        r.returncode == 0 and "(decode)" in r.stdout and "features" in r.stdout,
        "two run reports",
        r.stdout + r.stderr,
    )
    r = nightjar("compare", "r0.json,r1.json", "r2.json,")
    ok(
        r.returncode == 0 and "too few" in r.stdout and "(whole run)" in r.stdout,
        "several reports of a side: one sample each",
        r.stdout + r.stderr,
    )
    r = nightjar("compare", "--rerun", 7, NIGHTJAR, NIGHTJAR, "--", SAMPLE, "-m", "roid,features", "-j", 1)
    ok(
        r.returncode == 0 and " 7 7 " in r.stdout and "(whole run)" in r.stdout,
        "two binaries in turn",
        r.stdout + r.stderr,
    )


def history_file(path, day, hostless, roid, seed):
    r = random.Random(seed)
    module = lambda name, ns: {
        "name": name,
        "kind": "module",
        "drift": {"points": [[i, ns * (1 + r.gauss(0, 0.02))] for i in range(60)]},
    }
    json.dump(
        {
            "schema_version": 1,
            "context": {
                "date": f"2026-03-{day:02}T20:00:00Z",
                "git": f"c{day}",
                "cpu": "one",
                "input_digest": "ids:1",
            },
            "ledger": {},
            "throughput": {"alerts_per_s_core": 1e9 / (hostless + roid)},
            "modules": [module("hostless", hostless), module("roid", roid)],
        },
        open(path, "w"),
    )


def change_points():
    """Twenty nights, a step at the thirteenth on one machine; another is always slower, which is no step."""
    os.mkdir("nights")
    for day in range(1, 21):
        history_file(f"nights/a{day:02}.json", day, 1e5 * (1.15 if day >= 13 else 1), 50.0, day)
        history_file(f"nights/b{day:02}.json", day, 3e5, 150.0, 100 + day)
        with open(f"nights/b{day:02}.json", encoding="utf-8") as f:
            other = json.load(f)
        other["context"].update(cpu="two", cores=64)
        with open(f"nights/b{day:02}.json", "w", encoding="utf-8") as f:
            json.dump(other, f)
    r = nightjar("compare", "--history", "nights", "-o", "nights.html")
    said = [x for x in r.stdout.splitlines() if x.startswith("  hostless: x")]
    ok(len(said) == 1, "one change of level in a series of two machines", r.stdout + r.stderr)
    ok("slower from 2026-03-13T20:00:00 (c13, the one before c12)" in said[0], "with date and commits", said)
    ok("12 reports and 8; one; confidence 99.9 %" in said[0], "with machine and confidence", said)
    ok("  roid: " not in r.stdout, "what does not change is not named", r.stdout)
    with open("nights.html", encoding="utf-8") as f:
        page = f.read()
    ok(
        page.count('class="change"') == 2,
        "the page marks it, for the module and for the whole run",
        page[-300:],
    )
    r = nightjar("compare", "--history", *[f"nights/a{day:02}.json" for day in range(1, 8)])
    ok("no change of level" in r.stdout, "seven reports are too few to tell", r.stdout)


def history():
    os.mkdir("series")
    for k, day in enumerate((3, 1, 2, 4)):  # written in another order than that of their dates
        history_file(f"series/{k}.json", day, 1e5 * (1.2 if day == 4 else 1), 50.0, day)
    open("series/other.json", "w").write("[1]")
    r = nightjar("compare", "--history", "series", "-o", "series.html", "--gate")
    lines = {x.split()[0]: x.split() for x in r.stdout.splitlines() if x.strip()}
    ok(
        r.returncode == 5
        and "4 reports, 2026-03-01T20:00:00 (c1) to 2026-03-04T20:00:00 (c4)" in r.stdout
        and "REGRESSION" in lines["hostless"]
        and abs(float(lines["hostless"][8]) - 1.2) < 0.03
        and "same" in lines["roid"]
        and lines["hostless"][-1].endswith("█")
        and lines["hostless"][-1][0] != "█",
        "a series by date: the last is 20 % slower, --gate",
        r.stdout + r.stderr,
    )
    text = open("series.html", encoding="utf-8").read()
    ok(
        text.count("median per report") == 3
        and text.count("<circle") == 12
        and text.count(", REGRESSION") == 1
        and text.index("2026-03-01") < text.index("2026-03-04")
        and "2026-03-04T20:00:00, c4: 1" in text
        and "http" not in text
        and "<script src" not in text,
        "its page: a chart per name, points with date and commit",
        text[-500:],
    )
    r = nightjar("compare", "--history", "a.json", "slow.json", "series/0.json", "--only", "changed")
    ok(
        r.returncode == 0
        and "modules/changed" in r.stdout
        and "roid" not in r.stdout
        and "not all of the same" in r.stdout,
        "bench files too; --only; unlike reports are reported",
        r.stdout + r.stderr,
    )
    r = nightjar("compare", "--history", "no.json")
    ok(
        r.returncode == 2
        and "neither" in r.stderr
        and nightjar("compare", "--history").returncode == 1
        and nightjar("compare", "--history", "/no/such").returncode == 2,
        "another file, none, one that is not there",
        r.stderr,
    )


def burner(folder, turns):
    """A module of so many turns of one chain of multiplications an alert: its cost is the turns, on any
    machine."""
    os.makedirs(folder + "/modules")
    text = open(os.path.join(ROOT, "modules", "nalerthist.c")).read().replace("nalerthist", "burner")
    spin = (
        'double x = (double)(w->id[row] & 255); for (int i = 0; i < %d; i++) { x = x * 0.999 + 1e-3; __asm__'
        ' volatile("" : "+g"(x)); } int32_t n = 0;' % turns
    )
    open(folder + "/modules/burner.c", "w").write(text.replace("int32_t n = 0;", spin))
    flags = ["-O2", "-g", "-ffp-contract=off"]
    compile_module(folder + "/modules/burner.c", folder + "/burner.so", *flags, kit=True)
    with open(folder + "/nightjar", "w") as f:
        f.write(f'#!/bin/sh\nexec {NIGHTJAR} "$@" --module-path {os.path.abspath(folder)}/burner.so\n')
    os.chmod(folder + "/nightjar", 0o755)
    return f"./{folder}/nightjar"


def made_up(folder, ns):
    """A binary that measures nothing: its reports are made up, the k-th run of module burner at
    ns * (1 + k %)."""
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/nightjar", "w") as f:
        f.write(f"""#!/usr/bin/env python3
import json, os, sys
count = {os.path.abspath(folder)!r} + "/runs"
k = os.path.getsize(count) if os.path.exists(count) else 0
open(count, "a").write(".")
path = sys.argv[sys.argv.index("--report") + 1]
module = lambda name, ns: {{"name": name, "offered": 1000, "cpu_ns": 1000 * ns * (1 + 0.01 * (k % 5))}}
report = {{"schema_version": 1, "ledger": {{}}, "modules": [module("burner", {ns}), module("roid", 50.0)]}}
report["throughput"] = {{"alerts_per_s_core": 1e9 / {ns}}}
json.dump(report, open(path, "w"))
""")
    os.chmod(folder + "/nightjar", 0o755)
    return f"./{folder}/nightjar"


def in_turn():
    a, b = made_up("quick", 20000), made_up("slow", 25000)
    r = nightjar("compare", "--rerun", 11, a, b, "--gate", "--", "night")
    ok(r.returncode == 5, "in turn: a module that is a quarter slower fails the gate", r.stdout + r.stderr)
    ok(
        {x.split()[0] for x in r.stdout.splitlines() if "REGRESSION" in x} == {"burner", "(whole"},
        "and no other module",
        r.stdout,
    )
    ok(" 11 11 " in row(r, "burner"), "eleven runs of each, without the first", r.stdout)
    r = nightjar("compare", "--rerun", 9, a, a, "--gate", "--", "night")
    ok("REGRESSION" not in r.stdout, "in turn: the same twice raises no flag", r.stdout + r.stderr)


def measured():
    names = (
        "instructions: 12 % more in a module is seen exactly, exit 5",
        "instructions: the same twice differs by less than 1e-3",
    )
    if os.environ.get("NIGHTJAR_SANITIZED") or not shutil.which("cc"):
        for name in names:
            skip(name, "a plain compiler and binary are needed")
        return
    if not shutil.which("valgrind"):
        for name in names:
            skip(name, "valgrind is not installed")
        return
    burner("a", 20000)
    burner("c", 22400)
    nightjar("simulate", "--alerts", 60, "--seed", 8, "-o", "night")  # under valgrind
    count = lambda new: subprocess.run(
        [
            os.path.join(ROOT, "perf", "instructions"),
            f"{NIGHTJAR} -m burner,roid --module-path a/burner.so",
            f"{NIGHTJAR} -m burner,roid --module-path {new}/burner.so",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    ratio = lambda r, what: float(next(x for x in r.stdout.splitlines() if x.startswith(what)).split()[3])
    r = count("c")
    ok(
        r.returncode == 5 and abs(ratio(r, "modules/burner.c") - 1.12) < 0.002 and "GREW" in r.stdout,
        names[0],
        r.stdout + r.stderr,
    )
    r = count("a")
    # of the module alone: the host's own instructions depend on how often its threads found nothing to do
    ok(abs(ratio(r, "modules/burner.c") - 1) < 1e-3, names[1], r.stdout + r.stderr)


def build(name, out, **change):
    text = open(os.path.join(ROOT, "modules", name + ".c")).read()
    for a, b in change.get("replace", []):
        assert a in text
        text = text.replace(a, b)
    open("m.c", "w").write(text)
    compile_module("m.c", out, "-O2", "-g", "-ffp-contract=off", kit=True)


def builds():
    names = (
        "two equal builds: no output changed",
        "a changed build: its columns, alerts, differences; the cost",
        "two modules are not compared",
        "three rounds decide nothing: how many would",
        "no alert: no word of no change",
        "a module that answers nothing: no word of no change",
    )
    if os.environ.get("NIGHTJAR_SANITIZED") or not shutil.which("cc"):
        for name in names:
            skip(name, "a plain compiler and binary are needed")
        return
    build("nalerthist", "old.so")
    r = nightjar("diff", "nalerthist", "./old.so", SAMPLE, "--rounds", 2)
    ok(
        r.returncode == 0 and "no output changed" in r.stdout and "cost:" in r.stdout,
        names[0],
        r.stdout + r.stderr,
    )
    # one alert in the batch's first rows gains 3, the next 1
    build(
        "nalerthist",
        "new.so",
        replace=[("nj_put_i32(w, N, row, n);", "n += row == 0 ? 3 : row == 1; nj_put_i32(w, N, row, n);")],
    )
    r = nightjar("diff", "./old.so", "./new.so", SAMPLE, "--top", 1)
    text = r.stdout
    worst = next((x for x in text.splitlines() if "->" in x and x.startswith("    ")), "")
    difference = int(worst.split()[3]) - int(worst.split()[1]) if worst else 0
    ok(
        r.returncode == 0
        and "nalerthist.n: " in text
        and "largest difference 3" in text
        and difference == 3
        and "cost: " in text,
        names[1],
        text + r.stderr,
    )
    r = nightjar("diff", "./old.so", "./new.so", SAMPLE, "--rounds", 3)
    ok("undecided: too few rounds: --rounds 25" in r.stdout, names[3], r.stdout + r.stderr)
    os.mkdir("no-alerts")
    r = nightjar("diff", "./old.so", "./new.so", "no-alerts", "--rounds", 2)
    ok(r.returncode in (1, 2) and "no output changed" not in r.stdout, names[4], r.stdout + r.stderr)
    mute = [("nj_put_i32(w, N, row, n);", "continue;")]
    build("nalerthist", "mute.so", replace=mute)
    r = nightjar("diff", "./mute.so", "./mute.so", SAMPLE, "--rounds", 2)
    ok(r.returncode == 1 and "answered none" in r.stderr, names[5], r.stdout + r.stderr)
    r = nightjar("diff", "./old.so", "roid", SAMPLE)
    ok(r.returncode == 1 and "not the same module" in r.stderr, names[2], r.stderr)


with Folder():
    files()
    google()
    nothing()
    words()
    reports()
    history()
    change_points()
    in_turn()
    measured()
    builds()
done()
