#!/usr/bin/env python3
"""The Parquet output, as pyarrow, pandas, polars, DuckDB and nightjar read it: every cell as in NDJSON."""

import glob, json, math, os, signal, subprocess, sys, time
import out_kit
from out_kit import alert_schema
import own_copy  # before tap
from tap import NIGHTJAR, SHARED, Folder, done, needs, nightjar, ok, rows, skip

needs("pyarrow", "pandas", "polars", "duckdb", "fastavro", "numpy")
import duckdb, fastavro, numpy, pandas, polars, pyarrow as pa, pyarrow.parquet as pq

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "8"))
LC = "lc.jd,lc.mag,lc.band,packet.candidate.magpsf"
SCHEMA = alert_schema(
    {
        "d": ["null", "double"],
        "f": ["null", "float"],
        "l": ["null", "long"],
        "i": ["null", "int"],
        "text": ["null", "string"],
        "list": ["null", {"type": "array", "items": ["null", "double"]}],
        "ints": {"type": "array", "items": "long"},
    }
)
COLUMNS = "packet.d,packet.f,packet.l,packet.i,packet.text,packet.list[],packet.ints[]"


def packet(k, **more):
    usual = {"ints": [], "text": "", "d": 1.5, "f": 0.1, "l": k, "i": k, "list": []}
    return out_kit.packet(k, **{**usual, **more})


def odd():
    """Values that formats lose."""
    inf, nan = math.inf, math.nan
    return [
        packet(0),
        packet(1, d=None, f=None, l=None, i=None, text=None, list=None),
        packet(2, d=inf, f=-inf, list=[inf, -inf, None, nan, 0.0, -0.0]),
        packet(3, d=nan, f=nan, list=[None], ints=[2**63 - 1, 1 - 2**63, 0]),
        packet(4, d=5e-324, f=1e-45, l=2**63 - 1, i=2**31 - 1),
        packet(5, d=-0.0, f=3.4028235e38, l=1 - 2**63, i=-(2**31) + 1, text="x" * 100_000),
        packet(6, text="é \"\\\n\t 漢字 \U0001f600", list=[1 / 3] * 5000, ints=list(range(3000))),
        packet(7, d=1.7976931348623157e308, text="a", list=[], ints=[5]),
    ]


def avro(path, alerts):
    with open(path, "wb") as f:
        fastavro.writer(f, SCHEMA, alerts)


def same(a, b):
    """NDJSON's value and the other's: an infinity is 1e999 there, a float32 the shortest digits."""
    if isinstance(a, list) or isinstance(b, list):
        return isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (abs(a) < 3.41e38 and numpy.float32(a) == numpy.float32(b))
    if a is None or b is None or isinstance(a, str) or isinstance(b, str):
        return a == b
    return a == b


def by_pyarrow(path):
    return pq.read_table(path).to_pylist()


def by_polars(path):
    return polars.read_parquet(path).to_dicts()


def by_duckdb(path):
    t = duckdb.sql(f"SELECT * FROM read_parquet('{path}')")
    return [dict(zip(t.columns, row)) for row in t.fetchall()]


def by_pandas(path):
    t = pandas.read_parquet(path, dtype_backend="pyarrow")
    return [{k: plain(v) for k, v in r.items()} for r in t.to_dict("records")]


def plain(v):
    if isinstance(v, numpy.ndarray):
        return [plain(x) for x in v.tolist()]
    return None if v is pandas.NA or v is None else v


READERS = {"pyarrow": by_pyarrow, "polars": by_polars, "duckdb": by_duckdb, "pandas": by_pandas}


def equal(what, path, ndjson, readers=READERS):
    expected = rows(ndjson)
    for name, read in readers.items():
        try:
            found = read(path)
        except Exception as e:
            ok(False, f"{what}: {name} reads it", repr(e))
            continue
        wrong = [
            (i, k, e[k], f.get(k))
            for i, (e, f) in enumerate(zip(expected, found))
            for k in e
            if k not in f or not same(e[k], f[k])
        ]
        ok(len(found) == len(expected), f"{what}: {name} finds all rows", (len(found), len(expected)))
        ok(not wrong, f"{what}: {name}: every cell as in NDJSON", [str(x)[:200] for x in wrong[:5]])
        ok(not expected or list(found[0]) == list(expected[0]), f"{what}: {name}: the same columns")


def run(source, name, *more, columns=LC):
    args = ["--columns", columns] if columns else []
    return nightjar(
        *("run", source, "-q", "-o", f"parquet:{name}.parquet", "-o", f"ndjson:{name}.ndjson", "--overwrite"),
        *(*args, *more),
    )


