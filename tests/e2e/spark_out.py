#!/usr/bin/env python3
"""Spark reads a tree of Parquet files by survey and night as one table: every cell as in NDJSON."""

import json, os, shutil
from tap import Folder, done, needs, nightjar, ok, rows, skip

if not shutil.which("java"):
    skip("Spark reads the Parquet output", "no java here")
    done()
needs("pyspark")
from pyspark.sql import SparkSession

SETTINGS = {"spark.ui.enabled": "false", "spark.driver.memory": "700m", "spark.sql.shuffle.partitions": "1"}


def same(a, b):
    """NDJSON has a float32 with the fewest digits."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return a == b or abs(a - b) <= 1e-6 * abs(a)
    return a == b


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
    spark.stop()
done()
