#!/usr/bin/env python3
"""One cost: the table, the report and the page of a run say the same CPU time per alert; the table fits its
terminal; the words are explained."""

import fcntl, html, json, os, pty, re, struct, subprocess, termios
from report import Page
from tap import NIGHTJAR, ROOT, Folder, done, nightjar, ok, report

SAMPLE = os.path.join(ROOT, "data", "sample.tar.gz")
TERMS = (
    "alert",
    "packet",
    "offered",
    "passed",
    "hit",
    "flagged",
    "on-sky",
    "effective",
    "band of an estimate",
    "ledger",
    "dead letter",
    "receipt",
    "cost",
    "wall time",
    "per core",
    "share",
    "rest of the run",
)


def run_at(columns, *args):
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    return subprocess.run(
        [NIGHTJAR, "run", SAMPLE, *args],
        capture_output=True,
        text=True,
        env=dict(env, COLUMNS=columns) if columns else env,
    )


COLUMNS = (
    ("", "offered"),
    ("", "passed"),
    ("", "hits"),
    ("", "flagged"),
    ("CPU", "us/alert"),
    ("", "share"),
    ("alerts/s", "per core"),
    ("hits/s", "per core"),
    ("wall", "us/alert"),
    ("p50*", "us"),
    ("p99*", "us"),
    ("max*", "us"),
)
OF_RUN = ("offered", "CPU us/alert", "share", "alerts/s per core")


def table(text):
    """The rows by name, each a dict by head; a head is its two lines."""
    lines = text.splitlines()
    at = next(i for i, x in enumerate(lines) if x.startswith("module "))
    end = next(i for i in range(at, len(lines)) if lines[i].startswith("whole run"))
    heads = [
        (over + " " + head).strip()
        for over, head in COLUMNS
        if (over in lines[at - 1].split() if over else head in lines[at].split())
    ]
    rows = {}
    for line in lines[at + 1 : end + 1]:
        of_run = line.startswith(("whole run", "rest of the run"))
        mine = [h for h in heads if not of_run or h in OF_RUN]
        name, *cells = line.replace(" %", "%").rsplit(None, len(mine))
        rows[name] = dict(zip(mine, (x.replace("%", " %") for x in cells)))
    return rows


def the_same():
    r = run_at("400", "--report", "run.json")
    run = report("run.json")
    nightjar("report", "run.json", "-o", "page.html")
    text = open("page.html", encoding="utf-8").read()
    page = Page(text)
    cells = next(t for t in page.tables if t[0][0] == "module" and "CPU us/alert" in t[0])
    head = cells[0]
    on_page = {re.sub(r" [\d.]+$", "", row[0].strip()): dict(zip(head, row)) for row in cells[1:]}
    in_table = table(r.stdout)
    for m in run["modules"]:
        if not m["offered"]:
            continue
        name, seen, paged = m["name"], in_table[m["name"]], on_page[m["name"]]
        us = m["cpu_us_per_alert"]
        said = "<0.01" if us < 0.005 else f"{us:.2f}"
        ok(seen["CPU us/alert"] == said, f"{name}: the table has the report's CPU time per alert", (seen, us))
        ok(paged["CPU us/alert"] == said, f"{name}: the page as well", (paged, us))
        ok(abs(us * m["onsky_per_s_core"] / 1e6 - 1) < 1e-9, f"{name}: alerts/s per core is 1e6 by it", m)
        ok(
            abs(us * m["offered"] * 1e3 / m["cpu_ns"] - 1) < 1e-9,
            f"{name}: it is CPU time over alerts offered",
            m,
        )
        ok(
            seen["alerts/s per core"] == paged["alerts/s per core"],
            f"{name}: the rate is the same in table and page",
            (seen, paged),
        )
        ok(
            seen["share"] == paged["share"] == f"{100 * m['share']:.1f} %",
            f"{name}: the share is the same in all three",
            (seen, paged, m["share"]),
        )
        ok(
            seen["wall us/alert"] == paged["wall us/alert"],
            f"{name}: wall time apart, and the same",
            (seen, paged),
        )
    t = run["throughput"]
    said = f"{t['cpu_us_per_alert']:.2f}"
    ok(
        in_table["whole run"]["CPU us/alert"] == said,
        "the whole run: the table has the report's figure",
        (in_table["whole run"], said),
    )
    ok(on_page["whole run"]["CPU us/alert"] == said, "the page as well", on_page["whole run"])
    ok(f"<b>{said}</b>" in text, "and at its top", said)
    ok(
        abs(t["cpu_us_per_alert"] * t["alerts_per_s_core"] / 1e6 - 1) < 1e-9,
        "alerts/s per core is 1e6 by it",
        t,
    )
    ok(
        abs(t["cpu_s"] * 1e6 / run["ledger"]["consumed"] / t["cpu_us_per_alert"] - 1) < 1e-9,
        "it is the CPU time of the process over alerts consumed",
        t,
    )
    parts = sum(m["cpu_ns"] for m in run["modules"]) / 1e9 + t["rest_cpu_s"]
    ok(
        abs(parts / t["cpu_s"] - 1) < 1e-9,
        "modules, stages and the rest of the run are all of it",
        (parts, t),
    )
    ok(
        abs(sum(m["share"] for m in run["modules"]) + t["rest_cpu_s"] / t["cpu_s"] - 1) < 1e-9,
        "their shares are 100 %",
    )
    ok(
        in_table["rest of the run"]["CPU us/alert"] == on_page["rest of the run"]["CPU us/alert"],
        "the rest is the same in table and page",
    )
    run["modules"][0]["share"] = run["modules"][0]["onsky_per_s_core"] = run["modules"][0][
        "cpu_us_per_alert"
    ] = 876543219876.0
    json.dump(run, open("old.json", "w"))
    nightjar("report", "old.json", "-o", "old.html")
    ok(
        "876543219876" not in re.sub(r"<script.*?</script>", "", open("old.html").read(), flags=re.S),
        "the page of an older report is made of times and counts, not of what that version called cost",
    )