def nights():
    if SHARED:
        r = run(os.path.join(SHARED, "real", "ztf"), "real")
        ok(r.returncode == 0, "real alerts", r.stderr)
        equal("real alerts", "real.parquet", "real.ndjson")
    else:
        skip("real alerts", "no NIGHTJAR_SHARED")
    r = run("night.tar", "night")
    ok(r.returncode == 0, "a simulated night", r.stderr)
    equal("a simulated night", "night.parquet", "night.ndjson")
    small = ["-D", "sink.parquet.row_group_bytes=30000", "-D", "sink.parquet.page_bytes=1024"]
    for codec in ("zstd", "gzip", "snappy", "none"):
        r = run("night.tar", codec, "-m", "roid", "-D", f"sink.parquet.codec={codec}", *small)
        ok(r.returncode == 0, f"{codec}, small row groups", r.stderr)
        equal(f"{codec}, small row groups", f"{codec}.parquet", f"{codec}.ndjson")
    m = pq.read_metadata("zstd.parquet")
    ok(m.num_row_groups > 3, "more than one row group", m.num_row_groups)
    whole = pq.ParquetFile("zstd.parquet", page_checksum_verification=True).read()
    ok(whole.num_rows == m.num_rows, "the checksum of every page is right")


def odd_values():
    avro("odd.avro", odd())
    args = ["--survey", "ztf", "-m", "roid"]
    r = run("odd.avro", "odd", *args, columns=COLUMNS)
    ok(r.returncode == 0, "odd values", r.stderr)
    equal("odd values", "odd.parquet", "odd.ndjson")
    t = pq.read_table("odd.parquet")
    ok(t["candid"].to_pylist() == [2**62 + k for k in range(8)], "64-bit ids keep every digit")
    ok(math.copysign(1, t["packet.d"][5].as_py()) == -1, "-0.0 keeps its sign")
    types = {
        "candid": pa.int64(),
        "jd": pa.float64(),
        "positive": pa.uint8(),
        "packet.f": pa.float32(),
        "packet.i": pa.int32(),
        "packet.text": pa.string(),
        "packet.list[]": pa.list_(pa.field("element", pa.float64())),
        "roid.reason": pa.string(),
    }
    found = {k: t.schema.field(k).type for k in types if k in t.schema.names}
    ok(found == {k: types[k] for k in found} and len(found) > 5, "types", found)
    for n in (0, 1):
        avro("few.avro", odd()[:n])
        clause = ["-w", "1 = 0"] if n == 0 else []
        if n == 0:
            avro("few.avro", odd()[:1])
        r = run("few.avro", "few", *args, *clause, columns=COLUMNS)
        ok(r.returncode == 0, f"{n} rows", r.stderr)
        equal(f"{n} rows", "few.parquet", "few.ndjson")
    ok(len(pq.read_schema("few.parquet").names) > 10, "the columns are there without rows, too")
    avro(
        "many.avro",
        [packet(k, l=None if k % 3 else k, text=None if k % 2 else "t" * (k % 50)) for k in range(3000)],
    )
    r = run("many.avro", "many", *args, "-D", "sink.parquet.page_bytes=1024", columns=COLUMNS)
    ok(r.returncode == 0, "many pages", r.stderr)
    equal("many pages", "many.parquet", "many.ndjson")


def statistics():
    f = pq.ParquetFile("zstd.parquet")
    table, wrong, seen = f.read(), [], 0
    at = 0
    for g in range(f.num_row_groups):
        group = f.metadata.row_group(g)
        part = table.slice(at, group.num_rows)
        at += group.num_rows
        for c in range(group.num_columns):
            chunk = group.column(c)
            name = chunk.path_in_schema
            if name.endswith(".list.element"):
                continue
            s, values = chunk.statistics, [v for v in part[name].to_pylist() if v is not None]
            nulls = group.num_rows - len(values)
            if s is None or s.null_count != nulls:
                wrong.append((g, name, "nulls"))
            elif values and (s.min != min(values) or s.max != max(values)):
                wrong.append((g, name, s.min, min(values), s.max, max(values)))
            seen += bool(values)
    ok(
        not wrong and seen > 50,
        "each column chunk has its smallest and largest value, and its nulls",
        wrong[:5],
    )
    n = duckdb.sql("SELECT count(*) FROM 'night.parquet' WHERE mag < 18").fetchall()[0][0]
    ok(n == sum(r["mag"] is not None and r["mag"] < 18 for r in rows("night.ndjson")), "DuckDB's WHERE")
    n = polars.scan_parquet("night.parquet").filter(polars.col("ndethist") > 5).collect().height
    ok(n == sum((r["ndethist"] or 0) > 5 for r in rows("night.ndjson")), "polars' filter")


