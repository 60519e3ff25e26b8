#!/usr/bin/env python3
"""Files of topics: what the ready ones match of a simulated night is what their sentences say, computed again
here; `nightjar topics check` and the tests that stand beside a topic."""

import json, math, os, tarfile
from tap import ROOT, Folder, done, nightjar, ok, rows

N = 1200
READY = ["young_risers", "orphans", "faders", "artefacts"]
LC = "lc.jd,lc.kind,lc.band,lc.mag"


def points(r, band=None):
    """Detections: (jd, mag), in time."""
    code = {"g": 1, "r": 2, "i": 3}.get(band)
    all = zip(r["lc.jd"], r["lc.kind"], r["lc.band"], r["lc.mag"])
    return sorted((jd, mag) for jd, kind, b, mag in all if kind == 0 and (band is None or b == code))


def good(r):
    scores = [s for s in (r["rb"], r["drb"]) if s is not None] + [1]
    return r["positive"] == 1 and scores[0] >= 0.55 and r["roid.roid"] < 2


def young_risers(r):
    first = min(r["first_jd"] or r["jd"], points(r)[0][0])
    before = [p for p in points(r, r["band"]) if p[0] < r["jd"]]
    rise = before and before[-1][1] - r["mag"] > 3 * r["mag_err"]
    return good(r) and 0.02 <= r["jd"] - first <= 10 and bool(rise)


def orphans(r):
    recent = [p for p in points(r) if r["jd"] - 30 <= p[0] <= r["jd"]]
    alone = r["ref_dist"] > 1.5 and not 0 <= r["near1_dist"] <= 2
    return good(r) and r["hostless.verdict"] == 1 and alone and len(recent) >= 2


def faders(r):
    band = points(r, r["band"])
    peak = [mag for jd, mag in band if r["jd"] - 60 <= jd <= r["jd"] - 1]
    before = [mag for jd, mag in band if jd < r["jd"] - 0.5]
    below = peak and r["mag"] - min(peak) > max(0.5, 3 * r["mag_err"])
    return good(r) and bool(below) and r["mag"] > before[-1]


def artefacts(r):
    return r["rb"] < 0.3 or r["nbad"] > 0


def ready(all):
    for name in READY:
        want = {r["candid"] for r in all if globals()[name](r)}
        got = {r["candid"] for r in all if name in r["topics"].split(",")}
        ok(want == got, f"{name}: {len(got)} alerts, as by its sentence", sorted(want ^ got)[:5])
        ok(0 < len(got) < len(all), f"{name}: some match, some do not", len(got))


def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)


def check_night(all):
    r = nightjar("topics", "check", "ready", "night.tar", "--json")
    ok(r.returncode == 0, "check: every ready topic matches some, and not too many", r.stderr)
    found = json.loads(r.stdout)
    ok(found["alerts"] == N, "check: all alerts are counted", found["alerts"])
    by_name = {t["name"]: t for t in found["topics"]}
    for name in READY:
        t, mine = by_name[name], [x for x in all if name in x["topics"].split(",")]
        k, n, z = len(mine), len(all), 1.959963984540054
        p = k / n
        middle = (p + z * z / 2 / n) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
        moving = sum(x["roid.roid"] >= 2 for x in mine) / k
        low = sum(x["rb"] < 0.5 for x in mine) / k
        ok(t["matches"] == k, f"check: matches of {name}", t["matches"])
        ok(abs(t["low"] - (middle - half)) < 1e-6, f"check: the lower end of {name}'s interval", t)
        ok(abs(t["high"] - (middle + half)) < 1e-6, f"check: and the upper one", t)
        ok(abs(t["moving"] - moving) < 1e-6, f"check: the share of asteroids in {name}", t)
        ok(abs(t["low_rb"] - low) < 1e-6, f"check: the share of rb < 0.5", t)
        ok(t["clause_us"] > 0, f"check: what its clause costs", t)
        ok(t["examples"] == [x["candid"] for x in mine[:5]], f"check: examples of {name}", t["examples"])
        ok(t["sentence"].endswith("."), f"check: {name} has a sentence")
        for other in READY:
            both = sum(other in x["topics"].split(",") for x in mine)
            if other != name:
                ok(t["overlap"].get(other, 0) == both, f"check: overlap of {name} and {other}", t["overlap"])
    r = nightjar("topics", "check", "ready", "night.tar")
    ok(all_lines(r.stdout, 80), "check: the table is 80 columns wide", r.stdout)
    for word in [*READY, "all alerts", "Overlap:", "Examples of faders:"]:
        ok(word in r.stdout, f"check: the table has '{word}'", r.stdout)


