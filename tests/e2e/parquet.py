#!/usr/bin/env python3
"""Downloaded nights: Parquet as fink_datatransfer writes it (pyarrow, types from the Avro schema, folders
key=value) gives the rows that the Avro packets give. Needs pyarrow and fastavro; tests/python finds or makes
a Python with both.
"""

import glob, json, math, os, shutil, subprocess, sys, tarfile
from tap import ROOT, SHARED, Folder, done, nightjar, ok, report, rows, skip

try:
    import fastavro, pyarrow as pa, pyarrow.parquet as pq
except ImportError:
    found = subprocess.run(
        [os.path.join(ROOT, "tests", "python"), "pyarrow", "fastavro"], capture_output=True, text=True
    )
    if found.returncode == 0 and not os.environ.get("NIGHTJAR_PARQUET_AGAIN"):
        os.environ["NIGHTJAR_PARQUET_AGAIN"] = "1"
        python = os.path.join(ROOT, found.stdout.strip())
        os.execv(python, [python, os.path.abspath(__file__)])
    skip(
        "Parquet nights equal their Avro packets",
        "no Python with pyarrow and fastavro, and none can be installed",
    )
    done()

FEW = os.path.join(SHARED, "oracles", "alerts", "few.avro") if SHARED else ""
FINK_ZTF = (
    os.path.join(SHARED, "real", "other", "fink_ztf", "public_20260322_31alerts.avro") if SHARED else ""
)
FINK_LSST = os.path.join(SHARED, "real", "lsst", "fink", "public_20260306_7alerts.avro") if SHARED else ""
CLASSES = ["Early SN Ia candidate", "Unknown", "SN candidate", "50% / odd=name", None]
PLAIN = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}


def arrow(t, known):
    """The Arrow type that Fink's client gives an Avro type: a union is its first branch that is not null."""
    if isinstance(t, list):
        return arrow(next((x for x in t if x != "null"), "null"), known)
    if isinstance(t, str):
        return PLAIN[t] if t in PLAIN else arrow(known[t], known)
    if t["type"] in ("record", "error"):
        return pa.struct([pa.field(f["name"], arrow(f["type"], known)) for f in t["fields"]])
    if t["type"] == "array":
        return pa.list_(arrow(t["items"], known))
    if t["type"] == "map":
        return pa.map_(pa.string(), arrow(t["values"], known))
    return arrow(t["type"], known)


def read(path):
    with open(path, "rb") as f:
        reader = fastavro.reader(f)
        schema, alerts = reader.writer_schema, list(reader)
    known = {}

    def names(t):
        if isinstance(t, dict):
            if "name" in t and t.get("type") == "record":
                known[t["name"]] = known[t["name"].split(".")[-1]] = t
            for v in t.values():
                names(v)
        elif isinstance(t, list):
            for v in t:
                names(v)

    names(schema)
    top = schema if isinstance(schema, dict) else schema[-1]
    return alerts, pa.schema([pa.field(f["name"], arrow(f["type"], known)) for f in top["fields"]])


def packets():
    """The alerts, their Arrow schema, and the Avro source that holds them."""
    if FEW and os.path.exists(FEW):
        alerts, schema = read(FEW)
        return alerts, schema, FEW
    with tarfile.open(os.path.join(ROOT, "data", "sample.tar.gz")) as t:
        t.extractall("sample", filter="data") if hasattr(tarfile, "data_filter") else t.extractall("sample")
    alerts = []
    for f in sorted(glob.glob("sample/*.avro")):
        more, schema = read(f)
        alerts += more
    return alerts, schema, "sample"


def with_fink(alerts, schema):
    """Columns as Fink adds them: numbers, a struct with nulls, a map, and the class that becomes the
    folder."""
    out = [
        dict(
            a,
            mulens=i / 8 if i % 4 else None,
            lc_features_g={"amplitude": 1.5 * i, "std": None if i % 2 else 2.0} if i % 3 else None,
            blazar={"low": float(i), "high": -1.0} if i % 5 else {},
            finkclass=CLASSES[i % 5],
            nights=[i, i + 1] if i % 2 else [],
        )
        for i, a in enumerate(alerts)
    ]
    more = [
        pa.field("mulens", pa.float64()),
        pa.field("lc_features_g", pa.struct([("amplitude", pa.float64()), ("std", pa.float64())])),
        pa.field("blazar", pa.map_(pa.string(), pa.float32())),
        pa.field("finkclass", pa.string()),
        pa.field("nights", pa.list_(pa.int64())),
    ]
    return out, pa.schema(list(schema) + more)


