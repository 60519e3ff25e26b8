#!/usr/bin/env python3
"""Names that differ by capitals only stay apart: columns of every output, clauses, catalogues; where they
cannot, it is reported or refused."""

import json, sqlite3
from avro import Branch as B, make_container
from tap import Folder, done, needs, nightjar, ok, rows

needs("fastavro", "astropy")
import fastavro
from astropy.io import fits

FIELDS = [
    ("Mag", "double", 1.5),
    ("mag", "double", 2.5),
    ("MAG", ["null", "string"], B(1, "x")),
    ("mag_2", "int", 4),
    ("a_b", "int", 5),
    ("A", {"type": "record", "name": "A", "fields": [{"name": "b", "type": "int"}]}, {"b": 6}),
]
ALERT = {
    "type": "record",
    "name": "test.alert",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        *({"name": n, "type": t} for n, t, _ in FIELDS),
    ],
}
WANT = {
    "packet.Mag": 1.5,
    "packet.mag": 2.5,
    "packet.MAG": "x",
    "packet.mag_2": 4,
    "packet.a_b": 5,
    "packet.A.b": 6,
}


def run(*args):
    return nightjar("run", "--survey", "ztf", "-m", "roid", *args, "in.avro")


def outputs():
    with open("in.avro", "wb") as f:
        f.write(make_container(ALERT, [{"objectId": "A", "candid": 1, **{n: v for n, _, v in FIELDS}}]))
    for order, keys in (("one order", list(WANT)), ("the other", list(WANT)[::-1])):
        r = run(
            "--overwrite",
            "--columns",
            ",".join(keys),
            "-o",
            "ndjson:o.ndjson",
            "-o",
            "sqlite:o.db",
            "-o",
            "fits:o.fits",
            "-o",
            "avro:o.avro",
        )
        if not ok(r.returncode == 0, f"{order}: a run ends well", r.stderr):
            continue
        row = rows("o.ndjson")[0]
        ok({k: row[k] for k in WANT} == WANT, f"{order}, NDJSON", row)
        db = sqlite3.connect("o.db")
        names = dict(db.execute("SELECT key, name FROM columns"))
        got = {k: db.execute(f'SELECT "{names[k]}" FROM alerts').fetchone()[0] for k in WANT}
        ok(got == WANT, f"{order}, SQLite: each key by its name", (got, names))
        ok(
            len({n.lower() for n in names.values()}) == len(names),
            f"{order}, SQLite: no two names are one",
            names,
        )
        ok(
            names["packet.mag_2"] == "packet.mag_2",
            f"{order}, SQLite: a key that is alone keeps its name",
            names,
        )
        first = next(k for k in keys if k.lower() == "packet.mag")
        ok(names[first] == first, f"{order}, SQLite: so does the first of several", names)
        ok(
            r.stderr.count("SQLite takes packet.") == 2,
            f"{order}, SQLite: the two others are reported",
            r.stderr,
        )
        with fits.open("o.fits") as f:
            head, data = f["ALERTS"].header, f["ALERTS"].data[0]
            keys_of = [head.get(f"TKEY{i}", head[f"TTYPE{i}"]) for i in range(1, head["TFIELDS"] + 1)]
            got = {k: data[keys_of.index(k)] for k in WANT}
            lower = [n.lower() for n in f["ALERTS"].columns.names]
        ok(got == WANT, f"{order}, FITS: each key by its TKEY", (got, keys_of))
        ok(len(set(lower)) == len(lower), f"{order}, FITS: no two names are one", lower)
        with open("o.avro", "rb") as f:
            p = next(fastavro.reader(f))["packet"]
        ok(
            (p["Mag"], p["mag"], p["MAG"], p["a_b"], p["A"]["b"]) == (1.5, 2.5, "x", 5, 6),
            f"{order}, Avro",
            p,
        )
        r = run("--append", "--columns", ",".join(keys), "-o", "sqlite:o.db")
        ok(
            r.returncode == 0 and db.execute("SELECT count(*) FROM alerts").fetchone() == (2,),
            f"{order}, SQLite: --append finds its columns",
            r.stderr,
        )
    r = run("--append", "--columns", ",".join(WANT), "-o", "sqlite:o.db")
    ok(
        r.returncode != 0 and "--append needs the same columns" in r.stderr,
        "SQLite: --append in another order is refused",
        r.stderr,
    )


def clauses():
    for where, n in (
        ("packet.Mag < 2", 1),
        ("packet.mag < 2", 0),
        ("packet.MAG = 'x'", 1),
        ("packet.Mag < packet.mag", 1),
        ("packet.MAG = 'x' AND packet.mag = 2.5 AND packet.Mag = 1.5", 1),
        ("packet.mag < packet.Mag", 0),
    ):
        r = run("-q", "-o", "ndjson:-", "-w", where)
        ok(len(r.stdout.splitlines()) == n, f"the clause {where} keeps {n}", r.stdout + r.stderr)
    for args in (
        ["-m", "Roid"],
        ["-w", "RB > 0.5"],
        ["--columns", "Packet.mag"],
        ["-D", "Run.threads=1"],
        ["-D", "module.Mine.kind=roid"],
        ["-t", "Hot=rb > 0.5"],
    ):
        r = run("-o", "null:", *args)
        ok(
            r.returncode == 1 and "error" in r.stderr,
            f"{' '.join(args)}: refused, not taken for another",
            r.stderr,
        )


def build(text, *args):
    with open("t.csv", "w") as f:
        f.write(text)
    return nightjar("catalog", "build", "t.csv", "-o", "t.njx", "-q", *args)


def query(ra, dec):
    out = nightjar("catalog", "query", "t.njx", ra, dec, 1, "--json").stdout
    pairs = json.loads(out.splitlines()[0], object_pairs_hook=list) if out else []
    return dict(pairs), len(pairs)


def catalogues():
    table = "ra,dec,Mag,mag\n1,2,3,4\n"
    r = build(table)
    ok(
        r.returncode != 0 and "two columns would be called 'mag'" in r.stderr,
        "two columns of one name are refused",
        r.stderr,
    )
    r = build(table, "--columns", "Mag:bright,mag:faint")
    ok(
        (query(1, 2)[0].get("bright"), query(1, 2)[0].get("faint")) == (3, 4),
        "by names of their own each has its values",
        query(1, 2),
    )
    for name, value in (("mag", 4), ("Mag", 3)):
        build(table, "--columns", name)
        ok(query(1, 2)[0].get("mag") == value, f"--columns {name} is that one", query(1, 2))
    r = build(table, "--columns", "MAG")
    ok(
        r.returncode != 0 and "'MAG' may be the column 'Mag' or 'mag'" in r.stderr,
        "a name that is neither is refused",
        r.stderr,
    )
    r = build("RA,Dec,ra,v\n1,2,3,4\n")
    ok(
        r.returncode != 0 and "may both be the ra of the position: say --ra" in r.stderr,
        "two positions are refused",
        r.stderr,
    )
    for column, at in (("RA", 1), ("ra", 3)):
        r = build("RA,Dec,ra,v\n1,2,3,4\n", "--ra", column)
        got, n = query(at, 2)
        ok(
            got.get("ra") == at and got.get("column.ra") == 4 - at and len(got) == n,
            f"--ra {column} is that one; the other has a key of its own",
            (got, n, r.stderr),
        )


with Folder():
    outputs()
    clauses()
    catalogues()
done()
