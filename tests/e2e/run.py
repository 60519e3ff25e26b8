#!/usr/bin/env python3
"""nightjar run, as a user runs it: sources, sinks, filters, topics, threads, ledgers, exit codes."""

import glob, os, shutil, sqlite3, tarfile
from tap import NIGHTJAR, ROOT, SHARED, Folder, done, nightjar, ok, report, rows, skip

ZTF = os.path.join(SHARED, "real", "ztf") if SHARED else ""
SAMPLE = ZTF if ZTF and os.path.isdir(ZTF) else os.path.join(ROOT, "data", "sample.tar.gz")


def closed(rep):
    l = rep["ledger"]
    return (
        l["closed"]
        and l["consumed"] == l["emitted"] + l["filtered"] + l["dead"] + l["duplicates"] + l["returned"]
    )


def by_candid(path):
    return sorted(open(path, "rb").read().splitlines())


def sources(n):
    r = nightjar("run", SAMPLE, "-o", "ndjson:a.ndjson", "--report", "a.json", "-j", 1)
    rep = report("a.json") if os.path.exists("a.json") else {}
    ok(
        r.returncode == 0 and closed(rep) and rep["ledger"]["emitted"] == n,
        f"a night of {n} alerts: all emitted, exit 0",
        r.stderr,
    )
    ok(
        "ledger closed" in r.stdout and "(decode)" in r.stdout and "whole run" in r.stdout,
        "the table is printed",
        r.stdout,
    )
    got = rows("a.ndjson")
    ok(
        len(got) == n and all(isinstance(x["candid"], int) for x in got) and "roid.reason" in got[0],
        "a row per alert with its columns",
    )
    r = nightjar("run", SAMPLE, "-o", "ndjson:b.ndjson", "-j", 2)
    ok(
        open("a.ndjson", "rb").read() == open("b.ndjson", "rb").read(),
        "1 and 2 threads: the same bytes",
        r.stderr,
    )
    if os.path.isdir(SAMPLE):
        with tarfile.open("night.tar.gz", "w:gz", compresslevel=1) as t:
            for f in sorted(os.listdir(SAMPLE)):
                t.add(os.path.join(SAMPLE, f), arcname=f)
    else:
        shutil.copy(SAMPLE, "night.tar.gz")
    r = nightjar("run", "night.tar.gz", "-o", "ndjson:c.ndjson")
    ok(open("a.ndjson", "rb").read() == open("c.ndjson", "rb").read(), "the same through a tar.gz", r.stderr)
    with open("night.tar.gz", "rb") as f:
        r = nightjar("run", "-", "-o", "ndjson:d.ndjson", stdin=f.read())
    ok(open("a.ndjson", "rb").read() == open("d.ndjson", "rb").read(), "the same through stdin", r.stderr)
    r = nightjar("run", "embedded://night.tar.gz", "-o", "ndjson:e.ndjson", "--report", "e.json")
    ok(
        r.returncode == 0 and closed(report("e.json")) and by_candid("a.ndjson") == by_candid("e.ndjson"),
        "the same rows through the embedded broker",
        r.stderr,
    )
    with Truncated("night.tar.gz", "cut.tar.gz"):
        r = nightjar("run", "cut.tar.gz", "-o", "ndjson:f.ndjson", "--report", "f.json")
    ok(
        r.returncode == 2 and "cut.tar.gz" in r.stderr and closed(report("f.json")),
        "a truncated archive: exit 2, what came before is kept",
        r.stderr,
    )