def all_lines(text, most):
    return all(len(line) <= most for line in text.splitlines())


def the_tests(all):
    a = next(r["candid"] for r in all if r["mag"] < 18)
    b = next(r["candid"] for r in all if r["mag"] > 19)
    text = "[topic.bright]\nwhere = mag < 18\ncap = 90 %\n"
    os.mkdir("mine")
    os.link("night.tar", "mine/n.tar")
    write("mine/t.ini", f"{text}passes = n.tar#{a}\nfails = n.tar#{b}\nat_most = 50 % of n.tar\n")
    r = nightjar("topics", "check", "mine/t.ini")
    ok(r.returncode == 0, "tests beside the file pass", r.stdout + r.stderr)
    ok("3 of 3 tests passed" in r.stdout, "which is said", r.stdout)
    for name, line, why in [
        ("passes", f"n.tar#{b}", "does not match bright"),
        ("fails", f"n.tar#{a}", "matches bright"),
        ("passes", "n.tar#1", "no alert of that id"),
        ("at_most", "1 of n.tar", "match"),
        ("at_most", "0.01 % of n.tar", "match"),
        ("passes", f"gone.tar#{a}", "gone.tar"),
    ]:
        write("mine/t.ini", f"{text}{name} = {line}\n")
        r = nightjar("topics", "check", "mine/t.ini")
        ok(r.returncode == 1, f"{name} = {line}: fails", r.stdout + r.stderr)
        ok(why in r.stdout, f"and why: {why}", r.stdout)
    write("mine/t.ini", f"{text}passes = n.tar#{a}, n.tar#{b}\nfails = n.tar#{b}\n")
    r = nightjar("topics", "check", "mine/t.ini", "--json")
    tests = json.loads(r.stdout)["topics"][0]["tests"]
    ok([t["passed"] for t in tests] == [True, False, True], "several tests of a kind, each judged", tests)
    for cap, verdict in [("90 %", "fine"), ("1 %", "above cap"), ("3", "above cap"), ("100000", "fine")]:
        write("mine/t.ini", f"[topic.bright]\nwhere = mag < 18\ncap = {cap}\n")
        r = nightjar("topics", "check", "mine/t.ini", "night.tar", "--json")
        ok(json.loads(r.stdout)["topics"][0]["verdict"] == verdict, f"cap = {cap}: {verdict}", r.stdout)
        ok(r.returncode == (verdict != "fine"), f"cap = {cap}: exit code", r.returncode)
    write("mine/t.ini", "[topic.none]\nwhere = mag < 1\n")
    r = nightjar("topics", "check", "mine/t.ini", "night.tar")
    ok(r.returncode == 1, "a topic that matches nothing: exit code 1", r.returncode)
    ok("none: matches no alert" in r.stderr, "and it is named", r.stderr)


