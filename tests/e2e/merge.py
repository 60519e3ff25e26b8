#!/usr/bin/env python3
"""`nightjar merge` makes one night of shards: rows, accounts and reports as one run has them. What is
missing, doubled, broken off or of another night is named, and no night is made of it."""

import json, os, shutil, sqlite3, subprocess, sys, tarfile
from mock_broker import MockBroker
from tap import Folder, done, needs, nightjar, ok, report, rows, table_rows

needs("fastavro", "cramjam", "astropy", "pyarrow")
import fastavro, pyarrow.parquet
from astropy.io import fits

MODULES = ["-m", "roid,nalerthist"]
SERIES = ["--columns", "lc.jd,lc.mag,packet.candidate.rcid"]
KINDS = [
    ("ndjson", "out.ndjson"),
    ("ndjson", "out.ndjson.gz"),
    ("csv", "out.csv"),
    ("sqlite", "out.db"),
    ("avro", "out.avro"),
    ("fits", "out.fits"),
    ("parquet", "out.parquet"),
]


def outputs(folder):
    return [x for kind, name in KINDS for x in ("-o", f"{kind}:{folder}/{name}")]


def run(source, folder, *more):
    os.makedirs(folder, exist_ok=True)
    args = ["run", *source, *MODULES, *outputs(folder), "--overwrite", "-q", "--report", f"{folder}/run.json"]
    return nightjar(*args, *more)


def shards(source, n, *more):
    for k in range(1, n + 1):
        shutil.rmtree(f"s{k}", ignore_errors=True)
        r = run(source, f"s{k}", "--shard", f"{k}/{n}", *more)
    return [f"s{k}" for k in range(1, n + 1)]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def table(path, name="alerts"):
    db = sqlite3.connect(path)
    found = list(map(repr, db.execute(f"SELECT * FROM {name}")))  # NaN is not equal to itself
    db.close()
    return found


def avro(path):
    with open(path, "rb") as f:
        r = fastavro.reader(f)
        return list(map(repr, r)), r.metadata["avro.schema"], r.metadata


def fits_of(path):
    """Rows, columns with units, and the pairs of provenance."""
    with fits.open(path) as f:
        t = f["ALERTS"]
        cards = {
            k: v
            for k, v in t.header.items()
            if k[:4] in ("TTYP", "TFOR", "TUNI", "TNUL", "TKEY", "TCOM", "NJNU")
        }
        pairs = [v for k, v in f[0].header.items() if k[:5] in ("NJKEY", "NJVAL")]
        return table_rows(t.data), cards, pairs


def parquet_of(path):
    t = pyarrow.parquet.read_table(path)
    return list(map(repr, t.to_pylist())), t.schema, pyarrow.parquet.read_metadata(path).metadata


def unpacked(path):
    return subprocess.run(["gzip", "-dc", path], capture_output=True).stdout


def journal(path):
    with open(path + ".journal") as f:
        lines = f.readlines()
    return json.loads(lines[0]), json.loads(lines[-1])


def same(what, merged, whole):
    """All outputs of two folders have the same rows, columns and provenance."""
    for name in ("out.ndjson", "out.csv", "out.ndjson.meta.json", "out.csv.meta.json"):
        ok(read(f"{merged}/{name}") == read(f"{whole}/{name}"), f"{what}: {name} is the same to the byte")
    ok(
        unpacked(f"{merged}/out.ndjson.gz") == read(f"{whole}/out.ndjson"),
        f"{what}: packed rows are the same",
    )
    for name in ("alerts", "columns", "metadata"):
        ok(table(f"{merged}/out.db", name) == table(f"{whole}/out.db", name), f"{what}: SQLite, table {name}")
    got, schema, meta = avro(f"{merged}/out.avro")
    rows_, schema_, meta_ = avro(f"{whole}/out.avro")
    ok(got == rows_, f"{what}: Avro rows")
    ok(schema == schema_, f"{what}: the schema of Avro, to the letter")
    ok(meta == meta_, f"{what}: the provenance of Avro")
    for kind, of in (("fits", fits_of), ("parquet", parquet_of)):
        got, want = of(f"{merged}/out.{kind}"), of(f"{whole}/out.{kind}")
        ok(got[0] == want[0], f"{what}: rows of {kind}", (got[0][:1], want[0][:1]))
        ok(got[1] == want[1], f"{what}: columns of {kind}", (got[1], want[1]))
        ok(got[2] == want[2], f"{what}: provenance of {kind}", (got[2], want[2]))
    ok(
        read(f"{merged}/out.parquet") == read(f"{whole}/out.parquet"),
        f"{what}: Parquet is the same to the byte",
    )
    for name in ("out.ndjson", "out.csv", "out.avro", "out.fits", "out.parquet"):
        (head, last), (head_, last_) = journal(f"{merged}/{name}"), journal(f"{whole}/{name}")
        ok(
            head["configuration"] == head_["configuration"],
            f"{what}: the journal of {name} has one run's configuration",
        )
        ok(last["complete"] and last["rows"] == last_["rows"], f"{what}: and its rows", (last, last_))
        sums = [
            {k: s.get(k, 0) for k in ("name", "emitted", "filtered", "dead", "chunks")}
            for s in last["state"]["streams"]
        ]
        sums_ = [
            {k: s.get(k, 0) for k in ("name", "emitted", "filtered", "dead", "chunks")}
            for s in last_["state"]["streams"]
        ]
        if "one.avro" not in sums_[0]["name"] and "exposure" not in what:  # there each shard opens the chunks
            ok(sums == sums_, f"{what}: and its account", (sums, sums_))
        ok(last["state"]["digest"] == last_["state"]["digest"], f"{what}: and its digest")


