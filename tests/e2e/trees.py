#!/usr/bin/env python3
"""Outputs in folders by night, survey or topic: one table for pyarrow, pandas, polars and DuckDB, every cell
as in NDJSON, also after kill -9, --append and merge; ledger; what is refused.

NIGHTJAR_KILLS=N kills each run N times (3), NIGHTJAR_SEED=K at other moments."""

import csv, glob, json, os, random, shutil, signal, subprocess, tarfile, time
import own_copy  # before tap
from tap import NIGHTJAR, Folder, done, needs, nightjar, ok, rows

needs("pyarrow", "pandas", "polars", "duckdb", "fastavro")
import duckdb, fastavro, pandas, polars, pyarrow.dataset, pyarrow.parquet

KILLS = int(os.environ.get("NIGHTJAR_KILLS", "3"))
rng = random.Random(int(os.environ.get("NIGHTJAR_SEED", "1")))
OFTEN = ["-D", "run.commit_ms=20", "-D", "run.flush_ms=5", "-D", "run.batch_rows=8"]
ARGS = ["-m", "roid,nalerthist", "-D", "run.site=palomar"]
SOURCES = ["a.tar", "b.tar", "lsst.tar"]
N = {"a.tar": 120, "b.tar": 100, "lsst.tar": 80}
ALL = sum(N.values())


def run(*args, source=None, **more):
    return nightjar("run", *(source or SOURCES), *ARGS, *args, **more)


def files(pattern):
    return sorted(f for f in glob.glob(pattern, recursive=True, include_hidden=True) if os.path.isfile(f))


def clear(*names):
    for name in names or ("out", "out.ndjson"):
        shutil.rmtree(name) if os.path.isdir(name) else os.path.exists(name) and os.remove(name)
        for beside in glob.glob(glob.escape(name) + ".*"):
            os.remove(beside)
    for name in glob.glob("*dead-letters*"):
        os.remove(name)


def beside(folder):
    """What is there besides data: all of it must be hidden, so that readers of trees skip it."""
    return [f for f in files(f"{folder}/**") if not f.endswith(".parquet")]


def plain(value):
    return None if value is None or value != value else value


def as_table(found, night=True):
    """Rows of any reader, by id, with the texts of NDJSON."""
    return {r["candid"]: {k: plain(v) for k, v in r.items() if k != "night" or night} for r in found}


def expected():
    clear()
    r = run("-q", "-o", "ndjson:out.ndjson")
    found = {x["candid"]: x for x in rows("out.ndjson")}
    ok(r.returncode == 0 and len(found) == ALL, "three nights, two surveys", r.stderr)
    return found


def read_by_all(what, table):
    """Each reader gives every cell, the survey and the night from the folders."""
    nights = {i: int(x) for i, x in night_of(table).items()}
    whole = {i: {**x, "night": nights[i]} for i, x in table.items()}
    readers = {
        "pyarrow": lambda: pyarrow.dataset.dataset("out", partitioning="hive").to_table().to_pylist(),
        "pandas": lambda: pandas.read_parquet("out", dtype_backend="pyarrow")
        .astype(object)
        .to_dict("records"),
        "polars": lambda: polars.read_parquet("out/**/*.parquet", hive_partitioning=True).to_dicts(),
        "duckdb": lambda: duckdb.sql(
            "SELECT * FROM read_parquet('out/**/*.parquet', hive_partitioning = true)"
        )
        .to_arrow_table()
        .to_pylist(),
    }
    for name, read in readers.items():
        found = read()
        for x in found:
            x.update({k: None for k in x if x[k] is pandas.NA})
        got = as_table(found)
        wrong = [
            (i, k, e[k], got.get(i, {}).get(k, "absent"))
            for i, e in whole.items()
            for k in e
            if not same(e[k], got.get(i, {}).get(k, "absent"))
        ]
        ok(len(found) == len(whole) and not wrong, f"{what}: {name}: every cell", (len(found), wrong[:3]))


def same(a, b):
    """NDJSON has a float32 with the fewest digits; booleans are numbers in Parquet."""
    if isinstance(a, float) and isinstance(b, (int, float)):
        return a == b or abs(a - b) <= 1e-6 * abs(a)
    return a == b


def night_of(table):
    """From local mean noon to noon at Palomar, by the date of the first."""
    import datetime, math

    def of(jd):
        day = math.floor(jd - 116.8597 / 360) - 2440588
        return (datetime.date(1970, 1, 1) + datetime.timedelta(day)).strftime("%Y%m%d")

    return {i: of(x["jd"]) for i, x in table.items()}