def provenance():
    keys = {k.decode(): v.decode() for k, v in pq.read_metadata("night.parquet").metadata.items()}
    ok("roid" in keys.get("nightjar.module.roid", ""), "the modules are in the metadata", sorted(keys))
    nightjar("run", "night.tar", "-q", "-o", "avro:p.avro")
    with open("p.avro", "rb") as f:
        own = {k for k in fastavro.reader(f).metadata if k.startswith("nightjar.")}
    ok(own <= set(keys), "all that Avro has", own - set(keys))
    columns = {c["key"]: c for c in json.loads(keys["nightjar.columns"])}
    ok(columns["ra"]["unit"] == "deg", "units of the columns", columns.get("ra"))
    meta = json.load(open("night.ndjson.meta.json"))["columns"]
    ok(list(columns.values()) == meta, "the same as beside NDJSON")
    made = pq.read_metadata("night.parquet").created_by
    ok(made.startswith("nightjar version "), "who made it", made)


def sizes():
    for codec in ("zstd", "gzip", "snappy", "none"):
        level = {"zstd": 3, "gzip": 6}.get(codec)
        nightjar(
            "run",
            "night.tar",
            "-q",
            "--columns",
            LC,
            "-o",
            f"parquet:s-{codec}",
            "-D",
            f"sink.parquet.codec={codec}",
        )
        pq.write_table(
            pq.read_table(f"s-{codec}"), f"own-{codec}", compression=codec, compression_level=level
        )
        ours, own = os.path.getsize(f"s-{codec}"), os.path.getsize(f"own-{codec}")
        ok(ours <= 1.3 * own, f"{codec}: at most 1.3 of what pyarrow makes of it", (ours, own))


def as_catalogue():
    """What nightjar writes it reads: rows with positions become a catalogue."""
    r = nightjar(
        "catalog", "build", "night.parquet", "-o", "night.njx", "--columns", "candid,mag,object", "-q"
    )
    ok(r.returncode == 0, "a catalogue of its rows", r.stderr)
    first = rows("night.ndjson")[0]
    r = nightjar("catalog", "query", "night.njx", first["ra"], first["dec"], 1, "--json")
    ok(str(first["candid"]) in r.stdout, "and they are found there", r.stdout + r.stderr)


def appended():
    for f in glob.glob("a.*"):
        os.remove(f)
    first = ["run", "night.tar", "-q", "-m", "roid", "-o", "parquet:a.parquet", "-o", "ndjson:a.ndjson"]
    nightjar(*first)
    r = nightjar(*first, "--append")
    ok(r.returncode == 0, "--append", r.stderr)
    equal("--append", "a.parquet", "a.ndjson")
    keys = [k.decode() for k in pq.read_metadata("a.parquet").metadata]
    ok("nightjar.run2.module.roid" in keys, "--append: the second run's provenance", keys)
    before = open("a.parquet", "rb").read()
    r = nightjar(*[x.replace("roid", "nalerthist") for x in first[:-2]], "--append")
    ok(r.returncode == 3 and "--append needs the same" in r.stderr, "--append of other columns", r.stderr)
    ok(open("a.parquet", "rb").read() == before, "--append of other columns: the file is as it was")
    pq.write_table(pa.table({"x": [1]}), "other.parquet")
    r = nightjar("run", "night.tar", "-q", "-o", "parquet:other.parquet", "--append")
    ok(r.returncode == 3 and "--append needs the same" in r.stderr, "--append to another's file", r.stderr)
    with open("text.parquet", "w") as f:
        f.write("no Parquet, but some text")
    r = nightjar("run", "night.tar", "-q", "-o", "parquet:text.parquet", "--append")
    ok(r.returncode == 3 and "is not a Parquet file" in r.stderr, "--append to what is no Parquet", r.stderr)
    ok(open("text.parquet").read() == "no Parquet, but some text", "it is as it was")
    r = nightjar("run", "night.tar", "-q", "-o", "parquet:a.parquet")
    ok(r.returncode == 1 and "exists" in r.stderr, "a file that exists is refused", r.stderr)
    left = [f for f in os.listdir(".") if f.endswith((".rows", ".new")) and not f.startswith("other")]
    ok(not left, "nothing is left beside the files", left)


OFTEN = ["-D", "run.commit_ms=10", "-D", "run.flush_ms=3", "-D", "run.batch_rows=4", "-j", "1"]
SMALL = ["-D", "sink.parquet.row_group_bytes=40000", "-D", "sink.parquet.page_bytes=2048"]


