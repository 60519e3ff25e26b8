#!/usr/bin/env python3
"""Infinities stay infinities: from packets, CSV, FITS and Parquet to every output, in columns, lists and
unions; NaN stays null; -0.0 its sign."""

import csv, json, math, sqlite3
from avro import Branch as B, make_container
from tap import Folder, done, needs, nightjar, ok, rows

needs("fastavro", "astropy", "numpy", "pyarrow")
import fastavro, numpy, pyarrow, pyarrow.parquet
from astropy.io import fits

INF = math.inf
FIELDS = {
    "f": "float",
    "d": "double",
    "n": ["null", "double"],
    "either": ["long", "double", "string"],
    "list": {"type": "array", "items": "float"},
    "points": {
        "type": "array",
        "items": {"type": "record", "name": "p", "fields": [{"name": "x", "type": ["null", "double"]}]},
    },
}
ALERT = {
    "type": "record",
    "name": "test.alert",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        *({"name": n, "type": t} for n, t in FIELDS.items()),
    ],
}
VALUES = [1.5, INF, -INF, math.nan, -0.0, 0.0, 1e300]
COLUMNS = "packet.f,packet.d,packet.n,packet.either,packet.list[],packet.points[].x"


def alert(i, v):
    return {
        "objectId": f"A{i}",
        "candid": i,
        "f": v if abs(v) != 1e300 else 1.0,
        "d": v,
        "n": B(1, v),
        "either": B(1, v),
        "list": [1.0, v if abs(v) != 1e300 else 1.0],
        "points": [{"x": B(1, v)}, {"x": None}],
    }


def null(v):
    return None if isinstance(v, float) and math.isnan(v) else v


def run(*args):
    return nightjar("run", "--survey", "ztf", "-m", "roid", "--columns", COLUMNS, *args, "in.avro")


def same(got, want):
    """Also the sign of a zero; NaN, masked and None are one."""
    if want is None or (isinstance(want, float) and math.isnan(want)):
        return got is None or (isinstance(got, float) and math.isnan(got))
    return got is not None and got == want and math.copysign(1, got) == math.copysign(1, want)


def packets():
    with open("in.avro", "wb") as f:
        f.write(make_container(ALERT, [alert(i, v) for i, v in enumerate(VALUES)]))
    r = run("-o", "ndjson:o.ndjson", "-o", "avro:o.avro", "-o", "sqlite:o.db")
    ok(r.returncode == 0, "a run with infinities ends well", r.stderr)
    out = rows("o.ndjson")
    with open("o.avro", "rb") as f:
        avro = list(fastavro.reader(f))
    db = (
        sqlite3.connect("o.db")
        .execute(
            'SELECT "packet.f", "packet.d", "packet.n", "packet.list[]", "packet.points[].x" FROM alerts'
        )
        .fetchall()
    )
    run("-o", "fits:o.fits", "--columns", "packet.f,packet.d,packet.list[]")
    table = fits.getdata("o.fits", "ALERTS")
    for i, v in enumerate(VALUES):
        f = alert(i, v)["f"]
        ok(
            same(out[i]["packet.f"], f)
            and same(out[i]["packet.d"], v)
            and same(out[i]["packet.n"], v)
            and same(out[i]["packet.either"], v),
            f"NDJSON: {v}",
            out[i],
        )
        ok(
            same(out[i]["packet.list[]"][1], f)
            and same(out[i]["packet.points[].x"][0], v)
            and out[i]["packet.points[].x"][1] is None,
            f"NDJSON: {v} in a list",
            out[i],
        )
        a = avro[i]["packet"]
        ok(same(a["f"], f) and same(a["d"], v) and same(a["n"], v), f"Avro: {v}", a)
        ok(same(a["list"][1], f), f"Avro: {v} in a list", a)
        ok(
            same(db[i][0], f + 0.0) and same(db[i][1], v + 0.0) and same(db[i][2], v + 0.0),
            f"SQLite: {v}",
            db[i],
        )  # it has one zero
        ok(
            same(json.loads(db[i][3])[1], f) and same(json.loads(db[i][4])[0], v),
            f"SQLite: {v} in an array",
            db[i],
        )
        ok(
            same(float(table["packet_d"][i]), v) and same(float(table["packet_f"][i]), f),
            f"FITS: {v}",
            (table["packet_d"][i], table["packet_f"][i]),
        )
        ok(same(float(table["packet_list"][i][1]), f), f"FITS: {v} in a series", table["packet_list"][i])
    ok(
        "a value of packet.d is infinite, written as 1e999" in r.stderr,
        "NDJSON reports how it is written, with the column",
        r.stderr,
    )
    ok("infinity=null" in r.stderr, "and the setting for strict readers", r.stderr)
    ok("2 values of packet.d are infinite" in r.stderr, "and how many there are", r.stderr)
    r = run("-o", "ndjson:null.ndjson", "-D", "sink.ndjson.infinity=null")
    if r.returncode:
        return ok(False, "by the setting they are null", r.stderr)
    ok(
        [x["packet.d"] for x in rows("null.ndjson")][1:4] == [None] * 3,
        "by the setting they are null",
        r.stderr,
    )
    ok("a value of packet.d is infinite, written as null" in r.stderr, "which is reported", r.stderr)
    r = run("-o", "ndjson:x.ndjson", "-D", "sink.ndjson.infinity=maybe")
    ok(r.returncode == 1 and "must be number or null" in r.stderr, "another word is refused", r.stderr)