def own_outputs(all):
    """Outputs of a topic: its rows, its columns; counts in report, table, page; a cap in a run."""
    write(
        "own.ini",
        "[topic.bright]\nwhere = mag < 18\ncap = 1 %\ncolumns = mag, packet.candidate.fid, lc.mag, object\n"
        "sinks = ndjson:b-{topic}.ndjson avro:b.avro\n[topic.faint]\nwhere = mag > 20\n"
        "sinks = csv:faint.csv\n",
    )
    args = ("run", "night.tar", "--topics", "own.ini", "-m", "roid", "--report", "own.json")
    r = nightjar(*args, "-o", "ndjson:own.ndjson", "--dead-letters", "dead.avro")
    ok(r.returncode == 0, "own outputs: a run", r.stderr)
    bright = [x for x in all if x["mag"] < 18]
    faint = [x for x in all if x["mag"] > 20]
    both = rows("own.ndjson")
    ok({x["candid"] for x in both} == {x["candid"] for x in bright + faint}, "own outputs: -o has all")
    ok("lc.mag" not in both[0], "own outputs: without the columns of theirs", both[0])
    mine = rows("b-bright.ndjson")
    ok([x["candid"] for x in mine] == [x["candid"] for x in bright], "own outputs: the rows of one")
    columns = ["candid", "jd", "mag", "packet.candidate.fid", "lc.mag", "object"]
    ok(list(mine[0]) == columns, "own outputs: its columns, in their order", list(mine[0]))
    same = all_same(mine, bright, ["jd", "mag", "lc.mag", "object"])
    ok(same, "own outputs: with the values of the others")
    band = {1: "g", 2: "r", 3: "i"}
    ok(
        [band[x["packet.candidate.fid"]] for x in mine] == [x["band"] for x in bright],
        "own outputs: and raw fields",
    )
    ok(os.path.getsize("b.avro") > 1000, "own outputs: a second one")
    lines = open("faint.csv", encoding="utf-8").read().splitlines()
    ok(len(lines) == len(faint) + 1, "own outputs: of another topic", len(lines))
    ok("hostless" not in lines[0] and "topics" in lines[0], "own outputs: no columns said: all", lines[0])
    found = {t["name"]: t for t in json.load(open("own.json", encoding="utf-8"))["topics"]}
    ok(found["bright"]["matches"] == len(bright), "counts: matches in the report", found)
    ok(found["bright"]["offered"] == N, "counts: of all alerts", found)
    r = nightjar(*args, "-o", "null:", "--overwrite")
    ok(f"Topics: bright {len(bright)} (" in r.stdout, "counts: in the table", r.stdout)
    warned = [line for line in r.stderr.splitlines() if "above its cap of 1 %" in line]
    ok(len(warned) == 1, "a cap: one warning a night", r.stderr)
    ok("topic bright" in warned[0], "a cap: with the topic", warned)
    nightjar("report", "own.json", "-o", "own.html")
    page = open("own.html", encoding="utf-8").read()
    ok(f"<td>bright</td>" in page, "counts: in the page")
    write("own.ini", "[topic.a]\nwhere = 1\nsinks = ndjson:x.ndjson\ncolumns = magg\n")
    r = nightjar("run", "night.tar", "--topics", "own.ini", "-m", "roid")
    ok("[topic.a] columns" in r.stderr and "'mag'" in r.stderr, "a misspelt column: named", r.stderr)
    write("own.ini", "[topic.a]\nwhere = 1\nsinks = ndjsn:x.ndjson\n")
    r = nightjar("run", "night.tar", "--topics", "own.ini", "-m", "roid")
    ok(r.returncode == 1, "a misspelt output: exit code 1", r.stderr)


def all_same(a, b, keys):
    return len(a) == len(b) and all(x[k] == y[k] for x, y in zip(a, b) for k in keys)


def mistakes():
    for text, words in [
        ("[topic.a]\nwere = 1\n", "did you mean 'where'"),
        ("[topic.a]\nsentence = x\n", "has no clause"),
        ("[topic.A]\nwhere = 1\n", "the name of a topic is"),
        ("[topic.a]\nwhere = mag <\n", "is not finished"),
        ("[topic.a]\nwhere = magg < 3\n", "did you mean 'mag'"),
        ("[topic.a]\nwhere = 1\ncap = many\n", "expected a share"),
        ("[topic.a]\nwhere = 1\ncap = 120 %\n", "expected a share"),
        ("[topic.a]\nwhere = 1\npasses = night.tar\n", "expected FILE#ID"),
        ("[topic.a]\nwhere = 1\npasses = night.tar#x\n", "a whole number"),
        ("[topic.a]\nwhere = 1\nat_most = 5 % in night.tar\n", "5 % of FILE"),
        ("[topic.a]\nwhere = 1\nwhere = 2\n", "of the section is in line 2, too"),
        ("[topic.a]\nwhere = 1\n[topic.a]\nwhere = 2\n", "of the section is in line 2, too"),
        ("[run]\nwhere = 1\n", "a file of topics has"),
        ("[module.roid]\n", "has no topic"),
    ]:
        write("t.ini", text)
        r = nightjar("topics", "check", "t.ini", "night.tar")
        ok(r.returncode == 1, f"{text!r}: refused", r.stdout)
        ok(words in r.stderr, f"with the words: {words}", r.stderr)
    write("t.ini", "[topic.orphans]\nwhere = 1\n")
    for two in (["t.ini", "ready"], ["ready", "t.ini"]):
        r = nightjar("run", "night.tar", "-o", "null:", *(x for f in two for x in ("--topics", f)))
        ok(r.returncode == 1, f"a topic of one name in {two}: refused", r.stdout)
        ok("[topic.orphans] is there already, at " in r.stderr, f"{two}: and where it is", r.stderr)
    r = nightjar("topics", "check", "redy", "night.tar")
    ok("did you mean 'ready'" in r.stderr, "a built-in file has a near miss", r.stderr)
    r = nightjar("topics", "chek", "ready")
    ok("did you mean 'check'" in r.stderr, "so has the verb", r.stderr)