def run(source, name, *args):
    r = nightjar(
        "run",
        source,
        "-q",
        "-o",
        f"ndjson:{name}.ndjson",
        "--report",
        f"{name}.json",
        "--dead-letters",
        f"{name}.dead.avro",
        *args,
    )
    got = (
        sorted(rows(f"{name}.ndjson"), key=lambda x: x["candid"]) if os.path.exists(f"{name}.ndjson") else []
    )
    return r, got


def same(source, name, want, title, *args):
    r, got = run(source, name, *args)
    l = report(f"{name}.json")["ledger"] if r.returncode == 0 else {}
    differ = [
        k for a, b in zip(want, got) for k in set(a) | set(b) if a.get(k, "absent") != b.get(k, "absent")
    ]
    return ok(
        r.returncode == 0 and l["closed"] and l["dead"] == 0 and len(want) == len(got) > 0 and not differ,
        title,
        f"exit {r.returncode}, {len(want)} and {len(got)} rows, columns that differ:"
        f" {sorted(set(differ))[:9]}\n{r.stderr}",
    )


def forms(alerts, schema, want):
    table = pa.Table.from_pylist(alerts, schema=schema)
    for codec in ("snappy", "zstd", "none", "gzip"):
        for k, part in enumerate((table[:20], table[20:])):
            pq.write_to_dataset(
                part,
                codec,
                schema=schema,
                partition_cols=["finkclass"],
                compression=codec,
                row_group_size=3,
                basename_template=f"part-{k + 1}-{{i}}-4242.parquet",
                existing_data_behavior="overwrite_or_ignore",
            )
        n = len(glob.glob(f"{codec}/**/*.parquet", recursive=True))
        groups = pq.ParquetFile(glob.glob(f"{codec}/**/*.parquet", recursive=True)[0]).num_row_groups
        same(
            codec,
            codec,
            want,
            f"{codec}: {n} files in folders of finkclass, {groups} row groups in the first: the rows of the"
            " Avro packets",
        )
    pq.write_table(
        table,
        "v2.parquet",
        data_page_version="2.0",
        use_dictionary=False,
        data_page_size=4000,
        write_batch_size=5,
    )
    same("v2.parquet", "v2", want, "one file, data pages v2, no dictionaries, small pages")
    pq.write_table(table, "old.parquet", version="1.0", use_compliant_nested_type=False, row_group_size=10)
    same("old.parquet", "old", want, "one file, lists named as they once were")
    inferred = [{k: v for k, v in a.items() if k != "blazar"} for a in alerts]
    os.mkdir("inferred")
    pq.write_table(pa.Table.from_pylist(inferred), "inferred/a.parquet")
    same(
        "inferred/",
        "inferred",
        want,
        "types that pyarrow infers (all numbers double or long, what is always null without a type)",
    )