class Truncated:
    def __init__(self, source, target):
        self.source, self.target = source, target

    def __enter__(self):
        data = open(self.source, "rb").read()
        open(self.target, "wb").write(data[: len(data) // 2])

    def __exit__(self, *_):
        pass


def filters(n):
    r = nightjar(
        "run",
        SAMPLE,
        "-w",
        "rb >= 0.55 AND roid.roid IS NOT 3",
        "-o",
        "ndjson:w.ndjson",
        "--report",
        "w.json",
    )
    want = [x for x in rows("a.ndjson") if x["rb"] is not None and x["rb"] >= 0.55 and x["roid.roid"] != 3]
    rep = report("w.json")
    ok(
        [x["candid"] for x in rows("w.ndjson")] == [x["candid"] for x in want]
        and rep["ledger"]["filtered"] == n - len(want)
        and closed(rep),
        "-w keeps what the clause says and counts the others",
        r.stderr,
    )
    r = nightjar(
        "run", SAMPLE, "-w", "(SELECT count(*) FROM lc WHERE mag IS NOT NULL) >= 5", "-o", "ndjson:lc.ndjson"
    )
    want = [x["candid"] for x in rows("a.ndjson") if x["nalerthist.n"] >= 5]
    ok([x["candid"] for x in rows("lc.ndjson")] == want, "-w over the light curve", r.stderr)
    r = nightjar("run", SAMPLE, "-w", "packet.candidate.fid = 1", "-o", "ndjson:fid.ndjson")
    ok(
        all(x["band"] == "g" for x in rows("fid.ndjson")) and len(rows("fid.ndjson")) > 0,
        "-w over a raw packet field",
        r.stderr,
    )
    r = nightjar("run", SAMPLE, "-w", "roid.roit = 3")
    ok(r.returncode == 1 and "roid.roid" in r.stderr, "a wrong name has its near miss", r.stderr)
    r = nightjar("run", SAMPLE, "-w", "rb >")
    ok(r.returncode == 1 and "-w" in r.stderr, "bad SQL is refused at start", r.stderr)
    r = nightjar("run", SAMPLE, "-w", "band != 'x'", "-q")
    ok(
        r.returncode == 0 and "IS NOT" in r.stderr,
        "!= on a nullable text column: a warning suggests IS NOT",
        r.stderr,
    )
    r = nightjar(
        "run",
        SAMPLE,
        "-t",
        "faint=mag > 19",
        "-t",
        "all_g=band = 'g'",
        "-D",
        "run.private_topics=1",
        "-o",
        "ndjson:t.ndjson",
        "--report",
        "t.json",
    )
    want = [
        x["candid"] for x in rows("a.ndjson") if (x["mag"] is not None and x["mag"] > 19) or x["band"] == "g"
    ]
    ok(
        [x["candid"] for x in rows("t.ndjson")] == want and closed(report("t.json")),
        "topics: an alert that matches none is filtered",
        r.stderr,
    )
    says = lambda x: ",".join(
        t
        for t, yes in (("faint", x["mag"] is not None and x["mag"] > 19), ("all_g", x["band"] == "g"))
        if yes
    )
    ok(all(x["topics"] == says(x) for x in rows("t.ndjson")), "each row says which topics it matches")
    r = nightjar("run", SAMPLE, "-t", "a=topics = 'b'")
    ok(r.returncode == 1 and "topics" in r.stderr, "a clause over `topics` is refused", r.stderr)


def night():
    """The night configuration that is built in: two sinks, ready topics, catalogues and models off with a
    line each."""
    r = nightjar("run", "-c", "night", SAMPLE, "-D", "run.private_topics=1", "--report", "night.json")
    out = rows("night.ndjson") if os.path.exists("night.ndjson") else []
    rep = report("night.json")
    ok(
        r.returncode == 0
        and closed(rep)
        and len(out) == rep["ledger"]["consumed"]
        and "modules are off" in r.stderr
        and "gcvs" in r.stderr,
        "-c night without models: all rows, and what is off is said",
        r.stderr,
    )
    stored = (
        sqlite3.connect("night.db").execute("SELECT candid, topics FROM alerts ORDER BY rowid").fetchall()
    )
    ok(
        stored == [(x["candid"], x["topics"]) for x in out]
        and all(x["topics"].startswith("all") for x in out),
        "both sinks hold them, with topics",
    )
    moving = [x for x in out if x["roid.roid"] is not None and x["roid.roid"] >= 2]
    ok(
        moving and all(("solar_system" in x["topics"]) == (x in moving) for x in out),
        "a ready topic holds what it says",
    )
    r = nightjar(
        "run",
        "-c",
        "night",
        SAMPLE,
        "-o",
        "ndjson:mine.ndjson",
        "-t",
        "g=band = 'g'",
        "-D",
        "run.private_topics=1",
    )
    ok(
        r.returncode == 0 and {x["topics"] for x in rows("mine.ndjson")} == {"g"},
        "the command line goes before the configuration",
        r.stderr,
    )
    r = nightjar("run", "-c", "nigth", SAMPLE)
    ok(r.returncode == 1 and "nigth" in r.stderr, "a configuration that is not there: exit 1", r.stderr)


def outputs():
    r = nightjar("run", SAMPLE, "-o", "ndjson:a.ndjson")
    ok(
        r.returncode != 0 and "--overwrite" in r.stderr and "--append" in r.stderr,
        "an output that exists is refused",
        r.stderr,
    )
    before = len(rows("a.ndjson"))
    with open("a.ndjson", "ab") as f:
        f.write(b'{"candid": 12, "obj')  # a torn tail, as kill -9 leaves it
    r = nightjar("run", SAMPLE, "-o", "ndjson:a.ndjson", "--append")
    ok(r.returncode == 0 and len(rows("a.ndjson")) == 2 * before, "--append repairs the torn tail", r.stderr)
    r = nightjar("run", SAMPLE, "-o", "ndjson:a.ndjson", "--overwrite", "--limit", 3)
    ok(r.returncode == 0 and len(rows("a.ndjson")) == 3, "--overwrite, --limit 3", r.stderr)
    r = nightjar("run", SAMPLE, "-o", "ndjson:-", "--limit", 2)
    ok(
        r.returncode == 0 and len(r.stdout.splitlines()) == 2 and "ledger closed" in r.stderr,
        "ndjson:- writes rows to stdout, the table to stderr",
    )
    r = nightjar("run", SAMPLE, "-o", "ndjson:/dev/full")
    ok(r.returncode == 3, "a full disk: exit 3", r.stderr)
    r = nightjar(
        "run",
        SAMPLE,
        "-o",
        "null:",
        "-o",
        "ndjson:n.ndjson",
        "-o",
        "sqlite:n.db",
        "-o",
        "avro:n.avro",
        "-o",
        "fits:n.fits",
        "-o",
        "parquet:n.parquet",
        "--limit",
        20,
    )
    ok(
        r.returncode == 0
        and os.path.getsize("n.db") > 0
        and os.path.getsize("n.fits") > 0
        and open("n.avro", "rb").read(4) == b"Obj\x01"
        and open("n.parquet", "rb").read()[-4:] == b"PAR1",
        "six sinks at once",
        r.stderr,
    )


def mistakes():
    for args, code, says in (
        (["nosuch.avro"], 2, "nosuch.avro"),
        ([SAMPLE, "-m", "roit"], 1, "did you mean"),
        ([SAMPLE, "-D", "run.batch_row=3"], 1, "batch_rows"),
        ([SAMPLE, "-D", "run.batch_rows=0"], 1, "outside"),
        ([SAMPLE, "-D", "nosuch.key=1"], 1, "nosuch"),
        ([], 1, "SOURCE"),
        ([SAMPLE, "-c", "missing.ini"], 1, "missing.ini"),
        ([SAMPLE, "-o", "xml:out"], 1, "xml"),
        ([SAMPLE, "-t", "nosuchtopic"], 1, "nosuchtopic"),
        ([SAMPLE, "-D", "module.roid.radius=3"], 1, "radius"),
        ([SAMPLE, "-j", "0"], 1, "-j"),
    ):
        r = nightjar("run", *args)
        ok(
            r.returncode == code and says in r.stderr,
            f"exit {code} and '{says}' for: {' '.join(os.path.basename(str(a)) for a in args)}",
            f"{r.returncode} {r.stderr}",
        )


def dead_letters():
    open("bad1.avro", "wb").write(b"Obj\x01 this is not an alert")
    open("bad2.avro", "wb").write(b"<html>500</html>")
    r = nightjar(
        "run",
        "bad1.avro",
        SAMPLE,
        "bad2.avro",
        "-o",
        "ndjson:dl.ndjson",
        "--dead-letters",
        "dl.avro",
        "--report",
        "dl.json",
    )
    rep = report("dl.json")
    ok(
        r.returncode == 0 and rep["ledger"]["dead"] == 2 and closed(rep),
        "two bad packets are dead letters, the stream continues",
        r.stderr,
    )
    ok("bad1.avro" in r.stderr and "bad2.avro" in r.stderr, "each is named", r.stderr)
    r = nightjar("run", "bad1.avro", "--strict", "--dead-letters", "dl2.avro")
    ok(r.returncode == 4, "--strict: exit 4", r.stderr)
    data = open("dl.avro", "rb").read()
    ok(
        b"this is not an alert" in data and b"<html>500</html>" in data,
        "the dead-letter file holds their bytes",
    )
    r = nightjar(
        "run", "dl.avro", "-o", "ndjson:again.ndjson", "--report", "again.json", "--dead-letters", "dl3.avro"
    )
    rep = report("again.json")
    ok(
        rep["ledger"]["consumed"] == 2 and rep["ledger"]["dead"] == 2 and closed(rep),
        "a dead-letter file is itself a source",
        r.stderr,
    )


def modules(n):
    so = os.path.join(os.environ.get("NIGHTJAR_BUILD", os.path.join(ROOT, "build", "release")), "so")
    if os.path.exists(os.path.join(so, "roid.so")):
        os.mkdir("so")
        shutil.copy(os.path.join(so, "roid.so"), "so")
        r = nightjar("run", SAMPLE, "--module-path", "so", "-m", "roid", "-o", "ndjson:so.ndjson")
        got = [(x["candid"], x["roid.roid"]) for x in rows("so.ndjson")]
        ok(
            r.returncode == 0
            and got == [(x["candid"], x["roid.roid"]) for x in rows("b.ndjson")]
            and "replaces" in r.stderr,
            "the same source as a shared object gives the same answers",
            r.stderr,
        )
        open("so/bad.so", "wb").write(b"no ELF")
        r = nightjar("run", SAMPLE, "--module-path", "so")
        ok(r.returncode == 1 and "bad.so" in r.stderr, "a shared object that is none is refused", r.stderr)
    else:
        skip("the same source as a shared object gives the same answers", "make so was not run")
    candids = [x["candid"] for x in rows("b.ndjson")]
    with open("list.csv", "w") as f:
        f.write(
            "candid,label,z\n"
            + "".join(f"{c},name {i},{i / 8}\n" for i, c in enumerate(candids) if i % 3 == 0)
        )
    r = nightjar(
        "run",
        SAMPLE,
        "-m",
        "mine",
        "-D",
        "module.mine.kind=lookup",
        "-D",
        "module.mine.file=list.csv",
        "-D",
        "module.mine.key=candid",
        "-D",
        "module.mine.columns=label,z",
        "-o",
        "ndjson:lk.ndjson",
    )
    got = rows("lk.ndjson") if r.returncode == 0 else []
    first = {c: i for i, c in reversed(list(enumerate(candids)))}
    ok(
        len(got) == n
        and all(
            (x["mine.label"] == f"name {first[x['candid']]}") == (first[x["candid"]] % 3 == 0) for x in got
        ),
        "lookup joins a CSV by candid",
        r.stderr,
    )
    r = nightjar("modules")
    ok(r.returncode == 0 and "roid" in r.stdout, "nightjar modules", r.stderr)
    r = nightjar("modules", "roid")
    ok(
        r.returncode == 0 and "needs" in r.stdout and "roid.roid" in r.stdout,
        "nightjar modules roid",
        r.stderr,
    )
    r = nightjar("graph", SAMPLE)
    ok(
        r.returncode == 0
        and "transient_features" in r.stdout
        and r.stdout.index("transient_features") < r.stdout.index("is_transient"),
        "nightjar graph",
        r.stderr,
    )


def main():
    with Folder():
        n = (
            len(glob.glob(os.path.join(SAMPLE, "*.avro")))
            if os.path.isdir(SAMPLE)
            else len(tarfile.open(SAMPLE).getnames())
        )
        sources(n)
        filters(n)
        night()
        outputs()
        mistakes()
        dead_letters()
        modules(n)
    done()


main()