def same_report(what, merged, whole):
    m, w = report(f"{merged}/run.json"), report(f"{whole}/run.json")
    ok(m["ledger"] == w["ledger"], f"{what}: the ledger", (m["ledger"], w["ledger"]))
    ok(m["context"]["input_digest"] == w["context"]["input_digest"], f"{what}: the digest of the alerts")
    counts = ("name", "version", "offered", "passed", "hits", "flagged", "reasons")
    of = lambda j: [[x[c] for c in counts] for x in j["modules"] if x["kind"] == "module"]
    ok(of(m) == of(w), f"{what}: what the modules did", (of(m), of(w)))
    sums = [{k: v for k, v in s.items() if k != "part"} for s in m["sources"]]
    ok(sums == w["sources"], f"{what}: the sources", (sums, w["sources"]))
    parts = [report(s["report"]) for s in m["shards"]]
    ours, each = m["energy"]["attributed"], [p["energy"]["attributed"] for p in parts]
    for key in ("cpu_s", "machine_cpu_s"):
        whole_s = sum(a[key] for a in each)
        ok(abs(ours[key] - whole_s) <= 1e-4 * whole_s, f"{what}: {key} of the shards' machines", (ours, each))
    ok(0 < ours["share"] <= 1, f"{what}: the runs' share of them", ours)
    of_name = lambda j, name: [x for x in j["modules"] if x["name"] == name]
    entries = lambda x: sum(n for _, n in x["histogram"])
    for x in m["modules"]:
        if x["kind"] == "module":
            each = [y for p in parts for y in of_name(p, x["name"])]
            ok(entries(x) == sum(map(entries, each)), f"{what}: {x['name']}: histograms add up")
            ok(x["cpu_ns"] == sum(y["cpu_ns"] for y in each), f"{what}: {x['name']}: so does its time")
    topics = lambda j: [[t[k] for k in ("name", "offered", "matches", "share")] for t in j.get("topics", [])]
    ok(topics(m) == topics(w), f"{what}: topics", (topics(m), topics(w)))
    ok(
        m["throughput"]["wall_s"] == max(p["throughput"]["wall_s"] for p in parts),
        f"{what}: the longest shard is the wall time",
    )
    ok("shard" not in m and "drift" not in m["modules"][0], f"{what}: nothing of one shard alone is left")


def refused(what, words, *args, code=3, out="x"):
    r = nightjar("merge", out, *args)
    ok(r.returncode == code, f"{what}: exit code {code}", r)
    for word in words:
        ok(word in r.stderr, f"{what}: it says '{word}'", r.stderr)
    ok(not os.path.isfile(out), f"{what}: nothing is written")