def tree(table):
    clear()
    r = run("-o", "parquet:out/?by=survey,night")
    ok(r.returncode == 0, "by survey and night", r.stderr)
    wanted = {f"out/survey={x['survey']}/night={n}" for x, n in zip(table.values(), night_of(table).values())}
    there = {os.path.dirname(f) for f in files("out/**/*.parquet")}
    ok(there == wanted and len(there) >= 3, "a folder for each", there)
    ok({os.path.basename(f) for f in files("out/**/*.parquet")} == {"part-0001.parquet"}, "numbered files")
    names = [os.path.basename(f) for f in beside("out")]
    ok(names and all(n.startswith(".") for n in names), "what is no data is hidden", names)
    ok(not files("out/**/*.part"), "nothing is left unfinished", files("out/**"))
    read_by_all("by survey and night", table)
    one = pyarrow.parquet.read_schema(files("out/survey=lsst/**/*.parquet")[0]).names
    ok("survey" not in one and "candid" in one, "a column that a folder has is in no file", one)
    r = nightjar("ledger", "out", "--json")
    led = json.loads(r.stdout) if r.returncode == 0 else [{}]
    ok(len(led) == 1 and led[0].get("complete") and led[0]["emitted"] == ALL, "the ledger of it", r.stderr)
    listed = sorted("out/" + f["file"] for f in led[0].get("files", []))
    ok(listed == files("out/**/*.parquet"), "the ledger has each file", listed)
    r = nightjar("ledger", files("out/**/*.parquet")[0])
    ok(r.returncode == 0 and "survey=" in r.stdout, "and one of them alone", r.stdout + r.stderr)
    r = nightjar("ledger", "out/survey={survey}/night={night}/part-{n}.parquet")
    ok(r.returncode == 0 and "complete" in r.stdout, "by the name of the output", r.stdout + r.stderr)
    again(table)


def again(table):
    """A second run of the same output."""
    r = run("-q", "-o", "parquet:out/?by=survey,night")
    ok(
        r.returncode == 1 and "--resume" in r.stderr and "--append" in r.stderr,
        "it is there already",
        r.stderr,
    )
    r = run("-q", "-o", "parquet:out/?by=survey,night", "--resume")
    ok(r.returncode == 0, "--resume of a complete one", r.stderr)
    before = files("out/**/*.parquet")
    r = run("-q", "-o", "parquet:out/?by=survey,night", "--append", source=["b.tar"])
    new = [f for f in files("out/**/*.parquet") if f not in before]
    ok(r.returncode == 0 and [os.path.basename(f) for f in new] == ["part-0002.parquet"], "--append", new)
    count = len(pyarrow.dataset.dataset("out", partitioning="hive").to_table())
    ok(count == ALL + N["b.tar"], "--append: rows of both", count)
    r = run("-q", "-o", "parquet:out/?by=survey,night", "--overwrite")
    ok(r.returncode == 0, "--overwrite", r.stderr)
    left = set(files("out/**/*.parquet"))
    ok(left == {*before, *new}, "--overwrite replaces files of the same names", left)


