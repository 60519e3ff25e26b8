#!/usr/bin/env python3
"""inspect --hostless as a candidate list: candidates only, clauses and topics as in a run, what is in doubt
last, one writer."""

import glob, io, os, re, shutil, subprocess, tarfile, time
from tap import NIGHTJAR, Folder, done, nightjar, ok, rows

N = 60


def look(folder, *args, source="night.tar"):
    return nightjar("inspect", "--hostless", source, "-o", folder, *args)


def pages(folder):
    return sorted(
        os.path.basename(p)[:-5] for p in glob.glob(folder + "/*.html") if not p.endswith("index.html")
    )


def kept(*args):
    """What a run with the same clauses keeps, of the candidates: {candid: row}."""
    nightjar(
        "run",
        "night.tar",
        "-q",
        "-m",
        "hostless,roid",
        "-D",
        "module.hostless.repeats=16",
        "-o",
        "ndjson:kept.ndjson",
        "--overwrite",
        *args,
    )
    return {str(r["candid"]): r for r in rows("kept.ndjson") if r["hostless.candidate"] == 1}


def lines(folder):
    with open(folder + "/index.html", encoding="utf-8") as f:
        return f.read().split("<tbody>")[1].split("<tr")[1:]


def candidates_only():
    want = kept()
    r = look("few")
    ok(r.returncode == 0, "pages are written", r.stderr)
    ok(pages("few") == sorted(want), "a page for each candidate, and no other", (pages("few"), sorted(want)))
    ok(0 < len(want) < N, "which not every alert is", len(want))
    ok(len(lines("few")) == len(want), "a line of the index for each", len(lines("few")))
    others = N - len(want)
    ok(
        f"none for the {others} that are no candidates (--all)" in r.stdout,
        "what has no page is reported",
        r.stdout,
    )
    ok(f"{others} others are no candidates" in open("few/index.html").read(), "on the index, too")
    r = look("all", "--all")
    ok(len(pages("all")) == N, "--all: a page for each alert", r.stderr)
    same = all(open(f"few/{p}.html").read() == open(f"all/{p}.html").read() for p in pages("few"))
    ok(same, "the same pages")
    r = look("one", "-j", 1)
    same = [open(p).read() for p in sorted(glob.glob("one/*"))] == [
        open(p).read() for p in sorted(glob.glob("few/*"))
    ]
    ok(same, "the same with one thread")


def clauses():
    for where in [
        "rb > 0.6",
        "mag < 18.5 AND roid.roid IS NOT 3",
        "(SELECT count(*) FROM lc) > 1",
        "packet.candidate.magpsf > 18",
        "rb > 2",
    ]:
        want = kept("-w", where)
        r = look("clause", "-w", where)
        ok(
            pages("clause") == sorted(want),
            f"-w '{where}': the candidates that nightjar run keeps",
            (r.stderr, pages("clause"), sorted(want)),
        )
        ok("did not pass" in r.stdout, f"-w '{where}': the others are reported", r.stdout)
        shutil.rmtree("clause")
    r = look("clause", "-w", "rb > 0.6 AND object <> '<b>'")
    ok(
        "object &lt;&gt; &#39;&lt;b&gt;&#39;" in open("clause/index.html").read(),
        "the clause stands on the index, as text",
    )
    topics = ["-t", "hostless_new", "-t", "bright=mag < 18"]
    want = kept(*topics)
    r = look("topics", *topics)
    ok(
        pages("topics") == sorted(want),
        "-t: those of either topic",
        (r.stderr, pages("topics"), sorted(want)),
    )
    named = sum(
        "bright" in re.search(r'<td class="wide long">([a-z_,]*)</td>', x).group(1) for x in lines("topics")
    )
    ok(named == sum("bright" in x["topics"] for x in want.values()), "the index names the topics", named)
    r = look("limit", "--limit", 20, "--all")
    ok(len(pages("limit")) == 20, "--limit: so many alerts", r.stderr)
    r = look("more", "-m", "nalerthist", "-w", "nalerthist.n >= 0", "--limit", 5, "--all")
    ok(len(pages("more")) == 5, "-m: a clause on another module", r.stderr)


