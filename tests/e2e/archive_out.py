#!/usr/bin/env python3
"""The output `archive:`: packets with an index; every question answered as the rows say; several nights,
surveys and kills."""

import io, json, math, os, random, signal, sqlite3, subprocess, tarfile, time
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, rows

needs("fastavro")
import fastavro

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "5"))
rng = random.Random(int(os.environ.get("NIGHTJAR_SEED", "1")))


def run(*args):
    return nightjar("run", "-q", "-m", "roid", *args)


def found(question, name="q.ndjson"):
    r = run(question, "-o", f"ndjson:{name}", "--overwrite")
    return r, rows(name) if r.returncode == 0 else []


def alerts_of(night):
    with tarfile.open(night) as t:
        files = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    return [a for data in files for a in fastavro.reader(io.BytesIO(data))]


def as_they_came():
    r = run("a.tar", "-o", "archive:A", "-o", "ndjson:a.ndjson")
    ok(r.returncode == 0, "a run", r.stderr)
    r, again = found("A")
    ok(again == rows("a.ndjson"), "the archive is a SOURCE: the same rows", r.stderr)
    db = sqlite3.connect("A/packets.sqlite")
    schema = {
        n: fastavro.parse_schema(json.loads(text))
        for n, text in db.execute("SELECT number, json FROM schemas")
    }
    packets = db.execute("SELECT schema, packet FROM packets ORDER BY number").fetchall()
    read = [fastavro.schemaless_reader(io.BytesIO(p), schema[s]) for s, p in packets]
    ok(
        read == alerts_of("a.tar"),
        "every field of every alert, stamps too, for any reader of SQLite",
        len(read),
    )
    ok(len(schema) < 6, "a schema is kept once", len(schema))
    db.close()


def separation(a, ra, dec):
    d, x = math.radians(dec), math.radians(a["dec"])
    h = math.sin((x - d) / 2) ** 2 + math.cos(x) * math.cos(d) * math.sin(math.radians(a["ra"] - ra) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(h))) * 3600