def names(table):
    for spec, pattern, of in (
        ("parquet:out/", "out/night=*/part-0001.parquet", lambda i, x, n: f"out/night={n}/part-0001.parquet"),
        (
            "parquet:out/{survey}/x-{night}.parquet",
            "out/*/x-*.parquet",
            lambda i, x, n: f"out/{x['survey']}/x-{n}.parquet",
        ),
        (
            "parquet:out/a.b/d={date}/v1.0/x.parquet",
            "out/a.b/d=*/v1.0/x*.parquet",
            None,
        ),
        ("parquet:{night}/out/x-{n}.parquet?rotate=5kB", "2*/out/x-*.parquet", None),
        (
            "parquet:out-{survey}-{n}.parquet",
            "out-*.parquet",
            lambda i, x, n: f"out-{x['survey']}-0001.parquet",
        ),
    ):
        clear()
        os.makedirs("out/a.b") if "a.b" in spec else None
        r = run("-q", "-o", spec, "-D", "sink.parquet.row_group_bytes=1M", *OFTEN)
        there = files(pattern)
        found = {
            x["candid"]: f
            for f in there
            for x in pyarrow.parquet.read_table(f, partitioning=None).to_pylist()
        }
        ok(r.returncode == 0 and len(found) == ALL, f"{spec}: all rows", (r.stderr, len(found)))
        if of:
            night = night_of(table)
            wrong = [(i, found[i]) for i, x in table.items() if found[i] != of(i, x, night[i])]
            ok(not wrong, f"{spec}: each in its file", wrong[:3])
        for f in glob.glob("2*") + glob.glob(".*") + glob.glob("out-*"):
            shutil.rmtree(f) if os.path.isdir(f) else os.remove(f)
    clear()
    r = run("-q", "-o", "ndjson:out/?by=topic", "-t", "bright=mag < 19", "-t", "any=1")
    found = {t: len(rows(f"out/topic={t}/part-0001.ndjson")) for t in ("bright", "any")}
    bright = sum(1 for x in table.values() if x["mag"] is not None and x["mag"] < 19)
    ok(found == {"bright": bright, "any": ALL}, "by topic", (found, r.stderr))
    r = run("-q", "-o", "parquet:box/", "-D", "guard.sandbox=1")
    ok(r.returncode == 0 and files("box/night=*/part-0001.parquet"), "in a sandbox", r.stderr)
    shutil.rmtree("box")


def letters():
    """The dead letters of such an output are beside it, where readers of the tree skip them."""
    clear()
    with tarfile.open("a.tar") as of, tarfile.open("bad.tar", "w") as to:
        for k, m in enumerate(x for x in of if x.name.endswith(".avro")):
            data = of.extractfile(m)
            m.size = m.size // 2 if k % 4 == 0 else m.size
            to.addfile(m, data)
    r = run("-q", "-o", "parquet:out/", source=["bad.tar"])
    count = len(pyarrow.dataset.dataset("out", partitioning="hive").to_table())
    ok(
        count == 90 and os.path.exists("out/_dead-letters.avro"),
        "dead letters",
        (count, files("out/**"), r.stderr),
    )
    clear()
    r = run("-q", "-o", "packets:out/?by=survey,schema", source=["a.tar", "b.tar"])
    r = run("-q", "-o", "ndjson:back.ndjson", source=["out"])
    ok(
        r.returncode == 0 and len(rows("back.ndjson")) == N["a.tar"] + N["b.tar"],
        "packets are a SOURCE",
        r.stderr,
    )
    clear("out", "back.ndjson")


def content(kind):
    """Rows of a format, with their file's folder, sorted."""
    found = []
    for f in files(f"out/{kind}/**"):
        name, at = os.path.basename(f), os.path.dirname(f)
        if name.startswith(".") or name.endswith(".meta.json"):
            continue
        if kind == "parquet":
            found += [(at, repr(x)) for x in pyarrow.parquet.read_table(f, partitioning=None).to_pylist()]
        elif kind == "avro":
            found += [(at, repr(x)) for x in fastavro.reader(open(f, "rb"))]
        elif kind == "csv":
            found += [(at, repr(x)) for x in csv.DictReader(open(f, newline="", encoding="utf-8"))]
        else:
            found += [(at, x) for x in open(f, encoding="utf-8").read().splitlines()]
    return sorted(found)


KINDS = ["parquet", "ndjson", "csv", "avro"]


