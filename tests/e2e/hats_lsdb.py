#!/usr/bin/env python3
"""LSDB opens what -o hats: wrote: validity, every cell as in NDJSON, light curves, cone search, cross-match.
What LSDB wrote is a SOURCE."""

import io, json, math, os, subprocess, sys, tarfile
from tap import Folder, done, needs, nightjar, ok, rows

needs("lsdb", "pyarrow", "fastavro")
import fastavro, pyarrow as pa, pyarrow.parquet as pq

N = 600
LC = ["--columns", "lc.jd,lc.mag,lc.band,fp.jd"]

# Programs of their own, isolated: LSDB imports a package `hats`, and a test of that name is in this folder.
READ = """
import hats.io.validation, json, lsdb, sys
folder, ra, dec = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
plain = lambda x: None if x is None or x != x else x
series = lambda x: [None if v != v else v for v in x]
catalogue = lsdb.open_catalog(folder)
table = catalogue.compute()
out = {"valid": hats.io.validation.is_valid_catalog(folder, strict=True), "nested": table.nested_columns,
       "index": table.index.name, "rows": []}
flat = [c for c in table.columns if c not in table.nested_columns]
values = {c: table[c].astype(object).where(table[c].notna(), None).tolist() for c in flat}
for i in range(len(table)):
    row = {c: values[c][i] for c in flat}
    for name in table.nested_columns:
        frame = table[name].iloc[i]
        row.update({f"{name}.{c}": series(frame[c].tolist()) for c in frame.columns})
    out["rows"].append(row)
cone = catalogue.cone_search(ra=ra, dec=dec, radius_arcsec=7200).compute()
out["cone"] = sorted(cone["candid"].tolist())
good = catalogue.cone_search(ra=ra, dec=dec, radius_arcsec=7200).query("rb > 0.5").compute()
out["good"] = sorted(good["candid"].tolist())
pairs = catalogue.crossmatch(catalogue, radius_arcsec=0.1, n_neighbors=1, suffixes=("_a", "_b")).compute()
out["pairs"] = [pairs["candid_a"].tolist(), pairs["candid_b"].tolist()]
json.dump(out, sys.stdout)
"""
WRITE = """
import lsdb, pandas, pyarrow.parquet as pq, sys
from nested_pandas import NestedDtype, NestedFrame
frame = NestedFrame(pq.read_table(sys.argv[1]).to_pandas(types_mapper=pandas.ArrowDtype))
frame = frame.astype({"prv_candidates": NestedDtype(frame["prv_candidates"].dtype.pyarrow_dtype)})
made = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", lowest_order=1, highest_order=7,
                           partition_rows=60, margin_threshold=None)
made.write_catalog(sys.argv[2], catalog_name="alerts")
"""


def by_lsdb(program, *args):
    return subprocess.run([sys.executable, "-I", "-c", program, *args], capture_output=True, text=True)


def distance(a, b):
    """Degrees."""
    (ra, dec), (ra2, dec2) = ((math.radians(p["ra"]), math.radians(p["dec"])) for p in (a, b))
    half = math.sin((dec2 - dec) / 2) ** 2 + math.cos(dec) * math.cos(dec2) * math.sin((ra2 - ra) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(half)))


def expected_of(row):
    """A row of NDJSON: a nested table is empty, not absent."""
    return {k: [] if v is None and k.startswith(("lc.", "fp.")) else v for k, v in row.items()}