def my_galaxies(all):
    """The catalogue: where the first alert of a new, fixed object is; no other."""
    new = [r for r in all if good(r) and r["ndethist"] <= 3]
    with open("mine.csv", "w", encoding="utf-8") as f:
        f.write(f"name,ra,dec\nNGC 1,{new[0]['ra']},{new[0]['dec']}\n")
    r = nightjar("catalog", "build", "mine.csv", "-o", "my_galaxies.njx", "--radius", "60")
    ok(r.returncode == 0, "my galaxies: a catalogue", r.stderr)
    here = ["-D", "catalogs.path=" + os.getcwd()]
    r = nightjar(
        *("run", "night.tar", "-q", "--topics", "my_galaxies", *here, "-m", "my_galaxies,roid"),
        *("-o", "ndjson:g.ndjson"),
    )
    ok(r.returncode == 0, "my galaxies: a run", r.stderr)
    got = {x["candid"] for x in rows("g.ndjson")}

    def near(x):
        d = math.radians(x["dec"])
        east = (x["ra"] - new[0]["ra"]) * math.cos(d)
        return math.hypot(east, x["dec"] - new[0]["dec"]) * 3600 < 60

    want = {x["candid"] for x in new if near(x)}
    ok(got == want, f"my galaxies: {len(got)} new ones in them", got ^ want)
    ok(len(got) < len(new), "my galaxies: and new ones elsewhere are not")
    write("mine2.ini", open(f"{ROOT}/data/topics/my_galaxies.ini", encoding="utf-8").read())
    with open("mine2.ini", "a", encoding="utf-8") as f:
        other = next(x["candid"] for x in new if not near(x))
        f.write(f"passes = night.tar#{new[0]['candid']}\nfails = night.tar#{other}\n")
    r = nightjar("topics", "check", "mine2.ini", *here)
    ok(r.returncode == 0, "my galaxies: one passes, one does not", r.stdout + r.stderr)


def the_guide():
    """The table of TOPICS.md is what `topics check` says of that night, but for what a clause takes."""
    with open(os.path.join(ROOT, "broker/flow/TOPICS.md"), encoding="utf-8") as f:
        guide = f.read().split("`simulate -n 3000 --seed 5`")[1].split("```")[1].removeprefix("text\n")
    nightjar("simulate", "-q", "-n", 3000, "--seed", 5, "-o", "guide.tar", "--truth", "guide.csv")
    r = nightjar("topics", "check", "ready", "guide.tar")

    def table(text):
        lines = [x.split() for x in text[text.index("topic ") :].splitlines()]
        names = {"young_risers", "orphans", "faders", "artefacts"}
        return [x[:-1] if x[0] in names else x for x in lines if x]

    ok(r.returncode == 0 and table(r.stdout) == table(guide), "the table in the guide", (r.stdout, r.stderr))
    ok(sum(1 for x in table(guide) if x[0] == "Examples") == 4, "with examples of each ready topic", guide)


with Folder():
    r = nightjar("simulate", "-q", "-n", N, "--seed", 5, "-o", "night.tar")
    ok(r.returncode == 0, "a night", r.stderr)
    r = nightjar(
        *("run", "night.tar", "-q", "--topics", "ready", "-t", "every=1", "-m", "roid,hostless"),
        *("--columns", f"{LC},first_jd,ref_dist,near1_dist,nbad", "-o", "ndjson:all.ndjson"),
        *("--report", "r.json"),
    )
    ok(r.returncode == 0, "run --topics ready", r.stderr)
    everything = rows("all.ndjson")
    ok(len(everything) == N, "every alert has a row", len(everything))
    ready(everything)
    check_night(everything)
    the_tests(everything)
    own_outputs(everything)
    mistakes()
    my_galaxies(everything)
    the_guide()
done()