def own_columns(alerts):
    r, got = run(
        "snappy",
        "own",
        "-m",
        "roid",
        "--columns",
        "packet.finkclass,packet.mulens,packet.lc_features_g.amplitude,packet.lc_features_g.std",
    )
    by = {a["candid"]: a for a in alerts}
    lc = lambda a, k: (a["lc_features_g"] or {}).get(k)
    ok(
        len(got) == len(alerts)
        and all(
            x["packet.finkclass"] == by[x["candid"]]["finkclass"]
            and x["packet.mulens"] == by[x["candid"]]["mulens"]
            and x["packet.lc_features_g.amplitude"] == lc(by[x["candid"]], "amplitude")
            and x["packet.lc_features_g.std"] == lc(by[x["candid"]], "std")
            for x in got
        ),
        "Fink's columns and that of the folder's name, nulls too, by --columns packet.X",
        r.stderr,
    )
    r, got = run(
        "snappy",
        "maps",
        "-m",
        "roid",
        "--columns",
        "packet.blazar.low,packet.blazar.high,packet.blazar.nosuch",
    )
    ok(
        len(got) == len(alerts)
        and any(x["packet.blazar.low"] for x in got)
        and all(
            x["packet.blazar." + k] == (by[x["candid"]]["blazar"] or {}).get(k)
            for x in got
            for k in ("low", "high", "nosuch")
        ),
        "values of a map column by packet.MAP.key, null where an alert has no such key",
        r.stderr,
    )
    r, got = run("snappy", "mapsql", "-m", "roid", "-w", "packet.blazar.low > 6 AND packet.blazar.high < 0")
    want = sorted(a["candid"] for a in alerts if (a["blazar"] or {}).get("low", 0) > 6)
    ok([x["candid"] for x in got] == want and want, "SQL over a map's value", r.stderr)
    r, got = run(
        "snappy",
        "sql",
        "-m",
        "roid",
        "-w",
        "packet.finkclass = 'Early SN Ia candidate' AND packet.mulens > 1",
    )
    want = sorted(a["candid"] for a in alerts if a["finkclass"] == CLASSES[0] and (a["mulens"] or 0) > 1)
    ok(
        [x["candid"] for x in got] == want and want,
        "SQL over a column that a folder names and over one of Fink's",
        r.stderr,
    )
    with open("joined.csv", "w") as f:
        f.write("candid,finkclass\n" + "".join(f"{a['candid']},{a['finkclass'] or ''}\n" for a in alerts))
    r, got = run(
        "snappy",
        "lookup",
        "-m",
        "fink",
        "-D",
        "module.fink.kind=lookup",
        "-D",
        "module.fink.file=joined.csv",
        "-D",
        "module.fink.key=candid",
        "--columns",
        "packet.finkclass",
    )
    ok(
        len(got) == len(alerts) and all(x["fink.finkclass"] == x["packet.finkclass"] for x in got),
        "lookup by candid beside the folder's column",
        r.stderr,
    )


def nights(alerts, schema, want):
    """-partitionby time: year=2026/month=03/day=07."""
    dates = [("2026", "03", "%02d" % (i % 3 + 7)) for i in range(len(alerts))]
    table = pa.Table.from_pylist(alerts, schema=schema)
    for k, name in enumerate(("year", "month", "day")):
        table = table.append_column(name, pa.array([d[k] for d in dates], pa.string()))
    pq.write_to_dataset(table, "time", partition_cols=["year", "month", "day"])
    same("time", "time", want, "folders of year, month and day")
    r, got = run(
        "time",
        "day",
        "-m",
        "roid",
        "-w",
        "packet.year = 2026 AND packet.month = 3 AND packet.day >= 8",
        "--columns",
        "packet.day",
    )
    days = {a["candid"]: int(d[2]) for a, d in zip(alerts, dates)}
    ok(
        len(got) == sum(d >= 8 for d in days.values())
        and all(x["packet.day"] == days[x["candid"]] for x in got),
        "folders that are all whole numbers are numbers in SQL",
        r.stderr,
    )


def ways(want):
    r1, _ = run("zstd", "j1", "-j", 1)
    r2, _ = run("zstd", "j2", "-j", 2)
    ok(
        open("j1.ndjson", "rb").read() == open("j2.ndjson", "rb").read(),
        "1 and 2 threads: the same bytes",
        r1.stderr + r2.stderr,
    )
    same("embedded://snappy", "embedded", want, "the same rows through the embedded broker")
    r, got = run("snappy", "limit", "--limit", 4)
    ok(r.returncode == 0 and len(got) == 4, "--limit 4", r.stderr)
    r = nightjar("inspect", "snappy")
    ok(
        r.returncode == 0 and "objectId" in r.stdout and "finkclass" in r.stdout,
        "nightjar inspect shows its alerts",
        r.stderr,
    )