with Folder():
    nightjar("simulate", "-q", "-n", 300, "--exposures", 6, "--schema", "4.02", "-o", "night.tar")
    with tarfile.open("night.tar") as tar:
        tar.extractall("folder", filter="data")
    nightjar("run", "night.tar", "-q", "-m", "roid", "-o", "packets:one.avro", "-D", "run.flush_ms=1")

    with tarfile.open("few.tar", "w") as tar:
        for name in sorted(os.listdir("folder"))[:4]:
            tar.add(f"folder/{name}", name)
    cases = [
        ("archive", ["night.tar"], 4, []),
        ("folder and archive", ["folder", "night.tar"], 3, []),
        ("exposures", ["night.tar"], 3, ["--shard-by", "exposure"]),
        ("one file", ["one.avro"], 3, []),
        ("series and a filter", ["night.tar"], 4, [*SERIES, "-w", "mag < 19.5"]),
        ("topics", ["night.tar"], 2, ["-t", "bright=mag < 19", "-t", "all=1"]),
        ("no row", ["night.tar"], 2, ["-w", "mag < 0"]),
        (
            "shards without an alert",
            ["few.tar"],
            6,
            ["--columns", "packet.candidate.rcid,packet.prv_candidates[].jd"],
        ),
        (
            "other settings",
            ["night.tar"],
            2,
            ["-D", "sink.fits.text_width=9", "-D", "sink.parquet.codec=gzip"],
        ),
        ("Avro packed", ["night.tar"], 2, ["-D", "sink.avro.codec=deflate"]),
        ("Avro packed by snappy", ["night.tar"], 2, ["-D", "sink.avro.codec=snappy"]),
    ]
    for what, source, n, more in cases:
        one = [x for x in more if x not in ("--shard-by", "exposure")]
        run(source, "whole", *one)
        r = nightjar("merge", "all", *reversed(shards(source, n, *more)), "--overwrite")
        ok(r.returncode == 0, f"{what}: {n} shards are merged", r.stderr)
        ok(r.stderr == "", f"{what}: without a word", r.stderr)
        same(what, "all", "whole")
        same_report(what, "all", "whole")
    r = nightjar("ledger", "all/out.ndjson", "--json")
    ok(
        r.returncode == 0 and '"emitted":300' in r.stdout.replace(" ", ""),
        "`nightjar ledger` reads the merged account",
        r,
    )
    r = nightjar("report", "all/run.json", "-o", "page.html")
    ok(r.returncode == 0, "`nightjar report` shows the merged report", r.stderr)

    # dead letters, of those shards that have some; packets, shard behind shard
    with tarfile.open("bad.tar", "w") as tar:
        for i, name in enumerate(sorted(os.listdir("folder"))[:20]):
            tar.add(f"folder/{name}", name)
            if i in (3, 4, 9):
                with open("torn.avro", "wb") as f:
                    f.write(read(f"folder/{name}")[:2000])
                tar.add("torn.avro", f"torn{i}.avro")
    run(["bad.tar"], "whole", "-o", "packets:whole/packets.avro")
    folders = []
    for k in range(1, 6):
        shutil.rmtree(f"d{k}", ignore_errors=True)
        run(["bad.tar"], f"d{k}", "--shard", f"{k}/5", "-o", f"packets:d{k}/packets.avro")
        folders.append(f"d{k}")
    shutil.rmtree("all")
    r = nightjar("merge", "all", *folders)
    ok(r.returncode == 0, "shards with and without dead letters are merged", r.stderr)
    letters = lambda p: sorted((x["origin"], x["packet"]) for x in fastavro.reader(open(p, "rb")))
    ok(len(letters("whole/dead-letters.avro")) == 3, "one run has three letters")
    ok(
        letters("all/dead-letters.avro") == letters("whole/dead-letters.avro"),
        "and so have all shards together",
    )
    packets = lambda p: sorted(x["candid"] for x in fastavro.reader(open(p, "rb")))
    ok(packets("all/packets.avro") == packets("whole/packets.avro"), "packets are all there")
    r = nightjar("run", "all/packets.avro", "-q", "-m", "roid", "-o", "ndjson:again.ndjson")
    ok(len(rows("again.ndjson")) == 20, "and are a source again", r.stderr)

    # outputs of several files, of which a shard may lack one
    rolled = ["-t", "bright=mag < 17", "-t", "rest=mag >= 17", "-D", "run.private_topics=1"]
    for k in (0, 1, 2, 3):
        more = ["--shard", f"{k}/3"] if k else []
        os.makedirs(f"r{k}")
        args = ["-o", f"ndjson:r{k}/out-{{topic}}.ndjson", "-o", f"csv:r{k}/out-{{night}}.csv"]
        r = nightjar("run", "night.tar", "-q", *MODULES, *rolled, *args, *more, "-D", "run.site=palomar")
        ok(r.returncode == 0, "a run with outputs of several files", r.stderr)
    r = nightjar("merge", "rolled", "r3", "r1", "r2")
    ok(r.returncode == 0, "outputs of several files are merged", r.stderr)
    names = sorted(n for n in os.listdir("r0") if n.endswith((".ndjson", ".csv")))
    ok(len(names) == 3, "a file of each topic, and of the night", names)
    for name in names:
        ok(read(f"rolled/{name}") == read(f"r0/{name}"), f"{name} is that of one run, to the byte")
    os.remove("r2/out-bright.ndjson")
    r = nightjar("merge", "rolled", "r1", "r2", "r3", "--overwrite")
    ok(
        r.returncode == 3 and "r2/out-bright.ndjson: is not there" in r.stderr,
        "a file that was taken away is named",
        r,
    )
    os.remove("r2/out-bright.ndjson.journal")
    r = nightjar("merge", "rolled", "r1", "r2", "r3", "--overwrite")
    ok(r.returncode == 0, "a shard may have nothing of a topic", r.stderr)
    r = nightjar("merge", "rolled2", "r1", "r3")
    ok(r.returncode == 3 and "shard 2 of 3 is missing" in r.stderr, "but its folder must be there", r.stderr)

    # partitions come interleaved
    with MockBroker(partitions=4) as mock:
        url = f"kafka://{mock.server}/night?from=earliest&until=end&group=g"
        mock.topic("night")
        nightjar("replay", "bad.tar", "--to", f"kafka://{mock.server}/night", "-q")
        run([url], "whole")
        r = nightjar("merge", "kafka", *shards([url], 3))
        ok(r.returncode == 0, "shards of a topic are merged", r.stderr)
        ok(
            sorted(rows("kafka/out.ndjson"), key=str) == sorted(rows("whole/out.ndjson"), key=str),
            "all rows are there",
        )
        ok(
            report("kafka/run.json")["ledger"] == report("whole/run.json")["ledger"],
            "and the ledger is that of one run",
        )
        of = lambda d: sorted(
            (s["name"], s["ledger"]["consumed"]) for s in report(f"{d}/run.json")["sources"]
        )
        ok(of("kafka") == of("whole"), "partition by partition", (of("kafka"), of("whole")))
        r = nightjar("merge", "less", "s1", "s3")
        ok(
            r.returncode == 3 and "shard 2 of 3 is missing" in r.stderr,
            "a shard of partitions that is missing is named",
        )

    # what is wrong is named, and nothing is written
    shards(["night.tar"], 4)
    files = [f"s{k}/out.ndjson" for k in (1, 2, 3, 4)]
    refused("a shard is missing", ["shard 3 of 4 is missing"], *files[:2], files[3])
    refused("two are missing", ["shard 1 of 4 is missing", "shard 4 of 4 is missing"], *files[1:3])
    shutil.copytree("s2", "copy")
    refused("a shard twice", ["shard 2 of 4 is there twice", "copy/out.ndjson"], *files, "copy/out.ndjson")
    shutil.copytree("s3", "s3x")
    os.remove("s3x/out.csv")
    refused("a folder lacks a file", ["s3x/out.csv: is not there"], "s1", "s2", "s3x", "s4", out="y")
    refused("reports: one is missing", ["shard 2 of 4 is missing"], *[f"s{k}/run.json" for k in (1, 3, 4)])
    refused("no shard", ["is no shard"], "whole/out.ndjson", code=1)
    for out in ("s1/out.ndjson", "./s1/../s1/out.ndjson"):
        r = nightjar("merge", out, *files, "--overwrite")
        ok(
            r.returncode == 1 and "is a shard, and to be written" in r.stderr,
            "a shard is not written over",
            r,
        )
    refused("files of two kinds", ["two kinds"], "s1/out.ndjson", "s2/out.csv", code=1)
    refused("a file that is no output", ["no output of a run"], "night.tar", code=1)
    shutil.copy("s1/out.ndjson", "lone.ndjson")
    refused("a file without its journal", ["no journal"], "lone.ndjson", *files[1:], code=1)
    run(["night.tar"], "other", "--shard", "2/4", "-w", "mag < 19")
    refused(
        "another filter", ["where mag < 19", "other/out.ndjson has"], files[0], "other/out.ndjson", *files[2:]
    )
    run(
        ["night.tar"],
        "other",
        "--shard",
        "2/4",
        "--columns",
        "packet.candidate.rcid",
    )
    refused("another column", ["column packet.candidate.rcid"], files[0], "other/out.ndjson", *files[2:])
    run(["night.tar"], "other", "--shard", "2/5")
    refused("another number of shards", ["shard 2 of 5"], files[0], "other/out.ndjson", *files[2:])
    run(["night.tar"], "other", "--shard", "2/4", "--shard-by", "id")
    refused("dealt out otherwise", ["by id"], files[0], "other/out.ndjson", *files[2:])
    os.rename("night.tar", "kept.tar")
    shutil.copy("bad.tar", "night.tar")
    run(["night.tar"], "other", "--shard", "2/4")
    os.rename("kept.tar", "night.tar")
    refused("another night of the same name", ["not of one night"], files[0], "other/out.ndjson", *files[2:])
    refused(
        "in reports, too", ["not of one night"], "s1/run.json", "other/run.json", "s3/run.json", "s4/run.json"
    )
    run(["night.tar"], "cut", "--shard", "4/4", "--columns", "packet.prv_candidates[].programpi")  # no FITS
    refused(
        "a shard that never began", ["shard 4 of 4 did not come to its end"], *files[:3], "cut/out.ndjson"
    )
    shutil.rmtree("cut")
    shutil.copytree("s4", "cut")
    with open("cut/out.ndjson.journal") as f:
        lines = f.readlines()
    with open("cut/out.ndjson.journal", "w") as f:
        f.writelines(
            line.replace('"complete":true', '"complete":false').replace(
                '"complete": true', '"complete": false'
            )
            for line in lines
        )
    refused(
        "a shard that was broken off", ["shard 4 of 4 did not come to its end"], *files[:3], "cut/out.ndjson"
    )
    with open("cut/out.ndjson.journal", "w") as f:
        f.writelines(line.replace("(", "(other-") for line in lines)
    refused("another build", ["is of nightjar"], *files[:3], "cut/out.ndjson")
    shutil.copy("s4/out.ndjson.journal", "cut/out.ndjson.journal")
    with open("cut/out.ndjson", "w") as f:
        f.writelines(open("s4/out.ndjson").readlines()[:-1])
    refused("a row is gone", ["its journal says"], *files[:3], "cut/out.ndjson", code=1)

    # what there is, when that is asked for: the account does not close
    r = nightjar("merge", "part.ndjson", *files[:3], "--anyway")
    ok(r.returncode == 3, "--anyway with a missing shard ends with 3", r)
    ok(len(rows("part.ndjson")) == 225, "and has the rows of the others")
    ok(journal("part.ndjson")[1].get("complete", False) is False, "its journal is not complete")
    r = nightjar("merge", "part.json", *[f"s{k}/run.json" for k in (1, 2, 4)], "--anyway")
    ok(report("part.json")["ledger"]["closed"] is False, "the ledger does not close")
    for kind, name in (("ndjson", "out.ndjson"), ("avro", "out.avro"), ("fits", "out.fits")):
        shutil.rmtree("cut", ignore_errors=True)
        run(
            ["night.tar"],
            "cut",
            "--shard",
            "4/4",
            "-D",
            "run.commit_ms=0",
            "-D",
            "run.flush_ms=1",
            "-D",
            "run.batch_rows=9",
        )
        with open(f"cut/{name}.journal") as f:
            lines = f.readlines()
        with open(f"cut/{name}.journal", "w") as f:
            f.writelines(lines[: max(2, len(lines) // 2)])
        at = json.loads(lines[max(2, len(lines) // 2) - 1])["rows"]
        args = [*(f"s{k}/{name}" for k in (1, 2, 3)), f"cut/{name}", "--anyway", "--overwrite"]
        r = nightjar("merge", f"part.{kind}", *args)
        ok(r.returncode == 3 and at < 75, f"{kind}: a shard that was killed, anyway", r.stderr)
        got = {"ndjson": rows, "avro": lambda p: avro(p)[0], "fits": lambda p: fits_of(p)[0]}[kind](
            f"part.{kind}"
        )
        ok(len(got) == 225 + at, f"{kind}: it gives the rows of its last commit", (len(got), at))
    run(["night.tar"], "other", "--shard", "2/5")
    refused(
        "--anyway with another number of shards",
        ["not shards of one night"],
        files[0],
        "other/out.ndjson",
        "--anyway",
    )
    run(["night.tar"], "other", "--shard", "2/4", "-w", "mag < 19")
    refused(
        "--anyway with another filter", ["not shards of one night"], files[0], "other/out.ndjson", "--anyway"
    )
    run(["bad.tar"], "other", "--shard", "2/4")
    refused(
        "--anyway with another night", ["not shards of one night"], files[0], "other/out.ndjson", "--anyway"
    )
    r = nightjar("merge", "twice.ndjson", *files, "copy/out.ndjson", "--anyway")
    ok(len(rows("twice.ndjson")) == 300, "a shard that is there twice counts once")
    r = nightjar("merge", "part.ndjson", *files)
    ok(r.returncode == 1 and "--overwrite" in r.stderr, "a file that exists is kept", r)
done()