def doubts():
    rows_ = lines("all")
    grey = [x.startswith(" class=doubt") for x in rows_]
    ok(any(grey) and not all(grey), "some are in doubt", sum(grey))
    ok(grey == sorted(grey), "these are last")
    ok(grey == ["<span class=why>" in x for x in rows_], "these have a reason, and no others")
    ids = [re.search(r"<span class=id>(\d+)<", x).group(1) for x in rows_]
    nightjar(
        "run",
        "night.tar",
        "-q",
        "-m",
        "roid",
        "--columns",
        "packet.candidate.ssdistnr",
        "-o",
        "ndjson:roid.ndjson",
    )
    about = {str(x["candid"]): x for x in rows("roid.ndjson")}

    def doubtful(x):
        near = x["packet.candidate.ssdistnr"]
        return x["rb"] < 0.55 or x["roid.roid"] in (2, 3) or (near is not None and 0 <= near < 5)

    ok(grey == [doubtful(about[i]) for i in ids], "asteroids, and rb below 0.55")
    for i, x in zip(ids, rows_):
        a, head = about[i], open(f"all/{i}.html").read().split("<h1>")[1].split("</h1>")[0]
        if not doubtful(a):
            continue
        why = re.search(r"<span class=why>([^<]*)<", x).group(1)
        ok(
            (a["rb"] < 0.55) == (f"rb {a['rb']:.2f}" in why),
            f"{i}: a low rb is the reason, with its value",
            why,
        )
        ok((a["roid.roid"] == 3) == ("known asteroid" in why), f"{i}: so is a known asteroid", why)
        ok((a["roid.roid"] == 2) == ("looks like an asteroid" in why), f"{i}: so is an unknown one", why)
        ok(why in head, f"{i}: its page says so at the top", head)
    clear = [re.search(r'class="badge (\w*)"', x).group(1) for x, g in zip(rows_, grey) if not g]
    ok(clear == sorted(clear, key=["yes", "maybe", ""].index), "before these, the verdicts come first", clear)


def wrong():
    for args in [
        ("-w", "rbb > 1"),
        ("-w", "features.x > 1"),
        ("-t", "hostless_nw"),
        ("--limit", 0),
        ("--limit", "x"),
        ("--limt", 3),
        ("-w", "rb >"),
        ("-m", "nalerthst"),
        ("--json",),
        ("--candid", 3),
        ("-t", "=mag < 1"),
        ("-j", 0),
        ("-D", "module.hostless.repeat=3"),
    ]:
        r = look("wrong", *args)
        what = " ".join(map(str, args))
        ok(r.returncode == 1, f"{what}: exit 1", (r.returncode, r.stderr))
        ok(r.stderr.count("error:") == 1, f"{what}: one error", r.stderr)
        ok(not os.path.exists("wrong"), f"{what}: no folder is left")
    for args in [("-w", "rb > 1"), ("-t", "hostless_new"), ("--all",), ("--limit", 3)]:
        r = nightjar("inspect", "night.tar", *args)
        ok(r.returncode == 1 and "--hostless" in r.stderr, f"{args[0]} without --hostless", r.stderr)


def twice_and_damaged():
    with tarfile.open("night.tar") as a, tarfile.open("twice.tar", "w") as b:
        for k in range(2):
            for m in a.getmembers():
                if m.name.endswith(".avro"):
                    again = tarfile.TarInfo(f"{k}-{m.name}")
                    again.size = m.size
                    b.addfile(again, a.extractfile(m))
        junk = tarfile.TarInfo("junk.avro")
        junk.size = 8
        b.addfile(junk, io.BytesIO(b"Obj\1junk"))
    r = look("two", source="twice.tar")
    ok(len(pages("two")) == 2 * len(pages("few")), "an id that comes twice has two pages", r.stderr)
    linked = set(re.findall(r"<a href=([^>]*)\.html>", open("two/index.html").read()))
    ok(linked == set(pages("two")), "and each its line")
    ok(" 1 unreadable" in r.stdout, "what cannot be read is counted", r.stdout)
    ok(os.path.exists("two/dead-letters.avro"), "it is a dead letter in the folder of the pages")
    ok(not os.path.exists("dead-letters.avro"), "and not where one works")
    ok("1 that could not be read" in open("two/index.html").read(), "the index says so")


def two_at_once():
    p = subprocess.Popen(
        [NIGHTJAR, "inspect", "--hostless", "-", "-o", "held"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while p.poll() is None and not os.path.exists("held/index.html"):
        time.sleep(0.05)
    time.sleep(0.1)
    r = look("./held")
    ok(
        r.returncode == 1 and f"process {p.pid}" in r.stderr,
        "two at once into one folder: the second is refused, the holder named",
        r.stderr,
    )
    err = p.communicate(open("night.tar", "rb").read())[1]
    ok(p.returncode == 0 and pages("held") == pages("few"), "the first continues, with all its pages", err)
    r = look("held")
    ok(r.returncode == 0, "and the next one may", r.stderr)


with Folder():
    nightjar("simulate", "-q", "-n", N, "--seed", 11, "-o", "night.tar")
    candidates_only()
    clauses()
    doubts()
    wrong()
    twice_and_damaged()
    two_at_once()
done()