def journal():
    """The lines of commits of rows."""
    try:
        with open("k.parquet.journal", encoding="utf-8") as f:
            return sum('"rows":0' not in line and '"rows":' in line for line in f)
    except OSError:
        return 0


def kill_after(args, seconds, how):
    """Ctrl-C comes when there are rows."""
    p = subprocess.Popen([NIGHTJAR, *args], stderr=subprocess.PIPE, start_new_session=True)
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        had = journal()
        while how == signal.SIGINT and p.poll() is None and journal() <= had:
            time.sleep(0.001)
        if p.poll() is None:
            os.killpg(p.pid, how)
    err = p.communicate(timeout=120)[1].decode()
    return p.returncode, err


def clear():
    for f in glob.glob("k.*") + glob.glob("dead-letters*"):
        os.remove(f)


def killed(what, more):
    """kill -9 and Ctrl-C in turn."""
    clear()
    args = ["run", "night.tar", "-q", "-m", "roid", "--columns", "lc.jd,lc.mag", *OFTEN, *more]
    args += ["-o", "parquet:k.parquet"]
    nightjar(*args)
    with open("k.parquet", "rb") as f:
        expected = f.read()
    every = pq.read_table("k.parquet").to_pylist()
    clear()
    n, wrong, unlike = 0, [], []
    for _ in range(200):
        if n == KILLS:
            break
        how = signal.SIGINT if n % 4 == 3 else signal.SIGKILL
        rc, err = kill_after([*args, "--resume"], 0.01 + 0.03 * (n % 7), how)
        if rc == 0:
            clear()  # it was quicker
            continue
        if rc not in (-9, 130) and "another run is writing it" not in err:
            wrong.append((rc, err))
        if rc == 130:
            half = pq.read_table("k.parquet").to_pylist()
            unlike += [len(half)] if half != every[: len(half)] else []
        n += 1
    ok(n == KILLS, f"{what}: it was ended {KILLS} times", n)
    ok(not wrong, f"{what}: no run said that something is wrong", wrong)
    ok(not unlike, f"{what}: what Ctrl-C leaves can be read", unlike)
    for _ in range(100):
        r = nightjar(*args, "--resume")
        if "another run is writing it" not in r.stderr:
            break
        time.sleep(0.05)
    ok(r.returncode == 0, f"{what}: it continues to its end", r.stderr)
    with open("k.parquet", "rb") as f:
        ok(f.read() == expected, f"{what}: byte by byte what an uninterrupted run writes")


def gone_on_with():
    """After kill -9 another run may add to the file, without the first one's journal, too."""
    clear()
    args = ["run", "night.tar", "-q", "-m", "roid", "-o", "parquet:k.parquet", *OFTEN, *SMALL]
    for seconds in range(5, 60):
        rc, err = kill_after(args, seconds / 100, signal.SIGKILL)
        if rc == -9 and journal():
            break
        clear()
    os.remove("k.parquet.journal")
    time.sleep(0.2)
    r = nightjar(*args, "--append")
    ok(r.returncode == 0, "--append after kill -9", r.stderr)
    found = [x["candid"] for x in pq.read_table("k.parquet").to_pylist()]
    every = [x["candid"] for x in rows("a.ndjson")][: len(rows("a.ndjson")) // 2]
    n = len(found) - len(every)
    ok(n > 0, "--append after kill -9: the rows of its commits are there", n)
    ok(found == every[:n] + every, "--append after kill -9: and behind them the others", n)


def mistakes():
    for args, says in (
        (["-D", "sink.parquet.codec=lz4"], "none of zstd, gzip, snappy, none"),
        (["-o", "parquet:x.parquet.gz"], "codec = zstd packs its pages"),
        (["-o", "parquet:/dev/null"], "a plain file"),
        (["-o", "parquet:-"], "standard output"),
    ):
        r = nightjar("run", "night.tar", "-q", "-o", "parquet:m.parquet", *args)
        ok(r.returncode == 1 and says in r.stderr, f"{args[1]} is refused", r.stderr)
        ok(not glob.glob("m.parquet*"), f"{args[1]}: nothing is left", glob.glob("m.parquet*"))
    r = nightjar("sinks")
    ok("parquet:PATH" in r.stdout, "nightjar sinks lists it", r.stdout)


def main():
    with Folder():
        nightjar("simulate", "-q", "-n", 300, "--seed", 3, "-o", "night.tar")
        mistakes()
        odd_values()
        nights()
        statistics()
        provenance()
        sizes()
        as_catalogue()
        appended()
        killed("one row group", [])
        killed("many row groups", SMALL)
        gone_on_with()
    done()


main()
