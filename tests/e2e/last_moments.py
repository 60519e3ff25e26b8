#!/usr/bin/env python3
"""What a kill in the last moments of a run leaves: some outputs complete and others not, or all and no
report. The run that goes on alters no row, completes the rest and reports."""

import hashlib, json, os, shutil, sqlite3
from tap import Folder, done, nightjar, ok, report

OUTPUTS = {
    "a.ndjson.journal": "ndjson:out/a.ndjson",
    "a.csv.gz.journal": "csv:out/a.csv.gz",
    "a.avro.journal": "avro:out/a.avro",
    "a.fits.journal": "fits:out/a.fits",
    "a.parquet.journal": "parquet:out/a.parquet",
    "a.db": "sqlite:out/a.db",
    "r-{date}.ndjson.journal": "ndjson:out/r-{date}.ndjson",
    "p-{schema}.avro.journal": "packets:out/p-{schema}.avro",
    "archive/packets.sqlite": "archive:out/archive",
    "hats": "hats:out/hats",
}


def command(*more):
    outputs = [x for o in OUTPUTS.values() for x in ("-o", o)]
    return ["run", "night.tar", "-m", "roid", *outputs, "--report", "out/run.json", *more]


def tables(path):
    db = sqlite3.connect(path)
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'nightjar%'")
    found = [(name, db.execute(f'SELECT * FROM "{name}"').fetchall()) for (name,) in names.fetchall()]
    db.close()
    return found


def content():
    """Each file of rows: its hash, or for a database its tables."""
    found = {}
    for folder, _, files in os.walk("out"):
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith((".journal", ".json", "db-journal")):
                continue
            if name.endswith((".db", ".sqlite")):
                found[path] = repr(tables(path))
                continue
            with open(path, "rb") as f:
                found[path] = hashlib.sha256(f.read()).hexdigest()
    return found


def forget_the_end(path):
    """An output as a kill leaves it between its last rows and the word that they are all."""
    if not path.endswith(".journal"):
        db = sqlite3.connect(path)
        n = db.execute("UPDATE nightjar_journal SET value = '0' WHERE key = 'complete'").rowcount
        db.commit()
        db.close()
        return n == 1
    with open(path, "r+") as f:
        text = f.read()
        f.seek(0)
        f.truncate()
        f.write(text.replace('"complete":true,', ""))
    return '"complete":true,' in text


def ends_between(expected):
    for name in OUTPUTS:
        if (
            name == "hats"
        ):  # its tree is made before its journal is complete: tests/e2e/hats.py kills it there
            continue
        ok(forget_the_end(os.path.join("out", name)), f"{name}: is not complete, all others are")
        r = nightjar(*command("-q", "--resume"))
        ok(r.returncode == 0, f"{name}: the run that goes on ends well", r.stderr)
        now = content()
        ok(
            now == expected,
            f"{name}: and no row changes",
            [p for p in {*now, *expected} if now.get(p) != expected.get(p)],
        )
        r = nightjar(*command("--resume"))
        ok(r.returncode == 0 and "nothing to resume" in r.stderr, f"{name}: and all is complete", r.stderr)


def no_report(expected, first):
    def interrupted():
        with open("out/run.json", "w") as f:
            json.dump({**first, "interrupted": True}, f)

    def half():
        with open("out/run.json", "w") as f:
            f.write(json.dumps(first)[:500])

    for what, spoil in (
        ("no report", lambda: os.remove("out/run.json")),
        ("an empty report", lambda: os.truncate("out/run.json", 0)),
        ("half a report", half),
        ("the report of an interrupted run", interrupted),
    ):
        spoil()
        r = nightjar(*command("--resume"))
        ok(r.returncode == 0 and "only the report is written" in r.stderr, f"{what}: it is said", r.stderr)
        now = report("out/run.json")
        ok(now["ledger"]["closed"] and not now["interrupted"], f"{what}: there is one", now["ledger"])
        ok(
            now["sources"][0]["all_runs"]["emitted"] == first["ledger"]["emitted"],
            f"{what}: it has the alerts of the run before",
            now["sources"],
        )
        ok(content() == expected, f"{what}: no row changes")
    with open("out/run.json") as f:
        before = f.read()
    r = nightjar(*command("--resume"))
    with open("out/run.json") as f:
        ok("nothing to resume" in r.stderr and f.read() == before, "a whole report stays as it is", r.stderr)


def shards():
    """A shard that had written all of its rows before it was killed has no alert of its own to report."""
    args = ["run", "night.tar", "-q", "-m", "roid,nalerthist"]
    nightjar(*args, "-o", "ndjson:whole.ndjson", "--report", "whole.json")
    for k in (1, 2):
        os.mkdir(f"s{k}")
        shard = [*args, "--shard", f"{k}/2", "-o", f"ndjson:s{k}/rows.ndjson", "--report", f"s{k}/run.json"]
        r = nightjar(*shard)
        ok(r.returncode == 0, f"shard {k} of 2", r.stderr)
        if k == 1:
            forget_the_end("s1/rows.ndjson.journal")
            os.remove("s1/run.json")
            r = nightjar(*shard, "--resume")
            ok(r.returncode == 0, "shard 1 of 2, killed at its end, goes on", r.stderr)
    r = nightjar("merge", "merged", "s1", "s2")
    ok(r.returncode == 0, "the two are merged", r.stderr)
    one, got = report("whole.json"), report("merged/run.json")
    ok(got["ledger"] == one["ledger"], "the ledger is that of one run", (got["ledger"], one["ledger"]))
    with open("whole.ndjson") as a, open("merged/rows.ndjson") as b:
        ok(a.read() == b.read(), "and so are the rows")
    other = [*args[:-1], "roid", "--shard", "2/2", "-o", "ndjson:s2/rows.ndjson", "--report", "s2/run.json"]
    nightjar(*other, "--overwrite")
    r = nightjar("merge", "wrong", "s1", "s2")
    ok(r.returncode != 0 and "nalerthist" in r.stderr, "shards of other modules are refused yet", r.stderr)


with Folder():
    nightjar("simulate", "-n", 200, "--seed", 5, "-o", "night.tar")
    os.mkdir("out")
    r = nightjar(*command("-q"))
    ok(r.returncode == 0, "a run with outputs of all kinds", r.stderr)
    expected, first = content(), report("out/run.json")
    ends_between(expected)
    no_report(expected, first)
    shards()
done()