def again():
    """Readers of our own rows: --append without its metadata, diff."""
    import os

    run("-q", "-o", "ndjson:a.ndjson", "-w", "packet.d > 1e300")
    os.remove("a.ndjson.meta.json")
    r = run("-q", "-o", "ndjson:a.ndjson", "--append", "-w", "packet.d > 1e300")
    ok(
        r.returncode == 0 and len(rows("a.ndjson")) == 2,
        "--append to a file that begins with an infinity",
        r.stderr,
    )


def clauses():
    for where, n in (
        ("packet.d > 1e300", 1),
        ("packet.d < -1e300", 1),
        ("packet.d >= 1e300", 2),
        ("packet.f > 1e30", 1),
        ("packet.n IS NULL", 1),
    ):
        r = run("-q", "-o", "ndjson:-", "-w", where)
        ok(len(r.stdout.splitlines()) == n, f"the clause {where} keeps {n}", r.stdout + r.stderr)


def catalogues():
    """Each kind of table with the same five rows."""
    values = [("A", 1.5), ("B", INF), ("C", -INF), ("D", math.nan), ("E", -0.0)]
    with open("t.csv", "w", newline="") as f:
        csv.writer(f).writerows(
            [
                ("ra", "dec", "name", "v", "w"),
                *(
                    (10 + i, 5, n, repr(v), {INF: "Infinity", -INF: "-INF"}.get(v, v))
                    for i, (n, v) in enumerate(values)
                ),
            ]
        )
    columns = [
        ("ra", "D", numpy.arange(10.0, 15)),
        ("dec", "D", numpy.full(5, 5.0)),
        ("name", "1A", [n for n, _ in values]),
        ("v", "D", [v for _, v in values]),
        ("w", "E", [v for _, v in values]),
    ]
    fits.BinTableHDU.from_columns([fits.Column(name=n, format=t, array=a) for n, t, a in columns]).writeto(
        "t.fits"
    )
    pyarrow.parquet.write_table(
        pyarrow.table(
            {
                n: pyarrow.array(
                    list(map(str, a)) if t == "1A" else numpy.asarray(a, "f4" if t == "E" else "f8")
                )
                for n, t, a in columns
            }
        ),
        "t.parquet",
    )
    for table in ("t.csv", "t.fits", "t.parquet"):
        r = nightjar("catalog", "build", table, "-o", table + ".njx", "-q")
        got = (
            [
                json.loads(
                    nightjar("catalog", "query", table + ".njx", 10 + i, 5, 1, "--json").stdout.splitlines()[
                        0
                    ]
                )
                for i in range(5)
            ]
            if r.returncode == 0
            else r.stderr
        )
        ok(
            r.returncode == 0 and all(same(g["v"], v) and same(g["w"], v) for g, (_, v) in zip(got, values)),
            f"{table}: a catalogue of them",
            got,
        )
        text = [nightjar("catalog", "query", table + ".njx", 10 + i, 5, 1).stdout for i in (1, 2)]
        ok("\tinf" in text[0] and "\t-inf" in text[1], f"{table}: query prints them", text)
    for number in ("1e400", "-1e999"):
        with open("beyond.csv", "w", encoding="ascii") as f:
            f.write(f"ra,dec,v\n1,2,1.5\n3,4,{number}\n")
        r = nightjar("catalog", "build", "beyond.csv", "-o", "beyond.njx")
        got = json.loads(nightjar("catalog", "query", "beyond.njx", 3, 4, 1, "--json").stdout.splitlines()[0])
        ok(got["v"] == number, f"{number} is no infinity: its digits stay", got)
        ok("column 'v' is text" in r.stdout + r.stderr, f"{number}: and that is said", r.stdout + r.stderr)


