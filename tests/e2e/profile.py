#!/usr/bin/env python3
"""nightjar profile: what it counts, what it says and writes; and hostless on the real night. Its times:
tests/timing/profile.py."""

import ctypes, errno, html, os, re, shutil, struct, subprocess, xml.etree.ElementTree
from profile_toy import LIBRARIES, SAMPLE, SINGLY, TOY, lines, number, write
from tap import NIGHTJAR, ROOT, SANITIZED, SHARED, Folder, done, nightjar, ok, report, skip


def toy():
    write("toy.c", TOY)
    r = nightjar(
        "profile",
        "toy.c",
        SAMPLE,
        "--lines",
        "--min-samples",
        1000,
        "--seconds",
        60,
        "--json",
        "toy.json",
        "--html",
        "toy.html",
        "--svg",
        "toy.svg",
    )
    if not ok(
        r.returncode == 0 and "Line Contents" in r.stdout and os.path.exists("toy.json"),
        "an unmodified .c file is profiled",
        r.stdout + r.stderr,
    ):
        return
    p = report("toy.json")
    n, process, module = p["alerts"], lines(p, "process"), p["module"]
    ok(n >= 20, "its alerts", n)
    ok(module["offered"] == module["hits"] == n, "all are offered, and hits", module)
    # E: an always_inline call is no instruction of its own
    want = {"line A": n, "line B": n, "line C": (n + 7) // 8, "line D": n, "line E": None, "line F": n}
    ok(
        {mark: process[number(TOY, mark)]["hits"] for mark in want} == want,
        "hits of the lines of process() are exact",
        process,
    )
    for function, mark, count in (
        ("deep", "deep burns", 4 * n),
        ("deep", "deep calls", 4 * n),
        ("inlined", "inlined burns", n),
    ):
        hits = lines(p, function)[number(TOY, mark)]["hits"]
        ok(hits == count, f"hits of '{mark}' are exact", (hits, count))
    compared = lines(p, "compare")[number(TOY, "compare burns")]["hits"]
    ok(
        compared > 0 and compared % n == 0,
        "hits of a callback of qsort are the same for each alert",
        (compared, n),
    )
    shares_hold("toy", p)


def shares_hold(name, p):
    """What must hold of the shares whatever the clock said."""
    shares = [x["share"] for f in p["functions"] if f["samples"] for x in f["lines"] if x["samples"]]
    ok(shares and all(0 <= s <= 1 + 1e-9 for s in shares), f"{name}: shares lie between 0 and 1", shares)
    ok(
        0 <= p["unplaced"] <= p["samples"],
        f"{name}: samples without a place are counted among the samples",
        (p["unplaced"], p["samples"]),
    )


def threads():
    write("toy.c", TOY)
    r = nightjar(
        "profile",
        "toy.c",
        SAMPLE,
        SAMPLE,
        "-j",
        2,
        "--min-samples",
        1000,
        "--seconds",
        60,
        "--json",
        "two.json",
    )
    if not ok(r.returncode == 0 and os.path.exists("two.json"), "two threads", r.stdout + r.stderr):
        return
    p = report("two.json")
    ok(p["context"]["threads"] == 2, "two threads: in the report", p["context"])
    ok(
        lines(p, "process")[number(TOY, "line B")]["hits"] == p["alerts"] == 40,
        "two threads: hits are exact",
        p["alerts"],
    )
    shares_hold("two threads", p)


def pages():
    name = "the flame graph and the page are well-formed and hold what was measured"
    if not os.path.exists("toy.svg"):
        return ok(False, name)
    svg = xml.etree.ElementTree.parse("toy.svg").getroot()
    title = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}title")]
    n = report("toy.json")["samples"]
    with open("toy.html", encoding="utf-8") as f:
        page = f.read()
    ok(
        "toy: 100.0 %% (%d samples)" % n in title
        and any(t.startswith("qsort") or "sort" in t for t in title)
        and any(t.startswith("compare:") for t in title)
        and "burn(300000); /* line B */" in page
        and "<script" not in page
        and "http" not in page.replace("http://www.w3.org/2000/svg", ""),
        name,
        title,
    )