def not_clocked():
    r = run_at("400", "-D", "run.counters=0", "--report", "off.json")
    off = report("off.json")
    ok(off["modules"][0]["cpu_us_per_alert"] is None, "counters off: null, not 0", off["modules"][0])
    ok("rest of the run" not in r.stdout, "and no rest of what is not known", r.stdout)
    ok(off["throughput"]["cpu_us_per_alert"] > 0, "the whole run is clocked all the same")
    nightjar("report", "off.json", "-o", "off.html")
    ok("rest of the run</td>" not in open("off.html").read(), "nor on the page")


def widths():
    heads = {}
    for columns in (40, 60, 80, 100, 120, 200):
        r = run_at(str(columns), "-w", "rb > 0.5")
        wide = [x for x in r.stdout.splitlines() if len(x) > columns]
        ok(not wide, f"{columns} columns: no line is wider", "\n".join(wide))
        heads[columns] = list(next(iter(table(r.stdout).values())))
    ok("CPU us/alert" in heads[40], "the cost is there in 40 columns", heads[40])
    ok(
        {"offered", "hits", "flagged", "share", "alerts/s per core"} <= set(heads[80]),
        "what is measured is there in 80",
        heads[80],
    )
    ok("wall us/alert" in heads[120], "wall time is there in 120", heads[120])
    for a, b in ((40, 60), (60, 80), (80, 100), (100, 120), (120, 200)):
        ok(set(heads[a]) <= set(heads[b]), f"{b} columns have every head of {a}", (heads[a], heads[b]))
    text = run_at("80").stdout
    lines = text.splitlines()
    ok(
        "wall us/alert" in " ".join(text.split()).split("In a wider terminal")[1],
        "a column without room is named at the foot",
        lines[-4:],
    )
    ok("`nightjar help terms`" in " ".join(text.split()), "the foot names the words")
    first = lambda word: next(i for i, x in enumerate(lines) if x.startswith(word))
    ok(
        first("whole run") < first("Energy ") < first("Carbon ") < first("Money ") < first("CPU us/alert: "),
        "measured, then a line each of energy, carbon, money, then the heads",
        text,
    )
    ok(first("Money ") == first("Carbon ") + 1 == first("Energy ") + 2, "one line each", text)
    for said in (None, "", "wide", "-5", "12", "100x", "1e3"):
        width = max(len(x) for x in run_at(said).stdout.splitlines())
        ok(60 < width <= 80, f"COLUMNS {said!r}, no terminal: 80", width)
    long_name = "n" * 60
    r = run_at("80", "-D", f"module.{long_name}.kind=roid", "-m", f"{long_name},features")
    ok(
        all(len(x) <= 80 for x in r.stdout.splitlines()) and "nnn..." in r.stdout,
        "a long name is cut, and seen to be",
        r.stdout + r.stderr,
    )