def parquet():
    """Alerts as rows of Parquet; a text with a NUL, too."""
    values = [INF, -INF, math.nan, -0.0]
    pyarrow.parquet.write_table(
        pyarrow.table(
            {
                "objectId": pyarrow.array(["A", "B\0c", "C", "D"]),
                "candid": pyarrow.array(range(4), pyarrow.int64()),
                "f": pyarrow.array(values, pyarrow.float32()),
                "d": pyarrow.array(values),
                "list": pyarrow.array([[v, 1.0] for v in values], pyarrow.list_(pyarrow.float64())),
            }
        ),
        "alerts.parquet",
    )
    r = nightjar(
        "run",
        "-q",
        "--survey",
        "ztf",
        "-m",
        "roid",
        "--columns",
        "object,packet.f,packet.d,packet.list[]",
        "-o",
        "ndjson:-",
        "alerts.parquet",
    )
    out = [json.loads(line) for line in r.stdout.splitlines()]
    ok(
        len(out) == 4
        and all(
            same(x["packet.f"], v) and same(x["packet.d"], v) and same(x["packet.list[]"][0], v)
            for x, v in zip(out, values)
        ),
        "alerts in Parquet",
        r.stdout + r.stderr,
    )
    ok(len(out) == 4 and out[1]["object"] == "B\\x00c", "a NUL in a text of Parquet", r.stdout)


def images():
    """Pixels of a stamp, also of compressed images."""
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRPIX1": 16,
            "CRPIX2": 16,
            "CRVAL1": 10.0,
            "CRVAL2": 5.0,
            "CDELT1": -1e-4,
            "CDELT2": 1e-4,
        }
    )
    data = numpy.random.default_rng(1).normal(100, 10, (32, 32)).astype("f4")
    data[14, 15], data[15, 15], data[16, 15], data[17, 15] = INF, -INF, math.nan, -0.0
    fits.PrimaryHDU(data, header).writeto("plain.fits")
    fits.PrimaryHDU(data.astype("f8"), header).writeto("double.fits")
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(data, header, compression_type="GZIP_1", quantize_level=0)]
    ).writeto("gzip.fits.fz")
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(data, header, compression_type="RICE_1", quantize_level=16)]
    ).writeto("rice.fits.fz")
    with open("targets.csv", "w") as f:
        f.write("name,ra,dec\nA,10,5\n")
    for name in ("plain.fits", "double.fits", "gzip.fits.fz", "rice.fits.fz"):
        want = fits.getdata(name)
        r = nightjar("cutout", name, "--targets", "targets.csv", "--size", 31, "-o", name + ".stamps")
        got = fits.getdata(name + ".stamps/A.fits") if r.returncode == 0 else numpy.zeros((31, 31))
        ok(
            numpy.array_equal(got, want[0:31, 0:31], equal_nan=True),
            f"cutout {name}: infinities, NaN and numbers",
            r.stderr + str(got[13:19, 15]),
        )


def inspect():
    for i, v in enumerate(VALUES):
        r = nightjar("inspect", "--json", "-D", "decode.survey=ztf", "--record", i, "in.avro")
        packet = json.loads(r.stdout)["packet"]
        ok(same(packet["d"], v) and same(packet["points"][0]["x"], v), f"inspect --json: {v}", packet)


with Folder():
    packets()
    again()
    clauses()
    catalogues()
    parquet()
    images()
    inspect()
done()