def incomplete():
    write("toy.c", TOY)
    r = nightjar(
        "profile",
        "toy.c",
        SAMPLE,
        "--lines",
        "--repeat",
        1,
        "--json",
        "g.json",
        env={"GCOV": "/nowhere/gcov"},
    )
    p = report("g.json") if os.path.exists("g.json") else {}
    ok(
        r.returncode == 0 and "/nowhere/gcov" in r.stdout and p.get("samples", 0) > 0 and lines(p, "process"),
        "without gcov: said, and the times are there",
        r.stdout + r.stderr,
    )
    subprocess.run(
        [
            *os.environ.get("CC", "cc").split(),
            "-std=c11",
            "-O2",
            "-fPIC",
            "-shared",
            "-D_GNU_SOURCE",
            "-DNJ_SHARED",
            "-I",
            os.path.join(ROOT, "include"),
            "toy.c",
            "-o",
            "toy.so",
        ],
        check=True,
    )
    r = nightjar("profile", "toy.so", SAMPLE, "--lines", "--repeat", 1)
    ok(
        r.returncode == 0 and "without -g" in r.stdout and "process()" in r.stdout,
        "a module without -g: said, and its total is there",
        r.stdout + r.stderr,
    )
    os.symlink("toy.so", "other.so")
    r = nightjar("profile", "other.so", SAMPLE, "--repeat", 1)
    ok(
        r.returncode == 0 and "process()" in r.stdout,
        "a module by a link of another name",
        r.stdout + r.stderr,
    )
    r = nightjar("profile", "hostles", SAMPLE)
    ok(r.returncode == 1 and "hostless" in r.stderr, "a wrong name is refused with the near one", r.stderr)
    write("bad.c", "int x = ;\n")
    r = nightjar("profile", "bad.c", SAMPLE)
    ok(
        r.returncode == 1 and "bad.c:1" in r.stderr,
        "a module that does not compile: the compiler's words",
        r.stderr,
    )


def clang():
    name = "a module built by clang: its lines, and the counts by gcc"
    if not shutil.which("clang") or not shutil.which("gcc"):
        return skip(name, "clang or gcc is not here")
    r = nightjar(
        "profile", "toy.c", SAMPLE, "--min-samples", 500, "--json", "clang.json", env={"CC": "clang"}
    )
    p = report("clang.json")
    ok("clang" in p["context"]["build"], "a module built by clang: said", p["context"])
    ok(lines(p, "process")[number(TOY, "line B")]["hits"] == p["alerts"], name, r.stdout + r.stderr)


def libraries():
    write("libraries.c", LIBRARIES)
    r = nightjar("profile", "libraries.c", SAMPLE, "--min-samples", 2000, "--json", "lib.json")
    if not ok(
        r.returncode == 0 and os.path.exists("lib.json"),
        "a module that calls libm and FFTW",
        r.stdout + r.stderr,
    ):
        return
    p = report("lib.json")
    process = lines(p, "process")
    for mark, hits in (("/* libm */", 3000), ("/* fftw */", 12)):
        x = process[number(LIBRARIES, mark)]
        ok(x["hits"] == hits * p["alerts"], f"the line of {mark} is counted", x)
        ok(x["samples"] > 0, f"the line of {mark} has samples of what it calls", x)
    elsewhere = [
        x["name"]
        for x in p["functions"]
        if x["samples"] and (not x["file"] or "sysdeps" in x["file"] or "math" in x["file"])
    ]
    ok(elsewhere, "functions of the libraries have samples of their own", [x["name"] for x in p["functions"]])


class Filter(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def no_perf_events():
    """In the child: perf_event_open (298 on x86-64) fails with EPERM, as in a container; everything else is
    allowed."""
    op = lambda code, jt, jf, k: struct.pack("HBBI", code, jt, jf, k)
    code = (
        op(0x20, 0, 0, 0)
        + op(0x15, 0, 1, 298)
        + op(0x06, 0, 0, 0x00050000 | errno.EPERM)
        + op(0x06, 0, 0, 0x7FFF0000)
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Filter(4, code)), 0, 0):
        os._exit(99)


