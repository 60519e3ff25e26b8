#!/usr/bin/env python3
"""Spark reads a tree of Parquet files by survey and night as one table: every cell as in NDJSON. Columns of
the packets become the nested ones of Fink's tables, by READING.md's function."""

import io, os, re, shutil, tarfile
from tap import ROOT, Folder, done, needs, nightjar, ok, rows, skip

if not shutil.which("java"):
    skip("Spark reads the Parquet output", "no java here")
    done()
needs("pyspark", "fastavro")
import fastavro
from pyspark.sql import SparkSession, functions as F

SETTINGS = {"spark.ui.enabled": "false", "spark.driver.memory": "700m", "spark.sql.shuffle.partitions": "1"}


def same(a, b):
    """NDJSON has a float32 with the fewest digits."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return a == b or abs(a - b) <= 1e-6 * abs(a)
    return a == b


# What Fink's Parquet has (fink-broker, fink-filters, their documentation; read on 2026-11-30): the packet as
# it is, records as structs, light curves as arrays of structs, and Fink's own columns beside it.
FINK = {
    "ztf": {
        "objectId": "string",
        "candidate": "struct<candid:bigint,jd:double,fid:int,magpsf:float,isdiffpos:string,drb:float>",
        "prv_candidates": "array<struct<candid:bigint,jd:double,fid:int,magpsf:float,isdiffpos:string>>",
    },
    "lsst": {
        "diaSource": "struct<diaSourceId:bigint,midpointMjdTai:double,band:string,psfFlux:float>",
        "diaObject": "struct<nDiaSources:int,diaObjectId:bigint>",
        "prvDiaSources": "array<struct<diaSourceId:bigint,midpointMjdTai:double,band:string,psfFlux:float>>",
        "prvDiaForcedSources": "array<struct<midpointMjdTai:double,psfFlux:float>>",
    },
}


def keys_of(ddl):
    """(name, type) of the fields of a struct, or of the items of an array of structs."""
    return re.findall(r"(\w+):(\w+)", ddl)


def of_packets(night, survey):
    """The same columns, from the packets by fastavro."""
    with tarfile.open(night) as t:
        files = [t.extractfile(m).read() for m in t if m.name.endswith(".avro")]
    for alert in (next(fastavro.reader(io.BytesIO(data))) for data in files):
        row = {}
        for name, ddl in FINK[survey].items():
            pick = lambda record: {k: record[k] for k, _ in keys_of(ddl)}
            value = alert[name]
            if ddl.startswith("struct"):
                value = pick(value) if value else {k: None for k, _ in keys_of(ddl)}
            elif ddl.startswith("array"):
                value = [pick(x) for x in value or []]
            row[name] = value
        yield row


def fink_columns(spark, survey):
    wanted = [
        f"packet.{name}" + ("[]" if ddl.startswith("array") else "") + f".{key}"
        for name, ddl in FINK[survey].items()
        for key, _ in keys_of(ddl)
    ]
    wanted += [f"packet.{name}" for name, ddl in FINK[survey].items() if not keys_of(ddl)]
    r = nightjar(
        *("run", f"{survey}.tar", "-q", "-m", "roid", "-o", f"parquet:{survey}.parquet"),
        *("--columns", ",".join(wanted)),
    )
    ok(r.returncode == 0, f"{survey}: columns of the packets", r.stderr)
    with open(f"{ROOT}/broker/sink/READING.md", encoding="utf-8") as f:
        code = re.search(r"```text\n(def nested\(table\):.*?)```", f.read(), re.S).group(1)
    scope = {"F": F}
    exec(code, scope)
    table = scope["nested"](spark.read.parquet(f"{survey}.parquet"))
    types = {f.name: f.dataType.simpleString() for f in table.schema.fields}
    for name, ddl in FINK[survey].items():
        ok(types.get(name) == ddl, f"{survey}: {name} has Fink's type", types.get(name))
    got = [x.asDict(recursive=True) for x in table.select(*FINK[survey]).collect()]
    expected = list(of_packets(f"{survey}.tar", survey))
    ok(len(got) == len(expected) > 0, f"{survey}: each packet once", len(got))
    wrong = [(g, e) for g, e in zip(got, expected) if g != e]
    ok(not wrong, f"{survey}: every cell as in the packets", wrong[:1])
    return table, expected


def fink_expressions(spark):
    """What Fink's science modules and filters ask for."""
    table, expected = fink_columns(spark, "ztf")
    curve = F.concat("prv_candidates.magpsf", F.array("candidate.magpsf"))
    got = [x[0] for x in table.select(curve).collect()]
    want = [[p["magpsf"] for p in e["prv_candidates"]] + [e["candidate"]["magpsf"]] for e in expected]
    ok(got == want, "the light curve that Fink's modules take", got[:1])
    n = table.select(F.explode("prv_candidates").alias("p")).filter("p.magpsf < 19").count()
    want = sum((p["magpsf"] or 99) < 19 for e in expected for p in e["prv_candidates"])
    ok(n == want > 0, "an array of structs, exploded", (n, want))
    n = table.filter((F.col("candidate.drb") > 0.5) & (F.col("roid.roid") >= 2)).count()
    ok(0 < n < len(expected), "answers of modules are structs, too", n)
    fink_columns(spark, "lsst")


with Folder():
    for survey, n in (("ztf", 60), ("lsst", 30)):
        nightjar("simulate", "--survey", survey, "-n", n, "--seed", "3", "-q", "-o", f"{survey}.tar")
        os.remove("truth.csv") if os.path.exists("truth.csv") else None
    r = nightjar(
        *("run", "ztf.tar", "lsst.tar", "-q", "-D", "run.site=palomar", "--columns", "lc.jd,lc.mag,lc.band"),
        *("-o", "parquet:out/?by=survey,night", "-o", "ndjson:o.ndjson"),
    )
    ok(r.returncode == 0, "two surveys", r.stderr)
    expected = {x["candid"]: x for x in rows("o.ndjson")}
    made = SparkSession.builder.master("local[1]")
    for key, value in SETTINGS.items():
        made = made.config(key, value)
    spark = made.getOrCreate()
    table = spark.read.parquet("out")
    got = {x["candid"]: x.asDict(recursive=True) for x in table.collect()}
    ok(len(expected) == 90 and got.keys() == expected.keys(), "Spark: each row once", len(got))
    wrong = [
        (i, k, v, got[i].get(k, "absent"))
        for i, e in expected.items()
        for k, v in e.items()
        if not same(v, got[i].get(k, "absent"))
    ]
    ok(not wrong, "Spark: every cell, survey too", wrong[:3])
    counts = {(x["survey"], x["count"]) for x in table.groupBy("survey").count().collect()}
    ok(counts == {("ztf", 60), ("lsst", 30)}, "Spark: the folders are columns", counts)
    ok("night" in table.columns, "Spark: night, too", table.columns)
    fink_expressions(spark)
    spark.stop()
done()
