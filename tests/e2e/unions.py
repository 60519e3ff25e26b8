#!/usr/bin/env python3
"""A raw column holds the value of every branch of its union, digit by digit: numbers of several widths, ids
as number or text, maps of them, unions of records, lists of unions."""

import json, sqlite3
from avro import Branch as B, make_container
from tap import Folder, done, nightjar, ok, rows

BIG = 9007199254740993  # 2^53 + 1: no double holds it
ANY = ["null", "boolean", "int", "long", "float", "double", "string"]


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


FIELDS = {
    "jd": ["float", "double"],
    "count": ["null", "int", "long"],
    "exact": ["int", "float"],
    "either": ["long", "double"],
    "parent": ["long", "string"],
    "name": ["null", "string", {"type": "enum", "name": "letter", "symbols": ["alpha", "beta"]}],
    "blob": ["null", "bytes", "double"],
    "any": ANY,
    "all": {"type": "map", "values": ANY},
    "shape": [
        "null",
        record("circle", ("r", "float"), ("label", "string")),
        record("box", ("label", "long"), ("w", "double")),
    ],
    "list": {"type": "array", "items": ["int", "double"]},
    "points": {
        "type": "array",
        "items": [record("p", ("x", "int")), record("q", ("y", "double"), ("x", "long"))],
    },
}
ALERT = record("test.alert", ("objectId", "string"), ("candid", ["string", "long"]), *FIELDS.items())
BASE = {
    "objectId": "A",
    "candid": B(1, 7),
    "jd": B(0, 0.5),
    "count": None,
    "exact": B(0, 0),
    "either": B(0, 0),
    "parent": B(0, 0),
    "name": None,
    "blob": None,
    "any": None,
    "all": {},
    "shape": None,
    "list": [],
    "points": [],
}
# field, its value, column, the value as JSON has it
CASES = [
    ("jd", B(1, 2460700.123456789), "jd", 2460700.123456789),
    ("jd", B(0, 0.75), "jd", 0.75),
    ("count", B(1, -5), "count", -5),
    ("count", B(2, 9000000000), "count", 9000000000),
    ("count", B(2, BIG), "count", BIG),
    ("exact", B(0, 16777217), "exact", 16777217),
    ("exact", B(1, 0.5), "exact", 0.5),
    ("either", B(0, BIG), "either", BIG),
    ("either", B(1, 0.1), "either", 0.1),
    ("either", B(1, -1e300), "either", -1e300),
    ("parent", B(0, BIG), "parent", BIG),
    ("parent", B(1, str(BIG)), "parent", str(BIG)),
    ("parent", B(1, "007"), "parent", "007"),
    ("name", B(1, "deep"), "name", "deep"),
    ("name", B(2, "beta"), "name", "beta"),
    ("blob", B(1, b"xyz"), "blob", None),
    ("blob", B(2, 1.5), "blob", 1.5),
    ("any", None, "any", None),
    ("any", B(1, True), "any", 1),
    ("any", B(2, 3), "any", 3),
    ("any", B(3, -BIG), "any", -BIG),
    ("any", B(4, 0.1), "any", 0.1),
    ("any", B(5, 1 / 3), "any", 1 / 3),
    ("any", B(6, "0.1"), "any", "0.1"),
    ("all", {"k": B(4, 0.75)}, "all.k", 0.75),
    ("all", {"k": B(6, "deep")}, "all.k", "deep"),
    ("all", {"x": B(2, 1), "k": B(3, BIG)}, "all.k", BIG),
    ("shape", B(1, {"r": 2.5, "label": "round"}), "shape.label", "round"),
    ("shape", B(2, {"label": BIG, "w": 1 / 3}), "shape.label", BIG),
    ("shape", B(2, {"label": 1, "w": 1 / 3}), "shape.w", 1 / 3),
    ("shape", B(1, {"r": 2.5, "label": ""}), "shape.w", None),
    ("list", [B(0, 2147483647), B(1, 1 / 3)], "list[]", [2147483647, 1 / 3]),
    ("points", [B(0, {"x": 3}), B(1, {"y": 0.5, "x": BIG})], "points[].x", [3, BIG]),
    ("points", [B(0, {"x": 3}), B(1, {"y": 0.5, "x": 4})], "points[].y", [None, 0.5]),
]


