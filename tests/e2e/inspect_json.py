#!/usr/bin/env python3
"""inspect --json shows every field of a packet as fastavro reads it: maps, lists of plain values and of
lists, empty ones, unions, records that hold themselves, bytes by their number."""

import datetime, glob, io, json, math, os, tarfile
from avro import Branch as B, make_container
from tap import ROOT, SHARED, Folder, done, needs, nightjar, ok, skip

needs("fastavro")
import fastavro

BASE = [{"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"}]
NODE = {
    "type": "record",
    "name": "node",
    "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "node"]}],
}
POINT = {
    "type": "record",
    "name": "point",
    "fields": [
        {"name": "x", "type": ["null", "double"]},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
    ],
}
# name, type, the value as it is written, as JSON has it
CASES = [
    ("map", {"type": "map", "values": "string"}, {"type": "galaxy", "odd \" key": "x"}, None),
    ("empty_map", {"type": "map", "values": "string"}, {}, None),
    (
        "map_of_maps",
        {"type": "map", "values": {"type": "map", "values": ["null", "long"]}},
        {"a": {"b": B(1, 9007199254740993), "c": None}, "d": {}},
        {"a": {"b": 9007199254740993, "c": None}, "d": {}},
    ),
    (
        "map_of_records",
        {"type": "map", "values": POINT},
        {"k": {"x": B(1, 0.1), "tags": {"t": "u"}}},
        {"k": {"x": 0.1, "tags": {"t": "u"}}},
    ),
    ("texts", {"type": "array", "items": "string"}, ["a", "b"], None),
    ("floats", {"type": "array", "items": "float"}, [0.5, 0.1, -0.0], None),
    ("empty", {"type": "array", "items": "string"}, [], None),
    ("lists", {"type": "array", "items": {"type": "array", "items": "int"}}, [[1, 2], [], [3]], None),
    (
        "deep",
        {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": "double"}}},
        [[[1.5]], [[], [2.5]]],
        None,
    ),
    (
        "records",
        {"type": "array", "items": "point"},
        [{"x": None, "tags": {}}, {"x": B(1, 2.5), "tags": {"p": "q"}}],
        [{"x": None, "tags": {}}, {"x": 2.5, "tags": {"p": "q"}}],
    ),
    ("nulls", {"type": "array", "items": ["null", "int"]}, [None, B(1, 3), None], [None, 3, None]),
    ("null_list", ["null", {"type": "array", "items": "int"}], None, None),
    ("some_list", ["null", {"type": "array", "items": "int"}], B(1, []), []),
    (
        "mixed",
        {"type": "array", "items": ["int", "string", "point"]},
        [B(0, 1), B(1, "x"), B(2, {"x": None, "tags": {}})],
        [1, "x", {"x": None, "tags": {}}],
    ),
    (
        "self",
        NODE,
        {"v": 1, "next": B(1, {"v": 2, "next": B(1, {"v": 3, "next": None})})},
        {"v": 1, "next": {"v": 2, "next": {"v": 3, "next": None}}},
    ),
    (
        "all_null",
        {"type": "record", "name": "empty_ones", "fields": [{"name": "a", "type": ["null", "int"]}]},
        {"a": None},
        None,
    ),
    ("bool", "boolean", True, None),
    ("letter", {"type": "enum", "name": "letter", "symbols": ["alpha", "beta"]}, "beta", None),
    ("few", "bytes", b"\x00\xff", {"bytes": 2, "hex": "00ff"}),
    ("none", "bytes", b"", {"bytes": 0}),
    ("many", "bytes", b"x" * 100, {"bytes": 100}),
    ("code", {"type": "fixed", "name": "code", "size": 3}, b"abc", {"bytes": 3, "hex": "616263"}),
    ("inf", {"type": "array", "items": "double"}, [math.inf, -math.inf], None),
    ("nan", "double", math.nan, {"json": None}),
    ("smallest", "long", -(2**63), None),
    ("largest", "long", 2**63 - 1, None),
    ("int_null", "int", -(2**31), None),
    ("u8", "int", 255, None),
    ("text", "string", "naïve ☃ \"quoted\" \n", None),
]


def want(value, json_value):
    if json_value == {"json": None}:
        return None
    return value if json_value is None else json_value


def one(path, schema, packet, *args):
    with open(path, "wb") as f:
        f.write(make_container(schema, [packet]))
    r = nightjar("inspect", "--json", "-D", "decode.survey=ztf", *args, path)
    return (json.loads(r.stdout)["packet"] if r.returncode == 0 else {}), r.stderr


def cases():
    schema = {
        "type": "record",
        "name": "test.alert",
        "fields": BASE + [{"name": n, "type": t} for n, t, _, _ in CASES],
    }
    packet = {"objectId": "A", "candid": 7, **{n: v for n, _, v, _ in CASES}}
    got, err = one("all.avro", schema, packet)
    for name, _, value, as_json in CASES:
        ok(
            name in got and got[name] == want(value, as_json),
            f"{name}: as it stands in the packet",
            got.get(name, "absent " + err),
        )
    ok(
        list(got) == ["objectId", "candid"] + [c[0] for c in CASES],
        "the fields in their order, none left out",
        list(got),
    )
    r = nightjar("inspect", "-D", "decode.survey=ztf", "all.avro", env={"COLUMNS": "120"})
    for text in ('{"type":"galaxy"', '["a","b"]', "[[1,2],[],[3]]"):
        ok(text in r.stdout, f"on the terminal, too: {text}", r.stdout[:600])


def shapes():
    twice = {
        "type": "record",
        "name": "test.alert",
        "fields": (
            BASE + [{"name": "x", "type": "int"}, {"name": "x", "type": {"type": "array", "items": "int"}}]
        ),
    }
    whole = make_container(
        {
            **twice,
            "fields": (
                BASE
                + [{"name": "x", "type": "int"}, {"name": "y", "type": {"type": "array", "items": "int"}}]
            ),
        },
        [{"objectId": "A", "candid": 1, "x": 1, "y": [2]}],
    )
    with open("twice.avro", "wb") as f:
        f.write(whole.replace(b'"name": "y"', b'"name": "x"'))
    r = nightjar("inspect", "--json", "-D", "decode.survey=ztf", "twice.avro")
    ok(
        r.stdout.count('"x":') == 1 and json.loads(r.stdout)["packet"]["x"] == [2],
        "a name that stands twice is the last one, once",
        r.stdout + r.stderr,
    )
    union = [
        {"type": "record", "name": "part", "fields": [{"name": "v", "type": "int"}]},
        {
            "type": "record",
            "name": "test.alert",
            "fields": BASE + [{"name": "parts", "type": {"type": "map", "values": "part"}}],
        },
    ]
    got, err = one("union.avro", union, B(1, {"objectId": "A", "candid": 1, "parts": {"k": {"v": 4}}}))
    ok(got == {"objectId": "A", "candid": 1, "parts": {"k": {"v": 4}}}, "a union at the top", got or err)


def like_fastavro(value):
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": len(value), **({"hex": bytes(value).hex()} if 0 < len(value) <= 64 else {})}
    if isinstance(value, dict):
        return {k: like_fastavro(v) for k, v in value.items()}
    if isinstance(value, list):
        return [like_fastavro(v) for v in value]
    if isinstance(value, datetime.datetime):  # a logical type; the packet has a number
        return {"time": value}
    return None if isinstance(value, float) and math.isnan(value) else value


def same(a, b):
    """fastavro makes doubles of floats; we print the shortest text of a float."""
    if isinstance(a, dict) and "time" in a:
        return isinstance(b, int)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return a == b or abs(a - b) <= 1e-7 * abs(a)
    return a == b


def real():
    files = []
    with tarfile.open(os.path.join(ROOT, "data", "sample.tar.gz")) as t:
        for m in [m for m in t.getmembers() if m.isfile()][:6]:
            files.append((m.name, t.extractfile(m).read()))
    for path in (
        sorted(glob.glob(os.path.join(SHARED, "real", "**", "*.avro"), recursive=True))[:20] if SHARED else []
    ):
        files.append((path, open(path, "rb").read()))
    for name, data in files:
        try:
            first = like_fastavro(next(fastavro.reader(io.BytesIO(data))))
        except Exception as e:
            skip(f"{name}: as fastavro reads it", f"fastavro: {e}")
            continue
        with open("one.avro", "wb") as f:
            f.write(data)
        r = nightjar("inspect", "--json", "one.avro")
        got = json.loads(r.stdout)["packet"] if r.returncode == 0 else None
        ok(
            same(first, got),
            f"{os.path.basename(name)}: as fastavro reads it",
            r.stderr or [k for k in first if not same(first[k], got.get(k))],
        )
    if not SHARED:
        skip("real alerts: as fastavro reads them", "no $NIGHTJAR_SHARED")


with Folder():
    cases()
    shapes()
    real()
done()
