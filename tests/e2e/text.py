#!/usr/bin/env python3
"""Text that is no UTF-8, or has a NUL, leaves every output readable: what a reader would stop at is written
as \\xNN, counted and reported."""

import json, os, sqlite3, subprocess
from avro import make_container
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, report, rows

needs("fastavro", "astropy")
import fastavro
from astropy.io import fits

ALERT = {
    "type": "record",
    "name": "test.alert",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "either", "type": ["long", "string"]},
        {"name": "list", "type": {"type": "array", "items": "string"}},
        {"name": "code", "type": {"type": "fixed", "name": "code", "size": 4}},
        {"name": "all", "type": {"type": "map", "values": "string"}},
    ],
}
# the bytes of the packet, and the text of the outputs
CASES = [
    (b"plain", "plain"),
    (b"ZTF99\xff\xfe01", "ZTF99\\xff\\xfe01"),
    (b"a\0b", "a\\x00b"),
    (b"\0", "\\x00"),
    (b"\0\0x", "\\x00\\x00x"),
    (b"cut \xe2\x82", "cut \\xe2\\x82"),
    (b"\xc0\xaf", "\\xc0\\xaf"),
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
    (b"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),
    (b"\x80\x80", "\\x80\\x80"),
    ("naïve ☃ 𝔘".encode(), "naïve ☃ 𝔘"),
    ("naïve".encode("latin-1"), "na\\xefve"),
    (b"\xff\0\xff", "\\xff\\x00\\xff"),
    (b'\xff"\\\n', '\\xff"\\\n'),
    (b"", ""),
]
WRONG = sum(1 for raw, text in CASES if raw.decode("utf-8", "replace") != text)
COLUMNS = "object,packet.note,packet.either,packet.list[],packet.all.k"
SINKS = ["-o", "ndjson:o.ndjson", "-o", "avro:o.avro", "-o", "sqlite:o.db"]


def alert(i, raw):
    from avro import Branch as B

    return {
        "objectId": raw,
        "candid": i,
        "note": B(1, raw),
        "either": B(1, raw),
        "list": [b"x", raw, raw],
        "code": b"abcd",
        "all": {"k": raw},
    }


def container(path, cases, schema=ALERT):
    with open(path, "wb") as f:
        f.write(make_container(schema, [alert(i, raw) for i, (raw, _) in enumerate(cases)]))


def run(path, *args):
    return nightjar(
        "run",
        "--survey",
        "ztf",
        "-m",
        "roid",
        *([] if "--columns" in args else ["--columns", COLUMNS]),
        *args,
        path,
    )


def outputs():
    container("all.avro", CASES)
    r = run("all.avro", *SINKS, "--report", "r.json")
    want = [text for _, text in CASES]
    ok(r.returncode == 0, "a run with such texts ends well", r.stderr)
    out = rows("o.ndjson")
    ok([x["object"] for x in out] == want, "NDJSON: the canonical text", [x["object"] for x in out])
    ok([x["packet.note"] for x in out] == want, "NDJSON: a raw column", [x["packet.note"] for x in out])
    ok(
        [x["packet.either"] for x in out] == want,
        "NDJSON: a column of numbers and texts",
        [x["packet.either"] for x in out],
    )
    ok(
        [x["packet.list[]"] for x in out] == [["x", t, t] for t in want],
        "NDJSON: a list",
        [x["packet.list[]"] for x in out],
    )
    ok([x["packet.all.k"] for x in out] == want, "NDJSON: a map", [x["packet.all.k"] for x in out])
    db = sqlite3.connect("o.db")
    ok([x[0] for x in db.execute("SELECT object FROM alerts")] == want, "SQLite: readable, the same texts")
    ok(
        [json.loads(x[0])[1] for x in db.execute('SELECT "packet.list[]" FROM alerts')] == want,
        "SQLite: a list",
    )
    with open("o.avro", "rb") as f:
        ok([x["object"] for x in fastavro.reader(f)] == want, "Avro: fastavro reads it, the same texts")
    f = run("all.avro", "-o", "fits:o.fits", "--columns", "object,packet.note")
    ok(
        "FITS has only ASCII: other characters of column object are written as '?'" in f.stderr,
        "FITS: '?' is reported",
        f.stderr,
    )
    with fits.open("o.fits") as f:
        f.verify("exception")
        got = [x.replace("?", "") for x in f["ALERTS"].data["object"]]
        ok(
            got == [t.encode("ascii", "ignore").decode().replace("\n", "") for t in want],
            "FITS: readable, '?' for characters that it lacks",
            got,
        )
    for column in ("object", "packet.note", "packet.either", "packet.list[]", "packet.all.k"):
        ok(
            f"a text of {column} is not UTF-8 or has a NUL" in r.stderr,
            f"reported, with the column {column}",
            r.stderr,
        )
    ok("all.avro: record 1: " in r.stderr, "reported, with file and record", r.stderr)
    ok(f"{WRONG} texts of object were not UTF-8" in r.stderr, "and counted at the end", r.stderr)
    ok(f"{2 * WRONG} texts of packet.list[] were" in r.stderr, "each text of a list counts", r.stderr)


def one_by_one():
    """As each is alone, so that no value depends on its neighbours."""
    wrong = []
    for case in CASES:
        container("one.avro", [case])
        r = run("one.avro", "-q", "-o", "ndjson:-")
        got = json.loads(r.stdout)["object"] if r.returncode == 0 else r.stderr
        if got != case[1]:
            wrong.append((case, got))
    ok(not wrong, "each text alone is the same", wrong)


def filters():
    container("all.avro", CASES)
    for where, n in (("object = 'plain'", 1), ("object = 'a'", 0), ("object = ''", 1)):
        r = run("all.avro", "-q", "-o", "ndjson:-", "-w", where)
        ok(len(r.stdout.splitlines()) == n, f"the clause {where} keeps {n}", r.stdout + r.stderr)


def names_of_files():
    """File names are bytes, too: reports, dead letters, metadata and pages name them."""
    name = b"nig\xffht.avro"
    container("good.avro", CASES[:2])
    os.makedirs(b"d\xfe")
    with open(b"d\xfe/" + name, "wb") as f:
        f.write(open("good.avro", "rb").read()[:-20])
    r = subprocess.run(
        [
            NIGHTJAR,
            "run",
            "-q",
            "--survey",
            "ztf",
            "-m",
            "roid",
            "-o",
            "ndjson:n.ndjson",
            "--dead-letters",
            "dead.avro",
            "--report",
            "n.json",
            b"d\xfe",
        ],
        capture_output=True,
        timeout=120,
    )
    with open("dead.avro", "rb") as f:
        letters = list(fastavro.reader(f))
    ok(
        letters and letters[0]["origin"] == "d\\xfe: nig\\xffht.avro",
        "dead letters of such a file are readable",
        (letters, r.stderr),
    )
    ok(isinstance(report("n.json"), dict), "its report is readable")
    ok(isinstance(report("n.ndjson.meta.json"), dict), "its metadata are readable")
    nightjar("report", "n.json", "-o", "n.html")
    ok("<html" in open("n.html", encoding="utf-8").read(), "its page is readable")


def schemas():
    """A schema that is no UTF-8 decodes nothing; its dead letters stay readable."""
    whole = make_container(ALERT, [alert(0, b"x"), alert(1, b"y")])
    with open("schema.avro", "wb") as f:
        f.write(whole.replace(b'"note"', b'"not\xe9"'))
    r = nightjar(
        "run", "-q", "-m", "roid", "-o", "ndjson:s.ndjson", "--dead-letters", "sdead.avro", "schema.avro"
    )
    with open("sdead.avro", "rb") as f:
        ok(
            len(list(fastavro.reader(f))) >= 1,
            "dead letters of a schema that is no UTF-8 are readable",
            r.stderr,
        )


def inspect():
    for raw, text in CASES:
        container("one.avro", [(raw, text)])
        r = nightjar("inspect", "--json", "-D", "decode.survey=ztf", "one.avro", stdin=b"")
        packet = json.loads(r.stdout.decode("utf-8"))["packet"] if r.returncode == 0 else {}
        if packet.get("objectId") != text or packet.get("note") != text:
            return ok(False, f"inspect --json of {raw}", packet or r.stderr)
    ok(True, "inspect --json has each text, in UTF-8")


with Folder():
    outputs()
    one_by_one()
    filters()
    names_of_files()
    schemas()
    inspect()
done()