def counters():
    r = nightjar(
        "profile",
        "toy.c",
        SAMPLE,
        "--no-hits",
        "--repeat",
        1,
        "--counters",
        "--json",
        "c.json",
        "--html",
        "c.html",
    )
    p = report("c.json") if os.path.exists("c.json") else {}
    c = p.get("counters", {})
    hardware = ("cycles", "instructions", "cache-misses", "branch-misses")
    print("#", {k: (v["per_alert"], v["why_not"]) for k, v in c.items() if isinstance(v, dict)})
    page = open("c.html", encoding="utf-8").read() if c else ""
    given = (
        all(
            (c[k]["per_alert"] is None) != (c[k]["why_not"] is None)
            for k in hardware + ("task-clock", "page-faults")
        )
        if c
        else False
    )
    ok(given, "--counters: values, or why not, one by one", r.stdout + r.stderr)
    # 1.07e6 steps of the toy per alert, of three instructions each
    steps = c["instructions"]["per_alert"] if c else 0
    ok(steps is None or 2e6 < steps < 2e7, "--counters: the instructions of its steps", steps)
    ok(
        all(
            ("none: " + (c[k]["why_not"] or "")) in r.stdout or c[k]["per_alert"] is not None
            for k in hardware
        ),
        "--counters: what is not there is reported with its reason",
        r.stdout,
    )
    ok("cache-misses" in page, "--counters: in the page")
    name = "perf events refused: said with the reason, and the lines are there all the same"
    if os.uname().machine != "x86_64":
        return skip(name, "the filter is written for x86-64")
    r = subprocess.run(
        [
            NIGHTJAR,
            "profile",
            "toy.c",
            SAMPLE,
            "--lines",
            "--repeat",
            "2",
            "--counters",
            "--json",
            "refused.json",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=no_perf_events,
    )
    if r.returncode == 99:
        return skip(name, "no seccomp filters here")
    p = report("refused.json")
    ok(
        r.returncode == 0
        and all(
            p["counters"][k]["per_alert"] is None and "refused" in p["counters"][k]["why_not"]
            for k in hardware + ("task-clock", "page-faults")
        )
        and p["samples"] > 0
        and r.stdout.count("none: refused") == 6
        and lines(p, "process")[number(TOY, "line B")]["hits"] == p["alerts"],
        name,
        r.stdout + r.stderr,
    )


def per_alert():
    write(
        "plain.c",
        "#define MANY 0\n#define ODD -1\n#define ODD_STEPS 0\n#define MUTE 0\n"
        + SINGLY.replace('"toy"', '"plain"').replace("(toy)", "(plain)"),
    )
    r = nightjar(
        "profile",
        "plain.c",
        SAMPLE,
        SAMPLE,
        "--no-hits",
        "--repeat",
        1,
        "--per-alert",
        "--seconds",
        4,
        "--json",
        "plain.json",
        "--html",
        "plain.html",
    )
    if not ok(r.returncode == 0, "every alert singly", r.stdout + r.stderr):
        return
    a = report("plain.json")["per_alert"]
    ok(a["alerts"] == 40, "every alert singly: all of both sources", a["alerts"])
    ok(a["rounds"] >= 5, "every alert singly: five rounds at least", a["rounds"])
    ok(a["p50_ns"] <= a["p90_ns"] <= a["p99_ns"] <= a["max_ns"], "percentiles in their order", a)
    ok(sum(n for _, n in a["histogram"]) == 40, "the histogram has all of them", a["histogram"])
    ok(sum(m["alerts"] for m in a["modes"]["mode"]) == 40, "the modes have all of them", a["modes"])
    ok(len(a["modes"]["mode"]) == 1 + a["bimodal"], "as many modes as it says", a["modes"])
    ok(("goes_with" in a["modes"]) == a["bimodal"], "what goes with several modes", a["modes"])
    ok(("BIMODAL" if a["bimodal"] else "One mode") in r.stdout, "and in words", r.stdout)
    ok(
        a["n_outliers"] == sum(x["outlier"] for x in a["cost"]),
        "outliers are those of the list",
        a["n_outliers"],
    )
    ok(
        all(re.search(r"%d +[0-9.]+ [um]s +[0-9.]+" % x["id"], r.stdout) for x in a["cost"] if x["outlier"]),
        "and named by their ids",
        r.stdout,
    )
    ok("p99" in r.stdout and "##" in r.stdout, "percentiles and a histogram are printed", r.stdout)


def flags():
    def run(*more):
        return nightjar(
            "profile", "toy.c", SAMPLE, "--min-samples", 300, "--json", "f.json", "--html", "f.html", *more
        ).stdout

    text = run("--lines", "-u", 1, "-m")
    p = report("f.json")
    page = open("f.html", encoding="utf-8").read()
    m = re.search(r"^ +%d +%d +([0-9.e-]+) " % (number(TOY, "line B"), p["alerts"]), text, re.M)
    ok("Timer unit: 1 s" in text, "-u: the unit", text)
    # the text has one place of a second, the file nanoseconds
    ok(
        m and abs(float(m.group(1)) - lines(p, "process")[number(TOY, "line B")]["time_ns"] / 1e9) < 0.1,
        "-u: the text has the file's times in it",
        text,
    )
    ok(re.search(r"seconds +100.0 % - toy.c:\d+ - process", text), "-m: the summary", text)
    order = re.findall(r"^Function: (\w+) at", run("--lines", "-t"), re.M)
    times = [f["total_ns"] for name in order for f in report("f.json")["functions"] if f["name"] == name]
    ok(len(times) > 3 and times == sorted(times), "-t: by time, the most expensive last", (order, times))
    bare = TOY.replace(
        "static int process",
        "static __attribute__((noinline, used)) void never(void)\n{\n    sink++;\n}\nstatic int process",
    )
    write("toy.c", bare)
    ok("Never called: never" in run("--lines"), "what was never called is named")
    ok("never" not in run("--lines", "-z"), "-z: without what took no time")
    write("toy.c", TOY)
    header = {
        "samples": str(p["samples"]),
        "digest": p["context"]["input_digest"][7:23],
        "alerts": "%d offered" % p["alerts"],
        "clock": "wall",
        "compiler": "GNU C",
        "footnote": "below 3/n",
    }
    for what, words in header.items():
        ok(words in text, f"the text has its {what}", (words, text[:1500]))
        ok(words in page, f"the page has its {what}", words)
    ok(
        re.search(r"Time +Per Hit +% Time +\+- +% Mod +Line Contents", text) and "of the module" in text,
        "the text has the +- column and the shares of the module",
        text[:1500],
    )
    ok("<th>&plusmn;</th><th>% Mod</th>" in page, "so has the page")
    ok("<script" not in page, "the page has no script")
    rare = [x for f in p["functions"] if f["samples"] for x in f["lines"] if x["hits"] and not x["samples"]]
    ok(
        all(0 < x["below"] <= 1 for x in rare),
        "a line that ran and has no sample has an upper limit",
        rare[:2],
    )
    ok(
        all(x["share_sd"] is not None for f in p["functions"] for x in f["lines"] if x["samples"]),
        "a line with samples has an error",
    )
    energy(p, text, page)


def energy(p, text, page):
    e = p["energy"]
    joule, carbon = e["joule_per_million_alerts"], e["gco2e_per_million_alerts"]
    for name, x in (("energy", joule), ("carbon", carbon)):
        ok(set(x) == {"value", "low", "high", "kind", "source", "year"}, f"{name}: its fields", x)
        ok(0 < x["low"] <= x["value"] <= x["high"], f"{name}: the value lies in its band", x)
        ok(x["kind"] in ("measured", "modelled", "assumed") and x["source"], f"{name}: kind and source", x)
    ok(
        abs(carbon["value"] / (joule["value"] * e["pue"] * e["g_per_kwh"] / 3.6e6) - 1) < 1e-9,
        "carbon is energy, overhead and grid",
        e,
    )
    for words in (
        "Energy per million alerts, " + joule["kind"],
        "Carbon per million alerts",
        "tier " + e["tier"],
    ):
        ok(words in text, f"the text: {words}", text[-800:])
    ok(joule["source"] in html.unescape(page) and "g CO2e" in page, "energy and carbon in the page")


def overhead():
    r = nightjar(
        "profile",
        "nalerthist",
        SAMPLE,
        "--no-hits",
        "--min-samples",
        200,
        "--seconds",
        5,
        "--overhead",
        "--json",
        "o.json",
    )
    m = re.search(r"Overhead of sampling: (-?[0-9.]+) % of CPU \[(-?[0-9.]+), (-?[0-9.]+)\]", r.stdout)
    o = report("o.json")["context"]["overhead"]
    ok(o["pairs"] >= 9, "what the samples cost is measured in pairs", o)
    ok(o["low"] <= o["share"] <= o["high"], "and lies in its band", o)
    ok(
        m and abs(100 * o["share"] - float(m.group(1))) < 0.06,
        "what is printed is what the file has",
        r.stdout + r.stderr,
    )


def real():
    name = "hostless on the real night: offered, hits and candidates are those of a run"
    night = os.path.join(SHARED, "real", "ztf")
    if not SHARED or not os.path.isdir(night):
        return skip(name, "the real packets are not here")
    nightjar("profile", "hostless", night, "--min-samples", 500, "--json", "h.json")
    p = report("h.json")
    calls = {f["name"]: f["calls"] for f in p["functions"] if f["calls"]}
    m = p["module"]
    nightjar("run", "-q", night, "-m", "hostless", "--report", "run.json")
    run = next(x for x in report("run.json")["modules"] if x["name"] == "hostless")
    same = ("offered", "hits", "flagged")
    ok([m[k] for k in same] == [run[k] for k in same] and m["hits"] > 0, name, (m, run))
    ok(calls.get("do_row") == m["offered"], "hostless: do_row() once for each alert", calls)
    with open(os.path.join(ROOT, "modules", "hostless.c"), encoding="utf-8") as f:
        source = f.read().split("\n")
    row = next(f for f in p["functions"] if f["name"] == "do_row")
    hits = {
        call: [x["hits"] for x in row["lines"] if call in source[x["line"] - 1]]
        for call in ("nj_lone_judge(", "nj_lone_look(")
    }
    ok(hits["nj_lone_judge("] == [m["hits"]], "hostless: nj_lone_judge() once for each hit", hits)
    # the line is a loop: its condition is tested once more than its body runs
    ok(hits["nj_lone_look("] == [3 * m["hits"]], "hostless: nj_lone_look() twice for each hit", hits)
    ok(calls.get("write_counts") == m["hits"], "hostless: write_counts() once for each hit", calls)
    ok(calls.get("test_spectra") == m["flagged"], "hostless: test_spectra() once for each candidate", calls)


def readme():
    """The table in perf/README.md is this command's output: its lines and hits, where the times are another
    day's."""
    name = "the table of hostless in perf/README.md has the hits of a run"
    night = os.path.join(SHARED, "real", "ztf")
    if not SHARED or not os.path.isdir(night):
        return skip(name, "the real packets are not here")
    with open(os.path.join(ROOT, "perf", "README.md"), encoding="utf-8") as f:
        table = next(part for part in f.read().split("```") if "Module hostless" in part)
    p = report("h.json")
    m = p["module"]
    wrong, n = [], 0
    for block in table.split("Total time:")[1:]:
        function = re.search(r"^Function: (\w+) at line (\d+)", block, re.M)
        f = next(
            (
                f
                for f in p["functions"]
                if f["name"] == function.group(1) and f["first"] == int(function.group(2))
            ),
            None,
        )
        if not f:
            wrong.append(function.group(0))
            continue
        found = {x["line"]: x["hits"] for x in f["lines"]}
        source = open(f["file"], encoding="utf-8").read().split("\n")
        for row in re.findall(r"^ *\d+ .{54}.*$", block, re.M):
            line, hits, text = int(row[:6]), row[7:16].strip(), row[62:]
            n += 1
            if (int(hits) if hits else None) != (found.get(line) or None) or text != source[line - 1]:
                wrong.append((row, found.get(line), source[line - 1]))
    ok(n > 40 and not wrong, "the table of hostless in perf/README.md has its lines and hits", (n, wrong))
    ok(
        p["context"]["input_digest"][7:23] in table
        and "Counts: %d offered, %d passed, %d hits, %d flagged"
        % (m["offered"], m["passed"], m["hits"], m["flagged"])
        in table,
        name,
        m,
    )


if SANITIZED:
    skip("profile", "a sanitized host times its sanitizer")
else:
    with Folder():
        toy()
        pages()
        threads()
        incomplete()
        clang()
        libraries()
        counters()
        per_alert()
        flags()
        overhead()
        real()
        readme()
done()
