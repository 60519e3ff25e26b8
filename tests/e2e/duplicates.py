#!/usr/bin/env python3
"""Alerts that come twice: in two files, in one, in a folder of Parquet, in an output of an earlier run."""

import io, json, os, tarfile
from tap import Folder, done, needs, nightjar, ok, report, rows

needs("fastavro", "pyarrow")
import fastavro, pyarrow as pa, pyarrow.parquet as pq


def run(*args, out="out.ndjson"):
    r = nightjar(
        "run", *args, "-m", "roid", "-o", f"ndjson:{out}", "--overwrite", "--report", "r.json", "-j", "1"
    )
    return r, rows(out) if os.path.exists(out) else []


def members(name):
    with tarfile.open(name) as t:
        return [(m.name, t.extractfile(m).read()) for m in t if m.name.endswith(".avro")]


def tar(name, items):
    with tarfile.open(name, "w") as t:
        for member, data in items:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def candid(data):
    return next(fastavro.reader(io.BytesIO(data)))["candid"]


def two_files():
    r, got = run("a.tar", "b.tar")
    warned = [x for x in r.stderr.splitlines() if "came before" in x]
    ok(r.returncode == 0, "two archives with alerts in common: a run", r.stderr)
    ok(len(got) == 60, "all are written, as they are", len(got))
    ok(len(warned) == 1, "one warning for the pair", warned)
    first = candid(ALL[20][1])
    for word in ("10 alerts of b.tar", "in a.tar", f"the first is {first}", ALL[20][0], "x" + ALL[20][0]):
        ok(word in warned[0], f"it says '{word}'", warned)
    ok("dedup = N drops them" in warned[0], "and the cure", warned)
    found = report("r.json")["duplicates_in_files"]
    ok([(d["n"], d["id"]) for d in found] == [(10, first)], "the report counts them", found)
    ok([d["first"].endswith("a.tar") for d in found] == [True], "and names the first", found)
    ok([d["second"].endswith("b.tar") for d in found] == [True], "and the second", found)
    r, got = run("a.tar", "b.tar", "-D", "run.dedup=1000")
    ok(len(got) == 50, "[run] dedup drops them", len(got))
    ok("10 alerts of b.tar" in r.stderr, "and the files are named all the same", r.stderr)
    ok(report("r.json")["ledger"]["duplicates"] == 10, "the ledger has them", report("r.json")["ledger"])
    r, _ = run("a.tar")
    ok("came before" not in r.stderr, "without any nothing is said", r.stderr)


def one_source():
    tar("c.tar", ALL[:5] + [("again/" + n, d) for n, d in ALL[2:4]])
    r, got = run("c.tar")
    ok("2 alerts of c.tar came before, in the same source" in r.stderr, "twice in one archive", r.stderr)
    ok("again/" + ALL[2][0] in r.stderr, "with both members", r.stderr)
    os.mkdir("parquet")
    alerts = [next(fastavro.reader(io.BytesIO(d))) for _, d in ALL[:10]]
    for a in alerts:
        a.pop("fp_hists", None)
    table = pa.Table.from_pylist(alerts)
    for part in (0, 1):
        pq.write_table(table, f"parquet/part-{part}.parquet")
    r, got = run("parquet")
    ok(len(got) == 20, "a folder with a file twice", (len(got), r.stderr))
    ok("10 alerts of parquet came before" in r.stderr, "which is said", r.stderr)
    ok("part-0" in r.stderr and "part-1" in r.stderr, "with both files", r.stderr)


def earlier_run():
    for scheme in ("ndjson", "sqlite", "avro", "fits", "ndjson:{}.zst"):
        spec = scheme if ":" in scheme else scheme + ":{}"
        out = spec.format("before." + scheme[:4])
        r = nightjar("run", "a.tar", "-q", "-m", "roid", "-o", out)
        ok(r.returncode == 0, f"{out}: an earlier run", r.stderr)
        r, got = run("b.tar", "--seen", out)
        ok(r.returncode == 0, f"{out}: --seen", r.stderr)
        ok(
            [x["candid"] for x in got] == [candid(d) for _, d in ALL[30:50]],
            f"{out}: only what is new",
            len(got),
        )
        ok(report("r.json")["ledger"]["duplicates"] == 10, f"{out}: the others are duplicates", r.stdout)
        ok("30 alerts, which count as duplicates" in r.stderr, f"{out}: how many it has", r.stderr)
    r, got = run("b.tar", "--seen", "before.ndjs", "--seen", "before.sqli")
    ok(len(got) == 20, "--seen may be given twice", (len(got), r.stderr))
    with open("other.ndjson", "w", encoding="utf-8") as f:
        for x in rows("before.ndjs"):
            f.write(json.dumps({**x, "survey": "lsst"}) + "\n")
    r, got = run("b.tar", "--seen", "other.ndjson")
    ok(len(got) == 30, "the same ids of another survey are others", (len(got), r.stderr))
    with open("before.fits", "rb") as f:
        table = f.read()
    with open("other.fits", "wb") as f:
        f.write(table.replace(b"ztf\0", b"xyz\0").replace(b"ztf ", b"xyz "))
    r, got = run("b.tar", "--seen", "other.fits")
    ok(len(got) == 30, "nor are they in FITS", (len(got), r.stderr))
    r, got = run("b.tar", "--seen", "none.ndjson", out="n.ndjson")
    ok(r.returncode == 1 and "--seen none.ndjson" in r.stderr, "an output that is not there: named", r.stderr)


with Folder():
    nightjar("simulate", "-q", "-n", 50, "--seed", 2, "-o", "night.tar")
    ALL = members("night.tar")
    tar("a.tar", ALL[:30])
    tar("b.tar", [("x" + n, d) for n, d in ALL[20:]])
    two_files()
    one_source()
    earlier_run()
done()