def kills():
    outputs = [x for k in KINDS for x in ("-o", f"{k}:out/{k}/?by=survey,night&rotate=30kB&late=0s")]
    args = ["run", *SOURCES, *ARGS, "-q", *outputs, "-D", "run.open_files=2", *OFTEN]
    clear()
    os.mkdir("out")
    t = time.time()
    r = nightjar(*args)
    whole, expected = time.time() - t, {k: content(k) for k in KINDS}
    ok(r.returncode == 0 and all(len(x) == ALL for x in expected.values()), "four formats at once", r.stderr)
    for n in range(KILLS):
        clear()
        os.mkdir("out")
        for k in range(2):
            p = subprocess.Popen(
                [NIGHTJAR, *args, *(["--resume"] if k else [])],
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                p.wait(rng.uniform(0.1, 0.8) * whole)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
        for _ in range(100):
            r = nightjar(*args, "--resume")
            if "another run is writing it" not in r.stderr:
                break
            time.sleep(0.05)
        wrong = [(k, len(content(k))) for k in KINDS if content(k) != expected[k]]
        ok(r.returncode == 0 and not wrong, f"kill -9 twice, {n + 1}: each row once", (wrong, r.stderr))
        left = [f for f in files("out/**") if f.endswith((".part", ".lock", ".new", ".rows", ".undo"))]
        ok(not left, f"kill -9 twice, {n + 1}: nothing is left unfinished", left)
        ok(all(os.listdir(d) for d, _, _ in os.walk("out")), f"kill -9 twice, {n + 1}: no empty folder")
        r = nightjar("ledger", "out", "--json")
        led = json.loads(r.stdout) if r.returncode == 0 else [{}]
        ok(len(led) == 1 and led[0].get("emitted") == ALL, f"kill -9 twice, {n + 1}: ledger", r.stdout[:500])


def merged():
    clear("m", "s1", "s2", "w")
    for k in (1, 2):
        os.mkdir(f"s{k}")
        r = run(
            "-q", "-o", f"parquet:s{k}/t/?by=survey,night", "-o", f"ndjson:s{k}/x.ndjson", "--shard", f"{k}/2"
        )
    os.mkdir("w")
    run("-q", "-o", "parquet:w/t/?by=survey,night", "-o", "ndjson:w/x.ndjson")
    r = nightjar("merge", "m", "s1", "s2")
    ok(r.returncode == 0, "merge of shards' trees", r.stderr)
    a, b = files("w/t/**/*.parquet"), files("m/t/**/*.parquet")
    ok([f[2:] for f in a] == [f[2:] for f in b] and a, "the same files", b)
    # what differs is in the metadata alone: the run's name
    same_rows = [pyarrow.parquet.read_table(x, partitioning=None) for x in a] == [
        pyarrow.parquet.read_table(x, partitioning=None) for x in b
    ]
    ok(same_rows, "with the same rows")
    names = [os.path.basename(f) for f in files("m/t/**") if not f.endswith(".parquet")]
    ok(names and all(n.startswith(".") for n in names), "journals out of the way", names)
    r = nightjar("ledger", "m", "--json")
    led = json.loads(r.stdout) if r.returncode == 0 else [{}]
    ok(sum(x.get("emitted", 0) for x in led) == ALL, "the ledger of it", r.stdout[:500])
    shutil.rmtree("s2/t")
    os.remove("s2/x.ndjson")
    r = nightjar("merge", "m2", "s1", "s2")
    ok(r.returncode != 0, "a shard that is missing", r.stderr)
    clear("m", "m2", "s1", "s2", "w")


def refused():
    clear()
    for spec, says in (
        ("parquet:out/?by=nigth", "did you mean 'night'"),
        ("parquet:out/?by=", "there are night, date, hour, survey, topic and schema"),
        ("parquet:out/?by=n", "there are night"),
        ("parquet:out.parquet?by=night", "DIR/?by=night"),
        ("parquet:out/?by=topic", "there are none (-t)"),
        ("parquet:out/?by=hour", "the same on every day"),
        ("parquet:out/{n}/x.parquet", "number of a file"),
        ("sqlite:out/", "irectory"),
        ("fits:out/?rotate=1h", "is a folder"),
        ("parquet:nowhere/out/", "cannot be made"),
        ("hats:{survey}/out", "one catalogue"),
    ):
        r = run("-q", "-o", spec)
        ok(r.returncode == 1 and says in r.stderr, f"{spec} is refused", r.stderr)
        ok(not os.path.exists("out") and not glob.glob(".*"), f"{spec}: nothing is made", os.listdir("."))
    r = nightjar("run", "a.tar", "-m", "roid", "-q", "-o", "parquet:out/")
    ok(r.returncode == 1 and "[run] site" in r.stderr, "a night without a place", r.stderr)
    open("out", "w").close()
    r = run("-q", "-o", "parquet:out/")
    ok(r.returncode != 0 and "out/" in r.stderr, "a file where the folder would be", r.stderr)
    os.remove("out")


with Folder():
    for name, night, survey in (
        ("a.tar", "2024-03-15", "ztf"),
        ("b.tar", "2024-03-17", "ztf"),
        ("lsst.tar", "2026-05-16", "lsst"),
    ):
        more = ["--night", night, "-n", N[name], "--seed", "3", "-q", "--truth", "t.csv", "--overwrite"]
        r = nightjar("simulate", "--survey", survey, *more, "-o", name)
        ok(r.returncode == 0, f"{name} is made", r.stderr)
    TABLE = expected()
    tree(TABLE)
    names(TABLE)
    letters()
    kills()
    merged()
    refused()
done()
