#!/usr/bin/env python3
"""The CSV output: every cell as in NDJSON, quoted by RFC 4180; it continues behind whole records."""

import csv, gzip, json, math, os
from out_kit import alert_schema, packet
from tap import Folder, done, needs, nightjar, ok, rows

needs("fastavro", "pandas", "duckdb")
import duckdb, fastavro, pandas

SCHEMA = alert_schema(
    {"text": ["null", "string"], "list": {"type": "array", "items": ["null", "double"]}},
    {"d": ["null", "double"]},
)
TEXTS = [
    None,
    "",
    "a",
    'say "x", or y',
    "two\nlines",
    "\r\n",
    " blank ",
    "é漢",
    ",",
    '"',
    "x" * 70000,
    "=1+1",
]
ARGS = ["--survey", "ztf", "-m", "roid", "--columns", "packet.text,packet.list[],packet.candidate.d"]


def packets():
    for k, text in enumerate(TEXTS):
        d = [1 / 3, None, math.inf, -math.inf, math.nan, 5e-324, -0.0][k % 7]
        yield packet(k, {"d": d}, objectId=f"ZTF18aaaa{k}", text=text, list=[1.5, None, 1e300][: k % 4])


def as_ndjson(text, value):
    """Is a cell the value that NDJSON has?"""
    if value is None:
        return text == ""
    if isinstance(value, list):
        return [None if x is None else float(x) for x in json.loads(text)] == value
    if isinstance(value, str):
        return text == value
    return type(value)(text) == value


def equal(what, path, ndjson):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", newline="", encoding="utf-8") as f:
        found = list(csv.DictReader(f))
    expected = rows(ndjson)
    ok(len(found) == len(expected), f"{what}: all rows", (len(found), len(expected)))
    wrong = [(k, e[k], f.get(k)) for e, f in zip(expected, found) for k in e if not as_ndjson(f.get(k), e[k])]
    ok(not wrong, f"{what}: every cell as in NDJSON", str(wrong)[:1000])
    ok(list(found[0]) == list(expected[0]), f"{what}: the names", list(found[0]))


def values():
    with open("odd.avro", "wb") as f:
        fastavro.writer(f, SCHEMA, list(packets()))
    r = nightjar("run", "odd.avro", "-q", "-o", "csv:o.csv", "-o", "ndjson:o.ndjson", *ARGS)
    ok(r.returncode == 0, "odd values", r.stderr)
    equal("odd values", "o.csv", "o.ndjson")
    with open("o.csv", newline="", encoding="utf-8") as f:
        text = f.read()
    ok(',"",' in text, "an empty text is quoted, no answer is nothing", text[:500])
    found = pandas.read_csv("o.csv")
    ok(list(found["candid"]) == [2**62 + k for k in range(len(TEXTS))], "pandas: 64-bit ids")
    ok(math.isinf(found["packet.candidate.d"][2]), "pandas: infinities")
    options = """header = true, quote = '"', escape = '"', all_varchar = true"""
    query = f"""SELECT "packet.text" FROM read_csv('o.csv', {options})"""
    own = [x[0] for x in duckdb.sql(query).fetchall()]
    ok(own[3:7] == TEXTS[3:7], "DuckDB: quoted texts", own[3:7])


def goes_on():
    args = ["run", "odd.avro", "-q", "-o", "ndjson:g.ndjson", *ARGS]
    for path in ("g.csv", "g.csv.gz", "g.csv.zst"):
        for how in ([], ["--append"]):
            more = ["--overwrite"] if not how else how
            r = nightjar(*args, "-o", f"csv:{path}", *more)
            ok(r.returncode == 0, f"{path} {how}", r.stderr)
        if not path.endswith(".zst"):
            equal(f"{path} --append", path, "g.ndjson")
    os.remove("g.csv.journal")
    with open("g.csv", "rb") as f:
        whole = f.read()
    torn = whole.rindex(b"two\n") + 4  # within a text of two lines
    with open("g.csv", "wb") as f:
        f.write(whole[:torn])
    r = nightjar(*args[:3], *ARGS, "-o", "csv:g.csv", "--append")
    with open("g.csv", newline="", encoding="utf-8") as f:
        found = [x["object"][-1:] for x in csv.DictReader(f)]
    ok(r.returncode == 0, "--append behind half a record", r.stderr)
    ok(len(found) == len(TEXTS) + 4 + len(TEXTS), "what was half is cut off", len(found))
    r = nightjar("run", "odd.avro", "-q", "-o", "csv:g.csv", "--survey", "ztf", "-m", "roid", "--append")
    ok(r.returncode == 3 and "--append needs the same" in r.stderr, "other columns are refused", r.stderr)
    r = nightjar("run", "odd.avro", "-q", "-o", "csv:-", *ARGS)
    with open("o.csv", encoding="utf-8") as f:
        ok(r.stdout == f.read(), "csv:- is the same", r.stdout[:300])
    r = nightjar("run", "odd.avro", "-q", "-o", "csv:e.csv", *ARGS, "-w", "1 = 0")
    ok(len(open("e.csv", encoding="utf-8").readlines()) == 1, "without rows there are the names", r.stderr)


with Folder():
    values()
    goes_on()
done()