def damage(n):
    shutil.copytree("snappy", "cut")
    files = sorted(glob.glob("cut/**/*.parquet", recursive=True))
    lost = pq.ParquetFile(files[1]).metadata.num_rows
    data = open(files[1], "rb").read()
    open(files[1], "wb").write(data[: len(data) // 2])
    r, got = run("cut", "cut_rows")
    ok(
        r.returncode == 2 and os.path.basename(files[1]) in r.stderr and "truncated" in r.stderr,
        "a truncated file: exit 2, its name is reported",
        f"{r.returncode} {r.stderr}",
    )
    l = report("cut_rows.json")["ledger"]
    ok(
        len(got) == n - lost == l["emitted"] and l["closed"],
        "all rows of the other files are there",
        f"{len(got)} of {n} - {lost}",
    )
    meta = pq.ParquetFile("v2.parquet").metadata.row_group(0)
    at = next(i for i in range(meta.num_columns) if meta.column(i).path_in_schema == "candidate.jd")
    data = bytearray(open("v2.parquet", "rb").read())
    first = meta.column(at).data_page_offset
    data[first : first + 12] = b"\xff" * 12
    open("page.parquet", "wb").write(data)
    r, got = run("page.parquet", "page")
    ok(
        r.returncode == 2 and "page.parquet" in r.stderr and "candidate.jd" in r.stderr,
        "a damaged page: exit 2, file and column are reported",
        f"{r.returncode} {r.stderr}",
    )
    r = nightjar(
        "run",
        "snappy",
        "-q",
        "-m",
        "roid",
        "-D",
        "decode.max_items=40",
        "-o",
        "null:",
        "--report",
        "dl.json",
        "--dead-letters",
        "dl.avro",
    )
    dead = report("dl.json")["ledger"]["dead"]
    r, got = run("dl.avro", "revived", "-m", "roid", "--columns", "packet.finkclass")
    if dead:
        ok(
            len(got) == dead and any(x["packet.finkclass"] for x in got),
            f"{dead} dead rows are in the dead-letter file with their schema, and read again",
            r.stderr,
        )
    else:
        skip("dead rows are read again", "no alert of the sample has more than 40 entries of history")
    open("text.parquet", "w").write("this is not Parquet\n")
    r = nightjar("run", "text.parquet")
    ok(
        r.returncode == 2 and "text.parquet: is not a Parquet file" in r.stderr,
        "what only has the name is refused",
        r.stderr,
    )


def folders(alerts, want):
    shutil.copytree("snappy", "marked")
    open("marked/_SUCCESS", "w").close()
    open("marked/.part.crc", "w").close()
    os.mkdir("marked/_temporary")
    shutil.copy("text.parquet", "marked/_temporary/part-0.parquet")
    open("marked/README", "w").write("about\n")
    same("marked", "marked", want, "hidden files and folders, and others, are skipped")
    r = nightjar("run", "marked", "-m", "roid", "-o", "null:")
    ok(
        "skipped 1 file" in r.stderr and "README" in r.stderr,
        "what is skipped without being hidden is reported",
        r.stderr,
    )
    os.mkdir("mixed")
    shutil.copy("old.parquet", "mixed")
    with open("mixed/one.avro", "wb") as f:
        fastavro.writer(
            f,
            fastavro.parse_schema(
                {"type": "record", "name": "ztf.alert", "fields": [{"name": "objectId", "type": "string"}]}
            ),
            [{"objectId": "x"}],
        )
    r = nightjar("run", "mixed", "-m", "", "-o", "null:", "--dead-letters", "mixed.dead.avro")
    ok(
        "old.parquet" in r.stderr,
        "a folder with Avro packets in it is one of Avro packets; the Parquet file is reported",
        r.stderr,
    )


def real(path, survey):
    """Fink's own packets with all their columns: every number and text of the top level, through both
    forms."""
    if not path or not os.path.exists(path):
        skip(f"Fink's {survey} packets: rows and Fink's own columns", "NIGHTJAR_SHARED is not there")
        return
    alerts, schema = read(path)
    simple = [
        f.name
        for f in schema
        if not pa.types.is_nested(f.type) and not pa.types.is_binary(f.type) and not pa.types.is_null(f.type)
    ]
    columns = ["--columns", ",".join("packet." + x for x in simple)]
    pq.write_to_dataset(
        pa.Table.from_pylist(alerts, schema=schema), survey, schema=schema, compression="zstd"
    )
    _, want = run(path, survey + "_avro", *columns)
    same(
        survey,
        survey + "_parquet",
        want,
        f"Fink's {survey} packets: {len(alerts)} alerts, all columns and {len(simple)} of Fink's own",
        *columns,
    )


def main():
    with Folder():
        alerts, schema, source = packets()
        _, want = run(source, "avro")
        ok(
            len(want) == len(alerts) and any(a["prv_candidates"] is None for a in alerts) == (source == FEW),
            f"{len(alerts)} Avro packets to compare with",
        )
        alerts, schema = with_fink(alerts, schema)
        forms(alerts, schema, want)
        own_columns(alerts)
        nights(alerts, schema, want)
        ways(want)
        damage(len(alerts))
        folders(alerts, want)
        real(FINK_ZTF, "ztf")
        real(FINK_LSST, "lsst")
    done()


main()