def questions():
    all = rows("a.ndjson")
    a = all[len(all) // 2]
    for question, name, want in [
        (f"id={a['candid']}", "by id", lambda x: x["candid"] == a["candid"]),
        (f"object={a['object']}", "by object", lambda x: x["object"] == a["object"]),
        (
            f"ra={a['ra']}&dec={a['dec']}",
            "by position, 5 arcsec",
            lambda x: separation(x, a["ra"], a["dec"]) <= 5,
        ),
        (
            f"ra={a['ra']}&dec={a['dec']}&radius=3000",
            "by position, 3000 arcsec",
            lambda x: separation(x, a["ra"], a["dec"]) <= 3000,
        ),
        ("night=20240314", "by night", lambda x: True),
        ("night=20240313", "by another night", lambda x: False),
        (
            f"night=20240314&object={a['object']}&id={a['candid']}",
            "by several",
            lambda x: x["candid"] == a["candid"],
        ),
    ]:
        r, got = found(f"archive:A?{question}")
        ok(got == [x for x in all if want(x)], f"{name}: {len(got)} alerts", r.stderr)
    wide = [x for x in all if separation(x, a["ra"], a["dec"]) <= 3000]
    ok(1 < len(wide) < len(all), "the cone has some and not all", len(wide))
    r = nightjar("inspect", "--id", a["candid"], "A", "--json")
    packet = json.loads(r.stdout)["packet"] if r.returncode == 0 else {}
    ok(packet.get("candid") == a["candid"], "inspect --id finds it", r.stderr)
    ok(json.loads(r.stdout)["stamps"]["science"]["rows"] > 0, "with its stamps", r.stdout[:300])
    db = sqlite3.connect("A/packets.sqlite")
    for column in ("id", "object", "night"):
        plan = str(db.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM packets WHERE {column} = 1").fetchall())
        ok("USING" in plan and f"by_{column}" in plan, f"the index of {column} is used", plan)
    db.close()
    r = nightjar("inspect", "--id", 5, "A")
    ok(
        r.returncode == 2 and "A?id=5: the archive has no such alert" in r.stderr,
        "an id that is not there",
        r.stderr,
    )
    for question, words in [
        ("idd=5", "did you mean 'id'"),
        ("id=x", "no such value"),
        ("ra=5", "ra, dec and radius belong together"),
        ("radius=5", "ra, dec and radius belong together"),
        ("id=5&radius=5", "ra, dec and radius belong together"),
        ("ra=400&dec=0", "no such value"),
        ("object=" + 200 * "x", "no such value"),
        ("ra=5&dec=99", "no such value"),
        ("object", "expected KEY=VALUE"),
    ]:
        r, _ = found(f"archive:A?{question}")
        ok(r.returncode == 2 and words in r.stderr, f"?{question}: {words}", r.stderr)
    r, _ = found("archive:none")
    ok(r.returncode == 2 and "none/packets.sqlite" in r.stderr, "no archive: named", r.stderr)


def more():
    """A second night, of another survey; private folders, files that are there."""
    n = len(rows("a.ndjson"))
    r = run("l.tar", "-o", "archive:A")
    ok(r.returncode == 1 and "--append" in r.stderr, "an archive that is there is not written over", r.stderr)
    r = run("l.tar", "-o", "archive:A", "--append")
    ok(r.returncode == 0, "--append: another survey", r.stderr)
    r, got = found("A")
    ok(sorted({x["survey"] for x in got}) == ["lsst", "ztf"], "both are in it", r.stderr)
    ok(len(got) == n + 60, "all alerts of both", len(got))
    r = run("l.tar", "-o", "archive:A", "--append")
    again = next(x["candid"] for x in got if x["survey"] == "lsst")
    r = nightjar("inspect", "--id", again, "A")
    ok(r.returncode == 0, "inspect --id of a night that came twice", r.stderr)
    ok(f"2 packets have candid {again}; this is the first" in r.stderr, "says so", r.stderr)
    r = nightjar("inspect", "--id", rows("a.ndjson")[0]["candid"], "A")
    ok("packets have candid" not in r.stderr, "and is silent of others", r.stderr)
    r = run("a.tar", "-o", "archive:night-{date}")
    ok(
        r.returncode == 1 and "is one folder" in r.stderr,
        "no folder per night: the index has nights",
        r.stderr,
    )
    r = run("a.tar", "-o", "archive:B", "-w", "roid.roid = 3")
    movers = [x["candid"] for x in rows("a.ndjson") if x["roid.roid"] == 3]
    r, got = found("B")
    ok([x["candid"] for x in got] == movers, f"those that pass a clause: {len(movers)}", r.stderr)


def killed():
    often = ["-D", "run.commit_ms=10", "-D", "run.flush_ms=3", "-D", "run.batch_rows=4", "-j", "1"]
    args = [NIGHTJAR, "run", "-q", "-m", "roid", "a.tar", "-o", "archive:K", *often]
    n, tries, wrong = 0, 0, []
    while n < KILLS and tries < 20 * KILLS:
        tries += 1
        p = subprocess.Popen(
            args + (["--resume"] if os.path.exists("K") else []),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.02, 0.25))
        os.killpg(p.pid, signal.SIGKILL)
        err = p.communicate()[1]
        n += p.returncode == -9
        if p.returncode not in (-9, 0) and "another run is writing" not in err:
            wrong.append((p.returncode, err))
    ok(not wrong, f"killed {n} times", wrong)
    for _ in range(100):
        r = nightjar(*args[1:], "--resume")
        if "another run is writing it" not in r.stderr:
            break
        time.sleep(0.05)
    ok(r.returncode == 0, "it continues to its end", r.stderr)
    r, got = found("K")
    ok(got == rows("a.ndjson"), "every alert once, in its order", (len(got), r.stderr))


with Folder():
    nightjar("simulate", "-q", "-n", 300, "--seed", 3, "-o", "a.tar", "--truth", "a.csv")
    nightjar("simulate", "-q", "-n", 60, "--survey", "lsst", "-o", "l.tar", "--truth", "l.csv")
    as_they_came()
    questions()
    more()
    killed()
done()