def in_terminal(columns, **env):
    """What a run writes to a terminal of so many columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    p = subprocess.Popen(
        [NIGHTJAR, "run", "-m", "roid", SAMPLE], stdout=child, stderr=subprocess.DEVNULL, env={**clean, **env}
    )
    os.close(child)
    text = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    p.wait()
    os.close(parent)
    return [x.rstrip("\r") for x in text.decode().splitlines()]


def terminals():
    wide = max(map(len, in_terminal(100)))
    ok(80 < wide <= 100, "a terminal of 100 columns is filled", wide)
    wide = max(map(len, in_terminal(70)))
    ok(60 < wide <= 70, "one of 70 as well", wide)
    wide = max(map(len, in_terminal(120, COLUMNS="80")))
    ok(wide <= 80, "COLUMNS goes before the terminal", wide)


def words():
    r = nightjar("help", "terms")
    lines = r.stdout.splitlines()
    ok(
        r.returncode == 0 and all(len(x) <= 80 for x in lines),
        "help terms: 80 columns",
        [x for x in lines if len(x) > 80],
    )
    text = html.unescape(open("page.html", encoding="utf-8").read())
    for term in TERMS:
        ok(term in lines, f"{term}: it is explained", r.stdout)
        ok(f"<dt>{term}</dt>" in text, f"{term}: on the page as well")
    flat = " ".join(r.stdout.split())
    said = re.findall(r"<dd>(.*?)</dd>", text)
    ok(
        len(said) >= len(TERMS) and all(x in flat for x in said),
        "the page says what the command says",
        [x for x in said if x not in flat],
    )
    ok("href=\"#words\"" in text and "<h2 id=words>" in text, "the heads of the page link to them")
    ok("data/embed/terms.txt" in open(os.path.join(ROOT, "README.md")).read(), "README.md links to them")
    one = nightjar("help", "terms", "receipt").stdout
    ok(one.startswith("receipt: ") and "offset" in one, "help terms WORD: that one", one)
    ok("1e6 / (CPU us/alert)" in nightjar("help", "terms", "per core").stdout, "per core has the one meaning")
    for args, near in ((("terms", "reciept"), "receipt"), (("rum",), "run")):
        r = nightjar("help", *args)
        ok(
            (r.returncode, f"'{near}'" in r.stderr) == (1, True),
            f"help {' '.join(args)}: exit 1, and what was meant",
            r.stderr,
        )
    ok(nightjar("help", "run").stdout == nightjar("run", "--help").stdout, "help COMMAND is COMMAND --help")
    ok(nightjar("help").stdout == nightjar("--help").stdout, "help alone lists the commands")


def compared():
    """One report of each side has wall times of calls only; several have the cost."""
    for k in range(2):
        nightjar("run", "-q", SAMPLE, "-m", "roid", "--report", f"r{k}.json")
    r = nightjar("compare", "r0.json", "r1.json")
    ok(
        "wall time of calls with one row" in r.stdout,
        "compare of two reports says that it has wall times",
        r.stdout,
    )
    r = nightjar("compare", "r0.json,r1.json", "r1.json")
    ok(
        "CPU time per alert" in r.stdout and "wall time" not in r.stdout,
        "of several and one: CPU time on both sides",
        r.stdout,
    )
    line = next(x for x in r.stdout.splitlines() if x.startswith("roid "))
    said = re.findall(r"([\d.]+) (ns|us|ms)", line)[1]
    got = float(said[0]) * {"ns": 1e-3, "us": 1, "ms": 1e3}[said[1]]
    want = next(m for m in report("r1.json")["modules"] if m["name"] == "roid")["cpu_us_per_alert"]
    ok(abs(got / want - 1) < 0.01, "and it is the report's figure", (line, want))
    r = nightjar("diff", "roid", "roid", SAMPLE, "--rounds", 1)
    ok(re.search(r"cost: [\d.]+ -> [\d.]+ CPU us/alert", r.stdout), "diff names its cost", r.stdout)


with Folder():
    the_same()
    not_clocked()
    widths()
    terminals()
    words()
    compared()
done()