def different(a, b):
    """Numbers as numbers: what NDJSON writes as 18.5 was a float or a double, what it writes as true is 1."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) != len(b) or any(different(x, y) for x, y in zip(a, b))
    return a != b


def written():
    nightjar("simulate", "-n", str(N), "--seed", "3", "-q", "-o", "night.tar")
    r = nightjar(
        *("run", "night.tar", "-q", "-o", "hats:cat", "-o", "ndjson:o.ndjson", "-D", "sink.hats.rows=60"), *LC
    )
    ok(r.returncode == 0, "a night", r.stderr)
    expected = {x["candid"]: expected_of(x) for x in rows("o.ndjson")}
    centre = next(iter(expected.values()))
    r = by_lsdb(READ, "cat", str(centre["ra"]), str(centre["dec"]))
    if not ok(r.returncode == 0, "LSDB opens it", r.stderr):
        return
    found = json.loads(r.stdout)
    got = {x["candid"]: x for x in found["rows"]}
    ok(found["valid"], "it is valid by LSDB's strict rules", r.stderr)
    ok(found["index"] == "_healpix_29", "its index is the place on the sky", found["index"])
    ok(sorted(found["nested"]) == ["fp", "lc"], "light curves are nested tables", found["nested"])
    ok(len(found["rows"]) == N and got.keys() == expected.keys(), "each row once", len(found["rows"]))
    wrong = [
        (i, k, v, got[i].get(k, "absent"))
        for i, e in expected.items()
        for k, v in e.items()
        if different(v, got[i].get(k, "absent"))
    ]
    ok(not wrong, "every cell as in NDJSON", wrong[:3])
    ok(any(len(x["lc.jd"]) > 3 for x in got.values()), "there are light curves in it")
    near = sorted(i for i, e in expected.items() if distance(e, centre) <= 2)
    ok(0 < len(near) < N and found["cone"] == near, "a cone search", (len(near), len(found["cone"])))
    good = [i for i in near if expected[i]["rb"] > 0.5]
    ok(len(good) < len(near) and found["good"] == good, "and a clause on it", (len(good), len(found["good"])))
    ok(found["pairs"][0] == found["pairs"][1], "a cross-match with itself: each with itself")
    ok(len(found["pairs"][0]) == N, "a cross-match with itself: all", len(found["pairs"][0]))


def read():
    """Packets as LSDB nests and writes them: the histories as nested tables."""
    with tarfile.open("night.tar") as t:
        files = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    alerts = [next(fastavro.reader(io.BytesIO(data))) for data in files][:200]
    names = sorted({n for a in alerts for p in a["prv_candidates"] or [] for n in p})
    points = lambda a: {n: [p.get(n) for p in a["prv_candidates"] or []] for n in names}
    top = ("objectId", "candid", "schemavsn", "publisher", "candidate")
    table = pa.Table.from_pylist(
        [
            {
                **{n: a[n] for n in top},
                "ra": a["candidate"]["ra"],
                "dec": a["candidate"]["dec"],
                "prv_candidates": points(a),
            }
            for a in alerts
        ]
    )
    pq.write_table(table, "frame.parquet")
    r = by_lsdb(WRITE, "frame.parquet", "made")
    if not ok(r.returncode == 0 and os.path.exists("made"), "LSDB writes a catalogue", r.stderr):
        return
    args = ("-q", "--survey", "ztf", "-m", "features", "--columns", "lc.jd,lc.mag,lc.band")
    r = nightjar("run", "made", *args, "-o", "ndjson:made.ndjson")
    ok(r.returncode == 0, "it is a SOURCE", r.stderr)
    nightjar("run", "night.tar", *args, "-o", "ndjson:packets.ndjson")
    packets = {x["candid"]: x for x in rows("packets.ndjson")}
    got = {x["candid"]: x for x in rows("made.ndjson")}
    ok(len(rows("made.ndjson")) == len(alerts), "each row once", len(rows("made.ndjson")))
    # no history and an empty one are the same in a nested table
    with_one = [a["candid"] for a in alerts if a["prv_candidates"]]
    wrong = [
        (i, k, packets[i][k], got[i][k]) for i in with_one for k in packets[i] if packets[i][k] != got[i][k]
    ]
    ok(len(with_one) > 50 and not wrong, "every cell as of the packets", (len(with_one), wrong[:3]))


with Folder():
    written()
    read()
done()