def run(path, columns, *args):
    return nightjar(
        "run",
        "-q",
        "--survey",
        "ztf",
        "-m",
        "roid",
        "--columns",
        ",".join("packet." + c for c in columns),
        *args,
        path,
    )


def alerts():
    with open("all.avro", "wb") as f:
        f.write(make_container(ALERT, [{**BASE, field: value} for field, value, _, _ in CASES]))


def values():
    columns = sorted({c for _, _, c, _ in CASES})
    r = run("all.avro", columns, "-o", "ndjson:o.ndjson", "-o", "sqlite:o.db", "-o", "avro:o.avro")
    out = rows("o.ndjson") if r.returncode == 0 else []
    if not ok(len(out) == len(CASES), "a row for each alert", r.stderr):
        return
    for (field, value, column, want), row in zip(CASES, out):
        got = row["packet." + column]
        ok(
            got == want and type(got) in (type(want), int),
            f"{column} of {getattr(value, 'value', value)!r} is {want!r}",
            got,
        )
    db = sqlite3.connect("o.db")
    ok(
        [x[0] for x in db.execute('select "packet.parent" from alerts')][10:13]
        == [str(BIG), str(BIG), "007"],
        "SQLite: texts, digit by digit",
    )
    ok(
        db.execute('select "packet.count" from alerts').fetchall()[4][0] == BIG,
        "SQLite: whole numbers stay whole",
    )


def one_by_one():
    """The type comes from the schema, so the order of the values does not matter: each alert alone is as
    among the others."""
    wrong = []
    for field, value, column, want in CASES:
        with open("one.avro", "wb") as f:
            f.write(make_container(ALERT, [{**BASE, field: value}]))
        r = run("one.avro", [column], "-o", "ndjson:-")
        got = json.loads(r.stdout)["packet." + column] if r.returncode == 0 and r.stdout else r.stderr
        if got != want:
            wrong.append((column, want, got))
    ok(not wrong, "each alert alone has the value that it has among others", wrong)


def clauses():
    for where, n in (
        ("packet.all.k > 0.5 AND packet.all.k < 1", 1),
        ("packet.all.k = 'deep'", 1),
        (f"packet.parent = {BIG}", 1),
        (f"packet.parent = '{BIG}'", 1),
        ("packet.jd > 2460700", 1),
        (f"packet.count = {BIG}", 1),
        (f"packet.either = {BIG}", 1),
        (f"packet.either = {BIG - 1}", 0),
    ):
        r = run("all.avro", ["jd"], "-w", where, "-o", "ndjson:-")
        ok(len(r.stdout.splitlines()) == n, f"-w \"{where}\" passes {n}", r.stdout + r.stderr)


def ids():
    """The canonical id, whether a survey has it as number or as text; a text that is no number is
    reported."""
    texts = [B(0, "2600111222333444555"), B(1, 2600111222333444556), B(0, " 12 "), B(0, "ZTF-7")]
    with open("ids.avro", "wb") as f:
        f.write(make_container(ALERT, [{**BASE, "candid": t} for t in texts]))
    r = run("ids.avro", ["candid"], "-o", "ndjson:-")
    out = [json.loads(x) for x in r.stdout.splitlines()]
    ok(
        [x["candid"] for x in out] == [2600111222333444555, 2600111222333444556, 12, None],
        "ids as text or number are ids",
        out,
    )
    ok(
        [x["packet.candid"] for x in out][:2] == ["2600111222333444555", 2600111222333444556],
        "the raw id is as the packet has it",
        out,
    )
    ok("ZTF-7" in r.stderr, "an id that is no number is reported", r.stderr)


with Folder():
    alerts()
    values()
    one_by_one()
    clauses()
    ids()
done()
